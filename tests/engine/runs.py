"""Runs with few evals, and their outcomes, for tests of the engine."""

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
