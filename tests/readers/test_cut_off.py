"""Logs that are one JSON document, of which the end is missing or broken: only what was read is known."""

import json

import pytest

from replay.data.censoring import CensoringKind, censoring
from replay.data.finding import Finding, Kind
from replay.readers import read
from replay.report.sentences.metric import say_censoring
from replay.report.sentences.problems import say_problems
from tests.cli.test_cli import run

LOSSES = [2.0, 1.6, 1.3, 1.2, 1.25, 1.28, 1.3, 1.4]


def trainer_state(**header):
    history = [
        {"epoch": number / 4, "eval_loss": loss, "step": 20 * number} for number, loss in enumerate(LOSSES, 1)
    ]
    state = {"epoch": 2.0, "global_step": 160, "log_history": history, **header}
    return json.dumps(state, indent=1)


def cut_after(text, value):
    """The text up to the end of the entry that has a value."""
    return text[: text.index("}", text.index(value)) + 3]


DOCUMENTS = {
    "trainer_state.json": cut_after(trainer_state(), '"step": 60'),
    "history.json": json.dumps({"loss": LOSSES, "val_loss": LOSSES})[:-20],
    "records.json": cut_after(
        json.dumps([{"step": 20 * number, "val_loss": loss} for number, loss in enumerate(LOSSES, 1)]), "60"
    ),
}


def only_run(folder):
    (made,) = read(folder).runs
    return made


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_cut_off_is_censored(tmp_path, name):
    (tmp_path / name).write_text(DOCUMENTS[name], encoding="utf-8")
    made = only_run(tmp_path)
    reason = censoring(made)
    assert reason.kind is CensoringKind.CUT_OFF
    assert reason.reached == made.trained_steps == made.steps[-1]
    assert say_censoring(reason) == f"file cut off at {reason.unit} {made.steps[-1]:g}"


def test_a_planned_end_beyond_the_part_that_was_read(tmp_path):
    text = trainer_state(max_steps=160)
    assert text.index("max_steps") > text.index("log_history")
    early = text.replace('"epoch": 2.0,', '"epoch": 2.0, "max_steps": 160,', 1)
    (tmp_path / "trainer_state.json").write_text(cut_after(early, '"step": 60'), encoding="utf-8")
    assert say_censoring(censoring(only_run(tmp_path))) == "file cut off at step 60 of 160"


def test_a_file_that_breaks_behind_its_history_has_all_evals(tmp_path):
    text = trainer_state(stateful_callbacks={"a": 1})
    (tmp_path / "trainer_state.json").write_text(text[: text.index('"a"')], encoding="utf-8")
    made = only_run(tmp_path)
    assert made.trained_steps == 160
    # why the training ended would have stood there
    assert censoring(made).kind is CensoringKind.CUT_OFF


def test_python_text_in_the_middle_leaves_the_rest_unread(tmp_path):
    text = trainer_state().replace("1.25", "np.float64(1.25)")
    (tmp_path / "trainer_state.json").write_text(text, encoding="utf-8")
    assert say_censoring(censoring(only_run(tmp_path))) == "file cut off at step 80"


def test_lines_end_in_the_middle_where_a_training_was_killed(tmp_path):
    rows = "".join(
        json.dumps({"step": 20 * number, "val_loss": loss}) + "\n" for number, loss in enumerate(LOSSES, 1)
    )
    (tmp_path / "log.jsonl").write_text(rows[:-9], encoding="utf-8")
    assert len(only_run(tmp_path)) == len(LOSSES) - 1
    assert censoring(only_run(tmp_path)) is None


def test_all_commands_agree_on_a_file_that_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainer_state.json").write_text(DOCUMENTS["trainer_state.json"], encoding="utf-8")
    first = "1 run in trainer_state.json (trainer-state); 1 problem (cut-off file)."
    for args, code in (
        (["trainer_state.json"], 0),
        (["simulate", "trainer_state.json", "--policy", "patience=1"], 0),
        (["choose", "trainer_state.json"], 3),
        (["inspect", "trainer_state.json"], 0),
    ):
        text = run(*args, code=code).stdout
        assert text.startswith(first)
        assert "The run is censored (file cut off): its loss is a lower bound." in " ".join(text.split())
        assert "! trainer_state.json: the file is cut off at character" in text
        best = [line for line in text.splitlines() if line.startswith("best possible")]
        assert all(line.split()[2:5] == ["0%", "≥", "0%"] for line in best)
        assert len(best) == (args[0] != "inspect")
    text = " ".join(run("explain", "trainer_state.json", "--policy", "patience=9").stdout.split())
    assert "all 3 evals, 60 steps" in text
    assert "the log ends here (file cut off at step 60)" in text
    assert "the rest of the log could not be read, so the loss is a lower bound" in text


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([Kind.CUT_OFF], "1 problem (cut-off file)"),
        ([Kind.CUT_OFF] * 2, "2 problems (2 cut-off files)"),
        ([Kind.TENSOR_TAG], "1 problem"),
        ([Kind.TENSOR_TAG, Kind.NO_STEP, Kind.NO_STEP], "3 problems (2 tables without a step, 1 other)"),
        (
            [Kind.EMPTY_FILE] * 3 + [Kind.CUT_OFF] * 2 + [Kind.BINARY_FILE] * 2,
            "7 problems (3 empty files, 2 cut-off files, 2 others)",
        ),
        ([Kind.NO_VALUES, Kind.NO_HISTORY], "2 problems (2 logs without values)"),
    ],
)
def test_problems_in_a_few_words(kinds, said):
    assert say_problems([Finding(kind) for kind in kinds]) == said


def test_a_state_that_is_cut_off_is_not_given_to_the_slow_parser(tmp_path, monkeypatch):
    def refuse(text):
        raise AssertionError(f"{len(text)} characters were parsed once more")

    monkeypatch.setattr("replay.readers.formats.trainer_state.parse_partly", refuse)
    (tmp_path / "trainer_state.json").write_text(cut_after(trainer_state(), '"step": 60'), encoding="utf-8")
    (made,) = read(tmp_path).runs
    assert made.steps.tolist() == [20, 40, 60]
