"""Several values behind one name: ``train/val loss: 0.41/0.52``, ``loss (train/val): 0.41 / 0.52``, ``Loss:
train=0.41 val=0.52``, ``val loss/acc: 0.52/0.8``.

They are written apart, each behind a name of its own. Values behind a plain name (``acc: 0.8|0.7``) are those
of the sets that the same line or a line before names.
"""

from __future__ import annotations

import re

from replay.data.names import infer_mode
from replay.readers.series_names import is_held_out
from replay.readers.text.lines import Number

__all__ = ["Paired"]

_SET = r"(?:train(?:ing)?|trn?|val(?:id(?:ation)?)?|dev|eval(?:uation)?|test)"
_BETWEEN = r"(?:\s?[/|&]\s?|, ?|(?<=\w)-(?=\w))"
_SETS = rf"({_SET}{_BETWEEN}{_SET}(?:{_BETWEEN}{_SET})?)"
_VALUE = rf"(?:{Number})%?"
_SIGN = r"(?:\s{0,2}[/|]\s{0,2}|, ?| - )"
_VALUES = rf"({_VALUE}{_SIGN}{_VALUE}(?:{_SIGN}{_VALUE})?)(?![\w.%/])"
_METRIC = r"([A-Za-z][\w@.]{0,40}(?:[ -][A-Za-z]\w{0,20})?)"
_IS = r"\s{0,2}[:=]?\s{0,4}"
_BEGIN = r"(?<![\w/.])"
#: `train/val loss: 0.41/0.52`
_SETS_BEFORE = re.compile(rf"{_BEGIN}{_SETS}[ _]{_METRIC}{_IS}{_VALUES}", re.IGNORECASE)
#: `loss (train/val): 0.41 / 0.52`
_SETS_BEHIND = re.compile(
    rf"{_BEGIN}{_METRIC}\s?[(\[]?\s?(?<!\w){_SETS}\s?[)\]]?{_IS}{_VALUES}", re.IGNORECASE
)
#: `loss: 0.41/0.52 (train/val)`
_SETS_LAST = re.compile(rf"{_BEGIN}{_METRIC}{_IS}{_VALUES}\s?[(\[]{_SETS}[)\]]", re.IGNORECASE)
#: `loss: 0.41 (train) / 0.52 (val)`
_SET_EACH = re.compile(
    rf"{_BEGIN}{_METRIC}{_IS}({_VALUE}) ?\(({_SET})\)[\s,/|]{{1,4}}({_VALUE}) ?\(({_SET})\)", re.IGNORECASE
)
#: `loss: 0.41 (val: 0.52)`
_SET_WITHIN = re.compile(rf"{_BEGIN}{_METRIC}{_IS}({_VALUE})\s?\(({_SET})[:=]?\s?({_VALUE})\)", re.IGNORECASE)
#: `LOSS train 0.41 valid 0.52`, as a tutorial of PyTorch prints it; `Loss [train: 0.41, val: 0.52]`
_NAMED = rf"({_SET})[:=]?\s{{0,3}}({_VALUE})"
_SET_NAMED = re.compile(
    rf"{_BEGIN}{_METRIC}[:=]?\s{{0,3}}[(\[{{]?\s?(?<!\w){_NAMED}[,;/|]?\s{{1,3}}{_NAMED}"
    rf"(?:[,;/|]?\s{{1,3}}{_NAMED})?(?![\w.])",
    re.IGNORECASE,
)
#: `Val loss/acc: 0.52/0.8`, `val (loss/acc): 0.52/0.8`
_METRICS = re.compile(
    rf"{_BEGIN}(?:({_SET})[ :_]\s?)?\(?([A-Za-z][\w@.]{{0,40}})\s?/\s?([A-Za-z][\w@.]{{0,40}})\)?{_IS}"
    rf"({_VALUE})\s?/\s?({_VALUE})(?![\w.%/])",
    re.IGNORECASE,
)
_PLAIN = re.compile(rf"{_BEGIN}{_METRIC}{_IS}{_VALUES}", re.IGNORECASE)
#: What a line must have for some of these patterns to be looked for.
_HELD_OUT = ("val", "test", "dev")
_OPENED = ("(val", "(test", "(dev", "(eval")
_SLASHED = re.compile(r"[a-z)]\s?/\s?[a-z]")
_DIVIDED = re.compile(r"[\d%]\s{0,2}[/|]\s{0,2}[-+.\d]")
_ANY_SETS = re.compile(rf"{_BEGIN}{_SETS}(?![\w/])", re.IGNORECASE)


class Paired:
    """Writes the values of a line apart; remembers which sets were named last."""

    def __init__(self) -> None:
        self._sets: list[str] = []
        #: Metrics whose sets no line names.
        self.assumed: set[str] = set()

    def apart(self, text: str, *, assume: bool = False) -> str:
        """The line with a name before each value. With ``assume``, two values whose sets nothing names are
        those of training and validation.
        """
        lower = text.lower()
        if "(" in lower and any(word in lower for word in _OPENED):
            text = _SET_WITHIN.sub(_of_one_within, text)
        if "tr" in lower and any(word in lower for word in _HELD_OUT):
            text = _SET_NAMED.sub(_of_named, _SET_EACH.sub(_of_each, text))
            sets = _ANY_SETS.search(text)
            if sets is not None:
                self._sets = _words(sets[1])
                text = _SETS_BEFORE.sub(lambda found: _write(found, 2, 1, 3), text)
                text = _SETS_BEHIND.sub(lambda found: _write(found, 1, 2, 3), text)
                text = _SETS_LAST.sub(lambda found: _write(found, 1, 3, 2), text)
        if "/" in text and _SLASHED.search(lower) is not None:
            text = _METRICS.sub(_of_metrics, text)
        if (self._sets or assume) and ("/" in text or "|" in text) and _DIVIDED.search(text) is not None:
            text = _PLAIN.sub(self._of_plain, text)
        return text

    def _of_plain(self, found: re.Match[str]) -> str:
        values = _values(found[2])
        sets = self._sets or ["train", "val"]
        is_pair = len(values) == len(sets) and "," not in found[2] and " - " not in found[2]
        if not is_pair or not all("." in value or "%" in value for value in values):
            return found[0]
        if not self._sets:
            around = found.string[found.end() : found.end() + 2].strip()
            if around.startswith("(") or infer_mode(found[1]) is None or _names_a_set(found[1]):
                return found[0]  # (now/mean)
            self.assumed.add(found[1])
        return _written(found[0], found[1], sets, values)


def _names_a_set(name: str) -> bool:
    return is_held_out(name) or name.lower().startswith("tr")


def _words(sets: str) -> list[str]:
    """The words of sets, those of the training as ``train``."""
    words = re.findall(r"[a-z]+", sets.lower())
    return ["train" if word.startswith("tr") else word for word in words]


def _values(text: str) -> list[str]:
    return re.findall(_VALUE, re.sub(r" - |, ?|[/|]", " ", text))


def _written(before: str, metric: str, sets: list[str], values: list[str]) -> str:
    """The values behind names of their own; the text as it was where the name is none of a metric."""
    if len(values) != len(sets) or len(set(sets)) < len(sets) or infer_mode(metric) is None:
        return before
    return " | ".join(f"{name}_{metric}: {value}" for name, value in zip(sets, values, strict=True))


def _write(found: re.Match[str], metric: int, sets: int, values: int) -> str:
    return _written(found[0], found[metric], _words(found[sets]), _values(found[values]))


def _of_one_within(found: re.Match[str]) -> str:
    (held_out,) = _words(found[3])
    return _written(found[0], found[1], ["train", held_out], [found[2], found[4]])


def _of_each(found: re.Match[str]) -> str:
    return _written(found[0], found[1], _words(f"{found[3]} {found[5]}"), [found[2], found[4]])


def _of_named(found: re.Match[str]) -> str:
    sets, values = (
        [part for part in found.groups()[1::2] if part],
        [part for part in found.groups()[2::2] if part],
    )
    return _written(found[0], found[1], _words(" ".join(sets)), values)


def _of_metrics(found: re.Match[str]) -> str:
    of_set, first, second, one, other = found.groups()
    if infer_mode(first) is None or infer_mode(second) is None:
        return found[0]
    before = "" if of_set is None else f"{of_set}_"
    return f"{before}{first}: {one} | {before}{second}: {other}"
