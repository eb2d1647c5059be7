"""JSON files that hold whole curves: one list of values per metric.

Written by scripts that save Keras' ``history.history`` or lists of their own, and by those that save what
XGBoost, LightGBM and CatBoost record (``evals_result``): ``{"valid": {"auc": [0.7, 0.8]}}``. The list
``step`` or ``epoch`` numbers the values where there is one; otherwise they count from the first epoch on, or
as the boosting library numbers its rounds. Tables in other shapes are made such lists first
(`replay.readers.json_tables`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import Run
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based, measures_of
from replay.readers.format import GZIP, Format, Loaded, UnusableLog
from replay.readers.json_tables import columns_of, join_sets
from replay.readers.partial_json import parse_partly
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import Points, number, open_text
from replay.readers.series_names import held_out_of, is_bookkeeping, is_metric, split_of, step_name, words

__all__ = ["FORMAT"]

#: What LightGBM calls its sets and metrics and no other library does; it numbers its rounds from 1.
_LIGHTGBM = {"training", "binary_logloss", "multi_logloss", "binary_error", "multi_error", "l1", "l2"}
#: Names of the lists in an object that is one curve with its steps.
_AXES = {"steps", "step", "values", "value", "timestamps", "x", "y"}

#: Where transformers' state and the results of PEFT's benchmark hold their rows, which have other readers.
_OTHERS = {"log_history", "train_info"}

_List = list[float | None]


class _Curves(NamedTuple):
    """Lists of values by name, and the names that are measured on held-out data; of rounds of boosting, the
    number of the first one.
    """

    lists: dict[str, _List]
    held_out: set[str]
    first_round: int | None = None


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith((b"{", b"[")) or _are_lines(text):
        return False
    parsed = parse_partly(text.decode("utf-8", "replace"))
    if isinstance(parsed.value, list) and not _are_trainings(parsed.value):
        return False
    if parsed.broken is not None and not parsed.open:
        return False  # more follows the first object: JSON lines
    return bool(_find(parsed.value))


def _are_lines(text: bytes) -> bool:
    """Whether the first line is an object, and something follows it."""
    first, _, rest = text.partition(b"\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _are_trainings(items: Sequence[Any]) -> bool:
    """Whether a list holds an object with lists per training, as for the folds of a cross-validation."""
    return bool(items) and all(
        not _is_row(item) and any(isinstance(value, list) or _has_lists(value) for value in item.values())
        if isinstance(item, dict)
        else columns_of(item) is not None
        for item in items
    )


def _is_row(item: Mapping[str, Any]) -> bool:
    """Whether an object has one step, so that a list of its like is one training."""
    step = step_name(list(item))
    return step is not None and number(item[step[0]]) is not None


def _has_lists(item: Any) -> bool:
    return isinstance(item, dict) and any(isinstance(value, list) for value in item.values())


def _find(document: Any, depth: int = 0) -> dict[str, _Curves]:
    """The curves of each training in a document: one without a name, or those of the objects in it
    (``{"history": {...}, "params": {...}}``), by name where there are several.
    """
    if isinstance(document, list):
        rows = columns_of(document)
        if rows is None and _are_trainings(document):
            rows = {str(number): item for number, item in enumerate(document, 1)}
        document = rows
    if not isinstance(document, dict):
        return {}
    document = join_sets(document) or columns_of(document) or document
    lists = {str(name): values for name, item in document.items() if (values := _numbers(item)) is not None}
    document = {name: columns_of(item) or item for name, item in document.items() if name not in _OTHERS}
    held_out = held_out_of(lists)
    if held_out or any(words(name)[-1] in ("loss", "losses") for name in lists):
        return {"": _Curves(lists, held_out, _first_round(lists))}
    boosted = _boosted(document)
    if boosted is not None:
        return {"": boosted}
    inner = {str(name): _find(item, depth + 1) for name, item in document.items()} if depth < 2 else {}
    several = {
        f"{name}/{more}".rstrip("/"): curves
        for name, parts in inner.items()
        for more, curves in parts.items()
    }
    return several if len(several) > 1 else dict.fromkeys([""], *several.values()) if several else {}


def _first_round(names: Collection[str]) -> int | None:
    """The number of the first round where the lists are those of a cross-validation, by the names of their
    spreads: LightGBM counts from 1, XGBoost from 0. None where they are not, or where a list has the steps.
    """
    spreads = {name.rpartition("-")[2] for name in names if name.endswith(("-stdv", "-std"))}
    means = {name.rpartition("-")[0] for name in names if name.endswith("-mean")}
    of_spreads = {name.rpartition("-")[0] for name in names if name.endswith(("-stdv", "-std"))}
    if len(spreads) != 1 or means != of_spreads or step_name(list(names)) is not None:
        return None
    return 1 if spreads == {"stdv"} else 0


def _boosted(document: Mapping[str, Any]) -> _Curves | None:
    """The curves of sets of data, each with its metrics; None where the object is not that."""
    lists: dict[str, _List] = {}
    held_out = set()
    names = set()
    for data, metrics in document.items():
        if not isinstance(metrics, dict) or not metrics or _AXES & metrics.keys() or held_out_of(metrics):
            return None
        for metric, item in metrics.items():
            values = _numbers(item)
            if values is None:
                return None
            name = f"{data}/{metric}"
            lists[name] = values
            names |= {str(data), str(metric)}
            if not any(split_of(word) == "train" for word in words(str(data))):
                held_out.add(name)  # all but the training set are held out, whatever they are called
    if not any(is_metric(name) for name in lists):
        return None
    from_one = bool(_LIGHTGBM & names) or any(re.fullmatch(r"valid_\d+", name) for name in names)
    return _Curves(lists, held_out, 1 if from_one else 0)


def _numbers(item: Any) -> _List | None:
    """A list of numbers, of which some may be null; None for anything else."""
    if not isinstance(item, list):
        return None
    values = [number(value) for value in item]
    known = sum(value is not None for value in values)
    return values if known and known == sum(value is not None for value in item) else None


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    with open_text(path) as file:
        parsed = parse_partly(file.read())
        findings = file.findings(path)
    found = _find(parsed.value)
    cut = parsed.broken is not None
    if cut:
        kept = max((len(values) for curves in found.values() for values in curves.lists.values()), default=0)
        facts = {"character": parsed.broken, "kept": kept}
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts=facts))
    runs = [
        run
        for name, curves in found.items()
        for run in _runs(f"{run_id}/{name}".rstrip("/"), path, curves, cut)
    ]
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name})
        raise UnusableLog(*(findings or [nothing]))
    return Loaded(runs, findings)


def _runs(run_id: str, path: Path, curves: _Curves, cut: bool) -> list[Run]:
    steps, by_epoch, axis = _steps(curves)
    every = 1 if axis is not None or cut or curves.first_round is not None else _epochs_per_eval(curves)
    points, others = _points(curves, steps, axis, cut=cut, every=every)
    points, notes = drop_placeholders(points, curves.held_out & points.keys())
    held_out = curves.held_out & points.keys()
    counters, companions = measures_of(points, held_out)
    if every > 1:
        counts = {"evals": len(steps), "epochs": _most_values(curves), "every": every}
        notes.append(Finding(Kind.EVERY_FEW_EPOCHS, Severity.NOTE, facts=counts))
    if others:
        facts = {"names": tuple(others), "evals": len(steps)}
        notes.append(Finding(Kind.OTHER_LENGTH, Severity.NOTE, facts=facts))
    used = {
        name: series
        for name, series in points.items()
        if name in held_out or name in counters or name in companions or not is_bookkeeping(name)
    }
    return assemble(
        run_id,
        used,
        held_out=held_out,
        counters=counters,
        companions=companions,
        zero_based=by_epoch and is_zero_based(used, held_out, set(used)),
        info=RunInfo.of(
            {
                "format": FORMAT.name,
                "sources": (path,),
                "step_unit": "epoch" if by_epoch else "step",
                "findings": notes,
            }
        ),
        hint=lambda _: {"tool": "keras"},
    )


def _steps(curves: _Curves) -> tuple[list[float], bool, str | None]:
    """The step of each value, whether it is an epoch, and the list that it was taken from."""
    sizes = Counter(len(curves.lists[name]) for name in curves.held_out or curves.lists)
    size = max(sizes, key=lambda length: (sizes[length], length))
    if curves.first_round is not None:
        return [float(curves.first_round + number) for number in range(size)], False, None
    found = step_name(list(curves.lists))
    if found is not None:
        name, by_epoch = found
        values = curves.lists[name]
        steps = [value for value in values if value is not None and math.isfinite(value)]
        if len(values) == len(steps) and len(curves.lists) > 1:
            return steps, by_epoch, name
    return [float(number) for number in range(1, size + 1)], True, None


def _most_values(curves: _Curves) -> int:
    return max(map(len, curves.lists.values()))


def _epochs_per_eval(curves: _Curves) -> int:
    """How many epochs Keras trained between two evals (its ``validation_freq``): its history has fewer values
    of ``val_loss`` than of ``loss`` then. 1 where it evaluated after each, or where that cannot be told.
    """
    epochs = _most_values(curves)
    evals = {len(curves.lists[name]) for name in curves.held_out}
    train = {len(values) for name, values in curves.lists.items() if name not in curves.held_out}
    pairs = [name for name in curves.held_out if name.startswith("val_") and name[4:] in curves.lists]
    if len(evals) != 1 or train != {epochs} or len(pairs) < len(curves.held_out):
        return 1
    (count,) = evals
    every = epochs // count
    return every if every > 1 and epochs // every == count else 1


def _points(
    curves: _Curves, steps: Sequence[float], axis: str | None, *, cut: bool, every: int
) -> tuple[dict[str, Points], list[str]]:
    """The series, and the names of lists that do not have a value per step. Of a file that is cut off, lists
    may be shorter. ``every`` is the number of epochs between two evals.
    """
    points, others = dict[str, Points](), list[str]()
    for name, values in curves.lists.items():
        if name == axis:
            continue
        if every == 1 and len(values) != len(steps) and not cut:
            others.append(name)
            continue
        apart = every if name in curves.held_out else 1
        places = steps if every == 1 else [float(apart * number) for number in range(1, len(values) + 1)]
        rows = [
            (apart * row, step, value)
            for row, (step, value) in enumerate(zip(places, values, strict=False), 1)
            if value is not None
        ]
        if rows:
            order, step, value = (np.array(column) for column in zip(*rows, strict=True))
            points[name] = Points(order, step.astype(np.float64), value.astype(np.float64))
    return points, others


FORMAT = Format(
    name="json-history",
    summary=(
        "JSON with one list of values per metric: Keras' history, evals_result of XGBoost and LightGBM; or"
        " with one object per epoch, pairs of step and value, or a table of pandas"
    ),
    files="*history*.json, evals_result.json",
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    limits=(
        "Without a list of steps or epochs, values count from the first epoch or round on, also where a"
        " training was resumed."
    ),
    tested_on="Keras 3.15, XGBoost 3.2, LightGBM 4.7, CatBoost 1.2.10",
)
