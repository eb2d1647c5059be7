"""The report of ``replay explain``: one run under one policy, one row per eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from replay.data.censoring import CensoringKind
from replay.data.finding import Finding, Kind
from replay.data.gaps import find_gap, find_incomplete
from replay.engine.explain import COLUMNS, Explanation
from replay.report.document import Block, Commands, Document, Notes, Paragraph, Records, Table, separate
from replay.report.format import number, percent
from replay.report.notes import make_notes
from replay.report.sentences import sentence, sentences
from replay.report.sentences.metric import say_better, say_censoring, say_mode_reason
from replay.report.simulate import ending_data
from replay.stats.ties import at_most

__all__ = ["build"]


#: Evals of the brief form, unless there are hardly more; how many of them come before the stop.
_MOST_EVALS, _BEFORE = 14, 3
#: Steps of missing evals that a line names.
_MOST_STEPS = 4


def build(
    explanation: Explanation,
    findings: Sequence[Finding] = (),
    next_steps: Sequence[Sequence[str]] = (),
) -> Document:
    """Report what the policy saw and decided at each eval, and the outcome.

    ``findings`` are those of the logs; ``next_steps`` are the commands to run next.
    """
    return Document(
        lambda: _blocks(explanation, findings, next_steps),
        lambda: {
            "evals": explanation.rows,
            "outcome": explanation.outcome,
            "resumes": _resume_data(explanation),
            **ending_data(explanation.outcomes.study),
            "warnings": sentences(explanation.outcomes.findings),
        },
        lambda: Records(COLUMNS, explanation.rows),
    )


def _blocks(
    explanation: Explanation, findings: Sequence[Finding], next_steps: Sequence[Sequence[str]]
) -> list[Block]:
    best, stop, *rest = _ending(explanation)
    resumed, brief = _say_resumes(explanation), _say_resumes_briefly(explanation)
    every = range(len(explanation.rows))
    window = _window(explanation)
    cut = _is_cut_off(explanation, findings)
    tables = [_table(explanation, every, cut=cut)]
    if len(window) < len(every):
        tables = [
            replace(tables[0], detail="verbose"),
            replace(_table(explanation, window, cut=cut), detail="brief"),
        ]
    out: list[Block] = [
        Paragraph((_title(explanation),), detail="brief"),
        Paragraph((_title(explanation, reason=True),), detail="verbose"),
        Paragraph((stop,), tight=True, answer=True, detail="brief"),
        Paragraph((stop + _improvement(explanation),), tight=True, answer=True, detail="verbose"),
        *tables,
        *separate([best]),
        *separate(brief, detail="brief", tight=True),
        *separate(resumed, detail="verbose"),
        *separate(rest),
        Notes(make_notes(findings, explanation.outcomes.findings)),
    ]
    return [*out, Commands(next_steps, medium="screen")] if next_steps else out


def _window(explanation: Explanation) -> list[int]:
    """The evals of the brief form: the first, the best, and those around the stop or at the end."""
    count, outcome = len(explanation.rows), explanation.outcome
    if count <= _MOST_EVALS:
        return list(range(count))
    stop = (outcome["stopped_eval"] or count) - 1
    best = next((row["eval"] - 1 for row in explanation.rows if row["step"] == outcome["best_step"]), 0)
    resumed = [] if explanation.resumes is None else [at - 1 for at in explanation.resumes.evals][-2:]
    wanted = {0, best, count - 1, *resumed, *range(max(stop - _BEFORE, 0), min(stop + 1, count))}
    return sorted(wanted)


def _resume_data(explanation: Explanation) -> dict[str, Any] | None:
    """Where the run was resumed, and the stops of tools that keep less there, for JSON."""
    resumes = explanation.resumes
    if resumes is None:
        return None
    return {
        "first_evals": list(resumes.evals),
        "steps": list(resumes.evals.values()),
        "stopped_eval_best_kept": resumes.best_kept,
        "stopped_eval_forgotten": resumes.forgotten,
    }


def _title(explanation: Explanation, *, reason: bool = False) -> str:
    outcome, monitor = explanation.outcome, explanation.outcomes.study.monitor
    known = f" ({say_mode_reason(monitor)})" if reason else ""
    return (
        f"{outcome['run']} under {outcome['policy']}: {outcome['monitor']}, {say_better(outcome['mode'])} is"
        f" better{known}"
    )


def _is_cut_off(explanation: Explanation, findings: Sequence[Finding]) -> bool:
    """Whether a file of the run ends in the middle of an entry."""
    files = {str(file) for file in explanation.outcomes.study.panel.runs[0].info.sources}
    return any(finding.kind is Kind.CUT_OFF and finding.log in files for finding in findings)


def _table(explanation: Explanation, shown: Sequence[int], *, cut: bool) -> Table:
    """The evals at these positions, with lines for what lies between two of them and for a log that ends
    before the planned end, or in the middle of an entry (``cut``).
    """
    rows, outcome = [explanation.rows[index] for index in shown], explanation.outcome
    counts = any(row["counter"] is not None for row in rows)
    stop = outcome["stopped_eval"]
    lines = _lines_between(shown, stop, {} if explanation.resumes is None else explanation.resumes.evals)
    for row, text in _missing_before(explanation, shown).items():
        lines[row] = f"{lines[row]} {text}" if row in lines else text
    for reason in explanation.outcomes.study.censored.values():
        lines[len(rows)] = f"the log ends here ({say_censoring(reason)})"
    if cut:
        lines.setdefault(len(rows), "the log ends here (its file is cut off)")
    return Table(
        ["eval", "step", "value", "reference", "counter", "", "what happened"],
        [_cells(row, outcome["best_step"], counts) for row in rows],
        (5, 6),
        lines,
    )


def _lines_between(shown: Sequence[int], stop: int | None, resumed: Mapping[int, float]) -> dict[int, str]:
    """The lines before rows: where evals are left out, where the run was resumed, and where the policy has
    stopped.
    """
    out = {}
    for row, (before, index) in enumerate(pairwise(shown), 1):
        gap = index - before - 1
        parts = []
        if stop is not None and before < stop <= index:
            parts.append("what the log shows after the stop:")
        parts += [f"resumed at step {step:g}:" for at, step in resumed.items() if before < at - 1 <= index]
        if gap:
            parts.append(f"... {gap} eval{'s' * (gap != 1)} not shown")
        if parts:
            out[row] = ("   " if parts[0].startswith("...") else "") + " ".join(parts)
    return out


def _missing_before(explanation: Explanation, shown: Sequence[int]) -> dict[int, str]:
    """The lines before rows that follow missing evals, with the steps of these."""
    panel = explanation.outcomes.study.panel
    gap = find_gap(panel.runs[0], panel.curves[0].steps)
    if gap is None:
        return {}
    steps = [float(explanation.rows[index]["step"]) for index in shown]
    out = {}
    for row, (before, after) in enumerate(pairwise(steps), 1):
        missing = [step for step in gap.steps if before < step < after]
        if missing:
            at = ", ".join(f"{step:g}" for step in missing[:_MOST_STEPS])
            more = ", …" if len(missing) > _MOST_STEPS else ""
            count = f"{len(missing)} evals are" if len(missing) > 1 else "1 eval is"
            unit = panel.runs[0].info.step_unit + "s" * (len(missing) > 1)
            out[row] = f"{count} missing ({unit} {at}{more}):"
    return out


def _say_resumes(explanation: Explanation) -> list[str]:
    """What each kind of tool does where a run was resumed."""
    resumes, outcome = explanation.resumes, explanation.outcome
    if resumes is None:
        return []
    steps = ", ".join(f"{step:g}" for step in resumes.evals.values())
    restored = (
        f"The run was resumed at step {steps}. The table counts on, as tools do that restore the best value"
        " and the counter from the checkpoint (Lightning): such a tool"
        f" {_say_stop(outcome['stopped_eval'])}."
    )
    half = (
        "A tool that restores the best value and counts anew (transformers, unless"
        f" restore_callback_states_from_checkpoint is set) {_say_stop(resumes.best_kept)}."
    )
    forgotten = (
        "A tool that keeps both in memory (Keras, fastai, most training loops) begins anew with the first"
        f" eval after the resume: it {_say_stop(resumes.forgotten)}."
    )
    return [" ".join([restored, half, forgotten] if resumes.counts else [restored, forgotten])]


def _say_resumes_briefly(explanation: Explanation) -> list[str]:
    """The stops of tools where a run was resumed, in one sentence."""
    resumes, outcome = explanation.resumes, explanation.outcome
    if resumes is None:
        return []
    steps = ", ".join(f"{step:g}" for step in resumes.evals.values())
    stops = {"keeps the counter (Lightning)": outcome["stopped_eval"]}
    if resumes.counts:
        stops["keeps only the best value (transformers)"] = resumes.best_kept
    stops["forgets both (Keras)"] = resumes.forgotten
    named: dict[int | None, list[str]] = {}
    for what, stop in stops.items():
        named.setdefault(stop, []).append(what)
    said = [f"{' or '.join(whats)} {_say_stop(stop)}" for stop, whats in named.items()]
    return [f"Resumed at step {steps}: a tool that {', one that '.join(said)}."]


def _say_stop(stop: int | None) -> str:
    return "never stops this run" if stop is None else f"stops at eval {stop}"


def _cells(row: Mapping[str, Any], best_step: float | None, counts: bool) -> list[str]:
    counter, threshold = row["counter"], row["limit"]
    known = counter is not None and threshold is not None
    past = row["decision"] == "after the stop" and known and counter >= threshold
    return [
        str(row["eval"]),
        str(row["step"]),
        number(row["value"], 6) + ("*" if row["step"] == best_step else " "),
        "" if row["reference"] is None else number(row["reference"], 6),
        f"{number(counter)}/{number(threshold)}" if known and counts else "",
        "STOP" if row["decision"] == "stop" else "",
        "past the threshold" if past else row["reason"],
    ]


def _ending(explanation: Explanation) -> list[str]:
    """The best of the log, where the policy stopped, and what that saved and lost."""
    outcome, study = explanation.outcome, explanation.outcomes.study
    out = [
        f"* the best of the whole log: {number(outcome['best'], 6)} at step {outcome['best_step']}.",
        _stop(outcome) + _checkpoint(explanation),
    ]
    (run,), (curve,) = study.panel.runs, study.panel.curves
    out += sentences(find_incomplete([run], {run.id: curve.steps}))
    for finding in study.endings:
        if finding.kind is not Kind.CENSORED_RUNS:
            out.append(sentence(finding))
        elif outcome["censored"]:
            reason = study.censored[outcome["run"]]
            why = "its log ends before the planned end"
            if reason.kind is CensoringKind.CUT_OFF:
                why = "the rest of the log could not be read"
            out.append(f"The run is censored ({say_censoring(reason)}): {why}, so the loss is a lower bound.")
    return out


def _stop(outcome: Mapping[str, Any]) -> str:
    evals, unit = outcome["evals"], outcome["unit"]
    if outcome["stopped_eval"] is None:
        return (
            f"{outcome['policy']} never stops this run: all {evals} evals,"
            f" {number(outcome['used'], 6)} {unit}."
        )
    return (
        f"It stops at eval {outcome['stopped_eval']} of {evals} (step {outcome['stopped_step']}):"
        f" {outcome['reason']}. Used {number(outcome['used'], 6)} of {number(outcome['used_full'], 6)}"
        f" {unit}, {percent(outcome['saved'])} saved."
    )


def _checkpoint(explanation: Explanation) -> str:
    outcome = explanation.outcome
    if outcome["kept"] is None:
        return ""
    return _kept(outcome)


def _improvement(explanation: Explanation) -> str:
    """From which value the run improved to which, which is what a share of its improvement refers to."""
    scale, best = explanation.outcomes.study.panel.objective.scale, explanation.outcome["best"]
    improvement = float(scale.improvement[0])
    if not improvement > 0:
        return ""
    start = best + improvement * (1 if explanation.outcomes.study.objective.mode == "min" else -1)
    whose = "the base model's value" if scale.of_base[0] else "the first eval"
    return f" The run improved from {number(start, 6)} ({whose}) to {number(best, 6)}."


def _kept(outcome: Mapping[str, Any]) -> str:
    text = f" The checkpoint kept is that of step {outcome['kept_step']} ({number(outcome['kept'], 6)})"
    if outcome["regret"] == 0:
        return text + ", the best of the whole log: nothing is lost."
    spread = outcome["noise"]
    within = spread is not None and bool(at_most(outcome["regret"], spread, abs(outcome["best"])))
    noise = f" (within its eval noise of {number(spread)})" if within else ""
    text += f": {number(outcome['regret'])} worse than the best of the whole log"
    if outcome["lost"] is None:
        return f"{text}{noise}. The run improves too little to say which share of its improvement that is."
    return f"{text}, {percent(outcome['lost'])} of the run's improvement{noise}."
