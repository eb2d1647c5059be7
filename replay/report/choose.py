"""The report of ``replay choose``: the policy to use, how far it can be trusted, and the lines to paste."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.finding import Finding
from replay.engine.outcomes import ORACLE
from replay.errors import printable
from replay.policies import Policy
from replay.report.document import (
    Block,
    Code,
    Commands,
    Detail,
    Document,
    Notes,
    Paragraph,
    Records,
    Table,
    separate,
)
from replay.report.format import cell, number, percent, span
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.guarantee import (
    say_beyond,
    say_further,
    say_guarantee,
    say_kind,
    say_need,
    say_obstacle,
    say_tolerance,
)
from replay.report.sentences.summary import label
from replay.report.simulate import ending_data, find_limits, headline, say_too_few
from replay.report.store_sweep import describe_metrics
from replay.search.choice import Choice, Line, Selection, Status
from replay.search.cross_validation import HeldOut
from replay.search.store_choice import StoreChoice
from replay.stats.intervals import ENOUGH_GROUPS, RELIABLE_OTHERS, RELIABLE_RUNS
from replay.stats.second_metric import SecondRegret
from replay.stats.verdict import Verdict

__all__ = ["build", "callback", "describe_status"]

_COLUMNS = (
    "scored_on",
    "policy",
    "runs",
    "saved_mean",
    "saved_low",
    "saved_high",
    "saved_total",
    "lost_mean",
    "lost_low",
    "lost_high",
    "lost_worst",
    "regret_mean",
    "regret_low",
    "regret_high",
    "relative_regret_mean",
    "regret_corrected",
    "second_regret_mean",
    "budget_lost",
    "budget_regret",
    "kept",
    "judged",
    "within_noise",
    "censored",
    "compared",
)


def build(
    selection: Choice,
    *,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
    chart: Sequence[Block] = (),
) -> Document:
    """Report a choice.

    ``findings`` are those of the logs and grids; ``source`` says what was read; ``next_steps`` are the
    commands to run next, and ``chart`` is what `replay.report.plane` makes where a chart was asked for.
    """
    return Document(
        lambda: _blocks(selection, findings, source, next_steps, chart),
        lambda: _data(selection, findings),
        lambda: Records(_COLUMNS, _rows(selection)),
    )


def _data(selection: Choice, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "status": selection.status,
        "policy": _spec(selection.policy),
        "reason": describe_status(selection),
        "guarantee": _guarantee_data(selection),
        "best_guess": _spec(selection.guess),
        "obstacle": selection.obstacle,
        "limit": {
            "kind": selection.tolerance.kind,
            "value": selection.tolerance.value,
            "text": selection.tolerance.text,
        },
        "candidates": len(selection.cross_validated.policies) - selection.cross_validated.partial,
        "lines": _rows(selection),
        "groups": [
            {
                "policy": _spec(selection.policy or selection.guess),
                "group": one.group,
                "runs": one.runs,
                "saved": one.saved,
                "loss": one.loss,
            }
            for one in selection.by_group
        ],
        "folds": [
            {
                "by": held.by,
                "policies": [_spec(policy) for policy in held.chosen],
                **_folds(selection, held),
            }
            for held in selection.cross_validated.held_out
        ],
        "monitor": {"metric": selection.monitor.name, "mode": selection.monitor.mode},
        "objective": {"metric": selection.objective.name, "mode": selection.objective.mode},
        "unit": selection.question.unit,
        "keep": selection.question.keep,
        **(ending_data(selection.outcomes.study) if isinstance(selection, Selection) else {}),
        "callback": callback(selection.policy),
        "check": _entry(selection),
        "notes": sentences(_limits(selection)),
        "warnings": sentences([*findings, *selection.findings]),
    }


def _folds(selection: Choice, held: HeldOut) -> dict[str, Any]:
    """The fold of each run; nothing of a store, which may have millions."""
    if not isinstance(selection, Selection):
        return {}
    return {"runs": {run: int(fold) for run, fold in zip(selection.run_ids, held.fold.tolist(), strict=True)}}


def _guarantee_data(selection: Choice) -> dict[str, Any] | None:
    given = selection.guarantee
    if given is None:
        return None
    rung = given.rung
    return {
        "policy": _spec(given.policy),
        "tolerance": given.alpha,
        "confidence": given.confidence,
        "saved": None if rung is None else rung.saved,
        "saved_total": None if rung is None else rung.saved_total,
        "lost": None if rung is None else rung.lost,
        "bound": None if rung is None else rung.bound,
        "method": given.method,
        "ladders": given.ladders,
        "units": given.units,
        "units_used": given.used_units,
        "units_needed": given.needed_units,
        "runs_left_out": list(given.left_out),
        "runs_censored": list(given.censored),
    }


def _spec(policy: Policy | None) -> str | None:
    return None if policy is None else policy.spec()


def _rows(selection: Choice) -> list[dict[str, Any]]:
    """One row per line of figures and per baseline, by _COLUMNS."""
    rows: list[dict[str, Any]] = []
    lines = [
        (selection.guaranteed, selection.policy),
        (selection.in_sample, selection.guess),
        *((line, None) for line in selection.held_out),
    ]
    for line, policy in lines:
        if line is not None:
            rows.append(
                {
                    **line.summary,
                    "scored_on": line.name,
                    "policy": _spec(policy),
                    "kept": line.kept,
                    "judged": line.judged,
                    "regret_corrected": line.corrected,
                    "second_regret_mean": _known(line.second),
                    "compared": line.summary["verdict"],
                }
            )
    for name, summary in selection.baselines.items():
        rows.append({**summary, "scored_on": "baseline", "policy": name, "compared": summary["verdict"]})
    return [{name: row.get(name) for name in _COLUMNS} for row in rows]


def _known(second: SecondRegret | None) -> float | None:
    return None if second is None or math.isnan(second.mean) else second.mean


def _blocks(
    selection: Choice,
    findings: Sequence[Finding],
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
    chart: Sequence[Block],
) -> list[Block]:
    out: list[Block] = [
        *_head(selection, source),
        *separate(_answer(selection), detail="verbose"),
        Paragraph(_brief_answer(selection), answer=True, detail="brief"),
        _table(selection, "brief"),
        _table(selection, "verbose"),
        *chart,
        *separate(_sentences(selection), detail="verbose"),
    ]
    if selection.policy is not None:
        out += [
            Paragraph(("To stop a training by this policy:",), medium="screen", detail="verbose"),
            Code(callback(selection.policy), indent=2, medium="screen"),
            Paragraph(("To guard it in a policies file:",), medium="screen", detail="verbose"),
            Code(_entry(selection), indent=2, medium="screen", tight=True, detail="verbose"),
        ]
    own = [*say_worse(selection), *_apart_by_group(selection), *say_too_few(selection.compared_evals)]
    found = [*selection.findings, *_limits(selection)]
    out.append(Notes(make_notes(findings, found, own)))
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def _head(selection: Choice, source: Sequence[str]) -> list[Block]:
    """What was read, and what the policies watched."""
    if isinstance(selection, Selection):
        return headline(selection.outcomes.study, source)
    metrics = describe_metrics(selection.monitor, selection.objective, selection.question.unit)
    return [Paragraph([f"{', '.join(source)}. {metrics}"], hanging=2)]


def _answer(selection: Choice) -> list[str]:
    """The result, and what it means."""
    out = [f"Result: {selection.status}" + (f", {_spec(selection.policy)}" if selection.policy else "")]
    return [*out, f"{describe_status(selection)} {_beyond(selection)}".rstrip()]


def _beyond(selection: Choice) -> str:
    """Why the interval of the guaranteed policy reaches beyond the guarantee, where it does."""
    given, line = selection.guarantee, selection.guaranteed
    return "" if given is None or line is None else say_beyond(given, line.summary["lost_high"])


def _brief_answer(selection: Choice) -> list[str]:
    """The result and what it means, without what can be looked up."""
    given = selection.guarantee
    if given is None or given.rung is None or selection.guaranteed is None:
        return _answer(selection)
    rung = given.rung
    low, high = selection.guaranteed.summary["lost_low"], selection.guaranteed.summary["lost_high"]
    beyond = high is not None and high > given.alpha
    return [
        f"Guaranteed {say_kind(given, full=True)}: {rung.policy.spec()} loses at most"
        f" {say_tolerance(given.alpha)} of the improvement on {say_further(selection.unit)}. In these logs it"
        f" saves {percent(rung.saved)} and loses {percent(rung.lost)}"
        + (f" (these logs alone say {span(low, high)}%)." if beyond else ".")
        + _say_uncounted(selection.guaranteed.summary)
    ]


def _say_uncounted(summary: Mapping[str, Any]) -> str:
    """How many runs are not counted in ``lost``."""
    runs, counted = int(summary["runs"]), int(summary["lost_runs"])
    if counted >= runs:
        return ""
    improve = "improves" if runs - counted == 1 else "improve"
    return f" {runs - counted} of {runs} runs {improve} too little to count in lost."


def describe_status(selection: Choice) -> str:
    """What the result of a choice means, and what follows from it."""
    if selection.guarantee is not None and selection.guaranteed is not None:
        return say_guarantee(selection.guarantee, selection.unit) + _new_groups(selection)
    held = selection.held_out[0].summary
    if selection.obstacle is None:
        text = _guess(selection)
    else:
        text = say_obstacle(selection, _nearest(selection), _loss(selection, held))
    if selection.guarantee is None:
        return f"{text} A guarantee needs a tolerance on lost (--max-lost): regret has no upper bound."
    return f"{text} {say_need(selection.guarantee, selection.unit)}"


def _new_groups(selection: Choice) -> str:
    """What a guarantee about a new group would take, where the guarantee is about a new run."""
    count = len(set(selection.groups))
    if selection.unit != "run" or count == len(selection.groups) or selection.least_groups is None:
        return ""
    return (
        f" It does not cover new data sets: that needs at least {selection.least_groups} groups of runs, and"
        f" these logs have {count}."
    )


def _guess(selection: Choice) -> str:
    held = selection.held_out[0].summary
    low, high = _interval(selection, held)
    return (
        f"Of {len(selection.cross_validated.policies):,} policies it saves most among those within"
        f" {selection.tolerance.describe()}. Cross-validated it loses {_loss(selection, held)}"
        f" (95% interval: {low} to {high}). Nothing is guaranteed."
    )


def _interval(selection: Choice, summary: Mapping[str, Any]) -> tuple[str, str]:
    """The ends of the interval of a line's loss, in the terms of the tolerance."""
    kind = selection.tolerance.kind
    if kind == "relative_regret":
        return "?", "?"
    shown = percent if kind == "lost" else number
    return shown(summary[f"{kind}_low"]), shown(summary[f"{kind}_high"])


def _table(selection: Choice, detail: Detail) -> Table:
    verbose = detail == "verbose"
    limit = selection.tolerance
    head = ["policy", "saved", "lost", "worst", "equal budget", f"within {limit.text}"]
    if selection.tolerance.kind != "lost":
        head.insert(2, "regret")
    rows, notes = [], {}
    if selection.guaranteed is not None and selection.policy is not None:
        rows.append(_line_cells(selection, _spec(selection.policy) or "", selection.guaranteed))
    if selection.guess is not None:
        name = "best guess" if selection.obstacle is None else "not confirmed"
        notes[len(rows)] = f"{name}: {_spec(selection.guess)}"
        rows.append(_line_cells(selection, "  in-sample", selection.in_sample))
        for line, held in zip(selection.held_out, selection.cross_validated.held_out, strict=True):
            rows.append(_line_cells(selection, f"  cross-validated by {held.by}", line))
    rows += [
        [*_cells(selection, name, summary), ""]
        for name, summary in selection.baselines.items()
        if name == ORACLE or verbose
    ]
    return Table(head, rows, notes=notes, detail=detail)


def _line_cells(selection: Choice, name: str, line: Line) -> list[str]:
    return [*_cells(selection, name, line.summary), f"{line.kept}/{line.judged} runs"]


def _cells(selection: Choice, name: str, summary: Mapping[str, Any]) -> list[str]:
    cells = [
        label(name),
        cell(summary["saved_mean"], summary["saved_low"], summary["saved_high"]),
        ("≥ " if summary["censored"] and name != "never" else "")
        + cell(summary["lost_mean"], summary["lost_low"], summary["lost_high"]),
        percent(summary["lost_worst"]),
        "" if name in ("never", ORACLE) else percent(summary["budget_lost"]),
    ]
    if selection.tolerance.kind != "lost":
        value = summary[selection.tolerance.key]
        shown = percent(value) if selection.tolerance.kind == "relative_regret" else number(value)
        cells.insert(2, shown)
    return cells


def _sentences(selection: Choice) -> list[str]:
    """What the table means, and what limits it."""
    out = [
        "lost: share of a run's improvement given up. equal budget: the loss if every run had been given the"
        " policy's average budget. within: runs that lose no more than the tolerance. Ranges: 95 % intervals,"
        " which allow for runs that lose more than any here" + _source(selection)
    ]
    if selection.guess is not None:
        same, folds = selection.stable[0]
        out.append(
            f"The in-sample row is optimistic because {_spec(selection.guess)} was selected on these runs. In"
            " the cross-validated rows, each run is scored with the policy selected without it;"
            f" {same} of {folds} folds selected the same policy."
        )
    return [*out, *_losses_by_group(selection), *_regrets(selection), *_reliability(selection)]


def _losses_by_group(selection: Choice) -> list[str]:
    """What the policy loses in each group."""
    policy = selection.policy or selection.guess
    if policy is None or not 1 < len(selection.by_group) < len(selection.groups):
        return []
    shown = number if selection.tolerance.kind == "regret" else percent
    each = ", ".join(f"{shown(one.loss)} on {printable(one.group)}" for one in selection.by_group[:6])
    more = f" and {len(selection.by_group) - 6} more groups" if len(selection.by_group) > 6 else ""
    return [f"By group, {policy.spec()} loses {each}{more} (in-sample)."]


def say_worse(selection: Choice) -> list[str]:
    """That the equal budget is better than the policy that is recommended, where it is."""
    if selection.policy is None:
        return []
    summary = (selection.guaranteed or selection.held_out[0]).summary
    if summary["verdict"] != Verdict.WORSE:
        return []
    lost, budget = percent(summary["lost_mean"]), percent(summary["budget_lost"])
    return [
        (
            f"{selection.policy.spec()} loses more than the equal budget ({lost} against {budget}): the same"
            " budget for every run, without watching the metric, loses less."
        )
    ]


def _apart_by_group(selection: Choice) -> list[str]:
    """What policies lose on a group of runs that they were selected without."""
    if selection.guess is None or not 1 < len(selection.by_group) < len(selection.groups):
        return []
    out = []
    for line, held in zip(selection.held_out, selection.cross_validated.held_out, strict=True):
        if held.by != "run":
            loss = _loss(selection, line.summary)
            out.append(
                f"Choosing anew without a group, and using that choice on it, loses {loss} on average"
                " (cross-validated by group). Do not carry a choice over to other data."
            )
    return out


def _regrets(selection: Choice) -> list[str]:
    """The regret of the best guess: on the objective, on a second held-out metric, and without noise."""
    held = selection.held_out[0]
    regret, second = held.summary["regret_mean"], held.second
    if not regret:
        return []
    worse = f"{number(regret)} worse in {selection.objective.name}"
    text = f"Cross-validated, the checkpoint kept is {worse} than the best one of its run"
    if second is not None and not math.isnan(second.mean):
        if second.runs < 2 or second.low <= 0 <= second.high:
            return [
                f"{text}. {second.metric}, which selected neither, shows no clear difference between them."
            ]
        than = "worse" if second.mean >= 0 else "better"
        return [f"{text}, and {number(abs(second.mean))} {than} in {second.metric}, which selected neither."]
    if held.corrected is None:
        return [f"{text}."]
    return [
        text + f". If the movements from eval to eval were independent measurement noise, it would be"
        f" {number(held.corrected)}; no second held-out metric is logged that could show it."
    ]


def _reliability(selection: Choice) -> list[str]:
    out = []
    losses = selection.held_out_losses
    losses = losses[~np.isnan(losses)]
    if len(losses) < RELIABLE_RUNS:
        out.append(f"Intervals are rough with fewer than {RELIABLE_RUNS} runs (here {len(losses)}).")
    elif (lose := int((losses > 0).sum())) < RELIABLE_OTHERS:
        out.append(
            f"Intervals are rough where fewer than {RELIABLE_OTHERS} runs lose anything (cross-validated,"
            f" {lose} of {len(losses)} do)."
        )
    if count := selection.cross_validated.partial:
        some = "policy was" if count == 1 else "policies were"
        out.append(f"{count} {some} skipped because some runs lack what they need.")
    return out


def _loss(selection: Choice, summary: Mapping[str, Any]) -> str:
    """A loss in the terms of the tolerance."""
    value = summary[selection.tolerance.key]
    if selection.tolerance.kind == "regret":
        return f"{number(value)} in {selection.objective.name}"
    return percent(value) + (" of the best value" if selection.tolerance.kind == "relative_regret" else "")


def _source(selection: Choice) -> str:
    """The end of the sentence on intervals: what they were drawn from."""
    count = len(set(selection.groups))
    if count == len(selection.groups):
        return "."
    if count >= ENOUGH_GROUPS:
        return f", by group ({count} groups)."
    return f" over runs of {_groups(selection)}."


def _groups(selection: Choice) -> str:
    return ", ".join(printable(name) for name, _ in Counter(selection.groups).most_common(5))


def _nearest(selection: Choice) -> str:
    """The policy that loses least of those that save something."""
    least = selection.cross_validated.least
    if least is None:
        return "None of them saves anything."
    mean, bound = selection.cross_validated.loss_of(least)
    shown = number if selection.tolerance.kind == "regret" else percent
    return (
        f"{least.spec()} loses least, {shown(mean)} on these runs ({shown(bound)} with a margin for chance)."
    )


def _limits(selection: Choice) -> list[Finding]:
    if isinstance(selection, Selection):
        policies = [] if selection.policy is None else [selection.policy]
        return find_limits(selection.outcomes.study, policies)
    return list(selection.limits) if isinstance(selection, StoreChoice) else []


def callback(policy: Policy | None) -> str:
    """The policy as a callback for transformers' Trainer (see replay export for other frameworks)."""
    if policy is None:
        return ""
    return (
        "from replay.live.transformers import StopCallback\n"
        f"trainer.add_callback(StopCallback({policy.spec()!r}))"
    )


def _entry(selection: Choice) -> str:
    """The policy, its limit and its guarantee as an entry of a policies file."""
    if selection.policy is None:
        return ""
    tolerance = selection.tolerance
    name = "max_lost" if tolerance.kind == "lost" else "max_regret"
    value = f"{tolerance.value!r}" if tolerance.kind == "regret" else f'"{tolerance.text}"'
    spec = selection.policy.spec().replace("\\", "\\\\").replace('"', '\\"')
    lines = ["[policies.chosen]", f'spec = "{spec}"', f"{name} = {value}"]
    if selection.status is Status.GUARANTEED and selection.guarantee is not None:
        confidence = selection.guarantee.confidence
        kind = "mean" if confidence is None else f"{100 * confidence:g}%"
        lines.append(f'guarantee = "{kind}"')
    return "\n".join(lines)
