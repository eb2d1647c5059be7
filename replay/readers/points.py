"""Points: the logged values of one name in the order in which they arrived, and how text becomes numbers."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

__all__ = ["Points", "PointsBuilder", "number", "open_text", "round_interval", "unzip_head"]

_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_DIGITS = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
#: How str() shows a number of torch, numpy or jax.
_WRAPPED = re.compile(r"(?:\w+\.)?(?:tensor|array|float\d+|int\d+)\(\s*([^\s,()\[\]]+)\s*(?:,[^()]*)?\)")


def number(value: Any) -> float | None:
    """A logged number, also where it was written as text (``"0.51"``, ``"tensor(0.51)"``, ``"NaN"``); null,
    booleans and other text are none (None).
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        wrapped = _WRAPPED.fullmatch(value.strip())
        text = (wrapped[1] if wrapped else value).strip().lower()
        if _DIGITS.fullmatch(text):
            return float(text)
        word = _WORDS.get(text.lstrip("+-"))
        return None if word is None else -word if text.startswith("-") else word
    return None


_GZIP = b"\x1f\x8b"


def unzip_head(head: bytes) -> bytes:
    """The first bytes of a file, at most as many as given, decompressed where it is a gzip file."""
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head, max(len(head), 64 * 1024))
    except zlib.error:
        return b""


class _Unzipped(io.RawIOBase):
    """The content of a gzip file, whose damage is an OSError however it shows."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return self._file.readinto(buffer)
        except (EOFError, zlib.error) as error:
            raise gzip.BadGzipFile(str(error)) from None

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(path: Path) -> TextIO:
    """The file as text, decompressed where it is a gzip file: UTF-8 unless a byte order mark says UTF-16;
    bytes that are not text become U+FFFD. Raises OSError, also when a damaged gzip file is read.
    """
    with path.open("rb") as raw:
        if raw.read(2) == _GZIP:
            unzipped = io.BufferedReader(_Unzipped(path))
            return io.TextIOWrapper(unzipped, encoding="utf-8-sig", errors="replace", newline="")
    with path.open("rb") as raw:
        mark = raw.read(2)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.open(encoding=encoding, errors="replace", newline="")


def round_interval(steps: float) -> int:
    """An interval of 1, 2 or 5 times a power of ten that gives about 20 evals over ``steps``: for hints."""
    wanted = max(steps / 20, 1.0)
    power = 10 ** math.floor(math.log10(wanted))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= wanted))


class Points(NamedTuple):
    """One logged name: arrival order within the source (shared by all its names), step and value of every
    point.
    """

    order: npt.NDArray[np.int64]
    step: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]

    def at(self, which: slice | npt.NDArray[np.bool_]) -> Points:
        """Some of the points."""
        return Points(self.order[which], self.step[which], self.value[which])


class PointsBuilder:
    """Collects points row by row, for sources that are read as rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._points: dict[str, tuple[list[int], list[float], list[float]]] = {}
        self._parts: dict[str, set[str]] = {}

    def add(self, step: float, values: Mapping[str, float]) -> None:
        """Add one row; all its names get the same position in the arrival order."""
        self._rows += 1
        for name, value in values.items():
            orders, steps, column = self._points.setdefault(name, ([], [], []))
            orders.append(self._rows)
            steps.append(step)
            column.append(value)

    def add_parts(self, step: float, name: str, parts: Mapping[str, float]) -> None:
        """Add to the sum of what rows of one step log in parts: the runtimes of several eval sets. A part
        counts once per step.
        """
        orders, steps, column = self._points.setdefault(name, ([], [], []))
        seen = self._parts.setdefault(name, set())
        if not steps or steps[-1] != step:
            seen.clear()
            orders.append(self._rows)
            steps.append(step)
            column.append(0.0)
        for part in parts.keys() - seen:
            column[-1] += parts[part]
        seen.update(parts)

    @property
    def row(self) -> int:
        """Place in the arrival order of the last row."""
        return self._rows

    def points(self) -> dict[str, Points]:
        """The points of every name, in arrival order."""
        return {
            name: Points(
                np.array(orders, dtype=np.int64),
                np.array(steps, dtype=np.float64),
                np.array(values, dtype=np.float64),
            )
            for name, (orders, steps, values) in self._points.items()
        }


def finite_points(series: Points) -> Points:
    good = np.isfinite(series.step)
    return series if good.all() else series.at(good)
