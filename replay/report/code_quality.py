"""The findings of a check as GitLab's code-quality report."""

from __future__ import annotations

from replay.check.model import Checked
from replay.data.finding import Severity
from replay.errors import printable
from replay.report.findings import details, fingerprints, line_of, location
from replay.report.render.json import json_text

__all__ = ["as_code_quality"]

_SEVERITY = {
    Severity.REGRESSION: "critical",
    Severity.UNDECIDED: "major",
    Severity.WARNING: "minor",
    Severity.NOTE: "info",
}


def as_code_quality(checked: Checked) -> str:
    """One issue per finding, the worst first; a fingerprint identifies an issue from pipeline to pipeline."""
    findings = checked.all_findings
    return json_text(
        [
            {
                "description": ". ".join(line.removesuffix(".") for line in details(finding)),
                "check_name": f"replay/{printable(finding.kind)}",
                "fingerprint": fingerprint,
                "severity": _SEVERITY[finding.severity],
                "location": {
                    "path": printable(location(checked, finding)),
                    "lines": {"begin": line_of(checked, finding)},
                },
            }
            for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
        ]
    )
