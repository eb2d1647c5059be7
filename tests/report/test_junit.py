"""JUnit XML of a check: valid against the schema that CI systems use, with every name in it as data."""

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from hypothesis import given, settings

from replay.data.finding import Severity
from replay.errors import printable
from replay.report.junit import as_junit
from replay.report.sentences import sentence
from tests.report.checked import (
    CHECKS,
    HOSTILE,
    SAMPLE_SENTENCES,
    limit,
    limit_finding,
    named,
    plain,
    sample,
    sentences_of,
)

SCHEMA = xmlschema.XMLSchema(Path(__file__).parent.parent / "schemas" / "junit-10.xsd")


def read(checked):
    text = as_junit(checked)
    # as a file is: surrogates would not get this far
    root = ElementTree.fromstring(text.encode())
    SCHEMA.validate(root)
    return root


def cases(root):
    return {
        (suite.get("name"), case.get("name")): case
        for suite in root.iter("testsuite")
        for case in suite.iter("testcase")
    }


def outcome(case):
    return next((tag for tag in ("failure", "skipped") if case.find(tag) is not None), "passed")


def test_a_suite_a_policy_and_a_test_a_limit():
    root = read(sample())
    assert {name: outcome(case) for name, case in cases(root).items()} == {
        ("patient", "max_lost 5%"): "failure",
        ("patient", "min_saved 20%"): "passed",
        ("patient", "max_regret 0.01, r=8"): "skipped",
        ("patient", "run b: stop moved"): "failure",
        ("hasty", "max_lost 20%"): "passed",
        ("hasty", "the same as in the lock"): "passed",
        ("ci/policies.toml", "run d: gone"): "skipped",
    }
    assert dict(root.attrib) == {"name": "replay check", "tests": "7", "failures": "2", "errors": "0"}
    suite = root.find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "2", "errors": "0", "skipped": "1",
    }  # fmt: skip
    first, second, *_ = suite.find("system-out").text.splitlines()
    assert (first, second) == (f"note: {SAMPLE_SENTENCES[-1]}", f"warning: {SAMPLE_SENTENCES[5]}")


def test_a_failure_says_what_was_and_what_is():
    found = cases(read(sample()))["patient", "run b: stop moved"].find("failure")
    assert found.get("message") == SAMPLE_SENTENCES[1]
    assert found.get("type") == "moved"
    assert found.text.splitlines()[1:] == [
        "before: eval 7 (step 700): 3 evals without improvement",
        "now: eval 12 (step 1200): 3 evals without improvement",
    ]


def test_a_warning_of_a_test_leaves_it_passed():
    checked = sample()
    unsure = limit("hasty", "max_lost", "5%", "lost", 0.05, 0.06, 0.04, 0.08, "unsure")
    warning = limit_finding(unsure, Severity.WARNING)
    policy = dataclasses.replace(checked.policies[1], limits=(unsure,), findings=(warning,))
    case = cases(read(dataclasses.replace(checked, policies=(policy,))))["hasty", "max_lost 5%"]
    assert outcome(case) == "passed"
    assert case.find("system-out").text == (
        "warning: hasty: max_lost 5% may be broken: lost 6% on average (4% to 8%), which so few runs cannot"
        " tell from chance"
    )


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("kept", "passed"), ("broken", "failure"), ("unsure", "skipped"), ("unknown", "skipped")],
)
def test_a_limit_of_which_nothing_was_found_goes_by_its_verdict(verdict, expected):
    checked = sample()
    result = limit("hasty", "max_lost", "5%", "lost", 0.05, None, None, None, verdict)
    policy = dataclasses.replace(checked.policies[1], limits=(result,), findings=())
    case = cases(read(dataclasses.replace(checked, policies=(policy,))))["hasty", "max_lost 5%"]
    assert outcome(case) == expected
    said = "unknown on these runs" if verdict == "unknown" else "max_lost 5% "
    assert said in (
        case.find("system-out").text if expected == "passed" else case.find(expected).get("message")
    )


def test_nothing_checked_is_no_success():
    checked = sample()
    policy = dataclasses.replace(checked.policies[1], limits=(), findings=())
    assert (
        outcome(cases(read(dataclasses.replace(checked, lock=None, policies=(policy,))))["hasty", "checked"])
        == "skipped"
    )
    assert len(read(plain())) == 0


def test_it_is_the_same_each_time():
    assert as_junit(sample()) == as_junit(sample())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data(name):
    root = read(named(name))
    assert root.find("testsuite").get("name") == printable(name)
    messages = {found.get("message") for tag in ("failure", "skipped") for found in root.iter(tag)}
    assert messages <= {printable(text) for text in sentences_of(name)}
    assert printable(f"{name} on group {name}: {name} {name} is broken: lost 7% on average") in messages
    said = "\n".join([*root.itertext(), *messages])
    assert all(printable(text) in said for text in sentences_of(name))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out", "skipped",
    }  # fmt: skip


@settings(deadline=None)
@given(CHECKS)
def test_any_text_gives_valid_xml(checked):
    root = read(checked)
    assert [suite.get("name") for suite in root][: len(checked.policies)] == [
        printable(policy.name) for policy in checked.policies
    ]
    for suite, policy in zip(root, checked.policies, strict=False):
        said = "\n".join([*suite.itertext(), *(found.get("message", "") for found in suite.iter())])
        assert all(printable(sentence(finding)) in said for finding in policy.findings)
    regressions = any(finding.severity is Severity.REGRESSION for finding in checked.all_findings)
    assert not regressions or int(root.get("failures")) + int(root.get("errors")) > 0
