"""The report of ``replay verify``: whether a policy stops each run live where the replay stops it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from replay.report.document import Block, Document, Paragraph, Records, Table

__all__ = ["Result", "build"]

#: The ways of asking a live policy, in words.
_WAYS = {"log": "the log cut off after each eval", "transformers": "transformers' StopCallback"}
#: Rows of the brief form.
_MOST_ROWS = 12


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


def build(spec: str, results: Sequence[Result]) -> Document:
    """Report one row per run, with a column for each way of asking; the brief form shows runs that differ
    first.
    """
    rows = _rows(results)
    return Document(
        lambda: _blocks(spec, results, rows),
        lambda: {"policy": spec, "runs": rows},
        lambda: Records(("run", "evals", "replay", *_ways(results), "same"), rows),
    )


def _ways(results: Sequence[Result]) -> list[str]:
    """Who was asked live, in the order of first use."""
    return list(dict.fromkeys(result.asked for result in results))


def _rows(results: Sequence[Result]) -> list[dict[str, object]]:
    by_run: dict[str, list[Result]] = {}
    for result in results:
        by_run.setdefault(result.run, []).append(result)
    return [
        {
            "run": run,
            "evals": asked[0].evals,
            "replay": asked[0].replayed,
            **{result.asked: result.live for result in asked},
            "same": all(result.same for result in asked),
        }
        for run, asked in by_run.items()
    ]


def _blocks(spec: str, results: Sequence[Result], rows: Sequence[dict[str, object]]) -> list[Block]:
    different = [row for row in rows if not row["same"]]
    first = [*different, *(row for row in rows if row["same"])][:_MOST_ROWS]
    ways = _ways(results)
    out: list[Block] = [Paragraph((_answer(spec, len(rows), len(different), ways),), answer=True)]
    if len(first) == len(rows):
        return [*out, _table(rows, ways)]
    left = len(rows) - len(first)
    more = {len(first): f"   ... {left} more run{'s' * (left != 1)}"}
    return [
        *out,
        replace(_table(first, ways), notes=more, detail="brief"),
        replace(_table(rows, ways), detail="verbose"),
    ]


def _answer(spec: str, runs: int, different: int, ways: Sequence[str]) -> str:
    asked = " and ".join(_WAYS[way] for way in ways)
    if different:
        return (
            f"{spec} stops a live training elsewhere than its replay in {different} of {runs}"
            f" run{'s' * (runs != 1)}, asked through {asked}."
        )
    where = "the run" if runs == 1 else f"all {runs} runs"
    return f"{spec} stops {where} live where its replay does, asked through {asked}."


def _table(rows: Sequence[dict[str, object]], ways: Sequence[str]) -> Table:
    head = ["run", "evals", "replay", *ways, ""]
    cells = [
        [
            str(row["run"]),
            str(row["evals"]),
            _eval(row["replay"]),
            *("" if way not in row else _eval(row[way]) for way in ways),
            "same" if row["same"] else "DIFFERENT",
        ]
        for row in rows
    ]
    return Table(head, cells, (0, len(head) - 1))


def _eval(eval: object) -> str:
    return "never" if eval is None else str(eval)
