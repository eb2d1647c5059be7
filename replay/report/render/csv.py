"""A document as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replay.report.document import Document

__all__ = ["csv_text", "render"]


def render(document: Document) -> str:
    """The records of the document."""
    records = document.records()
    return csv_text(records.rows, records.columns)


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """CSV with a header; numbers have full precision, and what is unknown is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [
                "" if row[name] is None else repr(row[name]) if isinstance(row[name], float) else row[name]
                for name in columns
            ]
        )
    return buffer.getvalue()
