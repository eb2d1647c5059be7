"""What makes a check fail: the severity of each kind of finding, as the file of policies sets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from replay.data.finding import Finding, Kind, Severity

__all__ = ["UNDECIDED", "USUAL", "Gate", "Undecided"]

#: What becomes of limits that the logs cannot decide.
Undecided = Literal["pass", "warn", "fail"]
UNDECIDED: tuple[str, ...] = get_args(Undecided)

#: The kinds of findings of a check, each with the severity of the worst of its kind.
USUAL: dict[Kind, Severity] = {
    Kind.LIMIT: Severity.REGRESSION,
    Kind.GUARANTEE: Severity.UNDECIDED,
    Kind.EXPECT: Severity.REGRESSION,
    Kind.MOVED: Severity.REGRESSION,
    Kind.WORSE: Severity.REGRESSION,
    Kind.LOOSENED: Severity.REGRESSION,
    Kind.REMOVED_POLICY: Severity.REGRESSION,
    Kind.VANISHED: Severity.REGRESSION,
    Kind.CHANGED_LOG: Severity.REGRESSION,
    Kind.NEVER_FIRES: Severity.REGRESSION,
    Kind.CHANGED_SETTINGS: Severity.UNDECIDED,
    Kind.NEW_LOG: Severity.NOTE,
    Kind.CHANGED_POLICY: Severity.NOTE,
    Kind.CHANGED_LIMIT: Severity.NOTE,
    Kind.NEW_POLICY: Severity.NOTE,
    Kind.VERSION: Severity.WARNING,
    Kind.NOISE: Severity.WARNING,
    Kind.FEW_RUNS: Severity.UNDECIDED,
    Kind.FEW_COMMON_RUNS: Severity.UNDECIDED,
    Kind.CENSORED: Severity.UNDECIDED,
    Kind.NO_LOCK: Severity.UNDECIDED,
    Kind.LOCK: Severity.REGRESSION,
}
#: Kinds that are about limits, expectations and changed policies, which logs may leave undecided.
_LEFT_OPEN: frozenset[str] = frozenset(
    {Kind.LIMIT, Kind.GUARANTEE, Kind.EXPECT, Kind.FEW_RUNS, Kind.FEW_COMMON_RUNS, Kind.CENSORED}
)
#: Kinds that say that the lock is not up to date.
_STALE: frozenset[str] = frozenset(
    {Kind.NEW_LOG, Kind.CHANGED_POLICY, Kind.CHANGED_LIMIT, Kind.NEW_POLICY, Kind.NO_LOCK}
)
_OF_UNDECIDED = {"pass": Severity.NOTE, "warn": Severity.WARNING, "fail": Severity.UNDECIDED}


@dataclass(frozen=True)
class Gate:
    """What makes a check fail.

    ``severity`` replaces the severity of kinds of findings. ``undecided`` says what becomes of limits and
    changed policies that the logs cannot decide, unless ``fail_on`` names their kind. ``fail_on`` names kinds
    and severities: only these fail (None: regressions do, and what is undecided has its own exit code). With
    ``strict``, warnings fail as well, and so does a lock that is not up to date. ``require_lock`` says
    whether there must be a lock.
    """

    undecided: Undecided = "fail"
    fail_on: tuple[str, ...] | None = None
    severity: Mapping[str, Severity] = field(default_factory=dict)
    strict: bool = False
    require_lock: bool = False

    def apply(self, finding: Finding) -> Finding:
        """The finding with the severity that it has here."""
        usual = finding.severity
        added = finding.get("added") is not None
        unsure = finding.kind == Kind.LIMIT and (usual is Severity.WARNING or added)
        severity = self._severity(finding.kind, usual, unsure)
        if self.strict:
            severity = min(severity, usual, key=lambda one: one.rank)
            stale = severity is Severity.NOTE and finding.kind in _STALE
            if severity is Severity.WARNING or stale or added:
                severity = Severity.REGRESSION
        return finding if severity is usual else replace(finding, severity=severity)

    def _severity(self, kind: str, usual: Severity, unsure: bool) -> Severity:
        """The severity of a kind; an ``unsure`` finding may be chance, which never fails a check."""
        severity = self.severity.get(kind, usual)
        if unsure and severity.rank < usual.rank:
            severity = usual
        named = self.fail_on is not None and kind in self.fail_on
        if severity is Severity.UNDECIDED and kind in _LEFT_OPEN:
            return severity if named else _OF_UNDECIDED[self.undecided]
        if self.fail_on is None:
            return severity
        if (named and not unsure) or severity in self.fail_on:
            return severity if severity.decides else Severity.REGRESSION
        return Severity.WARNING if severity.decides else severity

    def stated(self) -> dict[str, Any]:
        """What differs from the usual, as the lock keeps it."""
        usual = Gate()
        values: dict[str, Any] = {
            "fail_on": None if self.fail_on is None else sorted(self.fail_on),
            "require_lock": self.require_lock,
            "severity": {str(kind): str(one) for kind, one in sorted(self.severity.items())},
            "strict": self.strict,
            "undecided": self.undecided,
        }
        return {name: value for name, value in values.items() if value != getattr(usual, name)}

    @staticmethod
    def of(stated: Mapping[str, Any]) -> Gate:
        """The gate that a lock states; what a lock of another version says and this one does not know is
        passed over.
        """
        known = {str(kind) for kind in USUAL}
        fail_on = stated.get("fail_on")
        undecided = stated.get("undecided", "fail")
        severity = {
            kind: Severity(one)
            for kind, one in dict(stated.get("severity") or {}).items()
            if kind in known and one in list(Severity)
        }
        return Gate(
            undecided if undecided in UNDECIDED else "fail",
            None if fail_on is None else tuple(str(one) for one in fail_on),
            severity,
            bool(stated.get("strict")),
            bool(stated.get("require_lock")),
        )

    def weaker_than(self, before: Gate) -> list[str]:
        """The kinds of findings that failed before and fail no longer, or less."""
        return [
            str(kind)
            for kind, usual in USUAL.items()
            if (was := before._worst(kind, usual)).decides and self._worst(kind, usual).rank > was.rank
        ]

    def _worst(self, kind: Kind, usual: Severity) -> Severity:
        required = Severity.UNDECIDED if self.require_lock else Severity.NOTE
        return self.apply(Finding(kind, required if kind is Kind.NO_LOCK else usual)).severity
