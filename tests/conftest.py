"""Logs for the tests, written in the own format by its own encoder."""

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from replay.readers.formats.eval_log import FORMAT_NAME, VERSION, encode

# no test depends on how busy the machine is
settings.register_profile("any-load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-load")


def pytest_configure():
    """Commands that the tests start end at a signal, even where a shell runs the tests in its background and
    lets its children ignore some.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def write_log(folder, values, *, seed=0, test=None, header=None, end=True, every=100, name="eval_log.jsonl"):
    """An eval log with eval_loss, eval_accuracy and test_loss; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = [
        {
            "format": FORMAT_NAME,
            "version": VERSION,
            "run": folder.name,
            "modes": {"eval_loss": "min", "eval_accuracy": "max", "test_loss": "min"},
        }
    ]
    lines[0] |= {"monitor": "eval_loss", "planned_steps": every * len(values), **(header or {})}
    for number, value in enumerate(values, 1):
        metrics = {
            "eval_loss": value,
            "eval_accuracy": None if math.isnan(value) else 1 / (1 + abs(value)),
            "test_loss": value + 0.01 * rng.standard_normal(),
        }
        compute = {"train_seconds": 10.0 * number, "eval_seconds": 2.0, "tokens": 5000 * number}
        lines.append(
            {
                "kind": "train",
                "step": every * number,
                "epoch": number / 4,
                "loss": 2.0 / number,
                "learning_rate": 1e-3,
            }
        )
        lines.append(
            {
                "kind": "eval",
                "step": every * number,
                "epoch": number / 4,
                "time": 1.7e9 + 12 * number,
                "metrics": metrics,
                "compute": compute,
                "saved": True,
            }
        )
    if end:
        lines.append({"kind": "end", "step": every * len(values), "reason": "planned steps"})
    path = folder / name
    path.write_text("".join(encode(line) for line in lines), encoding="utf-8")
    return path


def curve(number, evals=20):
    """A loss that falls, turns and is noisy."""
    rng = np.random.default_rng(number)
    falls = np.exp(-np.arange(evals) / (2 + number % 4)) + 0.02 * np.maximum(
        0, np.arange(evals) - 6 - number % 5
    )
    return (falls + 0.01 * rng.standard_normal(evals)).tolist()


@pytest.fixture
def logs(tmp_path):
    """Ten runs of twenty evals below one folder."""
    for number in range(10):
        write_log(tmp_path / "logs" / f"run{number}", curve(number), seed=number)
    return tmp_path / "logs"


@pytest.fixture(scope="session")
def real_logs():
    """The folder of strangers' logs; skips where there is none."""
    folder = os.environ.get("REPLAY_REAL_LOGS")
    if not folder:
        pytest.skip("REPLAY_REAL_LOGS is not set: no real logs to read")
    return Path(folder)
