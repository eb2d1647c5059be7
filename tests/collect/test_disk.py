"""A disk that fills up while a checkpoint is written."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from collect.disk import named, whole_or_gone
from tests.collect.conftest import CLASSIFIER, changed, toml

resource = pytest.importorskip("resource", reason="limits the size of files")

#: Checkpoints at steps 5 and 10, and no other copy of the weights.
CONFIG = changed(CLASSIFIER, train={"max_steps": 15, "keep": "none"})


def kinds(folder):
    return [json.loads(line).get("kind") for line in (folder / "eval_log.jsonl").read_text().splitlines()]


def failing(call, error, nth, monkeypatch, module):
    """The n-th call of a function writes a part of its file, then raises."""
    original, calls = getattr(module, call), []

    def write(thing, path, *args, **kwargs):
        calls.append(path)
        if len(calls) == nth:
            Path(path).write_bytes(b"part")
            raise error
        return original(thing, path, *args, **kwargs)

    monkeypatch.setattr(module, call, write)


@pytest.mark.parametrize("what", ["weights", "optimizer", "state", "gradients"])
def test_a_full_disk_at_any_file_of_a_checkpoint(what, collect_run, monkeypatch, tmp_path):
    """The second checkpoint fails; the run says which file, and goes on from the first."""
    import peft.peft_model
    import safetensors
    import safetensors.torch
    import torch
    import transformers

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if what == "weights":
        error = safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        failing("safe_save_file", error, 2, monkeypatch, peft.peft_model)
        name = "adapter_model.safetensors"
    elif what == "gradients":
        error = safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        failing("save_file", error, 2, monkeypatch, safetensors.torch)
        name = "last_gradients.safetensors"
    elif what == "optimizer":
        # of a checkpoint's files torch writes the arguments, the optimizer, the schedule and the generators
        failing("save", full, 4 + 2, monkeypatch, torch)
        name = "optimizer.pt"
    else:
        original, calls = transformers.TrainerState.save_to_json, []

        def save(self, path):
            calls.append(path)
            if len(calls) == 2:
                Path(path).write_text("{")
                raise full
            original(self, path)

        monkeypatch.setattr(transformers.TrainerState, "save_to_json", save)
        name = "trainer_state.json"
    result, folder = collect_run(CONFIG, "full", tmp_path)
    assert result.exit_code == 74
    *progress, last = result.stderr.splitlines()
    assert all(line.startswith("full: ") for line in progress), "what a batch job is told, and no traceback"
    assert last == (
        f"Error: {folder / 'checkpoint-10' / name}: no space left on device; once there is space, the same"
        " command goes on"
    )
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-5"]
    assert kinds(folder).count("checkpoint") == 1
    monkeypatch.undo()
    result, folder = collect_run(CONFIG, "full", tmp_path)
    assert result.exit_code == 0, result.output
    segment = next(
        json.loads(line) for line in (folder / "eval_log.jsonl").open() if '"kind": "segment"' in line
    )
    assert segment["resumed_from"] == 5
    assert kinds(folder)[-1] == "end"


@pytest.mark.slow
def test_a_limit_of_the_system_is_met_in_a_real_checkpoint(workplace, tmp_path):
    """Files of 20 kB at most: the log fits, the adapter's weights do not."""
    (workplace / "limited.toml").write_text(toml(changed(CONFIG, lora={"r": 8})))
    command = [
        sys.executable,
        "-m",
        "collect",
        "run",
        str(workplace / "limited.toml"),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 74
    *progress, last = done.stderr.splitlines()
    assert all(line.startswith("limited: ") for line in progress), (
        "what a batch job is told, and no traceback"
    )
    assert re.fullmatch(
        r"Error: .*limited/checkpoint-5/\S+: file too large; once there is space, the same command goes on",
        last,
    )
    assert not list((tmp_path / "limited").glob("checkpoint-*"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert kinds(tmp_path / "limited")[-1] == "end"


def test_torch_does_not_say_why_it_could_not_save(tmp_path):
    """torch.save raises RuntimeError; what stopped it is found out by writing."""
    code = (
        "import resource, torch\n"
        "from pathlib import Path\n"
        "from collect.disk import whole_or_gone\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "folder = Path('checkpoint-1'); folder.mkdir()\n"
        "try:\n"
        "    with whole_or_gone(folder):\n"
        "        torch.save(torch.zeros(100_000), folder / 'optimizer.pt')\n"
        "except OSError as error:\n"
        "    print(error.strerror, error.filename, folder.exists())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == f"{os.strerror(errno.EFBIG)} {Path('checkpoint-1') / 'optimizer.pt'} False\n"


def test_errors_of_another_kind_are_left_as_they_are(tmp_path):
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="CUDA"), whole_or_gone(folder):
        raise RuntimeError("CUDA error")
    assert folder.is_dir()


def test_a_name_that_is_known_is_kept(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, named(tmp_path / "a"):
        (tmp_path / "b").read_text()
    assert caught.value.filename == str(tmp_path / "b")
