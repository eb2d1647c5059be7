"""``benchmarks/gpu.py`` on a CPU, with tiny models: what needs no GPU passes, the rest is skipped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
NEEDS_GPU = {"energy", "weight-norms", "quantized"}


def run(tmp_path, *arguments, minutes=600):
    """Run the script; returns its exit code, its table, and its JSON file."""
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(out), "--device", "cpu"]
    command += ["--minutes", str(minutes), "--grids", str(tmp_path / "grids"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, json.loads(out.read_text())


@pytest.mark.slow
def test_figures_on_a_cpu(tmp_path):
    code, table, report = run(
        tmp_path, "--only", "cross-entropy", "energy", "weight-norms", "flops", "corpus"
    )
    checks = report["checks"]
    assert {name: check["status"] for name, check in checks.items()} == {
        "cross-entropy": "pass",
        "energy": "skipped",
        "weight-norms": "skipped",
        "flops": "pass",
        "corpus": "skipped",
    }, table
    assert code == 0
    assert report["versions"]["torch"]
    for size in ("49152", "151936", "262144"):
        errors = checks["cross-entropy"]["figures"]["relative_errors"][size]
        assert errors["collect"] < 1e-9
        assert errors.keys() == {"collect", "flat", "transposed"}
    assert "4-bit weights need a GPU" in table
    assert "there are no grids in" in table
    assert "2 pass, 0 fail, 3 skipped" in table


@pytest.mark.slow
def test_a_kill_on_a_cpu_and_a_grid_for_the_time_that_is_left(tmp_path, workplace):
    (tmp_path / "grids").mkdir()
    for name in ("llama", "train.csv", "validation.csv", "test.csv"):
        (tmp_path / "grids" / name).symlink_to(workplace / name)
    (tmp_path / "grids" / "sums.toml").write_text(
        'task = "causal-lm"\nmodel.path = "llama"\n[data]\ntrain_file = "train.csv"\n'
        'validation_file = "validation.csv"\nprompt = "{left} plus {right} equals"\nanswer = "sum"\n'
        "max_length = 12\n[train]\nmax_steps = 4\neval_every = 2\nlearning_rate = 1e-3\n"
        '[grid]\n"train.seed" = [0, 1]\n'
    )
    code, table, report = run(tmp_path, "--only", "kill", "corpus", "--keep", str(tmp_path / "kept"))
    assert code == 0, table
    assert report["checks"]["kill"]["status"] == "pass", table
    assert report["checks"]["kill"]["figures"]["resumed_from"] > 0
    runs = report["checks"]["corpus"]["figures"]["runs"]
    assert [(run["run"], run["evals"]) for run in runs] == [("sums-s0", 2), ("sums-s1", 2)]
    assert (tmp_path / "kept" / "corpus" / "runs" / "sums-s1" / "eval_log.jsonl").exists()


@pytest.mark.slow
def test_every_check_on_a_cpu(tmp_path):
    code, table, report = run(tmp_path)
    for name, check in report["checks"].items():
        expected = "skipped" if name in NEEDS_GPU | {"corpus"} else "pass"
        assert check["status"] == expected, table
    assert code == 0
    assert len(report["checks"]) == 12


def test_what_has_no_time_left_is_skipped_and_what_takes_too_long_is_killed(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    options = gpu.parse(["--minutes", "0", "--out", str(tmp_path / "gpu.json"), "--device", "cpu"])
    records = dict(gpu.run_all(["kill", "flops"], tmp_path / "none", options))
    assert {record["text"] for record in records.values()} == {"no time was left"}
    assert "skipped" in capsys.readouterr().out
    options.cache = tmp_path / "cache"
    result = gpu.run_check("flops", tmp_path / "late", 0.01, options)  # no Python starts so fast
    assert (result.status, result.text) == ("fail", "it took longer than its 0 s")


def test_energies_that_fall_are_found(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from gpu_figures import judge_energy

    assert judge_energy([1.0, 2.0, 4.0, 7.0], 2) is None
    assert judge_energy([1.0, 2.0, 1.5, 7.0], 2) == "the energy falls from 2 J to 1.5 J after the resume"
    assert judge_energy([3.0, 2.0], 5) == "the energy falls from 3 J to 2 J"
    assert judge_energy([1.0, None], 1) == "an eval has no energy"


def test_an_existing_folder_is_not_written_into(tmp_path):
    (tmp_path / "kept" / "flops").mkdir(parents=True)
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        "--only",
        "flops",
        "--keep",
        str(tmp_path / "kept"),
    ]
    done = subprocess.run(
        [*command, "--device", "cpu", "--out", str(tmp_path / "gpu.json")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "exists already; --keep must name a new folder" in done.stderr
