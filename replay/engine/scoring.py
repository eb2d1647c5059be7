"""Scoring: from stops to outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from replay.data.finding import Finding, Kind
from replay.data.run import Run
from replay.data.types import Ints
from replay.engine.outcomes import BASELINES, ORACLE, Outcomes, Source
from replay.engine.payoffs import Payoffs
from replay.engine.question import Question
from replay.engine.stops import Stops
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.policies.spec import parse_policy

__all__ = ["parse_policies", "score", "simulate_policies", "simulate_study", "typed_specs"]


def parse_policies(policies: Sequence[Policy | str]) -> list[Policy]:
    """Policies from specifications or policies; raises PolicyError, and InputError for what is neither."""
    rules = [parse_policy(policy) if isinstance(policy, str) else policy for policy in policies]
    for rule in rules:
        if not isinstance(rule, Policy):
            raise InputError(f"a policy is a specification or a Policy, not {rule!r}")
    return rules


def simulate_policies(
    runs: Sequence[Run],
    policies: Sequence[Policy | str],
    question: Question | None = None,
    *,
    baselines: bool = False,
) -> Outcomes:
    """Simulate policies on runs: resolve the question, find the stops, score them; see `simulate_study`."""
    rules = parse_policies(policies)
    study = Study(runs, rules, question or Question())
    return simulate_study(study, rules, baselines=baselines, typed=typed_specs(policies, rules))


def typed_specs(policies: Iterable[Policy | str], rules: Iterable[Policy]) -> dict[str, str]:
    """How the user wrote each policy, by its canonical specification; of two spellings the first.

    ``rules`` are the same policies, parsed. A `Policy` object is written as its specification.
    """
    typed: dict[str, str] = {}
    for policy, rule in zip(policies, rules, strict=True):
        spec = rule.spec()
        typed.setdefault(spec, policy if isinstance(policy, str) else spec)
    return typed


def simulate_study(
    study: Study,
    policies: Sequence[Policy],
    *,
    baselines: bool = False,
    typed: Mapping[str, str] | None = None,
) -> Outcomes:
    """Simulate policies on the runs of a study.

    A policy that is given twice counts once. ``typed`` says how the user wrote policies, by their canonical
    specification. ``baselines`` adds never and one-epoch before the policies
    (where the runs have what they take), and the oracle behind them. Raises InputError where no run has what
    a policy needs.
    """
    fixed = [parse_policy(spec) for spec in BASELINES] if baselines else []
    distinct = {rule.spec(): rule for rule in (*fixed, *policies)}
    stops = Stops.find(study, list(distinct.values()), optional=lambda index: index < len(fixed))
    return score(study, stops, oracle=baselines, typed=typed)


def score(
    study: Study, stops: Stops, *, oracle: bool = False, typed: Mapping[str, str] | None = None
) -> Outcomes:
    """What stops save and lose; ``oracle`` adds the outcomes of stopping each run at its best eval.

    ``typed`` is as for `simulate_study`.
    """
    sources, names, positions, references = [], [], [], []
    for index, policy in enumerate(stops.policies):
        view, rows = stops.view(index), stops.rows(index)
        names.append(policy.spec())
        sources.append(Source(view.payoffs, rows))
        positions.append(stops.positions[index, view.runs[rows]])
        references.append(stops.references(index)[rows])
    if oracle:
        panel = study.panel
        at = _oracle_positions(study)
        names.append(ORACLE)
        sources.append(Source(Payoffs.of_oracle(panel, at), np.arange(len(panel.runs))))
        positions.append(at)
        references.append(np.full(len(at), np.nan))
    counts = [len(source.rows) for source in sources]
    index_of = {run.id: index for index, run in enumerate(study.panel.runs)}
    runs = [
        np.array([index_of[source.payoffs.runs[row]] for row in source.rows.tolist()], dtype=np.int32)
        for source in sources
    ]
    entries = [
        source.payoffs.begin[source.rows] + position
        for source, position in zip(sources, positions, strict=True)
    ]

    def taken(name: str) -> np.ndarray:
        pieces = [
            getattr(source.payoffs, name)[entry] for source, entry in zip(sources, entries, strict=True)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    kept: Ints = taken("kept").astype(np.int64)
    outcomes = Outcomes(
        study,
        tuple(names),
        tuple((typed or {}).get(name, name) for name in names),
        stops,
        tuple(sources),
        bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        run=np.concatenate(runs) if runs else np.empty(0, dtype=np.int32),
        policy=np.repeat(np.arange(len(names), dtype=np.int32), counts),
        position=np.concatenate(positions) if positions else np.empty(0, dtype=np.int64),
        kept_position=kept,
        used=taken("used"),
        eval_used=taken("eval_used"),
        saved=taken("saved"),
        regret=taken("regret"),
        relative_regret=taken("relative_regret"),
        lost=taken("lost"),
        own_best=np.concatenate(references) if references else np.empty(0),
        findings=(*study.findings, *stops.findings),
    )
    if study.objective is study.monitor:
        return outcomes
    of_policies = outcomes.judged & (outcomes.policy < len(stops.policies))
    unknown = of_policies & np.isnan(outcomes.kept)
    if not unknown.any():
        return outcomes
    facts = {
        "metric": study.objective.name,
        "count": int(unknown.sum()),
        "total": int(of_policies.sum()),
    }
    return outcomes.with_findings([Finding(Kind.OBJECTIVE_UNKNOWN, facts=facts)])


def _oracle_positions(study: Study) -> Ints:
    """The position of each run's best objective among the evals of the monitor; −1 where there is none."""
    values = study.panel.objective.values
    if not values.shape[1]:
        return np.full(len(values), -1)
    known = ~np.isnan(values)
    keys = np.where(known, values if study.objective.mode == "min" else -values, np.inf)
    best = np.where(known, keys, np.nan)
    lowest = keys.min(axis=1, keepdims=True)
    return np.where(known.any(axis=1), (best == lowest).argmax(axis=1), -1)
