"""Policies that compare runs stop where the real Optuna, Ray Tune and Syne Tune stop, in any order."""

import warnings
from importlib.util import find_spec

import pytest

from replay.policies import ACROSS
from tests.policies.across.parity import compare

NAMES = [name for name in ACROSS if name.split("-")[0] in ("optuna", "ray", "syne")]
MODULES = {"optuna": "optuna", "ray": "ray", "syne": "syne_tune"}


def check(name, seeds, monkeypatch):
    if find_spec(MODULES[name.split("-")[0]]) is None:
        pytest.skip(f"{MODULES[name.split('-')[0]]} is not installed")
    stopped = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            ours, theirs, case = compare(name, seed, monkeypatch)
            assert ours == theirs, (seed, *case)
            stopped += sum(stop >= 0 for stop in ours)
    assert stopped > len(seeds) / 4  # the cases are no idle ones


@pytest.mark.parametrize("name", NAMES)
def test_stops_as_the_tool_does(name, monkeypatch):
    check(name, range(60), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_stops_as_the_tool_does_in_thousands_of_orders(name, monkeypatch):
    check(name, range(60, 4060), monkeypatch)
