"""The findings of a check as SARIF 2.1.0, which GitHub's code scanning and editors read."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from replay.check.model import Checked
from replay.data.finding import Finding, Severity
from replay.errors import printable
from replay.report.findings import (
    details,
    fingerprints,
    kinds,
    line_of,
    location,
    log_location,
    run_of,
)
from replay.report.render.json import json_text
from replay.report.sentences.check_kinds import CHECK_KINDS, usual_severity

__all__ = ["as_sarif"]

_LEVEL = {
    Severity.REGRESSION: "error",
    Severity.UNDECIDED: "warning",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
}


def as_sarif(checked: Checked) -> str:
    """One run, with one rule per kind of finding and one result per finding, the worst first."""
    findings = checked.all_findings
    rules = kinds(findings)
    results = [
        _result(checked, finding, rules.index(finding.kind), fingerprint)
        for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
    ]
    driver = {
        "name": "replay",
        "version": printable(checked.version),
        "rules": [_rule(kind) for kind in rules],
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
    text = CHECK_KINDS.get(kind)
    short, long = (printable(kind), printable(kind)) if text is None else (text.title, text.help)
    return {
        "id": printable(kind),
        "name": "".join(part.capitalize() for part in re.findall(r"\w+", printable(kind))) or "Finding",
        "shortDescription": {"text": _message(short)},
        "fullDescription": {"text": _message(long)},
        "help": {"text": _message(long)},
        "defaultConfiguration": {"level": _LEVEL[usual_severity(kind)]},
    }


def _result(checked: Checked, finding: Finding, rule: int, fingerprint: str) -> dict[str, Any]:
    path, log = location(checked, finding), log_location(checked, finding)
    shown: dict[str, Any] = {"physicalLocation": _physical(path, line_of(checked, finding))}
    logical = [
        {"name": printable(name), "kind": kind}
        for kind, name in (
            ("policy", finding.policy),
            ("run", run_of(finding)),
            ("limit", finding.get("limit")),
            ("group", finding.get("group")),
        )
        if name is not None
    ]
    if logical:
        shown["logicalLocations"] = logical
    return {
        "ruleId": printable(finding.kind),
        "ruleIndex": rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": _message("\n".join(details(finding)))},
        "locations": [shown],
        **({"relatedLocations": [{"physicalLocation": _physical(log, 1)}]} if log and log != path else {}),
        # the first is the one that GitHub goes by; without it, all findings in one file would be one alert
        "partialFingerprints": {"primaryLocationLineHash": fingerprint, "replayFinding/v1": fingerprint},
    }


def _physical(path: str, line: int) -> dict[str, Any]:
    artifact = (
        {"uri": f"file://{_uri(path)}"}
        if path.startswith("/")
        else {"uri": _uri(path), "uriBaseId": "%SRCROOT%"}
    )
    return {"artifactLocation": artifact, "region": {"startLine": line}}


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
