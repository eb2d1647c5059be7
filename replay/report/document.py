"""Document: what a report says, without how it looks.

Each command has a builder that makes a `Document` of its results. `replay.report.render` turns the document
into text, markdown, JSON or CSV. Builders read the results and never wrap, align or escape; renderers lay
out and escape and never read results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = [
    "Block",
    "Chart",
    "Code",
    "Commands",
    "Detail",
    "Document",
    "Entry",
    "Findings",
    "Heading",
    "List",
    "Medium",
    "Mono",
    "Notes",
    "Paragraph",
    "Records",
    "Series",
    "Strong",
    "Table",
    "Words",
    "parts",
    "separate",
]

#: Where a block is shown: on the ``screen`` of a terminal, which is small, or on a ``page`` (markdown, HTML).
Medium = Literal["screen", "page"]
#: How much a screen shows of a report: the ``brief`` form, or the ``verbose`` one. A page is verbose.
Detail = Literal["brief", "verbose"]


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True)
class Mono:
    """Words in a typewriter face: what is typed, or stands in a file."""

    text: str


#: A piece of text, plain or with parts that look different.
Words = str | tuple[str | Strong | Mono, ...]


def parts(words: Words) -> tuple[str | Strong | Mono, ...]:
    """The parts of a piece of text."""
    return (words,) if isinstance(words, str) else words


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a document.

    ``medium`` is the only medium that shows the block (None: both do), and ``detail`` the only form of the
    report that has it (None: both have it). A ``tight`` block follows the block before without a blank line
    on the screen.
    """

    medium: Medium | None = None
    detail: Detail | None = None
    tight: bool = False


@dataclass(frozen=True)
class Heading(Block):
    """A heading; level 1 is the highest."""

    words: Words
    level: int = 2


@dataclass(frozen=True)
class Paragraph(Block):
    """Sentences, each on a line of its own.

    On the screen, a line begins at column ``indent`` and continues ``hanging`` columns further to the right.
    """

    lines: Sequence[Words]
    indent: int = 0
    hanging: int = 0
    #: Whether it is the answer to the question that the command asks.
    answer: bool = False


@dataclass(frozen=True)
class Notes(Block):
    """What a reader should know about the figures, most important first, each as one or more sentences.

    The brief form on a screen shows the first three, or fewer if there is no room, and counts the others.
    """

    texts: Sequence[str]


@dataclass(frozen=True)
class List(Block):
    """A list with one item per entry."""

    items: Sequence[Words]


@dataclass(frozen=True)
class Table(Block):
    """A table with a head and rows of the same length.

    Columns in ``left`` are flush left, the others flush right. ``notes`` holds, by row index, a line that the
    screen shows before the row, or behind the last one. On the screen the table begins at column ``indent``.
    Where ``fewest`` is given, rows stand in the order in which they matter: the brief form shows as many as
    there is room for, but not fewer than this, and counts the others.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)
    notes: Mapping[int, str] = field(default_factory=dict)
    indent: int = 0
    fewest: int | None = None


@dataclass(frozen=True)
class Series:
    """Points of a chart that share a mark (one character) and a colour; ``label`` is empty where the reader
    needs no name for them.

    A line is a series of many points; later series are drawn over earlier ones.
    """

    mark: str
    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = "default"


@dataclass(frozen=True)
class Chart(Block):
    """Points in a plane, in characters.

    ``across`` and ``up`` name the axes. The axes go from 0 to ``right`` and ``top``; points beyond them are
    not shown, and ``note`` says so below the chart.
    """

    series: Sequence[Series]
    across: str
    up: str
    right: float
    top: float
    note: str = ""


@dataclass(frozen=True)
class Code(Block):
    """Lines to copy, shown as they are; on the screen at column ``indent``.

    ``language`` is what a page may highlight or draw them by.
    """

    text: str
    indent: int = 0
    language: str = ""


@dataclass(frozen=True)
class Commands(Block):
    """Commands to run next, each as a list of words."""

    steps: Sequence[Sequence[str]]


class Entry(NamedTuple):
    """A finding in words: its severity, one sentence without a full stop, and what belongs to it by label."""

    severity: str
    text: str
    details: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Findings(Block):
    """Findings, in the order in which they matter.

    The brief form on a screen shows the first three, or fewer if there is no room, and counts the others.
    """

    entries: Sequence[Entry]


class Records(NamedTuple):
    """The table of a document for spreadsheets: column names, and rows by column name."""

    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]


def _nothing() -> Any:
    return None


def _no_records() -> Records:
    return Records((), ())


@dataclass(frozen=True)
class Document:
    """A report in its three forms: ``blocks`` for people, ``data`` for JSON, and ``records`` for CSV.

    Each is a function without arguments, so that only the form that is asked for is made.
    """

    blocks: Callable[[], Sequence[Block]]
    data: Callable[[], Any] = _nothing
    records: Callable[[], Records] = _no_records


def separate(
    texts: Iterable[Words],
    *,
    tight: bool = False,
    medium: Medium | None = None,
    detail: Detail | None = None,
    answer: bool = False,
) -> list[Block]:
    """One paragraph per text; the screen shows them without blank lines between."""
    return [
        Paragraph((text,), tight=tight or index > 0, medium=medium, detail=detail, answer=answer)
        for index, text in enumerate(texts)
    ]
