"""The tables of policies and formats, made from the tables of the code."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import MISSING
from itertools import groupby
from typing import Any

from replay.policies import POLICIES
from replay.policies.base import Policy
from replay.policies.modify import MODIFIERS
from replay.policies.param import format_parameter, parameters
from replay.policies.spec import example
from replay.readers import IMPORTERS
from replay.report.tables import csv_text, json_text, markdown, wrapped

__all__ = ["formats", "policies"]


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
        return "no library" if name in POLICIES.presets else "of our own"
    return f"package {POLICIES.plugins[name].package}"


def _policy_rows() -> list[dict[str, Any]]:
    """The policies, those of one tool together, tools and policies in the order of POLICIES."""
    tools = list(dict.fromkeys(map(tool_of, POLICIES)))
    return [
        {
            "tool": tool_of(name),
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
        for name, policy_class in sorted(POLICIES.items(), key=lambda item: tools.index(tool_of(item[0])))
    ]


def policies(style: str) -> str:
    """All policies with their parameters, grouped by tool, as table (text), markdown, json or csv."""
    rows = _policy_rows()
    modifiers = [{"name": name, "what": what} for name, (_, what) in MODIFIERS.items()]
    if style == "json":
        return json_text({"policies": rows, "modifiers": modifiers})
    if style == "csv":
        return csv_text(rows, ["tool", "policy", "example", "what", "checked_against"])
    groups = {tool: list(members) for tool, members in groupby(rows, key=lambda row: str(row["tool"]))}
    if style == "markdown":
        return markdown(
            ["tool", "policy", "stops", "example", "checked against"],
            [
                [
                    "" if number else tool,
                    row["policy"],
                    row["what"],
                    row["example"],
                    row["checked_against"] or "",
                ]
                for tool, members in groups.items()
                for number, row in enumerate(members)
            ],
            (0, 1, 2, 3, 4),
        )
    out = ["A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,...", ""]
    for tool, members in groups.items():
        out += [f"{tool}:", ""]
        for row in members:
            out.append(
                f"  {row['policy']}" + (f"  (as {row['checked_against']})" if row["checked_against"] else "")
            )
            out += _indented(row["what"], 4)
            for item in row["parameters"]:
                out += _indented(
                    f"{item['name']}={'...' if item['default'] is None else item['default']}:"
                    f" {_described(item)}",
                    6,
                )
            out += ["      e.g. " + row["example"], ""]
    out.append("Every policy also takes:")
    for item in modifiers:
        out += _indented(f"{item['name']}=: {item['what']}", 2)
    return "\n".join([*out, "", "A | B stops when either would, A & B when both would at the same eval.", ""])


def _described(item: dict[str, Any]) -> str:
    text = str(item["what"])
    if item["choices"]:
        text += f" ({', '.join(item['choices'])})"
    return text + (f"; also {', '.join(item['also'])}" if item["also"] else "")


def _indented(text: str, by: int = 2) -> list[str]:
    return [" " * by + line for line in wrapped(text, 80 - by, "  ")]


def formats(style: str) -> str:
    """All log formats, as table (text), markdown, json or csv."""
    rows: Sequence[dict[str, Any]] = [
        {"format": format.name, "files": format.files, "what": format.summary} for format in IMPORTERS
    ]
    if style == "json":
        return json_text({"formats": rows})
    if style == "csv":
        return csv_text(rows, ["format", "files", "what"])
    if style == "markdown":
        return markdown(
            ["format", "files", "what it is"],
            [[row["format"], row["files"], row["what"]] for row in rows],
            (0, 1, 2),
        )
    out = []
    for row in rows:
        out += [f"{row['format']}  ({row['files']})", *_indented(row["what"]), ""]
    return "\n".join(
        [*out, "Files are found recursively and recognised by content, whatever their name.", ""]
    )
