"""The answer that the page begins with."""

from __future__ import annotations

from typing import Any

import numpy as np

from replay.policies.spec import parse_policy
from replay.report.choose import build as choose_report
from replay.report.export import FRAMEWORKS, code
from replay.report.page.gather import Evaluated, PageFacts
from replay.report.page.values import exact, share_digits, shorts
from replay.report.sentences.page import say_evidence, say_headline, say_trust
from replay.search.choice import Status

__all__ = ["answer_data"]


def answer_data(facts: PageFacts) -> dict[str, Any]:
    """What to use, how far it can be trusted, and the figures: guaranteed or cross-validated, never
    in-sample.
    """
    selection, held = facts.selection, facts.held_out
    data = choose_report(selection).data()
    policy = selection.policy
    spec = None if policy is None else policy.spec()
    monitor = facts.study.monitor
    rungs = () if selection.guarantee is None else selection.guarantee.rungs
    return {
        "status": str(selection.status.value),
        "policy": spec,
        "guess": data["best_guess"],
        "headline": say_headline(facts.selection, held),
        "sentences": [say_trust(selection), say_evidence(facts.study, selection, held)],
        "reason": data["reason"],
        "guarantee": data["guarantee"],
        "held_out": None
        if held is None
        else {
            "by": held.by,
            "kept": held.kept,
            "judged": held.judged,
            **_per_run(facts, held),
            **{
                name: exact(held.summary[name])
                for name in (
                    "runs",
                    "censored",
                    "saved_mean",
                    "saved_low",
                    "saved_high",
                    "lost_mean",
                    "lost_low",
                    "lost_high",
                    "lost_worst",
                    "regret_mean",
                    "regret_low",
                    "regret_high",
                    "relative_regret_mean",
                    "budget_lost",
                )
            },
        },
        "is_guaranteed": selection.status is Status.GUARANTEED,
        "rungs": [
            {"policy": rung.policy.spec(), "bound": exact(rung.bound), "saved": exact(rung.saved)}
            for rung in rungs
        ],
        "code": []
        if spec is None
        else [
            {
                "label": framework,
                "text": code(parse_policy(spec), framework, monitor=monitor.name, mode=monitor.mode),
            }
            for framework in FRAMEWORKS
        ],
        "check": data["check"],
        "lines": data["lines"],
        "groups": data["groups"],
    }


def _per_run(facts: PageFacts, held: Evaluated) -> dict[str, Any]:
    """What the policy that was chosen without each run saves and loses on it."""
    outcomes, known = facts.outcomes, held.rows >= 0
    saved = np.where(known, outcomes.saved[held.rows], np.nan)
    loss = np.where(known, getattr(outcomes, facts.sweep.tolerance.kind)[held.rows], np.nan)
    digits = share_digits(len(saved))
    return {"saved_runs": shorts(saved.tolist(), digits), "loss_runs": shorts(loss.tolist(), digits)}
