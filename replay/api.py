"""The public functions: load logs, simulate policies on them, sweep over policies.

They stand above ``replay.report`` because what they warn of is said in its sentences.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from warnings import warn

import numpy as np

from replay import readers, remote
from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.question import Keep, Question
from replay.engine.scoring import parse_policies, simulate_study, typed_specs
from replay.engine.study import Study
from replay.errors import InputError, ReplayWarning
from replay.policies import Policy
from replay.policies.grid import DEFAULT_GRID, parse_grids, policies_of
from replay.report.choose import describe_status
from replay.report.format import percent
from replay.report.sentences import sentences
from replay.search.choice import select_policy
from replay.search.guarantee import guarantee
from replay.search.ladders import default_policies
from replay.search.plan import Plan
from replay.search.sweep import sweep_study
from replay.search.tolerance import Tolerance
from replay.stats.cautions import find_first_stretch
from replay.stats.groups import groups_of
from replay.stats.summary import KEYS, Weight, summarise
from replay.store import is_store
from replay.store.reading import read_all

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Choice", "choose_policy", "load", "plan", "read", "simulate", "sweep"]

#: Findings that an error lists.
_MOST = 20

#: Outcomes (policies × runs) up to which a sweep gives everything about every policy unasked.
_DETAILED = 20_000


@dataclass(frozen=True)
class Choice:
    """The policy to use, and how far it can be trusted; see `choose_policy`.

    ``status`` is ``"guaranteed"``, ``"best guess"`` or ``"cannot tell"``, and ``reason`` says why in a
    sentence. ``policy`` is a specification (None: the runs cannot tell). ``saved`` and ``lost`` are its means
    over the ``runs``: in-sample for a guaranteed policy, cross-validated for a best guess. ``bound`` is the
    mean loss that is guaranteed; of a best guess it is the upper end of the 95 % interval of the
    cross-validated loss, which is not guaranteed. ``needed_runs`` is the least number of runs (with
    ``group``: of groups) with which something could be guaranteed if they lose as much as these, None where
    no number would do.
    """

    status: str
    policy: str | None
    saved: float | None
    lost: float | None
    bound: float | None
    reason: str
    runs: int
    needed_runs: int | None

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        shares = {"saved": self.saved, "lost": self.lost, "bound": self.bound}
        rows = {
            "status": self.status,
            "policy": self.policy or "none",
            **{name: percent(share) for name, share in shares.items() if share is not None},
            "runs": str(self.runs),
            "why": self.reason,
        }
        left = "style='text-align: left'"
        cells = "".join(
            f"<tr><th {left}>{name}</th><td {left}>{escape(text)}</td></tr>" for name, text in rows.items()
        )
        return f"<table>{cells}</table>"


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    progress: Callable[[Sequence[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
    columns: readers.ColumnMap | None = None,
    fetching: Callable[[Iterable[Any]], AbstractContextManager[Iterable[Any]]] = nullcontext,
    where: str | None = None,
    most: int | None = None,
) -> readers.ReadResult:
    """`replay.remote.read`, also of stores, of which at most ``most`` runs are drawn; the error for paths
    without any run says what could not be read.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    with explaining():
        if where is not None or any(is_store(path) for path in given):
            return read_all(given, progress, columns, where, fetching=fetching, most=most)
        return remote.read(given, progress, columns, fetching=fetching)


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Say what could not be read where there is no run."""
    try:
        yield
    except readers.NothingFound as error:
        lines = [str(error), *(f"  {text}" for text in sentences(error.findings[:_MOST]))]
        lines += [error.hint] if error.hint else []
        raise InputError("\n".join(lines)) from None


def load(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    step: str | None = None,
    metric: str | Sequence[str] | Mapping[str, str] | None = None,
    split: str | None = None,
    run: str | None = None,
    columns: str | os.PathLike[str] | None = None,
    where: str | None = None,
) -> list[Run]:
    """Every run below a path, or below several: stores, files, and folders, which are searched to any depth.

    A path may be a URL, as ``hf://org/model``, ``s3://bucket/logs``, ``https://host/logs/`` or
    ``mlflow:http://host:5000/EXPERIMENT``: what can be a log there is fetched. Formats are recognised by
    content. Logs of the same run (checkpoints, several formats) count once. What could not be read is
    reported as a ReplayWarning. Raises InputError where a path does not exist or where there is no run at
    all.

    A table that is not recognised (CSV, TSV, JSON, JSON lines, Parquet) is read where its columns are named:
    ``step``, one or more of ``metric`` (``"column"``, ``"column=name"`` or a mapping), ``split`` for the
    column that says which set a row is about, and ``run`` for the one that says which run. ``columns`` is a
    TOML file with the same keys. Files that lack one of the columns are read as usual.

    ``where`` is an SQL expression that leaves out runs of a store (see `replay import`), such as
    ``"model = 'x' and evals >= 20"``.
    """
    logs_read = read(paths, columns=readers.ColumnMap.of(step, metric, split, run, columns), where=where)
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
    PolicyError for a specification that cannot be read. What is skipped is reported by ReplayWarning.
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


def choose_policy(
    runs: Sequence[Run],
    policies: Sequence[Policy | str] | None = None,
    *,
    max_lost: float = 0.05,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    **question: Any,
) -> Choice:
    """Choose the policy to use, with a guarantee where the runs allow one.

    ``policies`` default to a ladder of patiences for the guarantee, and to the default grid of ``replay
    choose`` for the best guess. ``max_lost`` is the tolerance, a fraction of a run's improvement. The
    guarantee holds on average over the next runs or, with ``confidence`` (a fraction, such as 0.9), for their
    mean loss with that probability, if they come from the same population as these. With ``group``
    (``"folder"``, or something that the logs state, such as ``"dataset"``) it is about a new group instead of
    a new run. ``weight`` is ``"runs"`` or ``"compute"``: rank policies by the mean share saved per run, or by
    the share of the total compute. ``question`` are the settings of `simulate`.

    Raises InputError and PolicyError as `simulate` does, and for a tolerance or confidence out of range. What
    is skipped is reported by ReplayWarning.

    Sources: conformal risk control, Angelopoulos, Bates, Fisch, Lei & Schuster, arXiv:2208.02814; Learn then
    Test, Angelopoulos, Bates, Candès, Jordan & Lei, arXiv:2110.01052.
    """
    _check_guarantee(max_lost, confidence)
    rules = policies_of(parse_grids(DEFAULT_GRID)) if policies is None else parse_policies(policies)
    study = Study(runs, rules, Question(**question))
    selection = select_policy(
        study,
        rules,
        Tolerance("lost", float(max_lost), f"{100 * max_lost:g}%"),
        ladder_policies=default_policies() if policies is None else None,
        confidence=confidence,
        group=group,
        weight=weight,
    )
    _warn(selection.cross_validated.findings)
    summary, bound = selection.held_out[0].summary, selection.held_out[0].summary["lost_high"]
    rung = None if selection.guarantee is None else selection.guarantee.rung
    if selection.guaranteed is not None and rung is not None:
        summary, bound = selection.guaranteed.summary, rung.bound
    policy = selection.policy
    return Choice(
        status=str(selection.status),
        policy=None if policy is None else policy.spec(),
        saved=None if policy is None else summary["saved_mean"],
        lost=None if policy is None else summary["lost_mean"],
        bound=None if policy is None else bound,
        reason=describe_status(selection),
        runs=summary["runs"],
        needed_runs=None if selection.guarantee is None else selection.guarantee.needed_units,
    )


def _check_guarantee(max_lost: float, confidence: float | None) -> None:
    if not 0 <= max_lost <= 1:
        raise InputError(f"max_lost is a fraction from 0 to 1, not {max_lost!r}; 5 % is 0.05")
    if confidence is not None and not 0.5 <= confidence < 1:
        raise InputError(f"confidence is a fraction from 0.5 to below 1, not {confidence!r}; 90 % is 0.9")


def plan(
    runs: Sequence[Run],
    policies: Sequence[Policy | str] | None = None,
    *,
    max_lost: float = 0.05,
    confidence: float | None = None,
    group: str | None = None,
    weight: Weight = "runs",
    **question: Any,
) -> Plan:
    """Say how many more runs a guarantee takes, and what the present runs guarantee.

    Arguments and errors are those of `choose_policy`. The result takes the losses seen so far to be those of
    further runs: runs that lose more need more.
    """
    _check_guarantee(max_lost, confidence)
    rules = default_policies() if policies is None else parse_policies(policies)
    study = Study(runs, rules, Question(**question))
    groups = None if group is None else groups_of(study.panel.runs, group)
    today = guarantee(study, float(max_lost), rules, confidence=confidence, groups=groups, weight=weight)
    _warn(today.findings)
    return Plan(today)
