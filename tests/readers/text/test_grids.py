"""Tables in a text: a head with names, then a row per eval."""

import numpy as np
import pytest

from replay.data.finding import Kind
from replay.readers import NothingFound, read
from tests.readers.columns import curve
from tests.readers.text.printing import put, run_of, runs_of

LOSSES = {1: 0.875, 2: 0.5, 3: 0.625}

FASTAI = "epoch     train_loss  valid_loss  accuracy  time    \n" + "".join(
    f"{epoch - 1}         0.912345    {loss:.6f}    0.{60 + epoch}0000  00:1{epoch}     \n"
    for epoch, loss in LOSSES.items()
)
SKORCH = (
    "  epoch    train_loss    valid_acc    valid_loss    cp     dur\n"
    "-------  ------------  -----------  ------------  ----  ------\n"
    + "".join(
        f"      {epoch}        \x1b[36m0.5862\x1b[0m       0.7{epoch}        {loss:.4f}     +  2.28\n"
        for epoch, loss in LOSSES.items()
    )
)
RICH = (
    "┏━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━┓\n"
    "┃ Epoch ┃ Train Loss ┃ Val Loss ┃\n"
    "┡━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━┩\n"
    + "".join(f"│ {epoch}     │ 0.9000     │ {loss:.4f}   │\n" for epoch, loss in LOSSES.items())
    + "└───────┴────────────┴──────────┘\n"
)
PLAIN = "epoch train_loss val_loss\n" + "".join(f"{epoch} 0.91 {loss}\n" for epoch, loss in LOSSES.items())
PIPES = "| Epoch | Train Loss | Val. Loss |\n|:-----:|-----------:|----------:|\n" + "".join(
    f"| {epoch} | 0.91 | {loss} |\n" for epoch, loss in LOSSES.items()
)


@pytest.mark.parametrize("text", [FASTAI, SKORCH, RICH, PLAIN, PIPES])
@pytest.mark.parametrize("around", ["", "Loading data\n1200 images in 3.5 s\n\n"])
def test_tables(tmp_path, text, around):
    run = run_of(tmp_path, around + text + around)
    (name,) = [name for name in run.metrics if name.endswith("oss")]
    assert curve(run, name) == LOSSES
    assert run.info.step_unit == "epoch"


@pytest.mark.parametrize(("text", "names"), [(FASTAI, {"accuracy"}), (SKORCH, {"valid_acc"})])
def test_metrics_beside_the_loss_of_the_validation_set(tmp_path, text, names):
    assert set(run_of(tmp_path, text).metrics) == {"valid_loss", *names}


def test_a_notebook_of_transformers_shows_steps(tmp_path):
    text = " [300/300 05:12, Epoch 3/3]\nStep\tTraining Loss\tValidation Loss\tRouge1\n" + "".join(
        f"{100 * at}\t{'No log' if at == 1 else 0.9}\t{loss}\t0.3{at}\n" for at, loss in LOSSES.items()
    )
    run = run_of(tmp_path, text)
    assert curve(run, "validation_loss") == {100 * at: loss for at, loss in LOSSES.items()}
    assert curve(run, "Rouge1") == {100: 0.31, 200: 0.32, 300: 0.33}
    assert run.info.step_unit == "step"


CARD = (
    "---\nlicense: mit\n---\n# my-model\n\nIt achieves the following results:\n- Loss: 0.5000\n\n"
    "### Training results\n\n| Training Loss | Epoch | Step | Validation Loss | Accuracy |\n"
    "|:-------------:|:-----:|:----:|:---------------:|:--------:|\n"
    + "".join(
        f"| {'No log' if at == 1 else '0.9100'} | {at}.0 | {40 * at} | {loss:.4f} | 0.5{at}0 |\n"
        for at, loss in LOSSES.items()
    )
)


def test_the_card_of_a_model(tmp_path):
    (run,) = read(put(tmp_path / "model" / "README.md", CARD)).runs
    assert curve(run, "validation_loss") == {40 * at: loss for at, loss in LOSSES.items()}
    assert curve(run, "Accuracy") == {40: 0.51, 80: 0.52, 120: 0.53}
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]


def test_a_card_beside_the_exact_log_is_no_second_run(tmp_path):
    import json

    history = [
        {"step": 40 * at, "epoch": float(at), "eval_loss": loss + 1e-5, "eval_accuracy": 0.5 + at / 100}
        for at, loss in LOSSES.items()
    ]
    put(tmp_path / "model" / "README.md", CARD)
    put(tmp_path / "model" / "trainer_state.json", json.dumps({"global_step": 120, "log_history": history}))
    (run,) = read(tmp_path / "model").runs
    assert run.info.format == "trainer-state"


def test_other_documents_are_not_searched(tmp_path):
    with pytest.raises(NothingFound):
        read(put(tmp_path / "notes.md", "# Results\n\n" + PIPES))


def test_a_second_table_is_a_second_training(tmp_path):
    runs, _ = runs_of(tmp_path, PLAIN + "next fold\n" + PLAIN.replace("0.875", "0.75"))
    assert [curve(run, "val_loss")[1] for run in runs] == [0.875, 0.75]


def test_a_head_that_comes_again_goes_on(tmp_path):
    head, first, *rest = PLAIN.splitlines(keepends=True)
    run = run_of(tmp_path, head + first + head + "".join(rest))
    assert curve(run, "val_loss") == LOSSES


@pytest.mark.parametrize(
    "text",
    [
        "step one val loss\n" + "a b c d\n" * 20,
        "Each epoch val loss\nis 1 2 3\n",
        "epoch  model  val_loss\n" + "".join(f"{n}  large  0.{n}\n" for n in range(5)),
        "epoch val_loss\n" + "2026 0.5\n",
    ],
)
def test_no_tables(tmp_path, text):
    with pytest.raises(NothingFound):
        read(put(tmp_path / "out.log", text))


INDEXED = """
   epoch  train_loss  valid_loss  accuracy   time
0      1      0.9123      0.8750      0.51  00:12
1      2      0.7123      0.5000      0.52  00:13
2      3         NaN      0.6250      0.53  00:12
"""
BY_EPOCH = """
       train_loss  valid_loss  accuracy
epoch
1          0.9123      0.8750      0.51
2          0.7123      0.5000      0.52
3             NaN      0.6250      0.53
"""
HISTORY = """
     loss  accuracy  valid_loss
0  0.9123      0.51      0.8750
1  0.7123      0.52      0.5000
2  0.6123      0.53      0.6250
"""
WIDE = """
   epoch  train_loss  ...  valid_loss  accuracy
0      1      0.9123  ...      0.8750      0.51
1      2      0.7123  ...      0.5000      0.52
2      3      0.6123  ...      0.6250      0.53

[3 rows x 11 columns]
"""


@pytest.mark.parametrize("text", [INDEXED, BY_EPOCH, HISTORY, WIDE])
def test_tables_of_pandas(tmp_path, text):
    """NaN is what was not logged."""
    run = run_of(tmp_path, f"done\n{text}")
    assert curve(run, "valid_loss") == LOSSES
    assert all(np.isfinite(series.value).all() for series in run.train.values())


def test_a_table_of_pandas_that_leaves_rows_out(tmp_path):
    head, first, *rows = INDEXED.splitlines()[1:]
    run = run_of(tmp_path, "\n".join([head, first, "..    ...   ...  ...", *rows]) + "\n")
    assert curve(run, "valid_loss") == LOSSES
    assert [finding.kind for finding in run.info.findings] == [Kind.ROWS_LEFT_OUT]


SETTINGS = '{\n  "lr": 0.001,\n  "model": {\n    "layers": [1, 2],\n    "name": "a"\n  }\n}\n'


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (SETTINGS, "train.log"),
        (SETTINGS, "history.csv"),
        ('{"lr": 0.001, "epochs": 3}\n', "history.csv"),
        ('{"lr": 0.001, "epochs": 3}\n', "train.log"),
        (f"Config:\n{SETTINGS}Starting\n", "train.log"),
        ("Namespace(lr=0.001, epochs=3)\n", "train.log"),
        ("{'lr': 0.001, 'epochs': 3}\n", "train.log"),
    ],
)
def test_settings_before_a_table_with_commas(tmp_path, before, name):
    rows = "".join(f"{n},0.9,{loss}\n" for n, loss in LOSSES.items())
    (run,) = read(put(tmp_path / name, f"{before}epoch,train_loss,val_loss\n{rows}")).runs
    assert curve(run) == LOSSES
    assert run.train["train_loss"].value.tolist() == [0.9] * 3


@pytest.mark.parametrize(
    "columns",
    [
        "Step|Epoch|Training Loss|Validation Loss|F1",
        "Validation Loss|Training Loss|Epoch|Step|F1",
        "Epoch|Step|Validation Loss|F1",
        "Step|Training Loss|Validation Loss|F1",
        "**Training Loss**|**Epoch**|**Step**|**Validation Loss**|**F1**",
    ],
)
def test_the_columns_of_a_card_in_another_order(tmp_path, columns):
    names = columns.split("|")
    rows = [columns, "|".join(":---:" for _ in names)]
    for at, loss in LOSSES.items():
        cells = {
            "Step": 40 * at,
            "Epoch": f"{at}.0",
            "Training Loss": 0.91,
            "Validation Loss": loss,
            "F1": at / 8,
        }
        rows.append("|".join(str(cells[name.strip("*")]) for name in names))
    text = "# my-model\n\n" + "".join(f"| {row.replace('|', ' | ')} |\n" for row in rows)
    (run,) = read(put(tmp_path / "README.md", text)).runs
    assert curve(run, "validation_loss") == {40 * at: loss for at, loss in LOSSES.items()}
    assert curve(run, "F1") == {40: 0.125, 80: 0.25, 120: 0.375}


def test_a_table_without_a_rule_is_no_card(tmp_path):
    text = "| Step | Training Loss | Validation Loss |\n| 10 | 0.5 | 0.25 |\n| 20 | 0.5 | 0.25 |\n"
    with pytest.raises(NothingFound):
        read(put(tmp_path / "README.md", text))


def test_a_head_behind_a_comment_sign(tmp_path):
    """DeePMD's lcurve.out, which numpy reads."""
    text = "#  step      rmse_val    rmse_trn         lr\n# If there is none, rmse_*_{val,trn} is nan\n"
    text += "".join(f"{step:7d}      {0.5 + step / 1000}    2.5e-01    1.0e-03\n" for step in (0, 100, 200))
    assert curve(run_of(tmp_path, text, "lcurve.out"), "rmse_val") == {0: 0.5, 100: 0.6, 200: 0.7}
