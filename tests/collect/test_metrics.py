"""Losses and scores against float64 and scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from collect.metrics import classification, language, statistics

SIZES = (1_000, 49_152, 151_936, 262_144)


def exact_losses(logits, labels):
    """Each row's negative log likelihood, all in float64."""
    logits = logits.double()
    return torch.logsumexp(logits, -1) - logits.gather(-1, labels[:, None])[:, 0]


def answers(vocabulary, dtype=torch.float32, seed=0):
    """Logits and labels of three examples, whose answers have 7, 4 and 1 tokens."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(3, 9, vocabulary, generator=generator) * 3).to(dtype)
    labels = torch.randint(0, vocabulary, (3, 9), generator=generator)
    labels[0, :2] = labels[1, :4] = labels[1, 8:] = labels[2, :8] = -100
    return logits, labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("vocabulary", SIZES)
def test_a_causal_loss_is_that_of_float64_for_any_vocabulary(vocabulary, dtype):
    logits, labels = answers(vocabulary, dtype)
    rows = statistics(logits, labels)
    assert rows.dtype == torch.float64
    assert rows[:, 1].tolist() == [7, 4, 1]
    for number, row in enumerate(rows):
        counted = labels[number, 1:] != -100
        wanted = labels[number, 1:][counted]
        exact = exact_losses(logits[number, :-1][counted], wanted).sum().item()
        assert row[0].item() == pytest.approx(exact, rel=1e-7)
        assert row[2].item() == (logits[number, :-1][counted].argmax(-1) == wanted).sum().item()


def test_losses_computed_in_parts_are_those_of_the_whole(monkeypatch):
    logits, labels = answers(1_000)
    whole = statistics(logits, labels)
    monkeypatch.setattr("collect.metrics._AT_ONCE", 5_000)
    assert torch.equal(statistics(logits, labels), whole)


@pytest.mark.parametrize("vocabulary", [1_000, 151_936])
def test_the_loss_of_several_batches_weighs_every_token_alike(vocabulary):
    """As [generic] texts and answers are: batches of unlike lengths."""
    batches = [answers(vocabulary, seed=seed) for seed in range(3)]
    batches[1][1][0] = batches[1][1][2] = -100
    rows = np.concatenate([statistics(*batch).numpy() for batch in batches])
    exact = torch.cat(
        [
            exact_losses(logits[:, :-1][labels[:, 1:] != -100], labels[:, 1:][labels[:, 1:] != -100])
            for logits, labels in batches
        ]
    )
    scores = language(SimpleNamespace(predictions=rows))
    assert scores["loss"] == pytest.approx(exact.mean().item(), rel=1e-7)
    assert np.exp(scores["loss"]) == pytest.approx(exact.mean().exp().item(), rel=1e-6)  # perplexity
    assert scores["loss_weight"] == len(exact) == 12 + 4 + 12


@pytest.mark.parametrize(("classes", "scale"), [(2, 1.0), (7, 12.0), (151, 3.0)])
def test_a_classifier_s_scores_are_those_of_float64_and_scikit_learn(classes, scale):
    """At a scale of 12 most losses are near 0, where float32 has few digits left."""
    from sklearn.metrics import accuracy_score, f1_score

    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(400, classes, generator=generator) * scale
    labels = torch.where(
        torch.rand(400, generator=generator) < 0.9,
        logits.argmax(-1),
        torch.randint(0, classes, (400,), generator=generator),
    )
    rows = torch.cat([statistics(logits[i : i + 64], labels[i : i + 64]) for i in range(0, 400, 64)])
    assert rows[:, 0].numpy() == pytest.approx(exact_losses(logits, labels).numpy(), rel=1e-6, abs=1e-8)
    scores = classification(SimpleNamespace(predictions=rows.numpy(), label_ids=labels.numpy()))
    predicted = logits.argmax(-1)
    assert scores["loss"] == pytest.approx(exact_losses(logits, labels).mean().item(), rel=1e-7)
    assert scores["accuracy"] == pytest.approx(accuracy_score(labels, predicted), rel=1e-12)
    assert scores["f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), rel=1e-12)


def test_a_diverged_model_has_no_loss():
    logits, labels = answers(1_000)
    logits[1] = float("nan")
    logits[2, 7, 0] = float("inf")
    losses = statistics(logits, labels)[:, 0]
    assert losses.isnan().tolist() == [False, True, True]
