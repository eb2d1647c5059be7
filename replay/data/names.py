"""What the name of a metric says: the split that it was measured on, and whether lower is better."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from replay.data.types import Mode

__all__ = [
    "HELD_OUT_WORDS",
    "TEST_WORDS",
    "HeldOutName",
    "InferredMode",
    "canonical",
    "held_out_name",
    "infer_mode",
    "is_loss",
]

#: Words of a name that say: measured on data that was held out.
HELD_OUT_WORDS = frozenset("eval evaluation val valid validation dev test testing heldout holdout".split())

#: Words of a name that say: measured on the test set.
TEST_WORDS = frozenset({"test", "testing"})

#: Words of a name that say: measured on held-out data that is not the validation set.
_SECOND_WORDS = TEST_WORDS | {"heldout", "holdout"}

#: Words of metrics that are better when lower, and of those that are better when higher.
_MIN = frozenset(
    """
    loss losses perplexity ppl wer cer mer ter error err mse rmse mae mape smape nll bpb bpc logloss
    crossentropy kl kld kldiv fid eer hinge brier ece rmsle cost nme
    """.split()
)
_MAX = frozenset(
    """
    accuracy acc f1 rouge rouge1 rouge2 rougel rougelsum bleu sacrebleu meteor chrf auc auroc auprc
    aucpr map map50 map5095 ap ar precision recall em iou miou dice r2 reward rewards mcc matthews
    pearson spearman spearmanr pearsonr kappa ndcg mrr top1 top5 psnr ssim bertscore return hit hits
    winrate score pck
    """.split()
)


class InferredMode(NamedTuple):
    """The mode that a metric's name implies, and the word of the name that implies it."""

    mode: Mode
    word: str


class HeldOutName(NamedTuple):
    """A metric's name taken apart: which held-out set it was measured on, and its other words."""

    split: Literal["validation", "test"]
    words: tuple[str, ...]


def canonical(name: str) -> str:
    """A metric's name without its writer's habits: ``eval/loss`` and ``eval_loss`` are the same."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def infer_mode(name: str) -> InferredMode | None:
    """The mode that a metric's name implies, or None where the name says nothing.

    Only whole words of the name count (``val_loss``, ``eval/rougeL``, ``metrics/mAP50(B)``), or two
    neighbours joined (``cross_entropy``, ``win_rate``); a name with words of both modes (``f1_loss``) is
    decided by its last one, which is the noun.
    """
    words = canonical(re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", name)).split("_")
    joined = {first + second: second for first, second in pairwise(words)}
    for word in reversed(words):
        # the last pair that ends in the word decides
        pairs = [pair for pair, second in joined.items() if second == word and pair in _MIN | _MAX]
        known = word if word in _MIN | _MAX else pairs[-1] if pairs else None
        if known is not None:
            return InferredMode("min" if known in _MIN else "max", known)
    if {"exact", "match"} <= set(words):
        return InferredMode("max", "exact match")
    return None


@lru_cache(maxsize=4096)
def held_out_name(name: str) -> HeldOutName | None:
    """The held-out set that a metric's name states, and the other words of the name; None where it states
    none.

    ``test`` where any word says so (test, heldout, holdout), since tools put ``eval`` before the names of all
    sets: ``eval_test_loss``, ``test/loss`` and ``held_out_loss`` are the loss on the test set, ``val_loss``
    and ``eval/loss`` that on the validation set.
    """
    words = re.sub(r"(^|_)(held|hold)_out(?=_|$)", r"\1\2out", canonical(name)).split("_")
    sets = {word for word in words if word in HELD_OUT_WORDS}
    if not sets:
        return None
    others = tuple(word for word in words if word not in HELD_OUT_WORDS)
    return HeldOutName("test" if sets & _SECOND_WORDS else "validation", others)


def is_loss(name: str) -> bool:
    """Whether the name is a loss in the narrow sense, of any split and any writer."""
    words = [word for word in canonical(name).split("_") if word not in HELD_OUT_WORDS | {"epoch"}]
    return words in (["loss"], ["logloss"])
