"""Which metric is monitored or judged by, its mode, and why: a metric's name resolved against the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.names import (
    TEST_WORDS,
    InferredMode,
    canonical,
    held_out_words,
    infer_mode,
    is_loss,
    is_policy_reward,
)
from replay.data.run import Run
from replay.data.types import Mode
from replay.errors import InputError, did_you_mean, list_names
from replay.policies import Policy

__all__ = ["Metric", "ModeSource", "NameSource", "known_mode", "resolve_metric", "suggest_metric"]

_FEW_EVALS = 3


class NameSource(StrEnum):
    """Why a metric was taken."""

    GIVEN = "given"
    STATED = "stated"
    VALIDATION_LOSS = "validation-loss"
    ONLY_LOSS = "only-loss"
    ONLY_METRIC = "only-metric"


class ModeSource(StrEnum):
    """Why a metric has its mode."""

    GIVEN = "given"
    POLICY = "policy"
    STATED = "stated"
    NAME = "name"


@dataclass(frozen=True)
class Metric:
    """A metric that is monitored or judged by, its mode, and where both come from.

    ``names`` maps the id of each run that logs the metric to the run's own spelling. ``runs`` is the number
    of runs asked. ``mode_word`` is the word of the name that implies the mode (`ModeSource.NAME`).
    """

    name: str
    mode: Mode
    name_source: NameSource
    mode_source: ModeSource
    names: Mapping[str, str]
    runs: int
    mode_word: str | None = None

    @property
    def spellings(self) -> tuple[str, ...]:
        """The spellings in the logs, where they differ from the name; else empty."""
        spellings = tuple(sorted(set(self.names.values())))
        return spellings if spellings != (self.name,) else ()

    def with_mode(self, mode: Mode) -> Metric:
        """The metric with the mode that a policy insists on."""
        return replace(self, mode=mode, mode_source=ModeSource.POLICY, mode_word=None)


def resolve_metric(
    runs: Sequence[Run],
    name: str | None,
    mode: Mode | None,
    *,
    monitored: bool = True,
    policies: Iterable[Policy] = (),
) -> tuple[Metric, list[Finding]]:
    """Find a metric and its mode in the runs; ``name`` None takes the default metric.

    ``policies`` are those that insist on the metric: they say what its absence means to their tools.
    Raises InputError where no run has the metric, naming those there are, and where the mode cannot be known.
    """
    findings: list[Finding] = []
    key = ("monitor" if monitored else "objective",)
    if name is None:
        name, names, source = _default_metric(runs)
    else:
        source = NameSource.GIVEN
        names = {run.id: spelling for run in runs if (spelling := run.find_metric(name)) is not None}
        if not names:
            raise InputError(_absence(runs, name, policies), key=key)
    lacking = tuple(run.id for run in runs if run.id not in names)
    if lacking and monitored:  # of an objective, the study says which runs cannot be judged
        facts = {"metric": name, "total": len(runs)}
        findings.append(Finding(Kind.NO_METRIC, runs=lacking, facts=facts))
    resolved, mode_source, word = _resolve_mode(runs, names, name, mode, findings, key)
    constant = _find_constant(runs, names, name) if monitored else None
    if constant is not None:
        findings.append(constant)
    if monitored and any(_is_of_test_set(names[run.id], run) for run in runs if run.id in names):
        findings.append(Finding(Kind.TEST_SET_MONITOR, facts={"metric": name}))
    train_only = tuple(run.id for run in runs if run.id in names and names[run.id] not in run.columns)
    if train_only:
        findings.append(Finding(Kind.TRAIN_ONLY_MONITOR, runs=train_only, facts={"metric": name}))
    return Metric(name, resolved, source, mode_source, names, len(runs), word), findings


def suggest_metric(runs: Sequence[Run]) -> tuple[str | None, Mode | None] | None:
    """A monitor and a mode that `resolve_metric` takes, for runs of which it asks for one of them.

    The name is None where only the mode is asked for, and the mode None where it is known. None: no metric of
    held-out data and no reward can be taken.
    """
    rewards = [name for run in runs for name in (*run.metrics, *run.train) if is_policy_reward(name)]
    spelling = {canonical(name): name for run in reversed(runs) for name in reversed(run.metrics)}
    counted = [spelling[name] for name, _ in _count_runs(runs, finite=True).most_common()]
    others = sorted((name for name in counted if not (rewards and is_loss(name))), key=_partial)
    named: list[tuple[str, str | None]] = [(name, name) for name in dict.fromkeys([*rewards, *others])]
    with suppress(InputError):
        named.insert(0, (_default_metric(runs)[0], None))
    tries: list[tuple[str | None, Mode | None]] = [(given, None) for _, given in named]
    for name, given in named:
        implied = infer_mode(name)
        tries.append((given, "max" if name in rewards else "min" if implied is None else implied.mode))
    for given, mode in tries:
        with suppress(InputError):
            resolve_metric(runs, given, mode)
            return given, mode
    return None


def _partial(name: str) -> int:
    """How little a metric says by itself: precision can be raised at the cost of recall, and detection is
    ranked by the mean over thresholds.
    """
    implied = infer_mode(name)
    word = None if implied is None else implied.word
    return 0 if word == "map5095" else 2 if word in ("precision", "prec", "recall") else 1


def _is_of_test_set(metric: str, run: Run | None = None) -> bool:
    """Whether a metric is measured on the test set, by its name; not where the tool of a run stops on it."""
    besides = () if run is None else run.info.validation_sets
    return bool((TEST_WORDS & held_out_words(metric)).difference(besides))


def _absence(runs: Sequence[Run], name: str, policies: Iterable[Policy]) -> str:
    """The error text of a metric that no run has, with the closest right name."""
    note = next((note for policy in policies if (note := policy.absence_note()) is not None), None)
    have = sorted({metric for run in runs for metric in run.metrics})
    where = f"run {runs[0].id}" if len(runs) == 1 else f"any of the {len(runs)} runs"
    who = "it has" if len(runs) == 1 else "they have"
    if not have:
        text = f"no metric {name!r} in {where}; {who} no metric at all"
        return text if note is None else f"{text}; {note}"
    # the name that means the same elsewhere (val_loss in a log of transformers), if spelling suggests none
    tail = canonical(name).split("_")[-1]
    same_end = [metric for metric in have if canonical(metric).split("_")[-1] == tail]
    # stopping must not look at the test set, so it is suggested only to who asked for it
    apart = [metric for metric in have if _is_of_test_set(metric) == _is_of_test_set(name)]
    hint = did_you_mean(name, apart) or did_you_mean(name, have, otherwise=same_end)
    text = f"no metric {name!r} in {where}; {who} {list_names(have, 12)}{hint}"
    if note is None:
        return text
    return f"{text} {note[0].upper()}{note[1:]}" if hint else f"{text}; {note}"


def _validation_loss(run: Run) -> str | None:
    losses = [name for name in run.metrics if is_loss(name)]
    validation = [name for name in losses if not _is_of_test_set(name, run)]
    return min(validation or losses, key=len, default=None)


def _default_metric(runs: Sequence[Run]) -> tuple[str, dict[str, str], NameSource]:
    """The metric to monitor where none is given, each run's spelling of it, and why."""
    stated = {
        run.id: run.info.monitor for run in runs if run.info.monitor and run.find_metric(run.info.monitor)
    }
    doubts = []
    if len(stated) == len(runs) and _one_name(stated.values()):
        names = {run.id: run.find_metric(stated[run.id]) or "" for run in runs}
        doubt = _doubt(runs, names)
        if doubt is None:
            return next(iter(names.values())), names, NameSource.STATED
        doubts.append(doubt)
    losses = {run.id: loss for run in runs if (loss := _validation_loss(run)) is not None}
    if losses and len(losses) * 2 >= len(runs):
        doubt = _doubt(runs, losses)
        if doubt is None:
            common = Counter(losses.values()).most_common(1)[0][0]
            on_test = any(_is_of_test_set(losses[run.id], run) for run in runs if run.id in losses)
            return common, losses, NameSource.ONLY_LOSS if on_test else NameSource.VALIDATION_LOSS
        doubts.append(doubt)
    sole = {run.id: run.metrics[0] for run in runs if len(run.metrics) == 1}
    if len(sole) == len(runs) and _one_name(sole.values()) and not doubts:
        return next(iter(sole.values())), sole, NameSource.ONLY_METRIC
    hints = (run.info.eval_hint for run in runs if not run.metrics and run.info.eval_hint is not None)
    because = None if any(run.metrics for run in runs) else next(hints, None)
    raise InputError(_question(runs, doubts[0] if doubts else None), because=because)


def _question(runs: Sequence[Run], doubt: str | None) -> str:
    """The error text that asks for the monitor; ``doubt`` says why the usual one was not taken."""
    finite = _count_runs(runs, finite=True)
    counts = finite or _count_runs(runs, finite=False)
    spelling = {canonical(name): name for run in reversed(runs) for name in reversed(run.metrics)}
    series = sorted({name for run in runs for name in run.train})
    if not counts:
        return "no run has a held-out metric, so there is nothing that a stop rule could watch" + (
            f"; to look at a series of training itself give --monitor ({list_names(series, 8)})"
            if series
            else ""
        )
    shown = ", ".join(
        f"{spelling[name]} ({count} of {len(runs)} runs)" for name, count in counts.most_common(8)
    )
    text = f"which metric should be watched? Give --monitor; the logs have {shown}"
    if doubt is None:
        return text
    rewards = [name for run in runs for name in (*run.metrics, *run.train) if is_policy_reward(name)]
    example = f", for example --monitor {rewards[0]} --mode max" if rewards else ""
    return f"{doubt}. Which metric should be watched? Give --monitor{example}; the logs have {shown}"


def _count_runs(runs: Sequence[Run], *, finite: bool) -> Counter[str]:
    """How many runs log each metric, once per run however it is spelled; ``finite``: with a finite value."""
    counts: Counter[str] = Counter()
    for run in runs:
        names = (name for name in run.metrics if not finite or _has_finite(run, name))
        counts.update(dict.fromkeys(map(canonical, names)).keys())
    return counts


def _doubt(runs: Sequence[Run], names: Mapping[str, str]) -> str | None:
    """Why the metric that would be watched cannot be used; None where nothing speaks against it."""
    shown = next(iter(names.values()))
    usable = {canonical(name) for run in runs for name in run.metrics if _has_finite(run, name)}
    if usable and not any(_has_finite(run, name) for run in runs if (name := names.get(run.id))):
        return f"{shown} has no finite value in {_any_of(runs)}"
    trained_by_reward = [
        run for run in runs if any(is_policy_reward(name) for name in (*run.metrics, *run.train))
    ]
    if is_loss(shown) and 2 * len(trained_by_reward) >= len(runs):
        return f"{shown} says nothing about quality where a policy is trained by a reward (GRPO, RLOO, PPO)"
    return None


def _has_finite(run: Run, name: str) -> bool:
    values = run.columns[name].values if name in run.columns else run.train[name].value
    return bool(np.isfinite(values).any())


def _any_of(runs: Sequence[Run]) -> str:
    return f"run {runs[0].id}" if len(runs) == 1 else f"any of the {len(runs)} runs"


def _one_name(names: Iterable[str]) -> bool:
    return len({canonical(name) for name in names}) == 1


def known_mode(run: Run, name: str) -> tuple[Mode | None, ModeSource | None, InferredMode | None]:
    """The mode of a run's metric without being asked, its source, and what the name implies.

    A name that turns a metric's sign over (``neg_mse``) may as well mean another metric, and is asked about.
    """
    stated, implied = run.info.modes.get(name), infer_mode(name)
    if stated is not None:
        return stated, ModeSource.STATED, implied
    if implied is None or implied.negated:
        return None, None, None
    return implied.mode, ModeSource.NAME, implied


def _resolve_mode(
    runs: Sequence[Run],
    names: Mapping[str, str],
    metric: str,
    mode: Mode | None,
    findings: list[Finding],
    key: tuple[str],
) -> tuple[Mode, ModeSource, str | None]:
    stated: dict[Mode, str] = {}  # the first run that states each mode
    named: dict[Mode, InferredMode] = {}  # what the name implies, where it holds for the values of a run
    wrong: list[Run] = []
    for run in runs:
        if run.id not in names:
            continue
        known_here, source, implied = known_mode(run, names[run.id])
        if known_here is not None and source is ModeSource.STATED:
            stated.setdefault(known_here, run.id)
        elif known_here is not None and implied is not None:
            named.setdefault(known_here, implied)
            if names[run.id] in run.info.contradicted_modes:
                wrong.append(run)
    if mode is not None:
        if mode not in ("min", "max"):
            raise InputError(f"mode is min or max, not {mode!r}")
        known = next(iter(stated or named)) if len(stated or named) == 1 else None
        if known is not None and known != mode:
            facts = {"metric": metric, "mode": mode, "known": known, "stated": bool(stated)}
            findings.append(Finding(Kind.MODE_CONTRADICTED, facts=facts))
        return mode, ModeSource.GIVEN, None
    if wrong and not stated:
        findings.append(_wrong_direction(wrong, names, followed=False))
    against = [run for run in runs if run.id in names and _states_against_name(run, names[run.id])]
    if against:
        findings.append(_wrong_direction(against, names, followed=True))
    if len(stated) == 2:
        raise InputError(
            f"the logs disagree on {metric}: {stated['min']} says lower is better, {stated['max']} higher."
            " Give --mode",
            key=key,
        )
    if stated:
        return next(iter(stated)), ModeSource.STATED, None
    if len(named) != 1:
        raise InputError(_ask_mode(metric), key=key)
    ((known, by_name),) = named.items()
    return known, ModeSource.NAME, by_name.word


def _ask_mode(metric: str) -> str:
    implied = infer_mode(metric)
    asked = f"is {metric} better when lower or when higher?"
    if implied is not None and implied.negated:
        better = "higher" if implied.mode == "max" else "lower"
        return (
            f"{asked} By its name ({implied.word}) its sign was turned over, and {better} is better; give"
            f" --mode {implied.mode} if that is so"
        )
    return f"{asked} Neither its name nor the logs say; give --mode min or --mode max"


def _states_against_name(run: Run, name: str) -> bool:
    """Whether a log states a mode that the name of the metric and the sign of its values speak against."""
    stated, implied = run.info.modes.get(name), infer_mode(name)
    if stated is None or implied is None or not implied.strong or implied.mode == stated:
        return False
    values = run.columns[name].values if name in run.columns else run.train[name].value
    return bool((values[np.isfinite(values)] > 0).any())


def _wrong_direction(runs: Sequence[Run], names: Mapping[str, str], *, followed: bool) -> Finding:
    """The finding that logs state the other direction than the name, with the checkpoint of the first run
    that is the best by it; ``followed`` says whether the results take it.
    """
    run = runs[0]
    name = names[run.id]
    stated = run.info.modes[name] if followed else run.info.contradicted_modes[name]
    curve = run.curve(name, stated)
    kept, best = curve.best(), run.curve(name, "min" if stated == "max" else "max").best()
    facts: dict[str, object] = {"metric": name, "stated": stated, "run": run.id, "followed": followed}
    if kept is not None and best is not None:
        facts |= {
            "kept": float(curve.values[kept]),
            "kept_step": float(curve.steps[kept]),
            "best": float(curve.values[best]),
            "best_step": float(curve.steps[best]),
        }
    return Finding(Kind.WRONG_DIRECTION, runs=tuple(run.id for run in runs), facts=facts)


def _find_constant(runs: Sequence[Run], names: Mapping[str, str], metric: str) -> Finding | None:
    """The finding that a metric has one value throughout, in runs with enough evals to tell."""
    constant = []
    for run in runs:
        if names.get(run.id) not in run.columns:
            continue
        values, present = run.columns[names[run.id]]
        if len(values) and present[0] and present[-1] and values[0] != values[-1]:
            continue  # as almost always, and much faster than the whole column
        logged = values[present]
        if len(logged) >= _FEW_EVALS and np.isfinite(logged[0]) and (logged == logged[0]).all():
            constant.append((run.id, float(logged[0])))
    if not constant:
        return None
    facts = {"metric": metric, "value": constant[0][1], "total": len(names)}
    return Finding(Kind.METRIC_CONSTANT, runs=tuple(run for run, _ in constant), facts=facts)
