"""Tables in a text: a head with the names of columns, then a row per eval.

fastai and skorch print them, notebooks show those of transformers, and loops make them with tabulate, rich or
``print``; the card of a model that transformers trained has one too. Columns stand between bars or tabs, or
are aligned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from replay.readers.points import count, number
from replay.readers.series_names import (
    computed_beside,
    is_bookkeeping,
    is_held_out,
    is_metric,
    step_name,
)
from replay.readers.text.journal import Journal, Row, Training, place_rows

__all__ = ["Grids"]

_LONGEST = 2000
_MOST_COLUMNS = 64
_BARS = str.maketrans("│┃║", "|||")
_RULE = re.compile(r"[-=+|:.─━═┼╪┿╋├┤┠┨└┘┌┐╰╯╭╮┏┓┗┛┡┩┬┴┯┷┳┻\s]+")
#: Cells that say that nothing was measured.
_NOTHING = re.compile(r"no log|none|n/?a|[-+*]*|(?:\d{1,3}:)?\d{1,2}:\d{2}(?:\.\d+)?", re.IGNORECASE)


def _barred(text: str) -> list[str]:
    return [cell.strip(" \t*") for cell in text.strip().strip("|").split("|")]


def _tabbed(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip("\r\n ").split("\t")]


def _aligned(text: str) -> list[str]:
    return re.split(r"\s{2,}", text.strip())


#: How a line may be cut into cells, and what it must have for that.
_CUTS: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("|", _barred),
    ("\t", _tabbed),
    ("  ", _aligned),
    (" ", str.split),
)


class Grids:
    """Any table with a column for the step or the epoch and one for a held-out metric."""

    specific = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._names: list[str] = []
        self._step = 0
        self._by_epoch = False
        self._cut: Callable[[str], list[str]] = str.split

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, or a row of it."""
        if len(text) > _LONGEST:
            return False
        if not text.isascii():
            text = text.translate(_BARS)
        lower = text.lower()
        if ("step" in lower or "epoch" in lower or "iter" in lower) and self._begin(text):
            return True
        if not self._names or not any(sign.isdigit() for sign in text):
            return bool(self._names) and _RULE.fullmatch(text) is not None
        cells = self._cut(text)
        if len(cells) != len(self._names) and self._cut is _aligned:
            cells = text.split()
        if len(cells) != len(self._names):
            return False
        values: dict[str, float] = {}
        for at, (name, cell) in enumerate(zip(self._names, cells, strict=True)):
            value = number(cell)
            if value is None and at == self._step:
                value = count(cell)
            if value is not None:
                values[name] = value
            elif _NOTHING.fullmatch(cell) is None:
                return False
        step = values.pop(self._names[self._step], None)
        if step is None or not 0 <= step < float("inf") or not any(map(is_held_out, values)):
            return False
        current = self._journal.current
        if current is not None and step <= _place(current.rows[0]) and current.goes_back(step, values):
            self._journal.begin()
        of_epoch = self._by_epoch
        training = self._journal.add(order, None if of_epoch else step, step if of_epoch else None, values)
        training.held_out |= computed_beside(self._names) & values.keys()
        return True

    def _begin(self, text: str) -> bool:
        """Whether a line is the head of a table."""
        for sign, cut in _CUTS:
            if sign not in text:
                continue
            cells = cut(text)
            if not 2 <= len(cells) <= _MOST_COLUMNS or not _are_names(cells):
                continue
            names = ["_".join(cell.lower().split()) if " " in cell else cell for cell in cells]
            names = [name.lower() if name.lower() == "epoch" else name for name in names]
            key = step_name(names)
            if key is None or not any(is_metric(name) and is_held_out(name) for name in names):
                continue
            if len(set(names)) < len(names):
                continue
            self._names, self._cut, self._step = names, cut, names.index(key[0])
            self._by_epoch = key[1]
            return True
        return False

    def finish(self) -> list[Training]:
        """The trainings."""
        for training in self._journal:
            by_epoch = training.rows[0].step is None
            training.placed = place_rows(
                training,
                [(_place(row), row) for row in training.rows],
                by_epoch=by_epoch,
                zero_based=by_epoch and min(map(_place, training.rows)) == 0,
                epoch="epoch" if "epoch" in training.names() else None,
            )
        return self._journal.trainings


def _place(row: Row) -> float:
    return row.step if row.step is not None else row.epoch or 0.0


def _are_names(cells: Sequence[str]) -> bool:
    """Whether cells are names of columns: words, and no numbers."""
    return all(
        re.fullmatch(r"[A-Za-z#%][\w /@#%().:-]{0,60}", cell) is not None and number(cell) is None
        for cell in cells
    ) and not all(map(is_bookkeeping, cells))
