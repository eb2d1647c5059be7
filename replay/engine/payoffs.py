"""Payoffs: what a stop at each eval of each run would save and lose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from replay.data.types import Bools, Floats, Ints
from replay.engine.panel import Panel
from replay.engine.scale import share_lost
from replay.policies.stops import NEVER, REFUSED

__all__ = ["FIGURES", "Payoffs", "RunPayoff"]

#: What is known of every stop, as fractions but for ``regret`` (in the objective's unit).
FIGURES = ("saved", "regret", "relative_regret", "lost")

#: Entries of a run before its first eval: REFUSED, then NEVER.
_HEAD = 2


class RunPayoff(NamedTuple):
    """What a stop at each eval of one run gives, and, as the last entry, what never stopping gives."""

    share: Floats
    saved: Floats
    regret: Floats
    relative_regret: Floats
    lost: Floats


@dataclass(frozen=True, eq=False)
class Payoffs:
    """What a stop at each eval gives, for some runs of a panel that have the same evals made.

    The arrays are flat. A run's entries lie together: for REFUSED (nothing is known), for NEVER, then for
    each of its evals; ``begin`` is the index of its first eval, so that ``begin + position`` is the index of
    a stop. ``kept`` and ``last`` are the positions of the eval whose checkpoint is kept and of the last eval
    made (−1: none). ``used`` and ``eval_used`` are in the unit of the question; ``full`` is what each full
    run uses.
    """

    panel: Panel
    rows: Ints
    lengths: Ints
    begin: Ints
    used: Floats
    eval_used: Floats
    full: Floats
    kept: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    saved: Floats
    regret: Floats
    relative_regret: Floats
    lost: Floats

    @classmethod
    def of(cls, panel: Panel, rows: Ints, made: Bools) -> Payoffs:
        """The payoffs of the panel's runs at ``rows``, with the evals of the mask ``made`` (rows × evals)
        made.
        """
        batch = panel.whole
        evals = batch.shape[1]
        inside = batch.mask[rows]
        # the longest of some runs may be shorter than the longest of the panel
        made = np.pad(made, [(0, 0), (0, evals - made.shape[1])]) & inside
        number = np.arange(evals)
        last = np.maximum.accumulate(np.where(made, number, -1), axis=1) if evals else made.astype(np.int64)
        keep = panel.question.keep
        if keep == "last":
            return cls._score(panel, rows, made, last, last)
        oriented = batch.oriented[rows]
        if keep == "transformers":
            kept = _loaded(oriented, made, panel.checkpoint_written[rows], last)
            return cls._score(panel, rows, made, kept, last)
        eligible = made & ~np.isnan(oriented)
        if keep == "best-saved":
            eligible &= panel.checkpoint_written[rows]
        lowest = np.minimum.accumulate(np.where(eligible, oriented, np.inf), axis=1)
        before = np.concatenate([np.full((len(rows), min(evals, 1)), np.inf), lowest[:, :-1]], axis=1)
        first = np.cumsum(eligible, axis=1) == 1
        better = eligible & (first | (oriented < before))
        kept = np.maximum.accumulate(np.where(better, number, -1), axis=1) if evals else last
        return cls._score(panel, rows, made, kept, last)

    @classmethod
    def of_oracle(cls, panel: Panel, positions: Ints) -> Payoffs:
        """The payoffs of keeping one eval of each run (−1: none) wherever the run is stopped, all evals
        made.
        """
        rows = np.arange(len(panel.runs))
        made = panel.whole.mask
        last = np.where(made, np.arange(made.shape[1]), -1)
        kept = np.broadcast_to(positions[:, None], made.shape)
        return cls._score(panel, rows, made, kept, last, never=positions)

    @classmethod
    def _score(
        cls, panel: Panel, rows: Ints, made: Bools, kept: Ints, last: Ints, never: Ints | None = None
    ) -> Payoffs:
        """Payoffs from the positions kept and last made after a stop at each eval (rows × evals)."""
        lengths = panel.whole.lengths[rows]
        runs, evals = made.shape
        spent = [panel.compute[row] for row in rows.tolist()]
        full = np.array([compute.full for compute in spent], dtype=np.float64)
        rest = np.array([compute.full - float(compute.evals.sum()) for compute in spent], dtype=np.float64)
        train, per_eval = np.zeros((runs, evals)), np.zeros((runs, evals))
        for row, compute in enumerate(spent):
            train[row, : lengths[row]] = compute.train
            per_eval[row, : lengths[row]] = compute.evals
        eval_used = np.cumsum(np.where(made, per_eval, 0.0), axis=1)

        def with_never(array: Floats, at_end: Floats) -> Floats:
            """Each row with what never stopping gives before it, and NaN for REFUSED before that."""
            return np.concatenate([np.full((runs, 1), np.nan), at_end[:, None], array], axis=1)

        def positions(array: Ints, at_end: Ints | None = None) -> Ints:
            final = array[np.arange(runs), np.maximum(lengths - 1, 0)] if evals else np.full(runs, -1)
            final = np.where(lengths > 0, final, -1) if at_end is None else at_end
            return np.concatenate([np.full((runs, 1), -1), final[:, None], array], axis=1)

        total = eval_used[np.arange(runs), np.maximum(lengths - 1, 0)] if evals else np.zeros(runs)
        total = np.where(lengths > 0, total, 0.0)
        used = with_never(train + eval_used, rest + total)
        kept, last = positions(kept, never), positions(last)
        regret, relative, lost = _losses(panel, rows, kept)
        if never is not None:  # the oracle: a run in which it finds no best eval has no loss
            lost[never < 0] = np.nan
        with np.errstate(all="ignore"):
            share = np.where(full[:, None] > 0, used / full[:, None], 1.0)
        share[:, 0] = np.nan
        valid = np.arange(evals + _HEAD)[None, :] < lengths[:, None] + _HEAD
        counts = lengths + _HEAD

        def flat(array: Floats) -> Floats:
            array[:, 0] = np.nan
            return array[valid]

        return cls(
            panel,
            rows,
            lengths,
            begin=np.cumsum(counts) - lengths,
            used=used[valid],
            eval_used=with_never(eval_used, total)[valid],
            full=full,
            kept=kept[valid].astype(np.int32),
            last=last[valid].astype(np.int32),
            saved=flat(1 - share),
            regret=flat(regret),
            relative_regret=flat(relative),
            lost=flat(lost),
        )

    @cached_property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs."""
        return tuple(self.panel.runs[row].id for row in self.rows.tolist())

    def known(self, figure: str) -> bool:
        """Whether a figure is known of every stop that is not REFUSED."""
        return self._known[figure]

    @cached_property
    def _known(self) -> dict[str, bool]:
        refused = self.begin + REFUSED
        return {name: not np.isnan(np.delete(getattr(self, name), refused)).any() for name in FIGURES}

    def known_somewhere(self, figure: str) -> Bools:
        """Whether a figure is known of any stop of each run."""
        return self._known_somewhere[figure]

    @cached_property
    def _known_somewhere(self) -> dict[str, Bools]:
        row_of_entry = np.repeat(np.arange(len(self.begin)), self.lengths + _HEAD)
        return {
            name: np.bincount(row_of_entry[~np.isnan(getattr(self, name))], minlength=len(self.begin)) > 0
            for name in FIGURES
        }

    def of_run(self, row: int) -> RunPayoff:
        """What stops of one run give, NEVER last; ``row`` is its index among ``rows``."""
        begin = int(self.begin[row])
        here = slice(begin - 1, begin + int(self.lengths[row]))
        return RunPayoff(*(figures[here] for figures in self._never_last))

    @cached_property
    def _never_last(self) -> tuple[Floats, ...]:
        """Share used and FIGURES, with the entry of NEVER behind a run's evals, which move up by one."""
        order = np.arange(len(self.used)) + 1
        order[self.begin + REFUSED] -= 1
        order[self.begin - 1 + self.lengths] = self.begin + NEVER
        full = np.repeat(self.full, self.lengths + _HEAD)
        with np.errstate(all="ignore"):
            share = np.where(full > 0, self.used / full, 1.0)
        return tuple(array[order] for array in (share, *(getattr(self, name) for name in FIGURES)))


def _losses(panel: Panel, rows: Ints, kept: Ints) -> tuple[Floats, Floats, Floats]:
    """Regret, relative regret and share lost of keeping the evals at some positions (rows × stops)."""
    objective = panel.objective
    has = kept >= 0
    values, present = objective.values[rows], objective.present[rows]
    if values.shape[1]:
        at = np.maximum(kept, 0)
        at_kept = np.where(has, np.take_along_axis(values, at, axis=1), np.nan)
        logged = np.where(has, np.take_along_axis(present, at, axis=1), True)
    else:
        at_kept, logged = np.full(kept.shape, np.nan), np.ones(kept.shape, dtype=bool)
    best = objective.best[rows][:, None]
    judged = ~np.isnan(best)
    with np.errstate(all="ignore"):
        regret = np.where(at_kept == best, 0.0, np.abs(at_kept - best))
        relative = np.where(best != 0, regret / np.abs(best), np.where(regret == 0, 0.0, np.nan))
    # what was logged and is not a number has lost all that there was to lose
    lost = share_lost(regret, objective.scale.improvement[rows][:, None], logged)
    unknown = np.full(kept.shape, np.nan)
    return (
        np.where(judged, regret, unknown),
        np.where(judged, relative, unknown),
        np.where(judged, lost, unknown),
    )


def _loaded(oriented: Floats, made: Bools, written: Bools, last: Ints) -> Ints:
    """The eval whose weights transformers has in the end, with load_best_model_at_end, after a stop at each
    eval.

    When a checkpoint is written, the Trainer notes that of the best eval so far if there is one of that very
    step; else what it had noted before stays. Without any note the last weights stay.

    Source: transformers 5.24.0, trainer.py (_save_checkpoint).
    """
    runs, evals = oriented.shape
    rows = np.arange(runs)
    best, at, noted = np.full(runs, np.inf), np.full(runs, -1), np.full(runs, -1)
    kept = np.empty((runs, evals), dtype=np.int64)
    for eval in range(evals):
        improved = made[:, eval] & (oriented[:, eval] < best)
        best, at = np.where(improved, oriented[:, eval], best), np.where(improved, eval, at)
        saved = made[:, eval] & written[:, eval] & (at >= 0) & written[rows, np.maximum(at, 0)]
        noted = np.where(saved, at, noted)
        kept[:, eval] = np.where(noted >= 0, noted, last[:, eval])
    return kept
