"""Which runs belong together."""

import pytest

from replay import Run
from replay.errors import InputError
from replay.stats.groups import groups_of


def run(id, **meta):
    return Run(id, {"step": [1, 2], "eval_loss": [1.0, 0.5]}, meta)


RUNS = [
    run(
        "sst2/lr1",
        group="sst2",
        dataset="glue",
        model="tiny",
        hyperparameters={"learning_rate": 1e-4, "warmup": True},
    ),
    run("sst2/lr2", group="sst2", dataset="glue", hyperparameters={"learning_rate": 2e-4}),
    run("alone", dataset="own", model="tiny", hyperparameters={"learning_rate": 1e-4}),
    run("deep/er/lr1", group="", model="large"),
]


def test_by_default_the_group_is_what_the_log_states_else_the_run():
    assert groups_of(RUNS) == ["sst2", "sst2", "alone", "deep/er/lr1"]
    assert groups_of([run("a", group=3), run("b", group=3), run("c", group=None)]) == ["3", "3", "c"]


def test_by_run_each_is_its_own_whatever_the_log_states():
    assert groups_of(RUNS, "run") == ["sst2/lr1", "sst2/lr2", "alone", "deep/er/lr1"]


def test_by_folder_is_the_first_folder_of_the_id():
    assert groups_of(RUNS, "folder") == ["sst2", "sst2", "alone", "deep"]


@pytest.mark.parametrize(
    ("by", "together"),
    [
        ("dataset", [[0, 1], [2], [3]]),
        ("model", [[0, 2], [1], [3]]),
        ("learning_rate", [[0, 2], [1], [3]]),
        ("warmup", [[0], [1], [2], [3]]),
        ("group", [[0, 1], [2], [3]]),
    ],
)
def test_runs_that_say_the_same_belong_together_and_those_that_do_not_say_it_are_alone(by, together):
    found = groups_of(RUNS, by)
    assert [
        [place for place, group in enumerate(found) if group == name] for name in dict.fromkeys(found)
    ] == together


def test_a_run_that_lacks_it_is_not_grouped_with_one_that_is_called_like_a_value():
    found = groups_of([run("glue"), run("a", dataset="glue"), run("b", dataset="glue")], "dataset")
    assert found[1] == found[2] != found[0]


def test_what_the_head_of_the_log_says_goes_before_a_hyperparameter_of_that_name():
    made = [
        run("a", dataset="x", hyperparameters={"dataset": "same"}),
        run("b", dataset="y", hyperparameters={"dataset": "same"}),
    ]
    assert len(set(groups_of(made, "dataset"))) == 2


def test_values_that_are_no_single_word_or_number_cannot_group():
    made = [run("a", dataset=["glue"], hyperparameters="none"), run("b", dataset=["glue"], model="tiny")]
    with pytest.raises(InputError, match="no run says its 'dataset'"):
        groups_of(made, "dataset")


def test_what_no_run_says_is_an_error_that_names_what_they_say():
    with pytest.raises(InputError) as raised:
        groups_of(RUNS, "datset")
    assert (
        str(raised.value)
        == "no run says its 'datset', so runs cannot be grouped by it; there are dataset, folder, group,"
        " learning_rate, model, run, warmup. Did you mean dataset?"
    )
    with pytest.raises(InputError, match=r"there are folder, run\b"):
        groups_of([run("a"), run("b")], "dataset")


def test_no_runs_have_no_groups():
    assert groups_of([]) == groups_of([], "run") == []
