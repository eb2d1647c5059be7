"""The data of the page, from the same results and documents as the other outputs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replay import __version__
from replay.data.finding import Finding
from replay.report import inspect
from replay.report.choose import build as choose_report
from replay.report.document import Block, Code, Document, List, Notes, Paragraph, Table, parts
from replay.report.page.answer import answer_data
from replay.report.page.gather import PageFacts
from replay.report.page.policies import budget_data, grid_data, policy_data
from replay.report.page.runs import run_data, sampled_runs
from replay.report.page.traces import trace_data
from replay.report.sentences.page import METHODS, say_sampling
from replay.report.simulate import describe_setting, setting

__all__ = ["page_data"]

#: Rows that a table of what was read may have.
_MOST_ROWS = 300


def page_data(
    facts: PageFacts, paths: Sequence[Path], command: Sequence[str], findings: Sequence[Finding] = ()
) -> dict[str, Any]:
    """All that the page shows, as JSON takes it.

    ``paths`` are what was read, ``command`` the words of the command that makes the page again, ``findings``
    those of the logs and grids.
    """
    study, sweep = facts.study, facts.sweep
    policies, index, left_out = policy_data(facts)
    runs = run_data(study)
    detailed = sum(row["outcomes"] is not None and row["role"] == "candidate" for row in policies)
    candidates = len(sweep.sweep.policies)
    return {
        "schema": 1,
        "source": inspect.describe_logs(facts.logs, paths)[0],
        "paths": [str(path) for path in paths],
        "command": list(command),
        "versions": {
            "stop-replay": __version__,
            "Python": platform.python_version(),
            "numpy": np.__version__,
        },
        "setting": setting(study),
        "setting_text": describe_setting(study),
        "tolerance": {
            "kind": sweep.tolerance.kind,
            "value": sweep.tolerance.value,
            "text": sweep.tolerance.text,
        },
        "weight": sweep.weight,
        "answer": answer_data(facts),
        "policies": policies,
        "candidates": candidates,
        "budget": budget_data(facts),
        "grids": grid_data(facts, index),
        "frameworks": _frameworks(facts, index),
        "runs": runs,
        "traces": trace_data(facts),
        "sampling": say_sampling(sampled_runs(runs), len(runs), detailed, candidates, left_out),
        "read": _blocks(inspect.build(facts.inspection, paths)),
        "notes": _notes(choose_report(facts.selection, findings=findings)),
        "methods": [{"term": term, "text": text} for term, text in METHODS],
    }


def _frameworks(facts: PageFacts, index: dict[str, int]) -> list[dict[str, Any]]:
    """Settings with the policy of each tool, and on how many runs the tools do not all stop alike."""
    rows = {spec: number for number, spec in enumerate(facts.outcomes.policies)}
    stops = facts.outcomes.stops.positions
    out = []
    for one in facts.frameworks:
        specs = [tool.policy.spec() for tool in one.tools]
        positions = stops[[rows[spec] for spec in specs]]
        differ = int((positions != positions[0]).any(axis=0).sum())
        tools = [{"name": tool.name, "policy": index[tool.policy.spec()]} for tool in one.tools]
        out.append({"label": one.label, "tools": tools, "differ": differ})
    return out


def _notes(document: Document) -> list[str]:
    return [text for block in document.blocks() if isinstance(block, Notes) for text in block.texts]


def _blocks(document: Document) -> list[dict[str, Any]]:
    """The blocks of a document that a page shows, as data."""
    shown = (
        block
        for block in document.blocks()
        if block.medium != "screen" and block.detail != "brief" and not isinstance(block, Paragraph)
    )
    return [data for block in shown if (data := _block(block)) is not None]


def _block(block: Block) -> dict[str, Any] | None:
    match block:
        case Paragraph(lines=lines):
            return {"kind": "paragraph", "lines": [_words(words) for words in lines]}
        case List(items=items):
            return {"kind": "list", "items": [_words(words) for words in items]}
        case Code(text=text):
            return {"kind": "code", "text": text}
        case Table(head=head, rows=rows, left=left):
            shown = [list(row) for row in rows[:_MOST_ROWS]]
            return {
                "kind": "table",
                "head": list(head),
                "rows": shown,
                "left": list(left),
                "more": len(rows) - len(shown),
            }
    return None


def _words(words: Any) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts(words))
