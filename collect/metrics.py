"""Metrics of an evaluation: the loss of every example alike, accuracy and F1."""

from __future__ import annotations

from typing import Any

import numpy as np

from collect.config import Config
from collect.examples import IGNORED

__all__ = ["classification", "language", "metric_modes", "statistics"]


def metric_modes(config: Config) -> dict[str, str]:
    """Metrics of the task, for each split, with their mode."""
    names = (
        {"loss": "min", "accuracy": "max", "f1": "max"}
        if config.task == "classification"
        else {"loss": "min", "accuracy": "max"}
    )
    if config.generation is not None:
        names |= dict.fromkeys(config.generation.metrics, "max")
    splits = ("eval", "test") if config.data.test_size or config.data.test_file else ("eval",)
    modes = {f"{split}_{name}": mode for split in splits for name, mode in names.items()}
    return modes | ({"eval_generic_loss": "min"} if config.generic is not None else {})


def statistics(logits: Any, labels: Any) -> Any:
    """What the metrics need of each example, so that no logits are kept: one row of float64 per example.

    Classification: (negative log likelihood, predicted class). Causal: (sum of the negative log likelihoods
    of its answer's tokens, their number, how many the model gives the highest probability).
    """
    import torch

    logits = logits[0] if isinstance(logits, tuple) else logits
    if labels.dim() == 1:
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return torch.stack([loss.double(), logits.argmax(-1).double()], dim=1)
    logits, labels = logits[:, :-1], labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2).float(), labels, reduction="none", ignore_index=IGNORED
    )
    counted = labels != IGNORED
    right = (logits.argmax(-1) == labels) & counted
    return torch.stack([loss.double().sum(1), counted.sum(1).double(), right.sum(1).double()], dim=1)


def classification(prediction: Any) -> dict[str, float]:
    """Mean loss per example, accuracy, and F1 averaged over the classes that occur in labels or
    predictions.
    """
    loss, predicted = prediction.predictions.T
    labels = np.asarray(prediction.label_ids).astype(np.int64)
    predicted = predicted.astype(np.int64)
    scores = []
    for label in np.union1d(labels, predicted):
        hits = int(((predicted == label) & (labels == label)).sum())
        scores.append(2 * hits / (int((predicted == label).sum()) + int((labels == label).sum())))
    accuracy = float((predicted == labels).mean())
    return {
        "loss": float(loss.mean()),
        "accuracy": accuracy,
        "f1": float(np.mean(scores)),
        "loss_weight": len(loss),
    }


def language(prediction: Any) -> dict[str, float]:
    """Mean loss per answer token, over all tokens alike (not a mean of batch means), and the share of tokens
    that are right.
    """
    loss, tokens, right = prediction.predictions.sum(axis=0)
    return {"loss": float(loss / tokens), "accuracy": float(right / tokens), "loss_weight": int(tokens)}
