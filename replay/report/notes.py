"""Notes: what a reader should know about the figures of a report, most important first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replay.data.finding import Finding, Kind
from replay.report.sentences import sentence

__all__ = ["make_notes"]

#: Kinds that say that a figure may be about something else than the reader thinks: these come first.
_DOUBTS = (
    Kind.MIXED_SETS,
    Kind.WRONG_DIRECTION,
    Kind.METRIC_CONSTANT,
    Kind.MODE_CONTRADICTED,
    Kind.TEST_SET_MONITOR,
    Kind.TRAIN_ONLY_MONITOR,
    Kind.MISSING_HEADS,
    Kind.MISSING_EVALS,
    Kind.COMPANION_MISSING,
    Kind.POLICY_SKIPPED,
    Kind.REFUSED,
    Kind.NO_METRIC,
    Kind.FIRST_STRETCH,
    Kind.NEAR_ONE,
    Kind.FALLING_RATE,
    Kind.PLATEAU_RATE,
    Kind.NO_EVALS,
    Kind.NO_SCALE,
)
#: Kinds of readers that say that a log goes on beyond what was read of it: these come first.
_CUT = (Kind.CUT_OFF, Kind.CORRUPT_RECORD, Kind.INVALID_JSON, Kind.PYTHON_TEXT)
#: Files that are named one by one; of more, the first is named and the others are counted.
_MOST_FILES = 2


def make_notes(
    logs: Iterable[Finding], findings: Iterable[Finding], sentences: Sequence[str] = ()
) -> list[str]:
    """The notes of a report.

    ``logs`` are the findings of the readers, ``findings`` those of the results, and ``sentences`` what the
    builder itself has to say before all of them.
    """
    of_logs = [_end(sentence(finding)) for finding in sorted(logs, key=_is_minor)]
    if len(of_logs) > _MOST_FILES:
        of_logs = [f"{len(of_logs)} logs or parts of logs were not read. The first: {of_logs[0]}", *of_logs]
    ranked = sorted(dict.fromkeys(findings), key=_rank)
    return [*sentences, *of_logs[:1], *(_end(sentence(finding)) for finding in ranked), *of_logs[1:]]


def _is_minor(finding: Finding) -> bool:
    """Whether a log is read to its end all the same, or not at all."""
    return finding.kind not in _CUT


def _rank(finding: Finding) -> tuple[int, int]:
    known = finding.kind in _DOUBTS
    return (_DOUBTS.index(finding.kind) if known else len(_DOUBTS), finding.severity.rank)


def _end(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
