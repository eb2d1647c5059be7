"""The plane of compute saved and loss as a chart in characters (``--chart``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replay.data.types import Floats
from replay.engine.outcomes import BASELINES, ORACLE
from replay.engine.study import Study
from replay.report.document import Block, Chart, Series
from replay.report.format import percent
from replay.report.sentences.summary import label
from replay.search.choice import Selection
from replay.search.grid_sweep import GridSweep
from replay.search.tolerance import Tolerance
from replay.stats.budgets import FixedBudgets
from replay.stats.summary import SAVED_KEYS, Weight

__all__ = ["budget_line", "chart_choice", "chart_summary", "chart_sweep"]

#: The chart shows losses up to this many times the tolerance.
_TOLERANCES = 4
_LINE = 200  # points of a line, more than a chart has columns
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def budget_line(study: Study, figure: str) -> tuple[list[float], list[float]] | None:
    """What the equal budget saves and loses (``lost`` or ``regret``), as two lists of the same length.

    None where no run can be judged.
    """
    if not study.panel.judged.any():
        return None
    budgets = FixedBudgets.of(study, np.flatnonzero(study.judged))
    saved = [share / 50 for share in range(50)]
    found = [budgets.matching(share) for share in saved]
    return saved, [one.lost if figure == "lost" else one.regret for one in found]


def chart_sweep(sweep: GridSweep) -> list[Block]:
    """All policies of a sweep, with the Pareto front, the centre of the best region and its corner."""
    series = [
        _points(".", "a policy", sweep.saved, sweep.loss),
        _points("o", "on the Pareto front", sweep.saved[sweep.front], sweep.loss[sweep.front], "cyan"),
    ]
    for result in sweep.ranked[:1]:
        corner, centre = ([index] for index in (result.corner, result.centre))
        policies = sweep.sweep.policies
        if corner != centre:
            name = policies[result.corner].spec()
            series.append(_points("^", name, sweep.saved[corner], sweep.loss[corner], "magenta"))
        name = policies[result.centre].spec()
        series.append(_points("*", name, sweep.saved[centre], sweep.loss[centre], "green"))
    return _plane(sweep.outcomes.study, sweep.tolerance, sweep.weight, series, sweep.loss)


def chart_choice(selection: Selection, weight: Weight = "runs") -> list[Block]:
    """All candidates of a choice, with the policy to use and the best guess."""
    tried = selection.cross_validated
    specs = [policy.spec() for policy in tried.policies]
    series = [_points(".", "a policy", tried.saved, tried.loss)]
    known = {spec: (tried.saved[index], tried.loss[index]) for index, spec in enumerate(specs)}
    guess = None if selection.guess is None else selection.guess.spec()
    policy = None if selection.policy is None else selection.policy.spec()
    if policy is not None and policy not in known and selection.guaranteed is not None:
        summary = selection.guaranteed.summary
        known[policy] = (summary[SAVED_KEYS[weight]], summary[selection.tolerance.key])
    if guess in known and guess != policy:
        name = "best guess" if selection.obstacle is None else "not confirmed"
        series.append(_points("o", f"{guess} ({name})", *_one(known[guess]), "cyan"))
    if policy in known:
        series.append(_points("*", f"{policy} ({selection.status})", *_one(known[policy]), "green"))
    study = selection.outcomes.study
    return _plane(study, selection.tolerance, weight, series, tried.loss)


def chart_summary(study: Study, rows: Sequence[Mapping[str, Any]], weight: Weight = "runs") -> list[Block]:
    """The policies of a summary, each with a letter, and the best possible."""
    rows = [row for row in rows if row["lost_mean"] is not None and row["spec"] not in BASELINES]
    key = SAVED_KEYS[weight]
    named: dict[tuple[str, str], list[Mapping[str, Any]]] = {}  # policies that look the same share a mark
    for row in rows:
        if row["spec"] != ORACLE:
            named.setdefault((percent(row[key]), percent(row["lost_mean"])), []).append(row)
    series = [
        _points(
            mark, ", ".join(row["policy"] for row in same), [same[0][key]], [same[0]["lost_mean"]], "cyan"
        )
        for mark, same in zip(_LETTERS, named.values(), strict=False)
    ]
    series += [
        _points("*", label(ORACLE), [row[key]], [row["lost_mean"]], "green")
        for row in rows
        if row["spec"] == ORACLE
    ]
    losses = np.array([row["lost_mean"] for row in rows], dtype=float)
    return _plane(study, None, weight, series, losses)


def _one(point: tuple[float, float]) -> tuple[list[float], list[float]]:
    return [point[0]], [point[1]]


def _points(mark: str, name: str, saved: Any, loss: Any, color: str = "default") -> Series:
    """Policies that share a mark, without those of which the loss is not known; saved in percent."""
    across, up = 100 * np.asarray(saved, dtype=float), np.asarray(loss, dtype=float)
    known = np.isfinite(across) & np.isfinite(up)
    return Series(mark, name, across[known].tolist(), up[known].tolist(), color)


def _plane(
    study: Study, tolerance: Tolerance | None, weight: Weight, series: Sequence[Series], losses: Floats
) -> list[Block]:
    """The chart of the series over the equal budget and the tolerance, and how many policies are beyond
    it; nothing where no loss is known.
    """
    known = losses[np.isfinite(losses)]
    if not len(known):
        return []
    kind = "lost" if tolerance is None else tolerance.kind
    scale = 1.0 if kind == "regret" else 100.0
    top = float(known.max())
    if tolerance is not None and tolerance.value > 0:
        top = min(max(top, tolerance.value), _TOLERANCES * tolerance.value)
    top = top or 1 / scale
    lines = _lines(study, tolerance, weight, kind)
    scaled = [
        Series(one.mark, one.label, one.x, [scale * value for value in one.y], one.color)
        for one in (*lines, *series)
    ]
    above, limit = int((known > top).sum()), f"{scale * top:.3g}{'' if kind == 'regret' else '%'}"
    note = f"{above:,} polic{'ies lose' if above > 1 else 'y loses'} more than {limit}: above the chart."
    return [
        Chart(scaled, *_axes(study, kind, weight), right=100, top=scale * top, note=note if above else "")
    ]


def _axes(study: Study, kind: str, weight: Weight) -> tuple[str, str]:
    """What the axes show, across and up."""
    of = "the " if weight == "runs" else "the total "
    loss = {
        "lost": "lost, % of a run's improvement",
        "relative_regret": "regret, % of the best value",
        "regret": f"regret, in {study.objective.name}",
    }[kind]
    return f"saved, % of {of}{study.question.unit}", loss


def _lines(study: Study, tolerance: Tolerance | None, weight: Weight, kind: str) -> list[Series]:
    """The equal budget, which is equal in the mean over runs, and the tolerance."""
    out = []
    if kind != "relative_regret" and weight == "runs":
        line = budget_line(study, kind)
        if line is not None:
            across = np.linspace(0, line[0][-1], _LINE)
            out.append(_points("-", "equal budget", across, np.interp(across, *line), "yellow"))
    if tolerance is not None:
        across = np.linspace(0, 1, _LINE)
        level = np.full(_LINE, tolerance.value)
        out.append(_points("=", f"tolerance ({tolerance.describe()})", across, level, "red"))
    return out
