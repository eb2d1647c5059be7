"""Random sequences, and the known ones on which tools disagree, for the comparisons with the real classes."""

import math
import random
from typing import NamedTuple

import numpy as np

from replay.data.curve import Curve, CurveBatch

NAN, INF = math.nan, math.inf
# ties, exact boundaries, numbers that single precision does not tell apart, zero, negative, not finite
POOL = [
    0.0,
    0.1,
    0.2,
    0.25,
    0.3,
    0.5,
    0.7,
    0.75,
    0.8,
    0.9,
    1.0,
    -0.5,
    1 - 1e-9,
    1 + 1e-9,
    0.1 + 0.2,
    NAN,
    INF,
    -INF,
]
DELTAS = [0.0, 0.0, 0.05, 0.1, 0.25, 1e-9, 1e-4]


class Case(NamedTuple):
    values: list
    mode: str
    patience: int
    delta: float
    rng: random.Random


def cases(seed, count, least=0, deltas=DELTAS, longest=15, pool=POOL):
    """Random sequences with a mode, a patience from ``least`` to 4 and a delta; ``rng`` draws what else a
    tool has."""
    rng = random.Random(seed)
    for _ in range(count):
        share = rng.choice([0.1, 0.5, 0.9])
        values = [
            rng.choice(pool) if rng.random() < share else rng.gauss(0.5, 0.3)
            for _ in range(rng.randint(1, longest))
        ]
        yield Case(values, rng.choice(["min", "max"]), rng.randint(least, 4), rng.choice(deltas), rng)


def held(rule, values, mode):
    """The policy's own best after the values: what the next value would be compared with."""
    return rule.trace(CurveBatch.of([Curve.of([*values, 0.0], mode)])).reference[0, -1]


def compared(rule, values, mode):
    """What the policy compared with at each of the values."""
    return rule.trace(CurveBatch.of([Curve.of(values, mode)])).reference[0]


def check(real, policy, seed, count=2_500, best=False, each=False, **kinds):
    """Assert that the real rule and the policy stop every random sequence at the same eval.

    ``policy`` makes a policy from a case's number and the case; ``real`` takes that policy, the values and
    the mode, and gives the 1-based eval at which the tool with the same parameters stops, or None; with
    ``best``, that and the best that the tool then holds; with ``each``, for a tool that holds none, that and
    what it compared with at each value up to there (NaN: nothing)."""
    stopped = 0
    for number, case in enumerate(cases(seed, count, **kinds)):
        rule = policy(number, case)
        expected = real(rule, case.values, case.mode)
        if best:
            expected, holds = expected
            holds = NAN if holds is None else holds  # none yet
            np.testing.assert_equal(
                held(rule, case.values[:expected], case.mode), holds, f"{rule} {case.values} {case.mode}"
            )
        if each:
            expected, with_what = expected
            np.testing.assert_equal(
                compared(rule, case.values[:expected], case.mode),
                with_what,
                f"{rule} {case.values} {case.mode}",
            )
        assert rule.stop_eval(case.values, case.mode) == expected, (str(rule), case.values, case.mode)
        stopped += expected is not None
    assert count * 0.1 < stopped < count * 0.98, stopped


#: Sequences on which tools disagree: values, patience, min_delta, mode.
KNOWN = {
    "third_bad_eval": ([1, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 1], 3, 0, "min"),
    "zero_patience": ([1, 0.9, 0.8, 0.7, 0.75, 0.6, 0.65, 0.7], 0, 0, "min"),
    "slow_drip": ([1, 0.96, 0.92, 0.88, 0.84, 0.80, 0.76, 0.72], 2, 0.05, "min"),
    "flat": ([0.5] * 8, 3, 0, "min"),
    "nan_first": ([NAN, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 3, 0, "min"),
    "nan_after_first": ([1] + [NAN] * 7, 3, 0, "min"),
    "exact_delta_decimal": ([0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], 2, 0.1, "min"),
    "below_float32": ([1 - 1e-9 * i for i in range(8)], 2, 0, "min"),
    "exact_delta_binary": ([1, 0.75, 0.5, 0.25, 0], 2, 0.25, "min"),
    "max_zero_start": ([0] * 5 + [0.1] * 5, 3, 0, "max"),
    "one_patience": ([1, 0.9, 0.8, 0.7, 0.75, 0.6, 0.65, 0.7], 1, 0, "min"),
    "slow_climb_max": ([0.50, 0.52, 0.54, 0.56, 0.58, 0.60], 2, 0.03, "max"),
}


def known(**stops):
    """Parameters for pytest: name, values, patience, min_delta, mode and stop of the known sequences that are
    named."""
    return [(name, *KNOWN[name], stop) for name, stop in stops.items()]


FIELDS = ("name", "values", "patience", "delta", "mode", "stop")
