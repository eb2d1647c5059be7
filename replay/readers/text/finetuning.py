"""Lines with a step in them: MLX-LM, torchtune, litgpt, nanoGPT and its descendants, llm.c."""

from __future__ import annotations

import re
from typing import ClassVar

from replay.readers.series_names import is_metric
from replay.readers.text.journal import ByStep
from replay.readers.text.lines import Number

__all__ = ["MLX", "LitGPT", "NanoGPT", "Torchtune"]


class MLX(ByStep):
    """MLX-LM: ``Iter 50: Val loss 1.717, Val took 1.234s`` up to 0.2x, and the table of later versions."""

    tool = "mlx"
    epoch = None
    _ITER = re.compile(r"(?:^|\s)Iter (\d{1,12}): (Train|Val) loss (" + Number + r")(?=[,.\s]|$)")
    _FIELD = re.compile(r"(Learning Rate|Trained Tokens) (" + Number + r")(?=,|\s|$)")
    _BEGIN = re.compile(r"Starting training\.\.\., iters: (\d{1,12})")
    _HEADER = re.compile(r"\s{0,20}iter\s{1,20}train_loss\s{1,20}tok/s")
    _ROW = re.compile(
        r"\s{0,20}(\d{1,12})\s{1,20}(?:(val) ("
        + Number
        + r")\s{1,20}[\d.]+s|("
        + Number
        + r")(?: \S)?\s{2,20}\S+)"
        r"(?:\s|$)"
    )
    _END = re.compile(r"train\s.{0,200}?·\s{0,3}([\d,]{1,20})/([\d,]{1,20})$")
    _NAMES: ClassVar = {"Learning Rate": "learning_rate", "Trained Tokens": "num_tokens"}

    def __init__(self) -> None:
        super().__init__()
        self._planned: float | None = None
        self._table = False

    def take(self, text: str, order: int) -> bool:
        """Take an iteration, a row of the table, or a line that says where a training begins."""
        if "Iter " in text:
            match = self._ITER.search(text)
            if match is not None:
                values = {f"{match[2].lower()}_loss": float(match[3])}
                values |= {self._NAMES[name]: float(value) for name, value in self._FIELD.findall(text)}
                self._add(order, float(match[1]), values)
                return True
        if "iters: " in text and (match := self._BEGIN.search(text)) is not None:
            self._begin(float(match[1]))
            return True
        if "train_loss" in text and self._HEADER.match(text):
            self._begin(None)
            self._table = True
            return True
        if self._table:
            match = self._ROW.match(text)
            if match is not None:
                name, value = ("val_loss", match[3]) if match[2] else ("train_loss", match[4])
                self._add(order, float(match[1]), {name: float(value)})
                return True
            if "/" in text and (match := self._END.search(text)) is not None:
                planned = float(match[2].replace(",", "") or 0)
                if self._journal.current is not None and planned:
                    self._journal.current.facts["planned_steps"] = planned
                self._table = False
                return True
        return False

    def _begin(self, planned: float | None) -> None:
        self.seen.append("MLX-LM")
        self._journal.begin()
        self._planned = planned

    def _add(self, order: int, step: float, values: dict[str, float]) -> None:
        training = self._journal.add(order, step, None, values)
        if self._planned:
            training.facts["planned_steps"] = self._planned


class Torchtune(ByStep):
    """torchtune: ``Step 50 | loss:2.48 lr:2e-05 …`` and ``Step 50 | val_loss:1.23``.

    On a console, ``Validation loss: 1.23`` stands below a bar ``1|50|Loss: 2.48: 10%|…``.
    """

    tool = "torchtune"
    epoch = None
    _STEP = re.compile(r"(?:^|\s)Step (\d{1,12}) \| (?=\S{1,80}?:)")
    _FIELD = re.compile(r"([\w/.@-]{1,80}):(" + Number + r")(?=\s|$)")
    _BAR = re.compile(r"\d{1,9}\|(\d{1,12})\|Loss: ")
    _VALIDATION = re.compile(r"(?:Validation|val)[ _]loss: (" + Number + ")", re.IGNORECASE)

    def __init__(self) -> None:
        super().__init__()
        self._shown: float | None = None  # the step of the last bar

    def take(self, text: str, order: int) -> bool:
        """Take the values of a step, or the step of a bar."""
        if "|Loss: " in text and (drawn := self._BAR.match(text)) is not None:
            self._shown = float(drawn[1])
            return True
        if self._shown is not None and (below := self._VALIDATION.fullmatch(text.strip())) is not None:
            self._journal.add(order, self._shown, None, {"val_loss": float(below[1])})
            return True
        if "Step " not in text:
            return False
        match = self._STEP.search(text)
        if match is None:
            return False
        values = {name: float(value) for name, value in self._FIELD.findall(text, match.end(), 4000)}
        if values:
            self._journal.add(order, float(match[1]), None, values)
        return bool(values)


class LitGPT(ByStep):
    """litgpt: ``Epoch 1 | iter 20 step 5 | loss train: 2.243, val: n/a | …`` and ``iter 40: val loss 1.7050,
    val time: 12.00 ms``.

    The step is the iteration, as in the tool's CSV file. The ``val:`` of a train line repeats the last eval.
    The evaluation at the end uses more data than the others, and is not part of the curve.
    """

    tool = "litgpt"
    epoch = None
    _TRAIN = re.compile(
        r"(?:Epoch (\d{1,9}) ?\| ?)?iter\s{1,8}(\d{1,12}) step\s{1,8}\d{1,12}(?: \| loss train: |: loss )("
        + Number
        + r")(?=[,\s|]|$)"
    )
    _VAL = re.compile(
        r"(?:^|\s)(?:iter|step)\s{1,8}(\d{1,12})(?:: val loss:? |\s{1,12}\| val_loss: )("
        + Number
        + r")(?:, val time| \| val_time): "
    )

    def take(self, text: str, order: int) -> bool:
        """Take a train line or an eval."""
        if "iter " not in text and "step " not in text:
            return False
        match = self._TRAIN.search(text)
        if match is not None:
            self._journal.add(order, float(match[2]), None, {"train_loss": float(match[3])})
            return True
        match = self._VAL.search(text)
        if match is not None:
            self._journal.add(order, float(match[1]), None, {"val_loss": float(match[2])})
            return True
        return text.startswith("Final evaluation | val loss")


class NanoGPT(ByStep):
    """nanoGPT (``step 250: train loss 1.9083, val loss 2.1004``), modded-nanogpt (``step:125/5100
    val_loss:4.01 …``), llm.c (``s:250 tel:3.9``) and build-nanogpt (``250 val 3.9``).
    """

    tool = "nanogpt"
    epoch = None
    _STEP = re.compile(
        r"(?:^|\s)step (\d{1,12}|\d{1,3}(?:_\d{3})+): train loss ("
        + Number
        + r"), val loss ("
        + Number
        + r")(?=[,.\s]|$)"
    )
    _ITER = re.compile(r"(?:^|\s)iter (\d{1,12}): loss (" + Number + r"), time ")
    _FIELDS = re.compile(r"(?:^|\s)step:(\d{1,12})(?:/(\d{1,12}))? (?=[a-z_]{1,40}:)")
    _C = re.compile(r"s:(\d{1,12}) (?=(?:tel|trl|eval):)")
    _PLAIN = re.compile(r"(\d{1,12}) (train|val|hella) (" + Number + r")$")
    _FIELD = re.compile(r"([A-Za-z]\w{0,60}):(" + Number + r")(?=\s|$)")
    _NAMES: ClassVar = {"tel": "val_loss", "trl": "train_loss", "eval": "eval_accuracy"}

    def take(self, text: str, order: int) -> bool:
        """Take the values of a step."""
        if text.startswith("s:"):
            match = self._C.match(text)
            if match is None:
                return False
            values = {
                self._NAMES.get(name, name): float(value)
                for name, value in self._FIELD.findall(text, match.end(), 4000)
            }
            return self._add(order, match[1], values)
        if "step:" in text:
            match = self._FIELDS.search(text)
            if match is None:
                return False
            values = {name: float(value) for name, value in self._FIELD.findall(text, match.end(), 4000)}
            if not any(is_metric(name) for name in values):
                return bool(match[2])
            self._add(order, match[1], values)
            if match[2] is not None and self._journal.current is not None:
                self._journal.current.facts["planned_steps"] = float(match[2])
            return True
        if text[0].isdigit() and (match := self._PLAIN.match(text)) is not None:
            name = "eval_accuracy" if match[2] == "hella" else f"{match[2]}_loss"
            return self._add(order, match[1], {name: float(match[3])})
        if "val loss" in text and (match := self._STEP.search(text)) is not None:
            return self._add(order, match[1], {"train/loss": float(match[2]), "val_loss": float(match[3])})
        if "iter " in text and (match := self._ITER.search(text)) is not None:
            return self._add(order, match[1], {"train_loss": float(match[2])})
        return False

    def _add(self, order: int, step: str, values: dict[str, float]) -> bool:
        if not values:
            return False
        self._journal.add(order, float(step), None, values)
        return True
