"""The report of ``replay simulate``: what each policy would have saved and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from replay.data.finding import Finding
from replay.engine.metrics import Metric
from replay.engine.outcomes import BASELINES, COLUMNS, ORACLE, Outcomes, records
from replay.engine.study import Study
from replay.policies import Policy
from replay.report.document import Block, Commands, Document, Paragraph, Records, Table
from replay.report.format import cell, number, percent
from replay.report.sentences import sentences
from replay.report.sentences.metric import (
    COUNTED_CENSORING,
    say_better,
    say_censoring,
    say_mode_reason,
    say_name_reason,
    say_shortage,
)
from replay.report.sentences.summary import SHORT_VERDICTS, say_verdict
from replay.stats.groups import groups_of
from replay.stats.intervals import ENOUGH_GROUPS
from replay.stats.plan import find_adaptive
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, find_shortage
from replay.stats.ties import at_most
from replay.stats.validity import find_validity

__all__ = [
    "build",
    "censored_data",
    "describe_setting",
    "describe_source",
    "describe_validity",
    "metric_data",
    "setting",
]

#: The summary of a simulation: a list with one entry per policy, by key.
Summary = Mapping[str, Sequence[Any]]

_CHECKPOINTS = {
    "best": "the best checkpoint",
    "best-saved": "the best-saved checkpoint",
    "transformers": "what load_best_model_at_end loads",
    "last": "the last checkpoint",
}

_LEGEND = (
    "lost: share of a run's improvement (first eval to best) given away; shorter: lost by training shorter by"
    " as much (a fixed budget of equal mean compute). cens: outcomes that are bounds, as the log ends too"
    " soon. Ranges: 95 % bootstrap over runs"
)


def build(
    outcomes: Outcomes,
    summary: Summary,
    *,
    findings: Sequence[Finding] = (),
    per_run: bool = False,
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report outcomes with their summary, one row per policy or, with ``per_run``, per run and policy.

    ``findings`` are those of the logs; ``source`` says what was read; ``next_steps`` are the commands to run
    next.
    """
    return Document(
        lambda: _blocks(outcomes, records(summary), per_run, source, next_steps),
        lambda: _data(outcomes, summary, findings),
        lambda: Records(COLUMNS, outcomes.rows()) if per_run else Records(KEYS, records(summary)),
    )


def _data(outcomes: Outcomes, summary: Summary, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "summary": records(summary),
        "outcomes": outcomes.rows(),
        "warnings": sentences([*findings, *outcomes.findings]),
        "notes": _notes(outcomes),
        **setting(outcomes.study),
    }


def setting(study: Study) -> dict[str, Any]:
    """How the runs were monitored and judged, as JSON has it."""
    return {
        "monitor": metric_data(study.monitor),
        "objective": metric_data(study.objective),
        "unit": study.question.unit,
        "unit_basis": _basis(study),
        "keep": study.question.keep,
        "censored": censored_data(study),
    }


def metric_data(metric: Metric) -> dict[str, Any]:
    """A metric, its mode and where both come from, as JSON has it."""
    return {
        "metric": metric.name,
        "mode": metric.mode,
        "metric_reason": say_name_reason(metric),
        "mode_reason": say_mode_reason(metric),
    }


def censored_data(study: Study) -> dict[str, str]:
    """Why runs are censored, by run, as JSON has it."""
    return {run: say_censoring(reason) for run, reason in study.censored.items()}


def _basis(study: Study) -> str:
    return "; ".join(sorted({compute.basis for compute in study.panel.compute}))


def _blocks(
    outcomes: Outcomes,
    summary: list[dict[str, Any]],
    per_run: bool,
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
) -> list[Block]:
    out: list[Block] = [
        Paragraph(source, hanging=2, medium="screen"),
        Paragraph(describe_setting(outcomes.study), hanging=2, tight=True),
        *(_outcome_tables(outcomes) if per_run else [_summary_table(summary)]),
        Paragraph(_conclusions(outcomes, summary)),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def describe_setting(study: Study) -> list[str]:
    """What the policies watched, what they were judged by, in which unit, and how many runs are censored."""
    monitor, objective, question = study.monitor, study.objective, study.question
    text = (
        f"Watching {monitor.name} ({say_name_reason(monitor)}), {say_better(monitor.mode)} is better"
        f" ({say_mode_reason(monitor)})"
    )
    if objective is not monitor:
        text += (
            f"; judged by {objective.name}, {say_better(objective.mode)} is better"
            f" ({say_mode_reason(objective)})"
        )
    text += f". Compute in {question.unit} ({_basis(study)}); kept: {_CHECKPOINTS[question.keep]}."
    out = [text]
    if study.censored:
        kinds = Counter(COUNTED_CENSORING[reason.kind] for reason in study.censored.values())
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        out.append(
            f"{len(study.censored)} of {len(study.panel.runs)} runs are censored ({shown}): their losses"
            " are lower bounds."
        )
    return out


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


def _outcome_tables(outcomes: Outcomes) -> list[Block]:
    """One table for the page; for the screen, which is narrow, one table per policy."""
    head = ["run", "policy", "stop", "step", "saved", "kept", "best", "lost", ""]
    rows = [_outcome_cells(row) for row in outcomes.rows()]
    out: list[Block] = [Table(head, rows, (0, 1, 8), medium="page")]
    for policy in outcomes.policies:
        of_policy = [[row[0], *row[2:]] for row in rows if row[1] == policy]
        out += [
            Paragraph((f"{policy}:",), medium="screen"),
            Table([head[0], *head[2:]], of_policy, (0, 7), medium="screen", tight=True),
        ]
    return out


def _outcome_cells(row: Mapping[str, Any]) -> list[str]:
    regret, noise = row["regret"], row["noise"]
    within = bool(regret) and noise is not None and bool(at_most(regret, noise, abs(row["best"])))
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


def _conclusions(outcomes: Outcomes, summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """The legend, the verdict on the policies, and what bounds the meaning of the figures."""
    study = outcomes.study
    rows = [row for row in summary if row["policy"] not in (*BASELINES, ORACLE)]
    out = [_LEGEND + describe_source(study)]
    shortage = find_shortage(study.panel.whole.lengths)
    if shortage is not None:
        out.append(
            f"Verdict: {say_shortage(shortage)}: too few to rank policies (at least {ENOUGH_RUNS} runs of"
            f" {ENOUGH_EVALS} evals are needed)."
        )
    elif rows:
        out.append(f"Verdict: {_verdicts(rows, study.objective.name)}")
    out += _notes(outcomes)
    dense = [row for row in rows if row["eval_share"] and row["eval_share"] > 0.005]
    if dense:
        out.append(
            f"Evals are {percent(max(row['eval_share'] for row in dense))} of the compute used under"
            f" {dense[0]['policy']}."
        )
    return out


def _notes(outcomes: Outcomes) -> list[str]:
    """What bounds the meaning of the outcomes, but for those of the baselines."""
    policies = [
        policy
        for policy, name in zip(outcomes.stops.policies, outcomes.policies, strict=False)
        if name not in BASELINES
    ]
    return describe_validity(outcomes.study, policies)


def describe_validity(study: Study, policies: Sequence[Policy]) -> list[str]:
    """What bounds the meaning of the outcomes of policies on the runs of a study."""
    curves = dict(zip((run.id for run in study.panel.runs), study.panel.curves, strict=True))
    return sentences([*find_validity(study.panel.runs, curves, policies), *find_adaptive(study)])


def describe_source(study: Study) -> str:
    """The end of the sentence on intervals: what they were drawn from."""
    groups = Counter(groups_of(study.panel.runs))
    if len(groups) == len(study.panel.runs):
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
