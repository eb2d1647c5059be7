"""Terminal output beside the files of the run that it shows.

A tracker keeps what the terminal showed in a file beside the run's own. Such a text is about that run,
however its lines round the values. Any other text is told by its values; where it prints epochs only, they
are placed at the steps at which the run reached them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from replay.data.finding import Kind
from replay.data.run import Run
from replay.data.types import Bools, Floats
from replay.readers.agreement import LoggedCurve, equal_values, printed_digits

__all__ = ["is_console_of", "kept_whole", "placed_by_epoch"]

#: By format, where the terminal output lies, as seen from the folder of the run's file.
_CONSOLES = {"wandb": "files/output.log", "sacred": "cout.txt", "swanlab": "console/*.log"}


def is_console_of(text: Run, run: Run) -> bool:
    """Whether a text is what a tracker kept of the terminal of a run."""
    place = _CONSOLES.get(str(run.info.format))
    if place is None or len(text.info.sources) != 1:
        return False
    path, depth = Path(text.info.sources[0]), place.count("/") + 1
    homes = {Path(source).parent for source in run.info.sources}
    return len(path.parents) >= depth and path.parents[depth - 1] in homes and path.match(place)


def kept_whole(
    runs: Sequence[Run], curves: Sequence[Sequence[LoggedCurve]], inside: Sequence[set[int]]
) -> list[tuple[int, int]]:
    """Pairs of a text's training and the history of it that is dropped, by their index in ``runs``.

    A text that shows several trainings one after the other, as after XGBoost's ``xgb_model=``, is kept whole
    where the history beside it holds only some of them: all are then read from one log. Where its rounding
    moves a record, in either direction, the history is kept.
    """
    shown: dict[tuple[str, ...], list[int]] = {}
    for number, run in enumerate(runs):
        if run.info.format == "text" and any(one.kind is Kind.RESTART for one in run.info.findings):
            shown.setdefault(tuple(run.info.sources), []).append(number)
    pairs = []
    for trainings in shown.values():
        if all(inside[number] - set(trainings) for number in trainings):
            continue
        pairs += [
            (number, other)
            for number in trainings
            for other in inside[number]
            if runs[other].info.format == "json-history"
            and number in inside[other]
            and _same_records(curves[number], curves[other])
        ]
    return pairs


def _same_records(printed: Sequence[LoggedCurve], logged: Sequence[LoggedCurve]) -> bool:
    """Whether each printed curve is one of the others, rounded, with its highs and lows at the same evals."""
    for curve in printed:
        whole = [
            other
            for other in logged
            if len(other.step) == len(curve.step)
            and equal_values(curve, other, np.arange(len(curve.step))).all()
        ]
        if not any(
            np.array_equal(_records(curve.value), _records(other.value))
            and np.array_equal(_records(-curve.value), _records(-other.value))
            for other in whole
        ):
            return False
    return bool(printed)


def _records(values: Floats) -> Bools:
    """Which values are higher than all before them."""
    best = np.fmax.accumulate(values)
    return np.append(True, values[1:] > best[:-1])


def placed_by_epoch(curves: Sequence[LoggedCurve], text: Run, run: Run) -> Sequence[LoggedCurve] | None:
    """The curves of a text, with the steps at which the run reached the epochs that the text prints; None
    where an epoch between others is none of the run's evals.
    """
    column = run.columns.get("epoch")
    if text.info.step_unit != "epoch" or run.info.step_unit != "step" or column is None:
        return curves
    epochs, steps = column.values[column.present], run.steps[column.present]
    if len(epochs) < 2 or not (np.diff(epochs) > 0).all():
        return curves
    placed = []
    for curve in curves:
        later = np.clip(np.searchsorted(epochs, curve.step), 1, len(epochs) - 1)
        nearest = later - (curve.step - epochs[later - 1] < epochs[later] - curve.step)
        reach = np.maximum(0.5 * 10.0 ** -printed_digits(curve.step)[0], 5e-4 * curve.step) * 1.001
        close = np.abs(epochs[nearest] - curve.step) <= reach
        between = (curve.step > epochs[0]) & (curve.step < epochs[-1])
        if not close.any() or (between & ~close).any() or not (np.diff(nearest[close]) > 0).all():
            return None
        placed.append(replace(curve, step=steps[nearest[close]], value=curve.value[close]))
    return placed
