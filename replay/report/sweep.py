"""The answer of ``replay sweep``: the Pareto front of many policies, and where in their grids the good region
is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from replay.data.types import Bools, Floats, Ints
from replay.engine.simulation import BASELINES, ORACLE, Setup, Simulation, records, replay_in
from replay.errors import InputError, printable
from replay.policies import Policy
from replay.policies.grid import Dimension, Grid
from replay.report.simulate import SHORT, drawn, headline, watched
from replay.report.tables import (
    WIDTH,
    cell,
    csv_text,
    json_text,
    lines,
    markdown,
    number,
    percent,
    suggested,
    wrapped,
)
from replay.search.front import front, thin
from replay.search.region import WITHIN, Region, Span, region
from replay.search.sweep import FIGURES, Sweep, sweep_in
from replay.search.tolerance import Limit
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, summarise, too_few
from replay.stats.validity import notes

__all__ = ["Part", "Swept", "as_csv", "as_json", "as_markdown", "as_text", "sweep"]

_MOST_FRONT = 100  # of which intervals and verdicts are computed
_MOST_ROWS = 12
_FEWEST_LINES = 4
_SCREEN = 36  # lines, but for the head of the table and the baselines
_MOST_TOLD = 2  # regions in sentences; more are a table
_MOST_REGIONS = 4
_MOST_VALUES = 4
_COUNTS = ("runs", "stopped", "censored")


@dataclass(frozen=True, eq=False)
class Part:
    """One grid of a sweep: the places of its points among the sweep's policies begin at ``start``; its good
    region, if there is one.
    """

    grid: Grid
    start: int
    region: Region | None

    @property
    def places(self) -> slice:
        """Its points among the sweep's policies."""
        return slice(self.start, self.start + len(self.grid.points))

    @property
    def marked(self) -> list[int]:
        """The centre and the corner of the region, among the sweep's policies."""
        return [] if self.region is None else [self.start + self.region.centre, self.start + self.region.best]

    def spec(self, place: int) -> str:
        """A point's specification."""
        return self.grid.points[place][0].spec()

    def values(self, axis: int) -> list[int]:
        """The places of the values that the region's points have in a dimension."""
        assert self.region is not None
        return sorted({self.grid.points[place][1][axis] for place in self.region.points.tolist()})


@dataclass(eq=False)
class Swept:
    """A sweep with its front and regions.

    ``front`` are places of policies that were tried on as many runs as any, from most saved to least.
    ``rows`` holds the summary of those that are shown, by specification: of the front (thinned where it is
    long), of the regions' centres and corners, and of the single policies that were given beside the grids.
    """

    sweep: Sweep
    limit: Limit
    parts: list[Part]
    front: Ints
    simulation: Simulation
    rows: dict[str, dict[str, Any]]

    @property
    def loss(self) -> Floats:
        """What the limit is about, of each policy."""
        return self.sweep.figures[self.limit.key]

    @property
    def ranked(self) -> list[Part]:
        """The grids that have a good region: those tried on all runs first, then by what the centre saves."""
        figures = self.sweep.figures
        having = [part for part in self.parts if part.region is not None]
        return sorted(
            having,
            key=lambda part: (
                -figures["runs"][part.marked[0]],
                -figures["saved_mean"][part.marked[0]].round(9),
            ),
        )

    @property
    def distinct(self) -> list[tuple[Part, list[Part]]]:
        """The same, rules whose centres give the same figures together: the first of them, and the others."""
        figures = self.sweep.figures
        found: dict[tuple[float, ...], list[Part]] = {}
        for part in self.ranked:
            key = tuple(
                float(figures[name][part.marked[0]].round(9))
                for name in ("runs", "saved_mean", self.limit.key, "lost_worst")
            )
            found.setdefault(key, []).append(part)
        return [(parts[0], parts[1:]) for parts in found.values()]

    @property
    def singles(self) -> range:
        """The policies that are in no grid."""
        return range(self.parts[-1].places.stop if self.parts else 0, len(self.sweep.policies))

    def kept(self) -> Bools:
        """Which policies keep the limit."""
        kept: Bools = self.loss <= self.limit.value
        return kept


def sweep(
    setup: Setup,
    grids: Sequence[Grid],
    singles: Sequence[Policy],
    limit: Limit,
    *,
    optional: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Swept:
    """Sweep the points of grids and single policies over runs that are set up, and judge them.

    With ``optional``, policies that the runs lack something for are left out, and told. ``progress`` is
    called with the number of policies done. Raises InputError where no policy can be tried.
    """
    points = [policy for grid in grids for policy, _ in grid.points]
    rules = [*points, *(policy for policy in dict.fromkeys(singles) if policy not in set(points))]
    swept = sweep_in(setup, rules, optional=optional, progress=progress)
    figures = swept.figures
    if not figures["runs"].any():
        raise InputError(
            "none of the policies can be tried on these runs:"
            f" {setup.warnings[-1] if setup.warnings else 'no run is left'}"
        )
    loss = figures[limit.key]
    whole = figures["runs"] == figures["runs"].max()
    best = front(np.where(whole, figures["saved_mean"], np.nan), loss)
    parts, start = [], 0
    for grid in grids:
        places = slice(start, start + len(grid.points))
        parts.append(Part(grid, start, region(grid, figures["saved_mean"][places], loss[places], limit)))
        start = places.stop
    idle = int((figures["runs"] == 0).sum())
    if idle:
        setup.tell(f"{idle:,} of {len(rules):,} policies could be tried on no run")
    partial = int(((figures["runs"] > 0) & ~whole).sum())
    if partial:
        most = int(figures["runs"].max())
        setup.tell(
            f"{partial:,} of {len(rules):,} policies were tried on fewer than {most} runs: they are not on"
            " the front"
        )
    shown = dict.fromkeys(
        [
            *thin(best, _MOST_FRONT).tolist(),
            *(place for part in parts for place in part.marked),
            *range(start, len(rules)),
        ]
    )
    told = len(setup.warnings)
    simulation = replay_in(setup, [rules[place] for place in shown if figures["runs"][place]], baselines=True)
    del setup.warnings[told:]  # the sweep has told what these policies lack
    rows = {row["policy"]: row for row in records(summarise(simulation))}
    return Swept(swept, limit, parts, best, simulation, rows)


def as_json(swept: Swept) -> str:
    """The whole sweep: ``front``, ``regions``, ``baselines``, all ``policies``, ``refused``, ``warnings``,
    and what was watched.
    """
    limit = swept.limit
    return json_text(
        {
            "front": [
                {key: swept.rows[spec][key] for key in KEYS}
                for spec in _specs(swept, thin(swept.front, _MOST_FRONT))
            ],
            "regions": [_region_row(swept, part) for part in swept.parts],
            "baselines": [swept.rows[name] for name in (*BASELINES, ORACLE) if name in swept.rows],
            "policies": [
                {
                    "policy": row.pop("policy"),
                    "rule": row.pop("rule"),
                    "parameters": row.pop("parameters"),
                    **row,
                }
                for row in _policy_rows(swept)
            ],
            "limit": {"kind": limit.kind, "value": limit.value, "text": limit.text, "within": WITHIN},
            "refused": [
                {"policy": spec, "reason": reason}
                for part in swept.parts
                for spec, reason in part.grid.refused
            ],
            "warnings": swept.sweep.setup.warnings,
            "notes": _notes(swept),
            **watched(swept.simulation),
        }
    )


def as_csv(swept: Swept) -> str:
    """One row a policy, all of them: its parameters, its figures, and whether it is on the front and good."""
    names = list(dict.fromkeys(dimension.name for part in swept.parts for dimension in part.grid.dimensions))
    rows = ({**dict.fromkeys(names), **row.pop("parameters"), **row} for row in _policy_rows(swept))
    told = [
        {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}
        for row in rows
    ]
    return csv_text(
        [{**row, "on_front": int(bool(row["on_front"])), "good": int(bool(row["good"]))} for row in told],
        [
            "policy",
            "rule",
            *names,
            *FIGURES,
            "on_front",
            "good",
        ],
    )


def as_markdown(swept: Swept) -> str:
    """Headline, front and regions as markdown."""
    places = _shown(swept, None)
    head, rows, left = _table(swept, places)
    told = [*headline(swept.simulation), _counted(swept, places)]
    after = [_legend(swept), *_regions(swept), *_closing(swept)]
    return (
        "\n\n".join([*map(printable, told), markdown(head, rows, left).rstrip(), *map(printable, after)])
        + "\n"
    )


def as_text(swept: Swept, found: Sequence[str] = (), next_steps: Sequence[Sequence[str]] = ()) -> str:
    """The first screen, at most 80 columns: what was read and swept, the front, the regions, what to type
    next.
    """
    before = [line for text in [*found, *headline(swept.simulation)] for line in wrapped(text, indent="  ")]
    after = wrapped(_legend(swept))
    if len(swept.distinct) <= _MOST_TOLD:
        after += [line for text in _regions(swept) for line in wrapped(text)]
    else:
        after += ["", *_region_table(swept)]
    after += [line for text in _closing(swept) for line in wrapped(text)]
    if next_steps:
        after += ["", *suggested(next_steps)]
    places = _shown(swept, _SCREEN - 1 - len(before) - len(after))
    head, rows, left = _table(swept, places)
    return (
        "\n".join(
            [
                *before,
                *wrapped(_counted(swept, places), indent="  "),
                "",
                *lines(head, rows, left=left),
                "",
                *after,
            ]
        )
        + "\n"
    )


def _specs(swept: Swept, places: Ints | Sequence[int]) -> list[str]:
    return [swept.sweep.policies[place].spec() for place in places]


def _policy_rows(swept: Swept) -> Iterator[dict[str, Any]]:
    count = len(swept.sweep.policies)
    on_front, good = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    on_front[swept.front] = True
    for part in swept.parts:
        if part.region is not None:
            good[part.start + part.region.good] = True
    columns = {
        name: values.astype(np.int64).tolist() if name in _COUNTS else values.tolist()
        for name, values in swept.sweep.figures.items()
    }
    named: list[tuple[str, dict[str, str]]] = [
        (
            part.grid.rule,
            {item.name: item.values[at] for item, at in zip(part.grid.dimensions, coordinates, strict=True)},
        )
        for part in swept.parts
        for _, coordinates in part.grid.points
    ]
    named += [(swept.sweep.policies[place].name, {}) for place in swept.singles]
    for place, (policy, (rule, parameters)) in enumerate(zip(swept.sweep.policies, named, strict=True)):
        yield {
            "policy": policy.spec(),
            "rule": rule,
            "parameters": parameters,
            **{name: columns[name][place] for name in FIGURES},
            "on_front": bool(on_front[place]),
            "good": bool(good[place]),
        }


def _region_row(swept: Swept, part: Part) -> dict[str, Any]:
    found = part.region
    head = {
        "rule": part.grid.rule,
        "grid": {item.name: list(item.values) for item in part.grid.dimensions},
        "points": len(part.grid.points),
    }
    if found is None:
        return head | dict.fromkeys(("good", "in_region", "values", "centre", "best", "spans"))
    return head | {
        "good": len(found.good),
        "in_region": len(found.points),
        "values": {
            item.name: [item.values[at] for at in part.values(axis)]
            for axis, item in enumerate(part.grid.dimensions)
        },
        "centre": swept.rows[part.spec(found.centre)],
        "best": swept.rows[part.spec(found.best)],
        "spans": [vars(span) for span in found.spans],
    }


def _counted(swept: Swept, places: Sequence[int]) -> str:
    """How many policies there were, kept the limit, and were refused, before the table that shows those at
    some places.
    """
    count = len(swept.sweep.policies)
    refused = [entry for part in swept.parts for entry in part.grid.refused]
    rules = f" of {len(swept.parts)} rules" if len(swept.parts) > 1 else ""
    text = f"{count:,} polic{'ies' if count != 1 else 'y'}{rules}"
    if refused:
        text += f" ({len(refused):,} refused: {refused[0][0]}: {refused[0][1]})"
    kept, runs, total = (
        int(swept.kept().sum()),
        int(swept.sweep.figures["runs"].max()),
        len(swept.simulation.runs),
    )
    if runs < total:
        text += f", tried on {runs} of {total} runs"
    here = len(set(places) & set(swept.front.tolist()))
    some = f", {here} of them here" if here < len(swept.front) else ""
    return (
        f"{text}; {kept:,} keep{'s' * (kept == 1)} {swept.limit.describe()}. {len(swept.front):,} on the"
        f" Pareto front{some}:"
    )


def _shown(swept: Swept, most_lines: int | None) -> list[int]:
    """Places of the policies in the table, from most saved to least: the front thinned to fit, less so where
    the limit is kept, with the centres and corners, and the single ones.
    """
    saved = swept.sweep.figures["saved_mean"]
    told = (
        swept.distinct if len(swept.distinct) <= _MOST_TOLD else []
    )  # else the table of the regions has them
    marked = [place for part, _ in told for place in part.marked]
    kept = swept.kept()[swept.front]
    single = [place for place in swept.singles if swept.sweep.figures["runs"][place]][:4]
    room = WIDTH - sum(
        size + 2 for size in (1, 10, 12, 5, 7, 8, *([8] if swept.limit.kind != "lost" else []))
    )
    places: list[int] = []
    for most in range(_MOST_ROWS, 1, -1):
        above = thin(swept.front[~kept], most // 3)
        places = list(
            dict.fromkeys(
                [*above.tolist(), *thin(swept.front[kept], most - len(above)).tolist(), *marked, *single]
            )
        )
        height = sum(1 + (len(spec) > room) for spec in _specs(swept, places))
        if most_lines is None or height <= max(most_lines, _FEWEST_LINES):
            break
    return sorted(places, key=lambda place: -saved[place])


def _table(swept: Swept, places: Sequence[int]) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    limit = swept.limit
    centres = {part.marked[0] for part in swept.ranked}
    corners = {part.marked[1] for part in swept.ranked}
    head = ["policy", "", "saved", "lost", "worst", "shorter", "verdict"]
    if limit.kind != "lost":
        head.insert(3, "regret")
    rows = []
    names = {
        swept.sweep.policies[place].spec(): "*" if place in centres else "^" if place in corners else ""
        for place in places
    }
    first = [name for name in BASELINES if name not in names and name in swept.rows]
    for name in (*first, *names, *([ORACLE] if ORACLE in swept.rows else [])):
        row = swept.rows[name]
        cells = [
            name,
            names.get(name, ""),
            cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
            cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
            percent(row["lost_worst"]),
            "" if name in ("never", ORACLE) else percent(row["budget_lost"]),
            SHORT.get(row["verdict"], row["verdict"]),
        ]
        if limit.kind != "lost":
            cells.insert(3, _loss(limit, row[limit.key]))
        rows.append(cells)
    return head, rows, (0, len(head) - 1)


def _loss(limit: Limit, value: float | None) -> str:
    return number(value) if limit.kind == "regret" else percent(value)


def _legend(swept: Swept) -> str:
    marks = " * centre of the good region" if swept.ranked else ""
    if any(len(set(part.marked)) > 1 for part, _ in swept.distinct):
        marks += ", ^ the corner that saves most"
    return (
        "lost: share of a run's improvement given away; shorter: lost by training shorter by as much. Ranges:"
        " 95 % bootstrap over runs" + drawn(swept.simulation) + (f"{marks}." if marks else "")
    )


def _regions(swept: Swept) -> list[str]:
    """The regions in sentences, those that save most first; then what there is where there is none."""
    ranked = swept.distinct
    out = [_region(swept, part) + _alike(others) for part, others in ranked[:_MOST_REGIONS]]
    if len(ranked) > _MOST_REGIONS:
        out.append(
            f"{sum(1 + len(others) for _, others in ranked[_MOST_REGIONS:])} more rules have a good region."
        )
    return out + _without(swept)


def _alike(others: Sequence[Part]) -> str:
    """Of which other rules the centre gives the same."""
    if not others:
        return ""
    names = [part.grid.rule for part in others]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f" The same by {shown}."


def _without(swept: Swept) -> list[str]:
    """What to say of grids in which no point keeps the limit and saves anything."""
    lacking = [
        part for part in swept.parts if part.region is None and swept.sweep.figures["runs"][part.places].any()
    ]
    if not lacking or (swept.ranked and len(swept.parts) > _MOST_TOLD):
        return []
    out = []
    for part in lacking[:_MOST_TOLD]:
        loss, saved = swept.loss[part.places], swept.sweep.figures["saved_mean"][part.places]
        able = np.flatnonzero(~np.isnan(loss) & (saved > 0))
        text = f"No point of {part.grid.rule} keeps {swept.limit.describe()} and saves anything"
        if len(able):
            least = int(able[np.lexsort((-saved[able], loss[able]))[0]])
            text += (
                f"; of those that save, {part.spec(least)} loses least: it"
                f" {_gives(swept, part.start + least)}"
            )
        out.append(text + ".")
    return out


def _gives(swept: Swept, place: int) -> str:
    figures, limit = swept.sweep.figures, swept.limit
    text = f"saves {percent(figures['saved_mean'][place])} and loses {percent(figures['lost_mean'][place])}"
    return text if limit.kind == "lost" else f"{text} ({limit.noun} {_loss(limit, float(swept.loss[place]))})"


def _region(swept: Swept, part: Part) -> str:
    found, limit = part.region, swept.limit
    assert found is not None
    count, total = len(found.points), len(part.grid.points)
    runs, most = int(swept.sweep.figures["runs"][part.marked[0]]), len(swept.simulation.runs)
    on = f" (on {runs} of {most} runs)" if runs < most else ""
    centre, best = part.spec(found.centre), part.spec(found.best)
    if total == 1:
        return f"{centre} {_gives(swept, part.marked[0])}{on}."
    where = ", ".join(_ranges(part)) or part.grid.rule
    rule = "" if part.grid.rule in where.split("=")[0] else f"{part.grid.rule}: "
    text = (
        f"Good region: {rule}{where}{on}. There {count:,} of {total:,} points keep {limit.describe()} and"
        f" save within {WITHIN * 100:.0f} points of the most that does. Its centre, {centre},"
        f" {_gives(swept, part.marked[0])}."
    )
    if moves := _moves(part, limit):
        text += f" {moves}"
    if found.best != found.centre:
        text += f" The corner that saves most, {best}, {_gives(swept, part.marked[1])}."
    return text


def _ranges(part: Part) -> list[str]:
    """The values that the region's points have, one text a dimension that has several."""
    return [
        f"{dimension.name}={_values(dimension, part.values(axis))}"
        for axis, dimension in enumerate(part.grid.dimensions)
        if len(dimension.values) > 1
    ]


def _values(dimension: Dimension, places: Sequence[int]) -> str:
    values = [dimension.values[place] for place in places]
    if dimension.ordered and len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{values[0]}..{values[-1]}"
    shown = values if len(values) <= _MOST_VALUES else [*values[: _MOST_VALUES - 1], "..."]
    return "|".join(shown)


def _moves(part: Part, limit: Limit) -> str:
    """How far each parameter can move."""
    found = part.region
    assert found is not None
    if not found.spans:
        return ""
    told = [_move(span, limit) for span in found.spans]
    edge = any("edge" in text for text in told)
    return f"Each alone, before {limit.noun} passes {limit.text}: {', '.join(told)}" + (
        "; nothing is known beyond an edge." if edge else "."
    )


def _move(span: Span, limit: Limit) -> str:
    low, high = f"{span.low}{' (edge)' * span.low_edge}", f"{span.high}{' (edge)' * span.high_edge}"
    if span.low == span.high:
        return f"{span.name} stays at {span.value}" + (" (edge)" if span.low_edge or span.high_edge else "")
    return f"{span.name} from {low} to {high}"


def _region_table(swept: Swept) -> list[str]:
    """The regions of many rules, one row a rule."""
    figures = swept.sweep.figures
    rows = []
    shown = swept.distinct[:_MOST_REGIONS]
    for part, others in shown:
        assert part.region is not None
        centre = part.marked[0]
        spans = ", ".join(
            f"{span.name} {span.low}{'..' + span.high if span.high != span.low else ''}"
            for span in part.region.spans
        )
        rows.append(
            [
                part.spec(part.region.centre),
                f"{len(part.region.points)}/{len(part.grid.points)}",
                percent(figures["saved_mean"][centre]),
                percent(figures["lost_mean"][centre]),
                f"{int(figures['runs'][centre])}",
                f"+{len(others)}" if others else "",
                spans,
            ]
        )
    head = [
        "centre of region",
        "good",
        "saved",
        "lost",
        "runs",
        "same",
        f"keeps {swept.limit.describe()} for",
    ]
    out = lines(head, rows, left=(0, 6))
    part, others = max(shown, key=lambda entry: len(entry[1]))
    if others:
        names = [other.grid.rule for other in others]
        besides = f" and {len(names) - 4} more" if len(names) > 4 else ""
        out += wrapped(
            f"same: rules whose centre gives the same; as {part.grid.rule}: {', '.join(names[:4])}{besides}."
        )
    more = sum(1 + len(others) for _, others in swept.distinct[_MOST_REGIONS:])
    none = len(swept.parts) - len(swept.ranked)
    rest = [f"{more} more rules keep {swept.limit.describe()} and save less" if more > 0 else ""]
    rest += [f"{none} do not keep it, save nothing or could not be tried" if none else ""]
    told = "; ".join(filter(None, rest))
    return out + (wrapped(f"{told}.") if told else []) + [""]


def _notes(swept: Swept) -> list[str]:
    shown = [
        part.grid.points[part.region.centre][0]
        for part in swept.ranked[:_MOST_TOLD]
        if part.region is not None
    ]
    return notes(swept.simulation.runs, swept.simulation.curves, shown)


def _closing(swept: Swept) -> list[str]:
    what = "Front and region were" if swept.ranked else "The front was"
    out = [
        (
            f"{what} chosen on these runs, so the figures are in-sample and too good; replay choose gives"
            " held-out ones."
        )
    ]
    if too_few([len(curve) for curve in swept.simulation.curves.values()]):
        out.append(
            f"Too few to rank policies: at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals are needed."
        )
    return out + _notes(swept)
