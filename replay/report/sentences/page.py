"""Sentences of the page: the answer, what its evidence is, and how the figures were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replay.engine.study import Study
from replay.report.format import number, percent, say_count
from replay.report.sentences.guarantee import say_promise, say_tolerance
from replay.report.sentences.summary import COMPUTE, say_interval
from replay.search.choice import Selection, Status
from replay.stats.verdict import Verdict

if TYPE_CHECKING:
    from replay.report.page.gather import Evaluated

__all__ = ["METHODS", "say_evidence", "say_headline", "say_sampling", "say_trust"]


def say_headline(selection: Selection, held: Evaluated | None) -> dict[str, str | None]:
    """The answer in one line: what stands before the policy, the policy, and what stands behind it."""
    policy = selection.policy
    if policy is None or held is None:
        return {"before": "These logs cannot tell yet which stop policy to use", "policy": None, "after": "."}
    saved = f"{percent(held.summary['saved_mean'])} less compute"
    if selection.status is Status.GUARANTEED:
        least = f"at most {say_tolerance(selection.tolerance.value)} of the improvement lost"
        return {"before": "Stop with ", "policy": policy.spec(), "after": f": {saved}, {least}."}
    return {"before": "Stop with ", "policy": policy.spec(), "after": f": {saved}, {_lost(selection, held)}."}


def _lost(selection: Selection, held: Evaluated) -> str:
    if selection.tolerance.kind == "regret":
        return f"{number(held.summary['regret_mean'])} worse in {selection.outcomes.study.objective.name}"
    if selection.tolerance.kind == "relative_regret":
        return f"{percent(held.summary['relative_regret_mean'])} worse than the best value"
    return f"{percent(held.summary['lost_mean'])} of the improvement lost"


def say_trust(selection: Selection) -> str:
    """How far the recommendation can be trusted, in one sentence."""
    limit = _limit(selection)
    if selection.status is Status.GUARANTEED and selection.guarantee is not None:
        return say_promise(selection.guarantee, selection.unit, "it")
    if selection.policy is not None:
        return (
            f"This is a best guess: the policy saves most among those that lose at most {limit}, and"
            " cross-validation by run confirms it, but nothing is guaranteed."
        )
    return f"No policy of those tried is confirmed to lose at most {limit}, so the page recommends none."


def _limit(selection: Selection) -> str:
    tolerance = selection.tolerance
    if tolerance.kind == "regret":
        return f"{tolerance.text} in {selection.outcomes.study.objective.name}"
    return tolerance.text + (" of the improvement" if tolerance.kind == "lost" else " of the best value")


def say_evidence(study: Study, selection: Selection, held: Evaluated | None) -> str:
    """What the recommended policy saves and loses on runs that had no part in choosing it."""
    count = len(study.judged_runs)
    censored = sum(run.id in study.censored for run in study.judged_runs)
    runs = f"{say_count(count, 'run')} ({f'{censored:,}' if censored else 'none'} censored)"
    if held is None:
        return f"There are {runs}."
    summary, unit = held.summary, COMPUTE[study.question.unit]
    around = say_interval(summary["saved_low"], summary["saved_high"], "95 % interval ")
    saved = f"{percent(summary['saved_mean'])} of {unit}{around}"
    bound = "at least " if summary["censored"] else ""
    text = f"Cross-validated on {runs}, each with the policy that the others choose, "
    text += "it saves " if selection.policy is not None else f"{_spec(selection)} saves "
    text += saved
    if selection.tolerance.kind != "lost":
        return f"{text} and is {_lost(selection, held)}."
    if summary["lost_mean"] is None:
        return f"{text}; what it loses is unknown."
    around = say_interval(summary["lost_low"], summary["lost_high"])
    text += f" and loses {bound}{percent(summary['lost_mean'])}{around}"
    if summary["budget_lost"] is None:
        return f"{text}."
    text += f"; the equal budget loses {percent(summary['budget_lost'])}"
    if summary["verdict"] == Verdict.WORSE:
        return f"{text}, which is less: giving every run that budget is better than watching the metric."
    return f"{text}."


def _spec(selection: Selection) -> str:
    return "no policy" if selection.guess is None else selection.guess.spec()


def say_sampling(sampled: int, runs: int, shown: int, policies: int, left_out: int) -> list[str]:
    """What the page leaves out so that it stays small."""
    out = []
    if sampled:
        out.append(
            f"{sampled:,} of {runs:,} curves are sampled: the page draws evenly spaced evals and the best"
            " one. Stops, checkpoints and figures are computed from all evals."
        )
    if shown < policies:
        out.append(
            f"The page holds the outcomes of each run for {shown:,} of {policies:,} policies. For the others"
            " it holds the means over the runs."
        )
    if left_out:
        out.append(f"{left_out:,} further policies of the sweep are not on the page.")
    return out


#: What the figures of the page mean and how they were made.
METHODS = (
    (
        "Replay",
        (
            "Each policy reads each finished run from its first eval on and sees nothing after the eval"
            " that it decides at. The stop is the first eval at which the policy fires. A stop keeps the"
            " best checkpoint up to then, unless the command says otherwise."
        ),
    ),
    (
        "Saved",
        (
            "The share of a run's compute that the stop would have saved, averaged over the runs. Evals"
            " count as compute where the log records what they cost."
        ),
    ),
    (
        "Lost",
        (
            "The share of a run's improvement that the stop would have given up. The improvement is"
            " measured from the base model, or else from the first eval, to the best eval of the whole"
            " log. Runs that improve by less than twice the noise of their evals are left out, because"
            " they have no scale."
        ),
    ),
    (
        "Cross-validated",
        (
            "Each run is scored with the policy that is chosen without it. The figures then say what to"
            " expect of more runs like these."
        ),
    ),
    (
        "In-sample",
        (
            "Figures of one policy on the runs that it may have been chosen on. They are optimistic for"
            " the best of many policies. The scatter plot, the table, the runs and the grid show in-sample"
            " figures."
        ),
    ),
    (
        "Guaranteed",
        (
            "Conformal risk control (or Learn then Test, where the command gives a confidence) proves"
            " that the policy loses at most the tolerance, if the next runs come from the same population"
            " as these."
        ),
    ),
    (
        "Intervals",
        "95 % intervals over runs, or over groups where at least five groups share data or a model.",
    ),
    (
        "Equal budget",
        (
            "The loss if every run had simply been given the policy's average budget. A policy is worth"
            " its name if it loses less than this."
        ),
    ),
    (
        "Censored",
        (
            "The log ends before the planned end, or a stop rule ended it. The loss on such a run is a"
            " lower bound."
        ),
    ),
)
