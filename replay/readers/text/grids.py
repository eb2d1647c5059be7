"""Tables in a text: a head with the names of columns, then a row per eval.

fastai and skorch print them, notebooks show those of transformers and of pandas, and loops make them with
tabulate, rich or ``print``; the card of a model that transformers trained has one too. Columns stand between
bars, tabs or commas, or are aligned. A column that numbers the rows is left out; in such a table of pandas,
NaN is what was not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from replay.data.finding import Finding, Kind
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
#: Signs of a row that stands for rows that are not shown.
_LEFT_OUT = frozenset(".…|: \t")
_MOST_COLUMNS = 64
_BARS = str.maketrans("│┃║", "|||")
_RULE = re.compile(r"[-=+|:.─━═┼╪┿╋├┤┠┨└┘┌┐╰╯╭╮┏┓┗┛┡┩┬┴┯┷┳┻\s]+")
#: Cells that say that nothing was measured.
_NOTHING = re.compile(r"no log|\.{3}|…|none|n/?a|[-+*]*|(?:\d{1,3}:)?\d{1,2}:\d{2}(?:\.\d+)?", re.IGNORECASE)


def _barred(text: str) -> list[str]:
    return [cell.strip(" \t*") for cell in text.strip().strip("|").split("|")]


def _tabbed(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip("\r\n ").split("\t")]


def _comma_separated(text: str) -> list[str]:
    return [cell.strip(' \t\r\n"') for cell in text.split(",")]


def _aligned(text: str) -> list[str]:
    return re.split(r"\s{2,}", text.strip())


#: How a line may be cut into cells, and what it must have for that.
_CUTS: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("|", _barred),
    ("\t", _tabbed),
    ("  ", _aligned),
    (" ", str.split),
    (",", _comma_separated),
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
        self._headed = False  # whether the next row is the first below a head
        self._of_pandas = False
        self._left_out = False  # whether a row of dots stands for others
        self._indexed = False  # whether there is a column without a name that numbers the rows
        self._headless: tuple[int, list[str], Callable[[str], list[str]]] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, or a row of it."""
        if len(text) > _LONGEST:
            return False
        if not text.isascii():
            text = text.translate(_BARS)
        if text.startswith("#") and "  " in text:
            text = text[1:]  # of a file that numpy reads
        lower = text.lower()
        if ("step" in lower or "epoch" in lower or "iter" in lower) and self._begin(text, order):
            return True
        if "loss" in lower and "val" in lower and ":" not in text and "=" not in text:
            self._note_headless(text, order)
        if self._headless is not None and self._headless[0] == order - 1:
            self._begin_numbered(text)
        if self._names and "..." in text and set(text) <= _LEFT_OUT:
            self._left_out = True
            return True
        if not self._names or not any(sign.isdigit() for sign in text):
            return bool(self._names) and _RULE.fullmatch(text) is not None
        cells = self._cut(text)
        if len(cells) not in (len(self._names), len(self._names) + 1) and self._cut is _aligned:
            cells = text.split()
        indexed = len(cells) == len(self._names) + 1 and cells[0].isdigit()
        if indexed:
            cells = cells[1:]
        elif len(cells) != len(self._names) or self._indexed:
            return False
        values: dict[str, float] = {}
        for at, (name, cell) in enumerate(zip(self._names, cells, strict=True)):
            value = number(cell)
            if value is None and at == self._step:
                value = count(cell)
            if value is not None and not (value != value and (indexed or self._of_pandas)):
                values[name] = value
            elif value is not None:
                continue
            elif _NOTHING.fullmatch(cell) is None:
                return False
        step = values.pop(self._names[self._step], None)
        if step is None or not 0 <= step < float("inf") or not any(map(is_held_out, values)):
            return False
        current = self._journal.current
        if current is not None and step <= _place(current.rows[0]) and current.goes_back(step, values):
            self._journal.begin()
        elif current is not None and self._headed and step <= current.reached:
            if any(_place(row) == step and row.values == values for row in current.rows):
                return True  # a table that is shown again, with further rows
            self._journal.begin()
        self._headed = False
        of_epoch = self._by_epoch
        training = self._journal.add(order, None if of_epoch else step, step if of_epoch else None, values)
        if self._left_out:
            training.facts["findings"] = [Finding(Kind.ROWS_LEFT_OUT)]
            self._left_out = False
        training.held_out |= computed_beside(self._names) & values.keys()
        return True

    def _note_headless(self, text: str, order: int) -> None:
        """Remember names of metrics: pandas prints that of the index in a line of its own below them."""
        for sign, cut in _CUTS[:-2]:
            cells = cut(text) if sign in text else []
            if len(cells) > 1 and not cells[0]:
                cells = cells[1:]
            if 1 < len(cells) <= _MOST_COLUMNS and _are_names(cells) and any(map(is_held_out, cells)):
                self._headless = (order, cells, cut)
                return

    def _begin_numbered(self, text: str) -> None:
        """Begin the table of a history of Keras whose first row this is: pandas numbers its epochs."""
        assert self._headless is not None
        _, names, cut = self._headless
        cells = cut(text)
        if len(cells) != len(names) + 1:
            cells = text.split()
        if len(cells) == len(names) + 1 and cells[0] == "0" and step_name(names) is None:
            self._of_pandas = self._take_names(["epoch", *names], cut)

    def _begin(self, text: str, order: int) -> bool:
        """Whether a line is the head of a table."""
        if self._headless is not None and self._headless[0] == order - 1:
            word = text.strip(" \t|")
            if " " not in word and "|" not in word and step_name([word]) is not None:
                _, names, cut = self._headless
                self._headless = None
                if self._take_names([word, *names], cut):
                    self._of_pandas = True
                    return True
        for sign, cut in _CUTS:
            if sign not in text:
                continue
            if sign == "," and (order == 0 or text.count(",") < 2):
                continue  # a file of nothing but such a table is one of another format
            cells = cut(text)
            indexed = len(cells) > 2 and not cells[0]
            if indexed:
                cells = cells[1:]
            if not 2 <= len(cells) <= _MOST_COLUMNS or not _are_names(cells):
                continue
            if self._take_names(cells, cut):
                self._indexed = self._of_pandas = indexed
                return True
        return False

    def _take_names(self, cells: Sequence[str], cut: Callable[[str], list[str]]) -> bool:
        """Whether names are those of the columns of a table, which then begins."""
        names = ["_".join(cell.lower().split()) if " " in cell else cell for cell in cells]
        names = [name.lower() if name.lower() == "epoch" else name for name in names]
        key = step_name(names)
        if key is None or not any(is_metric(name) and is_held_out(name) for name in names):
            return False
        if len(set(names)) < len(names):
            return False
        self._names, self._cut, self._step = names, cut, names.index(key[0])
        self._by_epoch, self._indexed, self._of_pandas = key[1], False, False
        self._headed = True
        return True

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
        cell == "..."
        or (re.fullmatch(r"[A-Za-z#%][\w /@#%().:-]{0,60}", cell) is not None and number(cell) is None)
        for cell in cells
    ) and not all(map(is_bookkeeping, cells))
