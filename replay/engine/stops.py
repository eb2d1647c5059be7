"""Stops: where each policy stops each run, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from replay.data.curve import CurveBatch
from replay.data.finding import Finding, Kind
from replay.data.types import Bools, Floats, Ints
from replay.engine.panel import Gathered, Panel
from replay.engine.payoffs import Payoffs
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy, Trace
from replay.policies.base import reference_after_stop
from replay.policies.stops import REFUSED, find_stops, first_reached_each, group_equal

__all__ = ["UNAVAILABLE", "Block", "Stops", "StopsFinder", "View"]

#: Stands for a run that lacks what a policy needs, beside NEVER and REFUSED of the policies.
UNAVAILABLE = -3


@dataclass(frozen=True, eq=False)
class View:
    """What some policies look at: the runs of a panel that have their companions, with the evals they make.

    ``rows`` are the indices of the runs in the panel, ``runs`` in the study.
    """

    panel: Panel
    batch: CurveBatch
    rows: Ints
    runs: Ints
    payoffs: Payoffs

    def judged(self, study: Study) -> Bools:
        """Which of the rows can be judged, both as the study and as these policies monitor them."""
        judged: Bools = study.panel.judged[self.runs] & self.panel.judged[self.rows]
        return judged


class Block(NamedTuple):
    """Some policies, by their indices, that share a view, and their stops (policies × runs of the view)."""

    members: list[int]
    view: View
    positions: Ints


class _Batch(NamedTuple):
    """Policies (their indices, and with the modes filled in) that share a view."""

    members: list[int]
    policies: list[Policy]
    view: View


class StopsFinder:
    """Finds where policies stop the runs of a study, in an order that shares most.

    ``findings`` collects what there is to report about policies and runs while the policies are tried, each
    with the index of its policy. With ``optional``, policies that no run has what it takes for are skipped;
    otherwise they are an InputError.
    """

    def __init__(
        self,
        study: Study,
        policies: Sequence[Policy],
        *,
        optional: Callable[[int], bool] | bool = False,
        one_by_one: bool = False,
    ) -> None:
        self.study, self.policies = study, list(policies)
        self._optional = optional if callable(optional) else lambda index: bool(optional)
        self._one_by_one = one_by_one
        self.findings: list[tuple[int, Finding]] = []
        self._index = {run.id: index for index, run in enumerate(study.panel.runs)}

    def report(self, index: int, finding: Finding) -> None:
        """Add a finding about a policy, once."""
        if all(finding != known for _, known in self.findings):
            self.findings.append((index, finding))

    def views(self) -> Iterator[_Batch]:
        """Policies that share a view, some at a time. Raises InputError, of the first policy that has one."""
        errors: list[tuple[int, InputError]] = []
        # policies that differ in their threshold alone monitor, need and thin alike
        kin = group_equal([(type(policy), policy.shape()) for policy in self.policies])
        monitors = [tuple(self.policies[members[0]].monitors().items()) for members in kin]
        for same_monitors in group_equal(monitors):
            first = kin[same_monitors[0]][0]
            try:
                panel, _, findings = self.study.panel_of(self.policies[first])
            except InputError as error:  # no run has a metric that they insist on
                if not self._optional(first):
                    errors.append((first, error))
                    continue
                spec = self.policies[first].spec()
                self.report(first, Finding(Kind.POLICY_SKIPPED, policy=spec, facts={"error": error}))
                continue
            for finding in (*findings, *self.study.find_unjudged_by(panel, self.policies[first])):
                self.report(first, finding)
            heads = [self._resolve(kin[group][0]) for group in same_monitors]
            for same_needs in group_equal([policy.companions for policy in heads]):
                gathered = panel.gather(heads[same_needs[0]].companions)
                members = [member for index in same_needs for member in kin[same_monitors[index]]]
                lacking = self._report_lacking(members, gathered)
                if lacking is not None:
                    errors.append(lacking)
                if not len(gathered.rows):
                    continue
                for same_evals in group_equal([heads[index].thinning for index in same_needs]):
                    chosen = [same_needs[index] for index in same_evals]
                    view = self._view(panel, gathered, heads[chosen[0]])
                    for same_class in group_equal([type(heads[index]) for index in chosen]):
                        for index in same_class if self._one_by_one else same_class[:1]:
                            group = chosen[index]
                            self._report_caution(kin[same_monitors[group]][0], heads[group], view)
                    members = [member for index in chosen for member in kin[same_monitors[index]]]
                    yield _Batch(members, [self._resolve(member) for member in members], view)
        if errors:
            raise min(errors, key=lambda entry: entry[0])[1]

    def _resolve(self, member: int) -> Policy:
        """A policy with the modes of the metrics that it names filled in."""
        policy = self.policies[member]
        given = tuple(policy.monitors().items()) == ((None, None),)
        return policy if given else self.study.panel_of(policy)[1]

    def _view(self, panel: Panel, gathered: Gathered, policy: Policy) -> View:
        rows = gathered.rows
        runs = np.array([self._index[panel.runs[row].id] for row in rows.tolist()], dtype=np.int64)
        made = policy.evals_made(gathered.batch)
        if panel is self.study.panel and np.array_equal(made, panel.whole.mask):
            payoffs = self.study.payoffs
        else:
            payoffs = Payoffs.of(panel, rows, made)
        return View(panel, gathered.batch, rows, runs, payoffs)

    def _report_lacking(self, members: list[int], gathered: Gathered) -> tuple[int, InputError] | None:
        """Report which runs lack a companion; the error of the first policy that no run can be tried with."""
        available = bool(len(gathered.rows))
        if not gathered.lacking:
            return None
        for member in members if self._one_by_one else members[:1]:
            spec = self._resolve(member).spec()
            for companion, without in gathered.lacking.items():
                if not available and not self._optional(member):
                    text = f"{spec} needs {companion.label}, which no run logs"
                    text += f"; {companion.remedy}" if companion.remedy else ""
                    text += f"; {companion.hint}" if companion.hint else ""
                    return member, InputError(text)
                facts = {"label": companion.label, "remedy": companion.remedy, "available": available}
                finding = Finding(Kind.COMPANION_MISSING, runs=without, policy=spec, facts=facts)
                self.report(member, finding)
        return None

    def _report_caution(self, member: int, policy: Policy, view: View) -> None:
        metric = view.panel.monitoring.primary
        run = view.panel.runs[int(view.rows[0])]
        text = policy.caution(metric.names[run.id], metric.mode)
        if text is not None:
            self.report(member, Finding(Kind.CAUTION, policy=policy.spec(), facts={"text": text}))

    def blocks(self) -> Iterator[Block]:
        """The stops of all policies, some policies at a time; only their positions, without traces."""
        for batch in self.views():
            for members, positions in find_stops(batch.policies, batch.view.batch):
                if (positions == REFUSED).any():
                    self._report_refused(
                        [batch.policies[index] for index in members], batch, members, positions
                    )
                yield Block([batch.members[index] for index in members], batch.view, positions)

    def _report_refused(
        self, policies: list[Policy], batch: _Batch, members: list[int], positions: Ints
    ) -> None:
        """Report the policy that cannot judge most runs, and how many others there are like it."""
        counts = (positions == REFUSED).sum(axis=1)
        most = int(counts.max())
        spec = min(
            policy.spec() for policy, count in zip(policies, counts.tolist(), strict=True) if count == most
        )
        facts = {"count": most, "total": positions.shape[1], "others": int((counts > 0).sum()) - 1}
        self.report(batch.members[members[0]], Finding(Kind.REFUSED, policy=spec, facts=facts))


class Stops:
    """Where each policy stops each run of a study, with the reason on demand.

    Parameters
    ----------
    study:
        The runs, and what is monitored.
    policies:
        The policies, as they were given.
    views:
        For each policy, the same with the modes of its metrics filled in, and what it looks at.
    positions:
        Policies × runs of the study's panel: 0-based evals, NEVER, REFUSED (the policy is not defined on what
        was logged) or UNAVAILABLE (the run lacks what the policy needs).
    references:
        What the next eval after the stop would be compared with, for each policy and row of its view; None
        where the policy compares with no value.
    findings:
        What there is to report about the policies.
    """

    def __init__(
        self,
        study: Study,
        policies: Sequence[Policy],
        views: Sequence[tuple[Policy, View]],
        positions: Ints,
        references: Sequence[Floats | None],
        findings: Iterable[Finding] = (),
    ) -> None:
        self.study, self.positions, self.findings = study, positions, tuple(findings)
        self.policies = list(policies)
        self._views, self._references = list(views), list(references)
        self._cache = _TraceCache()

    @classmethod
    def find(
        cls,
        study: Study,
        policies: Sequence[Policy],
        *,
        optional: Callable[[int], bool] | bool = False,
        undecided: bool = False,
    ) -> Stops:
        """The stops of policies that look at each run by itself, in the order given.

        Policies that no run can be tried with are left out where they are ``optional``, and an InputError
        otherwise. One that can judge none of the runs is an InputError, unless there are more runs than these
        (``undecided``): then it is reported.
        """
        finder = StopsFinder(study, policies, optional=optional, one_by_one=True)
        views: dict[int, tuple[Policy, View]] = {}
        positions = np.full((len(policies), len(study.panel.runs)), UNAVAILABLE, dtype=np.int64)
        errors: list[tuple[int, InputError]] = []
        references: dict[int, Floats] = {}
        for batch in finder.views():
            for group in group_equal([(type(policy), policy.trace_shape()) for policy in batch.policies]):
                some = [batch.policies[index] for index in group]
                trace = some[0].trace(batch.view.batch)
                signal = np.where(batch.view.batch.mask, trace.signal, -np.inf)
                thresholds = [policy.signal_threshold(batch.view.batch.mode) for policy in some]
                stops = first_reached_each(signal, thresholds)
                ahead = None if trace.reference is None else some[0].continued_trace(batch.view.batch)
                for index, policy, row in zip(group, some, stops, strict=True):
                    member = batch.members[index]
                    views[member] = policy, batch.view
                    positions[member, batch.view.runs] = row
                    if ahead is not None:
                        references[member] = reference_after_stop(ahead, row, batch.view.batch.lengths)
                    if (row == REFUSED).any():
                        error = _report_refused(finder, member, policy, batch.view, trace, undecided)
                        errors += [(member, error)] if error is not None else []
        if errors:
            raise min(errors, key=lambda entry: entry[0])[1]
        order = sorted(views)
        findings = [finding for _, finding in sorted(finder.findings, key=lambda entry: entry[0])]
        return cls(
            study,
            [policies[member] for member in order],
            [views[member] for member in order],
            positions[order],
            [references.get(member) for member in order],
            findings,
        )

    def view(self, policy: int) -> View:
        """What a policy, by its index, looks at."""
        return self._views[policy][1]

    def resolved(self, policy: int) -> Policy:
        """A policy, by its index, with the modes of its metrics filled in."""
        return self._views[policy][0]

    def trace(self, policy: int) -> Trace:
        """How a policy, by its index, saw the runs of its view."""
        rule, view = self._views[policy]
        return self._cache.trace(rule, view)

    def sharing(self) -> list[list[int]]:
        """The indices of the policies, those together that share a trace."""
        return group_equal([(id(view), type(policy), policy.trace_shape()) for policy, view in self._views])

    def rows(self, policy: int) -> Ints:
        """The rows of a policy's view, by the policy's index, that it can judge."""
        view = self.view(policy)
        return np.flatnonzero(self.positions[policy, view.runs] != REFUSED)

    def reason(self, policy: int, row: int) -> str | None:
        """Why a policy stops the run at a row of its view; None where it never does."""
        rule, view = self._views[policy]
        position = int(self.positions[policy, view.runs[row]])
        return rule.reason(self.trace(policy), row, position) if position >= 0 else None

    def references(self, policy: int) -> Floats:
        """What the next eval after the stop would be compared with, per row of the view; NaN: nothing."""
        known = self._references[policy]
        return np.full(len(self.view(policy).rows), np.nan) if known is None else known


class _TraceCache:
    """The last trace, which policies that differ in their threshold share."""

    def __init__(self) -> None:
        self._last: tuple[object, Trace] | None = None

    def trace(self, policy: Policy, view: View) -> Trace:
        key = (id(view), type(policy), policy.trace_shape())
        if self._last is None or self._last[0] != key:
            self._last = key, policy.trace(view.batch)
        return self._last[1]


def _report_refused(
    finder: StopsFinder, member: int, policy: Policy, view: View, trace: Trace, undecided: bool
) -> InputError | None:
    """Report the runs that a policy cannot judge; the error where it can judge none."""
    refusals = policy.refusals(trace)
    row, reason = next(iter(refusals.items()))
    run = view.panel.runs[int(view.rows[row])]
    metric = view.panel.monitoring.primary.names[run.id]
    spec, others = finder.policies[member].spec(), len(refusals) - 1
    if len(refusals) == len(view.rows) and not undecided:
        more = f" (and {others} more runs)" if others else ""
        return InputError(f"{spec} cannot judge {metric} of {run.id}{more}: {reason}")
    runs = tuple(view.panel.runs[int(view.rows[row])].id for row in refusals)
    facts = {"metric": metric, "reason": reason}
    finder.report(member, Finding(Kind.REFUSED, runs=runs, policy=spec, facts=facts))
    return None
