"""The report of ``replay formats``: the log formats that can be read, and what of them is not read."""

from __future__ import annotations

from itertools import zip_longest

from replay.errors import InputError, suggestion
from replay.readers.precedence import PRECEDENCE
from replay.report.catalogue import format_rows
from replay.report.document import (
    Block,
    Commands,
    Detail,
    Document,
    Heading,
    List,
    Mono,
    Paragraph,
    Records,
    Table,
    Words,
)

__all__ = ["build", "build_page"]

_COLUMNS = ("format", "files", "what", "limits", "tested_on")


_SAME_RUN = (
    "Two logs are of one run where their values agree at the same steps, or at the same epochs where one of"
    " them has no steps. Terminal output that W&B, Sacred or SwanLab keeps beside a run is another log of"
    " that run, unless it shows more evals. A text of several trainings is kept whole beside a JSON history"
    " that holds only some of them, where its rounding moves no best value."
)


def build(name: str | None = None) -> Document:
    """List the log formats, or show one of them by its name.

    Raises InputError for a name that no format has.
    """
    rows = format_rows()
    if name is not None:
        known = [row["format"] for row in rows]
        if name not in known:
            raise InputError(f"no format {name!r}; there are {suggestion(name, known)}")
        rows = [row for row in rows if row["format"] == name]
    return Document(
        lambda: _blocks(rows, is_list=name is None),
        lambda: {"formats": rows},
        lambda: Records(_COLUMNS, rows),
    )


def _blocks(rows: list[dict[str, str]], *, is_list: bool) -> list[Block]:
    cells = [[row["format"], row["files"], row["what"]] for row in rows]
    out: list[Block] = [Table(["format", "files", "what it is"], cells, (0, 1, 2), medium="page")]
    detail: Detail | None = "verbose" if is_list else None
    for row in rows:
        lines = [_sentence(row["what"])]
        if row["limits"]:
            lines.append(f"Limits: {_sentence(row['limits'])}")
        if row["tested_on"] and not is_list:
            lines.append(f"Tested on: {_sentence(row['tested_on'])}")
        out += [
            Paragraph((f"{row['format']}  ({row['files']})",), medium="screen", detail=detail),
            Paragraph(lines, indent=2, hanging=2, medium="screen", tight=True, detail=detail),
        ]
    if not is_list:
        return [*out, Commands([["replay", "inspect", "LOGS"]], medium="screen")]
    out.append(_brief_table(rows))
    closing = (
        "Files are found recursively and recognised by content, whatever their name. Any other table (CSV,"
        " TSV, JSON, JSON lines, Parquet) is read where you say which column is what: --step COLUMN --metric"
        " COLUMN."
    )
    step = ["replay", "formats", rows[0]["format"]]
    return [
        *out,
        Paragraph((closing,), medium="screen"),
        Commands([step], medium="screen", detail="brief"),
    ]


def _brief_table(rows: list[dict[str, str]]) -> Table:
    """The formats with the names of their files, two in a row."""
    cells = [(row["format"], _first_file(row["files"])) for row in rows]
    half = -(-len(cells) // 2)
    pairs = zip_longest(cells[:half], cells[half:], fillvalue=("", ""))
    return Table(
        ["format", "files", "format", "files"],
        [[*left, *right] for left, right in pairs],
        (0, 1, 2, 3),
        medium="screen",
        detail="brief",
    )


def _first_file(files: str) -> str:
    first, *others = files.split(", ")
    name = first.rsplit("/", 1)[-1]
    return f"{name}, …" if others else name


def build_page() -> Document:
    """The formats one by one, with what is read, what is not, and what each was tested on; then which of the
    logs of one run is kept.
    """
    rows = format_rows()
    return Document(lambda: _page(rows), lambda: {"formats": rows}, lambda: Records(_COLUMNS, rows))


def _page(rows: list[dict[str, str]]) -> list[Block]:
    out: list[Block] = []
    for row in rows:
        files = [part for name in row["files"].split(", ") for part in (", ", Mono(name))][1:]
        facts: list[Words] = [("Files: ", *files), f"Read: {_sentence(row['what'])}"]
        if row["limits"]:
            facts.append(f"Not read, or not known: {_sentence(row['limits'])}")
        if row["tested_on"]:
            facts.append(f"Tested on: {_sentence(row['tested_on'])}")
        out += [Heading(row["format"]), List(facts)]
    out += [
        Heading("Several logs of one run"),
        Paragraph(("A run counts once. Of its logs, this one is kept; the others add what only they know:",)),
        Paragraph([f"{at}. {_sentence(criterion.text)}" for at, criterion in enumerate(PRECEDENCE, 1)]),
        Paragraph((_SAME_RUN,)),
    ]
    return out


def _sentence(text: str) -> str:
    """A text of the table as a sentence."""
    first = text.split(" ", 1)[0]
    return (text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text).rstrip(".") + "."
