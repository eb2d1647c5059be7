"""Outcomes: what each stop saves and loses, one row per policy and run, as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from replay.data.finding import Finding
from replay.data.types import Bools, Floats, Ints
from replay.engine.panel import Panel
from replay.engine.payoffs import Payoffs
from replay.engine.scale import share_lost
from replay.engine.stops import Stops
from replay.engine.study import Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BASELINES", "COLUMNS", "ORACLE", "Outcomes", "records", "whole"]

#: The baselines of every comparison: the first ones open the table, the oracle closes it.
BASELINES = ("never", "one-epoch")
ORACLE = "oracle"

#: Columns of the outcomes, one row per run and policy.
COLUMNS = tuple(
    """
    run policy monitor mode objective evals stopped_eval stopped_step reason unit used used_full saved best
    best_step kept kept_step last regret relative_regret lost censored spec eval_used noise own_best
    """.split()
)

_COUNTS = ("evals", "stopped_eval", "stopped_step", "best_step", "kept_step")
_NEVER_STOPPED = "the end of the log"
_ORACLE_REASONS = ("the best eval of the log (needs hindsight)", "no best eval")


@dataclass(frozen=True, eq=False)
class Source:
    """Where the outcomes of one policy come from: the payoffs of its view, and the row there of each
    outcome.
    """

    payoffs: Payoffs
    rows: Ints


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of policies on the runs of a study, as columns; the outcomes of a policy lie together.

    ``policies`` are canonical specifications, ``typed`` the same as the user wrote them, ``bounds`` the index
    of each policy's first outcome and, at the end, their number. ``run`` and ``policy`` are indices into
    ``study.panel.runs`` and ``policies``; ``position`` the 0-based eval of the stop (−1: never stopped) and
    ``entry`` the index of the stop in the payoffs of its policy's source. The figures are NaN where they are
    not known.
    """

    study: Study
    policies: tuple[str, ...]
    typed: tuple[str, ...]
    stops: Stops
    sources: tuple[Source, ...]
    bounds: Ints
    run: npt.NDArray[np.int32]
    policy: npt.NDArray[np.int32]
    position: Ints
    kept_position: Ints
    used: Floats
    eval_used: Floats
    saved: Floats
    regret: Floats
    relative_regret: Floats
    lost: Floats
    own_best: Floats
    findings: tuple[Finding, ...]

    def __len__(self) -> int:
        return len(self.run)

    def with_findings(self, more: Iterable[Finding]) -> Outcomes:
        """The outcomes with more findings; those that it has already are left out."""
        return replace(self, findings=tuple(dict.fromkeys((*self.findings, *more))))

    def rows_of(self, policy: int) -> slice:
        """The outcomes of a policy, by its index."""
        return slice(int(self.bounds[policy]), int(self.bounds[policy + 1]))

    def runs_of(self, policy: int) -> Ints:
        """Indices of the runs that a policy, by its index, has outcomes on."""
        return self.run[self.rows_of(policy)].astype(np.int64)

    @cached_property
    def stopped(self) -> Bools:
        """Whether the policy stopped the run."""
        return self.position >= 0

    @cached_property
    def censored(self) -> Bools:
        """Whether the outcome is a bound: the run is censored, and the policy is not never.

        A stop is a bound as well: the training as planned might have found a better checkpoint after it. Only
        never is exact, since it saves and loses nothing, however the training went on. Where it loses
        something, because the last checkpoint is kept or another metric is the objective, it is a bound too.
        """
        never = np.array([name == BASELINES[0] for name in self.policies], dtype=bool)
        return self.study.is_censored[self.run] & ~(never[self.policy] & ~(self.regret > 0))

    def _of_panels(self, values: Callable[[Panel], Floats]) -> Floats:
        """A figure that each run has in a panel, at each outcome."""
        panels = {id(source.payoffs.panel): source.payoffs.panel for source in self.sources}
        of_panel = {key: values(panel) for key, panel in panels.items()}
        pieces = [
            of_panel[id(source.payoffs.panel)][source.payoffs.rows[source.rows]] for source in self.sources
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _panel_figure(self, name: str) -> Floats:
        return self._of_panels(lambda panel: getattr(panel.objective, name))

    @cached_property
    def judged(self) -> Bools:
        """Whether each outcome counts in summaries: its run can be judged as the policy monitors it."""
        of_policy = self._of_panels(lambda panel: panel.judged.astype(np.float64)) == 1
        judged: Bools = self.study.panel.judged[self.run] & of_policy
        return judged

    @cached_property
    def dominated(self) -> Bools:
        """Whether the first stretch is more than half of the run's improvement."""
        dominated: Bools = (
            self._of_panels(lambda panel: panel.objective.scale.dominated.astype(np.float64)) == 1
        )
        return dominated

    @property
    def improvement(self) -> Floats:
        """By how much the run improved, the scale of ``lost``; NaN where the run has no scale."""
        return self._of_panels(lambda panel: panel.objective.scale.improvement)

    @cached_property
    def lost_later(self) -> Floats:
        """The share lost, measured from the next eval after the one that the scale begins at."""
        later = self._of_panels(lambda panel: panel.objective.scale.later)
        return share_lost(self.regret, later, self.lost == 1)

    @property
    def best(self) -> Floats:
        """Best objective of the full log; NaN where there is none."""
        return self._panel_figure("best")

    @property
    def best_step(self) -> Floats:
        """Step of the best objective."""
        return self._panel_figure("best_step")

    @property
    def first(self) -> Floats:
        """First finite objective of the log."""
        return self._panel_figure("first")

    @property
    def noise(self) -> Floats:
        """Eval noise of the objective; NaN where it is not known."""
        return self._panel_figure("noise")

    @property
    def evals(self) -> Ints:
        """Number of evals that the policy could look at."""
        pieces = [source.payoffs.lengths[source.rows] for source in self.sources]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    @property
    def used_full(self) -> Floats:
        """Compute of the full log."""
        pieces = [source.payoffs.full[source.rows] for source in self.sources]
        return np.concatenate(pieces) if pieces else np.empty(0)

    @property
    def last_position(self) -> Ints:
        """Position of the last eval made; −1: none."""
        pieces = [
            source.payoffs.last[source.payoffs.begin[source.rows] + self.position[self.rows_of(policy)]]
            for policy, source in enumerate(self.sources)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def _at(self, positions: Ints, field: str) -> Floats:
        """Steps or objective values at positions, one per outcome; NaN at −1."""
        pieces = []
        for policy, source in enumerate(self.sources):
            panel = source.payoffs.panel
            table = panel.whole.steps if field == "steps" else panel.objective.values
            here = positions[self.rows_of(policy)]
            if not table.shape[1]:
                pieces.append(np.full(len(here), np.nan))
                continue
            values = table[source.payoffs.rows[source.rows], np.maximum(here, 0)]
            pieces.append(np.where(here >= 0, values, np.nan))
        return np.concatenate(pieces) if pieces else np.empty(0)

    @property
    def stopped_step(self) -> Floats:
        """Step of the stop; NaN where the policy never stopped the run."""
        return self._at(self.position, "steps")

    @property
    def kept_step(self) -> Floats:
        """Step of the checkpoint kept; NaN where there is none."""
        return self._at(self.kept_position, "steps")

    @property
    def kept(self) -> Floats:
        """Objective of the checkpoint kept."""
        return self._at(self.kept_position, "objective")

    @property
    def last(self) -> Floats:
        """Objective at the last eval made."""
        return self._at(self.last_position, "objective")

    def reasons(self) -> npt.NDArray[np.object_]:
        """Why each run was stopped, in the words of the policy."""
        texts = np.full(len(self), _NEVER_STOPPED, dtype=object)
        for policy, name in enumerate(self.policies):
            if name == ORACLE:
                here = self.rows_of(policy)
                texts[here] = np.where(self.stopped[here], *_ORACLE_REASONS)
        for sharing in self.stops.sharing():
            for policy in sharing:
                begin, end = self.bounds[policy], self.bounds[policy + 1]
                rule, trace, rows = self.stops.resolved(policy), None, self.sources[policy].rows
                for index in (begin + np.flatnonzero(self.stopped[begin:end])).tolist():
                    trace = self.stops.trace(policy) if trace is None else trace
                    texts[index] = rule.reason(trace, int(rows[index - begin]), int(self.position[index]))
        return texts

    def _names(self) -> dict[str, tuple[list[str | None], npt.NDArray[np.int32]]]:
        """The columns of names: the distinct names, and the index of each outcome's name among them."""
        runs, question = self.study.panel.runs, self.study.question
        pairs: list[str | None] = []
        monitors = np.zeros(len(self), dtype=np.int32)
        modes = np.zeros(len(self), dtype=np.int32)
        panels: dict[int, int] = {}
        for policy, source in enumerate(self.sources):
            panel = source.payoffs.panel
            here = self.rows_of(policy)
            if id(panel) not in panels:
                panels[id(panel)] = len(pairs)
                pairs += [panel.monitoring.primary.names[run.id] for run in panel.runs]
            monitors[here] = panels[id(panel)] + source.payoffs.rows[source.rows]
            modes[here] = panel.monitoring.primary.mode == "max"
        return {
            "run": ([run.id for run in runs], self.run),
            "policy": (list(self.typed), self.policy),
            "spec": (list(self.policies), self.policy),
            "monitor": (pairs, monitors),
            "mode": (["min", "max"], modes),
            "objective": ([self.study.objective.names.get(run.id) for run in runs], self.run),
            "unit": ([question.unit], np.zeros(len(self), dtype=np.int32)),
        }

    def _column(self, name: str) -> npt.NDArray[Any]:
        """A column of COLUMNS that holds no names; NaN and 0 (for the eval stopped at) where not known."""
        if name == "stopped_eval":
            return self.position + 1
        column: npt.NDArray[Any] = getattr(self, name)
        return column

    def _repr_html_(self) -> str:
        """The table of `frame`, for notebooks."""
        return str(self.frame().to_html(max_rows=60))

    def frame(self) -> pd.DataFrame:
        """The outcomes as a DataFrame; counts are nullable integers where all steps are whole.

        The figures share memory with the outcomes.
        """
        import pandas as pd

        data: dict[str, Any] = dict.fromkeys(COLUMNS)
        data["reason"] = pd.array(self.reasons(), dtype="str")
        for name, (names, index) in self._names().items():
            data[name] = pd.array(names, dtype="str").take(index) if len(names) else pd.array([], dtype="str")
        for name in COLUMNS:
            if data[name] is None:
                values = self._column(name)
                data[name] = _nullable(name, values) if name in _COUNTS else values
        return pd.DataFrame(data, copy=False)

    def rows(self) -> list[dict[str, Any]]:
        """The outcomes as one dict per row; None for what is not known."""
        table: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        table["reason"] = self.reasons().tolist()
        for name, (names, index) in self._names().items():
            table[name] = [names[number] for number in index.tolist()]
        for name in COLUMNS:
            if name in ("reason", "run", "policy", "spec", "monitor", "mode", "objective", "unit"):
                continue
            values = self._column(name).tolist()
            if name in ("stopped_step", "best_step", "kept_step"):
                table[name] = [None if value != value else whole(value) for value in values]
            elif name == "stopped_eval":
                table[name] = [value or None for value in values]
            else:
                table[name] = [None if value != value else value for value in values]
        return records(table)


def _nullable(name: str, values: npt.NDArray[Any]) -> Any:
    """Counts as nullable integers, or, where a step is not whole, as they are."""
    import pandas as pd

    missing = (values <= 0) if name == "stopped_eval" else np.isnan(values)
    if not bool((missing | (values == np.floor(values))).all()):
        return values
    return pd.arrays.IntegerArray(np.where(missing, 0, values).astype(np.int64), missing)


def records(table: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """A table of columns as one dict per row."""
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def whole(step: float) -> int | float:
    """A step as an integer where it is one."""
    return int(step) if step.is_integer() else step
