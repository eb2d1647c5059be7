"""The report of ``replay budget``: what a total compute finds with each policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Finding, Kind
from replay.engine.draws import Budget
from replay.engine.study import Study
from replay.errors import list_names
from replay.report.document import Block, Commands, Detail, Document, Notes, Paragraph, Records, Table
from replay.report.format import cell, number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.summary import label
from replay.report.simulate import headline, setting
from replay.stats.draws import DRAW_KEYS

__all__ = ["build", "find_best", "find_smaller"]

#: A unit as a sentence has it behind a number.
_UNITS = {"gpu_hours": "GPU hours", "flops": "FLOPs", "cost": "(cost)"}
#: Shares of draws below this are not worth a note.
_FEW = 0.05


def build(
    study: Study,
    rows: Sequence[Mapping[str, Any]],
    budget: Budget,
    *,
    groups: int = 1,
    left_out: int = 0,
    unscaled: int = 0,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report rows of `replay.stats.draws.summarise_draws`.

    ``groups`` is how many groups of runs they are means over, and ``left_out`` how many runs are alone in
    their group; in ``unscaled`` of the groups no loss is known. ``findings`` are those of the logs;
    ``source`` says what was read; ``next_steps`` are the commands to run next.
    """
    return Document(
        lambda: _blocks(study, rows, budget, groups, left_out, unscaled, findings, source, next_steps),
        lambda: {
            "budget": budget.compute,
            "workers": budget.workers,
            "draws": budget.draws,
            "seed": budget.seed,
            "groups": groups,
            "policies": [dict(row) for row in rows],
            "best_policy": find_best(rows)["policy"],
            "warnings": sentences([*findings, *study.findings]),
            **setting(study),
        },
        lambda: Records(DRAW_KEYS, rows),
    )


def _blocks(
    study: Study,
    rows: Sequence[Mapping[str, Any]],
    budget: Budget,
    groups: int,
    left_out: int,
    unscaled: int,
    findings: Sequence[Finding],
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    shown = [one for one in study.findings if one.kind is not Kind.NO_SCALE]
    notes = _notes(rows, budget, study, groups, left_out, unscaled)
    out: list[Block] = [
        *headline(study, source),
        Paragraph([_answer(study, rows, budget, groups)], answer=True),
        *_tables(rows, groups),
        Paragraph([_legend(budget, groups)], detail="verbose"),
        Notes(make_notes(findings, shown, notes)),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def find_best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The policy that loses least; of equal ones the first."""
    return min(rows, key=lambda row: (row["lost_mean"] is None, _first_known(row)))


def find_smaller(rows: Sequence[Mapping[str, Any]], least: float) -> float | None:
    """A budget of at least ``least`` for which there are enough runs, to two digits.

    None where there is no such budget, and where the best policy has enough runs.
    """
    best = find_best(rows)
    used = [row["used_mean"] for row in rows if _ran_out(row)]
    if not used or not (_ran_out(best) or best is rows[0]):
        return None
    smaller = float(f"{min(used) / 2:.2g}")
    return smaller if smaller >= least else None


def _first_known(row: Mapping[str, Any]) -> float:
    lost = row["lost_mean"] if row["lost_mean"] is not None else row["regret_mean"]
    return round(lost, 12) if lost is not None else 0.0


def _amount(compute: float, unit: str) -> str:
    return f"{compute:,.10g} {_UNITS.get(unit, unit)}"


def _answer(study: Study, rows: Sequence[Mapping[str, Any]], budget: Budget, groups: int) -> str:
    never, best = rows[0], find_best(rows)
    for_each = " for each group" if groups > 1 else ""
    opening = f"With {_amount(budget.compute, study.question.unit)}{for_each},"
    whole = f"training runs to the end tries {_count(never)} and {_loss(never, study, groups)}"
    if best is never:
        short = sum(row["ran_out"] > _FEW for row in rows[1:])
        if short:
            which = "the other policy" if len(rows) == 2 else f"{short} of the {len(rows) - 1} other policies"
            bound = "its loss is an upper bound" if short == 1 else "their losses are upper bounds"
            return (
                f"{opening} no policy is shown to be better than training fewer runs to the end, but"
                f" {which} ran out of runs, so {bound}. {_upper(whole)}."
            )
        others = "the other policy" if len(rows) == 2 else f"each of the {len(rows) - 1} other policies"
        return (
            f"{opening} no policy is better than training fewer runs to the end: {others} loses as much or"
            f" more. {_upper(whole)}."
        )
    tries = f"tries {_count(best)} and {_loss(best, study, groups)}."
    low = best["less_lost_low"]
    if low is not None and low > 0:
        return (
            f"{opening} {best['policy']} finds the best runs: it {tries} {_upper(whole)}. {_difference(best)}"
        )
    none = f"{opening} no policy is shown to be better than training to the end"
    if low is None and best["less_lost"] is not None:
        where = "most runs of some groups" if groups > 1 else "most of the runs"
        none += f": the budget pays for {where}, which leaves little to decide"
    known = f" {_difference(best)}" if low is not None else ""
    return f"{none}. The best here, {best['policy']}, {tries} {_upper(whole)}.{known}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _count(row: Mapping[str, Any]) -> str:
    return f"{number(round(row['runs_tried'], 1), 3)} runs on average"


def _loss(row: Mapping[str, Any], study: Study, groups: int) -> str:
    """How far the best checkpoint found is from the best of all runs."""
    best = "the best run of each group" if groups > 1 else "the best of all runs"
    if row["lost_mean"] is None:
        regret = "an unknown amount" if row["regret_mean"] is None else number(row["regret_mean"])
        return f"ends {regret} worse in {study.objective.name} than {best}"
    bound = "at most " if _ran_out(row) else ""
    lost = f"loses {bound}{percent(row['lost_mean'])} of the improvement of {best}"
    if groups > 1 or row["regret_mean"] is None:
        return lost
    return f"{lost} ({number(row['regret_mean'])} in {study.objective.name})"


def _ran_out(row: Mapping[str, Any]) -> bool:
    """Whether the logs have too few runs for a policy, so that its loss is an upper bound."""
    return bool(row["ran_out"] > _FEW and row["lost_mean"])


def _difference(row: Mapping[str, Any]) -> str:
    """Whether a policy is better than training to the end on other runs of the same kind as well."""
    low, high = row["less_lost_low"], row["less_lost_high"]
    if low > 0:
        return f"The difference is significant (95% CI {_points(low)} to {_points(high)} percentage points)."
    return f"The difference is not significant (95% CI {_points(low)} to {_points(high)} percentage points)."


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-0.0", "0.0")


def _tables(rows: Sequence[Mapping[str, Any]], groups: int) -> list[Table]:
    """The brief table and the verbose one, which has one column more where there is one group."""
    heads = ["policy", "runs tried", "best value found", "lost", "best run found in", "better in"]
    body = [_cells(row) for row in rows]
    columns: dict[Detail, list[int]] = {
        "brief": [0, 1, 3, 4, 5] if groups > 1 else [0, 1, 2, 3, 5],
        "verbose": [0, 1, 3, 4, 5] if groups > 1 else [0, 1, 2, 3, 4, 5],
    }
    return [
        Table([heads[at] for at in shown], [[line[at] for at in shown] for line in body], (0,), detail=detail)
        for detail, shown in columns.items()
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    found = number(row["found_mean"])
    if row["found_low"] is not None and row["found_low"] != row["found_high"]:
        found += f" {number(row['found_low'], 3)} to {number(row['found_high'], 3)}"
    least = "≤ " if _ran_out(row) else ""
    return [
        label(row["policy"]),
        number(round(row["runs_tried"], 1), 3),
        found,
        least + cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
        f"{percent(row['best_found'])} of draws",
        "" if row["better_draws"] is None else f"{percent(row['better_draws'])} of draws",
    ]


def _legend(budget: Budget, groups: int) -> str:
    workers = "one after the other" if budget.workers == 1 else f"on {budget.workers} workers"
    text = (
        f"{budget.draws} draws take the runs of the logs in random order, {workers}, until the budget is used"
        " up."
    )
    if groups > 1:
        text += f" The figures are means over {groups} groups of runs, each with the whole budget."
    else:
        text += " best value found: the mean, and the 5th to the 95th percentile over draws."
    return (
        f"{text} lost: how much worse that is than the best of all runs, as a share of the best run's"
        " improvement; the range is a 95 % interval for other runs of the same kind. ≤: the logs have too few"
        " runs, so that the loss is an upper bound. best run found in: in how many draws the best"
        " checkpoint of all runs was found. better in: in how many the policy found a better checkpoint than"
        " training runs to the end."
    )


def _notes(
    rows: Sequence[Mapping[str, Any]],
    budget: Budget,
    study: Study,
    groups: int,
    left_out: int,
    unscaled: int,
) -> list[str]:
    out = []
    short = [label(row["policy"]) for row in rows if row["ran_out"] > _FEW]
    where = "Some groups have" if groups > 1 else "The logs have"
    if short:
        out.append(
            f"{where} too few runs for this budget: {list_names(short)} tried all of them with compute left"
            " over. Their losses are upper bounds. "
            + ("Leave these groups out, or give" if groups > 1 else "Give")
            + " a smaller --compute or more runs."
        )
    if left_out:
        runs = "1 run is" if left_out == 1 else f"{left_out} runs are"
        out.append(f"{runs} left out, because no other run is in the same group.")
    if 0 < unscaled < groups:
        out.append(
            f"{unscaled} of {groups} groups are not counted in lost, because their best run improves by less"
            " than the log can show."
        )
    return out
