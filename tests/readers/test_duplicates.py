"""One run is counted once, whatever it is written in; different runs are never merged."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run, Series
from replay.readers import duplicates, read
from replay.readers.duplicates import Entry, merge
from tests.conftest import curve, write_log


def entry(values, folder="a", rank=0, step=100, meta=None, name="eval_loss", **more):
    steps = np.arange(1, len(values) + 1) * float(step)
    return Entry(Run(folder, {"step": steps, name: values, **more}, meta or {}), Path(folder), rank)


def state(folder, evals, *, planned=1000, name="eval_loss", **more):
    folder.mkdir(parents=True, exist_ok=True)
    history = [
        {"step": 10 * number, "epoch": number / 4, name: value} for number, value in enumerate(evals, 1)
    ]
    (folder / "trainer_state.json").write_text(
        json.dumps({"global_step": 10 * len(evals), "max_steps": planned, "log_history": history, **more}),
        encoding="utf-8",
    )


LONG = curve(3, 12)


def test_checkpoints_are_prefixes_of_their_run(tmp_path):
    for size in (3, 8, 12):
        state(tmp_path / f"checkpoint-{10 * size}", LONG[:size])
    found = read(tmp_path)
    assert [(run.id, len(run)) for run in found.runs] == [("checkpoint-120", 12)]
    assert sorted(found.duplicates) == [
        ("checkpoint-30/trainer_state.json", "checkpoint-120"),
        ("checkpoint-80/trainer_state.json", "checkpoint-120"),
    ]


def test_one_output_folder_used_by_two_runs_stays_two_runs(tmp_path):
    state(tmp_path / "checkpoint-600", curve(1, 10))
    state(tmp_path / "checkpoint-610", curve(2, 11))
    assert len(read(tmp_path).runs) == 2


def test_a_checkpoint_from_before_a_resume_is_of_the_same_run(tmp_path):
    state(tmp_path / "checkpoint-80", LONG[:8])
    state(tmp_path / "checkpoint-120", [*LONG[:6], *(value + 0.01 for value in LONG[6:])])
    (run,) = read(tmp_path).runs
    assert (len(run), run.info.resumes) == (12, (70.0,))


def test_runs_that_begin_alike_stay_apart():
    same = [2.0, 1.5]
    assert merge([entry([*same, 1.2, 1.1], "a"), entry([*same, 1.3, 1.1], "b")])[1] == []


def test_of_equal_runs_the_format_that_tells_most_is_kept():
    kept, pairs = merge([entry(LONG, "a", rank=2), entry(LONG, "a", rank=0), entry(LONG, "a", rank=1)])
    assert list(kept) == [1]
    assert pairs == [(0, 1), (2, 1)]


def test_the_longest_is_kept_before_the_format():
    assert merge([entry(LONG[:6], "a", rank=0), entry(LONG, "a", rank=3)])[0].keys() == {1}


def test_a_run_with_more_metrics_is_kept():
    rich = entry(LONG, "a", rank=3, eval_acc=[value / 3 for value in LONG])
    kept, pairs = merge([entry(LONG, "a", rank=0), rich])
    assert (list(kept), pairs) == ([1], [(0, 1)])


def test_names_do_not_matter():
    assert merge([entry(LONG, "a", name="eval_loss"), entry(LONG, "b", name="validation/epoch_loss")])[1] == [
        (1, 0)
    ]


def test_float32_and_printed_digits_are_equal_enough():
    plain = entry(LONG, "a")
    assert merge([plain, entry(np.float32(LONG).astype(float), "b")])[1]
    assert merge([plain, entry([round(value, 8) for value in LONG], "b")])[1]
    assert merge([plain, entry([float(f"{value:.5g}") for value in LONG], "b")])[1]
    assert not merge([plain, entry([value * (1 + 1e-4) for value in LONG], "b")])[1]


def test_nan_and_infinity_are_values():
    values = [1.0, float("nan"), 0.7, float("inf"), 0.5, 0.4]
    assert merge([entry(values, "a"), entry(values[:5], "b")])[1] == [(1, 0)]
    assert not merge([entry(values, "a"), entry([1.0, 0.8, 0.7, float("inf"), 0.5], "b")])[1]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.4], [0.5] * 9, [float("nan")] * 5])
def test_what_could_be_anyones_needs_the_same_training_folder(values):
    assert not merge([entry(values, "logs/a"), entry(values, "logs/b")])[1]
    assert merge([entry(values, "logs/a"), entry(values, "logs/a/runs/Nov25_host")])[1]
    assert merge([entry(values, "logs/a/checkpoint-5"), entry(values, "logs/a/checkpoint-9")])[1]
    other = entry(values, "logs/a", name="eval_accuracy")
    assert not merge([entry(values, "logs/a"), other])[1]


def test_runs_without_evals_are_told_by_their_train_loss():
    def train(loss, folder):
        steps = np.arange(1, len(loss) + 1) * 5.0
        series = {"loss": Series(steps, np.array(loss)), "lr": Series(steps, np.linspace(1, 0, len(loss)))}
        return Entry(Run(folder, {"step": []}, {}, series), Path(folder), 0)

    assert merge([train(LONG, "a"), train(LONG[:7], "b")])[1] == [(1, 0)]
    assert not merge([train(LONG, "a"), train([value + 0.01 for value in LONG], "b")])[
        1
    ]  # the same schedule is not the same run
    whole = entry(LONG[:3], "c")
    whole.run = whole.run.replace(train={"train/loss": Series(np.arange(1, 13) * 5.0, np.array(LONG))})
    assert merge([whole, train(LONG, "a")])[1] == [(1, 0)]


def test_what_only_the_duplicate_knows_is_added():
    kept = entry(LONG, "a", rank=0)
    other = entry(
        LONG,
        "a",
        rank=1,
        meta={
            "planned_steps": 5000,
            "train_runtime": 60.0,
            "hyperparameters": {"rank": 8},
            "stopped_by": "x",
            "modes": {"eval/loss": "min", "eval/other": "max"},
        },
    )
    other.run = other.run.replace(columns={**other.run.columns, "wall_seconds": other.run.columns["step"]})
    (run,) = merge([kept, other])[0].values()
    info = run.info
    assert (info.planned_steps, info.train_runtime, info.hyperparameters, info.stopped_by) == (
        5000,
        60.0,
        {"rank": 8},
        "x",
    )
    assert info.modes == {"eval_loss": "min"}
    assert run.columns["wall_seconds"].values.tolist() == run.steps.tolist()


def test_a_checkpoint_does_not_know_how_the_run_ended():
    kept = entry(LONG, "a", meta={"hyperparameters": {"seed": 1}})
    checkpoint = entry(
        LONG[:5],
        "a",
        meta={
            "planned_steps": 5000,
            "train_runtime": 9.0,
            "stopped_by": "x",
            "hyperparameters": {"seed": 2, "rank": 8},
        },
    )
    (run,) = merge([kept, checkpoint])[0].values()
    assert run.info.stated() == {"hyperparameters": {"seed": 1, "rank": 8}, "planned_steps": 5000}


def test_a_copied_log_counts_once(tmp_path):
    write_log(tmp_path / "run", curve(1))
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "copy.jsonl").write_bytes((tmp_path / "run" / "eval_log.jsonl").read_bytes())
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert len(found.duplicates) == 1


def test_of_a_thousand_runs_of_one_schedule_few_pairs_are_compared(monkeypatch):
    rng = np.random.default_rng(0)
    entries = []
    for number in range(1000):
        values = np.concatenate(
            [[2.5], 0.3 + np.exp(-np.arange(99) / 30) + rng.normal(0, 0.02, 99)]
        )  # all begin with the same eval
        entries.append(entry(values, f"run{number}", eval_acc=np.round(1 - values / 3, 4)))
        if number % 10 == 0:
            entries.append(
                entry(values[:50], f"run{number}/checkpoint-5000", eval_acc=np.round(1 - values[:50] / 3, 4))
            )
    compared = []
    is_in = duplicates._is_in
    monkeypatch.setattr(
        duplicates, "_is_in", lambda *args, **options: compared.append(args) or is_in(*args, **options)
    )
    kept, pairs = merge(entries)
    assert len(compared) < 20 * len(entries)
    assert (len(kept), len(pairs)) == (1000, 100)


@pytest.mark.parametrize("copies", [False, True])
def test_hundreds_of_checkpoints_or_copies_are_not_compared_pair_by_pair(monkeypatch, copies):
    values = 0.3 + np.exp(-np.arange(300) / 60)
    entries = [
        entry(part, f"run/checkpoint-{len(part) + at}", eval_acc=np.round(1 - part / 3, 5))
        for at, part in enumerate([values] * 300 if copies else [values[:size] for size in range(3, 301)])
    ]
    entries.append(entry(np.round(values, 6), "run/tb", rank=1))  # the same run in a second format
    compared = []
    is_in = duplicates._is_in
    monkeypatch.setattr(
        duplicates, "_is_in", lambda *args, **options: compared.append(args) or is_in(*args, **options)
    )
    kept, pairs = merge(entries)
    assert len(compared) < 5 * len(entries)
    assert len(kept) == 1
    assert set(next(iter(kept.values())).metrics) == {"eval_loss", "eval_acc"}
    assert sorted(number for number, _ in pairs) == [
        number for number in range(len(entries)) if number not in kept
    ]


def test_one_eval_that_a_longer_run_has_to_many_digits_is_its_own():
    """MLflow's callback begins a second run where the model is evaluated after the training."""
    whole, last = entry(LONG, "a"), entry(LONG[-1:], "a/b", step=1200)
    assert merge([whole, last])[1] == [(1, 0)]
    other = entry([LONG[-1] + 1e-7], "a/b", step=1200)
    assert merge([whole, other])[1] == []


def test_a_checkpoint_is_compared_with_its_own_metric(tmp_path):
    """Metrics of two sets may begin alike, which is no resume."""
    for size in (4, 8):
        folder = tmp_path / f"checkpoint-{10 * size}"
        one, two = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.3, 0.4, 0.45, 0.5, 0.5]
        history = [
            {"step": 10 * at, "epoch": at / 4, "eval_a_f1": one[at - 1], "eval_b_f1": two[at - 1]}
            for at in range(1, size + 1)
        ]
        folder.mkdir()
        text = json.dumps({"global_step": 10 * size, "max_steps": 100, "log_history": history})
        (folder / "trainer_state.json").write_text(text, encoding="utf-8")
    (run,) = read(tmp_path).runs
    assert (len(run), run.info.resumes) == (8, ())


def test_seeds_of_one_table_whose_scores_are_equal_stay_apart(tmp_path):
    """Few examples make equal scores; the train losses differ."""
    rows = ["seed,epoch,loss,dev_acc"]
    rows += [
        f"{seed},{epoch},{1 / epoch + seed / 1000},{0.5 + epoch / 10}"
        for seed in (1, 2, 3)
        for epoch in range(1, 6)
    ]
    (tmp_path / "seeds.csv").write_text("\n".join([*rows, ""]))
    assert len(read(tmp_path).runs) == 3


def test_a_history_of_the_last_process_alone(tmp_path):
    """Keras' history of a resumed training has no epochs, and lacks those of the process before."""
    rows = [f"{epoch},0.5,{value!r}\n" for epoch, value in enumerate(LONG)]
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n" + "".join(rows), encoding="utf-8")
    history = tmp_path / "history.json"
    history.write_text(json.dumps({"loss": [0.5] * 5, "val_loss": LONG[-5:]}), encoding="utf-8")
    (run,) = read(tmp_path).runs
    assert run.columns["val_loss"].values.tolist() == LONG
    assert run.steps.tolist() == list(range(1, 13))
    history.write_text(json.dumps({"loss": [0.5] * 5, "val_loss": LONG[-6:-1]}), encoding="utf-8")
    assert len(read(tmp_path).runs) == 2


def test_where_a_log_of_epochs_was_resumed_is_told_in_steps():
    kept = entry(LONG, "a", step=100, epoch=np.arange(1, 13) / 4)
    note = Finding(Kind.RESUMED, Severity.NOTE, facts={"steps": (1.1,), "replaced": 2})
    meta = {"step_unit": "epoch", "resumes": (1.1,), "findings": [note]}
    other = entry(LONG, "a", rank=1, step=0.25, meta=meta)
    (run,) = merge([kept, other])[0].values()
    assert run.info.resumes == (440.0,)
    assert [one["steps"] for one in run.info.findings if one.kind is Kind.RESUMED] == [(440.0,)]


def test_logs_of_epochs_in_one_folder_are_not_compared_pair_by_pair(tmp_path, monkeypatch):
    chance, compared, ends = random.Random(0), [], duplicates._ends
    for number in range(60):
        rows = "".join(f"{epoch},{chance.random():.4f}\n" for epoch in range(1, chance.randint(9, 30)))
        (tmp_path / f"run{number}.csv").write_text(f"epoch,val_loss\n{rows}")
    monkeypatch.setattr(duplicates, "_ends", lambda *words: compared.append(words) or ends(*words))
    assert len(read(tmp_path).runs) == 60
    assert len(compared) < 60
