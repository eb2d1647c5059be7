"""The report of ``replay diff``: which runs moved, by how much, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from replay.check.diff import Both, Diff, Difference, Pair
from replay.check.model import Stop
from replay.report.document import (
    Block,
    Commands,
    Detail,
    Document,
    Heading,
    Medium,
    Mono,
    Notes,
    Paragraph,
    Records,
    Table,
    separate,
)
from replay.report.format import percent
from replay.report.notes import make_notes
from replay.report.sentences import sentences
from replay.report.sentences.metric import say_better
from replay.stats.summary import ENOUGH_RUNS

__all__ = ["COLUMNS", "build", "verdict"]

#: Columns of the records, one row per policy and run.
COLUMNS = (
    "policy",
    "spec_a",
    "spec_b",
    "run",
    "in",
    "moved",
    "stopped_eval_a",
    "stopped_eval_b",
    "stopped_step_a",
    "stopped_step_b",
    "saved_a",
    "saved_b",
    "lost_a",
    "lost_b",
    "regret_a",
    "regret_b",
    "reason_a",
    "reason_b",
)

_FEWEST_ROWS = 6  # of the brief form
_MOST_ROWS = 200  # of the verbose form
_MOST_NAMES = 5
_LEAST_SHOWN = 0.0005  # a difference that rounds to 0.0 points
_HEAD = ("run", "stop", "saved", "lost")
_WHOLE = {"saved": "the compute", "lost": "the improvement"}


def build(diff: Diff, *, again: Sequence[str] = (), logs: Sequence[str] = ()) -> Document:
    """Report the differences between two sides, one section per pair of policies.

    ``again`` is the command that compares again, and ``logs`` are the paths that two policies are compared
    on, with the options by which they were read.
    """
    return Document(
        lambda: _blocks(diff, again, logs), lambda: _data(diff), lambda: Records(COLUMNS, _rows(diff))
    )


def _data(diff: Diff) -> dict[str, Any]:
    return {
        "kind": diff.kind,
        "a": diff.before,
        "b": diff.after,
        **_setting_data(diff),
        "pairs": [_pair_data(pair) for pair in diff.pairs],
        "policies_only_in_a": list(diff.only_before),
        "policies_only_in_b": list(diff.only_after),
        "warnings": sentences(diff.findings),
    }


def _pair_data(pair: Pair) -> dict[str, Any]:
    return {
        "policy": pair.name,
        "spec_a": pair.before,
        "spec_b": pair.after,
        "runs": len(pair.runs),
        "moved": len(pair.moved),
        "saved": _difference_data(pair.saved),
        "lost": _difference_data(pair.lost),
        "level": pair.level,
        "verdict": verdict(pair),
        "only_in_a": [stop.run for stop in pair.only_before],
        "only_in_b": [stop.run for stop in pair.only_after],
        "outcomes": [_row(pair, both.before, both.after, both.moved) for both in pair.runs],
    }


def _difference_data(difference: Difference) -> dict[str, Any]:
    return {
        "runs": difference.runs,
        "a": difference.before,
        "b": difference.after,
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }


def _rows(diff: Diff) -> Iterator[dict[str, Any]]:
    """One row per policy and run, also for runs that did not move or that only one side has."""
    for pair in diff.pairs:
        for both in pair.runs:
            yield _row(pair, both.before, both.after, both.moved)
        for stop in pair.only_before:
            yield _row(pair, stop, None, None)
        for stop in pair.only_after:
            yield _row(pair, None, stop, None)


def _row(pair: Pair, before: Stop | None, after: Stop | None, moved: bool | None) -> dict[str, Any]:
    some = before or after
    assert some is not None
    row: dict[str, Any] = {
        "policy": pair.name,
        "spec_a": pair.before,
        "spec_b": pair.after,
        "run": some.run,
        "in": "both" if before and after else "a" if before else "b",
        "moved": None if moved is None else "yes" if moved else "no",
    }
    for name in ("stopped_eval", "stopped_step", "saved", "lost", "regret", "reason"):
        row[f"{name}_a"] = getattr(before, name) if before else None
        row[f"{name}_b"] = getattr(after, name) if after else None
    return row


def _blocks(diff: Diff, again: Sequence[str], logs: Sequence[str]) -> list[Block]:
    several = len(diff.pairs) > 1
    out: list[Block] = [Paragraph((_answer(diff),), medium="screen", answer=True)]
    setting = _setting(diff)
    if diff.kind == "policy" or (several and setting):
        out.append(Paragraph(setting, medium="screen"))
    else:
        out.append(Paragraph([*setting, *_of_pair(diff)], medium="screen"))
    if diff.kind != "policy":
        out += _sides(diff.before, diff.after, tight=True)
    if several:
        out.append(_overview(diff.pairs))
    for pair in diff.pairs:
        out += [*_screen(pair, "verbose" if several else None), *_page(pair)]
    out += separate(_unpaired(diff))
    if diff.findings:
        out.append(Notes(make_notes((), diff.findings), medium="screen"))
    if step := _next_step(diff, again, logs):
        out.append(Commands([step], medium="screen"))
    return out


def _answer(diff: Diff) -> str:
    """Which runs stop elsewhere, and what that changes."""
    if len(diff.pairs) == 1:
        return verdict(diff.pairs[0])
    count = len(diff.pairs)
    different = sorted((pair for pair in diff.pairs if pair.moved or pair.changed), key=_weight)
    if not different:
        return f"No run moved: A and B stop all runs alike under each of the {count} policies."
    most = different[0]
    verb = "differs" if len(different) == 1 else "differ"
    text = f"{len(different)} of {count} policies {verb} between A and B."
    which = "Under" if len(different) == 1 else "Most under"
    rest = verdict(most)
    return f"{text} {which} {most.name}: {rest[0].lower() if rest.startswith('No') else rest[0]}{rest[1:]}"


def _of_pair(diff: Diff) -> list[str]:
    """The name of the one policy that is compared."""
    (pair,) = diff.pairs if len(diff.pairs) == 1 else (None,)
    if pair is None or pair.name is None:
        return []
    same = pair.before == pair.after
    return [f"Policy: {pair.name}" + (f" ({pair.before})" if same and pair.name != pair.before else "")]


def _weight(pair: Pair) -> tuple[float, float, int]:
    """Sorts pairs: the one that changes most is the first."""
    return (-abs(pair.lost.mean or 0.0), -abs(pair.saved.mean or 0.0), -len(pair.moved))


def _overview(pairs: Sequence[Pair]) -> Table:
    """One row per policy, for the brief form: those that change most first."""
    rows = [
        [
            pair.name or "",
            f"{len(pair.moved)} of {len(pair.runs)}",
            *(_arrow(percent(one.before), percent(one.after)) for one in (pair.saved, pair.lost)),
        ]
        for pair in sorted(pairs, key=_weight)
    ]
    head = ["policy", "stops moved", "saved", "lost"]
    return Table(head, rows, medium="screen", detail="brief", fewest=_FEWEST_ROWS)


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _next_step(diff: Diff, again: Sequence[str], logs: Sequence[str]) -> list[str]:
    """The command that says more: why B stops the run that changes most, or each run with both reasons."""
    moved = [both for pair in diff.pairs for both in pair.moved]
    if diff.kind == "policy" and logs and moved:
        run = min(moved, key=_change).run
        return ["replay", "explain", *logs, "--policy", diff.after, "--run", run]
    return [*again, "--format", "csv"] if again else []


def _setting_data(diff: Diff) -> dict[str, Any]:
    if diff.study is None:
        return {}
    study = diff.study
    return {
        "monitor": study.monitor.name,
        "mode": study.monitor.mode,
        "objective": study.objective.name,
        "unit": study.question.unit,
        "keep": study.question.keep,
    }


def _setting(diff: Diff) -> list[str]:
    """The monitor, the objective and the unit, where they are known."""
    if diff.study is None:
        return []
    monitor, objective, question = diff.study.monitor, diff.study.objective, diff.study.question
    text = f"Monitor: {monitor.name}, {say_better(monitor.mode)} is better"
    if objective.name != monitor.name:
        text += f"; objective: {objective.name}"
    kept = "" if question.keep == "best" else f"; kept: {question.keep}"
    return [f"{text}. Compute in {question.unit}{kept}."]


def _sides(before: str, after: str, *, tight: bool, detail: Detail | None = None) -> list[Block]:
    lines = (f"A  {before}", f"B  {after}")
    return [Paragraph(lines, hanging=3, medium="screen", tight=tight, detail=detail)]


def _screen(pair: Pair, detail: Detail | None) -> list[Block]:
    """A pair on the screen; as the only one (``detail`` None) its verdict is the answer."""
    same = pair.before == pair.after
    out: list[Block] = []
    if detail and pair.name is not None:
        title = f"{pair.name}: {pair.before}" if same and pair.name != pair.before else f"{pair.name}:"
        out.append(Paragraph((title,), medium="screen", detail=detail))
    if not same or pair.name is None:
        out += _sides(pair.before, pair.after, tight=True, detail=detail)
    out.append(_means(pair, "screen", detail))
    if pair.moved:
        rows = [_moved(both) for both in sorted(pair.moved, key=_change)]
        if detail is None:
            out.append(Table(_HEAD, rows, medium="screen", detail="brief", fewest=_FEWEST_ROWS))
        out.append(Table(_HEAD, rows[:_MOST_ROWS], medium="screen", detail="verbose"))
        if len(pair.moved) > _MOST_ROWS:
            more = f"{len(pair.moved) - _MOST_ROWS} more runs with --format csv."
            out.append(Paragraph((more,), medium="screen", detail="verbose", tight=True))
    if aside := [*([verdict(pair)] if detail else []), *_aside(pair)]:
        out.append(Paragraph(aside, medium="screen", detail=detail))
    return out


def _change(both: Both) -> tuple[float, float]:
    """Sorts runs: the one whose figures change most is the first."""
    before, after = both.before, both.after
    known = before.lost is not None and after.lost is not None
    lost = abs(after.lost - before.lost) if known else 0.0  # type: ignore[operator]
    return (-lost, -abs(after.saved - before.saved))


def _page(pair: Pair) -> list[Block]:
    out: list[Block] = []
    if pair.name:
        out.append(Heading((Mono(pair.name),), 3, medium="page"))
    out.append(Paragraph((("A: ", Mono(pair.before), ", B: ", Mono(pair.after)),), medium="page"))
    if pair.moved:
        out.append(Table(_HEAD, [_moved(both) for both in pair.moved], medium="page"))
    return [*out, _means(pair, "page"), Paragraph([verdict(pair), *_aside(pair)], medium="page")]


def _moved(both: Both) -> list[str]:
    before, after = both.before, both.after
    return [
        both.run,
        f"{_eval(before)} -> {_eval(after)}",
        f"{percent(before.saved)} -> {percent(after.saved)}",
        f"{percent(before.lost)} -> {percent(after.lost)}",
    ]


def _eval(stop: Stop) -> str:
    return "never" if stop.stopped_eval is None else str(stop.stopped_eval)


def _means(pair: Pair, medium: Medium, detail: Detail | None = None) -> Table:
    rows = []
    for name, figure in (("saved", pair.saved), ("lost", pair.lost)):
        bounds = ""
        if figure.low is not None and figure.high is not None and figure.verdict != "same":
            bounds = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
        rows.append([name, percent(figure.before), percent(figure.after), _points(figure.mean), bounds])
    head = [f"mean of {_runs(len(pair.runs))}", "A", "B", "B - A, points", f"{100 * pair.level:g} % CI"]
    return Table(head, rows, medium=medium, detail=detail)


def _points(share: float | None) -> str:
    """A difference of shares: ``+3.6``, ``-12.0``, ``0``."""
    if share is None:
        return "?"
    return "0" if abs(share) < _LEAST_SHOWN else f"{100 * share:+.1f}"


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def verdict(pair: Pair) -> str:
    """One or two sentences: how many runs moved, and what the second side saves and loses beside the
    first.
    """
    moved, changed, count = len(pair.moved), len(pair.changed), len(pair.runs)
    if not moved and not changed:
        return f"No run moved: A and B stop {'the one run' if count == 1 else f'all {count} runs'} alike."
    text = f"B stops {moved} of {_runs(count)} elsewhere than A" if moved else "No run moved"
    if changed:
        text += (
            f"{';' if moved else ', but'} {changed}"
            f" {'stops where it did' if changed == 1 else 'stop where they did'}, with other figures"
        )
    text += f". B saves {_more(pair.saved, 'saved')} and loses {_more(pair.lost, 'lost')}"
    if count < ENOUGH_RUNS:
        few = f"{_runs(count)} {'is' if count == 1 else 'are'} too few to tell this from chance"
        return f"{text}; {few} (at least {ENOUGH_RUNS} are needed)."
    unclear = [
        name for name, figure in (("saved", pair.saved), ("lost", pair.lost)) if figure.verdict == "unclear"
    ]
    if unclear:
        both = len(unclear) == 2
        text += (
            "; both differences may be chance" if both else f"; the difference in {unclear[0]} may be chance"
        )
    return f"{text}."


def _more(figure: Difference, name: str) -> str:
    """``3.0 points more of the compute (1.0 to 5.0)``: a difference with its interval, in words."""
    if figure.mean is None:
        return "what is not known"
    ends = [end for end in (figure.mean, figure.low, figure.high) if end is not None]
    if figure.verdict == "same" or all(abs(end) < _LEAST_SHOWN for end in ends):
        return "the same"
    more = figure.mean >= 0
    text = f"{100 * abs(figure.mean):.1f} points {'more' if more else 'less'} of {_WHOLE[name]}"
    if figure.low is None or figure.high is None:
        return text
    low, high = (100 * figure.low, 100 * figure.high) if more else (-100 * figure.high, -100 * figure.low)
    if low < 0:
        words = ("less", "more") if more else ("more", "less")
        return f"{text} ({-low:.1f} {words[0]} to {high:.1f} {words[1]})"
    return f"{text} ({low:.1f} to {high:.1f})"


def _aside(pair: Pair) -> list[str]:
    """The runs that only one side has."""
    return [
        f"{_runs(len(stops))} only in {side}: {_list([stop.run for stop in stops])}."
        for side, stops in (("A", pair.only_before), ("B", pair.only_after))
        if stops
    ]


def _unpaired(diff: Diff) -> list[str]:
    return [
        f"Only in {side}: {'policy' if len(names) == 1 else 'policies'} {_list(names)}."
        for side, names in (("A", diff.only_before), ("B", diff.only_after))
        if names
    ]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
