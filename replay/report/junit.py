"""A check as JUnit XML: a suite a policy, a test a limit and one for the comparison with the lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from replay.check.model import Checked, Finding, LimitResult, PolicyResult
from replay.errors import printable
from replay.report.findings import details, limit_name, title
from replay.report.sentences import texts

__all__ = ["as_junit"]

_LOCK = "the same as in the lock"
#: What the comparison with the lock finds.
_OF_LOCK = (
    "moved",
    "worse",
    "vanished",
    "changed-log",
    "new-log",
    "changed-policy",
    "new-policy",
    "version",
    "no-lock",
    "lock",
)


@dataclass
class _Case:
    """One test: how it came out follows from what was found, or, where nothing was, from a limit's
    verdict.
    """

    name: str
    limit: LimitResult | None = None
    reason: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def of(self, level: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == level]

    @property
    def outcome(self) -> str | None:
        """``failure``, ``skipped``, or None where it passed."""
        if self.of("regression"):
            return "failure"
        if self.of("undecided") or self.reason is not None:
            return "skipped"
        if self.limit is None or any(finding.kind == "limit" for finding in self.of("warning")):
            return None
        return {"broken": "failure", "unsure": "skipped", "unknown": "skipped"}.get(self.limit.verdict)


def as_junit(checked: Checked) -> str:
    """The XML document, valid against the JUnit schema of Jenkins' xUnit plugin.

        A limit is a test of its policy, and so is the comparison with the lock; a run that moved, or does not
        do as expected, is one where that is a regression or undecided. A regression is a failure, what cannot
        be decided is skipped, all else is in ``system-out``. What
    belongs to no policy is in a suite named by the file of policies. Characters that XML forbids are shown as
    escapes.
    """
    suites = [_suite(checked, policy) for policy in checked.policies]
    if checked.findings or checked.warnings:
        suites.append(
            _fill(_element("testsuite", name=checked.file), (), checked.findings, texts(checked.warnings))
        )
    counts = {
        name: str(sum(int(suite.get(name, "0")) for suite in suites))
        for name in ("tests", "failures", "errors")
    }
    root = _element("testsuites", name="replay check", **counts)
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(checked: Checked, policy: PolicyResult) -> ElementTree.Element:
    suite = _element("testsuite", name=policy.name, file=checked.file, version=checked.version)
    properties = _child(suite, "properties")
    told = {
        "policy": policy.spec,
        "lock": checked.lock,
        "runs": checked.runs,
        "monitor": checked.monitor,
        "objective": checked.objective,
    }
    for name, value in {**told, "unit": checked.unit}.items():
        if value is not None:
            _child(properties, "property", name=name, value=str(value))
    cases = [_Case(limit_name(limit), limit) for limit in policy.limits]
    if checked.lock is not None:
        cases.append(_Case(_LOCK))
    if not cases and not policy.findings:
        cases.append(
            _Case("checked", reason="there is no limit, no lock and nothing found: nothing was checked")
        )
    return _fill(suite, cases, policy.findings, ())


def _fill(
    suite: ElementTree.Element, cases: Iterable[_Case], findings: Sequence[Finding], said: Sequence[str]
) -> ElementTree.Element:
    """Put every finding into the test that it is about, or among what the suite says, and count."""
    every = list(cases)
    limits = {(case.limit.name, case.limit.group): case for case in every if case.limit is not None}
    named = {case.name: case for case in every if case.limit is None}
    out = [printable(line) for line in said]
    for finding in findings:
        matters = finding.level in ("regression", "undecided")
        about = limits.get((finding.limit or "", finding.group))
        if about is not None and (finding.kind == "limit" or not matters):
            about.findings.append(finding)
            continue
        name = _LOCK if finding.kind in _OF_LOCK else title(finding)
        if finding.limit is not None:
            name = f"{finding.limit}: {name}"
        if finding.run is not None and matters:
            name = f"run {finding.run}: {title(finding)}"
        if finding.group is not None:
            name += f", {finding.group}"
        if matters and name not in named:
            every.append(named.setdefault(name, _Case(name)))
        if _LOCK in named and finding.kind in _OF_LOCK and name != _LOCK:
            named[_LOCK].findings.append(finding)
        if name in named:
            named[name].findings.append(finding)
        else:
            out.append(_said(finding))
    for case in every:
        _add(suite, case)
    outcomes = [case.outcome for case in every]
    counts = {
        "tests": len(every),
        "failures": outcomes.count("failure"),
        "errors": 0,
        "skipped": outcomes.count("skipped"),
    }
    for key, count in counts.items():
        suite.set(key, str(count))
    if out:
        _child(suite, "system-out").text = "\n".join(out)
    return suite


def _add(suite: ElementTree.Element, case: _Case) -> None:
    # what CI systems tell two tests of the same name apart by
    test = _child(suite, "testcase", name=case.name, classname=suite.get("name", ""))
    if case.limit is not None and case.limit.group is not None:
        test.set("group", printable(case.limit.group))
    told = (
        [case.limit.message] if case.limit is not None else [case.reason] if case.reason is not None else []
    )
    why = case.of("regression") or case.of("undecided")
    if case.outcome is not None:
        message = why[0].message if why else told[0]
        found = _child(
            test,
            case.outcome,
            message=message,
            type=why[0].kind if why else "limit" if case.limit is not None else "nothing",
        )
        found.text = "\n".join(line for finding in why for line in details(finding)) or printable(message)
    rest = [_said(finding) for finding in case.findings if finding not in why]
    if (
        case.limit is not None
        and case.outcome is None
        and all(finding.message != case.limit.message for finding in case.findings)
    ):
        rest.insert(0, printable(case.limit.message))
    if rest:
        _child(test, "system-out").text = "\n".join(rest)


def _said(finding: Finding) -> str:
    return f"{finding.level}: " + "\n".join(details(finding))


def _element(tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: printable(value) for name, value in attributes.items()})


def _child(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    element = _element(tag, **attributes)
    parent.append(element)
    return element
