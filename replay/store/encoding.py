"""What a log says of a run as JSON, and back exactly: NaN with its bits, tuples, findings and all.

JSON has neither. A value that it cannot say is an object with one key that begins with ``$``; a mapping that
has such a key, or one that is not a text, is a list of pairs under ``$map``.
"""

from __future__ import annotations

import datetime
import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.errors import InputError

__all__ = ["decode", "encode"]

#: Integers with more digits are written in base 16: Python refuses to parse long decimal ones.
_LONG = 10**300
#: Lists in lists beyond this depth are no log.
_DEEPEST = 100


def encode(value: Any) -> str:
    """A value as one line of JSON in ASCII."""
    return json.dumps(_plain(value, 0), separators=(",", ":"), allow_nan=False)


def decode(text: str | bytes) -> Any:
    """The value that `encode` was given. Raises InputError for what it did not write."""
    try:
        return _value(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, struct.error) as error:
        raise InputError(f"not what a store writes: {error}") from None


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise InputError(f"a value of a log is nested in more than {_DEEPEST} levels")
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return value if _is_unicode(value) else {"$utf8": value.encode("utf-8", "surrogatepass").hex()}
    if type(value) is int:
        return value if abs(value) < _LONG else {"$int": hex(value)}
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
    for kind, tag, write in _WRITERS:
        if isinstance(value, kind):
            return {tag: write(value, depth + 1)}
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith("$") and _is_unicode(key) for key in value):
            return {key: _plain(item, depth + 1) for key, item in value.items()}
        pairs = [[_plain(key, depth + 1), _plain(item, depth + 1)] for key, item in value.items()]
        return {"$map": pairs}
    if type(value) is list:
        return _list(value, depth + 1)
    return {"$text": str(value)}  # an error, for example, which is shown by its text alone


def _is_unicode(text: str) -> bool:
    """Whether a text is without halves of surrogate pairs, which JSON would join."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _list(values: Any, depth: int) -> list[Any]:
    return [_plain(item, depth) for item in values]


def _finding(finding: Finding, depth: int) -> list[Any]:
    parts = (finding.kind.value, finding.severity.value, finding.runs, finding.policy, finding.log)
    return _list([*parts, dict(finding.facts)], depth)


def _array(array: np.ndarray, depth: int) -> Any:
    if array.dtype.kind not in "biufcSU":
        return ["list", [], _plain(array.tolist(), depth)]
    return [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes().hex()]


#: What JSON cannot say: its type, its key, and what stands under it. The first type that fits counts.
_WRITERS: tuple[tuple[type | tuple[type, ...], str, Callable[[Any, int], Any]], ...] = (
    (Finding, "$finding", _finding),
    (Kind, "$kind", lambda value, _: value.value),
    (Severity, "$severity", lambda value, _: value.value),
    (tuple, "$tuple", _list),
    ((set, frozenset), "$set", lambda value, depth: _list(sorted(value, key=repr), depth)),
    (bytes, "$bytes", lambda value, _: value.hex()),
    (PurePath, "$path", lambda value, _: str(value)),
    (datetime.datetime, "$datetime", lambda value, _: value.isoformat()),
    (datetime.date, "$date", lambda value, _: value.isoformat()),
    (np.ndarray, "$array", _array),
    (np.generic, "$scalar", lambda value, depth: _array(np.asarray(value), depth)),
    (bool, "$text", lambda value, _: str(value)),
    (int, "$subint", lambda value, _: hex(value)),  # an IntEnum, for example
    (float, "$float", lambda value, _: struct.pack(">d", value).hex()),
    (str, "$text", lambda value, _: str(value)),
)


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1:
        ((tag, inner),) = plain.items()
        if tag.startswith("$"):
            return _READERS[tag](inner)
    return {key: _value(item) for key, item in plain.items()}


def _read_finding(parts: list[Any]) -> Finding:
    kind, severity, runs, policy, log, facts = map(_value, parts)
    return Finding(Kind(kind), Severity(severity), runs, policy, log, facts)


def _read_array(parts: list[Any]) -> Any:
    kind, shape, data = parts
    if kind == "list":
        return np.array(_value(data), dtype=object)
    dtype = np.dtype(str(kind))
    if dtype.kind not in "biufcSU":
        raise ValueError(f"no array of {dtype}")
    return np.frombuffer(bytes.fromhex(data), dtype=dtype).reshape([int(size) for size in shape]).copy()


def _read_float(digits: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(digits))[0]
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "$int": lambda digits: int(digits, 16),
    "$subint": lambda digits: int(digits, 16),
    "$float": _read_float,
    "$finding": _read_finding,
    "$kind": Kind,
    "$severity": Severity,
    "$tuple": lambda items: tuple(map(_value, items)),
    "$set": lambda items: frozenset(map(_value, items)),
    "$utf8": lambda digits: bytes.fromhex(digits).decode("utf-8", "surrogatepass"),
    "$bytes": bytes.fromhex,
    "$path": PurePath,
    "$datetime": datetime.datetime.fromisoformat,
    "$date": datetime.date.fromisoformat,
    "$array": _read_array,
    "$scalar": lambda parts: _read_array(parts)[()],
    "$text": str,
    "$map": lambda pairs: {_value(key): _value(item) for key, item in pairs},
}
