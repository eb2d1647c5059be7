"""The dicts of transformers' Trainer between its bars: where their steps come from, and what is no step."""

import textwrap

import pytest

from replay.data.censoring import CensoringKind, censoring
from replay.data.finding import Kind
from tests.readers.columns import curve
from tests.readers.text.printing import bar, run_of, runs_of

STEPS = (50, 100, 150, 200, 250, 300)
LOSS = {step: round(2.5 - step / 250 + (step - 200) ** 2 / 50_000, 4) for step in STEPS}


def entry(step, *, per_epoch=100, digits=None, **values):
    """A dict of a step: numbers as of version 4, or text of some digits as of version 5."""
    epoch = step / per_epoch
    values["epoch"] = round(epoch, 2) if digits is None else epoch
    if digits is None:
        return str(values)
    return str({name: f"{value:.{digits}g}" for name, value in values.items()})


def evals(**more):
    return {step: entry(step, eval_loss=LOSS[step], eval_runtime=1.5, **more) for step in STEPS}


def trained(**more):
    return {
        step: entry(step, loss=LOSS[step] + 0.1, grad_norm=0.5, learning_rate=1e-4, **more) for step in STEPS
    }


SUMMARY = "{'train_runtime': 33.5, 'train_samples_per_second': 7.5, 'train_loss': 1.9, 'epoch': 3.0}"


def test_the_bar_before_an_entry(tmp_path):
    """As `2>&1 | tee` shows it: the bar is drawn, then the entry is flushed on the same line."""
    parts = [bar(0, 300)]
    for step, text in evals().items():
        parts += [
            bar(step - 3, 300),
            bar(step, 300),
            trained()[step],
            "\n",
            bar(0, 7),
            bar(7, 7),
            bar(step, 300),
            text,
            "\n",
        ]
    run = run_of(tmp_path, "".join([*parts, bar(300, 300), "\n", SUMMARY, "\n"]))
    assert curve(run, "eval_loss") == LOSS
    assert run.train["loss"].step.tolist() == list(STEPS)
    assert curve(run, "epoch") == {step: step / 100 for step in STEPS}
    assert curve(run, "eval_seconds") == dict.fromkeys(STEPS, 1.5)
    assert run.info.planned_steps == run.trained_steps == 300
    assert run.info.train_runtime == 33.5
    assert censoring(run) is None


def test_the_bar_after_an_entry(tmp_path):
    """As an unbuffered stream shows it: the bar before an entry is old, and the one after it is right."""
    parts = [bar(0, 300)]
    for step, text in evals().items():
        parts += [bar(step - 3, 300), "\r" + " " * 60 + "\r", text, "\n", bar(step, 300)]
    assert curve(run_of(tmp_path, "".join(parts)), "eval_loss") == LOSS


def test_entries_that_were_flushed_late(tmp_path):
    """A buffered stream prints several entries at once, beside a bar that is far ahead of them."""
    texts = list(evals().values())
    parts = [bar(0, 300), bar(200, 300), *(f"{text}\n" for text in texts[:4]), bar(300, 300)]
    parts += [f"{text}\n" for text in [*texts[4:], SUMMARY]]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval_loss") == LOSS
    assert run.info.planned_steps == 300


@pytest.mark.parametrize(
    "banner",
    [
        "***** Running training *****\n  Num Epochs = 3\n  Total optimization steps = 300\n",
        "   \\\\   /|    Num examples = 800 | Num Epochs = 3 | Total steps = 300\n",
    ],
)
def test_steps_per_epoch_of_a_banner(tmp_path, banner):
    """No bar at all, and the training was killed."""
    lines = [*evals(digits=4).values()][:4]
    run = run_of(tmp_path, banner + "".join(f"{line}\n" for line in lines))
    assert curve(run, "eval_loss") == pytest.approx({step: LOSS[step] for step in STEPS[:4]}, rel=5e-4)
    assert run.info.planned_steps == 300
    assert censoring(run).kind is CensoringKind.CUT_SHORT


def test_without_bar_and_banner_the_epochs_count(tmp_path):
    run = run_of(tmp_path, "".join(f"{line}\n" for line in [*evals().values(), SUMMARY]))
    assert curve(run, "eval_loss") == {step / 100: loss for step, loss in LOSS.items()}
    assert run.info.step_unit == "epoch"
    assert run.info.planned_steps is None


def test_a_rounded_epoch_leaves_some_steps_and_the_logging_interval_tells_which(tmp_path):
    """At 1170 steps an epoch, two decimals of an epoch are 12 steps."""
    steps = range(100, 3501, 100)
    lines = [entry(step, per_epoch=1170, eval_loss=2 - step / 5000) for step in steps]
    lines.append(entry(3510, per_epoch=1170, eval_loss=1.25))
    text = "Num Epochs = 3 | Total steps = 3,510\n" + "".join(f"{line}\n" for line in lines)
    run = run_of(tmp_path, text)
    assert run.steps.tolist() == [*steps, 3510]
    assert not run.info.findings
    irregular = [
        entry(step, per_epoch=1170, eval_loss=2 - step / 5000) for step in (93, 331, 1033, 2011, 2777)
    ]
    run = run_of(
        tmp_path, "Num Epochs = 3 | Total steps = 3,510\n" + "".join(f"{line}\n" for line in irregular)
    )
    assert run.steps == pytest.approx([93, 331, 1033, 2011, 2777], abs=6)
    (note,) = run.info.findings
    assert note["off"] == 7


@pytest.mark.parametrize("per_epoch", [583, 585, 587, 1171])
def test_an_eval_at_the_end_of_each_epoch(tmp_path, per_epoch):
    lines = [entry(step, per_epoch=per_epoch, loss=2 / step) for step in range(500, 3 * per_epoch, 500)]
    for epoch in (1, 2, 3):
        lines.append(entry(epoch * per_epoch, per_epoch=per_epoch, eval_loss=1 / epoch))
    text = f"Num Epochs = 3 | Total steps = {3 * per_epoch:,}\n" + "".join(f"{line}\n" for line in lines)
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == {per_epoch * epoch: 1 / epoch for epoch in (1, 2, 3)}
    assert not run.info.findings


def test_two_evals_leave_a_doubt(tmp_path):
    """200 and 400 are the roundest steps that fit; others do as well."""
    lines = [entry(step, per_epoch=585, eval_loss=1 / step) for step in (200, 400)]
    run = run_of(tmp_path, "Num Epochs = 3 | Total steps = 1,755\n" + "".join(f"{line}\n" for line in lines))
    assert run.steps.tolist() == [200, 400]
    (note,) = run.info.findings
    assert note["off"] == 4


def test_a_callback_that_ended_the_training(tmp_path):
    parts = [bar(0, 1000)]
    for step, text in evals().items():
        parts += [bar(step, 1000), text, "\n"]
    run = run_of(tmp_path, "".join([*parts, bar(300, 1000), SUMMARY, "\n"]))
    assert run.info.stopped_by == "a callback (should_training_stop)"
    assert censoring(run).kind is CensoringKind.STOPPED_EARLY


def test_a_resumed_training(tmp_path):
    """Killed at step 250 and resumed from a checkpoint of step 150: the later process counts."""
    first, second = [bar(0, 300)], [bar(0, 300)]
    for step in STEPS[:5]:
        first += [bar(step, 300), evals()[step], "\n"]
    for step in STEPS[3:]:
        second += [bar(step, 300), entry(step, eval_loss=LOSS[step] - 0.5), "\n"]
    run = run_of(tmp_path, "".join(first + second))
    later = {step: loss - 0.5 if step > 150 else loss for step, loss in LOSS.items()}
    assert curve(run, "eval_loss") == pytest.approx(later)
    assert run.info.resumes == (200,)


def test_trainings_one_after_another(tmp_path):
    """The second logs more rarely, so that its first step is no first step of the one before."""
    parts = []
    for planned, chosen in ((300, STEPS), (200, (100, 200))):
        parts.append(bar(0, planned))
        for step in chosen:
            parts += [bar(step, planned), evals()[step], "\n"]
        parts += [bar(planned, planned), SUMMARY.replace("3.0", str(planned / 100)), "\n"]
    runs, _ = runs_of(tmp_path, "".join(parts))
    assert [run.id for run in runs] == ["run#1", "run#2"]
    assert [run.steps.tolist() for run in runs] == [list(STEPS), [100, 200]]
    assert [run.info.planned_steps for run in runs] == [300, 200]
    assert {run.info.group for run in runs} == {"run"}


def test_entries_without_an_epoch(tmp_path):
    parts = [bar(0, 300)]
    for step in STEPS:
        parts += [bar(step, 300), str({"eval_loss": LOSS[step], "eval_accuracy": 0.5}), "\n"]
    assert curve(run_of(tmp_path, "".join(parts)), "eval_loss") == LOSS
    lines = [str({"step": step, "eval_loss": LOSS[step], "note": "ok"}) for step in STEPS]
    assert curve(run_of(tmp_path, "\n".join([*lines, ""])), "eval_loss") == LOSS


def test_values_as_numpy_and_torch_show_them(tmp_path):
    lines = [
        f"{{'eval_loss': tensor({LOSS[step]}, device='cuda:0'), 'eval_f1': np.float64(0.5{step}),"
        " 'eval_x': None,"
        f" 'eval_nan': nan, 'step': {step}}}\n"
        for step in STEPS
    ]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run, "eval_loss") == LOSS
    assert curve(run, "eval_f1")[50] == 0.550
    assert "eval_x" not in run.columns
    assert run.columns["eval_nan"].present.all()


def test_several_eval_sets(tmp_path):
    """Each set has a line of its own."""
    parts = [bar(0, 300)]
    for step in STEPS:
        for name in ("short", "long"):
            values = {f"eval_{name}_loss": LOSS[step], f"eval_{name}_runtime": 2.0}
            parts += [bar(step, 300), entry(step, **values), "\n"]
    run = run_of(tmp_path, "".join(parts))
    assert run.metrics == ("eval_short_loss", "eval_long_loss")
    assert curve(run, "eval_long_loss") == LOSS
    assert curve(run, "eval_seconds") == dict.fromkeys(STEPS, 4.0)


def test_rounding_that_makes_ties_is_noted(tmp_path):
    """The third value is below the second in full, and equal to it as it was printed."""
    values = [1.5, 1.25004, 1.24996, 1.3]
    lines = [entry(step, digits=4, eval_loss=loss) for step, loss in zip(STEPS, values, strict=False)]
    run = run_of(tmp_path, "\n".join([*lines, ""]))
    (note,) = run.info.findings
    assert (note["metric"], note["ties"], note["evals"], note["digits"]) == ("eval_loss", 1, 4, 3)


def test_other_dicts_are_not_entries(tmp_path):
    """Settings, samples of a data set, and results without a place."""
    text = "".join(
        f"{{'learning_rate': 0.1, 'epochs': {step}, 'loss': 'mse'}}\n{{'input_ids': [1, 2]}}\n{line}\n"
        for step, line in evals().items()
    )
    run = run_of(tmp_path, text)
    assert set(run.columns) == {"step", "eval_loss", "eval_seconds"}
    assert len(run) == len(STEPS)


def shared(per_epoch, every, **more):
    """Entries whose epochs have two decimals and lie closer than that."""
    return [
        str({"eval_loss": round(1 / (1 + step), 6), "epoch": round(step / per_epoch, 2), **more})
        for step in range(every, 30 * every + 1, every)
    ]


@pytest.mark.parametrize(("per_epoch", "every"), [(50_000, 100), (15_000, 100), (1000, 9)])
def test_evals_that_print_the_same_rounded_epoch(tmp_path, per_epoch, every):
    run = run_of(tmp_path, "\n".join([*shared(per_epoch, every), SUMMARY.replace("3.0", "0.06"), ""]))
    steps = range(every, 30 * every + 1, every)
    assert run.columns["eval_loss"].values.tolist() == [round(1 / (1 + step), 6) for step in steps]
    assert run.steps == pytest.approx([step / per_epoch for step in steps], abs=0.005)
    (note,) = run.info.findings
    assert note.kind is Kind.SHARED_EPOCHS
    banner = f"Num Epochs = 1 | Total steps = {per_epoch:,}\n"
    run = run_of(tmp_path, banner + "\n".join([*shared(per_epoch, every), ""]))
    assert run.columns["eval_loss"].values.tolist() == [round(1 / (1 + step), 6) for step in steps]
    assert run.steps == pytest.approx(list(steps), abs=0.005 * per_epoch)


def test_the_train_entries_between_them(tmp_path):
    lines = []
    for step in range(10, 1001, 10):
        at = {"epoch": round(step / 50_000, 2)}
        lines.append(str({"loss": step, **at}))
        if step % 100 == 0:
            lines.append(str({"eval_loss": 1 / step, **at}))
    run = run_of(tmp_path, "\n".join([*lines, ""]))
    assert len(run.train["loss"].step) == 100
    assert run.columns["train_loss"].values.tolist() == pytest.approx(
        [sum(range(last - 90, last + 1, 10)) / 10 for last in range(100, 1001, 100)]
    )


def test_an_eval_of_the_kept_checkpoint_at_the_end_is_no_further_one(tmp_path):
    lines = [*shared(50_000, 100), SUMMARY.replace("3.0", "0.06"), str({"eval_loss": 0.5, "epoch": 0.06})]
    assert len(run_of(tmp_path, "\n".join([*lines, ""]))) == 30
    lines = [entry(step, eval_loss=LOSS[step]) for step in (*STEPS, STEPS[-1])]
    assert len(run_of(tmp_path, "\n".join([*lines, ""]))) == len(STEPS)


@pytest.mark.parametrize("last", [2, 4, 1])
def test_two_sets_in_turn_under_the_same_keys(tmp_path, last):
    """Matched and mismatched, each with a dict; at the end both again, or only the first."""
    lines = []
    for step in STEPS:
        lines.append(entry(step, loss=1.0))
        for number in range(last if step == STEPS[-1] else 2):
            far = 0.25 * (number % 2)
            lines.append(entry(step, eval_loss=LOSS[step] + far, eval_accuracy=0.5 + step / 1000))
    (run,), said = runs_of(tmp_path, "\n".join([*lines, ""]))
    assert said == []
    steps = STEPS if last > 1 else STEPS[:-1]
    assert curve(run, "eval_loss (1st of 2)") == {step / 100: LOSS[step] for step in steps}
    assert curve(run, "eval_loss (2nd of 2)") == {step / 100: LOSS[step] + 0.25 for step in steps}
    assert "eval_accuracy (2nd of 2)" in run.metrics
    assert [note.kind for note in run.info.findings] == [Kind.INTERLEAVED_SETS] * 2


@pytest.mark.parametrize(
    "show",
    [
        "\r{share}%|{hashes}| {done}/300 [00:07<01:03,  2.86it/s]",
        "\r{share}% {done}/300 [00:07<01:03,  2.86it/s]",
        "\r {done}/300 [00:07<01:03,  2.86s/it]",
        "\r[ {done}/300 00:07 < 01:03, 2.86 it/s, Epoch 0.50/3]",
    ],
)
def test_bars_of_other_signs_or_none(tmp_path, show):
    parts = []
    for step, text in evals().items():
        parts.append(show.format(share=step // 3, hashes="#" * 4 + "5     ", done=step) + f"\n{text}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval_loss") == LOSS
    assert run.info.planned_steps == 300


def hard(text, width):
    return [text[at : at + width] for at in range(0, len(text), width)]


@pytest.mark.parametrize(
    "lay_out",
    [
        lambda text: hard(text, 80),
        lambda text: hard(text, 60),
        lambda text: hard(text, 43),
        lambda text: textwrap.wrap(text, 80),
        lambda text: textwrap.wrap(text, 50, subsequent_indent=" " * 12),
        lambda text: textwrap.wrap("2026-01-01 10:00:00 INFO " + text, 70),
        lambda text: text.replace("{", "{\n  ").replace(", ", ",\n  ").replace("}", "\n}").splitlines(),
        lambda text: text.replace(", ", ",\n ").splitlines(),
        lambda text: [f"2026-01-01 10:00:00 {part}" for part in hard(text, 60)],
    ],
)
def test_dicts_that_were_wrapped(tmp_path, lay_out):
    more = {"eval_accuracy": 0.515625, "eval_samples_per_second": 31.234, "eval_steps_per_second": 3.9}
    lines = ["begin of the training"]
    for step in STEPS:
        lines += lay_out(trained()[step])
        lines += lay_out(entry(step, eval_loss=LOSS[step], eval_runtime=1.5, **more))
    run = run_of(tmp_path, "\n".join([*lines, ""]))
    assert curve(run, "eval_loss") == {step / 100: loss for step, loss in LOSS.items()}
    assert set(curve(run, "eval_accuracy").values()) == {0.515625}
    assert len(run.train["loss"].step) == len(STEPS)


def test_a_dict_that_never_ends_hides_nothing(tmp_path):
    lines = ["settings = {'lr': 0.1,", "'epochs': 3", "and so on: see the file", *evals().values()]
    assert len(run_of(tmp_path, "\n".join([*lines, ""]))) == len(STEPS)
    loop = [f"epoch {n}: val_loss 0.{n}5" for n in (1, 2, 3)]
    assert curve(run_of(tmp_path, "\n".join(["model = {", *loop, ""]))) == {1: 0.15, 2: 0.25, 3: 0.35}


def test_metrics_beside_those_of_an_evaluation(tmp_path):
    """simpletransformers gives the names of its metrics no set."""
    text = "".join(
        f"{{'global_step': {step}, 'eval_loss': {1 / step}, 'mcc': {step / 100}}}\n" for step in (20, 30, 40)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == {step: 1 / step for step in (20, 30, 40)}
    assert curve(run, "mcc") == {step: step / 100 for step in (20, 30, 40)}


def test_a_metric_that_the_training_logs_too_is_of_the_training(tmp_path):
    text = "".join(
        f"{{'loss': 0.5, 'accuracy': 0.6, 'epoch': {epoch}.0}}\n"
        f"{{'eval_loss': {1 / epoch}, 'accuracy': 0.7, 'epoch': {epoch}.0}}\n"
        for epoch in (1, 2, 4)
    )
    assert run_of(tmp_path, text).metrics == ("eval_loss",)


@pytest.mark.parametrize("head", ["Epoch {} of 4: ", "epoch {}/4 - ", "Epoch {}: eval "])
def test_a_dict_behind_its_epoch(tmp_path, head):
    text = "".join(
        head.format(epoch) + f"{{'mcc': {epoch / 8}, 'eval_loss': {1 / epoch}}}\n" for epoch in (1, 2, 4)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == {epoch: 1 / epoch for epoch in (1, 2, 4)}
    assert curve(run, "eval_mcc") == {epoch: epoch / 8 for epoch in (1, 2, 4)}
