"""trainer_state.json of every age and in every state of repair."""

import json
import math

import pytest

from replay.data.censoring import CensoringKind, censoring
from replay.readers import read, sniff
from replay.readers.formats.trainer_state import FORMAT
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal

EVALS = [1.0, 0.8, 0.7, 0.75, 0.72, 0.74]


def history(values=EVALS, every=10, name="eval_loss"):
    rows = []
    for number, value in enumerate(values, 1):
        rows.append(
            {
                "step": every * number,
                "epoch": number / 2,
                "loss": 2.0 / number,
                "learning_rate": 1e-3,
                "grad_norm": 0.5,
            }
        )
        rows.append(
            {
                "step": every * number,
                "epoch": number / 2,
                name: value,
                "eval_runtime": 3.0,
                "eval_samples_per_second": 9.0,
                "eval_steps_per_second": 1.0,
            }
        )
    return rows


def state(rows=None, **fields):
    rows = history() if rows is None else rows
    return {
        "global_step": 60,
        "max_steps": 100,
        "num_train_epochs": 5,
        "epoch": 3.0,
        "log_history": rows,
        **fields,
    }


def load(folder, content, name="trainer_state.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True),
        encoding="utf-8",
    )
    loaded = FORMAT.load([path], "run")
    assert len(loaded.runs) == 1
    return loaded.runs[0], sentences(loaded.findings)


def values(run, name):
    column = run.columns[name]
    return [
        value if here else None for value, here in zip(column.values.tolist(), column.present, strict=True)
    ]


def test_what_transformers_writes(tmp_path):
    callback = pytest.importorskip("transformers.trainer_callback")
    written = callback.TrainerState(
        epoch=3.0,
        global_step=60,
        max_steps=100,
        num_train_epochs=5,
        log_history=history([*EVALS[:-1], math.nan]),
        best_metric=0.7,
        best_global_step=30,
        save_steps=20,
        eval_steps=10,
        total_flos=1e12,
        train_batch_size=8,
        num_input_tokens_seen=6000,
    )
    written.save_to_json(str(tmp_path / "trainer_state.json"))
    (run,), problems = FORMAT.load([tmp_path / "trainer_state.json"], "run")
    assert not problems
    assert values(run, "eval_loss")[:5] == EVALS[:5]
    assert math.isnan(run.columns["eval_loss"].values[5])
    assert run.columns["eval_loss"].present.all()
    assert run.info.planned_steps == 100
    assert run.info.planned_epochs == 5
    assert run.info.trained_steps == 60
    assert run.info.total_flos == 1e12
    assert run.info.trained_tokens == 6000
    assert run.info.hyperparameters["train_batch_size"] == 8


@pytest.mark.parametrize(
    ("fields", "complete", "is_censored"),
    [
        ({"max_steps": 60, "num_train_epochs": 3}, True, False),
        ({"max_steps": 62}, False, True),  # no entry is missing, but the file says that training goes on
        ({"max_steps": 61}, False, False),
        ({"max_steps": 0}, None, True),  # 3 of 5 epochs
        ({"max_steps": 0, "num_train_epochs": 3}, None, False),
        ({"max_steps": 0, "num_train_epochs": 0}, None, False),
    ],
)
def test_how_far_a_training_came(tmp_path, fields, complete, is_censored):
    run, _ = load(tmp_path, state(**fields))
    assert run.info.complete is complete
    assert (censoring(run) is not None) is is_censored


def test_a_file_that_is_cut_off_does_not_show_the_whole_training(tmp_path):
    whole = json.dumps(state(max_steps=60, num_train_epochs=3), indent=2, sort_keys=True)
    run, problems = load(tmp_path, whole[: whole.index('"step": 50')])
    assert len(problems) == 1
    assert len(run) < 6
    assert censoring(run).kind is CensoringKind.CUT_SHORT
    assert censoring(load(tmp_path, whole)[0]) is None


def test_columns_and_companions(tmp_path):
    run, problems = load(tmp_path, state())
    assert not problems
    assert run.metrics == ("eval_loss",)
    assert run.steps.tolist() == [10, 20, 30, 40, 50, 60]
    assert values(run, "eval_seconds") == [3.0] * 6
    assert values(run, "train_loss") == [2.0, 1.0, 2 / 3, 0.5, 0.4, 1 / 3]
    assert values(run, "epoch") == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert set(run.train) == {"loss", "learning_rate", "grad_norm"}


def test_the_words_nan_and_infinity(tmp_path):
    rows = '{"step": 1, "eval_loss": NaN}, {"step": 2, "eval_loss": -Infinity}, {"step": 3, "eval_loss": 0.5}'
    run, problems = load(tmp_path, f'{{"global_step": 3, "log_history": [{rows}]}}')
    assert not problems
    found = values(run, "eval_loss")
    assert math.isnan(found[0])
    assert found[1:] == [-math.inf, 0.5]


def test_several_eval_sets_at_one_step(tmp_path):
    rows = []
    for step in (10, 20):
        rows += [{"step": step, "loss": 1.0}]
        rows += [
            {
                "step": step,
                f"eval_{name}_loss": step / 7,
                f"eval_{name}_runtime": 2.0,
                f"eval_{name}_samples_per_second": 1.0,
            }
            for name in ("math", "code")
        ]
    run, _ = load(tmp_path, state(rows))
    assert set(run.metrics) == {"eval_math_loss", "eval_code_loss"}
    assert values(run, "eval_seconds") == [4.0, 4.0]
    assert run.columns["eval_math_loss"].present.all()


def test_test_metrics_are_held_out_and_may_be_rare(tmp_path):
    rows = [*history(), {"step": 60, "epoch": 3.0, "test_loss": 0.9, "test_runtime": 1.0}]
    run, _ = load(tmp_path, state(rows))
    assert values(run, "test_loss") == [None] * 5 + [0.9]


def test_the_best_checkpoint_evaluated_once_more_does_not_replace_the_last_eval(tmp_path):
    rows = [
        *history(),
        {"step": 60, "epoch": 3.0, "train_runtime": 99.5, "total_flos": 5e11, "train_loss": 0.8},
    ]
    rows.append({"step": 60, "epoch": 3.0, "eval_loss": 0.7, "eval_runtime": 3.0})
    run, _ = load(tmp_path, state(rows))
    assert values(run, "eval_loss") == EVALS
    assert values(run, "eval_seconds")[-1] == 3.0
    assert run.info.train_runtime == 99.5
    assert run.info.total_flos == 5e11
    assert "train_loss" not in run.train
    assert any("logged again" in note for note in sentences(run.info.findings))


def test_an_eval_before_the_training_is_kept(tmp_path):
    run, _ = load(tmp_path, state([{"step": 0, "epoch": 0, "eval_loss": 2.0}, *history()]))
    assert run.steps[0] == 0
    assert values(run, "eval_loss")[0] == 2.0


def test_tokens(tmp_path):
    rows = [{**row, "num_input_tokens_seen": 100 * row["step"]} for row in history()]
    run, _ = load(tmp_path, state(rows))
    assert values(run, "tokens") == [100.0 * step for step in run.steps]
    rows = [
        {**row, ("eval_num_tokens" if "eval_loss" in row else "num_tokens"): 7.0 * row["step"]}
        for row in history()
    ]
    run, _ = load(tmp_path, state(rows))
    assert values(run, "tokens") == [7.0 * step for step in run.steps]
    assert run.metrics == ("eval_loss",)


def test_old_files_without_steps_in_rows_are_placed_by_their_epoch(tmp_path):
    rows = [{name: item for name, item in row.items() if name != "step"} for row in history()]
    run, _ = load(tmp_path, state(rows))
    assert run.steps.tolist() == [10, 20, 30, 40, 50, 60]


def test_a_data_set_without_length_has_no_planned_epochs(tmp_path):
    run, _ = load(tmp_path, state(num_train_epochs=9223372036854775807))
    assert run.info.planned_epochs is None
    assert "num_train_epochs" not in run.info.hyperparameters


@pytest.mark.parametrize(
    ("name", "series", "best", "mode"),
    [("eval_loss", EVALS, 0.7, "min"), ("eval_f1", [0.1, 0.5, 0.3, 0.2, 0.2, 0.2], 0.5, "max")],
)
def test_monitor_and_mode_follow_from_the_best_metric(tmp_path, name, series, best, mode):
    run, _ = load(tmp_path, state(history(series, name=name), best_metric=best))
    assert run.info.monitor == name
    assert run.info.modes == {name: mode}


def test_of_two_metrics_the_one_that_had_the_best_value_at_that_step(tmp_path):
    rows = [{**row, "eval_wer": 12.5 - 0.1 * row["step"]} if "eval_loss" in row else row for row in history()]
    run, _ = load(tmp_path, state(rows, best_metric=6.5, best_global_step=60))
    assert run.info.monitor == "eval_wer"
    assert run.info.modes == {"eval_wer": "min"}


@pytest.mark.parametrize("best", [0.3, None, "NaN", float("nan")])
def test_a_best_metric_that_no_eval_has_states_nothing(tmp_path, best):
    run, _ = load(tmp_path, state(best_metric=best))
    assert run.info.monitor is None
    assert not run.info.modes


def test_a_flat_metric_states_no_mode(tmp_path):
    run, _ = load(tmp_path, state(history([0.5] * 6), best_metric=0.5))
    assert run.info.monitor == "eval_loss"
    assert not run.info.modes


def early(counter, patience=3, stopping=False):
    return {
        "EarlyStoppingCallback": {
            "args": {"early_stopping_patience": patience, "early_stopping_threshold": 0.0},
            "attributes": {"early_stopping_patience_counter": counter},
        },
        "TrainerControl": {"args": {"should_training_stop": stopping}, "attributes": {}},
    }


def test_what_stopped_it(tmp_path):
    def stopped(**fields):
        return load(tmp_path, state(**fields))[0].info.stopped_by

    assert stopped(stateful_callbacks=early(3)) == "EarlyStoppingCallback (patience 3)"
    assert stopped(stateful_callbacks=early(1)) is None
    assert (
        stopped(stateful_callbacks=early(1, stopping=True)) == "EarlyStoppingCallback (patience 3)"
    )  # the counter was saved before it was updated
    assert stopped(stateful_callbacks=early(3), global_step=100) is None  # it came to its end
    assert (
        stopped(stateful_callbacks={"TrainerControl": {"args": {"should_training_stop": True}}})
        == "a callback (should_training_stop)"
    )
    assert (
        stopped(stateful_callbacks={"EarlyStoppingCallback": [early(4)["EarlyStoppingCallback"]]})
        == "EarlyStoppingCallback (patience 3)"
    )
    assert stopped(stateful_callbacks="nonsense") is None


def test_which_evals_were_saved(tmp_path):
    def saved(folder, **fields):
        run, _ = load(tmp_path / folder, state(**{"save_steps": 20, "eval_steps": 10, **fields}))
        return values(run, "saved") if "saved" in run.columns else None

    assert saved("checkpoint-60") == [0, 1, 0, 1, 0, 1]
    assert saved("out") == [0, 1, 0, 1, 0, 1]
    assert saved("checkpoint-57", global_step=60) is None  # another strategy than save_steps wrote this one
    assert saved("out", eval_steps=500, save_steps=500) is None  # the defaults, where evals come by epoch
    assert saved("out", eval_steps=None, save_steps=20, best_model_checkpoint="x\\checkpoint-40\\") == [
        0,
        1,
        0,
        1,
        0,
        1,
    ]
    assert saved("out", save_steps=0.2) == [0, 1, 0, 1, 0, 1]  # a share of max_steps
    assert saved("out", save_steps=None) is None


@pytest.mark.parametrize(
    "rows", [[{"step": 10, "loss": 1.0}, {"step": 20, "loss": 0.9}], [{"step": 100, "loss": 1.0}]]
)
def test_without_evals_it_says_what_would_have_logged_them(tmp_path, rows):
    run, problems = load(tmp_path, state(rows))
    assert not problems
    assert len(run) == 0
    assert sentence(run.info.eval_hint).startswith("set eval_strategy='steps', eval_steps=")


def test_rows_that_are_odd_are_passed_over(tmp_path):
    rows = [
        None,
        3,
        {},
        {"step": None, "eval_loss": 1.0, "epoch": None},
        {"step": 10, "eval_loss": None, "eval_f1": "0.5"},
        *history(),
    ]
    run, _ = load(tmp_path, state(rows))
    assert values(run, "eval_loss") == EVALS


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_that_is_cut_off_keeps_its_good_entries(tmp_path, indent):
    text = json.dumps(state(best_metric=0.7), indent=indent, sort_keys=True)
    run, (problem,) = load(tmp_path, text[: text.index('"eval_loss": 0.75')])
    assert values(run, "eval_loss") == EVALS[:3]
    assert "cut off at character" in problem
    assert "7 entries before are kept" in problem
    assert run.info.monitor == "eval_loss"


def test_python_text_in_the_middle_is_named(tmp_path):
    text = json.dumps(state(), indent=2).replace("0.75", "np.float32(0.75)")
    run, (problem,) = load(tmp_path, text)
    assert values(run, "eval_loss") == EVALS[:3]
    assert "np.float32(" in problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cut off"),
        ("{", "cut off"),
        ('{"log_history": [', "cut off"),
        ("[]", "a JSON list instead"),
        ("{}", "no log_history"),
        ('{"log_history": 3}', "no log_history"),
        ('{"log_history": []}', "nothing was logged"),
        ('{"log_history": [{"step": 1}]}', "nothing was logged"),
        ("[" * 100000, ""),
        ("hello", ""),
    ],
)
def test_files_without_anything_usable_say_why(tmp_path, content, said):
    path = tmp_path / "trainer_state.json"
    path.write_text(content)
    text = refusal(FORMAT, path)
    assert text.startswith(f"{path}: ")
    assert said in text


def test_recognised_by_content_only(tmp_path):
    head = json.dumps(state(), indent=2).encode()
    assert FORMAT.sniff(tmp_path / "anything.txt", head)
    assert FORMAT.sniff(tmp_path / "anything.txt", json.dumps(state()).encode())
    assert FORMAT.sniff(tmp_path / "trainer_state.json", b'{"best_m')
    assert not FORMAT.sniff(tmp_path / "trainer_state.json", b"not JSON")
    assert not FORMAT.sniff(tmp_path / "other.json", b'{"global_step": 3}')
    swift = b'{"loss": 1.0, "global_step/max_steps": "1/9"}\n{"log_history": [], "global_step": 9}\n'
    assert not FORMAT.sniff(tmp_path / "logging.jsonl", swift)


def test_numbers_that_were_written_as_text(tmp_path):
    rows = [{name: str(value) for name, value in row.items()} for row in history()]
    rows[1]["eval_loss"] = "tensor(0.9, device='cuda:0')"
    run, problems = load(tmp_path, state(rows))
    plain, _ = load(tmp_path, state(history()))
    assert not problems
    assert run.steps.tolist() == plain.steps.tolist()
    assert run.columns["eval_loss"].values[1:].tolist() == plain.columns["eval_loss"].values[1:].tolist()
    assert run.columns["eval_loss"].values[0] == 0.9


def test_a_metric_with_parts(tmp_path):
    rows = [
        {"step": step, "epoch": step / 10, "eval_recall": {"at_1": step / 100, "at_5": {"strict": step / 50}}}
        for step in (10, 20, 30)
    ]
    run, _ = load(tmp_path, state(rows))
    assert run.metrics == ("eval_recall/at_1", "eval_recall/at_5/strict")
    assert curve(run, "eval_recall/at_5/strict") == {10: 0.2, 20: 0.4, 30: 0.6}


@pytest.mark.parametrize("indent", [None, 1])
def test_the_log_history_alone(tmp_path, indent):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(history(), indent=indent))
    assert sniff(path) is FORMAT
    (run,), problems = FORMAT.load([path], "run")
    assert not problems
    assert run.metrics == load(tmp_path, state(history()))[0].metrics
    whole = path.read_text()
    path.write_text(whole[: len(whole) * 2 // 3])
    (part,), (problem,) = FORMAT.load([path], "run")
    assert 0 < len(part) < len(run)
    assert "the file is cut off at character" in sentence(problem)


def test_a_list_of_other_objects_is_no_history(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('[{"step": 1, "text": "a"}, {"step": 2, "epoch": 1}]')
    assert sniff(path) is not FORMAT


def test_evals_without_a_metric_are_told_apart_from_no_evals(tmp_path):
    rows = [{name: value for name, value in row.items() if name != "eval_loss"} for row in history()]
    run, _ = load(tmp_path, state(rows))
    said = sentence(run.info.eval_hint)
    assert said.startswith("6 evals ran (their duration is logged), but none of them gave a loss")
    assert "label_names" in said


@pytest.mark.parametrize(
    ("name", "values", "best", "wrong"),
    [
        ("eval_wer", [0.9, 0.5, 0.4, 0.45], 0.9, {"eval_wer": "max"}),
        ("eval_accuracy", [0.3, 0.5, 0.6, 0.55], 0.3, {"eval_accuracy": "min"}),
        ("eval_loss", [-0.9, -0.5, -0.4, -0.45], -0.4, {}),  # a loss with its sign turned over
        ("eval_score", [0.9, 0.5, 0.4, 0.45], 0.4, {}),  # a score may be anything
    ],
)
def test_a_trainer_that_kept_its_worst_checkpoint(tmp_path, name, values, best, wrong):
    rows = [{"step": 10 * (at + 1), "epoch": at + 1.0, name: value} for at, value in enumerate(values)]
    run, _ = load(tmp_path, state(rows, best_metric=best))
    assert run.info.monitor == name
    assert run.info.contradicted_modes == wrong
    assert bool(run.info.modes) is not bool(wrong)


@pytest.mark.parametrize(
    ("epoch", "epochs", "steps", "cut"),
    [
        (1.8, 4, 180, True),  # the steps of what was trained, and not of the plan
        (3.0, 4, 300, True),
        (2.9, 3, 290, False),  # max_steps within the last epoch
        (2.96, 3, 222, False),
        (48.0, 60, 60, False),  # 5 batches per epoch, of which 4 make a step
        (3.0, 3, 300, False),
        (4.98, 5, 217, False),
    ],
)
def test_epochs_that_contradict_the_planned_steps(tmp_path, epoch, epochs, steps, cut):
    history = [
        {"step": step, "epoch": epoch * step / steps, "eval_loss": 1 / step}
        for step in range(steps // 6, steps + 1, steps // 6)
    ]
    state = {"global_step": steps, "max_steps": steps, "num_train_epochs": epochs, "epoch": epoch}
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({**state, "log_history": history}), encoding="utf-8")
    (run,) = read(tmp_path).runs
    found = censoring(run)
    assert (found is not None) == cut
    if found is not None:
        assert (found.unit, found.planned) == ("epoch", epochs)
        assert found.reached == pytest.approx(epoch, rel=0.01)


@pytest.mark.parametrize("as_state", [True, False])
def test_a_comma_behind_the_last_row_loses_nothing(tmp_path, as_state):
    rows = "".join(
        f'{{"step": {step}, "epoch": {step / 9}, "eval_loss": {1 / step}}},\n' for step in (1, 2, 4)
    )
    text = f'{{"log_history": [\n{rows}], "max_steps": 4}}' if as_state else f"[\n{rows}]"
    (tmp_path / "trainer_state.json").write_text(text, encoding="utf-8")
    result = read(tmp_path)
    assert not result.findings
    (run,) = result.runs
    assert curve(run, "eval_loss") == {1: 1.0, 2: 0.5, 4: 0.25}
    assert not run.info.cut_off
    assert run.info.planned_steps == (4 if as_state else None)
