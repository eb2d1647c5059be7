"""Remakes ``corpus/league.json``: the league table of stop policies, and what shorter schedules really give.

    python corpus/league.py

Every rule is tried with its own default grid. Its best setting is chosen by nested cross-validation: each
data set is left out in turn, the setting is chosen on the others, and scored on the one that was left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import replay
from replay.data.run import Run
from replay.engine.question import Question
from replay.engine.scale import measure_scale
from replay.policies.grid import parse_grids
from replay.search.choice import Selection
from replay.search.league import choose_by_rule
from replay.search.plan import Plan
from replay.search.tolerance import parse_tolerance
from replay.stats.intervals import interval

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "corpus" / "league.json"
TOLERANCE = parse_tolerance(None, "5%")
MONITOR = "eval_loss"

Chooser = Callable[[Run], bool]


def is_causal(run: Run) -> bool:
    """Whether the run fine-tunes a causal language model on answers; the others classify."""
    return bool(config_of(run)["task"] == "causal-lm")


def is_constant(run: Run) -> bool:
    """Whether the learning rate stays the same; otherwise it falls to zero at the planned end."""
    return bool(config_of(run)["train"]["scheduler"] == "constant")


#: The parts of the corpus with a table of their own.
PARTS: dict[str, Chooser] = {
    "all": lambda run: True,
    "classification": lambda run: not is_causal(run),
    "causal-lm": is_causal,
    "constant": is_constant,
    "falling": lambda run: not is_constant(run),
}


def config_of(run: Run) -> dict[str, Any]:
    """The config that ``collect`` trained the run by."""
    return dict(run.info.extra["config"])


def load(*folders: Path) -> list[Run]:
    """The runs of some folders, each with its data set: the file that the texts come from."""
    runs = []
    for folder in folders:
        for run in replay.load(folder):
            data = config_of(run)["data"]
            name = f"{data['package']}:{data['file']}"
            runs.append(run.replace(info=run.info.replace(dataset=name)))
    return runs


def league(runs: Sequence[Run]) -> dict[str, Any]:
    """The best setting of each rule on some runs, best rule first."""
    made = choose_by_rule(
        runs,
        parse_grids(["rule=all"]),
        [],
        TOLERANCE,
        Question(monitor=MONITOR),
        confidence=None,
        group="dataset",
    )
    return {
        "runs": len(runs),
        "data_sets": len({run.info.dataset for run in runs}),
        "rules": [row(rule, choice) for rule, choice in made.ranked],
        "skipped": [rule for rule, _ in made.skipped],
    }


def row(rule: str, choice: Selection) -> dict[str, Any]:
    """What one rule gives: its choice, the cross-validated figures, and the smallest guaranteed tolerance."""
    line = choice.held_out[0]
    supported = None if choice.guarantee is None else Plan(choice.guarantee).supported
    keys = ("saved_mean", "saved_low", "saved_high", "lost_mean", "lost_low", "lost_high", "budget_lost")
    return {
        "rule": rule,
        "policy": None if choice.guess is None else choice.guess.spec(),
        "status": choice.status,
        "obstacle": choice.obstacle,
        **{key: rounded(line.summary[key]) for key in keys},
        "judged": line.judged,
        "guaranteed": None if supported is None else rounded(supported.bound),
    }


def siblings(parents: Sequence[Run], shorter: Sequence[Run]) -> dict[str, Any]:
    """Runs with a shorter schedule beside the same share of a long run.

    Each row is one pair. ``read_off`` is what the best checkpoint of the long run up to that step loses,
    ``trained`` what the best checkpoint of the short training loses, both as a share of the long run's
    improvement; negative where it is better than anything in the long run. ``test_…``: the same checkpoints
    by their test loss, as the loss beyond that of the long run's best checkpoint.
    """
    by_config = {key_of(run): run for run in parents}
    rows = []
    for run in shorter:
        parent = by_config.get(key_of(run))
        if parent is None:
            continue
        long, short = parent.curve(MONITOR, "min"), run.curve(MONITOR, "min")
        steps = config_of(run)["train"]["max_steps"]
        values = np.array([long.values])
        best = np.array([long.values.min()])
        noise = np.array([np.nan if long.noise is None else long.noise])
        (improvement,) = measure_scale([parent], [MONITOR], "min", values, best, noise).improvement
        prefix = long.values[long.steps <= steps]
        rows.append(
            {
                "run": parent.id,
                "data_set": parent.info.dataset,
                "share": steps / config_of(parent)["train"]["max_steps"],
                "read_off": rounded((prefix.min() - best[0]) / improvement),
                "trained": rounded((short.values.min() - best[0]) / improvement),
                "test_read_off": rounded(excess(parent, int(prefix.argmin()), parent)),
                "test_trained": rounded(excess(run, int(short.values.argmin()), parent)),
            }
        )
    rows.sort(key=lambda one: (one["share"], one["run"]))
    return {"rows": rows, "summary": [summary(rows, share) for share in (0.25, 0.5, 0.75)]}


def summary(rows: Sequence[dict[str, Any]], share: float) -> dict[str, Any]:
    """Means over the pairs of one share, and the mean difference of each pair with its 95 % interval."""
    some = [one for one in rows if np.isclose(one["share"], share) and one["read_off"] is not None]
    line: dict[str, Any] = {"share": share, "pairs": len(some)}
    for prefix in ("", "test_"):
        read_off = np.array([one[f"{prefix}read_off"] for one in some])
        trained = np.array([one[f"{prefix}trained"] for one in some])
        line |= {f"{prefix}read_off": rounded(mean(read_off)), f"{prefix}trained": rounded(mean(trained))}
        low, high = (
            interval(trained - read_off, [one["data_set"] for one in some])
            if len(some) > 1
            else (np.nan, np.nan)
        )
        line |= {f"{prefix}difference_low": rounded(low), f"{prefix}difference_high": rounded(high)}
    return line


def excess(run: Run, place: int, parent: Run) -> float:
    """Test loss of a checkpoint, beyond that of the long run's best checkpoint by validation loss."""
    best = int(parent.curve(MONITOR, "min").values.argmin())
    return float(run.curve("test_loss", "min").values[place] - parent.curve("test_loss", "min").values[best])


def key_of(run: Run) -> str:
    """What a run and its siblings have in common: the config without the name and the number of steps."""
    config = config_of(run)
    train = {name: value for name, value in config["train"].items() if name != "max_steps"}
    return json.dumps({**config, "name": None, "group": None, "train": train}, sort_keys=True)


def mean(values: np.ndarray) -> float:
    """The mean; NaN of no values."""
    return float(values.mean()) if len(values) else np.nan


def rounded(value: float | None) -> float | None:
    """Six digits after the point; None for what is not known."""
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def compute() -> dict[str, Any]:
    """All figures of the corpus and the sample logs."""
    runs = load(ROOT / "corpus" / "runs", ROOT / "sample_logs")
    shorter = load(ROOT / "corpus" / "shorter") if (ROOT / "corpus" / "shorter").is_dir() else []
    return {
        "tolerance": TOLERANCE.value,
        "leagues": {name: league([run for run in runs if belongs(run)]) for name, belongs in PARTS.items()},
        "siblings": siblings(runs, shorter),
    }


def main() -> None:
    """Read the corpus and write the file."""
    OUT.write_text(json.dumps(compute(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
