"""The report of ``replay verify``: whether a policy stops each run live where the replay stops it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from replay.report.document import Document, Table

__all__ = ["Result", "build"]


class Result(Protocol):
    """One run: the 1-based evals at which the replay and the live policy stop, None for never."""

    @property
    def run(self) -> str: ...
    @property
    def evals(self) -> int: ...
    @property
    def replayed(self) -> int | None: ...
    @property
    def live(self) -> int | None: ...
    @property
    def asked(self) -> str: ...
    @property
    def same(self) -> bool: ...


def build(results: Sequence[Result]) -> Document:
    """Report one row per run and way of asking."""
    return Document(lambda: [_table(results)])


def _table(results: Sequence[Result]) -> Table:
    rows = [
        [
            result.run,
            str(result.evals),
            _eval(result.replayed),
            _eval(result.live),
            result.asked,
            "same" if result.same else "DIFFERENT",
        ]
        for result in results
    ]
    return Table(["run", "evals", "replay", "live", "asked", ""], rows, (0, 4, 5))


def _eval(eval: int | None) -> str:
    return "never" if eval is None else str(eval)
