"""What the trainings of YOLO print: Ultralytics' a bar per epoch and the row of all classes after it,
darknet's a line per iteration and the mean average precision now and then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from replay.readers.text.journal import ByStep, Journal, Training, place_rows
from replay.readers.text.lines import Number

__all__ = ["Darknet", "Yolo"]

#: What the figures of a group are called.
_GROUPS = {"Box": "", "Mask": "(M)", "Pose": "(P)"}


class Yolo:
    """YOLOv5 and later: ``0/99  3.5G  0.1159 …: 100%|…``, and under the head ``Class  Images  Instances  P  R
    mAP50  mAP50-95`` the row ``all  60  61  0.65  0.70  0.71  0.45``; a model of masks or poses has these
    figures twice (``Box(P … Mask(P …``). YOLOv5 counts epochs from 0.
    """

    specific = True
    _EPOCH = re.compile(r"\s{2,12}(\d{1,6})/(\d{1,6})\s{1,12}[\d.]{1,8}[GMK]?\s")
    _HEAD = re.compile(
        r"\s{4,40}Class\s{1,12}Images\s{1,12}(?:Instances|Labels|Targets)\s{1,12}(\S.{3,160}?)\s{0,4}:(?=\s|$)"
    )
    _ROW = re.compile(r"\s{4,40}all\s{1,12}\d{1,12}\s{1,12}\d{1,12}((?:\s{1,16}" + Number + r"){2,12})\s*$")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("ultralytics")
        self._names: list[str] = []
        self._epoch: tuple[float, float] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the bar of an epoch, the head of the table, or its row of all classes."""
        if "/" in text and (match := self._EPOCH.match(text)) is not None:
            epoch = float(match[1])
            if self._epoch is not None and epoch < self._epoch[0]:
                self._journal.begin()
            self._epoch = (epoch, float(match[2]))
            return True
        if "Class" in text and (match := self._HEAD.match(text)) is not None:
            self._names = list(_columns(match[1]))
            return True
        if self._epoch is None or (match := self._ROW.match(text)) is None:
            return False
        cells = [float(cell) for cell in match[1].split()]
        if len(cells) == len(self._names):
            values = {f"val/{name}": cell for name, cell in zip(self._names, cells, strict=True)}
            training = self._journal.add(order, None, self._epoch[0], values)
            training.facts["_last"] = self._epoch[1]
        return True

    def finish(self) -> list[Training]:
        """The trainings."""
        for training in self._journal:
            rows = [(row.epoch or 0.0, row) for row in training.rows]
            zero_based = rows[0][0] == 0
            planned = training.facts.pop("_last", 0.0) + zero_based
            training.facts["planned_epochs"] = training.facts["planned_steps"] = planned
            training.placed = place_rows(training, rows, by_epoch=True, zero_based=zero_based)
        return self._journal.trainings


def _columns(heads: str) -> Iterator[str]:
    """The columns of a head, under the names of the tool's results.csv where there are two groups."""
    group = ""
    for of_group, name in re.findall(r"([A-Z][a-z]+)?\(?(mAP@?\.?50-95|mAP@?[\w.:]+|[PR]\b|\w+)", heads):
        group = _GROUPS.get(of_group, group)
        yield name + group


class Darknet(ByStep):
    """darknet: ``1000: 2.31, 2.45 avg loss, 0.001 rate, …`` and ``mean_average_precision (mAP@0.50) = 0.63``,
    which belongs to the iteration before it.
    """

    _STEP = re.compile(
        r"\s{0,4}(\d{1,9}): (" + Number + r"), (?:" + Number + r") avg(?: loss)?, [\d.e-]{1,20} rate,"
    )
    _MAP = re.compile(r"\s{0,4}mean_average_precision \((mAP@?[\d.]{0,8})\) = (" + Number + r")\b")

    def __init__(self) -> None:
        super().__init__()
        self._step: float | None = None

    def take(self, text: str, order: int) -> bool:
        """Take an iteration, or a precision."""
        if " avg" in text and (match := self._STEP.match(text)) is not None:
            step = float(match[1])
            if self._step is not None and step <= 1 < self._step:
                self._journal.begin()
            self._step = step
            self._journal.add(order, step, None, {"loss": float(match[2])})
            return True
        if self._step is not None and "mean_average" in text and (match := self._MAP.match(text)) is not None:
            self._journal.add(order, self._step, None, {f"val/{match[1]}": float(match[2])})
            return True
        return False
