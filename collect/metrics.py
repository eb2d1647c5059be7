"""Metrics of an evaluation: the loss of every example alike, accuracy and F1."""

from __future__ import annotations

from typing import Any

import numpy as np

from collect.config import metric_modes
from collect.examples import IGNORED

__all__ = ["classification", "language", "metric_modes", "statistics"]

#: How many logits are copied at once while losses are computed: 64 MiB in float32.
_AT_ONCE = 2**24


def statistics(logits: Any, labels: Any) -> Any:
    """What the metrics need of each example, so that no logits are kept: one row of float64 per example.

    Classification: (negative log likelihood, predicted class). Causal: (sum of the negative log likelihoods
    of its answer's tokens, their number, how many the model gives the highest probability).
    """
    import torch

    logits = logits[0] if isinstance(logits, tuple) else logits
    if logits.device.type == "mps":  # Apple's GPUs have no float64
        logits, labels = logits.cpu(), labels.cpu()
    if labels.dim() == 1:
        return torch.stack([_losses(logits, labels), logits.argmax(-1).double()], dim=1)
    logits, labels = logits[:, :-1], labels[:, 1:]
    counted = labels != IGNORED
    scores, wanted = logits[counted], labels[counted]
    loss = torch.zeros(labels.shape, dtype=torch.float64, device=labels.device)
    right = torch.zeros_like(loss)
    loss[counted] = _losses(scores, wanted)
    right[counted] = (scores.argmax(-1) == wanted).double()
    return torch.stack([loss.sum(1), counted.sum(1).double(), right.sum(1)], dim=1)


def _losses(logits: Any, labels: Any) -> Any:
    """The negative log likelihood of each row's label, in float64.

    torch's ``cross_entropy`` adds up the exponentials in float32 (2.13). The sum over a vocabulary of 262k
    then is too small by up to 4e-5 of the loss, and depends on the memory layout of the logits.
    """
    import torch

    losses = torch.empty(len(labels), dtype=torch.float64, device=logits.device)
    rows = max(1, _AT_ONCE // logits.shape[-1])
    for start in range(0, len(labels), rows):
        part = logits[start : start + rows].float()
        top = part.amax(-1, keepdim=True)
        wanted = part.gather(1, labels[start : start + rows, None])
        total = (part - top).exp_().sum(-1, dtype=torch.float64)
        losses[start : start + rows] = total.log() + (top.double() - wanted.double())[:, 0]
    return losses


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
