"""Summary of what policies find with a budget: means over draws, with intervals for other runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from replay.data.types import Bools, Floats
from replay.engine.draws import Budget, Drawn
from replay.policies.quantiles import t_quantile

__all__ = ["DRAW_KEYS", "count_unscaled", "mean_interval", "summarise_draws"]

#: Keys of one row. ``low`` and ``high`` of ``found`` are the 5th and the 95th percentile over draws, those of
#: the others the ends of the 95 % interval of the mean.
DRAW_KEYS = tuple(
    """
    policy spec runs runs_tried used_mean found_mean found_low found_high regret_mean lost_mean lost_low
    lost_high best_found ran_out less_lost less_lost_low less_lost_high better_draws worse_draws
    """.split()
)

#: With more than this share of the runs begun in a draw, the draws hardly differ, and do not say how much
#: other runs would differ.
_MOST_BEGUN = 0.8


def summarise_draws(groups: Sequence[Sequence[Drawn]], budget: Budget) -> list[dict[str, Any]]:
    """One row per policy, with the keys of DRAW_KEYS; None where a figure is not known.

    ``groups`` has, for each group of runs, what each policy finds, the first policy being never. The figures
    are means over groups, but those of the objective itself, which are known for one group only. Groups whose
    losses are not known are left out of the means of losses (see `count_unscaled`).
    ``less_lost`` is how much less a policy loses than never.
    """
    return [_row([group[index] for group in groups], groups, budget) for index in range(len(groups[0]))]


def count_unscaled(groups: Sequence[Sequence[Drawn]]) -> int:
    """In how many groups no loss is known, because the best run does not improve by a known amount."""
    return sum(not _is_scaled(group) for group in groups)


def _is_scaled(group: Sequence[Drawn]) -> bool:
    return not np.isnan(group[0].lost).all()


def _row(drawn: Sequence[Drawn], groups: Sequence[Sequence[Drawn]], budget: Budget) -> dict[str, Any]:
    one, alone = drawn[0], len(drawn) == 1
    found = one.found[~np.isnan(one.found)] if alone else np.empty(0)
    low, high = np.quantile(found, [0.05, 0.95]).tolist() if len(found) else (None, None)
    scaled = [(part, group[0]) for part, group in zip(drawn, groups, strict=True) if _is_scaled(group)]
    scaled = scaled or [(part, group[0]) for part, group in zip(drawn, groups, strict=True)]
    lost = [(part.lost, part.begun) for part, _ in scaled]
    less = [(never.lost - part.lost, never.begun | part.begun) for part, never in scaled]
    gains = np.concatenate([values for values, _ in less])
    lost_low, lost_high = mean_interval(lost)
    less_low, less_high = mean_interval(less)
    first = one.policy == groups[0][0].policy
    return {
        "policy": one.policy,
        "spec": one.spec,
        "runs": sum(part.begun.shape[1] for part in drawn),
        "runs_tried": float(np.mean([part.tried.mean() for part in drawn])),
        "used_mean": float(np.mean([part.used.mean() for part in drawn])),
        "found_mean": float(found.mean()) if len(found) else None,
        "found_low": low,
        "found_high": high,
        "regret_mean": _known(np.nanmean(one.regret)) if len(found) else None,
        "lost_mean": _mean(lost),
        "lost_low": None if lost_low is None else max(lost_low, 0.0),
        "lost_high": None if lost_high is None else min(lost_high, 1.0),
        "best_found": float(np.mean([(part.regret == 0).mean() for part in drawn])),
        "ran_out": float(np.mean([part.ran_out(budget).mean() for part in drawn])),
        "less_lost": None if first else _mean(less),
        "less_lost_low": None if first else less_low,
        "less_lost_high": None if first else less_high,
        "better_draws": None if first else float((gains > 0).mean()),
        "worse_draws": None if first else float((gains < 0).mean()),
    }


def _mean(parts: Sequence[tuple[Floats, Bools]]) -> float | None:
    return _known(np.mean([values.mean() for values, _ in parts]))


def _known(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def mean_interval(
    parts: Sequence[tuple[Floats, Bools]], level: float = 0.95
) -> tuple[float | None, float | None]:
    """The interval of the mean over groups of what draws of their runs give on average.

    Each part has one group's values, one per draw, and which runs each draw began. The interval is about
    other runs of the same kind, and about other draws. It is None where draws begin most of the runs of a
    group, and where a value is not known.
    """
    variance, freedom = 0.0, 0
    for values, begun in parts:
        here = _variance(values, begun)
        if here is None:
            return None, None
        variance += here / len(parts) ** 2
        freedom += begun.shape[1] - 1
    mean = float(np.mean([values.mean() for values, _ in parts]))
    reach = t_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    return mean - reach, mean + reach


def _variance(values: Floats, begun: Bools) -> float | None:
    """The variance of the mean of some values over draws, by the jackknife over runs.

    A draw that did not begin a run is a draw from the other runs, so that the mean without a run needs no
    further draws: it is the mean over these, each weighted by how rare it is that a run is not begun (Efron,
    Journal of the Royal Statistical Society B 54, 1992). Since the draws are limited, chance widens the
    interval. It is left in: on simulated sets of 26 to 100 runs, the 95 % interval then held the truth in
    90 to 98 % of samples, and without it in 76 to 90 %.
    """
    draws, runs = begun.shape
    share = begun.sum(axis=1) / runs
    if runs < 3 or share.max() > _MOST_BEGUN or np.isnan(values).any():
        return None
    weights = (1 / (1 - share))[:, None] * ~begun
    sums = weights.sum(axis=0)
    if (sums == 0).any():
        return None
    without = (weights * values[:, None]).sum(axis=0) / sums
    jackknife = (runs - 1) / runs * ((without - without.mean()) ** 2).sum()
    return float(jackknife + values.var(ddof=1) / draws)
