"""The page as one HTML file: a shell, the built script and style, and the data as inert JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["asset", "data_text", "page_text"]

_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript><p>{noscript}</p></noscript>
<div id="page"></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


@cache
def asset(name: str) -> str:
    """A built asset of the page: ``page.js`` or ``page.css``."""
    text = (files("replay.report.page") / "assets" / name).read_text(encoding="utf-8")
    for forbidden in ("\r", "\0", "</script", "</style", "<!--"):
        assert forbidden not in text, (
            f"{name} holds {forbidden!r}, which would end its block or change its hash"
        )
    return text


def data_text(data: Any) -> str:
    """Data as JSON that no HTML parser sees markup in, in ASCII."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy_text(script: str, style: str) -> str:
    """The content security policy: one script and one style by their hashes, and no request at all."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def page_text(data: dict[str, Any]) -> str:
    """The whole file."""
    script, style = asset("page.js"), asset("page.css")
    headline = data["answer"]["headline"]
    title = f"{headline['before']}{headline['policy'] or ''}{headline['after']}"
    sentences = " ".join(data["answer"]["sentences"])
    return _SHELL.format(
        policy=escape(_policy_text(script, style)),
        title=escape(title),
        style=style,
        script=script,
        data=data_text(data),
        noscript=escape(f"{title} {sentences} The charts and tables of this page need JavaScript."),
    )
