"""Tables of results that lm-evaluation-harness prints, one per checkpoint:
``|arc_easy|1|none|0|acc|↑|0.42|±|0.01|``.

The place of a table is that of the checkpoint which a line above it names: that of the model's arguments
(``hf (pretrained=out/checkpoint-500), …``), or one of a loop (``Evaluating step 500``).
"""

from __future__ import annotations

import re
from collections import deque
from typing import ClassVar

from replay.data.types import Mode
from replay.readers.points import number
from replay.readers.text.journal import Journal, Training, place_rows

__all__ = ["Harness"]

#: Lines above a table that may name its checkpoint, and characters of such a line.
_NEAR, _LONGEST = 100, 4000


class Harness:
    """The tables of lm-evaluation-harness. Everything in them was measured on held-out data."""

    specific = False
    _MODEL = re.compile(r"\(((?:pretrained|model|path|checkpoint)=[^()]{1,2000})\), ")
    _STEP = re.compile(
        r"(?:checkpoint|ckpt|global[_-]?step|steps?|iter(?:ation)?s?)[-_ =:#/]{0,3}0{0,9}"
        r"(\d{1,12})(k?)(?!\w|\.\d)",
        re.IGNORECASE,
    )
    _EPOCH = re.compile(r"epochs?[-_ =:#]{0,3}0{0,9}(\d{1,9})(?!\d)", re.IGNORECASE)
    _MODES: ClassVar[dict[str, Mode]] = {"↑": "max", "↓": "min"}

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("lm-evaluation-harness")
        self._before: deque[str] = deque(maxlen=_NEAR)  # lines since the last table
        self._place: tuple[float | None, float | None] | None = None  # step and epoch that they name
        self._columns: list[str] = []
        self._task = ""
        self._table = 0  # the line of the head of the last table

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, a row of it, or a line that names a checkpoint."""
        if "|" not in text or "|" not in text[:4]:
            self._columns = []
            self._before.append(text)
            return False
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        plain = [cell.lower() for cell in cells]
        if (
            plain[0] in ("tasks", "task", "groups")
            and "metric" in plain
            and "value" in plain
            and "version" in plain
        ):
            self.seen[:] = ["a table of lm-evaluation-harness"]
            self._columns, self._task = plain, ""
            if plain[0] != "groups":
                self._table = order
            if self._before:
                self._place = self._place_before()
                self._before.clear()
            return True
        if not self._columns:
            return False
        if len(cells) == len(self._columns):
            self._take_row(dict(zip(self._columns, cells, strict=True)), cells)
        return True

    def _place_before(self) -> tuple[float | None, float | None] | None:
        """The place that the model's arguments name, else the last one that another line names; where no line
        does, the place of the table before.
        """
        found = None
        for text in reversed(self._before):
            model = self._MODEL.search(text)
            place = self._place_in(text[:_LONGEST] if model is None else model[1])
            if model is not None and place is not None:
                return place
            found = found or place
        return found or self._place

    def _place_in(self, text: str) -> tuple[float | None, float | None] | None:
        steps = self._STEP.findall(text)
        if steps:
            digits, thousands = steps[-1]
            return float(digits) * (1000 if thousands else 1), None
        epochs = self._EPOCH.findall(text)
        return (None, float(epochs[-1])) if epochs else None

    def _take_row(self, row: dict[str, str], cells: list[str]) -> None:
        task = row.get("tasks", row.get("task", row.get("groups", "")))
        self._task = task.lstrip("- ").strip() or self._task
        value, metric = number(row["value"]), row["metric"]
        place = self._place
        if value is None or not metric or not self._task or place is None:
            return
        behind = row.get("filter", "none")
        name = f"{self._task}/{metric}" + ("" if behind in ("none", "") else f",{behind}")
        step, epoch = place
        self._journal.begin_if_back(step if step is not None else epoch or 0.0, {name: value})
        training = self._journal.add(self._table, step, epoch, {name: value})
        training.held_out.add(name)
        mode = next((mode for sign, mode in self._MODES.items() if sign in cells), None)
        if mode is not None:
            training.modes[name] = mode

    def finish(self) -> list[Training]:
        """The trainings of which at least two checkpoints were evaluated."""
        found = []
        for training in self._journal:
            by_epoch = all(row.step is None for row in training.rows)
            rows = [
                (at, row) for row in training.rows if (at := row.epoch if by_epoch else row.step) is not None
            ]
            if len({at for at, _ in rows}) < 2:
                continue
            first = min(at for at, _ in rows)
            training.placed = place_rows(
                training, rows, by_epoch=by_epoch, zero_based=by_epoch and first == 0, epoch=None
            )
            found.append(training)
        return found
