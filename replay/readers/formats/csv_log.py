"""Tables of metrics as CSV or TSV, one row per step or epoch.

Written by Lightning's CSVLogger (sparse rows), Keras' CSVLogger and dumps of its history, Ultralytics (padded
names), CatBoost (one file per split), flair, Ray, OpenAI's fine-tuning, the evaluators of
sentence-transformers, exports of W&B, of TensorBoard's page and of MLflow's (one value per row), and many
scripts.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from replay.data.finding import Finding, Kind, Severity
from replay.data.info import RunInfo
from replay.data.run import Run
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based, measures_of
from replay.readers.csv_table import (
    ABSENT,
    INDEX,
    PREAMBLE,
    Table,
    cell_number,
    csv_rows,
    delimiter_of,
    header_line,
    header_names,
    is_aside,
    read_open_table,
    step_column,
    step_in,
)
from replay.readers.evaluator_table import evaluator_name, is_evaluator, read_evaluator
from replay.readers.finished_model import without_last_row
from replay.readers.format import GZIP, Format, Loaded, UnusableLog, plain_name, unreadable
from replay.readers.interleaved import name_sets
from replay.readers.json_preamble import behind_json
from replay.readers.long_table import long_header, read_long
from replay.readers.placeholders import drop_placeholders
from replay.readers.points import Points, open_text, round_interval
from replay.readers.row_order import falls_throughout, sort_rows
from replay.readers.runs_in_table import counts_time, is_numbered_by_row
from replay.readers.series_names import (
    computed_beside,
    held_out_of,
    is_bookkeeping,
    is_held_out,
    is_metric,
    mean_of,
    split_of,
    step_name,
    tells_of_training,
    without_set,
    words,
)
from replay.readers.text_files import SmallText, TextLines
from replay.readers.two_clocks import place_within_epochs

__all__ = ["FORMAT"]

_EXPORT = ["wall time", "step", "value"]  # TensorBoard's page
_EXPORT_NAME = re.compile(r"run-(?P<run>.*)-tag-(?P<tag>.+)")
_WANDB_COLUMN = re.compile(r"(?P<run>.+?) - (?P<name>.+?)(?P<bound>__MIN|__MAX)?")
_EPOCHS = ("epoch", "epochs", "train/epoch", "epoch_number")
#: Rows of a file's head that are looked at, and lines in which they and the header are.
_HEAD_ROWS, _HEAD_LINES = 20, 20 + PREAMBLE + 1
_PLAIN = {
    "",
    "error",
    "errors",
    "log",
    "logs",
    "metrics",
    "loss",
    "losses",
    "history",
    "results",
    "result",
    "scores",
    "curve",
}


def _lines(head: bytes) -> list[str]:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.decode("utf-8-sig", "replace")
    lines = behind_json(text.replace("\0", "")).splitlines()
    if len(head) >= 64 * 1024 and len(lines) > 1:
        lines.pop()  # it goes on beyond the head
    used = (line for line in lines if line.strip() and not is_aside(line))
    return list(islice(used, _HEAD_LINES))


def _sniff(path: Path, head: bytes) -> bool:
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if begin == b"[" or (begin == b"{" and plain_name(path).suffix.lower() not in (".csv", ".tsv")):
        return False
    if (
        # zero bytes after the header are what a full disk or a crash leaves
        (b"\0" in head.split(b"\n", 1)[0] and head[:2] not in (b"\xff\xfe", b"\xfe\xff"))
        or ("plots", "metrics") in pairwise(path.parent.parts)
    ):
        return False  # a DVCLive folder has one table per metric
    lines = _lines(head)
    if not lines or lines[0].lstrip()[:1] in ("{", "["):
        return False
    rest = iter(lines)
    try:
        header = header_line(rest) or ""
        # bars part the cells of tables that are printed as well, which are text
        signs = ",;\t|" if path.suffix.lower() in (".csv", ".tsv", ".psv") else ",;\t"
        if not any(sign in header for sign in signs) or header.startswith("|"):
            return False
        names, sign = header_names(header), delimiter_of(header)
        rows = list(csv_rows(islice(rest, _HEAD_ROWS), sign))
    except csv.Error:
        return False
    if is_evaluator(names):
        return True
    long = long_header(names)
    if long is not None:
        return any(len(row) > long.name and is_metric(row[long.name].strip()) for row in rows)
    key = step_column(names)
    if key is None and is_numbered_by_row(names):
        cells = [cell_number(cell, sign) for row in rows for cell in row if cell.strip()]
        return len(rows) > 1 and None not in cells
    if key is None or len(names) < 2 or len(set(names)) < len(names) - 1:
        return False
    if [name.lower() for name in names] == _EXPORT:
        return True
    others = [name for number, name in enumerate(names) if number != key[0]]
    if not tells_of_training(others):
        return False
    steps = [step_in(row[key[0]], sign) for row in rows if len(row) > key[0]]
    if rows and not any(step is not None for step in steps) and "epoch" in names:
        steps = [step_in(row[names.index("epoch")], sign) for row in rows if len(row) == len(names)]
    if names[key[0]] in INDEX:  # so has many a data set
        if steps != [float(number) for number in range(len(steps))] or not any(
            "loss" in words(name) or mean_of(name) in names for name in others
        ):
            return False
        return all(
            cell_number(cell, sign) is not None or cell.strip().lower() in ABSENT
            for row in rows
            for cell in row
        )
    known = [step for step in steps if step is not None]
    if key[1] and counts_time(known) and not any(map(is_held_out, others)):
        return False
    back = sum(later < earlier for earlier, later in pairwise(known))
    if not rows or not known:
        return not rows
    # a table of models has its epochs in any order
    return back <= max(1, len(known) // 4) or falls_throughout(np.array(known))


def _group(paths: Sequence[Path]) -> list[list[Path]]:
    """Files of one run: the splits of one table (``learn_error.tsv``, ``test_error.tsv``), the tags of one
    exported run.
    """
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        export = _EXPORT_NAME.fullmatch(path.stem)
        name = path.name
        if export is not None:
            name = "run-" + _other_words(export["run"])
        elif path.stem.endswith("results") and is_evaluator(_header(path)):
            name = "evaluators"
        elif _file_split(path) is not None and not _names_split(path):
            name = f"split {_other_words(path.stem)}{path.suffix}"
        groups.setdefault((path.parent, name), []).append(path)
    return list(groups.values())


def _other_words(text: str) -> str:
    return " ".join(part for part in re.split(r"[^A-Za-z0-9]+", text) if split_of(part) is None)


def _file_split(path: Path) -> str | None:
    """The word of a file's name that names a split: ``test`` of ``test_error.tsv``, but not of
    ``test_run_3.csv``.
    """
    return _split_in(path.stem)


@lru_cache(4096)
def _split_in(stem: str) -> str | None:
    export = _EXPORT_NAME.fullmatch(stem)
    parts = re.split(r"[^A-Za-z0-9]+", export["run"] if export else stem)
    splits = [part for part in parts if split_of(part) is not None]
    plain = export is not None or all(part.lower() in _PLAIN or part in splits for part in parts)
    return splits[-1] if splits and plain else None


def _names_split(path: Path) -> bool:
    """Whether the columns themselves name a held-out split."""
    return any(is_held_out(name) for name in _header(path))


def _header(path: Path) -> list[str]:
    """The names in the first line of a file; none where it cannot be read."""
    try:
        with open_text(path) as file:
            return _names_in(file)
    except OSError:
        return []


def _names_in(file: TextLines | SmallText) -> list[str]:
    try:
        return header_names(file.readline())
    except csv.Error:
        return []


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    runs: list[Run] = []
    findings: list[Finding] = []
    tables: list[tuple[Path, Table]] = []
    for path in files:
        try:
            with open_text(path) as file:
                header = _names_in(file)
                if long_header(header) is not None:
                    return _load_long(path, run_id)
                file.seek(0)
                table = read_evaluator(path) if is_evaluator(header) else read_open_table(path, file)
        except UnusableLog as error:
            findings.append(error.finding)
            continue
        except OSError as error:
            findings.append(unreadable(path, error, "file"))
            continue
        findings += table.findings
        tables.append((path, table))
    if not tables:
        raise UnusableLog(*findings)
    _order_exports([table for _, table in tables])
    points: dict[str, Points] = {}
    for path, table in tables:
        for name, series in _rename(path, table, several=len(tables) > 1).items():
            if name == "epoch" and name in points and is_evaluator(table.names):
                continue  # each evaluator of a training repeats it
            points[name if name not in points else f"{path.stem}/{name}"] = series
    samples = [sample for _, table in tables if (sample := _sample(table)) is not None]
    samples += [
        Finding(Kind.ROWS_AS_EPOCHS, Severity.NOTE, facts={"rows": table.rows})
        for _, table in tables
        if table.by_row
    ]
    first = tables[0][1]
    names = [name for _, table in tables for name in table.names]
    charts = {name: match for name in points if (match := _WANDB_COLUMN.fullmatch(name))}
    if points and len(charts) == len(points):  # a W&B chart: one column per run
        for run in dict.fromkeys(match["run"] for match in charts.values()):
            columns = {match["name"]: points[name] for name, match in charts.items() if match["run"] == run}
            runs += _runs(f"{run_id}/{run}", files, columns, first, names, samples)
    elif first.trainings and len(tables) == 1:
        for label, part in first.trainings.items():
            made = _runs(f"{run_id}#{label}", files, part, first, names, samples)
            runs += [run.replace(info=run.info.replace(group=run_id)) for run in made]
    else:
        runs = _runs(run_id, files, points, first, names, samples)
    if not runs:
        raise UnusableLog(Finding(Kind.NO_VALUES, log=str(files[0]), facts={"format": FORMAT.name}))
    findings += [
        dataclasses.replace(sample, severity=Severity.WARNING, log=str(path))
        for path, table in tables
        if (sample := _sample(table)) is not None
    ]
    return Loaded(runs, findings)


def _load_long(path: Path, run_id: str) -> Loaded:
    """The runs of a table with one value per row."""
    runs: list[Run] = []
    findings: list[Finding] = []
    tables = read_long(path)
    for name, table in tables.items():
        findings += table.findings
        one = run_id if len(tables) == 1 else f"{run_id}/{name or 'unnamed'}"
        runs += _runs(one, [path], table.points, table, table.names, [])
    if not runs:
        raise UnusableLog(Finding(Kind.NO_VALUES, log=str(path), facts={"format": FORMAT.name}))
    return Loaded(runs, findings)


def _order_exports(tables: Sequence[Table]) -> None:
    """Put the rows of exported tags in one arrival order, by their wall times."""
    if len(tables) < 2 or any([name.lower() for name in table.names] != _EXPORT for table in tables):
        return
    walls = [table.points[table.names[0]] for table in tables if table.names[0] in table.points]
    if len(walls) < len(tables) or any(
        len(wall.order) < table.rows for wall, table in zip(walls, tables, strict=True)
    ):
        return
    rank = np.empty(sum(len(wall.value) for wall in walls), dtype=np.int64)
    rank[np.argsort(np.concatenate([wall.value for wall in walls]), kind="stable")] = np.arange(
        1, len(rank) + 1
    )
    begin = 0
    for table, wall in zip(tables, walls, strict=True):
        of_row = rank[begin : begin + len(wall.value)]
        begin += len(wall.value)
        table.points = {
            name: Points(np.maximum.accumulate(of_row[series.order - 1]), series.step, series.value)
            for name, series in table.points.items()
        }


def _sample(table: Table) -> Finding | None:
    """The finding that a table has as many rows as a tool exports at most."""
    tool = None
    if table.rows == 500 and any(name == "_step" or _WANDB_COLUMN.fullmatch(name) for name in table.names):
        tool = "W&B"
    elif table.rows == 1000 and [name.lower() for name in table.names] == _EXPORT:
        tool = "TensorBoard"
    if tool is None:
        return None
    return Finding(Kind.SAMPLED_EXPORT, Severity.NOTE, facts={"tool": tool, "rows": table.rows})


def _rename(path: Path, table: Table, *, several: bool) -> dict[str, Points]:
    """The series under the names that they have in the run: those of a split's file get the split in
    front.
    """
    if is_evaluator(table.names):
        label = evaluator_name(path)
        return {
            f"{label}/{name}" if several and name != "epoch" else name: series
            for name, series in table.points.items()
        }
    lower = [name.lower() for name in table.names]
    export = _EXPORT_NAME.fullmatch(path.stem)
    split = _file_split(path)
    if lower == _EXPORT:
        tag = export["tag"] if export else path.stem
        names = {
            table.names[2]: f"{split}/{tag}" if split and export and not is_held_out(tag) else tag,
            table.names[0]: "wall time",
        }
    elif (
        split is not None
        and (several or split_of(split) == "held-out")
        and not any(is_held_out(name) for name in table.names)
    ):
        names = {name: f"{split}/{name}" for name in table.points if not is_bookkeeping(name)}
    else:
        names = {}
    return {names.get(name, name): series for name, series in table.points.items()}


def _runs(
    run_id: str,
    files: Sequence[Path],
    points: dict[str, Points],
    table: Table,
    names: Sequence[str],
    findings: Sequence[Finding],
) -> list[Run]:
    finished: list[Finding] = []
    if not table.by_epoch and not is_evaluator(table.names):
        points, finished = without_last_row(points, held_out_of(points), table.rows)
    points, in_order = sort_rows(points)
    points, filled = drop_placeholders(points, held_out_of(points))
    points, interleaved = name_sets(points, held_out_of(points))
    evaluator = is_evaluator(table.names)
    held_out = points.keys() - {"epoch"} if evaluator else held_out_of(points)
    held_out |= computed_beside(table.names) & points.keys()
    unclear = without_set(table.names) & points.keys() - held_out
    if unclear:
        facts = {"metrics": tuple(sorted(unclear))}
        findings = [*findings, Finding(Kind.COLUMNS_WITHOUT_SET, Severity.NOTE, facts=facts)]
    step_key = step_name(table.names)
    epoch = None if table.by_epoch else next((name for name in points if name.lower() in _EPOCHS), None)
    counters, companions = measures_of(points, held_out)
    used = {
        name: series
        for name, series in points.items()
        if name in held_out
        or name == epoch
        or name in counters
        or name in companions
        or not is_bookkeeping(name)
    }
    zero_based = table.by_epoch and not evaluator and is_zero_based(used, held_out, table.first_row)
    within = (
        place_within_epochs(used, held_out, zero_based=_begins_at_0(used))
        if table.by_epoch and not evaluator
        else None
    )
    if within is not None:
        used, zero_based = within, False
        findings = [*findings, Finding(Kind.WITHIN_EPOCHS, Severity.NOTE)]
    return assemble(
        run_id,
        used,
        held_out=held_out,
        epoch=epoch,
        counters=counters,
        companions=companions,
        zero_based=zero_based,
        info=RunInfo.of(
            {
                "format": FORMAT.name,
                "sources": files,
                "validation_sets": ("test",) if names[:1] == ["iter"] and _is_catboost(files) else (),
                "step_unit": "epoch" if table.by_epoch else "step",
                "findings": [*findings, *in_order, *filled, *interleaved, *finished],
            }
        ),
        hint=lambda steps: _hint(names, table.by_epoch, step_key, steps),
    )


def _is_catboost(files: Sequence[Path]) -> bool:
    """Whether CatBoost wrote a table: it calls what its overfitting detector stops on ``test``."""
    return any(plain_name(path).name == "test_error.tsv" for path in files)


def _begins_at_0(points: Mapping[str, Points]) -> bool:
    return min((float(series.step.min()) for series in points.values() if len(series.step)), default=1) == 0


def _hint(
    names: Sequence[str], by_epoch: bool, step_key: tuple[str, bool] | None, steps: float
) -> dict[str, Any]:
    """The tool that wrote the table, how often it might evaluate, and the first held-out column without a
    value.
    """
    empty = min(held_out_of(names), default=None)
    if any(name.startswith("train/box_loss") for name in names):
        tool = "ultralytics"
    elif step_key is not None and not step_key[1] and "epoch" in names:
        tool = "lightning"
    elif by_epoch and "loss" in names:
        tool = "keras"
    else:
        tool = "csv"
    return {"tool": tool, "every": None if by_epoch else round_interval(steps), "empty": empty}


FORMAT = Format(
    name="csv",
    summary=(
        "CSV or TSV of metrics: Lightning metrics.csv, Keras CSVLogger and history dumps, Ultralytics"
        " results.csv, CatBoost, sentence-transformers' evaluators, OpenAI's fine-tuning, exports of"
        " W&B, MLflow and TensorBoard"
    ),
    files="*.csv, *.tsv",
    limits=(
        "lists and texts in cells are not values; a table needs a column named like a step or an epoch"
        " and one named like a metric, otherwise name them (--step, --metric); exports of W&B (500 rows) and"
        " of TensorBoard's page (1,000 rows) are samples, and the output says so"
    ),
    tested_on=(
        "Keras 3.15, Lightning 2.6.6, fastai 2.8, flair 0.15, Ultralytics 8.4 (its layout alone),"
        " sentence-transformers 6.2, XGBoost 3.2 and CatBoost 1.2.10, and older files from public"
        " repositories; the layouts of sentence-transformers 2 to 5, of MLflow's page and of OpenAI's"
        " fine-tuning, written by hand"
    ),
    sniff=_sniff,
    endings=frozenset({GZIP}),
    load=_load,
    only_its_files=True,
    group=_group,
)
