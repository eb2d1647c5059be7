"""What all figures share: colours and markers, safe text, the line of the equal budget, and saving."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from replay.engine.study import Study
from replay.errors import InputError, printable
from replay.files import write_file
from replay.report.plane import budget_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "MARKERS", "draw_budget_line", "look", "safe", "save", "shorten", "write_figure"]

# Okabe & Ito's colours, which colour-blind readers can tell apart; each has its own marker
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
MARKERS = ("o", "s", "D", "^", "v", "P")


def look(number: int) -> tuple[str, str]:
    """The colour and the marker of a policy, by its number; the first 36 differ in one of them."""
    return COLORS[number % len(COLORS)], MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


def shorten(text: str, most: int) -> str:
    """Text that fits and is shown as it is: without its middle, where it is longer."""
    shown = printable(text)
    if len(shown) > most:
        begin = (most - 3) // 2
        shown = f"{shown[:begin]}...{shown[len(shown) - (most - 3 - begin) :]}"
    # a legend leaves out what begins with an underscore
    return " " * shown.startswith("_") + safe(shown)


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
    write_figure(figure, path, path.suffix.lstrip(".").lower())


def write_figure(
    figure: Figure, path: Path, form: str, option: str = "--plot", *, dpi: int = 150, undated: bool = False
) -> None:
    """Draw a figure to a file, whole or not at all; with ``undated``, the same figure gives the same bytes.

    ``option`` is the one that named the file. Errors are those of `replay.files.write_file`.
    """
    drawn = io.BytesIO()
    metadata = _UNDATED.get(form) if undated else None
    figure.savefig(drawn, format=form, dpi=dpi, metadata=metadata)
    write_file(path, drawn.getvalue(), option)


def draw_budget_line(axes: Axes, study: Study, figure: str) -> None:
    """Draw what the equal budget loses (``lost`` or ``regret``): the line below which a policy should lie."""
    line = budget_line(study, figure)
    if line is None:
        return
    saved, lost = line
    axes.plot(
        [100 * share for share in saved],
        [100 * loss for loss in lost] if figure == "lost" else lost,
        color="0.6",
        linestyle="--",
        linewidth=1,
        label="equal budget",
    )
    axes.legend(loc="upper left", fontsize=8, frameon=False)
