"""A check on GitHub: annotations on standard output, the job's summary in markdown, and a small plot to keep
as an artifact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.check.model import Checked, Finding, Level, PolicyResult
from replay.errors import InputError, printable
from replay.report.check import verdict
from replay.report.findings import details, figure, place, share, title
from replay.report.sentences import texts
from replay.report.tables import markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["as_annotations", "draw_check", "job_summary", "small_plot", "without_commands"]

_COMMAND: dict[Level, str] = {
    "regression": "error",
    "undecided": "warning",
    "warning": "warning",
    "note": "notice",
}
#: GitHub shows no more annotations of one kind from one step.
_MOST = 10
_MOST_ROWS = 50
_MOST_POLICIES = 6
# as in the plot of a simulation
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "D", "^", "v", "P")


def as_annotations(checked: Checked) -> str:
    """One workflow command a finding, the worst first; of more than ten of one kind, the tenth says how many
    more there are.
    """
    out = []
    for command in ("error", "warning", "notice"):
        found = [finding for finding in checked.all_findings if _COMMAND[finding.level] == command]
        shown = found if len(found) <= _MOST else found[: _MOST - 1]
        out += [
            _command(command, place(checked, finding), _title(finding), "\n".join(details(finding)))
            for finding in shown
        ]
        if len(shown) < len(found):
            more = f"{len(found) - len(shown)} more are in the job's summary and log."
            out.append(_command(command, place(checked), "replay check", more))
    return "".join(line + "\n" for line in out)


def _title(finding: Finding) -> str:
    about = [part for part in (finding.policy, finding.group, finding.run) if part]
    return ", ".join(about) + (": " if about else "replay check: ") + title(finding)


def _command(name: str, file: str, heading: str, message: str) -> str:
    properties = {"file": file, "line": "1", "title": heading}
    return (
        f"::{name} "
        + ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        + f"::{_data(message)}"
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # the runner trims what is between the name and the message
    return _data(printable(text).strip()).replace(":", "%3A").replace(",", "%2C")


def without_commands(text: str) -> str:
    """Text for a log on GitHub, with what the runner would take for a command shown as an escape.

    A line that begins with ``::`` is one, and so is a line with ``##[`` anywhere in it.

    Examples
    --------
    >>> print(without_commands("run\\n  ::error::no\\nlost ##[error]no"))
    run
      \\x3a:error::no
    lost #\\x23[error]no
    """
    return re.sub(r"^(\s*):(?=:)", r"\1\\x3a", text, flags=re.MULTILINE).replace("##[", "#\\x23[")


def job_summary(checked: Checked, plot: str | None = None) -> str:
    """Markdown for the job's page: the verdict, every limit, what has changed against the lock, and all
    findings.

    ``plot`` is the name of an artifact with the plot, to point at. Untrusted text is escaped: it makes no
    markup and no HTML.
    """
    runs = f"{checked.runs} run{'s' * (checked.runs != 1)}"
    against = (
        f"compared with {_text(checked.lock)}" if checked.lock is not None else "no lock to compare with"
    )
    watched = f"watched {_text(checked.monitor)}, judged by {_text(checked.objective)}"
    out = [
        f"## replay check: {_text(verdict(checked))}",
        f"{runs} with the policies of {_text(checked.file)}, {against}; {watched}.",
    ]
    limits = [
        [policy.name, limit.name, limit.group or "", figure(limit), limit.text, _verdict(limit.verdict)]
        for policy in checked.policies
        for limit in policy.limits
    ]
    if limits:
        out.append(_table(("policy", "limit", "group", "figure", "wanted", "verdict"), limits, (0, 1, 2, 5)))
    if checked.lock is not None:
        out += ["### Against the lock", *_against_lock(checked)]
    elif checked.policies:
        figures = [
            [policy.name, share(policy.summary, "saved"), share(policy.summary, "lost")]
            for policy in checked.policies
        ]
        out.append(_table(("policy", "saved", "lost"), figures, (0,)))
    findings = checked.all_findings
    said = [f"**{finding.level}:** {_about(finding)}{_text(finding.message)}" for finding in findings]
    said += [f"**warning:** {_text(warning)}" for warning in texts(checked.warnings)]
    if said:
        out += ["### Findings", "\n".join(f"- {line}" for line in _cut(said))]
    if plot is not None:
        out.append(f"Saved against lost is drawn in {_text(plot)}, among the artifacts of this job.")
    return "\n\n".join(part.rstrip("\n") for part in out) + "\n"


def _verdict(verdict: str) -> str:
    return {"unsure": "broken, within its uncertainty"}.get(verdict, verdict)


def _against_lock(checked: Checked) -> list[str]:
    known = [policy for policy in checked.policies if policy.before is not None]
    figures = [
        [policy.name, name, share(policy.before, name), share(policy.summary, name)]
        for policy in known
        for name in ("saved", "lost")
    ]
    moved = [
        [policy.name, finding.run or "", finding.before or "?", finding.after or "?"]
        for policy in checked.policies
        for finding in policy.findings
        if finding.kind == "moved"
    ]
    out = (
        [_table(("policy", "figure", "in the lock", "now"), figures, (0, 1))]
        if figures
        else ["The lock has none of these policies."]
    )
    if moved:
        out.append(f"{len(moved)} stop{'s' * (len(moved) != 1)} moved:")
        out.append(_table(("policy", "run", "in the lock", "now"), moved, (0, 1, 2, 3)))
    elif figures and not any(
        finding.kind in ("changed-policy", "changed-log") for finding in checked.all_findings
    ):
        out.append("No stop moved.")
    return out


def _about(finding: Finding) -> str:
    about = [
        part for part in (finding.policy, finding.group, finding.run) if part and part not in finding.message
    ]
    return _text(", ".join(about)) + ": " if about else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    shown = ["| " + " | ".join(_text(cell) for cell in row) + " |\n" for row in rows[:_MOST_ROWS]]
    more = len(rows) - _MOST_ROWS
    return markdown(head, (), left) + "".join(shown) + (f"\nand {more} more.\n" if more > 0 else "")


def _cut(lines: Sequence[str]) -> Iterable[str]:
    more = len(lines) - _MOST_ROWS
    return [*lines[:_MOST_ROWS], f"and {more} more."] if more > 0 else lines


def _text(text: str) -> str:
    """Text for a paragraph or a cell: what could be markup, an entity, a formula or a link is escaped."""
    return re.sub(r"([\\|<>*_`\[\]~&$@#!]|:(?=//))", r"\\\1", printable(text)).replace("www.", "www\\.")


def small_plot(checked: Checked, path: Path) -> None:
    """Draw what each policy saves and loses to a file, the format by its ending; raises InputError where that
    cannot be done.
    """
    from matplotlib import rc_context

    drawn = draw_check(checked)
    ending = path.suffix.lstrip(".").lower()
    if ending not in drawn.canvas.get_supported_filetypes():
        raise InputError(
            f"{path}: cannot draw a {path.suffix or 'file without ending'}; it can be png, svg or pdf"
        )
    # the same check gives the same file
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    try:
        with rc_context({"svg.hashsalt": "replay"}):
            drawn.savefig(path, dpi=150, metadata=undated)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def draw_check(checked: Checked) -> Figure:
    """Saved against lost of each policy with 95 % intervals: now (filled), in the lock (hollow), and the
    limits that are about them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    shown = [policy for policy in checked.policies if policy.summary.get("lost_mean") is not None][
        :_MOST_POLICIES
    ]
    for policy, color, marker in zip(shown, _COLORS, _MARKERS, strict=False):
        _policy(axes, policy, color, marker)
    _frame(axes, shown, _limits(axes, shown))
    axes.set_xlabel(f"compute saved, % of {_safe(checked.unit)}")
    axes.set_ylabel("best-metric loss,\n% of a run's improvement")
    more = (
        f" ({len(shown)} of {len(checked.policies)} policies)" if len(shown) < len(checked.policies) else ""
    )
    axes.set_title(
        f"{checked.runs} run{'s' * (checked.runs != 1)}, judged by {_safe(checked.objective)}{more}",
        fontsize=10,
    )
    return figure


def _safe(text: str) -> str:
    shown = printable(text)
    shown = shown if len(shown) <= 32 else shown[:29] + "..."
    # a legend leaves out what begins with an underscore
    return " " * shown.startswith("_") + shown.replace("$", r"\$")


def _at(figures: Mapping[str, Any] | None) -> tuple[float, float] | None:
    if figures is None or figures.get("saved_mean") is None or figures.get("lost_mean") is None:
        return None
    return 100 * figures["saved_mean"], 100 * figures["lost_mean"]


def _policy(axes: Axes, policy: PolicyResult, color: str, marker: str) -> None:
    now, then = _at(policy.summary), _at(policy.before)
    assert now is not None
    reach: dict[str, list[list[float]] | None] = {}
    for name, middle in zip(("saved", "lost"), now, strict=True):
        low, high = policy.summary.get(f"{name}_low"), policy.summary.get(f"{name}_high")
        reach[name] = (
            None
            if low is None or high is None
            else [[max(middle - 100 * low, 0)], [max(100 * high - middle, 0)]]
        )
    axes.errorbar(
        *now,
        xerr=reach["saved"],
        yerr=reach["lost"],
        fmt="none",
        ecolor=color,
        alpha=0.45,
        capsize=2.5,
        linewidth=1.2,
    )
    axes.plot(
        *now, marker=marker, color=color, markersize=8, linestyle="none", zorder=4, label=_safe(policy.name)
    )
    if then is not None and then != now:
        axes.plot(
            *then,
            marker=marker,
            markerfacecolor="white",
            markeredgecolor=color,
            markersize=8,
            linestyle="none",
            zorder=3,
        )
        axes.annotate(
            "",
            now,
            then,
            arrowprops={"arrowstyle": "->", "color": color, "shrinkA": 5, "shrinkB": 6, "linewidth": 1.2},
            zorder=3,
        )


def _limits(axes: Axes, policies: Sequence[PolicyResult]) -> bool:
    """A line for each limit that is about the axes, in its policy's colour unless several have it; whether
    there is one.
    """
    owners: dict[tuple[str, float], list[str]] = {}
    for policy, color in zip(policies, _COLORS, strict=False):
        for limit in policy.limits:
            if limit.group is None and limit.name in ("max_lost", "min_saved"):
                owners.setdefault((limit.name, 100 * limit.wanted), []).append(color)
    for (name, wanted), colors in owners.items():
        draw = axes.axhline if name == "max_lost" else axes.axvline
        draw(
            wanted,
            color=colors[0] if len(colors) == 1 < len(policies) else "0.4",
            linestyle="--",
            linewidth=1,
            alpha=0.8,
            zorder=1,
        )
    return bool(owners)


def _frame(axes: Axes, shown: Sequence[PolicyResult], limited: bool) -> None:
    """Axes that hold every mark and limit, and a legend that says what the marks mean."""
    from matplotlib.lines import Line2D

    axes.set_xlim(-3, 103)
    axes.set_ylim(bottom=min(-1.0, -0.04 * axes.get_ylim()[1]), top=max(1.0, axes.get_ylim()[1]))
    axes.grid(alpha=0.25)
    handles = list(axes.get_legend_handles_labels()[0])
    if any(_at(policy.before) not in (None, _at(policy.summary)) for policy in shown):
        handles.append(
            Line2D(
                [],
                [],
                marker="o",
                color="0.4",
                markerfacecolor="white",
                linestyle="none",
                label="in the lock",
            )
        )
    if limited:
        handles.append(Line2D([], [], color="0.4", linestyle="--", linewidth=1, label="limits"))
    if handles:
        axes.legend(handles=handles, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    else:
        axes.text(
            50, 0.0, "there is no policy of which the loss is known", ha="center", va="center", color="0.4"
        )
