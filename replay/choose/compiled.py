"""Compiled sums of a sweep (numba, extra ``fast``), imported on demand by the module that also has them in numpy."""

from __future__ import annotations

import math

from numba import njit

__all__ = ["totals_pass"]


@njit(cache=True, nogil=True, boundscheck=False)
def totals_pass(stops, begin, marked, figures, stopped, censored, refused, sums, counts, worst):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill the totals of stops (policies × runs); see `replay.choose.sweeping.Outcomes.totals`.

    ``figures`` has a row for each place, so that what a stop gives lies together in memory.
    """
    runs = stops.shape[1]
    for policy in range(stops.shape[0]):
        some, marked_never, unknown = 0, 0, 0
        sum_0, sum_1, sum_2, sum_3 = 0.0, 0.0, 0.0, 0.0
        worst_1, worst_3 = -math.inf, -math.inf
        whole = True
        for run in range(runs):
            stop = stops[policy, run]
            some += stop >= 0
            unknown += stop == -2
            marked_never += (stop == -1) & marked[run]
            place = begin[run] + stop
            one, two, three, four = figures[place, 0], figures[place, 1], figures[place, 2], figures[place, 3]
            sum_0 += one
            sum_1 += two
            sum_2 += three
            sum_3 += four
            worst_1 = two if two > worst_1 else worst_1
            worst_3 = four if four > worst_3 else worst_3
        stopped[policy], censored[policy], refused[policy] = some, marked_never, unknown
        whole = not (math.isnan(sum_0) or math.isnan(sum_1) or math.isnan(sum_2) or math.isnan(sum_3))
        if whole:
            sums[0, policy], sums[1, policy], sums[2, policy], sums[3, policy] = sum_0, sum_1, sum_2, sum_3
            counts[:, policy] = runs
            worst[1, policy], worst[3, policy] = worst_1, worst_3
            continue
        for figure in range(4):  # once more, without those that are not known
            total, count, most = 0.0, 0, math.nan
            for run in range(runs):
                value = figures[begin[run] + stops[policy, run], figure]
                if not math.isnan(value):
                    total += value
                    count += 1
                    if not most >= value:
                        most = value
            sums[figure, policy], counts[figure, policy], worst[figure, policy] = total, count, most
