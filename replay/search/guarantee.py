"""A guarantee: a policy whose loss on the next runs is proven to keep a tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from replay.data.finding import Finding
from replay.data.types import Ints
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.search.evidence import Evidence, gather_evidence
from replay.search.ladders import Ladder, default_policies
from replay.stats.risk_control import RiskControl, resample, risk_control
from replay.stats.summary import Weight
from replay.stats.ties import TIE

__all__ = ["Guarantee", "Method", "Rung", "guarantee", "guarantee_from", "least_units"]

Method = Literal["all", "halves", "split"]

_SEED = 20250101


@dataclass(frozen=True)
class Rung:
    """One policy of a ladder, with what the runs say of it.

    ``saved`` is the mean over all judged runs, ``saved_total`` the share of their compute; ``lost`` the mean
    loss over the units as logged, ``worst`` the same with a loss of 1 for every censored run. ``bound`` is
    the smallest tolerance that it is guaranteed to keep, and ``needed_units`` the least number of units with
    losses like these that it takes to keep the tolerance asked for (None: no number would do).
    """

    policy: Policy
    saved: float
    saved_total: float
    lost: float
    worst: float
    bound: float
    needed_units: int | None


@dataclass(frozen=True, eq=False)
class Guarantee:
    """What is guaranteed, and on what evidence.

    Parameters
    ----------
    policy:
        The policy whose loss keeps the tolerance; None: there is none that saves anything.
    chosen:
        Its rung among ``rungs``; None as well.
    alpha, confidence:
        The tolerance (a share of a run's improvement) and the confidence that it is kept; a confidence of
        None stands for the mean over samples (see `ConformalRiskControl`).
    method:
        "all": one ladder was held against all units. "halves": the ladder was picked on one half of the units
        and held against the other. "split": all ladders were held against all units, each at an equal part of
        the error that is accepted.
    ladder, ladders, rungs:
        The ladder of the policy (or the one that is nearest to a guarantee), how many ladders there were, and
        its rungs, the safest first.
    units, used_units, runs, used_runs:
        The number of units, and of those that the figures and the guarantee are about, which are fewer under
        "halves"; the number of runs of the study, and of those that the figures are about.
    left_out, censored:
        Ids of the runs without a scale for their loss, and of the censored ones among the others.
    partial:
        The number of policies that could not be tried on every run.
    needed_units:
        The least number of units, with losses like these, with which something that saves could be
        guaranteed; None: no number would do.
    evidence:
        The losses that it was made from, for `replay.search.held_out_guarantee`.
    """

    policy: Policy | None
    chosen: int | None
    alpha: float
    confidence: float | None
    weight: Weight
    method: Method
    ladder: Ladder | None
    ladders: int
    rungs: tuple[Rung, ...]
    units: int
    used_units: int
    runs: int
    used_runs: int
    left_out: tuple[str, ...]
    censored: tuple[str, ...]
    partial: int
    needed_units: int | None
    findings: tuple[Finding, ...]
    evidence: Evidence = field(repr=False)

    @property
    def is_guaranteed(self) -> bool:
        """Whether there is a policy that saves something and keeps the tolerance."""
        return self.policy is not None

    @property
    def kind(self) -> Literal["mean", "confidence"]:
        """What the tolerance limits: the mean, or the true mean with a confidence."""
        return "mean" if self.confidence is None else "confidence"

    @property
    def rung(self) -> Rung | None:
        """The rung of the policy, with what it saves and loses and its bound."""
        return None if self.chosen is None else self.rungs[self.chosen]


def guarantee(
    study: Study,
    alpha: float,
    policies: Sequence[Policy] | None = None,
    *,
    confidence: float | None = None,
    groups: Sequence[str] | None = None,
    weight: Weight = "runs",
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Guarantee:
    """Find the policy that saves most among those whose loss is proven to keep a tolerance.

    ``alpha`` is the share of a run's improvement that may be lost, from 0 to 1. Without a ``confidence`` the
    mean loss of the next unit is limited, over samples of units; with one, such as 0.9, the true mean loss of
    the policy, in at least that share of samples. The first holds if the next units are exchangeable with
    these, the second if all are drawn independently from one population.

    A unit is a run, or, with ``groups`` (one label per run of the study's panel, see `groups_of`), a group,
    whose loss is the mean over its runs: the guarantee then is about a new group.

    ``policies`` (default: one ladder of plain patience) are ordered into ladders by their parameters (see
    `make_ladders`). One ladder is held against all units. Of several, without a confidence, one is picked on
    a half of the units, drawn by a fixed seed, and held against the other half. With a confidence, either
    that, or all are held against all units at an equal part of the accepted error, whichever needs fewer
    units for a policy that loses nothing; that rule looks at the numbers of units and ladders and at
    ``alpha`` only.

    Among the policies that are guaranteed it takes the one that saves most: by the mean over the runs, or for
    a ``weight`` of "compute" as a share of their compute. Of equal ones (within 1e-9) it takes the safer. A
    policy that saves nothing is not taken.

    Runs whose loss has no scale are left out, and counted. A censored run counts with a loss of 1. The other
    arguments and the errors are those of `gather_evidence`; raises InputError for an ``alpha``, a confidence
    or a weight out of range.

    Sources: see `ConformalRiskControl` and `LearnThenTest`.
    """
    _check(alpha, confidence, weight)
    chosen = default_policies() if policies is None else policies
    evidence = gather_evidence(study, chosen, groups, optional=optional, progress=progress)
    return guarantee_from(evidence, alpha, confidence=confidence, weight=weight)


def guarantee_from(
    evidence: Evidence, alpha: float, *, confidence: float | None = None, weight: Weight = "runs"
) -> Guarantee:
    """The same as `guarantee`, from evidence that was gathered before."""
    _check(alpha, confidence, weight)
    ladders = evidence.ladders
    method = _method(evidence.units, len(ladders), alpha, confidence)
    control = risk_control(confidence, len(ladders) if method == "split" else 1)
    used, among = evidence, ladders
    if method == "halves":
        first, second = _halves(evidence.units)
        used = evidence.of_units(second)
        among = [_pick(evidence.of_units(first), ladders, control, alpha, weight, len(second))]
    best = _best(used, among, control, alpha, weight)
    ladder, chosen = best if best is not None else (_nearest(used, among, control, alpha, weight), None)
    return Guarantee(
        policy=None if ladder is None or chosen is None else ladder.policies[chosen],
        chosen=chosen,
        alpha=alpha,
        confidence=confidence,
        weight=weight,
        method=method,
        ladder=ladder,
        ladders=len(ladders),
        rungs=() if ladder is None else _rungs(used, ladder, control, alpha),
        units=evidence.units,
        used_units=used.units,
        runs=len(evidence.runs) + len(evidence.left_out),
        used_runs=len(used.runs),
        left_out=evidence.left_out,
        censored=evidence.censored,
        partial=evidence.partial,
        needed_units=_least_units(evidence, alpha, confidence, weight),
        findings=evidence.findings,
        evidence=evidence,
    )


def least_units(alpha: float, confidence: float | None = None) -> int | None:
    """The number of units that a guarantee takes even if none of them loses anything; None: none would do.

    Examples
    --------
    >>> least_units(0.05), least_units(0.05, 0.9), least_units(0.0)
    (19, 48, None)
    """
    return risk_control(confidence).needed_units(np.zeros((1, 1)), alpha)[0]


def _check(alpha: float, confidence: float | None, weight: str) -> None:
    if not 0 <= alpha <= 1:
        raise InputError(f"the tolerance is a share from 0 to 1, not {alpha:g}")
    if confidence is not None and not 0 < confidence < 1:
        raise InputError(f"the confidence of a guarantee is above 0 and below 1, not {confidence:g}")
    if weight not in ("runs", "compute"):
        raise InputError(f"weight is 'runs' or 'compute', not {weight!r}")


def _method(units: int, ladders: int, alpha: float, confidence: float | None) -> Method:
    """How several ladders are dealt with.

    Without losses a p-value of n units is at best (1 − alpha)^n. That is below δ / ladders, of all units, at
    fewer units than it is below δ, of half of them, as long as there are no more ladders than (1 −
    alpha)^(−n/2).
    """
    if ladders <= 1:
        return "all"
    return "split" if confidence is not None and units >= _split_from(ladders, alpha) else "halves"


def _split_from(ladders: int, alpha: float) -> float:
    """The number of units from which on all ladders are held against all units, with a confidence."""
    return 2 * math.log(ladders) / -math.log1p(-alpha) if 0 < alpha < 1 else math.inf


def _halves(units: int) -> tuple[Ints, Ints]:
    """The units to pick a ladder on, and the rest, which are as many or one more."""
    order = np.random.Generator(np.random.PCG64(_SEED)).permutation(units)
    return np.sort(order[: units // 2]), np.sort(order[units // 2 :])


def _pick(
    evidence: Evidence,
    ladders: Sequence[Ladder],
    control: RiskControl,
    alpha: float,
    weight: Weight,
    units: int,
) -> Ladder:
    """The ladder that promises most for so many other units: as if their losses were like these.

    That is the one which would be guaranteed to save most, or, where none would be guaranteed to save
    anything, the one whose first rung that saves loses least. Of equal ones it is the first.
    """

    def promise(ladder: Ladder) -> tuple[float, float]:
        losses, savings = evidence.unit_losses(ladder), np.nan_to_num(evidence.savings(ladder, weight))
        last = control.choose(resample(losses, units), alpha)
        most = 0.0 if last is None else float(savings[: last + 1].max())
        saves = np.flatnonzero(savings > TIE)
        least = float(losses[:, saves[0]].mean()) if len(saves) and len(losses) else 1.0
        return (most if most > TIE else 0.0), -least

    return max(ladders, key=promise)


def _best(
    evidence: Evidence, ladders: Sequence[Ladder], control: RiskControl, alpha: float, weight: Weight
) -> tuple[Ladder, int] | None:
    """The ladder and its rung that save most of those which keep the tolerance; of equal ones the safest."""
    keeping = []
    for ladder in ladders if evidence.units else ():
        losses = evidence.unit_losses(ladder)
        last = control.choose(losses, alpha)
        if last is not None:
            savings, means = evidence.savings(ladder, weight), losses.mean(axis=0)
            keeping += [(float(savings[rung]), float(means[rung]), ladder, rung) for rung in range(last + 1)]
    most = max((entry[0] for entry in keeping), default=0.0)
    if most <= TIE:
        return None
    equal = [entry for entry in keeping if entry[0] >= most - TIE]
    _, _, ladder, rung = min(equal, key=lambda entry: entry[1])
    return ladder, rung


def _nearest(
    evidence: Evidence, ladders: Sequence[Ladder], control: RiskControl, alpha: float, weight: Weight
) -> Ladder | None:
    """The ladder that needs the fewest units to guarantee something that saves; of equal ones the first."""

    def lacking(ladder: Ladder) -> float:
        needed = _units_to_save(evidence, ladder, control, alpha, weight)
        return math.inf if needed is None else needed

    return ladders[0] if len(ladders) == 1 else min(ladders, key=lacking, default=None)


def _units_to_save(
    evidence: Evidence, ladder: Ladder, control: RiskControl, alpha: float, weight: Weight
) -> int | None:
    """The least number of units with which a ladder would guarantee something that saves."""
    saves = np.flatnonzero(evidence.savings(ladder, weight) > TIE)
    if not len(evidence.runs):
        saves = np.array([0])  # nothing was seen: the least that any ladder needs
    if not len(saves):
        return None
    # up to the safest rung that saves; many rungs before it are alike
    losses = evidence.unit_losses(ladder)[:, : int(saves[0]) + 1]
    _, distinct = np.unique(losses, axis=1, return_index=True)
    return control.needed_units(losses[:, np.sort(distinct)], alpha)[-1]


def _least_units(evidence: Evidence, alpha: float, confidence: float | None, weight: Weight) -> int | None:
    """The least number of units with which something that saves could be guaranteed."""
    ladders = evidence.ladders

    def least(parts: int) -> int | None:
        control = risk_control(confidence, parts)
        each = [_units_to_save(evidence, ladder, control, alpha, weight) for ladder in ladders]
        return min((units for units in each if units is not None), default=None)

    if len(ladders) <= 1:
        return least(1)
    of_half, of_all = least(1), None if confidence is None else least(len(ladders))
    from_here = _split_from(len(ladders), alpha)
    if of_half is not None and (confidence is None or 2 * of_half - 1 < from_here):
        return 2 * of_half - 1
    return None if of_all is None else max(of_all, math.ceil(from_here))


def _rungs(evidence: Evidence, ladder: Ladder, control: RiskControl, alpha: float) -> tuple[Rung, ...]:
    losses, logged = evidence.unit_losses(ladder), evidence.unit_losses(ladder, worst=False)
    empty = np.full(len(ladder), np.nan)
    columns = zip(
        ladder.policies,
        evidence.savings(ladder, "runs").tolist(),
        evidence.savings(ladder, "compute").tolist(),
        (np.sort(logged, axis=0).mean(axis=0) if len(logged) else empty).tolist(),
        (np.sort(losses, axis=0).mean(axis=0) if len(losses) else empty).tolist(),
        control.bounds(losses).tolist(),
        control.needed_units(losses, alpha),
        strict=True,
    )
    return tuple(Rung(*column) for column in columns)
