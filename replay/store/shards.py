"""The files of runs: written whole, and read with what is good in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.errors import InputError, ReplayError
from replay.store.encoding import decode
from replay.store.manifest import SCHEMA, Shard
from replay.store.signals import StoredSignals, pack_signals
from replay.store.table import FILTERS, Entry, arrow, runs_of, schema, settings_of, table_of
from replay.store.writing import written_whole

__all__ = [
    "MOST_RUNS",
    "MOST_VALUES",
    "new_name",
    "read_columns",
    "read_runs",
    "size_of",
    "take_rows",
    "write_shard",
]

#: Runs and values (evals times columns) from which on a file is full: about 64 MiB in memory.
MOST_RUNS, MOST_VALUES = 4096, 8_000_000
_GROUP = 1024
#: Files with more data than this, uncompressed, are none of a store.
_LARGEST = 16 * 1024**3

#: What schema version 1 lacks. It is made from what else a row says.
_NEW_IN_2 = ("hyperparameters",)


def new_name(kind: str, number: int, ending: str) -> str:
    """A name that no other file of a store has."""
    return f"{kind}-{number:06d}-{secrets.token_hex(4)}.{ending}"


def size_of(run: Run) -> int:
    """The number of values of a run, by which files are filled."""
    return len(run) * len(run.columns) + sum(2 * len(series.step) for series in run.train.values())


def write_shard(
    folder: Path, number: int, entries: Sequence[Entry], findings: list[Finding], version: int = SCHEMA
) -> Shard:
    """Write some runs to a new file; step signals that cannot be read are left out and reported."""
    arrow()
    from pyarrow import parquet

    table = table_of(entries, [_signals(entry.run, findings) for entry in entries])
    if version == 1:
        table = table.drop_columns(list(_NEW_IN_2))
    path = folder / new_name("runs", number, "parquet")
    with (
        written_whole(path),
        parquet.ParquetWriter(
            path,
            table.schema,
            compression="zstd",
            # a dictionary would make one NaN of all
            use_dictionary=["format", "model", "dataset", "run_group", "monitor", "stopped_by"],
            write_statistics=[name for name in FILTERS if name not in ("metrics", "hyperparameters")],
            column_encoding={
                "values.list.element.list.element": "BYTE_STREAM_SPLIT",
                "train.list.element.list.element": "BYTE_STREAM_SPLIT",
            },
        ) as writer,
    ):
        writer.write_table(table, row_group_size=_GROUP)
    evals = sum(len(entry.run) for entry in entries)
    return Shard(path.name, len(entries), evals, path.stat().st_size, version)


def _signals(run: Run, findings: list[Finding]) -> bytes | None:
    source = run.info.step_signals
    if source is None:
        return None
    try:
        return pack_signals(source.read())
    except (ReplayError, OSError, ValueError, TypeError) as error:
        facts = {"error": str(error), "entry": "file"}
        findings.append(Finding(Kind.UNREADABLE, log=str(source.path), facts=facts))
        return None


def read_columns(folder: Path, shard: Shard, columns: Sequence[str], findings: list[Finding]) -> Any | None:
    """Some columns of a file as an Arrow table; None, and a finding, where it cannot be read."""
    pa = arrow()
    from pyarrow import parquet

    path = folder / shard.file
    wanted = [name for name in columns if shard.schema > 1 or name not in _NEW_IN_2]
    if len(wanted) < len(columns) and "info" not in wanted:
        wanted.append("info")
    try:
        if path.is_symlink() or not path.is_file():
            raise InputError("it is gone, or is not a regular file")
        with parquet.ParquetFile(path) as file:
            meta = file.metadata
            if sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups)) > _LARGEST:
                raise InputError("it is too large")
            expected, layout = schema(), file.schema_arrow
            for name in wanted:
                if name not in layout.names or layout.field(name).type != expected.field(name).type:
                    raise InputError(f"it has no column {name} as a store writes it")
            table = file.read(columns=wanted)
        if table.num_rows != shard.runs:
            raise InputError(f"it has {table.num_rows} rows, and the manifest says {shard.runs}")
    except (pa.ArrowException, ReplayError, ValueError, OSError, MemoryError) as error:
        text = str(error).split("\n", 1)[0] or type(error).__name__
        findings.append(Finding(Kind.UNREADABLE_TABLE, log=str(path), facts={"error": text, "rows": 0}))
        return None
    return _with_new(table, columns)


def _with_new(table: Any, columns: Sequence[str]) -> Any:
    """The table with the columns that its schema version lacks."""
    if all(name in table.column_names for name in columns):
        return table
    pa = arrow()
    field = schema().field("hyperparameters")
    rows = [_settings(text) for text in table["info"].to_pylist()]
    return table.append_column(field, pa.array(rows, field.type)).select(columns)


def _settings(text: str) -> list[tuple[str, str]]:
    try:
        return settings_of(decode(text)["info"].get("hyperparameters", {}))
    except (ReplayError, KeyError, TypeError, AttributeError):
        return []


def take_rows(table: Any, rows: Sequence[int]) -> Any:
    """Some rows of an Arrow table, which may be none."""
    pa = arrow()
    return table.take(pa.array(list(rows), pa.int64()))


def read_runs(
    folder: Path, shard: Shard, findings: list[Finding], keep: Sequence[int] | None = None
) -> Iterator[tuple[int, Run]]:
    """The runs of a file, or of some of its rows, with the numbers of the rows."""
    columns = ["info", "values", "present", "train", "has_step_signals"]
    table = read_columns(folder, shard, columns, findings)
    if table is None:
        return
    rows: Sequence[int] = range(table.num_rows)
    if keep is not None:
        table, rows = take_rows(table, keep), keep
    path = folder / shard.file
    if not table.num_rows:
        return
    for number, run in runs_of(
        table, findings, str(path), lambda number: StoredSignals(path, int(rows[number]))
    ):
        yield int(rows[number]), run
