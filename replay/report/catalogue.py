"""All policies and log formats as rows, read from the tables of policies and formats."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from replay.policies import ACROSS, POLICIES
from replay.policies.base import Policy
from replay.policies.param import format_parameter, parameters
from replay.policies.spec import example
from replay.readers.registry import registry

__all__ = ["across_rows", "format_rows", "policy_rows", "summarise_policy", "tool_of"]


def summarise_policy(policy_class: type[Policy]) -> str:
    """The first paragraph of a policy's docstring."""
    return " ".join((inspect.getdoc(policy_class) or "").split("\n\n", 1)[0].split())


def tool_of(name: str) -> str:
    """Whose rule a policy is: the tool that it is checked against, without the version, or the package that
    adds it.
    """
    checked_against = POLICIES[name].checked_against
    if checked_against is not None:
        return checked_against.split(" ", 1)[0]
    if name in POLICIES.built_in:
        return "LoRA tutorials" if name in POLICIES.presets else "replay"
    return f"package {POLICIES.plugins[name].package}"


def policy_rows() -> list[dict[str, Any]]:
    """One row per policy, those of one tool together, tools and policies in the order of POLICIES."""
    return _rows(POLICIES, tool_of)


def across_rows() -> list[dict[str, Any]]:
    """One row per policy that compares runs, in the same way."""
    return _rows(ACROSS, lambda name: (ACROSS[name].checked_against or "replay").split(" ", 1)[0])


def _rows(policies: Mapping[str, type[Policy]], tool: Callable[[str], str]) -> list[dict[str, Any]]:
    tools = list(dict.fromkeys(map(tool, policies)))
    return [
        {
            "tool": tool(name),
            "policy": name,
            "example": example(policy_class),
            "what": summarise_policy(policy_class),
            "checked_against": policy_class.checked_against,
            "parameters": [
                {
                    "name": item.name,
                    "default": None if item.default is MISSING else format_parameter(item.default),
                    "what": item.metadata["help"],
                    "choices": list(item.metadata["choices"]),
                    "also": list(item.metadata["aliases"]),
                }
                for item in parameters(policy_class)
            ],
        }
        for name, policy_class in sorted(policies.items(), key=lambda item: tools.index(tool(item[0])))
    ]


def format_rows() -> list[dict[str, str]]:
    """One row per log format, in the order in which they are tried."""
    return [
        {
            "format": kind.name,
            "files": kind.files,
            "what": kind.summary,
            "limits": kind.limits,
            "tested_on": kind.tested_on,
        }
        for kind in registry().formats
    ]
