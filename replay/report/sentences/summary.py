"""Verdicts of a summary in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from replay.engine.outcomes import ORACLE
from replay.report.format import percent, span
from replay.stats.summary import SAVED_KEYS, Weight
from replay.stats.verdict import Verdict

__all__ = ["COMPUTE", "SHORT_VERDICTS", "label", "say_extremes", "say_interval", "say_outcome", "say_verdict"]

#: Baselines as tables show them.
_LABELS = {"never": "no early stopping", ORACLE: "best possible"}
#: What is saved, by the unit that it is counted in.
COMPUTE = {
    "steps": "the steps",
    "epochs": "the epochs",
    "tokens": "the tokens",
    "flops": "the FLOPs",
    "seconds": "the time",
    "gpu_hours": "the GPU hours",
    "cost": "the cost",
}

#: Verdicts that are too long for the column of a table, as the column shows them.
SHORT_VERDICTS: Mapping[str, str] = {
    Verdict.TOO_FEW: "too few",
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.NO_DIFFERENCE: "no clear difference",
    Verdict.FULL_LOG: "",
    Verdict.UPPER_BOUND: "",
}

_UNFINISHED = (
    "cannot be compared with a shorter training, because logs were ended before the training that was planned"
)
#: What a verdict says of one policy, and of several, where it is more than "is" or "are" and the verdict.
_SAYS: Mapping[str, tuple[str, str]] = {
    Verdict.NEVER_FIRES: ("never fires on these logs", "never fire on these logs"),
    Verdict.LOSES_NOTHING: ("loses nothing here", "lose nothing here"),
    Verdict.SAVES_NOTHING: ("saves nothing", "save nothing"),
    Verdict.LOSS_UNKNOWN: ("has an unknown loss", "have unknown losses"),
    Verdict.BETTER: ("is better than the equal budget", "are better than the equal budget"),
    Verdict.WORSE: ("is worse than the equal budget", "are worse than the equal budget"),
    Verdict.NO_DIFFERENCE: (
        "shows no significant difference from training for the same shorter time",
        "show no significant difference from training for the same shorter time",
    ),
    Verdict.CANNOT_TELL: (_UNFINISHED, _UNFINISHED),
}
_MOST_POLICIES = 4


def say_verdict(verdict: str, policies: Sequence[str]) -> str:
    """The verdict as a clause about policies: ``patience=1, patience=2 lose nothing``."""
    more = len(policies) - _MOST_POLICIES
    shown = ", ".join(policies[:_MOST_POLICIES]) + (f" and {more} more" if more > 0 else "")
    one, several = _SAYS.get(verdict, (f"is {verdict}", f"are {verdict}"))
    return f"{shown} {several if len(policies) > 1 else one}"


def label(policy: str) -> str:
    """A policy or a baseline as tables show it."""
    return _LABELS.get(policy, policy)


def say_outcome(row: Mapping[str, Any], unit: str, weight: Weight = "runs") -> str:
    """What a policy would have saved and lost, from its row of the summary."""
    policy = row["policy"]
    if row["verdict"] == Verdict.NEVER_FIRES:
        return f"{policy} never fires on these logs, so it saves nothing."
    saved = f"{percent(row[SAVED_KEYS[weight]])} of {COMPUTE[unit]}"
    if weight == "runs":
        saved = f"{percent(row['saved_mean'])} of a run's {COMPUTE[unit].removeprefix('the ')}"
        saved += say_interval(row["saved_low"], row["saved_high"], "95% CI ")
    if row["lost_mean"] is None:
        return f"{policy} would have saved {saved}. What it would have lost is unknown."
    least = "at least " if row["censored"] else ""
    lost = f"{least}{percent(row['lost_mean'])} of its improvement"
    text = (
        f"On average, {policy} would have saved {saved} and lost"
        f" {lost}{say_interval(row['lost_low'], row['lost_high'])}."
    )
    if row["budget_lost"] is None:
        return text
    return f"{text} The same budget for every run loses {percent(row['budget_lost'])}."


def say_interval(low: float | None, high: float | None, name: str = "") -> str:
    """An interval in brackets, behind its ``name``; nothing where it is unknown."""
    ends = span(low, high)
    return f" ({name}{ends})" if ends else ""


def say_extremes(rows: Sequence[Mapping[str, Any]], unit: str, weight: Weight = "runs") -> str:
    """Which of several policies saves most and which loses least, from their rows of the summary."""
    saved = SAVED_KEYS[weight]
    most = max(rows, key=lambda row: row[saved])
    known = [row for row in rows if row["lost_mean"] is not None and row[saved] > 0]
    text = f"Of {len(rows)} policies, {most['policy']} saves most: {percent(most[saved])} of {COMPUTE[unit]}"
    if not known or most["lost_mean"] is None:
        return f"{text}. What it would have lost is unknown."
    text += f", and loses {percent(most['lost_mean'])} of the improvement."
    least = min(known, key=lambda row: (round(row["lost_mean"], 9), -row[saved]))
    if least is most:
        return f"{text} No other policy that saves anything loses less."
    lost, saving = percent(least["lost_mean"]), percent(least[saved])
    return f"{text} {least['policy']} loses least, {lost}, and saves {saving}."
