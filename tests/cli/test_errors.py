"""Errors: names that are close to what was typed, and lines that fit the terminal."""

import json

import pytest

from tests.cli.test_cli import fits, run
from tests.conftest import curve, write_log


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        write_log(tmp_path / "finished_runs" / f"tune-lr{number}", curve(number))
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "stop.toml").write_text('[policies.a]\nspec = "patience=2"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("args", "close"),
    [
        (["finished_run"], "Did you mean finished_runs?"),
        (["fnished_runs"], "Did you mean finished_runs?"),
        (["simulate", "finished_run"], "Did you mean finished_runs?"),
        (["inspcet", "finished_runs"], "Did you mean inspect?"),
        (["check", "ci/stopp.toml"], "Did you mean ci/stop.toml?"),
        (["check", "c/stop.toml"], "No such file or directory. Did you mean ci/stop.toml?"),
        (["check", "ci/nothing-like-it.toml"], "ci has stop.toml"),
        (["simulate", "finished_runs", "--policies", "ci/stpo.toml"], "Did you mean ci/stop.toml?"),
        (["diff", "ci/sotp.toml", "patience=3", "finished_runs"], "Did you mean ci/stop.toml?"),
        (
            ["explain", "finished_runs", "--policy", "patience=3", "--run", "tune-lr99"],
            "Did you mean tune-lr9?",
        ),
        (
            ["explain", "finished_runs", "--policy", "patience=3", "--run", "tune"],
            "tune-lr2, tune-lr3 and 8 more. Give more of the id, for example --run tune-lr0",
        ),
    ],
)
def test_what_is_close_to_a_name_is_suggested(project, args, close):
    text = run(*args, code=2).stderr
    fits(text)
    assert close in " ".join(text.split())


def test_only_commands_that_help_shows_are_listed(project):
    text = run("zzz", code=2).stderr
    assert "overview" not in text
    assert "simulate" in text


@pytest.mark.parametrize("columns", [None, 50, 120])
def test_errors_are_wrapped_to_the_width(project, monkeypatch, columns):
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    text = run("simulate", "finished_runs", "--monitor", "nothing", code=2).stderr
    fits(text, columns or 80)
    assert (len(text.splitlines()) > 1) == (columns != 120)
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_a_path_that_is_longer_than_a_line_stays_whole(project):
    path = "a/" + "long-name" * 12
    assert f"{path}:" in run("simulate", path, code=2).stderr


def test_an_annotation_for_a_ci_system_is_not_wrapped(project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    text = run("simulate", "finished_runs", "--monitor", "nothing", code=2).stderr
    (said,) = [line for line in text.splitlines() if line.startswith("::error")]
    assert "no metric 'nothing' in any of the 12 runs" in said
    (line,) = [line for line in text.splitlines() if line.startswith("Error:")]
    assert len(line) > 80


def test_what_programs_read_is_not_wrapped(project):
    text = run("inspect", "finished_runs", "--format", "json").stdout
    assert json.loads(text)["runs"]
