"""GitLab's code-quality report of a check."""

import json
import re

import pytest
from hypothesis import given, settings

from replay.errors import printable
from replay.report.code_quality import as_code_quality
from replay.report.findings import location
from replay.report.sentences import sentence
from tests.report.checked import CHECKS, HOSTILE, named, plain, sample, sentences_of


def read(checked):
    """The issues, each as GitLab's documentation says that it must be."""
    issues = json.loads(as_code_quality(checked).encode())
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in ("blocker", "critical", "major", "minor", "info")
        assert re.fullmatch("[0-9a-f]{64}", issue["fingerprint"])
        assert set(issue["location"]) == {"path", "lines"}
        assert issue["location"]["lines"] == {"begin": 1}
        assert not issue["location"]["path"].startswith("./")
        assert all(issue[name].isprintable() for name in ("description", "check_name"))
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    return issues


def test_an_issue_a_finding():
    issues = read(sample())
    assert [(issue["check_name"], issue["severity"], issue["location"]["path"]) for issue in issues] == [
        ("replay/limit", "critical", "ci/policies.toml"),
        ("replay/moved", "critical", "ci/policies.toml"),
        ("replay/vanished", "major", "ci/policies.toml"),
        ("replay/limit", "major", "ci/policies.toml"),
        ("replay/changed-log", "minor", "runs/c.jsonl"),
        ("replay/moved", "minor", "ci/policies.toml"),
        ("replay/version", "info", "ci/policies.toml"),
        ("replay/few-runs", "info", "ci/policies.toml"),
    ]
    assert (
        issues[1]["description"]
        == "patient stops b at eval 12, but stopped it at eval 7 when the lock was made. before: eval 7 (step"
        " 700): 3 evals without improvement. now: eval 12 (step 1200): 3 evals without improvement"
    )


def test_nothing_found_is_an_empty_list():
    assert as_code_quality(plain()) == "[]\n"


def test_fingerprints_stay():
    # a pipeline compares them with those of an earlier one: they may not change from version to version
    assert (
        read(sample())[0]["fingerprint"] == "d0a272932b7d245405194d3d62f3d1810e1aae48ec91320c8ef1bfee898714c7"
    )
    assert as_code_quality(sample()) == as_code_quality(sample())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data(name):
    stops = f". before: not stopped. now: eval 1 (step 100): {printable(name)}"
    descriptions = {issue["description"].removesuffix(stops.removesuffix(".")) for issue in read(named(name))}
    assert descriptions == {printable(text).removesuffix(".") for text in sentences_of(name)}


@settings(deadline=None)
@given(CHECKS)
def test_any_text_gives_a_valid_report(checked):
    issues = read(checked)
    assert len(issues) == len(checked.all_findings)
    for issue, finding in zip(issues, checked.all_findings, strict=True):
        assert issue["description"].startswith(printable(sentence(finding)).removesuffix("."))
        assert issue["location"]["path"] == printable(location(checked, finding))
