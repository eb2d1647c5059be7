"""The answer of ``replay diff``: which runs moved, by how much, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replay.check.diff import Both, Diff, Difference, Pair
from replay.check.model import Stop
from replay.errors import printable
from replay.report.sentences import texts
from replay.report.tables import csv_text, json_text, lines, markdown, percent, wrapped
from replay.stats.summary import ENOUGH_RUNS

__all__ = ["COLUMNS", "as_csv", "as_json", "as_markdown", "as_text", "verdict"]

#: Columns of the CSV, one row a policy and run.
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

_MOST_ROWS = 30
_MOST_NAMES = 5
_HEAD = ["run", "stop", "saved", "lost"]
_WHOLE = {"saved": "the compute", "lost": "the improvement"}


def as_json(diff: Diff) -> str:
    """The whole result: ``pairs`` with every run, the policies that have no counterpart, ``warnings``, and
    what was watched.
    """
    return json_text(
        {
            "kind": diff.kind,
            "a": diff.before,
            "b": diff.after,
            **diff.told,
            "pairs": [_document(pair) for pair in diff.pairs],
            "policies_only_in_a": list(diff.only_before),
            "policies_only_in_b": list(diff.only_after),
            "warnings": texts(diff.warnings),
        }
    )


def _document(pair: Pair) -> dict[str, Any]:
    return {
        "policy": pair.name,
        "spec_a": pair.before,
        "spec_b": pair.after,
        "runs": len(pair.runs),
        "moved": len(pair.moved),
        "saved": _figures(pair.saved),
        "lost": _figures(pair.lost),
        "level": pair.level,
        "verdict": verdict(pair),
        "only_in_a": [stop.run for stop in pair.only_before],
        "only_in_b": [stop.run for stop in pair.only_after],
        "outcomes": [_row(pair, both.before, both.after, both.moved) for both in pair.runs],
    }


def _figures(difference: Difference) -> dict[str, Any]:
    return {
        "runs": difference.runs,
        "a": difference.before,
        "b": difference.after,
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "verdict": difference.verdict,
    }


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


def as_csv(diff: Diff) -> str:
    """One row a policy and run, also of the runs that did not move or that only one side has."""
    rows = []
    for pair in diff.pairs:
        rows += [_row(pair, both.before, both.after, both.moved) for both in pair.runs]
        rows += [_row(pair, stop, None, None) for stop in pair.only_before]
        rows += [_row(pair, None, stop, None) for stop in pair.only_after]
    return csv_text(rows, COLUMNS)


def as_markdown(diff: Diff) -> str:
    """A section a pair: the runs that moved, the means, and the verdict."""
    out = []
    for pair in diff.pairs:
        names = [f"A: {_code(pair.before)}", f"B: {_code(pair.after)}"]
        title = f"### {_code(pair.name)}\n\n" if pair.name else ""
        out.append(title + ", ".join(dict.fromkeys(names)))
        if pair.moved:
            out.append(markdown(_HEAD, [_moved(both) for both in pair.moved]).rstrip())
        out.append(markdown(*_means(pair)).rstrip())
        out.append("\n".join(printable(line) for line in [verdict(pair), *_aside(pair)]))
    out += [printable(line) for line in _unpaired(diff)]
    return "\n\n".join(out) + "\n"


def _code(text: str) -> str:
    return f"`{printable(text).replace('`', '')}`"


def as_text(diff: Diff) -> str:
    """The first screen, at most 80 columns: the two sides, the runs that moved, the means, and a verdict."""
    out = [line for text in _headline(diff) for line in wrapped(text, indent="  ")]
    if diff.kind != "policy":
        out += [
            line
            for side, name in (("A", diff.before), ("B", diff.after))
            for line in wrapped(f"{side}  {name}", indent="   ")
        ]
    for pair in diff.pairs:
        out += [""] if out else []
        out += _section(pair)
    more = [line for text in _unpaired(diff) for line in wrapped(text)]
    return "\n".join([*out, *([""] if more else []), *more]) + "\n"


def _headline(diff: Diff) -> list[str]:
    """What the runs were watched and judged by, where that is known."""
    if not diff.told:
        return []
    told = diff.told
    text = f"Watching {told['monitor']}, {'lower' if told['mode'] == 'min' else 'higher'} is better"
    if told["objective"] != told["monitor"]:
        text += f"; judged by {told['objective']}"
    kept = "" if told["keep"] == "best" else f"; kept: {told['keep']}"
    return [f"{text}. Compute in {told['unit']}{kept}."]


def _section(pair: Pair) -> list[str]:
    out = []
    same = pair.before == pair.after
    if pair.name is not None:
        out += wrapped(
            f"{pair.name}:"
            if same and pair.name == pair.before
            else f"{pair.name}: {pair.before}"
            if same
            else f"{pair.name}:"
        )
    if not same or pair.name is None:
        out += [
            line
            for side, spec in (("A", pair.before), ("B", pair.after))
            for line in wrapped(f"{side}  {spec}", indent="   ")
        ]
    if pair.moved:
        out += ["", *lines(_HEAD, [_moved(both) for both in pair.moved[:_MOST_ROWS]])]
        if len(pair.moved) > _MOST_ROWS:
            out.append(f"and {len(pair.moved) - _MOST_ROWS} more (see --format csv)")
    head, rows = _means(pair)
    out += ["", *lines(head, rows), ""]
    return out + [line for text in [verdict(pair), *_aside(pair)] for line in wrapped(text)]


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


def _means(pair: Pair) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, figure in (("saved", pair.saved), ("lost", pair.lost)):
        sign = "+" if figure.mean is not None and figure.mean > 0 else ""
        bounds = ""
        if figure.low is not None and figure.high is not None and figure.verdict != "same":
            bounds = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
        rows.append(
            [name, percent(figure.before), percent(figure.after), sign + percent(figure.mean), bounds]
        )
    return [f"mean of {_runs(len(pair.runs))}", "A", "B", "B - A", f"{100 * pair.level:g} %"], rows


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def verdict(pair: Pair) -> str:
    """One or two sentences: how many runs moved, and what the second side saves and loses beside the
    first.
    """
    moved, changed, count = len(pair.moved), len(pair.changed), len(pair.runs)
    if not moved and not changed:
        return f"No run moved: A and B stop {'the one run' if count == 1 else f'all {count} runs'} alike."
    said = f"{moved} of {_runs(count)} moved" if moved else "No run moved"
    if changed:
        said += (
            f"{';' if moved else ', but'} {changed}"
            f" {'stops where it did' if changed == 1 else 'stop where they did'}, with other figures"
        )
    told = [
        f"{verb} {_more(figure, name)}"
        for verb, name, figure in (("saves", "saved", pair.saved), ("loses", "lost", pair.lost))
    ]
    text = f"{said}. B {told[0]} and {told[1]}."
    if count < ENOUGH_RUNS:
        return f"{text} These are too few runs to tell (at least {ENOUGH_RUNS} are needed)."
    unclear = [
        name for name, figure in (("saved", pair.saved), ("lost", pair.lost)) if figure.verdict == "unclear"
    ]
    if unclear:
        which = "neither difference is" if len(unclear) == 2 else f"the difference in {unclear[0]} is not"
        text += f" On these runs {which} told apart from none."
    return text


def _more(figure: Difference, name: str) -> str:
    """``3.0% more of the compute (1.0 to 5.0)``: a difference with its interval, in words."""
    if figure.mean is None:
        return "what is not known"
    if figure.verdict == "same":
        return "the same"
    more = figure.mean >= 0
    text = f"{percent(abs(figure.mean))} {'more' if more else 'less'} of {_WHOLE[name]}"
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
