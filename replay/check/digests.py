"""Digests of logs by what they say, so that a checkout with other line ends is the same log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from replay.errors import InputError

__all__ = ["digest", "digest_of_runs", "digests_with_other_ends"]

_BLOCK = 1 << 20


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits; the line ends of a text count as line feeds.

    Git and editors change line ends, and a log with other ones is the same log. A file with a zero byte is
    not a text, as in git.
    """
    return _digest(path, b"\n")


def digests_with_other_ends(path: Path) -> frozenset[str]:
    """The digests of a file's bytes as they are, and of the same text with either kind of line end."""
    return frozenset(_digest(path, end) for end in (None, b"\n", b"\r\n"))


def _digest(path: Path, end: bytes | None) -> str:
    try:
        with path.open("rb") as file:
            if end is None or any(b"\0" in block for block in iter(lambda: file.read(_BLOCK), b"")):
                file.seek(0)
                return hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            made = hashlib.sha256()
            for block in iter(lambda: file.read(_BLOCK), b""):
                while block.endswith(b"\r") and (more := file.read(1)):
                    block += more
                text = block.replace(b"\r\n", b"\n")
                made.update(text if end == b"\n" else text.replace(b"\n", end))
            return made.hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def digest_of_runs(digests: Iterable[bytes]) -> str:
    """A digest of several runs, each given by its `replay.data.digest.digest_of_run`, in any order."""
    made = hashlib.sha256()
    for one in sorted(digests):
        made.update(one)
    return made.hexdigest()[:32]
