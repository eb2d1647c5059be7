"""Progress bars that show evals: ``Eval stage of steps 50: 100%|…| 20/20 [.., eval_loss=0.6]`` of OpenRLHF,
and ``loss: 0.12 test_accuracy: 97.8%: 10%|…| 7/70`` of loops with one bar.

The bar of an evaluation counts in its last state. A bar of the training shows an eval until the next one, so
only a change is an eval. Bars of epochs are those of `replay.readers.text.progress`.
"""

from __future__ import annotations

import re

from replay.data.names import infer_mode
from replay.readers.series_names import is_held_out
from replay.readers.text.journal import Journal, Training, place_by_step
from replay.readers.text.lines import Bar, Number, bars

__all__ = ["EvalBars"]


class EvalBars:
    """Bars with values, of an evaluation or of the steps of a training."""

    specific = False
    _OF_EVAL = re.compile(r"\b(?:eval|evaluat|valid|test)\w{0,8}\b", re.IGNORECASE)
    _STEP = re.compile(r"\b(?:global_)?steps?\W{0,3}(\d{1,12})\b", re.IGNORECASE)
    _EPOCH = re.compile(r"epoch", re.IGNORECASE)
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
        self._eval: tuple[int, float, dict[str, float]] | None = None  # the last state of an evaluation

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
        step = self._STEP.search(bar.before)
        at = float(step[1]) if step is not None else None if self._done is None else self._done[0]
        named = {
            name if is_held_out(name) else f"eval_{name}": value
            for name, value in values.items()
            if is_held_out(name) or infer_mode(name) is not None
        }
        if at is None or not named or bar.done < bar.total:
            return
        if self._eval is not None and self._eval[1] != at:
            self._add_eval()
        self._eval = (order, at, named)

    def _add_eval(self) -> None:
        if self._eval is not None:
            order, at, values = self._eval
            self._journal.add(order, at, None, values)
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
        return place_by_step(self._journal)
