import numpy as np
import pytest

from replay.errors import InputError
from replay.search.tolerance import Tolerance, parse_tolerance


@pytest.mark.parametrize(
    ("regret", "lost", "kind", "value", "key", "words"),
    [
        (None, "5%", "lost", 0.05, "lost_mean", "lost <= 5%"),
        (None, " 2.5 % ", "lost", 0.025, "lost_mean", "lost <= 2.5%"),
        (None, None, "lost", 0.05, "lost_mean", "lost <= 5%"),
        (None, "0%", "lost", 0.0, "lost_mean", "lost <= 0%"),
        (None, "100%", "lost", 1.0, "lost_mean", "lost <= 100%"),
        (
            "0.5%",
            None,
            "relative_regret",
            0.005,
            "relative_regret_mean",
            "relative regret <= 0.5%",
        ),
        ("300%", None, "relative_regret", 3.0, "relative_regret_mean", "relative regret <= 300%"),
        ("0.01", None, "regret", 0.01, "regret_mean", "regret <= 0.01"),
        ("1e-3", None, "regret", 0.001, "regret_mean", "regret <= 1e-3"),
        (".5", None, "regret", 0.5, "regret_mean", "regret <= .5"),
    ],
)
def test_tolerances(regret, lost, kind, value, key, words):
    tolerance = parse_tolerance(regret, lost)
    assert (tolerance.kind, tolerance.key, tolerance.describe()) == (kind, key, words)
    assert tolerance.value == pytest.approx(value)


def test_another_default():
    assert parse_tolerance(default="1%") == Tolerance("lost", 0.01, "1%")


@pytest.mark.parametrize(
    ("regret", "lost", "says"),
    [
        (None, "5", "--max-lost 5 has no unit: it is a share of a run's improvement, as in 5%; write 5%"),
        (None, "0.05", "write 5%"),
        (None, "5 kg", "'kg' is not a unit of it"),
        (None, "five", "'five' is not a finite number"),
        (None, "", "is not a finite number"),
        (None, "%", "is not a finite number"),
        (None, "-5%", "--max-lost -5% is negative; 0% tolerates no loss at all"),
        (None, "101%", "no run can lose more than 100%"),
        (None, "nan%", "is not a finite number"),
        (None, "inf", "is not a finite number"),
        (None, "5%%", "'%' is not a unit"),
        ("nan", None, "is not a finite number"),
        ("inf%", None, "is not a finite number"),
        ("1e999", None, "is not a finite number"),
        ("-0.1", None, "--max-regret -0.1 is negative; 0 tolerates no loss at all"),
        (
            "5kg",
            None,
            (
                "'kg' is not a unit of it; it is a share of the best value, as in 0.5%, or a number in the"
                " metric's own unit"
            ),
        ),
        ("1_000", None, "'_000' is not a unit"),
        ("0.5%", "5%", "--max-regret 0.5% and --max-lost 5%: give one of the two"),
    ],
)
def test_mistakes(regret, lost, says):
    with pytest.raises(InputError) as caught:
        parse_tolerance(regret, lost)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("tolerance", "loss", "allowed"),
    [
        (Tolerance("lost", 0.3, "30%"), 0.1 + 0.2, True),
        (Tolerance("lost", 0.3, "30%"), 0.3 + 2e-9, False),
        (Tolerance("lost", 0.0, "0%"), 1e-12, True),
        (Tolerance("lost", 0.3, "30%"), np.nan, False),
        (Tolerance("relative_regret", 0.3, "30%"), 0.1 + 0.2, True),
        (Tolerance("regret", 3e-10, "3e-10"), 3.1e-10, False),
        (Tolerance("regret", 3e-10, "3e-10"), 3e-10 * (1 + 1e-12), True),
        (Tolerance("regret", 0.0, "0"), 1e-12, False),
        (Tolerance("regret", 0.5, "0.5"), np.inf, False),
    ],
)
def test_a_loss_that_passes_the_tolerance_by_rounding_is_allowed(tolerance, loss, allowed):
    assert tolerance.allows(np.array([loss])).tolist() == [allowed]
