"""How often a run is evaluated, and what is evaluated, leaves every training step as it is."""

import contextlib
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from collect.random_state import random_state_aside
from collect.trainer import Sets
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed

#: Both tasks with dropout, over more than one epoch.
TASKS = {
    "classification": changed(CLASSIFIER, lora={"dropout": 0.2}, train={"max_steps": 23}),
    "causal-lm": changed(
        LANGUAGE, lora={"dropout": 0.2}, train={"epochs": None, "max_steps": 23, "log_every": None}
    ),
}
EXTRAS = {
    "generation": {"every": 1, "examples": 5, "max_new_tokens": 3},
    "generic": {"file": "reviews.jsonl", "text": "text", "size": 20, "max_length": 8},
}


def try_memory_first(monkeypatch):
    train = Sets.train

    def tried(self, **kwargs):
        self.try_memory()
        return train(self, **kwargs)

    monkeypatch.setattr(Sets, "train", tried)


def count_evals_first(monkeypatch):
    """As the progress line on a terminal does."""
    train = Sets.train

    def counted(self, **kwargs):
        self.planned_evals()
        return train(self, **kwargs)

    monkeypatch.setattr(Sets, "train", counted)


def without_base_model(monkeypatch):
    monkeypatch.setattr(Sets, "ask_base_model", lambda self: None)


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def steps_of(collect_run, tmp_path_factory):
    """Trains, and gives the step signals."""

    def train(config):
        result, folder = collect_run(config, "steps", tmp_path_factory.mktemp("out"))
        assert result.exit_code == 0, result.output
        return read_step_signals(folder / FILE_NAME)

    return train


@pytest.fixture(scope="module")
def rare(task, steps_of):
    """The steps with an eval at step 21 and at the end."""
    return steps_of(changed(TASKS[task], train={"eval_every": 21}))


@pytest.mark.parametrize(
    ("sections", "prepare"),
    [
        ({}, None),
        pytest.param({"train": {"eval_at_start": True}}, None, marks=pytest.mark.slow),
        (EXTRAS, None),
        ({}, without_base_model),
        pytest.param(EXTRAS, try_memory_first, marks=pytest.mark.slow),
        ({}, count_evals_first),
    ],
    ids=["plain", "at start", "generation and generic", "no base model", "memory trial", "progress"],
)
def test_steps_are_the_same_for_any_evaluation(sections, prepare, task, rare, steps_of, monkeypatch):
    if task == "classification":
        sections = {name: section for name, section in sections.items() if name not in EXTRAS}
    config = changed(TASKS[task], **sections)
    config = changed(config, train={"eval_every": 5})
    if prepare is count_evals_first:  # only epochs need the training data to be counted
        per_epoch = 6 if task == "classification" else 12
        config = changed(config, train={"max_steps": None, "epochs": 23 / per_epoch})
    if prepare is not None:
        prepare(monkeypatch)
    often = steps_of(config)
    assert often.steps.tolist() == rare.steps.tolist() == list(range(1, 24))
    assert often.values.tobytes() == rare.values.tobytes()
    assert often.totals.tobytes() == rare.totals.tobytes()


def draw():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_all_generators_are_restored_after_an_error_too():
    with random_state_aside(torch.device("cpu")):
        wanted = draw()
    with contextlib.suppress(ZeroDivisionError), random_state_aside(torch.device("cpu")):
        draw()
        raise ZeroDivisionError
    assert draw() == wanted
    assert draw() != wanted


def test_the_gpu_s_generator_is_restored(monkeypatch):
    state = [7]
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: state[0])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda value: state.__setitem__(0, value))
    with random_state_aside(SimpleNamespace(type="cuda")):
        state[0] = 8
    assert state == [7]
