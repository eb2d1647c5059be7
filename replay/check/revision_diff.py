"""``replay diff`` of revisions of a git repository, and of what a shell's ``<(command)`` gives."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from replay.check.config import read_config
from replay.check.diff import Diff, diff, kind_of
from replay.check.lock_text import is_lock_text
from replay.check.revisions import Revision, errors_shown, revision
from replay.data.finding import Finding
from replay.errors import InputError
from replay.files import is_substituted, read_file
from replay.readers import ReadResult

__all__ = ["diff_revisions", "stored"]

_Read = Callable[[Sequence[Path]], ReadResult]


def diff_revisions(
    revisions: Sequence[str],
    path: Path,
    logs: Sequence[Path],
    policies: Sequence[str],
    read: _Read,
    *,
    defaults: Sequence[str],
    given: Mapping[str, Any],
) -> Diff:
    """Compare a lock, a file of policies or logs of one revision with those of another, or of now.

    ``revisions`` are one or two; ``logs`` are those for a file of policies (else those that each side names).
    """
    if len(revisions) > 2:
        raise InputError(f"--rev is given {len(revisions)} times; give one revision, or two to compare")
    with ExitStack() as stack:
        sides: list[Revision | None] = [
            stack.enter_context(revision(name, path.absolute())) for name in revisions
        ]
        sides += [None] * (2 - len(sides))
        copies = [path if side is None else side.require(path) for side in sides]
        own: tuple[list[Path], list[Path]] | None = None
        if kind_of(str(copies[0])) == "policies":
            own = (_logs(sides[0], copies[0], logs), _logs(sides[1], copies[1], logs))
        result = diff(
            str(copies[0]),
            str(copies[1]),
            () if own else logs,
            policies,
            read,
            defaults=defaults,
            given=given,
            logs_of_sides=own,
        )

        def shown(text: str) -> str:
            for side in sides:
                text = text if side is None else side.shown(text)
            return text

        return _renamed(result, shown)


def _logs(side: Revision | None, file: Path, given: Sequence[Path]) -> list[Path]:
    """The logs of one side: those that are given, else those that its file of policies names."""
    logs = list(given) or list(read_config(file).logs)
    if not logs:
        raise InputError(f"on which logs? {file} names none; write replay diff --rev … {file.name} LOGS")
    return logs if side is None else [side.get_logs(log) for log in logs]


@contextlib.contextmanager
def stored(words: Sequence[str]) -> Iterator[tuple[list[str], Callable[[Diff], Diff]]]:
    """Words of a command line with each pipe of a shell as a file that holds what came through it.

    Gives the words and a function that puts the names of the pipes back into a result.
    """
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        names: dict[str, str] = {}
        for word in dict.fromkeys(words):
            if is_substituted(word) and stat.S_ISFIFO(Path(word).stat().st_mode):
                data = read_file(Path(word), pipe=True)
                file = Path(folder, f"{len(names)}{'.lock' if is_lock_text(data) else '.toml'}")
                file.write_bytes(data)
                names[word] = str(file)

        def shown(text: str) -> str:
            for word, file in names.items():
                text = text.replace(file, word)
            return text

        with errors_shown(shown):
            yield [names.get(word, word) for word in words], lambda result: _renamed(result, shown)


def _renamed(result: Diff, shown: Callable[[str], str]) -> Diff:
    return replace(
        result,
        before=shown(result.before),
        after=shown(result.after),
        findings=tuple(_renamed_finding(finding, shown) for finding in result.findings),
    )


def _renamed_finding(finding: Finding, shown: Callable[[str], str]) -> Finding:
    log = None if finding.log is None else shown(finding.log)
    return replace(
        finding, log=log, facts={name: _value(fact, shown) for name, fact in finding.facts.items()}
    )


def _value(fact: Any, shown: Callable[[str], str]) -> Any:
    if isinstance(fact, Finding):
        return _renamed_finding(fact, shown)
    if isinstance(fact, tuple):
        return tuple(_value(part, shown) for part in fact)
    return shown(fact) if isinstance(fact, str) and os.sep in fact else fact
