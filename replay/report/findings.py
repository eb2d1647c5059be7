"""What the reports of a check share: how a finding is read, titled, located and identified.

Reports read a check's findings through these functions only.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from replay.check.model import Checked, LimitResult
from replay.check.toml_lines import KeyPath
from replay.data.finding import Finding, Kind, Severity
from replay.errors import printable
from replay.report.format import cell, number
from replay.report.sentences import sentence
from replay.report.sentences.check import after_line, before_line
from replay.report.sentences.check_kinds import CHECK_KINDS, KindText

__all__ = [
    "concerns",
    "details",
    "figure",
    "fingerprints",
    "is_decisive",
    "is_of_lock",
    "kinds",
    "limit_name",
    "line_of",
    "location",
    "log_location",
    "run_of",
    "share",
    "subjects",
    "text_of",
    "title",
]


def run_of(finding: Finding) -> str | None:
    """The run that a finding is about; the first of several."""
    return finding.runs[0] if finding.runs else None


def is_decisive(finding: Finding) -> bool:
    """Whether a finding decides the exit code."""
    return finding.severity.decides


def text_of(finding: Finding) -> KindText | None:
    """How reports speak of the finding's kind; None for a kind that they do not know."""
    return CHECK_KINDS.get(finding.kind)


def is_of_lock(finding: Finding) -> bool:
    """Whether it was found by the comparison with the lock."""
    text = text_of(finding)
    return text is not None and text.of_lock


def kinds(findings: Iterable[Finding]) -> list[str]:
    """All kinds of findings of a check, and unknown ones among the findings, sorted, behind them."""
    return [
        *(str(kind) for kind in CHECK_KINDS),
        *sorted({finding.kind for finding in findings} - set(CHECK_KINDS)),
    ]


def title(finding: Finding) -> str:
    """What a finding is, in a few words."""
    text = text_of(finding)
    if text is None:
        return printable(finding.kind)
    if text.undecided is not None and finding.severity is not Severity.REGRESSION:
        return text.undecided
    return text.title


def concerns(finding: Finding) -> str:
    """What several findings of this kind and policy concern: ``runs of ours``."""
    text = text_of(finding)
    noun = "such" if text is None else text.concerns
    return f"{noun} of {finding.policy}" if finding.policy else noun


def subjects(finding: Finding) -> list[str]:
    """The policy, group and run that a finding is about, those that it has."""
    return [part for part in (finding.policy, finding.get("group"), run_of(finding)) if part]


def location(checked: Checked, finding: Finding | None = None) -> str:
    """The path at which a finding is shown: the file of policies or, where a log has changed, that log.

    It is relative to the root of the repository. A log that is gone, or is not in the repository, cannot be
    shown: the file of policies stands for it.
    """
    if finding is not None and finding.kind == Kind.CHANGED_LOG:
        path = log_location(checked, finding)
        if path is not None:
            return path
    return posixpath.normpath(_place(checked))


def log_location(checked: Checked, finding: Finding) -> str | None:
    """The path of the log that a finding is about, relative to the root of the repository; None where it is
    gone, or not in the repository.
    """
    if not finding.log or finding.kind == Kind.VANISHED:
        return None
    folder = posixpath.dirname(_place(checked))
    path = posixpath.normpath(posixpath.join(folder, finding.log.replace("\\", "/")))
    return None if path.split("/")[0] in ("", ".", "..") else path


def _place(checked: Checked) -> str:
    return (checked.file if checked.place is None else checked.place).replace("\\", "/")


#: Settings that a finding on no policy is about, those that it may concern most first.
_SETTINGS: dict[str, tuple[str, ...]] = {
    Kind.VANISHED: ("logs",),
    Kind.NEW_LOG: ("logs",),
    Kind.LOOSENED: ("fail_on", "severity", "undecided", "strict", "require_lock"),
}


def line_of(checked: Checked, finding: Finding) -> int:
    """The line at which a finding is shown, in the file of `location`: that of the limit, the expectation or
    the specification concerned.
    """
    if finding.kind == Kind.NOT_CHECKED:
        return finding.get("line") or 1
    if location(checked, finding) != location(checked):
        return 1
    return next((checked.lines[path] for path in _keys(finding) if path in checked.lines), 1)


def _keys(finding: Finding) -> Iterator[KeyPath]:
    """The keys of the file of policies that a finding is about, the nearest first."""
    if finding.policy is None:
        names = finding.get("settings", ()) if finding.kind == Kind.CHANGED_SETTINGS else ()
        yield from ((str(name),) for name in (*names, *_SETTINGS.get(finding.kind, ())))
        return
    table: KeyPath = ("policies", finding.policy)
    row = finding.get("row")
    if row is not None:
        yield (*table, "expect", row, "eval")
        yield (*table, "expect", row)
    group = finding.get("group")
    for limit in (finding.get("limit"), *(finding.get("limits") or finding.get("every") or ())):
        if limit is not None:
            yield (*table, limit) if group is None else (*table, "groups", group, limit)
    if group is not None:
        yield (*table, "groups", group)
    yield (*table, "spec")
    yield table


def details(finding: Finding) -> list[str]:
    """The message, and what happened before and now, each on its own line and safe for a terminal."""
    first = "wanted" if finding.kind == Kind.EXPECT else "before"
    stops = ((first, before_line(finding)), ("now", after_line(finding)))
    return [printable(sentence(finding)), *(f"{name}: {printable(text)}" for name, text in stops if text)]


def fingerprints(findings: Iterable[Finding]) -> list[str]:
    """An identity for each finding: 64 hex digits that do not depend on its figures.

    The same finding has the same fingerprint in each check; two findings of one check never share one.
    """
    seen: Counter[str] = Counter()
    out = []
    for finding in findings:
        about = (
            finding.kind,
            finding.policy,
            run_of(finding),
            finding.log,
            finding.get("limit"),
            finding.get("group"),
        )
        identity = json.dumps(about, separators=(",", ":"))
        out.append(hashlib.sha256(f"{identity}{seen[identity] or ''}".encode()).hexdigest())
        seen[identity] += 1
    return out


def limit_name(limit: LimitResult) -> str:
    """A limit as it is written, with its group."""
    text = limit.text if limit.text.startswith(limit.name) else f"{limit.name} {limit.text}"
    return text if limit.group is None else f"{text}, {limit.group}"


def figure(limit: LimitResult) -> str:
    """The figure that a limit is about, with its interval, in the limit's own terms."""
    if "%" in limit.text:
        return cell(limit.value, limit.low, limit.high)
    if limit.value is None or limit.low is None or limit.high is None or limit.low == limit.high:
        return "?" if limit.value is None else number(limit.value)
    return f"{number(limit.value)} {number(limit.low)}-{number(limit.high)}"


def share(figures: Mapping[str, Any] | None, name: str) -> str:
    """A mean share of a summary (``saved`` or ``lost``), with its interval; ``?`` where it is not known."""
    figures = figures or {}
    return cell(figures.get(f"{name}_mean"), figures.get(f"{name}_low"), figures.get(f"{name}_high"))
