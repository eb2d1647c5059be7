"""Code for training scripts: it is Python, and says the policy."""

import re

import pytest
from click.testing import CliRunner

from replay import parse_policy
from replay.cli import cli
from replay.policies import POLICIES
from replay.policies.spec import example
from replay.report.export import FRAMEWORKS, code


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", list(POLICIES))
def test_every_policy_becomes_code(name, framework):
    policy = parse_policy(example(POLICIES[name]))
    text = code(policy, framework, monitor="eval_f1", mode="max")
    compile(text, "script.py", "exec")
    assert "eval_f1" in text
    if name != framework:
        (spec,) = re.findall(r"StopCallback\('(.*?)'", text)
        assert parse_policy(spec) == policy


@pytest.mark.parametrize(
    ("spec", "framework", "expected"),
    [
        (
            "transformers:patience=4,threshold=0.01",
            "transformers",
            "early_stopping_patience=4, early_stopping_threshold=0.01",
        ),
        ("keras:patience=4,min_delta=0.01,baseline=0.5", "keras", "patience=4, min_delta=0.01, baseline=0.5"),
        (
            "lightning:patience=4,check_finite=false",
            "lightning",
            "patience=4, min_delta=0, check_finite=False",
        ),
    ],
)
def test_a_frameworks_own_rule_is_its_own_callback(spec, framework, expected):
    text = code(parse_policy(spec), framework)
    assert expected in text
    assert "replay" not in text
    assert "replay" in code(parse_policy(spec + ",every=2"), framework)


def test_the_direction_of_transformers_is_said():
    assert "greater_is_better=True" in code(parse_policy("transformers"), "transformers", monitor="eval_f1")
    assert "greater_is_better=False" in code(parse_policy("transformers"), "transformers")


def test_the_command():
    result = CliRunner().invoke(cli, ["export", "--policy", "patience=3", "--to", "keras"])
    assert result.exit_code == 0
    assert "StopCallback('patience=3')" in result.stdout
    assert CliRunner().invoke(cli, ["export", "--policy", "patience=0", "--to", "keras"]).exit_code == 2
    assert CliRunner().invoke(cli, ["export", "--policy", "patience=3", "--to", "torch"]).exit_code == 2
