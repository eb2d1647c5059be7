"""Labels of marks in a plane that overlap neither each other nor a mark.

Few marks are named where they are. Many marks are numbered, and a key beside the axes has the names.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replay.report.plots.style import safe, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

__all__ = ["Mark", "label_marks"]

_MOST_NAMED = 12  # marks that are named where they are
_MOST_NUMBERED = 40
_LONGEST_NAME = 48
_LONGEST_LABEL = 64  # of a mark that is named, or of marks that share a label
_RADII = (9, 15, 22, 30, 40, 52, 66, 82, 100)  # points from a mark to its label
_FREE = 16  # from this radius on, a line leads to the label
_ANGLES = (35, 325, 145, 215, 90, 270, 0, 180, 60, 300, 120, 240)
_HALF_MARK = 4.5  # points
_TOGETHER = 5.0  # marks that are as near share a label, in points


@dataclass(frozen=True)
class Mark:
    """A mark by its place in the data, with its name and what it looks like."""

    x: float
    y: float
    name: str
    color: str
    marker: str


def label_marks(figure: Figure, axes: Axes, marks: Sequence[Mark]) -> None:
    """Name the marks of axes, or number them and write a key on the right.

    The limits of the axes must be set. Of very many marks, the first ones are numbered, and the key says how
    many others there are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)  # which can measure text, whatever the figure is saved as
    if len(marks) <= _MOST_NAMED:
        figure.draw_without_rendering()  # which settles where the axes are
        if _place(figure, axes, [(mark, mark.name) for mark in marks], marks):
            figure.set_layout_engine("none")  # another layout would move the marks
            return
    numbers = {mark: number for number, mark in enumerate(marks[:_MOST_NUMBERED], 1)}
    _write_key(figure, numbers, len(marks) - len(numbers))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    _place(figure, axes, [(mark, str(number)) for mark, number in numbers.items()], marks, numbered=True)


def _write_key(figure: Figure, numbers: dict[Mark, int], others: int) -> None:
    """The names by their numbers, on the right of the axes."""
    from matplotlib.lines import Line2D

    size = 8 if len(numbers) <= 24 else 7 if len(numbers) <= 32 else 6
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=mark.marker,
            color=mark.color,
            markersize=size - 2,
            label=f"{number}  {shorten(mark.name, _LONGEST_NAME)}",
        )
        for mark, number in numbers.items()
    ]
    if others > 0:
        handles.append(Line2D([], [], linestyle="none", label=f"and {others} more policies"))
    figure.legend(
        handles=handles,
        loc="outside right upper",
        fontsize=size,
        frameon=False,
        handlelength=1,
        labelspacing=0.25,
    )


def _place(
    figure: Figure,
    axes: Axes,
    labels: Sequence[tuple[Mark, str]],
    marks: Sequence[Mark],
    *,
    numbered: bool = False,
) -> bool:
    """Write each label at the nearest free place; return whether all had one.

    Where one has none, nothing is written; of ``numbered`` marks, all the others are.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    scale = figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    at = {mark: tuple(axes.transData.transform((mark.x, mark.y))) for mark in marks}
    half = _HALF_MARK * scale
    taken = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in at.values()]
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent(renderer))
    written, complete = [], True
    for members, texts in _together(labels, at, _TOGETHER * scale):
        mark, text = members[0], ", ".join(texts)
        if numbered:
            text = "\n".join(textwrap.wrap(text, _LONGEST_NAME))
        elif len(texts) == 1:
            text = shorten(text, _LONGEST_LABEL)
        elif len(text) > _LONGEST_LABEL:
            complete = False
            break
        else:
            text = safe(text)
        label = axes.annotate(
            text,
            (mark.x, mark.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            color="0.15",
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": mark.color, "linewidth": 0.6, "alpha": 0.0},
            zorder=6,
            path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.8)],
        )
        label.set_in_layout(False)
        written.append(label)
        extent = label.get_window_extent(renderer)
        for radius, offset in _offsets(extent.width / scale, extent.height / scale):
            x, y = (origin + scale * move for origin, move in zip(at[mark], offset, strict=True))
            box = Bbox.from_bounds(x - extent.width / 2, y - extent.height / 2, extent.width, extent.height)
            if _is_free(box, inside, taken):
                taken.append(box)
                label.set_position(offset)
                if radius >= _FREE and label.arrow_patch is not None:
                    label.arrow_patch.set_alpha(0.7)
                break
        else:
            complete = False
            label.remove()
            written.pop()
            if not numbered:
                break
    if not complete and not numbered:
        for label in written:
            label.remove()
    return complete


def _together(
    labels: Sequence[tuple[Mark, str]], at: dict[Mark, tuple[float, ...]], near: float
) -> Iterator[tuple[list[Mark], list[str]]]:
    """The labels, with those of marks that lie on one another in one."""
    left = list(labels)
    while left:
        first = left[0][0]
        here = [(mark, text) for mark, text in left if math.dist(at[mark], at[first]) <= near]
        left = [item for item in left if item not in here]
        yield [mark for mark, _ in here], [text for _, text in here]


def _offsets(width: float, height: float) -> Iterator[tuple[float, tuple[float, float]]]:
    """Places for the middle of a label around its mark, nearest first, in points, each with its radius."""
    for radius in _RADII:
        for angle in _ANGLES:
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # the edge of the text, not its middle, lies on the circle
            yield radius, ((radius + width / 2) * across, (radius + height / 2) * up)


def _is_free(box: Bbox, inside: Bbox, taken: Sequence[Bbox]) -> bool:
    if box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1:
        return False
    return not any(box.overlaps(other) for other in taken)
