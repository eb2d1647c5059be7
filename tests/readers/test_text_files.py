"""Text files that are broken or hostile: lines without end, holes, and gzip files that hold far too much."""

import gzip
import json
import tracemalloc

import pytest

from replay.data.finding import Kind
from replay.readers import read, text_files
from replay.readers.formats import eval_log
from replay.readers.text_files import open_text
from replay.report.sentences import sentence

ROWS = [{"step": 10 * number, "eval_loss": 1.0 / number} for number in range(1, 13)]
TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)


def losses(path):
    found = read(path)
    (run,) = found.runs
    return run.columns["eval_loss"].values.tolist(), found.findings


GOOD = [1.0 / number for number in range(1, 13)]


@pytest.fixture
def short_lines(monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    monkeypatch.setattr(text_files, "_BUFFER", 100)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [999, 1000, 1001, 1100, 5000])
def test_a_line_that_is_too_long_is_skipped_and_the_others_are_read(tmp_path, short_lines, end, size):
    path = tmp_path / "log.jsonl"
    lines = ["first", "x" * size, "second", "y" * size]
    path.write_text(end.join(lines), newline="")
    with open_text(path) as file:
        read_lines = [line.strip() for line in file if line.strip()]
        findings = file.findings(path)
    # the limit counts the end of the line
    fits = size < 1000
    assert read_lines == [line for line in lines if len(line) < 1000]
    assert [finding.facts["count"] for finding in findings] == ([] if fits else [2])


def test_a_row_of_a_log_that_is_too_long_is_reported(tmp_path, short_lines):
    path = tmp_path / "log.jsonl"
    path.write_text(TEXT + json.dumps({"step": 130, "text": "x" * 2000}) + "\n")
    values, findings = losses(path)
    assert values == GOOD
    (finding,) = findings
    assert finding.kind is Kind.OVER_LIMIT
    assert sentence(finding).startswith(f"{path}: 1 line is longer than")


@pytest.mark.parametrize("later", [False, True])
def test_a_hole_of_100_gb_costs_neither_time_nor_memory(tmp_path, later):
    path = tmp_path / "log.jsonl"
    path.write_text(TEXT)
    with path.open("r+b") as file:
        file.truncate(100 * 1000**3)
        if later:
            file.seek(0, 2)
            file.write(b'{"step": 130, "eval_loss": 0.5}\n')
    tracemalloc.start()
    values, findings = losses(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values == ([*GOOD, 0.5] if later else GOOD)
    assert not findings
    assert peak < 200e6


def test_zeros_before_a_row_lose_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(TEXT.replace('{"step": 60', "\0" * 300 + '{"step": 60'))
    assert losses(path) == (GOOD, [])
    lines = [eval_log.encode({"format": "replay-eval-log", "version": 1})]
    for row in ROWS:
        metrics = {"eval_loss": row["eval_loss"]}
        lines.append("\0\0\0" + eval_log.encode({"kind": "eval", "step": row["step"], "metrics": metrics}))
    path.write_text("".join(lines))
    assert losses(path) == (GOOD, [])


def test_a_gzip_file_that_holds_far_too_much_is_read_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_TEXT", len(TEXT))
    path = tmp_path / "log.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(TEXT + " " * 100_000_000)
    with open_text(path) as file:
        assert "".join(file) == TEXT
        (finding,) = file.findings(path)
    assert "the rest is skipped" in sentence(finding)
    monkeypatch.setattr(text_files, "LONGEST_TEXT", len(TEXT) + 100_000_000)
    with open_text(path) as file:
        assert sum(len(line) for line in file) == len(TEXT)  # the blanks are a line that is too long
        assert [dict(finding.facts) for finding in file.findings(path)] == [
            {"part": "line", "limit": text_files.LONGEST_LINE, "count": 1}
        ]


@pytest.mark.parametrize("name", ["metrics.csv", "log.jsonl"])
def test_too_many_metrics_are_reported_and_held_out_ones_kept(tmp_path, monkeypatch, name):
    monkeypatch.setattr("replay.readers.points.MOST_NAMES", 30)
    names = ["step", *(f"train_{number}" for number in range(50)), "eval_loss", "eval_accuracy"]
    rows = [dict.fromkeys(names, step + 0.5) | {"step": step} for step in (10, 20, 30)]
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text(
            "\n".join([",".join(names), *(",".join(map(str, row.values())) for row in rows)]) + "\n"
        )
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(path)
    (run,) = found.runs
    assert {"eval_loss", "eval_accuracy"} <= set(run.metrics)
    assert sum(metric.startswith("train_") for metric in (*run.train, *run.columns)) <= 31
    assert "more than 30 names" in sentence(found.findings[0])
