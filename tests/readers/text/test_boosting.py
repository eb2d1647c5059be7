"""LightGBM, XGBoost and CatBoost: folds, repeats of the best round, mean and deviation."""

from replay.data.censoring import CensoringKind, censoring
from tests.readers.columns import curve
from tests.readers.text.printing import run_of, runs_of


def lightgbm(losses, period=1):
    lines = ["[LightGBM] [Info] Total Bins 210\n"]
    for number, loss in enumerate(losses, 1):
        if number % period == 0:
            lines.append(
                f"[{number}]\ttraining's l2: {loss / 2}\tvalid_0's l2: {loss}\tvalid_0's auc: {1 - loss}\n"
            )
        lines.append("[LightGBM] [Warning] No further splits with positive gain, best gain: -inf\n")
    return "".join(lines)


def test_lightgbm(tmp_path):
    run = run_of(tmp_path, lightgbm([0.5, 0.25, 0.125, 0.25]))
    assert run.metrics == ("valid_0/l2", "valid_0/auc")
    assert curve(run, "valid_0/l2") == {1: 0.5, 2: 0.25, 3: 0.125, 4: 0.25}
    assert run.train["training/l2"].value.tolist() == [0.25, 0.125, 0.0625, 0.125]


def test_the_best_round_is_printed_again(tmp_path):
    text = (
        "Training until validation scores don't improve for 2 rounds\n"
        + lightgbm([0.5, 0.25, 0.375, 0.5])
        + "Early stopping, best iteration is:\n"
        + "[2]\ttraining's l2: 0.125\tvalid_0's l2: 0.25\tvalid_0's auc: 0.75\n"
    )
    run = run_of(tmp_path, text)
    assert curve(run, "valid_0/l2") == {1: 0.5, 2: 0.25, 3: 0.375, 4: 0.5}
    assert run.info.stopped_by == "early stopping (2 rounds)"
    assert censoring(run).kind is CensoringKind.STOPPED_EARLY
    run = run_of(tmp_path, text.replace("Early stopping, best", "Did not meet early stopping. Best"))
    assert len(run) == 4
    assert run.info.stopped_by is None


def test_many_folds_are_runs_of_one_group(tmp_path):
    """A fold may be one line that has the number of the one before."""
    text = lightgbm([0.5, 0.25], 2) + lightgbm([0.5, 0.125], 2) + lightgbm([0.4, 0.3, 0.2, 0.1], 2)
    runs, _ = runs_of(tmp_path, text)
    assert [curve(run, "valid_0/l2") for run in runs] == [{2: 0.25}, {2: 0.125}, {2: 0.3, 4: 0.1}]
    assert {run.info.group for run in runs} == {"run"}


def test_lightgbm_goes_on_from_a_model(tmp_path):
    """With init_model it counts on."""
    text = lightgbm([0.5, 0.25]) + lightgbm([0.2, 0.1]).replace("[2]\t", "[4]\t").replace("[1]\t", "[3]\t")
    assert curve(run_of(tmp_path, text), "valid_0/l2") == {1: 0.5, 2: 0.25, 3: 0.2, 4: 0.1}


def test_lightgbm_cross_validation_and_command_line(tmp_path):
    text = "".join(f"[{n}]\tcv_agg's auc: 0.8{n} + 0.02\tcv_agg's l2: 0.4 + 0.1\n" for n in (1, 3))
    assert curve(run_of(tmp_path, text), "cv_agg/auc") == {1: 0.81, 3: 0.83}
    text = "".join(
        f"[LightGBM] [Info] Iteration:{n}, valid_1 auc : 0.{n}5\n[LightGBM] [Info] 0.{n} seconds elapsed\n"
        for n in (1, 2, 3)
    )
    assert curve(run_of(tmp_path, text), "valid_1/auc") == {1: 0.15, 2: 0.25, 3: 0.35}


def xgboost(losses, name="eval"):
    return "".join(
        f"[{number}]\ttrain-logloss:{loss / 2:.5f}\t{name}-logloss:{loss:.5f}\n"
        for number, loss in enumerate(losses)
    )


def test_xgboost(tmp_path):
    run = run_of(tmp_path, xgboost([0.5, 0.25, 0.375], "holdout"))
    assert curve(run, "holdout-logloss") == {0: 0.5, 1: 0.25, 2: 0.375}
    assert set(run.train) == {"train-logloss"}
    assert run_of(tmp_path, xgboost([0.5, 0.25], "mine")).metrics == (
        "mine-logloss",
    )  # any set that is not train


def test_xgboost_counts_from_0_in_every_training(tmp_path):
    runs, _ = runs_of(tmp_path, xgboost([0.5, 0.25, 0.2]) + xgboost([0.19, 0.18]))
    assert [curve(run, "eval-logloss") for run in runs] == [{0: 0.5, 1: 0.25, 2: 0.2}, {0: 0.19, 1: 0.18}]


def test_xgboost_repeats_the_best_round_in_older_versions(tmp_path):
    text = (
        "Will train until eval-logloss hasn't improved in 2 rounds.\n"
        + xgboost([0.5, 0.25, 0.3, 0.4])
        + "Stopping. Best iteration:\n[1]\ttrain-logloss:0.12500\teval-logloss:0.25000\n\n"
    )
    run = run_of(tmp_path, text)
    assert len(run) == 4
    assert run.info.stopped_by == "early stopping (2 rounds)"


def test_xgboost_cross_validation(tmp_path):
    text = "".join(f"[{n}]\ttrain-auc:0.9{n}+0.01\ttest-auc:0.8{n}+0.02\n" for n in range(4))
    assert curve(run_of(tmp_path, text), "test-auc-mean") == {0: 0.80, 1: 0.81, 2: 0.82, 3: 0.83}


def catboost(values, first=0, better=max):
    lines = []
    for number, value in enumerate(values, first):
        best = better(values[: number - first + 1])
        at = first + values.index(best)
        lines.append(
            f"{number}:\tlearn: {value / 2:.7f}\ttest: {value:.7f}\tbest: {best:.7f} ({at})\t"
            f"total: {number + 1}.5s\tremaining: 3.03s\n"
        )
    return "".join(lines)


def test_catboost(tmp_path):
    run = run_of(
        tmp_path,
        "Learning rate set to 0.03\n"
        + catboost([0.70, 0.75, 0.72])
        + "\nbestTest = 0.75\nbestIteration = 1\n",
    )
    assert curve(run, "test") == {0: 0.70, 1: 0.75, 2: 0.72}
    assert run.info.modes == {"test": "max"}  # its best value went up
    assert curve(run, "wall_seconds") == {0: 1.5, 1: 2.5, 2: 3.5}
    assert run_of(tmp_path, catboost([0.5, 0.4, 0.45], better=min)).info.modes == {"test": "min"}


def test_catboost_goes_on_from_a_snapshot_or_begins_anew(tmp_path):
    run = run_of(tmp_path, catboost([0.70, 0.75, 0.72]) + catboost([0.73, 0.74], first=2))
    assert curve(run, "test") == {0: 0.70, 1: 0.75, 2: 0.73, 3: 0.74}
    runs, _ = runs_of(
        tmp_path,
        catboost([0.70, 0.75])
        + "Stopped by overfitting detector  (20 iterations wait)\n"
        + catboost([0.6, 0.7]),
    )
    assert [curve(run, "test") for run in runs] == [{0: 0.70, 1: 0.75}, {0: 0.6, 1: 0.7}]
    assert [run.info.stopped_by for run in runs] == ["early stopping (20 rounds)", None]
