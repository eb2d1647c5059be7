"""Logs of the evaluators of sentence-transformers, as versions 2.7.0 and 5.1.0 write them."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import run_of

VALUES = [0.25, 0.5, 0.375, 0.75]
SIMILARITY = """\
2026-01-02 03:01:28,{at} - EmbeddingSimilarityEvaluator: Evaluating the model on the sts-dev dataset {place}:
2026-01-02 03:01:28,{at} - Cosine-Similarity{gap}:\tPearson: {value}\tSpearman: 0.125
"""
BINARY = """\
Binary Accuracy Evaluation of the model on the sts-dev dataset {place}:
Accuracy with Cosine-Similarity:             {value}\t(Threshold: 0.7393)
F1 with Cosine-Similarity:                   62.07\t(Threshold: -0.5299)

"""
TRIPLET = """\
TripletEvaluator: Evaluating the model on the sts-dev dataset {place}:
Accuracy Cosine Similarity:\t{value}%
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SIMILARITY, "sts-dev/cosine_similarity_pearson"),
        (BINARY, "sts-dev/accuracy_with_cosine_similarity"),
        (TRIPLET, "sts-dev/accuracy_cosine_similarity"),
    ],
)
def test_steps_of_the_training(tmp_path, text, name):
    run = run_of(
        tmp_path,
        "".join(
            text.format(place=f"in epoch {at / 2} after {500 * at} steps", value=value, at=at, gap="")
            for at, value in enumerate(VALUES, 1)
        ),
    )
    assert curve(run, name) == {500 * at: value for at, value in enumerate(VALUES, 1)}
    assert not any("threshold" in metric for metric in run.metrics)


def test_steps_of_an_epoch_lose_no_eval(tmp_path):
    places = ["in epoch 0 after 500 steps", "after epoch 0", "in epoch 1 after 500 steps", "after epoch 1"]
    run = run_of(
        tmp_path,
        "".join(
            SIMILARITY.format(place=place, value=value, at=100, gap=" ")
            for place, value in zip(places, VALUES, strict=True)
        ),
    )
    assert curve(run, "sts-dev/cosine_similarity_pearson") == dict(
        zip((0.5, 1.0, 1.5, 2.0), VALUES, strict=True)
    )
