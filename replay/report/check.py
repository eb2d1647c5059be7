"""The report of ``replay check``: each policy's figures and limits, the findings, and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import groupby
from typing import Any

from replay.check.model import Checked, LimitResult, PolicyResult
from replay.data.finding import Finding, Kind, Severity
from replay.report.document import (
    Block,
    Commands,
    Document,
    Entry,
    Findings,
    Paragraph,
    Strong,
    Table,
)
from replay.report.findings import concerns, is_decisive, run_of
from replay.report.format import cell, number, percent
from replay.report.sentences import sentence, sentences
from replay.report.sentences.check import after_line, before_line, limit_sentence
from replay.report.sentences.check_kinds import CHECK_KINDS

__all__ = ["build", "verdict"]

_MOST_POLICIES = 4  # each with its limits, in the brief form
_MOST_ALIKE = 10  # findings of one kind and policy on the screen
_MOST_FINDINGS = 100  # on a page

#: Kinds of findings after which the runs are worth a look.
_OF_RUNS: set[str] = {Kind.LIMIT, Kind.EXPECT}
#: Kinds that a new lock settles also where nothing decides the check.
_NEWS: set[str] = {
    Kind.NO_LOCK,
    Kind.NEW_LOG,
    Kind.CHANGED_POLICY,
    Kind.CHANGED_LIMIT,
    Kind.CHANGED_SETTINGS,
    Kind.LOOSENED,
    Kind.REMOVED_POLICY,
    Kind.NEW_POLICY,
    Kind.CHANGED_LOG,
    Kind.VERSION,
}
#: Kinds that a new lock settles where they decide the check.
_SETTLED = _NEWS | {Kind.FEW_COMMON_RUNS, Kind.MOVED, Kind.WORSE, Kind.VANISHED, Kind.NEVER_FIRES}


#: How the screen labels the stops before and now of a finding of these kinds.
_LABELS: dict[str, tuple[str | None, str | None]] = {
    Kind.MOVED: ("before", "after"),
    Kind.EXPECT: (None, "now"),
}


def build(
    checked: Checked, *, again: Sequence[str] = (), logs: Sequence[str] = (), update: bool = False
) -> Document:
    """Report a check.

    ``again`` is the command that checks again, ``logs`` are the paths that were read, with the options by
    which they were read. With ``update`` the lock has just been written, and no command is suggested.
    """
    return Document(
        lambda: [*_screen(checked, [] if update else _next_steps(checked, again, logs)), *_page(checked)],
        lambda: _data(checked),
    )


def verdict(checked: Checked) -> str:
    """``passed``, ``failed: 2 stops moved`` or ``undecided: too few runs``."""
    findings = checked.all_findings
    for level, word in ((Severity.REGRESSION, "failed"), (Severity.UNDECIDED, "undecided")):
        counts = Counter(finding.kind for finding in findings if finding.severity is level)
        if counts:
            return f"{word}: {', '.join(_count(kind, count) for kind, count in counts.items())}"
    warned = sum(finding.severity is Severity.WARNING for finding in findings)
    return f"passed, with {warned} warning{'s' * (warned != 1)}" if warned else "passed"


def _count(kind: str, count: int) -> str:
    text = CHECK_KINDS.get(kind)
    one, several = text.counted if text is not None and text.counted else (f"1 {kind}", kind)
    return one if count == 1 or one == several else f"{count} {several}"


def _data(checked: Checked) -> dict[str, Any]:
    """All fields, with the verdict and the exit code; keys sorted."""
    data = {
        **_plain(checked),
        "exit_code": checked.exit_code,
        "verdict": verdict(checked),
        "findings": _plain(checked.all_findings),
        "warnings": sentences(checked.warnings),
    }
    for inner in ("lines", "place"):  # where reports for CI systems show a finding
        data.pop(inner)
    return dict(sorted(data.items()))


def _plain(value: Any) -> Any:
    """Data classes as dicts, with their keys sorted; findings and limits in words."""
    if isinstance(value, Finding):
        return finding_data(value)
    if isinstance(value, LimitResult):
        return _limit_data(value)
    if is_dataclass(value):
        return {
            item.name: _plain(getattr(value, item.name))
            for item in sorted(fields(value), key=lambda item: item.name)
        }
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding as JSON has it."""
    return {
        "after": after_line(finding),
        "before": before_line(finding),
        "group": finding.get("group"),
        "kind": finding.kind,
        "level": finding.severity,
        "limit": finding.get("limit"),
        "log": finding.log,
        "message": sentence(finding),
        "policy": finding.policy,
        "run": run_of(finding),
    }


def _limit_data(limit: LimitResult) -> dict[str, Any]:
    return {
        "group": limit.group,
        "high": limit.high,
        "low": limit.low,
        "message": limit_sentence(limit),
        "name": limit.name,
        "text": limit.text,
        "value": limit.value,
        "verdict": limit.verdict,
        "wanted": limit.wanted,
    }


def _screen(checked: Checked, next_steps: Sequence[Sequence[str]]) -> list[Block]:
    out: list[Block] = [Paragraph((_headline(checked),), hanging=2, medium="screen")]
    blocks = [block for policy in checked.policies for block in _policy(policy)]
    if len(checked.policies) > _MOST_POLICIES:
        blocks = [replace(block, detail="verbose") for block in blocks]
        out.append(_overview(checked.policies))
    out += blocks
    if checked.all_findings:
        out.append(Findings(_grouped(checked.all_findings), medium="screen"))
    out.append(Paragraph((verdict(checked),), hanging=2, medium="screen"))
    if next_steps:
        out.append(Commands(next_steps, medium="screen", tight=True))
    return out


def _overview(policies: Sequence[PolicyResult]) -> Table:
    """One row per policy, for the brief form."""
    rows = []
    for policy in policies:
        now = policy.summary
        limits = Counter(limit.verdict for limit in policy.limits)
        rows.append(
            [
                policy.name,
                f"{now['stopped']}/{now['runs']}",
                percent(now["saved_mean"]),
                percent(now["lost_mean"]),
                ", ".join(f"{count} {word}" for word, count in limits.items()),
            ]
        )
    return Table(
        ["policy", "stopped", "saved", "lost", "limits"], rows, (0, 4), medium="screen", detail="brief"
    )


def _page(checked: Checked) -> list[Block]:
    rows = []
    for policy in checked.policies:
        rows += [
            [policy.name, _with_group(limit), limit.text, _value(limit), limit.verdict]
            for limit in policy.limits
        ] or [[policy.name, "", "", "; ".join(_figures(policy)), ""]]
    out: list[Block] = [
        Paragraph(((Strong(verdict(checked)),),), medium="page"),
        Table(["policy", "limit", "wanted", "found", "verdict"], rows, (0, 1, 4), medium="page"),
    ]
    findings = checked.all_findings
    entries = [
        Entry(
            finding.severity,
            sentence(finding),
            _stops(finding, ("before", "now")) if finding.kind == Kind.MOVED else (),
        )
        for finding in findings[:_MOST_FINDINGS]
    ]
    if len(findings) > _MOST_FINDINGS:
        entries.append(Entry("", f"and {len(findings) - _MOST_FINDINGS} more"))
    if entries:
        out.append(Findings(entries, medium="page"))
    return out


def _headline(checked: Checked) -> str:
    count = len(checked.policies)
    text = (
        f"{checked.runs} run{'s' * (checked.runs != 1)}, {count} polic{'y' if count == 1 else 'ies'} of"
        f" {checked.file}; monitor {checked.monitor}"
    )
    if checked.objective != checked.monitor:
        text += f", objective {checked.objective}"
    against = f"compared with {checked.lock}" if checked.lock else "no lock to compare with"
    return f"{text}, in {checked.unit}; {against}."


def _policy(policy: PolicyResult) -> list[Block]:
    title = policy.name if policy.name == policy.spec else f"{policy.name}: {policy.spec}"
    out: list[Block] = [
        Paragraph((title,), hanging=2, medium="screen"),
        Paragraph(_figures(policy), indent=2, hanging=2, medium="screen", tight=True),
    ]
    rows = [
        [
            _with_group(limit),
            limit.text,
            _value(limit),
            "BROKEN" if limit.verdict == "broken" else limit.verdict,
        ]
        for limit in policy.limits
    ]
    if rows:
        out.append(Table(["limit", "", "found", ""], rows, (0, 3), indent=2, medium="screen", tight=True))
    return out


def _with_group(limit: LimitResult) -> str:
    return limit.name + (f" ({limit.group})" if limit.group else "")


def _figures(policy: PolicyResult) -> list[str]:
    """What a policy does now and, where that is something else, what it did when the lock was written."""
    now, before = policy.summary, policy.before
    keys = ("stopped", "runs", "saved_mean", "lost_mean")
    lines = [_does(now)]
    if before is not None and any(before.get(key) != now[key] for key in keys):
        lines.append(f"in the lock: {_does(before)}")
    return lines


def _does(figures: Mapping[str, Any]) -> str:
    stopped, runs, saved, lost = (figures.get(key) for key in ("stopped", "runs", "saved_mean", "lost_mean"))
    return f"stops {stopped} of {runs} runs, saves {percent(saved)}, loses {percent(lost)}"


def _value(limit: LimitResult) -> str:
    if limit.figure == "regret":
        text = "?" if limit.value is None else number(limit.value)
        known = limit.low is not None and limit.high is not None and limit.low != limit.high
        return f"{text} {number(limit.low)}-{number(limit.high)}" if known else text
    return cell(limit.value, limit.low, limit.high)


def _grouped(findings: Sequence[Finding]) -> list[Entry]:
    """Findings of one severity, kind and policy together, in the order of the first of each."""
    first: dict[tuple[str, str, str | None], int] = {}
    for index, finding in enumerate(findings):
        first.setdefault(_group(finding), index)
    entries: list[Entry] = []
    for _, group in groupby(sorted(findings, key=lambda finding: first[_group(finding)]), key=_group):
        alike = list(group)
        for finding in alike[:_MOST_ALIKE]:
            labels = _LABELS.get(finding.kind, (None, None))
            entries.append(Entry(finding.severity, sentence(finding), _stops(finding, labels)))
        if len(alike) > _MOST_ALIKE:
            more = f"… and {len(alike) - _MOST_ALIKE} more {concerns(alike[0])}"
            entries.append(Entry(alike[0].severity, more))
    return entries


def _group(finding: Finding) -> tuple[str, str, str | None]:
    return (finding.severity, finding.kind, finding.policy)


def _stops(finding: Finding, labels: tuple[str | None, str | None]) -> list[tuple[str, str]]:
    """The stops before and now under labels; without a label a stop is not shown."""
    stops = (before_line(finding), after_line(finding))
    return [(label, stop) for label, stop in zip(labels, stops, strict=True) if label and stop]


def _next_steps(checked: Checked, again: Sequence[str], logs: Sequence[str]) -> list[list[str]]:
    """The commands to run next: to look at what is broken, and to accept what differs from the lock."""
    findings = checked.all_findings
    deciding = {finding.kind for finding in findings if is_decisive(finding)}
    present = {finding.kind for finding in findings}
    steps = []
    if deciding & _OF_RUNS:
        steps.append(["replay", "simulate", *logs, "--policies", checked.file, "--per-run"])
    # a check may be told to fail on what is news to others
    settles = deciding & _SETTLED or (present & _NEWS and not deciding)
    # a new lock does not mend what the policies file demands
    if again and settles and not deciding & _OF_RUNS:
        steps.append([*again, "--update"])
    return steps
