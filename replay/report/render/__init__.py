"""Renderers: a document as text for a terminal, markdown, JSON or CSV."""

from __future__ import annotations

from typing import Literal

from replay.report.document import Document
from replay.report.render import csv, json, markdown, text

__all__ = ["Style", "render"]

#: The styles that `render` knows, as ``--format`` names them; ``text`` and ``table`` are the same.
Style = Literal["text", "table", "markdown", "json", "csv"]

_RENDERERS = {
    "text": text.render,
    "table": text.render,
    "markdown": markdown.render,
    "json": json.render,
    "csv": csv.render,
}


def render(document: Document, style: str) -> str:
    """The document in a style, one of `Style`."""
    return _RENDERERS[style](document)
