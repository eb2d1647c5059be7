"""How often what `replay.choose_policy` promises is true, on populations of runs whose truth is known."""

import math

import pytest

from benchmarks.guarantees import CONFIDENCE, KINDS, SIZES, TOLERANCE, budget_verdicts, tally

REPEATS = 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_the_true_loss_of_guaranteed_choices_stays_within_the_tolerance(kind, size):
    found = tally(kind, size, REPEATS, None)
    if size < 9:
        assert found.guaranteed == 0, "1 / (n + 1) is more than the tolerance"
        return
    # single choices may lose more, their mean may not
    assert found.loss <= TOLERANCE
    assert found.guaranteed > REPEATS / 2, "all of these populations have policies that lose little"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_few_choices_that_are_guaranteed_with_confidence_lose_more_than_the_tolerance(kind, size):
    found = tally(kind, size, REPEATS, CONFIDENCE)
    share = 1 - CONFIDENCE
    assert found.broken <= REPEATS * share + 3 * math.sqrt(REPEATS * share * (1 - share))
    if size < 24:
        assert found.guaranteed == 0, "even runs that lose nothing must be 24"
    if size >= 60:
        assert found.guaranteed > REPEATS / 2


@pytest.mark.slow
def test_plain_budgets_are_neither_better_nor_worse_than_the_equal_budget():
    verdicts = budget_verdicts(40)
    assert sum(verdicts.values()) > 300
    assert not [verdict for verdict in verdicts if verdict.startswith(("better", "worse"))]
