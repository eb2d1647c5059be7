"""Rows that are not in the order of their steps: the newest first, sorted as text, shuffled."""

import csv
import json
import random

import pytest

from replay.data.finding import Kind
from replay.readers import ColumnMap, read
from tests.readers.columns import curve

STEPS = range(100, 1300, 100)
ORDERS = {
    "newest first": sorted(STEPS, reverse=True),
    "as text": sorted(STEPS, key=str),
    "shuffled": random.Random(5).sample(STEPS, len(STEPS)),
}


def rows_of(steps, **more):
    return [{**more, "step": step, "train_loss": 300 / step, "val_loss": 500 / step} for step in steps]


def write_rows(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


NAMED = ColumnMap("step", {"val_loss": "val_loss"})


@pytest.mark.parametrize(
    ("order", "name", "columns"),
    [
        *((order, name, NAMED) for order in ORDERS for name in ("log.csv", "log.jsonl")),
        *((order, "log.jsonl", None) for order in ORDERS),
        ("newest first", "log.csv", None),
        ("as text", "log.csv", None),
    ],
)
def test_rows_in_another_order_are_sorted(tmp_path, order, name, columns):
    write_rows(tmp_path / name, rows_of(ORDERS[order]))
    (run,) = read(tmp_path, columns=columns).runs
    assert curve(run) == {step: pytest.approx(500 / step) for step in STEPS}
    assert [finding.kind for finding in run.info.findings] == [Kind.ROWS_SORTED]


def test_runs_of_one_table_with_the_newest_row_first(tmp_path):
    rows = [row for seed in (1, 2) for row in rows_of(ORDERS["newest first"], seed=seed)]
    write_rows(tmp_path / "log.jsonl", [{**row, "val_loss": row["val_loss"] + row["seed"]} for row in rows])
    runs = read(tmp_path).runs
    assert [run.steps.tolist() for run in runs] == [list(STEPS)] * 2


def test_a_resume_and_a_restart_are_not_sorted(tmp_path):
    resumed = [*range(100, 700, 100), *range(500, 1300, 100)]
    write_rows(tmp_path / "resumed.jsonl", rows_of(resumed))
    write_rows(tmp_path / "again.jsonl", rows_of([*STEPS, *STEPS]))
    other = [*range(100, 600, 100), *range(50, 1250, 100)]  # a second training that evaluates at other steps
    write_rows(tmp_path / "other.jsonl", rows_of(other))
    for name in ("resumed", "again", "other"):
        for run in read(tmp_path / f"{name}.jsonl").runs:
            assert Kind.ROWS_SORTED not in {finding.kind for finding in run.info.findings}
    assert len(read(tmp_path / "other.jsonl").runs) == 2


def test_two_clocks_are_no_other_order(tmp_path):
    rows = []
    for epoch in range(1, 11):
        rows += [
            {"step": 40 * epoch - 20, "train_loss": 1 / epoch},
            {"step": 40 * epoch, "train_loss": 1 / epoch},
        ]
        rows.append({"step": epoch, "val_loss": 2 / epoch})
    write_rows(tmp_path / "log.jsonl", rows)
    (run,) = read(tmp_path).runs
    assert curve(run) == {40 * epoch: 2 / epoch for epoch in range(1, 11)}
