"""Runs × policies → outcomes: where each policy stops each run, what that saves, and what it gives away.

(The module is not called ``simulate``, because ``replay.simulate`` is the function.)
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from warnings import warn

import numpy as np

from replay.data.compute import Compute, compute
from replay.data.curve import Curve, CurveBatch, censoring
from replay.data.names import canonical, infer_mode, is_loss
from replay.data.run import Run
from replay.data.step_signals import settled
from replay.data.types import Bools, Floats, Ints, Mode
from replay.errors import InputError, ReplayWarning, suggestion
from replay.policies import Policy, Trace
from replay.policies.base import first_reached
from replay.policies.rules.never import Never
from replay.policies.spec import parse_policy
from replay.readers.step_signals import FILE_NAME

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BASELINES",
    "COLUMNS",
    "ORACLE",
    "Lane",
    "Profile",
    "Setup",
    "Simulation",
    "Traced",
    "Watch",
    "decays",
    "parsed",
    "pick_run",
    "records",
    "replay_in",
    "replay_runs",
    "simulate",
    "watch",
]

Keep = Literal["best", "best-saved", "transformers", "last"]
_KEEPS: tuple[Keep, ...] = ("best", "best-saved", "transformers", "last")

#: Columns of the outcomes, one row a run and policy.
COLUMNS = (
    "run",
    "policy",
    "monitor",
    "mode",
    "objective",
    "evals",
    "stopped_eval",
    "stopped_step",
    "reason",
    "unit",
    "used",
    "used_full",
    "saved",
    "best",
    "best_step",
    "kept",
    "kept_step",
    "last",
    "regret",
    "relative_regret",
    "lost",
    "censored",
    "eval_used",
    "noise",
    "own_best",
)

#: The baselines of every comparison: the first ones open the table, the oracle closes it.
BASELINES = ("never", "one-epoch")
ORACLE = "oracle"

_TEST = {"test", "testing"}

#: What to do where a log lacks a companion, beyond another log.
_INSTEAD = {"planned_steps": "; give horizon=STEPS"}


@dataclass(frozen=True)
class Watch:
    """A metric that is watched or judged by: its name, mode, and how both were found; each run's own spelling
    by run id.
    """

    metric: str
    mode: Mode
    metric_reason: str
    mode_reason: str
    names: Mapping[str, str]


def watch(
    runs: Sequence[Run], metric: str | None, mode: Mode | None, role: str = "monitor"
) -> tuple[Watch, list[str]]:
    """Find the metric and its mode in the runs, with warnings.

    Raises InputError where no run has the metric, naming those there are, and where the mode cannot be known.
    """
    warnings: list[str] = []
    if metric is None:
        metric, names, metric_reason = _default_metric(runs)
    else:
        metric_reason = "as given"
        found = {run.id: run.find_metric(metric) for run in runs}
        names = {run: name for run, name in found.items() if name is not None}
        if not names:
            have = sorted({name for run in runs for name in run.metrics})
            where = f"run {runs[0].id}" if len(runs) == 1 else f"any of the {len(runs)} runs"
            has = suggestion(metric, have) if have else "no metric at all"
            raise InputError(
                f"no metric {metric!r} in {where}; {'it has' if len(runs) == 1 else 'they have'}"
                f" {has}{_alike(metric, have)}"
            )
    lacking = [run.id for run in runs if run.id not in names]
    if lacking:
        warnings.append(
            f"{len(lacking)} of {len(runs)} runs have no {metric} and are left out: {_list(lacking)}"
        )
    resolved, reason = _mode(runs, names, metric, mode, warnings)
    spellings = sorted(set(names.values()))
    if len(spellings) > 1 or spellings[0] != metric:
        metric_reason += f"; logged as {_list(spellings)}"
    if role == "monitor" and _TEST & set(canonical(metric).split("_")):
        warnings.append(
            f"{metric} is measured on the test set: a stop that is chosen on it makes the test result too"
            " good"
        )
    by_id = {run.id: run for run in runs}
    train_only = [run for run, name in names.items() if name not in by_id[run].columns]
    if train_only:
        warnings.append(
            f"{metric} is logged in training only, not by evals, in {_list(train_only)}: every log entry"
            " counts as an eval"
        )
    return Watch(metric, resolved, metric_reason, reason, names), warnings


def _alike(metric: str, have: Sequence[str]) -> str:
    """A hint for the name that means the same elsewhere (val_loss in a log of transformers), if the spelling
    gave none.
    """
    if "Did you mean" in suggestion(metric, have):
        return ""
    tail = canonical(metric).split("_")[-1]
    close = [name for name in have if canonical(name).split("_")[-1] == tail]
    return f". Did you mean {close[0]}?" if close else ""


def _list(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _validation_loss(run: Run) -> str | None:
    losses = [name for name in run.metrics if is_loss(name)]
    validation = [name for name in losses if not _TEST & set(canonical(name).split("_"))]
    found = validation or losses
    return min(found, key=len) if found else None


def _default_metric(runs: Sequence[Run]) -> tuple[str, dict[str, str], str]:
    """The metric to watch where none is given, each run's spelling of it, and why."""
    stated = {
        run.id: run.info.monitor for run in runs if run.info.monitor and run.find_metric(run.info.monitor)
    }
    if len(stated) == len(runs) and len({canonical(name) for name in stated.values()}) == 1:
        names = {run.id: run.find_metric(stated[run.id]) or "" for run in runs}
        return (
            next(iter(names.values())),
            names,
            "stated by the log" if len(runs) == 1 else "stated by the logs",
        )
    losses = {run.id: loss for run in runs if (loss := _validation_loss(run)) is not None}
    if losses and len(losses) * 2 >= len(runs):
        common = Counter(losses.values()).most_common(1)[0][0]
        return (
            common,
            losses,
            (
                "the validation loss"
                if not _TEST & set(canonical(common).split("_"))
                else "the only held-out loss"
            ),
        )
    sole = {run.id: run.metrics[0] for run in runs if len(run.metrics) == 1}
    if len(sole) == len(runs) and len({canonical(name) for name in sole.values()}) == 1:
        return next(iter(sole.values())), sole, "the only metric"
    counted = Counter(canonical(name) for run in runs for name in run.metrics)
    if not counted:
        series = sorted({name for run in runs for name in run.train})
        raise InputError(
            "no run has a held-out metric, so there is nothing that a stop rule could watch"
            + (
                f"; to look at a series of training itself give --monitor ({_list(series, 8)})"
                if series
                else ""
            )
        )
    shown = ", ".join(f"{name} ({count} of {len(runs)} runs)" for name, count in counted.most_common(8))
    raise InputError(f"which metric should be watched? Give --monitor; the logs have {shown}")


def _mode(
    runs: Sequence[Run], names: Mapping[str, str], metric: str, mode: Mode | None, warnings: list[str]
) -> tuple[Mode, str]:
    stated: dict[Mode, list[str]] = {}
    for run in runs:
        if run.id in names:
            said = run.info.modes.get(names[run.id])
            if said in ("min", "max"):
                stated.setdefault(said, []).append(run.id)
    implied = infer_mode(metric)
    if mode is not None:
        if mode not in ("min", "max"):
            raise InputError(f"mode is min or max, not {mode!r}")
        known = next(iter(stated)) if len(stated) == 1 else implied[0] if implied else None
        if known is not None and known != mode:
            source = "the log states" if stated else "its name says"
            warnings.append(
                f"mode {mode} for {metric}, though {source} that {'lower' if known == 'min' else 'higher'} is"
                " better"
            )
        return mode, "as given"
    if len(stated) == 1:
        return next(iter(stated)), "stated by the log"
    if len(stated) == 2:
        raise InputError(
            f"the logs disagree on {metric}: {stated['min'][0]} says lower is better, {stated['max'][0]}"
            " higher. Give --mode"
        )
    if implied is None:
        raise InputError(
            f"is {metric} better when lower or when higher? Neither its name nor the logs say; give --mode"
            " min or --mode max"
        )
    return implied


class _Judge(NamedTuple):
    """What an eval of one run is worth: the objective at each eval of the monitor's curve."""

    values: Floats  # objective at each eval, NaN where it was not logged
    present: Bools
    best: float | None
    best_step: float | None
    first: float
    noise: float | None


@dataclass(frozen=True, eq=False)
class Profile:
    """What a stop at each eval of one run would give, for one choice of the evals made.

    Arrays have one entry an eval and one more for never stopping: ``used``, ``eval_used`` (the evals' part),
    ``kept`` (index of the eval whose checkpoint is kept, −1: none), ``regret``, ``relative``, ``lost`` (NaN
    where undefined), ``last`` (index of the last eval made, −1: none). ``full`` is what the whole log used.
    """

    used: Floats
    eval_used: Floats
    full: float
    kept: Ints
    last: Ints
    regret: Floats
    relative: Floats
    lost: Floats

    @cached_property
    def share(self) -> Floats:
        """Share of the compute of the full log that is used by a stop at each eval."""
        return self.used / self.full if self.full > 0 else np.ones(len(self.used))

    @cached_property
    def saved(self) -> Floats:
        """Share that such a stop saves."""
        return 1 - self.share


def _profile(
    curve: Curve, judge: _Judge, spent: Compute, made: Bools, keep: Keep, writes: Bools | None
) -> Profile:
    evals = len(curve)
    oriented = curve.values if curve.mode == "min" else -curve.values
    number = np.arange(evals)
    last = np.maximum.accumulate(np.where(made, number, -1)) if evals else np.empty(0, dtype=np.int64)
    if keep == "last":
        kept = last
    elif keep == "transformers":
        kept = _loaded(oriented, made, np.ones(evals, dtype=bool) if writes is None else writes, last)
    else:
        eligible = made & ~np.isnan(oriented) & (True if writes is None else writes)
        lowest = np.minimum.accumulate(np.where(eligible, oriented, np.inf)) if evals else oriented
        first = np.cumsum(eligible) == 1
        better = eligible & (first | (oriented < np.append(np.inf, lowest[:-1])))
        kept = np.maximum.accumulate(np.where(better, number, -1)) if evals else number
    ever = np.append(kept, kept[-1:] if evals else [-1])
    final = np.append(last, last[-1:] if evals else [-1])
    return _score(judge, spent, made, ever, final)


def _loaded(oriented: Floats, made: Bools, writes: Bools, last: Ints) -> Ints:
    """The eval whose weights transformers has in the end, with load_best_model_at_end, after a stop at each
    eval.

    When a checkpoint is written, the Trainer notes that of the best eval so far if there is one of that very
    step; else what it had noted before stays. Without any note the last weights stay. Source: transformers
    5.24.0, trainer.py (_save_checkpoint).
    """
    best, at, noted = np.inf, -1, -1
    kept = np.empty(len(oriented), dtype=np.int64)
    for index in range(len(oriented)):
        if made[index] and oriented[index] < best:
            best, at = oriented[index], index
        if made[index] and writes[index] and at >= 0 and writes[at]:
            noted = at
        kept[index] = noted if noted >= 0 else last[index]
    return kept


def _score(judge: _Judge, spent: Compute, made: Bools, kept: Ints, last: Ints) -> Profile:
    eval_used = np.cumsum(np.where(made, spent.evals, 0.0))
    rest = spent.full - float(spent.evals.sum())
    total = float(eval_used[-1]) if len(eval_used) else 0.0
    used = np.append(spent.train + eval_used, rest + total)
    has = kept >= 0
    at_kept = np.where(has, np.append(judge.values, np.nan)[kept], np.nan)
    with np.errstate(all="ignore"):
        if judge.best is None:
            regret = np.full(len(kept), np.nan)
            lost = regret.copy()
            relative = regret.copy()
        else:
            regret = np.abs(at_kept - judge.best)
            regret = np.where(at_kept == judge.best, 0.0, regret)
            relative = regret / abs(judge.best) if judge.best else np.where(regret == 0, 0.0, np.nan)
            gained = abs(judge.first - judge.best)
            lost = np.minimum(regret / gained, 1.0) if gained > 0 else np.zeros(len(kept))
            logged = np.where(has, np.append(judge.present, False)[kept], True)
            lost = np.where(np.isnan(lost), np.where(logged, 1.0 if gained > 0 else 0.0, np.nan), lost)
            if gained == 0:
                lost = np.where(logged, 0.0, np.nan)
    return Profile(used, np.append(eval_used, total), spent.full, kept, last, regret, relative, lost)


@dataclass(eq=False)
class Simulation:
    """All outcomes of a simulation and what it took to get them.

    ``outcomes`` maps each of COLUMNS to a list with one entry a run and policy. ``profiles`` holds, by run
    id, what a stop at any eval would have given (all evals made). ``censored`` maps run ids to the reason.
    ``policies`` are the names in order. ``scheduled`` are the runs whose learning rate falls towards the end.
    ``traces`` holds the trace of each policy where it was asked for.
    """

    runs: list[Run]
    policies: list[str]
    monitor: Watch
    objective: Watch
    unit: str
    basis: str
    keep: str
    outcomes: dict[str, list[Any]]
    profiles: dict[str, Profile]
    curves: dict[str, Curve]
    censored: dict[str, str]
    scheduled: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    traces: dict[str, Traced] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """The outcomes as a DataFrame."""
        import pandas as pd

        frame = pd.DataFrame(self.outcomes, columns=list(COLUMNS))
        for name in ("stopped_eval", "evals", "stopped_step", "best_step", "kept_step"):
            if all(value is None or isinstance(value, int) for value in self.outcomes[name]):
                frame[name] = frame[name].astype("Int64")
        return frame

    def rows(self) -> list[dict[str, Any]]:
        """The outcomes as one dict a row."""
        return records(self.outcomes)

    def tell(self) -> None:
        """Tell the caller of the public function that made this, by ReplayWarning, what was left out."""
        for text in self.warnings:
            warn(text, ReplayWarning, stacklevel=3)


def records(table: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """A table of columns as one dict a row."""
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


class Traced(NamedTuple):
    """A policy as it was run, with its trace and the ids of the runs in the trace's order."""

    policy: Policy
    trace: Trace
    runs: list[str]


class _Setting(NamedTuple):
    """One way of watching: a primary metric and the other metrics that a combined policy watches beside
    it.
    """

    primary: Watch
    others: tuple[
        tuple[str | None, Watch], ...
    ]  # by the name that the policy uses (None: the metric it is given)


class Lane:
    """The runs that can be watched in one setting, as a batch, with the judge and compute of each."""

    def __init__(
        self,
        runs: Sequence[Run],
        setting: _Setting,
        objective: Watch,
        unit: str,
        price: float | None,
        keep: Keep,
    ) -> None:
        self.setting = setting
        primary = setting.primary
        self.runs = [run for run in runs if run.id in primary.names]
        self.curves = [_rows_curve(run, setting) for run in self.runs]
        self.judges = [
            _judge(run, curve, objective) for run, curve in zip(self.runs, self.curves, strict=True)
        ]
        self.spent = [
            compute(run, curve.steps, unit, price) for run, curve in zip(self.runs, self.curves, strict=True)
        ]
        self._price, self._keep = price, keep
        self._profiles: dict[tuple[int, bytes], Profile] = {}
        self._batch: tuple[tuple[str, ...], tuple[CurveBatch, list[int], dict[str, list[str]]]] | None = None

    def batch(self, needs: Sequence[str]) -> tuple[CurveBatch, list[int], dict[str, list[str]]]:
        """The batch of the runs that have the companions, their places, and which runs lack what; the last
        one is kept.
        """
        if self._batch is None or self._batch[0] != tuple(needs):
            self._batch = tuple(needs), self._gather(needs)
        return self._batch[1]

    def _gather(self, needs: Sequence[str]) -> tuple[CurveBatch, list[int], dict[str, list[str]]]:
        lacking: dict[str, list[str]] = {}
        columns: dict[str, list[Floats]] = {name: [] for name in needs}
        extra: dict[str, list[Floats]] = {}
        places: list[int] = []
        for place, (run, curve) in enumerate(zip(self.runs, self.curves, strict=True)):
            own = {name: _companion(run, curve, name, self._price) for name in needs}
            missing = [name for name, values in own.items() if values is None]
            for name in missing:
                lacking.setdefault(name, []).append(run.id)
            if missing:
                continue
            places.append(place)
            for name, values in own.items():
                assert values is not None
                columns[name].append(values)
            for asked, other in self.setting.others:
                values, present = _exactly(run, other.names.get(run.id), curve.steps)
                extra.setdefault(f"metric:{asked}", []).append(values)
                extra.setdefault(f"logged:{asked}", []).append(present.astype(np.float64))
        return CurveBatch.of([self.curves[place] for place in places], {**columns, **extra}), places, lacking

    def whole(self, place: int) -> Profile:
        """The profile of one run with all its evals made."""
        return self.profile(place, np.ones(len(self.curves[place]), dtype=bool))

    def profile(self, place: int, made: Bools) -> Profile:
        """The profile of one run for the evals made, computed once."""
        key = (place, made.tobytes())
        if key not in self._profiles:
            run, curve = self.runs[place], self.curves[place]
            writes = None
            if self._keep in ("best-saved", "transformers"):
                saved = run.at("saved", curve.steps)
                if not saved.present.any():
                    raise InputError(
                        f"run {run.id} does not say which evals wrote a checkpoint, so the best saved one is"
                        " unknown; use --keep best"
                    )
                writes = saved.present & (saved.values == 1)
            self._profiles[key] = _profile(
                curve, self.judges[place], self.spent[place], made, self._keep, writes
            )
        return self._profiles[key]


def _rows_curve(run: Run, setting: _Setting) -> Curve:
    curve = run.curve(setting.primary.names[run.id], setting.primary.mode)
    if not setting.others or curve.rows is None:
        return curve
    logged = [
        run.curve(other.names[run.id], other.mode).steps
        for _, other in setting.others
        if run.id in other.names
    ]
    steps = np.unique(np.concatenate([curve.steps, *logged]))
    values, _ = _exactly(run, setting.primary.names[run.id], steps)
    return Curve(run, curve.metric, curve.mode, values, steps, None)


def pick_run(runs: Sequence[Run], wanted: str | None) -> Run:
    """The run of an id, or of a part of an id that no other run has; the first run with evals where none is
    wanted.
    """
    if wanted is None:
        return next((run for run in runs if len(run)), runs[0])
    ids = [run.id for run in runs]
    matches = [run for run in runs if run.id == wanted] or [run for run in runs if wanted in run.id]
    if not matches:
        raise InputError(f"no run {wanted!r}; there are {suggestion(wanted, ids)}")
    if len(matches) > 1:
        raise InputError(
            f"{wanted!r} fits {len(matches)} runs: {_list([run.id for run in matches], 8)}; give more of"
            " the id"
        )
    return matches[0]


def _exactly(run: Run, name: str | None, steps: Floats) -> tuple[Floats, Bools]:
    """Values of a metric logged exactly at the given steps, and where it was."""
    if name is None:
        return np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool)
    curve = run.curve(name, "min")
    index = np.searchsorted(curve.steps, steps)
    hit = np.zeros(len(steps), dtype=bool)
    inside = index < len(curve)
    hit[inside] = curve.steps[index[inside]] == steps[inside]
    values = np.full(len(steps), np.nan)
    values[hit] = curve.values[index[hit]]
    return values, hit


def _judge(run: Run, curve: Curve, objective: Watch) -> _Judge:
    name = objective.names.get(run.id)
    if name is None:
        empty = np.full(len(curve), np.nan)
        return _Judge(empty, np.zeros(len(curve), dtype=bool), None, None, np.nan, None)
    values, present = _exactly(run, name, curve.steps)
    whole = run.curve(name, objective.mode)
    best = whole.best()
    finite = whole.values[np.isfinite(whole.values)]
    first = float(finite[0]) if len(finite) else np.nan
    if best is None:
        return _Judge(values, present, None, None, first, None)
    return _Judge(values, present, float(whole.values[best]), float(whole.steps[best]), first, whole.noise)


def _companion(run: Run, curve: Curve, name: str, price: float | None) -> Floats | None:
    """A companion column at the evals of a curve, or None where the log lacks it.

    The train loss and the learning rate are NaN before they were first logged; a metric or a signal wherever
    it was not.
    """
    if name.startswith("used:"):
        try:
            return compute(run, curve.steps, name.removeprefix("used:"), price).used()
        except InputError:
            return None
    if name == "epoch" and run.info.step_unit == "epoch":
        return curve.steps
    if name == "planned_steps":
        planned = run.info.planned_epochs if run.info.step_unit == "epoch" else run.info.planned_steps
        return np.full(len(curve), float(planned)) if planned else None
    if name.startswith("reference:"):
        base = run.info.reference.get(name.removeprefix("reference:"))
        return None if base is None else np.full(len(curve), float(base))
    if name.startswith("step_signals:"):
        return _settled(run, curve, name)
    if name in ("epoch", "tokens", "train_loss", "learning_rate"):
        column = run.at(name, curve.steps)
        known = column.present.all() and len(curve) if name in ("epoch", "tokens") else column.present.any()
        return column.values if known else None
    values, present = _exactly(run, run.find_metric(name), curve.steps)
    return values if present.any() else None


@contextlib.contextmanager
def _explained(rules: Iterable[Policy]) -> Iterator[None]:
    """Add to an error about a metric what its absence means for the tool whose rule insists on it."""
    try:
        yield
    except InputError as error:
        for rule in rules:
            if (text := rule.absence_note()) is not None:
                raise InputError(
                    f"{error} {text[0].upper()}{text[1:]}" if str(error).endswith("?") else f"{error}; {text}"
                ) from None
        raise


def _told(companion: str) -> str:
    """A companion's name for a reader."""
    kind, colon, name = companion.partition(":")
    if kind == "step_signals":
        return f"{FILE_NAME} beside its eval log, and planned steps"
    return companion if not colon else f"the base model's {name}" if kind == "reference" else name


def _settled(run: Run, curve: Curve, name: str) -> Floats | None:
    """The companion ``step_signals:COLUMN:ALPHA:SHARE`` (see the policy grades), or None where there are no
    readable step signals.
    """
    _, column, alpha, share = name.split(":")
    planned, source = run.info.planned_steps, run.info.step_signals
    if not planned or source is None:
        return None
    try:
        return settled(source.read(), column, curve.steps, int(float(planned) * float(alpha)), float(share))
    except (InputError, OSError, ValueError):
        return None


class Setup:
    """Runs made ready for policies: what they are watched and judged by, and each way of watching them as a
    batch.

    ``runs`` are those that have the monitor. What was left out, and what a user should know, is in
    ``warnings``. Arguments and errors as for `replay_runs`.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        rules: Sequence[Policy],
        *,
        monitor: str | None = None,
        mode: Mode | None = None,
        objective: str | None = None,
        objective_mode: Mode | None = None,
        unit: str = "steps",
        price: float | None = None,
        keep: Keep = "best",
    ) -> None:
        if keep not in _KEEPS:
            raise InputError(f"keep is {', '.join(_KEEPS[:-1])} or {_KEEPS[-1]}, not {keep!r}")
        if not runs:
            raise InputError("no runs to simulate")
        repeated = [name for name, count in Counter(run.id for run in runs).items() if count > 1]
        if repeated:
            raise InputError(f"run ids must be unique; {repeated[0]!r} occurs more than once")
        self.unit, self.price, self.keep = unit, price, keep
        self.warnings: list[str] = []
        self._watches: dict[tuple[str, Mode | None], Watch] = {}
        self._lanes: dict[tuple[str, ...], Lane] = {}
        usable = [run for run in runs if len(run) or monitor is not None]
        if len(usable) < len(runs):
            idle = [run.id for run in runs if not len(run)]
            self.warnings.append(
                f"{len(idle)} of {len(runs)} runs have no evals and are left out: {_list(idle)} (see replay"
                " inspect)"
            )
        if not usable:
            usable = list(runs)  # let watch() say what is there
        own = [rule.monitor for rule in rules if rule.monitor]
        asked = monitor or (own[0] if own and len(own) == len(rules) and len(set(own)) == 1 else None)
        given_mode = mode or next(
            (
                rule.mode
                for rule in rules
                if monitor is None and asked and rule.monitor == asked and rule.mode
            ),
            None,
        )
        with _explained(rules if monitor is None else ()):
            self.main, said = watch(usable, asked, given_mode)
        self.warnings += said
        self.runs = [run for run in usable if run.id in self.main.names]
        self.judged = self.main
        if objective is not None:
            same = canonical(objective) == canonical(self.main.metric)
            self.judged, said = watch(
                self.runs, objective, objective_mode or (mode if same else None), role="objective"
            )
            self.warnings += said
        self.base, _ = self.lane(Never())
        curves = zip(self.base.runs, self.base.curves, strict=True)
        self.censored = {run.id: why for run, curve in curves if (why := censoring(curve)) is not None}

    def _watched(self, name: str | None, mode: Mode | None) -> Watch:
        main = self.main
        if name is None or canonical(name) == canonical(main.metric):
            if mode is None or mode == main.mode:
                return main
            return Watch(main.metric, mode, main.metric_reason, "as given by the policy", main.names)
        key = (name, mode)
        if key not in self._watches:
            self._watches[key], said = watch(self.runs, name, mode)
            self.warnings.extend(text for text in said if text not in self.warnings)
        return self._watches[key]

    def lane(self, rule: Policy) -> tuple[Lane, Policy]:
        """The runs as the rule watches them, and the rule with the modes of its metrics filled in."""
        with _explained([rule]):
            found = {name: self._watched(name, mode) for name, mode in rule.monitors().items()}
        primary = found[rule.monitor]
        others = tuple(found.items()) if len({other.metric for other in found.values()}) > 1 else ()
        key = (
            primary.metric,
            primary.mode,
            *(f"{asked} {other.metric} {other.mode}" for asked, other in others),
        )
        if key not in self._lanes:
            self._lanes[key] = Lane(
                self.runs, _Setting(primary, others), self.judged, self.unit, self.price, self.keep
            )
        return self._lanes[key], rule.with_modes(
            {name: other.mode for name, other in found.items() if name is not None}
        )

    def admit(self, rule: Policy, lane: Lane, *, optional: bool = False) -> tuple[CurveBatch, list[int]]:
        """The batch of the lane's runs that have what the rule needs, and their places; what lacks is told.

        Raises InputError where no run has it, unless the rule is ``optional``: then there is no place.
        """
        batch, places, lacking = lane.batch(rule.needs)
        for column, without in lacking.items():
            who = f"{len(without)} runs lack: {_list(without)}" if places else "no run logs"
            told = f"{rule.spec()} needs {_told(column)}, which {who}{_INSTEAD.get(column, '')}"
            if not places and not optional:
                raise InputError(
                    f"{told}; runs can be counted in other units, see replay inspect"
                    if column.startswith("used:")
                    else told
                )
            self.tell(told + ("; it is left out" if not places else "; they are left out for it"))
        return batch, places

    def caution(self, rule: Policy, lane: Lane, place: int) -> None:
        """Tell what a user should know before trusting the rule on this metric."""
        text = rule.caution(lane.setting.primary.names[lane.runs[place].id], lane.setting.primary.mode)
        if text is not None:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)


def parsed(policies: Sequence[Policy | str]) -> list[Policy]:
    """Policies from specifications or policies; raises PolicyError, and InputError for what is neither."""
    rules = [parse_policy(policy) if isinstance(policy, str) else policy for policy in policies]
    for rule in rules:
        if not isinstance(rule, Policy):
            raise InputError(f"a policy is a specification or a Policy, not {rule!r}")
    return rules


def replay_runs(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    *,
    monitor: str | None = None,
    mode: Mode | None = None,
    objective: str | None = None,
    objective_mode: Mode | None = None,
    unit: str = "steps",
    price: float | None = None,
    keep: Keep = "best",
    baselines: bool = False,
    traces: bool = False,
) -> Simulation:
    """Simulate policies on runs: the engine behind `simulate` and the command line.

    ``baselines`` adds never and one-epoch before the policies and the oracle behind them. ``keep`` says which
    checkpoint a stop keeps: ``best`` (by the monitor, up to the stop), ``best-saved`` (among evals that wrote
    one), ``transformers`` (what its load_best_model_at_end loads) or ``last``. ``traces`` keeps how every
    policy saw every run. Errors and the rest as for `simulate`.
    """
    rules = parsed(policies)
    setup = Setup(
        runs,
        rules,
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
    )
    return replay_in(setup, rules, baselines=baselines, traces=traces)


def replay_in(
    setup: Setup, rules: Sequence[Policy], *, baselines: bool = False, traces: bool = False
) -> Simulation:
    """Simulate policies on runs that are set up; see `replay_runs`."""
    outcomes: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    base = setup.base
    names: list[str] = []
    kept_traces: dict[str, Traced] = {}

    def simulate_one(rule: Policy, *, optional: bool = False) -> None:
        spec = rule.spec()
        own, rule = setup.lane(rule)
        batch, places = setup.admit(rule, own, optional=optional)
        if not places:
            return
        names.append(spec)
        setup.caution(rule, own, places[0])
        trace = rule.trace(batch)
        refused = {own.runs[places[row]].id: why for row, why in rule.refusals(trace).items()}
        if refused:
            run, why = next(iter(refused.items()))
            more = f" (and {len(refused) - 1} more runs)" if len(refused) > 1 else ""
            told = f"{spec} cannot judge {own.setting.primary.names[run]} of {run}{more}: {why}"
            if len(refused) == len(places):
                raise InputError(told)
            setup.tell(f"{told}; left out for it")
        if traces:
            kept_traces[spec] = Traced(rule, trace, [own.runs[place].id for place in places])
        limit = rule.signal_threshold(batch.mode)
        stops = first_reached(np.where(batch.mask, trace.signal, -np.inf), limit)
        own_best = (
            rule.reference_after(batch, stops)
            if trace.reference is not None
            else np.full(len(places), np.nan)
        )
        seen = rule.evals_made(batch)
        for row, place in enumerate(places):
            if own.runs[place].id in refused:
                continue
            evals = len(own.curves[place])
            profile = own.profile(place, seen[row, :evals])
            stop = int(stops[row])
            reason = rule.reason(trace, row, stop) if stop >= 0 else "the end of the log"
            _append(outcomes, setup, own, place, profile, spec, stop, reason, float(own_best[row]))

    if baselines:
        for spec in BASELINES:
            simulate_one(parse_policy(spec), optional=True)
    shown = set(names)
    for rule in rules:
        if rule.spec() not in shown:
            shown.add(rule.spec())
            simulate_one(rule)
    if baselines:
        names.append(ORACLE)
        for place in range(len(base.runs)):
            _append_oracle(outcomes, setup, place)
    undefined = sum(
        1
        for value, policy in zip(outcomes["kept"], outcomes["policy"], strict=True)
        if value is None and policy != ORACLE
    )
    if undefined and setup.judged is not setup.main:
        setup.tell(
            f"{setup.judged.metric} was not logged at the kept eval of {undefined} outcomes: their"
            " best-metric loss is unknown and left out"
        )
    basis = {spent.basis for spent in base.spent}
    return Simulation(
        runs=base.runs,
        policies=names,
        monitor=setup.main,
        objective=setup.judged,
        unit=setup.unit,
        basis="; ".join(sorted(basis)),
        keep=setup.keep,
        outcomes=outcomes,
        profiles={run.id: base.whole(place) for place, run in enumerate(base.runs)},
        curves={run.id: curve for run, curve in zip(base.runs, base.curves, strict=True)},
        censored=setup.censored,
        scheduled=[run.id for run in base.runs if decays(run)],
        warnings=setup.warnings,
        traces=kept_traces,
    )


def decays(run: Run) -> bool:
    """Whether the learning rate falls from its peak towards the end, as under a cosine or linear schedule."""
    rates = run.at("learning_rate", run.steps)
    known = rates.values[rates.present & np.isfinite(rates.values)]
    return len(known) > 2 and bool(known[-1] < 0.9 * known.max())


def _value(array: Floats, index: int) -> float | None:
    value = float(array[index])
    return None if np.isnan(value) else value


def _append(
    outcomes: dict[str, list[Any]],
    setup: Setup,
    lane: Lane,
    place: int,
    profile: Profile,
    policy: str,
    stop: int,
    reason: str,
    own_best: float,
) -> None:
    run, curve, judge = lane.runs[place], lane.curves[place], lane.judges[place]
    kept, last = int(profile.kept[stop]), int(profile.last[stop])
    row = {
        "run": run.id,
        "policy": policy,
        "monitor": lane.setting.primary.names[run.id],
        "mode": curve.mode,
        "objective": setup.judged.names.get(run.id),
        "evals": len(curve),
        "stopped_eval": None if stop < 0 else stop + 1,
        "stopped_step": None if stop < 0 else whole(float(curve.steps[stop])),
        "reason": reason,
        "unit": setup.unit,
        "used": float(profile.used[stop]),
        "used_full": profile.full,
        "saved": float(profile.saved[stop]),
        "best": judge.best,
        "best_step": None if judge.best_step is None else whole(judge.best_step),
        "kept": None if kept < 0 else _value(judge.values, kept),
        "kept_step": None if kept < 0 else whole(float(curve.steps[kept])),
        "last": None if last < 0 else _value(judge.values, last),
        "regret": _value(profile.regret, stop),
        "relative_regret": _value(profile.relative, stop),
        "lost": _value(profile.lost, stop),
        "censored": stop < 0 and run.id in setup.censored,
        "eval_used": float(profile.eval_used[stop]),
        "noise": judge.noise,
        "own_best": None if np.isnan(own_best) else own_best,
    }
    for name, value in row.items():
        outcomes[name].append(value)


def _append_oracle(outcomes: dict[str, list[Any]], setup: Setup, place: int) -> None:
    """The upper bound: stop at the best eval of the objective, and keep it."""
    lane = setup.base
    curve, judge = lane.curves[place], lane.judges[place]
    made = np.ones(len(curve), dtype=bool)
    at = -1
    if judge.best_step is not None:
        hit = np.flatnonzero(curve.steps == judge.best_step)
        at = int(hit[0]) if len(hit) else -1
    kept = np.full(len(curve) + 1, at, dtype=np.int64)
    profile = _score(judge, lane.spent[place], made, kept, np.append(np.arange(len(curve)), len(curve) - 1))
    why = "the best eval of the log (needs hindsight)" if at >= 0 else "no best eval"
    _append(outcomes, setup, lane, place, profile, ORACLE, at, why, np.nan)


def whole(step: float) -> int | float:
    """A step as an integer where it is one."""
    return int(step) if step.is_integer() else step


def simulate(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    *,
    monitor: str | None = None,
    mode: Mode | None = None,
    objective: str | None = None,
    objective_mode: Mode | None = None,
    unit: str = "steps",
    price: float | None = None,
    keep: Keep = "best",
) -> pd.DataFrame:
    """Outcomes of policies on runs, as a DataFrame with one row a run and policy.

    ``monitor`` is the metric watched (default: the one that the logs state, else the validation loss),
    ``mode`` min or max (default: stated by the log, else by the name), ``objective`` the metric that outcomes
    are judged by (default: the monitor), ``unit`` one of `replay.data.compute.UNITS`, ``price`` that of one
    hour of a device for unit cost. ``saved`` and ``lost`` are fractions; ``stopped_eval`` (1-based) and
    ``stopped_step`` are null where the policy never fires; ``regret`` is in the metric's own unit.

    Raises InputError for a metric that no run has, a mode that cannot be known and a unit that a log lacks;
    PolicyError for a specification that cannot be read. What is left out is told by ReplayWarning.
    """
    simulation = replay_runs(
        runs,
        policies,
        monitor=monitor,
        mode=mode,
        objective=objective,
        objective_mode=objective_mode,
        unit=unit,
        price=price,
        keep=keep,
    )
    simulation.tell()
    return simulation.frame()
