"""The report of ``replay formats``: the log formats that can be read."""

from __future__ import annotations

from replay.report.catalogue import format_rows
from replay.report.document import Block, Document, Paragraph, Records, Table

__all__ = ["build"]


def build() -> Document:
    """List the log formats."""
    rows = format_rows()
    return Document(
        lambda: _blocks(rows),
        lambda: {"formats": rows},
        lambda: Records(("format", "files", "what"), rows),
    )


def _blocks(rows: list[dict[str, str]]) -> list[Block]:
    cells = [[row["format"], row["files"], row["what"]] for row in rows]
    out: list[Block] = [Table(["format", "files", "what it is"], cells, (0, 1, 2), medium="page")]
    for name, files, what in cells:
        out += [
            Paragraph((f"{name}  ({files})",), medium="screen"),
            Paragraph((what,), indent=2, hanging=2, medium="screen", tight=True),
        ]
    closing = "Files are found recursively and recognised by content, whatever their name."
    return [*out, Paragraph((closing,), medium="screen")]
