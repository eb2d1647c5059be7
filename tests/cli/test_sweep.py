"""`replay sweep` on the sample logs, and every mistake one can make with it."""

import csv
import io
import json
import re
import time
from pathlib import Path

import pytest

from replay.cli.progress import Bar, computing, count_policies
from replay.search.sweep import SWEPT
from tests.cli.test_cli import fits, fits_the_screen, imported_by, run
from tests.conftest import write_log

SAMPLES = Path(__file__).parents[2] / "sample_logs"
GRID = [
    "--grid",
    "patience=1..20",
    "--grid",
    "min_delta=0,1e-4,1e-3,1e-2",
    "--grid",
    "smooth=none,ema:0.3,mean:3",
]


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.chdir(SAMPLES.parent)
    return "sample_logs"


@pytest.mark.parametrize(
    "args",
    [
        [],
        [*GRID, "--grid", "every=1,2,4"],
        ["--grid", "rule=all"],
        [*GRID, "--max-regret", "0.5%"],
        ["--grid", "rule=patience,keras,noise", "--policy", "gl=5", "--max-regret", "0.02"],
    ],
)
def test_first_screen(samples, args):
    brief = run("sweep", samples, *args).stdout
    fits_the_screen(brief)
    assert re.search(r"policies (keep|lose at most) ", " ".join(brief.split()))
    text = run("sweep", samples, *args, "--verbose").stdout
    fits(text)
    flat = " ".join(text.split())
    for told in (
        "26 runs in sample_logs",
        "Monitor: eval_loss",
        "on the Pareto front",
        "in-sample",
        "Next: replay choose sample_logs",
    ):
        assert told in flat
    lines = [line.split("  ")[0] for line in text.splitlines() if line.strip()]
    assert lines.index("no early stopping") < lines.index("one-epoch") < lines.index("best possible")
    assert text == run("sweep", samples, *args, "--verbose").stdout


def test_policies_that_refuse_a_run_at_the_only_eval_that_they_make(tmp_path):
    """gl is not defined for the loss of -0.5, which with every=2 is the only eval that it looks at."""
    for name, values in {"falls": [1.0, -0.5], "stays": [1.0, 1.0], "rises": [0.5, 0.9]}.items():
        write_log(tmp_path / name, values)
    result = run("sweep", tmp_path, "--grid", "gl=1,2,3", "--grid", "every=1,2", "--format", "json")
    rows = {row["policy"]: row for row in json.loads(result.stdout)["policies"]}
    assert (rows["gl=1"]["runs"], rows["gl=1"]["stopped"]) == (2, 1)
    assert (rows["gl=1,every=2"]["runs"], rows["gl=1,every=2"]["stopped"]) == (2, 0)
    assert "cannot judge" in result.stderr


def test_the_centre_is_told_with_its_figures(samples):
    flat = " ".join(run("sweep", samples, "--verbose").stdout.split())
    assert "Good region: patience=" in flat
    assert "Its centre, patience=" in flat
    assert "Each alone, before lost passes 5%: patience from" in flat
    assert "min_delta" in flat


def test_formats_agree(logs):
    args = ["sweep", logs, "--grid", "patience=1..6", "--grid", "every=1,2", "--max-lost", "20%"]
    document = json.loads(run(*args, "--format", "json").stdout, parse_constant=pytest.fail)
    rows = list(csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)))
    assert [row["policy"] for row in rows] == [row["policy"] for row in document["policies"]]
    assert list(rows[0]) == ["policy", "rule", "patience", "every", *SWEPT, "spec", "on_front", "good"]
    assert len(rows) == 12
    assert {
        "front",
        "policies",
        "regions",
        "limit",
        "refused",
        "warnings",
        "monitor",
        "objective",
        "unit",
    } <= set(document)
    simulated = json.loads(
        run("simulate", logs, "--policy", document["front"][0]["policy"], "--format", "json").stdout
    )["summary"][2]
    assert simulated == document["front"][0]
    assert run(*args, "--format", "markdown").stdout.count("\n| ") >= 4


def test_out_and_plot(logs, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "plot.png"
    result = run("sweep", logs, *GRID, "--format", "json", "--out", out, "--plot", plot)
    assert result.stdout == ""
    assert len(json.loads(out.read_text())["policies"]) == 240
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_policies_from_a_file_and_how_to_judge(logs, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text('[policies.ours]\nspec = "patience=4"\n')
    text = run(
        "sweep", logs, "--policies", file, "--policy", "gl=5", "--objective", "test_loss", "--unit", "tokens"
    ).stdout
    assert "patience=4" in text
    assert "gl" in text
    assert "Objective: test_loss" in " ".join(text.split())
    assert "2 policies" in text


def test_needs_no_pandas_matplotlib_or_torch(logs):
    assert imported_by("sweep", logs)[0] == ["numpy"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_for(terminal, text):
    """Wait until a text is on the terminal, for as long as it takes."""
    for _ in range(6000):
        if text in terminal.getvalue():
            return True
        time.sleep(0.01)
    return False


def test_progress_only_on_a_terminal_and_where_it_takes_long(monkeypatch):
    with count_policies(1000) as progress:
        assert progress is None
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr("replay.cli.progress._SHOWN_AFTER", 1e6)
    with count_policies(1000) as progress:
        progress(700)
    with Bar("reading", 3) as bar:
        assert list(bar.count("abc")) == ["a", "b", "c"]
    with computing():
        pass
    assert terminal.getvalue() == ""


def test_a_bar_moves_while_one_item_takes_long(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr("replay.cli.progress._SHOWN_AFTER", 0.0)
    monkeypatch.setattr("replay.cli.progress._REDRAWN_EVERY", 0.01)
    with count_policies(1000) as progress:
        progress(700)
        assert wait_for(terminal, "70%"), "a bar that nobody updates is drawn nevertheless"
        assert wait_for(terminal, "1 s"), "and shows the time"
    assert "trying policies" in terminal.getvalue()
    with computing():
        assert wait_for(terminal, "computing outcomes and intervals")
    with Bar("reading", 3) as bar:
        assert list(bar.count("abc")) == ["a", "b", "c"]
    assert wait_for(terminal, "100%"), "the last drawing says that all is done"
    drawn = terminal.getvalue()
    time.sleep(0.05)
    assert terminal.getvalue() == drawn, "nothing is drawn after the end"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--grid", "patiens=1..3"], "no rule has a parameter 'patiens'"),
        (["--grid", "patiens=1..3"], "Did you mean patience?"),
        (["--grid", "patience=20..1"], "a range goes up: 1..20, not 20..1"),
        (["--grid", "patience=1..1000000000"], "the grid has 1,000,000,000 points, more than the 200,000"),
        (["--grid", "patience=1..1000000000"], "give a step, as in patience=1..1000000000..50000000"),
        (["--grid", "patience=0"], "no point of the grid is a policy (1 refused)"),
        (["--grid", "patience=1..3", "--grid", "delta=0"], "has no parameter 'delta'"),
        (["--grid", "patience"], "is not NAME=VALUES"),
        (["--grid", "smooth=none"], "of which rule?"),
        (["--policy", "patients=3"], "Did you mean patience?"),
        (["--max-lost", "5"], "write 5%"),
        (["--max-lost", "-5%"], "is negative"),
        (["--max-regret", "5kg"], "'kg' is not a unit of it; it is a share of the best value, as in 0.5%"),
        (["--max-regret", "0.1", "--max-lost", "5%"], "give one of the two"),
        (["--grid", "rule=tutorial"], "no metric 'val_loss'"),
        (["--grid", "rule=tutorial,grades"], "none of the policies can be tried on these runs"),
        (["--grid", "rule=drift"], "needs eval_generic_loss, which no run logs"),
        (["--monitor", "val_loss"], "no metric 'val_loss' in any of the 10 runs"),
        (["--unit", "hours"], "no unit 'hours'"),
        (["--plot", "x.docx"], "cannot draw a .docx"),
        (["--out", "/nowhere/at/all.json"], "No such file"),
    ],
)
def test_mistakes(logs, args, says):
    result = run("sweep", logs, *args, code=2)
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_nothing_to_read(tmp_path):
    assert "no log" in run("sweep", tmp_path, code=2).stderr
    run("sweep", code=2)
