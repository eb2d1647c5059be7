"""Tables of metrics as CSV or TSV, one row a step or an epoch.

Written by Lightning's CSVLogger (sparse rows), Keras' CSVLogger and dumps of its history, Ultralytics (padded
names), CatBoost (one file a split), flair, Ray, exports of W&B and of TensorBoard's page, and many scripts.
An empty cell, NA, None and null log nothing; nan and inf are values.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from replay.data.info import RunInfo
from replay.errors import InputError
from replay.readers.assemble import assemble
from replay.readers.clocks import is_zero_based, measures_of
from replay.readers.format import Format, Loaded
from replay.readers.points import Points, PointsBuilder, open_text, round_interval
from replay.readers.series_names import (
    held_out_of,
    is_bookkeeping,
    is_held_out,
    is_metric,
    split_of,
    step_name,
    words,
)

__all__ = ["FORMAT"]

_ABSENT = {"", "na", "n/a", "none", "null", "-", "--", "<na>"}
_INDEX = ("", "Unnamed: 0", "index")
_EXPORT = ["wall time", "step", "value"]  # TensorBoard's page
_EXPORT_NAME = re.compile(r"run-(?P<run>.*)-tag-(?P<tag>.+)")
_WANDB_COLUMN = re.compile(r"(?P<run>.+?) - (?P<name>.+?)(?P<bound>__MIN|__MAX)?")
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


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _names(line: str) -> list[str]:
    """The cells of a header line."""
    row = next(csv.reader([line], delimiter=_delimiter(line)), [])
    return [cell.strip() for cell in row]


def _number(cell: str, delimiter: str) -> float | None:
    """The value of a cell; None where nothing was logged, and for text."""
    text = cell.strip()
    if text.lower() in _ABSENT:
        return None
    if delimiter == ";" and re.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?", text, re.IGNORECASE):
        text = text.replace(",", ".")
    if "_" in text:  # float() takes 1_000 for a number
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _key(names: Sequence[str]) -> tuple[int, bool] | None:
    """Column of the step and whether it counts epochs; an index without a name counts the epochs of a Keras
    history.
    """
    found = step_name(names)
    if found is not None:
        return list(names).index(found[0]), found[1]
    return (0, True) if names and names[0] in _INDEX else None


def _lines(head: bytes) -> list[str]:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.decode("utf-8-sig", "replace")
    lines = text.splitlines()
    if len(head) >= 64 * 1024 and len(lines) > 1:
        lines.pop()  # it goes on beyond the head
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _sniff(path: Path, head: bytes) -> bool:
    if (
        (b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff"))
        or path.parent.match("plots/metrics")
        or any(parent.match("plots/metrics") for parent in path.parents)
    ):
        return False  # a DVCLive folder has one table a metric
    lines = _lines(head)
    if not lines or not any(sign in lines[0] for sign in ",;\t") or lines[0].lstrip()[:1] in ("{", "["):
        return False
    try:
        names = _names(lines[0])
        rows = list(csv.reader(lines[1:21], delimiter=_delimiter(lines[0])))
    except csv.Error:
        return False
    key = _key(names)
    if key is None or len(names) < 2 or len(set(names)) < len(names) - 1:
        return False
    if [name.lower() for name in names] == _EXPORT:
        return True
    others = [name for number, name in enumerate(names) if number != key[0]]
    if not any(is_metric(name) for name in others):
        return False
    sign = _delimiter(lines[0])
    steps = [_number(row[key[0]], sign) for row in rows if len(row) > key[0]]
    if names[key[0]] in _INDEX:  # so has many a data set
        if steps != [float(number) for number in range(len(steps))] or not any(
            "loss" in words(name) for name in others
        ):
            return False
        return all(
            _number(cell, sign) is not None or cell.strip().lower() in _ABSENT for row in rows for cell in row
        )
    known = [step for step in steps if step is not None]
    back = sum(later < earlier for earlier, later in pairwise(known))
    return not rows or (
        bool(known) and back <= max(1, len(known) // 4)
    )  # a table of models has its epochs in any order


@dataclass
class _Table:
    """What one file holds: points by column name, and what was left out."""

    names: list[str]
    by_epoch: bool
    points: dict[str, Points]
    rows: int
    first_row: set[str]  # names that the first row has a value for
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Lines:
    """The lines of a file that are no comment, from the first on; ``ended`` says whether the last one had its
    end of line.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        while line.startswith("#"):
            line = next(self._lines)
        self.ended = line.endswith(("\n", "\r"))
        return line.replace("\0", "")


class _Rows:
    """Takes the rows of a file one by one. A row is added when the next one is there: the last may be cut
    off.
    """

    def __init__(self, header: str) -> None:
        self.delimiter = _delimiter(header)
        self.points = PointsBuilder()
        self.seen: dict[str, None] = {}  # all names, in order
        self.first: set[str] = set()
        self.rows = 0
        self.longer = 0
        self._shortest: dict[int, int] = {}
        self._pending: tuple[float, list[str]] | None = None
        self._begin(_names(header))

    def _begin(self, names: list[str]) -> None:
        self.names, self.key = names, _key(names)
        self._used = [
            number
            for number, name in enumerate(names)
            if (self.key is None or number != self.key[0])
            and name not in _INDEX
            and not name.endswith(("__MIN", "__MAX"))
        ]
        self.seen.update(dict.fromkeys(names))

    def take(self, row: Sequence[str]) -> None:
        """One row of the file."""
        cells = [cell.strip() for cell in row]
        while len(cells) > len(self.names) and not cells[-1]:
            cells.pop()
        if not any(cells) or cells == self.names:
            return
        if (
            len(cells) > 1
            and _key(cells) is not None
            and all(_number(cell, self.delimiter) is None for cell in cells if cell)
        ):
            self._add()
            self._begin(cells)  # the file goes on under another header
            return
        if len(cells) > len(self.names) or self.key is None:
            self.longer += 1
            return
        self._add()
        step = _step(cells[self.key[0]], self.delimiter) if len(cells) > self.key[0] else None
        self._pending = None if step is None else (step, cells)

    def _add(self) -> None:
        if self._pending is None:
            return
        step, cells = self._pending
        values = {}
        for number in self._used:
            if number < len(cells) and (value := _number(cells[number], self.delimiter)) is not None:
                values[self.names[number]] = value
        if not self.rows:
            self.first = set(values)
        self.points.add(step, values)
        self.rows += 1
        for number, cell in enumerate(cells):
            if cell:
                self._shortest[number] = min(self._shortest.get(number, len(cell)), len(cell))
        self._pending = None

    def finish(self, ended: bool) -> bool:
        """Add the last row, unless it is cut off; then False.

        Without an end of line its last number may lack digits, which nothing in it shows but that it is
        shorter than the others.
        """
        if self._pending is not None and not ended and self.rows:
            cells = self._pending[1]
            if len(cells) < len(self.names) or (
                cells[-1] and len(cells[-1]) < self._shortest.get(len(cells) - 1, len(cells[-1]) + 1)
            ):
                return False
        self._add()
        return True


def _read(path: Path) -> _Table:
    """Raises InputError where the file has no usable header or no row."""
    csv.field_size_limit(1 << 24)
    problems: list[str] = []
    with open_text(path) as file:
        lines = _Lines(file)
        header = next((line for line in lines if line.strip()), None)
        if header is None:
            raise InputError(f"{path}: the file is empty")
        try:
            rows = _Rows(header)
        except csv.Error as error:
            raise InputError(f"{path}: its header is not readable ({error})") from None
        if rows.key is None:
            raise InputError(f"{path}: no column that could be the step; it has {', '.join(rows.names[:12])}")
        by_epoch = rows.key[1]
        try:
            for row in csv.reader(lines, delimiter=rows.delimiter):
                rows.take(row)
        except csv.Error as error:
            problems.append(
                f"{path}: row {rows.rows + 2} is not readable ({error}); the rows before are kept"
            )
        if not rows.finish(lines.ended):
            problems.append(f"{path}: its last row is cut off; it is left out")
    if rows.longer:
        problems.append(
            f"{path}: {rows.longer} rows have more values than there are column names, so which is which"
            " cannot be told; they are left out"
        )
    if not rows.rows:
        raise InputError(problems[0] if problems else f"{path}: a header, but no row under it")
    table = _Table(list(rows.seen), by_epoch, rows.points.points(), rows.rows, rows.first, problems)
    if rows.rows == 500 and any(name == "_step" or _WANDB_COLUMN.fullmatch(name) for name in rows.seen):
        table.notes.append(
            "exactly 500 rows, the size of the sample that W&B exports: values may be missing between them"
        )
    return table


def _step(cell: str, sign: str) -> float | None:
    part = re.fullmatch(r"\s*(\d+)\s*/\s*\d+\s*", cell)
    return float(part[1]) if part else _number(cell, sign)


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
    export = _EXPORT_NAME.fullmatch(path.stem)
    parts = re.split(r"[^A-Za-z0-9]+", export["run"] if export else path.stem)
    found = [part for part in parts if split_of(part) is not None]
    plain = export is not None or all(part.lower() in _PLAIN or part in found for part in parts)
    return found[-1] if found and plain else None


def _names_split(path: Path) -> bool:
    """Whether the columns themselves name a held-out split."""
    try:
        with open_text(path) as file:
            return any(is_held_out(name) for name in _names(file.readline()))
    except (OSError, csv.Error):
        return False


def _load(files: Sequence[Path], run_id: str) -> Loaded:
    runs, problems = [], list[str]()
    tables: list[tuple[Path, _Table]] = []
    for path in files:
        try:
            table = _read(path)
        except (InputError, OSError) as error:
            problems.append(str(error))
            continue
        problems += table.problems
        tables.append((path, table))
    if not tables:
        raise InputError("; ".join(problems))
    points: dict[str, Points] = {}
    notes: list[str] = []
    for path, table in tables:
        for name, series in _renamed(path, table, several=len(tables) > 1).items():
            points[name if name not in points else f"{path.stem}/{name}"] = series
        notes += table.notes
    first = tables[0][1]
    names = [name for _, table in tables for name in table.names]
    charts = {name: found for name in points if (found := _WANDB_COLUMN.fullmatch(name))}
    if points and len(charts) == len(points):  # a W&B chart: a column a run
        for run in dict.fromkeys(found["run"] for found in charts.values()):
            own = {found["name"]: points[name] for name, found in charts.items() if found["run"] == run}
            runs += _runs(f"{run_id}/{run}", files, own, first, names, notes)
    else:
        runs = _runs(run_id, files, points, first, names, notes)
    if not runs:
        raise InputError(f"{files[0]}: no column holds a number")
    return Loaded(runs, problems)


def _renamed(path: Path, table: _Table, *, several: bool) -> dict[str, Points]:
    """The series under the names that they have in the run: those of a split's file get the split in
    front.
    """
    lower = [name.lower() for name in table.names]
    export = _EXPORT_NAME.fullmatch(path.stem)
    split = _file_split(path)
    if lower == _EXPORT:
        if table.rows == 1000:
            table.notes.append(
                "exactly 1,000 rows, the most that TensorBoard's page exports: values may be missing between"
                " them"
            )
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
    table: _Table,
    names: Sequence[str],
    notes: Sequence[str],
) -> list[Any]:
    held_out = held_out_of(points)
    step_key = step_name(table.names)
    epoch = (
        None
        if table.by_epoch
        else next((name for name in points if name.lower() in ("epoch", "epochs", "train/epoch")), None)
    )
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
    zero_based = table.by_epoch and is_zero_based(used, held_out, table.first_row)
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
                "step_unit": "epoch" if table.by_epoch else "step",
                "notes": notes,
            }
        ),
        hint=lambda steps: _hint(names, table.by_epoch, step_key, steps),
    )


def _hint(names: Sequence[str], by_epoch: bool, step_key: tuple[str, bool] | None, steps: float) -> str:
    empty = sorted(held_out_of(names))
    seen = f"{empty[0]} is in its header, but without a value; " if empty else ""
    if any(name.startswith("train/box_loss") for name in names):
        return seen + "train with val=True"
    if step_key is not None and not step_key[1] and "epoch" in names:
        return (
            seen
            + "call self.log('val_loss', loss) in validation_step and pass val_dataloaders to trainer.fit"
        )
    if by_epoch and {"loss"} & set(names):
        return seen + "pass validation_data to model.fit (Keras), or write a column val_loss"
    every = f" every {round_interval(steps)} steps" if not by_epoch else ""
    return seen + f"evaluate on held-out data{every} and write it to a column named for it, such as val_loss"


FORMAT = Format(
    name="csv",
    summary=(
        "CSV or TSV of metrics: Lightning metrics.csv, Keras CSVLogger and history dumps, Ultralytics"
        " results.csv, CatBoost, exports"
    ),
    files="*.csv, *.tsv",
    sniff=_sniff,
    load=_load,
    group=_group,
)
