"""What is wrong with logs, in a few words each: for the line that says what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from replay.data.finding import Finding, Kind
from replay.report.format import say_count

__all__ = ["say_problems"]

#: Nouns for kinds of findings that a line may name.
_NOUNS: Mapping[Kind, str] = {
    Kind.UNREADABLE: "unreadable file",
    Kind.EMPTY_FILE: "empty file",
    Kind.EMPTY_ARCHIVE: "empty archive",
    Kind.BINARY_FILE: "binary file",
    Kind.LFS_POINTER: "Git LFS pointer",
    Kind.MISNAMED_FILE: "misnamed file",
    Kind.UNKNOWN_FORMAT: "unknown format",
    Kind.READER_FAILED: "failure of a reader",
    Kind.PLUGIN_FAILED: "failed plug-in",
    Kind.UNUSABLE_LOG: "unusable log",
    Kind.UNSUPPORTED_VERSION: "unsupported version",
    Kind.CUT_OFF: "cut-off file",
    Kind.CORRUPT_RECORD: "corrupt file",
    Kind.INVALID_HEADER: "unreadable header",
    Kind.INVALID_JSON: "invalid JSON file",
    Kind.INVALID_ROW: "unreadable row",
    Kind.PYTHON_TEXT: "invalid JSON file",
    Kind.OVER_LIMIT: "limit exceeded",
    Kind.ROWS_WITHOUT_STEP: "table with rows without a step",
    Kind.NO_STEP: "table without a step",
    Kind.NO_ROWS: "table without rows",
    Kind.NO_VALUES: "log without values",
    Kind.NO_SCALARS: "log without values",
    Kind.NO_HISTORY: "log without values",
    Kind.NO_METRICS: "log without values",
    Kind.NO_METRICS_IN_TEXT: "log without values",
    Kind.ONLY_IMPROVEMENTS: "log of improvements only",
    Kind.UNREADABLE_DATABASE: "unreadable database",
    Kind.DAMAGED_TABLE: "damaged table",
    Kind.UNREADABLE_TABLE: "unreadable table",
    Kind.MISSING_PACKAGE: "missing package",
    Kind.LOGS_DISAGREE: "disagreement of logs",
}
#: How many kinds a line names.
_MOST = 2


def say_problems(findings: Iterable[Finding]) -> str:
    """How many problems there are, and the most frequent kinds: ``3 problems (2 cut-off files, 1 other)``."""
    nouns = Counter(_NOUNS.get(finding.kind, "") for finding in findings)
    total = nouns.total()
    named = [(noun, count) for noun, count in nouns.most_common() if noun][:_MOST]
    rest = total - sum(count for _, count in named)
    if not named:
        return say_count(total, "problem")
    if total == 1:
        return f"1 problem ({named[0][0]})"
    parts = [_plural(noun, count) for noun, count in named]
    parts += [f"{rest} other{'s' * (rest != 1)}"] if rest else []
    return f"{say_count(total, 'problem')} ({', '.join(parts)})"


def _plural(noun: str, count: int) -> str:
    """The count with its noun, of which the first part is put in the plural: ``2 tables without rows``."""
    for joint in (" without ", " with ", " of ", " exceeded"):
        if joint in noun:
            head, tail = noun.split(joint, 1)
            return f"{say_count(count, head)}{joint}{tail}"
    return say_count(count, noun)
