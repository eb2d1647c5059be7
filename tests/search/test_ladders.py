"""Ladders: their order, and that a safer rung never stops a run earlier."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.engine.scoring import parse_policies
from replay.policies import POLICIES
from replay.policies.param import parameters
from replay.policies.stops import NEVER
from replay.search.ladders import default_policies, make_ladders, never_stops
from tests.policies.curves import MODES, batch_of, plain_policies, runs


def specs(*texts, mode="min"):
    ladders = make_ladders(parse_policies(texts), [mode] * len(texts))
    assert all(len(ladder) == len(ladder.policies) == len(ladder.rungs) for ladder in ladders)
    return [[policy.spec() for policy in ladder.policies] for ladder in ladders]


def test_the_default_is_one_ladder_of_patience_the_longest_first():
    policies = default_policies()
    (ladder,) = make_ladders(policies, ["min"] * len(policies))
    assert [policy.patience for policy in ladder.policies] == [20, 15, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1]
    assert [policies[rung] for rung in ladder.rungs] == list(ladder.policies)


def test_modifiers_and_parameters_of_the_signal_part_ladders():
    assert specs(
        "patience=2",
        "patience=3,smooth=ema:0.3",
        "patience=4",
        "patience=2,min_delta=0.1",
        "patience=7,smooth=ema:0.3",
        "patience=7,every=2,smooth=ema:0.3",
        "patience=9,start=3",
        "patience=8,start=3",
        "patience=5,monitor=eval_f1",
        "patience=6,unit=epochs",
        "patience=9",
    ) == [
        ["patience=9", "patience=4", "patience=2"],
        ["patience=7,smooth=ema:0.3", "patience=3,smooth=ema:0.3"],
        ["patience=2,min_delta=0.1"],
        ["patience=7,every=2,smooth=ema:0.3"],
        ["patience=9,start=3", "patience=8,start=3"],
        ["patience=5,monitor=eval_f1"],
        ["patience=6,unit=epochs"],
    ]


def test_presets_are_ladders_of_their_own_and_what_is_off_is_another():
    assert specs("transformers:patience=2", "patience=2", "transformers:patience=5") == [
        ["transformers:patience=5", "transformers:patience=2"],
        ["patience=2"],
    ]
    ultralytics = specs("ultralytics:patience=0", "ultralytics:patience=5", "ultralytics:patience=9")
    assert ultralytics == [["ultralytics:patience=0"], ["ultralytics:patience=9", "ultralytics:patience=5"]]


def test_of_equal_thresholds_the_first_is_taken():
    assert specs("keras:patience=1", "keras:patience=3", "keras:patience=0", "keras:patience=3") == [
        ["keras:patience=3", "keras:patience=1"]
    ]


def test_what_has_no_threshold_of_its_own_is_a_ladder_of_one_rung():
    combined = ["patience=2 | target=0.1", "patience=3 | target=0.1", "patience=2 & gl=4", "never"]
    assert specs(*combined) == [[spec] for spec in combined]


@pytest.mark.parametrize(("mode", "order"), [("min", ["0.1", "0.2", "0.5"]), ("max", ["0.5", "0.2", "0.1"])])
def test_the_safest_target_depends_on_the_mode(mode, order):
    assert specs("target=0.2", "target=0.5", "target=0.1", mode=mode) == [[f"target={one}" for one in order]]


def test_policies_with_different_modes_are_not_one_ladder():
    policies = parse_policies(["patience=2", "patience=3"])
    assert [ladder.rungs for ladder in make_ladders(policies, ["min", "max"])] == [(0,), (1,)]
    with pytest.raises(ValueError, match="zip"):
        make_ladders(policies, ["min"])


@pytest.mark.parametrize(
    ("spec", "stops_none"),
    [
        ("never", True),
        ("never:every=2", True),
        ("ultralytics:patience=0", True),
        ("ultralytics:patience=0,smooth=mean:3", True),
        ("patience=500", False),
        ("patience=1 | never", False),
    ],
)
def test_what_never_stops_is_known(spec, stops_none):
    assert never_stops(parse_policies([spec])[0]) is stops_none


@pytest.mark.parametrize("kind", POLICIES.values(), ids=lambda kind: kind.name)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_safer_rung_stops_no_run_earlier(kind, data):
    first, *others = data.draw(st.lists(plain_policies([kind]), min_size=2, max_size=5))
    moved = [item.name for item in parameters(kind) if item.metadata["sets_threshold"]]
    policies = [first]
    for other in others:
        policies.append(replace(first, **{name: getattr(other, name) for name in moved}))
    mode = data.draw(MODES)
    batch = batch_of(data.draw(runs()), mode)
    ladders = make_ladders(policies, [mode] * len(policies))
    assert len(ladders) <= 2  # off is another
    for ladder in ladders:
        stops = np.array([policy.stops(batch) for policy in ladder.policies])
        stops = np.where(stops == NEVER, batch.shape[1], stops)
        assert (np.diff(stops, axis=0) <= 0).all()
