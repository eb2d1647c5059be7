"""The objective on a second held-out set: what a stop loses there, and whether the metric's movements from
eval to eval are real.

Regret compares the checkpoint kept with the best one, which is the best because the objective says so on the
very data that chose it. Logs often hold the same metric on a second held-out set (``test_loss`` beside
``eval_loss``), which chose nothing. The regret on it compares the same two checkpoints on other data: the
luck of the best eval does not count there. It can be negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.curve import Curve
from replay.data.names import HeldOutName, canonical, held_out_name, infer_mode
from replay.data.run import Run
from replay.data.types import Floats, Ints, Mode
from replay.engine.outcomes import Outcomes
from replay.engine.study import Study
from replay.stats.groups import groups_of
from replay.stats.intervals import interval

__all__ = ["SecondRegret", "find_second", "mean_second_regret", "movement_correlation", "second_regret"]

#: Fewest evals that both metrics must share for a correlation of their movements.
_FEWEST = 7


def find_second(study: Study) -> str | None:
    """The name of the metric that is the objective on a second held-out set; None where no run logs one.

    It has the objective's name but for the words of the set: the validation set (eval, val, valid,
    validation, dev) for the objective and the test set (test, testing, heldout, holdout) for the second
    metric, or the reverse. Its mode, where the log states it or its name implies it, is that of the
    objective. The metric that the policies monitor is none, since it chose the checkpoints. Of several, that
    which most runs log.
    """
    objective = held_out_name(study.objective.name)
    if objective is None:
        return None
    spelled: dict[str, str] = {}
    count: Counter[str] = Counter()
    for run in study.panel.runs:
        for name in run.metrics:
            if _is_second(run, name, objective, study):
                count[canonical(name)] += 1
                spelled.setdefault(canonical(name), name)
    return spelled[count.most_common(1)[0][0]] if count else None


def _is_second(run: Run, name: str, objective: HeldOutName, study: Study) -> bool:
    parts = held_out_name(name)
    if parts is None or parts.words != objective.words or parts.split == objective.split:
        return False
    if canonical(name) == canonical(study.monitor.name):
        return False
    return _mode(run, name) in (None, study.objective.mode)


def _mode(run: Run, name: str) -> Mode | None:
    implied = infer_mode(name)
    return run.info.modes.get(name) or (implied.mode if implied else None)


def second_regret(outcomes: Outcomes, rows: Ints | None = None) -> Floats:
    """Regret on the second metric of outcomes, in the metric's unit; NaN where it is not known.

    The second metric at the checkpoint kept minus its value at the checkpoint that is best by the objective
    over the full log, with the sign that makes larger worse. Zero where both are the same checkpoint,
    negative where the checkpoint kept is the better one on the second metric. Not known where a run has no
    second metric (see `find_second`), where that was not logged at one of the two checkpoints, or was not
    finite there. On a censored run the best checkpoint is that of the log.

    Parameters
    ----------
    outcomes:
        Outcomes of policies.
    rows:
        Indices of the outcomes asked for (default: all); the result has one entry per index.
    """
    rows = np.arange(len(outcomes)) if rows is None else np.asarray(rows, dtype=np.int64)
    name = find_second(outcomes.study)
    return np.full(len(rows), np.nan) if name is None else _regret_on(name, outcomes, rows)


def _regret_on(name: str, outcomes: Outcomes, rows: Ints) -> Floats:
    regrets = np.full(len(rows), np.nan)
    study = outcomes.study
    sign = 1.0 if study.objective.mode == "min" else -1.0
    kept, best, run_of = outcomes.kept_step[rows], outcomes.best_step[rows], outcomes.run[rows]
    for index in np.unique(run_of).tolist():
        curve = _second_curve(study.panel.runs[index], name, study.objective.mode)
        if curve is None:
            continue
        here = np.flatnonzero(run_of == index)
        difference = _at(curve, kept[here]) - _at(curve, best[here])
        regrets[here] = sign * difference + 0.0  # not −0
    return regrets


def _second_curve(run: Run, name: str, mode: Mode) -> Curve | None:
    spelling = run.find_metric(name)
    return None if spelling is None or spelling not in run.metrics else run.curve(spelling, mode)


def _at(curve: Curve, steps: Floats) -> Floats:
    """The values of a curve that were logged exactly at the steps; NaN where none was, or no finite one."""
    if not len(curve):
        return np.full(len(steps), np.nan)
    index = np.minimum(np.searchsorted(curve.steps, steps), len(curve) - 1)
    values = curve.values[index]
    return np.where((curve.steps[index] == steps) & np.isfinite(values), values, np.nan)


@dataclass(frozen=True)
class SecondRegret:
    """Mean regret on a second metric over the ``runs`` of which it is known, with its interval (NaN with
    fewer than 2 runs).
    """

    metric: str
    runs: int
    mean: float
    low: float
    high: float


def mean_second_regret(
    outcomes: Outcomes,
    rows: Ints | None = None,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
) -> SecondRegret | None:
    """The mean of `second_regret` over some outcomes, at most one per run; None where it is known of none.

    ``groups`` has one entry per run of the study's panel (default: what the log states). The interval holds
    with probability ``level``, by bootstrap over runs, drawing whole groups; see
    `replay.stats.intervals.interval`.
    """
    rows = np.arange(len(outcomes)) if rows is None else np.asarray(rows, dtype=np.int64)
    name = find_second(outcomes.study)
    if name is None:
        return None
    values = _regret_on(name, outcomes, rows)
    known = ~np.isnan(values)
    if not known.any():
        return None
    labels = groups_of(outcomes.study.panel.runs) if groups is None else groups
    low, high = interval(values, [labels[run] for run in outcomes.run[rows].tolist()], level)
    return SecondRegret(name, int(known.sum()), float(values[known].mean()), low, high)


def movement_correlation(study: Study) -> float | None:
    """Median over runs of the correlation between the movements of the objective and of the second metric
    from eval to eval; None where no run has both at 7 evals or more.

    Near 1, the movements are real: they are differences between checkpoints, which show on other data as
    well. Near 0, they are noise of the measurement. Only in the latter case does the correction of
    `replay.stats.optimism` apply.

    Spearman's rank correlation of the second differences v[i−1] − 2 v[i] + v[i+1] at the evals that have both
    metrics, finite. In second differences a local trend cancels; plain differences of two curves that fall
    together correlate even where all their wiggle is independent noise (0.96 in a simulation in which this
    figure is 0.3). Ranks keep the few large steps at the start from deciding alone.
    """
    name = find_second(study)
    if name is None:
        return None
    found = []
    for run in study.panel.runs:
        own = study.objective.names.get(run.id)
        second = _second_curve(run, name, study.objective.mode)
        if own is None or second is None:
            continue
        first = run.curve(own, study.objective.mode)
        other = _at(second, first.steps)
        both = np.isfinite(first.values) & np.isfinite(other)
        if both.sum() >= _FEWEST:
            found.append(_rank_correlation(_bends(first.values[both]), _bends(other[both])))
    known = [value for value in found if not np.isnan(value)]
    return float(np.median(known)) if known else None


def _bends(values: Floats) -> Floats:
    """Second differences."""
    bends: Floats = values[:-2] - 2 * values[1:-1] + values[2:]
    return bends


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation; NaN where one of them is constant."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (one, other)]
    size = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / size if size > 0 else np.nan


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean = np.cumsum(counts) - (counts + 1) / 2
    ranks: Floats = mean[index]
    return ranks
