"""Tables that hold several trainings: the folds of a cross-validation, seeds, or one row per finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from replay.data.names import canonical, infer_mode
from replay.readers.series_names import is_held_out, is_metric, split_of, words
from replay.readers.splits import parse_set

__all__ = [
    "counts_time",
    "is_numbered_by_row",
    "may_tell_runs",
    "run_column",
    "summarised_by",
    "trainings_of",
]

_FOLDS = """
    fold folds fold_id fold_idx fold_index fold_no fold_num fold_number cv_fold kfold k_fold cv_split cv seed
    random_seed run run_id run_name run_no run_number trial trial_id trial_name trial_number experiment
    experiment_id experiment_name exp exp_name repeat repetition replicate rep
    """.split()
_NAMES = {*_FOLDS, "name", "model", "model_name", "config", "config_name", "id", "method", "variant"}


#: Trainings have fewer epochs.
_MOST_EPOCHS = 40_000


@lru_cache(4096)
def may_tell_runs(name: str) -> bool:
    """Whether the cells of a column may tell finished runs apart, by its name."""
    return canonical(name) in _NAMES


def run_column(names: Sequence[str]) -> str | None:
    """The column that may say which training a row is of, by its name; None where there is none."""
    return _run_column(tuple(names))


@lru_cache(1024)
def _run_column(names: tuple[str, ...]) -> str | None:
    plain = {canonical(name): name for name in reversed(names)}
    return next((plain[name] for name in _FOLDS if name in plain), None)


def trainings_of(rows: Sequence[tuple[str, float]]) -> list[str] | None:
    """The trainings that (label, step) rows are of, in the order of their first rows; None where they are of
    one.

    They are several where two labels have the same step and each has several rows, with steps that never go
    back, or that never go on, since the newest row comes first.
    """
    if not any(label for label, _ in rows):
        return None
    by_label: dict[str, list[float]] = {}
    for label, step in rows:
        by_label.setdefault(label, []).append(step)
    sides = {None if (found := parse_set(label)) is None else found.held_out for label in by_label}
    if sides == {False, True}:
        return None  # the sets of one training
    if len(by_label) < 2 or "" in by_label or min(len(steps) for steps in by_label.values()) < 2:
        return None
    changes = [later - earlier for steps in by_label.values() for earlier, later in pairwise(steps)]
    if any(change < 0 for change in changes) and any(change > 0 for change in changes):
        return None
    seen: set[float] = set()
    shared = False
    for steps in by_label.values():
        shared |= not seen.isdisjoint(steps)
        seen.update(steps)
    return list(by_label) if shared else None


def summarised_by(columns: Mapping[str, Sequence[str]], steps: Sequence[float | None]) -> str | None:
    """The column by which the rows of a table of finished runs are told apart; None of a training log.

    Each row has another name, and steps that do not advance: the epochs or steps that the run was given. A
    column of runs or trials tells them apart by numbers as well, unless the steps count the rows. Only the
    columns matter that `may_tell_runs`.
    """
    if not any(map(may_tell_runs, columns)):
        return None
    count = len(steps)
    known = [step for step in steps if step is not None]
    advances = len(known) == count and all(later > earlier for earlier, later in pairwise(known))
    counts_rows = known in ([float(number + first) for number in range(count)] for first in (0, 1))
    if count < 2:
        return None
    for name, cells in columns.items():
        texts = [cell.strip() for cell in cells]
        if not all(texts) or len(set(texts)) < count:
            continue
        plain = canonical(name)
        if plain in _NAMES and not advances and not all(map(_is_number, texts)):
            return name
        if plain in _FOLDS and not counts_rows:
            return name
    return None


def counts_time(epochs: Sequence[float]) -> bool:
    """Whether a column of epochs holds times, such as Julian dates, years and seconds since 1970: its numbers
    are larger than a training has epochs, and it does not count from 0 or 1.
    """
    return bool(epochs) and min(epochs) >= _MOST_EPOCHS


def is_numbered_by_row(names: Sequence[str]) -> bool:
    """Whether a table without a step column is a training log all the same: it has one metric of both sides,
    as in train_loss and val_loss. Each row is an epoch then.
    """
    if not names or not _may_begin(names[0]):
        return False  # what the rows are about: folds, sizes of models
    sides: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for name in names:
        if is_metric(name):
            plain = tuple(word for word in words(name) if split_of(word) is None)
            sides[is_held_out(name)].add(plain)
    return not sides[True].isdisjoint(sides[False])


def _may_begin(name: str) -> bool:
    """Whether the first column of a training log without steps may have this name."""
    return is_metric(name) or infer_mode(name) is not None or name in ("", "Unnamed: 0")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
