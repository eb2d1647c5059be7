"""The figure of ``replay explain``: a run's curve with the reference, the stop and the checkpoint kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replay.engine.explain import Explanation
from replay.report.plots.style import COLORS, safe, shorten
from replay.report.plots.style import save as save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]


def save(explanation: Explanation, path: Path) -> None:
    """Draw to a file; errors as for `replay.report.plots.style.save`."""
    save_figure(draw(explanation), path)


def draw(explanation: Explanation) -> Figure:
    """The curve and the policy's reference, above the counter and its threshold where the policy has one."""
    from matplotlib.figure import Figure

    rows, outcome = explanation.rows, explanation.outcome
    counts = any(row["counter"] is not None and row["limit"] is not None for row in rows)
    figure = Figure(figsize=(8, 5.2 if counts else 3.8), layout="constrained")
    if counts:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        _counter(bottom, explanation)
    else:
        top = bottom = figure.subplots()
    steps = [row["step"] for row in rows]
    top.plot(
        steps,
        [_number(row["value"]) for row in rows],
        color="0.35",
        marker=".",
        label=safe(outcome["monitor"]),
    )
    references = np.array([_number(row["reference"]) for row in rows])
    if np.isfinite(references).any():
        top.step(
            steps, references, where="post", color=COLORS[0], linestyle="--", linewidth=1, label="reference"
        )
    if outcome["kept"] is not None and outcome["monitor"] == outcome["objective"]:
        top.plot(
            [outcome["kept_step"]],
            [outcome["kept"]],
            linestyle="none",
            marker="*",
            markersize=13,
            color=COLORS[2],
            label="checkpoint kept",
        )
    for axes in (top, bottom) if counts else (top,):
        if outcome["stopped_step"] is not None:
            axes.axvline(outcome["stopped_step"], color=COLORS[1], label="stop")
        axes.grid(visible=True, color="0.92")
    top.set_title(f"{shorten(outcome['run'], 48)} under {shorten(outcome['policy'], 48)}", fontsize=10)
    top.set_ylabel(safe(outcome["monitor"]))
    top.legend(fontsize=8, frameon=False)
    bottom.set_xlabel("step")
    return figure


def _counter(axes: Axes, explanation: Explanation) -> None:
    """The counter at each eval, and the threshold at which the policy stops."""
    rows = explanation.rows
    counters = [_number(row["counter"]) for row in rows]
    thresholds = [_number(row["limit"]) for row in rows]
    axes.step([row["step"] for row in rows], counters, where="mid", color="0.35", linewidth=1)
    axes.plot([row["step"] for row in rows], thresholds, color=COLORS[1], linestyle=":", linewidth=1)
    axes.set_ylabel("counter", fontsize=9)


def _number(value: float | None) -> float:
    """A number that a line has a gap for where it is not known or not finite."""
    return float(value) if value is not None and np.isfinite(value) else float("nan")
