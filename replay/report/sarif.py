"""The findings of a check as SARIF 2.1.0, which GitHub's code scanning and editors read."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from replay.check.model import Checked, Finding, Level
from replay.errors import printable
from replay.report.findings import KINDS, details, fingerprints, place
from replay.report.tables import json_text

__all__ = ["as_sarif"]

_ANEW = "If that is meant, write the lock anew and commit it."
#: What each kind of finding says, and what to do about it.
_HELP: dict[str, str] = {
    "limit": (
        "A policy's figure over the runs is beyond the limit that the file of policies sets. Where it is so"
        " beyond its uncertainty, it is a regression; otherwise more runs are needed to decide. Change the"
        " policy, or the limit where it asks for too much."
    ),
    "expect": (
        "A policy does not stop a run where the file of policies says that it should. Change the policy, or"
        " the expectation where it is out of date."
    ),
    "moved": f"A policy stops a run elsewhere than it did when the lock was written. {_ANEW}",
    "worse": f"A policy saves less or loses more than it did when the lock was written. {_ANEW}",
    "vanished": f"Something that the lock knows is there no more. {_ANEW}",
    "never-fires": (
        "A policy stops none of the runs: it has no effect, and nothing is tested by it. Make it stricter, or"
        " remove it."
    ),
    "changed-log": (
        "A log is not what it was when the lock was written, so that stops then and now cannot be compared."
        " Restore the log, or write the lock anew and commit it."
    ),
    "new-log": "A log is not in the lock yet. Write the lock anew and commit it.",
    "changed-policy": f"Policies or settings are not what they were when the lock was written. {_ANEW}",
    "new-policy": "A policy is not in the lock yet. Write the lock anew and commit it.",
    "version": (
        "The lock was written by another version, or its figures were. Where the stops are the same, write it"
        " anew and commit it."
    ),
    "noise": (
        "A limit is smaller than the noise of the evals, so that it is broken or kept by chance. Set it above"
        " the noise."
    ),
    "few-runs": "There are too few runs to say how uncertain a figure is. Add logs of more runs.",
    "censored": (
        "Runs ended before a policy stopped them, so that what it would have done is known in part. Add logs"
        " of complete runs."
    ),
    "no-lock": (
        "There is no lock to compare with: only limits and expectations are checked. Write one and commit it."
    ),
    "lock": (
        "The lock cannot be read, or does not belong to this file of policies. Write it anew and commit it."
    ),
}
_LEVEL: dict[Level, str] = {
    "regression": "error",
    "undecided": "warning",
    "warning": "warning",
    "note": "note",
}
_USUAL: dict[str, str] = dict.fromkeys(("limit", "expect", "moved", "worse", "vanished", "lock"), "error") | {
    "new-log": "note",
    "new-policy": "note",
    "no-lock": "note",
    "version": "note",
}


def as_sarif(checked: Checked) -> str:
    """One run with a rule a kind of finding and a result a finding, the worst first."""
    findings = checked.all_findings
    kinds = [*KINDS, *sorted({finding.kind for finding in findings} - set(KINDS))]
    results = [
        _result(checked, finding, kinds.index(finding.kind), fingerprint)
        for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
    ]
    driver = {
        "name": "replay",
        "version": printable(checked.version),
        "rules": [_rule(kind) for kind in kinds],
    }
    return json_text(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    "originalUriBaseIds": {
                        "%SRCROOT%": {
                            "description": {"text": "What the paths of this report are relative to."}
                        }
                    },
                    "columnKind": "unicodeCodePoints",
                    "results": results,
                }
            ],
        }
    )


def _rule(kind: str) -> dict[str, Any]:
    short = KINDS[kind] if kind in KINDS else printable(kind)
    text = _HELP.get(kind, short)
    return {
        "id": printable(kind),
        "name": "".join(part.capitalize() for part in re.findall(r"\w+", printable(kind))) or "Finding",
        "shortDescription": {"text": _message(short)},
        "fullDescription": {"text": _message(text)},
        "help": {"text": _message(text)},
        "defaultConfiguration": {"level": _USUAL.get(kind, "warning")},
    }


def _result(checked: Checked, finding: Finding, rule: int, fingerprint: str) -> dict[str, Any]:
    path = place(checked, finding)
    artifact = (
        {"uri": f"file://{_uri(path)}"}
        if path.startswith("/")
        else {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}
    )
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}}
    }
    logical = [
        {"name": printable(name), "kind": kind}
        for kind, name in (
            ("policy", finding.policy),
            ("run", finding.run),
            ("limit", finding.limit),
            ("group", finding.group),
        )
        if name is not None
    ]
    if logical:
        location["logicalLocations"] = logical
    return {
        "ruleId": printable(finding.kind),
        "ruleIndex": rule,
        "level": _LEVEL[finding.level],
        "message": {"text": _message("\n".join(details(finding)))},
        "locations": [location],
        # the first is the one that GitHub goes by; without it, all findings in one file would be one alert
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "replayFinding/v1": fingerprint},
    }


def _uri(path: str) -> str:
    try:
        return quote(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return quote(path.encode("utf-8", "surrogatepass"))


def _message(text: str) -> str:
    """A message string: no placeholder and no link is made of what is in a text (sections 3.11.5 and
    3.11.6).
    """
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")
