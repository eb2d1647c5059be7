"""Logs of model repositories: a server that answers as the Hub does, and the Hub's own client.

``HF_ENDPOINT`` and the token are read when huggingface_hub is imported, so each command is a process.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.readme import ROOT
from tests.remote.conftest import state
from tests.remote.processes import free_port, serving

TOKEN = "hf_readerTokenOfTheTests0001"


@pytest.fixture
def repository(tmp_path):
    """A repository of a model with the logs of a training, and of one more revision."""
    folder = tmp_path / "hub" / "org" / "lora" / "main"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# a model\n")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text(json.dumps({"vocabulary": "x" * 200_000}))
    (folder / "model.safetensors").write_bytes(b"\0" * 5000)
    (folder / "trainer_state.json").write_text(json.dumps(state(1)))
    for evals in (4, 8):
        checkpoint = folder / f"checkpoint-{50 * evals}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text(json.dumps(state(1, evals)))
        (checkpoint / "optimizer.pt").write_bytes(b"\0" * 900)
    for number in range(30):  # more than the server lists in one answer
        seed = folder / "seeds" / f"seed {number:02}"
        seed.mkdir(parents=True)
        (seed / "trainer_state.json").write_text(json.dumps(state(100 + number)))
    other = folder.parent / "v2"
    other.mkdir()
    (other / "trainer_state.json").write_text(json.dumps(state(2, 300)))
    return folder


def hub(tmp_path, *options):
    return serving(
        tmp_path / "asked.txt", ["-m", "tests.remote.hub_server", tmp_path / "hub", "PORT", *options]
    )


def run(words, endpoint, tmp_path, token=TOKEN):
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": token,
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "replay", *words],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    for text in (done.stdout, done.stderr):
        assert TOKEN not in text
        assert "Traceback" not in text
    return done


def test_a_repository_gives_the_runs_of_the_folder(repository, tmp_path):
    local = shutil.copytree(repository, tmp_path / "lora")
    words = ["--policy", "patience=2", "--format", "json"]
    with hub(tmp_path, "--token", TOKEN) as server:
        there = run(["simulate", "hf://org/lora", *words], server.url, tmp_path)
        asked = server.requests()
    assert there.returncode == 0, there.stderr
    here = run(["simulate", str(local), *words], server.url, tmp_path)
    outcomes = json.loads(there.stdout)["outcomes"]
    assert outcomes == json.loads(here.stdout)["outcomes"]
    assert len({row["run"] for row in outcomes}) == 31
    fetched = "\n".join(line for line in asked if "/resolve/" in line)
    assert "seed%2029/trainer_state.json" in fetched
    for left in ("safetensors", "optimizer.pt", "tokenizer.json", "README", "config.json"):
        assert left not in fetched


@pytest.mark.parametrize(
    ("url", "evals"),
    [
        ("hf://org/lora/checkpoint-200", 4),
        ("hf://org/lora/checkpoint-200/trainer_state.json", 4),
        ("hf://org/lora@v2", 300),
        ("hf://org/lora@v2/trainer_state.json", 300),
        ("hf://models/org/lora/checkpoint-200", 4),
    ],
)
def test_parts_and_revisions_of_a_repository(url, evals, repository, tmp_path):
    with hub(tmp_path) as server:
        done = run(["simulate", url, "--policy", "patience=2", "--format", "json"], server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["outcomes"]
    assert {row["evals"] for row in rows} == {evals}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hf://org/none", "the repository does not exist, or it is private and no valid token is set"),
        ("hf://org/gated", "access to this repository has to be asked for"),
        ("hf://org/lora@v9", "no such file or folder"),
        ("hf://org/lora/nothing", "no such file or folder"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(url, said, repository, tmp_path):
    with hub(tmp_path) as server:
        done = run(["inspect", url], server.url, tmp_path)
    assert done.returncode == 2
    text = " ".join(done.stderr.split())
    assert text.startswith(f"Error: {url}: {said}")
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_wrong_token(repository, tmp_path):
    with hub(tmp_path, "--token", "hf_another") as server:
        done = run(["inspect", "hf://org/lora"], server.url, tmp_path)
    assert done.returncode == 2
    assert "no valid token" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_a_file_that_is_cut_off_costs_only_itself(repository, tmp_path):
    (repository / "half.jsonl").write_text('{"step": 1, "eval_loss": 2.0}\n' * 5_000)
    with hub(tmp_path) as server:
        done = run(["inspect", "hf://org/lora", "--verbose"], server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "31 runs" in done.stdout
    assert "hf://org/lora/half.jsonl" in "".join((done.stdout + done.stderr).split())


def test_a_hub_that_is_gone(tmp_path):
    done = run(["inspect", "hf://org/lora"], f"http://127.0.0.1:{free_port()}", tmp_path)
    assert done.returncode == 2
    assert "hf://org/lora: the host cannot be reached" in " ".join(done.stderr.split())
