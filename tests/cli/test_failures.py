"""A check that cannot run says so wherever CI looks: annotations, page, JUnit, SARIF and code quality."""

import json
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from click.testing import CliRunner

from replay.cli import cli
from tests.conftest import curve, write_log
from tests.readme import ROOT

SCHEMAS = ROOT / "tests" / "schemas"
GOOD = 'logs = ["logs"]\n[policies.main]\nspec = "patience=4"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        write_log(tmp_path / "logs" / f"r{number}", curve(number), seed=number)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (GOOD + 'max_lost = "5 percent"\n', (), "max_lost"),
        (GOOD + 'max_lsot = "5%"\n', (), "max_lsot"),
        (GOOD.replace("patience=4", "patients=4"), (), "patients"),
        (GOOD.replace('["logs"]', '["lgos"]'), (), "lgos"),
        ("[policies\n", (), "policies.toml"),
        (GOOD + "# ##[error]::x\n[policies.a]\nspec = '##[group]'\n", (), "group"),
        (GOOD, ("--against", "nowhere"), "repository"),
        (GOOD, ("--lock", "logs"), "directory"),
    ],
)
def test_a_mistake_is_in_every_report(folder, text, words, said):
    (folder / "policies.toml").write_text(text)
    reports = {"junit": "j.xml", "sarif": "s.json", "code-quality": "c.json", "comment": "c.md"}
    options = [word for name, file in reports.items() for word in (f"--{name}", file)]
    result = CliRunner().invoke(cli, ["check", "policies.toml", *words, *options])
    assert result.exit_code == 2, result.output
    commands = [line for line in result.output.splitlines() if line.startswith("::")]
    assert [line.partition(" ")[0] for line in commands] == ["::error"]
    assert "file=policies.toml," in commands[0]
    assert said in commands[0]
    assert "##[" not in result.output
    assert said in (folder / "page.md").read_text().replace("\\", "")
    assert said in (folder / "c.md").read_text().replace("\\", "")
    xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd")).validate(str(folder / "j.xml"))
    root = ElementTree.parse(folder / "j.xml").getroot()
    assert (root.get("errors"), root.get("failures")) == ("1", "0")
    (error,) = root.iter("error")
    assert said in error.get("message")
    sarif = json.loads((folder / "s.json").read_text())
    schema = json.loads((SCHEMAS / "sarif-2.1.0-rtm.5.json").read_text())
    jsonschema.validate(sarif, schema)
    (result_,) = sarif["runs"][0]["results"]
    assert (result_["ruleId"], result_["level"]) == ("not-checked", "error")
    assert said in result_["message"]["text"]
    (issue,) = json.loads((folder / "c.json").read_text())
    assert (issue["severity"], said in issue["description"]) == ("critical", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "policies.toml", "--jnuit", "x.xml"], "--jnuit"),
        (["simulate", "logs", "--policy", "patience"], "patience"),
        (["inspect", "nowhere"], "nowhere"),
        (["chekc"], "check"),
    ],
)
def test_other_mistakes_are_annotations_as_well(folder, words, said):
    (folder / "policies.toml").write_text(GOOD)
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert [said in line for line in result.output.splitlines() if line.startswith("::error ")] == [True]
    assert said in (folder / "page.md").read_text()


def test_what_cannot_be_decided_is_skipped(folder):
    (folder / "policies.toml").write_text(GOOD)
    result = CliRunner().invoke(cli, ["check", "policies.toml", "--require-lock", "--junit", "j.xml"])
    assert result.exit_code == 3
    assert not list(ElementTree.parse(folder / "j.xml").getroot().iter("error"))


def test_a_stop_that_moved_is_one_failure(folder, monkeypatch):
    """The lock is edited as if another version had written it: the file and its checksum agree."""
    from dataclasses import replace

    from replay.check.lock import read_lock, write_lock

    (folder / "policies.toml").write_text(GOOD)
    assert CliRunner().invoke(cli, ["check", "policies.toml", "--update"]).exit_code == 0
    lock = read_lock(folder / "replay.lock")
    policy = lock.policies["main"]
    stop = policy.stops["r6"]
    moved = replace(stop, stopped_eval=(stop.stopped_eval or 9) + 1)
    policies = {"main": replace(policy, stops={**policy.stops, "r6": moved})}
    write_lock(folder / "replay.lock", replace(lock, policies=policies))
    result = CliRunner().invoke(cli, ["check", "policies.toml", "--junit", "j.xml"])
    assert result.exit_code == 1, result.output
    root = ElementTree.parse(folder / "j.xml").getroot()
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == [
        "run r6: stop moved"
    ]
    assert root.get("failures") == "1"
