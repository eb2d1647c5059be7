"""What the reports of a check share: what each kind of finding is called, where a finding stands, and what
identifies it.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from replay.check.model import Checked, Finding, LimitResult
from replay.errors import printable
from replay.report.tables import cell, number

__all__ = ["KINDS", "details", "figure", "fingerprints", "limit_name", "place", "share", "title"]

#: What each kind of finding is, in a few words.
KINDS: dict[str, str] = {
    "limit": "limit not kept",
    "expect": "not as expected",
    "moved": "stop moved",
    "worse": "worse than in the lock",
    "vanished": "gone",
    "never-fires": "never fires",
    "changed-log": "log changed",
    "new-log": "new log",
    "changed-policy": "policies changed",
    "new-policy": "new policy",
    "version": "another version",
    "noise": "limit below the noise",
    "few-runs": "too few runs",
    "censored": "runs ended early",
    "no-lock": "no lock",
    "lock": "lock not usable",
}


def title(finding: Finding) -> str:
    """What a finding is, in a few words."""
    if finding.kind == "limit" and finding.level != "regression":
        return "limit not decided"
    return KINDS[finding.kind] if finding.kind in KINDS else printable(finding.kind)


def place(checked: Checked, finding: Finding | None = None) -> str:
    """The path that a finding is shown at: the log that it is about, else the file of policies.

    A log's path is relative to the file of policies; what is returned is relative to what that file's own
    path is relative to. A log that is gone, or is not below that, cannot be shown: the file of policies
    stands for it.
    """
    file = checked.file.replace("\\", "/")
    if finding is not None and finding.log and finding.kind != "vanished":
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), finding.log.replace("\\", "/")))
        if path.split("/")[0] not in ("", ".", ".."):
            return path
    return posixpath.normpath(file)


def details(finding: Finding) -> list[str]:
    """The message and what happened then and now, each on a line of its own, that no terminal is steered
    by.
    """
    named = (("wanted" if finding.kind == "expect" else "before", finding.before), ("now", finding.after))
    return [printable(finding.message), *(f"{name}: {printable(text)}" for name, text in named if text)]


def fingerprints(findings: Iterable[Finding]) -> list[str]:
    """What tells each finding from the others and stays the same from one check to the next, whatever its
    figures: 64 hex digits.
    """
    seen: Counter[str] = Counter()
    out = []
    for finding in findings:
        about = (finding.kind, finding.policy, finding.run, finding.log, finding.limit, finding.group)
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
