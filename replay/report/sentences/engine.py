"""Sentences on the runs and policies that a simulation could use (``replay.engine``, ``replay.search``)."""

from __future__ import annotations

from replay.data.finding import Finding, Kind
from replay.errors import list_names
from replay.report.format import number, say_among, say_count

__all__ = ["SENTENCES"]


def _no_evals(finding: Finding) -> str:
    return (
        f"{say_among(len(finding.runs), finding['total'], 'run', 'has', 'have')} no evals and"
        f" {'is' if len(finding.runs) == 1 else 'are'} left out: {list_names(finding.runs)} (see replay"
        " inspect)"
    )


def _no_metric(finding: Finding) -> str:
    return (
        f"{say_among(len(finding.runs), finding['total'], 'run', 'has', 'have')} no {finding['metric']} and"
        f" {'is' if len(finding.runs) == 1 else 'are'} left out: {list_names(finding.runs)}"
    )


def _test_set_monitor(finding: Finding) -> str:
    return (
        f"{finding['metric']} is measured on the test set: a stop that is chosen on it makes the test result"
        " too good"
    )


def _train_only_monitor(finding: Finding) -> str:
    return (
        f"{finding['metric']} is logged in training only, not by evals, in {list_names(finding.runs)}: every"
        " log entry counts as an eval"
    )


def _mode_contradicted(finding: Finding) -> str:
    source = "the log states" if finding["stated"] else "its name says"
    better = "lower" if finding["known"] == "min" else "higher"
    return f"mode {finding['mode']} for {finding['metric']}, though {source} that {better} is better"


def _wrong_direction(finding: Finding) -> str:
    if finding["followed"]:
        stated, named = ("higher", "lower") if finding["stated"] == "max" else ("lower", "higher")
        right = "min" if finding["stated"] == "max" else "max"
        count = len(finding.runs)
        who = f"the log of {finding['run']} states" if count == 1 else f"{count} logs state"
        return (
            f"{who} that {stated} is better for {finding['metric']}, although {named} is better by its name."
            f" The results follow the log; give --mode {right} if it is wrong"
        )
    better = "lower" if finding["stated"] == "max" else "higher"
    tried = "maximised" if finding["stated"] == "max" else "minimised"
    count = len(finding.runs)
    who = (
        f"the training of {finding['run']}"
        if count == 1
        else f"{count} trainings ({list_names(finding.runs)})"
    )
    text = f"{who} {tried} {finding['metric']}, although {better} is better by its name"
    if "kept" in finding.facts:
        where = "" if count == 1 else f" of {finding['run']}"
        text += (
            f": the trainer kept the checkpoint{where} of step {number(finding['kept_step'])}"
            f" ({number(finding['kept'])}), and the best was {number(finding['best'])} at step"
            f" {number(finding['best_step'])}"
        )
    given = finding["stated"]
    return f"{text}. The results take {better} as better; give --mode {given} if the training was right"


def _metric_constant(finding: Finding) -> str:
    verb = "has" if len(finding.runs) == 1 else "have"
    rest = "" if finding["total"] == len(finding.runs) else f": {list_names(finding.runs)}"
    return (
        f"{_runs_of(finding)} {verb} the same value of {finding['metric']} at every eval"
        f" ({number(finding['value'])}), so no stop rule can learn anything from it and what it saves there"
        f" means nothing; check how the metric is computed, or watch another one with --monitor{rest}"
    )


def _companion_missing(finding: Finding) -> str:
    runs, available = finding.runs, finding["available"]
    who = (
        f"{say_count(len(runs), 'run', 'lacks', 'lack')}: {list_names(runs)}" if available else "no run logs"
    )
    text = f"{finding.policy} needs {finding['label']}, which {who}"
    text += f"; {finding['remedy']}" if finding["remedy"] else ""
    them = "it" if len(runs) == 1 else "them"
    return text + (f"; the policy is skipped on {them}" if available else "; the policy is skipped")


def _refused(finding: Finding) -> str:
    if "reason" in finding.facts:  # one policy, with the reason of the first run
        others = len(finding.runs) - 1
        more = f" (and {say_count(others, 'more run')})" if others else ""
        where = f"{finding['metric']} of {finding.runs[0]}{more}"
        return f"{finding.policy} cannot judge {where}: {finding['reason']}; the policy is skipped there"
    others = finding["others"]
    like = "1 more policy like it" if others == 1 else f"{others} more policies like it, some of them"
    more = f" (and {like})" if others else ""
    runs = say_among(finding["count"], finding["total"], "run")
    them = "it" if finding["count"] == 1 else "them"
    return f"{finding.policy}{more} cannot judge {runs}; the policy is skipped on {them}"


def _caution(finding: Finding) -> str:
    return str(finding["text"])


def _left_out(finding: Finding) -> str:
    """What follows for runs that cannot be judged, and which they are."""
    count, total = len(finding.runs), finding["total"]
    if finding["none_left"]:
        return "no run can be judged, so the loss of every policy is unknown"
    they = "it is" if count == 1 else "they are"
    where = f"the figures of {finding.policy}" if finding.policy else "all figures"
    left = f"{they} left out of {where}, which are about the other runs"
    return left if total == count else f"{left}: {list_names(finding.runs)}"


def _runs_of(finding: Finding) -> str:
    """``6 of 26 runs``, ``the run``."""
    count, total = len(finding.runs), finding["total"]
    return say_among(count, total, "run")


def _monitor_not_finite(finding: Finding) -> str:
    verb = "has" if len(finding.runs) == 1 else "have"
    return f"{_runs_of(finding)} {verb} no finite value of {finding['monitor']}; {_left_out(finding)}"


def _objective_not_logged(finding: Finding) -> str:
    verb = "does" if len(finding.runs) == 1 else "do"
    return f"{_runs_of(finding)} {verb} not log {finding['objective']}; {_left_out(finding)}"


def _objective_apart(finding: Finding) -> str:
    verb = "logs" if len(finding.runs) == 1 else "log"
    return (
        f"{_runs_of(finding)} never {verb} {finding['objective']} at an eval of {finding['monitor']}, so no"
        f" stop can be judged there; {_left_out(finding)}"
    )


def _objective_unknown(finding: Finding) -> str:
    return (
        f"{finding['metric']} was not logged at the kept eval of {finding['count']} outcomes: their"
        " best-metric loss is unknown and left out"
    )


def _infinite_best(finding: Finding) -> str:
    verb = "has" if len(finding.runs) == 1 else "have"
    return (
        f"{_runs_of(finding)} {verb} an infinite best value of {finding['metric']}, so the regret of any"
        f" other checkpoint is infinite: {list_names(finding.runs)}. Check the log, or judge by another"
        " --objective"
    )


def _no_scale(finding: Finding) -> str:
    count, worse = len(finding.runs), finding["worse_than_base"]
    verb, they = ("improves", "It is") if count == 1 else ("improve", "They are")
    rest = "" if finding["total"] == count else f": {list_names(finding.runs, 2)}"
    base = ""
    if worse:
        who = "" if worse == count else f" ({worse} of them)"
        base = f", or the base model is better than every eval{who}"
    return (
        f"{_runs_of(finding)} {verb} by less than twice the eval noise of {finding['metric']}{base}, so a"
        f" share of the improvement means nothing. {they} not counted in lost{rest}"
    )


def _policy_skipped(finding: Finding) -> str:
    return f"{finding.policy} is skipped: {finding['error']}"


def _grid_refused(finding: Finding) -> str:
    count = finding["count"]
    points = (
        "1 point of the grid is no policy and is"
        if count == 1
        else f"{count:,} points of the grid are no policies and are"
    )
    return f"{points} left out; the first, {finding.policy}: {finding['error']}"


def _untried(finding: Finding) -> str:
    return f"{finding['count']:,} of {finding['total']:,} policies could be tried on no run"


def _partly_tried(finding: Finding) -> str:
    return (
        f"{finding['count']:,} of {finding['total']:,} policies were tried on fewer than"
        f" {finding['most']} runs: they are not on the front"
    )


SENTENCES = {
    Kind.NO_EVALS: _no_evals,
    Kind.NO_METRIC: _no_metric,
    Kind.TEST_SET_MONITOR: _test_set_monitor,
    Kind.TRAIN_ONLY_MONITOR: _train_only_monitor,
    Kind.MODE_CONTRADICTED: _mode_contradicted,
    Kind.WRONG_DIRECTION: _wrong_direction,
    Kind.METRIC_CONSTANT: _metric_constant,
    Kind.COMPANION_MISSING: _companion_missing,
    Kind.REFUSED: _refused,
    Kind.CAUTION: _caution,
    Kind.MONITOR_NOT_FINITE: _monitor_not_finite,
    Kind.OBJECTIVE_NOT_LOGGED: _objective_not_logged,
    Kind.OBJECTIVE_APART: _objective_apart,
    Kind.OBJECTIVE_UNKNOWN: _objective_unknown,
    Kind.INFINITE_BEST: _infinite_best,
    Kind.NO_SCALE: _no_scale,
    Kind.POLICY_SKIPPED: _policy_skipped,
    Kind.GRID_REFUSED: _grid_refused,
    Kind.UNTRIED: _untried,
    Kind.PARTLY_TRIED: _partly_tried,
}
