"""Shows frames of ``replay watch``: on the screen of a terminal, or as text where it goes elsewhere."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from replay.cli.output import safe_text, text_width
from replay.errors import InputError

if TYPE_CHECKING:
    from replay.report.watch import Frame

__all__ = ["Show", "clock", "is_screen", "open_screen", "require_rich", "takes_bars"]

#: Shows a frame. Called with the frame and a line of the command's own.
Show = Callable[["Frame", str], None]


def require_rich() -> None:
    """Raise InputError where rich is not installed."""
    try:
        import rich.live  # noqa: F401
    except ImportError:
        raise InputError(
            "replay watch draws its screen with rich, which is not installed. Install it with: pip install"
            " 'stop-replay[watch]'. Without it, --once prints one frame"
        ) from None


def is_screen() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def takes_bars() -> bool:
    """Whether standard output has the characters of which curves are drawn."""
    try:
        "▁█".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def open_screen() -> Iterator[Show]:
    """A function that shows a frame: it redraws the screen, or prints the frame where it has changed.

    When a screen is closed, the last frame is printed, so that it stays.
    """
    with _ended_by_signals():
        if not is_screen():
            yield _print_changes()
            return
        require_rich()
        last: list[Frame] = []
        try:
            with _screen(last) as show:
                yield show
        finally:
            if last:
                click.echo(_text(last[0], color=_has_color()), nl=False)


@contextmanager
def _screen(last: list[Frame]) -> Iterator[Show]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:

        def show(frame: Frame, line: str) -> None:
            last[:] = [frame]
            width, height = console.size
            lines = _fitting(frame, width, height - 1)
            lines += [""] * (height - 1 - len(lines))
            text = Text.from_ansi("\n".join([*lines, line[: width - 1]]))
            text.no_wrap, text.overflow = True, "crop"
            live.update(text, refresh=True)

        yield show


def _fitting(frame: Frame, width: int, height: int) -> list[str]:
    """The lines of as many runs as fit."""
    most = min(len(frame.states), height)
    while True:
        lines = _text(frame, width=width, most=most, color=_has_color()).splitlines()
        if len(lines) <= height or most == 0:
            return lines[:height]
        most -= max(1, min((len(lines) - height) // 4, most - 1))


def _text(frame: Frame, *, width: int | None = None, most: int | None = None, color: bool = False) -> str:
    from replay.report.render import render
    from replay.report.watch import build

    width = text_width() if width is None else width
    document = build(frame, width=width, most=most, ascii=not takes_bars())
    return render(document, "table", verbose=False, width=width, color=color)


def _has_color() -> bool:
    return is_screen() and not os.environ.get("NO_COLOR")


def _print_changes() -> Show:
    printed: list[str] = []

    def show(frame: Frame, line: str) -> None:
        text = _text(frame)
        if printed and text == printed[0]:
            return
        click.echo(safe_text(("\n" if printed else "") + text), nl=False)
        sys.stdout.flush()
        printed[:] = [text]

    return show


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the signals that end a program close the screen first."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    for name in names:
        try:
            before[name] = signal.signal(getattr(signal, name), end)
        except ValueError:  # not in the main thread
            continue
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def clock() -> str:
    """The time of day."""
    return time.strftime("%H:%M:%S")
