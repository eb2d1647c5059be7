"""Tables with a column per set, or a row per set, below a line with their place: Ludwig prints one after each
evaluation (``Running evaluation for step: 10, epoch: 1``), and so do loops with tabulate or rich.
"""

from __future__ import annotations

import re
from collections import deque

from replay.readers.points import number
from replay.readers.series_names import is_held_out, split_of
from replay.readers.text.journal import Journal, Row, Training, place_by_either
from replay.readers.text.lines import without_logger

__all__ = ["SetTables"]

_BARS = str.maketrans("│┃║", "|||")
_NEAR = 40
_SHORT = {"vali": "validation", "valid": "validation"}


def _set(cell: str) -> str | None:
    """The set that a cell names; None where it names something else."""
    word = cell.lower().removesuffix(" set")
    word = _SHORT.get(word, word)
    return word if split_of(word) is not None else None


class SetTables:
    """Tables of figures of several sets, and the lines with their places."""

    specific = True
    _PLACE = re.compile(
        r"(?:[A-Za-z]{1,20} ){0,3}step:? {0,4}(\d{1,12}), epoch:? {0,4}(\d{1,9})"
        r"|[^\w|]{0,40}epoch ?[:#]? {0,4}(\d{1,9})(?: ?(?:/|of) ?(\d{1,9}))?\W{0,40}",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._step: float | None = None
        self._epoch: float | None = None
        self._planned = 0.0
        self._head: list[str] = []  # the cells of the head of the open table
        self._sets: list[str | None] = []  # those of the columns, or none where the rows name them
        self._tables = 0  # tables of this place
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._before: deque[str] = deque(maxlen=_NEAR)  # lines that may say the place of the next table

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, a row of it, or note a place."""
        if text[:1] not in ("|", "│", "┃", "║"):
            if "poch" in text or "EPOCH" in text:
                self._before.append(text)
            if text[:1] in ("╘", "└", "╰", "┗"):
                self._close()
            return False
        cells = [cell.strip() for cell in text.translate(_BARS).strip().strip("|").split("|")]
        sets = [_set(cell) for cell in cells]
        if cells and cells[0] == "" and len(cells) > 2 and all(sets[1:]):
            self._begin(cells, sets)
        elif len(cells) > 1 and not any(sets) and all(self._is_name(cell) for cell in cells):
            self._begin(cells, [])
        elif self._head and len(cells) == len(self._head):
            return self._take_row(order, cells)
        else:
            return False
        return bool(self._sets)

    def _begin(self, cells: list[str], sets: list[str | None]) -> None:
        self._close()
        self._locate()
        if self._step is not None or self._epoch is not None:
            self._head, self._sets = cells, sets

    @staticmethod
    def _is_name(cell: str) -> bool:
        return cell[:1].isalpha() and number(cell) is None

    def _locate(self) -> None:
        """Take the place that the last line says which names nothing else."""
        places = (self._PLACE.fullmatch(without_logger(text.strip())) for text in reversed(self._before))
        match = next((place for place in places if place is not None), None)
        self._before.clear()
        if match is None:
            return
        self._step = float(match[1]) if match[1] else None
        self._epoch = float(match[2] or match[3])
        self._planned, self._tables = float(match[4] or 0), 0

    def _take_row(self, order: int, cells: list[str]) -> bool:
        """Take the figures of a metric, or those of a set."""
        if self._sets:
            names = [f"{of_set}_{cells[0]}" for of_set in self._sets[1:]]
        elif (of_set := _set(cells[0])) is not None:
            names = [f"{of_set}_{name}" for name in self._head[1:]]
        else:
            return False
        numbers = [number(cell) for cell in cells[1:]]
        values = {name: one for name, one in zip(names, numbers, strict=True) if one is not None}
        if values:
            self._rows.append((order, values))
        return bool(values)

    def _close(self) -> None:
        """The table is complete: its rows are one evaluation."""
        rows, self._rows = self._rows, []
        self._head, self._sets = [], []
        values = {name: value for _, row in rows for name, value in row.items()}
        if not any(map(is_held_out, values)):
            return
        self._tables += 1
        if self._tables > 1:  # of another output
            values = {f"{name} ({self._tables})": value for name, value in values.items()}
        self._journal.begin_if_back(self._step if self._step is not None else self._epoch or 0.0, values)
        training = self._journal.add(rows[0][0], self._step, self._epoch, values)
        if self._planned:
            training.facts["planned_epochs"] = training.facts["planned_steps"] = self._planned

    def finish(self) -> list[Training]:
        """The trainings of more than one evaluation."""
        self._close()
        found = [training for training in self._journal if len({_at(row) for row in training.rows}) > 1]
        for training in found:
            place_by_either(training)
        return found


def _at(row: Row) -> tuple[float | None, float | None]:
    return row.step, row.epoch
