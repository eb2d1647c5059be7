"""What all figures share: colours and markers, safe text, the line of the equal budget, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replay.engine.study import Study
from replay.errors import InputError, printable
from replay.stats.budgets import FixedBudgets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "MARKERS", "draw_budget_line", "safe", "save"]

# Okabe & Ito's colours, which colour-blind readers can tell apart; each has its own marker
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")


def safe(text: str) -> str:
    """Text that matplotlib shows as it is: no formula and no control character."""
    return printable(text).replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Draw a figure to a file, in the format that its ending names; raises InputError where that fails."""
    endings = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix.lstrip(".").lower() not in endings:
        raise InputError(
            f"--plot {path}: cannot draw a {path.suffix or 'file without ending'}; it can be"
            f" {', '.join(endings)}"
        )
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"--plot {path}: {error.strerror or error}") from None


def draw_budget_line(axes: Axes, study: Study, figure: str) -> None:
    """Draw what the equal budget loses (``lost`` or ``regret``): the line below which a policy should lie."""
    if not study.panel.judged.any():
        return  # the losses of these runs are unknown
    budgets = FixedBudgets.of(study, np.flatnonzero(study.judged))
    saved = [share / 50 for share in range(50)]
    lost = [
        100 * budgets.matching(share).lost if figure == "lost" else budgets.matching(share).regret
        for share in saved
    ]
    axes.plot(
        [100 * share for share in saved],
        lost,
        color="0.6",
        linestyle="--",
        linewidth=1,
        label="equal budget",
    )
    axes.legend(loc="upper left", fontsize=8, frameon=False)
