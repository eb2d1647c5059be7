"""The figure of ``replay check``: what each policy saves and loses, now and in the lock, and the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.check.model import Checked, PolicyResult
from replay.errors import InputError
from replay.report.plots.style import COLORS, MARKERS, shorten, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]

_MOST_POLICIES = 6


def save(checked: Checked, path: Path) -> None:
    """Draw to a file, in the format that its ending names; raises InputError where that fails."""
    from matplotlib import rc_context

    drawn = draw(checked)
    ending = path.suffix.lstrip(".").lower()
    if ending not in drawn.canvas.get_supported_filetypes():
        raise InputError(
            f"{path}: cannot draw a {path.suffix or 'file without ending'}; it can be png, svg or pdf"
        )
    with rc_context({"svg.hashsalt": "replay"}):
        write_figure(drawn, path, ending, undated=True)


def draw(checked: Checked) -> Figure:
    """Saved against lost of each policy with 95 % intervals: now (filled), in the lock (hollow), and the
    limits that are about them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    known = [policy for policy in checked.policies if policy.summary.get("lost_mean") is not None]
    # where there is not room for all, those that failed are the ones to look at
    shown = sorted(known, key=lambda policy: not policy.failed)[:_MOST_POLICIES]
    for policy, color, marker in zip(shown, COLORS, MARKERS, strict=False):
        _policy(axes, policy, color, marker)
    _frame(axes, shown, _limits(axes, shown))
    axes.set_xlabel(f"compute saved, % of {shorten(checked.unit, 32)}")
    axes.set_ylabel("best-metric loss,\n% of a run's improvement")
    more = (
        f" ({len(shown)} of {len(checked.policies)} policies)" if len(shown) < len(checked.policies) else ""
    )
    runs = max((policy.summary.get("runs", checked.runs) for policy in shown), default=checked.runs)
    axes.set_title(
        f"{runs} run{'s' * (runs != 1)}, judged by {shorten(checked.objective, 32)}{more}",
        fontsize=10,
    )
    return figure


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
        *now,
        marker=marker,
        color=color,
        markersize=8,
        linestyle="none",
        zorder=4,
        label=shorten(policy.name, 32),
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
    """Draw a line for each limit on an axis, in its policy's colour; return whether there is one."""
    owners: dict[tuple[str, float], list[str]] = {}
    for policy, color in zip(policies, COLORS, strict=False):
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
        axes.text(50, 0.0, "no policy has a known loss", ha="center", va="center", color="0.4")
