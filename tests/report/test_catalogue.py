import csv
import io
import json
import math
import re

import pytest

from replay import parse_policy
from replay.policies import ACROSS, POLICIES
from replay.policies.modify import MODIFIERS
from replay.policies.spec import example
from replay.readers import FORMATS
from replay.report.policies import build
from replay.report.render import render
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.cli.test_next_steps import suggested

#: A run in which all goes wrong at one time or another.
VALUES = [1.0, *(float(number) for number in range(2, 30)), *[5.0] * 6, 0.4, math.nan]
LENGTH = len(VALUES)
COLUMNS = {
    "epoch": [number / 4 for number in range(1, LENGTH + 1)],
    "planned_steps": [1e5] * LENGTH,
    "train_loss": [1 / number for number in range(1, LENGTH + 1)],
    "eval_generic_loss": [1 + number / 10 for number in range(LENGTH)],
    "reference:eval_generic_loss": [1.0] * LENGTH,
    "signals/relative_change": [0.0] * LENGTH,
    "signals/stable_rank": [1.0] * LENGTH,
}


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "never"])
def test_the_example_of_a_policy_can_fire(name):
    policy = parse_policy(example(POLICIES[name]))
    columns = {companion.name: COLUMNS.get(companion.name, [0.0] * LENGTH) for companion in policy.companions}
    assert policy.stop_eval(
        VALUES, steps=[100.0 * number for number in range(1, LENGTH + 1)], columns=columns
    )


def test_every_policy_is_listed_once_with_those_of_its_tool():
    rows = json.loads(render(build(), "json"))["policies"]
    assert sorted(row["policy"] for row in rows) == sorted(POLICIES)
    tools = [row["tool"] for row in rows]
    assert len(list(dict.fromkeys(tools))) == sum(
        before != tool for before, tool in zip([None, *tools], tools, strict=False)
    )
    assert tools[0] == "replay"
    of = {row["policy"]: row["tool"] for row in rows}
    assert of["up"] == "replay"
    assert of["llamafactory"] == of["transformers@4.46"] == "transformers"
    assert of["sklearn-hgb"] == "scikit-learn"
    assert of["tutorial"] == "LoRA tutorials"
    across = json.loads(render(build(), "json"))["policies_across_runs"]
    assert sorted(row["policy"] for row in across) == sorted(ACROSS)
    assert {row["policy"]: row["tool"] for row in across}["syne-median"] == "syne-tune"
    assert [row["policy"] for row in csv.DictReader(io.StringIO(render(build(), "csv")))] == [
        row["policy"] for row in [*rows, *across]
    ]


@pytest.mark.parametrize("command", ["policies", "formats"])
def test_the_list_fits_one_screen_and_names_all(command):
    text = run(command).stdout
    fits_the_screen(text)
    assert "Details with --verbose." in text
    names = {*POLICIES, *ACROSS, *MODIFIERS} if command == "policies" else {one.name for one in FORMATS}
    shown = set(re.findall(r"[\w@.-]+", text))
    assert {name for name in names if name not in shown and f"{name}." not in shown} == set()
    run(*suggested(text))
    full = run(command, "--verbose").stdout
    assert len(full.splitlines()) > 100
    fits(full)


@pytest.mark.parametrize("name", [*POLICIES, *ACROSS])
def test_one_policy_by_its_name(name):
    text = run("policies", name).stdout
    assert len(text.splitlines()) < 60
    data = json.loads(run("policies", name, "--format", "json").stdout)
    assert [row["policy"] for row in (*data["policies"], *data["policies_across_runs"])] == [name]


def test_a_modifier_and_the_policies_of_a_tool():
    assert run("policies", "smooth").stdout.startswith("smooth=: ema:0.3")
    data = json.loads(run("policies", "scikit-learn", "--format", "json").stdout)
    assert [row["policy"] for row in data["policies"]] == ["sklearn-mlp", "sklearn-sgd", "sklearn-hgb"]


@pytest.mark.parametrize("name", [one.name for one in FORMATS])
def test_one_format_by_its_name(name):
    text = run("formats", name).stdout
    fits_the_screen(text)
    assert text.startswith(f"{name}  (")
    (row,) = json.loads(run("formats", name, "--format", "json").stdout)["formats"]
    assert row["format"] == name


def test_an_unknown_name_brings_the_closest():
    assert "Did you mean patience?" in run("policies", "patienc", code=2).stderr
    assert "Did you mean trainer-state?" in run("formats", "trainer_state", code=2).stderr


def test_a_tool_is_named_once_in_the_markdown_table():
    lines = render(build(), "markdown").splitlines()
    assert lines[0] == "| tool | policy | stops | example | checked against |"
    assert sum(line.startswith("| scikit-learn |") for line in lines) == 1
    assert lines.count(lines[0]) == 2  # policies that compare runs have a table of their own
    assert any(
        line.startswith("|  | sklearn-sgd |") and line.endswith("| scikit-learn 1.9.1 |") for line in lines
    )


def test_the_listing_in_the_terminal_is_grouped():
    text = render(build(), "table")
    assert (
        text.index("\nreplay:\n")
        < text.index("\n  patience\n")
        < text.index("\ntransformers:\n")
        < text.index("\nkeras:\n")
    )
    assert (
        text.index("\ntransformers:\n")
        < text.index("\n  axolotl  (same stops as transformers 5.24.0)\n")
        < text.index("\nLoRA tutorials:\n")
    )
    assert "Example: catboost:od_wait=3\n" in text
    across = text.index("These policies compare runs with each other.")
    assert text.index("\n  ultralytics  ") < across < text.index("\n  asha\n") < text.index("\n  syne-asha")
    assert "Example: top-k\n" in text
