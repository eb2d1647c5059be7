"""The page of findings: every kind with what it means, what it does to the results, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Kind, Severity
from replay.report.document import Block, Document, Heading, Mono, Paragraph, Records
from replay.report.sentences.check_kinds import CHECK_KINDS, usual_severity
from replay.report.sentences.meanings import MEANINGS, SEVERITIES

__all__ = ["build_page"]

_CHECKS = "What `replay check` finds"
_COLUMNS = ("kind", "section", "severity", "found", "effect", "advice")


def build_page() -> Document:
    """All kinds of findings, by section."""
    rows = _rows()
    return Document(lambda: _blocks(rows), lambda: {"kinds": rows}, lambda: Records(_COLUMNS, rows))


def _rows() -> list[dict[str, Any]]:
    rows = [
        _row(kind, section, SEVERITIES.get(kind, str(Severity.WARNING)), *meaning)
        for section, kinds in MEANINGS.items()
        for kind, meaning in kinds.items()
    ]
    rows += [_row(Kind(kind), _CHECKS, usual_severity(kind), text.help) for kind, text in CHECK_KINDS.items()]
    return rows


def _row(
    kind: Kind, section: str, severity: str, found: str, effect: str = "", advice: str = ""
) -> dict[str, Any]:
    return dict(zip(_COLUMNS, (str(kind), section, severity, found, effect, advice), strict=True))


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    out: list[Block] = []
    for index, row in enumerate(rows):
        if not index or row["section"] != rows[index - 1]["section"]:
            out.append(Heading(row["section"]))
        out.append(Heading((Mono(row["kind"]),), level=3))
        texts = [row["found"], row["effect"], row["advice"], f"Severity: {row['severity']}."]
        out.append(Paragraph([" ".join(text for text in texts if text)]))
    return out
