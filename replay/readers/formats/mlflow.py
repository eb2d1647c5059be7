"""MLflow's stores: the folder of each run in a file store (``mlruns``), and the SQLite store (``mlflow.db``).

A metric of the file store is a file with one value per line, "timestamp value step", without the step in old
files and with two more fields in new ones; a key with "/" lies in folders. What MLflow repeats for logged
models (``models/m-…``) is not read, nor are deleted runs.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.points import number, open_text
from replay.readers.sqlite_files import MAGIC, Database, open_database, sources_of, table_names
from replay.readers.text_files import parse_whole_lines
from replay.readers.tracker_rows import Row, place_by_arrival, rows_by_time, unique_names
from replay.readers.tracker_runs import tracker_runs
from replay.readers.tracker_settings import settings_of

__all__ = ["FORMAT"]

_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
#: Time, value and step, and the data set that new versions add.
_LINE = re.compile(
    r"(-?\d{1,18}) (nan|[-+]?inf|[-+]?[0-9.]+(?:e[-+]?\d+)?)(?: (-?\d{1,18})(?: \S+){0,2})?\s*", re.IGNORECASE
)
#: A time as MLflow takes it, by which a file is recognised; users may log others.
_TIME = re.compile(r"\d{12,14} ")
_FORM = "'timestamp value step'"
#: What MLflow's SQLite store writes for infinity.
_LARGEST = 1.7976931348623157e308
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_TABLES = {"experiments", "runs", "metrics", "params", "tags"}

#: Values of each key in the order in which they were stored: time in seconds, step, value.
_Series = dict[str, list[tuple[float, float, float]]]


def _sniff_folder(path: Path, names: frozenset[str]) -> bool:
    if "meta.yaml" not in names:
        return False
    if _MODEL.fullmatch(path.name):
        return path.parent.name == "models"
    return bool(_RUN.fullmatch(path.name)) and not names.isdisjoint(
        ("metrics", "params", "tags", "artifacts")
    )


def _sniff(path: Path, head: bytes) -> bool:
    if head.startswith(MAGIC):
        return table_names(path, head) >= _TABLES
    if not head[:1].isdigit():
        return False
    lines = head[:4096].decode("utf-8", "replace").split("\n")
    lines = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line.strip()]
    return bool(lines) and all(_TIME.match(line) and _LINE.fullmatch(line) for line in lines)


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        with path.open("rb") as file:
            is_database = file.read(len(MAGIC)) == MAGIC
        groups.setdefault(path if is_database else _metrics_folder(path), []).append(path)
    return list(groups.values())


def _metrics_folder(path: Path) -> Path:
    """The folder of a run's metrics, by one of its files."""
    return next((folder for folder in path.parents if folder.name == "metrics"), path.parent)


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    first = files[0]
    if first.is_dir():
        if _MODEL.fullmatch(first.name):
            return Loaded([], [])
        return _load_files(_metric_files(first / "metrics"), first / "metrics", first, run_id)
    with first.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return _load_database(first, run_id)
    folder = _metrics_folder(first)
    return _load_files(files, folder, folder.parent if folder.name == "metrics" else None, run_id)


def _metric_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for here, _, names in os.walk(folder)
        for name in names
        if not (path := Path(here, name)).is_symlink() and path.is_file()
    )


def _load_files(files: Sequence[Path], folder: Path, home: Path | None, run_id: str) -> Loaded:
    """The run of metric files below ``folder``; ``home`` is the run's folder in a store."""
    meta = {} if home is None else _meta(home / "meta.yaml")
    name = meta.get("run_name") or (home or folder).name
    if meta.get("lifecycle_stage") == "deleted":
        return Loaded([], [_deleted(str(home), [name])])
    findings: list[Finding] = []
    series: _Series = {}
    for path in files:
        key = path.relative_to(folder).as_posix() if folder in path.parents else path.name
        try:
            values = list(_values(path, findings))
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        if values:
            series[key] = values
    if not series:
        nothing = Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id)
        raise UnusableLog(*(findings or [nothing]))
    facts: dict[str, Any] = {"format": FORMAT.name, "sources": files}
    if home is not None and meta:
        facts |= _facts(meta, settings_of(_params(home / "params")))
        facts["sources"] = (home / "meta.yaml", *files)
        facts["group"] = _meta(home.parent / "meta.yaml").get("name") or home.parent.name
    runs = _runs(run_id, series, facts, _milliseconds(meta.get("start_time")))
    if not runs:
        raise UnusableLog(*findings, Finding(Kind.NO_METRICS, Severity.NOTE, log=run_id))
    return Loaded(runs, findings)


def _values(path: Path, findings: list[Finding]) -> Iterator[tuple[float, float, float]]:
    """The values of one metric file: time, step and value."""
    return parse_whole_lines(path, _value, findings, Kind.INVALID_LINES, form=_FORM)


def _value(line: str) -> tuple[float, float, float]:
    """One line of a metric file. Raises ValueError where it is not one."""
    fields = _LINE.fullmatch(line)
    if fields is None:
        raise ValueError(line)
    return int(fields[1]) / 1000, float(fields[3] or 0), float(fields[2])


def _meta(path: Path) -> dict[str, str]:
    """The plain entries of a ``meta.yaml``; empty where there is none."""
    try:
        with open_text(path) as file:
            lines = file.read(64 * 1024).splitlines()
    except OSError:
        return {}
    entries = (re.fullmatch(r"(\w+): *(.*?) *", line) for line in lines)
    return {entry[1]: _unquoted(entry[2]) for entry in entries if entry}


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return "" if text == "null" else text


def _params(folder: Path) -> dict[str, str]:
    params = {}
    for path in _metric_files(folder)[:1000]:
        try:
            with open_text(path) as file:
                params[path.relative_to(folder).as_posix()] = file.read(6000)
        except OSError:
            continue
    return params


def _milliseconds(value: Any) -> float | None:
    """A time in seconds since 1970."""
    try:
        return int(value) / 1000
    except (TypeError, ValueError, OverflowError):
        return None


def _deleted(log: str, names: Sequence[str]) -> Finding:
    return Finding(Kind.DELETED_RUNS, Severity.NOTE, log=log, facts={"tool": "MLflow", "names": tuple(names)})


def _facts(meta: Mapping[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """What a store says of a run; a run without a status of its own has ended in no known way."""
    status = str(meta.get("status") or "")
    status = _STATUS.get(int(status), status) if status.isdecimal() else status
    facts = {
        **settings,
        "run_name": meta.get("run_name"),
        "run": meta.get("run_id"),
        "status": status or None,
    }
    if status:
        facts["complete"] = status == "FINISHED"
    return facts


def _runs(run_id: str, series: _Series, facts: dict[str, Any], began: float | None) -> list[Run]:
    """The runs of one tracked run. MLflow stores step 0 where none is given."""
    series = {key: values for key, values in series.items() if not key.startswith("system/")}
    without = {key for key, values in series.items() if all(step == 0 for _, step, _ in values)}
    notes = []
    if without == series.keys() and any(len(values) > 1 for values in series.values()):
        rows = [row._replace(step=math.nan) for row in _calls(rows_by_time(series))]
        rows = place_by_arrival(rows)
        notes.append(Finding(Kind.STEPS_NOT_LOGGED, Severity.NOTE))
        return tracker_runs(run_id, rows, {**facts, "findings": notes}, began=began)
    many = sorted(key for key in without if len(series[key]) > 1)
    if without != series.keys() and many:
        notes.append(Finding(Kind.STEPS_NOT_LOGGED, Severity.NOTE, facts={"names": tuple(many)}))
        series = {key: values for key, values in series.items() if key not in many}
    rows = []
    last = 0.0
    for row in rows_by_time(series):
        if without != series.keys() and without >= row.values.keys():
            row = row._replace(step=last)  # it was logged once, after what came before it
        last = row.step
        rows.append(row)
    return tracker_runs(run_id, rows, {**facts, "findings": notes}, counts_calls=False, began=began)


def _calls(rows: Sequence[Row]) -> list[Row]:
    """Values that were logged in the same millisecond as one row, as far as no name is there twice."""
    calls: list[Row] = []
    for row in rows:
        if calls and calls[-1].wall == row.wall and calls[-1].values.keys().isdisjoint(row.values):
            calls[-1] = calls[-1]._replace(values={**calls[-1].values, **row.values})
        else:
            calls.append(row)
    return calls


def _load_database(path: Path, run_id: str) -> Loaded:
    """The active runs of a SQLite store that have logged a metric."""
    with open_database(path) as database:
        experiments = {
            key: (name, stage)
            for key, name, stage in database.rows("experiments", ("experiment_id", "name", "lifecycle_stage"))
        }
        columns = ("run_uuid", "name", "status", "start_time", "lifecycle_stage", "experiment_id")
        runs = {str(row[0]): dict(zip(columns, row, strict=True)) for row in database.rows("runs", columns)}
        names = {run: str(value) for run, value in _pairs(database, "tags", "mlflow.runName")}
        params: dict[str, dict[str, Any]] = {}
        for run, key, value in database.rows("params", ("run_uuid", "key", "value")):
            params.setdefault(str(run), {})[str(key)] = value
        series = _series(database)
        findings = list(database.findings)
    stages = {run: _stage(facts, experiments) for run, facts in runs.items()}
    active = [run for run in runs if stages[run] != "deleted" and run in series]
    for run in runs:
        names.setdefault(run, str(runs[run]["name"] or run))
    deleted = [names[run] for run in runs if stages[run] == "deleted" and run in series]
    if deleted:
        findings.append(_deleted(str(path), deleted))
    loaded: list[Run] = []
    for experiment in dict.fromkeys(runs[run]["experiment_id"] for run in active):
        group = str(experiments.get(experiment, (experiment, ""))[0])
        members = [run for run in active if runs[run]["experiment_id"] == experiment]
        shown = unique_names({run: names[run] for run in members})
        for run in members:
            meta = {**runs[run], "run_name": names[run], "run_id": run}
            facts = _facts(meta, settings_of(params.get(run, {})))
            facts |= {"format": FORMAT.name, "sources": sources_of(path), "group": group}
            began = _milliseconds(runs[run]["start_time"])
            label = unique_names({"": group})[""]
            loaded += _runs(f"{run_id}/{label}/{shown[run]}", series[run], facts, began)
    if not loaded:
        raise UnusableLog(*(findings or [Finding(Kind.NO_METRICS, Severity.NOTE, log=str(path))]))
    return Loaded(loaded, findings)


def _stage(run: Mapping[str, Any], experiments: Mapping[Any, tuple[Any, Any]]) -> Any:
    """Whether a run is active or deleted; it goes with its experiment."""
    stage = experiments.get(run["experiment_id"], ("", None))[1]
    return stage if stage == "deleted" else run["lifecycle_stage"]


def _pairs(database: Database, table: str, wanted: str) -> Iterator[tuple[str, Any]]:
    for run, key, value in database.rows(table, ("run_uuid", "key", "value")):
        if key == wanted:
            yield str(run), value


def _series(database: Database) -> dict[str, _Series]:
    """The values of every run by key, by time, and by their place in the table where times are equal."""
    series: dict[str, _Series] = {}
    columns = ("run_uuid", "key", "timestamp", "step", "value", "is_nan")
    for run, key, wall, step, value, is_nan in database.rows("metrics", columns):
        plain, place = number(value), number(step)
        if plain is None or (place is None and step is not None):
            continue
        if is_nan:
            plain = math.nan
        elif abs(plain) >= _LARGEST:
            plain = math.copysign(math.inf, plain)
        stored = series.setdefault(str(run), {}).setdefault(str(key), [])
        stored.append(((number(wall) or 0.0) / 1000, place or 0.0, plain))
    for keys in series.values():
        for stored in keys.values():
            stored.sort(key=lambda point: point[0])
    return series


FORMAT = Format(
    name="mlflow",
    summary="MLflow's file store (mlruns/<experiment>/<run>) and SQLite store (mlflow.db), each run of it",
    files="mlflow.db, mlruns/*/*/metrics/*",
    sniff=_sniff,
    sniff_folder=_sniff_folder,
    load=_load,
    group=_group,
    endings=frozenset({".db", ".sqlite", ".sqlite3"}),
    limits=(
        "Deleted runs, system metrics and the copies of metrics that belong to logged models are not read;"
        " stores in PostgreSQL or MySQL have no file to read: read them through their server, as"
        " mlflow:http://host:5000/EXPERIMENT."
    ),
    tested_on="MLflow 2.22 and 3.17 (file store and SQLite store)",
)
