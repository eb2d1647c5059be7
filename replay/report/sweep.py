"""The report of ``replay sweep``: the Pareto front of many policies, and the good region of each grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from replay.data.finding import Finding
from replay.engine.outcomes import BASELINES, ORACLE
from replay.report.document import (
    Block,
    Commands,
    Document,
    Medium,
    Notes,
    Paragraph,
    Records,
    Table,
    separate,
)
from replay.report.format import cell, number, percent
from replay.report.notes import make_notes
from replay.report.regions import (
    describe_figures,
    describe_loss,
    describe_region,
    move_bounds,
)
from replay.report.render.text import WIDTH, height
from replay.report.sentences import sentences
from replay.report.sentences.summary import SHORT_VERDICTS, label
from replay.report.simulate import RANGES, describe_source, find_limits, headline, setting
from replay.search.front import thin
from replay.search.grid_sweep import GridResult, GridSweep
from replay.search.region import NEAR_BEST
from replay.search.sweep import SWEPT
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, find_shortage

__all__ = ["build"]

_MOST_ROWS = 12
_BRIEF_NAMES = {"equal": "equal budget", "verdict": "vs. equal budget"}
_BRIEF = 6  # lines of the brief form's table, not counting the baselines
_MOST_SINGLES = 4
_FEWEST_LINES = 4
_SCREEN = 36  # lines, not counting the head of the table and the baselines
_MOST_SENTENCES = 2  # regions in sentences; more regions are a table
_MOST_REGIONS = 4
_MOST_NAMES = 3
_COUNTS = ("runs", "stopped", "censored", "lost_runs")


def build(
    sweep: GridSweep,
    *,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
    chart: Sequence[Block] = (),
) -> Document:
    """Report a sweep.

    ``findings`` are those of the logs; ``source`` says what was read; ``next_steps`` are the commands to run
    next, and ``chart`` is what `replay.report.plane` makes where a chart was asked for.
    """
    return Document(
        lambda: _blocks(sweep, findings, source, next_steps, chart),
        lambda: _data(sweep, findings),
        lambda: _records(sweep),
    )


def _data(sweep: GridSweep, findings: Sequence[Finding]) -> dict[str, Any]:
    tolerance, summaries = sweep.tolerance, sweep.summaries
    return {
        "front": [
            {key: summaries[spec][key] for key in KEYS} for spec in _specs(sweep, sweep.short_front.tolist())
        ],
        "regions": [_region_data(sweep, result) for result in sweep.grids],
        "baselines": [summaries[name] for name in (*BASELINES, ORACLE) if name in summaries],
        "policies": list(_policy_rows(sweep)),
        "weight": sweep.weight,
        "limit": {
            "kind": tolerance.kind,
            "value": tolerance.value,
            "text": tolerance.text,
            "within": NEAR_BEST,
        },
        "refused": [
            {"policy": spec, "reason": reason}
            for result in sweep.grids
            for spec, reason in result.grid.refused
        ],
        "warnings": sentences([*findings, *sweep.findings]),
        "notes": sentences(_limits(sweep)),
        **setting(sweep.outcomes.study),
    }


def _region_data(sweep: GridSweep, result: GridResult) -> dict[str, Any]:
    region, dimensions = result.region, result.grid.dimensions
    head = {
        "rule": result.grid.rule,
        "grid": {dimension.name: list(dimension.values) for dimension in dimensions},
        "points": len(result.grid.points),
    }
    if region is None:
        return head | dict.fromkeys(("good", "in_region", "values", "centre", "best", "spans"))
    return head | {
        "good": len(region.good),
        "in_region": len(region.points),
        "values": {
            dimension.name: [dimension.values[index] for index in result.value_indices(axis)]
            for axis, dimension in enumerate(dimensions)
        },
        "centre": sweep.summaries[result.spec(region.centre)],
        "best": sweep.summaries[result.spec(region.best)],
        "spans": [vars(span) for span in region.spans],
    }


def _records(sweep: GridSweep) -> Records:
    """One row per policy: its parameters, its figures, and whether it is on the front and in a region."""
    names = list(
        dict.fromkeys(dimension.name for result in sweep.grids for dimension in result.grid.dimensions)
    )
    columns = ["policy", "rule", *names, *SWEPT, "spec", "on_front", "good"]
    return Records(
        columns, ({name: _plain(value) for name, value in row.items()} for row in _flat(sweep, names))
    )


def _flat(sweep: GridSweep, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in _policy_rows(sweep):
        yield {**dict.fromkeys(names), **row["parameters"], **row}


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return None if isinstance(value, float) and np.isnan(value) else value


def _policy_rows(sweep: GridSweep) -> Iterator[dict[str, Any]]:
    policies = sweep.sweep.policies
    on_front, good = np.zeros(len(policies), dtype=bool), np.zeros(len(policies), dtype=bool)
    on_front[sweep.front] = True
    for result in sweep.grids:
        if result.region is not None:
            good[result.start + result.region.good] = True
    columns = {
        name: values.astype(np.int64).tolist() if name in _COUNTS else values.tolist()
        for name, values in sweep.sweep.figures.items()
    }
    for index, (policy, (rule, parameters)) in enumerate(zip(policies, _origins(sweep), strict=True)):
        yield {
            "policy": sweep.name(index),
            "rule": rule,
            "parameters": parameters,
            **{name: columns[name][index] for name in SWEPT},
            "spec": policy.spec(),
            "on_front": bool(on_front[index]),
            "good": bool(good[index]),
        }


def _origins(sweep: GridSweep) -> Iterator[tuple[str, dict[str, str]]]:
    """The rule and the grid's parameters of each policy."""
    for result in sweep.grids:
        for _, coordinates in result.grid.points:
            yield (
                result.grid.rule,
                {
                    dimension.name: dimension.values[index]
                    for dimension, index in zip(result.grid.dimensions, coordinates, strict=True)
                },
            )
    for index in sweep.singles:
        yield sweep.sweep.policies[index].name, {}


def _blocks(
    sweep: GridSweep,
    findings: Sequence[Finding],
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
    chart: Sequence[Block],
) -> list[Block]:
    notes = Notes(make_notes(findings, [*sweep.findings, *_limits(sweep)]))
    out: list[Block] = [*_screen(sweep, source), *_page(sweep), *chart, notes]
    return [*out, Commands(next_steps, medium="screen")] if next_steps else out


def _screen(sweep: GridSweep, source: Sequence[str]) -> list[Block]:
    """What a terminal shows: in the verbose form, the table has as many rows as the rest leaves of it."""
    before = headline(sweep.outcomes.study, source)
    after = separate([_legend(sweep)], medium="screen", detail="verbose")
    if len(sweep.distinct) <= _MOST_SENTENCES:
        after += separate([*_regions(sweep), *_closing(sweep)], tight=True, medium="screen", detail="verbose")
    else:
        after += [
            replace(block, detail="verbose")
            for block in (*_region_table(sweep), *separate(_closing(sweep), medium="screen"))
        ]
    shown = _shown(sweep, _SCREEN - 1 - height([*before, *after]))
    counts = Paragraph((_counts(sweep, shown),), hanging=2, medium="screen", tight=True, detail="verbose")
    return [
        *before,
        counts,
        Paragraph(_brief_answer(sweep), answer=True, medium="screen", detail="brief"),
        replace(_table(sweep, shown, "screen"), detail="verbose"),
        _brief_table(sweep, _shown(sweep, _BRIEF)),
        *after,
    ]


def _brief_answer(sweep: GridSweep) -> list[str]:
    """How many policies keep the tolerance, which of them saves most, and how far it can be trusted."""
    count, tolerable = len(sweep.sweep.policies), int(sweep.tolerable.sum())
    loss = f"keep {sweep.tolerance.describe()}"
    if sweep.tolerance.kind == "lost":
        loss = f"lose at most {sweep.tolerance.text} of the improvement"
    text = f"{tolerable:,} of {count:,} policies {loss} on these runs."
    if sweep.ranked:
        result = sweep.ranked[0]
        corner, centre = (sweep.sweep.policies[index].spec() for index in (result.corner, result.centre))
        text += f" Of these, {corner} (^) saves most: it {describe_figures(sweep, result.corner)}."
        if centre != corner:
            text += f" {centre} (*) is safer, because settings near it stay within the tolerance too: it"
            text += f" {describe_figures(sweep, result.centre)}."
    text += " The table shows some of the policies that no other one beats in both. All figures are"
    text += " in-sample; replay choose finds a policy with a guarantee."
    return [text]


def _brief_table(sweep: GridSweep, shown: Sequence[int]) -> Table:
    """The table without totals and worst losses."""
    table = _table(sweep, shown, "screen")
    kept = [index for index, name in enumerate(table.head) if name not in ("total", "worst")]
    rows = [[row[index] for index in kept] for row in table.rows if row[0] != "one-epoch"]
    head = [_BRIEF_NAMES.get(table.head[index], table.head[index]) for index in kept]
    return Table(head, rows, (0, len(head) - 1), medium="screen", detail="brief")


def _page(sweep: GridSweep) -> list[Block]:
    shown = _shown(sweep, None)
    return [
        *separate([_counts(sweep, shown)], medium="page"),
        _table(sweep, shown, "page"),
        *separate([_legend(sweep), *_regions(sweep), *_closing(sweep)], medium="page"),
    ]


def _specs(sweep: GridSweep, indices: Sequence[int]) -> list[str]:
    return [sweep.sweep.policies[index].spec() for index in indices]


def _counts(sweep: GridSweep, shown: Sequence[int]) -> str:
    """How many policies there were, are tolerable, were refused, and are on the front."""
    count, tolerable = len(sweep.sweep.policies), int(sweep.tolerable.sum())
    refused = [entry for result in sweep.grids for entry in result.grid.refused]
    text = f"{count:,} polic{'ies' if count != 1 else 'y'}"
    if len(sweep.grids) > 1:
        text += f" of {len(sweep.grids)} rules"
    if refused:
        text += f" ({len(refused):,} refused: {refused[0][0]}: {refused[0][1]})"
    runs, total = int(sweep.sweep.figures["runs"].max()), len(sweep.outcomes.study.judged_runs)
    if runs < total:
        text += f", tried on {runs} of {total} runs"
    here = len(set(shown) & set(sweep.front.tolist()))
    some = f", {here} of them here" if here < len(sweep.front) else ""
    return (
        f"{text}; {tolerable:,} keep{'s' * (tolerable == 1)} {sweep.tolerance.describe()}."
        f" {len(sweep.front):,} on the Pareto front{some}:"
    )


def _shown(sweep: GridSweep, most_lines: int | None) -> list[int]:
    """The policies in the table, from most saved to least.

    These are the front, thinned to ``most_lines`` on a screen (less so where the loss is tolerable), the
    centres and corners of regions that are described in sentences, and some of the single policies.
    """
    in_sentences = sweep.distinct if len(sweep.distinct) <= _MOST_SENTENCES else []
    marked = [index for result, _ in in_sentences for index in result.marked]
    tolerable = sweep.tolerable[sweep.front]
    tried = sweep.sweep.figures["runs"]
    singles = [index for index in sweep.singles if tried[index]][:_MOST_SINGLES]
    others = (1, 10, 5, 12, 8 if sweep.tolerance.kind != "lost" else 5, 7, 8)
    room = WIDTH - sum(size + 2 for size in others)
    shown: list[int] = []
    for most in range(_MOST_ROWS, 1, -1):
        above = thin(sweep.front[~tolerable], most // 3)
        below = thin(sweep.front[tolerable], most - len(above))
        shown = list(dict.fromkeys([*above.tolist(), *below.tolist(), *marked, *singles]))
        lines = sum(1 + (len(spec) > room) for spec in _specs(sweep, shown))
        if most_lines is None or lines <= max(most_lines, _FEWEST_LINES):
            break
    return sorted(shown, key=lambda index: -sweep.saved[index])


def _table(sweep: GridSweep, shown: Sequence[int], medium: Medium) -> Table:
    ranked, summaries = sweep.ranked, sweep.summaries
    centres, corners = {result.centre for result in ranked}, {result.corner for result in ranked}
    marks = {
        spec: "*" if index in centres else "^" if index in corners else ""
        for index, spec in zip(shown, _specs(sweep, shown), strict=True)
    }
    head = ["policy", "", "saved", "total", "lost", "worst", "equal", "verdict"]
    if sweep.tolerance.kind != "lost":  # the worst share lost is not what is limited
        head = [name for name in head if name != "worst"]
        head.insert(4, "regret")
    first = [name for name in BASELINES if name not in marks and name in summaries]
    last = [ORACLE] if ORACLE in summaries else []
    rows = [_cells(sweep, summaries[name], marks.get(name, "")) for name in (*first, *marks, *last)]
    return Table(head, rows, (0, len(head) - 1), medium=medium)


def _cells(sweep: GridSweep, summary: Mapping[str, Any], mark: str) -> list[str]:
    tolerance = sweep.tolerance
    cells = [
        label(summary["policy"]),
        mark,
        cell(summary["saved_mean"], summary["saved_low"], summary["saved_high"]),
        percent(summary["saved_total"]),
        cell(summary["lost_mean"], summary["lost_low"], summary["lost_high"]),
        percent(summary["lost_worst"]),
        "" if summary["spec"] in ("never", ORACLE) else percent(summary["budget_lost"]),
        SHORT_VERDICTS.get(summary["verdict"], summary["verdict"]),
    ]
    if tolerance.kind != "lost":
        del cells[5]
        cells.insert(4, describe_loss(tolerance, summary[tolerance.key]))
    return cells


def _legend(sweep: GridSweep) -> str:
    marks = " * centre of the good region" if sweep.ranked else ""
    if any(len(set(result.marked)) > 1 for result, _ in sweep.distinct):
        marks += ", ^ the corner that saves most"
    return (
        "total: share of the total compute of all runs. lost: share of a run's improvement given up; equal:"
        f" the loss if every run had been given the policy's average budget.{RANGES}"
        + describe_source(sweep.outcomes.study)
        + (f"{marks}." if marks else "")
    )


def _regions(sweep: GridSweep) -> list[str]:
    """The regions in sentences, those that save most first, and the grids without a region."""
    distinct = sweep.distinct
    out = [describe_region(sweep, result) + _alike(others) for result, others in distinct[:_MOST_REGIONS]]
    if len(distinct) > _MOST_REGIONS:
        more = sum(1 + len(others) for _, others in distinct[_MOST_REGIONS:])
        out.append(f"{more} more rules have a good region.")
    return out + _without_region(sweep)


def _alike(others: Sequence[GridResult]) -> str:
    """The other rules whose centre gives the same figures."""
    if not others:
        return ""
    return f" The same by {_names(others, _MOST_NAMES)}."


def _names(results: Sequence[GridResult], most: int) -> str:
    names = [result.grid.rule for result in results]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _without_region(sweep: GridSweep) -> list[str]:
    """Grids in which no point is tolerable and saves anything, each with the point that loses least."""
    runs = sweep.sweep.figures["runs"]
    lacking = [result for result in sweep.grids if result.region is None and runs[result.indices].any()]
    if not lacking or (sweep.ranked and len(sweep.grids) > _MOST_SENTENCES):
        return []
    out = []
    for result in lacking[:_MOST_SENTENCES]:
        text = f"No point of {result.grid.rule} keeps {sweep.tolerance.describe()} and saves anything"
        least = sweep.least_losing(result)
        if least is not None:
            text += (
                f"; of those that save, {result.spec(least)} loses least: it"
                f" {describe_figures(sweep, result.start + least)}"
            )
        out.append(text + ".")
    return out


def _region_table(sweep: GridSweep) -> list[Block]:
    """The regions of many rules, one row per rule, for the screen."""
    shown = sweep.distinct[:_MOST_REGIONS]
    keeps = sweep.tolerance.describe()
    head = ["centre of region", "good", "saved", "lost", "runs", "same", f"keeps {keeps} for"]
    rows = [_region_cells(sweep, result, others) for result, others in shown]
    notes = []
    result, others = max(shown, key=lambda entry: len(entry[1]))
    if others:
        notes.append(f"same: rules whose centre gives the same; as {result.grid.rule}: {_names(others, 4)}.")
    more = sum(1 + len(others) for _, others in sweep.distinct[_MOST_REGIONS:])
    without = len(sweep.grids) - len(sweep.ranked)
    rest = [f"{more} more rules keep {keeps} and save less"] if more else []
    rest += [f"{without} do not keep it, save nothing or could not be tried"] if without else []
    if rest:
        notes.append(f"{'; '.join(rest)}.")
    return [Table(head, rows, (0, 6), medium="screen"), *separate(notes, tight=True, medium="screen")]


def _region_cells(sweep: GridSweep, result: GridResult, others: Sequence[GridResult]) -> list[str]:
    figures, region = sweep.sweep.figures, result.region
    assert region is not None
    return [
        result.spec(region.centre),
        f"{len(region.points)}/{len(result.grid.points)}",
        percent(sweep.saved[result.centre]),
        percent(figures["lost_mean"][result.centre]),
        number(int(figures["runs"][result.centre])),
        f"+{len(others)}" if others else "",
        ", ".join(f"{span.name} {move_bounds(span)}" for span in region.spans),
    ]


def _closing(sweep: GridSweep) -> list[str]:
    what = "Front and region were" if sweep.ranked else "The front was"
    out = [
        (
            f"{what} selected on these runs, so the figures are in-sample and optimistic; replay choose gives"
            " cross-validated ones."
        )
    ]
    if find_shortage(sweep.outcomes.study.compared_evals):
        out.append(
            f"Too few to rank policies: at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals are needed."
        )
    return out


def _limits(sweep: GridSweep) -> list[Finding]:
    """What bounds the meaning of the figures of the centres."""
    centres = [sweep.sweep.policies[result.centre] for result in sweep.ranked[:_MOST_SENTENCES]]
    return find_limits(sweep.outcomes.study, centres)
