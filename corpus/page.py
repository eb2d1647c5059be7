"""The tables of the corpus pages, as lines of markdown: cog puts them there (`make readme`)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import replay
from replay.report.format import cell, percent

ROOT = Path(__file__).resolve().parents[1]


def figures() -> dict[str, Any]:
    """What ``corpus/league.py`` computed."""
    return dict(json.loads((ROOT / "corpus" / "league.json").read_text(encoding="utf-8")))


def table(columns: str, rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in markdown; ``columns`` is its header line, with a colon behind names to align right."""
    names = [name.strip() for name in columns.split("|")]
    lines = [
        f"| {' | '.join(name.removesuffix(':') for name in names)} |",
        f"| {' | '.join('--:' if name.endswith(':') else ':--' for name in names)} |",
    ]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def league_table(part: str) -> list[str]:
    """The rules of one part of the corpus, best first; rules with the same figures share a row."""
    league = figures()["leagues"][part]
    sharing: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for rule in league["rules"]:
        if rule["status"] != "cannot tell":
            cells = (
                cell(rule["saved_mean"], rule["saved_low"], rule["saved_high"]),
                cell(rule["lost_mean"], rule["lost_low"], rule["lost_high"]),
                percent(rule["budget_lost"]),
                "" if rule["guaranteed"] is None else percent(rule["guaranteed"]),
            )
            sharing[cells].append(rule["policy"])
    rows: list[tuple[str, ...]] = []
    rank = 1
    for figures_shown, policies in sharing.items():
        more = f" and {len(policies) - 3} more" if len(policies) > 3 else ""
        shown = ", ".join(f"`{policy}`" for policy in policies[:3]) + more
        rows.append((str(rank), shown, *figures_shown))
        rank += len(policies)
    unusable = sorted(rule["rule"] for rule in league["rules"] if rule["status"] == "cannot tell")
    notes = f"{league['runs']} runs, {league['data_sets']} data sets."
    if unusable:
        notes += f" Without a setting that cross-validation confirms: {', '.join(unusable)}."
    if league["skipped"]:
        notes += f" Skipped, because some of the runs lack what they need: {', '.join(league['skipped'])}."
    columns = "rank: | setting | saved: | lost: | equal budget: | guaranteed tolerance:"
    return [*table(columns, rows), "", notes] if rows else [notes]


def best_of(part: str) -> dict[str, Any] | None:
    """The first rule of a league that cross-validation confirms."""
    return next(
        (rule for rule in figures()["leagues"][part]["rules"] if rule["status"] != "cannot tell"), None
    )


def sibling_table() -> list[str]:
    """What trainings with a shorter schedule lose, beside the same share read off the long run."""
    if not figures()["siblings"]["rows"]:
        return ["No sibling has been trained yet."]
    rows = []
    for line in figures()["siblings"]["summary"]:
        if line["pairs"]:
            low, high = line["difference_low"], line["difference_high"]
            interval = "" if low is None else f" ({100 * low:+.1f} to {100 * high:+.1f})"
            rows.append(
                (
                    percent(line["share"]),
                    str(line["pairs"]),
                    percent(line["read_off"]),
                    percent(line["trained"]),
                    f"{100 * (line['trained'] - line['read_off']):+.1f} points{interval}",
                    f"{line['test_read_off']:+.3f}",
                    f"{line['test_trained']:+.3f}",
                )
            )
    columns = "share of the steps: | pairs: | lost, read off: | lost, trained: | difference (95 % CI): |"
    return table(columns + " test loss, read off: | test loss, trained:", rows)


def pair_table() -> list[str]:
    """Every pair of a long run and its sibling."""
    rows = []
    for line in figures()["siblings"]["rows"]:
        lost = (line["read_off"], line["trained"])
        cells = ["not defined" if value is None else percent(value) for value in lost]
        rows.append((f"`{line['run']}`", percent(line["share"]), *cells))
    return table("long run | share: | lost, read off: | lost, trained:", rows)


def group_table(folder: str) -> list[str]:
    """What varies within each group of runs, and in how many the last eval is the best one."""
    groups: dict[str, list[replay.Run]] = defaultdict(list)
    for run in load_all(ROOT / folder):
        groups[run.info.group or run.id].append(run)
    rows = []
    for group, runs in groups.items():
        configs = [dict(run.info.extra["config"]) for run in runs]
        data, train = [config["data"] for config in configs], [config["train"] for config in configs]
        curves = [run.curve("eval_loss", "min").values for run in runs]
        rows.append(
            (
                f"`{group}`",
                str(len(runs)),
                " / ".join(
                    _span(one[f"{split}_size"] for one in data) for split in ("train", "validation", "test")
                ),
                _span(one["max_steps"] for one in train),
                _span(len(run) for run in runs),
                _values(config["lora"]["r"] for config in configs),
                _values(one["learning_rate"] for one in train),
                _values(one["scheduler"] for one in train),
                _values(one["seed"] for one in train),
                str(sum(curve.argmin() == len(curve) - 1 for curve in curves)),
            )
        )
    columns = "group | runs: | train / validation / test: | steps: | evals: | ranks | learning rates |"
    return table(columns + " schedules | seeds | last eval is the best:", rows)


def load_all(folder: Path) -> list[replay.Run]:
    """The runs of a folder; none where it is not there yet."""
    return replay.load(folder) if folder.is_dir() else []


def progress() -> str:
    """How many of the runs that the grids describe are there."""
    from collect.grid import expand

    planned = {
        shorter: sum(
            len(expand(path))
            for path in (ROOT / "corpus" / "grids").glob("*.toml")
            if ("shorter" in path.name) == shorter
        )
        for shorter in (False, True)
    }
    runs, shorter = (len(load_all(ROOT / "corpus" / name)) for name in ("runs", "shorter"))
    counts = f"{runs} of the {planned[False]} runs and {shorter} of the {planned[True]} siblings"
    return f"{counts} that the grids describe are here."


def _values(values: Any) -> str:
    return ", ".join(
        f"{value:g}" if isinstance(value, int | float) else value for value in sorted(set(values))
    )


def _span(values: Any) -> str:
    known = sorted(set(values))
    return f"{known[0]}" if len(known) == 1 else f"{known[0]}–{known[-1]}"
