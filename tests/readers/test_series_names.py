"""What the name of a logged series says."""

import pytest

from replay.data.names import held_out_name, is_loss
from replay.readers.series_names import (
    companions_of,
    held_out_of,
    is_bookkeeping,
    is_held_out,
    is_metric,
    per_batch,
    split_of,
    step_name,
)

HELD_OUT = (
    "eval_loss",
    "eval/loss",
    "val_loss",
    "valid_loss_epoch",
    "test-accuracy",
    "DEV_F1",
    "Loss/test",
    "loss/val",
    "validation/epoch_loss",
    "val",
    "evaluation/episode_reward_mean",
    "evalLoss",
    "heldout nll",
    "eval_rewards/accuracies",
    "val_loss/dataloader_idx_0",
    "valloss",
    "testacc",
    "val_acc_epoch",
    "val_loss_step",
)
NOT_HELD_OUT = (
    "loss",
    "train_loss",
    "evaluator",
    "latest",
    "contest_loss",
    "value_loss",
    "lr",
    "eval_runtime",
    "val_step",
    "eval_samples_per_second",
    "val_loss_weight",
    "eval_batch_size",
    "per_device_eval_batch_size",
    "test_size",
    "validation_split",
    "val_ratio",
    "max_eval_samples",
    "limit_val_batches",
    "eval_accumulation_steps",
    "eval_strategy",
)


@pytest.mark.parametrize("name", HELD_OUT)
def test_held_out_names(name):
    assert is_held_out(name)


@pytest.mark.parametrize("name", NOT_HELD_OUT)
def test_other_names(name):
    assert not is_held_out(name)


@pytest.mark.parametrize(
    "name",
    [
        "eval_runtime",
        "eval_math_runtime",
        "eval/samples_per_second",
        "eval_steps_per_second",
        "eval_num_samples",
        "val_step",
        "eval_mem_cpu_alloc_delta",
        "eval_model_preparation_time",
        "step",
        "epoch",
        "train_speed(iter/s)",
        "memory(GiB)",
        "data_time",
        "test/time",
        "total_steps",
    ],
)
def test_bookkeeping(name):
    assert is_bookkeeping(name)


@pytest.mark.parametrize(
    "name",
    [
        "eval_loss",
        "valid_loss_epoch",
        "val",
        "test",
        "eval_memorization",
        "map50",
        "timestep_loss",
        "loss_step",
        "accuracy/top1",
    ],
)
def test_no_bookkeeping(name):
    assert not is_bookkeeping(name)


def test_the_noisy_side_of_a_per_epoch_metric_is_no_metric():
    names = [
        "valid_loss_epoch",
        "valid_loss_step/epoch_0",
        "valid_loss_step/epoch_1",
        "val_acc_step",
        "train_loss_step",
        "train_loss_epoch",
    ]
    assert per_batch(names) == {"valid_loss_step/epoch_0", "valid_loss_step/epoch_1", "train_loss_step"}
    assert held_out_of(names) == {"valid_loss_epoch", "val_acc_step"}


def test_ultralytics_metrics_are_held_out_beside_its_val_losses():
    assert held_out_of(["train/box_loss", "val/box_loss", "metrics/mAP50(B)", "lr/pg0"]) == {
        "val/box_loss",
        "metrics/mAP50(B)",
    }
    assert held_out_of(["metrics/mAP50(B)", "loss"]) == set()


def test_companions():
    names = ["train/loss", "lr-Adam", "grad_norm", "train_loss_epoch", "loss_bbox"]
    assert companions_of(names) == {
        "train/loss": "train_loss",
        "lr-Adam": "learning_rate",
        "grad_norm": "grad_norm",
    }
    assert companions_of(["val_loss", "box_loss"]) == {}


def test_step_names():
    assert step_name(["loss", "Step"]) == ("Step", False)
    assert step_name(["epoch", "step", "loss"]) == ("step", False)
    assert step_name(["step", "train/global_step"]) == ("train/global_step", False)
    assert step_name(["EPOCH", "DEV_LOSS"]) == ("EPOCH", True)
    assert step_name(["loss", "val_loss"]) is None


def test_metrics_tell_a_log_from_other_tables():
    assert is_metric("perplexity")
    assert not is_metric("learning_rate")
    assert is_metric("dev")
    assert not is_metric("age")
    assert not is_metric("step")


def test_splits():
    assert split_of("Validation") == "held-out"
    assert split_of("learn") == "train"
    assert split_of("version_3") is None


@pytest.mark.parametrize(
    ("names", "held_out"),
    [
        (("tr_loss", "va_loss"), {"va_loss"}),
        (("trn_acc", "vld_acc", "tst_acc"), {"vld_acc", "tst_acc"}),
        (("loss_tr", "loss_vl", "loss_ts"), {"loss_vl", "loss_ts"}),
        (("train_loss", "cv_loss"), {"cv_loss"}),
        (("loss", "va_loss"), {"va_loss"}),
        (("loss", "ts_loss", "cv_loss"), set()),  # parts of one loss
        (("vl_loss", "text_loss"), set()),
        (("tr_loss", "ts"), set()),
        (("tr_loss", "va_weight"), set()),
    ],
)
def test_short_words_of_sets_are_told_by_the_names_beside_them(names, held_out):
    assert held_out_of(names) == held_out


@pytest.mark.parametrize(
    ("name", "split", "loss"),
    [
        ("va_loss", "validation", True),
        ("loss_ts", "test", True),
        ("te_acc", "test", False),
        ("valloss", "validation", True),
    ],
)
def test_the_sets_of_short_names(name, split, loss):
    assert held_out_name(name).split == split
    assert is_loss(name) == loss


def test_a_short_word_of_a_set_is_one_in_all_names():
    names = ["loss_tr", "loss_va", "acc_va", "lr"]
    assert held_out_of(names) == {"loss_va", "acc_va"}


@pytest.mark.parametrize("name", ["metrics/val/loss", "Loss/val_loss", "losses/val_loss", "logs/eval/loss"])
def test_the_loss_behind_what_only_says_that_it_is_logged(name):
    assert is_loss(name)


@pytest.mark.parametrize(
    "name", ["metrics/val/box_loss", "Loss/val_mask_loss", "losses/val_acc", "metrics/val"]
)
def test_other_names_behind_what_only_says_that_they_are_logged(name):
    assert not is_loss(name)
