import numpy as np
import pytest

from replay import Run
from replay.data.compute import UNITS, compute, units_of
from replay.errors import InputError


def run(meta=None, **columns):
    return Run("r", {"step": [100, 200, 300], "eval_loss": [1.0, 0.9, 0.8], **columns}, meta)


def test_steps_cost_no_evals_and_end_where_training_did():
    found = compute(run({"trained_steps": 350}), np.array([100.0, 200.0, 300.0]))
    assert found.used().tolist() == [100, 200, 300]
    assert found.full == 350
    assert not found.counts_evals


def test_seconds_count_evals_apart():
    made = run({"trained_steps": 300}, train_seconds=[10.0, 20.0, 30.0], eval_seconds=[4.0, 4.0, 4.0])
    found = compute(made, made.steps, "seconds")
    assert found.used().tolist() == [14, 28, 42]
    assert found.full == 42
    # a policy that makes every second eval pays for those only
    assert found.used(np.array([False, True, False])).tolist() == [10, 24, 34]


def test_transformers_runtime_is_spread_over_the_steps():
    made = run({"train_runtime": 72.0, "trained_steps": 300}, eval_seconds=[4.0, 4.0, 4.0])
    found = compute(made, made.steps, "seconds")
    assert found.used().tolist() == [24, 48, 72]
    assert found.full == 72
    assert "spread evenly" in found.basis


def test_time_stamps_are_the_last_resort():
    made = run({"trained_steps": 600}, wall_seconds=[10.0, 20.0, 30.0])
    found = compute(made, made.steps, "seconds")
    assert found.used().tolist() == [10, 20, 30]
    assert found.full == 60


def test_hours_cost_tokens_and_flops():
    made = run(
        {"trained_steps": 300, "devices": 4, "total_flos": 3e15},
        train_seconds=[3600.0, 7200.0, 10800.0],
        tokens=[10.0, 20.0, 30.0],
    )
    assert compute(made, made.steps, "gpu_hours").used().tolist() == [4, 8, 12]
    assert compute(made, made.steps, "cost", price=2.5).used().tolist() == [10, 20, 30]
    assert compute(made, made.steps, "tokens").full == 30
    assert compute(made, made.steps, "flops").used().tolist() == [1e15, 2e15, 3e15]


@pytest.mark.parametrize("unit", ["tokens", "flops"])
def test_counters_and_those_of_evals(unit):
    counters = {unit: [100.0, 200.0, 300.0], f"eval_{unit}": [7.0, 7.0, 9.0]}
    made = run({"trained_steps": 300}, **counters)
    used = compute(made, made.steps, unit)
    assert used.counts_evals
    assert used.train.tolist() == [100, 200, 300]
    assert used.evals.tolist() == [7, 7, 9]
    assert used.used().tolist() == [107, 214, 323]
    assert used.used(np.array([False, True, True])).tolist() == [100, 207, 316]
    assert used.full == 323
    # the training went on after its last eval: by the log's own total, else in proportion to the steps
    assert compute(run({f"trained_{unit}": 450.0}, **counters), made.steps, unit).full == 473
    assert compute(run({"trained_steps": 600}, **counters), made.steps, unit).full == 623
    # at some of the evals only, the compute of the evals before counts
    part = compute(made, np.array([100.0, 300.0]), unit)
    assert (part.used().tolist(), part.full) == ([107, 316], 316)


def test_flops_of_transformers_and_those_of_evals():
    made = run({"trained_steps": 300, "total_flos": 900.0}, eval_flops=[5.0, 5.0, 5.0])
    used = compute(made, made.steps, "flops")
    assert used.used().tolist() == [305, 610, 915]
    assert (used.full, used.counts_evals) == (915, True)
    plain = compute(run({"trained_steps": 300, "total_flos": 900.0}), made.steps, "flops")
    assert (plain.full, plain.counts_evals) == (900, False)


def test_a_log_that_says_it_ran_on_no_gpu_has_no_gpu_hours():
    made = run({"trained_steps": 300, "hardware": {"cpus": 2}}, train_seconds=[3600.0, 7200.0, 10800.0])
    assert "gpu_hours" not in units_of(made)
    assert compute(made, made.steps, "cost", price=2).full == 6
    with pytest.raises(InputError, match="does not record gpu_hours"):
        compute(made, made.steps, "gpu_hours")


def test_epochs():
    made = run({"trained_steps": 400}, epoch=[0.5, 1.0, 1.5])
    assert compute(made, made.steps, "epochs").full == 2.0
    assert compute(run({"step_unit": "epoch"}), made.steps, "epochs").used().tolist() == [100, 200, 300]


@pytest.mark.parametrize("unit", ["tokens", "flops", "seconds", "gpu_hours", "cost", "epochs"])
def test_a_unit_that_the_log_lacks_names_those_it_has(unit):
    with pytest.raises(
        InputError,
        match=rf"does not record {unit}.*counted in steps",
    ):
        compute(run(), np.array([100.0]), unit, price=1.0)


def test_bad_unit_and_price():
    with pytest.raises(InputError, match="no unit 'hours'"):
        compute(run(), np.array([100.0]), "hours")
    with pytest.raises(InputError, match="--price"):
        compute(run(), np.array([100.0]), "cost")
    with pytest.raises(InputError, match="positive"):
        compute(run(), np.array([100.0]), "cost", price=-1)


def test_units_of():
    assert units_of(run()) == ["steps"]
    assert set(units_of(run({"trained_steps": 300}, train_seconds=[1.0, 2.0, 3.0], epoch=[1, 2, 3]))) == {
        "steps",
        "epochs",
        "seconds",
        "gpu_hours",
        "cost",
    }
    assert "tokens" in UNITS


@pytest.mark.parametrize(
    ("unit", "columns", "info"),
    [
        ("epochs", {"epoch": [0.0]}, {}),
        ("tokens", {"tokens": [4096]}, {}),
        ("flops", {"flops": [1e9]}, {}),
        ("seconds", {"train_seconds": [2.0]}, {}),
        ("seconds", {"wall_seconds": [2.0]}, {"trained_steps": 7}),
    ],
)
def test_an_eval_at_step_0_does_not_tell_what_the_training_used(unit, columns, info):
    made = Run("r", {"step": [0], "eval_loss": [2.3], **columns}, info)
    assert unit not in units_of(made)
    with pytest.raises(InputError, match=rf"the log of run r does not record {unit}"):
        compute(made, made.steps, unit)
