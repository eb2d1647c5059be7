"""`replay explain` has lines for evals that are missing, and for an end before the planned one."""

import json

import pytest

from tests.cli.test_cli import fits, run


@pytest.fixture
def log(tmp_path):
    evals = [(step, 1.5 - step / 1000) for step in range(20, 260, 20) if step not in (80, 140, 160)]
    history = [{"step": step, "epoch": step / 100, "eval_loss": value} for step, value in evals]
    state = {"log_history": history, "global_step": 240, "max_steps": 500, "eval_steps": 20}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("columns", [40, 80])
def test_missing_evals_and_the_early_end_have_their_lines(log, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run("explain", log, "--policy", "patience=3").stdout
    fits(text.partition("Next: ")[0], columns)  # a path is not broken
    flat = " ".join(text.split())
    places = [
        flat.index(part)
        for part in (
            "1 eval is missing (step 80):",
            "2 evals are missing (steps 140, 160):",
            "the log ends here",
        )
    ]
    assert places == sorted(places)
    assert "(cut short at step 240 of 500)" in flat[places[-1] :]


def test_a_line_stands_before_the_eval_that_follows(log):
    lines = run("explain", log, "--policy", "patience=3").stdout.splitlines()
    assert lines[lines.index("1 eval is missing (step 80):") + 1].split()[:2] == ["4", "100"]
    assert lines[lines.index("2 evals are missing (steps 140, 160):") + 1].split()[:2] == ["6", "180"]
    assert lines[lines.index("the log ends here (cut short at step 240 of 500)") - 1].split()[1] == "240"


def test_a_complete_log_has_no_such_lines(log):
    state = json.loads((log / "trainer_state.json").read_text(encoding="utf-8"))
    state["log_history"] = [
        {"step": step, "epoch": step / 100, "eval_loss": 1 / step} for step in range(20, 260, 20)
    ]
    state["max_steps"] = 240
    (log / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    text = run("explain", log, "--policy", "patience=3").stdout
    assert "missing" not in text
    assert "the log ends here" not in text


def test_a_file_that_is_cut_off_has_its_line(tmp_path):
    rows = [json.dumps({"step": step, "loss": 9 / step, "val_loss": 8 / step}) for step in range(10, 130, 10)]
    (tmp_path / "log.jsonl").write_text("\n".join(rows)[:-9], encoding="utf-8")
    lines = run("explain", tmp_path, "--policy", "patience=3").stdout.splitlines()
    assert lines[lines.index("the log ends here (its file is cut off)") - 1].split()[1] == "110"
