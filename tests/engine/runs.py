"""Runs with few evals, and their outcomes, for tests of the engine."""

import math

import numpy as np

import replay
from replay import Run
from replay.engine.outcomes import COLUMNS


def run(id="r", meta=None, step=None, **columns):
    """A run with an eval every 100 steps."""
    length = len(next(iter(columns.values())))
    return Run(id, {"step": step or [100 * (1 + index) for index in range(length)], **columns}, meta)


def outcome_of(made, policy, **settings):
    """The only row that a policy has on a run."""
    frame = replay.simulate([made], [policy], **settings)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 1
    return frame.iloc[0]


_NUMBERS = [0.2, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3, 0.0, -0.5]
_ODD = [*_NUMBERS, math.nan, math.inf, -math.inf]


def random_run(id, chance, *, lacks=()):
    """A run of 0 to 14 evals with values of all kinds; ``lacks`` are columns that it does not have.

    The metrics that are not called eval_loss are not logged at every eval.
    """
    count = chance.choice([0, 1, 1, 2, 3, 5, 8, 11, 14])
    steps = np.cumsum([chance.randint(0 if not number else 1, 40) for number in range(count)])
    odd = chance.random() < 0.5

    def metric(absent=0.0):
        if chance.random() < 0.06:
            return [math.nan] * count
        values = [chance.choice(_ODD if odd else _NUMBERS) for _ in range(count)]
        if any(value != value for value in values) and not any(abs(value) < math.inf for value in values):
            values = [0.5 if value != value else value for value in values]  # of NaN and inf none is the best
        return [None if chance.random() < absent else value for value in values]

    columns = {
        "step": steps,
        "epoch": steps / 64 + 0.5,
        "eval_loss": metric(),
        "eval_error": metric(absent=0.3),
        "eval_score": metric(absent=0.4),
        "val_loss": metric(absent=0.1),
        "train_loss": [chance.choice([1.0, 0.9, 0.8, 0.5, math.nan, None]) for _ in range(count)],
        "learning_rate": [chance.choice([1.0, 1.0, 0.5, 0.4, 0.0]) for _ in range(count)],
        "saved": [chance.choice([0, 1]) for _ in range(count)],
        "train_seconds": 2.0 * steps + 1,
        "eval_seconds": [chance.choice([1.0, 5.0]) for _ in range(count)],
        "tokens": 64.0 * steps + 8,
        "eval_tokens": [chance.choice([16.0, 80.0]) for _ in range(count)],
    }
    last = int(steps[-1]) if count else 0
    meta = {
        "trained_steps": last + chance.choice([0, 7]),
        "stopped_by": chance.choice([None, None, None, "x"]),
    }
    meta["planned_steps"] = chance.choice([None, last, last + 1, last + 9, last + 100])
    names = ("eval_loss", "eval/error", "Eval-Score")  # as another writer may have spelled them
    if chance.random() < 0.4:
        meta["reference"] = {name: chance.choice([*_ODD, 1.5, "x", None, True]) for name in names}
    return Run(id, {name: values for name, values in columns.items() if name not in lacks}, meta)
