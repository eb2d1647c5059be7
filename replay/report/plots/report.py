"""The figure of ``replay report`` for papers: saved against lost, and the losses of the runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.engine.outcomes import BASELINES, ORACLE
from replay.report.page.gather import PageFacts
from replay.report.page.policies import equal_budget
from replay.report.plots.style import safe, shorten, write_figure
from replay.report.sentences.guarantee import say_kind, say_tolerance
from replay.report.sentences.page import say_evidence
from replay.report.sentences.summary import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]

_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "0.55"
_STYLE: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "replay",
    "pdf.fonttype": 42,
}


def save(facts: PageFacts, path: Path, form: str, option: str = "--out") -> None:
    """Draw to a file as svg, pdf or png; raises InputError, which names the option, where that fails."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        write_figure(draw(facts), path, form, option, dpi=300, undated=True)


def draw(facts: PageFacts) -> Figure:
    """Saved against lost of all policies, beside the loss of each run under the recommended policy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.5), layout="constrained")
    if facts.held_out is None:
        _plane(figure.subplots(), facts)
    else:
        left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
        _plane(left, facts)
        _runs(right, facts)
    figure.supxlabel(_caption(facts), fontsize=7, color="0.25")
    return figure


def _scale(facts: PageFacts) -> float:
    return 1.0 if facts.sweep.tolerance.kind == "regret" else 100.0


def _loss_label(facts: PageFacts) -> str:
    return {
        "lost": "improvement lost (%)",
        "relative_regret": "regret (% of the best value)",
        "regret": f"regret ({safe(facts.study.objective.name)})",
    }[facts.sweep.tolerance.kind]


def _plane(axes: Axes, facts: PageFacts) -> None:
    """Every policy by what it saves and loses on average."""
    sweep, scale = facts.sweep, _scale(facts)
    kind, saved, loss = sweep.tolerance.kind, 100 * sweep.saved, scale * sweep.loss
    axes.scatter(saved, loss, s=5, color=_GREY, linewidths=0, alpha=0.6, clip_on=False, label="policies")
    front = saved[sweep.front], loss[sweep.front]
    axes.plot(*front, "o-", color="0.1", markersize=2.8, linewidth=0.7, clip_on=False, label="front")
    if (line := equal_budget(facts)) is not None:
        share, equal = line
        axes.plot(100 * share, scale * equal, "--", color="0.4", linewidth=0.8, label="equal budget")
    rows = {name: facts.summaries[name] for name in (*BASELINES, ORACLE) if name in facts.summaries}
    for marker, (name, row) in zip("Dsv", rows.items(), strict=False):
        if row[f"{kind}_mean"] is not None:
            place = 100 * row["saved_mean"], scale * row[f"{kind}_mean"]
            look: dict[str, Any] = {
                "color": "0.1",
                "markerfacecolor": "white",
                "markersize": 4.5,
                "linestyle": "none",
            }
            axes.plot(*place, marker=marker, clip_on=False, zorder=4, label=label(name), **look)
    tolerance = scale * sweep.tolerance.value
    axes.axhline(tolerance, color=_VERMILION, linewidth=0.8, linestyle=":", label="tolerance")
    policy = facts.selection.policy or facts.selection.guess
    if policy is not None:
        _selected(axes, facts, policy.spec(), scale)
    baselines = [scale * (row[f"{kind}_mean"] or 0) for row in rows.values()]
    highest = max([tolerance, *loss[np.isfinite(loss)].tolist(), *baselines, 1e-9])
    # small losses would be a smear on a linear scale
    axes.set_yscale("function", functions=(lambda value: np.sqrt(np.maximum(value, 0)), np.square))
    axes.set_ylim(0, 1.03 * highest)
    axes.set_yticks(_ticks(highest))
    axes.set_xlim(0, min(100.0, float(np.nanmax([*saved.tolist(), 10.0])) + 5))
    axes.set_xlabel(f"{facts.study.question.unit} saved (%)")
    axes.set_ylabel(_loss_label(facts))
    axes.set_title("a  in-sample means", loc="left", fontsize=8, fontweight="bold")
    axes.figure.legend(loc="outside upper center", ncols=4, handlelength=1.6, columnspacing=1.4)


def _ticks(highest: float) -> list[float]:
    """Round values from 0 to the highest that are apart on a square-root scale."""
    unit = 10.0 ** np.floor(np.log10(highest))
    ticks = [0.0]
    for step in (0.1, 0.2, 0.5, 1, 2, 3, 5, 7.5):
        value = float(step * unit)
        if value <= highest and np.sqrt(value / highest) - np.sqrt(ticks[-1] / highest) > 0.08:
            ticks.append(value)
    return ticks


def _selected(axes: Axes, facts: PageFacts, spec: str, scale: float) -> None:
    """The policy of the answer, with its intervals where it has them."""
    row, kind = facts.summaries[spec], facts.sweep.tolerance.kind
    if row[f"{kind}_mean"] is None:
        return
    x, y = 100 * row["saved_mean"], scale * row[f"{kind}_mean"]
    ends = [(row.get(f"{name}_low"), row.get(f"{name}_high")) for name in ("saved", kind)]
    bars = [
        None if low is None or high is None else [[max(at - by * low, 0)], [max(by * high - at, 0)]]
        for (low, high), at, by in zip(ends, (x, y), (100, scale), strict=True)
    ]
    axes.errorbar(
        x,
        y,
        xerr=bars[0],
        yerr=bars[1],
        fmt="o",
        color=_BLUE,
        ms=5,
        lw=1.1,
        zorder=5,
        label=shorten(spec, 48),
    )


def _runs(axes: Axes, facts: PageFacts) -> None:
    """The share of the runs that lose at most so much under the policy that is chosen without them."""
    held = facts.held_out
    assert held is not None
    kind, scale = facts.sweep.tolerance.kind, _scale(facts)
    judged = held.rows[facts.study.judged & (held.rows >= 0)]
    losses = scale * getattr(facts.outcomes, kind)[judged]
    losses = np.sort(losses[~np.isnan(losses)])
    if len(losses):
        axes.ecdf(losses, color=_BLUE, linewidth=1.2)
        axes.plot(losses, np.full(len(losses), -0.02), "|", color="0.3", markersize=5, clip_on=False)
    axes.axvline(scale * facts.sweep.tolerance.value, color=_VERMILION, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.04, 1.02)
    axes.set_xlabel(_loss_label(facts))
    axes.set_ylabel(f"share of the runs (n = {len(losses)})")
    axes.set_title(f"b  cross-validated by {held.by}", loc="left", fontsize=8, fontweight="bold")


def _caption(facts: PageFacts) -> str:
    """What is shown, and of how many runs."""
    text = safe(say_evidence(facts.study, facts.selection, facts.held_out))
    given = facts.selection.guarantee
    if facts.selection.guaranteed is not None and given is not None:
        text += f" Guaranteed {say_kind(given, full=True)}: at most {say_tolerance(given.alpha)}."
    words, lines = text.split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 120:
            lines.append("")
        lines[-1] += f"{' ' * bool(lines[-1])}{word}"
    return "\n".join(lines)
