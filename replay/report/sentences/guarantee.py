"""Sentences of guarantees: what is guaranteed, what is missing, and why runs cannot tell."""

from __future__ import annotations

from replay.report.format import percent, say_count
from replay.search.choice import Choice, Obstacle
from replay.search.cross_validation import FEWEST_GROUPS
from replay.search.guarantee import Guarantee, least_units
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS

__all__ = [
    "say_beyond",
    "say_further",
    "say_guarantee",
    "say_kind",
    "say_need",
    "say_obstacle",
    "say_promise",
    "say_tolerance",
    "say_units",
]


def say_units(count: int, unit: str) -> str:
    """A number of runs or groups: ``26 runs``, ``19 groups by dataset``."""
    if unit == "run":
        return say_count(count, "run")
    by = "" if unit == "group" else f" by {unit}"
    return f"{say_count(count, 'group')}{by}"


def say_tolerance(share: float) -> str:
    """A tolerance as it is typed: ``5%``."""
    return f"{100 * share:.6g}%"


def say_kind(given: Guarantee, *, full: bool = False) -> str:
    """Which kind of guarantee it is: ``on average``, ``with 90% confidence``; in ``full``, over what it is an
    average.
    """
    if given.confidence is not None:
        return f"with {100 * given.confidence:g}% confidence"
    return "on average over logs like these" if full else "on average"


def say_promise(given: Guarantee, unit: str, policy: str) -> str:
    """What is guaranteed of a policy, and for what; ``unit`` is ``"run"`` or what makes a group."""
    one = "run" if unit == "run" else "group"
    return (
        f"Guaranteed {say_kind(given, full=True)}: {policy} loses at most {say_tolerance(given.alpha)} of the"
        f" improvement on {say_further(unit)}, if they come from the same population as these"
        f" {say_units(given.units, unit)}. A single {one} may lose more."
    )


def say_further(unit: str) -> str:
    """What a guarantee is about."""
    return "further runs" if unit == "run" else "new groups of runs"


def say_guarantee(given: Guarantee, unit: str) -> str:
    """What is guaranteed, for what, and by what; ``unit`` is ``"run"`` or what makes a group."""
    rung = given.rung
    assert rung is not None
    return (
        f"{say_promise(given, unit, rung.policy.spec())} In these logs it saved {percent(rung.saved)} and"
        f" lost {percent(rung.lost)}.{_how(given, unit)}"
    )


def say_beyond(given: Guarantee, high: float | None) -> str:
    """Why the interval of a loss reaches beyond what is guaranteed; empty where it does not.

    ``high`` is the upper end of the interval.
    """
    if high is None or not high > given.alpha:
        return ""
    if given.confidence is None:
        return (
            f"The interval reaches {percent(high)}, because the guarantee is an average over the logs that"
            " you might have had."
        )
    sets = f"{100 * given.confidence:g} of 100 sets of runs"
    return f"The guarantee holds for {sets}, so the 95% interval can reach beyond it, to {percent(high)}."


def _how(given: Guarantee, unit: str) -> str:
    if given.method == "halves":
        return (
            f" One half of the {say_units(given.units, unit)} selected the parameters beside the threshold;"
            " the loss and the guarantee come from the other half."
        )
    if given.method == "split":
        return f" The error that is accepted is split over {given.ladders} ladders of policies."
    return ""


def say_need(given: Guarantee, unit: str) -> str:
    """What it takes to guarantee something."""
    least = least_units(given.alpha, given.confidence)
    if given.censored and given.needed_units is None and least is not None:
        return (
            f"Censored runs count as a loss of 100%, so nothing can be guaranteed. A guarantee of"
            f" {say_tolerance(given.alpha)} needs at least {say_units(least, unit)} whose logs reach the"
            " planned end."
        )
    if given.needed_units is None:
        return (
            f"No policy of those tried can be guaranteed to lose at most {say_tolerance(given.alpha)}: more"
            " runs would not help if they lose as much as these."
        )
    # of the policies that need as few units, the one that saves most
    reached = [rung for rung in given.rungs if rung.needed_units == given.needed_units]
    policy = f" ({reached[-1].policy.spec()})" if reached else ""
    return (
        f"A guarantee of {say_tolerance(given.alpha)} {say_kind(given)} needs at least"
        f" {say_units(given.needed_units, unit)} that lose no more than these{policy}; there"
        f" {_are(given.units)} {given.units}."
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def say_obstacle(selection: Choice, nearest: str, loss: str) -> str:
    """Why there is no best guess.

    ``nearest`` is the sentence on the policy that loses least, ``loss`` the cross-validated loss.
    """
    limit = selection.tolerance.describe()
    held = selection.held_out[0]
    match selection.obstacle:
        case Obstacle.TOO_FEW:
            return f"A best guess takes at least {ENOUGH_RUNS} runs with {ENOUGH_EVALS} evals each."
        case Obstacle.TOO_FEW_GROUPS:
            count = len(set(selection.groups))
            return (
                f"A best guess for new groups takes at least {FEWEST_GROUPS} groups; there {_are(count)}"
                f" {count}. The cross-validated figures leave out single runs."
            )
        case Obstacle.NONE_KEEPS:
            return f"No policy keeps {limit} on these runs. {nearest}"
        case Obstacle.NO_MARGIN:
            return f"Some policies keep {limit} on these runs, but none with a margin for chance. {nearest}"
        case Obstacle.BREAKS:
            return (
                "The policy selected on all runs does not keep the tolerance on runs that it was not selected"
                f" on: cross-validated, it loses {loss}."
            )
        case _:
            count = held.summary["censored"]
            text = (
                f"{count} of {held.summary['runs']} runs are censored: their logs end before the planned end,"
                " so a policy may lose more than these logs show"
            )
            if selection.tolerance.kind != "lost":
                return f"{text}."
            return f"{text}, up to {percent(min(held.worst_mean, 1.0))} on average."
