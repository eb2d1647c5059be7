"""What a check found: findings, limits, and each policy's figures and stops. Plain data, that reports and
plugins read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from replay.check.places import path_in_repository
from replay.check.toml_lines import KeyPath
from replay.data.finding import Finding, Kind, Severity

__all__ = [
    "EXIT_CODES",
    "Checked",
    "Figure",
    "LimitResult",
    "PolicyResult",
    "Stop",
    "Verdict",
    "WorstRun",
]

#: Exit codes of ``replay check`` by the most severe finding.
EXIT_CODES = {Severity.REGRESSION: 1, Severity.UNDECIDED: 3, Severity.WARNING: 0, Severity.NOTE: 0}


#: What a limit is about: a column of the outcomes, or the share of runs that are stopped too early.
Figure = Literal["lost", "regret", "relative_regret", "saved", "stopped_too_early"]
Verdict = Literal["kept", "broken", "unsure", "unproven", "unknown"]


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
class WorstRun:
    """The run that breaks a limit on every run most, and how surely.

    ``value`` and ``noise`` are in the limit's own terms (``noise`` None: the run has too few evals to know
    it); ``others`` counts the runs that break the limit as surely; ``surely`` says whether it is broken by
    more than the noise.
    """

    stop: Stop
    value: float
    noise: float | None
    others: int
    surely: bool


@dataclass(frozen=True)
class LimitResult:
    """One limit of a policy: its name and text as written, the figure it is about with its interval, and how
    it came out.

    ``value``, ``low`` and ``high`` are in the limit's own terms (fractions for shares); None where they are
    not known. ``verdict``: kept, broken (beyond its uncertainty), unsure (broken, but not beyond it),
    unproven (a guarantee that these runs do not give) or unknown. ``undecidable`` says whether there are too
    few runs, or too many censored ones, for any mean. ``worst`` says whether the limit is on every run (else
    on the mean). Of a guarantee, ``value`` is the smallest tolerance that these runs guarantee, ``low`` and
    ``high`` are None, and ``needed`` is the number of runs (or groups) that would guarantee what is wanted,
    given the losses so far (None: no number would).
    """

    policy: str
    name: str
    text: str
    figure: Figure
    wanted: float
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    group: str | None = None
    undecidable: bool = False
    worst: bool = False
    worst_run: WorstRun | None = None
    needed: int | None = None


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
        return any(finding.severity is Severity.REGRESSION for finding in self.findings)


@dataclass(frozen=True)
class Checked:
    """The outcome of a check. ``findings`` are those that belong to no policy; ``all_findings`` are all, the
    worst first.

    ``file`` and ``lock`` are paths as the user gave them (``lock`` None where there is none), ``version`` the
    version of this package, ``runs`` how many runs were checked, ``monitor``, ``objective`` and ``unit`` what
    they were watched, judged and counted by. ``place`` is the path of the file in its repository (None: as it
    was given), ``lines`` are the lines at which its keys stand.
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
    warnings: tuple[Finding, ...] = ()
    place: str | None = None
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    @classmethod
    def failed(
        cls,
        file: str,
        version: str,
        error: str,
        *,
        undecidable: bool = False,
        place: str | None = None,
        line: int | None = None,
    ) -> Checked:
        """A check that could not run, for an error in words; ``place`` and ``line`` are where it is shown."""
        severity = Severity.UNDECIDED if undecidable else Severity.REGRESSION
        finding = Finding(Kind.NOT_CHECKED, severity, facts={"error": error, "line": line})
        place = path_in_repository(Path(file)) if place is None else place
        return cls(file, None, version, 0, "", "", "", (), (finding,), place=place)

    @property
    def all_findings(self) -> list[Finding]:
        """Every finding, the worst first."""
        every = [*self.findings, *(finding for policy in self.policies for finding in policy.findings)]
        return sorted(every, key=lambda finding: finding.severity.rank)

    @property
    def exit_code(self) -> int:
        """1 for a regression, 3 where something cannot be decided and nothing has regressed, else 0."""
        worst = Finding.worst(self.all_findings)
        return 0 if worst is None else EXIT_CODES[worst]
