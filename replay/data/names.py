"""What the name of a metric says: the split that it was measured on, and whether lower is better."""

from __future__ import annotations

import re
from itertools import pairwise

from replay.data.types import Mode

__all__ = ["HELD_OUT_WORDS", "canonical", "infer_mode", "is_loss"]


def canonical(name: str) -> str:
    """A metric's name without its writer's habits: ``eval/loss`` and ``eval_loss`` are the same."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


#: Words of a name that say: measured on data that was held out.
HELD_OUT_WORDS = {
    "eval",
    "evaluation",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
    "heldout",
    "holdout",
}


_MIN = {
    "loss",
    "losses",
    "perplexity",
    "ppl",
    "wer",
    "cer",
    "mer",
    "ter",
    "error",
    "err",
    "mse",
    "rmse",
    "mae",
    "mape",
    "smape",
    "nll",
    "bpb",
    "bpc",
    "logloss",
    "crossentropy",
    "kl",
    "kld",
    "kldiv",
    "fid",
    "eer",
    "hinge",
    "brier",
    "ece",
    "rmsle",
    "cost",
    "nme",
}


_MAX = {
    "accuracy",
    "acc",
    "f1",
    "rouge",
    "rouge1",
    "rouge2",
    "rougel",
    "rougelsum",
    "bleu",
    "sacrebleu",
    "meteor",
    "chrf",
    "auc",
    "auroc",
    "auprc",
    "aucpr",
    "map",
    "map50",
    "map5095",
    "ap",
    "ar",
    "precision",
    "recall",
    "em",
    "iou",
    "miou",
    "dice",
    "r2",
    "reward",
    "rewards",
    "mcc",
    "matthews",
    "pearson",
    "spearman",
    "spearmanr",
    "pearsonr",
    "kappa",
    "ndcg",
    "mrr",
    "top1",
    "top5",
    "psnr",
    "ssim",
    "bertscore",
    "return",
    "hit",
    "hits",
    "winrate",
    "score",
    "pck",
}


def infer_mode(name: str) -> tuple[Mode, str] | None:
    """The mode that a metric's name implies, with the reason, or None where the name says nothing.

    Only whole words of the name count (``val_loss``, ``eval/rougeL``, ``metrics/mAP50(B)``); a name with
    words of both kinds (``f1_loss``) is decided by its last one, which is the noun.
    """
    words = canonical(re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", name)).split("_")
    joined = {first + second: second for first, second in pairwise(words)}
    for word in reversed(words):
        found: tuple[Mode, str] | None = None
        if word in _MIN:
            found = ("min", word)
        elif word in _MAX:
            found = ("max", word)
        else:
            for pair, second in joined.items():
                if second == word and pair in _MIN | _MAX:
                    found = ("min" if pair in _MIN else "max", pair)
        if found:
            return found[0], f"by its name: {found[1]}"
    if {"exact", "match"} <= set(words):
        return "max", "by its name: exact match"
    return None


def is_loss(name: str) -> bool:
    """Whether the name is a loss in the narrow sense, of any split and any writer."""
    return [word for word in canonical(name).split("_") if word not in HELD_OUT_WORDS | {"epoch"}] in (
        ["loss"],
        ["logloss"],
    )
