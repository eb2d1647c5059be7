"""Tables and lines of spaCy, fairseq, OpenNMT-py, mmengine and TensorFlow's estimators."""

from __future__ import annotations

import json
import re
from typing import ClassVar

from replay.readers.points import number
from replay.readers.text.journal import ByStep
from replay.readers.text.lines import Number

__all__ = ["Estimator", "Fairseq", "MMEngine", "OpenNMT", "SpaCy"]


class SpaCy(ByStep):
    """spaCy's table: ``E # LOSS TAGGER TAG_ACC SCORE``, a row per evaluation.

    Losses are those of the training since the row before; all other columns are scores on the development
    data.
    """

    tool = "spacy"
    _HEADER = re.compile(r"\s{0,8}E\s{1,8}#\s{1,12}(\S.{0,2000})$")
    _RULE = re.compile(r"\s{0,8}-{3}(?:\s{1,8}-{3,40}){2,60}$")
    _ROW = re.compile(r"\s{0,8}(\d{1,9})\s{1,12}(\d{1,12})((?:\s{1,24}" + Number + r"){1,60})$")

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []

    def take(self, text: str, order: int) -> bool:
        """Take the head of a table, or a row of it."""
        if " # " in text and (match := self._HEADER.match(text)) is not None:
            names = re.split(r"\s{2,}", match[1].strip())
            if any(name.startswith("LOSS ") for name in names) or names[-1] == "SCORE":
                self.seen[:] = ["a table of spaCy"]
                self._names = [
                    f"dev_{name}" if not name.startswith("LOSS ") else f"train_{name}" for name in names
                ]
                self._names = [name.replace(" ", "_") for name in self._names]
                self._journal.begin()
                return True
        if not self._names:
            return False
        match = self._ROW.match(text)
        if match is None:
            return self._RULE.match(text) is not None
        cells = match[3].split()
        if len(cells) != len(self._names):
            return False
        values = {name: float(cell) for name, cell in zip(self._names, cells, strict=True)}
        self._journal.add(order, float(match[2]), None, {**values, "epoch": float(match[1])})
        return True


class Fairseq(ByStep):
    """fairseq: ``epoch 003 | valid on 'valid' subset | loss 4.5 | ppl 22.6 | num_updates 3000``, as text or
    as the JSON of its log format ``json``.
    """

    tool = "fairseq"
    _LINE = re.compile(r"epoch (\d{1,9}) \| (?:(valid) on '([^']{1,60})' subset \| |(?=loss ))")
    _TRAIN = re.compile(r"\| epoch (\d{1,9}) \| (?=loss )|\| train \| epoch (\d{1,9}) \| ")
    _INNER = re.compile(r"\| train_inner \| epoch (\d{1,9}):")
    _FIELD = re.compile(r"(?:^|[|,] ?)([a-z_0-9]{1,60})[ =](" + Number + r")(?=\s|,|$)")
    _JSON = re.compile(r"\| ([\w-]{1,40}) \| (\{\"epoch\": .{1,4000}\})$")
    _STOPPED = re.compile(r"early stop since valid performance hasn't improved for last (\d{1,9}) runs")
    _ASIDE: ClassVar = {
        "wps",
        "ups",
        "wpb",
        "bsz",
        "num_updates",
        "train_wall",
        "gb_free",
        "wall",
        "clip",
        "oom",
        "loss_scale",
        "best_loss",
    }

    def take(self, text: str, order: int) -> bool:
        """Take the values of an epoch."""
        if "early stop since" in text and (match := self._STOPPED.search(text)) is not None:
            if self._journal.current is not None:
                self._journal.current.facts["stopped_by"] = f"early stopping ({match[1]} validations)"
            return True
        if '_num_updates": ' in text and (match := self._JSON.search(text)) is not None:
            return self._take_json(match[1], match[2], order)
        if "num_updates" not in text or "epoch " not in text:
            return False
        match = self._LINE.search(text)
        train = None if match is not None else self._TRAIN.search(text)
        found = match or train
        if found is None:
            return False
        fields = {name: float(value) for name, value in self._FIELD.findall("|" + text[found.end() :])}
        step = fields.get("num_updates")
        if step is None:
            return False
        split = found[3] if match is not None and match[3] else "train"
        epoch = float(next(part for part in found.groups() if part and part.isdigit()))
        values = {
            f"{split}/{name}": value
            for name, value in fields.items()
            if name not in self._ASIDE and not name.startswith("best_")
        }
        self._journal.add(order, step, None, {**values, "epoch": epoch})
        return bool(values)

    def _take_json(self, split: str, text: str, order: int) -> bool:
        """Take the values of an epoch or a validation, whose names begin with the split."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            return False
        fields = {
            name.removeprefix(f"{split}_"): value
            for name, item in record.items()
            if (value := number(item)) is not None
        }
        step = fields.get("num_updates")
        if step is None:
            return False
        values = {
            f"{split}/{name}": value
            for name, value in fields.items()
            if name not in self._ASIDE and name != "epoch" and not name.startswith("best_")
        }
        self._journal.add(order, step, None, {**values, "epoch": fields.get("epoch", 0.0)})
        return bool(values)


class OpenNMT(ByStep):
    """OpenNMT-py: ``Step 50/ 1000; acc: 12.3; ppl: 45.6; …``, and the ``Validation perplexity`` lines that
    belong to the step before.
    """

    tool = "opennmt"
    _STEP = re.compile(
        r"Step (\d{1,12})/\s{0,12}(\d{1,12}); acc:\s{0,8}(" + Number + r"); ppl:\s{0,8}(" + Number + r")"
    )
    _VALID = re.compile(r"(?:Validation|valid) (perplexity|accuracy|ppl): (" + Number + r")(?=\s|$)")

    def __init__(self) -> None:
        super().__init__()
        self._step: float | None = None

    def take(self, text: str, order: int) -> bool:
        """Take a step, or a validation."""
        if "; ppl: " in text and (match := self._STEP.search(text)) is not None:
            self._step = float(match[1])
            values = {"train/accuracy": float(match[3]), "train/ppl": float(match[4])}
            training = self._journal.add(order, self._step, None, values)
            training.facts["planned_steps"] = float(match[2])
            return True
        if self._step is not None and "alid" in text and (match := self._VALID.search(text)) is not None:
            self._journal.add(order, self._step, None, {f"valid/{match[1]}": float(match[2])})
            return True
        return False


class MMEngine(ByStep):
    """mmengine and mmcv: ``Epoch(train) [11][1/6] lr: .. loss: ..`` and ``Epoch(val) [10][6/6] coco/AP: ..``.

    The step is the number of iterations, over all epochs.
    """

    _EPOCH = re.compile(
        r"Epoch(?:\((train|val|test)\))?\s{1,8}\[\s{0,8}(\d{1,9})\]\s{0,4}\[\s{0,8}(\d{1,9})(?:/(\d{1,9}))?\]\s"
    )
    _ITER = re.compile(r"Iter(?:\((train|val|test)\))?\s{1,8}\[\s{0,8}(\d{1,9})(?:/(\d{1,9}))?\]\s")
    _FIELD = re.compile(
        r"(?:^|\s{2}|, |\t)\s?([A-Za-z][\w/@.-]{0,60}(?: [\w().@-]{1,20}){0,2}): (" + Number + r")(?=\s|,|$)"
    )
    _ASIDE: ClassVar = {"eta", "time", "data_time", "memory"}

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0
        self._length = 0.0

    def take(self, text: str, order: int) -> bool:
        """Take the values of an iteration, or of an evaluation."""
        if "Epoch" in text and (match := self._EPOCH.search(text)) is not None:
            values = self._values(text[match.end() - 1 :])
            split = match[1] or "train"
            epoch, done = float(match[2]), float(match[3])
            if split == "train":
                self._length = float(match[4] or 0) or self._length
                self._last = (epoch - 1) * self._length + done
            elif match[4] and match[3] != match[4]:
                return True
            return self._add(order, split, self._last, {**values, "epoch": epoch} if values else {})
        if "Iter" in text and (match := self._ITER.search(text)) is not None:
            values = self._values(text[match.end() - 1 :])
            split = match[1] or "train"
            if split == "train" and match[3] is None:
                return False
            if split == "train":
                self._last = float(match[2])
            elif match[3] and match[2] != match[3]:
                return True
            return self._add(order, split, self._last, values)
        return False

    def _values(self, text: str) -> dict[str, float]:
        return {name: float(value) for name, value in self._FIELD.findall(text) if name not in self._ASIDE}

    def _add(self, order: int, split: str, step: float, values: dict[str, float]) -> bool:
        if values and (split == "train" or self._last):
            training = self._journal.add(order, step, None, values)
            if split != "train":
                training.held_out |= values.keys() - {"epoch"}
        return True


class Estimator(ByStep):
    """TensorFlow's estimators: ``loss = 0.5, step = 100 (0.3 sec)`` of the training, and ``Saving dict for
    global step 1000: accuracy = 0.9, global_step = 1000, loss = 0.4`` after each evaluation.
    """

    _TRAIN = re.compile(r"(?:^|:)loss = (" + Number + r"), step = (\d{1,12})\b")
    _EVAL = re.compile(r"Saving dict for global step (\d{1,12}): ")
    _FIELD = re.compile(r"([A-Za-z][\w/.-]{0,80}) = (" + Number + r")(?=,|\s|$)")

    def take(self, text: str, order: int) -> bool:
        """Take the loss of a step, or an evaluation."""
        if "Saving dict for global step " in text and (match := self._EVAL.search(text)) is not None:
            values = {
                f"eval/{name}": float(value)
                for name, value in self._FIELD.findall(text, match.end())
                if name != "global_step"
            }
            self._journal.add(order, float(match[1]), None, values)
            return True
        if ", step = " in text and (match := self._TRAIN.search(text)) is not None:
            self._journal.add(order, float(match[2]), None, {"loss": float(match[1])})
            return True
        return False
