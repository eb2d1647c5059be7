"""docs/recipes.md: the code trains, the script of the job array takes its share, and the keys exist."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import replay

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
#: Keys of LLaMA-Factory's own (0.9.5); the others are those of transformers.
LLAMA_FACTORY = {"stage", "finetuning_type", "dataset", "eval_dataset", "eval_on_each_dataset"}


def block(section, language):
    """The first block of a language in a section."""
    part = PAGE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.search(rf"```{language}\n(.*?)```", part, re.DOTALL).group(1)


def test_the_code_for_trl_leaves_a_complete_log(workplace, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("trl")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def texts(first, last):
        return datasets.Dataset.from_list(
            [{"text": f"{left} plus 2 equals {left + 2}"} for left in range(first, last)]
        )

    code = block("transformers and TRL", "python").replace("=50", "=2")
    code = code.replace('report_to="none",', 'report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,')
    code = code.replace("    model=model,", "    model=model, processing_class=tokenizer,")
    monkeypatch.chdir(tmp_path)
    names = {
        "model": AutoModelForCausalLM.from_pretrained(workplace / "llama"),
        "tokenizer": AutoTokenizer.from_pretrained(workplace / "llama"),
        "train": texts(0, 16),
        "validation": texts(16, 24),
        "test": texts(24, 32),
    }
    exec(code, names)
    (run,) = replay.load(tmp_path / "logs")
    assert run.evals["step"].tolist() == [0, 2, 4, 6]  # two steps in each of three epochs
    assert {"eval_validation_loss", "eval_test_loss"} <= set(run.metrics)
    # TRL logs them as eval_entropy in the rows of both sets
    assert {"eval_validation_entropy", "eval_test_entropy"} <= set(run.metrics)
    assert run.info.complete
    outcomes = replay.simulate(
        [run], ["patience=1"], monitor="eval_validation_loss", objective="eval_test_loss", mode="min"
    )
    assert outcomes["evals"].tolist() == [4]
    assert not outcomes["censored"].any()


@pytest.fixture
def array(workplace, tmp_path):
    """Runs the script of the job array as one of its tasks; returns the process."""
    (tmp_path / "job.sh").write_text(block("A grid as a Slurm job array", "bash"))
    for name in ("bert", "reviews.jsonl"):
        (tmp_path / name).symlink_to(workplace / name)
    (tmp_path / "grid.toml").write_text(
        'task = "classification"\nmodel.path = "bert"\n[data]\nfile = "reviews.jsonl"\ntext = "text"\n'
        'label = "label"\ntrain_size = 16\nvalidation_size = 8\n[train]\nmax_steps = 2\neval_every = 1\n'
        'learning_rate = 1e-3\n[grid]\n"train.seed" = [0, 1, 2, 3, 4, 5]\n'
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "collect").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m collect "$@"\n')
    (tmp_path / "bin" / "collect").chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])

    def run(task, *options):
        environment = {**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": str(task)}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            ["bash", "job.sh", *options], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


def test_the_tasks_of_the_array_share_the_grid(array):
    script = block("A grid as a Slurm job array", "bash")
    tasks = int(re.search(r"--array=1-(\d+)", script).group(1))
    assert f"$SLURM_ARRAY_TASK_ID/{tasks}" in script
    shares = []
    for task in range(1, tasks + 1):
        done = array(task, "--list")
        assert done.returncode == 0, done.stderr
        shares.append([line.split()[0] for line in done.stdout.splitlines()])
    assert shares == [["grid-s0", "grid-s4"], ["grid-s1", "grid-s5"], ["grid-s2"], ["grid-s3"]]


@pytest.mark.slow
def test_a_task_of_the_array_trains_its_share(array, tmp_path):
    done = array(4)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "logs").iterdir() if path.is_dir()] == ["grid-s3"]
    assert "1 finished already" in array(4).stderr


def test_the_keys_for_llama_factory_are_its_own_or_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    keys = yaml.safe_load(block("LLaMA-Factory", "yaml"))
    known = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    assert keys.keys() - known == LLAMA_FACTORY
    assert keys["eval_strategy"] == "steps"
    assert not {key for key in keys if "early" in key}


def test_a_log_of_torchtune_as_the_page_has_it_is_read(tmp_path):
    """The lines are those of its DiskLogger."""
    file = tmp_path / yaml.safe_load(block("torchtune", "yaml"))["metric_logger"]["filename"]
    lines = []
    for step in range(50, 301, 50):
        lines.append(f"Step {step} | loss:{2 - step / 400} lr:0.0003 tokens_per_second_per_gpu:512.25 \n")
        lines.append(f"Step {step} | val_loss:{2.1 - step / 500} test_loss:{2.2 - step / 500} \n")
    file.write_text("".join(lines))
    (run,) = replay.load(tmp_path)
    assert run.evals["step"].tolist() == list(range(50, 301, 50))
    assert {"val_loss", "test_loss"} <= set(run.metrics)
