"""TRL logs a metric of several eval sets under one name: the set of its row tells them apart."""

import json

import pytest

from replay.readers import read
from replay.readers.eval_sets import names_by_set
from tests.readers.columns import curve


def rows(sets):
    """The rows of TRL's trainer: the loss has the set in its name, and the entropy does not."""
    for step in (10, 20, 30, 40):
        yield {"loss": 4.0 - step / 20, "epoch": step / 10, "step": step}
        for place, name in enumerate(sets):
            yield {
                f"eval_{name}_loss": 5.0 - step / 10 + place,
                f"eval_{name}_runtime": 0.5,
                "eval_entropy": 4.0 - step / 100 - place,
                "eval_num_tokens": 10.0 * step,
                "epoch": step / 10,
                "step": step,
            }


def stored(folder, sets):
    state = {"log_history": list(rows(sets)), "global_step": 40, "max_steps": 40}
    (folder / "trainer_state.json").write_text(json.dumps(state))


def printed(folder, sets):
    lines = [{name: value for name, value in row.items() if name != "step"} for row in rows(sets)]
    (folder / "train.log").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("write", [stored, printed])
def test_metrics_of_two_sets_have_the_set_of_their_row(tmp_path, write):
    write(tmp_path, ["x", "y"])
    (run,) = read(tmp_path).runs
    assert sorted(run.metrics) == ["eval_x_entropy", "eval_x_loss", "eval_y_entropy", "eval_y_loss"]
    assert list(curve(run, "eval_x_entropy").values()) == pytest.approx([3.9, 3.8, 3.7, 3.6])
    assert list(curve(run, "eval_y_entropy").values()) == pytest.approx([2.9, 2.8, 2.7, 2.6])
    assert run.info.findings == ()


@pytest.mark.parametrize("write", [stored, printed])
def test_a_name_of_one_set_stays_as_it_was_logged(tmp_path, write):
    write(tmp_path, ["x"])
    (run,) = read(tmp_path).runs
    assert sorted(run.metrics) == ["eval_entropy", "eval_x_loss"]


def test_names_that_one_set_alone_has_stay():
    one, two = ("eval_a_runtime", "eval_a_loss", "eval_f1"), ("eval_b_runtime", "eval_b_loss")
    assert names_by_set((one, two)) == {}
