"""Text logs that are compressed with gzip are read as the same logs without."""

import gzip
import json
import random

import pytest

import replay
from replay.data.finding import Kind
from replay.errors import InputError
from replay.readers import read
from replay.readers.columns import ColumnMap

VALUES = [1 / number for number in range(1, 9)]


def logs(values):
    """A log in each format of text, with one eval per value."""
    history = [
        {"step": 10 * number, "epoch": number / 8, "eval_loss": value}
        for number, value in enumerate(values, 1)
    ]
    state = {"log_history": history, "global_step": 80, "max_steps": 80}
    columns = "".join(f"{at}\t{value}\n" for at, value in enumerate(values))
    long = "".join(f"a,val_loss,{at},{value}\n" for at, value in enumerate(values))
    evaluator = "".join(f"{at},-1,{value}\n" for at, value in enumerate(values))
    lines = [f"epoch {at}: val_loss {value}\n" for at, value in enumerate(values)]
    outputs = [{"output_type": "stream", "name": "stdout", "text": [line]} for line in lines]
    cells = [{"cell_type": "code", "source": [], "metadata": {}, "outputs": [output]} for output in outputs]
    return {
        "metrics.csv": "epoch,val_loss\n" + columns.replace("\t", ","),
        "results.tsv": f"epoch\tval_loss\n{columns}",
        "long.csv": f"run,metric,step,value\n{long}",
        "similarity_evaluation_results.csv": f"epoch,steps,cosine_pearson\n{evaluator}",
        "log.jsonl": "".join(json.dumps(entry) + "\n" for entry in history),
        "list.json": json.dumps([{"epoch": at, "val_loss": value} for at, value in enumerate(values)]),
        "trainer_state.json": json.dumps(state),
        "history.json": json.dumps({"val_loss": values}),
        "train.log": "".join(lines),
        "train.ipynb": json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}),
    }


LOGS = logs(VALUES)


def told(folder):
    (run,) = replay.load(folder)
    return {name: run.evals[name].tolist() for name in run.metrics}, run.evals.index.tolist(), run.info.format


@pytest.mark.parametrize("name", LOGS)
def test_a_compressed_log_is_the_log(name, tmp_path):
    for folder in ("plain", "compressed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plain" / name).write_text(LOGS[name])
    (tmp_path / "compressed" / f"{name}.gz").write_bytes(gzip.compress(LOGS[name].encode()))
    assert told(tmp_path / "compressed") == told(tmp_path / "plain")
    assert [len(values) for values in told(tmp_path / "plain")[0].values()] == [8]


@pytest.mark.filterwarnings("ignore::replay.errors.ReplayWarning")
@pytest.mark.parametrize("name", LOGS)
def test_one_that_is_cut_off_or_damaged_costs_only_itself(name, tmp_path):
    (tmp_path / "good.jsonl").write_text(LOGS["log.jsonl"])
    data = gzip.compress(LOGS[name].encode())
    for size in range(2, len(data), max(len(data) // 9, 1)):
        (tmp_path / f"{name}.gz").write_bytes(data[:size])
        assert VALUES in [run.evals[run.metrics[0]].tolist() for run in replay.load(tmp_path)]
    (tmp_path / f"{name}.gz").write_bytes(data[:30] + b"\xff\xff" + data[32:])
    assert replay.load(tmp_path)


@pytest.mark.filterwarnings("ignore::replay.errors.ReplayWarning")
@pytest.mark.parametrize("name", LOGS)
def test_the_part_before_the_cut_is_read_and_censored(name, tmp_path):
    numbers = random.Random(3)
    values = [round(numbers.random(), 9) for _ in range(500)]
    data = gzip.compress(logs(values)[name].encode())
    (tmp_path / f"{name}.gz").write_bytes(data[: len(data) * 2 // 3])
    result = read(tmp_path)
    (run,) = result.runs
    (metric,) = run.metrics
    kept = run.columns[metric].values.tolist()
    assert 250 < len(kept) < 500
    assert kept == values[: len(kept)]
    assert run.info.cut_off
    assert [finding.kind for finding in result.findings] == [Kind.CUT_OFF]


def test_columns_that_are_named_are_read_up_to_the_cut(tmp_path):
    numbers = random.Random(3)
    rows = [{"iter": at, "quality": numbers.random()} for at in range(500)]
    texts = {
        "odd.csv": "iter,quality\n" + "".join(f"{row['iter']},{row['quality']}\n" for row in rows),
        "odd.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows),
        "odd.json": json.dumps(rows),
    }
    for name, text in texts.items():
        data = gzip.compress(text.encode())
        (tmp_path / f"{name}.gz").write_bytes(data[: len(data) * 2 // 3])
        result = read(tmp_path / f"{name}.gz", columns=ColumnMap.of(step="iter", metric="quality"))
        assert 250 < len(result.runs[0]) < 500
        assert [finding.kind for finding in result.findings] == [Kind.CUT_OFF]


def test_a_small_file_that_holds_only_zeros_is_no_log(tmp_path):
    (tmp_path / "metrics.csv.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(InputError, match=r"metrics\.csv\.gz"):
        replay.load(tmp_path)


def test_the_columns_of_a_compressed_table_are_named_in_options(tmp_path):
    table = "iter,quality\n" + "".join(f"{at},{value}\n" for at, value in enumerate(VALUES))
    (tmp_path / "odd.csv.gz").write_bytes(gzip.compress(table.encode()))
    with pytest.raises(InputError, match="--step iter --metric quality"):
        replay.load(tmp_path)
