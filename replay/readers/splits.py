"""Which set a row was measured on, where a column of the table or a field of the row says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from replay.data.names import HELD_OUT_WORDS, SHORT_WORDS, canonical
from replay.readers.series_names import companions_of, is_bookkeeping, is_held_out, split_of

__all__ = [
    "RowSet",
    "find_set",
    "is_flag",
    "is_set_column",
    "name_in_set",
    "names_a_set",
    "names_in_set",
    "parse_set",
]

#: Names of columns that say which set a row is about.
_COLUMNS = frozenset(
    """
    split phase stage mode subset dataset data set partition part fold_type loop dataloader section
    data_split dataset_split data_set dataset_name dataset_type data_type split_name eval_set eval_split
    eval_type eval_mode run_mode train_mode traintest train_test train_or_val train_val train_eval kind type
    source prefix tag state
    """.split()
)

#: Names of columns that say by yes or no whether a row is about the set that they name.
_FLAGS = re.compile(r"(?:is_?)?(train|training|val|valid|validation|eval|evaluation|test|testing|dev)")

#: Words of sets that are no words of metrics.
_TRAIN = frozenset("train training learn trn tr trainset fit".split())
_VALIDATION = frozenset(
    "validate evaluate validating evaluating vld valset evalset devel development".split()
)
_TEST = frozenset("tst testset".split())

#: Names of columns whose texts name a training, so that "test" is none of its sets.
_TRAININGS = frozenset(
    """
    run run_id run_name name model model_name experiment experiment_name exp exp_name trial trial_name id
    config config_name method variant group project task title
    """.split()
)

_YES = frozenset({"true", "yes", "1"})
_NO = frozenset({"false", "no", "0"})


class RowSet(NamedTuple):
    """The set that a row is about: its name as a prefix of metrics, and whether it was held out."""

    name: str
    held_out: bool


#: Sets by their first letters, in columns that name sets.
_LETTERS = {"t": RowSet("train", False), "v": RowSet("val", True)}


@lru_cache(4096)
def is_flag(name: str) -> bool:
    """Whether a column says by yes or no which set a row is about, so that its numbers are no values."""
    plain = canonical(name)
    return plain.startswith("is") and _FLAGS.fullmatch(plain) is not None


@lru_cache(4096)
def is_set_column(name: str) -> bool:
    """Whether a column's name is one of those that usually say which set a row is about."""
    return canonical(name) in _COLUMNS or _FLAGS.fullmatch(canonical(name)) is not None


def names_a_set(column: str, cell: object) -> bool:
    """Whether a column says which set its rows are about: by its own name, or since it holds the name of a
    set and does not name trainings.
    """
    return is_set_column(column) or (
        isinstance(cell, str)
        and canonical(column) not in _TRAININGS
        and "_" not in canonical(cell)
        and canonical(cell) not in SHORT_WORDS
        and parse_set(cell) is not None
    )


def parse_set(text: str) -> RowSet | None:
    """The set that a cell names, such as ``val``, ``Validation``, ``va``, ``test-clean`` and ``valid_seen``;
    None for other text.
    """
    word = canonical(text)
    if word in SHORT_WORDS:
        return RowSet(SHORT_WORDS[word], True)
    parts = word.split("_")
    if not word or len(parts) > 4:
        return None
    train = not _TRAIN.isdisjoint(parts)
    known = not HELD_OUT_WORDS.isdisjoint(parts)
    other = "val" if not _VALIDATION.isdisjoint(parts) else "test" if not _TEST.isdisjoint(parts) else None
    if train and not known and other is None:
        return RowSet(word, False)
    if train or not (known or other is not None):
        return None
    return RowSet(word if known else f"{other}_{word}" if len(parts) > 1 else str(other), True)


def find_set(fields: Iterable[tuple[str, object]]) -> RowSet | None:
    """The set of a row by those of its fields that name one (`names_a_set`): the first one that does, by text
    or as a yes or no.
    """
    for name, value in fields:
        plain = canonical(name)
        flag = _FLAGS.fullmatch(plain)
        if flag is not None:
            said = str(value).strip().lower()
            if said.isdecimal() and not plain.startswith("is"):
                continue  # a column "val" holds values
            yes = said in _YES
            if not yes and said not in _NO:
                continue
            held_out = split_of(flag[1]) == "held-out"
            if yes:
                return RowSet(flag[1], held_out)
            return RowSet("train", False) if held_out else RowSet("val", True)
        if isinstance(value, str):
            found = parse_set(value) or (_LETTERS.get(value.strip().lower()) if is_set_column(name) else None)
            if found is not None:
                return found
    return None


def name_in_set(name: str, row: RowSet) -> str:
    """The name that a value of a row has in the run: ``val/loss``; names that no set changes stay."""
    kept = (
        not row.held_out
        or is_held_out(name)
        or is_bookkeeping(name)
        or canonical(name) in ("epoch", "epochs")
        or companions_of([name]).get(name) == "learning_rate"
    )
    return name if kept else f"{row.name}/{name}"


def names_in_set(values: Mapping[str, float], row: RowSet) -> dict[str, float]:
    """The values of a row under the names that they have in the run."""
    return {name_in_set(name, row): value for name, value in values.items()}
