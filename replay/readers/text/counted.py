"""Evals of a text in which no line says of which epoch or step they are: ``Validation loss: 0.41``, printed
again and again. They are counted.

Only lines that differ in nothing but their numbers are evals of one training. One of their names must be a
loss, or a loss of the training stands between them: scores alone are printed of finished models too. A text
with a place, or with the number of a run, a seed or a fold, is not counted.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from replay.data.names import infer_mode
from replay.readers.series_names import is_bookkeeping, is_held_out, is_metric, words
from replay.readers.text.epochs import Epochs, Named, named_values
from replay.readers.text.journal import Journal, Training, place_counted

__all__ = ["Counted"]

_FEW = 3  # so many evals are not there by chance
_DIGITS = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?|\bnan\b|\binf\b", re.IGNORECASE)
_TRAIN_LOSS = re.compile(r"\btrain(?:ing)?[ _](?:\w{1,20}[ _])?loss\W{1,4}[\d.]", re.IGNORECASE)
_OTHERS = re.compile(
    r"\b(?:run|seed|fold|split|trial|repeat|model|client|config|experiment|subject|user|task|checkpoint|layer)s?"
    r"\b\W{0,4}\d",
    re.IGNORECASE,
)


def _is_choice(pair: Named) -> bool:
    """Whether a number is a setting, as results of several trainings are listed with: ``wd=0.1``."""
    return not (
        is_held_out(pair.name)
        or is_bookkeeping(pair.name)
        or "train" in pair.name.lower()
        or infer_mode(pair.name) is not None
    )


def _is_loss(name: str) -> bool:
    return not {"loss", "perplexity", "ppl", "nll"}.isdisjoint(words(name))


class Counted:
    """Lines with metrics of held-out data and no place. Other dialects may take them too."""

    specific = False

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._loop = Epochs()
        self._is_placed = False
        self._lines: list[tuple[int, str, dict[str, float]]] = []  # order, shape and values
        self._trained: list[int] = []  # orders of the lines with a loss of the training

    def take(self, text: str, order: int) -> bool:
        """Note a line."""
        if self._is_placed or "Namespace(" in text[:20]:  # settings
            return False
        values = self._loop.values_of(text)
        if values is None or _OTHERS.search(text) is not None:
            self._is_placed, self._lines = True, []
            return False
        if "rain" in text and _TRAIN_LOSS.search(text) is not None:
            self._trained.append(order)
        values = {name: value for name, value in values.items() if is_held_out(name) and is_metric(name)}
        if values and not any(map(_is_choice, named_values(text))):
            self._lines.append((order, _DIGITS.sub("0", text.strip()), values))
        return False

    def _are_trained_between(self, lines: list[tuple[int, str, dict[str, float]]]) -> bool:
        """Whether a loss of the training stands between each two evals."""
        evals = [order for order, shape, _ in lines if shape == lines[0][1]]
        return all(
            any(before < trained < after for trained in self._trained) for before, after in pairwise(evals)
        )

    def finish(self) -> list[Training]:
        """The training, if there is one."""
        shapes = Counter(shape for _, shape, _ in self._lines)
        most = max(shapes.values(), default=0)
        kept = [line for line in self._lines if shapes[line[1]] >= most - 1]
        if most < _FEW or not (
            any(_is_loss(name) for _, _, values in kept for name in values) or self._are_trained_between(kept)
        ):
            return []
        journal, seen, count = Journal("text"), set[str](), 1
        for order, shape, values in kept:
            if shape in seen:
                seen, count = set(), count + 1
            seen.add(shape)
            journal.add(order, None, float(count), values)
        (training,) = journal.trainings
        if all(row.values == training.rows[0].values for row in training.rows):
            return []
        place_counted(training, count)
        return [training]
