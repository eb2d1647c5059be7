"""What a check found: findings, limits, and each policy's figures and stops. Plain data, that reports and
plugins read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from replay.data.finding import Finding as ReaderFinding

__all__ = ["EXIT_CODES", "Checked", "Finding", "Level", "LimitResult", "PolicyResult", "Stop"]

#: From worst to least: what fails a check, what it cannot decide, and what it only reports.
Level = Literal["regression", "undecided", "warning", "note"]

EXIT_CODES: dict[Level, int] = {"regression": 1, "undecided": 3, "warning": 0, "note": 0}


@dataclass(frozen=True)
class Finding:
    """One thing that a check found, in one sentence (``message``), and what it is about.

    ``kind`` is one of: limit, expect, moved, worse, vanished, never-fires, changed-log, new-log,
    changed-policy, new-policy, version, noise, few-runs, censored, no-lock, lock. ``policy`` is the policy's
    name in the file, ``run`` a run's id, ``log`` a path relative to the file of policies, ``limit`` a limit's
    name and ``group`` the group that it is for. ``before`` and ``after`` are the lines that say what happened
    to a run then and now.
    """

    level: Level
    kind: str
    message: str
    policy: str | None = None
    run: str | None = None
    log: str | None = None
    limit: str | None = None
    group: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class LimitResult:
    """One limit of a policy: its name and text as written, the figure it is about with its interval, and how
    it came out.

    ``value``, ``low`` and ``high`` are in the limit's own terms (fractions for shares); None where they are
    not known. ``verdict``: kept, broken (beyond its uncertainty), unsure (broken, but not beyond it) or
    unknown.
    """

    name: str
    text: str
    wanted: float
    value: float | None
    low: float | None
    high: float | None
    verdict: Literal["kept", "broken", "unsure", "unknown"]
    message: str
    group: str | None = None


@dataclass(frozen=True)
class Stop:
    """What a policy does to one run; the figures are those of the outcomes of a simulation."""

    run: str
    log: str
    stopped_eval: int | None
    stopped_step: int | float | None
    reason: str
    saved: float
    regret: float | None
    relative_regret: float | None
    lost: float | None


@dataclass(frozen=True)
class PolicyResult:
    """One policy of the file: its figures over the runs (keys of the summary), limits, stops, and what was
    found about it.
    """

    name: str
    spec: str
    summary: Mapping[str, Any]
    limits: tuple[LimitResult, ...]
    stops: tuple[Stop, ...]
    findings: tuple[Finding, ...]
    #: Figures of the lock's run of the same policy, where there is one.
    before: Mapping[str, Any] | None = None

    @property
    def failed(self) -> bool:
        """Whether it has a regression."""
        return any(finding.level == "regression" for finding in self.findings)


@dataclass(frozen=True)
class Checked:
    """The outcome of a check. ``findings`` are those that belong to no policy; ``all_findings`` are all, the
    worst first.

    ``file`` and ``lock`` are paths as the user gave them (``lock`` None where there is none), ``version`` the
    version of this package, ``runs`` how many runs were checked, ``monitor``, ``objective`` and ``unit`` what
    they were watched, judged and counted by.
    """

    file: str
    lock: str | None
    version: str
    runs: int
    monitor: str
    objective: str
    unit: str
    policies: tuple[PolicyResult, ...]
    findings: tuple[Finding, ...] = ()
    warnings: tuple[ReaderFinding | str, ...] = field(default=())

    @property
    def all_findings(self) -> list[Finding]:
        """Every finding, the worst first."""
        order = list(EXIT_CODES)
        every = [*self.findings, *(finding for policy in self.policies for finding in policy.findings)]
        return sorted(every, key=lambda finding: order.index(finding.level))

    @property
    def exit_code(self) -> int:
        """1 for a regression, 3 where something cannot be decided and nothing has regressed, else 0."""
        levels = {finding.level for finding in self.all_findings}
        return next((EXIT_CODES[level] for level in EXIT_CODES if level in levels), 0)
