"""One policy's outcomes against its limits, with the uncertainty of what few runs can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from replay.check.config import Entry, Expectation, Figure, Wanted
from replay.check.lock import rounded
from replay.check.model import Finding, LimitResult, Stop
from replay.data.types import Bools, Floats
from replay.engine.simulation import Setup, Simulation
from replay.errors import InputError, suggestion
from replay.stats.intervals import ENOUGH_GROUPS, interval
from replay.stats.summary import ENOUGH_EVALS, ENOUGH_RUNS

__all__ = ["WITHIN", "Scores", "binomial_bounds", "expectations", "judge", "line", "scores"]

Verdict = Literal["kept", "broken", "unsure", "unknown"]

#: Between which values a figure lies, whatever the run.
WITHIN = {
    "saved": (0.0, 1.0),
    "lost": (0.0, 1.0),
    "regret": (0.0, math.inf),
    "relative_regret": (0.0, math.inf),
}

_NOUN = {
    "saved": "saved",
    "lost": "lost",
    "regret": "regret",
    "relative_regret": "relative regret",
    "stopped_too_early": "stopped too early",
}


@dataclass(frozen=True, eq=False)
class Scores:
    """What one policy does to each run that it can judge; arrays have one entry a run, NaN where a figure is
    unknown.

    ``noise`` holds each run's eval noise in the terms of each figure; ``early`` whether the run was stopped
    before an eval that is better than what was kept by more than the run's noise.
    """

    stops: tuple[Stop, ...]
    groups: tuple[str, ...]
    evals: Floats
    censored: Bools
    figures: dict[str, Floats]
    noise: dict[str, Floats]
    early: Floats

    def of(self, group: str) -> Scores:
        """The scores of the runs of one group."""
        here = np.array([own == group for own in self.groups], dtype=bool)
        return Scores(
            tuple(stop for stop, inside in zip(self.stops, here, strict=True) if inside),
            tuple(own for own, inside in zip(self.groups, here, strict=True) if inside),
            self.evals[here],
            self.censored[here],
            {name: values[here] for name, values in self.figures.items()},
            {name: values[here] for name, values in self.noise.items()},
            self.early[here],
        )


def scores(
    simulation: Simulation,
    setup: Setup,
    entry: Entry,
    rows: range,
    groups: dict[str, str],
    logs: dict[str, str],
) -> Scores:
    """The scores of one policy, whose outcomes are these rows; ``groups`` and ``logs`` are each run's."""
    outcomes = simulation.outcomes
    runs = outcomes["run"][rows.start : rows.stop]
    figures = {name: _floats(outcomes[name][rows.start : rows.stop]) for name in WITHIN}
    lane, _ = setup.lane(entry.policy)
    place = {run.id: number for number, run in enumerate(lane.runs)}
    judges = [lane.judges[place[run]] for run in runs]
    raw = _floats([judge.noise for judge in judges])
    best = np.abs(_floats([judge.best for judge in judges]))
    gained = np.abs(_floats([judge.first for judge in judges]) - _floats([judge.best for judge in judges]))
    with np.errstate(all="ignore"):
        noise = {
            "regret": raw,
            "relative_regret": np.where(best > 0, raw / best, np.nan),
            "lost": np.where(gained > 0, np.minimum(raw / gained, 1.0), np.nan),
        }
    stops = []
    early = np.full(len(runs), np.nan)
    for number, (row, run, judge) in enumerate(zip(rows, runs, judges, strict=True)):
        stopped, kept = outcomes["stopped_eval"][row], outcomes["kept"][row]
        stops.append(
            Stop(
                run,
                logs[run],
                stopped,
                rounded(outcomes["stopped_step"][row]),
                outcomes["reason"][row],
                rounded(outcomes["saved"][row]),
                rounded(outcomes["regret"][row]),
                rounded(outcomes["relative_regret"][row]),
                rounded(outcomes["lost"][row]),
            )
        )
        if judge.noise is None:
            continue
        later = judge.values[stopped:] if stopped is not None else judge.values[:0]
        later = later[np.isfinite(later)]
        if stopped is None or not len(later):
            early[number] = 0.0
        elif kept is None:
            early[number] = 1.0 if math.isfinite(judge.first) else np.nan
        else:
            gain = kept - later.min() if setup.judged.mode == "min" else later.max() - kept
            early[number] = float(bool(rounded(gain) > rounded(judge.noise))) if not math.isnan(gain) else 1.0
    return Scores(
        stops=tuple(stops),
        groups=tuple(groups[run] for run in runs),
        evals=_floats(outcomes["evals"][rows.start : rows.stop]),
        censored=np.array(outcomes["censored"][rows.start : rows.stop], dtype=bool),
        figures=figures,
        noise=noise,
        early=early,
    )


def _floats(values: Sequence[Any]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def line(stop: Stop) -> str:
    """What happened to a run, in a line."""
    if stop.stopped_eval is None:
        return "not stopped"
    return f"eval {stop.stopped_eval} (step {stop.stopped_step}): {stop.reason}"


def judge(
    entry: Entry, own: Scores, level: float, summary: Mapping[str, Any]
) -> tuple[list[LimitResult], list[Finding]]:
    """Every limit of a policy, for all its runs and for those of groups, with what there is to say of them.

    ``summary`` are the figures of the policy over all its runs, as `summarise` gives them at the same level.
    """
    results: list[LimitResult] = []
    findings: list[Finding] = []
    parts: list[tuple[str | None, Scores, tuple[Wanted, ...]]] = [(None, own, entry.limits)]
    parts += [(name, own.of(_group(entry, name, own)), limits) for name, limits in entry.groups.items()]
    for group, part, limits in parts:
        if not limits:
            continue
        why = _undecidable(part)
        if why is not None:
            kind, text = why
            means = [limit.name for limit in limits if not limit.worst]
            if means or kind == "censored":
                message = (
                    f"{entry.name}{_of(group)}: {text}, so"
                    f" {', '.join(means or [limit.name for limit in limits])} cannot be decided"
                )
                findings.append(Finding("undecided", kind, message, policy=entry.name, group=group))
        for limit in limits:
            result, finding = (
                _worst(entry, limit, part, group)
                if limit.worst
                else _mean(
                    entry,
                    limit,
                    part,
                    group,
                    why,
                    _figure(limit, part, level, entry, summary if group is None else {}),
                )
            )
            results.append(result)
            findings += [finding] if finding is not None else []
            findings += _noisy(entry, limit, part, group)
    return results, findings


def _group(entry: Entry, name: str, own: Scores) -> str:
    """The group that a name in the file means: its own, or what follows the sign in ``dataset=films``."""
    found = (
        name
        if name in own.groups
        else next((group for group in own.groups if group.partition("=")[2] == name), None)
    )
    if found is None:
        raise InputError(
            f"{entry.file}: [policies.{entry.name}.groups.{name}]: no run that {entry.name} judges is of"
            f" group {name!r}; there are {suggestion(name, own.groups)}"
        )
    return found


def _of(group: str | None) -> str:
    return "" if group is None else f" on group {group}"


def _undecidable(own: Scores) -> tuple[str, str] | None:
    """Why means of these runs tell nothing: the kind of finding and the reason."""
    count = len(own.stops)
    if count < ENOUGH_RUNS:
        return "few-runs", f"{count} run{'s are' if count != 1 else ' is'} too few ({ENOUGH_RUNS} are needed)"
    if float(np.median(own.evals)) < ENOUGH_EVALS:
        return (
            "few-runs",
            f"a median of {np.median(own.evals):g} evals a run is too few ({ENOUGH_EVALS} are needed)",
        )
    censored = int(own.censored.sum())
    if 2 * censored > count:
        return (
            "censored",
            (
                f"{censored} of {count} runs are neither stopped nor long enough to show what would have come"
                " next"
            ),
        )
    return None


def _mean(
    entry: Entry,
    limit: Wanted,
    own: Scores,
    group: str | None,
    why: tuple[str, str] | None,
    figure: tuple[float | None, float | None, float | None],
) -> tuple[LimitResult, Finding | None]:
    least = limit.name.startswith("min_")
    value, low, high = figure
    wanted = rounded(limit.value)
    text = f"{_said(limit, value)} {'on average' if limit.figure != 'stopped_too_early' else 'of the runs'}"
    if low is not None and high is not None and low != high:
        text += f" ({_said(limit, low, noun=False)} to {_said(limit, high, noun=False)})"
    verdict: Verdict
    finding = None
    told = f"{entry.name}{_of(group)}: {text}, while {limit.name} is {limit.text}"
    if why is not None:
        verdict = "unknown"
    elif value is None or low is None or high is None:
        verdict = "unknown"
        told = (
            f"{entry.name}{_of(group)}: {_NOUN[limit.figure]} is unknown on these runs, so {limit.name}"
            " cannot be decided"
        )
        finding = Finding("undecided", "limit", told, policy=entry.name, limit=limit.name, group=group)
    elif value >= wanted if least else value <= wanted:
        verdict = "kept"
    elif high < wanted if least else low > wanted:
        verdict = "broken"
        finding = Finding("regression", "limit", told, policy=entry.name, limit=limit.name, group=group)
    else:
        verdict = "unsure"
        told += "; so few runs cannot tell whether it is broken"
        finding = Finding("warning", "limit", told, policy=entry.name, limit=limit.name, group=group)
    return LimitResult(limit.name, limit.text, wanted, value, low, high, verdict, told, group), finding


def _figure(
    limit: Wanted, own: Scores, level: float, entry: Entry, summary: Mapping[str, Any]
) -> tuple[float | None, float | None, float | None]:
    """The figure that is limited, with its interval; from the summary where that has it."""
    if limit.figure == "stopped_too_early":
        known = own.early[~np.isnan(own.early)]
        if not len(known):
            return None, None, None
        low, high = binomial_bounds(int(known.sum()), len(known), (1 - level) / 2)
        if ENOUGH_GROUPS <= len(set(own.groups)) < len(own.groups):
            # runs of one group may be early together, of which the exact bounds know nothing
            least, most = interval(own.early, own.groups, level, within=(0.0, 1.0))
            low, high = min(low, least), max(high, most)
        return rounded(float(known.sum()) / len(known)), rounded(low), rounded(high)
    values = own.figures[limit.figure]
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None, None
    if limit.figure == "saved" and all(stop.stopped_eval is None for stop in own.stops):
        return 0.0, 0.0, 0.0  # not a rare event that was not seen: it does not fire on these logs
    if not np.isfinite(known).all():
        return math.inf, math.inf, math.inf
    if f"{limit.figure}_low" in summary:
        return (
            rounded(summary[f"{limit.figure}_mean"]),
            rounded(summary[f"{limit.figure}_low"]),
            rounded(summary[f"{limit.figure}_high"]),
        )
    within = (-math.inf, math.inf) if entry.spec == "never" else WITHIN[limit.figure]
    low, high = interval(values, own.groups, level, within=within)
    return rounded(float(known.mean())), rounded(low), rounded(high)


def _said(limit: Wanted, value: float | None, noun: bool = True) -> str:
    """A figure in words: ``saved 39%``, ``regret 0.0118``."""
    shown = "unknown" if value is None else _shown(value) if limit.figure == "regret" else _percent(value)
    return f"{_NOUN[limit.figure]} {shown}" if noun else shown


def _shown(value: float) -> str:
    return f"{value:.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _worst(entry: Entry, limit: Wanted, own: Scores, group: str | None) -> tuple[LimitResult, Finding | None]:
    """A limit that no run may break by more than its own noise."""
    figure: Figure = limit.figure
    values, noise, wanted = own.figures[figure], own.noise[figure], rounded(limit.value)
    over = [
        number
        for number, value in enumerate(values.tolist())
        if not math.isnan(value) and rounded(value) > wanted
    ]
    over.sort(key=lambda number: (-values[number], own.stops[number].run))
    surely = [
        n
        for n in over
        if not np.isnan(noise[n]) and rounded(float(values[n] - limit.value)) > rounded(float(noise[n]))
    ]
    worst = rounded(float(np.nanmax(values))) if not np.isnan(values).all() else None
    verdict: Verdict = (
        "broken" if surely else "unsure" if over else "kept" if worst is not None else "unknown"
    )
    told = f"{entry.name}{_of(group)}: at worst {_said(limit, worst)}, while {limit.name} is {limit.text}"
    finding = None
    if over:
        named = (surely or over)[0]
        stop = own.stops[named]
        more = f" (and {len(surely or over) - 1} more runs)" if len(surely or over) > 1 else ""
        told = (
            f"{entry.name}{_of(group)}: {stop.run}{more} has {_said(limit, float(values[named]))}, while"
            f" {limit.name} is {limit.text}"
        )
        told += (
            f" and the run's eval noise {_said(limit, float(noise[named]), noun=False)}"
            if not np.isnan(noise[named])
            else ""
        )
        if not surely:
            told += (
                "; that is within the noise"
                if not np.isnan(noise[named])
                else "; the run has too few evals to know its noise"
            )
        finding = Finding(
            "regression" if surely else "warning",
            "limit",
            told,
            policy=entry.name,
            run=stop.run,
            log=stop.log,
            limit=limit.name,
            group=group,
            after=line(stop),
        )
    elif verdict == "unknown":
        told = (
            f"{entry.name}{_of(group)}: {_NOUN[figure]} is unknown on these runs, so {limit.name} cannot be"
            " decided"
        )
        finding = Finding("undecided", "limit", told, policy=entry.name, limit=limit.name, group=group)
    return LimitResult(limit.name, limit.text, wanted, worst, None, None, verdict, told, group), finding


def _noisy(entry: Entry, limit: Wanted, own: Scores, group: str | None) -> list[Finding]:
    """The warning of a limit that noise alone can break."""
    if limit.figure not in own.noise:
        return []
    known = own.noise[limit.figure][~np.isnan(own.noise[limit.figure])]
    if not len(known) or not limit.value < float(np.median(known)):
        return []
    typical = _said(limit, float(np.median(known)), noun=False)
    enough = _said(limit, _up(float(np.median(known))), noun=False)
    told = (
        f"{entry.name}{_of(group)}: {limit.name} {limit.text} is below the eval noise of these logs"
        f" ({typical}, the median run's); such a gate fails by chance and breeds re-runs, so set it to"
        f" {enough} at least"
    )
    return [Finding("warning", "noise", told, policy=entry.name, limit=limit.name, group=group)]


def _up(value: float) -> float:
    """A number rounded up to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / unit, 6)) * unit


def binomial_bounds(count: int, total: int, tail: float) -> tuple[float, float]:
    """The exact (Clopper–Pearson) bounds of a probability by which ``count`` of ``total`` came about,
    ``tail`` beyond each.

    Source: Clopper & Pearson, Biometrika 26 (1934) 404.

    Examples
    --------
    >>> [round(bound, 4) for bound in binomial_bounds(3, 10, 0.025)]
    [0.0667, 0.6525]
    """
    low = 0.0 if count == 0 else _bisected(count, total, tail)
    high = 1.0 if count == total else 1 - _bisected(total - count, total, tail)
    return low, high


@lru_cache(maxsize=1024)
def _bisected(count: int, total: int, tail: float) -> float:
    """The probability at which ``count`` or more of ``total`` come about with probability ``tail``."""
    ways = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(count, total + 1)
    ]
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        log, rest = math.log(middle), math.log1p(-middle)
        reached = math.fsum(math.exp(way + k * log + (total - k) * rest) for k, way in enumerate(ways, count))
        low, high = (middle, high) if reached < tail else (low, middle)
    return (low + high) / 2


def expectations(entry: Entry, own: Scores, runs: dict[str, int], gone: Sequence[str]) -> list[Finding]:
    """Runs that are not stopped where the file says they must be.

    ``runs`` maps the ids of all runs to their numbers of evals; ``gone`` are runs of the lock whose logs are
    there no more, about which another finding tells. Raises InputError for a run or an eval that there is
    not.
    """
    found = []
    by_run = {stop.run: stop for stop in own.stops}
    for wanted in entry.expect:
        run = _expected(wanted, list(runs), gone)
        if run is None:
            continue
        if wanted.eval is not None and wanted.eval > runs[run]:
            raise InputError(f"{wanted.where}: eval = {wanted.eval}, but {run} has {runs[run]} evals")
        before = "not stopped" if wanted.eval is None else f"eval {wanted.eval}"
        stop = by_run.get(run)
        if stop is None:
            told = f"{entry.name} cannot judge {run}, for which the file expects {before}"
            found.append(Finding("undecided", "expect", told, policy=entry.name, run=run, before=before))
        elif stop.stopped_eval != wanted.eval:
            does = (
                f"does not stop {run}"
                if stop.stopped_eval is None
                else f"stops {run} at eval {stop.stopped_eval}"
            )
            told = f"{entry.name} {does}, while the file expects {before}"
            before = f"{before} (expected)"
            found.append(
                Finding(
                    "regression",
                    "expect",
                    told,
                    policy=entry.name,
                    run=run,
                    log=stop.log,
                    before=before,
                    after=line(stop),
                )
            )
    return found


def _expected(wanted: Expectation, ids: Sequence[str], gone: Sequence[str]) -> str | None:
    """The run that is meant, by its id or an unambiguous part; None where it is one that is gone."""
    matches = [run for run in ids if run == wanted.run] or [run for run in ids if wanted.run in run]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:5]) + (f" and {len(matches) - 5} more" if len(matches) > 5 else "")
        raise InputError(
            f'{wanted.where}: run = "{wanted.run}" fits {len(matches)} runs: {shown}; give more of the id'
        )
    if any(wanted.run in run for run in gone):
        return None
    raise InputError(
        f'{wanted.where}: run = "{wanted.run}" is no run of these logs; there are'
        f" {suggestion(wanted.run, ids)}"
    )
