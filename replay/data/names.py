"""What the name of a metric says: the split that it was measured on, and whether lower is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from replay.data.types import Mode

__all__ = [
    "HELD_OUT_WORDS",
    "SHORT_WORDS",
    "TEST_WORDS",
    "HeldOutName",
    "InferredMode",
    "canonical",
    "held_out_name",
    "held_out_words",
    "infer_mode",
    "is_loss",
    "is_policy_reward",
]

#: Words of a name that say: measured on data that was held out.
HELD_OUT_WORDS = frozenset(
    "eval evaluation val vali valid validate validation dev test testing heldout holdout".split()
)

_TRAIN_WORDS = frozenset({"train", "training"})

#: Short words of sets, at the begin or the end of a metric's name: `va_loss`, `acc_ts`. Whether they are that
#: is told by the names beside them (`replay.readers.series_names.held_out_of`).
SHORT_WORDS = {
    **dict.fromkeys(("va", "vl", "vld", "cv", "dv"), "val"),
    **dict.fromkeys(("ts", "te", "tst"), "test"),
}

#: Words that leave a loss the loss: Chainer logs ``validation/main/loss``, Megatron ``lm loss value``.
_OF_LOSSES = frozenset(
    "epoch main avg average mean lm value metrics metric scalars scalar logs log results losses".split()
)

#: Losses in the narrow sense, those of XGBoost and LightGBM among them.
_LOSSES = frozenset({"loss", "logloss", "mlogloss", "binary logloss", "multi logloss"})

#: The mean over the held-out folds of a cross-validation, as XGBoost's and CatBoost's ``cv`` name it.
_FOLDS = re.compile(r"test-.+-mean")

#: Words of a name that say: measured on the test set.
TEST_WORDS = frozenset({"test", "testing"})

#: Words of a name that say: measured on held-out data that is not the validation set.
_SECOND_WORDS = TEST_WORDS | {"heldout", "holdout"}

#: Words of metrics that are better when lower, and of those that are better when higher.
_MIN = frozenset(
    """
    loss losses perplexity ppl wer cer mer ter error err mse rmse mae mape smape nll bpb bpc logloss
    crossentropy ce kl kld kldiv fid eer hinge brier ece rmsle cost nme hd95 hausdorff bpd deviance der
    mlogloss merror mphe nloglik msle medae rmsse wape mase logcosh pinball crps kullbackleibler lpips kid
    chamfer epe absrel sqrel wil mindcf medr meanrank medianrank fpr fnr fdr frr tweedie distance
    """.split()
)
_MAX = frozenset(
    """
    accuracy acc accu f1 rouge rouge1 rouge2 rougel rougelsum bleu sacrebleu meteor chrf auc auroc auprc
    aucpr map map50 map5095 ap ar precision recall em iou miou dice r2 reward rewards mcc matthews
    pearson spearman spearmanr pearsonr kappa ndcg mrr top1 top5 psnr ssim bertscore return hit hits
    winrate score pck likelihood prec hmean acc1 acc5 ap50 ap75 hr
    cocoeval similarity comet bleurt mauve moverscore cider spice gleu nist anls vqa pass passrate success
    successrate specificity sensitivity tpr tnr npv ppv jaccard kendall kendalltau dcg prauc gini fbeta
    fscore qwk cindex concordance ccc plcc srcc sisdr sdr sisnr pesq stoi mos vmaf silhouette ari nmi ami
    elo lddt mota idf1 hota nds lrap uar gmean
    """.split()
)


#: Words before a metric's name that turn its sign over: ``neg_mean_squared_error``, ``minus_loss``.
_NEGATIONS = frozenset("neg negative negated minus inverted flipped inverse inv opposite".split())

#: Words that make a figure about a metric out of it, of which neither direction is better.
_UNDIRECTED = frozenset(
    """
    rejected std stdv stdev stddev stderr ci ci95 iqr spread variance var skew kurtosis threshold quantile
    gap delta diff difference change
    """.split()
)

#: Words that only say what kind of figure a metric is: the word that names it decides (``brier_score``).
_GENERIC = frozenset({"score", "distance", "similarity"})

#: Words that make a score of an error: the share of it that a model explains.
_EXPLAINED = frozenset({"skill", "d2"})

#: Words behind a metric's name that make its size or its weight of it.
_SIZES = frozenset("n num count counts weight weights scale coef coefficient".split())

#: Words that many metrics share, so that a log that states the other direction may be right.
_WEAK = frozenset(
    """
    map ap ar em hr kl ce cost reward rewards return hit hits score nme eer top1 top5 likelihood distance
    similarity comet pass success elo mos spice nist gini pinball tweedie kid ari ami dcg wil
    """.split()
)

_GLUED = re.compile(
    rf"(?<![A-Za-z])(neg)({'|'.join(sorted(_MIN, key=len, reverse=True))})(?![A-Za-z])", re.IGNORECASE
)


#: `valloss`, `trainacc`
_SET_GLUED = re.compile(
    r"(?<![a-z0-9])(train|val|valid|validation|dev|eval|test)"
    r"(loss|acc|accuracy|err|error|ppl|perplexity|f1|auc|mse|mae|rmse|iou|miou|dice|bleu|wer|cer)(?![a-z0-9])"
)


class InferredMode(NamedTuple):
    """The mode that a metric's name implies, and the word of the name that implies it.

    ``negated`` says that the name turns the metric's sign over (``neg_mse``). ``strong`` says that the word
    always means this mode; a log that states the other one is then wrong.
    """

    mode: Mode
    word: str
    negated: bool = False
    strong: bool = True


class HeldOutName(NamedTuple):
    """A metric's name taken apart: which held-out set it was measured on, and its other words."""

    split: Literal["validation", "test"]
    words: tuple[str, ...]


@lru_cache(maxsize=65536)
def canonical(name: str) -> str:
    """A metric's name without its writer's habits: ``eval/loss``, ``eval_loss`` and ``evalloss`` are the
    same.
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    return _SET_GLUED.sub(r"\1_\2", plain)


@lru_cache(maxsize=4096)
def infer_mode(name: str) -> InferredMode | None:
    """The mode that a metric's name implies, or None where the name says nothing.

    Only whole words of the name count (``val_loss``, ``eval/rougeL``, ``metrics/mAP50(B)``), or two
    neighbours joined (``cross_entropy``, ``win_rate``); a name with words of both modes (``f1_loss``) is
    decided by its last one, which is the noun. A negation before a loss or an error makes higher better
    (``neg_mean_squared_error``), as does ``x-1`` behind it. Before a score it may as well name the negative
    class, so nothing is implied; nor by the spread of a metric (``reward_std``), its size or weight
    (``loss_scale``), the margin of a loss, or the reward of rejected answers.
    """
    text = re.sub(r"([a-z])([A-Z][a-z])", r"\1_\2", name)
    # XGBoost calls its sets validation_0 and validation_1: the 1 of "validation_1-auc" is no "one minus"
    text = re.sub(r"((?:^|[/.\s]|(?<!validation)_)(?:1|one)?)\s?-\s?(?=[A-Za-z])", r"\1_minus_", text)
    text = re.sub(r"^(.+?)[\s_/]*(?:x|\*|times)[\s_]*(?:_minus_|-)1(?:\.0)?$", r"minus_\1", text)
    words = canonical(re.sub(_GLUED, r"\1_\2", text)).split("_")
    if _UNDIRECTED & set(words):
        return None
    joined = {first + second: second for first, second in pairwise(words)}
    places = sorted(range(len(words)), key=lambda at: (words[at] not in _GENERIC, at), reverse=True)
    for at in places:
        word = words[at]
        # the last pair that ends in the word decides
        pairs = [pair for pair, second in joined.items() if second == word and pair in _MIN | _MAX]
        known = word if word in _MIN | _MAX else pairs[-1] if pairs else None
        if known is not None:
            behind = set(words[at + 1 :])
            if behind & _SIZES or ("loss" in (word, known) and not behind.isdisjoint(("margin", "margins"))):
                return None
            mode: Mode = "min" if known in _MIN else "max"
            if words[-1] == "score" and _EXPLAINED & set(words):
                mode = "max"
            return _turn_over(words, at, InferredMode(mode, known, strong=known not in _WEAK))
    if words[-1] in ("l1", "l2") and HELD_OUT_WORDS & set(words):  # as LightGBM calls these errors
        return InferredMode("min", words[-1], strong=False)
    if {"exact", "match"} <= set(words):
        return InferredMode("max", "exact match")
    if "bits_per_" in "_".join(words):
        return InferredMode("min", "bits per")
    return None


def _turn_over(words: Sequence[str], at: int, plain: InferredMode) -> InferredMode | None:
    """The mode with the negations before the word at ``at`` applied; None where they leave it open."""
    before = [index for index, word in enumerate(words[: at + 1]) if word in _NEGATIONS]
    if not before:
        return None if _NEGATIONS & set(words) else plain
    if len(before) > 1:
        return None
    word = "_".join(words[before[0] : at + 1])
    if words[before[0]] == "minus" and words[before[0] - 1] in ("1", "one", "100") and before[0]:
        return InferredMode("max" if plain.mode == "min" else "min", f"{words[before[0] - 1]}_{word}")
    if plain.mode == "max" and plain.word != "likelihood":
        return None
    turned: Mode = "max" if plain.mode == "min" else "min"
    return InferredMode(turned, word, negated=turned == "max", strong=False)


@lru_cache(maxsize=4096)
def held_out_words(name: str) -> frozenset[str]:
    """The words of a held-out metric's name that say which set it was measured on, written out: ``test`` of
    ``ts_acc``.
    """
    words = canonical(name).split("_")
    if _FOLDS.fullmatch(name):
        return frozenset({"validation"})
    plain = HELD_OUT_WORDS & set(words)
    if plain or len(words) < 2:
        return plain
    return frozenset(SHORT_WORDS[word] for word in (words[0], words[-1]) if word in SHORT_WORDS)


@lru_cache(maxsize=4096)
def held_out_name(name: str) -> HeldOutName | None:
    """The held-out set that a metric's name states, and the other words of the name; None where it states
    none.

    ``test`` where any word says so (test, heldout, holdout), since tools put ``eval`` before the names of all
    sets: ``eval_test_loss``, ``test/loss`` and ``held_out_loss`` are the loss on the test set, ``val_loss``
    and ``eval/loss`` that on the validation set.
    """
    words = re.sub(r"(^|_)(held|hold)_out(?=_|$)", r"\1\2out", canonical(name)).split("_")
    sets = {word for word in words if word in HELD_OUT_WORDS} or held_out_words(name)
    if not sets:
        return None
    others = tuple(word for word in words if word not in HELD_OUT_WORDS and word not in SHORT_WORDS)
    of_test = sets & _SECOND_WORDS and not _FOLDS.fullmatch(name)
    return HeldOutName("test" if of_test else "validation", others)


def is_loss(name: str) -> bool:
    """Whether the name is a loss in the narrow sense, of any split and any writer."""
    words = [word for word in canonical(name).split("_") if word not in HELD_OUT_WORDS | _OF_LOSSES]
    words = ["loss"] if words == ["loss", "loss"] else words  # Loss/val_loss
    if len(words) == 2 and "loss" in words and not SHORT_WORDS.keys().isdisjoint(words):
        words = ["loss"]
    return " ".join(words) in _LOSSES and getattr(infer_mode(name), "mode", None) == "min"


def is_policy_reward(name: str) -> bool:
    """Whether the name is a reward that a policy is trained to raise, as GRPO, RLOO and PPO log it: then the
    loss of the same log says nothing of quality.

    The rewards of DPO (``rewards/chosen``) and of a reward model (``mean_reward``) are other figures.
    """
    words = [word for word in canonical(name).split("_") if word not in HELD_OUT_WORDS | _TRAIN_WORDS]
    if "reward" in words and not {"rlhf", "objective"}.isdisjoint(words):
        return True  # PPO and RLOO of TRL
    return words == ["reward"] or (words[:1] == ["rewards"] and len(words) > 2 and words[-1] == "mean")
