"""examples/ci as its user lives it, in processes of their own; the action, the hook and the snippets that are
in it.

``python -m tests.test_examples_ci`` writes the outputs in the example's README anew.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.cli.test_cli import fits

from .readme import ROOT

EXAMPLE = ROOT / "examples" / "ci"
README = EXAMPLE / "README.md"
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)

OLD, NEW = "transformers@4.46:patience=3,save_every=2", "transformers:patience=3"
GUARDED = "minilm-films-r4-lr3e-4-constant-s0"
LOG = "logs/minilm-films-r4-lr1e-3-cosine-s0"


def environment(**more):
    """What a user's shell has, without what this one says of itself to a CI system."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_", "CI"))
    }
    return (
        own
        | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "80"}
        | more
    )


@pytest.fixture
def repository(tmp_path):
    """The example as a user has it; the project's sample logs lie where the README says."""
    return copied(tmp_path)


def copied(folder):
    shutil.copytree(EXAMPLE, folder / "examples" / "ci")
    (folder / "sample_logs").symlink_to(ROOT / "sample_logs", target_is_directory=True)
    return folder / "examples" / "ci"


def check(repository, *args, code):
    done = subprocess.run(
        [sys.executable, "-m", "replay", "check", "policies.toml", *args],
        cwd=repository,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    fits(done.stdout)
    if "--verbose" not in args:
        assert len(done.stdout.splitlines()) <= 24, done.stdout
    return " ".join((done.stdout + done.stderr).split())


def edit(path, old, new, count=1):
    text = path.read_text()
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new, count))


# The whole cycle


def test_first_run_without_a_lock(repository):
    (repository / "replay.lock").unlink()
    said = check(repository, code=0)
    assert (
        "note: there is no replay.lock to compare with; replay check policies.toml --update writes one."
        in said
    )
    assert said.startswith("Passed: all 3 limits are kept, and there is no lock to compare with.")
    assert "there is no replay.lock to compare with, though one is required" in check(
        repository, "--require-lock", code=3
    )
    assert not (repository / "replay.lock").exists()


def test_the_lock_is_the_committed_one(repository):
    (repository / "replay.lock").unlink()
    assert "wrote replay.lock" in check(repository, "--update", code=0)
    assert (repository / "replay.lock").read_bytes() == (EXAMPLE / "replay.lock").read_bytes()
    assert "compared with replay.lock" in check(repository, "--require-lock", code=0)
    assert "up to date" in check(repository, "--update", code=0)


def test_a_change_that_breaks(repository):
    edit(repository / "policies.toml", "patience=4", "patience=1")
    said = check(repository, code=1)
    assert "regression: default: max_lost 20% is broken: lost 26.6% on average (22.2% to 31.3%)." in said
    assert (
        "regression: default loses 24.8 points more than before (19.5 to 30.7), on average over the same 10"
        " runs." in said
    )
    assert "note: default has changed from patience=4 to patience=1." in said
    assert said.startswith("Failed: a limit is broken (default) and a policy got worse (default). The other")


def test_a_change_that_improves(repository):
    edit(repository / "policies.toml", "patience=4", "patience=2,smooth=mean:3")
    said = check(repository, code=0)
    assert "note: default has changed from patience=4 to patience=2,smooth=mean:3." in said
    assert said.startswith(
        "Passed: all 3 limits are kept, and what differs from replay.lock is listed below."
    )
    assert (
        "default saves 3.6 points more than before (10.6 less to 13.9 more) and loses 0.625 points less"
        in said
    )
    check(repository, "--update", code=0)
    assert "has changed" not in check(repository, code=0)


def test_new_logs(repository):
    new = "minilm-rt-r8-lr2e-4-constant-s0"
    (repository / "logs" / new).mkdir()
    shutil.copy(ROOT / "sample_logs" / new / "eval_log.jsonl", repository / "logs" / new)
    said = check(repository, code=0)
    assert "11 runs, 2 policies of policies.toml, compared with replay.lock" in said
    assert f"note: 1 log is new: logs/{new}/eval_log.jsonl" in said
    check(repository, "--update", code=0)
    assert "new" not in check(repository, code=0)


def test_a_deleted_log(repository):
    shutil.rmtree(repository / LOG)
    said = check(repository, code=1)
    assert f"regression: {LOG}/eval_log.jsonl has vanished, with run minilm-films-r4-lr1e-3-cosine-s0" in said
    check(repository, "--update", code=0)
    check(repository, code=0)


def test_a_renamed_log_is_known_again(repository):
    (repository / LOG).rename(repository / "logs" / "renamed")
    assert f"note: {LOG}/eval_log.jsonl is now logs/renamed/eval_log.jsonl." in check(repository, code=0)


def test_an_upgrade_of_a_preset(repository):
    edit(repository / "policies.toml", OLD, NEW)
    said = check(repository, code=1)
    assert f"note: script has changed from {OLD} to {NEW}." in said
    assert f"regression: script stops {GUARDED} at eval 16, and the policies file expects no stop" in said
    edit(repository / "policies.toml", 'eval = "never"', "eval = 16")
    said = check(repository, code=1)
    assert (
        f"regression: script: the lock expects {GUARDED} to be left to its end, and the file now expects it"
        " to be stopped at eval 16." in said
    )
    assert (
        "script saves 6 points more than before (2.77 less to 53.2 more) and loses 3.52 points more" in said
    )


def test_a_rule_that_stops_elsewhere_under_the_same_name(repository):
    """As if the lock had been made by a version in which this preset acted otherwise."""
    edit(repository / "policies.toml", OLD, NEW)
    check(repository, "--update", code=1)
    script = (
        "from pathlib import Path; from dataclasses import replace; from replay.check.lock import *; path ="
        " Path('replay.lock');lock = read_lock(path); own = lock.policies['script'];stops = dict(own.stops);"
        f" stops['{GUARDED}'] = replace(stops['{GUARDED}'], stopped_eval=None,"
        " stopped_step=None);write_lock(path, replace(lock, tool='0.0.9', policies=dict(lock.policies) |"
        " {'script': replace(own, stops=stops)}))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=repository, check=True, env=environment())
    edit(repository / "policies.toml", 'eval = "never"', "eval = 16")
    said = check(repository, code=1)
    assert (
        f"regression: script stops {GUARDED} at eval 16, but did not stop it when the lock was made." in said
    )
    assert "before: not stopped after: eval 16 (step 240): " in said
    assert "the lock was made by replay 0.0.9" in said


def test_one_byte_of_a_log(repository):
    path = repository / LOG / "eval_log.jsonl"
    data = bytearray(path.read_bytes())
    at = data.index(b'"eval_loss": 0.', len(data) // 2) + len(b'"eval_loss": 0.')
    data[at] = ord("9") if data[at] != ord("9") else ord("8")
    path.write_bytes(data)
    said = check(repository, code=1)
    assert (
        f"regression: {LOG}/eval_log.jsonl does not say what it said when the lock was made (run"
        " minilm-films-r4-lr1e-3-cosine-s0), so its runs are not compared." in said
    )


@pytest.mark.parametrize("damage", ["edited", "cut", "empty", "merged"])
def test_a_damaged_lock(repository, damage):
    path = repository / "replay.lock"
    text = path.read_text()
    path.write_text(
        {
            "edited": text.replace('"patience=4"', '"patience=5"'),
            "cut": text[:1000],
            "empty": "",
            "merged": text.replace(',{"policy"', '<<<<<<< ours\n,{"policy"', 1),
        }[damage]
    )
    said = check(repository, code=2)
    assert "replay.lock: the lock is" in said
    assert "write it again with replay check policies.toml --update" in said
    check(repository, "--update", code=0)
    assert path.read_text() == text


def test_something_else_as_a_lock_is_left_alone(repository):
    assert "is not a lock of replay, so it is left alone" in check(
        repository, "--lock", "policies.toml", "--update", code=2
    )
    assert (repository / "policies.toml").read_bytes() == (EXAMPLE / "policies.toml").read_bytes()


def test_the_logs_are_whole_copies_of_sample_logs():
    logs = sorted(EXAMPLE.glob("logs/*/*"))
    assert len(logs) == 10
    assert sum(log.stat().st_size for log in logs) < 1_500_000
    for log in logs:
        assert log.read_bytes() == (ROOT / "sample_logs" / log.parent.name / log.name).read_bytes()


# Its README


def commands(block):
    """The commands of a console block, each with what it says."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        else:
            found[-1][1].append(line)
    return found


def executed(text, repository):
    """The README with what its commands say when they are run in this order."""
    last = 0

    def block(match):
        nonlocal last
        lines = []
        for command, _ in commands(match[1]):
            done = subprocess.run(
                ["bash", "-c", f"(exit {last})\n{command}"],
                cwd=repository,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment(),
            )
            last = done.returncode
            lines += [
                f"$ {command}",
                *re.sub(r" in \d+\.\d+s", " in 1.00s", done.stdout).rstrip().splitlines(),
            ]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    return BLOCK.sub(block, text)


def test_the_readme_is_what_happens(repository):
    text = README.read_text(encoding="utf-8")
    made = executed(text, repository)
    for before, after in zip(BLOCK.findall(text), BLOCK.findall(made), strict=True):
        assert after == before
    assert [line for line in made.splitlines() if line in ("0", "1", "2", "3")] == [
        "0",
        "1",
        "0",
        "0",
        "1",
        "1",
        "1",
        "1",
        "2",
    ]
    for name in (
        "logs/",
        "policies.toml",
        "replay.lock",
        ".gitattributes",
        ".github/workflows/stop-policy.yml",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
    ):
        assert f"`{name}`" in text
        assert (EXAMPLE / name).exists()


# The action


def action():
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def workflow():
    return yaml.safe_load((EXAMPLE / ".github" / "workflows" / "stop-policy.yml").read_text(encoding="utf-8"))


class Runner:
    """What GitHub does with the action: expressions, environment and outputs; each script by bash as it calls
    it."""

    def __init__(self, workspace, scratch):
        self.workspace, self.scratch = workspace, scratch
        scratch.mkdir()
        self.summary = scratch / "summary.md"
        self.log = ""
        self.steps = {}

    def value(self, text, inputs):
        def expression(match):
            scope, *names = match[1].split(".")
            if scope == "inputs":
                return inputs[names[0]]
            if scope == "github":
                return {"action_path": str(ROOT)}[names[0]]
            assert scope == "steps"
            return self.steps.get(names[0], {}).get(names[2], "")

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", expression, text)

    def run(self, path=None, **given):
        """The outputs, with the exit code of the last script as ``code``."""
        made = action()
        given = {name.replace("_", "-"): value for name, value in given.items()}
        assert set(given) <= set(made["inputs"])
        inputs = {name: given.get(name, spec["default"]) for name, spec in made["inputs"].items()}
        code = 0
        for step in made["runs"]["steps"]:
            if "uses" in step:
                assert step["if"] == "${{ inputs.python == '' }}"
                continue
            outputs = self.scratch / f"{step['id']}.txt"
            outputs.write_text("")
            own = {name: self.value(value, inputs) for name, value in step["env"].items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
                cwd=self.workspace / self.value(step.get("working-directory", "."), inputs),
                env=environment(
                    GITHUB_ACTIONS="true",
                    GITHUB_OUTPUT=str(outputs),
                    GITHUB_STEP_SUMMARY=str(self.summary),
                    GITHUB_ACTION_PATH=str(ROOT),
                    GITHUB_WORKSPACE=str(self.workspace),
                    RUNNER_TEMP=str(self.scratch),
                    **own,
                    **({"PATH": path} if path else {}),
                ),
                capture_output=True,
                text=True,
            )
            self.log += done.stdout + done.stderr
            self.steps[step["id"]] = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
            code = done.returncode
            if code:
                break
        return {name: self.value(spec["value"], inputs) for name, spec in made["outputs"].items()} | {
            "code": code
        }


@pytest.fixture
def runner(repository, tmp_path):
    return Runner(repository, tmp_path / "runner")


def test_the_action_is_a_composite_of_pinned_parts():
    made = action()
    assert {"name", "description", "inputs", "outputs", "runs"} <= set(made)
    assert made["runs"]["using"] == "composite"
    for spec in made["inputs"].values():
        assert isinstance(spec["description"], str)
        assert isinstance(spec["default"], str)
    for step in [*made["runs"]["steps"], *workflow()["jobs"]["check"]["steps"]]:
        if "uses" in step and step["uses"] != "./.stop-replay":
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an input in a script would be run as code"
    assert (ROOT / "constraints.txt").exists()


def test_the_action_passes_and_gives_its_files(runner):
    out = runner.run(python=sys.executable, report="the page.html")
    assert (out["code"], out["exit-code"]) == (0, "0"), runner.log
    assert "<!doctype html>" in (runner.workspace / "the page.html").read_text()
    assert json.loads((runner.workspace / out["sarif"]).read_text())["version"] == "2.1.0"
    assert ElementTree.parse(runner.workspace / out["junit"]).getroot().tag in ("testsuites", "testsuite")
    assert "default" in runner.summary.read_text()
    assert "10 runs, 2 policies of policies.toml" in runner.log


def test_the_action_fails_with_the_code_of_the_check(runner):
    edit(runner.workspace / "policies.toml", "patience=4", "patience=1")
    out = runner.run(python=sys.executable)
    assert (out["code"], out["exit-code"]) == (1, "1")
    assert "::error" in runner.log
    assert "max_lost" in (runner.workspace / out["sarif"]).read_text()
    edit(runner.workspace / "policies.toml", "patience=1", "patients=1")
    out = runner.run(python=sys.executable)
    assert (out["code"], out["exit-code"], out["plot"]) == (2, "2", "")
    assert "::error file=policies.toml" in runner.log
    (error,) = ElementTree.parse(runner.workspace / out["junit"]).getroot().iter("error")
    assert "patients" in error.get("message")
    assert "patients" in (runner.workspace / out["sarif"]).read_text()
    assert "patients" in runner.summary.read_text()


def test_the_inputs_of_the_action(runner):
    (runner.workspace / "replay.lock").rename(runner.workspace / "my lock.json")
    assert runner.run(python=sys.executable, require_lock="true")["code"] == 3
    out = runner.run(
        python=sys.executable, require_lock="true", lock="my lock.json", sarif="false", results="out"
    )
    assert (out["code"], out["sarif"], out["junit"]) == (0, "", "./out/replay-junit.xml")
    (runner.workspace / "my lock.json").unlink()
    assert runner.run(python=sys.executable, update="true", logs="logs\n")["code"] == 0
    assert (runner.workspace / "replay.lock").read_bytes() == (EXAMPLE / "replay.lock").read_bytes()
    above = Runner(runner.workspace.parent, runner.scratch / "above")
    out = above.run(python=sys.executable, working_directory="ci")
    assert out["code"] == 0
    assert (above.workspace / out["junit"]).is_file()


def test_the_action_has_the_options_of_the_command():
    """But for those on what the terminal shows: on GitHub, that is the log of the step."""
    from replay.cli.check import command

    (step,) = [step for step in action()["runs"]["steps"] if step.get("id") == "check"]
    flags = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    shown = {"--format", "--out", "--verbose"}
    # another name of --run-column
    assert {flag for flag in flags if f"{flag} " not in step["run"] and f"{flag})" not in step["run"]} == {
        *shown,
        "--run",
    }


def test_strict_and_policy_of_the_action(runner):
    edit(runner.workspace / "policies.toml", "patience=4", "patience=2,smooth=mean:3")
    assert runner.run(python=sys.executable)["code"] == 0
    out = runner.run(python=sys.executable, strict="true", code_quality="quality.json")
    assert (out["code"], out["exit-code"]) == (1, "1"), "the lock is not up to date"
    assert json.loads((runner.workspace / "quality.json").read_text())
    before = (runner.workspace / "replay.lock").read_text()
    out = runner.run(python=sys.executable, update="true", policy="default\n\n")
    assert out["code"] == 0, runner.log
    assert (runner.workspace / "replay.lock").read_text() != before
    assert runner.run(python=sys.executable, strict="true")["code"] == 0, runner.log
    out = runner.run(python=sys.executable, update="true", policy="default\nscrip\n")
    assert (out["code"], out["exit-code"]) == (2, "2")
    assert "there are default, script" in runner.log


def test_tables_in_the_action(tmp_path):
    """Columns under names of their own, of two runs in one table."""
    rows = [
        f"{name},{10 * number},held-out,{1 / number + len(name) / 90:.4f},{number / 20 + len(name) / 90:.3f}"
        for name in ("one run", "other")
        for number in range(1, 15)
    ]
    header = "which,at,part,cost of it,right"
    (tmp_path / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "policies.toml").write_text(
        'monitor = "held-out/quality"\nmode = "max"\n[policies.a]\nspec = "patience=2"\n'
    )
    runner = Runner(tmp_path, tmp_path / "runner")
    given = {
        "python": sys.executable,
        "logs": "table.csv",
        "step": "at",
        "metric": "cost of it\nright=quality\n",
        "split": "part",
        "run_column": "which",
    }
    assert runner.run(**given)["code"] == 0, runner.log
    assert "2 runs, 1 policy of policies.toml. Monitor: held-out/quality" in runner.log.replace("\n", " ")


def test_a_yes_of_yaml_is_a_yes(runner):
    (runner.workspace / "replay.lock").unlink()
    assert runner.run(python=sys.executable, require_lock="yes")["code"] == 3
    assert runner.run(python=sys.executable, require_lock="off", sarif="No")["sarif"] == ""
    out = runner.run(python=sys.executable, require_lock="perhaps\n::warning::x")
    assert (out["code"], out["exit-code"]) == (2, "2")
    assert "::error::The input require-lock is $'perhaps\\n::warning::x'" in runner.log


def test_the_workflow_says_what_to_set(runner):
    (step,) = [one for one in workflow()["jobs"]["check"]["steps"] if "run" in one]
    for name, code in (("", 2), ("someone/stop-replay", 0)):
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            capture_output=True,
            text=True,
            env=environment(STOP_REPLAY_REPOSITORY=name),
        )
        assert (done.returncode, "::error::" in done.stdout) == (code, code == 2)


def test_inputs_are_never_run_as_code(runner):
    assert runner.run(python=sys.executable, policies="$(touch pwned)`touch pwned`; touch pwned")["code"] == 2
    assert not list(runner.workspace.rglob("pwned"))


@pytest.mark.parametrize(("version", "wanted"), [("", str(ROOT)), ("0.1.0", "stop-replay==0.1.0")])
def test_what_the_action_installs(runner, tmp_path, version, wanted):
    """With a python3 in its path that only writes down what it is asked."""
    stub = tmp_path / "stub" / "python3"
    stub.parent.mkdir()
    stub.write_text(
        f'#!/bin/bash\nprintf "%s\\n" "$@" >> "{tmp_path}/asked"\n'
        'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
    )
    stub.chmod(0o755)
    out = runner.run(path=f"{stub.parent}{os.pathsep}{os.environ['PATH']}", version=version)
    assert out["exit-code"] == "0", runner.log
    asked = (tmp_path / "asked").read_text().splitlines()
    at = asked.index("install")
    assert asked[at - 1] == "pip"
    assert asked[at : at + 6] == [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--constraint",
        f"{ROOT}/constraints.txt",
        wanted,
    ]
    assert asked[at + 6 : at + 10] == ["-m", "replay", "check", "policies.toml"]


def test_the_workflow_runs_the_action(runner):
    made = workflow()
    assert made[True] == {"pull_request": None, "push": {"branches": ["main"]}}  # YAML's own reading of "on"
    assert made["permissions"] == {"contents": "read", "security-events": "write"}
    (own,) = [step for step in made["jobs"]["check"]["steps"] if step.get("uses", "") == "./.stop-replay"]
    out = runner.run(
        python=sys.executable, **{name.replace("-", "_"): value for name, value in own["with"].items()}
    )
    assert out["code"] == 0
    (runner.workspace / "replay.lock").unlink()
    assert (
        runner.run(
            python=sys.executable, **{name.replace("-", "_"): value for name, value in own["with"].items()}
        )["code"]
        == 3
    )
    used = set(
        re.findall(
            r"steps\.replay\.outputs\.([\w-]+)",
            (EXAMPLE / ".github" / "workflows" / "stop-policy.yml").read_text(),
        )
    )
    assert used <= set(action()["outputs"])


# The other systems


def test_the_gitlab_snippet(repository):
    made = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text(encoding="utf-8"))["stop-policy"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert made["variables"]["STOP_REPLAY_REVISION"] == f"v{version}"
    for source, code in (("", 2), ("$STOP_REPLAY_URL", 2), ("https://git.example/tool.git", 0)):
        done = subprocess.run(
            ["bash", "-e", "-c", made["before_script"][0]],
            capture_output=True,
            text=True,
            env=environment(STOP_REPLAY_SOURCE=source),
        )
        assert (done.returncode, "STOP_REPLAY_URL" in done.stdout) == (code, code == 2)
    assert made["before_script"][1].endswith('"stop-replay @ git+$STOP_REPLAY_SOURCE@$STOP_REPLAY_REVISION"')
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(made["script"])],
        cwd=repository,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    reports = made["artifacts"]["reports"]
    ElementTree.parse(repository / reports["junit"])
    assert json.loads((repository / reports["codequality"]).read_text()) == []
    edit(repository / "policies.toml", "patience=4", "patience=1")
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(made["script"])],
        cwd=repository,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 1
    edit(repository / "policies.toml", "patience=1", "patience=2,smooth=mean:3")
    for options, code in (("", 0), (made["variables"]["STOP_REPLAY_OPTIONS"], 0), ("--strict", 1)):
        strict = subprocess.run(
            ["bash", "-e", "-c", "\n".join(made["script"])],
            cwd=repository,
            capture_output=True,
            text=True,
            env=environment(STOP_REPLAY_OPTIONS=options),
        )
        assert strict.returncode == code, strict.stderr
    issues = json.loads((repository / reports["codequality"]).read_text())
    assert {"description", "check_name", "fingerprint", "severity", "location"} <= set(issues[0])


def test_the_hook_of_pre_commit(repository):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (used,) = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    (local,) = used["hooks"]
    assert (used["repo"], local["id"], local["language"]) == ("local", hook["id"], "system")
    assert subprocess.run(shlex.split(local["entry"]), cwd=repository, env=environment()).returncode == 0
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    pattern = re.compile(hook["files"])
    for name in (
        "policies.toml",
        "replay.lock",
        "ci/replay.lock",
        "logs/a/eval_log.jsonl",
        "a/trainer_state.json",
        "a/events.out.tfevents.1.x",
    ):
        assert pattern.search(name), name
    for name in ("pyproject.toml", "src/a.py", "README.md", "lock"):
        assert not pattern.search(name), name
    words = [*shlex.split(hook["entry"]), *hook["args"]]
    assert subprocess.run(words, cwd=repository, capture_output=True, env=environment()).returncode == 0
    shutil.rmtree(repository / LOG)
    assert subprocess.run(words, cwd=repository, capture_output=True, env=environment()).returncode == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit needs git")
def test_pre_commit_itself_runs_the_hook(repository, tmp_path):
    """It clones the project, installs it into an environment of its own and stops a commit that breaks a
    limit."""
    tool = tmp_path / "tool"
    tool.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, tool)
    for name in ("replay", "collect"):
        shutil.copytree(ROOT / name, tool / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ("git", "-c", "user.name=someone", "-c", "user.email=someone@example.org")

    def commit(folder):
        subprocess.run([*git, "add", "--all"], cwd=folder, check=True)
        return subprocess.run(
            [*git, "commit", "--message", "change"], cwd=folder, capture_output=True, text=True, env=env
        )

    used = {"rev": "v0.1.0"}
    (repository / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {tool}\n    rev: {used['rev']}\n    hooks:\n      - id: replay-check\n"
    )
    env = environment(PRE_COMMIT_HOME=str(tmp_path / "cache"))
    for folder in (tool, repository):
        subprocess.run([*git, "init", "--quiet"], cwd=folder, check=True)
    assert commit(tool).returncode == 0
    subprocess.run([*git, "tag", used["rev"]], cwd=tool, check=True)
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "install"],
        cwd=repository,
        check=True,
        capture_output=True,
        env=env,
    )
    first = commit(repository)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Passed" in first.stdout + first.stderr
    edit(repository / "policies.toml", "patience=4", "patience=1")
    broken = commit(repository)
    assert broken.returncode == 1
    assert "- exit code: 1" in broken.stdout + broken.stderr
    assert "regression: default: max_lost 20% is broken: lost 26.6% on" in broken.stdout + broken.stderr
    edit(repository / "policies.toml", "patience=1", "patience=3")
    better = commit(repository)
    assert better.returncode == 0, better.stdout + better.stderr


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        README.write_text(
            executed(README.read_text(encoding="utf-8"), copied(Path(scratch))), encoding="utf-8"
        )
