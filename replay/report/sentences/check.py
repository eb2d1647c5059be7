"""Sentences of ``replay check``: what became of limits, stops, logs and policies since the lock was made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from replay.check.model import LimitResult, Stop
from replay.data.finding import Finding, Kind, Severity
from replay.errors import list_names
from replay.report.format import say_among, say_count
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS

__all__ = ["SENTENCES", "after_line", "before_line", "limit_sentence", "stop_line"]


def stop_line(stop: Stop) -> str:
    """What happened to a run, in a line."""
    if stop.stopped_eval is None:
        return "not stopped"
    return f"eval {stop.stopped_eval} (step {stop.stopped_step}): {stop.reason}"


def _line(value: Any) -> str | None:
    """A fact ``before`` or ``after`` in a line: a stop, a mean of a figure, or a name."""
    if value is None:
        return None
    if isinstance(value, Stop):
        return stop_line(value)
    if isinstance(value, tuple):
        figure, mean = value
        return f"{figure.replace('_', ' ')} {_plain_figure(figure, mean)}"
    return str(value)


def before_line(finding: Finding) -> str | None:
    """What a finding says was so before, in a line; for an expectation, what is expected."""
    if finding.kind is Kind.VERSION:
        return None
    if finding.kind is not Kind.EXPECT:
        return _line(finding.get("before"))
    expected = finding["expected"]
    text = "not stopped" if expected is None else f"eval {expected}"
    return f"{text} (expected)" if finding.severity is not Severity.UNDECIDED else text


def after_line(finding: Finding) -> str | None:
    """What a finding says is so now, in a line."""
    if finding.kind is Kind.VERSION:
        return None
    return _line(finding.get("after"))


def _names(names: Sequence[str], one: str = "", more: str = "") -> str:
    """``run a``, ``runs a, b, c and 7 more``."""
    head = (one if len(names) == 1 else more) + " " if one else ""
    return head + list_names(names)


def _word(value: object) -> str:
    return "not given" if value is None else str(value)


def _of_group(finding: Finding) -> str:
    group = finding.get("group")
    return "" if group is None else f" on group {group}"


def _noun(figure: str) -> str:
    return figure.replace("_", " ")


def _figure(figure: str, value: float | None) -> str:
    """A figure of a limit: ``39%``, ``0.0118``."""
    if value is None:
        return "unknown"
    return f"{value:.4g}" if figure == "regret" else f"{100 * value:.3g}%"


def _plain_figure(figure: str, value: float) -> str:
    return f"{value:.4g}" if figure == "regret" else f"{100 * value:.3g}%"


#: How the verdict on a limit reads.
_VERDICTS = {"kept": "is kept", "broken": "is broken", "unsure": "may be broken"}


def limit_sentence(result: LimitResult) -> str:
    """How a limit came out."""
    who = result.policy + ("" if result.group is None else f" on group {result.group}")
    noun, figure = _noun(result.figure), result.figure
    if result.verdict == "unknown" and not result.undecidable:
        return f"{who}: {noun} is unknown on these runs, so {result.name} cannot be decided"
    if result.name == "guarantee":
        return f"{who}: {_guarantee(result)}"
    limit = f"{who}: {result.name} {result.text} {_VERDICTS.get(result.verdict, 'is undecided')}"
    if result.worst:
        return f"{limit}: {_worst(result)}"
    text = f"{noun} {_figure(figure, result.value)}"
    text += " of the runs" if figure == "stopped_too_early" else " on average"
    if result.low is not None and result.high is not None and result.low != result.high:
        text += f" ({_figure(figure, result.low)} to {_figure(figure, result.high)})"
    if result.verdict == "unsure":
        text += ", which so few runs cannot tell from chance"
    return f"{limit}: {text}"


def _guarantee(result: LimitResult) -> str:
    kind = "on average" if result.text == '"mean"' else f"with {result.text.strip(chr(34))} confidence"
    if result.verdict == "kept":
        return f"a loss of at most {_figure('lost', result.wanted)} is guaranteed {kind}"
    wanted, value = _figure("lost", result.wanted), _figure("lost", result.value)
    text = f"a loss of at most {wanted} cannot be guaranteed {kind}; these runs guarantee {value}"
    if result.needed is None:
        return f"{text}, and more runs with such losses would not change that"
    return f"{text}, and it takes {result.needed} runs with such losses"


def _worst(result: LimitResult) -> str:
    worst, figure = result.worst_run, result.figure
    if worst is None:
        return f"{_noun(figure)} {_figure(figure, result.value)} at worst"
    more = f" (and {worst.others} more run{'s' * (worst.others != 1)})" if worst.others else ""
    text = f"{worst.stop.run}{more} has {_noun(figure)} {_figure(figure, worst.value)}"
    if worst.noise is None:
        return text if worst.surely else f"{text}, and too few evals to know its noise"
    noise = f"the run's eval noise of {_figure(figure, worst.noise)}"
    return f"{text}, {'beyond' if worst.surely else 'within'} {noise}"


def _limit(finding: Finding) -> str:
    result, added = finding["result"], finding.get("added")
    text = limit_sentence(result)
    if added is None:
        return text
    runs = "run that is" if added == 1 else f"{added} runs that are"
    return f"{text}; without the {runs} not in the lock it is {_figure(result.figure, finding['without'])}"


def _undecided(finding: Finding) -> str:
    if "evals" in finding.facts:
        why = f"a median of {finding['evals']:g} evals a run is too few ({ENOUGH_EVALS} are needed)"
    elif finding.kind is Kind.FEW_RUNS:
        count = finding["count"]
        why = f"{count} run{'s are' if count != 1 else ' is'} too few ({ENOUGH_RUNS} are needed)"
        if finding.get("scaled"):
            verb = "are" if count != 1 else "is"
            why = (
                f"{count} run{'s' * (count != 1)} of which the share lost is known {verb} too few"
                f" ({ENOUGH_RUNS} are needed; see the warnings on the other runs)"
            )
    else:
        why = (
            f"{say_among(finding['count'], finding['total'], 'run', 'is', 'are')} censored"
            f" ({'its log ends' if finding['count'] == 1 else 'their logs end'} before the planned end, so"
            f" {'its loss is a lower bound' if finding['count'] == 1 else 'their losses are lower bounds'})"
        )
    limits = ", ".join(finding["limits"] or finding["every"])
    return f"{finding.policy}{_of_group(finding)}: {why}, so {limits} cannot be decided"


def _noise(finding: Finding) -> str:
    figure = finding["figure"]
    return (
        f"{finding.policy}{_of_group(finding)}: {finding['limit']} {finding['text']} is below the eval noise"
        f" of these logs ({_figure(figure, finding['noise'])}, the median run's); such a gate fails by chance"
        f" and breeds re-runs, so set it to {_figure(figure, finding['enough'])} at least"
    )


def _does(stop: Stop) -> str:
    if stop.stopped_eval is None:
        return f"does not stop {stop.run}"
    return f"stops {stop.run} at eval {stop.stopped_eval}"


def _expect(finding: Finding) -> str:
    expected = "no stop" if finding["expected"] is None else f"a stop at eval {finding['expected']}"
    stop = finding["after"]
    if stop is None:
        return (
            f"{finding.policy} cannot judge {finding.runs[0]}, for which the policies file expects {expected}"
        )
    return f"{finding.policy} {_does(stop)}, and the policies file expects {expected}"


def _moved(finding: Finding) -> str:
    if finding["state"] == "not-judged":
        return f"{finding.policy} no longer judges {_names(finding.runs)}, though the logs are the same"
    old, new = finding["before"], finding["after"]
    did = "did not stop it" if old.stopped_eval is None else f"stopped it at eval {old.stopped_eval}"
    return f"{finding.policy} {_does(new)}, but {did} when the lock was made"


def _change(facts: dict[str, Any], than: str = "") -> str:
    """``saves 3.6 points more (1.2 to 6)``, ``has a regret 0.02 lower``."""
    figure, mean, low, high = (facts[name] for name in ("figure", "mean", "low", "high"))
    verb = {"saved": "saves", "lost": "loses"}.get(figure)
    words = ("more", "less") if verb else ("higher", "lower")
    if mean == low == high == 0:
        return f"{verb or f'has a {_noun(figure)} that is'} the same{' as before' if than else ''}"
    grew = mean >= 0
    up, down = words if grew else words[::-1]
    size = _size(figure, abs(mean)) + (" points" if figure != "regret" else "")
    text = f"{verb or f'has a {_noun(figure)}'} {size} {up}{than}"
    if low == high or not (math.isfinite(low) and math.isfinite(high)):
        return text
    least, most = (low, high) if grew else (-high, -low)
    if least < 0:
        return f"{text} ({_size(figure, -least)} {down} to {_size(figure, most)} {up})"
    return f"{text} ({_size(figure, least)} to {_size(figure, most)})"


def _size(figure: str, value: float) -> str:
    return f"{value:.4g}" if figure == "regret" else f"{100 * value:.3g}"


def _worse(finding: Finding) -> str:
    change = _change(dict(finding.facts), " than before")
    return f"{finding.policy} {change}, on average over the same {say_count(finding['count'], 'run')}"


def _vanished(finding: Finding) -> str:
    runs = f"with {_names(finding['of'], 'run', 'runs')}"
    if finding["state"] == "deleted":
        return f"{finding.log} has vanished, {runs}"
    return f"{finding.log} is in the lock, {runs}, but not below the logs that were given"


def _changed_log(finding: Finding) -> str:
    state = finding["state"]
    if state == "regrouped":
        return (
            f"{_names(finding.runs)} can no longer be told among the runs of the same logs, and cannot be"
            " compared"
        )
    if state == "all-changed":
        return "every log of the lock that is left has changed, so nothing can be compared with it"
    runs = _names(finding["of"], "run", "runs")
    if state == "duplicate":
        return f"{finding.log} now counts as a part of another log, with {runs}; it is compared no further"
    if state == "unreadable":
        return f"{finding.log} is there, but no run is read from it any more ({runs})"
    return (
        f"{finding.log} does not say what it said when the lock was made ({runs}), so its runs are not"
        " compared"
    )


def _new_log(finding: Finding) -> str:
    if finding["state"] == "renamed":
        return f"{finding['before']} is now {finding['after']}"
    logs = finding["logs"]
    return f"{len(logs)} log{'s are' if len(logs) > 1 else ' is'} new: {_names(logs)}"


def _changed_policy(finding: Finding) -> str:
    state = finding["state"]
    if state == "changed":
        return f"{finding.policy} has changed from {finding['before']} to {finding['after']}"
    if state == "renamed":
        return f"{finding.policy} is compared with {finding['before']} of the lock, which it stands in for"
    runs = "run" if finding["count"] == 1 else f"{finding['count']} runs"
    return f"{finding.policy} {_changes(finding)}, on average over the same {runs}"


def _changes(finding: Finding) -> str:
    return " and ".join(
        _change(facts, "" if at else " than before") for at, facts in enumerate(finding["changes"])
    )


def _few_common_runs(finding: Finding) -> str:
    count = finding["count"]
    if not count:
        return (
            f"{finding.policy} has changed, and no run is in the lock and the same now, so whether it got"
            " worse cannot be decided"
        )
    same = "1 run is" if count == 1 else f"{count} runs are"
    text = (
        f"{finding.policy} has changed, and {same} in the lock and the same now: too few to decide whether it"
        f" got worse ({ENOUGH_RUNS} are needed)"
    )
    if not finding["changes"]:
        return text
    return f"{text}; it {_changes(finding)}, on {'this run' if count == 1 else 'average over these runs'}"


def _changed_settings(finding: Finding) -> str:
    shown = "; ".join(
        f"{name} was {_word(old)} and is {_word(new)}" for name, (old, new) in finding["settings"].items()
    )
    compared = (
        "stops are compared, figures are not"
        if finding["stops_compared"]
        else "so neither stops nor figures are compared"
    )
    return f"the settings are not those of the lock: {shown}; {compared}"


def _removed_policy(finding: Finding) -> str:
    return f"{finding.policy} is in the lock, but no longer in the file"


def _where(finding: Finding) -> str:
    return f"{finding.policy}{_of_group(finding)}"


def _loosened(finding: Finding) -> str:
    state = finding["state"]
    if state == "gate":
        return (
            "the file of policies no longer fails where it did when the lock was made: on findings of"
            f" {_names(finding['kinds'], 'the kind', 'the kinds')}"
        )
    if state == "expect":
        return (
            f"{finding.policy}: the lock expects {finding['of']} to be {_expected(finding['old'])}, and the"
            " file no longer expects anything of it"
        )
    if state == "expect-changed":
        return (
            f"{finding.policy}: the lock expects {finding['of']} to be {_expected(finding['old'])}, and the"
            f" file now expects it to be {_expected(finding['new'])}"
        )
    if state == "removed":
        return f"{_where(finding)}: the limit {finding['limit']} {finding['old']} of the lock was removed"
    return (
        f"{_where(finding)}: the limit {finding['limit']} was {finding['old']} when the lock was made and is"
        f" {finding['new']}, which allows more"
    )


def _expected(number: int | None) -> str:
    return "left to its end" if number is None else f"stopped at eval {number}"


def _changed_limit(finding: Finding) -> str:
    if finding["state"] == "expect":
        return (
            f"{finding.policy}: the file now expects {finding['of']} to be {_expected(finding['new'])}, which"
            " the lock does not"
        )
    if finding["state"] == "added":
        return f"{_where(finding)}: the limit {finding['limit']} {finding['new']} is new"
    return f"{_where(finding)}: the limit {finding['limit']} was {finding['old']} and is {finding['new']}"


def _new_policy(finding: Finding) -> str:
    return f"{finding.policy} is new: the lock does not have it"


def _version(finding: Finding) -> str:
    if finding["state"] == "figures":
        old, new = finding["values"]
        return (
            f"{finding.policy} stops {_names(finding.runs)} where it did, but the figures differ:"
            f" {finding['figure']} of {finding['first']} was {_word(old)} and is {_word(new)}"
        )
    if finding["state"] == "layout":
        return (
            f"the lock is of version {finding['before']} and does not hold the limits, so a looser limit is"
            f" not noticed; replay check --update writes one of version {finding['after']}"
        )
    text = f"the lock was made by replay {finding['before']}, this is {finding['after']}"
    if not finding["runs"]:
        return text
    if finding["moved"]:
        return f"{text}; {finding['moved']} stop{'s' * (finding['moved'] != 1)} on the same logs moved"
    return f"{text}; all stops on the same logs are the same" if finding["compared"] else text


def _never_fires(finding: Finding) -> str:
    if "fired" not in finding.facts:
        return f"{finding.policy} stops none of these runs"
    return (
        f"{finding.policy} no longer fires anywhere: when the lock was made, it stopped"
        f" {say_among(finding['fired'], finding['total'], 'run')}"
    )


def _no_lock(finding: Finding) -> str:
    required = ", though one is required" if finding.severity.decides else ""
    return f"there is no {finding['lock']} to compare with{required}; {finding['command']} writes one"


def _lock(finding: Finding) -> str:
    return f"the old lock could not be trusted and is replaced: {finding['error']}"


def _not_checked(finding: Finding) -> str:
    return f"nothing was checked: {finding['error']}"


def _locks_differ(finding: Finding) -> str:
    before, after = finding["locks"]
    old, new = finding["values"]
    if finding["setting"] is None:
        return f"{before} was made by stop-replay {old}, {after} by {new}"
    return f"{finding['setting']} was {old!r} in {before} and is {new!r} in {after}"


def _no_groups(finding: Finding) -> str:
    return "a lock does not hold the groups of runs, so the intervals treat all runs as independent"


SENTENCES = {
    Kind.LIMIT: _limit,
    Kind.GUARANTEE: _limit,
    Kind.FEW_RUNS: _undecided,
    Kind.CENSORED: _undecided,
    Kind.NOISE: _noise,
    Kind.EXPECT: _expect,
    Kind.MOVED: _moved,
    Kind.WORSE: _worse,
    Kind.VANISHED: _vanished,
    Kind.CHANGED_LOG: _changed_log,
    Kind.NEW_LOG: _new_log,
    Kind.CHANGED_POLICY: _changed_policy,
    Kind.FEW_COMMON_RUNS: _few_common_runs,
    Kind.CHANGED_SETTINGS: _changed_settings,
    Kind.CHANGED_LIMIT: _changed_limit,
    Kind.LOOSENED: _loosened,
    Kind.REMOVED_POLICY: _removed_policy,
    Kind.NEW_POLICY: _new_policy,
    Kind.VERSION: _version,
    Kind.NEVER_FIRES: _never_fires,
    Kind.NO_LOCK: _no_lock,
    Kind.LOCK: _lock,
    Kind.NOT_CHECKED: _not_checked,
    Kind.LOCKS_DIFFER: _locks_differ,
    Kind.NO_GROUPS: _no_groups,
}
