"""The terminal of Detectron2, and the tables of AllenNLP: figures whose place is in lines around them."""

from __future__ import annotations

import re

from replay.readers.series_names import is_metric
from replay.readers.text.journal import ByStep, Journal, Training, place_rows
from replay.readers.text.lines import Number

__all__ = ["AllenNLP", "Detectron2"]


class Detectron2(ByStep):
    """Detectron2: ``eta: 0:10:00  iter: 99  total_loss: 1.5``, and after ``copypaste: Task: bbox`` the names
    and values of an evaluation.

    An evaluation within the training comes before the line of its iteration, the one at the end behind it.
    """

    tool = "detectron2"
    epoch = None
    _ITER = re.compile(
        r"(?:^|\s)eta: (?:\d{1,5} days?, )?\S{1,40}\s{1,4}iter: (\d{1,12})\s{1,4}(?=total_loss: )"
    )
    _FIELD = re.compile(r"(?:^|\s{2})(\w{1,60}): (" + Number + r")(?=\s|$)")
    _PASTED = re.compile(r"copypaste: (?:Task: (\S{1,60})$|([A-Za-z].{0,2000})$|([-\d.,na]{1,2000})$)")

    def __init__(self) -> None:
        super().__init__()
        self._iter: float | None = None
        self._task = ""
        self._names: list[str] = []
        self._waiting: tuple[int, dict[str, float]] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the losses of an iteration, or a line of an evaluation."""
        if "total_loss: " in text and (match := self._ITER.search(text)) is not None:
            step = float(match[1])
            self._add_waiting(step)
            values = {name: float(value) for name, value in self._FIELD.findall(text, match.end() - 2)}
            kept = {name: value for name, value in values.items() if "loss" in name or name == "lr"}
            self._journal.add(order, step, None, kept)
            self._iter = step
            return True
        if "copypaste: " not in text or (match := self._PASTED.search(text)) is None:
            return False
        task, names, values_of = match.groups()
        if task:
            self._task, self._names = task, []
        elif names:
            self._names = names.split(",")
        elif len(cells := values_of.split(",")) == len(self._names) and self._task:
            self._take_values(order, cells)
        return True

    def _take_values(self, order: int, cells: list[str]) -> None:
        try:
            values = {
                f"{self._task}/{name}": float(cell) for name, cell in zip(self._names, cells, strict=True)
            }
        except ValueError:
            return
        if self._waiting is not None and not self._waiting[1].keys() & values.keys():
            values = {**self._waiting[1], **values}
        self._waiting = (order, values)

    def _add_waiting(self, step: float | None) -> None:
        """Add an evaluation at the iteration whose line follows."""
        if self._waiting is None or step is None:
            return
        order, values = self._waiting
        self._waiting = None
        self._journal.add(order, step, None, values).held_out.update(values)

    def finish(self) -> list[Training]:
        """The trainings."""
        self._add_waiting(self._iter)
        return super().finish()


class AllenNLP:
    """AllenNLP: a line ``Epoch 0/9``, and at its end a table with the columns ``Training |  Validation``."""

    specific = True
    _EPOCH = re.compile(r"Epoch (\d{1,9})/(\d{1,9})$")
    _HEAD = re.compile(r"\sTraining \|\s{1,4}Validation$")
    _ROW = re.compile(
        r"(?:^|\s)([A-Za-z][\w/.@-]{0,80})\s{1,40}\|\s{1,12}(\S{1,20})\s{1,4}\|\s{1,12}(\S{1,20})$"
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("allennlp")
        self._epoch: float | None = None
        self._planned = 0.0
        self._table = False

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, or a row of it; note the epoch."""
        if "Epoch " in text and (match := self._EPOCH.search(text)) is not None:
            self._epoch, self._planned, self._table = float(match[1]), float(match[2]) + 1, False
            return False
        if "|" not in text:
            return False
        if self._HEAD.search(text) is not None:
            self._table = self._epoch is not None
            return self._table
        if not self._table or (match := self._ROW.search(text)) is None:
            return False
        name = match[1].removeprefix("epoch_metrics/")
        values = {}
        for split, cell in zip(("training", "validation"), match.groups()[1:], strict=True):
            if re.fullmatch(Number, cell) and is_metric(f"{split}_{name}"):
                values[f"{split}_{name}"] = float(cell)
        if values:
            self._journal.begin_if_back(self._epoch or 0.0, values)
            training = self._journal.add(order, None, self._epoch, values)
            training.facts["planned_epochs"] = training.facts["planned_steps"] = self._planned
        return True

    def finish(self) -> list[Training]:
        """The trainings; epochs are counted from 0."""
        for training in self._journal:
            rows = [(row.epoch or 0.0, row) for row in training.rows]
            training.placed = place_rows(training, rows, by_epoch=True, zero_based=min(rows)[0] == 0)
        return self._journal.trainings
