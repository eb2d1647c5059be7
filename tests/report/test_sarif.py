"""SARIF of a check: valid against the schema of SARIF 2.1.0, with every name in it as data."""

import dataclasses
import json
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema
import pytest
from hypothesis import given, settings

from replay.data.finding import Severity
from replay.errors import printable
from replay.report.findings import location
from replay.report.sarif import as_sarif
from replay.report.sentences import sentence
from replay.report.sentences.check_kinds import CHECK_KINDS
from tests.report.checked import (
    CHECKS,
    HOSTILE,
    changed_log,
    named,
    plain,
    sample,
    sentences_of,
)

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "schemas" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)


def read(checked):
    document = json.loads(as_sarif(checked).encode())
    VALIDATOR.validate(document)
    (run,) = document["runs"]
    return run


def shown(message):
    """A message as a viewer shows it; it fails at a placeholder and at a link."""
    assert not re.search(r"\]\(", message)
    assert "{" not in message.replace("{{", "")
    assert "}" not in message.replace("}}", "")
    return message.replace("{{", "{").replace("}}", "}")


def test_a_result_a_finding_and_a_rule_a_kind():
    run = read(sample())
    assert run["tool"]["driver"]["name"] == "replay"
    assert run["tool"]["driver"]["version"] == "0.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(CHECK_KINDS)
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("limit", "error"),
        ("moved", "error"),
        ("vanished", "warning"),
        ("limit", "warning"),
        ("changed-log", "warning"),
        ("moved", "warning"),
        ("version", "note"),
        ("few-runs", "note"),
    ]
    assert all(
        run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        for result in run["results"]
    )


def test_every_rule_says_what_to_do():
    assert all(
        rule["help"]["text"] != rule["shortDescription"]["text"]
        for rule in read(plain())["tool"]["driver"]["rules"]
    )


def test_a_result_is_at_the_policies_or_at_the_log_that_changed_and_names_the_log():
    results = read(sample())["results"]
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in results]
    assert {place["uriBaseId"] for place in places} == {"%SRCROOT%"}
    related = [
        result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in results
        if "relatedLocations" in result
    ]
    assert related == ["ci/logs/b.jsonl", "ci/logs/a.jsonl"]
    assert [place["uri"] for place in places] == [
        "ci/policies.toml",
        "ci/policies.toml",
        "ci/policies.toml",
        "ci/policies.toml",
        "runs/c.jsonl",
        "ci/policies.toml",
        "ci/policies.toml",
        "ci/policies.toml",
    ]


@pytest.mark.parametrize(
    ("file", "log", "expected"),
    [
        ("policies.toml", "logs/a.jsonl", "logs/a.jsonl"),
        ("./policies.toml", None, "policies.toml"),
        ("policies.toml", "../a.jsonl", "policies.toml"),
        ("policies.toml", "/abs/a.jsonl", "policies.toml"),
        (r"ci\policies.toml", r"logs\a.jsonl", "ci/logs/a.jsonl"),
        ("policies.toml", "a b#c?d:%é.jsonl", "a%20b%23c%3Fd%3A%25%C3%A9.jsonl"),
        ("policies.toml", "a:b/c.jsonl", "a%3Ab/c.jsonl"),
        ("policies.toml", "not utf-8 \udcff.jsonl", "not%20utf-8%20%FF.jsonl"),
    ],
)
def test_paths_are_uris_relative_to_the_root(file, log, expected):
    checked = dataclasses.replace(plain(), file=file, findings=(changed_log(log),))
    assert (
        read(checked)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == expected
    )


def test_fingerprints_do_not_follow_the_figures():
    def fingerprints(checked):
        return [
            result["partialFingerprints"]["primaryLocationLineHash"] for result in read(checked)["results"]
        ]

    before, now = sample(), sample()
    result = dataclasses.replace(now.policies[0].limits[0], value=0.073, verdict="unsure")
    old = now.policies[0].findings[0]
    first = dataclasses.replace(old, severity=Severity.UNDECIDED, facts={**old.facts, "result": result})
    policy = dataclasses.replace(now.policies[0], findings=(first, *now.policies[0].findings[1:]))
    now = dataclasses.replace(now, policies=(policy, *now.policies[1:]), version="0.2.0")
    assert sorted(fingerprints(before)) == sorted(fingerprints(now))
    assert len(set(fingerprints(before))) == len(fingerprints(before))


def test_it_is_the_same_each_time_and_has_no_time():
    assert as_sarif(sample()) == as_sarif(sample())
    assert "Utc" not in as_sarif(sample())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data(name):
    results = read(named(name))["results"]
    messages = {shown(result["message"]["text"]).split("\n")[0].replace("] (", "](") for result in results}
    assert messages == {printable(text).replace("] (", "](") for text in sentences_of(name)}
    places = [result["locations"][0].get("logicalLocations", ()) for result in results]
    assert {entry["name"] for place in places for entry in place} == {printable(name)}
    assert {entry["kind"] for place in places for entry in place} == {"policy", "run", "limit", "group"}


def fits(path, way):
    try:
        path.encode("utf-8", way)
    except UnicodeEncodeError:
        return False
    return True


@settings(deadline=None)
@given(CHECKS)
def test_any_text_gives_a_valid_document(checked):
    results = read(checked)["results"]
    assert len(results) == len(checked.all_findings)
    assert len({result["partialFingerprints"]["replayFinding/v1"] for result in results}) == len(results)
    for result, finding in zip(results, checked.all_findings, strict=True):
        message = shown(result["message"]["text"]).split("\n")[0]
        assert message.replace("] (", "](") == printable(sentence(finding)).replace("] (", "](")
        artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
        uri = urlsplit(artifact["uri"])
        assert (uri.scheme, uri.netloc, uri.query, uri.fragment) == (
            "" if "uriBaseId" in artifact else "file",
            "",
            "",
            "",
        )
        path = location(checked, finding)
        ways = [way for way in ("surrogateescape", "surrogatepass") if fits(path, way)]
        assert unquote_to_bytes(uri.path) == path.encode("utf-8", ways[0])
