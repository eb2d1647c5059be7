"""What the name of a logged series says: held out or not, bookkeeping, step, companion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from replay.data.names import HELD_OUT_WORDS, SHORT_WORDS, canonical, infer_mode
from replay.data.types import Mode

__all__ = [
    "chosen_modes",
    "companions_of",
    "computed_beside",
    "held_out_of",
    "is_bookkeeping",
    "is_held_out",
    "is_metric",
    "is_setting",
    "mean_of",
    "per_batch",
    "split_of",
    "step_name",
    "tells_of_training",
    "without_set",
    "words",
]

_TIMES = {
    "runtime",
    "time",
    "seconds",
    "secs",
    "duration",
    "elapsed",
    "passed",
    "remaining",
    "eta",
    "timestamp",
    "second",
    "sec",
    "fps",
    "ips",
    "throughput",
}


_PLACES = {
    "step",
    "steps",
    "epoch",
    "epochs",
    "iter",
    "iters",
    "iteration",
    "iterations",
    "samples",
    "examples",
    "batches",
}


_TRAIN = {"train", "training", "learn"}

#: Words of the training set beside the short words of a held-out one (`tr_loss`, `va_loss`).
_TRAIN_SHORT = {"tr", "trn", "train", "training"}

#: Words of columns that a training logs beside its metrics.
_LEARNING = frozenset("train training trn tr lr learning grad gradient loss losses accuracy reward".split())
#: Words of metrics that are words of other tables too.
_ELSEWHERE = frozenset(
    """
    err error errors cost score return returns hit hits hr map ap ar em er ter mer nme der
    """.split()
)

#: Last words of settings, whatever stands before them: `val_loss_weight`, `eval_batch_size`.
_SETTINGS = frozenset(
    """
    weight weights size sizes frequency freq interval patience strategy workers seed path dir file folder
    delay enabled device devices
    """.split()
)
#: What is set of a split, where it is all of a name besides the set's: `val_ratio`, `test_split`.
_OF_SPLITS = frozenset(
    """
    split fraction frac ratio percent percentage pct proportion share index idx id date type name from until
    """.split()
)
#: Words before a place that make a plan of it: `max_eval_samples`, `limit_val_batches`.
_PLANS = frozenset("max min limit every accumulation sanity check".split())


_STEPS = (
    "global_step",
    "train_global_step",
    "trainer_global_step",
    "step",
    "current_steps",
    "iteration",
    "iter",
    "steps",
    "iters",
    "iterations",
    "training_step",
    "train_step",
    "num_updates",
    "update",
    "training_iteration",
    "step_number",
    "iteration_number",
)


@lru_cache(4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a logged name in lower case: ``validation/epochLoss`` has validation, epoch and loss."""
    return tuple(canonical(re.sub(r"([a-z])([A-Z])", r"\1_\2", name)).split("_"))


@lru_cache(4096)
def is_held_out(name: str) -> bool:
    """Whether a series' name says that it was measured on held-out data (``val_loss``, ``eval/loss``,
    ``DEV_F1``).
    """
    return bool(HELD_OUT_WORDS & set(words(name))) and not (is_bookkeeping(name) or is_setting(name))


@lru_cache(4096)
def is_setting(name: str) -> bool:
    """Whether a name is that of a setting or of a part of the data, and not of a metric
    (``val_loss_weight``, ``eval_batch_size``, ``max_eval_samples``, ``test_split``).
    """
    parts = words(name)
    rest = [part for part in parts if part not in HELD_OUT_WORDS]
    return len(parts) > 1 and (
        parts[-1] in _SETTINGS
        or (len(rest) == 1 and rest[0] in _OF_SPLITS and rest[0] == parts[-1])
        or (parts[-1] in _PLACES and not _PLANS.isdisjoint(parts))
    )


@lru_cache(4096)
def is_bookkeeping(name: str) -> bool:
    """Whether a name counts time, speed, memory or places in the data (``eval_samples_per_second``,
    ``test/time``), and so is not a metric.
    """
    parts = words(name)
    rest = [
        part
        for part in parts
        if part not in HELD_OUT_WORDS and part not in ("num", "total", "n", "global", "count")
    ]
    if not rest:
        return not {"n", "num", "count"}.isdisjoint(parts)  # over how many the metrics of a set are means
    return (
        rest[-1] in _TIMES
        or rest in ([place] for place in _PLACES)
        or {"per", "second"} <= set(parts)
        or not {"memory", "speed"}.isdisjoint(parts)
        or ("mem" in parts and not {"cpu", "gpu"}.isdisjoint(parts))
    )


def per_batch(names: Iterable[str]) -> set[str]:
    """Those names that are the noisy per-batch side of a per-epoch metric: ``val_loss_step`` beside
    ``val_loss_epoch``.

    Lightning logs both; the per-batch one may be split further by epoch (``val_loss_step/epoch_0``) and has a
    step of its own.
    """
    names = list(names)
    whole = {name.removesuffix("_epoch") for name in names if name.endswith("_epoch")}
    return {
        name
        for name in names
        if (match := re.fullmatch(r"(.+)_step(/epoch_\d+)?", name)) and (match[2] or match[1] in whole)
    }


def held_out_of(names: Iterable[str]) -> set[str]:
    """The held-out metrics among the names of one log, by name alone.

    These are the names of a held-out split, and Ultralytics' ``metrics/…`` where there is a ``val/…``. The
    per-batch side of a per-epoch metric is not one of them, nor is the spread over folds beside their mean.
    """
    return set(_held_out_of(tuple(names)))


@lru_cache(1024)
def _held_out_of(names: tuple[str, ...]) -> frozenset[str]:
    held_out = {name for name in names if is_held_out(name) and canonical(name) != "hp_metric"}
    held_out |= _shortened(names)
    if any(name.startswith("val/") for name in held_out):
        held_out |= {name for name in names if name.startswith("metrics/") and not is_bookkeeping(name)}
    return frozenset(held_out - per_batch(names) - {name for name in held_out if mean_of(name) in names})


def _shortened(names: Sequence[str]) -> set[str]:
    """The names with a short word of a held-out set (``va_loss``, ``acc_ts``), where the log has one of the
    word's metrics on the training set as well, or plainly.
    """
    shortened: dict[str, tuple[str, tuple[str, ...]]] = {}
    train, plain = set(), set()
    for name in names:
        parts = words(name)
        plain.add(parts)
        if len(parts) < 2:
            continue
        for word, rest in ((parts[0], parts[1:]), (parts[-1], parts[:-1])):
            if word in _TRAIN_SHORT:
                train.add(rest)
            elif word in SHORT_WORDS and infer_mode("_".join(rest)) is not None:
                shortened[name] = word, rest
    sure = {"va", "vld", "tst"}
    known = {word for word, rest in shortened.values() if rest in train or (rest in plain and word in sure)}
    return {name for name, (word, _) in shortened.items() if word in known}


def computed_beside(names: Sequence[str]) -> set[str]:
    """The columns of a table by fastai or transformers that were computed on the validation set, as is the
    loss that they stand behind, though their names do not say so.
    """
    return set(_computed_beside(tuple(names)))


@lru_cache(1024)
def _computed_beside(names: tuple[str, ...]) -> frozenset[str]:
    plain = [canonical(name) for name in names]
    fastai = plain[:3] == ["epoch", "train_loss", "valid_loss"] and plain[-1] == "time"
    if not fastai and not (
        "validation_loss" in plain and ("training_loss" in plain or {"epoch", "step"} <= set(plain))
    ):
        return frozenset()
    behind = names[plain.index("valid_loss" if fastai else "validation_loss") + 1 :]
    return frozenset(
        name
        for name in behind
        if not is_bookkeeping(name) and canonical(name) not in ("training_loss", "step", "epoch")
    )


def without_set(names: Sequence[str]) -> set[str]:
    """The columns of a table with a loss of the training and one of the validation set that stand behind
    these and name no set: many loops compute them on the validation set.

    Not where a column of them has a counterpart that names a set, or where the table has a plain loss.
    """
    return set(_without_set(tuple(names)))


@lru_cache(1024)
def _without_set(names: tuple[str, ...]) -> frozenset[str]:
    parts = [words(name) for name in names]
    losses = [at for at, part in enumerate(parts) if part[-1] in ("loss", "losses")]
    if len(losses) != 2 or not all(len(parts[at]) == 2 for at in losses):
        return frozenset()
    first, second = (split_of(parts[at][0]) for at in losses)
    if {first, second} != {"train", "held-out"} or losses[1] != losses[0] + 1:
        return frozenset()
    behind = {
        name
        for name, part in zip(names[losses[1] + 1 :], parts[losses[1] + 1 :], strict=True)
        if is_metric(name) and not is_held_out(name) and _TRAIN_SHORT.isdisjoint(part)
    }
    stated = {part[1:] for part in parts if split_of(part[0]) is not None}
    return frozenset(name for name in behind if words(name) not in stated)


def mean_of(name: str) -> str | None:
    """The name of the mean over folds to which a name is the spread (``test-auc-std``), or None."""
    match = re.fullmatch(r"(.+[-_ ])(?:std|stdv|stddev)", name)
    return None if match is None else f"{match[1]}mean"


def companions_of(names: Iterable[str]) -> dict[str, str]:
    """Which train series are the train loss, learning rate and gradient norm, by name: the first that fits
    each of them.
    """
    return dict(_companions_of(tuple(names)))


@lru_cache(1024)
def _companions_of(names: tuple[str, ...]) -> Mapping[str, str]:
    companions: dict[str, str] = {}
    for name in names:
        parts = [
            part
            for part in words(name)
            if part not in ("train", "training", "learn", "tr", "trn", "epoch", "step", "fit")
        ]
        target = None
        if parts == ["loss"] or parts == ["total", "loss"]:
            target = "train_loss"
        elif parts[:1] == ["lr"] or parts[:2] == ["learning", "rate"]:
            target = "learning_rate"
        elif parts == ["grad", "norm"]:
            target = "grad_norm"
        if target and target not in companions.values():
            companions[name] = target
    return companions


def chosen_modes(name: str, mode: Mode, values: npt.NDArray[np.float64]) -> dict[str, dict[str, Mode]]:
    """The fields of `RunInfo` for the mode by which a trainer chose its best checkpoint.

    A trainer can be told the wrong direction. Where the name of the metric leaves no doubt, that is not the
    metric's mode, unless the values show that it was logged with its sign turned over.
    """
    implied = infer_mode(name)
    negative = bool((values[np.isfinite(values)] <= 0).all())
    if implied is not None and implied.strong and implied.mode != mode and not negative:
        return {"contradicted_modes": {name: mode}}
    return {"modes": {name: mode}}


def is_metric(name: str) -> bool:
    """Whether a name looks like a metric: what tells a training log from other tables."""
    return not (is_bookkeeping(name) or is_setting(name)) and (
        is_held_out(name) or infer_mode(name) is not None
    )


def tells_of_training(names: Sequence[str]) -> bool:
    """Whether the columns of a table with a step or an epoch are those of a training: a metric of a held-out
    set, or a metric that is a word of machine learning. Errors, costs, scores and returns are those of other
    tables as well, and so are columns ``test`` and ``valid`` without one of the training.
    """
    metrics = [name for name in names if is_metric(name)]
    if any(is_held_out(name) and split_of(name) is None for name in metrics):
        return True  # a column "valid" of its own may be a flag
    if not _LEARNING.isdisjoint(word for name in names for word in words(name)):
        return bool(metrics)
    return any(not _ELSEWHERE.intersection(words(name)) for name in metrics if not is_held_out(name))


def split_of(text: str) -> str | None:
    """``train`` or ``held-out`` where a word is the name of a split, such as a folder's or the value of a
    ``mode`` field.
    """
    word = text.strip().lower()
    return "train" if word in _TRAIN else "held-out" if word in HELD_OUT_WORDS else None


def step_name(names: Sequence[str]) -> tuple[str, bool] | None:
    """Which of a log's names is the step, and whether it is the epoch because there is nothing better; None
    where no name is a step.
    """
    return _step_name(tuple(names))


@lru_cache(1024)
def _step_name(names: tuple[str, ...]) -> tuple[str, bool] | None:
    plain = {canonical(name): name for name in reversed(names)}
    for wanted in _STEPS:
        if wanted in plain:
            return plain[wanted], False
    for wanted in ("epoch", "epochs", "epoch_number"):
        if wanted in plain:
            return plain[wanted], True
    return None
