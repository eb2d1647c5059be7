"""The report of ``replay verify``: whether a policy stops each run live where the replay stops it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from replay.report.document import Block, Commands, Document, Paragraph, Records, Table

__all__ = ["Result", "build"]

#: The ways of asking a live policy, in words.
_WAYS = {
    "log": "the policy is asked after each eval of the log",
    "transformers": "transformers' StopCallback is asked",
}
#: Their columns.
_HEADS = {"log": "each eval", "transformers": "transformers"}
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


def build(spec: str, results: Sequence[Result], *, explain: Sequence[str] = ()) -> Document:
    """Report one row per run, with a column for each way of asking; the brief form shows runs that differ
    first. ``explain`` is the command that shows why the policy stops the first of them.
    """
    rows = _rows(results)
    return Document(
        lambda: _blocks(spec, results, rows, explain),
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


def _blocks(
    spec: str, results: Sequence[Result], rows: Sequence[dict[str, object]], explain: Sequence[str]
) -> list[Block]:
    different = [row for row in rows if not row["same"]]
    first = [*different, *(row for row in rows if row["same"])][:_MOST_ROWS]
    ways = _ways(results)
    out: list[Block] = [Paragraph((_answer(spec, rows, ways),), answer=True)]
    run = str(first[0]["run"])
    next_step = [Commands([[*explain, "--run", run]], medium="screen")] if explain else []
    if len(first) == len(rows):
        return [*out, _table(rows, ways), *next_step]
    left = len(rows) - len(first)
    more = {len(first): f"   ... {left} more run{'s' * (left != 1)}"}
    return [
        *out,
        replace(_table(first, ways), notes=more, detail="brief"),
        replace(_table(rows, ways), detail="verbose"),
        *next_step,
    ]


def _answer(spec: str, rows: Sequence[dict[str, object]], ways: Sequence[str]) -> str:
    runs, different = len(rows), sum(not row["same"] for row in rows)
    never = sum(row["replay"] is None for row in rows)
    which = "the run" if runs == 1 else f"all {runs} runs"
    if different:
        same = (
            f"live, it decides otherwise than in the replay on {different} of {runs} run{'s' * (runs != 1)}"
        )
    else:
        same = f"the same decision live and in the replay on {which} ({runs - never} stop, {never} never do)"
    asked = " and ".join(_WAYS[way] for way in ways)
    checked = "Checked in one way" if len(ways) == 1 else f"Checked in {len(ways)} ways"
    return f"{spec}: {same}. {checked}: {asked}."


def _table(rows: Sequence[dict[str, object]], ways: Sequence[str]) -> Table:
    head = ["run", "replay", *(_HEADS[way] for way in ways), "result"]
    cells = [
        [
            str(row["run"]),
            _eval(row["replay"]),
            *("" if way not in row else _eval(row[way]) for way in ways),
            "same" if row["same"] else "DIFFERENT",
        ]
        for row in rows
    ]
    return Table(head, cells, (0, len(head) - 1))


def _eval(eval: object) -> str:
    return "never" if eval is None else str(eval)
