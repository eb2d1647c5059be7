"""A check on the page of a CI job: the verdict, limits, changes against the lock, and all findings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from replay.check.model import Checked
from replay.data.finding import Finding, Kind
from replay.report.check import verdict
from replay.report.document import Block, Code, Document, Heading, List, Paragraph, Strong, Table, Words
from replay.report.findings import figure, run_of, share, subjects
from replay.report.render.markdown import render_untrusted, without_mentions
from replay.report.sentences import sentence, sentences
from replay.report.sentences.check import after_line, before_line

__all__ = ["COMMENT_MARK", "build", "failure_summary", "job_summary", "pull_request_comment"]

_MOST = 50
_MOST_BARS = 8
_VERDICTS = {"unsure": "broken, within its uncertainty"}


def job_summary(checked: Checked, plot: str | None = None, *, picture: bool = False) -> str:
    """Markdown for the job's page; what stands in logs and names makes no markup, link or HTML.

    ``plot`` is the name of an artifact with the plot, to point at. With ``picture`` the page draws what each
    policy saves and loses.
    """
    return render_untrusted(build(checked, plot, picture=picture))


#: The first line of a comment, by which the next check finds it, to replace it.
COMMENT_MARK = "<!-- replay check -->"


def pull_request_comment(checked: Checked) -> str:
    """Markdown for a comment to a pull request; it notifies nobody who is named in it."""
    return f"{COMMENT_MARK}\n{without_mentions(job_summary(checked, picture=True))}"


def failure_summary(text: str) -> str:
    """Markdown for the job's page, of a check that could not run."""
    blocks: list[Block] = [Heading("replay could not check"), Paragraph(text.splitlines())]
    return render_untrusted(Document(lambda: blocks))


def build(checked: Checked, plot: str | None = None, *, picture: bool = False) -> Document:
    """Report a check in full on a page."""
    return Document(lambda: [*_blocks(checked, plot), *(_picture(checked) if picture else [])])


def _picture(checked: Checked) -> list[Block]:
    """Bars of what is saved, and a line of what is lost, in the notation that GitHub and GitLab draw."""
    rows = [
        (policy.name, policy.summary.get("saved_mean"), policy.summary.get("lost_mean"))
        for policy in checked.policies[:_MOST_BARS]
    ]
    known = [(name, saved, lost) for name, saved, lost in rows if saved is not None and lost is not None]
    if not known:
        return []
    names = ", ".join(f'"{_bar_name(name, number)}"' for number, (name, _, _) in enumerate(known, 1))
    lines = [
        "xychart-beta",
        '    title "Compute saved (bars) and improvement lost (line), in percent"',
        f"    x-axis [{names}]",
        '    y-axis "percent" 0 --> 100',
        f"    bar [{', '.join(f'{100 * saved:.1f}' for _, saved, _ in known)}]",
        f"    line [{', '.join(f'{100 * lost:.1f}' for _, _, lost in known)}]",
    ]
    return [Code("\n".join(lines), language="mermaid")]


def _bar_name(name: str, number: int) -> str:
    """A name without what has a meaning in the picture's notation."""
    plain = re.sub(r"[^\w .=-]+", " ", name, flags=re.ASCII).strip()[:30]
    return plain or f"policy {number}"


def _blocks(checked: Checked, plot: str | None) -> list[Block]:
    against = f"compared with {checked.lock}" if checked.lock is not None else "no lock to compare with"
    out: list[Block] = [
        Heading(f"replay check: {verdict(checked)}"),
        Paragraph(
            (
                (
                    f"{checked.runs} run{'s' * (checked.runs != 1)} with the policies of {checked.file},"
                    f" {against}; monitor: {checked.monitor}, objective: {checked.objective}."
                ),
            )
        ),
        *_limits(checked),
    ]
    if checked.lock is not None:
        out += [Heading("Against the lock", 3), *_against_lock(checked)]
    elif checked.policies:
        figures = [
            [policy.name, share(policy.summary, "saved"), share(policy.summary, "lost")]
            for policy in checked.policies
        ]
        out += _table(("policy", "saved", "lost"), figures, (0,))
    items = [_item(finding) for finding in checked.all_findings]
    items += [(Strong("warning:"), f" {warning}") for warning in sentences(checked.warnings)]
    if items:
        more: list[Words] = [f"and {len(items) - _MOST} more."] if len(items) > _MOST else []
        out += [Heading("Findings", 3), List([*items[:_MOST], *more])]
    if plot is not None:
        out.append(Paragraph((f"Saved against lost is drawn in {plot}, among the artifacts of this job.",)))
    return out


def _limits(checked: Checked) -> list[Block]:
    rows = [
        [
            policy.name,
            limit.name,
            limit.group or "",
            figure(limit),
            limit.text,
            _VERDICTS.get(limit.verdict, limit.verdict),
        ]
        for policy in checked.policies
        for limit in policy.limits
    ]
    head = ("policy", "limit", "group", "figure", "wanted", "verdict")
    return _table(head, rows, (0, 1, 2, 5)) if rows else []


def _against_lock(checked: Checked) -> list[Block]:
    figures = [
        [policy.name, name, share(policy.before, name), share(policy.summary, name)]
        for policy in checked.policies
        if policy.before is not None
        for name in ("saved", "lost")
    ]
    if figures:
        out = _table(("policy", "figure", "in the lock", "now"), figures, (0, 1))
    else:
        out = [Paragraph(("The lock has none of these policies.",))]
    moved = [
        [
            policy.name,
            run_of(finding) or "",
            before_line(finding) or "?",
            after_line(finding) or "?",
        ]
        for policy in checked.policies
        for finding in policy.findings
        if finding.kind == Kind.MOVED
    ]
    changed = {finding.kind for finding in checked.all_findings} & {Kind.CHANGED_POLICY, Kind.CHANGED_LOG}
    if moved:
        out.append(Paragraph((f"{len(moved)} stop{'s' * (len(moved) != 1)} moved:",)))
        out += _table(("policy", "run", "in the lock", "now"), moved, (0, 1, 2, 3))
    elif figures and not changed:
        out.append(Paragraph(("No stop moved.",)))
    return out


def _item(finding: Finding) -> Words:
    text = sentence(finding)
    about = ", ".join(part for part in subjects(finding) if part not in text)
    return (Strong(f"{finding.severity}:"), f" {about}: {text}" if about else f" {text}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[Block]:
    out: list[Block] = [Table(head, rows[:_MOST], left)]
    if len(rows) > _MOST:
        out.append(Paragraph((f"and {len(rows) - _MOST} more.",)))
    return out
