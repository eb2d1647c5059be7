"""Runs as an Arrow table and back, bit for bit.

A row is a run. The columns that a filter may name say what the run is; ``info`` holds all that its log says
beside its curves (see `replay.store.encoding`), and ``values`` one list of float64 per column of its evals.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.data.run import Column, Run, Series
from replay.data.types import Bools, Floats
from replay.errors import InputError, ReplayError, printable
from replay.store.encoding import decode, encode

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FILTERS", "Entry", "arrow", "filter_columns", "runs_of", "schema", "settings_of", "table_of"]

#: What a filter may name, with its Arrow type.
FILTERS: dict[str, str] = {
    "run": "string",
    "format": "string",
    "model": "string",
    "dataset": "string",
    "run_group": "string",
    "source": "string",
    "monitor": "string",
    "metrics": "list<string>",
    "evals": "int64",
    "trained_steps": "double",
    "planned_steps": "double",
    "planned_epochs": "double",
    "devices": "double",
    "complete": "bool",
    "stopped_by": "string",
    "hyperparameters": "map<string, string>",
    "import_number": "int64",
}


class Entry(NamedTuple):
    """A run with its digest and the number of the import that it came with."""

    run: Run
    digest: bytes
    import_number: int


def arrow() -> Any:
    """The module pyarrow; raises InputError where it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise InputError(
            "a store is kept in Parquet files, which need pyarrow. Install it with: pip install"
            " 'stop-replay[store]'"
        ) from None
    return pyarrow


def schema() -> pa.Schema:
    """The columns of a file of runs."""
    pa = arrow()
    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "list<string>": pa.list_(pa.string()),
        "map<string, string>": pa.map_(pa.string(), pa.string()),
    }
    numbers, marks = pa.list_(pa.float64()), pa.list_(pa.bool_())
    return pa.schema(
        [
            *((name, types[kind]) for name, kind in FILTERS.items()),
            ("digest", pa.binary(32)),
            ("info", pa.string()),
            ("values", pa.list_(numbers)),
            ("present", pa.list_(marks)),
            ("train", pa.list_(numbers)),
            ("has_step_signals", pa.bool_()),
            ("step_signals", pa.binary()),
        ]
    )


def filter_columns(run: Run, number: int) -> dict[str, Any]:
    """What a filter sees of a run, by the names of FILTERS; None for what its log does not say."""
    info = run.info
    return {
        "run": printable(run.id),
        "format": _text(info.format),
        "model": _text(info.model),
        "dataset": _text(info.dataset),
        "run_group": _text(info.group),
        "source": _text(info.sources[0]) if info.sources else None,
        "monitor": _text(info.monitor),
        "metrics": [printable(name) for name in run.metrics],
        "evals": len(run),
        "trained_steps": run.trained_steps,
        "planned_steps": _number(info.planned_steps),
        "planned_epochs": _number(info.planned_epochs),
        "devices": _number(info.devices),
        "complete": info.complete if isinstance(info.complete, bool) else None,
        "stopped_by": _text(info.stopped_by),
        "hyperparameters": settings_of(info.hyperparameters),
        "import_number": number,
    }


def settings_of(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Hyperparameters as texts, by name: what is no text as JSON."""
    return [
        (printable(key), printable(value) if isinstance(value, str) else encode(value))
        for key, value in settings.items()
    ]


def _text(value: Any) -> str | None:
    return None if value is None else printable(value)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def table_of(entries: Sequence[Entry], signals: Sequence[bytes | None]) -> pa.Table:
    """The rows of some runs; ``signals`` are their step signals as a store keeps them."""
    pa = arrow()
    rows = [filter_columns(entry.run, entry.import_number) for entry in entries]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in FILTERS}
    runs = [entry.run for entry in entries]
    columns["digest"] = [entry.digest for entry in entries]
    columns["info"] = [_encode_info(run) for run in runs]
    columns["values"] = _nested([[column.values for column in run.columns.values()] for run in runs])
    columns["present"] = _marks(runs)
    columns["train"] = _nested(
        [[part for series in run.train.values() for part in (series.step, series.value)] for run in runs]
    )
    columns["has_step_signals"] = [one is not None for one in signals]
    columns["step_signals"] = list(signals)
    layout = schema()
    arrays = [
        columns[field.name]
        if isinstance(columns[field.name], pa.Array)
        else pa.array(columns[field.name], field.type)
        for field in layout
    ]
    return pa.Table.from_arrays(arrays, schema=layout)


def _encode_info(run: Run) -> str:
    info = run.info
    fields = {name: getattr(info, name) for name in info.__dataclass_fields__ if name != "step_signals"}
    default = RunInfo()
    stated = {name: value for name, value in fields.items() if value is not getattr(default, name)}
    return encode({"id": run.id, "columns": list(run.columns), "train": list(run.train), "info": stated})


def _nested(lists: Sequence[Sequence[Floats]]) -> Any:
    """Lists of arrays as one Arrow array, by their bits."""
    pa = arrow()
    flat = [array for arrays in lists for array in arrays]
    values = np.concatenate(flat) if flat else np.empty(0)
    inner = np.concatenate([[0], np.cumsum([len(array) for array in flat])]).astype(np.int32)
    outer = np.concatenate([[0], np.cumsum([len(arrays) for arrays in lists])]).astype(np.int32)
    return pa.ListArray.from_arrays(outer, pa.ListArray.from_arrays(inner, pa.array(values)))


def _marks(runs: Sequence[Run]) -> Any:
    """For each column, which evals logged it; an empty list where all did."""
    pa = arrow()
    masks: list[list[Bools]] = [
        [
            np.empty(0, dtype=bool) if column.present.all() else column.present
            for column in run.columns.values()
        ]
        for run in runs
    ]
    if not any(len(mask) for run in masks for mask in run):
        return pa.array([[]] * len(runs), pa.list_(pa.list_(pa.bool_())))
    return pa.array([[mask.tolist() for mask in run] for run in masks], pa.list_(pa.list_(pa.bool_())))


def runs_of(
    table: pa.Table, findings: list[Finding], log: str, signals: Any = None
) -> Iterator[tuple[int, Run]]:
    """The runs of a table with the numbers of their rows; a row that cannot be read becomes a finding.

    ``signals`` gives the source of the step signals of a row.
    """
    values, train = _Ragged(table["values"]), _Ragged(table["train"])
    present = table["present"].to_pylist()
    infos, has_signals = table["info"].to_pylist(), table["has_step_signals"].to_pylist()
    complete: dict[int, Bools] = {}
    for row, text in enumerate(infos):
        try:
            yield (
                row,
                _run(
                    text,
                    values.row(row),
                    present[row],
                    train.row(row),
                    complete,
                    signals(row) if has_signals[row] and signals is not None else None,
                ),
            )
        except (ReplayError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            facts = {"error": f"row {row + 1}: {error}", "rows": row}
            findings.append(Finding(Kind.UNREADABLE_TABLE, log=log, facts=facts))


def _run(
    text: str,
    values: list[Floats],
    present: list[list[bool]],
    train: list[Floats],
    complete: dict[int, Bools],
    signals: Any,
) -> Run:
    stated = decode(text)
    names, series = stated["columns"], stated["train"]
    if len(values) != len(names) or len(train) != 2 * len(series):
        raise InputError(f"{len(names)} columns are named, and there are {len(values)}")
    columns = {}
    for number, (name, array) in enumerate(zip(names, values, strict=True)):
        mask = present[number] if number < len(present) else []
        if mask:
            columns[name] = Column(array, np.array(mask, dtype=bool))
        else:
            if len(array) not in complete:
                complete[len(array)] = np.ones(len(array), dtype=bool)
                complete[len(array)].flags.writeable = False
            columns[name] = Column(array, complete[len(array)])
    info = RunInfo(**stated["info"], step_signals=signals)
    parts = iter(train)
    return Run(stated["id"], columns, info, {name: Series(next(parts), next(parts)) for name in series})


class _Ragged:
    """A column of lists of lists of float64, whose arrays share the memory of the table."""

    def __init__(self, column: Any) -> None:
        chunks = column.chunks
        lists = chunks[0] if len(chunks) == 1 else arrow().concat_arrays(chunks)
        self._outer = lists.offsets.to_numpy()
        inner = lists.values
        self._inner = inner.offsets.to_numpy()
        self._values = inner.values.to_numpy(zero_copy_only=True)

    def row(self, row: int) -> list[Floats]:
        """The arrays of a row."""
        begin, end = int(self._outer[row]), int(self._outer[row + 1])
        bounds = self._inner[begin : end + 1].tolist()
        return [self._values[low:high] for low, high in itertools.pairwise(bounds)]
