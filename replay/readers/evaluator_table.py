"""Tables that the evaluators of sentence-transformers write: ``epoch,steps`` and the metrics of one data set.

Everything in them is held out. Version 2 counts steps within each epoch, numbers epochs from 0 and writes −1
for the steps at the end of an epoch; since version 3, ``steps`` counts all steps and ``epoch`` is a fraction.
An evaluation outside of a training has −1 for both. Binary classifiers of some versions name the columns of
two thresholds that the rows do not have.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from replay.data.finding import Finding, Kind
from replay.readers.csv_table import Table, cell_number, csv_rows, header_names
from replay.readers.format import UnusableLog
from replay.readers.points import PointsBuilder, open_text
from replay.readers.series_names import words

__all__ = ["evaluator_name", "is_evaluator", "read_evaluator"]

_METRIC = re.compile(
    r"(?:cos|cosine|cossim|cos_sim|dot|dot_score|euclidean|manhattan|max|hamming|jaccard|base|reranked)?[_-]?.*"
    r"(?:accuracy|pearson|spearman|f1|precision|recall|ap|mcc|mrr|ndcg|map|mse|loss|flops|active_dims)"
    r"(?:@\d+|_cosinus|_cosine|_dot|_manhattan|_euclidean|_threshold)?",
    re.IGNORECASE,
)
_FILE = re.compile(r"(?:.*?_evaluation_?|.*?evaluator_?)?(?P<name>.*?)_?results(?:_.*)?")


def is_evaluator(names: Sequence[str]) -> bool:
    """Whether a header is that of an evaluator."""
    if list(names[:2]) != ["epoch", "steps"] or len(names) == 2:
        return False
    return all(map(_METRIC.fullmatch, names[2:]))


def evaluator_name(path: Path) -> str:
    """The name of the evaluator: ``sts-dev`` of ``similarity_evaluation_sts-dev_results.csv``."""
    match = _FILE.fullmatch(path.stem)
    return match["name"] if match is not None and match["name"] else path.stem


def read_evaluator(path: Path) -> Table:
    """The table of an evaluator: its evals by step, or by epoch where it does not count steps throughout.

    Raises UnusableLog where no row can be used, and OSError.
    """
    rows: list[tuple[float, float, dict[str, float]]] = []
    findings: list[Finding] = []
    short, line = 0, ""
    with open_text(path) as file:
        names = header_names(file.readline())
        without = [name for name in names if "threshold" not in words(name)]
        try:
            for cells in csv_rows((line := text.replace("\0", "") for text in file), ","):
                if cells[:2] == names[:2] or not any(cell.strip() for cell in cells):
                    continue
                if len(cells) not in (len(names), len(without)):
                    short += 1
                    continue
                numbers = [cell_number(cell, ",") for cell in cells]
                place = numbers[:2]
                if place[0] is None or place[1] is None:
                    continue
                used = names if len(cells) == len(names) else without
                values = {
                    name: value
                    for name, value in zip(used[2:], numbers[2:], strict=True)
                    if value is not None and name in without
                }
                rows.append((place[0], place[1], values))
        except csv.Error as error:
            facts = {"row": len(rows) + 2, "error": str(error)}
            findings.append(Finding(Kind.INVALID_ROW, log=str(path), facts=facts))
        findings += file.findings(path)
    if short:
        cut = short == 1 and not line.endswith(("\n", "\r"))
        kind = Kind.CUT_OFF if cut else Kind.LONG_ROWS
        findings.append(Finding(kind, log=str(path), facts={"part": "row"} if cut else {"rows": short}))
    steps, by_epoch = _steps([(epoch, step) for epoch, step, _ in rows])
    points = PointsBuilder()
    for index, ((epoch, _, values), step) in enumerate(zip(rows, steps, strict=True)):
        if step is not None and not _is_made_again(steps, index):
            points.add(step, values if by_epoch or epoch < 0 else {**values, "epoch": epoch})
    if not any(step is not None for step in steps):
        raise UnusableLog(findings[0] if findings else Finding(Kind.NO_ROWS, log=str(path)))
    return Table(names, by_epoch, points.points(), len(rows), set(without), findings)


def _is_made_again(steps: Sequence[float | None], index: int) -> bool:
    """Whether the next row has the same step, and the training goes on after it: a resumed process, which
    appends to the same table, has evaluated this step once more.
    """
    step = steps[index]
    later = steps[index + 1 : index + 3]
    return len(later) == 2 and later[0] == step and later[1] is not None and later[1] > (step or 0.0)


def _steps(places: Sequence[tuple[float, float]]) -> tuple[list[float | None], bool]:
    """The step of each row, None for evaluations after the training, and whether steps count epochs."""
    inside = [(epoch, step) for epoch, step in places if epoch >= 0]
    counted = [(epoch, step) for epoch, step in inside if step >= 0]
    whole = all(epoch == int(epoch) for epoch, _ in inside)
    begins_anew = any(
        later[0] > earlier[0] and later[1] <= earlier[1] for earlier, later in pairwise(counted)
    )
    if inside and len(counted) == len(inside) and not (whole and begins_anew):
        return [
            step if epoch >= 0 else 0.0 if not at else None for at, (epoch, step) in enumerate(places)
        ], False
    every = min((step for _, step in counted if step > 0), default=1.0)
    length = max((step for _, step in counted), default=0.0) + every
    steps: list[float | None] = []
    for at, (epoch, step) in enumerate(places):
        if epoch < 0:
            steps.append(None if at else 0.0)
        else:
            steps.append(epoch + (step / length if step >= 0 else 1.0))
    return steps, True
