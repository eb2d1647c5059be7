"""What the evaluators of sentence-transformers print: ``EmbeddingSimilarityEvaluator: Evaluating the model on
sts-dev dataset in epoch 0 after 500 steps:``, and values in the lines below.

Version 3 and later count the steps of the training, earlier versions those of the epoch. They end an epoch
with ``after epoch 0:``.
"""

from __future__ import annotations

import re

from replay.readers.text.journal import Journal, Row, Training, place_rows
from replay.readers.text.lines import Number, without_logger

__all__ = ["SentenceEvaluators"]

_NEAR = 80  # lines below a head


class SentenceEvaluators:
    """Heads of evaluators, and the values below them."""

    specific = False
    _HEAD = re.compile(
        r"[^:]{0,80}:?[^:]{0,80}\bEvaluat\w{2,3}\b[^:]{0,80}? on (?:the )?(?:(\S{1,80}) )?(?:data)?set"
        r"(?: in epoch (\d{1,9}(?:\.\d{1,20})?) after (\d{1,12}) steps| after epoch (\d{1,9}(?:\.\d{1,20})?))"
    )
    _ITEM = re.compile(r"([A-Za-z][\w@ -]{0,60}?)\s{0,8}:\s{0,40}(" + Number + r")%?(?=\s|$|\()")
    _MEASURE = re.compile(r"(\w{1,30}[- ](?:Similarity|Distance|Product)[- ]?\w{0,20})\s{0,4}:\s")
    _FUNCTION = re.compile(r"Score[- ]Function: (\w{1,40})")
    _COUNTS = frozenset({"queries", "corpus", "threshold", "samples"})

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("sentence-transformers")
        self._order = -_NEAR
        self._at: tuple[float, float | None] | None = None  # epoch, and step within it or in all
        self._set = "eval"
        self._function = ""

    def take(self, text: str, order: int) -> bool:
        """Take a head, or values below it."""
        if "valuat" in text and (head := self._HEAD.match(without_logger(text.strip()))) is not None:
            of_set, epoch, step, ended = head.groups()
            self._set, self._function = of_set or "eval", ""
            self._at = float(epoch or ended), None if step is None else float(step)
            self._order = order
            return True
        if self._at is None or order - self._order > _NEAR or ":" not in text:
            return False
        line = without_logger(text.strip())
        if (function := self._FUNCTION.match(line)) is not None:
            self._function = f"{function[1].lower()}_"
            return True
        before = ""
        if (measure := self._MEASURE.match(line)) is not None and self._ITEM.match(line) is None:
            before = re.sub(r"\W+", "_", measure[1].strip()).lower() + "_"
            line = line[measure.end() :]
        values = {}
        for name, number in self._ITEM.findall(line):
            word = re.sub(r"[^\w@]+", "_", name.strip()).lower()
            if word not in self._COUNTS:
                values[f"{self._set}/{before}{self._function}{word}"] = float(number)
        if not values or "epoch" in line.lower():
            return False
        epoch, step = self._at
        self._journal.add(order, step, epoch, values).held_out.update(values)
        return True

    def finish(self) -> list[Training]:
        """The trainings, by step where the steps are those of the training."""
        for training in self._journal:
            rows = training.rows
            steps = [row.step for row in rows if row.step is not None]
            if len(steps) == len(rows) and len(set(steps)) > 1 and steps == sorted(steps):
                training.placed = place_rows(training, list(zip(steps, rows, strict=True)), by_epoch=False)
            else:
                training.placed = place_rows(training, _within_epochs(rows), by_epoch=True)
        return self._journal.trainings


def _within_epochs(rows: list[Row]) -> list[tuple[float, Row]]:
    """Epochs of rows, those of one epoch evenly between its begin and its end: how many steps an epoch has is
    not printed.
    """
    places: dict[float, list[float | None]] = {}
    for row in rows:
        inside = places.setdefault(row.epoch or 0.0, [])
        if row.step not in inside:
            inside.append(row.step)
    most = max(map(len, places.values()))
    placed = []
    for row in rows:
        inside = places[row.epoch or 0.0]
        count = most if row.step is None else inside.index(row.step) + 1
        placed.append(((row.epoch or 0.0) + count / most, row))
    return placed
