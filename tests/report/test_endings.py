"""How reports speak of the ends of logs: censored runs, runs still improving at the end, unknown plans."""

import csv
import io
import json

import pytest

from replay.engine.explain import explain
from replay.engine.inspect import inspect
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.policies.spec import parse_policy
from replay.readers import read
from replay.report import explain as explain_report
from replay.report import inspect as inspect_report
from replay.report import simulate as simulate_report
from replay.report import sweep as sweep_report
from replay.report.render import render
from replay.search.grid_sweep import sweep_grids
from replay.search.tolerance import parse_tolerance
from replay.stats.summary import summarise
from tests.conftest import write_log

TURNS = [1.0, 0.8, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
FALLS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]

CENSORED = "1 of 4 runs is censored (cut short): its loss is a lower bound."
EXPLAINED = (
    "The run is censored (cut short at step 800 of 1600): its log ends before the planned end, so the loss is"
    " a lower bound."
)
LEGEND = "censored: the log ends before the planned end, so the loss is a lower bound."
IMPROVING = (
    "1 of 4 runs was still improving at the end (its best eval is its last): training longer might pay."
)
PLAN = "1 of 4 runs does not state how long the training was planned to be; its log is taken as complete."


@pytest.fixture
def logs(tmp_path):
    """Four logs: as planned, cut short, still improving, and without a plan."""
    for name, values, header in (
        ("whole", TURNS, {}),
        ("cut", [value + 0.01 for value in TURNS], {"planned_steps": 1600}),
        ("falls", FALLS, {}),
        ("free", [value + 0.02 for value in TURNS], {"planned_steps": None}),
    ):
        write_log(tmp_path / "logs" / name, values, header=header)
    return read(tmp_path / "logs")


@pytest.fixture
def whole(tmp_path):
    """Logs of which there is nothing to say."""
    for number in range(3):
        write_log(tmp_path / "whole" / f"run{number}", [value + number / 100 for value in TURNS])
    return read(tmp_path / "whole")


def text(document, style="table"):
    return " ".join(render(document, style).split())


def simulated(logs, **more):
    outcomes = simulate_policies(logs.runs, ["patience=2", "patience=99"], baselines=True)
    return simulate_report.build(outcomes, summarise(outcomes), **more)


def swept(logs):
    policies = parse_policies(["patience=1", "patience=2"])
    return sweep_report.build(
        sweep_grids(Study(logs.runs, policies, Question()), [], policies, parse_tolerance("5%"))
    )


@pytest.mark.parametrize("build", [simulated, swept])
def test_a_simulation_and_a_sweep_say_each_thing_once(logs, build):
    for style in ("table", "markdown"):
        shown = text(build(logs), style)
        assert [shown.count(sentence) for sentence in (CENSORED, IMPROVING, PLAN)] == [1, 1, 1]
    data = json.loads(render(build(logs), "json"))
    assert data["notes"][:2] == [IMPROVING, PLAN]
    assert data["censored"] == {"cut": "cut short at step 800 of 1600"}
    assert data["still_improving"] == {"falls": "its best eval is its last"}


@pytest.mark.parametrize("build", [simulated, swept])
def test_of_logs_that_end_as_planned_there_is_nothing_to_say(whole, build):
    shown = text(build(whole))
    assert "censored" not in shown
    assert "still improving" not in shown
    assert "planned" not in shown
    data = json.loads(render(build(whole), "json"))
    assert (data["censored"], data["still_improving"]) == ({}, {})
    assert not [note for note in data["notes"] if "too few evals" not in note]


def test_the_column_of_censored_outcomes_and_its_legend(logs):
    document = simulated(logs)
    assert LEGEND in text(document)
    head, _, *rows = [line for line in render(document, "markdown").splitlines() if line.startswith("|")]
    column = [cell.strip() for cell in head.split("|")].index("censored")
    counts = {row.split("|")[1].strip(): row.split("|")[column].strip() for row in rows}
    assert counts == {
        "no early stopping": "0",
        "one-epoch": "1",
        "patience=2": "1",
        "patience=99": "1",
        "best possible": "1",
    }


def test_outcomes_per_run_are_marked_as_lower_bounds(logs):
    lines = render(simulated(logs, per_run=True), "markdown").splitlines()
    marked = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines if "lower bound |" in line]
    assert marked == [["cut", policy] for policy in ("one-epoch", "patience=2", "patience=99", "oracle")]


@pytest.mark.parametrize(
    ("run", "policy", "said"),
    [
        (
            "cut",
            "patience=2",
            EXPLAINED,
        ),
        (
            "cut",
            "patience=99",
            EXPLAINED,
        ),
        ("cut", "never", None),
        ("whole", "patience=2", None),
        (
            "falls",
            "patience=2",
            "The run was still improving at the end (its last eval is its best): training longer might pay.",
        ),
        (
            "free",
            "patience=2",
            "The log does not state how long the training was planned to be; it is taken as complete.",
        ),
    ],
)
def test_an_explanation_says_how_the_log_ends(logs, run, policy, said):
    (made,) = (made for made in logs.runs if made.id == run)
    document = explain_report.build(explain(made, parse_policy(policy), Question()))
    shown = text(document)
    endings = ("censored", "still improving", "planned")
    assert (said in shown) if said else not any(word in shown for word in endings)
    data = json.loads(render(document, "json"))
    assert data["censored"] == ({"cut": "cut short at step 800 of 1600"} if run == "cut" else {})
    assert data["still_improving"] == ({"falls": "its best eval is its last"} if run == "falls" else {})


def test_an_inspection_says_how_each_log_ends(logs):
    document = inspect_report.build(inspect(logs))
    rows = [line.split("|") for line in render(document, "markdown").splitlines() if line.startswith("|")]
    assert rows[0][-2].strip() == "end"
    assert {row[1].strip(): row[-2].strip() for row in rows[2:]} == {
        "whole": "as planned",
        "cut": "cut short at step 800 of 1600",
        "falls": "as planned, still improving",
        "free": "plan unknown",
    }
    data = json.loads(render(document, "json"))
    assert data["notes"] == [CENSORED, IMPROVING, PLAN]
    found = {row["run"]: (row["censored"], row["still_improving"], row["plan_known"]) for row in data["runs"]}
    assert found == {
        "whole": (None, None, True),
        "cut": ("cut short at step 800 of 1600", None, True),
        "falls": (None, "its best eval is its last", True),
        "free": (None, None, False),
    }
    table = {row["run"]: row for row in csv.DictReader(io.StringIO(render(document, "csv")))}
    assert table["falls"]["still_improving"] == "its best eval is its last"
    assert table["cut"]["censored"] == "cut short at step 800 of 1600"


def test_an_inspection_without_a_monitor_still_says_which_runs_are_cut_short(tmp_path):
    rows = [f"{step},{step / 10},{step / 7}\n" for step in range(1, 5)]
    (tmp_path / "log.csv").write_text("step,val_alpha,val_beta\n" + "".join(rows))
    logs = read(tmp_path)
    (made,) = logs.runs
    cut = made.replace(info=made.info.replace(planned_steps=9))
    inspection = inspect(type(logs)(**{**vars(logs), "runs": [cut]}))
    assert inspection.monitor is None
    data = json.loads(render(inspect_report.build(inspection), "json"))
    assert data["runs"][0]["censored"] == "cut short at step 4 of 9"
    assert data["runs"][0]["still_improving"] is None
