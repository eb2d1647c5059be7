"""The report of ``replay policies``: all policies by tool, with their parameters and modifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from replay.policies.modify import MODIFIERS
from replay.report.catalogue import policy_rows
from replay.report.document import Block, Document, Paragraph, Records, Table

__all__ = ["build"]


def build() -> Document:
    """List the policies."""
    rows = policy_rows()
    return Document(
        lambda: [*_screen(rows), _table(rows)],
        lambda: {
            "policies": rows,
            "modifiers": [{"name": name, "what": what} for name, what in _modifiers()],
        },
        lambda: Records(("tool", "policy", "example", "what", "checked_against"), rows),
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


def _screen(rows: list[dict[str, Any]]) -> list[Block]:
    out: list[Block] = [_line("A policy is written NAME=VALUE,... or NAME:PARAMETER=VALUE,...", tight=False)]
    for tool, group in _by_tool(rows):
        out.append(_line(f"{tool}:", tight=False))
        for row in group:
            out += _policy(row)
    out.append(_line("Every policy also takes:", tight=False))
    out += [_line(f"{name}=: {what}", 2) for name, what in _modifiers()]
    out.append(
        _line(
            "A | B stops when either policy would, and A & B when both would at the same eval.", tight=False
        )
    )
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
