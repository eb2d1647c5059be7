"""The JSON schema of a file of policies, by which editors complete and check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replay.check.config import EXPECT_KEYS, LIMITS, POLICY_KEYS, TOP_KEYS
from replay.check.gate import UNDECIDED
from replay.data.compute import UNITS
from replay.engine.question import KEEPS

__all__ = ["SCHEMA_NAME", "policies_schema"]

SCHEMA_NAME = "policies.schema.json"

_SHARE = {"type": "string", "pattern": r"^\s*\d*\.?\d+([eE][+-]?\d+)?\s*%\s*$"}
_REGRET = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\d*\.?\d+([eE][+-]?\d+)?\s*%?\s*$"},
    ]
}
_MODE = {"enum": ["min", "max"]}
_TEXT = {"type": "string", "minLength": 1}
#: What a key takes, where its description alone does not say it to a program.
_TYPES: dict[str, dict[str, Any]] = {
    "logs": {"type": "array", "items": _TEXT, "minItems": 1},
    "monitor": _TEXT,
    "objective": _TEXT,
    "mode": _MODE,
    "objective_mode": _MODE,
    "unit": {"enum": list(UNITS)},
    "price": {"type": "number", "exclusiveMinimum": 0},
    "keep": {"enum": list(KEEPS)},
    "group": _TEXT,
    "confidence": {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1},
    "undecided": {"enum": list(UNDECIDED)},
    "fail_on": {"type": "array", "items": _TEXT},
    "severity": {"type": "object", "additionalProperties": _TEXT},
    "strict": {"type": "boolean"},
    "require_lock": {"type": "boolean"},
    "spec": _TEXT,
    "guarantee": _TEXT,
    **{name: _REGRET if "regret" in name else _SHARE for name in LIMITS},
    "run": _TEXT,
    "eval": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "never"}]},
}


def policies_schema() -> dict[str, Any]:
    """The schema, of draft 7, which the TOML plug-ins of editors read."""
    policy = _table(
        POLICY_KEYS,
        required=["spec"],
        groups={"type": "object", "additionalProperties": _table(LIMITS)},
        expect={"type": "array", "items": _table(EXPECT_KEYS, required=["run", "eval"])},
    )
    policies = {"type": "object", "minProperties": 1, "additionalProperties": policy}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stop policies that replay check holds to their limits",
        **_table(TOP_KEYS, required=["policies"], policies=policies),
    }


def _table(keys: Mapping[str, str], *, required: list[str] | None = None, **inner: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {**(inner.get(name) or _TYPES.get(name, {})), "description": text}
            for name, text in keys.items()
        },
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }
