"""Blocks of results, as the scripts of BERT print them."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import run_of

LOSSES = {100: 0.75, 200: 0.5, 300: 0.625}
#: With the names in their order, the step comes behind the loss.
BLOCK = """\
{head}
{before}  acc = {acc}
{before}  eval_loss = {loss}
{before}  global_step = {step}
{before}  loss = {train}
"""


@pytest.mark.parametrize(
    ("before", "head"),
    [
        ("", "***** Eval results *****"),
        ("INFO:tensorflow:", "INFO:tensorflow:***** Eval results *****"),
        (
            "05/06/2020 10:00:00 - INFO - run -",
            "05/06/2020 10:00:00 - INFO - run -  *** Eval results mrpc ***",
        ),
        ("06/02/2020 10:00:00 - INFO - __main__ - ", "INFO - __main__ - ***** Dev Results *****"),
    ],
)
def test_values_belong_to_the_step_of_their_block(tmp_path, before, head):
    text = "".join(
        BLOCK.format(head=head, before=before, loss=loss, acc=1 - loss, step=step, train=loss / 2)
        for step, loss in LOSSES.items()
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == LOSSES
    assert curve(run, "dev_acc" if "Dev" in head else "eval_acc") == {
        step: 1 - loss for step, loss in LOSSES.items()
    }
    assert dict(zip(run.train["loss"].step.tolist(), run.train["loss"].value.tolist(), strict=True)) == {
        step: loss / 2 for step, loss in LOSSES.items()
    }


def test_the_step_in_the_head(tmp_path):
    text = "".join(
        f"***** Eval results {step} *****\n  f1 = {1 - loss}\n  loss = {loss}\n\nTraining goes on\n"
        for step, loss in LOSSES.items()
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == LOSSES
    assert curve(run, "eval_f1") == {step: 1 - loss for step, loss in LOSSES.items()}


def test_the_epoch_of_a_line_before(tmp_path):
    text = "".join(
        f"Epoch {epoch}\n***** Eval results *****\n  acc = {1 - loss}\n  eval_loss = {loss}\n"
        for epoch, loss in enumerate(LOSSES.values(), 1)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_acc") == {epoch: 1 - loss for epoch, loss in enumerate(LOSSES.values(), 1)}
