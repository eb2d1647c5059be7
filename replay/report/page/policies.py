"""The policies of the page: the figures of all, and the outcomes run by run of those shown in detail."""

from __future__ import annotations

from typing import Any

import numpy as np

from replay.data.types import Floats
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes
from replay.report.page.gather import PageFacts
from replay.report.page.values import exact, share_digits, shorts
from replay.report.sentences.summary import label
from replay.search.front import thin
from replay.stats.budgets import FixedBudgets

__all__ = ["budget_data", "equal_budget", "grid_data", "policy_data"]

#: Policies that a page holds.
_MOST_POLICIES = 5_000
#: Points of the line of the equal budget.
_BUDGETS = 101


class _Table:
    """The policies of a page by their specification, each once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.index: dict[str, int] = {}

    def add(self, spec: str, **fields: Any) -> int:
        if spec not in self.index:
            self.index[spec] = len(self.rows)
            self.rows.append({"spec": spec, **fields})
        return self.index[spec]


def policy_data(facts: PageFacts) -> tuple[list[dict[str, Any]], dict[str, int], int]:
    """The policies with their figures, their indices by specification, and how many the page leaves out.

    A policy with ``outcomes`` is shown run by run. ``role`` is baseline, candidate or tool: the candidates
    are those that the recommendation was searched among.
    """
    table, sweep, outcomes = _Table(), facts.sweep, facts.outcomes
    tools = {tool.policy.spec(): tool.name for setting in facts.frameworks for tool in setting.tools}
    on_front = {sweep.sweep.policies[index].spec() for index in sweep.front.tolist()}
    figures = {name: values.tolist() for name, values in sweep.sweep.figures.items()}
    swept = {policy.spec(): index for index, policy in enumerate(sweep.sweep.policies)}
    for index, spec in enumerate(outcomes.policies):
        summary = facts.summaries[spec]
        role = "baseline" if spec in (*BASELINES, ORACLE) else "candidate" if spec in swept else "tool"
        table.add(
            spec,
            name=label(outcomes.typed[index]),
            role=role,
            tool=tools.get(spec),
            front=spec in on_front,
            **_summary(facts, summary),
            outcomes=_outcomes(facts, outcomes, index),
        )
    room = max(_MOST_POLICIES - len(table.rows), 0)
    others = [index for spec, index in swept.items() if spec not in table.index and figures["runs"][index]]
    kept = thin(np.array(others, dtype=np.int64), room).tolist()
    for index in kept:
        spec = sweep.sweep.policies[index].spec()
        row = {name: values[index] for name, values in figures.items()}
        table.add(
            spec,
            name=sweep.name(index),
            role="candidate",
            tool=None,
            front=spec in on_front,
            **_summary(facts, row),
            outcomes=None,
        )
    return table.rows, table.index, len(others) - len(kept)


def _summary(facts: PageFacts, row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a policy as the page holds them; ``loss`` is the figure that the tolerance bounds."""
    kind = facts.sweep.tolerance.kind
    fields = {
        "runs": int(row["runs"]),
        "stopped": int(row["stopped"]),
        "censored": int(row["censored"]),
        "saved": exact(row["saved_mean"]),
        "total": exact(row["saved_total"]),
        "lost": exact(row["lost_mean"]),
        "worst": exact(row["lost_worst"]),
        "loss": exact(row[f"{kind}_mean"]),
        "equal": exact(row["budget_lost"]),
        "verdict": row.get("verdict"),
    }
    for name, key in (("saved", "saved"), ("lost", "lost"), ("loss", kind)):
        fields[f"{name}_low"], fields[f"{name}_high"] = row.get(f"{key}_low"), row.get(f"{key}_high")
    return fields


def _outcomes(facts: PageFacts, outcomes: Outcomes, policy: int) -> dict[str, Any]:
    """Where a policy stops each run and what that gives, with one entry per run of the study.

    ``stop`` and ``kept`` are 0-based evals: −1 stands for never and none, null for a run on which the policy
    has no outcome.
    """
    here = outcomes.rows_of(policy)
    runs = outcomes.runs_of(policy).tolist()
    count = len(facts.study.panel.runs)
    digits = share_digits(count)
    columns = {
        "stop": outcomes.position[here].tolist(),
        "kept": outcomes.kept_position[here].tolist(),
        "saved": shorts(outcomes.saved[here].tolist(), digits),
        "loss": shorts(getattr(outcomes, facts.sweep.tolerance.kind)[here].tolist(), digits),
    }
    out = {}
    for name, values in columns.items():
        whole: list[Any] = [None] * count
        for run, value in zip(runs, values, strict=True):
            whole[run] = value
        out[name] = whole
    return out


def budget_data(facts: PageFacts) -> dict[str, Any] | None:
    """What the equal budget loses for each share that it saves; None where losses are not known."""
    line = equal_budget(facts)
    if line is None:
        return None
    saved, loss = line
    return {"saved": saved.round(4).tolist(), "loss": shorts(loss.tolist(), 6)}


def equal_budget(facts: PageFacts) -> tuple[Floats, Floats] | None:
    """Shares that an equal budget saves, and what it loses; None where losses are not known."""
    study, kind = facts.study, facts.sweep.tolerance.kind
    if not study.panel.judged.any() or kind == "relative_regret":
        return None
    saved = np.linspace(0, 1, _BUDGETS)
    return saved, FixedBudgets.of(study, np.flatnonzero(study.judged)).means(saved)[kind]


def grid_data(facts: PageFacts, index: dict[str, int]) -> list[dict[str, Any]]:
    """The grids whose points are all on the page, those with a good region first."""
    ranked = facts.sweep.ranked
    others = [result for result in facts.sweep.grids if all(result is not one for one in ranked)]
    out = []
    for result in [*ranked, *others]:
        specs = [policy.spec() for policy, _ in result.grid.points]
        if len(specs) < 2 or any(spec not in index for spec in specs):
            continue
        region = result.region
        out.append(
            {
                "rule": result.grid.rule,
                "dimensions": [
                    {"name": one.name, "values": list(one.values)} for one in result.grid.dimensions
                ],
                "policies": [index[spec] for spec in specs],
                "coordinates": [list(coordinates) for _, coordinates in result.grid.points],
                "centre": None if region is None else index[result.spec(region.centre)],
                "refused": len(result.grid.refused),
            }
        )
    return out
