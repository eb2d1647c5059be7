"""The report of ``replay simulate``: what each policy would have saved and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.types import Ints
from replay.engine.metrics import Metric
from replay.engine.outcomes import BASELINES, COLUMNS, ORACLE, Outcomes, records
from replay.engine.study import Study
from replay.policies import Policy
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records, Table
from replay.report.format import cell, number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.metric import (
    say_better,
    say_censoring,
    say_improvement,
    say_metric,
    say_mode_reason,
    say_name_reason,
    say_shortage,
)
from replay.report.sentences.summary import SHORT_VERDICTS, label, say_extremes, say_outcome, say_verdict
from replay.stats.groups import groups_of
from replay.stats.intervals import ENOUGH_GROUPS
from replay.stats.planned import find_adaptive
from replay.stats.second_metric import find_second, mean_second_regret, movement_correlation
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, SAVED_KEYS, Weight, find_shortage
from replay.stats.ties import at_most
from replay.stats.validity import find_validity

__all__ = [
    "RANGES",
    "answer",
    "brief_table",
    "build",
    "describe_setting",
    "describe_source",
    "ending_data",
    "explanation",
    "find_limits",
    "headline",
    "metric_data",
    "say_rows",
    "say_too_few",
    "setting",
    "shortage_notes",
    "sort_rows",
    "summary_table",
    "worst_outcomes",
]

#: The summary of a simulation: a list with one entry per policy, by key.
Summary = Mapping[str, Sequence[Any]]

_CHECKPOINTS = {
    "best": "the best checkpoint",
    "best-saved": "the best-saved checkpoint",
    "transformers": "what load_best_model_at_end loads",
    "last": "the last checkpoint",
}

_FEWEST_RUNS = 10  # of the brief form, with --per-run
_LEGEND = (
    "saved: mean share of compute saved per run; total: share of the total compute of all runs. lost: share"
    " of a run's improvement given up (from the base model or else the first eval, to the best eval); worst:"
    " the largest loss. equal: the loss if every run had been given the policy's average budget."
)
_CENSORED = " censored: the log ends before the planned end, so the loss is a lower bound."
#: Where few runs lose anything, `replay.stats.intervals` bounds what runs that were not seen may lose.
RANGES = " Ranges: 95 % intervals, which allow for runs that lose more than any here; bootstrap over runs"


def build(
    outcomes: Outcomes,
    summary: Summary,
    *,
    findings: Sequence[Finding] = (),
    per_run: bool = False,
    weight: Weight = "runs",
    source: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
    chart: Sequence[Block] = (),
) -> Document:
    """Report outcomes with their summary, one row per policy or, with ``per_run``, per run and policy.

    With the ``weight`` compute, policies are sorted by the share of the total compute that they save, and
    sentences state that share. ``findings`` are those of the logs; ``source`` says what was read;
    ``next_steps`` are the commands to run next, and ``chart`` is what `replay.report.plane`
    makes where a chart was asked for.
    """
    rows = sort_rows(records(summary), weight)
    return Document(
        lambda: _blocks(outcomes, rows, findings, per_run, weight, source, next_steps, chart),
        lambda: _data(outcomes, rows, findings),
        lambda: Records(COLUMNS, outcomes.rows()) if per_run else Records(KEYS, rows),
    )


def sort_rows(rows: list[dict[str, Any]], weight: Weight) -> list[dict[str, Any]]:
    """The rows as given, or with the weight compute from most to least saved between the baselines."""
    if weight == "runs":
        return rows
    first = [row for row in rows if row["spec"] in BASELINES]
    last = [row for row in rows if row["spec"] == ORACLE]
    policies = [row for row in rows if row["spec"] not in (*BASELINES, ORACLE)]
    return [*first, *sorted(policies, key=lambda row: -row["saved_total"]), *last]


def _data(outcomes: Outcomes, rows: list[dict[str, Any]], findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "summary": rows,
        "outcomes": outcomes.rows(),
        "warnings": sentences([*findings, *outcomes.findings]),
        "notes": sentences(find_limits(outcomes.study, _policies_of(outcomes))),
        **setting(outcomes.study),
        "second_metric": _second_data(outcomes),
    }


def _second_data(outcomes: Outcomes) -> dict[str, Any] | None:
    """The objective on a second held-out set, as JSON has it: its name, how its movements from eval to eval
    follow the objective's, and the mean regret on it of each policy.
    """
    name = find_second(outcomes.study)
    if name is None:
        return None
    rows = []
    for index, policy in enumerate(outcomes.policies):
        found = mean_second_regret(outcomes, np.arange(*outcomes.rows_of(index).indices(len(outcomes))))
        figures = (np.nan, np.nan, np.nan) if found is None else (found.mean, found.low, found.high)
        mean, low, high = (None if np.isnan(figure) else figure for figure in figures)
        rows.append(
            {
                "policy": policy,
                "runs": 0 if found is None else found.runs,
                "second_regret_mean": mean,
                "second_regret_low": low,
                "second_regret_high": high,
            }
        )
    correlation = movement_correlation(outcomes.study)
    return {"metric": name, "movement_correlation": correlation, "policies": rows}


def setting(study: Study) -> dict[str, Any]:
    """How the runs were monitored and judged, as JSON has it."""
    return {
        "monitor": metric_data(study.monitor),
        "objective": metric_data(study.objective),
        "unit": study.question.unit,
        "unit_basis": _basis(study),
        "keep": study.question.keep,
        **ending_data(study),
    }


def metric_data(metric: Metric) -> dict[str, Any]:
    """A metric, its mode and where both come from, as JSON has it."""
    return {
        "metric": metric.name,
        "mode": metric.mode,
        "metric_reason": say_name_reason(metric),
        "mode_reason": say_mode_reason(metric),
    }


def ending_data(study: Study) -> dict[str, dict[str, str]]:
    """Which runs are censored and which were still improving at the end, with the reasons, as JSON has it."""
    complete = {run: how for run, how in study.improving.items() if run not in study.censored}
    return {
        "censored": {run: say_censoring(reason) for run, reason in study.censored.items()},
        "still_improving": {run: say_improvement(how) for run, how in complete.items()},
    }


def _basis(study: Study) -> str:
    return "; ".join(sorted({compute.basis for compute in study.panel.compute}))


def _blocks(
    outcomes: Outcomes,
    summary: list[dict[str, Any]],
    findings: Sequence[Finding],
    per_run: bool,
    weight: Weight,
    source: Sequence[str],
    next_steps: Sequence[Sequence[str]],
    chart: Sequence[Block],
) -> list[Block]:
    study = outcomes.study
    rows = [row for row in summary if row["spec"] not in (*BASELINES, ORACLE)]
    tables = _outcome_tables(outcomes) if per_run else [brief_table(summary), summary_table(summary)]
    out: list[Block] = [
        *headline(study, source),
        Paragraph(answer(study, rows, weight), answer=True),
        *tables,
        *chart,
        Paragraph(
            explanation(
                summary,
                weight,
                groups_of(study.judged_runs),
                study.objective.name,
                enough=find_shortage(study.compared_evals) is None,
            ),
            detail="verbose",
        ),
        Notes(_notes(outcomes, findings, rows)),
    ]
    if next_steps:
        out.append(Commands(next_steps, medium="screen"))
    return out


def headline(study: Study, source: Sequence[str]) -> list[Block]:
    """What was read, what the policies watched and what they were judged by.

    The verbose form also says where the unit and the checkpoint come from.
    """
    return [
        Paragraph([*source, *describe_setting(study, brief=True)], medium="screen", detail="brief"),
        Paragraph(source, hanging=2, medium="screen", detail="verbose"),
        Paragraph(describe_setting(study), hanging=2, tight=True, detail="verbose"),
    ]


def answer(study: Study, rows: Sequence[Mapping[str, Any]], weight: Weight = "runs") -> list[str]:
    """What one policy would have saved and lost; of several, which saves most and which loses least."""
    return say_rows(rows, study.question.unit, weight)


def say_rows(rows: Sequence[Mapping[str, Any]], unit: str, weight: Weight = "runs") -> list[str]:
    """The same, with the unit that compute is counted in."""
    if not rows:
        return []
    return [say_outcome(rows[0], unit, weight) if len(rows) == 1 else say_extremes(rows, unit, weight)]


def describe_setting(study: Study, *, brief: bool = False) -> list[str]:
    """What the policies watched, what they were judged by, in which unit, and how many runs are censored."""
    monitor, objective, question = study.monitor, study.objective, study.question
    text = f"Monitor: {say_metric(monitor)}."
    if objective is not monitor:
        text += (
            f" Objective: {objective.name}, {say_better(objective.mode)} is better"
            f" ({say_mode_reason(objective)})."
        )
    if brief:
        text += f" Unit: {question.unit}." if question.unit != "steps" else ""
        text += "" if question.keep == "best" else f" Checkpoint kept: {_CHECKPOINTS[question.keep]}."
    else:
        text += f" Unit: {question.unit} ({_basis(study)}). Checkpoint kept: {_CHECKPOINTS[question.keep]}."
    out = [text]
    total, every = len(study.judged_runs), len(study.panel.runs)
    if total < every:
        out.append(f"The figures are about the {total} of {every} runs that can be judged.")
    return [*out, *sentences(finding for finding in study.endings if finding.kind is Kind.CENSORED_RUNS)]


def brief_table(summary: Sequence[Mapping[str, Any]]) -> Table:
    """What each policy saves and loses, beside the equal budget."""
    rows = [
        [
            label(row["policy"]),
            cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
            ("≥ " if row["censored"] and row["spec"] != "never" else "")
            + cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
            "" if row["spec"] in ("never", ORACLE) else percent(row["budget_lost"]),
            SHORT_VERDICTS.get(row["verdict"], row["verdict"]),
        ]
        for row in summary
    ]
    return Table(
        ["policy", "saved", "lost", "equal budget", "vs. equal budget"], rows, (0, 4), detail="brief"
    )


def summary_table(summary: Sequence[Mapping[str, Any]]) -> Table:
    """What each policy saves and loses, in the verbose form."""
    censored = any(row["censored"] for row in summary)
    head = ["policy", "stopped", "saved", "total", "lost", "worst", "equal", "verdict"]
    rows = [
        [
            label(row["policy"]),
            f"{row['stopped']}/{row['runs']}",
            *([str(row["censored"])] if censored else []),
            cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
            percent(row["saved_total"]),
            cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
            percent(row["lost_worst"]),
            "" if row["spec"] in ("never", ORACLE) else percent(row["budget_lost"]),
            SHORT_VERDICTS.get(row["verdict"], row["verdict"]),
        ]
        for row in summary
    ]
    if censored:
        head.insert(2, "censored")
    return Table(head, rows, (0, len(head) - 1), detail="verbose")


def _outcome_tables(outcomes: Outcomes) -> list[Block]:
    """One table for the page; for the screen, which is narrow, one table per policy. The brief form has the
    policies that were asked for, and the runs with the largest losses first.
    """
    head = ["run", "policy", "stop", "step", "saved", "kept", "best", "lost", ""]
    rows = [_outcome_cells(row) for row in outcomes.rows()]
    out: list[Block] = [Table(head, rows, (0, 1, 8), medium="page"), *_brief_outcomes(outcomes)]
    for policy in outcomes.typed:
        of_policy = [[row[0], *row[2:]] for row in rows if row[1] == policy]
        out += [
            Paragraph((f"{policy}:",), medium="screen", detail="verbose"),
            Table([head[0], *head[2:]], of_policy, (0, 7), medium="screen", tight=True, detail="verbose"),
        ]
    return out


def worst_outcomes(outcomes: Outcomes) -> list[dict[str, Any]]:
    """The outcomes of the policies that were asked for, those with the largest losses first."""
    asked = {
        typed
        for typed, spec in zip(outcomes.typed, outcomes.policies, strict=True)
        if spec not in (*BASELINES, ORACLE)
    }
    found = [row for row in outcomes.rows() if row["policy"] in asked or not asked]
    return sorted(found, key=lambda row: (row["lost"] is None, -(row["lost"] or 0.0), -row["saved"]))


def _brief_outcomes(outcomes: Outcomes) -> list[Block]:
    """The outcomes of the policies that were asked for, without what `never` and the oracle give."""
    found = worst_outcomes(outcomes)
    several = len({row["policy"] for row in found}) > 1
    head = ["run", "policy", "stop", "step", "saved", "lost", ""]
    cells = [_outcome_cells(row) for row in found]
    rows = [[*row[:5], *row[7:]] for row in cells]
    if not several:
        head, rows = [head[0], *head[2:]], [[row[0], *row[2:]] for row in rows]
    left = (0, 1, 6) if several else (0, 5)
    text = "Runs with the largest losses first. stop: at which eval, of how many."
    return [
        Paragraph((text,), medium="screen", detail="brief"),
        Table(head, rows, left, medium="screen", detail="brief", tight=True, fewest=_FEWEST_RUNS),
    ]


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
        "lower bound" if row["censored"] else "noise" if within else "",
    ]


def explanation(
    summary: Sequence[Mapping[str, Any]], weight: Weight, groups: Sequence[str], metric: str, *, enough: bool
) -> list[str]:
    """What the columns mean, and the verdict on the policies where there are ``enough`` runs and evals.

    ``groups`` has the group of each judged run, and ``metric`` is the objective.
    """
    rows = [row for row in summary if row["spec"] not in (*BASELINES, ORACLE)]
    censored = _CENSORED if any(row["censored"] for row in summary) else ""
    out = [_LEGEND + censored + RANGES + _describe_groups(groups)]
    if rows and enough:
        out.append(f"Verdict: {_verdicts(rows, metric, weight)}")
    return out


def _notes(outcomes: Outcomes, findings: Sequence[Finding], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What bounds the meaning of the outcomes; ``findings`` are those of the logs."""
    study = outcomes.study
    dense = [row for row in rows if row["eval_share"] and row["eval_share"] > 0.005]
    costs = []
    if dense:
        share = percent(max(row["eval_share"] for row in dense))
        costs.append(f"Evals are {share} of the compute used under {dense[0]['policy']}.")
    validity = find_limits(study, _policies_of(outcomes))
    return [*make_notes(findings, [*outcomes.findings, *validity], shortage_notes(study)), *costs]


def shortage_notes(study: Study) -> list[str]:
    """That there are too few runs or evals to rank policies, where it is so."""
    return say_too_few(study.compared_evals)


def say_too_few(evals: Ints) -> list[str]:
    """That runs with these numbers of evals are too few to rank policies, where it is so."""
    shortage = find_shortage(evals)
    if shortage is None:
        return []
    enough = f"at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals are needed"
    return [f"{say_shortage(shortage).capitalize()}: too few to rank policies ({enough})."]


def _policies_of(outcomes: Outcomes) -> list[Policy]:
    """The policies without the baselines."""
    return [
        policy
        for policy, name in zip(outcomes.stops.policies, outcomes.policies, strict=False)
        if name not in BASELINES
    ]


def find_limits(study: Study, policies: Sequence[Policy]) -> list[Finding]:
    """What bounds the meaning of the outcomes of policies on the runs of a study.

    That runs are censored is not among it: `describe_setting` says so.
    """
    curves = dict(zip((run.id for run in study.panel.runs), study.panel.curves, strict=True))
    endings = [finding for finding in study.endings if finding.kind is not Kind.CENSORED_RUNS]
    return [*endings, *find_validity(study.judged_runs, curves, policies), *find_adaptive(study)]


def describe_source(study: Study) -> str:
    """The end of the sentence on intervals: what they were drawn from."""
    return _describe_groups(groups_of(study.judged_runs))


def _describe_groups(of_runs: Sequence[str]) -> str:
    groups = Counter(of_runs)
    if len(groups) == len(of_runs):
        return "."
    if len(groups) >= ENOUGH_GROUPS:
        return f", drawing whole groups ({len(groups)})."
    return f" of {', '.join(groups)}: they say nothing of other data or models."


def _verdicts(rows: Sequence[Mapping[str, Any]], metric: str, weight: Weight) -> str:
    """Which policies beat a shorter training, which lose to it, and one of them in figures."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(row["verdict"], []).append(row["policy"])
    text = "; ".join(say_verdict(verdict, policies) for verdict, policies in by_verdict.items()) + "."
    first = next((row for row in rows if row["stopped"]), None)
    if first is None:
        return text
    saved = percent(first[SAVED_KEYS[weight]])
    saves = f"{saved} and" if weight == "runs" else f"{saved} of the total compute and"
    return (
        f"{text} {first['policy']} saves {saves} loses"
        f" {percent(first['lost_mean'])} on average ({number(first['regret_mean'])} in {metric}, at worst"
        f" {number(first['regret_worst'])}); the equal budget loses {percent(first['budget_lost'])}."
        f" {_against_noise(first)}"
    )


def _against_noise(row: Mapping[str, Any]) -> str:
    """In how many runs a policy loses more than the run's own eval noise, and how many cannot tell."""
    told = row["within_noise"] + row["beyond_noise"]
    unable = row["runs"] - told
    if not told:
        return "No run can tell whether that is more than its own eval noise."
    text = f"In {row['beyond_noise']} of {told} runs it loses more than the run's own eval noise"
    if not unable:
        return f"{text}."
    verb = "s improve" if unable != 1 else " improves"
    return f"{text}; {unable} more run{verb} too little to tell."
