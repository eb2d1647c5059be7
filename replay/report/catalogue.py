"""The tables of policies and formats, made from the tables of policies and formats themselves."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import MISSING
from itertools import groupby
from typing import Any

from replay.policies import POLICIES
from replay.policies.base import Policy, format_parameter, parameters
from replay.policies.spec import MODIFIERS, example
from replay.readers.registry import registry
from replay.report.tables import csv_text, json_text, markdown, wrapped

__all__ = ["formats", "policies"]


def summary_of(kind: type[Policy]) -> str:
    """The first paragraph of a policy's docstring."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n", 1)[0].split())


def tool_of(kind: type[Policy]) -> str:
    """Whose rule a policy is: the tool it is checked against, without the version."""
    if kind.checked_against is not None:
        return kind.checked_against.split(" ", 1)[0]
    return "no library" if ".presets." in kind.__module__ else "of our own"


def _policy_rows() -> list[dict[str, Any]]:
    """The policies, those of one tool together, tools and policies in the order of POLICIES."""
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


def policies(style: str) -> str:
    """All policies with their parameters, grouped by tool, as table (text), markdown, json or csv."""
    rows = _policy_rows()
    modifiers = [{"name": name, "what": what} for name, (_, what) in MODIFIERS.items()]
    if style == "json":
        return json_text({"policies": rows, "modifiers": modifiers})
    if style == "csv":
        return csv_text(rows, ["tool", "policy", "example", "what", "checked_against"])
    groups = {tool: list(own) for tool, own in groupby(rows, key=lambda row: str(row["tool"]))}
    if style == "markdown":
        return markdown(
            ["tool", "policy", "stops", "example", "checked against"],
            [
                ["" if at else tool, row["policy"], row["what"], row["example"], row["checked_against"] or ""]
                for tool, own in groups.items()
                for at, row in enumerate(own)
            ],
            (0, 1, 2, 3, 4),
        )
    out = ["A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,...", ""]
    for tool, own in groups.items():
        out += [f"{tool}:", ""]
        for row in own:
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
        {"format": kind.name, "files": kind.files, "what": kind.summary} for kind in registry().formats
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
