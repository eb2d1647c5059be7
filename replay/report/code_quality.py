"""The findings of a check as GitLab's code-quality report."""

from __future__ import annotations

from replay.check.model import Checked, Level
from replay.errors import printable
from replay.report.findings import details, fingerprints, place
from replay.report.tables import json_text

__all__ = ["as_code_quality"]

_SEVERITY: dict[Level, str] = {
    "regression": "critical",
    "undecided": "major",
    "warning": "minor",
    "note": "info",
}


def as_code_quality(checked: Checked) -> str:
    """One issue a finding, the worst first; a fingerprint says which are the same from one pipeline to the
    next.
    """
    findings = checked.all_findings
    return json_text(
        [
            {
                "description": ". ".join(line.removesuffix(".") for line in details(finding)),
                "check_name": f"replay/{printable(finding.kind)}",
                "fingerprint": fingerprint,
                "severity": _SEVERITY[finding.level],
                "location": {"path": printable(place(checked, finding)), "lines": {"begin": 1}},
            }
            for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
        ]
    )
