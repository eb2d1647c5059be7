"""The report of ``replay check``: each policy's figures and limits, the findings, and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
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
    Notes,
    Paragraph,
    Strong,
    Table,
)
from replay.report.findings import concerns, is_decisive, is_of_lock, run_of
from replay.report.format import cell, number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentence, sentences
from replay.report.sentences.check import after_line, before_line, limit_sentence
from replay.report.sentences.check_kinds import CHECK_KINDS

__all__ = ["build", "verdict"]

_FEWEST_POLICIES = 3  # of the brief form
_MOST_NAMES = 2  # in the answer
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


#: How the screen says how a limit came out.
_WORDS: dict[str, str] = {"broken": "BROKEN", "unsure": "undecided", "unproven": "not guaranteed"}
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
    which they were read. With ``update`` the lock has just been written.
    """
    return Document(
        lambda: [
            *_screen(checked, _next_steps(checked, again, logs, update), update),
            *_page(checked),
        ],
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


def _screen(checked: Checked, next_steps: Sequence[Sequence[str]], update: bool) -> list[Block]:
    out: list[Block] = [
        Paragraph((_answer(checked, update),), medium="screen", answer=True),
        Paragraph((_headline(checked),), medium="screen"),
        *_overview(checked.policies),
        *(block for policy in checked.policies for block in _policy(policy)),
    ]
    findings = checked.all_findings
    if findings:
        out.append(Findings(_first_of_each(findings), medium="screen", detail="brief"))
        out.append(Findings(_grouped(findings), medium="screen", detail="verbose"))
    if checked.warnings:
        out.append(Notes(make_notes((), checked.warnings), medium="screen"))
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def _answer(checked: Checked, update: bool) -> str:
    """Whether the check passed, failed or is undecided, and why, in one or two sentences."""
    findings = checked.all_findings
    for level, word in ((Severity.REGRESSION, "Failed"), (Severity.UNDECIDED, "Undecided")):
        decisive = [finding for finding in findings if finding.severity is level]
        if decisive:
            return f"{word}: {_reasons(decisive)}.{_others(checked)}"
    warned = sum(finding.severity is Severity.WARNING for finding in findings)
    passed = f"Passed, with {warned} warning{'s' * (warned != 1)}" if warned else "Passed"
    return f"{passed}: {_limits_kept(checked)}, and {_like_the_lock(checked, update)}."


def _reasons(findings: Sequence[Finding]) -> str:
    """What decides a check, with the policies concerned."""
    kinds = dict.fromkeys(finding.kind for finding in findings)
    reasons = []
    for kind in kinds:
        alike = [finding for finding in findings if finding.kind == kind]
        policies = list(dict.fromkeys(finding.policy for finding in alike if finding.policy))
        names = ", ".join(policies[:_MOST_NAMES])
        if len(policies) > _MOST_NAMES:
            names += f" and {len(policies) - _MOST_NAMES} more"
        reasons.append(_count(kind, len(alike)) + (f" ({names})" if names else ""))
    *first, last = reasons
    return f"{', '.join(first)} and {last}" if first else last


def _others(checked: Checked) -> str:
    """How many policies have nothing to do with a check that failed or is undecided."""
    faulty = sum(any(map(is_decisive, policy.findings)) for policy in checked.policies)
    others = len(checked.policies) - faulty
    if not faulty or not others:
        return ""
    return " The other policy passes." if others == 1 else f" The other {others} policies pass."


def _limits_kept(checked: Checked) -> str:
    limits = [limit for policy in checked.policies for limit in policy.limits]
    kept = sum(limit.verdict == "kept" for limit in limits)
    if not limits:
        return "the file sets no limits"
    if kept < len(limits):
        return f"{kept} of {len(limits)} limits {'is' if kept == 1 else 'are'} surely kept"
    few = {1: "the one limit is kept", 2: "both limits are kept"}
    return few.get(kept, f"all {kept} limits are kept")


def _like_the_lock(checked: Checked, update: bool) -> str:
    """What the comparison with the lock found in a check that passed."""
    if checked.lock is None:
        return f"there {'was' if update else 'is'} no lock to compare with"
    lock = f"{'the old ' if update else ''}{checked.lock}"
    if any(is_of_lock(finding) for finding in checked.all_findings):
        return f"what differs from {lock} is listed below"
    runs = f"the {checked.runs} runs" if checked.runs != 1 else "the run"
    return f"the policies stop {runs} where {lock} says"


def _overview(policies: Sequence[PolicyResult]) -> list[Block]:
    """One row per policy, for the brief form: those that decide the check first."""
    rows = [
        [policy.name, *_now_and_before(policy), _verdicts(policy)]
        for policy in sorted(policies, key=lambda policy: _rank(policy))
    ]
    head = ["policy", "stopped", "saved", "lost", "limits"]
    out: list[Block] = [
        Table(head, rows, (0, 4), medium="screen", detail="brief", fewest=_FEWEST_POLICIES),
    ]
    if any("->" in cell for row in rows for cell in row[1:4]):
        out.append(
            Paragraph(("(when the lock was made -> now)",), medium="screen", detail="brief", tight=True)
        )
    return out


def _rank(policy: PolicyResult) -> int:
    worst = Finding.worst(policy.findings)
    return len(Severity) if worst is None else worst.rank


def _now_and_before(policy: PolicyResult) -> list[str]:
    """How many runs a policy stops, what it saves and what it loses, each with what the lock says where that
    is something else.
    """
    now, before = policy.summary, policy.before or {}
    pairs = [
        (_stopped(before), _stopped(now)),
        *((percent(before.get(key)), percent(now.get(key))) for key in ("saved_mean", "lost_mean")),
    ]
    return [new if policy.before is None or old == new else f"{old} -> {new}" for old, new in pairs]


def _stopped(figures: Mapping[str, Any]) -> str:
    stopped, runs = figures.get("stopped"), figures.get("runs")
    return "?" if stopped is None else f"{stopped} of {runs}"


def _verdicts(policy: PolicyResult) -> str:
    """The limits that are not kept, by name, and how many are."""
    parts = [
        f"{_with_group(limit)} {_WORDS.get(limit.verdict, limit.verdict)}"
        for limit in policy.limits
        if limit.verdict != "kept"
    ]
    kept = len(policy.limits) - len(parts)
    return ", ".join([*parts, *([f"{kept} kept"] if kept else [])])


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
        f" {checked.file}{f', compared with {checked.lock}' if checked.lock else ''}. Monitor:"
        f" {checked.monitor}"
    )
    if checked.objective != checked.monitor:
        text += f"; objective: {checked.objective}"
    return f"{text}. Compute in {checked.unit}."


def _policy(policy: PolicyResult) -> list[Block]:
    title = policy.name if policy.name == policy.spec else f"{policy.name}: {policy.spec}"
    out: list[Block] = [
        Paragraph((title,), hanging=2, medium="screen", detail="verbose"),
        Paragraph(_figures(policy), indent=2, hanging=2, medium="screen", detail="verbose", tight=True),
    ]
    rows = [
        [_with_group(limit), limit.text, _value(limit), _WORDS.get(limit.verdict, limit.verdict)]
        for limit in policy.limits
    ]
    if rows:
        head = ["limit", "", "found", ""]
        out.append(Table(head, rows, (0, 3), indent=2, medium="screen", detail="verbose", tight=True))
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


def _first_of_each(findings: Sequence[Finding]) -> list[Entry]:
    """The first finding of each severity, kind and state, with how many more there are."""
    groups: dict[tuple[str, str, Any], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.kind, finding.get("state")), []).append(finding)
    entries = []
    for first, *others in groups.values():
        more = f" (and {len(others)} more of this kind)" if others else ""
        labels = _LABELS.get(first.kind, (None, None))
        entries.append(Entry(first.severity, sentence(first) + more, _stops(first, labels)))
    return entries


def _group(finding: Finding) -> tuple[str, str, str | None]:
    return (finding.severity, finding.kind, finding.policy)


def _stops(finding: Finding, labels: tuple[str | None, str | None]) -> list[tuple[str, str]]:
    """The stops before and now under labels; without a label a stop is not shown."""
    stops = (before_line(finding), after_line(finding))
    return [(label, stop) for label, stop in zip(labels, stops, strict=True) if label and stop]


def _next_steps(checked: Checked, again: Sequence[str], logs: Sequence[str], update: bool) -> list[list[str]]:
    """The command to run next: the one that accepts what differs from the lock (after an update, the one that
    CI runs), or else the one that shows what the policies do to each run.
    """
    findings = checked.all_findings
    deciding = {finding.kind for finding in findings if is_decisive(finding)}
    present = {finding.kind for finding in findings}
    # a check may be told to fail on what is news to others; a new lock does not mend what the file demands
    settles = deciding & _SETTLED or (present & _NEWS and not deciding)
    if again and update and not deciding:
        return [[*again, "--require-lock"]]
    if again and settles and not update and not deciding & _OF_RUNS:
        return [[*again, "--update"]]
    return [["replay", "simulate", *logs, "--policies", checked.file, "--per-run"]] if logs else []
