"""Evidence made of losses and savings, for tests of guarantees."""

import numpy as np

from replay.policies.rules.patience import Patience
from replay.search.evidence import Evidence
from replay.search.ladders import make_ladders


def evidence_of(losses, saved, units=None, *, full=None, censored=(), left_out=()):
    """Evidence of ladders with these losses (ladders × runs × rungs, the safest first) and savings (ladders ×
    rungs, equal for all runs); each ladder has a min_delta of its own."""
    losses, saved = np.asarray(losses, dtype=float), np.asarray(saved, dtype=float)
    count, runs, rungs = losses.shape
    policies = [
        Patience(patience, min_delta=float(ladder))
        for ladder in range(count)
        for patience in range(rungs, 0, -1)
    ]
    lost = losses.transpose(0, 2, 1).reshape(count * rungs, runs)
    names = [f"r{run}" for run in range(runs)]
    labels, unit = np.unique(np.array(units if units is not None else range(runs)), return_inverse=True)
    is_censored = np.isin(np.arange(runs), list(censored))
    return Evidence(
        policies=policies,
        ladders=make_ladders(policies, ["min"] * len(policies)),
        runs=names,
        unit=unit.astype(np.int64),
        units=len(labels),
        full=np.ones(runs) if full is None else np.asarray(full, dtype=float),
        saved=np.repeat(saved.reshape(-1, 1), runs, axis=1),
        lost=lost,
        worst=np.where(is_censored, 1.0, lost),
        is_censored=is_censored,
        left_out=tuple(left_out),
        partial=0,
        findings=(),
    )
