"""The live callback in a real Lightning fit: it stops where replay stops the full metrics.csv."""

import warnings

import pandas as pd
import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

import replay  # noqa: E402
from replay.errors import InputError  # noqa: E402
from replay.live.lightning import StopCallback  # noqa: E402
from tests.live.test_transformers import POLICIES, SCORES  # noqa: E402

EPOCHS = len(SCORES)


class Module(lightning.LightningModule):
    """One weight, and a metric of validation with known values."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, _):
        return (self.weight - batch).pow(2).mean()

    def validation_step(self, batch, _):
        self.log("val_score", torch.tensor(SCORES[self.current_epoch], dtype=torch.float64))
        self.log("val_loss", (self.weight - batch).pow(2).mean())

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def fit(folder, callbacks, *, logger=False, epochs=EPOCHS, checkpoint=None):
    data = torch.utils.data.DataLoader(torch.ones(4), batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=logger,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            enable_checkpointing=False,
            log_every_n_steps=1,
        )
        trainer.fit(
            Module(), data, data, ckpt_path=checkpoint, **({"weights_only": False} if checkpoint else {})
        )
    return trainer


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lightning")
    fit(folder, [], logger=lightning.pytorch.loggers.CSVLogger(folder))
    return folder


@pytest.mark.parametrize("policy", [policy.replace("eval_loss", "val_loss") for policy in POLICIES])
def test_it_stops_where_replay_stops_the_full_log(policy, full, tmp_path):
    expected = replay.simulate(replay.load(full), [policy], monitor="val_score", mode="max").iloc[0]
    stop = StopCallback(policy, monitor="val_score", mode="max")
    trainer = fit(tmp_path, [stop])
    if pd.isna(expected["stopped_eval"]):
        assert trainer.current_epoch == len(SCORES)
        return
    assert trainer.current_epoch == expected["stopped_eval"]
    assert (stop.decision.eval, stop.decision.stop) == (expected["stopped_eval"], True)
    assert stop.decision.reason == expected["reason"]


def test_a_training_that_goes_on_from_a_checkpoint_loses_no_counter(tmp_path):
    whole = StopCallback("patience=4", monitor="val_score", mode="max")
    fit(tmp_path, [whole])
    first = fit(tmp_path, [StopCallback("patience=4", monitor="val_score", mode="max")], epochs=6)
    first.save_checkpoint(tmp_path / "six.ckpt")
    stop = StopCallback("patience=4", monitor="val_score", mode="max")
    fit(tmp_path, [stop], checkpoint=tmp_path / "six.ckpt")
    assert stop.decision == whole.decision


def test_a_metric_that_is_not_logged_is_refused_at_the_first_validation(tmp_path):
    with pytest.raises(InputError, match=r"no metric 'eval_loss'.*it has val_loss, val_score"):
        fit(tmp_path, [StopCallback("patience=3", monitor="eval_loss")])


def test_the_sanity_check_is_no_eval(tmp_path):
    stop = StopCallback("patience=20", monitor="val_score", mode="max")
    fit(tmp_path, [stop], epochs=2)
    assert stop.decision.eval == 2
