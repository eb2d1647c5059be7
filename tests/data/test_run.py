import copy
import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import Run
from replay.data.curve import Curve, CurveBatch
from replay.data.finding import Kind
from replay.data.info import RunInfo
from replay.data.names import canonical, infer_mode, is_loss
from replay.data.noise import noise
from replay.data.run import Series
from replay.errors import InputError

NAN, INF = math.nan, math.inf


def run(values, steps=None, meta=None, **columns):
    return Run("r", {"step": steps or list(range(1, len(values) + 1)), "eval_loss": values, **columns}, meta)


def test_nan_is_a_value_and_none_is_absent():
    made = run([1.0, NAN, INF], eval_bleu=[0.1, None, NAN])
    assert len(made.curve("eval_loss", "min")) == 3
    bleu = made.curve("eval_bleu", "max")
    np.testing.assert_array_equal(bleu.values, [0.1, NAN])
    assert bleu.steps.tolist() == [1, 3]
    assert made.evals["eval_bleu"].isna().tolist() == [False, True, False]
    again = Run("r", made.evals)
    for name, column in made.columns.items():
        np.testing.assert_array_equal(again.columns[name].values, column.values)
        np.testing.assert_array_equal(again.columns[name].present, column.present)


def test_a_frame_goes_in_and_comes_out_bit_for_bit():
    frame = pd.DataFrame({"step": [100, 200], "epoch": [0.5, 1.0], "eval_loss": [0.1 + 0.2, 1e-300]})
    again = Run("r", frame).evals
    pd.testing.assert_frame_equal(again, frame)
    assert again["eval_loss"].tolist() == frame["eval_loss"].tolist()


def test_a_run_cannot_be_changed():
    values = np.array([1.0, 0.5])
    made = Run(
        "r",
        {"step": np.array([1.0, 2.0]), "eval_loss": values},
        {"group": "g", "hyperparameters": {"r": 8}, "notes": ["odd"], "seed": 7},
        {"loss": Series(np.array([1.0]), np.array([3.0]))},
    )
    values[0] = 9.0  # the caller's own array stays writable, and is no part of the run
    assert made.curve("eval_loss", "min").values.tolist() == [1.0, 0.5]
    for change in (
        lambda: setattr(made, "id", "x"),
        lambda: setattr(made, "info", made.info),
        lambda: setattr(made.info, "group", "x"),
        lambda: delattr(made, "train"),
    ):
        with pytest.raises(AttributeError):
            change()
    for mapping in (made.columns, made.train, made.info.hyperparameters, made.info.extra, made.info.modes):
        with pytest.raises(TypeError):
            mapping["x"] = None
    for array in (*made.columns["eval_loss"], *made.train["loss"], made.steps):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), made.replace()):
        assert (again.id, again.info) == (made.id, made.info)
        assert again.evals.equals(made.evals)
        assert again.train["loss"].value.tolist() == [3.0]
        assert again.info is made.info or again.info.hyperparameters == {"r": 8}
        with pytest.raises(ValueError, match="read-only"):
            again.columns["eval_loss"].values[0] = 0


def test_a_run_with_other_parts_is_a_new_run():
    made = run([1.0, 0.5], meta={"planned_steps": 9})
    other = made.replace(id="s", info=made.info.replace(group="g"), columns={"step": made.columns["step"]})
    assert (other.id, other.info.group, other.info.planned_steps, other.metrics) == ("s", "g", 9, ())
    assert (made.id, made.info.group, made.metrics) == ("r", None, ("eval_loss",))


def test_what_a_mapping_says_becomes_typed():
    info = RunInfo.of(
        {
            "sources": [Path("a"), "b"],
            "group": 3,
            "notes": ["odd"],
            "created": "now",
            "model": None,
            "devices": 2,
        }
    )
    assert (info.sources, info.group, info.devices, info.model) == (("a", "b"), "3", 2, None)
    assert [(one.kind, one["text"]) for one in info.findings] == [(Kind.OTHER, "odd")]
    assert info.extra == {"created": "now"}
    assert info.stated().keys() == {"sources", "group", "devices", "findings", "created"}
    assert RunInfo.of(info.stated()) == info
    assert RunInfo.of(None) == RunInfo() == RunInfo.of({})
    assert RunInfo.of({"hyperparameters": "none", "dataset": ["a"], "hardware": 1}) == RunInfo()


def test_pandas_missing_is_absent():
    frame = pd.DataFrame({"step": [1, 2], "acc": pd.array([0.5, None], dtype="Float64")})
    assert Run("r", frame).curve("acc", "max").values.tolist() == [0.5]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_values_keep_every_bit(values):
    curve = run(values).curve("eval_loss", "min")
    np.testing.assert_array_equal(curve.values.view(np.int64), np.array(values).view(np.int64))


@pytest.mark.parametrize(
    ("evals", "says"),
    [
        ({"eval_loss": [1.0]}, "no column 'step'"),
        ({"step": [1, 1], "x": [1, 2]}, "strictly increasing, not 1 at eval 2"),
        ({"step": [2, 1], "x": [1, 2]}, "strictly increasing"),
        ({"step": [1, NAN], "x": [1, 2]}, "finite"),
        ({"step": [1, 2], "x": [1]}, "one row an eval"),
        ({"step": [1], "x": ["high"]}, "'x' holds something that is not a number"),
    ],
)
def test_what_cannot_be_a_run(evals, says):
    with pytest.raises(InputError, match=says):
        Run("r", evals)


def test_a_missing_metric_is_told_with_those_there_are():
    with pytest.raises(
        InputError, match=r"no metric 'val_loss' in run r; it has eval_loss. Did you mean eval_loss\?"
    ):
        run([1.0]).curve("val_loss", "min")


def test_spellings_of_a_writer_are_one_metric():
    made = Run("r", {"step": [1], "eval/loss": [1.0]})
    assert made.find_metric("eval_loss") == "eval/loss"
    assert made.find_metric("val_loss") is None
    assert canonical(" metrics/mAP50-95(B)") == "metrics_map50_95_b"


def test_best_is_the_first_of_ties_and_never_nan():
    assert Curve.of([NAN, 0.5, 0.4, 0.4], "min").best() == 2
    assert Curve.of([0.5, 0.7, NAN, 0.7], "max").best() == 1
    assert Curve.of([NAN, NAN], "min").best() is None
    assert Curve.of([], "min").best() is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("eval_loss", "min"),
        ("eval/loss", "min"),
        ("val_loss", "min"),
        ("validation/epoch_loss", "min"),
        ("eval_wer", "min"),
        ("eval_perplexity", "min"),
        ("val_mse", "min"),
        ("Logloss", "min"),
        ("eval_rougeL", "max"),
        ("eval_rougeLsum", "max"),
        ("eval_accuracy", "max"),
        ("test_f1", "max"),
        ("metrics/mAP50(B)", "max"),
        ("accuracy/top1", "max"),
        ("val_acc", "max"),
        ("eval_exact_match", "max"),
        ("DEV_F1", "max"),
        ("val/box_loss", "min"),
        ("eval_f1_loss", "min"),
        ("eval_cross_entropy", "min"),
        ("val/kl_div", "min"),
        ("test_log_loss", "min"),
        ("eval/win_rate", "max"),
        ("eval_rouge_l", "max"),
        ("eval_rouge_l_sum", "max"),
        ("win_rate_loss", "min"),
        ("loss_win_rate", "max"),
        ("cross_entropy_accuracy_mean", "max"),
        ("eval_cross_validation", None),
        ("eval_rate_win", None),
        ("eval_win_the_rate", None),
        ("eval_foo", None),
        ("eval_runtime", None),
        ("neg_mean_squared_error", "max"),
        ("eval_sts-dev_negative_mae", "max"),
        ("val/-loss", "max"),
        ("negRMSE", "max"),
        ("minus_wer", "max"),
        ("1-accuracy", "min"),
        ("val/one_minus_ssim", "min"),
        ("negative_log_likelihood", "min"),
        ("eval_log_likelihood", "max"),
        ("negative_f1", None),
        ("recall_negative", None),
        ("minus_reward", None),
        ("eval_rewards/rejected", None),
        ("eval_rewards/chosen", "max"),
        ("eval_reward_std", None),
        ("acc_stderr", None),
        ("cossim_accuracy_threshold", None),
        ("negotiation_loss", "min"),
        ("sem_seg/mIoU", "max"),
        ("opposite_loss", "max"),
        ("val_inv_rmse", "max"),
        ("inverse_accuracy", None),
        ("val_accuracy_gap", None),
        ("eval_loss_delta", None),
        ("val_f1_ci95", None),
        ("eval_entropy", None),
        ("eval_brier_score", "min"),
        ("BrierScore", "min"),
        ("neg_brier_score", "max"),
        ("brier_skill_score", "max"),
        ("d2_log_loss_score", "max"),
        ("eval_wer_score", "min"),
        ("inception_score", "max"),
        ("cosine_similarity", "max"),
        ("spearman_euclidean_distance", "max"),
        ("val/frechet_distance", "min"),
        ("validation_0-mlogloss", "min"),
        ("eval-merror", "min"),
        ("eval-cox-nloglik", "min"),
        ("valid/kullback_leibler", "min"),
        ("val_abs_rel", "min"),
        ("val_lpips", "min"),
        ("eval/pass@1", "max"),
        ("val_sensitivity", "max"),
        ("val_fpr", "min"),
        ("eval_success_rate", "max"),
        ("val_loss_x-1", "max"),
        ("val_loss * -1", "max"),
        ("eval_loss_margin", None),
        ("eval_rewards/margins", "max"),
        ("val_loss_scale", None),
        ("val_loss/n", None),
        ("test_coco_eval_bbox/0", "max"),
    ],
)
def test_mode_by_name(name, mode):
    found = infer_mode(name)
    assert (found and found.mode) == mode


def test_what_is_a_loss():
    assert is_loss("eval_loss")
    assert is_loss("validation/epoch_loss")
    assert is_loss("valid/binary_logloss")
    assert is_loss("eval-mlogloss")
    assert not is_loss("val/box_loss")
    assert not is_loss("val_loss_scale")
    assert not is_loss("eval_accuracy")


def test_noise_of_known_noise():
    rng = np.random.default_rng(0)
    trend = np.linspace(3, 1, 4000)
    assert noise(trend + 0.1 * rng.standard_normal(4000)) == pytest.approx(0.1, rel=0.06)
    assert noise(trend) == pytest.approx(0, abs=1e-12)
    assert noise(np.array([1.0, 2.0, NAN, 3.0, 4.0])) is None


def test_at_takes_the_last_value_before():
    made = Run(
        "r",
        {"step": [10, 20, 30], "tokens": [5.0, None, 9.0], "x": [1, 2, 3]},
        train={"lr": Series(np.array([5.0, 15.0]), np.array([1.0, 0.5]))},
    )
    assert made.at("tokens", made.steps).values.tolist() == [5, 5, 9]
    assert made.at("lr", np.array([4.0, 5.0, 30.0])).present.tolist() == [False, True, True]
    assert not made.at("nowhere", made.steps).present.any()


def test_batch_pads_and_orients():
    batch = CurveBatch.of([Curve.of([1, 2, 3], "max"), Curve.of([4], "max")])
    assert batch.shape == (2, 3)
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.oriented[0].tolist() == [-1, -2, -3]
    with pytest.raises(InputError, match="both modes"):
        CurveBatch.of([Curve.of([1], "max"), Curve.of([1], "min")])


def test_noise_is_told_from_the_evals_up_to_the_best():
    rng = np.random.default_rng(2)
    falls = np.linspace(1, 0.5, 30) + 0.01 * rng.standard_normal(30)
    wild = 1 + 0.5 * rng.standard_normal(30)
    assert 0.004 < Curve.of(np.concatenate([falls, wild]), "min").noise < 0.03
    assert Curve.of([NAN, NAN], "min").noise is None
