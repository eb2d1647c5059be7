"""A document as text for a terminal: aligned tables and wrapped lines of at most 80 columns."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from replay.errors import printable
from replay.report.document import (
    Block,
    Code,
    Commands,
    Document,
    Findings,
    Heading,
    List,
    Paragraph,
    Table,
    Words,
    parts,
)

__all__ = ["WIDTH", "command", "height", "lines", "render", "suggested", "wrapped"]

WIDTH = 80


def render(document: Document) -> str:
    """The blocks of a screen as text."""
    return "\n".join(_laid_out(document.blocks())) + "\n"


def height(blocks: Iterable[Block]) -> int:
    """How many lines the blocks take."""
    return len(_laid_out(blocks))


def _laid_out(blocks: Iterable[Block]) -> list[str]:
    out: list[str] = []
    for block in blocks:
        if block.medium != "page":
            out += ["", *_lines_of(block)] if out and not block.tight else _lines_of(block)
    return out


def _lines_of(block: Block) -> list[str]:
    match block:
        case Heading():
            return wrapped(_plain(block.words))
        case Paragraph():
            return [
                line
                for words in block.lines
                for line in wrapped(_plain(words), indent=block.indent, hanging=block.hanging)
            ]
        case List():
            return [line for item in block.items for line in wrapped(f"- {_plain(item)}", hanging=2)]
        case Table():
            return _table(block)
        case Code():
            return [" " * block.indent + line for line in block.text.splitlines()]
        case Commands():
            return suggested(block.steps)
        case Findings():
            return [
                line
                for entry in block.entries
                for line in (
                    *wrapped(f"{entry.severity}: {entry.text}.", hanging=2),
                    *(
                        line
                        for label, text in entry.details
                        for line in wrapped(f"{label + ':':<7} {text}", indent=4, hanging=8)
                    ),
                )
            ]
    raise TypeError(f"text cannot show a {type(block).__name__}")


def _plain(words: Words) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts(words))


def _table(table: Table) -> list[str]:
    out = lines(table.head, table.rows, left=table.left, width=WIDTH - table.indent, notes=table.notes)
    return [" " * table.indent + line if line else line for line in out]


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
    line of its own, and the last cell is wrapped under itself. ``notes`` holds, by row index, a line to put
    before the row.
    """
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    sizes = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rest = sum(sizes[1:]) + 2 * (len(head) - 1)
    if sizes[0] + rest > width:
        sizes[0] = max(len(head[0]), min(sizes[0], width - rest))
    last = max(width - sum(sizes[:-1]) - 2 * (len(head) - 1), 12)
    out = []
    for index, row in enumerate(cells, start=-1):
        if notes and index in notes:
            out.append(notes[index])
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
    return out


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
    """A shell command to paste, broken before its options where it is too long; ``before`` opens its first
    line.
    """
    quoted = [shlex.quote(word) for word in words]
    if len(before) + len(" ".join(quoted)) <= width:
        return [printable(before + " ".join(quoted))]
    out = [before]
    for word in quoted:
        if word.startswith("--") and out[-1].strip():
            out[-1] += " \\"
            out.append(" " * (len(before) + 2) + word)
        else:
            out[-1] += ("" if out[-1] == before else " ") + word
    return [printable(line) for line in out]


def suggested(steps: Iterable[Sequence[str]]) -> list[str]:
    """The commands to run next, one below the other."""
    return [
        line
        for index, words in enumerate(steps)
        for line in command(words, before="      " if index else "next: ")
    ]
