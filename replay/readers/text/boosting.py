"""What LightGBM, XGBoost and CatBoost print after each round.

Such a tool counts from its first round in every training, so that a round that comes again begins a new one:
many folds in one text are many trainings. CatBoost alone goes on from a snapshot in the middle. The line of
the best round that LightGBM and older versions of XGBoost repeat at the end is not an eval.
"""

from __future__ import annotations

import re
from typing import ClassVar

from replay.data.types import Mode
from replay.readers.series_names import words
from replay.readers.text.journal import Journal, Training, place_rows
from replay.readers.text.lines import Number

__all__ = ["CatBoost", "LightGBM", "XGBoost"]

_TRAIN = {"train", "training", "learn"}


def _finish(journal: Journal) -> list[Training]:
    for training in journal:
        # whoever names a set "train" or "training" means it; all other sets are held out, whatever their name
        training.held_out = {name for name in training.names() if not _TRAIN & set(words(_set_of(name)))}
        training.held_out -= {name for name in training.held_out if name.endswith("(std)")}
        training.placed = place_rows(
            training, [(row.step, row) for row in training.rows if row.step is not None], by_epoch=False
        )
    return journal.trainings


def _set_of(name: str) -> str:
    return name.split("/", 1)[0] if "/" in name else name.split("-", 1)[0]


def _stopped(journal: Journal, patience: int | None) -> None:
    if journal.current is not None:
        rounds = "" if patience is None else f" ({patience} rounds)"
        journal.current.facts["stopped_by"] = f"early stopping{rounds}"


class _Rounds:
    """What LightGBM and XGBoost have in common: a line per round, and the best round's line once more."""

    specific = True
    _TOOL: ClassVar[str]

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal(self._TOOL)
        self._repeats = False
        self._patience: int | None = None

    def _take_round(self, order: int, step: float, values: dict[str, float]) -> bool:
        """Take the values of a round, unless its line is the repeated one of the best round."""
        if not values:
            return False
        if not self._repeats:
            self._journal.add(order, step, None, values, strict=True)
        self._repeats = False
        return True

    def finish(self) -> list[Training]:
        """The trainings."""
        return _finish(self._journal)


class LightGBM(_Rounds):
    """LightGBM: ``[5]<tab>valid's auc: 0.78<tab>valid's binary_logloss: 0.56``, and the lines of its command
    line.
    """

    _TOOL = "lightgbm"
    _ROUND = re.compile(r"(?:^|\s)\[(\d{1,9})\]\s{1,8}(?=\S.{0,100}?'s )")
    _FIELD = re.compile(
        r"(?:^|\t| {2,8})\s?([^\t:']{1,100})'s ([^\t:]{1,100}): ("
        + Number
        + r")(?: \+ ("
        + Number
        + r"))?(?=\s|$)"
    )
    _COMMAND = re.compile(
        r"\[LightGBM\] \[Info\] Iteration:\s?(\d{1,9}), (\S{1,100}) (\S{1,100}) : (" + Number + r")$"
    )
    _PATIENCE = re.compile(r"Training until validation scores don't improve for (\d{1,9}) rounds")

    def take(self, text: str, order: int) -> bool:
        """Take a round, or a line about early stopping."""
        if "'s " in text and "[" in text:
            match = self._ROUND.search(text)
            if match is not None:
                values = {
                    f"{data}/{metric}": float(mean)
                    for data, metric, mean, _ in self._FIELD.findall(text[match.end() :])
                }
                return self._take_round(order, float(match[1]), values)
        if "LightGBM" in text:
            match = self._COMMAND.search(text)
            if match is not None:
                name = f"{match[2]}/{match[3]}"
                values = {name: float(match[4])}
                self._journal.begin_if_back(float(match[1]), values, or_stays=True)
                self._journal.add(order, float(match[1]), None, values)
                return True
            if "[LightGBM]" in text:
                self.seen[:] = ["LightGBM"]
                return True
        if text.endswith("est iteration is:"):
            if text.lstrip().startswith("Early stopping"):
                _stopped(self._journal, self._patience)
            self._repeats = True
            return True
        if "validation scores" in text and (match := self._PATIENCE.search(text)) is not None:
            self._patience = int(match[1])
            return True
        return False


class XGBoost(_Rounds):
    """XGBoost: ``[0]<tab>train-logloss:0.60333<tab>eval-auc:0.75250``, with ``mean+std`` in cross-validation.

    A training that goes on from a model counts from 0 again, and its early stopping begins anew: it is a
    training of its own.
    """

    _TOOL = "xgboost"
    _ROUND = re.compile(r"(?:^|\s)\[(\d{1,9})\]\s{1,8}(?=[^\s:]{1,100}-[^\s:]{1,100}:[-+.\dni])")
    _FIELD = re.compile(r"([^\s:]{1,100}-[^\s:]{1,100}):(" + Number + r")(?:\+(" + Number + r"))?(?=\s|$)")
    _PATIENCE = re.compile(r"Will train until \S{1,200} hasn't improved in (\d{1,9}) rounds")

    def take(self, text: str, order: int) -> bool:
        """Take a round, or a line about early stopping."""
        if "[" in text and ":" in text:
            match = self._ROUND.search(text)
            if match is not None:
                values = {
                    # as the table that its ``cv`` returns names it
                    (f"{name}-mean" if spread else name): float(mean)
                    for name, mean, spread in self._FIELD.findall(text, match.end())
                }
                return self._take_round(order, float(match[1]), values)
        if text.lstrip().startswith("Stopping. Best iteration:"):
            _stopped(self._journal, self._patience)
            self._repeats = True
            return True
        if "hasn't improved in" in text and (match := self._PATIENCE.search(text)) is not None:
            self._patience = int(match[1])
            return True
        return False


class CatBoost:
    """CatBoost: ``0:<tab>learn: 0.69<tab>test: 0.72<tab>best: 0.72 (0)<tab>total: 51ms<tab>remaining: 3s``.

    The text does not name the metric. Whether lower is better follows from the best value.
    """

    specific = True
    _ROUND = re.compile(r"(?:^|\s)(\d{1,9}):\s{1,8}(?=(?:learn|test\d{0,3}): )")
    _FIELD = re.compile(
        r"(learn|test\d{0,3}|best|total): (" + Number + r")(us|ms|s|m|h)?(?: (\d{1,9})(ms|s|m))?(?=\s|$)"
    )
    _SECONDS: ClassVar = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    _STOPPED = re.compile(r"Stopped by overfitting detector\s{1,4}\((\d{1,9}) iterations wait\)")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("catboost")

    def take(self, text: str, order: int) -> bool:
        """Take an iteration, or the line about early stopping."""
        if "learn: " in text or "test" in text:
            match = self._ROUND.search(text)
            if match is not None:
                return self._iteration(float(match[1]), text[match.end() :], order)
        if text.startswith("Stopped by") and (match := self._STOPPED.match(text)) is not None:
            _stopped(self._journal, int(match[1]))
            return True
        return text.startswith(("bestTest = ", "bestIteration = "))

    def _iteration(self, step: float, text: str, order: int) -> bool:
        values: dict[str, float] = {}
        best = None
        for name, number, unit, more, more_unit in self._FIELD.findall(text):
            value = float(number)
            if name == "total":
                if unit:
                    values["elapsed_time"] = value * self._SECONDS[unit]
                    if more:
                        values["elapsed_time"] += float(more) * self._SECONDS[more_unit]
            elif name == "best":
                best = value
            elif not unit:
                values[name] = value
        if not values.keys() - {"elapsed_time"}:
            return False
        current = self._journal.current
        goes_back = current is not None and current.goes_back(
            step, {name: 0.0 for name in values if name != "elapsed_time"}, or_stays=True
        )
        if current is None or (goes_back and step == 0):
            self._judge()
            self._journal.begin()
        elif goes_back:
            self._journal.resume()
        training = self._journal.add(order, step, None, values)
        training.facts["validation_sets"] = ("test",)  # as it calls what its overfitting detector stops on
        tests = [name for name in values if name.startswith("test")]
        if best is not None and tests:  # the best is that of the last set
            training.facts.setdefault("_best", []).append((values[tests[-1]], best))
        return True

    def _judge(self) -> None:
        """The direction of the metric, from the best values so far."""
        training = self._journal.current
        if training is None:
            return
        pairs = training.facts.pop("_best", [])
        lower = all(best <= value for value, best in pairs)
        higher = all(best >= value for value, best in pairs)
        if pairs and lower != higher:
            mode: Mode = "min" if lower else "max"
            training.modes = {name: mode for name in training.names() if name.startswith("test")}

    def finish(self) -> list[Training]:
        """The trainings."""
        self._judge()
        return _finish(self._journal)
