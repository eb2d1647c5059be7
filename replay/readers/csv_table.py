"""A table of text: the rows of a CSV or TSV file as points by column, cell by cell.

An empty cell, NA, None and null log nothing; nan and inf are values.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding, Kind
from replay.errors import printable
from replay.readers.format import UnusableLog
from replay.readers.json_preamble import behind_json, lines_behind_json
from replay.readers.points import Points, PointsBuilder, RowBlock, count, number, open_text
from replay.readers.runs_in_table import (
    is_numbered_by_row,
    may_tell_runs,
    run_column,
    summarised_by,
    trainings_of,
)
from replay.readers.series_names import is_held_out, mean_of, step_name
from replay.readers.splits import find_set, is_flag, is_set_column, names_a_set, names_in_set
from replay.readers.text_files import SmallText, TextLines

__all__ = [
    "ABSENT",
    "INDEX",
    "PREAMBLE",
    "Table",
    "cell_number",
    "csv_rows",
    "delimiter_of",
    "header_line",
    "header_names",
    "is_aside",
    "read_open_table",
    "read_table",
    "step_column",
    "step_in",
]

#: Cells that log nothing.
ABSENT = {"", "na", "n/a", "none", "null", "-", "--", "<na>"}
#: Rows that tell what kind of table it is.
_LOOKED_AT = 200
#: Rows that are taken at a time.
_BLOCK = 4096
_DECIMAL_COMMA = re.compile(r"[-+]?(\d+),(\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
#: A number with points between its thousands and a decimal comma, and one with other signs between them.
_GROUPED_COMMA = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+,\d+")
_SPACED = re.compile(r"[-+]?[1-9]\d{0,2}(?:[ '\u2019\u00a0\u2009\u202f]\d{3})+(?:[.,]\d+)?")
_SPACES = re.compile(r"[ '\u2019\u00a0\u2009\u202f]")
#: A step with signs between its thousands, and a number with a decimal sign.
_GROUPED_STEP = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3})+|(?:\.\d{3})+)")
_DECIMAL = re.compile(r"[-+]?\d+([.,])\d+\s?%?")
#: A step that is written with a word, or with the number of all steps.
_PLACE = re.compile(
    r"\s*(?:(?:epoch|ep|step|iter|iteration|round)s?)?[\s_:#-]*(\d{1,12})(?:\s*/\s*\d+)?\s*", re.IGNORECASE
)
#: A setting in front of a table.
_SETTING = re.compile(r"[A-Za-z][\w ()-]{0,60}: ?\S.{0,200}")
#: Lines that may stand before the header: a title, settings.
PREAMBLE = 20
#: Names of a column that numbers the rows.
INDEX = ("", "Unnamed: 0", "index")


def delimiter_of(line: str) -> str:
    """The sign between the cells of a line: comma, semicolon, tab or, where there is none of these, a bar."""
    sign = max(",;\t", key=line.count)
    return "|" if sign not in line and "|" in line else sign


def is_aside(line: str) -> bool:
    """Whether a line is no row: a comment, or one that tells Excel which sign parts the cells (``sep=;``)."""
    return line[:1] == "#" or (line[:4].lower() == "sep=" and len(line.strip()) == 5)


def csv_rows(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """The cells of each row, up to 16 MiB long; raises csv.Error.

    The limit of the csv module holds for the whole process, so it is set back.
    """
    limit = csv.field_size_limit(1 << 24)
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    finally:
        csv.field_size_limit(limit)


def header_names(line: str) -> list[str]:
    """The cells of a header line."""
    row = next(csv_rows([line], delimiter_of(line)), [])
    return [cell.strip() for cell in row]


def cell_number(cell: str, delimiter: str) -> float | None:
    """The value of a cell; None where nothing was logged, and for text."""
    try:
        return None if "_" in cell or not cell else float(cell)  # float() takes 1_000 for a number
    except ValueError:
        pass
    text = cell.strip()
    if text.lower() in ABSENT:
        return None
    if not any(map(str.isdigit, text)):
        return None
    if text.endswith("%"):
        text = text[:-1].rstrip()
    if _GROUPED_COMMA.fullmatch(text):
        text = text.replace(".", "")
    elif _SPACED.fullmatch(text):
        text = _SPACES.sub("", text)
    # where commas do not part the cells, they are decimal ones; a quoted 1,250 is a thousand all the same
    comma = _DECIMAL_COMMA.fullmatch(text)
    if comma is not None and (delimiter != "," or comma[1] == "0" or len(comma[2]) != 3):
        return float(text.replace(",", "."))
    return number(text)


def step_column(names: Sequence[str]) -> tuple[int, bool] | None:
    """Column of the step and whether it counts epochs; an index without a name counts the epochs of a Keras
    history, or the rounds of a cross-validation.
    """
    step = step_name(names)
    if step is not None:
        return list(names).index(step[0]), step[1]
    if not names or names[0] not in INDEX:
        return None
    return 0, not any(mean_of(name) in names for name in names)


@dataclass
class Table:
    """What one file holds: points by column name, and what was left out.

    ``trainings`` holds the points of each training by its label, where a column tells several apart; those of
    the first are ``points`` then.
    """

    names: list[str]
    by_epoch: bool
    points: dict[str, Points]
    rows: int
    first_row: set[str]  # names that the first row has a value for
    findings: list[Finding]
    by_row: bool = False  # there is no column for the step
    trainings: dict[str, dict[str, Points]] = field(default_factory=dict)


class _Lines:
    """The lines of a file without comments and zero bytes.

    ``ended`` says whether the last of them had an end of line, ``zeros`` whether there were zero bytes.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = self._read(lines)
        self._last = "\n"
        self.zeros = False

    def __iter__(self) -> Iterator[str]:
        return self._lines

    @property
    def ended(self) -> bool:
        return self._last.endswith(("\n", "\r"))

    def _read(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if line[:1] in "#sS" and is_aside(line):
                continue
            self._last = line
            if "\0" in line:
                self.zeros = True
                yield line.replace("\0", "")
            else:
                yield line


class _Rows:
    """Takes the rows of a file one by one. A row is added when the next one has come, since the last one may
    be cut off.
    """

    def __init__(self, header: str, *, by_epoch: bool) -> None:
        self._without_steps = by_epoch
        self.delimiter = delimiter_of(header)
        self.points = PointsBuilder()
        self.seen: dict[str, None] = {}  # all names, in order
        self.first: set[str] = set()
        self.rows = 0
        self.longer = 0
        self.without_step = 0
        self.placed: list[tuple[str, float]] = []  # label of the training and step of each row
        self._looked_at: list[tuple[list[str], list[str]]] = []  # names and cells of the first rows
        self._last_step: float | None = None
        self._shortest: dict[int, int] = {}  # of the cells in the last column, by the number of columns
        self._pending: tuple[float, list[str]] | None = None
        self._begin(header_names(header))

    def _begin(self, names: list[str]) -> None:
        self.names, self.key = names, step_column(names)
        self.by_row = self.key is None and is_numbered_by_row(names)
        if self.by_row:
            self.key = (-1, True)
        self._epoch = next((at for at, name in enumerate(names) if name.lower() in ("epoch", "epochs")), None)
        if self._without_steps and self._epoch is not None:
            self.key = (self._epoch, True)
        label = run_column(names)
        self._label = None if label is None else names.index(label)
        self._used = [
            at
            for at, name in enumerate(names)
            if (self.key is None or at != self.key[0])
            and name not in INDEX
            and not is_flag(name)
            and not name.endswith(("__MIN", "__MAX"))
        ]
        self.seen.update(dict.fromkeys(names))
        self._sets: list[int] | None = None  # the columns that name a set, which the first row shows
        self._plain = (
            not self.by_row
            and self._label is None
            and len(set(names)) == len(names)
            and not any(map(is_set_column, names))
        )

    def take_all(self, rows: Sequence[list[str]], *, whole: bool) -> None:
        """Rows of the file; ``whole`` says that the last of them is not cut off."""
        complete = rows if whole else rows[:-1]
        numbers = None
        if not set(map(len, complete)) - {len(self.names)}:
            cells = list(chain.from_iterable(complete))
            numbers = None if "_" in "".join(cells) else self._numbers(cells)
        if numbers is None:
            for row in rows:
                self.take(row)
            return
        self._add()
        if len(numbers):
            self._add_numbers(cells, numbers)
        if not whole:
            self.take(rows[-1])

    def take_text(self, text: str) -> bool:
        """What `take_all` does with the rows of a text, where each cell is a plain number; else False, and
        nothing is taken.
        """
        if not text.endswith("\n") or any(sign in text for sign in '"#\0_\r'):
            return False
        between = len(self.names) - 1
        lines = text[:-1].split("\n")
        if {line.count(self.delimiter) for line in lines} != {between} or not between:
            return False
        cells = text[:-1].replace("\n", self.delimiter).split(self.delimiter)
        numbers = self._numbers(cells)
        if numbers is None:
            return False
        self._add()
        self._add_numbers(cells, numbers)
        return True

    def _numbers(self, cells: Sequence[str]) -> npt.NDArray[np.float64] | None:
        """The cells of rows that hold a number in each column, and a step; None where there are others, or
        where a column is about more than values. No cell has an underscore, as float() takes 1_000 for a
        number.
        """
        if not self._plain or self.key is None:
            return None
        try:
            numbers = np.array(list(map(float, cells)), dtype=np.float64)
        except ValueError:
            return None
        numbers = numbers.reshape(-1, len(self.names))
        return numbers if np.isfinite(numbers[:, self.key[0]]).all() else None

    def _add_numbers(self, cells: Sequence[str], numbers: npt.NDArray[np.float64]) -> None:
        """Add rows of which each cell is a number: what `take` and `_add` do with each of them."""
        assert self.key is not None
        self._sets = []
        count, width = numbers.shape
        names = tuple(self.names[at] for at in self._used)
        steps = numbers[:, self.key[0]].copy()
        if not self.rows:
            self.first = set(names)
        few = min(max(_LOOKED_AT - self.rows, 0), count)
        self._looked_at += [(self.names, list(cells[at * width : at * width + width])) for at in range(few)]
        values = numbers.T.take(self._used, axis=0)
        self.points.add_rows(RowBlock(names, np.arange(1, count + 1), steps, values))
        self.points.count_rows(count)
        self.placed += [("", step) for step in steps.tolist()]
        self.rows += count
        shortest = min(map(len, map(str.strip, cells[width - 1 :: width])))
        self._shortest[len(self.names)] = min(self._shortest.get(len(self.names), shortest), shortest)
        self._last_step = self.placed[-1][1]

    def take(self, row: Sequence[str]) -> None:
        """One row of the file."""
        self._add()  # the row before is complete, as another one follows
        cells = [cell.strip() for cell in row]
        while len(cells) > len(self.names) and not cells[-1]:
            cells.pop()
        if not any(cells) or cells == self.names:
            return
        if (
            len(cells) > 1
            and all(cell_number(cell, self.delimiter) is None for cell in cells if cell)
            and step_column(cells) is not None
        ):
            self._begin(cells)  # the file goes on under another header
            return
        if len(cells) > len(self.names) or self.key is None:
            self.longer += 1
            return
        if self._sets is None:
            self._sets = [
                at
                for at, (name, cell) in enumerate(zip(self.names, cells, strict=False))
                if names_a_set(name, cell)
            ]
        if self.by_row:
            step: float | None = float(len(self.placed) + 1)
        else:
            step = self._step(cells, self.key[0]) if len(cells) > self.key[0] else None
        if self.rows < _LOOKED_AT:
            self._looked_at.append((self.names, cells))
        if step is None and not self.key[1] and self._has_epoch(cells):
            step = self._last_step  # a row of its own, of an eval after the step before
        else:
            self._last_step = step
        self._pending = None if step is None else (step, cells)
        if step is None and self._has_metric(cells):
            self.without_step += 1

    def _step(self, cells: Sequence[str], at: int) -> float | None:
        """The step in a row. Where commas do not part the cells, the other cells say which sign is the
        decimal one: the other of the two parts the thousands of a step.
        """
        cell = cells[at]
        if self.delimiter != "," and _GROUPED_STEP.fullmatch(cell) and self.key == (at, False):
            others = (_DECIMAL.fullmatch(other) for place, other in enumerate(cells) if place != at)
            signs = {match[1] for match in others if match is not None}
            if signs and signs.isdisjoint(cell):
                return float(re.sub("[.,]", "", cell))
        return step_in(cell, self.delimiter)

    def first_cells(self) -> dict[str, list[str]]:
        """The first cells of each column that may tell finished runs apart."""
        columns: dict[str, list[str]] = {}
        if any(map(may_tell_runs, self.seen)):
            for names, cells in self._looked_at:
                for name, cell in zip(names, cells, strict=False):
                    columns.setdefault(name, []).append(cell)
        return columns

    @property
    def has_epochs(self) -> bool:
        """Whether there is a column of epochs."""
        return self._epoch is not None

    def _has_metric(self, cells: Sequence[str]) -> bool:
        return any(
            is_held_out(self.names[number]) and cell_number(cells[number], self.delimiter) is not None
            for number in self._used
            if number < len(cells)
        )

    def _has_epoch(self, cells: Sequence[str]) -> bool:
        at = self._epoch
        return at is not None and at < len(cells) and cell_number(cells[at], self.delimiter) is not None

    def _add(self) -> None:
        if self._pending is None:
            return
        step, cells = self._pending
        values = {}
        names, delimiter = self.names, self.delimiter
        for at in self._used:
            if at < len(cells) and (value := cell_number(cells[at], delimiter)) is not None:
                values[names[at]] = value
        if self._sets:
            fields = ((names[number], cells[number]) for number in self._sets if number < len(cells))
            row_set = find_set(fields)
            if row_set is not None:
                values = names_in_set(values, row_set)
        if not self.rows:
            self.first = set(values)
        self.points.add(step, values)
        label = "" if self._label is None or self._label >= len(cells) else cells[self._label]
        self.placed.append((label, step))
        self.rows += 1
        if len(cells) == len(names) and cells[-1]:
            length = len(cells[-1])
            self._shortest[len(cells)] = min(self._shortest.get(len(cells), length), length)
        self._pending = None

    def finish(self, ended: bool) -> bool:
        """Add the last row, unless it is cut off; then False.

        Without an end of line its last number may lack digits, which nothing in it shows but that it is
        shorter than the others.
        """
        if self._pending is not None and not ended and self.rows:
            cells = self._pending[1]
            if len(cells) < len(self.names) or (
                cells[-1] and len(cells[-1]) < self._shortest.get(len(cells), len(cells[-1]) + 1)
            ):
                return False
        self._add()
        return True


def header_line(lines: Iterator[str]) -> str | None:
    """The line that names the columns: the first that is not blank, or one with a step among the next lines
    where the first ones are no header: a title in a single cell, or settings (``Train samples: 800``). Raises
    csv.Error.
    """
    first = next((line for line in lines if line.strip()), None)
    if first is None or not _is_preamble(first):
        return first
    for line in islice(lines, PREAMBLE):
        names = header_names(line)
        if len(names) > 1 and not _is_preamble(line):
            return line if step_column(names) is not None else first
    return first


def _is_preamble(line: str) -> bool:
    """Whether a line is none of the table: one cell, or a cell of text with a value behind a colon."""
    names = header_names(line)
    if len(names) < 2:
        return True
    return step_column(names) is None and any(_SETTING.fullmatch(name) for name in names)


def _blocks(rows: Iterator[list[str]], lines: _Lines) -> Iterator[tuple[list[list[str]], bool]]:
    """Rows in blocks, and whether the last row of each is known not to be cut off. Raises csv.Error, after
    the rows before it.
    """
    block: list[list[str]] = []
    try:
        for row in rows:
            if len(block) == _BLOCK:
                yield block, True
                block = []
            block.append(row)
    except csv.Error:
        if block:
            yield block, False
        raise
    if block:
        yield block, lines.ended


def read_table(path: Path, *, by_epoch: bool = False) -> Table:
    """The table that a file holds. Raises UnusableLog where it has no usable header or no row.

    With ``by_epoch``, rows are placed by their epochs although there is a column of steps.
    """
    with open_text(path) as file:
        return read_open_table(path, file, by_epoch=by_epoch)


def read_open_table(path: Path, file: TextLines | SmallText, *, by_epoch: bool = False) -> Table:
    """What `read_table` gives of a file that is open."""
    findings: list[Finding] = []
    if isinstance(file, SmallText):
        text = file.getvalue()
        if (rest := behind_json(text)) is not text:
            file = SmallText(rest, newline="")
        lines = _Lines(file)
    else:
        lines = _Lines(lines_behind_json(iter(file)))
    try:
        header = header_line(iter(lines))
        if header is None:
            raise UnusableLog(Finding(Kind.EMPTY_FILE, log=str(path)))
        rows = _Rows(header, by_epoch=by_epoch)
    except csv.Error as error:
        facts = {"format": "csv", "error": str(error)}
        raise UnusableLog(Finding(Kind.INVALID_HEADER, log=str(path), facts=facts)) from None
    if rows.key is None:
        raise UnusableLog(Finding(Kind.NO_STEP, log=str(path), facts={"columns": tuple(rows.names[:12])}))
    taken = isinstance(file, SmallText) and rows.take_text(file.getvalue()[file.tell() :])
    try:
        for block, whole in () if taken else _blocks(csv_rows(iter(lines), rows.delimiter), lines):
            rows.take_all(block, whole=whole)
    except csv.Error as error:
        row_facts = {"row": rows.rows + 2, "error": str(error)}
        findings.append(Finding(Kind.INVALID_ROW, log=str(path), facts=row_facts))
    if not rows.finish(lines.ended):
        findings.append(Finding(Kind.CUT_OFF, log=str(path), facts={"part": "row"}))
    findings += file.findings(path) + rows.points.findings(path)
    if rows.longer:
        findings.append(Finding(Kind.LONG_ROWS, log=str(path), facts={"rows": rows.longer}))
    if rows.without_step:
        counts = {"rows": rows.without_step, "of": rows.rows + rows.without_step}
        findings.append(Finding(Kind.ROWS_WITHOUT_STEP, log=str(path), facts=counts))
    if lines.zeros and not any(finding.kind is Kind.CUT_OFF for finding in findings):
        findings.append(Finding(Kind.ZERO_BYTES, log=str(path)))
    if not rows.rows and rows.without_step and rows.has_epochs and not by_epoch:
        return read_table(path, by_epoch=True)
    if not rows.rows:
        raise UnusableLog(findings[0] if findings else Finding(Kind.NO_ROWS, log=str(path)))
    told_by = summarised_by(rows.first_cells(), [step for _, step in rows.placed[:_LOOKED_AT]])
    if told_by is not None:
        told = {"rows": rows.rows, "column": told_by}
        raise UnusableLog(Finding(Kind.SUMMARY_TABLE, log=str(path), facts=told))
    points = rows.points.points()
    table = Table(list(rows.seen), rows.key[1], points, rows.rows, rows.first, findings, rows.by_row)
    labels = trainings_of(rows.placed)
    if labels is not None:
        label_of = np.array([labels.index(label) for label, _ in rows.placed])
        told_by = run_column(rows.names) or ""
        for number, label in enumerate(labels):
            # a number alone would not say what it counts
            name_of = label if cell_number(label, rows.delimiter) is None else f"{told_by}={label}"
            table.trainings[printable(name_of)] = {
                name: Points(*(column[label_of[series.order - 1] == number] for column in series))
                for name, series in points.items()
                if name != told_by
            }
    return table


def step_in(cell: str, delimiter: str) -> float | None:
    """The step that a cell holds, also as ``3/10`` and ``Epoch 3``; None where it holds none."""
    value = cell_number(cell, delimiter)
    if value is None:
        match = _PLACE.fullmatch(cell)
        value = float(match[1]) if match is not None else count(cell)
    return value if value is not None and math.isfinite(value) else None
