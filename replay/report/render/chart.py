"""A chart in characters, drawn by plotext (the extra ``chart``)."""

from __future__ import annotations

import math
import textwrap
from importlib import metadata

from replay.errors import InputError, printable
from replay.report.document import Chart

__all__ = ["draw", "require_plotext"]

_ROWS = 14
_WIDEST = 100
_INSTALL = "Install it with: pip install 'stop-replay[chart]'"
_OLDEST = 6
#: Ticks are multiples of one of these times a power of ten.
_STEPS = (1.0, 2.0, 5.0, 10.0, 20.0)
_MOST_TICKS = 6


def require_plotext() -> None:
    """Raise InputError where plotext is not installed, or is too old."""
    try:
        version = metadata.version("plotext")
    except metadata.PackageNotFoundError:
        raise InputError(f"--chart needs plotext, which is not installed. {_INSTALL}") from None
    if int(version.split(".")[0]) < _OLDEST:
        raise InputError(f"--chart needs plotext {_OLDEST} or later, and {version} is installed. {_INSTALL}")


def draw(chart: Chart, *, width: int, color: bool = False) -> list[str]:
    """The lines of a chart, at most ``width`` columns wide: what the marks mean, the axes and the points."""
    from plotext import figure, marker, terminal

    columns = min(width, _WIDEST)
    terminal.limit(False, False)
    figure.clear()
    figure.theme("simple")  # with the default one, it paints the background
    figure.plot_size(columns, _ROWS)
    figure.legend(False)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    for axis, end in (("x", chart.right), ("y", chart.top)):
        positions, labels = _ticks(end)
        figure.ruler(axis).lim(0, end).ticks(positions, labels)
    for series in chart.series:
        shown = [
            (x, y)
            for x, y in zip(series.x, series.y, strict=True)
            if 0 <= x <= chart.right and 0 <= y <= chart.top
        ]
        if shown:
            xs, ys = zip(*shown, strict=True)
            figure.draw(figure.signal(xs, ys, marker=marker(series.mark, series.color)))
    drawn = figure.build().string(not color)
    figure.clear()
    lines = drawn.splitlines() if color else [line.rstrip() for line in drawn.splitlines()]
    below = textwrap.wrap(printable(chart.note), columns)
    across = printable(chart.across).rjust(columns)
    return [*_legend(chart, columns), *textwrap.wrap(printable(chart.up), columns), *lines, across, *below]


def _legend(chart: Chart, width: int) -> list[str]:
    """What each mark means; a mark and its name stay on one line where they fit."""
    entries = [f"{series.mark} {printable(series.label)}" for series in chart.series if series.label]
    lines = [""]
    for entry in entries:
        joined = f"{lines[-1]}   {entry}" if lines[-1] else entry
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(entry)
    return [part for line in lines if line for part in textwrap.wrap(line, width)]


def _ticks(end: float) -> tuple[list[float], list[str]]:
    """Round positions from 0 to the end of an axis, and how they are written."""
    if not end > 0:
        return [0.0], ["0"]
    power = 10.0 ** math.floor(math.log10(end / _MOST_TICKS))
    step = next(power * factor for factor in _STEPS if power * factor * _MOST_TICKS >= end)
    positions = [index * step for index in range(int(end / step + 1e-9) + 1)]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    write = "{:g}" if decimals > 5 or step >= 1e5 else f"{{:.{decimals}f}}"
    return positions, ["0", *(write.format(position) for position in positions[1:])]
