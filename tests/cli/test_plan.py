"""``replay plan`` as a user types it."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from replay.cli import cli
from tests.cli.test_cli import fits_the_screen, run
from tests.conftest import write_log
from tests.readme import ROOT

SAMPLE = ROOT / "sample_logs"
TURNS = [1.0, 0.5, 0.75, 0.8, 0.9, 1.0]


def logs(folder, count=8, start=0, **more):
    for number in range(start, start + count):
        # logs with the same values would count as one
        write_log(folder / f"run{number}", [value + number for value in TURNS], **more)
    return folder


def planned(*args, code=0):
    return json.loads(run("plan", *args, "--format", "json", code=code).stdout)


def test_first_screen_on_the_sample_logs(monkeypatch):
    monkeypatch.chdir(ROOT)
    out = run("plan", "sample_logs", "--max-lost", "10%").stdout
    fits_the_screen(out)
    assert "Result: patience=" in out
    assert "loses at most 10% of the improvement on further runs, if they come from" in " ".join(out.split())
    assert "guaranteed at most" in out


def test_eight_runs_that_lose_nothing(tmp_path):
    found = planned(logs(tmp_path), "--policy", "patience=1", code=3)
    assert (found["units"], found["needed_units"], found["more_units"]) == (8, 19, 11)
    assert found["supported_tolerance"] == pytest.approx(1 / 9)
    assert (found["guaranteed"], found["supported_policy"]) == (None, "patience=1")
    out = " ".join(run("plan", tmp_path, "--policy", "patience=1", code=3).stdout.split())
    assert (
        "A guarantee of 5% on average needs at least 19 runs that lose no more than these (patience=1);"
        " there are 8." in out
    )
    assert "So train 11 new runs first." in out
    assert "support a tolerance of 11.2%" in out, "rounded up: 1 / 9 is more than 11.1 %"


def test_groups_are_counted_where_they_are_asked_for(tmp_path):
    for number in range(4):
        logs(tmp_path / f"set{number}", 2, start=2 * number, header={"dataset": f"d{number}"})
    out = " ".join(
        run("plan", tmp_path, "--policy", "patience=1", "--group", "dataset", code=3).stdout.split()
    )
    assert "needs at least 19 groups by dataset" in out
    assert "there are 4" in out
    assert "--group dataset" in out, "the suggested command asks the same"


def test_more_runs_make_it_possible(tmp_path):
    found = planned(logs(tmp_path, 19), "--policy", "patience=1")
    assert (found["guaranteed"], found["more_units"]) == ("patience=1", 0)
    sure = planned(tmp_path, "--policy", "patience=1", "--confidence", "90%", code=3)
    assert sure["confidence"] == 0.9
    assert sure["needed_units"] > 40


def test_tables(tmp_path):
    logs(tmp_path)
    rows = list(csv.DictReader(io.StringIO(run("plan", tmp_path, "--format", "csv", code=3).stdout)))
    assert rows[0]["policy"] == "patience=20", "the safest first"
    assert run("plan", tmp_path, "--format", "markdown", code=3).stdout.startswith("Monitor: ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--max-regret", "1%"], "give --max-lost"),
        (["--confidence", "95"], "--confidence 95: it takes a share from 50% to below 100%"),
        (["--max-lost", "5"], "--max-lost 5 has no unit"),
        (["--group", "colour"], "'colour'"),
    ],
)
def test_mistakes_are_sentences_and_exit_code_2(args, said):
    result = CliRunner().invoke(cli, ["plan", str(SAMPLE), *args])
    assert result.exit_code == 2, result.output
    assert said in result.stderr, result.stderr
