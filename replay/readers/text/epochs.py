"""Lines of one's own loop: ``epoch 3: val_loss 0.41``, ``Epoch: 3 | Train Loss: .. | Val. Loss: ..``, ``step
500 eval/loss=1.2``.

A line names an epoch or a step, and then names with numbers. A line without either belongs to the place
before it, if its names or its beginning say which split it is of (``Test set: Average loss: 0.05, Accuracy:
98%``). A word within a line may say it of the names behind it (``[train] loss=0.6, [valid] loss=0.7``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from replay.data.finding import Finding, Kind, Severity
from replay.data.names import infer_mode
from replay.readers.points import count
from replay.readers.series_names import is_bookkeeping, is_held_out, split_of
from replay.readers.text.improvements import drop_improvements, is_of_best
from replay.readers.text.journal import Journal, Placed, Row, Training, place_rows
from replay.readers.text.languages import in_english
from replay.readers.text.lines import Number, without_logger
from replay.readers.text.paired import Paired
from replay.readers.text.set_dicts import plain_numbers

__all__ = ["Epochs", "Named", "named_values"]

_LONGEST = 2000
_OF = r"(?:\s?(?:/|of)\s{0,8}(\d{1,12}))?"
_EPOCH = re.compile(
    r"(?<![\w-])(?:train(?:ing)? |val(?:idation)? |eval |test )?epoch(?:_end|\w{0,3})"
    r"(?:\s?\((?:train|val|test)\))?"
    r"\s{0,20}(?:[:=#\-]|\.{3})?\s{0,4}"
    r"[\[(]?\s?(\d{1,9})(?![\d.]*[\d.%])"
    + _OF
    + r"\s?[\])]?(?:\s?\[\s{0,12}(\d{1,12})\s?/\s?(\d{1,12})\b[^\]]{0,20}\])?",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"(?<![\w#-])(?:global[_ ])?(?:step|iter(?:ation)?|update|num_updates|batch|batch_idx|num-tree)s?"
    r"\s{0,8}(?:[:=#]|\.{3})?\s{0,12}[\[(]?\s?"
    r"(\d{1,12})(?![\d.]*[\d.%])" + _OF,
    re.IGNORECASE,
)
#: `Ep 3/30`, `e: 3`, `It 500`, `Communication round 3`: words of places that are words of other texts too.
_SHORT_WORD = re.compile(
    r"\W{0,40}(?:(?:communication|comm|global|training|fl|federated) )?(round|rnd|ep|e|it)\b\s?[:=#.]?\s{0,4}"
    r"[\[(]?(\d{1,9})\b(?!\.\d|:\d)(?:\s?(?:/|of)\s?(\d{1,9})\b)?[\])]?",
    re.IGNORECASE,
)
#: `Eval loss at step 500: 0.41`, which names the place between the metric and its value.
_PLACE_WITHIN = re.compile(
    r"([A-Za-z][\w@.]{0,40}(?: [A-Za-z]\w{0,20}){0,3}) (?:at|after|@|for) "
    r"((?:global )?(?:step|iteration|epoch)s? #?\d{1,12}(?:/\d{1,12})?)\s?[:=]\s?(?=[-+.\d]|nan\b|inf\b)",
    re.IGNORECASE,
)
#: `Validation loss 500:  0.41` of Tacotron, which does so without a word.
_PLACE_BARE = re.compile(
    r"(val(?:idation)?|eval(?:uation)?|dev|test) loss (\d{1,12}): {1,4}(?=[-+.\d]|nan\b|inf\b)", re.IGNORECASE
)
#: `current epoch: 2 current mean dice: 0.41` of MONAI's tutorials, of its validation set.
_CURRENT_OF = re.compile(r"(?<=\s)current (?!epoch)(?=[A-Za-z])")
#: `**0.41**`
_BOLD = re.compile(r"\*\*([^*\s][^*]{0,80})\*\*")
_INNER = re.compile(r"\[\s{0,12}(\d{1,12})\s?/\s?(\d{1,12})\b[^\]]{0,20}\]")
#: `Valid | Epoch 3 | 7/20 | loss 0.41` of Demucs
_CELL = re.compile(r"\|\s{0,4}(\d{1,12})\s?/\s?(\d{1,12})\s{0,4}\|")
#: What stands before a place that a line only tells of: `Best epoch: 3`, `stopped at epoch 7`.
_TOLD_OF = re.compile(
    r"\bbest\W{0,3}$|\bstop(?:p(?:ed|ing))?\b[^|:=\d]{0,40}\b(?:at|after|in|on)\W{0,3}$",
    re.IGNORECASE,
)
_LAST = re.compile(r"\b(?:final|last)\W{0,3}$", re.IGNORECASE)
_ASIDE = re.compile("best|stop|final|last")
#: `3epoch results:` of ESPnet
_EPOCH_BEHIND = re.compile(r"(?<![\w.])(\d{1,9})\s?epoch(?: results?)?\s?:", re.IGNORECASE)
#: `STEP: 150/199 -- GLOBAL_STEP: 349` of Coqui
_GLOBAL_STEP = re.compile(r"(?<![\w-])global[_ ]step\s{0,8}[:=]?\s{0,4}(\d{1,12})()(?![\d.])", re.IGNORECASE)
#: `Train: [3/300][0/1251]` of Swin, and `Train: 3 [   0/1251 (  0%)]` of timm
_TRAIN_AT = re.compile(
    r"\s{0,4}Train: (?:\[(\d{1,9})/(\d{1,9})\]|(\d{1,9}) )\[\s{0,8}\d{1,12}/\s{0,8}\d{1,12}"
)
#: `epoch 3: {'accuracy': 0.81}`, as the scripts of transformers without a Trainer print an evaluation
_DICT = re.compile(r"[\s|:,-]{0,8}(?:(?:metrics?|eval\w{0,8}|results?)\s?[:=]?\s?)?(?:\{'|perplexity: )")
#: `step 1_500/10k`: a place that is written short
_SHORT_PLACE = re.compile(
    r"\b((?:step|iter(?:ation)?|update|batch)s?\s{0,8}[:=#]?\s{0,4}[\[(]?\s?)"
    r"([\d_.]{1,15}(?:[kKM]|e\+?\d{1,2})?)(?:(\s?(?:/|of)\s?)([\d_.]{1,15}(?:[kKM]|e\+?\d{1,2})?))?(?![\w.]\w)",
    re.IGNORECASE,
)
#: `71.02%`
_SHARE = re.compile(r"[\s:=|]{0,8}(\d{1,3}(?:\.\d{1,10})?)\s?%")
#: `1,250`
_GROUPED = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
#: `Loss 5.9 (4.5)`: the value of the last batch, and the mean so far.
_AVERAGED = re.compile(r"([A-Za-z][\w@]{0,40}):?\s{1,8}(?:" + Number + r")\s?\(\s{0,8}(" + Number + r")\)")
#: The first of the figures that the evaluation of COCO prints.
_COCO = re.compile(
    r"Average (?:Precision|Recall)\s{1,8}\((AP|AR)\) @\[ IoU=0\.50:0\.95 \| area=\s{1,8}all \| maxDets=100 \]"
    r" = (" + Number + r")"
)
#: What says that a number in front of it is a duration, and what says it behind a name: `computed in 0.9`.
_DURATION = re.compile(
    r"\s?(?:m?s|secs?|seconds?|minutes?|hours?|hrs?)\b(?=\s{0,8}(?:[.,;|)\](]|$))", re.IGNORECASE
)
_TOOK = re.compile(r"(?:^|[ -])(?:in|took|takes|lasted)$", re.IGNORECASE)
#: What says that a number behind it is the best one so far.
_BEST = re.compile(r"\b(?:best|so far)\b[^,;|:=]{0,60}$", re.IGNORECASE)
#: `[  3/100] train_loss: …` and `3, train_loss=…`: a place that no word names.
_BARE = re.compile(r"\s{0,8}(?:\[\s{0,8}(?=[\d\s/]{1,24}\]))?(\d{1,9})(?:\s?/\s?(\d{1,9}))?[\],]\s")
_PAIR = re.compile(
    r"(?<![\w.])([A-Za-z_][\w/@.]{0,60}(?:\([\w@]{1,12}\))?(?:[ -][A-Za-z_][\w/@.]{0,40}){0,3})['\"]?"
    r"\s{0,20}[:=]?\s{0,8}"
    r"[\[(]?(" + Number + r")(?:\s?/\s?(\d{1,12})(?=\s?\())?(%|(?=[\s,;|)\]}]|\.?$|\.\s| - ))"
)
_SETS = r"(train(?:ing)?|val(?:i(?:d(?:at(?:ion|e))?)?)?|dev|eval(?:uation)?|test(?:ing)?)"
#: `---- Evaluating Model ----`, `Running validation...`: what is in the next lines.
_ANNOUNCED = re.compile(
    r"\W{0,60}(?:running |start(?:ing)? |begin(?:ning)? )?"
    r"(evaluat(?:ing|ion|e)|validat(?:ing|ion|e)|testing)\b(?: [A-Za-z]{1,20}){0,3}\W{0,60}$",
    re.IGNORECASE,
)
#: What PaddleOCR and PaddleDetection print of an evaluation.
_CURRENT = re.compile(r"cur(?:rent)? metric[,:]\s", re.IGNORECASE)
_SPLIT = re.compile(
    r"\W{0,12}" + _SETS + r"\b(?:\.|\](?=\[))?"
    r"(?: set| results?| error| metrics| phase| epoch| summary| net output #\d{1,3}"
    r"| performan?ce)?(?: \(\w{1,20}\))?\s{0,4}(?=[:|\->\[=(@]|\s*$|(?:step|iter(?:ation)?|epoch)\b)",
    re.IGNORECASE,
)
#: What says of which set the names behind it are: `[valid]`, `(val)`, `validation:`, `Validation loss at |`.
_MARK = re.compile(
    r"[\[(<]\s?" + _SETS + r"(?: set)?\s?[\])>]"
    r"|(?<![\w/.@-])" + _SETS + r"(?: (?:set|loss|results?|metrics|scores?|phase|epoch))?"
    r"(?: \(\w{1,20}\))?(?: (?:at|on|after|for))?\s{0,4}(?:[:|>]|->?\s)\s{0,8}(?![-+.\d\s]|nan\b|inf\b)",
    re.IGNORECASE,
)
#: `Epoch 3 Val, MAE: 0.5`, which names the set behind the place.
_NEXT = re.compile(r"(\|[\s|:-]{0,12}" + _SETS + r")\s?,(?=\s{1,4}[A-Za-z])", re.IGNORECASE)
#: `Val    loss=0.5`, below `Train  loss=0.6`
_PADDED = re.compile(r"(\W{0,12}" + _SETS + r")\s{2,8}(?=[A-Za-z])", re.IGNORECASE)
#: `loss (val): 0.5`, which names the set behind the metric.
_BEHIND = re.compile(r"([A-Za-z]\w{0,40}) \(" + _SETS + r"\)(?=\s?[:=]\s?[-+.\d])", re.IGNORECASE)
#: What the tutorial of PyTorch on CIFAR prints, and DeiT.
_OF_IMAGES = re.compile(
    r"(?:\b(?:test|validation|val) )?Accuracy of the (?:network|model) on the (?:\d{1,9} )?"
    r"(test|validation|val) (?:images|data|inputs|samples|examples)",
    re.IGNORECASE,
)
#: Words of percentages that are no metrics.
_SHARES = re.compile(
    r"gpu|cpu|mem|util|ram|disk|progress|done|complete|improve|increase|decrease|reduc|drop|gain|change|delta|diff"
    r"|target|goal|threshold|confidence|spars|ratio|rate|percent|pct|size|data|split|best"
)
#: Words of names that count something.
_COUNTS = frozenset("number num samples examples size count images batches params parameters n".split())
_RATES = frozenset({"lr", "learning_rate", "grad_norm"})
#: Names that are of the training where nothing says otherwise.
_OF_TRAINING = _RATES | {"loss"}
#: What says that a place is the end of what was printed before it: `Epoch 3 done`.
_ENDED = re.compile(r"\b(?:done|finish(?:ed)?|completed?|ended|end of|is over|took)\b", re.IGNORECASE)
#: Parts of all words of places, and of all words of held-out sets, those that `_name` makes included: not
#: every "value" and "device" is one.
_PLACES = ("epoch", "step", "iter", "update", "batch", "num-tree", "train: ")
_HELD_OUT = re.compile(r"val(?!ue)|eval|dev(?!ic|elop)|test|held|hold|cv_")
#: `Eval iter: 10`
_OF_EVAL_STEP = re.compile(r"\W{0,12}(?:eval|val|valid|test)\w{0,8} (?:iter|batch)", re.IGNORECASE)
#: A line without a place belongs to the one before it for as many lines.
_NEAR = 40
#: So many lines may stand between what announces an evaluation and its values.
_BETWEEN = 6


class Inside(NamedTuple):
    """How far an epoch is at a row: by the row itself, or by the last line before that says it."""

    done: float
    total: float
    itself: bool
    steps: bool  # whether steps are counted, and not batches or examples


class Named(NamedTuple):
    """A name with its value, and whether that is a percentage."""

    name: str
    value: float
    percent: bool = False
    digits: bool = False  # whether it was printed as a whole number


def named_values(text: str) -> Iterator[Named]:
    """The names in a text that have a number behind them, in lower case where they are several words."""
    for match in _PAIR.finditer(text):
        name, number, whole, percent = match.groups()
        try:
            value = float(number)
        except ValueError:
            continue
        if _BEST.search(text, max(0, match.start() - 60), match.start()):
            continue
        if _TOOK.search(name) or _DURATION.match(text, match.end()):
            continue
        if whole and float(whole):
            value /= float(whole)
        elif whole:
            continue
        yield Named(
            _name(name), value, percent == "%", number.isdigit()
        )  # 98% is logged as 98, as any other tool does


def _name(name: str) -> str:
    if "/" in name and " " not in name:
        return name  # as another logger calls it
    parts = re.split(r"[ -]+", name)
    ended = max(
        (at for at, part in enumerate(parts[:-1], 1) if len(part) > 6 and part.endswith(".")), default=0
    )
    parts = [part.strip(".") for part in parts[ended:]]  # "completed. Avg val loss" are two sentences
    if len(parts) == 1:
        return f"val_{name[3:]}" if name.startswith("cv_") else parts[0]  # WeNet's cross-validation set
    if parts[0] == "CROSSVAL":  # Kaldi
        parts[0] = "val"
    if parts[-1].startswith("cv_"):
        return f"val_{parts[-1][3:]}"
    if [part.lower() for part in parts[:2]] == ["held", "out"]:
        parts = ["heldout", *parts[2:]]
    return "_".join(
        part.lower()
        for part in parts
        if part and part.lower() not in ("average", "avg", "the", "is", "of", "with", "and", "complete")
    )


def _is_size(pair: Named) -> bool:
    """Whether a number behind the mere name of a set is how many examples that has: ``test 2785``."""
    whole = pair.digits or (pair.value > 1 and pair.value.is_integer())
    return split_of(pair.name.removesuffix("_set")) is not None and whole and not pair.percent


def _written_out(match: re.Match[str]) -> str:
    """A place with its numbers as plain ones."""
    before, done, between, total = match.groups()
    numbers = [part if (value := count(part)) is None else f"{value:.0f}" for part in (done, total) if part]
    return before + (between or "").join(numbers)


def _spelled_out(text: str) -> str:
    """The line with the word epoch or iteration where it names a place by a short word, and values of a
    held-out set behind it or nothing.
    """
    match = _SHORT_WORD.match(text)
    if match is None:
        return text
    word, done, total = match.groups()
    rest = text[match.end() :]
    is_head = len(word) > 1 and word.lower() != "it" and not any(map(str.isalnum, rest))
    if not is_head and not any(is_held_out(pair.name) for pair in named_values(Paired().apart(rest))):
        return text
    place = "iteration" if word.lower() == "it" else "epoch"
    return f"{place} {done}{f'/{total}' if total else ''} {rest}"


def _may_be_held_out(lower: str) -> bool:
    """Whether a line in lower case has a word of a held-out set anywhere."""
    return _HELD_OUT.search(lower) is not None


def _may_be_share(pair: Named) -> bool:
    """Whether a percentage under any name is a metric, where its set is known: ``mR=58.9%``."""
    return pair.percent and not pair.digits and _SHARES.search(pair.name.lower()) is None


def _names_a_set(name: str) -> bool:
    return is_held_out(name) or "train" in name.lower()


def _is_of_eval(values: Iterable[str]) -> bool:
    """Whether a dict with these names is of an evaluation, and of nothing else."""
    lower = {name.lower() for name in values}
    return any(map(is_held_out, lower)) and lower.isdisjoint(_OF_TRAINING) and "train" not in " ".join(lower)


def _is_value(name: str) -> bool:
    """Whether a name is that of a value of its place: no count, and not the best so far or the last one."""
    lower = name.lower()
    if (
        is_bookkeeping(name)
        or not _COUNTS.isdisjoint(lower.split("_"))
        or "best" in lower.split("_")
        or lower.startswith(("last_", "min_", "max_", "minimum", "maximum", "lowest", "highest", "final"))
        or lower.endswith(("_from", "_so_far", "_decreased", "_increased", "_improved"))
    ):
        return False
    return is_held_out(name) or "loss" in lower or infer_mode(name) is not None or lower in _RATES


class Epochs:
    """Any line with an epoch or a step and named numbers."""

    specific = False

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._journal = Journal("text")
        self._epoch: float | None = None
        self._step: float | None = None
        self._at: tuple[float, float] | None = None  # how far the epoch is
        self._counts_steps = False
        self._split: str | None = None
        self._planned = ("epochs", 0.0)  # of the last place that states a plan
        self._order = -_NEAR
        self._reached: dict[str, float] = {}  # the last epoch of each name
        self._announced = False  # whether the next line has the values of an evaluation
        self._listed = -_NEAR  # the last line of a list of such values, or its head
        self._summed: str | None = None  # the set of such summaries
        self._waiting: tuple[int, dict[str, float]] | None = None  # the last batch of an evaluation
        self._paired = Paired()
        self._percentages: set[str] = set()  # names of sets that have a percentage behind them
        self._ahead: list[tuple[int, dict[str, float]]] = []  # values whose place has not come yet
        self._line = ""
        self._of_best: set[int] = set()  # lines that may be printed only where a model got better
        #: Metrics of which only improvements are printed, in trainings that hold nothing else.
        self.findings: list[Finding] = []
        self._has_loss_of_train = False  # whether a plain loss stands behind a metric of the training set
        self._behind = False  # whether places stand behind their values
        self._counts_all = False  # whether lines print the steps of the training as such: those of Coqui

    @staticmethod
    @lru_cache(1)  # one line is offered to several dialects
    def _plain(text: str) -> str:
        """A line without its logger, in English, with numbers as Python reads them."""
        if ": INFO " in text[:160]:
            text = text.partition(": INFO ")[2] or text
        elif text[0] in "[(0123456789DIWEC" or " - INFO" in text or " INFO  " in text[:40]:
            text = without_logger(text)
        text = in_english(text)
        if "," in text:
            text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
        if "**" in text:
            text = _BOLD.sub(r"\1", text)
        if "  " in text and (padded := _PADDED.match(text)) is not None:
            text = f"{padded[1]} {text[padded.end() :]}"
        return _spelled_out(plain_numbers(text))

    def values_of(self, text: str) -> dict[str, float] | None:
        """The values of a line that names no place, by their names; None where it names one."""
        if len(text) > _LONGEST or not (text := self._plain(text)):
            return {}
        lower = text.lower()
        if any(word in lower for word in _PLACES) and (
            _EPOCH.search(text) or _EPOCH_BEHIND.search(text) or _STEP.search(text) or _TRAIN_AT.match(text)
        ):
            return None
        return self._named(text) if _may_be_held_out(lower) else {}

    def take(self, text: str, order: int) -> bool:
        """Take a line with named numbers, or one that says where the next ones belong."""
        if len(text) > _LONGEST:
            return False
        self._line = text = self._plain(text)
        lower = text.lower()
        if "[eval=" in lower or "final model num-trees" in lower:
            return True  # how far an evaluation of OLMo-core is; what YDF kept
        if " loss " in lower and ": " in text:
            text, count = _PLACE_BARE.subn(r"step \2: \1 loss: ", text, count=1)
            lower = text.lower() if count else lower
        if "current epoch: " in text:
            text = _CURRENT_OF.sub("val ", text)
        places = (
            "epoch" in lower
            or "step" in lower
            or "iter" in lower
            or "update" in lower
            or "num-trees" in lower
            or ("batch" in lower and self._epoch is None)
        )
        if places:
            text = _SHORT_PLACE.sub(_written_out, _PLACE_WITHIN.sub(r"\2: \1: ", text))
        if "epoch" in lower:
            epoch_match = _EPOCH.search(text) or _EPOCH_BEHIND.search(text)
        else:
            epoch_match = self._bare(text, places)
        step_match = (_GLOBAL_STEP.search(text) or _STEP.search(text)) if places else None
        if (train_at := _TRAIN_AT.match(text)) is not None:
            self._add_waiting()
            self._epoch, self._step, self._order = float(train_at[1] or train_at[3]), None, order
            self._at = None
            self._split, self._planned = None, ("epochs", float(train_at[2] or 0))
            return True
        if epoch_match is None and step_match is None:
            return self._take_unplaced(text, lower, order)
        self._counts_all |= step_match is not None and step_match.re is _GLOBAL_STEP
        if epoch_match is None and step_match is not None and self._is_of_eval(text, step_match):
            return True
        if _ASIDE.search(lower) is not None and self._is_told_of(text, epoch_match or step_match):
            self._order = order - _NEAR - 1  # what follows is not of this place
            return True
        if self._waiting is not None and epoch_match is not None and self._goes_on(text, epoch_match):
            self._waiting = None
        self._add_waiting()
        epoch = step = None
        inner: tuple[float, float] | None = None
        rest = text
        cuts = []
        if epoch_match is not None:
            epoch = float(epoch_match[1])
            cuts.append(epoch_match.span())
            if epoch_match.re is _EPOCH and epoch_match[4] and float(epoch_match[4]):
                inner = (float(epoch_match[3]), float(epoch_match[4]))
        if step_match is not None:
            step = float(step_match[1])
            cuts.append(step_match.span())
            if epoch is not None and step_match.re is _STEP and step_match[2] and float(step_match[2]):
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
        self._at = inner
        self._counts_steps = step_match is not None and "batch" not in step_match[0].lower()
        head = _SPLIT.match(text)
        split = None if head is None else split_of(head[1])
        if split == "held-out" and inner is None and epoch is not None and (cell := _CELL.search(rest)):
            inner = self._at = (float(cell[1]), float(cell[2]) or 1.0)
        if epoch is not None and "," in rest:
            rest = _NEXT.sub(r"\1: ", rest, count=1)
        self._epoch, self._step, self._order = epoch, step, order
        self._split = head[1].lower() if head is not None and split == "held-out" else None
        if "evaluating " in lower:  # DeepSpeed-Chat: "***** Evaluating perplexity, Epoch 1/2 *****"
            self._split, self._announced = "eval", True
        if epoch_match is not None and epoch_match.re is not _EPOCH_BEHIND and epoch_match[2]:
            self._planned = ("epochs", float(epoch_match[2]))
        elif epoch_match is None and step_match is not None and step_match.re is _STEP and step_match[2]:
            self._planned = ("steps", float(step_match[2]))
        elif self._planned[0] == "steps":
            self._planned = ("epochs", 0.0)
        self._place_ahead(lower)
        values = self._named(rest)
        if (
            split == "held-out"
            and step_match is not None
            and step_match.re is _STEP
            and step_match[2]
            and epoch_match is None
            and not any(_names_a_set(pair.name) for pair in named_values(rest))
        ):
            return True  # "Eval step 10/50: loss 0.5" is how far an evaluation is
        is_batch = split == "held-out" and epoch is not None and inner is not None and bool(values)
        if is_batch and not any(_names_a_set(pair.name) for pair in named_values(rest)):
            self._waiting = (order, values)  # the mean so far: the last one counts
            return True
        if (
            epoch_match is not None
            and _DICT.match(text, epoch_match.end())
            and (not any(map(_names_a_set, values)) or _is_of_eval(values))
        ):
            values = {name if is_held_out(name) else f"eval_{name}": value for name, value in values.items()}
        if values:
            self._add(order, values, inner)
        elif self._split is not None:
            self._listed = order  # the values of an evaluation are in the next lines
        return True

    def _is_of_eval(self, text: str, step: re.Match[str]) -> bool:
        """Whether a line says how far an evaluation is, and nothing else: ``Eval iter: 10``, or ``STEP: 3``
        in a text whose training counts ``GLOBAL_STEP``.
        """
        if step.re is not _STEP or step[2] or any(map(str.isalnum, text[step.end() :])):
            return False
        if self._counts_all:
            return not any(map(str.isalnum, text[: step.start()]))
        is_placed = self._epoch is not None or self._step is not None
        return is_placed and _OF_EVAL_STEP.match(text) is not None

    def _place_ahead(self, line: str) -> None:
        """Values before the first place are its own where it is an end, and so are later ones then."""
        is_end = _ENDED.search(line) is not None
        if self._ahead and is_end:
            self._behind = True
            for order, values in self._ahead:
                self._add(order, values, None)
        elif self._ahead and self._epoch is None and self._step == 1:
            self._step = 0.0  # an evaluation before the training
            for order, values in self._ahead:
                self._add(order, values, None)
            self._step = 1.0
        if is_end or not self._behind:
            self._ahead = []

    def _goes_on(self, text: str, epoch: re.Match[str]) -> bool:
        """Whether a line has further values of the evaluation whose batches were before it, or sums it up."""
        head = _SPLIT.match(text)
        return float(epoch[1]) == self._epoch and head is not None and head[1].lower() == self._split

    @staticmethod
    def _bare(text: str, is_placed: bool) -> re.Match[str] | None:
        """The epoch in brackets at the begin of a line that names no place, but both sides of a metric."""
        is_bare = not is_placed and ("[" in text[:9] or (text[:1].isdigit() and "," in text[:9]))
        match = _BARE.match(text) if is_bare else None
        if match is None:
            return None
        names = [pair.name for pair in named_values(text[match.end() :])]
        sides = any(map(is_held_out, names)), any("train" in name.lower() for name in names)
        return match if all(sides) else None

    def _is_told_of(self, text: str, place: re.Match[str] | None) -> bool:
        """Whether a line only tells of a place, as the best one, or the one at which a training stopped."""
        assert place is not None
        begin, end = place.span()
        if _TOLD_OF.search(text, max(0, begin - 80), begin) is not None:
            return True
        return _LAST.search(text, max(0, begin - 20), begin) is not None and not self._named(text[end:])

    def _take_unplaced(self, text: str, lower: str, order: int) -> bool:
        """A line that belongs to the place before, or to one that comes."""
        if self._behind or (self._epoch is None and self._step is None):
            if not self._behind and not _may_be_held_out(lower):
                return False
            values = self._named(text)
            if any(map(is_held_out, values)):
                self._ahead = [*self._ahead[-_NEAR:], (order, values)]
            return self._behind and bool(values)
        if order - self._order > _NEAR:
            return False
        if "= " in text and (coco := _COCO.search(text)) is not None:
            self._add(order, {f"eval_{coco[1]}": float(coco[2])}, None)
            self._order = order
            return True
        current = _CURRENT.match(text)
        if current is not None:
            text, self._split = f"  {text[current.end() :]}", "eval"
        head = _SPLIT.match(text)
        announced = _ANNOUNCED.match(text) if head is None else None
        if announced is not None:
            self._split = {"v": "val", "e": "eval", "t": "test"}[announced[1][0].lower()]
            self._announced, self._listed, self._order = True, order, order
            return True
        if head is not None:
            held_out = split_of(head[1].rstrip(".")) == "held-out" or is_held_out(head[1])
            self._split = head[1].lower() if held_out else None
            progress = _INNER.match(text[head.end() :].lstrip(": \t"))
            if held_out and progress is not None:
                if float(progress[1]) + 1 >= float(progress[2]):
                    means = {name: float(mean) for name, mean in _AVERAGED.findall(text, head.end())}
                    shown = {f"{self._split}_{name}": mean for name, mean in means.items() if _is_value(name)}
                    self._waiting = (order, shown)
                return True
        elif text.lstrip().startswith("* "):  # the summary of an evaluation in the examples of PyTorch
            self._summed = self._summed or self._split or "val"
            self._split = self._summed
            if self._waiting is not None:  # the summary may have no loss
                before, means = self._waiting
                rest = {name: mean for name, mean in means.items() if "loss" in name.lower()}
                self._waiting = (before, rest) if rest and "loss" not in lower else None
                self._add_waiting()
        elif self._split is not None and not text[:1].isspace():
            is_listed = self._announced or order == self._listed + 1
            self._split = self._split if is_listed else None
        is_awaited = self._announced and order - self._listed < _BETWEEN
        self._announced = False
        is_told = head is not None or self._split is not None
        if not is_told and not any(
            word in lower
            for word in ("loss", "acc", "val", "test", "eval", "ppl", "f1", "score", "bleu", "err", "auc")
        ):
            return False
        values = {}
        if head is not None:
            text = text[head.end() :]
            share = _SHARE.fullmatch(text) if text.endswith("%") else None
            if share is not None:  # "Valid: 71.02%"
                if split_of(head[1]) == "held-out":
                    self._percentages.add(head[1])
                values = {head[1]: float(share[1])}
        values = values or self._named(text)
        if not is_told and not any(map(_names_a_set, values)):
            return False
        self._announced = is_awaited and not values and head is None
        if (values and self._listed == order - 1) or (head is not None and not values):
            self._listed = order
        if values:
            self._add(order, values, None)
            self._order = order
        return bool(values)

    def _named(self, text: str) -> dict[str, float]:
        """The values of a line, those of held-out data under such names."""
        of_epoch = self._epoch is not None and self._step is None and self._at is None
        text = _OF_IMAGES.sub(r"\1 accuracy", _BEHIND.sub(r"\2_\1", text))
        text = self._paired.apart(text, assume=of_epoch)
        values: dict[str, float] = {}
        begin, split = 0, self._split
        for mark in _MARK.finditer(text):
            values = self._of_set(text[begin : mark.start()], split) | values
            word = mark[1] or mark[2]
            begin, split = mark.end(), word.lower() if split_of(word) == "held-out" else None
        if begin and not text[begin:].strip():
            self._split = split  # the values are in the next lines
        values = self._of_set(text[begin:], split) | values
        return {} if {name.lower() for name in values} <= _RATES - {"grad_norm"} else values

    def _of_set(self, text: str, split: str | None) -> dict[str, float]:
        """The values of the part of a line that is about one set."""
        pairs = [
            pair
            for pair in named_values(text)
            if (_is_value(pair.name) or _may_be_share(pair)) and not _is_size(pair)
        ]
        stated = [pair.name for pair in pairs if _names_a_set(pair.name)]
        values: dict[str, float] = {}
        before, behind_train = split, False  # whether the last name with a set was one of the training
        for name, value, percent, _ in pairs:
            if percent and split_of(name) == "held-out":
                self._percentages.add(name)
            is_plain_loss = name.lower() == "loss"
            if name in stated:
                before = name.partition("_")[0] if is_held_out(name) and "_" in name else None
                before = split if before is None and is_held_out(name) else before
                behind_train = "train" in name.lower()
            elif (
                is_plain_loss
                and before
                and split is None
                and self._has_loss_of_train
                and not any("train" in other.lower() for other in stated)
            ):
                name = f"{before}_{name}"  # "Valid acc: 0.7 | loss: 0.6" below "Train acc: 0.8 | loss: 0.5"
            elif percent and not before and not _is_value(name):
                continue
            elif before and name.lower() not in (_RATES if split is not None else _OF_TRAINING):
                # "val Loss: 0.7 Acc: 0.6", and "Train Loss: 0.6 | Val Precision: 0.5, Recall: 0.6"
                name = f"{before}_{name}"
            self._has_loss_of_train |= is_plain_loss and behind_train
            values.setdefault(name, value)
        return values

    def _add_waiting(self) -> None:
        """The last batch of an evaluation counts where no line sums the evaluation up."""
        if self._waiting is not None:
            order, values = self._waiting
            self._waiting = None
            if values:
                self._add(order, values, None)

    def _add(self, order: int, values: dict[str, float], inner: tuple[float, float] | None) -> None:
        current = self._journal.current
        if (
            current is not None
            and self._step is None
            and self._epoch is not None
            and inner is None
            and self._epoch <= (current.rows[0].epoch or 0.0)
            and any(self._reached.get(name, -1.0) > self._epoch for name in values)
        ):
            self._journal.begin()
            self._reached = {}
        beside = None if self._at is None else Inside(*self._at, inner is not None, self._counts_steps)
        training = self._journal.add(order, self._step, self._epoch, values, beside)
        if any(map(is_held_out, values)) and is_of_best(self._line):
            self._of_best.add(order)
        if self._epoch is not None:
            self._reached.update(dict.fromkeys(values, self._epoch))
        unit, planned = self._planned
        if planned:
            training.facts[f"_planned_{unit}"] = max(planned, training.facts.get(f"_planned_{unit}", 0.0))

    def finish(self) -> list[Training]:
        """The trainings."""
        self._add_waiting()
        for training in self._journal:
            if self._of_best:
                drop_improvements(training, self._of_best)
                if not training.rows:
                    self.findings += training.facts["findings"]
        self._journal.trainings = [training for training in self._journal if training.rows]
        for training in self._journal:
            training.placed = _placed(training)
            assumed = sorted(self._paired.assumed)
            if any(f"val_{name}" in training.names() for name in assumed):
                facts = {"metrics": tuple(assumed)}
                found = Finding(Kind.ASSUMED_SETS, Severity.NOTE, facts=facts)
                training.facts["findings"] = [*training.facts.get("findings", ()), found]
            # how many of 100 is how many are right, where nothing says what is counted
            training.modes |= dict.fromkeys(self._percentages & training.names(), "max")
        return self._journal.trainings


def _placed(training: Training) -> Placed:
    """The points: by step where a step is printed that goes on over the epochs, else by epoch."""
    epochs_planned, steps_planned = (
        training.facts.pop(f"_planned_{unit}", None) for unit in ("epochs", "steps")
    )
    rows = training.rows
    with_step = [row for row in rows if row.step is not None]
    rows = _by_steps_of_all(rows, with_step, epochs_planned)
    if rows is not training.rows:
        steps_planned = max(row.beside.total for row in training.rows if row.beside is not None)
        with_step = rows
    inside = any(row.beside is not None and row.beside.itself for row in rows) or _restarts(with_step)
    if with_step and not inside:
        if steps_planned:
            training.facts["planned_steps"] = steps_planned
        if epochs_planned:
            training.facts["planned_epochs"] = epochs_planned
        return place_rows(training, _by_step(rows), by_epoch=False)
    epochs = [row.epoch for row in rows if row.epoch is not None]
    if epochs_planned:  # "Epoch 4/4" of five epochs that begin at 0
        epochs_planned += bool(epochs) and min(epochs) == 0 and max(epochs) == epochs_planned
        training.facts["planned_epochs"] = training.facts["planned_steps"] = epochs_planned
    first = rows[0]
    train = any(not is_held_out(name) for row in rows for name in row.values)
    before = bool(first.values) and all(is_held_out(name) for name in first.values) and first.epoch == 0
    zero_based = bool(epochs) and min(epochs) == 0 and not (train and before)
    if zero_based and train and _evals_count_finished(rows):
        rows = [
            row
            if row.epoch is None or any(map(is_held_out, row.values))
            else row._replace(epoch=row.epoch + 1)
            for row in rows
        ]
        zero_based = False
    length = max((row.step for row in with_step if row.step is not None), default=0.0)
    return place_rows(training, _by_epoch(rows, length), by_epoch=True, zero_based=zero_based)


def _by_steps_of_all(rows: list[Row], with_step: list[Row], planned: float | None) -> list[Row]:
    """The rows with their place in the epoch as their step, where it counts the steps of all epochs: evals
    have such a step and no epoch, or it goes on from epoch to epoch, or there is only the first epoch.
    """
    inside = [row for row in rows if row.beside is not None]
    if not inside or len(inside) + len(with_step) < len(rows):
        return rows
    moved = [
        row if row.beside is None or row.step is not None else row._replace(step=row.beside.done, beside=None)
        for row in rows
    ]
    totals = {row.beside.total for row in inside}
    apart = any(row.epoch is None and any(map(is_held_out, row.values)) for row in with_step)
    epochs = {row.epoch for row in inside}
    first_only = epochs <= {0.0, 1.0} and len(epochs) == 1 and all(row.beside.steps for row in inside)
    goes_on = len(epochs) > 1 or (first_only and not planned)
    if len(totals) > 1 or not (apart or goes_on) or _restarts(moved):
        return rows
    return moved


def _evals_count_finished(rows: list[Row]) -> bool:
    """Whether each eval names the epoch that is to follow, as OpenCLIP's: how many are finished."""
    last: float | None = None
    ahead = 0
    for row in rows:
        if row.epoch is None:
            continue
        if not any(map(is_held_out, row.values)):
            last = row.epoch
        elif last is not None and row.epoch == last + 1:
            ahead += 1
        else:
            return False
    return ahead > 1


def _restarts(rows: list[Row]) -> bool:
    """Whether the step begins anew with each epoch, of the training or of an evaluation."""
    before: dict[bool, Row] = {}
    for row in rows:
        held_out = bool(row.values) and all(map(is_held_out, row.values))
        last = before.get(held_out)
        if (
            last is not None
            and row.epoch is not None
            and last.epoch is not None
            and row.epoch > last.epoch
            and (row.step or 0.0) <= (last.step or 0.0)
        ):
            return True
        before[held_out] = row
    return False


def _by_step(rows: list[Row]) -> Iterator[tuple[float, Row]]:
    last, logged = None, set[str]()
    for row in rows:
        values = row.values if row.epoch is None else {**row.values, "epoch": row.epoch}
        if row.step is not None:
            last, logged = row.step, {name for name in values if not is_held_out(name)}
        elif logged:  # the means over an epoch, below its last step
            values = {name: value for name, value in values.items() if name not in logged}
        if last is not None:
            yield last, row._replace(values=values)


def _are_within(rows: list[Row], *, held_out: bool) -> bool:
    """Whether most epochs have several values of one metric at different places within them."""
    places: dict[tuple[str, float], set[float]] = {}
    for row in rows:
        if row.beside is not None and row.epoch is not None:
            for name in (name for name in row.values if is_held_out(name) == held_out):
                places.setdefault((name, row.epoch), set()).add(row.beside.done)
    several = sum(len(here) > 1 for here in places.values())
    return 2 * several > len(places)


def _steps_before(rows: list[Row]) -> list[float | None]:
    """For each eval that names an epoch and no step, between two steps of that epoch as icefall prints it,
    the step before it.
    """
    steps: list[float | None] = [None] * len(rows)
    last: Row | None = None
    waiting: list[int] = []
    for number, row in enumerate(rows):
        if row.epoch is None:
            continue
        if last is not None and last.epoch != row.epoch:
            last, waiting = None, []
        if row.step is not None:
            if last is not None and last.step is not None and row.step > last.step:
                for other in waiting:
                    steps[other] = last.step
            last, waiting = row, []
        elif last is not None and row.beside is None and any(map(is_held_out, row.values)):
            waiting.append(number)
    return steps


def _by_epoch(rows: list[Row], length: float) -> Iterator[tuple[float, Row]]:
    within, train_within = _are_within(rows, held_out=True), _are_within(rows, held_out=False)
    between = _steps_before(rows) if length else [None] * len(rows)
    last: float | None = None
    for row, before in zip(rows, between, strict=True):
        held_out = any(is_held_out(name) for name in row.values)
        # "validation: iter 3" is of the epoch before
        at = last if row.epoch is None and held_out else row.epoch
        if at is None:
            continue
        if row.epoch is None:
            yield at, row
            continue
        last = row.epoch
        if row.beside is not None and (within if held_out else row.beside.itself or train_within):
            at = row.epoch - 1 + min(row.beside.done / row.beside.total, 1.0)
        elif before is not None:
            at = row.epoch - 1 + min(before / length, 1.0)
        elif not held_out and row.step is not None and length:
            at = row.epoch - 1 + min(row.step / length, 1.0)
        yield at, row
