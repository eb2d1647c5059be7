"""Policies that compare runs stop where the real Optuna, Ray Tune and Syne Tune stop, in any order."""

import json
import warnings
from importlib.util import find_spec

import pytest

from replay.policies import ACROSS
from tests.policies.across.parity import describe_case, draw_case, our_stops, real_stops
from tests.policies.across.syne_golden import FILE, digest

NAMES = [name for name in ACROSS if name.split("-")[0] in ("optuna", "ray", "syne")]
MODULES = {"optuna": "optuna", "ray": "ray", "syne": "syne_tune"}


def check(name, seeds):
    if find_spec(MODULES[name.split("-")[0]]) is None:
        pytest.skip(f"{MODULES[name.split('-')[0]]} is not installed")
    stopped = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in seeds:
            case = draw_case(name, seed)
            ours = our_stops(case, seed)
            assert ours == real_stops(case, seed), (seed, *describe_case(case))
            stopped += sum(stop >= 0 for stop in ours)
    assert stopped > len(seeds) / 4  # the cases are no idle ones


@pytest.mark.parametrize("name", NAMES)
def test_stops_as_the_tool_does(name):
    check(name, range(60))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_stops_as_the_tool_does_in_thousands_of_orders(name):
    check(name, range(60, 4060))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("syne")])
def test_stops_as_syne_tune_did(name):
    """Syne Tune requires xgboost, in whose place the tests have xgboost-cpu, so its stops are on file."""
    golden = json.loads(FILE.read_text(encoding="utf-8"))
    assert ACROSS[name].checked_against == f"syne-tune {golden['version']}"
    stopped = 0
    for seed, (known, stops) in enumerate(golden["cases"][name]):
        case = draw_case(name, seed)
        assert digest(case) == known, "the cases are drawn in another way: write the file anew"
        ours = our_stops(case, seed)
        assert ours == stops, (seed, *describe_case(case))
        stopped += sum(stop >= 0 for stop in stops)
    assert stopped > 100
