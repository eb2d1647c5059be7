"""What the logs cannot tell: findings on learning rates, resumes and evals that bound what the outcomes mean.

Each finding is given only where a run itself shows its reason: in its logged learning rate, its
hyperparameters, its segments and notes, or the number of its evals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.curve import Curve
from replay.data.finding import Finding, Kind, Severity
from replay.data.gaps import find_incomplete
from replay.data.names import canonical
from replay.data.run import Run
from replay.data.types import Floats, Ints
from replay.policies import Policy
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless
from replay.policies.modify import Modified
from replay.policies.param import parameters
from replay.policies.rules.lora import Adapter

__all__ = ["decays", "find_validity", "first_stop", "is_resumed", "lowers_on_plateau"]

#: A drop is a fall to this share or less; the steps of a smooth decay are smaller, but for its last ones.
_DROP = 0.9
#: Drops by one factor agree up to this much.
_ALIKE = 0.01
#: A gain, as a share of the best before, that no setting of reduce-on-plateau is likely to overlook.
_GAIN = 1e-3
#: Schedulers that lower the rate in steps which were planned beforehand.
_PLANNED = ("step", "exponential", "piecewise")


def find_validity(
    runs: Sequence[Run], curves: Mapping[str, Curve], policies: Sequence[Policy]
) -> list[Finding]:
    """What bounds the meaning of the outcomes of the policies on the runs; often nothing.

    ``curves`` maps a run's id to the curve that the policies monitor. Each finding names the runs it is
    about.
    """
    plateau = {run.id: why for run in runs if (why := lowers_on_plateau(run, curves.get(run.id))) is not None}
    falling = [run for run in runs if run.id not in plateau and decays(run)]
    interrupted = [run for run in runs if is_resumed(run)]
    total = len(runs)
    findings = []
    if falling:
        ids = tuple(run.id for run in falling)
        findings.append(Finding(Kind.FALLING_RATE, Severity.NOTE, ids, facts={"total": total}))
    if plateau:
        halves = any(_halves(run) for run in runs if run.id in plateau)
        facts: dict[str, Any] = {
            "total": total,
            "named": list(plateau.values()).count("name"),
            "could_reset": halves and not (policies and all(_resets(policy) for policy in policies)),
        }
        findings.append(Finding(Kind.PLATEAU_RATE, Severity.NOTE, tuple(plateau), facts=facts))
    if interrupted:
        facts = {
            "total": total,
            "steps": sum(_wasted_steps(run) for run in interrupted),
            "again": sum(1 for run in interrupted if not _wasted_steps(run) and _remade_evals(run)),
        }
        ids = tuple(run.id for run in interrupted)
        findings.append(Finding(Kind.RESUMED_RUNS, Severity.NOTE, ids, facts=facts))
    few = _few_evals(runs, curves, policies)
    incomplete = find_incomplete(runs, {name: curve.steps for name, curve in curves.items()})
    return [*incomplete, *findings, *([few] if few is not None else [])]


def _resets(policy: Policy) -> bool:
    """Whether a policy counts anew after drops of the learning rate, in each of its parts."""
    if isinstance(policy, Modified):
        return policy.reset_on == "lr_drop" or _resets(policy.policy)
    parts: tuple[Policy, ...] = getattr(policy, "parts", ())
    return any(_resets(part) for part in parts)


def decays(run: Run) -> bool:
    """Whether the learning rate falls from its peak towards the end, as under a cosine or linear schedule."""
    rates = run.at("learning_rate", run.steps)
    known = rates.values[rates.present & np.isfinite(rates.values)]
    return len(known) > 2 and bool(known[-1] < 0.9 * known.max())


def _few_evals(
    runs: Sequence[Run], curves: Mapping[str, Curve], policies: Sequence[Policy]
) -> Finding | None:
    """The finding on policies whose wait is too long for the evals there are: about one of them in full."""
    short: list[tuple[int, int, Policy]] = []
    for policy in policies:
        earliest = first_stop(policy)
        if earliest is None:
            continue
        values = [seen for run in runs if (seen := _monitored_values(run, curves, policy)) is not None]
        held = sum(1 for some in values if 0 < len(some) <= earliest and bool(np.isfinite(some).all()))
        if held:
            short.append((held, earliest, policy))
    if not short:
        return None
    most = max(held for held, *_ in short)
    wanted = min(most, len(runs) // 2 + 1)
    held, earliest, policy = min((one for one in short if one[0] >= wanted), key=lambda one: one[1])
    others = len({other.spec() for *_, other in short} - {policy.spec()})
    facts = {"count": held, "total": len(runs), "earliest": earliest, "others": others}
    return Finding(Kind.FEW_EVALS, Severity.NOTE, policy=policy.spec(), facts=facts)


def _monitored_values(run: Run, curves: Mapping[str, Curve], policy: Policy) -> Floats | None:
    """The values that a policy monitors in a run."""
    if policy.monitor is None:
        return curves[run.id].values if run.id in curves else None
    name = run.find_metric(policy.monitor)
    return None if name is None else run.curve(name, "min").values


def first_stop(policy: Policy) -> int | None:
    """The first eval (1, 2, …) at which a policy's wait can be over, of a run whose values are all finite.

    A wait of k evals is over at eval k + 1 at the earliest, since the first eval is what the others are
    compared with. None where the policy has no wait, counts it in another unit, watches several metrics, or
    can stop by something else before.

    Examples
    --------
    >>> from replay.policies.spec import parse_policy
    >>> specs = ("patience=3", "patience=3,every=2", "keras:patience=5 | patience=3", "target=0.5")
    >>> [first_stop(parse_policy(spec)) for spec in specs]
    [4, 8, 4, None]
    """
    if policy.off_reason is not None or len(policy.monitors()) > 1:
        return None
    if isinstance(policy, Modified):
        inside = first_stop(policy.policy)
        if inside is None:
            return None
        begun = (
            0
            if isinstance(policy.start, str) or policy.unit != "evals"
            else max(math.ceil(policy.start) - 1, 0)
        )
        return policy.every * (inside + begun)
    if isinstance(policy, Unless):
        return first_stop(policy.parts[0])
    if isinstance(policy, AnyOf | AllOf | AllOnce):
        known = [earliest for part in policy.parts if (earliest := first_stop(part)) is not None]
        if isinstance(policy, AnyOf):
            return min(known) if len(known) == len(policy.parts) else None
        return max(known, default=None)
    wait = next(
        (
            item.name
            for item in parameters(type(policy))
            if "patience" in (item.name, *item.metadata["aliases"])
        ),
        None,
    )
    if wait is None or getattr(policy, "unit", "evals") != "evals":
        return None
    if any(
        getattr(policy, name, None) is not None for name in ("stopping_threshold", "divergence_threshold")
    ):
        return None
    counts_first = isinstance(policy, Adapter) or getattr(policy, "baseline", None) is not None
    return max(int(getattr(policy, wait)) + (not counts_first), 1)


def is_resumed(run: Run) -> bool:
    """Whether a run shows that it was interrupted and resumed: in its segments, or by steps trained twice."""
    segment = run.columns.get("segment")
    if segment is not None and len(np.unique(segment.values[segment.present])) > 1:
        return True
    return _wasted_steps(run) > 0 or bool(run.info.resumes)


def _wasted_steps(run: Run) -> float:
    """Steps that are on record as trained twice."""
    steps = float(run.info.wasted.get("steps") or 0.0)
    return steps if 0 < steps < math.inf else 0.0


def _remade_evals(run: Run) -> bool:
    """Whether evals from before a resume were made again after it."""
    return any(finding.kind is Kind.RESUMED and finding["replaced"] > 0 for finding in run.info.findings)


def lowers_on_plateau(run: Run, curve: Curve | None = None) -> str | None:
    """How a run shows that its learning rate was lowered when the metric stalled: by its ``name`` or its
    ``rate``; None: it does not.

    By name: a hyperparameter that names a scheduler says so, and the logged rate, if there is one, falls. By
    the rate: after its peak it is constant but for drops, all by one factor (the last may be held up by a
    least rate), each to nine tenths or less, after three evals at least of one rate and two between drops.
    Several drops at equal distances are a plan, as is any scheduler named for its steps; a drop where the run
    was resumed is a change by hand; and one right after a clear gain of the ``curve`` does not answer it.
    """
    rate, where = _rate(run)
    named = list(_schedulers(run.info.hyperparameters))
    if any("onplateau" in name or name == "plateau" for name in named):
        return "name" if len(rate) < 2 or bool(rate[-1] < rate.max()) else None
    if any(word in name for name in named for word in _PLANNED):
        return None
    return "rate" if len(rate) > 4 and _answers(rate, where, run, curve) else None


def _schedulers(settings: Any, inside: bool = False, deep: int = 4) -> Iterator[str]:
    """What the entries that name a scheduler say, letters only: ``ReduceLROnPlateau`` and
    reduce_lr_on_plateau are the same.
    """
    if not isinstance(settings, Mapping) or not deep:  # logs are untrusted
        return
    for key, value in settings.items():
        words = canonical(str(key)).split("_")
        if words[-1] in (
            "interval",
            "unit",
            "frequency",
        ):  # how often it acts, such as Lightning's interval="step"
            continue
        names = (
            inside
            or any("sched" in word for word in words)
            or bool({"lr", "plateau", "learning"} & set(words))
        )
        if isinstance(value, str) and names:
            yield re.sub(r"[^a-z]", "", value.lower())
        else:
            yield from _schedulers(value, names, deep - 1)


def _rate(run: Run) -> tuple[Floats, Floats]:
    """The learning rate at each eval where it is known, and the steps of these."""
    rate = run.at("learning_rate", run.steps)
    known = rate.present & np.isfinite(rate.values)
    return rate.values[known], run.steps[known]


def _drops(rate: Floats) -> tuple[Floats, Ints]:
    """What each rate is of the one before, and the places of the changes, from the peak on."""
    peak = int(np.argmax(rate))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = rate[1:] / rate[:-1]
    changed = np.flatnonzero(np.abs(share - 1) > 1e-6)
    return share, changed[changed >= peak]


def _halves(run: Run) -> bool:
    """Whether the learning rate falls to half or less from an eval to the next, which is what
    reset_on=lr_drop looks for.
    """
    rate, _ = _rate(run)
    return len(rate) > 1 and bool(((rate[1:] <= rate[:-1] / 2) & (rate[:-1] > 0)).any())


def _answers(rate: Floats, where: Floats, run: Run, curve: Curve | None) -> bool:
    """Whether the changes of the rate look like those of reduce-on-plateau; see `lowers_on_plateau`."""
    share, places = _drops(rate)
    if not len(places) or not rate[-1] > 0:
        return False
    falls = share[places]
    free = falls[:-1] if len(falls) > 1 else falls
    if (
        not (free <= _DROP).all()
        or np.ptp(free) > _ALIKE * free[0]
        or not falls[0] * (1 - _ALIKE) <= falls[-1] < 1
    ):
        return False
    stays = np.diff(np.append(int(np.argmax(rate)) - 1, places))
    if stays[0] < 3 or stays.min() < 2 or (len(stays) > 1 and np.ptp(stays) <= 1):
        return False
    segment = run.at("segment", where)
    if bool((segment.present[places + 1] & (segment.values[places + 1] != segment.values[places])).any()):
        return False
    return curve is None or not any(_gains(curve, float(where[place])) for place in places)


def _gains(curve: Curve, step: float) -> bool:
    """Whether the last eval up to a step was clearly better than all before it."""
    values = curve.values if curve.mode == "min" else -curve.values
    last = int(np.searchsorted(curve.steps, step, side="right")) - 1
    before = values[: max(last, 0)]
    before = before[np.isfinite(before)]
    return bool(len(before)) and bool(values[last] < before.min() - _GAIN * abs(before.min()))
