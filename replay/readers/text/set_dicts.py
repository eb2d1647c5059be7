"""Dicts with the figures of several sets and no place: ``{'Train': 0.9, 'Validation': 0.8, 'Test': 0.7}``, as
the examples of OGB print one per epoch. They are counted.

A line with the number of a run, a seed or a fold begins another training.
"""

from __future__ import annotations

import re

from replay.readers.series_names import is_held_out, is_metric, split_of, words
from replay.readers.text.journal import Journal, Training, place_counted
from replay.readers.text.lines import Number, without_logger

__all__ = ["SetDicts", "plain_numbers"]

#: `tensor(0.5)`, `tensor(0.5, device='cuda:0')`, `np.float64(0.5)`, `array(0.5, dtype=float32)`
_SHOWN = re.compile(
    r"(?:tensor|array|(?:np|numpy|jnp|torch)\.\w{1,12}|[Aa]rray)\((" + Number + r")(?:, [^()]{1,60})?\)"
)
_CALLED = ("tensor(", "rray(", "np.", "numpy.", "torch.")


def plain_numbers(text: str) -> str:
    """The line with numbers where Python shows an array or a tensor of one."""
    return _SHOWN.sub(r"\1", text) if "(" in text and any(word in text for word in _CALLED) else text


class SetDicts:
    """Dicts whose names are those of sets, or begin with them, on lines without a place."""

    specific = False
    _DICT = re.compile(
        r"(?:[A-Za-z][\w ]{0,40}[:=]\s?)?"
        r"\{((?:\s{0,2}['\"][^'\"{}]{1,80}['\"]\s?:\s?(?:" + Number + r"),?){2,40})\s?\}"
    )
    _ITEM = re.compile(r"['\"]([^'\"]{1,80})['\"]\s?:\s?(" + Number + ")")
    _RUN = re.compile(r"\W{0,40}(?:run|seed|fold|split|trial|repeat)\b\W{0,4}(\d{1,9})\b", re.IGNORECASE)

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._run: str | None = None

    def take(self, text: str, order: int) -> bool:
        """Take a dict."""
        if (run := self._RUN.match(text)) is not None and run[1] != self._run:
            if self._run is not None:
                self._journal.begin()
            self._run = run[1]
        if "{" not in text or ("'" not in text and '"' not in text):
            return False
        match = self._DICT.fullmatch(plain_numbers(without_logger(text.strip())))
        if match is None:
            return False
        values = {name: float(value) for name, value in self._ITEM.findall(match[1])}
        sets = {self._set(name) for name in values}
        if len(sets) < 2 or None in sets or not any(map(is_held_out, values)):
            return False
        self._journal.add(order, None, None, values)
        return True

    @staticmethod
    def _set(name: str) -> str | None:
        """The set that a name is about; None where it is about something else."""
        first = words(name)[0]
        if split_of(first) is None or not (len(words(name)) == 1 or is_metric(name) or "train" in first):
            return None
        return first

    def finish(self) -> list[Training]:
        """The trainings; the split of the data, printed again and again, is none."""
        found = []
        for training in self._journal:
            values = [row.values for row in training.rows]
            if len(values) < 2 or all(one == values[0] for one in values):
                continue
            training.rows = [row._replace(epoch=float(at)) for at, row in enumerate(training.rows, 1)]
            place_counted(training, len(training.rows))
            found.append(training)
        return found
