"""Lines of Composer, verl and CLU, and of darknet."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import run_of, runs_of

LOSSES = {20: 0.75, 40: 0.5, 60: 0.625}


@pytest.mark.parametrize("layout", ["{place}:\n\t {values}\n", "{place} {value}\n"])
def test_composer(tmp_path, layout):
    parts = []
    for step in range(10, 61, 10):
        value = f"Train loss/train/total: {step}.5"
        values = f"Train time/batch: {step - 1}\n\t {value}"
        parts.append(layout.format(place=f"[batch={step}/60]", value=value, values=values))
        if step in LOSSES:
            parts += [f"[Eval batch={n}/20] Eval on eval data:\n" for n in (1, 10, 20)]
            parts.append(f"\t Eval metrics/eval/LanguageCrossEntropy: {LOSSES[step]}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "metrics/eval/LanguageCrossEntropy") == LOSSES
    assert run.train["loss/train/total"].step.tolist() == [10, 20, 30, 40, 50, 60]
    assert run.info.planned_steps == 60


def test_the_epochs_of_composer(tmp_path):
    parts = []
    for epoch, loss in enumerate((0.75, 0.5, 0.625), 1):
        for batch in (50, 100):
            parts.append(f"[epoch={epoch}][batch={batch}/100]:\n\t Train loss/train/total: 0.5\n")
        parts.append(f"[Eval batch=20/20] Eval on eval data:\n\t Eval metrics/eval/CrossEntropy: {loss}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "metrics/eval/CrossEntropy") == {1: 0.75, 2: 0.5, 3: 0.625}
    assert run.train["loss/train/total"].step.tolist() == [0.5, 1, 1.5, 2, 2.5, 3]


def test_verl(tmp_path):
    parts = ["(TaskRunner pid=12) step:0 - val-core/MATH-500/acc/mean@1:0.25\n"]
    for step in range(10, 61, 10):
        held_out = f" - val-core/MATH-500/acc/mean@1:np.float64({LOSSES[step]})" if step in LOSSES else ""
        parts.append(
            f"(TaskRunner pid=12) step:{step} - critic/score/mean:0.5{held_out} - training/epoch:0\n"
        )
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "val-core/MATH-500/acc/mean@1") == {0: 0.25, **LOSSES}
    assert list(run.train) == ["critic/score/mean"]


def test_clu(tmp_path):
    begin = "I0101 10:00:00.123456 1234 logging_writer.py:48] "
    lines = [f"{begin}[{step - 10}] learning_rate=0.001, loss=0.5\n" for step in LOSSES]
    lines += [f"{begin}[{step}] eval/accuracy=0.5, eval/loss={loss}\n" for step, loss in LOSSES.items()]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run, "eval/loss") == LOSSES
    assert curve(run, "eval/accuracy") == dict.fromkeys(LOSSES, 0.5)


def test_collections_of_clu(tmp_path):
    """T5X names the set once, in front of all values."""
    begin = "I0101 10:00:00.123456 1234 logging_writer.py:48] "
    lines = [
        f"{begin}[{step}] collection=train accuracy=0.25, loss=0.5\n"
        f"{begin}[{step}] collection=training_eval/glue accuracy=0.5, loss={loss}\n"
        for step, loss in LOSSES.items()
    ]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run, "training_eval/glue/loss") == LOSSES
    assert set(run.train) == {"train/accuracy", "train/loss"}


def test_darknet(tmp_path):
    """Its lines begin as those of a launcher that numbers its processes do."""
    parts = []
    for step in range(1, 61):
        parts.append(
            f" {step}: {step}.5, 2.5 avg loss, 0.001000 rate, 3.2 seconds, {step * 64} images, 1 hours left\n"
            "Loaded: 0.000030 seconds\n"
        )
        if step in LOSSES:
            parts.append(f" mean average precision (mAP@0.50) = {LOSSES[step]}, or 50.00 %\n\n")
            parts.append(f" mean_average_precision (mAP@0.50) = {LOSSES[step]} \nNew best mAP!\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "val/mAP@0.50") == LOSSES
    assert len(run.train["loss"].step) == 60


def nemo(*, every=1, validates=True):
    """The value of a validation is in all lines until the next one."""
    parts, shown = [], ""
    for at in range(40):
        if at and at % 10 == 0:
            parts += [f"Validation: iteration {n}/4\n" for n in (1, 2, 3, 4)] * validates
            shown = f" | val_loss: {10 - at / 10}"
        if (at + 1) % every == 0:
            parts.append(
                f"Training epoch 0, iteration {at}/39 | lr: 3e-05 | global_batch_size: 4 | global_step: {at}"
                f" | reduced_train_loss: {10 - at / 8} | train_step_timing in s: 0.24{shown}\n"
            )
    return "".join(parts)


@pytest.mark.parametrize("every", [1, 5, 10])
@pytest.mark.parametrize("validates", [True, False])
def test_nemo_counts_steps_from_0(tmp_path, every, validates):
    run = run_of(tmp_path, nemo(every=every, validates=validates))
    assert curve(run) == {10: 9, 20: 8, 30: 7}
    assert run.train["reduced_train_loss"].step.tolist() == list(range(every, 41, every))
    assert run.info.planned_steps == 40


def test_stable_baselines(tmp_path):
    text = "".join(
        f"Eval num_timesteps={1000 * n}, episode_reward={reward} +/- 12.30\nEpisode length: 195.00 +/- 5.0\n"
        for n, reward in enumerate((-20.5, 10.25, 5.75), 1)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_episode_reward") == {1000: -20.5, 2000: 10.25, 3000: 5.75}


def flower(*, history=True, progress=True):
    log = "INFO flwr 2026-01-01 10:00:00,123 | app.py:222 | "
    losses = {1: 0.75, 2: 0.5, 3: 0.625}
    parts = [f"{log}fit progress: ({n}, {loss}, {{'accuracy': 0.{n}}}, 9.3)\n" for n, loss in losses.items()]
    listed = [f"{log}\t\tround {n}: {loss + 1}\n" for n, loss in losses.items()]
    return "".join(parts * progress + [f"{log}\tHistory (loss, distributed):\n", *listed] * history)


def test_rounds_of_flower(tmp_path):
    run = run_of(tmp_path, flower())
    assert curve(run, "eval_loss") == {1: 0.75, 2: 0.5, 3: 0.625}
    assert curve(run, "eval_accuracy") == {1: 0.1, 2: 0.2, 3: 0.3}
    assert curve(run, "eval_distributed_loss") == {1: 1.75, 2: 1.5, 3: 1.625}
    (run,) = runs_of(tmp_path, flower(progress=False))[0]
    assert curve(run, "eval_distributed_loss") == {1: 1.75, 2: 1.5, 3: 1.625}


def test_tables_of_stable_baselines(tmp_path):
    """They count where no line has the same evaluation."""
    rule = "-" * 34 + "\n"
    table = (
        f"{rule}| eval/              |          |\n|    mean_reward     | {{loss}}     |\n"
        "| rollout/           |          |\n|    ep_rew_mean     | 20.5     |\n"
        f"| time/              |          |\n|    total_timesteps | {{step}}       |\n{rule}"
    )
    text = "".join(table.format(step=step, loss=loss) for step, loss in LOSSES.items())
    run = run_of(tmp_path, text)
    assert curve(run, "eval/mean_reward") == LOSSES
    assert list(run.train) == ["rollout/ep_rew_mean"]
    line = "Eval num_timesteps={step}, episode_reward={loss} +/- 1.50\n"
    both = "".join((line + table).format(step=step, loss=loss) for step, loss in LOSSES.items())
    assert list(run_of(tmp_path, both).metrics) == ["eval_episode_reward"]


def test_mace(tmp_path):
    """All of its values are of the validation set; the first are of the model before the training."""
    begin = "2026-01-02 10:00:00.123 INFO: "
    values = [12.5, 0.75, 0.5, 0.625]
    text = "".join(
        f"{begin}{f'Epoch {number - 1}' if number else 'Initial'}: head: Default, loss={loss:8.8f},"
        f" RMSE_E_per_atom=    9.50 meV, RMSE_F=   {30 - number}.10 meV / A\n"
        for number, loss in enumerate(values)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "valid/loss") == dict(enumerate(values))
    assert curve(run, "valid/RMSE_F") == {0: 30.1, 1: 29.1, 2: 28.1, 3: 27.1}
