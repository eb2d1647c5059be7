"""The report of ``replay plan``: what is guaranteed today, and what it takes to guarantee more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replay.data.finding import Finding, Kind
from replay.engine.study import Study
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records, Table, separate
from replay.report.format import percent, say_among
from replay.report.notes import make_notes
from replay.report.sentences.guarantee import say_guarantee, say_kind, say_need, say_tolerance, say_units
from replay.report.simulate import headline
from replay.search.guarantee import Rung
from replay.search.plan import Plan

__all__ = ["build"]

_COLUMNS = (
    "policy",
    "saved",
    "saved_total",
    "lost",
    "lost_worst_case",
    "bound",
    "guaranteed",
    "needed_units",
)


def build(
    plan: Plan,
    study: Study | None,
    *,
    unit: str = "run",
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report a plan.

    ``unit`` is what the guarantee is about: ``"run"``, or what makes a group. ``findings`` are those of the
    logs; ``source`` says what was read, and without a study all that stands above the answer. ``next_steps``
    are the commands to run next.
    """
    head = [Paragraph(source, hanging=2)] if study is None else headline(study, source)
    return Document(
        lambda: _blocks(plan, head, unit, findings, next_steps),
        lambda: _data(plan, unit),
        lambda: Records(_COLUMNS, _rows(plan)),
    )


def _rows(plan: Plan) -> list[dict[str, Any]]:
    """One row per policy of the ladder, the safest first."""
    chosen = plan.today.chosen
    return [
        {
            "policy": rung.policy.spec(),
            "saved": rung.saved,
            "saved_total": rung.saved_total,
            "lost": rung.lost,
            "lost_worst_case": rung.worst,
            "bound": rung.bound,
            "guaranteed": chosen is not None and index <= chosen,
            "needed_units": rung.needed_units,
        }
        for index, rung in enumerate(plan.today.rungs)
    ]


def _data(plan: Plan, unit: str) -> dict[str, Any]:
    today, supported = plan.today, plan.supported
    return {
        "tolerance": today.alpha,
        "confidence": today.confidence,
        "guaranteed": None if today.policy is None else today.policy.spec(),
        "unit": unit,
        "units": today.units,
        "units_used": today.used_units,
        "needed_units": plan.needed_units,
        "more_units": plan.more_units,
        "supported_tolerance": None if supported is None else supported.bound,
        "supported_policy": None if supported is None else supported.policy.spec(),
        "method": today.method,
        "ladders": today.ladders,
        "runs_left_out": list(today.left_out),
        "runs_censored": list(today.censored),
        "policies": _rows(plan),
    }


def _blocks(
    plan: Plan,
    head: Sequence[Block],
    unit: str,
    findings: Sequence[Finding],
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    legend, *notes = _notes(plan, unit)
    out: list[Block] = [
        *head,
        *separate(_answer(plan, unit), answer=True),
        _table(plan, unit),
        Paragraph([legend], detail="verbose"),
        Notes(
            make_notes(findings, [one for one in plan.today.findings if one.kind is not Kind.NO_SCALE], notes)
        ),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def _answer(plan: Plan, unit: str) -> list[str]:
    today = plan.today
    if today.policy is not None:
        return [f"Result: {today.policy.spec()} keeps the tolerance, guaranteed.", say_guarantee(today, unit)]
    out = [
        f"Result: no policy is guaranteed to lose at most {say_tolerance(today.alpha)} {say_kind(today)}.",
        say_need(today, unit),
    ]
    if plan.more_units:
        more = "runs" if unit == "run" else "groups"
        out[-1] += f" So train {plan.more_units:,} new {more if plan.more_units > 1 else more[:-1]} first."
    supported = plan.supported
    if supported is not None:
        out.append(
            f"{_these(today.units, unit)} a tolerance of {_up(supported.bound)}, with"
            f" {supported.policy.spec()}. A tolerance that is chosen after looking at the losses is not"
            " guaranteed: use it for the next runs."
        )
    return out


def _these(count: int, unit: str) -> str:
    units = say_units(count, unit)
    return f"This one {units.removeprefix('1 ')} supports" if count == 1 else f"These {units} support"


def _among(count: int, total: int) -> str:
    text = say_among(count, total, "run", "is", "are")
    return text[0].upper() + text[1:]


def _up(share: float) -> str:
    """A share as a percentage with one digit, rounded up, so that it is not below the share."""
    return f"{-(-round(1000 * share, 6) // 1) / 10:g}%"


def _table(plan: Plan, unit: str) -> Table:
    units = "runs" if unit == "run" else "groups"
    chosen = plan.today.chosen
    rows = [
        [
            rung.policy.spec(),
            percent(rung.saved),
            percent(rung.lost),
            _up(rung.bound),
            "yes" if chosen is not None and index <= chosen else "no",
            "not reachable" if rung.needed_units is None else f"{rung.needed_units:,}",
        ]
        for index, rung in _shown(plan)
    ]
    head = [
        "policy",
        "saved",
        "lost",
        "guaranteed at most",
        f"{say_tolerance(plan.today.alpha)} guaranteed",
        f"{units} needed in all",
    ]
    return Table(head, rows)


def _shown(plan: Plan) -> list[tuple[int, Rung]]:
    """The rungs that differ: of those with equal losses and bounds the one that saves most."""
    groups: dict[tuple[Any, ...], tuple[int, Rung]] = {}
    chosen = plan.today.chosen
    for index, rung in enumerate(plan.today.rungs):
        proven = chosen is not None and index <= chosen
        key = (percent(rung.lost), _up(rung.bound), rung.needed_units, proven)
        if key not in groups or rung.saved >= groups[key][1].saved:
            groups[key] = (index, rung)
    return list(groups.values())


def _notes(plan: Plan, unit: str) -> list[str]:
    today = plan.today
    units = "runs" if unit == "run" else "groups"
    legend = (
        "guaranteed at most: the smallest mean loss that these runs guarantee for the policy. Of policies"
        f" with equal losses the one that saves most is shown. {units} needed: for"
        f" {say_tolerance(today.alpha)}, if further {units} lose no more than these."
    )
    out = [legend]
    if today.left_out:
        out.append(
            f"{_among(len(today.left_out), today.runs)} left out: an improvement of less than twice the eval"
            " noise is too small to state the loss as a share of it."
        )
    if today.censored:
        out.append(
            f"{_among(len(today.censored), today.runs)} censored and"
            f" {'counts' if len(today.censored) == 1 else 'count'} as a loss of 100%: the log ends before the"
            " planned end, so nobody knows what a policy would have lost."
        )
    return out
