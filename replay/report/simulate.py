"""The answer of ``replay simulate``: a first screen for people, and the same in full for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from replay.engine.simulation import BASELINES, COLUMNS, ORACLE, Simulation, records
from replay.errors import PolicyError, printable
from replay.policies.spec import parse_policy
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
from replay.stats.intervals import ENOUGH_GROUPS
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, KEYS, too_few
from replay.stats.validity import notes

__all__ = ["SHORT", "as_csv", "as_json", "as_markdown", "as_text", "drawn", "headline", "watched"]

Summary = dict[str, list[Any]]


_KEPT = {
    "best": "the best checkpoint",
    "best-saved": "the best-saved checkpoint",
    "transformers": "what load_best_model_at_end loads",
    "last": "the last checkpoint",
}


def as_json(simulation: Simulation, summary: Summary) -> str:
    """The whole result: ``summary``, ``outcomes``, ``warnings``, ``notes``, and what was watched."""
    return json_text(
        {
            "summary": records(summary),
            "outcomes": simulation.rows(),
            "warnings": simulation.warnings,
            "notes": _notes(simulation),
            **watched(simulation),
        }
    )


def watched(simulation: Simulation) -> dict[str, Any]:
    """How the runs were watched and judged, as JSON has it."""
    roles = {"monitor": simulation.monitor, "objective": simulation.objective}
    return {
        **{
            role: {
                "metric": found.metric,
                "mode": found.mode,
                "metric_reason": found.metric_reason,
                "mode_reason": found.mode_reason,
            }
            for role, found in roles.items()
        },
        "unit": simulation.unit,
        "unit_basis": simulation.basis,
        "keep": simulation.keep,
        "censored": simulation.censored,
    }


def as_csv(simulation: Simulation, summary: Summary, per_run: bool) -> str:
    """The summary, or with ``per_run`` the outcomes, as CSV."""
    return csv_text(simulation.rows(), COLUMNS) if per_run else csv_text(records(summary), KEYS)


def as_markdown(simulation: Simulation, summary: Summary, per_run: bool) -> str:
    """Headline, table and verdict as markdown."""
    head, rows, left = _per_run_table(simulation) if per_run else _table(summary)
    text = "\n".join(printable(line) for line in headline(simulation))
    return (
        f"{text}\n\n{markdown(head, rows, left)}\n"
        + "\n".join(printable(line) for line in _verdicts(simulation, summary))
        + "\n"
    )


def as_text(
    simulation: Simulation,
    summary: Summary,
    per_run: bool,
    found: Sequence[str] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> str:
    """The first screen, at most 80 columns: what was read, one row a policy (or run and policy), a verdict,
    what to type next.
    """
    out = [line for text in [*found, *headline(simulation)] for line in wrapped(text, indent="  ")]
    if per_run:
        head, rows, left = _per_run_table(simulation)
        for policy in simulation.policies:
            own = [[row[0], *row[2:]] for row in rows if row[1] == policy]
            out += ["", *wrapped(f"{policy}:"), *lines([head[0], *head[2:]], own, left=(0, 7))]
    else:
        head, rows, left = _table(summary)
        out += ["", *lines(head, rows, left=left)]
    out.append("")
    out += [line for text in _verdicts(simulation, summary) for line in wrapped(text)]
    if next_steps:
        out += ["", *suggested(next_steps)]
    return "\n".join(out) + "\n"


def headline(simulation: Simulation) -> list[str]:
    """What was watched and judged by, in which unit, and how many runs are censored."""
    monitor, objective = simulation.monitor, simulation.objective
    better = "lower" if monitor.mode == "min" else "higher"
    told = f"Watching {monitor.metric} ({monitor.metric_reason}), {better} is better ({monitor.mode_reason})"
    if objective is not monitor:
        told += (
            f"; judged by {objective.metric}, {'lower' if objective.mode == 'min' else 'higher'} is better"
            f" ({objective.mode_reason})"
        )
    told += f". Compute in {simulation.unit} ({simulation.basis}); kept: {_KEPT[simulation.keep]}."
    out = [told]
    if simulation.censored:
        kinds = Counter(_kind(why) for why in simulation.censored.values())
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        out.append(
            f"{len(simulation.censored)} of {len(simulation.runs)} runs are censored ({shown}): their losses"
            " are lower bounds."
        )
    return out


def _kind(why: str) -> str:
    return {"stopped": "stopped early", "cut": "cut short", "its": "best at the last eval"}.get(
        why.split()[0], why
    )


_LEGEND = (
    "lost: share of a run's improvement (first eval to best) given away; shorter: lost by training shorter by"
    " as much (a fixed budget of equal mean compute). cens: outcomes that are bounds, as the log ends too"
    " soon. Ranges: 95 % bootstrap over runs"
)
#: Verdicts that fit a column.
SHORT = {
    "too few runs to rank": "too few",
    "better than training shorter": "better",
    "worse than training shorter": "worse",
    "no better than training shorter": "no better",
    "not told apart from training shorter": "unclear",
}


def _table(summary: Summary) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    head = ["policy", "stopped", "cens", "saved", "lost", "worst", "shorter", "verdict"]
    rows = []
    for row in records(summary):
        fixed = row["policy"] in ("never", ORACLE)
        rows.append(
            [
                row["policy"],
                f"{row['stopped']}/{row['runs']}",
                str(row["censored"]),
                cell(row["saved_mean"], row["saved_low"], row["saved_high"]),
                cell(row["lost_mean"], row["lost_low"], row["lost_high"]),
                percent(row["lost_worst"]),
                "" if fixed else percent(row["budget_lost"]),
                SHORT.get(row["verdict"], row["verdict"]),
            ]
        )
    return head, rows, (0, 7)


def _per_run_table(simulation: Simulation) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    head = ["run", "policy", "stop", "step", "saved", "kept", "best", "lost", ""]
    rows = []
    for row in simulation.rows():
        within = row["regret"] is not None and row["noise"] is not None and 0 < row["regret"] <= row["noise"]
        rows.append(
            [
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
        )
    return head, rows, (0, 1, 8)


def _verdicts(simulation: Simulation, summary: Summary) -> list[str]:
    rows = records(summary)
    own = [row for row in rows if row["policy"] not in (*BASELINES, ORACLE)]
    out = [_LEGEND + drawn(simulation)]
    why = too_few([len(curve) for curve in simulation.curves.values()])
    if why:
        out.append(
            f"Verdict: {why}: too few to rank policies (at least {ENOUGH_RUNS} runs of {ENOUGH_EVALS} evals"
            " are needed)."
        )
    else:
        out += [f"Verdict: {_judged(own, simulation.objective.metric)}"] if own else []
    out += _notes(simulation)
    dense = [row for row in own if row["eval_share"] and row["eval_share"] > 0.005]
    if dense:
        out.append(
            f"Evals are {percent(max(row['eval_share'] for row in dense))} of the compute used under"
            f" {dense[0]['policy']}."
        )
    return out


def _notes(simulation: Simulation) -> list[str]:
    """What bounds the meaning of the outcomes (see `notes`); a policy that no specification names is passed
    over.
    """
    policies = []
    for spec in simulation.policies:
        if spec not in (*BASELINES, ORACLE):
            with suppress(PolicyError):
                policies.append(parse_policy(spec))
    return notes(simulation.runs, simulation.curves, policies)


def drawn(simulation: Simulation) -> str:
    """What the intervals were drawn from."""
    groups = Counter(run.info.group or run.id for run in simulation.runs)
    if len(groups) == len(simulation.runs):
        return "."
    if len(groups) >= ENOUGH_GROUPS:
        return f", drawing whole groups ({len(groups)})."
    shown = ", ".join(str(group) for group in groups)
    return f" of {shown}: they say nothing of other data or models."


def _judged(rows: Sequence[dict[str, Any]], metric: str) -> str:
    """One or two sentences: which policies beat a shorter training, which lose to it, and one in figures."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["verdict"], []).append(row["policy"])
    said = []
    for verdict, policies in groups.items():
        shown = ", ".join(policies[:4]) + (f" and {len(policies) - 4} more" if len(policies) > 4 else "")
        plural = len(policies) > 1
        if verdict == "never fires":
            said.append(f"{shown} never fire{'' if plural else 's'} on these logs")
        elif verdict in ("loses nothing", "saves nothing"):
            said.append(f"{shown} {verdict.split()[0][:-1] if plural else verdict.split()[0]} nothing")
        else:
            said.append(f"{shown} {'are' if plural else 'is'} {verdict}")
    first = next((row for row in rows if row["stopped"]), None)
    text = "; ".join(said) + "."
    if first is not None:
        text += (
            f" {first['policy']} saves {percent(first['saved_mean'])} and loses {percent(first['lost_mean'])}"
            f" on average ({number(first['regret_mean'])} in {metric}, at worst"
            f" {number(first['regret_worst'])}); a shorter training loses {percent(first['budget_lost'])}. In"
            f" {first['runs'] - first['within_noise']} of {first['runs']} runs it loses more than the run's"
            " own eval noise."
        )
    return text
