"""A check as JUnit XML: one suite per policy, one test per limit and one for the comparison with the lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from replay.check.model import Checked, LimitResult, PolicyResult
from replay.data.finding import Finding, Kind, Severity
from replay.errors import printable
from replay.report.findings import details, is_decisive, is_of_lock, limit_name, location, run_of, title
from replay.report.sentences import sentence, sentences
from replay.report.sentences.check import limit_sentence

__all__ = ["as_junit"]

_LOCK = "the same as in the lock"


#: What a limit that makes no finding is in JUnit's terms, by its verdict; without an entry it passes.
_OUTCOMES = {"broken": "failure", "unsure": "skipped", "unproven": "skipped", "unknown": "skipped"}


@dataclass
class _Case:
    """One test; its outcome follows from its findings or, where there are none, from a limit's verdict."""

    name: str
    limit: LimitResult | None = None
    reason: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def of(self, level: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is level]

    @property
    def outcome(self) -> str | None:
        """``failure``, ``error``, ``skipped``, or None where it passed."""
        if regressions := self.of(Severity.REGRESSION):
            return "error" if regressions[0].kind == Kind.NOT_CHECKED else "failure"
        if self.of(Severity.UNDECIDED) or self.reason is not None:
            return "skipped"
        if self.limit is None or any(finding.kind == Kind.LIMIT for finding in self.of(Severity.WARNING)):
            return None
        return {"broken": "failure", "unsure": "skipped", "unproven": "skipped", "unknown": "skipped"}.get(
            self.limit.verdict
        )


def as_junit(checked: Checked) -> str:
    """The XML document, valid against the JUnit schema of Jenkins' xUnit plugin.

    Each limit of a policy is a test, and so is the comparison with the lock. A run that moved, or that is not
    stopped as expected, is a test where that is a regression or undecided. A regression is a failure, what
    cannot be decided is skipped, and everything else is in ``system-out``. Findings that belong to no policy
    are in a suite named by the file of policies. Characters that XML forbids are shown as escapes.
    """
    suites = [_suite(checked, policy) for policy in checked.policies]
    if checked.findings or checked.warnings:
        suites.append(
            _fill(_element("testsuite", name=checked.file), (), checked.findings, sentences(checked.warnings))
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
    suite = _element("testsuite", name=policy.name, file=location(checked), version=checked.version)
    properties = _child(suite, "properties")
    values = {
        "policy": policy.spec,
        "lock": checked.lock,
        "runs": checked.runs,
        "monitor": checked.monitor,
        "objective": checked.objective,
        "unit": checked.unit,
    }
    for name, value in values.items():
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
    suite: ElementTree.Element, cases: Iterable[_Case], findings: Sequence[Finding], warnings: Sequence[str]
) -> ElementTree.Element:
    """Put every finding into the test that it is about, or else into the output of the suite, and count."""
    every = list(cases)
    limits = {(case.limit.name, case.limit.group): case for case in every if case.limit is not None}
    named = {case.name: case for case in every if case.limit is None}
    out = [printable(line) for line in warnings]
    for finding in findings:
        matters = is_decisive(finding)
        about = limits.get((finding.get("limit") or "", finding.get("group")))
        if about is not None and (finding.kind in (Kind.LIMIT, Kind.GUARANTEE) or not matters):
            about.findings.append(finding)
            continue
        name = _LOCK if is_of_lock(finding) else title(finding)
        limit, group, run = finding.get("limit"), finding.get("group"), run_of(finding)
        if limit is not None:
            name = f"{limit}: {name}"
        if run is not None and matters:
            name = f"run {run}: {title(finding)}"
        if group is not None:
            name += f", {group}"
        if matters and name not in named:
            every.append(named.setdefault(name, _Case(name)))
        if name in named:
            named[name].findings.append(finding)
        else:
            out.append(_sentence_of(finding))
    lock = named.get(_LOCK)
    apart = any(case is not lock and any(map(is_of_lock, case.findings)) for case in every)
    if lock is not None and lock.outcome is None and apart:
        # it would say that all is the same, while each run that moved is a test of its own
        every = [case for case in every if case is not lock]
        out += [_sentence_of(finding) for finding in lock.findings]
    for case in every:
        _add(suite, case)
    outcomes = [case.outcome for case in every]
    counts = {
        "tests": len(every),
        "failures": outcomes.count("failure"),
        "errors": outcomes.count("error"),
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
    why = case.of(Severity.REGRESSION) or case.of(Severity.UNDECIDED)
    if case.outcome is not None:
        if why:
            text, kind = sentence(why[0]), str(why[0].kind)
        elif case.limit is not None:
            text, kind = limit_sentence(case.limit), str(Kind.LIMIT)
        else:
            text, kind = case.reason or "", "nothing"
        result = _child(test, case.outcome, message=text, type=kind)
        result.text = "\n".join(line for finding in why for line in details(finding)) or printable(text)
    rest = [_sentence_of(finding) for finding in case.findings if finding not in why]
    if (
        case.limit is not None
        and case.outcome is None
        and all(sentence(finding) != limit_sentence(case.limit) for finding in case.findings)
    ):
        rest.insert(0, printable(limit_sentence(case.limit)))
    if rest:
        _child(test, "system-out").text = "\n".join(rest)


def _sentence_of(finding: Finding) -> str:
    return f"{finding.severity}: " + "\n".join(details(finding))


def _element(tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: printable(value) for name, value in attributes.items()})


def _child(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    element = _element(tag, **attributes)
    parent.append(element)
    return element
