"""Digests of logs by what they say, so that a checkout with other line ends is the same log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.data.types import Floats
from replay.errors import InputError

__all__ = ["digest", "digest_of_runs", "digests_with_other_ends"]

_BLOCK = 1 << 20
#: What a log says of a run beside its curves that changes what a check makes of it.
_FACTS = (
    "modes",
    "contradicted_modes",
    "monitor",
    "planned_steps",
    "planned_epochs",
    "trained_steps",
    "trained_tokens",
    "trained_flops",
    "trained_seconds",
    "step_unit",
    "group",
    "model",
    "dataset",
    "hyperparameters",
    "devices",
    "stopped_by",
    "reference",
    "complete",
    "resumes",
)


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
    """A digest of several runs, each given by its `digest_of_run`, in any order."""
    made = hashlib.sha256()
    for one in sorted(digests):
        made.update(one)
    return made.hexdigest()[:32]


def digest_of_run(run: Run) -> bytes:
    """A digest of all that the policies of a check could see of a run, whatever its id.

    It is the same for a log that was written anew with other spaces, line ends or an empty line more.
    """
    made = hashlib.sha256()
    for name, (values, present) in sorted(run.columns.items()):
        _add(made, "column", name)
        made.update(np.packbits(present).tobytes())
        made.update(_bytes(np.where(present, values, 0.0)))
    for name, (steps, values) in sorted(run.train.items()):
        _add(made, "series", name)
        made.update(_bytes(steps))
        made.update(_bytes(values))
    for name in _FACTS:
        _add(made, name, _plain(getattr(run.info, name)))
    return made.digest()


def _add(made: Any, *words: Any) -> None:
    made.update(json.dumps(words, sort_keys=True, default=str).encode("utf-8", "surrogatepass") + b"\n")


def _bytes(values: Floats) -> bytes:
    """The bytes of numbers, with one NaN and one zero, in the same order on every machine."""
    plain = np.where(np.isnan(values), np.nan, values) + 0.0
    return len(plain).to_bytes(8, "little") + plain.astype("<f8").tobytes()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
