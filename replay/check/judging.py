"""One policy's outcomes against its limits, with the uncertainty of what few runs can tell."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from replay.check.config import Entry, Expectation, Wanted
from replay.check.expected import runs_that_fit
from replay.check.lock import rounded
from replay.check.model import Figure, LimitResult, Verdict, WorstRun
from replay.check.proof import is_hidden, judge_few, judge_guarantee, scale_of
from replay.check.scores import Scores
from replay.check.toml_lines import KeyPath
from replay.data.finding import Finding, Kind, Severity
from replay.errors import InputError, list_names, suggestion
from replay.stats.binomial import binomial_bounds
from replay.stats.intervals import ENOUGH_GROUPS, interval
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS, RANGES
from replay.stats.ties import above, at_least, at_most, below

__all__ = ["expectations", "judge", "leave_open"]


def judge(
    entry: Entry, every: Scores, level: float, summary: Mapping[str, Any], *, by_group: bool = False
) -> tuple[list[LimitResult], list[Finding]]:
    """Every limit of a policy, for all its runs and for those of groups, with what there is to say of them.

    ``summary`` are the figures of the policy over all its runs, as `summarise` gives them at the same level.
    With ``by_group`` a guarantee is about new groups instead of new runs.
    """
    results: list[LimitResult] = []
    findings: list[Finding] = []
    every = every.of_judged()
    parts: list[tuple[str | None, Scores, tuple[Wanted, ...]]] = [(None, every, entry.limits)]
    parts += [(name, every.of(_group(entry, name, every)), limits) for name, limits in entry.groups.items()]
    for group, part, limits in parts:
        if not limits:
            continue
        undecidable = _undecidable(entry, part, group, limits)
        unscaled = None if undecidable is not None else _unscaled(entry, part, group, limits)
        few = undecidable or unscaled
        hidden, undecided, about = [], [], []
        for limit in limits:
            if limit.name == "guarantee":
                result, severity = judge_guarantee(entry, limit, part, by_group)
            elif limit.worst:
                result, severity = _worst(entry, limit, part, group)
            else:
                figure = _figure(limit, part, level, entry, summary if group is None else {})
                if few is None or limit.name not in few["limits"]:
                    result, severity = _mean(entry, limit, figure)
                elif (proven := _proven(few, entry, limit, part, level, by_group)) is not None:
                    result, severity = proven
                else:
                    result, severity = _result(entry, limit, figure, "unknown", undecidable=True), None
                    undecided.append(limit.name)
                result = replace(result, group=group)
            if is_hidden(limit, part, result):
                result, severity = replace(result, verdict="unknown", undecidable=True), None
                hidden.append(limit.name)
            results.append(result)
            if severity is not None:
                about.append(_limit_finding(result, severity))
            if limit.name != "guarantee":
                about += _noisy(entry, limit, part, group)
        if few is not None and undecided:
            findings.append(replace(few, facts={**few.facts, "limits": undecided}))
        findings += about
        if hidden:
            count, total = int(part.censored.sum()), len(part.stops)
            facts = {"group": group, "limits": hidden, "every": hidden, "count": count, "total": total}
            findings.append(Finding(Kind.CENSORED, Severity.UNDECIDED, policy=entry.name, facts=facts))
    return results, findings


def leave_open(finding: Finding, entry: Entry, every: Scores, locked: Collection[str]) -> Finding:
    """The finding on a limit as undecided where added runs made it so.

    The mean of all runs breaks the limit, though not beyond its uncertainty, and the mean of the ``locked``
    ones, which the lock has as well, does not.
    """
    result = finding.get("result")
    if result is None or result.verdict != "unsure" or result.worst:
        return finding
    part = every.of_judged()
    group = result.group
    if group is not None:
        part = part.of(_group(entry, group, every))
    common = part.of_runs(locked)
    limits = entry.limits if group is None else entry.groups[group]
    limit = next(one for one in limits if one.name == result.name)
    values = common.early if limit.figure == "stopped_too_early" else common.figures[limit.figure]
    values = values[~np.isnan(values)]
    count = len(part.stops) - len(common.stops)
    if not count or not len(values):
        return finding
    mean, scale = rounded(float(values.mean())), scale_of(limit.figure)
    wanted = rounded(limit.value)
    if not (at_least(mean, wanted, scale) if limit.is_minimum else at_most(mean, wanted, scale)):
        return finding
    return replace(
        finding, severity=Severity.UNDECIDED, facts={**finding.facts, "added": count, "without": mean}
    )


def _limit_finding(result: LimitResult, severity: Severity) -> Finding:
    worst = result.worst_run
    facts: dict[str, Any] = {"limit": result.name, "group": result.group, "result": result}
    if worst is None:
        kind = Kind.GUARANTEE if result.name == "guarantee" else Kind.LIMIT
        return Finding(kind, severity, policy=result.policy, facts=facts)
    return Finding(
        Kind.LIMIT,
        severity,
        (worst.stop.run,),
        result.policy,
        worst.stop.log,
        {**facts, "after": worst.stop},
    )


def _group(entry: Entry, name: str, every: Scores) -> str:
    """The group that a name in the file means: its own, or what follows the sign in ``dataset=films``."""
    ends = (group for group in every.groups if group.partition("=")[2] == name)
    group = name if name in every.groups else next(ends, None)
    if group is None:
        raise InputError(
            f"{entry.file}: [policies.{entry.name}.groups.{name}]: no run that {entry.name} judges is of"
            f" group {name!r}; there are {suggestion(name, every.groups)}",
            key=("policies", entry.name, "groups", name),
        )
    return group


def _undecidable(entry: Entry, part: Scores, group: str | None, limits: Sequence[Wanted]) -> Finding | None:
    """Why means of these runs tell nothing, and of which limits they are; None where they tell something."""
    count = len(part.stops)
    means = [limit.name for limit in limits if not limit.worst and limit.name != "guarantee"]
    facts: dict[str, Any] = {"group": group, "limits": means, "every": [limit.name for limit in limits]}
    if count < ENOUGH_RUNS:
        kind, facts = Kind.FEW_RUNS, {**facts, "count": count}
    elif float(np.median(part.evals)) < ENOUGH_EVALS:
        kind, facts = Kind.FEW_RUNS, {**facts, "evals": float(np.median(part.evals))}
    else:
        return None
    return Finding(kind, Severity.UNDECIDED, policy=entry.name, facts=facts)


def _unscaled(entry: Entry, part: Scores, group: str | None, limits: Sequence[Wanted]) -> Finding | None:
    """The finding that too few of these runs have a scale for a limit on the mean share lost; often none."""
    means = [limit.name for limit in limits if limit.figure == "lost" and not limit.worst]
    known, regrets = (int((~np.isnan(part.figures[name])).sum()) for name in ("lost", "regret"))
    if not means or known >= ENOUGH_RUNS or known == regrets:
        return None
    facts = {"group": group, "limits": means, "every": means, "count": known, "scaled": True}
    return Finding(Kind.FEW_RUNS, Severity.UNDECIDED, policy=entry.name, facts=facts)


def _proven(
    few: Finding, entry: Entry, limit: Wanted, part: Scores, level: float, by_group: bool
) -> tuple[LimitResult, Severity | None] | None:
    """The result of a limit on the mean of few runs, where they prove it; None where they do not.

    Evals that are too few are another matter: with them, the losses themselves are not known.
    """
    return None if "evals" in few.facts else judge_few(entry, limit, part, level, by_group)


def _mean(
    entry: Entry, limit: Wanted, figure: tuple[float | None, float | None, float | None]
) -> tuple[LimitResult, Severity | None]:
    """The result of a limit on a mean, and the severity of the finding that it makes, where it makes one."""
    value, low, high = figure
    wanted = rounded(limit.value)
    least, scale = limit.is_minimum, scale_of(limit.figure)
    verdict: Verdict
    severity = None
    if value is None or low is None or high is None:
        verdict, severity = "unknown", Severity.UNDECIDED
    elif at_least(value, wanted, scale) if least else at_most(value, wanted, scale):
        verdict = "kept"
    elif below(high, wanted, scale) if least else above(low, wanted, scale):
        verdict, severity = "broken", Severity.REGRESSION
    else:
        verdict, severity = "unsure", Severity.WARNING
    return _result(entry, limit, figure, verdict), severity


def _result(
    entry: Entry,
    limit: Wanted,
    figure: tuple[float | None, float | None, float | None],
    verdict: Verdict,
    *,
    undecidable: bool = False,
) -> LimitResult:
    wanted = rounded(limit.value)
    return LimitResult(
        entry.name,
        limit.name,
        limit.text,
        limit.figure,
        wanted,
        *figure,
        verdict,
        undecidable=undecidable,
    )


def _figure(
    limit: Wanted, part: Scores, level: float, entry: Entry, summary: Mapping[str, Any]
) -> tuple[float | None, float | None, float | None]:
    """The figure that is limited, with its interval; from the summary where that has it."""
    if limit.figure == "stopped_too_early":
        known = part.early[~np.isnan(part.early)]
        if not len(known):
            return None, None, None
        low, high = binomial_bounds(int(known.sum()), len(known), (1 - level) / 2)
        if ENOUGH_GROUPS <= len(set(part.groups)) < len(part.groups):
            # runs of one group may be early together, of which the exact bounds know nothing
            least, most = interval(part.early, part.groups, level, within=(0.0, 1.0))
            low, high = min(low, least), max(high, most)
        return rounded(float(known.sum()) / len(known)), rounded(low), rounded(high)
    values = part.figures[limit.figure]
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None, None
    if limit.figure == "saved" and all(stop.stopped_eval is None for stop in part.stops):
        return 0.0, 0.0, 0.0  # not a rare event that was not seen: it does not fire on these logs
    if not np.isfinite(known).all():
        return math.inf, math.inf, math.inf
    if f"{limit.figure}_low" in summary:
        return (
            rounded(summary[f"{limit.figure}_mean"]),
            rounded(summary[f"{limit.figure}_low"]),
            rounded(summary[f"{limit.figure}_high"]),
        )
    within = (-math.inf, math.inf) if entry.spec == "never" else RANGES[limit.figure]
    low, high = interval(values, part.groups, level, within=within)
    return rounded(float(known.mean())), rounded(low), rounded(high)


def _worst(
    entry: Entry, limit: Wanted, part: Scores, group: str | None
) -> tuple[LimitResult, Severity | None]:
    """The result of a limit that no run may break by more than its own noise; see `_mean`."""
    figure: Figure = limit.figure
    values, noise, wanted = part.figures[figure], part.noise[figure], rounded(limit.value)
    scale = scale_of(figure)
    over = np.flatnonzero(above(values, limit.value, scale)).tolist()
    over.sort(key=lambda number: (-values[number], part.stops[number].run))
    beyond = above(values - limit.value, noise, scale)
    surely = [number for number in over if beyond[number]]
    highest = rounded(float(np.nanmax(values))) if not np.isnan(values).all() else None
    verdict: Verdict = (
        "broken" if surely else "unsure" if over else "kept" if highest is not None else "unknown"
    )
    worst, severity = None, None
    if over:
        some = surely or over
        spread = float(noise[some[0]])
        worst = WorstRun(
            part.stops[some[0]],
            float(values[some[0]]),
            None if math.isnan(spread) else spread,
            len(some) - 1,
            bool(surely),
        )
        severity = Severity.REGRESSION if surely else Severity.WARNING
    elif verdict == "unknown":
        severity = Severity.UNDECIDED
    result = LimitResult(
        entry.name,
        limit.name,
        limit.text,
        figure,
        wanted,
        highest,
        None,
        None,
        verdict,
        group,
        worst=True,
        worst_run=worst,
    )
    return result, severity


def _noisy(entry: Entry, limit: Wanted, part: Scores, group: str | None) -> list[Finding]:
    """The warning of a limit that noise alone can break."""
    if limit.figure not in part.noise:
        return []
    known = part.noise[limit.figure][~np.isnan(part.noise[limit.figure])]
    if not len(known) or not limit.value < float(np.median(known)):
        return []
    typical = float(np.median(known))
    facts = {
        "limit": limit.name,
        "group": group,
        "text": limit.text,
        "figure": limit.figure,
        "noise": typical,
        "enough": _up(typical),
    }
    return [Finding(Kind.NOISE, policy=entry.name, facts=facts)]


def _up(value: float) -> float:
    """A number rounded up to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / unit, 6)) * unit


def expectations(entry: Entry, every: Scores, evals: Mapping[str, int], gone: Sequence[str]) -> list[Finding]:
    """Runs that are not stopped where the file says they must be.

    ``evals`` maps the ids of all runs to their numbers of evals; ``gone`` are runs of the lock whose logs are
    there no more, which another finding is about. Raises InputError for a run or an eval that there is not.
    """
    findings = []
    by_run = {stop.run: stop for stop in every.stops}
    for wanted in entry.expect:
        row = ("policies", entry.name, "expect", wanted.index)
        run = _expected(wanted, list(evals), gone, (*row, "run"))
        if run is None:
            continue
        if wanted.eval is not None and wanted.eval > evals[run]:
            raise InputError(
                f"{wanted.where}: eval = {wanted.eval}, but {run} has {evals[run]} evals", key=(*row, "eval")
            )
        stop = by_run.get(run)
        facts: dict[str, Any] = {"expected": wanted.eval, "after": stop, "row": wanted.index}
        if stop is None:
            findings.append(Finding(Kind.EXPECT, Severity.UNDECIDED, (run,), entry.name, facts=facts))
        elif stop.stopped_eval != wanted.eval:
            findings.append(Finding(Kind.EXPECT, Severity.REGRESSION, (run,), entry.name, stop.log, facts))
    return findings


def _expected(wanted: Expectation, ids: Sequence[str], gone: Sequence[str], key: KeyPath) -> str | None:
    """The run that is meant, by its id or an unambiguous part; None where it is one that is gone."""
    matches = runs_that_fit(wanted.run, ids)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(
            f'{wanted.where}: run = "{wanted.run}" fits {len(matches)} runs: {list_names(matches, 5)}; give'
            " more of the id",
            key=key,
        )
    if any(wanted.run in run for run in gone):
        return None
    raise InputError(
        f'{wanted.where}: run = "{wanted.run}" is not a run of these logs; there are'
        f" {suggestion(wanted.run, ids)}",
        key=key,
    )
