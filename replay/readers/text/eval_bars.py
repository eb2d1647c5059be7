"""Progress bars that show evals: ``Eval stage of steps 50: 100%|…| 20/20 [.., eval_loss=0.6]`` of OpenRLHF,
and ``loss: 0.12 test_accuracy: 97.8%: 10%|…| 7/70`` of loops with one bar.

The bar of an evaluation counts in its last state. A bar of the training shows an eval until the next one, so
only a change is an eval. Bars of epochs are those of `replay.readers.text.progress`.
"""

from __future__ import annotations

import re

from replay.data.names import infer_mode
from replay.readers.series_names import is_held_out
from replay.readers.text.journal import Journal, Training, place_by_step, place_rows
from replay.readers.text.lines import Bar, Number, bars

__all__ = ["EvalBars"]


class EvalBars:
    """Bars with values, of an evaluation or of the steps of a training."""

    specific = False
    _OF_EVAL = re.compile(r"\b(?:eval\w{0,8}|valid\w{0,8}|val|test\w{0,4}|dev)\b", re.IGNORECASE)
    _STEP = re.compile(r"\b(?:global_)?steps?\W{0,3}(\d{1,12})\b", re.IGNORECASE)
    _EPOCH = re.compile(r"epoch(?:\W{0,3}(\d{1,9})\b)?", re.IGNORECASE)
    _VALUE = re.compile(
        r"(?:^|[\s,\[{'\"])([A-Za-z_][\w/@.-]{0,80}(?: [A-Za-z_]\w{0,40})?)['\"]?[=:]\s{0,4}['\"]?("
        + Number
        + r")%?(?=[,\]\s}'\":]|$)"
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._done: tuple[float, float] | None = None  # of the bar of the training
        self._shown: dict[str, float] = {}
        #: The last state of an evaluation: its line, its step or its epoch, and its values.
        self._eval: tuple[int, float | None, float | None, dict[str, float]] | None = None

    def take(self, text: str, order: int) -> bool:
        """Take the state of a bar. Other dialects may take it too."""
        for bar in bars(text):
            values = {
                "_".join(name.split()): float(value)
                for name, value in self._VALUE.findall(f"{bar.before}, {bar.behind}")
            }
            if self._OF_EVAL.search(self._title(bar)) is not None:
                self._take_eval(bar, values, order)
            elif self._EPOCH.search(self._title(bar)) is None:
                self._take_training(bar, values, order)
        return False

    def _title(self, bar: Bar) -> str:
        return self._VALUE.sub("", bar.before)

    def _take_eval(self, bar: Bar, values: dict[str, float], order: int) -> None:
        step, epoch = self._STEP.search(bar.before), self._EPOCH.search(bar.before)
        at = of_epoch = None
        if step is not None:
            at = float(step[1])
        elif epoch is not None and epoch[1] is not None:
            of_epoch = float(epoch[1])
        elif self._done is not None:
            at = self._done[0]
        named = {
            name if is_held_out(name) else f"eval_{name}": value
            for name, value in values.items()
            if is_held_out(name) or infer_mode(name) is not None
        }
        if (at is None and of_epoch is None) or not named or bar.done < bar.total:
            return
        if self._eval is not None and self._eval[1:3] != (at, of_epoch):
            self._add_eval()
        self._eval = (order, at, of_epoch, named)

    def _add_eval(self) -> None:
        if self._eval is not None:
            self._journal.add(*self._eval)
            self._eval = None

    def _take_training(self, bar: Bar, values: dict[str, float], order: int) -> None:
        self._add_eval()
        if self._done is not None and bar.total != self._done[1]:
            self._shown = {}
        self._done = (bar.done, bar.total)
        shown = {name: value for name, value in values.items() if is_held_out(name)}
        if shown and shown != self._shown and bar.done:
            training = self._journal.add(order, bar.done, None, values)
            training.facts["planned_steps"] = bar.total
        self._shown = shown or self._shown

    def finish(self) -> list[Training]:
        """The trainings."""
        self._add_eval()
        if any(row.step is not None for training in self._journal for row in training.rows):
            return place_by_step(self._journal)
        for training in self._journal:
            rows = [(row.epoch or 0.0, row) for row in training.rows]
            first = min(epoch for epoch, _ in rows)
            training.placed = place_rows(training, rows, by_epoch=True, zero_based=first == 0)
        return self._journal.trainings
