"""The report of ``replay choose --per-rule``: the best policy of each rule, best rule first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.report.document import Block, Document, Paragraph, Records, Table, separate
from replay.report.format import cell, percent
from replay.report.sentences import error_text
from replay.report.simulate import describe_setting
from replay.search.choice import Line, Obstacle, Selection
from replay.search.league import League

__all__ = ["build"]

_FIGURES = (
    "saved_mean",
    "saved_low",
    "saved_high",
    "lost_mean",
    "lost_low",
    "lost_high",
    "lost_worst",
    "relative_regret_mean",
    "regret_mean",
    "budget_lost",
)
#: Why there is no best guess, in a few words.
_OBSTACLES = {
    Obstacle.TOO_FEW: "too few runs",
    Obstacle.TOO_FEW_GROUPS: "too few groups",
    Obstacle.NONE_KEEPS: "none within",
    Obstacle.NO_MARGIN: "no margin",
    Obstacle.BREAKS: "not confirmed",
    Obstacle.CENSORED: "censored",
}


def build(league: League, *, source: Sequence[str] = ()) -> Document:
    """Report a league; ``source`` says what was read."""
    return Document(lambda: _blocks(league, source), lambda: _data(league), lambda: _records(league))


def _rows(league: League) -> list[dict[str, Any]]:
    """One row per rule, best first."""
    return [
        {
            "rule": rule,
            "policy": None if choice.policy is None else choice.policy.spec(),
            **{key: _line(choice).summary[key] for key in _FIGURES},
            "kept": _line(choice).kept,
            "judged": _line(choice).judged,
            "status": choice.status,
            "obstacle": choice.obstacle,
            "least": None if choice.cross_validated.least is None else choice.cross_validated.least.spec(),
        }
        for rule, choice in league.ranked
    ]


def _line(choice: Selection) -> Line:
    """The figures of a guaranteed policy, or the cross-validated ones of the best guess."""
    return choice.guaranteed or choice.held_out[0]


def _records(league: League) -> Records:
    rows = _rows(league)
    return Records(tuple(rows[0]) if rows else ("rule",), rows)


def _data(league: League) -> dict[str, Any]:
    data = {"rules": _rows(league), "left_out": {rule: error_text(error) for rule, error in league.skipped}}
    if not league.choices:
        return data
    _, choice = league.choices[0]
    return data | {
        "limit": {
            "kind": choice.tolerance.kind,
            "value": choice.tolerance.value,
            "text": choice.tolerance.text,
        },
        "held_out_by": choice.cross_validated.held_out[0].by,
    }


def _blocks(league: League, source: Sequence[str]) -> list[Block]:
    setting = describe_setting(league.choices[0][1].outcomes.study) if league.choices else []
    return [
        Paragraph([*source, *setting], hanging=2, medium="screen"),
        _table(league),
        Paragraph((), medium="page"),  # pages have had two blank lines here
        *separate(_sentences(league)),
    ]


def _table(league: League) -> Table:
    rows = [
        [names[0] + f" (+{len(names) - 1})" * (len(names) > 1), *cells]
        for cells, names in _names_by_cells(league).items()
    ]
    return Table(["best of each rule", "saved", "lost", "equal budget", "result"], rows, (0, 4))


def _names_by_cells(league: League) -> dict[tuple[str, ...], list[str]]:
    """The names of rules by what the table shows of them: rules that show the same share a row."""
    names: dict[tuple[str, ...], list[str]] = {}
    for row in _rows(league):
        names.setdefault(_cells(row), []).append(row["policy"] or row["rule"])
    return names


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["policy"] is None:
        useless = row["obstacle"] == Obstacle.NONE_KEEPS and row["least"] is None
        return ("", "", "", "saves nothing" if useless else _OBSTACLES[row["obstacle"]])
    return (
        cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
        cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
        percent(row["budget_lost"]),
        row["status"],
    )


def _sentences(league: League) -> list[str]:
    out = []
    if league.choices:
        _, first = league.choices[0]
        by = first.cross_validated.held_out[0].by
        out.append(
            f"Each row is the setting of its rule that saves most with {first.tolerance.describe()}. The"
            " figures of a guaranteed setting are in-sample; those of a best guess are cross-validated"
            f" ({by} by {by}). A guarantee is about one rule and does not hold for the best of many."
            " equal budget: the loss if every run had been given the setting's average budget."
        )
    out += [
        f"(+{len(names) - 1}): {', '.join(names)} do the same here."
        for names in _names_by_cells(league).values()
        if names[1:]
    ]
    rules_by_reason: dict[str, list[str]] = {}
    for rule, error in league.skipped:
        rules_by_reason.setdefault(error_text(error), []).append(rule)
    return out + [
        f"Skipped: {', '.join(rules)}: {reason.removesuffix('.')}."
        for reason, rules in rules_by_reason.items()
    ]
