"""Reads any regular file by what the user says of its columns: step, metrics, set and run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.data.names import canonical
from replay.data.run import Run
from replay.errors import InputError, did_you_mean
from replay.files import read_toml
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based, measures_of
from replay.readers.format import Loaded, UnusableLog
from replay.readers.interleaved import name_sets
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import PointsBuilder, number, round_interval
from replay.readers.regular import Sheet, read_sheet
from replay.readers.row_order import sort_rows
from replay.readers.series_names import held_out_of, is_bookkeeping, step_name
from replay.readers.splits import parse_set

__all__ = ["ColumnMap", "load_columns", "read_columns_file"]

_KEYS = ("step", "metric", "metrics", "split", "run")


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a file are the step, the metrics, the set and the run.

    ``metrics`` maps columns to the names that the metrics get. A part that is None or empty is found by its
    name; a file without a column that is named here is read as if nothing was said.
    """

    step: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    run: str | None = None

    @classmethod
    def of(
        cls,
        step: str | None = None,
        metric: str | Sequence[str] | Mapping[str, str] | None = None,
        split: str | None = None,
        run: str | None = None,
        columns: str | os.PathLike[str] | None = None,
    ) -> ColumnMap | None:
        """The map that options state, on top of that of a file; None where nothing is stated.

        A metric is ``COLUMN`` or ``COLUMN=NAME``. Raises InputError where the file cannot be used.
        """
        base = cls() if columns is None else read_columns_file(Path(columns))
        made = cls(
            base.step if step is None else step,
            _metrics(metric) or base.metrics,
            base.split if split is None else split,
            base.run if run is None else run,
        )
        return None if made == cls() else made

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        single = (name for name in (self.step, self.split, self.run) if name is not None)
        return tuple(dict.fromkeys([*single, *self.metrics]))

    @property
    def has_metrics_only(self) -> bool:
        """Whether nothing but metrics is named."""
        return bool(self.metrics) and self.step is None and self.split is None and self.run is None

    def fits(self, sheet: Sheet) -> bool:
        """Whether a file has all the columns that are named."""
        return all(_find(name, sheet.columns) is not None for name in self.named)

    def lacking(self, columns: Sequence[str]) -> list[str]:
        """The named columns that are not among those of a file."""
        return [name for name in self.named if _find(name, columns) is None]


def _metrics(given: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(column): str(name) for column, name in given.items()}
    metrics = {}
    for text in [given] if isinstance(given, str) else given:
        column, sign, name = text.rpartition("=")
        if sign and not (column and name):
            raise InputError(f"metric {text!r}: give a column, or COLUMN=NAME with both parts")
        metrics[column if sign else text] = name if sign else text
    return metrics


def read_columns_file(path: Path) -> ColumnMap:
    """The map that a TOML file states: ``step``, ``split`` and ``run`` are columns, ``metrics`` a list of
    columns or a table of columns and names.

    Raises InputError where the file cannot be read or says something else.
    """
    said = read_toml(path)
    said = said.get("columns", said) if isinstance(said.get("columns", said), dict) else said
    for name in said:
        if name not in _KEYS:
            allowed = "step, metrics, split and run"
            raise InputError(
                f"{path}: unknown key {name!r}; allowed are {allowed}{did_you_mean(name, _KEYS)}"
            )
    for name in ("step", "split", "run"):
        if not isinstance(said.get(name, ""), str):
            raise InputError(f"{path}: {name} is the name of a column, not {said[name]!r}")
    metrics = said.get("metrics", said.get("metric", []))
    texts = (
        metrics.values() if isinstance(metrics, dict) else [metrics] if isinstance(metrics, str) else metrics
    )
    if not isinstance(metrics, dict | list | str) or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{path}: metrics is a list of columns or a table of columns and names, not {metrics!r}"
        )
    return ColumnMap(said.get("step"), _metrics(metrics), said.get("split"), said.get("run"))


def _find(name: str, columns: Sequence[str]) -> str | None:
    """The column of a name: as it is written, else in other letters or with other separators."""
    if name in columns:
        return name
    same = [column for column in columns if canonical(column) == canonical(name)]
    return same[0] if len(same) == 1 else None


@dataclass
class _Columns:
    """The columns of one file, found."""

    step: str
    metrics: dict[str, str]
    split: str | None
    run: str | None

    @classmethod
    def of(cls, columns: ColumnMap, sheet: Sheet, path: Path) -> _Columns:
        """Find the columns. Raises UnusableLog where the step or the metrics cannot be found."""
        step = None if columns.step is None else _find(columns.step, sheet.columns)
        if step is None:
            by_name = step_name(sheet.columns)
            if by_name is None:
                facts = {"columns": tuple(sheet.columns[:12]), "option": "--step"}
                raise UnusableLog(Finding(Kind.NO_STEP, log=str(path), facts=facts))
            step = by_name[0]
        metrics = {}
        for column, name in columns.metrics.items():
            there = _find(column, sheet.columns)
            if there is not None:
                metrics[there] = name
        split = None if columns.split is None else _find(columns.split, sheet.columns)
        run = None if columns.run is None else _find(columns.run, sheet.columns)
        if not metrics:
            numeric = [
                name for name in sheet.columns if name not in (step, split, run) and sheet.numbers(name)
            ]
            chosen = held_out_of(numeric) or (
                {name for name in numeric if not is_bookkeeping(name)} if split is not None else set()
            )
            if not chosen:
                facts = {"columns": tuple(numeric[:12]), "option": "--metric"}
                raise UnusableLog(Finding(Kind.NO_VALUES, log=str(path), facts=facts))
            metrics = {name: name for name in numeric if name in chosen}
        return cls(step, metrics, split, run)


def load_columns(columns: ColumnMap, files: Sequence[Path], run_id: str) -> Loaded:
    """The runs of one file by the columns that are named. Raises UnusableLog and OSError."""
    (path,) = files
    with path.open("rb") as file:
        sheet = read_sheet(path, file.read(64 * 1024))
    if sheet is None or not sheet.rows:
        raise UnusableLog(Finding(Kind.NO_ROWS, log=str(path)))
    found = _Columns.of(columns, sheet, path)
    by_run: dict[str, list[dict[str, Any]]] = {}
    for row in sheet.rows:
        by_run.setdefault("" if found.run is None else _text(row.get(found.run)), []).append(row)
    several = len(by_run) > 1
    findings, runs = list(sheet.findings), list[Run]()
    without_step = 0
    for name, rows in by_run.items():
        made, skipped = _runs(found, rows, f"{run_id}/{name or 'unnamed'}" if several else run_id, path)
        runs += made
        without_step += skipped
    if without_step:
        facts = {"rows": without_step, "of": len(sheet.rows), "column": found.step}
        findings.append(Finding(Kind.ROWS_WITHOUT_STEP, log=str(path), facts=facts))
    if not runs:
        raise UnusableLog(*(findings or [Finding(Kind.NO_VALUES, log=str(path), facts={"format": "csv"})]))
    return Loaded(runs, findings)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value).strip()


def _runs(
    found: _Columns, rows: Sequence[Mapping[str, Any]], run_id: str, path: Path
) -> tuple[list[Run], int]:
    """The runs of some rows, and how many rows have no step."""
    builder, held_out, without_step = PointsBuilder(), set[str](), 0
    apart = {found.step, found.split, found.run}
    first: set[str] | None = None
    for row in rows:
        step = number(row.get(found.step))
        if step is None or step != step:
            without_step += 1
            continue
        values: dict[str, float] = {}
        label = None if found.split is None else _text(row.get(found.split))
        row_set = parse_set(label) if label else None
        for column, item in row.items():
            value = None if column in apart else number(item)
            if value is None:
                continue
            name = found.metrics.get(column)
            if name is None:
                if row_set is None or not row_set.held_out:
                    values[column] = value
            elif not label:
                values[name] = value
                held_out.add(name)
            elif row_set is not None and not row_set.held_out:
                values[f"{row_set.name}/{name}"] = value
            else:
                name = f"{row_set.name if row_set else label}/{name}"
                values[name] = value
                held_out.add(name)
        if first is None:
            first = set(values)
        builder.add(step, values)
    points, in_order = sort_rows(builder.points())
    points, filled = drop_placeholders(points, held_out)
    points, interleaved = name_sets(points, held_out)
    held_out = {*held_out, *(name for finding in interleaved for name in finding["names"])} & points.keys()
    by_epoch = canonical(found.step) in ("epoch", "epochs")
    epoch = (
        None if by_epoch else next((name for name in points if canonical(name) in ("epoch", "epochs")), None)
    )
    counters, companions = measures_of(points, held_out)
    facts = {
        "format": "columns",
        "sources": (path,),
        "step_unit": "epoch" if by_epoch else "step",
        "findings": [*in_order, *filled, *interleaved],
    }
    runs = assemble(
        run_id,
        points,
        held_out=held_out,
        epoch=epoch,
        counters=counters,
        companions=companions,
        zero_based=by_epoch and is_zero_based(points, held_out, first or ()),
        info=RunInfo.of(facts),
        hint=lambda steps: {"tool": "csv", "every": None if by_epoch else round_interval(steps)},
    )
    return runs, without_step
