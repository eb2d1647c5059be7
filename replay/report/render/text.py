"""A document as text for a terminal: aligned tables and wrapped lines."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from replay.errors import printable
from replay.report.document import (
    Block,
    Chart,
    Code,
    Commands,
    Document,
    Entry,
    Findings,
    Heading,
    List,
    Notes,
    Paragraph,
    Table,
    Words,
    parts,
)
from replay.report.render.chart import draw

__all__ = ["WIDTH", "command", "height", "lines", "render", "suggested", "wrapped"]

WIDTH = 80
#: Lines of the brief form, unless its tables alone are longer.
HEIGHT = 24
#: Notes and findings of the brief form.
MOST_NOTES = 3
_BOLD, _DIM, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"


def render(document: Document, *, verbose: bool = True, width: int = WIDTH, color: bool = False) -> str:
    """The blocks of a screen as text of at most ``width`` columns.

    The brief form (not ``verbose``) shows at most three notes or findings, and says how many more there are.
    """
    return "\n".join(_Screen(verbose, width, color).lay_out(document.blocks())) + "\n"


def height(blocks: Iterable[Block]) -> int:
    """How many lines the blocks take."""
    return len(_Screen(True, WIDTH, False).lay_out(blocks))


@dataclass
class _Screen:
    """Lays out the blocks of a report for a terminal."""

    verbose: bool
    width: int
    color: bool

    def lay_out(self, blocks: Iterable[Block]) -> list[str]:
        screen = [block for block in blocks if block.medium != "page"]
        shown = [block for block in screen if block.detail != ("brief" if self.verbose else "verbose")]
        if self.verbose:
            return self._join(shown)
        details = any(block.detail == "verbose" for block in screen)
        charts = sum(len(self._lines_of(block)) + 1 for block in shown if isinstance(block, Chart))
        notes = min(MOST_NOTES, sum(map(_count_notes, shown)))
        rows = HEIGHT  # more rows never fit
        while True:
            cut = _shortened(shown, notes, rows)
            out = self._join(cut, _say_more(shown, cut, details))
            over = len(out) - HEIGHT - charts
            if over <= 0:
                return out
            longest = max(map(_count_spare, cut), default=0)
            if longest:
                # a row may take several lines
                rows = max(map(_count_rows, cut)) - max(1, min(longest, over // 2))
            elif notes > sum(isinstance(block, Findings) for block in shown):
                notes, rows = notes - 1, HEIGHT
            else:
                return out

    def _join(self, blocks: Iterable[Block], more: str = "") -> list[str]:
        out: list[str] = []
        for block in blocks:
            lines = self._lines_of(block)
            if more and isinstance(block, Commands):
                lines, more = [*wrapped(more, width=self.width), *lines], ""
            if lines:
                out += ["", *lines] if out and not block.tight else lines
        return [*out, "", *wrapped(more, width=self.width)] if more else out

    def _lines_of(self, block: Block) -> list[str]:
        match block:
            case Heading():
                return [self._style(line, _BOLD) for line in self._wrapped(block.words)]
            case Paragraph():
                return [
                    self._style(line, _BOLD) if block.answer else line
                    for words in block.lines
                    for line in self._wrapped(words, indent=block.indent, hanging=block.hanging)
                ]
            case Notes():
                return [
                    self._style("!", _YELLOW) + line[1:] if line.startswith("! ") else line
                    for text in block.texts
                    for line in self._wrapped(f"! {text}", hanging=2)
                ]
            case List():
                return [
                    line for item in block.items for line in self._wrapped(f"- {_plain(item)}", hanging=2)
                ]
            case Table():
                return self._table(block)
            case Chart():
                return draw(block, width=self.width, color=self.color)
            case Code():
                return [" " * block.indent + printable(line) for line in block.text.splitlines()]
            case Commands():
                return suggested(block.steps, width=self.width)
            case Findings():
                return [
                    line
                    for entry in block.entries
                    for line in (
                        *self._wrapped(f"{entry.severity}: {entry.text}.", hanging=2),
                        *(
                            line
                            for label, text in entry.details
                            for line in self._wrapped(f"{label + ':':<7} {text}", indent=4, hanging=8)
                        ),
                    )
                ]
        raise TypeError(f"text cannot show a {type(block).__name__}")

    def _wrapped(self, words: Words, *, indent: int = 0, hanging: int = 0) -> list[str]:
        return wrapped(_plain(words), indent=indent, hanging=hanging, width=self.width)

    def _table(self, table: Table) -> list[str]:
        width = self.width - table.indent
        out = lines(table.head, table.rows, left=table.left, width=width, notes=table.notes)
        if out:
            out[0] = self._style(out[0], _DIM)
        return [" " * table.indent + line if line else line for line in out]

    def _style(self, line: str, style: str) -> str:
        return f"{style}{line}{_PLAIN}" if self.color and line else line


def _count_notes(block: Block) -> int:
    return len(block.texts) if isinstance(block, Notes) else len(_entries(block))


def _entries(block: Block) -> Sequence[Entry]:
    return block.entries if isinstance(block, Findings) else ()


def _count_rows(block: Block) -> int:
    """The rows of a table that may be cut."""
    return len(block.rows) if isinstance(block, Table) and block.fewest is not None else 0


def _count_spare(block: Block) -> int:
    """The rows that a table can do without."""
    if not isinstance(block, Table) or block.fewest is None:
        return 0
    return max(len(block.rows) - block.fewest, 0)


def _shortened(blocks: Sequence[Block], notes: int, rows: int) -> list[Block]:
    """The blocks with no more notes and findings than ``notes`` in all, and no more than so many rows in each
    table that may be cut.
    """
    out = []
    for block in blocks:
        if isinstance(block, Notes):
            block = replace(block, texts=block.texts[:notes])
        elif isinstance(block, Findings):
            block = replace(block, entries=block.entries[:notes])
        elif isinstance(block, Table) and block.fewest is not None:
            block = replace(block, rows=block.rows[: max(rows, block.fewest)])
        notes -= _count_notes(block)
        out.append(block)
    return out


def _say_more(blocks: Sequence[Block], shown: Sequence[Block], details: bool) -> str:
    """What ``--verbose`` shows beside this; empty where that is nothing."""
    said: list[str] = []
    for noun, count in (("row", _count_rows), ("finding", _count_findings), ("note", _count_texts)):
        hidden = sum(map(count, blocks)) - sum(map(count, shown))
        if hidden:
            said.append(f"{hidden}{'' if said else ' more'} {noun}{'s' * (hidden != 1)}")
    if details:
        said.append("details" if said else "Details")
    if not said:
        return ""
    *first, last = said
    return f"{', '.join(first)} and {last} with --verbose." if first else f"{last} with --verbose."


def _count_findings(block: Block) -> int:
    return len(_entries(block))


def _count_texts(block: Block) -> int:
    return len(block.texts) if isinstance(block, Notes) else 0


def _plain(words: Words) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts(words))


def lines(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[int] = (0,),
    width: int = WIDTH,
    notes: Mapping[int, str] | None = None,
) -> list[str]:
    """An aligned table, at most ``width`` columns wide.

    Columns in ``left`` are flush left, the others flush right. Where a row is too wide, its first cell gets a
    line of its own, and the last cell is wrapped under itself. Where even the other cells are too wide, each
    cell gets a line of its own, behind the name of its column. ``notes`` holds, by row index, a line to put
    before the row, or after the last one.
    """
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    sizes = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rest = sum(sizes[1:]) + 2 * (len(head) - 1)
    least = sum(sizes[1:-1]) + min(sizes[-1], 12) + 2 * (len(head) - 1)
    if len(head) > 2 and least + len(head[0]) > width:
        return _stacked(cells[0], cells[1:], width, notes or {})
    if sizes[0] + rest > width:
        sizes[0] = max(len(head[0]), min(sizes[0], width - rest))
    last = max(width - sum(sizes[:-1]) - 2 * (len(head) - 1), 12)
    out = []
    for index, row in enumerate(cells, start=-1):
        if notes and index in notes:
            out.append(printable(notes[index]))
        first, *others = row
        if len(first) > sizes[0]:
            out.append(first if len(first) <= width else first[: width - 1] + "~")
            first = ""
        tail = textwrap.wrap(others[-1], last) or [""] if others and len(head) - 1 in left else others[-1:]
        shown = [first, *others[:-1], tail[0]] if others else [first]
        out.append(
            "  ".join(
                _aligned(cell, size, column in left)
                for column, (cell, size) in enumerate(zip(shown, sizes, strict=True))
            ).rstrip()
        )
        out += [" " * (sum(sizes[:-1]) + 2 * (len(head) - 1)) + more for more in tail[1:]]
    return out + _note((notes or {}).get(len(rows), ""), width)


def _stacked(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, notes: Mapping[int, str]
) -> list[str]:
    """A table for a narrow terminal: one line per cell, behind the name of its column."""
    names = [max(len(name) for name in head[1:])] * (len(head) - 1)
    out = []
    for index, row in enumerate(rows):
        if index in notes:
            out.append(printable(notes[index]))
        marks = "".join(f" {cell}" for name, cell in zip(head[1:], row[1:], strict=True) if cell and not name)
        first = row[0] + marks  # a cell of a column without a name
        out.append(first if len(first) <= width else first[: width - 1] + "~")
        out += [
            f"  {name.ljust(size)}  {cell}"[:width].rstrip()
            for name, cell, size in zip(head[1:], row[1:], names, strict=True)
            if cell and name
        ]
    return out + _note(notes.get(len(rows), ""), width)


def _note(text: str, width: int) -> list[str]:
    """A line between rows, on several lines where it is too long."""
    return [text] if text and len(text) <= width else textwrap.wrap(text, width)


def _aligned(cell: str, size: int, left: bool) -> str:
    return cell.ljust(size) if left else cell.rjust(size)


def wrapped(text: str, *, indent: int = 0, hanging: int = 0, width: int = WIDTH) -> list[str]:
    """Text as lines of at most ``width`` columns.

    The first line begins at column ``indent``, the others ``hanging`` columns further to the right.
    """
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_on_hyphens=False,
    ) or [""]


def command(words: Sequence[str], *, before: str = "", width: int = WIDTH) -> list[str]:
    """A shell command to paste, broken before options where a line is too long, and elsewhere between words
    where that is not enough; ``before`` opens its first line.
    """
    quoted = [shlex.quote(word) for word in words]
    if len(before) + len(" ".join(quoted)) <= width:
        return [printable(before + " ".join(quoted))]
    pieces: list[list[str]] = []  # an option and its value stay together
    for word in quoted:
        if word.startswith("--") or not pieces:
            pieces.append([word])
        else:
            pieces[-1].append(word)
    indent = len(before) + 2
    out: list[str] = []
    for piece in _fitting(pieces, width - indent - 2):
        if not out:
            out.append(before + piece)
        elif len(out[-1]) + 1 + len(piece) + 2 <= width:
            out[-1] += f" {piece}"
        else:
            out[-1] += " \\"
            out.append(" " * indent + piece)
    return [printable(line) for line in out]


def _fitting(pieces: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """The pieces of a command as text; word by word where a piece is too long for a line."""
    for index, piece in enumerate(pieces):
        text = " ".join(piece)
        if len(text) <= width + (0 if index else 2):  # the first line is not indented as far
            yield text
            continue
        whole = 1 if index else 2  # the name of the program and that of its command stay together
        yield " ".join(piece[:whole])
        yield from piece[whole:]


def suggested(steps: Iterable[Sequence[str]], width: int = WIDTH) -> list[str]:
    """The commands to run next, one below the other."""
    return [
        line
        for index, words in enumerate(steps)
        for line in command(words, before="      " if index else "Next: ", width=width)
    ]
