"""Sentences of findings: the only place where a finding becomes text.

Each module has the sentences of one origin, in a table ``SENTENCES`` from `Kind` to a function of the
finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from replay.data.finding import Finding, Kind

__all__ = ["sentence", "sentences"]

Sentence = Callable[[Finding], str]


def _other(finding: Finding) -> str:
    return str(finding.get("text", finding.kind))


_SENTENCES: dict[Kind, Sentence] = {Kind.OTHER: _other}


def sentence(finding: Finding) -> str:
    """The finding in words."""
    return _SENTENCES[finding.kind](finding)


def sentences(findings: Iterable[Finding]) -> list[str]:
    """Findings in words, in order."""
    return [sentence(finding) for finding in findings]
