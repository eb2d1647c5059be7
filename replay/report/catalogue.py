"""What there is: all policies and log formats as rows, read from POLICIES and IMPORTERS themselves."""

from __future__ import annotations

import inspect
from dataclasses import MISSING
from typing import Any

from replay.policies import POLICIES
from replay.policies.base import Policy, format_parameter, parameters
from replay.policies.spec import example
from replay.readers import IMPORTERS

__all__ = ["format_rows", "policy_rows", "summary_of", "tool_of"]


def summary_of(kind: type[Policy]) -> str:
    """The first paragraph of a policy's docstring."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n", 1)[0].split())


def tool_of(kind: type[Policy]) -> str:
    """Whose rule a policy is: the tool it is checked against, without the version."""
    if kind.checked_against is not None:
        return kind.checked_against.split(" ", 1)[0]
    return "no library" if ".presets." in kind.__module__ else "of our own"


def policy_rows() -> list[dict[str, Any]]:
    """One row per policy, those of one tool together, tools and policies in the order of POLICIES."""
    tools = list(dict.fromkeys(tool_of(kind) for kind in POLICIES.values()))
    return [
        {
            "tool": tool_of(kind),
            "policy": name,
            "example": example(kind),
            "what": summary_of(kind),
            "checked_against": kind.checked_against,
            "parameters": [
                {
                    "name": item.name,
                    "default": None if item.default is MISSING else format_parameter(item.default),
                    "what": item.metadata["help"],
                    "choices": list(item.metadata["choices"]),
                    "also": list(item.metadata["aliases"]),
                }
                for item in parameters(kind)
            ],
        }
        for name, kind in sorted(POLICIES.items(), key=lambda item: tools.index(tool_of(item[1])))
    ]


def format_rows() -> list[dict[str, str]]:
    """One row per log format, in the order of IMPORTERS."""
    return [{"format": kind.name, "files": kind.files, "what": kind.summary} for kind in IMPORTERS]
