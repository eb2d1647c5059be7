"""Long tables: one value per row, with the metric's name in a column of its own.

MLflow's page exports its metrics so (``Run, Run ID, metric, step, timestamp, value``), and so does whatever
melts a table. A column of runs makes each of them a run of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from replay.data.finding import Finding, Kind
from replay.data.names import canonical
from replay.readers.csv_table import Table, cell_number, csv_rows, delimiter_of, header_names
from replay.readers.format import UnusableLog
from replay.readers.points import PointsBuilder, open_text
from replay.readers.series_names import step_name
from replay.readers.splits import find_set, is_set_column, names_in_set

__all__ = ["LongHeader", "long_header", "read_long"]

_NAMES = ("metric", "metric_name", "metrics", "key", "tag", "variable", "series", "name")
_VALUES = ("value", "metric_value", "val", "y", "score", "result", "measurement", "scalar")
_RUNS = ("run_id", "run_uuid", "run", "run_name", "trial_id", "trial", "experiment")
_CLOCKS = ("timestamp", "wall_time", "time")


class LongHeader:
    """The columns of a long table."""

    def __init__(self, names: Sequence[str], name: int, value: int, step: int) -> None:
        plain = [canonical(one) for one in names]
        self.name, self.value, self.step = name, value, step
        self.step_is_epoch = plain[step] in ("epoch", "epochs")
        self.run = next((plain.index(one) for one in _RUNS if one in plain), None)
        self.clock = next((plain.index(one) for one in _CLOCKS if one in plain), None)
        self.epoch = plain.index("epoch") if "epoch" in plain and not self.step_is_epoch else None
        self.sets = [
            at for at, one in enumerate(names) if is_set_column(one) and at not in (name, value, step)
        ]


def long_header(names: Sequence[str]) -> LongHeader | None:
    """The columns of a long table, or None where a header is not that of one."""
    return _long_header(tuple(names))


@lru_cache(1024)
def _long_header(names: tuple[str, ...]) -> LongHeader | None:
    plain = [canonical(one) for one in names]
    name = next((plain.index(one) for one in _NAMES if one in plain), None)
    value = next((plain.index(one) for one in _VALUES if one in plain), None)
    step = step_name(names)
    if name is None or value is None or step is None:
        return None
    at = list(names).index(step[0])
    return LongHeader(names, name, value, at) if len({name, value, at}) == 3 else None


def read_long(path: Path) -> dict[str, Table]:
    """The tables of a long file by run, under "" where no column names the run.

    Raises UnusableLog where no row can be used, and OSError.
    """
    findings: list[Finding] = []
    tables: dict[str, PointsBuilder] = {}
    names: dict[str, dict[str, None]] = {}
    rows, cut, line = 0, False, ""
    with open_text(path) as file:
        first = file.readline()
        header, sign = long_header(header_names(first)), delimiter_of(first)
        columns = header_names(first)
        if header is None:
            raise UnusableLog(Finding(Kind.NO_STEP, log=str(path), facts={"columns": tuple(columns[:12])}))
        try:
            for row in csv_rows((line := text.replace("\0", "") for text in file), sign):
                if len(row) != len(columns) or (row == columns):
                    cut = bool(row) and row != columns
                    continue
                step, value = cell_number(row[header.step], sign), cell_number(row[header.value], sign)
                name = row[header.name].strip()
                if step is None or value is None or not name:
                    continue
                values = {name: value}
                found = find_set((columns[at], row[at].strip()) for at in header.sets)
                if found is not None:
                    values = names_in_set(values, found)
                for at, target in ((header.clock, "timestamp"), (header.epoch, "epoch")):
                    extra = None if at is None else cell_number(row[at], sign)
                    if extra is not None:
                        values[target] = extra / 1000 if target == "timestamp" and extra > 1e11 else extra
                run = "" if header.run is None else row[header.run].strip()
                tables.setdefault(run, PointsBuilder()).add(step, values)
                names.setdefault(run, {}).update(dict.fromkeys(values))
                rows += 1
        except csv.Error as error:
            facts = {"row": rows + 2, "error": str(error)}
            findings.append(Finding(Kind.INVALID_ROW, log=str(path), facts=facts))
        findings += file.findings(path)
    if cut and not line.endswith(("\n", "\r")):
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "row"}))
    if not tables:
        raise UnusableLog(findings[0] if findings else Finding(Kind.NO_ROWS, log=str(path)))
    made = {}
    for at, (run, builder) in enumerate(tables.items()):
        table = Table(
            list(names[run]),
            header.step_is_epoch,
            builder.points(),
            rows,
            set(names[run]),
            findings if not at else [],
        )
        made[run] = table
    return made
