"""Which metric is monitored or judged by, its mode, and why: a metric's name resolved against the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from replay.data.finding import Finding, Kind
from replay.data.names import TEST_WORDS, canonical, infer_mode, is_loss
from replay.data.run import Run
from replay.data.types import Mode
from replay.errors import InputError, did_you_mean, list_names
from replay.policies import Policy

__all__ = ["Metric", "ModeSource", "NameSource", "resolve_metric"]


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
    if name is None:
        name, names, source = _default_metric(runs)
    else:
        source = NameSource.GIVEN
        names = {run.id: spelling for run in runs if (spelling := run.find_metric(name)) is not None}
        if not names:
            raise InputError(_absence(runs, name, policies))
    lacking = tuple(run.id for run in runs if run.id not in names)
    if lacking and monitored:  # of an objective, the study says which runs cannot be judged
        facts = {"metric": name, "total": len(runs)}
        findings.append(Finding(Kind.NO_METRIC, runs=lacking, facts=facts))
    resolved, mode_source, word = _resolve_mode(runs, names, name, mode, findings)
    if monitored and TEST_WORDS & set(canonical(name).split("_")):
        findings.append(Finding(Kind.TEST_SET_MONITOR, facts={"metric": name}))
    train_only = tuple(run.id for run in runs if run.id in names and names[run.id] not in run.columns)
    if train_only:
        findings.append(Finding(Kind.TRAIN_ONLY_MONITOR, runs=train_only, facts={"metric": name}))
    return Metric(name, resolved, source, mode_source, names, len(runs), word), findings


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
    hint = did_you_mean(name, have, otherwise=same_end)
    text = f"no metric {name!r} in {where}; {who} {list_names(have, 12)}{hint}"
    if note is None:
        return text
    return f"{text} {note[0].upper()}{note[1:]}" if hint else f"{text}; {note}"


def _validation_loss(run: Run) -> str | None:
    losses = [name for name in run.metrics if is_loss(name)]
    validation = [name for name in losses if not TEST_WORDS & set(canonical(name).split("_"))]
    return min(validation or losses, key=len, default=None)


def _default_metric(runs: Sequence[Run]) -> tuple[str, dict[str, str], NameSource]:
    """The metric to monitor where none is given, each run's spelling of it, and why."""
    stated = {
        run.id: run.info.monitor for run in runs if run.info.monitor and run.find_metric(run.info.monitor)
    }
    if len(stated) == len(runs) and _one_name(stated.values()):
        names = {run.id: run.find_metric(stated[run.id]) or "" for run in runs}
        return next(iter(names.values())), names, NameSource.STATED
    losses = {run.id: loss for run in runs if (loss := _validation_loss(run)) is not None}
    if losses and len(losses) * 2 >= len(runs):
        common = Counter(losses.values()).most_common(1)[0][0]
        on_test = TEST_WORDS & set(canonical(common).split("_"))
        return common, losses, NameSource.ONLY_LOSS if on_test else NameSource.VALIDATION_LOSS
    sole = {run.id: run.metrics[0] for run in runs if len(run.metrics) == 1}
    if len(sole) == len(runs) and _one_name(sole.values()):
        return next(iter(sole.values())), sole, NameSource.ONLY_METRIC
    counts = Counter(canonical(name) for run in runs for name in run.metrics)
    if not counts:
        series = sorted({name for run in runs for name in run.train})
        raise InputError(
            "no run has a held-out metric, so there is nothing that a stop rule could watch"
            + (
                f"; to look at a series of training itself give --monitor ({list_names(series, 8)})"
                if series
                else ""
            )
        )
    shown = ", ".join(f"{name} ({count} of {len(runs)} runs)" for name, count in counts.most_common(8))
    raise InputError(f"which metric should be watched? Give --monitor; the logs have {shown}")


def _one_name(names: Iterable[str]) -> bool:
    return len({canonical(name) for name in names}) == 1


def _resolve_mode(
    runs: Sequence[Run], names: Mapping[str, str], metric: str, mode: Mode | None, findings: list[Finding]
) -> tuple[Mode, ModeSource, str | None]:
    stated: dict[Mode, str] = {}  # the first run that states each mode
    for run in runs:
        if run.id in names and (mode_stated := run.info.modes.get(names[run.id])) is not None:
            stated.setdefault(mode_stated, run.id)
    implied = infer_mode(metric)
    if mode is not None:
        if mode not in ("min", "max"):
            raise InputError(f"mode is min or max, not {mode!r}")
        known = next(iter(stated)) if len(stated) == 1 else implied.mode if implied else None
        if known is not None and known != mode:
            facts = {"metric": metric, "mode": mode, "known": known, "stated": bool(stated)}
            findings.append(Finding(Kind.MODE_CONTRADICTED, facts=facts))
        return mode, ModeSource.GIVEN, None
    if len(stated) == 1:
        return next(iter(stated)), ModeSource.STATED, None
    if len(stated) == 2:
        raise InputError(
            f"the logs disagree on {metric}: {stated['min']} says lower is better, {stated['max']} higher."
            " Give --mode"
        )
    if implied is None:
        raise InputError(
            f"is {metric} better when lower or when higher? Neither its name nor the logs say; give --mode"
            " min or --mode max"
        )
    return implied.mode, ModeSource.NAME, implied.word
