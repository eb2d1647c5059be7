"""A guaranteed choice over the runs of a store, file by file.

What each policy saves and loses on each run is kept, and nothing else of the runs. The result is the same to
the bit as that of `replay.search.guarantee.guarantee` for all runs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from replay.data.finding import Finding
from replay.data.run import Run
from replay.data.types import Mode
from replay.engine.question import Question
from replay.engine.study import Study
from replay.errors import InputError
from replay.policies import Policy
from replay.readers.find import natural
from replay.search.evidence import Evidence, gather_evidence
from replay.search.guarantee import Guarantee, guarantee_from
from replay.search.ladders import make_ladders, never_stops
from replay.search.store_sweep import (
    Common,
    Resolved,
    ShardTask,
    Totals,
    make_tasks,
    none_judged,
    order_of,
    read_task,
    usable_runs,
)
from replay.stats.summary import Weight
from replay.store import Store

__all__ = ["ShardEvidence", "evidence_of_study", "gather_shard", "guarantee_of_store", "join_evidence"]


@dataclass(frozen=True)
class ShardEvidence:
    """The evidence of the runs of one file; ``judged`` are the ids of the runs that its savings are about.

    ``evidence`` is None where no run of the file can be judged. ``modes`` are those of the metrics that its
    policies monitor.
    """

    totals: Totals
    resolved: Resolved | None
    evidence: Evidence | None
    modes: tuple[Mode, ...]
    judged: tuple[str, ...]
    findings: tuple[Finding, ...]


def guarantee_of_store(
    store: Store,
    policies: Sequence[Policy],
    question: Question,
    alpha: float,
    *,
    confidence: float | None = None,
    weight: Weight = "runs",
    run_all: Callable[
        [Callable[[ShardTask], ShardEvidence], Sequence[ShardTask]], Iterable[ShardEvidence]
    ] = map,
    version: str = "",
) -> tuple[Guarantee, Resolved]:
    """The policy of a store that saves most among those whose loss is proven to keep a tolerance, and the
    metrics.

    Arguments are those of `guarantee` and of `replay.search.store_sweep.sweep_store`.
    """
    parts: list[ShardEvidence] = []
    common = Common()
    for part in run_all(gather_shard, make_tasks(store, policies, question, version)):
        common.add(part.resolved, part.findings, part.totals)
        if part.evidence is not None:
            parts.append(part)
    found = common.joined()
    if common.resolved is None or not parts:
        raise none_judged(store, found)
    evidence = replace(join_evidence(parts, policies), findings=found)
    return guarantee_from(evidence, alpha, confidence=confidence, weight=weight), common.resolved


def gather_shard(task: ShardTask) -> ShardEvidence:
    """The evidence of the runs of one file. It depends on nothing but the task and the file."""
    runs, findings = read_task(task)
    part = gather_runs(runs, task.policies, task.question)
    return replace(part, findings=(*findings, *part.findings))


def gather_runs(runs: Sequence[Run], policies: Sequence[Policy], question: Question) -> ShardEvidence:
    """The evidence of some runs."""
    usable, findings = usable_runs(runs, policies, question)
    if not usable:
        return ShardEvidence(Totals.of(len(runs)), None, None, (), (), findings)
    return evidence_of_study(Study(runs, policies, question), policies, len(runs))


def evidence_of_study(study: Study, policies: Sequence[Policy], runs: int) -> ShardEvidence:
    """The evidence of the runs of a study, which are those of so many that log the monitor."""
    totals = Totals.of(runs, study)
    if not study.panel.judged.any():
        return ShardEvidence(totals, Resolved.of(study), None, (), (), study.findings)
    evidence = gather_evidence(study, policies, optional=True)
    modes = tuple(study.panel_of(policy)[0].monitoring.primary.mode for policy in evidence.policies)
    judged = tuple(run.id for run in study.judged_runs)
    found, evidence = evidence.findings, replace(evidence, findings=())
    return ShardEvidence(totals, Resolved.of(study), evidence, modes, judged, found)


def join_evidence(parts: Sequence[ShardEvidence], policies: Sequence[Policy]) -> Evidence:
    """The evidence of all files, with the runs in the order in which they are read at once."""
    made = [part.evidence for part in parts if part.evidence is not None]
    tried = [{policy.spec(): row for row, policy in enumerate(one.policies)} for one in made]
    common = [policy for policy in made[0].policies if all(policy.spec() in rows for rows in tried)]
    if not common:
        raise InputError("no policy can be tried on every run, so nothing can be guaranteed")
    rows = [[of_part[policy.spec()] for policy in common] for of_part in tried]
    mode_of = {policy.spec(): mode for policy, mode in zip(made[0].policies, parts[0].modes, strict=True)}
    runs = [run for one in made for run in one.runs]
    judged = [run for part in parts for run in part.judged]
    here, there = order_of(runs), order_of(judged)

    def joined(name: str, order: np.ndarray) -> np.ndarray:
        pieces = [getattr(one, name)[some] for one, some in zip(made, rows, strict=True)]
        # numpy adds rows up in another order where they do not lie together in memory
        return np.ascontiguousarray(np.concatenate(pieces, axis=1)[:, order])

    runs = [runs[at] for at in here.tolist()]
    labels, unit = np.unique(np.array(runs, dtype=str), return_inverse=True)
    left_out = [run for one in made for run in one.left_out]
    return Evidence(
        policies=common,
        ladders=make_ladders(common, [mode_of[policy.spec()] for policy in common]),
        runs=runs,
        unit=unit.astype(np.int64),
        units=len(labels),
        full=np.concatenate([one.full for one in made])[there],
        saved=joined("saved", there),
        lost=joined("lost", here),
        worst=joined("worst", here),
        is_censored=np.concatenate([one.is_censored for one in made])[here],
        left_out=tuple(sorted(left_out, key=lambda run: (natural(run), run))),
        partial=sum(not never_stops(policy) for policy in policies) - len(common),
        findings=(),
    )
