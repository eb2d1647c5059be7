"""The blocks ``***** Eval results *****`` of the scripts of BERT and of transformers without a Trainer: one
value per line, in the order of the names, with the step among them (``global_step = 500``).
"""

from __future__ import annotations

import re

from replay.readers.series_names import is_bookkeeping, is_held_out
from replay.readers.text.journal import ByStep, Training, place_by_epoch
from replay.readers.text.lines import Number, without_logger

__all__ = ["ResultBlocks"]


class ResultBlocks(ByStep):
    """Blocks of values that state their step. Other dialects may take their lines too."""

    _LOGGER = r"(?:[\w.]{1,80} -\s{1,8})?"  # __main__
    _HEAD = re.compile(
        _LOGGER + r"\*{3,}\s{0,4}(eval|dev|valid|val|test)\w{0,8} results?\b([^*]{0,80})\*{3,}", re.IGNORECASE
    )
    _NUMBER = re.compile(r"(?<![\w.])(\d{1,12})(?![\w.])")
    _ITEM = re.compile(_LOGGER + r"([A-Za-z][\w/@.-]{0,80})\s{0,8}[=:]\s{0,4}(" + Number + r")%?")
    _STEPS = ("global_step", "step")
    _EPOCH = re.compile(r"\bepoch\W{0,4}(\d{1,9})\b(?!\.\d)", re.IGNORECASE)

    def __init__(self) -> None:
        super().__init__()
        self._set: str | None = None  # of the open block
        self._step: float | None = None
        self._said: float | None = None  # the epoch of the last line that says one
        self._epoch: float | None = None  # of the open block
        self._order = 0
        self._values: dict[str, float] = {}

    def take(self, text: str, order: int) -> bool:
        """Note a head, or a value below one."""
        if "poch" in text and (epoch := self._EPOCH.search(text)) is not None:
            self._said = float(epoch[1])
        if self._set is None and "***" not in text:
            return False
        line = without_logger(text.strip())
        head = self._HEAD.fullmatch(line)
        if head is not None:
            self._close()
            number = self._NUMBER.search(head[2])
            self._set, self._order, self._values = head[1].lower(), order, {}
            self._step, self._epoch = None if number is None else float(number[1]), self._said
        elif self._set is not None and (item := self._ITEM.fullmatch(line)) is not None:
            self._values[item[1]] = float(item[2])
        else:
            self._close()
        return False

    def _close(self) -> None:
        of_set, self._set = self._set, None
        if of_set is None:
            return
        step = next((self._values[name] for name in self._STEPS if name in self._values), self._step)
        stated = any(map(is_held_out, self._values))
        values = {
            name if is_held_out(name) or (name == "loss" and stated) else f"{of_set}_{name}": value
            for name, value in self._values.items()
            if name not in self._STEPS and not is_bookkeeping(name)
        }
        if (step is not None or self._epoch is not None) and values:
            self._journal.add(self._order, step, self._epoch, values)

    def finish(self) -> list[Training]:
        """The trainings of more than one block."""
        self._close()
        found = [training for training in super().finish() if len(training.rows) > 1]
        for training in found:
            if all(row.step is None for row in training.rows):
                place_by_epoch(training)
        return found
