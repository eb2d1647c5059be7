"""What Marian and JoeyNMT print of their validations."""

from __future__ import annotations

import re

from replay.readers.text.journal import ByStep
from replay.readers.text.lines import Number

__all__ = ["JoeyNMT", "Marian"]


class Marian(ByStep):
    """Marian: ``[valid] Ep. 1 : Up. 5000 : cross-entropy : 57.0 : new best``, and the training's cost."""

    _VALID = re.compile(
        r"\[valid\] (?:\[[\w-]{1,20}\] )?Ep\. (\d{1,9}) : Up\. (\d{1,12}) : ([\w-]{1,40}) : ("
        + Number
        + r")(?=\s|$)"
    )
    _TRAIN = re.compile(
        r"Ep\. (\d{1,9}) : Up\. (\d{1,12}) : Sen\. [\d,]{1,20} : Cost (" + Number + r")(?=\s|$)"
    )

    def take(self, text: str, order: int) -> bool:
        """Take a validation, or the cost of the training."""
        if " : Up. " not in text:
            return False
        match = self._VALID.search(text)
        if match is not None:
            values = {f"valid/{match[3]}": float(match[4]), "epoch": float(match[1])}
            self._journal.add(order, float(match[2]), None, values)
            return True
        match = self._TRAIN.search(text)
        if match is not None:
            values = {"train/cost": float(match[3]), "epoch": float(match[1])}
            self._journal.add(order, float(match[2]), None, values)
        return match is not None


class JoeyNMT(ByStep):
    """JoeyNMT's ``validations.txt``: ``Steps: 500<tab>loss: 3.78<tab>ppl: 43.9<tab>LR: 0.0003<tab>*``."""

    _ROW = re.compile(r"Steps: (\d{1,12})\t(?=[A-Za-z]{1,20}: )")
    _FIELD = re.compile(r"([A-Za-z][\w-]{0,40}): (" + Number + r")(?=\t|\s*$)")

    def take(self, text: str, order: int) -> bool:
        """Take a validation."""
        match = self._ROW.match(text)
        if match is None:
            return False
        values = {
            "learning_rate" if name == "LR" else f"dev/{name.lower()}": float(value)
            for name, value in self._FIELD.findall(text, match.end())
        }
        self._journal.add(order, float(match[1]), None, values)
        return bool(values)
