"""Renderers: a document as text for a terminal, markdown, JSON or CSV."""

from __future__ import annotations

from typing import Literal

from replay.report.document import Document
from replay.report.render import csv, json, markdown, text

__all__ = ["Style", "render"]

#: The styles that `render` knows, as ``--format`` names them; ``text`` and ``table`` are the same.
Style = Literal["text", "table", "markdown", "json", "csv"]

_RENDERERS = {
    "markdown": markdown.render,
    "json": json.render,
    "csv": csv.render,
}


def render(
    document: Document, style: str, *, verbose: bool = True, width: int = text.WIDTH, color: bool = False
) -> str:
    """The document in a style, one of `Style`; ``verbose``, ``width`` and ``color`` are of text only."""
    if style in ("text", "table"):
        return text.render(document, verbose=verbose, width=width, color=color)
    return _RENDERERS[style](document)
