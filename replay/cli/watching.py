"""Reads logs again and again while trainings write them, and says where policies stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from replay.errors import InputError

if TYPE_CHECKING:
    from replay.data.run import Run
    from replay.engine.question import Question
    from replay.engine.standing import RunState
    from replay.policies import Policy
    from replay.readers import ColumnMap, Growing, ReadResult
    from replay.report.watch import Frame

__all__ = ["Watch", "run_key"]


class Watch:
    """The runs below some paths, and policies by the specifications that were typed.

    ``logs`` is what was read last, and None while nothing could be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        policies: Sequence[tuple[str, Policy]],
        question: Question,
        columns: ColumnMap | None = None,
    ) -> None:
        self.paths, self.policies, self.question = paths, policies, question
        self.logs: ReadResult | None = None
        self._columns = columns
        self._growing: Growing | None = None

    def update(self, *, first: bool = False) -> Frame:
        """Read the logs again. Where nothing can be read, the frame says why.

        With ``first``, a path that does not exist is an InputError.
        """
        from replay.readers import NothingFound
        from replay.report.watch import Frame

        self.logs = None
        try:
            self.logs = self.read()
            return self.frame(self.logs)
        except NothingFound as error:
            return Frame((), self.question.unit, error.findings, f"Waiting: {error}.")
        except InputError as error:
            if first:
                raise
            return Frame((), self.question.unit, (), f"Waiting: {error}.")

    def frame(self, logs: ReadResult) -> Frame:
        """The frame of what was read."""
        from replay.engine.standing import observe
        from replay.report.watch import Frame

        states = [observe(run, self.policies, self.question) for run in logs.runs]
        return Frame(sorted(states, key=_urgency), self.question.unit, logs.findings)

    def read(self) -> ReadResult:
        """Read the logs; errors as of `replay.readers.read`."""
        from replay.readers import Growing, read

        self._growing = self._growing or Growing()
        return read(self.paths, columns=self._columns, growing=self._growing)


def run_key(run: Run) -> tuple[str, str]:
    """What a run is known by while ids change, as they do where more files come: its first file, and the part
    of the id that tells it from other runs of the file.
    """
    sources = run.info.sources
    return (sources[0] if sources else run.id, run.id.partition("#")[2])


def _urgency(state: RunState) -> tuple[int, float]:
    """Runs that train on after a stop come first, then those that are about to be stopped, then the others;
    trainings that have ended come last.
    """
    from replay.engine.next_eval import NextKind

    if state.ended:
        return 3, 0.0
    if state.stopped is not None:
        return 0, 0.0
    soon = {NextKind.STOPS, NextKind.STOPS_UNLESS_BETTER}
    if any(one.next is not None and one.next.kind in soon for one in state.standings):
        return 1, 0.0
    shares = [
        one.counter / one.threshold
        for one in state.standings
        if one.counter is not None and one.threshold is not None and one.threshold > 0
    ]
    return 2, -max(shares, default=0.0)
