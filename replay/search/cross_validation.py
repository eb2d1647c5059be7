"""Choosing a policy, and what it gives on runs that it was not chosen on.

The policy of a set of runs is the one that saves most among those whose loss keeps a limit with a margin for
chance. Cross-validation does that choosing again and again without some runs, and scores it on those alone:
the figures of the chosen policy on the runs that chose it are too good, and those are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from replay.data.finding import Finding
from replay.data.types import Floats, Ints
from replay.engine.stops import Block, StopsFinder
from replay.engine.study import Study
from replay.errors import InputError, Undecidable
from replay.policies import Policy
from replay.policies.quantiles import t_quantile
from replay.policies.stops import REFUSED
from replay.search.sweep import values_of
from replay.search.tolerance import Tolerance
from replay.stats.cautions import find_near_one
from replay.stats.groups import groups_of
from replay.stats.summary import Weight
from replay.stats.ties import above, tied

__all__ = [
    "FEWEST_GROUPS",
    "CrossValidated",
    "Folds",
    "HeldOut",
    "assign_folds",
    "cross_validate",
    "losses_of_block",
]

#: With fewer groups than this none can be held out.
FEWEST_GROUPS = 3
#: With more units than this, folds hold several.
_MOST_FOLDS = 20
_SEED = 20250101
# squares of losses that cancel leave less than this share of them
_ROUNDING = 1e-13


@dataclass(eq=False)
class HeldOut:
    """The choice made again without some runs, for each of some folds.

    ``by`` says what is held out together. ``fold`` has the fold of each run of the study's panel (−1: the run
    cannot be judged, and takes no part), ``chosen`` the policy of each fold (None: none keeps the limit with
    the margin, so that its runs are trained to their end).
    """

    by: str
    fold: Ints
    chosen: list[Policy | None]

    def policy(self, run: int) -> Policy | None:
        """The policy that was chosen without a run, by its place."""
        fold = int(self.fold[run])
        return None if fold < 0 else self.chosen[fold]


@dataclass(eq=False)
class CrossValidated:
    """Which policy was chosen on all runs, and without those of each fold.

    ``chosen`` is the policy of all runs, or None; ``held_out`` the choices without some: by the units that
    were asked for, and, where these are runs of which at least 3 groups are known, by group as well.
    ``saved``, ``loss`` and ``bound`` have one entry a policy: means over all runs, and the mean loss with its
    margin. ``least`` is the policy with the lowest mean loss of those that save anything. ``partial`` counts
    policies that could not be tried on every run, which are no candidates.
    """

    policies: list[Policy]
    tolerance: Tolerance
    confidence: float
    saved: Floats
    loss: Floats
    bound: Floats
    chosen: Policy | None
    least: Policy | None
    held_out: list[HeldOut]
    partial: int
    findings: tuple[Finding, ...]

    def loss_of(self, policy: Policy) -> tuple[float, float]:
        """A policy's mean loss on all runs, and its bound."""
        index = self.policies.index(policy)
        return float(self.loss[index]), float(self.bound[index])

    def tried(self) -> list[Policy]:
        """Every policy that was chosen for anything, and the least losing one, each once."""
        every = [self.chosen, self.least, *(policy for one in self.held_out for policy in one.chosen)]
        return list({policy.spec(): policy for policy in every if policy is not None}.values())


def cross_validate(
    study: Study,
    policies: Sequence[Policy],
    tolerance: Tolerance,
    *,
    confidence: float = 0.95,
    group: str | None = None,
    weight: Weight = "runs",
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> CrossValidated:
    """Choose among policies on the runs of a study, and again without the runs of each fold.

    Chosen is the policy that saves most on average among those whose mean loss keeps the tolerance with a
    margin for chance: mean + t · standard error, over what is held out together, with t the quantile of
    Student's distribution at ``confidence`` with one degree of freedom fewer than there are of these (at 0.5
    there is no margin). Equal savings: the lower such bound, then the first. ``weight`` says what is saved on
    average: the share of each run's compute, or that of the runs' total compute.

    The margin is no guarantee for the policy that is chosen by it: a few runs seldom show a rare loss. Of 144
    policies on simulated curves (tests/search), with a tolerance of 2 % and 0.95, the true mean loss of the
    chosen one was within the tolerance in 56 % of samples of 12 runs and 63 % of 24; without the margin in
    24 % and 27 %. The held-out figures are true on average. See `replay.search.guarantee` for guarantees.

    Only runs that can be judged take part. Held out together are single runs, or, with ``group``, runs alike
    in it (see `groups_of`). Of more than 20 units 20 lots are made, by a fixed seed. Raises InputError for a
    confidence that is not from 0.5 to below 1 and where no policy can be tried on every run, Undecidable
    where there are fewer than 3 groups.

    Source: cross-validation of the whole choice, Stone, J. R. Stat. Soc. B 36 (1974) 111; standard error of a
    ratio of sums over clusters, Cochran, Sampling Techniques (1977), chapter 6.
    """
    if not 0.5 <= confidence < 1:
        raise InputError(f"confidence is from 0.5 to below 1, not {confidence:g}")
    runs = study.judged_runs
    if group is not None and len(set(groups_of(runs, group))) < FEWEST_GROUPS:
        count = len(set(groups_of(runs, group)))
        raise Undecidable(
            f"{count} group{'s' * (count != 1)} by {group}: too few to hold any out (at least"
            f" {FEWEST_GROUPS}); without --group runs are"
        )
    worth = study.payoffs.full[study.judged] if weight == "compute" else np.ones(len(runs))
    units = groups_of(runs, group or "run")
    folds = Folds(len(policies), group or "run", units, groups_of(runs) if group is None else None, worth)
    finder = StopsFinder(study, policies, optional=optional)
    done = 0
    for block in finder.blocks():
        folds.add(*losses_of_block(block, study, tolerance))
        done += len(block.members)
        if progress is not None:
            progress(done)
    shares = [tolerance.value] if tolerance.kind == "relative_regret" else []
    tried = (finding for _, finding in finder.findings)
    findings = tuple(dict.fromkeys((*study.findings, *tried, *find_near_one(study, shares))))
    made = folds.choose(policies, tolerance, confidence, findings)
    for one in made.held_out:
        one.fold = _of_panel(one.fold, study)
    return made


def losses_of_block(block: Block, study: Study, tolerance: Tolerance) -> tuple[list[int], Floats, Floats]:
    """The policies of a block that can be tried on every judged run, by their indices, and what they save and
    lose there (policies × runs).
    """
    columns = _columns_of_judged(block, study)
    if columns is None:
        none = np.empty((0, int(study.judged.sum())))
        return [], none, none
    able = np.flatnonzero((block.positions[:, columns] != REFUSED).all(axis=1))
    here = np.ix_(able, columns)
    saved, loss = values_of(block, "saved")[here], values_of(block, tolerance.kind)[here]
    if not study.panel.judged.any():
        loss = np.full(loss.shape, np.nan)
    return [block.members[index] for index in able.tolist()], saved, loss


class Folds:
    """What policies save and lose on some runs, by what is held out together: all that a choice takes.

    ``units`` has what is held out together with each run, which is called ``by``; ``stated`` the groups that
    are held out as well where there are enough of them, ``worth`` the weight of each run in the mean of what
    is saved.
    """

    def __init__(
        self, policies: int, by: str, units: Sequence[str], stated: Sequence[str] | None, worth: Floats
    ) -> None:
        each = {by: units}
        if stated is not None and FEWEST_GROUPS <= len(set(stated)) < len(units):
            each["group"] = stated
        self._main = by
        self._schemes = {name: _Sums(policies, labels, worth) for name, labels in each.items()}

    def add(self, members: list[int], saved: Floats, loss: Floats) -> None:
        """Take in what some policies, by their indices, save and lose on every run (policies × runs)."""
        if members:
            for sums in self._schemes.values():
                sums.add(members, saved, loss)

    def choose(
        self,
        policies: Sequence[Policy],
        tolerance: Tolerance,
        confidence: float,
        findings: tuple[Finding, ...],
    ) -> CrossValidated:
        """The policy that all runs choose, and those that they choose without each fold; the folds are those
        of the runs that were taken in.
        """
        main = self._schemes[self._main]
        if not main.whole.any():
            raise InputError(
                "no policy can be tried on every run, so none can be chosen",
                because=findings[-1] if findings else None,
            )
        saved, loss, bound = main.figures(None, confidence)

        def policy(index: int | None) -> Policy | None:
            return None if index is None else policies[index]

        def without(sums: _Sums, fold: int) -> Policy | None:
            fold_saved, _, fold_bound = sums.figures(fold, confidence)
            return policy(_best(fold_saved, fold_bound, tolerance))

        return CrossValidated(
            policies=list(policies),
            tolerance=tolerance,
            confidence=confidence,
            saved=saved,
            loss=loss,
            bound=bound,
            chosen=policy(_best(saved, bound, tolerance)),
            least=policy(_least(saved, loss, tolerance)),
            held_out=[
                HeldOut(by, sums.fold, [without(sums, fold) for fold in range(sums.folds)])
                for by, sums in self._schemes.items()
            ],
            partial=len(policies) - int(main.whole.sum()),
            findings=findings,
        )


def _columns_of_judged(block: Block, study: Study) -> Ints | None:
    """The columns of a block that hold the judged runs of the study; None where some of them are missing."""
    runs, judged = block.view.runs, study.judged
    able = block.view.judged(study) if study.panel.judged.any() else np.ones(len(runs), dtype=bool)
    columns = np.flatnonzero(able)
    return columns if np.array_equal(runs[columns], np.flatnonzero(judged)) else None


def _of_panel(fold: Ints, study: Study) -> Ints:
    """The folds of the judged runs as those of all runs of the panel, −1 for the others."""
    folds = np.full(len(study.panel.runs), -1)
    folds[study.judged] = fold
    return folds


def assign_folds(units: int) -> Ints:
    """The fold of each unit: its own, or one of 20 of nearly equal size."""
    if units <= _MOST_FOLDS:
        return np.arange(units)
    order = np.random.Generator(np.random.PCG64(_SEED)).permutation(units)
    fold = np.empty(units, dtype=np.int64)
    fold[order] = np.arange(units) % _MOST_FOLDS
    return fold


class _Sums:
    """Sums over units of runs, by policy and fold: all that means and standard errors without a fold take.

    ``worth`` is the weight of each run in the mean of what is saved.
    """

    def __init__(self, policies: int, units_of_runs: Sequence[str], worth: Floats) -> None:
        names, unit = np.unique(np.asarray(units_of_runs, dtype=str), return_inverse=True)
        folds = assign_folds(len(names))
        self.fold, self.folds = folds[unit], int(folds.max()) + 1
        self._runs = np.argsort(
            folds[unit] * (len(folds) + 1) + unit, kind="stable"
        )  # runs of a unit, and units of a fold, lie together
        units = unit[self._runs]
        self._unit_begins = np.flatnonzero(np.append(True, units[1:] != units[:-1]))
        of_unit = folds[units[self._unit_begins]]
        self._fold_begins = np.flatnonzero(np.append(True, of_unit[1:] != of_unit[:-1]))
        self._units = np.bincount(folds)
        self.whole = np.zeros(policies, dtype=bool)
        shape = (policies, len(self._fold_begins))
        self._saved, self._loss, self._count, self._loss2, self._cross, self._count2 = (
            np.zeros(shape) for _ in range(6)
        )
        self._worth = worth
        self._worth_of_fold = np.add.reduceat(
            np.add.reduceat(worth[self._runs], self._unit_begins), self._fold_begins
        )

    def add(self, members: list[int], saved: Floats, loss: Floats) -> None:
        """Take in what some policies save and lose (policies × runs)."""

        def by_unit(values: Floats) -> Floats:
            return np.add.reduceat(values[:, self._runs], self._unit_begins, axis=1)

        def by_fold(values: Floats) -> Floats:
            return np.add.reduceat(values, self._fold_begins, axis=1)

        known = ~np.isnan(loss)
        lost, count = by_unit(np.where(known, loss, 0.0)), by_unit(known.astype(np.float64))
        self.whole[members] = True
        self._saved[members] = by_fold(by_unit(saved * self._worth))
        self._loss[members], self._count[members] = by_fold(lost), by_fold(count)
        self._loss2[members], self._cross[members], self._count2[members] = (
            by_fold(lost * lost),
            by_fold(lost * count),
            by_fold(count**2),
        )

    def figures(self, without: int | None, confidence: float) -> tuple[Floats, Floats, Floats]:
        """Mean saved, mean loss and its upper bound of each policy, without the runs of a fold; NaN where it
        was not tried on all.
        """
        keep = np.ones(self._saved.shape[1], dtype=bool)
        if without is not None:
            keep[without] = False
        units = int(self._units[keep].sum())
        saved, loss, count, loss2, cross, count2 = (
            total[:, keep].sum(axis=1)
            for total in (self._saved, self._loss, self._count, self._loss2, self._cross, self._count2)
        )
        with np.errstate(all="ignore"):
            mean = np.where(self.whole, loss / count, np.nan)
            spread = loss2 - 2 * mean * cross + mean * mean * count2
            # losses that are all alike have none, of which rounding would leave something
            spread = np.where(spread <= _ROUNDING * loss2, 0.0, spread)
            if units > 1:
                bound = (
                    mean + t_quantile(confidence, units - 1) * np.sqrt(spread * units / (units - 1)) / count
                )
            else:
                bound = np.full(len(mean), np.inf)
            return np.where(self.whole, saved / float(self._worth_of_fold[keep].sum()), np.nan), mean, bound


def _best(saved: Floats, bound: Floats, tolerance: Tolerance) -> int | None:
    """The index of the policy that saves most among those whose bound keeps the tolerance; of equals the one
    with the lowest bound, then the first. Figures that differ by rounding are equal.
    """
    keeps = tolerance.allows(bound) & above(saved, 0.0)
    if not keeps.any():
        return None
    most = np.flatnonzero(keeps & tied(saved, saved[keeps].max()))
    return int(most[np.argmax(tied(bound[most], bound[most].min(), tolerance.scale))])


def _least(saved: Floats, loss: Floats, tolerance: Tolerance) -> int | None:
    """The index of the policy that loses least among those that save anything; of equals the one that saves
    most, then the first. Figures that differ by rounding are equal.
    """
    known = above(saved, 0.0) & ~np.isnan(loss)
    if not known.any():
        return None
    few = np.flatnonzero(known & tied(loss, loss[known].min(), tolerance.scale))
    return int(few[np.argmax(tied(saved[few], saved[few].max()))])
