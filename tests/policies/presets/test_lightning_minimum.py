"""min_epochs and min_steps of Lightning's Trainer, against real fits."""

import warnings

import pandas as pd
import pytest

import replay
from replay.errors import PolicyError
from replay.policies.spec import parse_policy

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

from lightning.pytorch.callbacks import EarlyStopping  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

#: The validation loss at each eval: no gain from the third on, later much better.
SCORES = [1.5, 1.25, 1.375, 1.4375, 1.5, 1.125, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375]
BATCHES = 4


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.evals = 0

    def training_step(self, batch, _):
        return (self.weight - batch).pow(2).mean()

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log("val_loss", torch.tensor(SCORES[self.evals % len(SCORES)]))
            self.evals += 1

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def fit(folder, callbacks=(), **options):
    data = torch.utils.data.DataLoader(torch.ones(2 * BATCHES), batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            logger=CSVLogger(folder, name="", version=""),
            callbacks=list(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            **options,
        )
        module = Module()
        trainer.fit(module, data, data)
    return trainer, module


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The full log with an eval per epoch, and the one with two."""
    runs = {}
    for name, options in (("epoch", {}), ("half", {"val_check_interval": 0.5})):
        folder = tmp_path_factory.mktemp(name)
        fit(folder, max_epochs=len(SCORES) // (2 if options else 1), **options)
        (runs[name],) = replay.load(str(folder))
    return runs


@pytest.mark.parametrize(
    ("kind", "patience", "minimum", "stop"),
    [
        ("epoch", 2, {}, 4),
        ("epoch", 2, {"min_epochs": 1}, 4),
        ("epoch", 2, {"min_epochs": 4}, 4),
        ("epoch", 2, {"min_epochs": 5}, 5),
        ("epoch", 2, {"min_epochs": 9}, 9),
        ("epoch", 3, {"min_epochs": 9}, 9),
        ("epoch", 4, {"min_epochs": 9}, None),
        ("epoch", 2, {"min_steps": 7 * BATCHES}, 7),
        ("epoch", 2, {"min_steps": 6 * BATCHES, "min_epochs": 8}, 8),
        ("half", 2, {}, 4),
        ("half", 2, {"min_epochs": 3}, 6),
        ("half", 3, {"min_epochs": 4}, 8),
        ("half", 2, {"min_steps": 3 * BATCHES + BATCHES // 2}, 7),
    ],
)
def test_a_stop_waits_for_the_minimum_and_comes_at_once(tmp_path, whole, kind, patience, minimum, stop):
    run = whole[kind]
    spec = ",".join([f"lightning:patience={patience}", *(f"{name}={n}" for name, n in minimum.items())])
    row = replay.simulate([run], [spec], monitor="val_loss", mode="min").iloc[0]
    callback = EarlyStopping("val_loss", patience=patience, check_on_train_epoch_end=False)
    options = {"val_check_interval": 0.5} if kind == "half" else {}
    epochs = len(SCORES) // (2 if kind == "half" else 1)
    trainer, module = fit(tmp_path, [callback], max_epochs=epochs, **minimum, **options)
    assert (None if pd.isna(row.stopped_eval) else int(row.stopped_eval)) == stop
    assert module.evals == (len(SCORES) if stop is None else stop)
    if stop is not None:
        assert trainer.global_step == row.stopped_step + 1


def test_a_log_without_epochs_is_named():
    policy = parse_policy("lightning:patience=2,min_epochs=3")
    run = replay.Run("r", {"step": [10, 20, 30], "val_loss": [1.0, 2.0, 3.0]})
    with pytest.raises(replay.ReplayError, match="epoch"):
        replay.simulate([run], [policy], monitor="val_loss")
    with pytest.raises(PolicyError, match="min_epochs"):
        parse_policy("lightning:min_epochs=-1")


def test_reasons_of_a_stop_that_waited():
    decide = parse_policy("lightning:patience=2,min_epochs=5").decide
    values, epochs = [1.0, 1.1, 1.2, 0.5, 0.4], [1.0, 2.0, 3.0, 4.0, 5.0]
    assert decide(values[:4], columns={"finished_epochs": epochs[:4]}).reason == "before min_epochs=5"
    stop = decide(values, columns={"finished_epochs": epochs})
    assert stop.eval == 5
    assert stop.reason == (
        "min_epochs=5 reached after 2 of 2 checks without a gain: a stop that was asked for stays asked for"
    )
