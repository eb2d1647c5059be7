"""Progress bars that show evals: ``Eval stage of steps 50: 100%|…| 20/20 [.., eval_loss=0.6]`` of OpenRLHF,
``Val: 100%|…| 10/10 [.., loss=0.6]`` below a line ``Epoch 1/8``, and ``loss: 0.12 test_accuracy: 97.8%:
10%|…| 7/70`` of loops with one bar.

The bar of an evaluation counts in its last state. A bar of the training shows an eval until the next one, so
only a change is an eval. Bars that are named by their epoch are those of `replay.readers.text.progress`, but
for what an evaluation beside them shows.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

from replay.data.finding import Finding, Kind, Severity
from replay.data.names import infer_mode
from replay.readers.series_names import is_held_out
from replay.readers.text.journal import Journal, Row, Training, place_rows
from replay.readers.text.lines import Bar, Number, bars, without_logger
from replay.readers.text.paired import Paired

__all__ = ["EvalBars"]

#: Words of bars and the sets that they are about.
_SETS = {"va": "val", "val": "val", "eva": "eval", "tes": "test", "dev": "dev"}


class _Eval(NamedTuple):
    """The last state of an evaluation: its line, its step or its epoch, its values, and how far the bar of
    the training beside it is.
    """

    order: int
    step: float | None
    epoch: float | None
    values: dict[str, float]
    trained: tuple[float, float] | None = None


class EvalBars:
    """Bars with values, of an evaluation or of the steps of a training."""

    specific = False
    _OF_EVAL = re.compile(r"\b(eval\w{0,8}|valid\w{0,8}|val?|test\w{0,4}|dev)\b", re.IGNORECASE)
    _STEP = re.compile(r"\b(?:global_)?steps?\W{0,3}(\d{1,12})\b", re.IGNORECASE)
    _EPOCH = re.compile(r"epochs?(?:\W{0,3}(\d{1,9})(?:\s?(?:/|of)\s?(\d{1,9}))?\b)?", re.IGNORECASE)
    #: A line that says which epoch begins.
    _HEAD = re.compile(
        r"\W{0,80}(?:[a-z]{1,20} ){0,2}epoch\s?[:#]?\s{0,4}[\[(]?(\d{1,9})"
        r"(?:\s?(?:/|of)\s?(\d{1,9}))?\b(?!\s?[\w.%]).{0,80}$",
        re.IGNORECASE,
    )
    _VALUE = re.compile(
        r"(?:^|[\s,\[{'\"])([A-Za-z_][\w/@.-]{0,80}(?: [A-Za-z_]\w{0,40})?)['\"]?(?:[=:]\s{0,4}| - )['\"]?("
        + Number
        + r")%?(?=[,\]\s}'\":]|$)"
    )

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._paired = Paired()
        self._done: tuple[float, float] | None = None  # of the bar of the training
        self._epoch: float | None = None  # which a line or a bar beside names
        self._planned = 0.0
        self._within = False  # whether the epoch is one that a line names
        self._behind = False  # whether such lines stand behind the bars of their epoch
        self._reached = 0.0
        self._shown: dict[str, float] = {}
        self._trained: dict[str, float] = {}  # what the bar of the training shows beside an evaluation
        self._eval: _Eval | None = None
        self._of_all: list[tuple[int, float, float, dict[str, float]]] = []  # by a bar of all epochs
        self._shown_of_all: dict[str, float] = {}

    def take(self, text: str, order: int) -> bool:
        """Take the state of a bar, or note which epoch a line says. Other dialects may take it too."""
        if "%|" not in text:
            if "poch" in text or "POCH" in text:
                head = self._HEAD.match(without_logger(text))
                if head is not None:
                    self._begin_epoch(float(head[1]), head[2])
            return False
        for bar in bars(text):
            values = {
                "_".join(name.split()): float(value)
                for name, value in self._VALUE.findall(f"{bar.before}, {bar.behind}")
            }
            title = self._VALUE.sub("", bar.before)
            epoch = self._EPOCH.search(title)
            of_eval = self._OF_EVAL.search(title)
            if epoch is not None and epoch[1] is not None and (named := self._in_title(bar)):
                self._begin_epoch(float(epoch[1]), epoch[2])
                self._eval = _Eval(order, None, float(epoch[1]), named)
            elif of_eval is not None or self._is_eval(bar, values, title):
                self._take_eval(bar, values, order, of_eval)
            elif epoch is None:
                self._take_training(bar, values, order)
            elif epoch[1] is not None:
                self._begin_epoch(float(epoch[1]), epoch[2])
                self._within, self._trained = False, values
            else:  # a bar of all epochs, which goes on when one is over
                self._begin_epoch(min(bar.done + 1, bar.total), f"{bar.total:.0f}")
                self._note_of_all(bar, values, order)
        return False

    def _note_of_all(self, bar: Bar, values: dict[str, float], order: int) -> None:
        """Note an eval that a bar of all epochs shows; it is shown until the next one."""
        shown = {name: value for name, value in values.items() if is_held_out(name)}
        if shown and shown != self._shown_of_all:
            self._of_all.append((order, bar.done, bar.total, values))
            self._shown_of_all = shown

    def _add_of_all(self) -> None:
        """Add the evals of a bar of all epochs. Loops show those of an epoch before the bar counts it, and
        callbacks behind that.
        """
        ahead = any(done == 0 for _, done, _, _ in self._of_all)
        for order, done, total, values in self._of_all:
            training = self._journal.add(order, None, min(done + ahead, total), values)
            training.facts["planned_epochs"] = training.facts["planned_steps"] = total

    def _in_title(self, bar: Bar) -> dict[str, float]:
        """The values in front of a bar of epochs, where some are of a held-out set: ``Epoch: 3/9, Train/Val
        Loss: 0.5,0.4``.
        """
        text = self._paired.apart(bar.before)
        if text == bar.before:
            return {}
        values = {"_".join(name.split()): float(value) for name, value in self._VALUE.findall(text)}
        return values if any(map(is_held_out, values)) else {}

    def _begin_epoch(self, epoch: float, planned: str | None) -> None:
        waiting = self._eval
        if waiting is not None and waiting.epoch is None and self._epoch is None and self._within_bars():
            self._behind, self._eval = True, waiting._replace(step=None, epoch=epoch)
        if epoch != self._epoch:
            self._add_eval()
            self._done, self._shown, self._trained = None, {}, {}
        self._epoch, self._within = epoch, True
        self._planned = float(planned or 0)

    def _within_bars(self) -> bool:
        """Whether the bar of the training is at its end, as that of an epoch is beside an evaluation."""
        return self._done is None or self._done[0] >= self._done[1]

    def _is_eval(self, bar: Bar, values: dict[str, float], title: str) -> bool:
        """Whether a bar without a name is that of an evaluation: it shows nothing else, beside an epoch."""
        metrics = [name for name in values if is_held_out(name) or infer_mode(name) is not None]
        return (
            self._epoch is not None
            and self._within
            and not any(sign.isalpha() for sign in title)
            and bool(metrics)
            and all(map(is_held_out, metrics))
            and (self._done is None or self._done[1] != bar.total)
        )

    def _take_eval(
        self, bar: Bar, values: dict[str, float], order: int, of_eval: re.Match[str] | None
    ) -> None:
        step, epoch = self._STEP.search(bar.before), self._EPOCH.search(bar.before)
        at = of_epoch = None
        if step is not None:
            at = float(step[1])
        elif epoch is not None and epoch[1] is not None:
            of_epoch = float(epoch[1])
            self._planned = float(epoch[2] or 0) or self._planned
        elif self._epoch is not None:
            of_epoch = self._place()
        elif self._done is not None:
            at = self._done[0]
        split = "eval" if of_eval is None else _SETS[of_eval[1][:3].lower()]
        values |= {
            name.removeprefix("avg_"): value for name, value in values.items() if name.startswith("avg_")
        }  # the mean counts, and not the last batch
        named = {
            name if is_held_out(name) else f"{split}_{name}": value
            for name, value in values.items()
            if (is_held_out(name) or infer_mode(name) is not None) and not name.startswith("avg_")
        }
        if (at is None and of_epoch is None) or not named or bar.done < bar.total:
            return
        before = self._eval
        if before is not None and (before.step, before.epoch) == (at, of_epoch):
            named = {**before.values, **named}  # of another set, or the same bar drawn again
        elif before is not None:
            self._add_eval()
        self._eval = _Eval(order, at, of_epoch, named, self._done)

    def _place(self) -> float:
        """The epoch, and how far the bar of the training is within it."""
        assert self._epoch is not None
        if self._behind:
            return self._epoch + 1
        if self._done is None or not self._done[1]:
            return self._epoch
        return self._epoch - 1 + min(self._done[0] / self._done[1], 1.0)

    def _add_eval(self) -> None:
        if self._eval is None:
            return
        order, step, epoch, values, trained = self._eval
        if step is None and epoch is not None:
            values = {**self._trained, **values}
        self._eval = None
        self._add(order, step, epoch, values, trained)

    def _add(
        self,
        order: int,
        step: float | None,
        epoch: float | None,
        values: dict[str, float],
        trained: tuple[float, float] | None = None,
    ) -> None:
        if step is None and epoch is not None:
            if epoch < self._reached:
                self._journal.begin()
            self._reached = epoch
        training = self._journal.add(order, step, epoch, values, trained)
        if epoch is not None and self._planned:
            training.facts["planned_epochs"] = training.facts["planned_steps"] = self._planned
        elif epoch is None and self._done is not None and step == self._done[0]:
            training.facts["planned_steps"] = self._done[1]

    def _take_training(self, bar: Bar, values: dict[str, float], order: int) -> None:
        if self._epoch is None or bar.done < bar.total:
            self._add_eval()
        if self._done is not None and bar.total != self._done[1]:
            self._shown = {}
        self._done = (bar.done, bar.total)
        shown = {name: value for name, value in values.items() if is_held_out(name)}
        if self._epoch is not None and not shown:
            self._trained = {name: value for name, value in values.items() if infer_mode(name) is not None}
        elif shown and shown != self._shown and bar.done:
            if self._epoch is None:
                self._journal.add(order, bar.done, None, values).facts["planned_steps"] = bar.total
            else:
                self._add(order, None, self._place(), values)
        self._shown = shown or self._shown

    def finish(self) -> list[Training]:
        """The trainings."""
        self._add_eval()
        if not self._journal.trainings and len(self._of_all) > 1:
            self._add_of_all()
        for training in self._journal:
            _place_by_steps_of_all(training)
            steps = [row.step for row in training.rows if row.step is not None]
            by_step = 2 * len(steps) > len(training.rows)
            if by_step and len(steps) > 1 and len(set(steps)) == 1:
                # the bar of the training begins anew with each epoch, which nothing else counts
                training.rows = [
                    row._replace(step=None, epoch=float(number))
                    for number, row in enumerate(training.rows, 1)
                ]
                by_step = False
                training.facts.pop("planned_steps", None)
                note = Finding(Kind.COUNTED_EPOCHS, Severity.NOTE, facts={"count": len(steps)})
                training.facts["findings"] = [note]
            rows = [(at, row) for row in training.rows if (at := _at(row, by_step=by_step)) is not None]
            first = min(at for at, _ in rows)
            training.placed = place_rows(
                training, rows, by_epoch=not by_step, zero_based=not by_step and first <= 0, epoch=None
            )
        return self._journal.trainings


def _place_by_steps_of_all(training: Training) -> None:
    """Place evals by the bar of the training, where this goes on from epoch to epoch: kohya's."""
    bars = [row.beside for row in training.rows]
    if any(bar is None for bar in bars) or len({total for _, total in bars}) > 1:
        return
    done = [done for done, _ in bars]
    if len(done) > 1 and all(one < other for one, other in pairwise(done)):
        total = bars[0][1]
        epochs = {math.ceil(row.epoch or 0.0) for row in training.rows}
        if len(epochs) > 1 and done[-1] * len(epochs) > total:
            training.rows = [
                row._replace(step=at, epoch=None) for row, at in zip(training.rows, done, strict=True)
            ]
            training.facts["planned_steps"] = total
            training.facts.pop("planned_epochs", None)


def _at(row: Row, *, by_step: bool) -> float | None:
    return row.step if by_step else row.epoch
