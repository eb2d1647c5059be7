"""The dicts that transformers' Trainer prints between its progress bars, and everything built on it: TRL,
axolotl, Unsloth, LLaMA-Factory, ms-swift.

A dict tells the epoch and no step, and the epoch is rounded. Where the step comes from is decided for a whole
training (`replay.readers.text.placing`).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from replay.readers.eval_sets import names_by_set
from replay.readers.series_names import is_held_out, is_metric
from replay.readers.text.journal import Journal, Training
from replay.readers.text.lines import Number, bars, without_logger
from replay.readers.text.placing import Epoch, place

__all__ = ["TrainerDicts", "flat_dict"]

_DICT = re.compile(r"\{\s?['\"][^{}]{1,20000}\}")
_ITEM = re.compile(
    r"['\"]([^'\"]{1,200})['\"]: ?(?:['\"]("
    + Number
    + r")['\"]|(?:[A-Za-z_][\w.]{0,40}\()?("
    + Number
    + r")(?=[,}\s)]))"
)
_STEPS = re.compile(r"[Tt]otal (?:optimization |train(?:ing)? )?steps\s?[=:]\s?([\d,]{1,20})")
_EPOCHS = re.compile(r"Num [Ee]pochs\s?[=:]\s?([\d,]{1,20})")
_SETTING = re.compile(r"(?:num_train_epochs|\b[Ee]pochs)['\"]?\s?[=:]\s?(\d{1,6})(?:\.0)?(?=[,\s'\"]|$)")
#: A dict that goes on in the next line, as terminals and collectors of logs wrap it and `pprint` prints it.
_BEGINS = re.compile(r"\{(?:\s?['\"][\w/@. -]{1,80}['\"]?(?:: ?['\"]?[^{}]{0,2000})?)?$")
_GOES_ON = re.compile(r"[\w\s'\",:./@()+-]{0,400}\}?")
_RICH_PLACE = re.compile(r"\s{2,}[\w.]{1,60}\.py:\d{1,6}$")
#: What says in front of a dict that it is that of an evaluation of one's own loop.
_OF_EVAL = re.compile(
    r"\b(?:eval\w{0,8}|valid\w{0,8}|val|dev|test\w{0,4})\b[^{}]{0,30}[:=] ?$", re.IGNORECASE
)
#: `Epoch 1 of 3: `, where a loop of one's own prints a dict behind its place.
_BEHIND_PLACE = re.compile(
    r"\b(?:epoch|step|iter(?:ation)?)s?\W{0,3}\d{1,12}(?:\s?(?:/|of)\s?\d{1,12})?"
    r"\W{0,4}(?:eval\w{0,8}|metrics|results?)?\W{0,3}$",
    re.IGNORECASE,
)
#: `'val': {'loss': 0.4, 'acc': 0.8}`
_INNER = re.compile(r"'([\w/.-]{1,60})': \{([^{}]{1,4000})\}")
_MOST_PIECES = 60
_PLACES = ("step", "global_step", "current_steps")
_MOST_BARS = 16


def flat_dict(text: str) -> str:
    """A line with the dicts in a dict written flat: the names in ``'val': {'loss': 0.4}`` become
    ``'val_loss'``.
    """
    return _INNER.sub(lambda found: re.sub(r"'([\w/@.-]{1,80})': ", rf"'{found[1]}_\1': ", found[2]), text)


class Bars(NamedTuple):
    """The progress bars beside a row: how far each was before and after it, by what it is called and its
    total.
    """

    before: dict[tuple[str, float], float]
    after: dict[tuple[str, float], float]


class TrainerDicts:
    """Dicts with the values of a log entry: numbers, or text of four digits as of version 5."""

    specific = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("transformers")
        self._bars: dict[tuple[str, float], float] = {}
        self._open: Bars | None = None  # of the last row, which the next bars complete
        self._facts: dict[str, Any] = {}
        self._pieces: list[str] = []  # of a dict that goes over several lines

    def take(self, text: str, order: int) -> bool:
        """Take a dict, a progress bar, or a line that says how long the training is."""
        if self._pieces:
            piece = _RICH_PLACE.sub("", without_logger(text.strip()).strip())
            is_part = "'" in piece or '"' in piece or piece.endswith("}")
            if is_part and len(self._pieces) < _MOST_PIECES and _GOES_ON.fullmatch(piece) is not None:
                self._pieces.append(piece)
                if not piece.endswith("}"):
                    return True
                text, self._pieces = "".join(self._pieces), []
                return self.take(text, order) or True
            self._pieces = []
        taken = False
        if "%|" in text or "{" in text:
            begin = text.find("{")
            match = _DICT.search(text, begin) if begin >= 0 else None
            self._take_bars(text if match is None else text[: match.start()])
            while match is not None:
                before = text[max(match.start() - 60, 0) : match.start()]
                is_own = "'epoch'" in match[0] or (
                    _BEHIND_PLACE.search(before) is None
                    if "'eval_" in match[0]
                    else _OF_EVAL.search(before) is None
                )
                taken |= is_own and self._take_dict(match[0], order)
                begin = match.end()
                self._take_bars(text[begin:])
                match = _DICT.search(text, begin)
            opened = _BEGINS.search(_RICH_PLACE.sub("", text), max(begin, 0))
            if opened is not None:
                self._pieces = [opened[0]]
                return True
            if taken or "%|" in text:
                return taken
        if "steps" in text or "pochs" in text:
            steps = _STEPS.search(text)
            epochs = _EPOCHS.search(text)
            if epochs is not None:
                self._facts["planned_epochs"] = float(epochs[1].replace(",", "") or 0)
            if steps is not None:
                self._facts["planned_steps"] = float(steps[1].replace(",", "") or 0)
                self._journal.start()
            if epochs is None and "pochs" in text and (setting := _SETTING.search(text)) is not None:
                self._facts["_epochs"] = float(setting[1])
            if epochs is not None or steps is not None:
                self.seen[:] = [*self.seen, "a banner of transformers' Trainer"][:1]
                return True
        if "Continuing training from" in text or "Resuming training from" in text:
            self._journal.resume()
            return True
        return False

    def _take_bars(self, text: str) -> None:
        if "%|" not in text:
            return
        for bar in bars(text):
            key = (bar.before, bar.total)
            if self._open is not None and key not in self._open.after:
                self._open.after[key] = bar.done
            self._bars.pop(key, None)
            self._bars[key] = bar.done
            if len(self._bars) > _MOST_BARS:
                del self._bars[next(iter(self._bars))]

    def _take_dict(self, text: str, order: int) -> bool:
        printed = {name: quoted or plain for name, quoted, plain in _ITEM.findall(text)}
        values = {name: float(value) for name, value in printed.items()}
        if "train_runtime" in values:
            self._summary(values, order)
            return True
        step = next((values.pop(name) for name in _PLACES if name in values), None)
        epoch = None
        if "epoch" in values:
            epoch = Epoch.printed(printed["epoch"], quoted=f"'{printed['epoch']}'" in text)
        metrics = [name for name in values if name == "loss" or is_held_out(name) or is_metric(name)]
        if not metrics or (
            epoch is None and step is None and "loss" not in values and "eval_loss" not in values
        ):
            return False
        self._open = Bars(dict(self._bars), {})
        at = None if epoch is None else epoch.value
        current = self._journal.current
        training = self._journal.add(order, step, at, values, (epoch, self._open))
        if training is not current and current is not None:
            self._bars.clear()
        training.facts |= self._facts
        _note_held_out(training, values)
        return True

    def _summary(self, values: dict[str, float], order: int) -> None:
        """The entry at the end of a training."""
        training = self._journal.current
        if training is None:
            self.seen[:] = ["the summary of transformers' Trainer"]
            return
        training.facts["train_runtime"] = values["train_runtime"] + training.facts.get("train_runtime", 0.0)
        if "epoch" in values:
            training.facts["_end"] = values["epoch"]
        training.facts["_bars"], training.facts["_ended"] = dict(self._bars), order
        self._journal.end()
        self._facts = {}

    def finish(self) -> list[Training]:
        """The trainings, with the steps of their rows where they can be told."""
        if self._journal.current is not None:
            self._journal.current.facts.setdefault("_bars", dict(self._bars))
        for training in self._journal:
            _name_sets(training)
            place(training)
        return [training for training in self._journal if training.placed is not None]


def _note_held_out(training: Training, values: dict[str, float]) -> None:
    """Metrics are of held-out data where they are logged beside such ones only, and not in training
    (``{'global_step': 50, 'eval_loss': 0.4, 'mcc': 0.6}`` of simpletransformers).
    """
    metrics = {name for name in values if is_metric(name)}
    of_training = training.facts.setdefault("_of_training", set())
    if "loss" in values or "learning_rate" in values or not any(map(is_held_out, metrics)):
        of_training |= metrics
    else:
        training.held_out |= metrics
    training.held_out -= of_training


def _name_sets(training: Training) -> None:
    """Give metrics that several eval sets share the set of their row."""
    by_set = names_by_set(tuple(row.values) for row in training.rows)
    if by_set:
        training.rows = [
            row._replace(
                values={
                    by_set.get(tuple(row.values), {}).get(name, name): value
                    for name, value in row.values.items()
                }
            )
            for row in training.rows
        ]
