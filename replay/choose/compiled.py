"""Compiled sums of a sweep (numba, extra ``fast``), imported on demand by the module that also has them in numpy."""

from __future__ import annotations

import math

from numba import njit

__all__ = ["totals_pass"]


@njit(cache=True, nogil=True, boundscheck=False)
def totals_pass(stops, begin, marked, figures, stopped, censored, refused, sums, counts, worst):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the totals of stops (runs × policies); see `replay.choose.sweeping.Outcomes.totals`.

    ``figures`` has a row for each place, so that what a stop gives lies together in memory, as ``sums``, ``counts`` and ``worst`` do
    (policies × figures). What is to be filled holds 0, and ``worst`` −inf.
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
            # all are read before any is written: the compiler cannot know that they do not overlap
            value_0, value_1, value_2, value_3 = figures[place, 0], figures[place, 1], figures[place, 2], figures[place, 3]
            sum_0, sum_1, sum_2, sum_3 = sums[policy, 0], sums[policy, 1], sums[policy, 2], sums[policy, 3]
            worst_0, worst_1, worst_2, worst_3 = worst[policy, 0], worst[policy, 1], worst[policy, 2], worst[policy, 3]
            sums[policy, 0] = sum_0 + value_0
            sums[policy, 1] = sum_1 + value_1
            sums[policy, 2] = sum_2 + value_2
            sums[policy, 3] = sum_3 + value_3
            worst[policy, 0] = value_0 if value_0 > worst_0 else worst_0
            worst[policy, 1] = value_1 if value_1 > worst_1 else worst_1
            worst[policy, 2] = value_2 if value_2 > worst_2 else worst_2
            worst[policy, 3] = value_3 if value_3 > worst_3 else worst_3
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
