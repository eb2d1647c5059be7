"""A document as strict JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from replay.report.document import Document

__all__ = ["json_text", "render"]


def render(document: Document) -> str:
    """The data of the document."""
    return json_text(document.data())


def json_text(data: Any) -> str:
    """Strict JSON: NaN and what is unknown are null, an infinity is ``"Infinity"`` or ``"-Infinity"``."""
    text = json.dumps(_strict(data), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    # half of a surrogate pair, as in the name of a file that is not UTF-8, has no encoding but as an escape
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
