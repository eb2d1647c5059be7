"""The runs of the page: their curves, what the logs say of them, and the series beside the metric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from replay.data.run import Run
from replay.data.types import Floats
from replay.engine.study import Study
from replay.report.page.values import MANY_RUNS, short, shorts, spread
from replay.report.sentences.metric import say_censoring, say_improvement

__all__ = ["run_data", "sampled_runs"]

#: Values of curves that a page holds, and the fewest that a curve is sampled to.
_MOST_VALUES, _FEWEST_VALUES = 250_000, 20
#: The same of the series that are drawn below the curve of one run.
_MOST_SERIES_VALUES, _FEWEST_SERIES_VALUES = 120_000, 40
_SERIES = (
    ("train loss", ("loss", "train_loss", "train/loss")),
    ("learning rate", ("learning_rate", "train/learning_rate")),
    ("gradient norm", ("grad_norm", "train/grad_norm")),
)
_SIGNALS = "signals/"
_MOST_SIGNALS = 4
#: Settings by which runs can be filtered, with the names that logs have for them.
_SETTINGS = {
    "rank": ("r", "lora_r", "lora_rank", "rank"),
    "learning rate": ("learning_rate", "lr"),
    "schedule": ("lr_scheduler_type", "lr_scheduler"),
}


def run_data(study: Study) -> list[dict[str, Any]]:
    """Each run of the study, in its order."""
    panel = study.panel
    most = max(_MOST_VALUES // max(len(panel.runs), 1), _FEWEST_VALUES)
    many = len(panel.runs) > MANY_RUNS
    series = max(_MOST_SERIES_VALUES // max(len(panel.runs), 1) // 5, _FEWEST_SERIES_VALUES)
    objective = panel.objective
    out = []
    for index, (run, curve) in enumerate(zip(panel.runs, panel.curves, strict=True)):
        at = np.flatnonzero(curve.steps == objective.best_step[index])
        best = int(at[0]) if len(at) else None
        shown = spread(len(curve), most, [] if best is None else [best])
        info = run.info
        out.append(
            {
                "id": run.id,
                "group": info.group,
                "dataset": info.dataset,
                "model": info.model,
                "format": info.format,
                "settings": _settings(run),
                "source": [] if many else list(info.sources[:1]),
                "metric": curve.metric,
                "evals": len(curve),
                "steps": _steps(curve.steps),
                "values": shorts(curve.values[shown].tolist(), 5 if many else 7),
                "at": None if len(shown) == len(curve) else shown,
                "best": best,
                "best_value": short(float(objective.best[index])),
                "improvement": short(float(objective.scale.improvement[index])),
                "noise": short(float(objective.noise[index])),
                "judged": bool(study.judged[index]),
                "censored": say_censoring(study.censored[run.id]) if run.id in study.censored else None,
                "improving": say_improvement(study.improving[run.id]) if run.id in study.improving else None,
                "series": [] if many else _series(run, series),
            }
        )
    return out


def sampled_runs(runs: Iterable[dict[str, Any]]) -> int:
    """How many curves are sampled."""
    return sum(run["at"] is not None for run in runs)


def _settings(run: Run) -> dict[str, str]:
    """The settings that runs can be filtered by, in words."""
    stated = run.info.hyperparameters
    settings = {}
    for label, names in _SETTINGS.items():
        value = next((stated[name] for name in names if name in stated), None)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            settings[label] = f"{value:g}" if isinstance(value, float) else str(value)
    return settings


def _steps(steps: Floats) -> dict[str, Any] | list[Any]:
    """Steps, as a first one and a distance where they are evenly spaced."""
    if len(steps) > 2 and np.array_equal(steps, steps[0] + np.arange(len(steps)) * (steps[1] - steps[0])):
        return {"first": short(float(steps[0]), 15), "every": short(float(steps[1] - steps[0]), 15)}
    return shorts(steps.tolist(), 15)


def _series(run: Run, most: int) -> list[dict[str, Any]]:
    """What is drawn below the curve: train loss, learning rate, gradient norm and the adapter's signals."""
    wanted = [(label, next((name for name in names if _has(run, name)), None)) for label, names in _SERIES]
    signals = [name for name in run.train if name.startswith(_SIGNALS)][:_MOST_SIGNALS]
    named = [
        *((label, name) for label, name in wanted if name is not None),
        *((name.removeprefix(_SIGNALS).replace("_", " "), name) for name in signals),
    ]
    out = []
    for label, name in named:
        if name in run.train:
            steps, values = run.train[name]
        else:
            column = run.columns[name]
            steps, values = run.steps[column.present], column.values[column.present]
        shown = spread(len(steps), most)
        out.append(
            {
                "label": label,
                "signal": name.startswith(_SIGNALS),
                "steps": shorts(steps[shown].tolist(), 9),
                "values": shorts(values[shown].tolist(), 5),
            }
        )
    return out


def _has(run: Run, name: str) -> bool:
    if name in run.train:
        return len(run.train[name].step) > 0
    return name in run.columns and bool(run.columns[name].present.any())
