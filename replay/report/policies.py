"""The report of ``replay policies``: all policies by tool, with their parameters and modifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from replay.policies.modify import MODIFIERS
from replay.report.catalogue import across_rows, policy_rows
from replay.report.document import Block, Document, Paragraph, Records, Table

__all__ = ["build"]

_ACROSS = (
    "These policies compare runs with each other. replay simulate and replay budget replay them on a set of"
    " runs, and other commands refuse them:"
)


def build() -> Document:
    """List the policies."""
    rows, across = policy_rows(), across_rows()
    return Document(
        lambda: [*_screen(rows, across), _table(rows), Paragraph((_ACROSS,), medium="page"), _table(across)],
        lambda: {
            "policies": rows,
            "policies_across_runs": across,
            "modifiers": [{"name": name, "what": what} for name, what in _modifiers()],
        },
        lambda: Records(("tool", "policy", "example", "what", "checked_against"), [*rows, *across]),
    )


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
    out: list[Block] = [_line("A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,...", tight=False)]
    out += _listing(rows)
    out.append(_line("Each of these policies also takes:", tight=False))
    out += [_line(f"{name}=: {what}", 2) for name, what in _modifiers()]
    out.append(
        _line(
            "A | B stops when either policy would, and A & B when both would at the same eval.", tight=False
        )
    )
    out.append(_line(_ACROSS, tight=False))
    return [*out, *_listing(across)]


def _listing(rows: list[dict[str, Any]]) -> list[Block]:
    out: list[Block] = []
    for tool, group in _by_tool(rows):
        out.append(_line(f"{tool}:", tight=False))
        for row in group:
            out += _policy(row)
    return out


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
