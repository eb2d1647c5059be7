"""The page as one HTML file: a shell, the built script and style, and the data as inert JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["asset", "data_text", "live_policy_text", "message_text", "page_text"]

#: Of a page that is served live: loads it again where there is a newer version of it. It keeps the page where
#: the server does not answer.
_RELOAD = """
const version = document.querySelector('meta[name="version"]').content;
setInterval(async () => {
  if (document.hidden) return;
  const answer = await fetch("version", { cache: "no-store" }).catch(() => null);
  if (answer !== null && answer.ok && (await answer.text()) !== version) location.reload();
}, 1000);
"""

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""

_MESSAGE = (
    _HEAD
    + """<meta name="version" content="{version}">
<link rel="icon" href="data:,">
<title>replay watch</title>
<script>{reload}</script>
</head>
<body>
<main><h1>There is no report yet</h1><p>{message}</p></main>
</body>
</html>
"""
)

_SHELL = (
    _HEAD
    + """<meta name="referrer" content="no-referrer">
{live}<link rel="icon" href="data:,">
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
)


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


def _policy_text(scripts: Sequence[str], style: str, connect: str = "") -> str:
    """The content security policy: scripts and one style by their hashes, and no request but to the page's
    own server, where it has one.
    """
    hashes = " ".join(f"'{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src '{_hash(style)}'; img-src data:;{connect}"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def live_policy_text() -> str:
    """The content security policy of a page that is served live."""
    return _policy_text((asset("page.js"), _RELOAD), asset("page.css"), " connect-src 'self';")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def page_text(data: dict[str, Any], version: str | None = None) -> str:
    """The whole file. With a ``version``, a page that is served live: it loads itself again where its server
    has another version.
    """
    script, style = asset("page.js"), asset("page.css")
    headline = data["answer"]["headline"]
    title = f"{headline['before']}{headline['policy'] or ''}{headline['after']}"
    sentences = " ".join(data["answer"]["sentences"])
    live = ""
    policy = _policy_text((script,), style)
    if version is not None:
        policy = live_policy_text()
        live = f'<meta name="version" content="{escape(version)}">\n<script>{_RELOAD}</script>\n'
    return _SHELL.format(
        policy=escape(policy),
        title=escape(title),
        live=live,
        style=style,
        script=script,
        data=data_text(data),
        noscript=escape(f"{title} {sentences} The charts and tables of this page need JavaScript."),
    )


def message_text(message: str, version: str) -> str:
    """The page that is served live while there is no report; it says why."""
    return _MESSAGE.format(
        policy=escape(live_policy_text()),
        version=escape(version),
        reload=_RELOAD,
        message=escape(message),
    )
