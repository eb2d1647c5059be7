"""The public functions: load logs, simulate policies on them, sweep over policies.

They stand above ``replay.report`` because what they warn of is said in its sentences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np

from replay import readers
from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.question import Keep, Question
from replay.engine.scoring import parse_policies, simulate_study, typed_specs
from replay.engine.study import Study
from replay.errors import InputError, ReplayWarning
from replay.policies import Policy
from replay.report.sentences import sentences
from replay.search.sweep import sweep_study
from replay.stats.cautions import find_first_stretch
from replay.stats.summary import KEYS, summarise

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load", "read", "simulate", "sweep"]

#: Findings that an error lists.
_MOST = 20

#: Outcomes (policies × runs) up to which a sweep gives everything about every policy unasked.
_DETAILED = 20_000


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
) -> readers.ReadResult:
    """`replay.readers.read`, but the error for paths without any run says what could not be read."""
    try:
        return readers.read(paths, progress)
    except readers.NothingFound as error:
        lines = [str(error), *(f"  {text}" for text in sentences(error.findings[:_MOST]))]
        raise InputError("\n".join(lines)) from None


def load(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Every run below a path, or below several: files and folders, which are searched to any depth.

    Formats are recognised by content. Logs of the same run (checkpoints, several formats) count once. What
    could not be read is reported as a ReplayWarning. Raises InputError where a path does not exist or where
    there is no run at all.
    """
    logs_read = read(paths)
    _warn(logs_read.findings)
    return logs_read.runs


def _warn(findings: Iterable[Finding]) -> None:
    """Warn the caller of the public function of each finding."""
    for text in sentences(findings):
        warn(text, ReplayWarning, stacklevel=3)


def simulate(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    *,
    monitor: str | None = None,
    mode: Mode | None = None,
    objective: str | None = None,
    objective_mode: Mode | None = None,
    unit: str = "steps",
    price: float | None = None,
    keep: Keep = "best",
) -> pd.DataFrame:
    """Outcomes of policies on runs, as a DataFrame with one row per run and policy.

    ``monitor`` to ``keep`` are the settings of a `replay.engine.question.Question`. ``saved`` and ``lost``
    are fractions; ``stopped_eval`` (1-based) and ``stopped_step`` are null where the policy never fires;
    ``regret`` is in the metric's own unit. ``policy`` is the specification as typed, ``spec`` the canonical
    one (of a `Policy` object both are the canonical one).

    Raises InputError for a metric that no run has, a mode that cannot be known and a unit that a log lacks;
    PolicyError for a specification that cannot be read. What is left out is reported by ReplayWarning.
    """
    question = Question(monitor, mode, objective, objective_mode, unit, price, keep)
    rules = parse_policies(policies)
    outcomes = simulate_study(Study(runs, rules, question), rules, typed=typed_specs(policies, rules))
    _warn(outcomes.findings)
    return outcomes.frame()


def sweep(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    *,
    monitor: str | None = None,
    mode: Mode | None = None,
    objective: str | None = None,
    objective_mode: Mode | None = None,
    unit: str = "steps",
    price: float | None = None,
    keep: Keep = "best",
    intervals: bool | None = None,
) -> pd.DataFrame:
    """Summary of policies over runs, as a DataFrame with one row per policy; see `simulate` for the rest.

    With ``intervals`` every key of the summary is given; without, those that need each run's outcome by
    itself (intervals, median, 90th percentile, verdict, lost_later_mean, within_noise, beyond_noise,
    eval_share) are missing, which is some hundred times as fast. By default they are given where there are
    at most 20,000 outcomes (policies times runs).
    """
    import pandas as pd

    question = Question(monitor, mode, objective, objective_mode, unit, price, keep)
    parsed = parse_policies(policies)
    typed, by_spec = typed_specs(policies, parsed), {rule.spec(): rule for rule in parsed}
    rules = list(by_spec.values())
    study = Study(runs, rules, question)
    if intervals if intervals is not None else len(rules) * len(study.runs) <= _DETAILED:
        outcomes = simulate_study(study, rules, typed=typed)
        table: dict[str, Any] = dict(summarise(outcomes))
        findings = (*outcomes.findings, *find_first_stretch(outcomes, table))
    else:
        swept = sweep_study(study, rules)
        names = {"policy": [typed[spec] for spec in by_spec], "spec": list(by_spec)}
        table = {**names, **swept.figures, "verdict": None}
        findings = swept.findings
    _warn(findings)
    frame = pd.DataFrame(table, columns=list(KEYS))
    return frame.astype(dict.fromkeys(("runs", "stopped", "censored", "lost_runs"), np.int64))
