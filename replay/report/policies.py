"""The report of ``replay policies``: all policies by tool, with their parameters and modifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from replay.errors import InputError, suggestion
from replay.policies.modify import MODIFIERS
from replay.report.catalogue import across_rows, policy_rows
from replay.report.document import Block, Commands, Detail, Document, Paragraph, Records, Table

__all__ = ["build"]

_ACROSS = (
    "These policies compare runs with each other. replay simulate and replay budget replay them on a set of"
    " runs, and other commands refuse them:"
)

_JOINED = "A | B stops when either policy would, and A & B when both would at the same eval."


def build(name: str | None = None) -> Document:
    """List the policies, or show one policy, one modifier or those of one tool, by name.

    Raises InputError for a name that none has.
    """
    rows, across, modifiers = policy_rows(), across_rows(), dict(_modifiers())
    if name is not None:
        known = {str(row[key]) for row in (*rows, *across) for key in ("policy", "tool")}
        if name not in known | modifiers.keys():
            raise InputError(f"no policy {name!r}; there are {suggestion(name, known | modifiers.keys())}")
        rows, across = _named(name, rows), _named(name, across)
        modifiers = {} if rows or across else {name: modifiers[name]}
    return Document(
        lambda: [
            *(_screen(rows, across) if name is None else _one(rows, across, modifiers)),
            *([_table(rows)] if rows else []),
            *([Paragraph((_ACROSS,), medium="page"), _table(across)] if across else []),
        ],
        lambda: {
            "policies": rows,
            "policies_across_runs": across,
            "modifiers": [{"name": key, "what": what} for key, what in modifiers.items()],
        },
        lambda: Records(("tool", "policy", "example", "what", "checked_against"), [*rows, *across]),
    )


def _named(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The policy of a name, else all policies of the tool of that name."""
    own = [row for row in rows if row["policy"] == name]
    return own or [row for row in rows if row["tool"] == name]


def _one(
    rows: list[dict[str, Any]], across: list[dict[str, Any]], modifiers: Mapping[str, str]
) -> list[Block]:
    """What was asked for by name, in full."""
    out = _listing(rows, None)
    if rows:
        takes = ", ".join(f"{name}=" for name in MODIFIERS)
        out.append(_line(f"It also takes {takes}. To read about one: replay policies smooth.", tight=False))
    if across:
        out += [_line(_ACROSS, tight=False), *_listing(across, None)]
    out += [_line(f"{name}=: {what}. Each policy takes it.") for name, what in modifiers.items()]
    step = ["replay", "policies", "patience"]
    for row in (*rows, *across)[:1]:
        step = ["replay", "simulate", "LOGS", "--policy", str(row["example"])]
    return [*out, Commands([step], medium="screen")]


def _brief(rows: list[dict[str, Any]], across: list[dict[str, Any]]) -> list[Block]:
    """The names of all policies."""
    own = [str(row["policy"]) for row in rows if row["tool"] == "replay"]
    of_packages = [row for row in rows if row["tool"].startswith("package ")]
    others = [str(row["policy"]) for row in rows if row["tool"] != "replay" and row not in of_packages]
    added = ", ".join(f"{row['policy']} ({row['tool'].removeprefix('package ')})" for row in of_packages)
    examples = " or ".join(str(row["example"]) for row in rows[:3])
    lines = (
        f"A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,... For example: {examples}.",
        f"Rules: {', '.join(own)}.",
        f"Rules of tools, which stop where the tool does: {', '.join(others)}.",
        *([f"Rules of other packages: {added}."] if added else []),
        f"Rules that compare runs: {', '.join(str(row['policy']) for row in across)}.",
        f"Each also takes: {', '.join(f'{name}=' for name in MODIFIERS)}.",
        _JOINED,
    )
    step = ["replay", "policies", "patience"]
    return [
        *(
            Paragraph((line,), hanging=2, medium="screen", detail="brief", tight=at > 0)
            for at, line in enumerate(lines)
        ),
        Commands([step], medium="screen", detail="brief"),
    ]


def _modifiers() -> Iterator[tuple[str, str]]:
    return ((name, what) for name, (_, what) in MODIFIERS.items())


def _by_tool(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    return ((tool, list(group)) for tool, group in groupby(rows, key=lambda row: str(row["tool"])))


def _table(rows: list[dict[str, Any]]) -> Table:
    return Table(
        ["tool", "policy", "stops", "example", "checked against"],
        [
            [
                "" if index else tool,
                row["policy"],
                row["what"],
                row["example"],
                row["checked_against"] or "",
            ]
            for tool, group in _by_tool(rows)
            for index, row in enumerate(group)
        ],
        (0, 1, 2, 3, 4),
        medium="page",
    )


def _screen(rows: list[dict[str, Any]], across: list[dict[str, Any]]) -> list[Block]:
    full: list[Block] = [_line("A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,...", tight=False)]
    full += _listing(rows, "verbose")
    full.append(_line("Each of these policies also takes:", tight=False))
    full += [_line(f"{name}=: {what}", 2) for name, what in _modifiers()]
    full += [_line(_JOINED, tight=False), _line(_ACROSS, tight=False), *_listing(across, "verbose")]
    return [*_brief(rows, across), *(replace(block, detail="verbose") for block in full)]


def _listing(rows: list[dict[str, Any]], detail: Detail | None) -> list[Block]:
    out: list[Block] = []
    for tool, group in _by_tool(rows):
        out.append(_line(f"{tool}:", tight=False))
        for row in group:
            out += _policy(row)
    return [replace(block, detail=detail) for block in out]


def _policy(row: Mapping[str, Any]) -> list[Block]:
    source = f"  (same stops as {row['checked_against']})" if row["checked_against"] else ""
    return [
        _line(f"{row['policy']}{source}", 2, tight=False),
        _line(row["what"], 4),
        *(_line(_parameter(item), 6) for item in row["parameters"]),
        _line(f"Example: {row['example']}", 6),
    ]


def _line(text: str, indent: int = 0, *, tight: bool = True) -> Paragraph:
    return Paragraph((text,), indent, 2, medium="screen", tight=tight)


def _parameter(item: Mapping[str, Any]) -> str:
    default = "..." if item["default"] is None else item["default"]
    text = f"{item['name']}={default}: {item['what']}"
    if item["choices"]:
        text += f" ({', '.join(item['choices'])})"
    return text + (f"; also {', '.join(item['also'])}" if item["also"] else "")
