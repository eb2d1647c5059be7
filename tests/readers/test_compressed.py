"""Text logs that are compressed with gzip are read as the same logs without."""

import gzip
import json

import pytest

import replay
from replay.errors import InputError

VALUES = [1 / number for number in range(1, 9)]
STATE = {
    "log_history": [
        {"step": 10 * number, "epoch": number / 8, "eval_loss": value}
        for number, value in enumerate(VALUES, 1)
    ],
    "global_step": 80,
    "max_steps": 80,
}
LOGS = {
    "metrics.csv": "epoch,val_loss\n" + "".join(f"{at},{value}\n" for at, value in enumerate(VALUES)),
    "results.tsv": "epoch\tval_loss\n" + "".join(f"{at}\t{value}\n" for at, value in enumerate(VALUES)),
    "log.jsonl": "".join(json.dumps(entry) + "\n" for entry in STATE["log_history"]),
    "trainer_state.json": json.dumps(STATE),
    "history.json": json.dumps({"loss": VALUES, "val_loss": VALUES}),
    "train.log": "".join(f"epoch {at}: val_loss {value}\n" for at, value in enumerate(VALUES)),
    "train.ipynb": json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "source": [],
                    "metadata": {},
                    "execution_count": 1,
                    "outputs": [
                        {
                            "output_type": "stream",
                            "name": "stdout",
                            "text": [f"epoch {at}: val_loss {value}\n" for at, value in enumerate(VALUES)],
                        }
                    ],
                }
            ],
        }
    ),
}


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


def test_a_small_file_that_holds_only_zeros_is_no_log(tmp_path):
    (tmp_path / "metrics.csv.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(InputError, match=r"metrics\.csv\.gz"):
        replay.load(tmp_path)


def test_the_columns_of_a_compressed_table_are_named_in_options(tmp_path):
    table = "iter,quality\n" + "".join(f"{at},{value}\n" for at, value in enumerate(VALUES))
    (tmp_path / "odd.csv.gz").write_bytes(gzip.compress(table.encode()))
    with pytest.raises(InputError, match="--step iter --metric quality"):
        replay.load(tmp_path)
