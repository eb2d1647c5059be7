"""The answer of ``replay choose``: the policy to use, how it does on runs that did not choose it, and the
lines to paste.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.engine.simulation import ORACLE, Setup
from replay.errors import InputError, printable
from replay.policies import Policy
from replay.policies.grid import Grid
from replay.report.simulate import headline
from replay.report.tables import (
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
from replay.search.choice import BREAKS, NO_BETTER, NONE_KEEPS, TOO_FEW, USE, Choice, Line, choose_in
from replay.search.tolerance import Limit
from replay.stats.intervals import ENOUGH_GROUPS, RELIABLE_OTHERS, RELIABLE_RUNS, reliable
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, too_few
from replay.stats.validity import notes

__all__ = [
    "as_csv",
    "as_json",
    "as_markdown",
    "as_text",
    "league",
    "league_as_csv",
    "league_as_json",
    "league_as_markdown",
    "league_as_text",
    "refused",
]

_IN_WORDS = {
    "in sample": "the runs that chose it",
    "held out by run": "held-out runs",
    "without censored runs": "of them uncensored",
}
_COLUMNS = (
    "scored_on",
    "policy",
    "runs",
    "saved_mean",
    "saved_low",
    "saved_high",
    "lost_mean",
    "lost_low",
    "lost_high",
    "lost_worst",
    "regret_mean",
    "regret_low",
    "regret_high",
    "relative_regret_mean",
    "regret_corrected",
    "budget_lost",
    "budget_regret",
    "kept",
    "judged",
    "within_noise",
    "censored",
    "compared",
)


def as_json(choice: Choice) -> str:
    """The choice in full."""
    simulation = choice.simulation
    return json_text(
        {
            "policy": None if choice.policy is None else choice.policy.spec(),
            "verdict": choice.verdict,
            "limit": {"kind": choice.limit.kind, "value": choice.limit.value, "text": choice.limit.text},
            "confidence": choice.choosing.confidence,
            "candidates": len(choice.choosing.policies) - choice.choosing.partial,
            "lines": _rows(choice),
            "folds": [
                {
                    "by": held.by,
                    "policies": [None if policy is None else policy.spec() for policy in held.chosen],
                    "runs": {
                        run.id: int(fold)
                        for run, fold in zip(simulation.runs, held.fold.tolist(), strict=True)
                    },
                }
                for held in choice.choosing.held_out
            ],
            "monitor": {"metric": simulation.monitor.metric, "mode": simulation.monitor.mode},
            "objective": {"metric": simulation.objective.metric, "mode": simulation.objective.mode},
            "unit": simulation.unit,
            "keep": simulation.keep,
            "censored": simulation.censored,
            "callback": _callback(choice.policy),
            "check": _check(choice),
            "notes": _notes(choice),
            "warnings": simulation.warnings,
        }
    )


def as_csv(choice: Choice) -> str:
    """One row a way of scoring the choice, baselines last."""
    return csv_text(_rows(choice), _COLUMNS)


def as_markdown(choice: Choice) -> str:
    """Headline, table and verdict as markdown."""
    head, rows, left = _table(choice)
    before = [*headline(choice.simulation), *_chosen(choice)]
    after = [*_told(choice), *_notes(choice)]
    return "\n\n".join([*map(printable, before), markdown(head, rows, left), *map(printable, after)]) + "\n"


def as_text(choice: Choice, found: Sequence[str] = (), next_steps: Sequence[Sequence[str]] = ()) -> str:
    """The first screen, at most 80 columns: the policy and the verdict, one row a way of scoring it, what to
    paste.
    """
    out = [line for text in [*found, *headline(choice.simulation)] for line in wrapped(text, indent="  ")]
    out += ["", *(line for text in _chosen(choice) for line in wrapped(text)), ""]
    head, rows, left = _table(choice)
    out += lines(head, rows, left=left)
    out.append("")
    for text in (*_told(choice), *_notes(choice)):
        out += wrapped(text)
    if choice.policy is not None and choice.verdict == USE:
        out += [
            "",
            "to stop a training by it:",
            *(f"  {line}" for line in _callback(choice.policy).splitlines()),
        ]
        out += ["to guard it in a file of policies:", *(f"  {line}" for line in _check(choice).splitlines())]
    if next_steps:
        out += ["", *suggested(next_steps)]
    return "\n".join(out) + "\n"


def _chosen(choice: Choice) -> list[str]:
    count = len(choice.choosing.policies)
    asked = f"{count:,} polic{'ies' if count != 1 else 'y'} tried for {choice.limit.describe()}."
    if choice.policy is None:
        return [asked, f"Verdict: {choice.verdict}."]
    return [asked, f"Chosen: {choice.policy.spec()}", f"Verdict: {choice.verdict}."]


def _table(choice: Choice) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    head = ["scored on", "saved", "lost", "worst", "shorter", "limit kept"]
    if choice.limit.kind != "lost":
        head.insert(2, choice.limit.noun.replace("relative regret", "regret"))
    rows = []
    main, *others = choice.held_out
    for line in (choice.in_sample, main, *([choice.uncensored] if choice.uncensored else []), *others):
        rows.append(
            _row(
                choice,
                _IN_WORDS.get(line.name, f"held-out {line.name.removeprefix('held out by ')}s"),
                line.summary,
                line,
            )
        )
    for name, summary in choice.baselines.items():
        rows.append(_row(choice, name, summary, None))
    return head, rows, (0,)


def _row(choice: Choice, name: str, summary: dict[str, Any], line: Line | None) -> list[str]:
    fixed = line is None and summary["policy"] in ("never", ORACLE)
    cells = [
        name,
        cell(summary["saved_mean"], summary["saved_low"], summary["saved_high"]),
        cell(summary["lost_mean"], summary["lost_low"], summary["lost_high"]),
        percent(summary["lost_worst"]),
        "" if fixed else percent(summary["budget_lost"]),
        "" if line is None else f"{line.kept}/{line.judged} runs",
    ]
    if choice.limit.kind != "lost":
        value = summary[choice.limit.key]
        cells.insert(2, percent(value) if choice.limit.kind == "relative_regret" else number(value))
    return cells


def _told(choice: Choice) -> list[str]:
    """What the table means, in sentences."""
    held = choice.held_out[0]
    out = [
        "lost: share of a run's improvement (first eval to best) given away; shorter: lost by training"
        " shorter by as much. The first row is too good: these runs chose the policy. Of the others, each"
        " run was left out when the policy it is scored with was chosen. Ranges:"
        f" {100 * choice.choosing.confidence:.4g} % intervals" + _drawn(choice)
    ]
    if choice.verdict == TOO_FEW:
        out.append(_too_few(choice))
    elif choice.verdict == NONE_KEEPS:
        out.append(f"No policy keeps {choice.limit.describe()} on these runs; {_nearest(choice)}")
    else:
        same, folds = choice.stable[0]
        out.append(
            "It saves most of those whose mean loss keeps the limit with a margin for chance (t at"
            f" {choice.choosing.confidence:.4g}); {same} of {folds} folds choose the same. On the runs that"
            f" chose it it loses {_figure(choice, choice.in_sample)}; held out, {_figure(choice, held)}."
        )
        reasons = {
            BREAKS: (
                f"That is more than {choice.limit.text}: the choice does not hold on runs that it has not"
                " seen."
            ),
            NO_BETTER: (
                "A shorter run (a fixed budget of the same mean compute) loses"
                f" {percent(held.summary['budget_lost'])}."
            ),
        }
        if choice.verdict in reasons:
            out.append(reasons[choice.verdict])
    for line, (same, folds) in zip(choice.held_out[1:], choice.stable[1:], strict=True):
        loss = line.summary[choice.limit.key]
        if loss is not None and loss > choice.limit.value:
            out.append(
                f"It does not carry over: chosen without a whole group ({_groups(choice)}), it loses"
                f" {_figure(choice, line)} there, and {same} of {folds} folds choose this same policy. On"
                " other data or models, measure again."
            )
    regret = held.summary["regret_mean"]
    if held.corrected is not None and regret:
        out.append(
            f"Noise: the held-out regret is {number(regret)} on average; {number(held.corrected)} without the"
            f" luck of the best eval of a noisy curve. {held.summary['within_noise']} of"
            f" {held.summary['runs']} runs lose no more than their own eval noise."
        )
    losses = np.array(
        [np.nan if row["lost"] is None else row["lost"] for row in choice.rows], dtype=np.float64
    )
    if not reliable(losses, choice.groups):
        lose = int((losses > 0).sum())
        out.append(
            f"Intervals are rough where there are fewer than {RELIABLE_RUNS} runs, or fewer than"
            f" {RELIABLE_OTHERS} that lose anything (here {lose} of {len(losses)} do)."
        )
    if choice.choosing.partial:
        count = choice.choosing.partial
        out.append(
            f"{count} polic{'ies' if count != 1 else 'y'} could not be tried on every run, and so not chosen."
        )
    return out


def _figure(choice: Choice, line: Line) -> str:
    value = line.summary[choice.limit.key]
    if choice.limit.kind == "regret":
        return f"{number(value)} in {choice.simulation.objective.metric}"
    return percent(value) + (" of |best|" if choice.limit.kind == "relative_regret" else "")


def _drawn(choice: Choice) -> str:
    count = len(set(choice.groups))
    if count == len(choice.groups):
        return "."
    return (
        f", drawing whole groups ({count})."
        if count >= ENOUGH_GROUPS
        else f" over runs of {_groups(choice)}."
    )


def _groups(choice: Choice) -> str:
    return ", ".join(printable(name) for name, _ in Counter(choice.groups).most_common(5))


def _too_few(choice: Choice) -> str:
    if why := too_few([len(curve) for curve in choice.simulation.curves.values()]):
        return (
            f"{why[0].upper()}{why[1:]}: too few to tell (at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals"
            " are needed)."
        )
    if choice.policy is None:
        return f"Policies keep the limit on these runs, but none with a margin for chance: {_nearest(choice)}"
    mean, high = choice.held_out[0].beyond_shorter
    return (
        f"Held out, it loses {percent(-mean)} of a run's improvement less than a shorter run, but that could"
        f" be chance (at {choice.choosing.confidence:.4g} confidence, {percent(high)} more): too few runs to"
        " tell."
    )


def _nearest(choice: Choice) -> str:
    least = choice.choosing.least
    if least is None:
        return "none saves anything."
    mean, bound = choice.choosing.loss_of(least)
    shown = number if choice.limit.kind == "regret" else percent
    return f"{least.spec()} loses least, {shown(mean)} on these runs ({shown(bound)} with the margin)."


def _notes(choice: Choice) -> list[str]:
    policies = [policy for policy in (choice.policy,) if policy is not None]
    return notes(choice.simulation.runs, choice.simulation.curves, policies)


def _callback(policy: Policy | None) -> str:
    """The policy as a callback for transformers' Trainer (see replay export for others)."""
    if policy is None:
        return ""
    return (
        "from replay.live.transformers import"
        f" StopCallback\ntrainer.add_callback(StopCallback({policy.spec()!r}))"
    )


def _check(choice: Choice) -> str:
    """The policy and its limit as an entry of a file of policies."""
    if choice.policy is None:
        return ""
    name = "max_lost" if choice.limit.kind == "lost" else "max_regret"
    value = f"{choice.limit.value!r}" if choice.limit.kind == "regret" else f'"{choice.limit.text}"'
    spec = choice.policy.spec().replace("\\", "\\\\").replace('"', '\\"')
    return f'[policies.chosen]\nspec = "{spec}"\n{name} = {value}'


def _rows(choice: Choice) -> list[dict[str, Any]]:
    """One row a way of scoring, with the keys of _COLUMNS."""
    found = []
    every = [choice.in_sample, *choice.held_out, *([choice.uncensored] if choice.uncensored else [])]
    for line in every:
        found.append(
            {
                "scored_on": line.name,
                "policy": (
                    choice.policy.spec() if line is choice.in_sample and choice.policy is not None else None
                ),
                **{key: line.summary.get(key) for key in _COLUMNS if key in line.summary and key != "policy"},
                "kept": line.kept,
                "judged": line.judged,
                "regret_corrected": line.corrected,
                "compared": line.summary["verdict"],
            }
        )
    for name, summary in choice.baselines.items():
        found.append(
            {
                "scored_on": "baseline",
                "policy": name,
                **{key: summary.get(key) for key in _COLUMNS if key in summary and key != "policy"},
                "compared": summary["verdict"],
            }
        )
    return [{name: row.get(name) for name in _COLUMNS} for row in found]


League = Sequence[tuple[str, Choice | str]]


def league(
    runs: Sequence[Run],
    grids: Sequence[Grid],
    policies: Sequence[Policy],
    limit: Limit,
    watching: Mapping[str, Any],
    *,
    progress: Callable[[int], None] | None = None,
    **asked: Any,
) -> League:
    """A choice within each grid and for each single policy, by name; in words, why there is none. Further
    arguments as for `choose_in`.
    """
    found: list[tuple[str, Choice | str]] = []
    done = 0
    for name, rules in [
        *((grid.rule, [policy for policy, _ in grid.points]) for grid in grids),
        *((one.spec(), [one]) for one in policies),
    ]:
        try:
            if not rules:
                raise InputError("no point of its grid is a policy")
            found.append(
                (name, choose_in(Setup(runs, rules, **watching), rules, limit, optional=True, **asked))
            )
        except InputError as error:
            found.append((name, str(error)))
        done += len(rules)
        if progress is not None:
            progress(done)
    if all(isinstance(choice, str) for _, choice in found):
        raise InputError(f"no rule can be chosen; the first, {found[0][0]}: {found[0][1]}")
    return found


def refused(grids: Sequence[Grid]) -> list[str]:
    """A warning about the points of a grid that are no valid policies, with the first reason."""
    every = [entry for grid in grids for entry in grid.refused]
    if not every:
        return []
    spec, why = every[0]
    told = (
        "1 point of the grid is no policy and is"
        if len(every) == 1
        else f"{len(every):,} points of the grid are no policies and are"
    )
    return [f"{told} left out; the first, {spec}: {why}"]


def _league_rows(league: League) -> list[dict[str, Any]]:
    """One row a rule, best first: those that save most of the compute within the limit, then those that do
    not keep it.
    """
    found = []
    for rule, choice in league:
        if isinstance(choice, str):
            continue
        held = choice.held_out[0].summary
        found.append(
            {
                "rule": rule,
                "policy": None if choice.policy is None else choice.policy.spec(),
                **{
                    key: held[key]
                    for key in (
                        "saved_mean",
                        "saved_low",
                        "saved_high",
                        "lost_mean",
                        "lost_low",
                        "lost_high",
                        "lost_worst",
                    )
                },
                "relative_regret_mean": held["relative_regret_mean"],
                "regret_mean": held["regret_mean"],
                "budget_lost": held["budget_lost"],
                "kept": choice.held_out[0].kept,
                "judged": choice.held_out[0].judged,
                "verdict": choice.verdict,
                "least": None if choice.choosing.least is None else choice.choosing.least.spec(),
            }
        )
    order = {USE: 0, NO_BETTER: 1, BREAKS: 2}
    return sorted(
        found, key=lambda row: (order.get(row["verdict"], 3), -row["saved_mean"], row["lost_mean"] or 0.0)
    )


def league_as_json(league: League) -> str:
    """The league of rules in full."""
    return json_text(
        {
            "rules": _league_rows(league),
            "left_out": {rule: choice for rule, choice in league if isinstance(choice, str)},
            **_shared(league),
        }
    )


def _shared(league: League) -> dict[str, Any]:
    choice = next((choice for _, choice in league if isinstance(choice, Choice)), None)
    if choice is None:
        return {}
    return {
        "limit": {"kind": choice.limit.kind, "value": choice.limit.value, "text": choice.limit.text},
        "confidence": choice.choosing.confidence,
        "held_out_by": choice.choosing.held_out[0].by,
    }


def league_as_csv(league: League) -> str:
    """One row a rule as CSV."""
    rows = _league_rows(league)
    return csv_text(rows, tuple(rows[0]) if rows else ("rule",))


def league_as_markdown(league: League) -> str:
    """One row a rule as a markdown table, and what was left out."""
    head, rows, left = _league_table(league)
    return (
        markdown(head, rows, left) + "\n" + "".join(f"\n{printable(text)}\n" for text in _league_told(league))
    )


def league_as_text(league: League, found: Sequence[str] = ()) -> str:
    """One row a rule, at most 80 columns."""
    first = next((choice for _, choice in league if isinstance(choice, Choice)), None)
    shown = [*found, *(headline(first.simulation) if first is not None else [])]
    out = [line for text in shown for line in wrapped(text, indent="  ")]
    head, rows, left = _league_table(league)
    out += ["", *lines(head, rows, left=left), ""]
    for text in _league_told(league):
        out += wrapped(text)
    return "\n".join(out) + "\n"


_BRIEF = {
    USE: "use it",
    NO_BETTER: "no better",
    BREAKS: "breaks the limit",
    NONE_KEEPS: "none keeps it",
    TOO_FEW: "too few",
}


def _league_cells(league: League) -> list[list[str]]:
    rows = []
    for row in _league_rows(league):
        nothing = row["policy"] is None
        rows.append(
            [
                row["policy"] or row["rule"],
                "" if nothing else cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
                "" if nothing else cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
                "" if nothing else percent(row["budget_lost"]),
                (
                    "saves nothing"
                    if row["verdict"] == NONE_KEEPS and row["least"] is None
                    else _BRIEF[row["verdict"]]
                ),
            ]
        )
    return rows


def _alike(rows: Sequence[Sequence[str]]) -> dict[tuple[str, ...], list[str]]:
    """The names of rows that say the same, by what they say."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, *cells in rows:
        together.setdefault(tuple(cells), []).append(name)
    return together


def _league_table(league: League) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    together = _alike(_league_cells(league))
    rows = [
        [names[0] + f" (+{len(names) - 1})" * (len(names) > 1), *cells] for cells, names in together.items()
    ]
    return ["best of each rule", "saved", "lost", "shorter", "verdict"], rows, (0, 4)


def _league_told(league: League) -> list[str]:
    first = next((choice for _, choice in league if isinstance(choice, Choice)), None)
    out = []
    if first is not None:
        by = first.choosing.held_out[0].by
        out.append(
            f"Of each rule the setting that saves most with {first.limit.describe()} on these runs, with a"
            f" margin for chance. Its figures are held out ({by} by {by}): each run is scored with the"
            " setting that was chosen without it. shorter: what a fixed budget of the same mean compute"
            " loses."
        )
    out += [
        f"(+{len(names) - 1}): {', '.join(names)} do the same here."
        for names in _alike(_league_cells(league)).values()
        if names[1:]
    ]
    left: dict[str, list[str]] = {}
    for rule, choice in league:
        if isinstance(choice, str):
            left.setdefault(choice, []).append(rule)
    out += [f"Left out: {', '.join(rules)}: {why.removesuffix('.')}." for why, rules in left.items()]
    return out
