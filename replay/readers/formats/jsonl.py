"""JSON lines: one object per row, with a step, an iteration or an epoch in it; or such objects over several
lines each.

Written by LLaMA-Factory (``trainer_log.jsonl``), ms-swift (``logging.jsonl``), Detectron2 (``metrics.json``),
mmengine (``scalars.json``) and mmcv, DETR and its descendants (``log.txt``), spaCy's console logger
(``output_file``), IBM's fms-hf-tuning, and many scripts; some of them write a list of the objects. Nested
objects are flattened with "/", short lists by position. NaN and Infinity are read as the words that they are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import Run
from replay.errors import printable
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based, measures_of
from replay.readers.flatten import are_plain, cells_of, flat_numbers, is_plain
from replay.readers.format import GZIP, Format, Loaded, UnusableLog
from replay.readers.interleaved import name_sets
from replay.readers.json_records import are_blocks, head_records, read_records
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import PointsBuilder, RowBlock, count, round_interval
from replay.readers.row_order import sort_rows
from replay.readers.runs_in_table import run_column, trainings_of
from replay.readers.series_names import (
    companions_of,
    held_out_of,
    is_bookkeeping,
    is_held_out,
    is_metric,
    step_name,
)
from replay.readers.splits import RowSet, find_set, is_flag, names_a_set
from replay.readers.two_clocks import place_within_epochs

__all__ = ["FORMAT"]

_OF = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")
_STEP_OF = "global_step/max_steps"
_TRACKIO = {"v", "kind", "project", "run"}
_RUNTIME = re.compile(r"(?:eval|test)[_/](?:.*_)?runtime")
#: Fields that say more than a value does.
_SPECIAL = frozenset(
    {"log_history", "total_steps", "max_steps", "train_runtime", _STEP_OF, "elapsed_time", "elapsed"}
)
_NO_TEXT: Mapping[str, str] = MappingProxyType({})
_TASKS = re.compile(
    r"(?:.*/)?(?:bbox|segm|keypoints|sem_seg|panoptic_seg)/.+"
)  # what Detectron2's evaluators log
_DAYS = re.compile(r"(\d+) ?d(?:ays?,?)? *")
_CLOCK = re.compile(r"\d+(?::\d\d){1,2}(?:\.\d+)?")
_UNITS = re.compile(r"(?:(\d+) ?h *)?(?:(\d+) ?m(?:in)? *)?(?:(\d+(?:\.\d+)?) ?s)?")


def _sniff(path: Path, head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text.startswith((b"{", b"[")) and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return False
    if text[:1] == b"{" and (text[:2] in (b"{\n", b"{\r") or b"\n" not in head) and not are_blocks(text):
        return False  # one object over many lines, or one that is no line: settings, a summary
    for number, record in enumerate(head_records(head)):
        if not number and ({"format", "version"} <= record.keys() or record.keys() >= _TRACKIO):
            return False  # a header that names a format of its own, or lines of trackio's inbox
        if _is_row(record):
            return True
    return False


def _with_counts(record: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """A row with numbers for steps that are written with the planned ones (``"iteration": "50/1000"``) or
    short (``"10k"``), and the planned steps, 0 where there are none.
    """
    if str not in map(type, record.values()):
        return record, 0.0
    counts: dict[str, float] = {}
    planned = 0.0
    for name, item in record.items():
        if not isinstance(item, str) or step_name([name]) is None:
            continue
        if (match := _OF.fullmatch(item)) is not None:
            counts[name] = float(match[1])
            planned = max(planned, float(match[2]))
        elif (short := count(item)) is not None:
            counts[name] = short
    return ({**record, **counts}, planned) if counts else (record, 0.0)


def _is_row(record: dict[str, Any]) -> bool:
    record, _ = _with_counts(record)
    values = flat_numbers(record)
    if _STEP_OF in record and isinstance(record[_STEP_OF], str) and _OF.fullmatch(record[_STEP_OF]):
        return any(is_metric(name) for name in values)
    key = _key(values)
    return key is not None and any(is_metric(name) for name in values if name != key[0])


def _key(names: Iterable[str]) -> tuple[str, bool] | None:
    """The step among the names of a row, and whether it is an epoch. What a row calls steps or epochs is how
    many are planned.
    """
    plural = ("steps", "epochs", "iters", "iterations")
    return step_name([name for name in names if name == "current_steps" or not name.lower().endswith(plural)])


def _seconds(text: Any) -> float | None:
    """Seconds of a duration in words (``0:32:48``, ``1 day, 0:08:23``, ``1m 42s``), or None."""
    if not isinstance(text, str) or not text.strip():
        return None
    rest, total = text.strip(), 0.0
    days = _DAYS.match(rest)
    if days is not None:
        total, rest = 86400.0 * int(days[1]), rest[days.end() :]
    if _CLOCK.fullmatch(rest):
        seconds = 0.0
        for part in rest.split(":"):
            seconds = seconds * 60 + float(part)
        return total + seconds
    units = _UNITS.fullmatch(rest)
    if units is None:
        return None
    hours, minutes, seconds_ = units.groups()
    return total + 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(seconds_ or 0)


class _Row(NamedTuple):
    """One row; its values may be integers."""

    names: tuple[str, ...]
    values: dict[str, float]
    text: Mapping[str, str]  # the fields of text that say where the row belongs
    row_set: RowSet | None  # the set that the row says it is about
    label: str  # the training that it says it is of


_NAMES_OF, _VALUES, _TEXT = itemgetter(0), itemgetter(1), itemgetter(2)  # faster than attributes


@dataclass
class _Fields:
    """What the fields of a row are: those that name a set, and the one that says which training it is of.
    ``plain`` where there are none of these, and no others that are more than values.
    """

    names: tuple[str, ...]  # one object for all rows, so that they are known by it
    sets: list[str]
    label: str | None
    plain: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> _Fields:
        names = tuple(record)
        sets, label = [name for name, value in record.items() if names_a_set(name, value)], run_column(names)
        plain = label is None and not sets and _SPECIAL.isdisjoint(names) and not any(map(is_flag, names))
        return cls(names, sets, label, plain)


@dataclass
class _Rows:
    """All rows of a file that hold a number."""

    rows: list[_Row] = field(default_factory=list)
    summary: dict[str, float] = field(default_factory=dict)
    planned: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    _known: dict[tuple[str, ...], _Fields] = field(default_factory=dict)

    def copy(self) -> _Rows:
        """A copy that may take more rows; rows themselves never change."""
        return _Rows(list(self.rows), dict(self.summary), self.planned, list(self.findings), self._known)

    def add_all(self, records: Sequence[dict[str, Any]]) -> None:
        """More objects of the file."""
        names = list(map(tuple, records))
        fields = {
            one: self._fields(one, record) for one, record in dict(zip(names, records, strict=True)).items()
        }
        if not all(one.plain and one.names for one in fields.values()) or not are_plain(records):
            for record in records:
                self.add(record)
            return
        known = [fields[one].names for one in names]
        self.rows += map(_Row._make, zip(known, records, repeat(_NO_TEXT), repeat(None), repeat("")))

    def _fields(self, names: tuple[str, ...], record: Mapping[str, Any]) -> _Fields:
        return self._known.get(names) or self._known.setdefault(names, _Fields.of(record))

    def add(self, record: dict[str, Any]) -> None:
        """One more object of the file."""
        names = tuple(record)
        fields = self._fields(names, record)
        if fields.plain and is_plain(record):
            if names:
                self.rows.append(_Row(fields.names, record, _NO_TEXT, None, ""))
            return
        values = flat_numbers(record)
        if fields.plain and values.keys() == record.keys():
            if values:
                self.rows.append(_Row(names, values, _NO_TEXT, None, ""))
            return
        if "log_history" in record:  # ms-swift repeats the whole at the end
            return
        with_counts, counted = _with_counts(record)
        if with_counts is not record:
            record, values = with_counts, flat_numbers(with_counts)
        text = {
            name: record[name]
            for name in (_STEP_OF, "elapsed_time", "elapsed")
            if isinstance(record.get(name), str)
        }
        row_set = find_set((name, record[name]) for name in fields.sets) if fields.sets else None
        part = _OF.fullmatch(text.get(_STEP_OF, ""))
        stated = [
            values.pop("total_steps", 0.0),
            values.pop("max_steps", 0.0),
            float(part[2]) if part else 0.0,
            counted,
        ]
        self.planned = max([self.planned, *(steps for steps in stated if steps < math.inf)])
        if "train_runtime" in values:
            self.summary |= {name: values[name] for name in ("train_runtime", "total_flos") if name in values}
            return
        for name in [name for name in values if is_flag(name)]:
            del values[name]
        if values:
            column = fields.label
            label = "" if column is None else str(record[column])
            if column is not None and not isinstance(record[column], str):
                label = f"{column}={label}"  # a number alone would not say what it counts
            self.rows.append(_Row(tuple(values), values, text, row_set, label))


def _read(path: Path) -> _Rows:
    read, findings = read_records(path, _Rows)
    read.findings += findings
    return read


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    (path,) = files
    read = _read(path)
    placed = _place(read.rows)
    if placed is None:
        raise UnusableLog(*(read.findings or [Finding(Kind.NO_STEP, log=str(path))]))
    rows, by_epoch, left_out = placed
    if left_out:
        facts = {"rows": left_out, "of": len(read.rows)}
        read.findings.append(Finding(Kind.ROWS_WITHOUT_STEP, log=str(path), facts=facts))
    labels = trainings_of([(row.label, row.step) for row in rows])
    if labels is None:
        runs = _runs(read, path, rows, by_epoch, run_id)
    else:
        runs = []
        for label in labels:
            part = [row for row in rows if row.label == label]
            for run in _runs(read, path, part, by_epoch, f"{run_id}#{printable(label)}"):
                runs.append(run.replace(info=run.info.replace(group=run_id)))
    if not runs:
        nothing = Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name})
        raise UnusableLog(*(read.findings or [nothing]))
    return Loaded(runs, read.findings)


@dataclass
class _Names:
    """The names of a run's series, each with the name that its values have in a row; runtimes apart."""

    kept: dict[str, str]
    runtimes: tuple[str, ...]
    held_out: set[str]

    @classmethod
    def of(
        cls, names: Sequence[str], held_out: bool, split: str | None, train_names: Collection[str]
    ) -> _Names:
        runtimes = tuple(name for name in names if _RUNTIME.fullmatch(name))
        kept = {name: name for name in names if name not in runtimes}
        measured = {
            name
            for name in kept
            if held_out
            and not is_bookkeeping(name)
            and name != "epoch"
            and companions_of([name]).get(name) != "learning_rate"
        }
        for name in measured:
            if not is_held_out(name) and (split is not None or name in train_names):
                kept[name] = f"{split or 'val'}/{name}"
        in_row = {new: name for name, new in kept.items()}
        return cls(in_row, runtimes, {kept[name] for name in measured})


def _runs(read: _Rows, path: Path, rows: Sequence[_Placed], by_epoch: bool, run_id: str) -> list[Run]:
    """The runs of the placed rows of one training."""
    points = PointsBuilder()
    held_out: set[str] = set()
    alike: dict[tuple[tuple[str, ...], bool, str | None], list[int]] = {}
    for at, key in enumerate(map(_ALIKE, rows)):
        alike.setdefault(key, []).append(at)
    train_names = set().union(*(names for names, is_held_out, _ in alike if not is_held_out))
    runtimes: list[tuple[list[int], RowBlock]] = []
    for key, places in alike.items():
        names = _Names.of(*key, train_names)
        held_out |= names.held_out
        values = [rows[at].values for at in places]
        place = np.array(places) + 1
        steps = np.array([rows[at].step for at in places], dtype=np.float64)
        cells = cells_of(values, tuple(names.kept.values()))
        points.add_rows(RowBlock(tuple(names.kept), place, steps, cells))
        if names.runtimes:
            points.begin_parts("eval runtime")
            cells = cells_of(values, names.runtimes)
            runtimes.append((places, RowBlock(names.runtimes, place, steps, cells)))
    points.add_all_parts("eval runtime", runtimes)
    points.count_rows(len(rows))
    read.findings += points.findings(path)
    series = points.points()
    held_out |= held_out_of(series)
    if "total_loss" in series and "iteration" in {name for row in read.rows for name in row.values}:
        held_out |= {name for name in series if _TASKS.fullmatch(name)}
    if "score" in series and {"losses", "scores"} <= {name.partition("/")[0] for name in series}:
        held_out |= {name for name in series if name == "score" or name.startswith("scores/")}  # spaCy's
    held_out -= {name for name in held_out if name.endswith("num_tokens")}
    series, in_order = sort_rows(series)
    series, filled = drop_placeholders(series, held_out)
    series, interleaved = name_sets(series, held_out)
    held_out |= {name for finding in interleaved for name in finding["names"]}
    counters, companions = measures_of(series, held_out)
    evals = len(series["eval runtime"].step) if "eval runtime" in series else 0
    if evals:
        counters["eval runtime"] = "eval_seconds"
    epoch = "epoch" if "epoch" in series and not by_epoch else None
    used = {
        name: one
        for name, one in series.items()
        if name in held_out
        or name == epoch
        or name in counters
        or name in companions
        or not (is_bookkeeping(name) or name in ("epoch", "percentage", "num_tokens", "eval_num_tokens"))
    }
    if any(map(_LABEL, rows)):
        used.pop(run_column(list(used)) or "", None)
    first = {name for row in rows[:1] for name in row.names}
    zero_based = by_epoch and is_zero_based(used, held_out, first)
    notes = [*in_order, *filled, *interleaved]
    least = min((float(one.step.min()) for one in used.values() if len(one.step)), default=1.0)
    within = place_within_epochs(used, held_out, zero_based=least == 0) if by_epoch else None
    if within is not None:
        used, zero_based = within, False
        notes.append(Finding(Kind.WITHIN_EPOCHS, Severity.NOTE))
    info = RunInfo.of(
        {
            "format": FORMAT.name,
            "sources": [path],
            "step_unit": "epoch" if by_epoch else "step",
            "planned_steps": _whole(read.planned) if read.planned > 0 else None,
            **read.summary,
            "findings": notes,
        }
    )
    return assemble(
        run_id,
        used,
        held_out=held_out,
        epoch=epoch,
        counters=counters,
        companions=companions,
        zero_based=zero_based,
        info=info,
        hint=lambda steps: {**_hint(read, None if by_epoch else steps), "evals": evals},
    )


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


class _Placed(NamedTuple):
    step: float
    names: tuple[str, ...]  # those of the values that count
    values: dict[str, float]
    held_out: bool
    split: str | None
    label: str


_ALIKE, _LABEL = itemgetter(1, 3, 4), itemgetter(5)  # faster than attributes


def _place(rows: Sequence[_Row]) -> tuple[list[_Placed], bool, int] | None:
    """Every row with its step, whether steps are epochs, and how many rows have none; None where nothing
    tells the step.
    """
    plain = all(text is _NO_TEXT for text in map(_TEXT, rows))
    shapes = Counter(map(_NAMES_OF, rows))
    if not plain and any(_STEP_OF in row.text for row in rows):
        key: tuple[str, bool] | None = (_STEP_OF, False)
    else:
        common: dict[str, int] = {}
        for names, count in shapes.items():
            for one in names:
                common[one] = common.get(one, 0) + count
        key = _key(name for name, count in common.items() if 2 * count >= len(rows)) or _key(common)
    if key is None:
        return None
    name, by_epoch = key
    if plain and (regular := _place_regular(rows, name, shapes)) is not None:
        return regular, by_epoch, 0
    rows = [row._replace(values={one: float(value) for one, value in row.values.items()}) for row in rows]
    follows = name == "iter" and _counts_the_loader(rows)
    inner = _iterations_of_an_epoch(rows) if name == "iter" else 0.0
    if inner:
        by_epoch = True
    with_iter = name == "step" and any("iter" in row.values for row in rows)
    uncounted = with_iter and _has_no_epochs(rows)
    placed: list[_Placed] = []
    last_step = last_epoch = last_iter = math.nan
    here, left_out = frozenset[str](), 0  # what the last step has values of
    known: dict[tuple[str, ...], frozenset[str]] = {}
    for row in rows:
        values = dict(row.values)
        split = None if row.row_set is None else row.row_set.name
        held_out = row.row_set is not None and row.row_set.held_out
        epoch = values.get("epoch", math.nan)
        if name == _STEP_OF:
            part = _OF.fullmatch(row.text.get(_STEP_OF, ""))
            step = float(part[1]) if part else math.nan
        else:
            step = values.pop(name, math.nan)
        if inner:
            step = epoch if held_out else epoch - 1 + min(step / inner, 1.0)
        elif with_iter and "iter" not in values:
            # mmengine puts the epoch into the step of an eval: the eval follows the iterations of that epoch
            held_out = True
            if (uncounted or step == last_epoch) and not math.isnan(last_iter):
                step = last_iter
        elif follows and held_out:
            step = last_step
        elif math.isnan(step) and not by_epoch:
            # a row of its own after the one that it belongs to, unless that has these values already
            step = last_step if here.isdisjoint(_measured(values)) else math.nan
        if with_iter and "iter" in values:
            last_iter, last_epoch = values.pop("iter"), epoch
        if math.isnan(step):
            left_out += bool(_measured(values))
            continue
        names = tuple(values)
        measured = known.get(names) or known.setdefault(names, _measured(values))
        here = measured | here if step == last_step else measured
        last_step = step
        if row.text and (elapsed := _seconds(row.text.get("elapsed_time") or row.text.get("elapsed"))):
            values["elapsed_time"] = elapsed
        placed.append(_Placed(step, tuple(values), values, held_out, split, row.label))
    return (placed, by_epoch, left_out) if placed else None


def _place_regular(
    rows: Sequence[_Row], name: str, shapes: Iterable[tuple[str, ...]]
) -> list[_Placed] | None:
    """The rows with their steps, where each has its step under this name, and says nothing of sets or
    trainings; None for other rows.
    """
    if name in ("iter", _STEP_OF) or not all(name in names for names in shapes):
        return None
    if name == "step" and any("iter" in names for names in shapes):
        return None
    if any(row.row_set is not None or row.label for row in rows):
        return None
    values = list(map(_VALUES, rows))
    steps = list(map(itemgetter(name), values))
    if any(map(math.isnan, steps)):
        return None
    counted = {names: tuple(one for one in names if one != name) for names in shapes}
    names_of = map(counted.__getitem__, map(_NAMES_OF, rows))
    fields = zip(steps, names_of, values, repeat(False), repeat(None), repeat(""))
    return list(map(_Placed._make, fields))


def _counts_the_loader(rows: Sequence[_Row]) -> bool:
    """Whether evals of mmcv have the length of the validation set as their iteration, and so follow the rows
    of the training before them.
    """
    evals, train, last, others = list[float](), 0, math.nan, 0
    for row in rows:
        step = row.values.get("iter", math.nan)
        if row.row_set is not None and row.row_set.held_out:
            evals.append(step)
            others += step != last
        else:
            train, last = train + 1, step
    return len(evals) > 1 and train > 1 and len(set(evals)) == 1 and 2 * others > len(evals)


def _has_no_epochs(rows: Sequence[_Row]) -> bool:
    """Whether evals of mmengine have no step: its loop over iterations knows no epoch, which is 0 in them all
    unless the logger is told to log evals by iteration.
    """
    if any("epoch" in row.values for row in rows):
        return False
    return all(row.values.get("step", 0.0) == 0 for row in rows if "iter" not in row.values)


def _measured(values: Mapping[str, float]) -> frozenset[str]:
    """The names of a row that are measured, and do not count or time."""
    return frozenset(name for name in values if name != "epoch" and not is_bookkeeping(name))


def _iterations_of_an_epoch(rows: Sequence[_Row]) -> float:
    """The length of an epoch where train rows count iterations from 1 in each (mmcv), else 0."""
    train = [
        row.values
        for row in rows
        if {"epoch", "iter"} <= row.values.keys() and row.row_set is not None and not row.row_set.held_out
    ]
    again = any(
        later["epoch"] > earlier["epoch"] and later["iter"] <= earlier["iter"]
        for earlier, later in pairwise(train)
    )
    return max(values["iter"] for values in train) if again else 0.0


def _hint(read: _Rows, steps: float | None) -> dict[str, Any]:
    """The tool that wrote the rows, how often it might evaluate, and the first held-out name without a value.
    ``steps`` is None where the rows count epochs.
    """
    names = {name for row in read.rows for name in row.values}
    if "current_steps" in names:
        tool = "llama-factory"
    elif any(_STEP_OF in row.text for row in read.rows):
        tool = "ms-swift"
    elif "total_loss" in names and "iteration" in names:
        tool = "detectron2"
    else:
        tool = "jsonl"
    every = None if steps is None and tool == "jsonl" else round_interval(steps or 1.0)
    return {"tool": tool, "every": every, "empty": min(held_out_of(names), default=None)}


FORMAT = Format(
    name="jsonl",
    summary=(
        "JSON lines, or a JSON list, of objects with a step or an epoch: LLaMA-Factory, ms-swift, Detectron2,"
        " mmengine, DETR, spaCy, fms-hf-tuning, and scripts of your own"
    ),
    files="*.jsonl, trainer_log.jsonl, scalars.json",
    limits=(
        "lists of more than 32 elements are not read; LLaMA-Factory leaves metrics other than the loss out of"
        " its log, so its trainer_state.json says more"
    ),
    tested_on=(
        "mmengine 0.10.7 and spaCy 3.8; files of LLaMA-Factory, ms-swift, Detectron2, mmengine and DETR from"
        " public repositories; the rows of fms-hf-tuning, written by hand"
    ),
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    only_its_files=True,
)
