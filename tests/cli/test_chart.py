"""``--chart``: the plane of compute saved and loss in characters."""

import json
import re
from importlib import metadata

import pytest

from replay.report.document import Chart, Series
from replay.report.render import chart as charts
from tests.cli.test_cli import fits, run
from tests.readme import ROOT
from tests.terminal import on_terminal

COMMANDS = (
    ["sample_logs"],
    ["simulate", "sample_logs", "--policy", "patience=3", "--policy", "patience=1"],
    ["sweep", "sample_logs"],
    ["choose", "sample_logs"],
)
STYLED = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_the_chart_fits_and_comes_with_the_first_screen(args, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    plain, drawn = run(*args).stdout, run(*args, "--chart").stdout
    fits("\n".join(line for line in drawn.splitlines() if "allback" not in line), columns)  # code to paste
    assert "\x1b" not in drawn
    assert "lost, % of a run's improvement" in drawn
    assert "saved, % of the steps" in drawn
    # nothing else of the screen has to make room
    assert set(plain.splitlines()) <= set(drawn.splitlines())


def position(text, mark):
    """Where a mark is in a chart, as shares of its width and height."""
    lines = text.splitlines()
    bottom = next(index for index, line in enumerate(lines) if "└" in line)
    rows = [line for line in lines[:bottom] if re.match(r" *\d*\.?\d*[│┤]", line)]
    left, right = lines[bottom].index("└") + 1, len(lines[bottom]) - 1
    ((row, column),) = [
        (index, line.index(mark, left)) for index, line in enumerate(rows) if mark in line[left:]
    ]
    return (column - left) / (right - left), (len(rows) - 1 - row) / (len(rows) - 1)


def test_a_policy_is_where_its_figures_are():
    args = ["sweep", "sample_logs", "--max-lost", "10%"]
    data = json.loads(run(*args, "--format", "json").stdout)
    centre = data["regions"][0]["centre"]
    across, up = position(run(*args, "--chart").stdout, "*")
    assert across == pytest.approx(centre["saved_mean"], abs=0.01)
    assert up == pytest.approx(
        centre["lost_mean"] / 0.4, abs=0.05
    )  # the axis ends at four times the tolerance


def test_policies_with_the_same_figures_share_a_mark():
    text = run("simulate", "sample_logs", "--policy", "patience=3", "--policy", "keras:patience=3", "--chart")
    assert "a patience=3, keras:patience=3" in text.stdout


def test_a_regret_has_the_unit_of_its_metric():
    text = run("sweep", "sample_logs", "--max-regret", "0.02", "--chart").stdout
    assert "regret, in eval_loss" in text
    assert "tolerance (regret <= 0.02)" in text
    assert (
        "regret, % of the best value" in run("sweep", "sample_logs", "--max-regret", "1%", "--chart").stdout
    )


def test_colours_on_a_terminal_only():
    args = ("sweep", "sample_logs", "--grid", "patience=1..5", "--chart")
    drawn = on_terminal(*args)
    assert STYLED.search(next(line for line in drawn.splitlines() if "┤" in line))
    assert max(len(STYLED.sub("", line)) for line in drawn.splitlines()) <= 80
    assert "\x1b" not in on_terminal(*args, NO_COLOR="1")


def test_markdown_has_the_chart_as_a_block():
    text = run("sweep", "sample_logs", "--chart", "--format", "markdown").stdout
    (block,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert "on the Pareto front" in block


def test_where_a_chart_cannot_be_drawn(monkeypatch):
    said = " ".join(run("sweep", "sample_logs", "--chart", "--format", "json", code=2).stderr.split())
    assert "--chart cannot be drawn in --format json" in said
    assert "leave out --per-rule or --chart" in " ".join(
        run("choose", "sample_logs", "--per-rule", "--chart", code=2).stderr.split()
    )

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(charts.metadata, "version", missing)
    said = " ".join(run("sweep", "sample_logs", "--chart", code=2).stderr.split())
    assert "plotext, which is not installed" in said
    assert "pip install 'stop-replay[chart]'" in said
    monkeypatch.setattr(charts.metadata, "version", lambda name: "5.3.2")
    said = " ".join(run("sample_logs", "--chart", code=2).stderr.split())
    assert "plotext 6 or later, and 5.3.2 is installed" in said


@pytest.mark.parametrize(
    ("end", "labels"),
    [
        (100, ["0", "20", "40", "60", "80", "100"]),
        (7.3, ["0", "2", "4", "6"]),
        (0.031, ["0", "0.01", "0.02", "0.03"]),
        (2600, ["0", "500", "1000", "1500", "2000", "2500"]),
        (3e-7, ["0", "5e-08", "1e-07", "1.5e-07", "2e-07", "2.5e-07", "3e-07"]),
    ],
)
def test_ticks_are_round(end, labels):
    lines = charts.draw(Chart([Series("x", "", [0], [0])], "across", "up", end, end), width=80)
    assert lines[-2].split() == labels
