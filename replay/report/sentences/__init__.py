"""Sentences of findings: the only place where a finding becomes text.

Each module has the sentences of one origin, in a table ``SENTENCES`` from `Kind` to a function of the
finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from replay.data.finding import Finding, Kind
from replay.errors import ReplayError, printable
from replay.report.sentences import check, engine, readers, validity

__all__ = ["error_text", "sentence", "sentences"]

Sentence = Callable[[Finding], str]


def _other(finding: Finding) -> str:
    return printable(finding.get("text", finding.kind))


def _of_logs(finding: Finding) -> str:
    return f"{finding.log}: {sentence(finding['finding'])}"


_SENTENCES: dict[Kind, Sentence] = {
    Kind.OTHER: _other,
    Kind.OF_LOGS: _of_logs,
    **readers.SENTENCES,
    **engine.SENTENCES,
    **validity.SENTENCES,
    **check.SENTENCES,
}


def sentence(finding: Finding) -> str:
    """The finding in words."""
    return _SENTENCES[finding.kind](finding)


def sentences(findings: Iterable[Finding]) -> list[str]:
    """Findings in words, in order."""
    return [sentence(finding) for finding in findings]


def error_text(error: ReplayError) -> str:
    """The text of an error, with the sentence of the finding that explains it."""
    text = str(error)
    return f"{text}: {sentence(error.because)}" if isinstance(error.because, Finding) else text
