"""Names that a server gives, as parts of a local path that cannot lead out of a folder."""

from __future__ import annotations

import re

__all__ = ["as_name", "safe_name"]

#: A drive, or a stream of a file on Windows, and characters that no system or terminal takes as a name.
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST = 200


def safe_name(name: str) -> bool:
    """Whether a name is that of one file or folder in any folder, whatever the system."""
    return (
        len(name) > 0
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
        and name not in (".", "..")
        and not set(name) & {"/", "\\"}
        and not _DRIVE.match(name)
        and all(char.isprintable() for char in name)
    )


def as_name(text: str, otherwise: str) -> str:
    """A text as the name of a folder, with what no name may hold replaced."""
    name = "".join(char if char.isprintable() and char not in '/\\:*?"<>|' else "_" for char in text)
    name = name.strip(". ")[: _LONGEST // 4]
    return name if safe_name(name) else otherwise
