"""Study: runs and a question, resolved once into what is monitored and judged, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from replay.data.censoring import Censoring, censoring, find_endings
from replay.data.finding import Finding, Kind
from replay.data.improvement import Improvement, still_improving
from replay.data.names import canonical
from replay.data.run import Run
from replay.data.types import Bools, Ints, Mode
from replay.engine.judging import find_unjudged, find_unscaled
from replay.engine.metrics import Metric, resolve_metric
from replay.engine.panel import Monitoring, Panel
from replay.engine.payoffs import Payoffs
from replay.engine.question import Question
from replay.errors import InputError
from replay.policies import Policy

__all__ = ["Study", "common_monitor"]


class Study:
    """Runs and a question, resolved: the metrics with the reasons for them, and each way of monitoring a run.

    ``runs`` are those that log the monitor; ``monitor`` and ``objective`` the resolved metrics; ``censored``
    maps the ids of the runs that are censored to the reason, and ``improving`` those of the runs whose
    monitor was still improving at the end to how that shows; ``findings`` are about the metrics taken, and
    the runs that are left out, cannot be judged or have no scale. ``panel`` is the panel of the monitor
    alone.

    Parameters
    ----------
    runs:
        Runs with ids that differ.
    policies:
        The policies that are to be tried: the monitor that they all insist on is the default one.
    question:
        The settings.

    Raises InputError for a metric that no run has, a mode that cannot be known and a unit that a log lacks.
    """

    def __init__(self, runs: Sequence[Run], policies: Sequence[Policy], question: Question) -> None:
        if not runs:
            raise InputError("no runs to simulate")
        repeated = [name for name, count in Counter(run.id for run in runs).items() if count > 1]
        if repeated:
            raise InputError(f"run ids must be unique; {repeated[0]!r} occurs more than once")
        self.question = question
        findings: list[Finding] = []
        usable = [run for run in runs if len(run) or question.monitor is not None]
        if len(usable) < len(runs):
            idle = tuple(run.id for run in runs if not len(run))
            findings.append(Finding(Kind.NO_EVALS, runs=idle, facts={"total": len(runs)}))
        if not usable:
            usable = list(runs)  # the error says what is there
        name, mode = common_monitor(policies, question)
        insisting = policies if question.monitor is None else ()
        self.monitor, about = resolve_metric(usable, name, mode, policies=insisting)
        findings += about
        self.runs = [run for run in usable if run.id in self.monitor.names]
        self.objective = self.monitor
        if question.objective is not None:
            same = canonical(question.objective) == canonical(self.monitor.name)
            objective_mode = question.objective_mode or (question.mode if same else None)
            self.objective, about = resolve_metric(
                self.runs, question.objective, objective_mode, monitored=False
            )
            findings += about
        self.findings: tuple[Finding, ...] = tuple(findings)
        self._metrics: dict[tuple[str, Mode | None], tuple[Metric, tuple[Finding, ...]]] = {}
        self._panels: dict[tuple[str, ...], Panel] = {}
        self.panel = self._panel(Monitoring(self.monitor))
        reasons = ((run.id, censoring(run)) for run in self.panel.runs)
        self.censored: dict[str, Censoring] = {run: reason for run, reason in reasons if reason is not None}
        self.findings += (*find_unjudged(self.panel), *find_unscaled(self.panel))

    @cached_property
    def improving(self) -> dict[str, Improvement]:
        """How the monitor shows that a run was still improving at its end, by the ids of those runs."""
        panel = self.panel
        improving = {}
        for run, curve, best, noise in zip(
            panel.runs, panel.curves, panel.monitor_best.tolist(), panel.monitor_noise.tolist(), strict=True
        ):
            how = still_improving(curve, best=best, noise=noise)
            if how is not None:
                improving[run.id] = how
        return improving

    @cached_property
    def endings(self) -> tuple[Finding, ...]:
        """What to report on how the logs of the runs end; see `replay.data.censoring.find_endings`."""
        return tuple(find_endings(self.judged_runs, self.censored, self.improving))

    @cached_property
    def is_censored(self) -> Bools:
        """Whether each run of the panel is censored."""
        return np.array([run.id in self.censored for run in self.panel.runs], dtype=bool)

    @cached_property
    def judged(self) -> Bools:
        """Which runs of the panel the summaries are about: those that can be judged, all where none can."""
        judged = self.panel.judged
        return judged if judged.any() else np.ones(len(judged), dtype=bool)

    @cached_property
    def judged_runs(self) -> list[Run]:
        """The runs that the summaries are about."""
        return [self.panel.runs[row] for row in np.flatnonzero(self.judged).tolist()]

    @cached_property
    def compared_evals(self) -> Ints:
        """The number of evals of each run that policies are compared on.

        These are the judged runs whose losses have a scale, or all judged runs where none has one.
        """
        scaled = self.judged & ~np.isnan(self.panel.objective.scale.improvement)
        lengths: Ints = self.panel.whole.lengths[scaled if scaled.any() else self.judged]
        return lengths

    @cached_property
    def payoffs(self) -> Payoffs:
        """What stops of the runs give, by the panel of the monitor alone, with all evals made."""
        return Payoffs.of(self.panel, np.arange(len(self.panel.runs)), self.panel.whole.mask)

    def panel_of(self, policy: Policy) -> tuple[Panel, Policy, tuple[Finding, ...]]:
        """The runs as the policy monitors them, the policy with the modes of its metrics filled in, and
        findings.

        Raises InputError where no run has a metric that the policy insists on.
        """
        findings: list[Finding] = []
        metrics: dict[str | None, Metric] = {}
        for name, mode in policy.monitors().items():
            metrics[name], about = self._metric(name, mode, policy)
            findings += about
        primary = metrics[policy.monitor]
        several = len({metric.name for metric in metrics.values()}) > 1
        panel = self._panel(Monitoring(primary, tuple(metrics.items()) if several else ()))
        modes = {name: metric.mode for name, metric in metrics.items() if name is not None}
        return panel, policy.with_modes(modes), tuple(findings)

    @property
    def modes_of_others(self) -> dict[str, Mode]:
        """The modes of the metrics that policies named beside the monitor, as far as they were asked for."""
        return {f"{name} {asked}": metric.mode for (name, asked), (metric, _) in self._metrics.items()}

    def find_unjudged_by(self, panel: Panel, policy: Policy) -> list[Finding]:
        """Findings on the judged runs that cannot be judged as a policy monitors them, by its panel."""
        if panel is self.panel:
            return []
        judged = {run.id for run in self.judged_runs}
        among = np.array([run.id in judged for run in panel.runs], dtype=bool)
        return find_unjudged(panel, among, policy.spec())

    def _panel(self, monitoring: Monitoring) -> Panel:
        primary, others = monitoring
        key = (
            primary.name,
            primary.mode,
            *(f"{asked} {metric.name} {metric.mode}" for asked, metric in others),
        )
        if key not in self._panels:
            self._panels[key] = Panel(self.runs, monitoring, self.objective, self.question)
        return self._panels[key]

    def _metric(
        self, name: str | None, mode: Mode | None, policy: Policy
    ) -> tuple[Metric, tuple[Finding, ...]]:
        if name is None or canonical(name) == canonical(self.monitor.name):
            same = mode is None or mode == self.monitor.mode
            return (self.monitor if same or mode is None else self.monitor.with_mode(mode)), ()
        key = (name, mode)
        if key not in self._metrics:
            metric, findings = resolve_metric(self.runs, name, mode, policies=[policy])
            self._metrics[key] = metric, tuple(findings)
        return self._metrics[key]


def common_monitor(policies: Sequence[Policy], question: Question) -> tuple[str | None, Mode | None]:
    """The monitor and mode that the question asks for, or that all policies insist on."""
    if question.monitor is not None:
        return question.monitor, question.mode
    insisted = [policy.monitor for policy in policies if policy.monitor]
    name = insisted[0] if insisted and len(insisted) == len(policies) and len(set(insisted)) == 1 else None
    mode = question.mode
    if mode is None and name is not None:
        mode = next((policy.mode for policy in policies if policy.monitor == name and policy.mode), None)
    return name, mode
