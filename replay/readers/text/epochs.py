"""Lines of one's own loop: ``epoch 3: val_loss 0.41``, ``Epoch: 3 | Train Loss: .. | Val. Loss: ..``, ``step
500 eval/loss=1.2``.

A line names an epoch or a step, and then names with numbers. A line without either belongs to the place
before it, if its names or its beginning say which split it is of (``Test set: Average loss: 0.05, Accuracy:
98%``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from replay.data.names import infer_mode
from replay.readers.series_names import is_bookkeeping, is_held_out, split_of
from replay.readers.text.journal import Journal, Placed, Row, Training, place_rows
from replay.readers.text.lines import Number, without_logger

__all__ = ["Epochs", "named_values"]

_LONGEST = 2000
_OF = r"(?:\s?(?:/|of)\s?(\d{1,12}))?"
_EPOCH = re.compile(
    r"(?<![\w-])(?:train(?:ing)? |val(?:idation)? |eval |test )?epoch\w{0,3}(?:\s?\((?:train|val|test)\))?"
    r"\s{0,8}[:=#\-]?\s{0,4}"
    r"[\[(]?\s?(\d{1,9})(?![\d.]*[\d.%])"
    + _OF
    + r"\s?[\])]?(?:\s?\[\s{0,12}(\d{1,12})\s?/\s?(\d{1,12})\b[^\]]{0,20}\])?",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?<![\w-])(?:global[_ ])?(?:step|iter(?:ation)?|update|num_updates|batch|batch_idx)s?"
    r"\s{0,8}[:=#]?\s{0,4}[\[(]?\s?"
    r"(\d{1,12})(?![\d.]*[\d.%])" + _OF,
    re.IGNORECASE,
)
_INNER = re.compile(r"\[\s{0,12}(\d{1,12})\s?/\s?(\d{1,12})\b[^\]]{0,20}\]")
_PAIR = re.compile(
    r"(?<![\w.])([A-Za-z_][\w/@.]{0,60}(?:\([\w@]{1,12}\))?(?:[ -][A-Za-z_][\w/@.]{0,40}){0,3})"
    r"\s{0,8}[:=]?\s{0,8}"
    r"[\[(]?(" + Number + r")(?:\s?/\s?(\d{1,12})(?=\s?\())?(%|(?=[\s,;|)\]}]|\.?$|\.\s| - ))"
)
_SPLIT = re.compile(
    r"\W{0,12}(train(?:ing)?|val(?:id(?:ation)?)?|dev|eval(?:uation)?|test(?:ing)?)\b\.?"
    r"(?: set| results?| error| metrics| phase| epoch)?\s{0,4}(?=[:|\->\[=(]|\s*$)",
    re.IGNORECASE,
)
_QUICK = re.compile(r"\d")
#: A line without a place belongs to the one before it for as many lines.
_NEAR = 40


def named_values(text: str) -> Iterator[tuple[str, float]]:
    """The names in a text that have a number behind them, in lower case where they are several words."""
    for match in _PAIR.finditer(text):
        name, number, whole, percent = match.groups()
        try:
            value = float(number)
        except ValueError:
            continue
        if whole and float(whole):
            value /= float(whole)
        elif whole:
            continue
        del percent  # 98% is logged as 98, as any other tool does
        yield _name(name), value


def _name(name: str) -> str:
    parts = [part.strip(".") for part in re.split(r"[ -]+", name)]
    if len(parts) == 1:
        return parts[0]
    return "_".join(
        part.lower() for part in parts if part and part.lower() not in ("average", "avg", "the", "is", "of")
    )


class Epochs:
    """Any line with an epoch or a step and named numbers."""

    specific = False

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._epoch: float | None = None
        self._step: float | None = None
        self._split: str | None = None
        self._order = -_NEAR

    def take(self, text: str, order: int) -> bool:
        """Take a line with named numbers, or one that says where the next ones belong."""
        if len(text) > _LONGEST:
            return False
        if text[0] in "[(0123456789DIWEC" or " - INFO" in text:
            text = without_logger(text)
        lower = text.lower()
        if not ("epoch" in lower or "step" in lower or "iter" in lower or "update" in lower):
            return self._take_unplaced(text, lower, order)
        epoch_match = _EPOCH.search(text) if "epoch" in lower else None
        step_match = _STEP.search(text)
        if epoch_match is None and step_match is None:
            return self._take_unplaced(text, lower, order)
        epoch = step = None
        inner: tuple[float, float] | None = None
        rest = text
        cuts = []
        if epoch_match is not None:
            epoch = float(epoch_match[1])
            cuts.append(epoch_match.span())
            if epoch_match[4] and float(epoch_match[4]):
                inner = (float(epoch_match[3]), float(epoch_match[4]))
        if step_match is not None:
            step = float(step_match[1])
            cuts.append(step_match.span())
            if epoch is not None and step_match[2] and float(step_match[2]):
                inner, step = (step, float(step_match[2])), None
        for begin, end in sorted(cuts, reverse=True):
            rest = f"{rest[:begin]} | {rest[end:]}"
        if (
            inner is None
            and epoch is not None
            and (match := _INNER.search(rest)) is not None
            and float(match[2])
        ):
            inner = (float(match[1]), float(match[2]))
        head = _SPLIT.match(text)
        split = None if head is None else split_of(head[1])
        self._epoch, self._step, self._order = epoch, step, order
        self._split = head[1].lower() if head is not None and split == "held-out" else None
        values = self._named(rest)
        if not values:
            return True
        planned = (
            epoch_match[2] if epoch_match is not None else step_match[2] if step_match is not None else None
        )
        self._add(order, values, inner, planned)
        return True

    def _take_unplaced(self, text: str, lower: str, order: int) -> bool:
        """A line that belongs to the place before."""
        if order - self._order > _NEAR or (self._epoch is None and self._step is None):
            return False
        head = _SPLIT.match(text)
        if head is not None:
            held_out = split_of(head[1].rstrip(".")) == "held-out" or is_held_out(head[1])
            self._split = head[1].lower() if held_out else None
        elif self._split is not None and not text[:1].isspace():
            self._split = None
        if not any(
            word in lower
            for word in ("loss", "acc", "val", "test", "eval", "ppl", "f1", "score", "bleu", "err", "auc")
        ):
            return False
        if head is not None:
            text = text[head.end() :]
        elif (
            not any(is_held_out(name) or "train" in name.lower() for name, _ in named_values(text))
            and self._split is None
        ):
            return False
        values = self._named(text)
        if values:
            self._add(order, values, None, None)
            self._order = order
        return bool(values)

    def _named(self, text: str) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, value in named_values(text):
            if is_bookkeeping(name) or not (
                is_held_out(name)
                or "loss" in name.lower()
                or infer_mode(name)
                or name.lower() in ("lr", "learning_rate", "grad_norm")
            ):
                continue
            if name.lower().startswith(
                ("best", "min_", "max_", "lowest", "highest")
            ) or name.lower().endswith("_best"):
                continue
            if self._split is not None and not is_held_out(name):
                name = f"{self._split}_{name}"
            values.setdefault(name, value)
        if values.keys() <= {"lr", "LR", "learning_rate"}:
            return {}
        return values

    def _add(
        self, order: int, values: dict[str, float], inner: tuple[float, float] | None, planned: str | None
    ) -> None:
        current = self._journal.current
        if (
            current is not None
            and self._step is None
            and self._epoch is not None
            and inner is None
            and self._epoch <= (current.rows[0].epoch or 0.0)
            and current.goes_back(self._epoch, values)
        ):
            self._journal.begin()
        training = self._journal.add(order, self._step, self._epoch, values, inner)
        if planned is not None:
            training.facts["_planned"] = max(float(planned), training.facts.get("_planned", 0.0))

    def finish(self) -> list[Training]:
        """The trainings."""
        for training in self._journal:
            training.placed = _placed(training)
        return self._journal.trainings


def _placed(training: Training) -> Placed:
    """The points: by step where a step is printed that goes on over the epochs, else by epoch."""
    planned = training.facts.pop("_planned", None)
    rows = training.rows
    with_step = [row for row in rows if row.step is not None]
    inside = any(row.beside is not None for row in rows) or _restarts(with_step)
    by_step = bool(with_step) and not inside
    if by_step:
        if planned and not any(row.epoch is not None for row in rows):
            training.facts["planned_steps"] = planned
        elif planned:
            training.facts["planned_epochs"] = planned
        return place_rows(training, _by_step(rows), by_epoch=False)
    if planned:
        training.facts["planned_epochs"] = training.facts["planned_steps"] = planned
    epochs = [row.epoch for row in rows if row.epoch is not None]
    first = rows[0]
    train = any(not is_held_out(name) for row in rows for name in row.values)
    before = bool(first.values) and all(is_held_out(name) for name in first.values) and first.epoch == 0
    zero_based = bool(epochs) and min(epochs) == 0 and not (train and before)
    length = max((row.step for row in with_step if row.step is not None), default=0.0)
    return place_rows(training, _by_epoch(rows, length), by_epoch=True, zero_based=zero_based)


def _restarts(rows: list[Row]) -> bool:
    """Whether the step begins anew with each epoch."""
    last: Row | None = None
    for row in rows:
        if (
            last is not None
            and row.epoch is not None
            and last.epoch is not None
            and row.epoch > last.epoch
            and (row.step or 0.0) <= (last.step or 0.0)
        ):
            return True
        last = row
    return False


def _by_step(rows: list[Row]) -> Iterator[tuple[float, Row]]:
    last = None
    for row in rows:
        last = row.step if row.step is not None else last
        if last is not None:
            values = row.values if row.epoch is None else {**row.values, "epoch": row.epoch}
            yield last, row._replace(values=values)


def _by_epoch(rows: list[Row], length: float) -> Iterator[tuple[float, Row]]:
    for row in rows:
        if row.epoch is None:
            continue
        at = row.epoch
        held_out = any(is_held_out(name) for name in row.values)
        if not held_out and row.beside is not None:
            done, total = row.beside
            at = row.epoch - 1 + min(done / total, 1.0)
        elif not held_out and row.step is not None and length:
            at = row.epoch - 1 + min(row.step / length, 1.0)
        yield at, row
