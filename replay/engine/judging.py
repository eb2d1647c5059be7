"""Which runs of a panel can be judged, and by which scale: the findings that name the others."""

from __future__ import annotations

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.types import Bools
from replay.engine.panel import Panel

__all__ = ["OF_FIGURES", "find_unjudged", "find_unscaled"]

#: Kinds of findings on what a simulation saves and loses, which say nothing about where it stops.
OF_FIGURES = frozenset(
    {
        Kind.MONITOR_NOT_FINITE,
        Kind.OBJECTIVE_NOT_LOGGED,
        Kind.OBJECTIVE_APART,
        Kind.OBJECTIVE_UNKNOWN,
        Kind.INFINITE_BEST,
        Kind.NO_SCALE,
    }
)


def find_unjudged(panel: Panel, among: Bools | None = None, policy: str | None = None) -> list[Finding]:
    """Findings that name the runs that cannot be judged, each with its first reason.

    ``among`` says which runs of the panel to look at (default: all). ``policy`` is the specification of the
    policy that the panel belongs to; None: the panel of the study.
    """
    looked_at = np.ones(len(panel.runs), dtype=bool) if among is None else among
    rest = looked_at & ~panel.judged
    if not rest.any():
        return []
    monitor, objective = panel.monitoring.primary.name, panel.judged_by.name
    none_left = not (looked_at & panel.judged).any()
    findings = []
    for kind, lacking in (
        (Kind.MONITOR_NOT_FINITE, ~panel.monitor_finite),
        (Kind.OBJECTIVE_NOT_LOGGED, np.isnan(panel.objective.best)),
        (Kind.OBJECTIVE_APART, ~panel.objective_met),
    ):
        here = rest & lacking
        rest = rest & ~lacking
        if here.any():
            facts = {
                "monitor": monitor,
                "objective": objective,
                "total": int(looked_at.sum()),
                "none_left": none_left,
            }
            findings.append(Finding(kind, runs=_ids(panel, here), policy=policy, facts=facts))
    return findings


def find_unscaled(panel: Panel) -> list[Finding]:
    """Findings that name the judged runs whose best is infinite, and those that have no scale."""
    objective = panel.objective
    infinite = panel.judged & np.isinf(objective.best)
    unscaled = panel.judged & np.isnan(objective.scale.improvement)
    metric, total = panel.judged_by.name, int(panel.judged.sum())
    findings = []
    if infinite.any():
        facts = {"metric": metric, "total": total}
        findings.append(Finding(Kind.INFINITE_BEST, runs=_ids(panel, infinite), facts=facts))
    if unscaled.any():
        facts = {
            "metric": metric,
            "total": total,
            "worse_than_base": int((unscaled & objective.scale.worse_than_base).sum()),
        }
        findings.append(Finding(Kind.NO_SCALE, runs=_ids(panel, unscaled), facts=facts))
    return findings


def _ids(panel: Panel, which: Bools) -> tuple[str, ...]:
    return tuple(panel.runs[row].id for row in np.flatnonzero(which).tolist())
