"""Compiled sums of a sweep (numba, extra ``fast``), imported on demand by the module that also has them in
numpy.
"""

from __future__ import annotations

import math

from numba import njit

__all__ = ["totals_pass"]


@njit(cache=True, nogil=True, boundscheck=False)
def totals_pass(stops, begin, marked, figures, stopped, censored, refused, sums, counts, worst):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the totals of stops (runs × policies); see `replay.search.sweep.Outcomes.totals`.

    ``figures`` has a row for each place, so that what a stop gives lies together in memory, as ``sums``,
    ``counts`` and ``worst`` do (policies × figures). What is to be filled holds 0, and ``worst`` −inf.
    """
    runs, policies = stops.shape
    for run in range(runs):
        first = begin[run]
        for policy in range(policies):
            stop = stops[run, policy]
            stopped[policy] += stop >= 0
            refused[policy] += stop == -2
        if marked[run]:
            for policy in range(policies):
                censored[policy] += stops[run, policy] == -1
        for policy in range(policies):
            place = first + stops[run, policy]
            for figure in range(4):
                value = figures[place, figure]
                sums[policy, figure] += value
                worst[policy, figure] = max(worst[policy, figure], value)
    for policy in range(policies):
        for figure in range(4):
            counts[policy, figure] = runs
            if math.isnan(sums[policy, figure]):  # once more, without those that are not known
                total, count, most = 0.0, 0, math.nan
                for run in range(runs):
                    value = figures[begin[run] + stops[run, policy], figure]
                    if not math.isnan(value):
                        total += value
                        count += 1
                        if not most >= value:
                            most = value
                sums[policy, figure], counts[policy, figure], worst[policy, figure] = total, count, most
