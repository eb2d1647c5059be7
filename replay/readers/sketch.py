"""What is in a file that no format recognises, and the options that would read it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from replay.readers.find import HEAD
from replay.readers.format import UnusableLog
from replay.readers.partial_json import parse_partly
from replay.readers.points import number
from replay.readers.regular import Sheet, read_sheet
from replay.readers.runs_in_table import counts_time
from replay.readers.series_names import (
    is_bookkeeping,
    is_held_out,
    is_metric,
    step_name,
    tells_of_training,
    words,
)
from replay.readers.splits import parse_set

__all__ = ["sketch", "suggest_options"]

_MOST_BYTES = 8 * 1024 * 1024
_MOST_ROWS = 200
#: A metric in a text, and how many of them are not there by chance.
_MEASURED = re.compile(r"(?<![A-Za-z])(?:loss|acc|accuracy|f1|ppl|perplexity)\W{1,4}\d", re.IGNORECASE)
_FEW = 3
_MOST_METRICS = 2
_RUN_NAMES = frozenset(
    {"run", "run_id", "run_name", "trial", "trial_id", "experiment", "seed", "model", "name", "id"}
)


def sketch(path: Path, head: bytes) -> dict[str, Any]:
    """The facts of a finding on a file: the names of its columns or keys, or its first line, and options.

    ``lacks`` says which column a table lacks to be a log: ``step`` or ``metric``; ``training`` where no
    column is one that only trainings log, ``epochs`` where these are times, ``rows`` where rows and columns
    are the wrong way round, and ``place`` of a text with metrics. ``broken`` is the character
    at which a JSON document breaks that has no entry before it.
    """
    try:
        sheet = _sheet(path, head)
    except UnusableLog as error:
        return dict(error.finding.facts)
    if sheet is not None and sheet.rows and _has_numbers(sheet):
        options = suggest_options(sheet)
        elsewhere = _of_something_else(sheet)
        if elsewhere:
            return {"columns": tuple(sheet.columns), "rows": len(sheet.rows), "options": options, **elsewhere}
        lacks = None if options else _lacking(sheet)
        of_table = {"columns": tuple(sheet.columns), "rows": len(sheet.rows), "options": options}
        return of_table if lacks is None else {**of_table, "lacks": lacks}
    if b"\0" in head[:4096] and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return {"binary": True}
    text = head.decode("utf-8-sig", "replace")
    first = next((line.strip() for line in text.splitlines() if line.strip("\0 \t\r\n")), "").expandtabs(2)
    facts = {"line": first[:72]} if first.isprintable() else {}
    if len(_MEASURED.findall(text)) >= _FEW:
        facts["lacks"] = "place"
    broken = _broken_json(path, text)
    return facts if broken is None else {**facts, "broken": broken}


def _broken_json(path: Path, text: str) -> int | None:
    """The character at which a short file breaks that begins as a JSON document; None for any other."""
    if not text.lstrip().startswith(('{"', '[{"', "{\n", "[\n")) or "\n{" in text:
        return None
    try:
        is_short = path.stat().st_size < HEAD
    except OSError:
        return None
    return parse_partly(text).broken if is_short else None


def _of_something_else(sheet: Sheet) -> dict[str, Any]:
    """Why a table with a column like a step is not that of a training; empty where that cannot be told."""
    numeric = [name for name in sheet.columns if sheet.numbers(name)]
    step = step_name(numeric)
    if step is None:
        return {}
    if step[1] and counts_time(values := sheet.numbers(step[0])):
        return {"lacks": "epochs", "column": step[0], "first": values[0]}
    others = [name for name in sheet.columns if name != step[0]]
    return {} if tells_of_training(others) else {"lacks": "training", "column": step[0]}


def _lacking(sheet: Sheet) -> str | None:
    """Which column a table lacks to be a log; None where that cannot be told. ``rows`` says that it has a row
    per metric, and a column per epoch.
    """
    numbers = [number(name) for name in sheet.columns[1:]]
    first = numbers[0] if numbers else None
    if first is not None and len(numbers) > 1 and numbers == [first + at for at in range(len(numbers))]:
        metrics = [text for text in sheet.texts(sheet.columns[0]) if is_metric(text)]
        if len(metrics) > 1:
            return "rows"
    numeric = {name: values for name in sheet.columns if (values := sheet.numbers(name))}
    rising = [name for name, values in numeric.items() if len(set(values)) > 1 and _rises(values)]
    if not any(not (is_metric(name) or is_bookkeeping(name)) for name in rising):
        return "step"
    return "metric" if len(numeric) < 2 else None


def _has_numbers(sheet: Sheet) -> bool:
    """Whether a column holds numbers in most rows: the lines of a text have cells as well."""
    return any(2 * len(sheet.numbers(name)) >= len(sheet.rows) for name in sheet.columns)


def _sheet(path: Path, head: bytes) -> Sheet | None:
    try:
        return read_sheet(path, head, _MOST_ROWS) if path.stat().st_size <= _MOST_BYTES else None
    except OSError:
        return None


def suggest_options(sheet: Sheet) -> tuple[str, ...]:
    """The options that read a file as a log, as words of a command; empty where it does not look like one."""
    numeric = [name for name in sheet.columns if sheet.numbers(name)]
    step = _step(sheet, numeric)
    if step is None:
        return ()
    values = [name for name in numeric if name != step and not is_bookkeeping(name)]
    changing = [name for name in values if len(set(sheet.numbers(name))) > 1]
    metrics = (
        [name for name in values if is_held_out(name)]
        or [name for name in values if is_metric(name)]
        or [name for name in changing if not _rises(sheet.numbers(name))]
    )
    if not metrics:
        return ()
    options = ["--step", step]
    for name in metrics[:_MOST_METRICS]:
        options += ["--metric", name]
    for name in sheet.columns:
        texts = sheet.texts(name)
        if texts and all(parse_set(text) is not None for text in texts):
            options += ["--split", name]
            break
    for name in sheet.columns:
        if name not in options and name.lower().replace(" ", "_") in _RUN_NAMES and _repeats(sheet, name):
            options += ["--run", name]
            break
    return tuple(options)


def _step(sheet: Sheet, numeric: list[str]) -> str | None:
    by_name = step_name(numeric)
    if by_name is not None:
        return by_name[0]
    for name in numeric:
        if is_metric(name) or "train" in words(name):
            continue
        values = sheet.numbers(name)
        if len(set(values)) > 2 and _rises(values) and all(value == int(value) for value in values):
            return name
    return None


def _rises(values: list[float]) -> bool:
    if not all(abs(value) < float("inf") for value in values):
        return False
    return all(later >= earlier for earlier, later in pairwise(values))


def _repeats(sheet: Sheet, name: str) -> bool:
    """Whether a column has a few values, each in several rows."""
    values = [str(row[name]) for row in sheet.rows if name in row]
    return 1 < len(set(values)) <= len(values) / 2
