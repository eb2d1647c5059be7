"""Logs to serve, and the proxies that must not stand between the tests and their servers."""

import json

import numpy as np
import pytest

from tests.conftest import write_log


@pytest.fixture(autouse=True)
def direct(monkeypatch, tmp_path):
    """Connections go to this machine, and no configuration of the user's counts."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))


def state(seed, evals=8):
    """A trainer_state.json as transformers writes it."""
    rng = np.random.default_rng(seed)
    history = []
    for number in range(1, evals + 1):
        step = 50 * number
        history.append({"epoch": number / 4, "loss": 2 / number, "step": step, "learning_rate": 1e-4})
        loss = 1 + abs(number - 5) / 10 + 0.01 * float(rng.random())
        history.append({"epoch": number / 4, "eval_loss": loss, "step": step})
    return {
        "global_step": 50 * evals,
        "max_steps": 50 * evals,
        "num_train_epochs": evals / 4,
        "epoch": evals / 4,
        "log_history": history,
        "best_metric": None,
    }


@pytest.fixture
def logs(tmp_path):
    """Runs of two tools beside weights, texts and files of a model."""
    folder = tmp_path / "served" / "runs"
    for number in range(3):
        run = folder / f"lora {number}"
        run.mkdir(parents=True)
        (run / "trainer_state.json").write_text(json.dumps(state(number)))
        (run / "model.safetensors").write_bytes(b"\0" * 4096)
        (run / "training_args.bin").write_bytes(b"PK\3\4" + b"\0" * 64)
        (run / "tokenizer.json").write_text("{}")
        (run / "notes.json").write_text(json.dumps({"note": "no log " * 20_000}))
    write_log(folder / "own" / "r0", [2.0, 1.5, 1.2, 1.3, 1.4, 1.5], seed=1)
    (folder / ".git").mkdir()
    (folder / ".git" / "history.json").write_text("{}")
    (folder / "README.md").write_text("# runs\n")
    return folder
