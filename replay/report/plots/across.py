"""The figure of policies that compare runs beside those within runs: saved against lost for the whole set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.report.plots.style import look, safe, shorten
from replay.report.plots.style import save as save_figure
from replay.report.sentences.summary import label
from replay.search.front import front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]


def save(rows: Sequence[Mapping[str, Any]], metric: str, unit: str, path: Path) -> None:
    """Draw to a file; errors as for `replay.report.plots.style.save`."""
    save_figure(draw(rows, metric, unit), path)


def draw(rows: Sequence[Mapping[str, Any]], metric: str, unit: str) -> Figure:
    """Compute saved for all runs against the regret of the best run found, with the spread over orders.

    The rows are those of `replay.stats.across.summarise_set`; the Pareto front is a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    known = [row for row in rows if row["regret_mean"] is not None]
    for number, row in enumerate(known):
        x, y = 100 * row["saved_mean"], row["regret_mean"]
        color, marker = look(number)
        if row["orders"] is not None:
            across = [[max(x - 100 * row["saved_low"], 0)], [max(100 * row["saved_high"] - x, 0)]]
            up = [[max(y - row["regret_low"], 0)], [max(row["regret_high"] - y, 0)]]
            axes.errorbar(x, y, xerr=across, yerr=up, fmt="none", ecolor=color, alpha=0.4, capsize=2)
        name = shorten(label(row["policy"]), 48)
        axes.plot(x, y, marker=marker, color=color, markersize=8, linestyle="none", label=name)
    saved = np.array([row["saved_mean"] for row in known], dtype=np.float64)
    regret = np.array([row["regret_mean"] for row in known], dtype=np.float64)
    best = front(saved, regret)
    axes.plot(100 * saved[best], regret[best], color="0.6", linewidth=1, zorder=0, label="Pareto front")
    axes.set_xlabel(f"compute saved, % of the {unit} of all runs")
    axes.set_ylabel(f"regret of the best run found,\nin {safe(metric)}")
    axes.set_title("mean, and 5th to 95th percentile over arrival orders", fontsize=10)
    axes.set_xlim(-3, 103)
    axes.grid(alpha=0.25)
    # beside the axes, where no mark can be under it
    size = 8 if len(known) <= 20 else 6
    figure.legend(loc="outside right upper", fontsize=size, frameon=False, labelspacing=0.35)
    return figure
