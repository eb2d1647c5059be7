"""Sentences on what the logs cannot tell (``replay.stats.validity``, ``.cautions``,
``replay.data.censoring``).
"""

from __future__ import annotations

from replay.data.finding import Finding, Kind
from replay.errors import list_names
from replay.report.format import number, percent, say_among

__all__ = ["SENTENCES"]


def _count(count: int, total: int, one: str, more: str) -> str:
    """``9 of 26 runs have``, ``1 of 26 runs has``, ``The run has``."""
    text = say_among(count, total, "run", one, more)
    return text[0].upper() + text[1:]


def _missing_evals(finding: Finding) -> str:
    steps, unit, count, total = finding["steps"], finding["unit"], len(finding.runs), finding["total"]
    shown = ", ".join(f"{step:g}" for step in steps[:4]) + (", …" if len(steps) > 4 else "")
    source = f"the log states one every {finding['every']:g}" if finding["stated"] else ""
    source = source or f"the others are {finding['every']:g} {unit}{'s' * (finding['every'] != 1)} apart"
    evals = f"{len(steps)} eval{'s are' if len(steps) != 1 else ' is'} missing"
    where = f"at {unit}{'s' * (len(steps) != 1)} {shown}"
    begin = f"{evals[0].upper()}{evals[1:]} {where} ({source})"
    if total > 1:
        of = f", of {finding['run']}" if count == 1 else f", for example of {finding['run']}"
        begin = f"{_count(count, total, 'lacks', 'lack')} evals{of}: {evals} {where} ({source})"
    return (
        f"{begin}. A policy that counts evals stops later on such a log than in the training; use the log of"
        " another tool if it has them, or leave the run out."
    )


def _missing_heads(finding: Finding) -> str:
    count, total = len(finding.runs), finding["total"]
    who = "The log" if total == 1 else f"The log of {finding['run']}"
    begin = f"{who} begins at step {finding['step']:g}"
    if count > 1:
        begin = f"{count} of {total} logs begin in the middle of the training ({begin[0].lower()}{begin[1:]})"
    return (
        f"{begin}, so what was trained before is not in the figures. Put the logs of the earlier processes"
        f" beside {'it' if count == 1 else 'them'}, or leave {'the run' if count == 1 else 'the runs'} out."
    )


def _falling_rate(finding: Finding) -> str:
    total = finding["total"]
    stopping = "it" if total == 1 else "one of them"
    return (
        f"{_count(len(finding.runs), total, 'has', 'have')} a falling learning rate: stopping {stopping}"
        " early is not the same as planning a shorter schedule."
    )


def _plateau_rate(finding: Finding) -> str:
    count, named = len(finding.runs), finding["named"]
    if named == count:
        how = "when the metric stalls (reduce-on-plateau)"
    else:
        how = (
            "in steps, as reduce-on-plateau does when the metric"
            f" stalls{f' ({named} of them named so)' if named else ''}"
        )
    text = (
        f"{_count(count, finding['total'], 'lowers', 'lower')} the learning rate {how}: the results hold for"
        " stopping such a training, not for one whose rate is lowered at other times or never. What a drop"
        " gained counts as lost where a policy stops before it"
    )
    if finding["could_reset"]:
        text += "; with reset_on=lr_drop a policy waits anew after each drop to half or less"
    return f"{text}."


def _resumed_runs(finding: Finding) -> str:
    count, total, steps, again = len(finding.runs), finding["total"], finding["steps"], finding["again"]
    text = (
        f"{_count(count, total, 'was', 'were')} resumed. Tools that keep the patience counter in memory reset"
        " it on resume and usually stop later. This replay does not reset it."
    )
    if steps:
        text += (
            f" {steps:g} step{' was' if steps == 1 else 's were'} trained twice and"
            f" {'is' if steps == 1 else 'are'} not counted as used."
        )
    if again:
        place = "There" if total == 1 else f"In {again} of them" if count > 1 else "In it"
        text += (
            f" {place} some steps were trained twice. Counted in steps, they are not part of what was used."
        )
    return text


def _few_evals(finding: Finding) -> str:
    count, total, earliest, others = (finding[name] for name in ("count", "total", "earliest", "others"))
    last = "its" if count == 1 else "their"
    text = (
        f"{_count(count, total, 'has', 'have')} too few evals to try {finding.policy}: it can stop at eval"
        f" {earliest} at the earliest, which is {last} last or comes after it."
    )
    if others:
        text += (
            f" So it is with {others} more polic{'y' if others == 1 else 'ies'}"
            f"{' on some of the runs' if total > 1 else ''}."
        )
    return text


def _first_stretch(finding: Finding) -> str:
    count, total, base = len(finding.runs), finding["total"], finding["of_base"]
    if base == count:
        begin, end = "the base model", "the first eval"
    elif base == 0:
        begin, end = "the first eval", "the second eval"
    else:
        begin, end = "the base model or the first eval", "the next eval"
    policy, lost, later = finding["policies"][0]
    some = finding["later_runs"]
    those = "the run that improves" if some == 1 else f"the {some} runs that improve"
    only = f", over {those} by more than the noise after it" if some < total else ""
    return (
        f"{_count(count, total, 'makes', 'make')} more than half of the improvement in {finding['metric']}"
        f" between {begin} and {end}, so every later stop seems to lose little: {policy} loses"
        f" {percent(lost)}, but {percent(later)} measured from {end} on{only}. Compare policies by"
        " lost_later_mean (--format json) or by regret"
    )


def _near_one(finding: Finding) -> str:
    share, before, after = finding["limits"][0]
    more = f", {number(after / before, 3)} times as much" if before > 0 else ""
    return (
        f"{finding['metric']} is near its best possible value (median best {number(finding['best'])}), so"
        f" relative regret says little: {percent(share)} of it takes the error rate from {percent(before)} to"
        f" {percent(after)}{more}. Give the limit in the metric's own unit instead, without a percent sign"
    )


def _adaptive_budget(finding: Finding) -> str:
    count, total = len(finding.runs), finding["total"]
    where = say_among(count, total, "run")
    return (
        f"The equal budget is a share of each log's length, which a stop rule chose in {where}, so it is"
        " adaptive too. Logs that state their planned steps give a plain one."
    )


def _censored_runs(finding: Finding) -> str:
    count, total = len(finding.runs), finding["total"]
    counts = {
        "stopped early": finding["stopped"],
        "cut short": finding["cut"],
        "file cut off": finding.get("cut_off", 0),
    }
    kinds = [(how, number) for how, number in counts.items() if number]
    shown = ", ".join(f"{number} {how}" if len(kinds) > 1 else how for how, number in kinds)
    return (
        f"{_count(count, total, 'is', 'are')} censored ({shown}):"
        f" {'its loss is a lower bound' if count == 1 else 'their losses are lower bounds'}."
    )


def _still_improving(finding: Finding) -> str:
    count, total, last = len(finding.runs), finding["total"], finding["last"]
    text = _count(count, total, "was", "were")
    if total == 1:
        how = "its last eval is its best" if last else "within its eval noise"
    elif last == count:
        how = "its best eval is its last" if count == 1 else "their best eval is their last"
    elif not last:
        how = "within eval noise"
    else:
        how = f"{last} with the best eval last, {count - last} within eval noise"
    return f"{text} still improving at the end ({how}): training longer might pay."


def _plan_unknown(finding: Finding) -> str:
    count, total = len(finding.runs), finding["total"]
    if total == 1:
        return "The log does not state how long the training was planned to be; it is taken as complete."
    if count == total:
        return (
            "The logs do not state how long the trainings were planned to be; each log is taken as complete."
        )
    return (
        f"{_count(count, total, 'does', 'do')} not state how long the training was planned to be;"
        f" {'its log is' if count == 1 else 'their logs are'} taken as complete."
    )


def _mixed_sets(finding: Finding) -> str:
    sets, by = finding["sets"], finding["by"]
    kind = "groups" if by == "group" else "data sets"
    return (
        f"The runs belong to {len(sets)} {kind} ({list_names(sets)}), and are compared with each other all"
        f" the same: runs of the harder {kind} are stopped. Give --group {by} to compare within each."
    )


SENTENCES = {
    Kind.MISSING_EVALS: _missing_evals,
    Kind.MISSING_HEADS: _missing_heads,
    Kind.FIRST_STRETCH: _first_stretch,
    Kind.NEAR_ONE: _near_one,
    Kind.FALLING_RATE: _falling_rate,
    Kind.PLATEAU_RATE: _plateau_rate,
    Kind.RESUMED_RUNS: _resumed_runs,
    Kind.FEW_EVALS: _few_evals,
    Kind.ADAPTIVE_BUDGET: _adaptive_budget,
    Kind.CENSORED_RUNS: _censored_runs,
    Kind.STILL_IMPROVING: _still_improving,
    Kind.PLAN_UNKNOWN: _plan_unknown,
    Kind.MIXED_SETS: _mixed_sets,
}
