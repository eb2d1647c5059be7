"""Verify: what is asked live eval by eval agrees with the replay, and a rule that looks ahead is found
out."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.data.run import Run
from replay.live.verify import until, verify
from replay.policies.base import Policy, Trace

SAMPLES = Path(__file__).parents[2] / "sample_logs"
RUNS = sorted(path.parent for path in SAMPLES.glob("*/eval_log.jsonl"))
POLICIES = [
    "patience=3",
    "patience=2,smooth=ema:0.3",
    "transformers:patience=2,threshold=0.01",
    "keras:patience=2",
    "lightning:patience=1",
    "one-epoch",
    "patience=2 | divergence=5",
    "never",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_live_and_replay_stop_the_sample_runs_at_the_same_eval(policy):
    pytest.importorskip("transformers")
    for folder in RUNS[::5]:
        (run,) = replay.load(folder)
        checked = verify(run, replay.parse_policy(policy), monitor="eval_loss")
        assert [one.asked for one in checked] == [
            "log",
            "transformers",
        ]
        assert all(one.same for one in checked), (folder.name, checked)


@dataclass(frozen=True)
class Hindsight(Policy):
    """Stop at the best eval of the whole log."""

    name: ClassVar[str] = "hindsight"

    def signal_threshold(self, mode):
        return 1.0

    def trace(self, batch):
        signal = np.zeros(batch.shape)
        signal[np.arange(len(signal)), np.nanargmin(batch.oriented, axis=1)] = 1
        return Trace(batch, signal)

    def reason(self, trace, run, eval):
        return "the best"


def test_a_rule_that_looks_ahead_is_found_out():
    run = Run("r", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 0.9, 0.8, 0.85]})
    (checked,) = verify(run, Hindsight())
    assert (checked.replayed, checked.live, checked.same) == (3, 1, False)


def test_a_run_cut_off_knows_nothing_of_what_comes():
    (run,) = replay.load(RUNS[0])
    part = until(run, run.steps[4])
    assert len(part) == 5
    assert part.trained_steps == run.steps[4]
    assert max(series.step[-1] for series in part.train.values()) <= run.steps[4]
    assert (part.info.trained_steps, part.info.complete) == (None, None)


def test_the_command():
    result = CliRunner().invoke(cli, ["verify", str(RUNS[0]), "--policy", "patience=3"])
    assert result.exit_code == 0, result.output
    assert "same" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.startswith("patience=3: the same decision live and in the replay on the run")
    result = CliRunner().invoke(
        cli, ["verify", str(RUNS[0]), "--policy", "patience=3", "--monitor", "val_loss"]
    )
    assert result.exit_code == 2
    assert "no metric 'val_loss'" in result.stderr


def test_the_command_says_where_they_differ(monkeypatch):
    monkeypatch.setattr("replay.policies.spec.parse_policy", lambda text: Hindsight())
    result = CliRunner().invoke(cli, ["verify", str(RUNS[0]), "--policy", "hindsight"])
    assert result.exit_code == 1
    assert "DIFFERENT" in result.stdout
