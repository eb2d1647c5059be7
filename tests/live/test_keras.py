"""The live callback in a real fit of Keras: it stops where replay stops the whole history."""

import numpy as np
import pandas as pd
import pytest

keras = pytest.importorskip("keras")

import replay  # noqa: E402
from replay.errors import InputError  # noqa: E402
from replay.live.keras import StopCallback  # noqa: E402
from tests.live.test_transformers import POLICIES, SCORES  # noqa: E402

EPOCHS = len(SCORES)


class Script(keras.callbacks.Callback):
    """A metric of validation with known values, logged as Keras logs its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_score"] = SCORES[epoch]


def fit(callbacks, *, begin=0, epochs=EPOCHS):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    data = np.ones((4, 1))
    return model.fit(
        data,
        data,
        validation_data=(data, data),
        initial_epoch=begin,
        epochs=epochs,
        verbose=0,
        callbacks=[Script(), *callbacks],
    ).history


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "log.csv"
    fit([keras.callbacks.CSVLogger(str(path))])
    return path


@pytest.mark.parametrize("policy", [policy.replace("eval_loss", "val_loss") for policy in POLICIES])
def test_it_stops_where_replay_stops_the_full_log(policy, full):
    expected = replay.simulate(replay.load(full), [policy], monitor="val_score", mode="max").iloc[0]
    stop = StopCallback(policy, monitor="val_score", mode="max")
    history = fit([stop])
    if pd.isna(expected["stopped_eval"]):
        assert len(history["val_score"]) == len(SCORES)
        return
    assert len(history["val_score"]) == expected["stopped_eval"]
    assert stop.decision == (expected["stopped_eval"], True, expected["reason"])


def test_a_fit_that_goes_on_loses_no_counter():
    whole = StopCallback("patience=4", monitor="val_score", mode="max")
    fit([whole])
    before = fit([], epochs=6)
    stop = StopCallback("patience=4", monitor="val_score", mode="max", history=before)
    fit([stop], begin=6)
    assert stop.decision == whole.decision


def test_a_metric_that_is_not_logged_is_refused_at_the_first_epoch():
    with pytest.raises(InputError, match=r"no metric 'eval_loss'.*it has val_loss, val_score"):
        fit([StopCallback("patience=3", monitor="eval_loss")])
