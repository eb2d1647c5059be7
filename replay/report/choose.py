"""The report of ``replay choose``: the policy to use, its cross-validated figures, and the lines to paste."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Finding
from replay.engine.outcomes import ORACLE
from replay.errors import printable
from replay.policies import Policy
from replay.report.document import Block, Code, Commands, Document, Paragraph, Records, Table, separate
from replay.report.format import cell, number, percent
from replay.report.sentences import sentences
from replay.report.sentences.metric import say_shortage
from replay.report.simulate import describe_setting, describe_validity, ending_data
from replay.search.choice import BREAKS, NO_BETTER, NONE_KEEPS, TOO_FEW, USE, Choice, Line
from replay.stats.intervals import ENOUGH_GROUPS, RELIABLE_OTHERS, RELIABLE_RUNS, reliable
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, find_shortage

__all__ = ["build"]

#: How a table names a line of figures; a line that is held out by something else is named by that.
_NAMES = {
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


def build(
    choice: Choice,
    *,
    findings: Sequence[Finding] = (),
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report a choice.

    ``findings`` are those of the logs and grids; ``source`` says what was read; ``next_steps`` are the
    commands to run next.
    """
    return Document(
        lambda: _blocks(choice, source, next_steps),
        lambda: _data(choice, findings),
        lambda: Records(_COLUMNS, _rows(choice)),
    )


def _data(choice: Choice, findings: Sequence[Finding]) -> dict[str, Any]:
    study = choice.outcomes.study
    return {
        "policy": _spec(choice.policy),
        "verdict": choice.verdict,
        "limit": {
            "kind": choice.tolerance.kind,
            "value": choice.tolerance.value,
            "text": choice.tolerance.text,
        },
        "confidence": choice.cross_validated.confidence,
        "candidates": len(choice.cross_validated.policies) - choice.cross_validated.partial,
        "lines": _rows(choice),
        "folds": [
            {
                "by": held.by,
                "policies": [_spec(policy) for policy in held.chosen],
                "runs": {
                    run.id: int(fold) for run, fold in zip(study.panel.runs, held.fold.tolist(), strict=True)
                },
            }
            for held in choice.cross_validated.held_out
        ],
        "monitor": {"metric": study.monitor.name, "mode": study.monitor.mode},
        "objective": {"metric": study.objective.name, "mode": study.objective.mode},
        "unit": study.question.unit,
        "keep": study.question.keep,
        **ending_data(study),
        "callback": _callback(choice.policy),
        "check": _entry(choice),
        "notes": _notes(choice),
        "warnings": sentences([*findings, *choice.outcomes.findings]),
    }


def _spec(policy: Policy | None) -> str | None:
    return None if policy is None else policy.spec()


def _rows(choice: Choice) -> list[dict[str, Any]]:
    """One row per line of figures and per baseline, by _COLUMNS."""
    rows: list[dict[str, Any]] = []
    for line in [choice.in_sample, *choice.held_out, *([choice.uncensored] if choice.uncensored else [])]:
        rows.append(
            {
                **line.summary,
                "scored_on": line.name,
                "policy": _spec(choice.policy) if line is choice.in_sample else None,
                "kept": line.kept,
                "judged": line.judged,
                "regret_corrected": line.corrected,
                "compared": line.summary["verdict"],
            }
        )
    for name, summary in choice.baselines.items():
        rows.append({**summary, "scored_on": "baseline", "policy": name, "compared": summary["verdict"]})
    return [{name: row.get(name) for name in _COLUMNS} for row in rows]


def _blocks(choice: Choice, source: Sequence[str], next_steps: Sequence[Sequence[str]]) -> list[Block]:
    setting = describe_setting(choice.outcomes.study)
    out: list[Block] = [
        Paragraph([*source, *setting], hanging=2, medium="screen"),
        *separate(setting, medium="page"),
        *separate(_chosen(choice)),
        _table(choice),
        Paragraph((), medium="page"),  # pages have had two blank lines here
        *separate([*_sentences(choice), *_notes(choice)]),
    ]
    if choice.policy is not None and choice.verdict == USE:
        out += [
            Paragraph(("to stop a training by it:",), medium="screen"),
            Code(_callback(choice.policy), indent=2, medium="screen", tight=True),
            Paragraph(("to guard it in a file of policies:",), medium="screen", tight=True),
            Code(_entry(choice), indent=2, medium="screen", tight=True),
        ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def _chosen(choice: Choice) -> list[str]:
    count = len(choice.cross_validated.policies)
    tried = f"{count:,} polic{'ies' if count != 1 else 'y'} tried for {choice.tolerance.describe()}."
    verdict = f"Verdict: {choice.verdict}."
    if choice.policy is None:
        return [tried, verdict]
    return [tried, f"Chosen: {choice.policy.spec()}", verdict]


def _table(choice: Choice) -> Table:
    head = ["scored on", "saved", "lost", "worst", "shorter", "limit kept"]
    if choice.tolerance.kind != "lost":
        head.insert(2, "regret")
    main, *others = choice.held_out
    lines = [choice.in_sample, main, *([choice.uncensored] if choice.uncensored else []), *others]
    names = {f"held out by {held.by}": f"held-out {held.by}s" for held in choice.cross_validated.held_out}
    return Table(
        head,
        [
            *(
                [
                    *_cells(choice, _NAMES.get(line.name) or names[line.name], line.summary),
                    f"{line.kept}/{line.judged} runs",
                ]
                for line in lines
            ),
            *([*_cells(choice, name, summary), ""] for name, summary in choice.baselines.items()),
        ],
    )


def _cells(choice: Choice, name: str, summary: Mapping[str, Any]) -> list[str]:
    cells = [
        name,
        cell(summary["saved_mean"], summary["saved_low"], summary["saved_high"]),
        cell(summary["lost_mean"], summary["lost_low"], summary["lost_high"]),
        percent(summary["lost_worst"]),
        "" if name in ("never", ORACLE) else percent(summary["budget_lost"]),
    ]
    if choice.tolerance.kind != "lost":
        value = summary[choice.tolerance.key]
        cells.insert(2, percent(value) if choice.tolerance.kind == "relative_regret" else number(value))
    return cells


def _sentences(choice: Choice) -> list[str]:
    """What the table means: the legend, the verdict, and what limits it."""
    held = choice.held_out[0]
    return [
        "lost: share of a run's improvement (first eval to best) given away; shorter: lost by training"
        " shorter by as much. The first row is too good: these runs chose the policy. Of the others, each"
        " run was left out when the policy it is scored with was chosen. Ranges:"
        f" {100 * choice.cross_validated.confidence:.4g} % intervals" + _source(choice),
        *_verdict(choice, held),
        *_elsewhere(choice),
        *_noise(held),
        *_reliability(choice),
    ]


def _verdict(choice: Choice, held: Line) -> list[str]:
    if choice.verdict == TOO_FEW:
        return [_too_few(choice)]
    if choice.verdict == NONE_KEEPS:
        return [f"No policy keeps {choice.tolerance.describe()} on these runs; {_nearest(choice)}"]
    same, folds = choice.stable[0]
    out = [
        (
            "It saves most of those whose mean loss keeps the limit with a margin for chance (t at"
            f" {choice.cross_validated.confidence:.4g}); {same} of {folds} folds choose the same. On the runs"
            f" that chose it it loses {_loss(choice, choice.in_sample)}; held out, {_loss(choice, held)}."
        )
    ]
    if choice.verdict == BREAKS:
        out.append(
            f"That is more than {choice.tolerance.text}: the choice does not hold on runs that it has not"
            " seen."
        )
    if choice.verdict == NO_BETTER:
        out.append(
            "A shorter run (a fixed budget of the same mean compute) loses"
            f" {percent(held.summary['budget_lost'])}."
        )
    return out


def _elsewhere(choice: Choice) -> list[str]:
    """Where the choice does not hold for groups of runs that it has not seen."""
    out = []
    for line, (same, folds) in zip(choice.held_out[1:], choice.stable[1:], strict=True):
        loss = line.summary[choice.tolerance.key]
        if loss is not None and loss > choice.tolerance.value:
            out.append(
                f"It does not carry over: chosen without a whole group ({_groups(choice)}), it loses"
                f" {_loss(choice, line)} there, and {same} of {folds} folds choose this same policy. On"
                " other data or models, measure again."
            )
    return out


def _noise(held: Line) -> list[str]:
    regret = held.summary["regret_mean"]
    if held.corrected is None or not regret:
        return []
    return [
        (
            f"Noise: the held-out regret is {number(regret)} on average; {number(held.corrected)} without the"
            f" luck of the best eval of a noisy curve. {held.summary['within_noise']} of"
            f" {held.summary['runs']} runs lose no more than their own eval noise."
        )
    ]


def _reliability(choice: Choice) -> list[str]:
    out = []
    losses = choice.outcomes.lost[choice.held_out_rows]
    if not reliable(losses, choice.groups):
        lose = int((losses > 0).sum())
        out.append(
            f"Intervals are rough where there are fewer than {RELIABLE_RUNS} runs, or fewer than"
            f" {RELIABLE_OTHERS} that lose anything (here {lose} of {len(losses)} do)."
        )
    if count := choice.cross_validated.partial:
        out.append(
            f"{count} polic{'ies' if count != 1 else 'y'} could not be tried on every run, and so not chosen."
        )
    return out


def _loss(choice: Choice, line: Line) -> str:
    """The loss of a line in the terms of the limit."""
    value = line.summary[choice.tolerance.key]
    if choice.tolerance.kind == "regret":
        return f"{number(value)} in {choice.outcomes.study.objective.name}"
    return percent(value) + (" of |best|" if choice.tolerance.kind == "relative_regret" else "")


def _source(choice: Choice) -> str:
    """The end of the sentence on intervals: what they were drawn from."""
    count = len(set(choice.groups))
    if count == len(choice.groups):
        return "."
    if count >= ENOUGH_GROUPS:
        return f", drawing whole groups ({count})."
    return f" over runs of {_groups(choice)}."


def _groups(choice: Choice) -> str:
    return ", ".join(printable(name) for name, _ in Counter(choice.groups).most_common(5))


def _too_few(choice: Choice) -> str:
    shortage = find_shortage(choice.outcomes.study.panel.whole.lengths)
    if shortage is not None:
        why = say_shortage(shortage)
        return (
            f"{why[0].upper()}{why[1:]}: too few to tell (at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals"
            " are needed)."
        )
    if choice.policy is None:
        return f"Policies keep the limit on these runs, but none with a margin for chance: {_nearest(choice)}"
    mean, high = choice.held_out[0].beyond_budget
    return (
        f"Held out, it loses {percent(-mean)} of a run's improvement less than a shorter run, but that could"
        f" be chance (at {choice.cross_validated.confidence:.4g} confidence, {percent(high)} more): too few"
        " runs to tell."
    )


def _nearest(choice: Choice) -> str:
    """The policy that loses least of those that save something."""
    least = choice.cross_validated.least
    if least is None:
        return "none saves anything."
    mean, bound = choice.cross_validated.loss_of(least)
    shown = number if choice.tolerance.kind == "regret" else percent
    return f"{least.spec()} loses least, {shown(mean)} on these runs ({shown(bound)} with the margin)."


def _notes(choice: Choice) -> list[str]:
    policies = [] if choice.policy is None else [choice.policy]
    return describe_validity(choice.outcomes.study, policies)


def _callback(policy: Policy | None) -> str:
    """The policy as a callback for transformers' Trainer (see replay export for other frameworks)."""
    if policy is None:
        return ""
    return (
        "from replay.live.transformers import StopCallback\n"
        f"trainer.add_callback(StopCallback({policy.spec()!r}))"
    )


def _entry(choice: Choice) -> str:
    """The policy and its limit as an entry of a file of policies."""
    if choice.policy is None:
        return ""
    name = "max_lost" if choice.tolerance.kind == "lost" else "max_regret"
    value = (
        f"{choice.tolerance.value!r}" if choice.tolerance.kind == "regret" else f'"{choice.tolerance.text}"'
    )
    spec = choice.policy.spec().replace("\\", "\\\\").replace('"', '\\"')
    return f'[policies.chosen]\nspec = "{spec}"\n{name} = {value}'
