"""The report of ``replay simulate``: what each policy would have saved and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from replay.engine.simulation import BASELINES, COLUMNS, ORACLE, Simulation, records
from replay.errors import PolicyError
from replay.policies import Policy
from replay.policies.spec import parse_policy
from replay.report.document import Block, Commands, Document, Paragraph, Records, Table
from replay.report.format import cell, number, percent
from replay.report.sentences.summary import SHORT_VERDICTS, say_verdict
from replay.stats.groups import groups_of
from replay.stats.intervals import ENOUGH_GROUPS
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, too_few
from replay.stats.validity import notes

__all__ = ["build", "describe_setting", "describe_source", "setting"]

#: The summary of a simulation: a list with one entry per policy, by key.
Summary = Mapping[str, Sequence[Any]]

_CHECKPOINTS = {
    "best": "the best checkpoint",
    "best-saved": "the best-saved checkpoint",
    "transformers": "what load_best_model_at_end loads",
    "last": "the last checkpoint",
}

#: Reasons for which a run is censored, by how they begin, as the headline counts them.
_CENSORED = {
    "stopped early": "stopped early",
    "cut short": "cut short",
    "its best eval is its last": "best at the last eval",
}

_LEGEND = (
    "lost: share of a run's improvement (first eval to best) given away; shorter: lost by training shorter by"
    " as much (a fixed budget of equal mean compute). cens: outcomes that are bounds, as the log ends too"
    " soon. Ranges: 95 % bootstrap over runs"
)


def build(
    simulation: Simulation,
    summary: Summary,
    *,
    per_run: bool = False,
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report a simulation with its summary, one row per policy or, with ``per_run``, per run and policy.

    ``source`` says what was read; ``next_steps`` are the commands to run next.
    """
    return Document(
        lambda: _blocks(simulation, records(summary), per_run, source, next_steps),
        lambda: _data(simulation, summary),
        lambda: Records(COLUMNS, simulation.rows()) if per_run else Records(KEYS, records(summary)),
    )


def _data(simulation: Simulation, summary: Summary) -> dict[str, Any]:
    return {
        "summary": records(summary),
        "outcomes": simulation.rows(),
        "warnings": simulation.warnings,
        "notes": _notes(simulation),
        **setting(simulation),
    }


def setting(simulation: Simulation) -> dict[str, Any]:
    """How the runs were monitored and judged, as JSON has it."""
    roles = {"monitor": simulation.monitor, "objective": simulation.objective}
    return {
        **{
            role: {
                "metric": watch.metric,
                "mode": watch.mode,
                "metric_reason": watch.metric_reason,
                "mode_reason": watch.mode_reason,
            }
            for role, watch in roles.items()
        },
        "unit": simulation.unit,
        "unit_basis": simulation.basis,
        "keep": simulation.keep,
        "censored": simulation.censored,
    }


def _blocks(
    simulation: Simulation,
    summary: list[dict[str, Any]],
    per_run: bool,
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    out: list[Block] = [
        Paragraph(source, hanging=2, medium="screen"),
        Paragraph(describe_setting(simulation), hanging=2, tight=True),
        *(_outcome_tables(simulation) if per_run else [_summary_table(summary)]),
        Paragraph(_conclusions(simulation, summary)),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def describe_setting(simulation: Simulation) -> list[str]:
    """What the policies watched, what they were judged by, in which unit, and how many runs are censored."""
    monitor, objective = simulation.monitor, simulation.objective
    text = (
        f"Watching {monitor.metric} ({monitor.metric_reason}), {_better(monitor.mode)} is better"
        f" ({monitor.mode_reason})"
    )
    if objective is not monitor:
        text += (
            f"; judged by {objective.metric}, {_better(objective.mode)} is better ({objective.mode_reason})"
        )
    text += f". Compute in {simulation.unit} ({simulation.basis}); kept: {_CHECKPOINTS[simulation.keep]}."
    out = [text]
    if simulation.censored:
        kinds = Counter(_censored_how(reason) for reason in simulation.censored.values())
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        out.append(
            f"{len(simulation.censored)} of {len(simulation.runs)} runs are censored ({shown}): their losses"
            " are lower bounds."
        )
    return out


def _better(mode: str) -> str:
    return "lower" if mode == "min" else "higher"


def _censored_how(reason: str) -> str:
    # until censoring() returns a kind, its reasons are told apart by their fixed beginnings
    return next((kind for beginning, kind in _CENSORED.items() if reason.startswith(beginning)), reason)


def _summary_table(summary: Sequence[Mapping[str, Any]]) -> Table:
    head = ["policy", "stopped", "cens", "saved", "lost", "worst", "shorter", "verdict"]
    rows = [
        [
            row["policy"],
            f"{row['stopped']}/{row['runs']}",
            str(row["censored"]),
            cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
            cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
            percent(row["lost_worst"]),
            "" if row["policy"] in ("never", ORACLE) else percent(row["budget_lost"]),
            SHORT_VERDICTS.get(row["verdict"], row["verdict"]),
        ]
        for row in summary
    ]
    return Table(head, rows, (0, 7))


def _outcome_tables(simulation: Simulation) -> list[Block]:
    """One table for the page; for the screen, which is narrow, one table per policy."""
    head = ["run", "policy", "stop", "step", "saved", "kept", "best", "lost", ""]
    rows = [_outcome_cells(row) for row in simulation.rows()]
    out: list[Block] = [Table(head, rows, (0, 1, 8), medium="page")]
    for policy in simulation.policies:
        of_policy = [[row[0], *row[2:]] for row in rows if row[1] == policy]
        out += [
            Paragraph((f"{policy}:",), medium="screen"),
            Table([head[0], *head[2:]], of_policy, (0, 7), medium="screen", tight=True),
        ]
    return out


def _outcome_cells(row: Mapping[str, Any]) -> list[str]:
    within = row["regret"] is not None and row["noise"] is not None and 0 < row["regret"] <= row["noise"]
    return [
        row["run"],
        row["policy"],
        f"{number(row['stopped_eval'])}/{row['evals']}",
        number(row["stopped_step"]),
        percent(row["saved"]),
        number(row["kept"]),
        number(row["best"]),
        percent(row["lost"]),
        "bound" if row["censored"] else "noise" if within else "",
    ]


def _conclusions(simulation: Simulation, summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """The legend, the verdict on the policies, and what bounds the meaning of the figures."""
    rows = [row for row in summary if row["policy"] not in (*BASELINES, ORACLE)]
    out = [_LEGEND + describe_source(simulation)]
    why = too_few([len(curve) for curve in simulation.curves.values()])
    if why:
        out.append(
            f"Verdict: {why}: too few to rank policies (at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals"
            " are needed)."
        )
    elif rows:
        out.append(f"Verdict: {_verdicts(rows, simulation.objective.metric)}")
    out += _notes(simulation)
    dense = [row for row in rows if row["eval_share"] and row["eval_share"] > 0.005]
    if dense:
        out.append(
            f"Evals are {percent(max(row['eval_share'] for row in dense))} of the compute used under"
            f" {dense[0]['policy']}."
        )
    return out


def _notes(simulation: Simulation) -> list[str]:
    """What bounds the meaning of the outcomes (see `notes`)."""
    return notes(simulation.runs, simulation.curves, _policies(simulation))


def _policies(simulation: Simulation) -> list[Policy]:
    # a simulation names its policies only; one that no specification names is passed over
    policies = []
    for spec in simulation.policies:
        if spec not in (*BASELINES, ORACLE):
            with suppress(PolicyError):
                policies.append(parse_policy(spec))
    return policies


def describe_source(simulation: Simulation) -> str:
    """The end of the sentence on intervals: what they were drawn from."""
    groups = Counter(groups_of(simulation.runs))
    if len(groups) == len(simulation.runs):
        return "."
    if len(groups) >= ENOUGH_GROUPS:
        return f", drawing whole groups ({len(groups)})."
    return f" of {', '.join(groups)}: they say nothing of other data or models."


def _verdicts(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Which policies beat a shorter training, which lose to it, and one of them in figures."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(row["verdict"], []).append(row["policy"])
    text = "; ".join(say_verdict(verdict, policies) for verdict, policies in by_verdict.items()) + "."
    first = next((row for row in rows if row["stopped"]), None)
    if first is None:
        return text
    return (
        f"{text} {first['policy']} saves {percent(first['saved_mean'])} and loses"
        f" {percent(first['lost_mean'])} on average ({number(first['regret_mean'])} in {metric}, at worst"
        f" {number(first['regret_worst'])}); a shorter training loses {percent(first['budget_lost'])}. In"
        f" {first['runs'] - first['within_noise']} of {first['runs']} runs it loses more than the run's own"
        " eval noise."
    )
