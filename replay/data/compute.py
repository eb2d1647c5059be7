"""Compute that a run has used by an eval, in each unit, with the evals counted separately."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from replay.data.run import Run
from replay.data.types import Bools, Floats
from replay.errors import InputError, list_names, suggestion

__all__ = ["UNITS", "Compute", "compute", "parse_amount", "units_of"]


@dataclass(frozen=True, eq=False)
class Compute:
    """Compute of one run at given evals, in ``unit``.

    ``train`` is the train compute up to each eval, ``evals`` the compute of that one eval (0 where the unit
    does not measure evals), and ``full`` all that the run used. ``basis`` says in words where the figures
    come from, and ``counts_evals`` whether evals are part of them.
    """

    unit: str
    train: Floats
    evals: Floats
    full: float
    basis: str
    counts_evals: bool

    def used(self, made: Bools | None = None) -> Floats:
        """Used by each eval if the evals up to it were made: ``made`` masks them (default: all)."""
        spent = self.evals if made is None else np.where(made, self.evals, 0.0)
        used: Floats = self.train + np.cumsum(spent)
        return used


#: A number, perhaps with separators of thousands and an exponent, and a unit.
_AMOUNT = re.compile(
    r"([-+]?[0-9][0-9_,]*(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+|[-+]?(?:inf|nan))(.*)"
)


class _Lacking(Exception):
    pass


def _column(run: Run, name: str, steps: Floats) -> Floats:
    column = run.at(name, steps)
    if not column.present.all():
        raise _Lacking
    return column.values


def _steps(run: Run, steps: Floats, price: float | None) -> Compute:
    unit = "epochs" if run.info.step_unit == "epoch" else "steps"
    return Compute(
        "steps",
        steps.astype(np.float64),
        np.zeros(len(steps)),
        run.trained_steps,
        f"{unit} of the log",
        False,
    )


def _epochs(run: Run, steps: Floats, price: float | None) -> Compute:
    if run.info.step_unit == "epoch":
        return Compute(
            "epochs",
            steps.astype(np.float64),
            np.zeros(len(steps)),
            run.trained_steps,
            "epochs of the log",
            False,
        )
    epochs = _column(run, "epoch", steps)
    full = _extended(run, steps, epochs)
    return Compute("epochs", epochs, np.zeros(len(epochs)), full, "epochs of the log", False)


def _extended(run: Run, steps: Floats, used: Floats) -> float:
    """What the whole training used, by what it had used at the last eval; an eval at step 0 tells nothing."""
    if not len(steps) or not steps[-1] > 0:
        raise _Lacking
    return float(used[-1]) * run.trained_steps / float(steps[-1])


def _counted(unit: str) -> Callable[[Run, Floats, float | None], Compute]:
    """Tokens or FLOPs: the log's own cumulative counter, else transformers' total spread evenly over the
    steps.
    """

    def measure(run: Run, steps: Floats, price: float | None) -> Compute:
        per_eval = run.at(f"eval_{unit}", steps)
        evals = np.where(per_eval.present, per_eval.values, 0.0)
        counts = bool(per_eval.present.any())
        total = run.info.total_flos if unit == "flops" else None
        if unit in run.columns or not total or not run.trained_steps:
            train = _column(run, unit, steps)
            if not len(train) or not train[-1] > 0:
                raise _Lacking
            end = getattr(run.info, f"trained_{unit}")
            rest = float(end) if end else _extended(run, steps, train)
            return Compute(
                unit,
                train,
                evals,
                max(rest, float(train[-1])) + float(evals.sum()),
                f"{unit} counted by the log",
                counts,
            )
        train = float(total) * steps / run.trained_steps
        return Compute(
            unit,
            train,
            evals,
            float(total) + float(evals.sum()),
            "total_flos, spread evenly over the steps",
            counts,
        )

    return measure


def _seconds(run: Run, steps: Floats, price: float | None) -> Compute:
    if not len(steps):
        raise _Lacking
    eval_column = run.at("eval_seconds", steps)
    evals = np.where(eval_column.present, eval_column.values, 0.0)
    counts = bool(eval_column.present.any())
    if "train_seconds" in run.columns:
        train = _column(run, "train_seconds", steps)
        end = float(run.info.trained_seconds or _extended(run, steps, train))
        return Compute(
            "seconds",
            train,
            evals,
            max(end, float(train[-1])) + float(evals.sum()),
            "train and eval time of the log",
            counts,
        )
    runtime = run.info.train_runtime
    if runtime and run.trained_steps > 0:
        whole_evals = (
            float(np.nansum(run.columns["eval_seconds"].values)) if "eval_seconds" in run.columns else 0.0
        )
        rate = (float(runtime) - whole_evals) / run.trained_steps
        if rate > 0:
            return Compute(
                "seconds",
                rate * steps,
                evals,
                rate * run.trained_steps + float(evals.sum()),
                "train_runtime, spread evenly over the steps",
                counts,
            )
    wall = _column(run, "wall_seconds", steps)
    if not wall[-1] > 0:
        raise _Lacking
    train = np.maximum(wall - np.cumsum(evals), 0.0)
    full = float(wall[-1]) + _extended(run, steps, train) - float(train[-1])
    return Compute("seconds", train, evals, full, "time stamps of the log", counts)


def _machine_hours(run: Run, steps: Floats, price: float | None) -> Compute:
    seconds = _seconds(run, steps, price)
    devices = float(run.info.devices or 1)
    scale = devices / 3600
    basis = f"{seconds.basis}; {devices:g} device{'s' if devices != 1 else ''}"
    return Compute(
        "hours",
        seconds.train * scale,
        seconds.evals * scale,
        seconds.full * scale,
        basis,
        seconds.counts_evals,
    )


def _hours(run: Run, steps: Floats, price: float | None) -> Compute:
    hardware = run.info.hardware
    if hardware is not None and not hardware.get("gpus") and not run.info.devices:
        raise _Lacking  # the log says what it ran on, and that was no GPU
    return replace(_machine_hours(run, steps, price), unit="gpu_hours")


def _cost(run: Run, steps: Floats, price: float | None) -> Compute:
    if price is None:
        raise InputError(
            "unit cost needs the price of one hour of a device: give --price (in Python, price=)",
            key=("unit",),
        )
    if not (np.isfinite(price) and price > 0):
        raise InputError(f"the price of one hour must be a positive number, not {price!r}", key=("price",))
    hours = _machine_hours(run, steps, price)
    return Compute(
        "cost",
        hours.train * price,
        hours.evals * price,
        hours.full * price,
        f"{hours.basis}; {price:g} an hour",
        hours.counts_evals,
    )


#: Units by name.
UNITS: dict[str, Callable[[Run, Floats, float | None], Compute]] = {
    "steps": _steps,
    "epochs": _epochs,
    "tokens": _counted("tokens"),
    "flops": _counted("flops"),
    "seconds": _seconds,
    "gpu_hours": _hours,
    "cost": _cost,
}


def units_of(run: Run) -> list[str]:
    """The units that this run's log can be counted in."""
    units = []
    for unit, measure in UNITS.items():
        try:
            measure(run, run.steps, 1.0)
        except _Lacking:
            continue
        units.append(unit)
    return units


def compute(run: Run, steps: Floats, unit: str = "steps", price: float | None = None) -> Compute:
    """Compute that a run has used by evals at the given steps.

    Raises InputError for an unknown unit, and for one that the log lacks, naming the units that it has.
    """
    if unit not in UNITS:
        raise InputError(f"no unit {unit!r}; there are {suggestion(unit, UNITS)}", key=("unit",))
    try:
        return UNITS[unit](run, steps, price)
    except _Lacking:
        raise InputError(
            f"the log of run {run.id} does not record {unit}; its compute can be counted in"
            f" {', '.join(units_of(run))}",
            key=("unit",),
        ) from None


def parse_amount(text: str, unit: str | None = None) -> tuple[float, str]:
    """The number and the unit of an amount of compute, such as ``1000gpu_hours`` or ``5e6 tokens``.

    ``unit`` is that of a bare number. Raises InputError, which says what would have worked.

    Examples
    --------
    >>> parse_amount("1000gpu_hours")
    (1000.0, 'gpu_hours')
    >>> parse_amount("2e4", "steps")
    (20000.0, 'steps')
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"an amount of compute is a number and a unit, as in 1000gpu_hours or 20000steps, not {text!r}"
        )
    number, name = float(match[1].replace(",", "").replace("_", "")), match[2].strip()
    if not (np.isfinite(number) and number > 0):
        raise InputError(f"an amount of compute must be a number above 0, not {match[1]!r}")
    if not name:
        if unit is None:
            raise InputError(
                f"{text!r} has no unit; write for instance {text.strip()}steps ({list_names(UNITS, 7)})"
            )
        return number, unit
    known = re.sub(r"[^a-z]+", "_", name.lower())
    known = known if known in UNITS or f"{known}s" not in UNITS else f"{known}s"
    if known not in UNITS:
        raise InputError(f"no unit {name!r}; there are {suggestion(known, UNITS)}")
    return number, known
