"""``replay init``: the files that it writes, and a new team's path to a green check."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from replay.check.config import read_config
from replay.cli import cli
from tests.conftest import curve, write_log
from tests.readme import ROOT
from tests.test_examples_ci import Runner

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="these tests need git")

SAMPLES = sorted((ROOT / "examples" / "ci" / "logs").iterdir())


@pytest.fixture
def team(tmp_path, monkeypatch):
    """A repository with ten logs in a folder of its own."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    for log in SAMPLES:
        (tmp_path / "team" / "runs" / log.name).mkdir(parents=True)
        shutil.copy(log / "eval_log.jsonl", tmp_path / "team" / "runs" / log.name)
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "team")], check=True)
    monkeypatch.chdir(tmp_path / "team")
    return tmp_path / "team"


def run(*words, code=0):
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_first_check_after_init_is_green(team):
    said = run("init")
    assert "Next: replay check policies.toml" in said
    assert "Passed" in run("check", "policies.toml", "--require-lock")
    config = read_config(team / "policies.toml")
    assert config.logs == (team / "runs",) or [str(log) for log in config.logs] == ["runs"]
    assert config.question.monitor == "eval_loss"
    assert {limit.name for limit in config.policies[0].limits} >= {"max_lost", "min_saved"}
    assert (team / ".gitattributes").read_text().splitlines() == [
        "runs/** -text", "replay.lock text eol=lf merge=union",
    ]  # fmt: skip


def test_a_log_is_not_overwritten_even_with_force(team):
    log = next((team / "runs").rglob("eval_log.jsonl"))
    before = log.read_bytes()
    said = run("init", "runs", "--policies", log, "--force", code=2)
    assert f"would overwrite {log.resolve()}, which is read; give another file" in said
    assert log.read_bytes() == before


def test_nothing_is_overwritten_without_force(team):
    (team / "replay.lock").write_text("mine")
    before = {path: path.read_bytes() for path in team.iterdir() if path.is_file()}
    assert "replay.lock would be overwritten; give --force" in run("init", "runs", code=2)
    assert {path: path.read_bytes() for path in team.iterdir() if path.is_file()} == before
    run("init", "runs", "--force")
    (team / ".gitattributes").write_text("*.bin binary")
    (team / ".pre-commit-config.yaml").write_text("repos: []\n")
    run("init", "runs", "--force")
    assert (team / ".pre-commit-config.yaml").read_text() == "repos: []\n"
    lines = (team / ".gitattributes").read_text().splitlines()
    assert lines == ["*.bin binary", "runs/** -text", "replay.lock text eol=lf merge=union"]


def test_the_schema_knows_what_the_check_knows(team):
    run("init", "runs", "--ci", "none")
    import tomllib

    text = (team / "policies.toml").read_text()
    assert text.startswith("#:schema ./policies.schema.json\n")
    schema = json.loads((team / "policies.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    for good in (text, (ROOT / ".ci" / "policies.toml").read_text()):
        jsonschema.validate(tomllib.loads(good), schema)
    for bad in (
        "[policies.a]\n",
        '[policies.a]\nspec = "patience=3"\nmax_lost = 0.05\n',
        '[policies.a]\nspec = "patience=3"\nmax_lots = "5%"\n',
        'unit = "hours"\n[policies.a]\nspec = "patience=3"\n',
        '[policies.a]\nspec = "patience=3"\n[[policies.a.expect]]\nrun = "x"\neval = 0\n',
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tomllib.loads(bad), schema)


@pytest.mark.parametrize("count", [1, 3])
def test_few_runs_are_green_as_well(tmp_path, monkeypatch, count):
    """What they cannot decide is a comment in the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    for number in range(count):
        write_log(tmp_path / "my logs" / f"run#{number}", curve(number), seed=number)
    run("init", "--policies", "policies.toml", "--ci", "none")
    assert "Passed" in run("check", "policies.toml", "--require-lock")
    assert "cannot decide it" in (tmp_path / "policies.toml").read_text()
    assert '"my logs/**" -text' in (tmp_path / ".gitattributes").read_text()


def test_a_folder_below_the_root_and_gitlab(team):
    (team / "models").mkdir()
    shutil.move(team / "runs", team / "models" / "runs")
    (team / ".gitlab-ci.yml").write_text("stages: [test]\n")
    os.chdir(team / "models")
    said = run("init", "runs")
    assert "include it in .gitlab-ci.yml: include: [local: .gitlab/stop-policy.yml]" in said
    job = yaml.safe_load((team / ".gitlab" / "stop-policy.yml").read_text())["stop-policy"]
    assert job["artifacts"]["reports"]["junit"] == "models/replay-junit.xml"
    words = ["bash", "-e", "-c", "\n".join(job["script"])]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(words, cwd=team, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    assert (team / "models" / "replay-junit.xml").is_file()


@pytest.mark.slow
def test_a_new_team_from_pip_install_to_a_green_check(team, tmp_path):
    """The wheel of this tree in an environment of its own; then init, the check, the hook and the action."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("replay", "collect"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin = tmp_path / "venv" / "bin"
    pip = [str(bin / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTHON"))}
    env = own | {"PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}

    def shell(command):
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=team, capture_output=True, text=True, env=env
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "Next: replay check policies.toml" in shell("replay init")
    assert "Passed" in shell("replay check policies.toml --require-lock")
    (hook,) = yaml.safe_load((team / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert "Passed" in shell(hook["entry"])
    workflow = yaml.safe_load((team / ".github" / "workflows" / "stop-policy.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    given = next(step["with"] for step in steps if step.get("uses") == "./.stop-replay")
    runner = Runner(team, tmp_path / "runner")
    inputs = {key.replace("-", "_"): value for key, value in given.items()}
    out = runner.run(python=str(bin / "python"), **inputs)
    assert out["code"] == 0, runner.log
    assert "passed" in runner.summary.read_text()


# Two at once, and a kill at any moment

COMMAND = [sys.executable, "-m", "replay", "init", "runs"]


def files_of(team):
    """The files of the repository beside its logs."""
    found = (path for path in team.rglob("*") if path.is_file())
    return {
        path.relative_to(team).as_posix(): path.read_bytes()
        for path in found
        if not {".git", "runs"} & set(path.relative_to(team).parts)
    }


def few(team):
    for run in sorted((team / "runs").iterdir())[3:]:
        shutil.rmtree(run)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_whole_files_or_none(team):
    few(team)
    began = time.monotonic()
    subprocess.run(COMMAND, cwd=team, check=True, capture_output=True)
    took = time.monotonic() - began
    whole = files_of(team)
    logs = {path: path.read_bytes() for path in (team / "runs").rglob("*") if path.is_file()}
    chance = random.Random(5)
    for _ in range(6):
        for name in whole:
            (team / name).unlink()
        process = subprocess.Popen(COMMAND, cwd=team, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # most of the files are written in the last tenth
        time.sleep(took * chance.choice([chance.random(), 0.9 + chance.random() / 5]))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name, content in files_of(team).items():
            if name in whole:
                assert content == whole[name], f"{name} is cut off"
            else:  # what a killed process had not put in its place yet
                assert Path(name).name.startswith("."), name
        subprocess.run([*COMMAND, "--force"], cwd=team, check=True, capture_output=True)
        assert {name: content for name, content in files_of(team).items() if name in whole} == whole
    assert {path: path.read_bytes() for path in logs} == logs


def test_two_at_once_leave_what_one_would(team):
    few(team)
    subprocess.run(COMMAND, cwd=team, check=True, capture_output=True)
    whole = files_of(team)
    for name in whole:
        (team / name).unlink()
    started = [
        subprocess.Popen(command, cwd=team, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in (COMMAND, COMMAND, [*COMMAND, "--force"])
    ]
    for process in started:
        _, said = process.communicate()
        # the later one may find the files of the earlier one
        assert process.returncode == 0 or "would be overwritten" in said, said
        assert "Traceback" not in said
    assert files_of(team) == whole
    assert "Passed" in run("check", "policies.toml", "--require-lock")
