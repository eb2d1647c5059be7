"""Plans: how many units a guarantee takes, and what the present ones support."""

import numpy as np
import pytest

from replay.search.guarantee import guarantee, guarantee_from
from replay.search.plan import Plan
from tests.search.evidence import evidence_of
from tests.search.test_guarantee import LADDER, finished, study_of


def planned(losses, saved, alpha, **how):
    confidence = how.pop("confidence", None)
    return Plan(guarantee_from(evidence_of(losses, saved, **how), alpha, confidence=confidence))


def test_without_losses_five_percent_takes_nineteen_units():
    made = planned(np.zeros((1, 11, 2)), [[0.1, 0.4]], 0.05)
    assert (made.today.policy, made.needed_units, made.more_units) == (None, 19, 8)
    assert (made.supported.saved, made.supported.bound) == (0.4, pytest.approx(1 / 12))
    assert planned(np.zeros((1, 25, 2)), [[0.1, 0.4]], 0.05).more_units == 0


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("lossy", [1, 2])
def test_the_units_that_are_missing_are_enough_if_they_lose_as_much(confidence, lossy):
    losses = np.zeros((1, 20, 2))
    losses[0, :lossy, 0], losses[0, :, 1] = 0.3, 0.6
    made = planned(losses, [[0.2, 0.9]], 0.06, confidence=confidence)
    assert made.more_units > 0
    times = -(-made.needed_units // 20)
    enough = planned(np.tile(losses, (1, times, 1)), [[0.2, 0.9]], 0.06, confidence=confidence)
    assert enough.today.chosen == 0
    assert enough.more_units == 0
    assert [rung.needed_units for rung in made.today.rungs] == [made.needed_units, None]


def test_no_number_of_units_helps_where_the_losses_exceed_the_tolerance():
    losses = np.full((1, 20, 1), 0.05)
    made = planned(losses, [[0.2]], 0.05)
    assert (made.needed_units, made.more_units) == (None, None)
    assert made.supported.bound == pytest.approx(2 / 21)


def test_the_units_of_a_plan_can_be_groups():
    made = planned(np.zeros((1, 24, 1)), [[0.2]], 0.05, units=np.arange(24) // 3)
    assert (made.today.units, made.needed_units, made.more_units) == (8, 19, 11)


def test_a_rung_that_saves_nothing_does_not_count():
    losses = np.zeros((1, 30, 2))
    losses[0, :, 1] = 0.04
    made = planned(losses, [[0.0, 0.3]], 0.05)
    assert made.supported.saved == pytest.approx(0.3)
    assert made.needed_units == 95
    assert made.today.rungs[0].needed_units == 19
    nothing = planned(losses, [[0.0, 0.0]], 0.05)
    assert (nothing.needed_units, nothing.supported) == (None, None)


def test_the_supported_tolerance_is_the_smallest_at_which_something_is_guaranteed():
    runs = finished(3, 30)
    for confidence in (None, 0.9):
        bound = Plan(guarantee(study_of(runs), 0.01, LADDER, confidence=confidence)).supported.bound
        kept = Plan(guarantee(study_of(runs), bound, LADDER, confidence=confidence))
        assert kept.today.rung == kept.supported
        assert guarantee(study_of(runs), bound - 1e-6, LADDER, confidence=confidence).policy is None
