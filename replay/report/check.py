"""What a check found: text for a terminal, JSON in full, and markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Any

from replay.check.model import Checked, Finding, LimitResult, PolicyResult
from replay.report.tables import cell, json_text, lines, markdown, number, percent, suggested, wrapped

__all__ = ["as_json", "as_markdown", "as_text", "verdict"]

_MOST = 10
#: What a kind of finding is called in the verdict: one, and several.
_NAMES = {
    "limit": ("a limit is broken", "limits are broken"),
    "expect": ("a run is not stopped where expected", "runs are not stopped where expected"),
    "moved": ("a stop moved", "stops moved"),
    "worse": ("a policy got worse", "policies got worse"),
    "vanished": ("a log vanished", "logs vanished"),
    "never-fires": ("a policy no longer fires", "policies no longer fire"),
    "few-runs": ("too few runs", "too few runs"),
    "censored": ("too many runs are censored", "too many runs are censored"),
    "no-lock": ("no lock", "no lock"),
    "changed-log": ("a log cannot be compared", "logs cannot be compared"),
}


def verdict(checked: Checked) -> str:
    """``passed``, ``failed: 2 stops moved`` or ``undecided: too few runs``."""
    for level, word in (("regression", "failed"), ("undecided", "undecided")):
        counts = Counter(finding.kind for finding in checked.all_findings if finding.level == level)
        if counts:
            return f"{word}: {', '.join(_counted(kind, count) for kind, count in counts.items())}"
    warned = sum(finding.level == "warning" for finding in checked.all_findings)
    return f"passed, with {warned} warning{'s' * (warned != 1)}" if warned else "passed"


def _counted(kind: str, count: int) -> str:
    one, more = _NAMES.get(kind, (f"1 {kind}", kind))
    return one if count == 1 or one == more else f"{count} {more}"


def as_text(checked: Checked, words: Sequence[str], logs: Sequence[str], *, update: bool = False) -> str:
    """The check in at most 80 columns: one block a policy, what was found, the worst first, a verdict and
    what to type next.

    ``words`` are the command that checks again, ``logs`` the paths that were read; with ``update`` it has
    just written the lock.
    """
    out = wrapped(_headline(checked), indent="  ")
    for policy in checked.policies:
        out += ["", *_block(policy)]
    findings = checked.all_findings
    if findings:
        out.append("")
        for _, group in groupby(
            sorted(findings, key=_order(findings)),
            key=lambda finding: (finding.level, finding.kind, finding.policy),
        ):
            same = list(group)
            for finding in same[:_MOST]:
                out += wrapped(f"{finding.level}: {finding.message}.", indent="  ")
                out += _changes(finding)
            if len(same) > _MOST:
                out += wrapped(
                    f"{same[0].level}: … and {len(same) - _MOST} more {_kind(same[0])}.", indent="  "
                )
    out += ["", *wrapped(verdict(checked), indent="  ")]
    if not update:
        out += suggested(_hints(checked, words, logs))
    return "\n".join(out) + "\n"


def _order(findings: Sequence[Finding]) -> Any:
    """Findings of one level, kind and policy stay together, in the order in which the first of them came."""
    first: dict[tuple[str, str, str | None], int] = {}
    for place, finding in enumerate(findings):
        first.setdefault((finding.level, finding.kind, finding.policy), place)
    return lambda finding: first[finding.level, finding.kind, finding.policy]


def _kind(finding: Finding) -> str:
    of = f" of {finding.policy}" if finding.policy else ""
    return {
        "moved": "runs",
        "vanished": "logs",
        "changed-log": "logs",
        "new-log": "logs",
        "expect": "runs",
    }.get(finding.kind, "such") + of


def _changes(finding: Finding) -> list[str]:
    """The lines before and after, of findings about a run."""
    if finding.kind not in ("moved", "expect"):
        return []
    shown = (
        (("before", finding.before), ("after", finding.after))
        if finding.kind == "moved"
        else (("now", finding.after),)
    )
    return [
        line
        for word, text in shown
        if text
        for line in wrapped(f"    {word + ':':<7} {text}", indent="            ")
    ]


def _headline(checked: Checked) -> str:
    text = (
        f"{checked.runs} run{'s' * (checked.runs != 1)}, {len(checked.policies)}"
        f" polic{'y' if len(checked.policies) == 1 else 'ies'}"
    )
    text += f" of {checked.file}; watching {checked.monitor}"
    text += f", judged by {checked.objective}" if checked.objective != checked.monitor else ""
    return (
        f"{text}, in {checked.unit};"
        f" {f'compared with {checked.lock}' if checked.lock else 'no lock to compare with'}."
    )


def _block(policy: PolicyResult) -> list[str]:
    out = wrapped(f"{policy.name}: {policy.spec}" if policy.name != policy.spec else policy.name, indent="  ")
    out += wrapped(f"  {_figures(policy)}", indent="    ")
    rows = [
        [
            f"  {limit.name}" + (f" ({limit.group})" if limit.group else ""),
            limit.text,
            _value(limit),
            {"broken": "BROKEN"}.get(limit.verdict, limit.verdict),
        ]
        for limit in policy.limits
    ]
    return out + (lines(["  limit", "", "found", ""], rows, left=(0, 3)) if rows else [])


def _figures(policy: PolicyResult) -> str:
    now = policy.summary
    text = (
        f"stops {now['stopped']} of {now['runs']} runs, saves {percent(now['saved_mean'])}, loses"
        f" {percent(now['lost_mean'])}"
    )
    before = policy.before
    keys = ("stopped", "runs", "saved_mean", "lost_mean")
    if before is not None and any(before.get(key) != now[key] for key in keys):
        text += f" (in the lock: {before.get('stopped')} of {before.get('runs')}"
        text += f", {percent(before.get('saved_mean'))}, {percent(before.get('lost_mean'))})"
    return text


def _value(limit: LimitResult) -> str:
    if "regret" in limit.name and not limit.text.endswith("%"):
        text = "?" if limit.value is None else number(limit.value)
        known = limit.low is not None and limit.high is not None and limit.low != limit.high
        return f"{text} {number(limit.low)}-{number(limit.high)}" if known else text
    return cell(limit.value, limit.low, limit.high)


def _hints(checked: Checked, words: Sequence[str], logs: Sequence[str]) -> list[list[str]]:
    """The commands that come next: to look at what is broken, and to accept what differs from the lock."""
    failing = {
        finding.kind for finding in checked.all_findings if finding.level in ("regression", "undecided")
    }
    every = {finding.kind for finding in checked.all_findings}
    hints = []
    if failing & {"limit", "expect"}:
        hints.append(["replay", "simulate", *logs, "--policies", checked.file, "--per-run"])
    news = {"no-lock", "new-log", "changed-policy", "new-policy", "changed-log", "version"} & every
    if failing & {"moved", "worse", "vanished", "never-fires", "changed-log", "no-lock"} or (
        news and not failing
    ):
        hints.append([*words, "--update"])
    return hints


def as_json(checked: Checked) -> str:
    """Everything, as the fields of `Checked`, with the verdict and the exit code; keys sorted."""
    document = _plain(checked) | {
        "exit_code": checked.exit_code,
        "verdict": verdict(checked),
        "findings": _plain(checked.all_findings),
    }
    return json_text(dict(sorted(document.items())))


def _plain(value: Any) -> Any:
    """Data classes as dicts, with their keys sorted."""
    if is_dataclass(value):
        return {
            item.name: _plain(getattr(value, item.name))
            for item in sorted(fields(value), key=lambda item: item.name)
        }
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def as_markdown(checked: Checked) -> str:
    """Verdict, one row a limit, and what was found, as markdown."""
    head = ["policy", "limit", "wanted", "found", "verdict"]
    rows = []
    for policy in checked.policies:
        for limit in policy.limits:
            name = limit.name + (f" ({limit.group})" if limit.group else "")
            rows.append([policy.name, name, limit.text, _value(limit), limit.verdict])
        if not policy.limits:
            rows.append([policy.name, "", "", _figures(policy), ""])
    found = [[finding.level, _told(finding)] for finding in checked.all_findings]
    if len(found) > 100:
        found = [*found[:100], ["", f"and {len(found) - 100} more"]]
    out = f"**{verdict(checked)}**\n\n{markdown(head, rows, (0, 1, 4))}"
    return out + (f"\n{markdown(['', 'finding'], found, (0, 1))}" if found else "")


def _told(finding: Finding) -> str:
    if finding.kind != "moved":
        return finding.message
    return f"{finding.message}. Before: {finding.before}. Now: {finding.after}"
