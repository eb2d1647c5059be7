"""The text of a lock: one JSON document, and each of its lines stands for itself.

A line names the policy that it is about, so that a difference can be read, and git merges branches that
change different policies: lines begin with the comma that separates them from the one before, each policy
begins with a line that never changes, and each policy has a checksum of its own. A policy stands in the part
of the file that the hash of its name picks. The lines that begin the parts never change, so branches that
each add a policy seldom add lines at the same place.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from replay.check.locked import VERSION, Lock, LockedLimit, LockedPolicy, Log, is_companion, rounded
from replay.check.model import Stop

__all__ = ["FORMAT", "ChecksumError", "as_text", "is_lock_text", "parse"]

FORMAT = "replay lock"
#: How many parts the policies are spread over. Two added policies are in one part once in so many times.
_PARTS = 32
_ROW = ("stopped_eval", "stopped_step", "reason", "saved", "regret", "relative_regret", "lost")


class ChecksumError(ValueError):
    """A part of a lock is not what replay wrote."""


Rows = list[dict[str, Any]]


def is_lock_text(data: bytes) -> bool:
    """Whether a file that begins with these bytes is a lock."""
    return f'"format": "{FORMAT}"'.encode() in data[:100]


def as_text(lock: Lock) -> str:
    """The lock as it is written: sorted, one setting, log, limit, figure and run per line."""
    head = _head(lock)
    base = _base(head)
    parts: list[Rows] = [[{"part": number}] for number in range(_PARTS)]
    first_block = [*head, {"checksum": _checksum([*head, *(row for rows in parts for row in rows)], "")}]
    for name, policy in sorted(lock.policies.items()):
        parts[_part_of(name)] += _signed(_rows(name, policy), base)
    lines = [_plain(row) for block in (first_block, *parts) for row in block]
    first = f'{{"format": {_plain(FORMAT)}, "version": {VERSION}, "lines": ['
    return "\n".join([first, " " + lines[0], *("," + line for line in lines[1:]), "]}"]) + "\n"


def _head(lock: Lock) -> Rows:
    """The lines on no policy."""
    return [
        {"tool": lock.tool},
        *({"setting": name, "value": _encoded(value)} for name, value in sorted(lock.settings.items())),
        *({"gate": name, "value": value} for name, value in sorted((lock.gate or {}).items())),
        *(
            {"log": path, "runs": list(log.runs), "sha256": log.sha256, "content": log.content}
            for path, log in sorted(lock.logs.items())
        ),
    ]


def _rows(name: str, policy: LockedPolicy) -> Rows:
    """The lines on one policy."""
    rows: Rows = [{}, {"spec": policy.spec}]
    limits = sorted((policy.limits or {}).items(), key=lambda item: (item[0][0] or "", item[0][1]))
    for (group, limit), was in limits:
        of = {} if group is None else {"group": group}
        rows.append({"limit": limit, **of, "text": was.text, "value": rounded(was.value)})
    rows += [{"expect": run, "eval": eval} for run, eval in sorted((policy.expect or {}).items())]
    rows += [
        {"run": run, "stop": [_encoded(getattr(stop, key)) for key in _ROW]}
        for run, stop in sorted(policy.stops.items())
    ]
    rows += [{"figure": key, "value": _encoded(value)} for key, value in sorted(policy.summary.items())]
    return [{"policy": name, **row} for row in rows]


def _part_of(name: str) -> int:
    """The part of the file that a policy stands in."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[0] % _PARTS


def _signed(rows: Rows, base: str) -> Rows:
    """The lines with their checksum as the last one."""
    of = {"policy": rows[0]["policy"]} if base else {}
    return [*rows, {**of, "checksum": _checksum(rows, base)}]


def _base(head: Rows) -> str:
    """The digest of the settings and logs that what is said of policies depends on."""
    return _checksum([row for row in head if "setting" in row or "log" in row], "")


def _checksum(rows: Iterable[Mapping[str, Any]], base: str) -> str:
    """A checksum of lines in whatever order they stand."""
    lines = sorted(json.dumps(row, sort_keys=True, allow_nan=False) for row in rows)
    return hashlib.sha256("\n".join([base, *lines]).encode()).hexdigest()[:32]


def _plain(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _encoded(value: Any) -> Any:
    value = rounded(value)
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _decoded(value: Any) -> Any:
    return math.inf if value == "Infinity" else -math.inf if value == "-Infinity" else value


def parse(document: Mapping[str, Any]) -> Lock:
    """The lock that a JSON document is, of this version or of the first.

    Raises ChecksumError where a part is not what replay wrote, and KeyError, TypeError, ValueError or
    AttributeError where something is missing or of the wrong kind.
    """
    return _parse_first(document) if document["version"] == 1 else _parse(document)


def _parse(document: Mapping[str, Any]) -> Lock:
    if set(document) != {"format", "version", "lines"} or document["version"] != VERSION:
        raise ChecksumError
    blocks: dict[str | None, Rows] = {None: []}
    for row in document["lines"]:
        blocks.setdefault(row.get("policy"), []).append(row)
    heads = blocks.pop(None)
    head = _checked(heads, "")
    logs = {
        row["log"]: Log(str(row["sha256"]), _texts(row["runs"]), _text_or_none(row["content"]))
        for row in head
        if "log" in row
    }
    (tool,) = (row["tool"] for row in head if "tool" in row)
    if not isinstance(tool, str):
        raise TypeError
    base, home = _base(head), _homes(logs)
    policies = {str(name): _policy(_checked(rows, base), home) for name, rows in sorted(blocks.items())}
    settings = {row["setting"]: _decoded(row["value"]) for row in head if "setting" in row}
    gate = {row["gate"]: row["value"] for row in head if "gate" in row}
    return Lock(tool, settings, logs, policies, gate)


def _checked(rows: Rows, base: str) -> Rows:
    """The lines without their checksum, which must be that of the rest."""
    found = [row["checksum"] for row in rows if "checksum" in row]
    rest = [row for row in rows if "checksum" not in row]
    if len(found) != 1 or found[0] != _checksum(rest, base):
        raise ChecksumError
    return rest


def _policy(rows: Rows, home: Mapping[str, str]) -> LockedPolicy:
    (spec,) = (row["spec"] for row in rows if "spec" in row)
    return LockedPolicy(
        str(spec),
        {row["figure"]: _decoded(row["value"]) for row in rows if "figure" in row},
        {row["run"]: _stop(row["run"], home[row["run"]], row["stop"]) for row in rows if "run" in row},
        {
            (row.get("group"), row["limit"]): LockedLimit(str(row["text"]), float(row["value"]))
            for row in rows
            if "limit" in row
        },
        {row["expect"]: row["eval"] for row in rows if "expect" in row},
    )


def _parse_first(document: Mapping[str, Any]) -> Lock:
    """A lock of version 1: one checksum for all of it, the digests of raw bytes, and no limits."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, allow_nan=False, separators=(",", ":"))
    if document.get("checksum") != hashlib.sha256(text.encode()).hexdigest():
        raise ChecksumError
    if not isinstance(document["tool"], str):
        raise TypeError
    logs = {path: Log(str(log["sha256"]), _texts(log["runs"])) for path, log in document["logs"].items()}
    home = _homes(logs)
    policies = {
        name: LockedPolicy(
            str(policy["spec"]),
            {key: _decoded(value) for key, value in policy["summary"].items()},
            {run: _stop(run, home[run], row) for run, row in policy["stops"].items()},
        )
        for name, policy in document["policies"].items()
    }
    settings = {key: _decoded(value) for key, value in document["settings"].items()}
    return Lock(document["tool"], settings, logs, policies, version=1)


def _homes(logs: Mapping[str, Log]) -> dict[str, str]:
    """The first log of each run."""
    main = {path: log for path, log in logs.items() if not is_companion(path)}
    return {run: path for path, log in sorted(main.items(), reverse=True) for run in log.runs}


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def _stop(run: str, log: str, row: Any) -> Stop:
    stopped, step, reason, saved, regret, relative, lost = (_decoded(value) for value in row)
    if (
        not (stopped is None or (_is_number(stopped) and isinstance(stopped, int)))
        or not isinstance(reason, str)
        or not _is_number(saved)
    ):
        raise ValueError
    if not all(value is None or _is_number(value) for value in (step, regret, relative, lost)):
        raise ValueError
    return Stop(run, log, stopped, step, reason, saved, regret, relative, lost)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
