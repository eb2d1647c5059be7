"""What must hold for every policy, over the table itself: a new entry is tested without an edit here (but
needs its loop)."""

import dataclasses
import inspect
import math
from dataclasses import MISSING

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from replay.data.curve import Curve, CurveBatch
from replay.errors import PolicyError
from replay.policies import POLICIES, kernels
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless
from replay.policies.param import parameters, signal_fields, type_of
from replay.policies.spec import parse_policy
from replay.policies.stops import REFUSED, find_stops

from .curves import MODES, batch_of, mirrors, modified_policies, plain_policies, runs
from .loops import LOOPS, modified

KINDS = list(POLICIES.values())
ANY_POLICY = st.one_of(plain_policies(), modified_policies())
COMBINED = st.one_of(
    st.builds(
        lambda kind, parts: kind(tuple(parts)),
        st.sampled_from([AnyOf, AllOf, AllOnce]),
        st.lists(ANY_POLICY, min_size=2, max_size=3),
    ),
    st.builds(lambda *parts: Unless(parts), ANY_POLICY, ANY_POLICY),
)
NESTED = st.recursive(
    COMBINED,
    lambda inner: st.builds(
        lambda kind, *parts: kind(parts), st.sampled_from([AnyOf, AllOf, AllOnce, Unless]), inner, inner
    ),
    max_leaves=3,
)


def _loop(policy, values, mode, along):
    if policy.name in LOOPS:
        return LOOPS[policy.name](policy, values, mode, along)
    if policy.name == "modified":
        return modified(policy, values, mode, along)
    ever, unknown = [False] * len(policy.parts), [False] * len(policy.parts)
    for number in range(1, len(values) + 1):
        now = [_at_last(part, values[:number], mode, along) for part in policy.parts]
        fired = [
            signal >= part.signal_threshold(mode) for part, signal in zip(policy.parts, now, strict=True)
        ]
        ever = [before or here for before, here in zip(ever, fired, strict=True)]
        unknown = [before or bool(np.isnan(signal)) for before, signal in zip(unknown, now, strict=True)]
        stops = {
            "any": any(fired),
            "all": all(fired),
            "all-once": all(ever),
            "unless": fired[0] and not ever[1] and not unknown[1],
        }
        if stops[policy.name]:
            return number
    return None


def _at_last(policy, values, mode, along):
    """A part's signal at the last eval, whatever it did before."""
    batch = batch_of([(values, {name: column[: len(values)] for name, column in along.items()})], mode)
    return policy.signal(batch)[0, -1]


def _stops(policy, made, mode):
    return [None if stop < 0 else int(stop) + 1 for stop in policy.stops(batch_of(made, mode))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_policy_is_documented_and_has_a_loop(kind):
    doc = inspect.getdoc(kind)
    assert doc
    assert len(doc.split("\n")[0]) <= 110
    assert kind.name in LOOPS
    assert POLICIES[kind.name] is kind
    assert all(item.metadata["help"] for item in parameters(kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_batch_equals_plain_loop(kind, data):
    policy, made, mode = data.draw(plain_policies([kind])), data.draw(runs()), data.draw(MODES)
    assert _stops(policy, made, mode) == [_loop(policy, values, mode, along) for values, along in made]


@given(policy=modified_policies(), made=runs(), mode=MODES)
@settings(max_examples=400, deadline=None)
def test_modifiers_equal_plain_loop(policy, made, mode):
    assert _stops(policy, made, mode) == [_loop(policy, values, mode, along) for values, along in made]


@given(policy=COMBINED, made=runs(most=2, longest=8), mode=MODES)
@settings(max_examples=150, deadline=None)
def test_combinators_equal_plain_loop(policy, made, mode):
    assert _stops(policy, made, mode) == [_loop(policy, values, mode, along) for values, along in made]


@given(policy=st.one_of(ANY_POLICY, COMBINED), made=runs(), mode=MODES)
@settings(max_examples=400, deadline=None)
def test_no_look_ahead_and_no_neighbours(policy, made, mode):
    """The signal of a prefix is the prefix of the signal, bit for bit, and other runs in the batch change
    nothing."""
    whole = policy.signal(batch_of(made, mode))
    for row, (values, along) in enumerate(made):
        for end in range(1, len(values) + 1):
            part = policy.signal(
                batch_of([(values[:end], {name: column[:end] for name, column in along.items()})], mode)
            )
            np.testing.assert_array_equal(part[0, :end], whole[row, :end])


@given(policy=st.one_of(ANY_POLICY, COMBINED), made=runs(), mode=MODES)
@settings(max_examples=200, deadline=None)
def test_min_and_max_mirror(policy, made, mode):
    if not mirrors(policy):
        return
    other = "max" if mode == "min" else "min"
    mirrored = [([-value for value in values], along) for values, along in made]
    assert _stops(policy, made, mode) == _stops(policy, mirrored, other)


#: Rules that only look at differences of the metric, with any parameters but those named.
DIFFERENCES = {
    "patience": (),
    "up": (),
    "noise": (),
    "gap": (),
    "nonfinite": (),
    "never": (),
    "budget": (),
    "one-epoch": (),
    "transformers": (),
    "transformers@4.46": (),
    "tutorial": (),
    "llamafactory": (),
    "axolotl": (),
    "fastai": (),
    "fairseq": (),
    "allennlp": (),
    "opennmt": (),
    "xgboost": (),
    "lightgbm": (),
    "sklearn-mlp": (),
    "sklearn-sgd": (),
    "sklearn-hgb": (),
    "optuna-patient": (),
    "keras": ("baseline",),
    "lightning": ("stopping_threshold", "divergence_threshold"),
    "ignite": ("threshold_mode",),
    "torch-plateau": ("threshold_mode",),
    "ray-plateau": ("metric_threshold",),
}
#: Numbers whose sums and differences have no rounding, in float32 either.
EXACT = st.one_of(st.integers(-64, 64).map(lambda number: number / 16), st.just(math.nan))


@pytest.mark.parametrize("name", DIFFERENCES)
@given(data=st.data(), shift=st.sampled_from([-32.0, -0.5, 4.0, 128.0]), mode=MODES)
@settings(max_examples=60, deadline=None)
def test_a_constant_added_does_not_move_a_rule_of_differences(name, data, shift, mode):
    policy = data.draw(plain_policies([POLICIES[name]]))
    absolute = {"threshold_mode": "abs"}
    exact = {
        field: round(getattr(policy, field) * 16) / 16
        for field in ("min_delta", "threshold", "tol")
        if hasattr(policy, field)
    }
    policy = dataclasses.replace(
        policy, **exact, **{field: absolute.get(field) for field in DIFFERENCES[name]}
    )
    values = data.draw(st.lists(EXACT, min_size=1, max_size=12))
    made = data.draw(runs(most=1, longest=0))
    along = {**made[0][1], "steps": [float(number) for number in range(1, len(values) + 1)]}
    rest = {field: [1.0 * number for number in range(len(values))] for field in along if field != "steps"}
    along = {**rest, "steps": along["steps"]}
    shifted = [value + shift for value in values]
    assert _stops(policy, [(values, along)], mode) == _stops(policy, [(shifted, along)], mode)


@given(policy=st.one_of(ANY_POLICY, COMBINED), made=runs(), mode=MODES)
@settings(max_examples=200, deadline=None)
def test_every_eval_has_a_reason(policy, made, mode):
    batch = batch_of(made, mode)
    trace = policy.trace(batch)
    for row, length in enumerate(batch.lengths):
        for index in range(length):
            reason = policy.reason(trace, row, index)
            assert reason.strip() == reason
            assert reason
            assert "\n" not in reason


@given(policy=st.one_of(ANY_POLICY, NESTED))
@settings(max_examples=300, deadline=None)
def test_specification_round_trip(policy):
    again = parse_policy(policy.spec())
    assert again.spec() == policy.spec()


@given(policy=ANY_POLICY, made=runs(), mode=MODES)
@settings(max_examples=100, deadline=None)
def test_a_policy_or_itself_is_itself(policy, made, mode):
    assert (
        _stops(AnyOf((policy, policy)), made, mode)
        == _stops(policy, made, mode)
        == _stops(AllOf((policy, policy)), made, mode)
    )


@given(policy=plain_policies(), made=runs(), mode=MODES)
@settings(max_examples=100, deadline=None)
def test_thinning_by_one_and_no_smoothing_are_the_identity(policy, made, mode):
    again = parse_policy(
        policy.spec() + (",every=1,smooth=none" if "=" in policy.spec() else ":every=1,smooth=none")
    )
    assert _stops(again, made, mode) == _stops(policy, made, mode)


@given(policy=ANY_POLICY, made=runs(), mode=MODES)
@settings(max_examples=100, deadline=None)
def test_decide_agrees_with_the_first_stop(policy, made, mode):
    """What a live callback asks at each eval stops where replay stops."""
    (expected,) = _stops(policy, made[:1], mode)
    values, along = made[0]
    columns = {companion.name: along.get(companion.name, along["used"]) for companion in policy.companions}
    refused = policy.refusals(policy.trace(batch_of(made[:1], mode)))
    live = None
    for end in range(1, len(values) + 1):
        try:
            decision = policy.decide(
                values[:end],
                mode,
                along["steps"][:end],
                {name: column[:end] for name, column in columns.items()},
            )
        except PolicyError:  # not defined for what was logged: neither stops
            assert refused
            return
        assert decision.eval == end
        if decision.stop:
            live = end
            break
    assert not refused
    assert live == expected


def test_a_batch_without_runs_or_evals():
    for kind in KINDS:
        required = {item.name: 1 for item in parameters(kind) if item.default is MISSING}
        policy = kind(**required)
        assert _stops(policy, [], "min") == []
        assert _stops(policy, [([], {"steps": [], "epoch": [], "used": []})], "min") == [None]


def _one_by_one(policy, batch):
    """The stops of one policy, REFUSED where it cannot judge a run."""
    trace = policy.trace(batch)
    stops = policy.stops(batch)
    stops[list(policy.refusals(trace))] = REFUSED
    return stops


def _all_at_once(policies, batch):
    found = np.full((len(policies), batch.shape[0]), -9)
    for places, stops in find_stops(policies, batch):
        assert (found[places] == -9).all(), "every policy once"
        found[places] = stops
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_stops_of_many_policies_of_a_kind_are_those_of_each(kind, data):
    """Whatever they share: a parameter that is said to move the limit alone must not move the signal."""
    policies, made, mode = (
        data.draw(st.lists(plain_policies([kind]), min_size=1, max_size=12)),
        data.draw(runs()),
        data.draw(MODES),
    )
    batch = batch_of(made, mode)
    np.testing.assert_array_equal(
        _all_at_once(policies, batch), [_one_by_one(policy, batch) for policy in policies]
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, item.name)
        for kind in KINDS
        for item in parameters(kind)
        if item.name in signal_fields(kind)
        and type_of(item) in ("int", "float")
        and item.name not in ("alpha", "share")  # they are in the name of the companion
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_number_that_moves_no_signal_is_marked_as_one(kind, name):
    """A sweep computes the signal once for all values of such a parameter, so each of them has to say so."""

    @st.composite
    def pairs(draw):
        one, other = draw(plain_policies([kind])), draw(plain_policies([kind]))
        return one, dataclasses.replace(one, **{name: getattr(other, name)})

    def differ(drawn):
        (one, other), made, mode = drawn
        batch = batch_of(made, mode)
        return not np.array_equal(one.signal(batch), other.signal(batch), equal_nan=True)

    enough = settings(max_examples=2000, deadline=None, phases=[Phase.generate], database=None)
    find(st.tuples(pairs(), runs(most=1), MODES), differ, settings=enough)


@given(policies=st.lists(st.one_of(ANY_POLICY, COMBINED), min_size=1, max_size=12), made=runs(), mode=MODES)
@settings(max_examples=120, deadline=None)
def test_stops_of_many_policies_are_those_of_each(policies, made, mode):
    batch = batch_of(made, mode)
    np.testing.assert_array_equal(
        _all_at_once(policies, batch), [_one_by_one(policy, batch) for policy in policies]
    )


@given(
    policies=st.lists(
        st.builds(
            parse_policy,
            st.sampled_from(["gl=1", "gl=50", "pq:strip=1", "patience=1", "target=0.5"]).flatmap(
                lambda spec: st.sampled_from(
                    [spec, *(f"{spec},{more}" for more in ("every=2", "start=2", "every=2,smooth=mean:2"))]
                )
            ),
        ),
        min_size=1,
        max_size=8,
    ),
    curves=st.lists(st.lists(st.sampled_from([1.0, 0.9, -0.5]), max_size=2), min_size=1, max_size=4),
    mode=MODES,
)
@settings(max_examples=300, deadline=None)
def test_stops_on_runs_of_at_most_two_evals_are_those_of_each(policies, curves, mode):
    """A modifier may leave one eval, or none, of runs that the policy inside refuses at their last eval."""
    along = {"steps": [0.0, 9.0], "epoch": [0.0, 0.5], "used": [0.0, 9.0], "train_loss": [1.0, 0.0]}
    made = [(values, {name: column[: len(values)] for name, column in along.items()}) for values in curves]
    batch = batch_of(made, mode)
    np.testing.assert_array_equal(
        _all_at_once(policies, batch), [_one_by_one(policy, batch) for policy in policies]
    )


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_grid_of_patience_is_the_plain_loop(data):
    made, mode = data.draw(runs()), data.draw(MODES)
    deltas = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 1e-9]), min_size=1, max_size=3))
    changes = data.draw(
        st.lists(
            st.sampled_from(
                ["", ",smooth=mean:2", ",every=2", ",start=3,smooth=ema:0.5", ",reset_on=lr_drop"]
            ),
            max_size=3,
        )
    )
    policies = [
        parse_policy(f"patience={wait},min_delta={delta}{change}")
        for change in ["", *changes]
        for delta in deltas
        for wait in (5, 1, 2, 3, 30, 1e300)
    ]
    if data.draw(st.booleans()):  # some of the grid alone, in any order, some of it twice
        policies = data.draw(st.lists(st.sampled_from(policies), min_size=1, max_size=20))
    batch = batch_of(made, mode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_HELD", data.draw(st.sampled_from([1, 40, 10**6])))
        found = _all_at_once(policies, batch)
    assert [[None if stop < 0 else stop + 1 for stop in row] for row in found.tolist()] == [
        [_loop(policy, values, mode, along) for values, along in made] for policy in policies
    ]


@given(policy=st.one_of(ANY_POLICY, COMBINED), made=runs(), mode=MODES)
@settings(max_examples=100, deadline=None)
def test_a_policys_own_best_is_what_the_next_eval_is_compared_with(policy, made, mode):
    """At a stop within the log the reference of the next eval that is looked at says it; at the end, any eval
    that might come."""
    batch = batch_of(made, mode)
    trace = policy.trace(batch)
    for stops in (policy.stops(batch), np.full(len(made), -1)):
        found = policy.reference_after(batch, stops)
        for run, (stop, best) in enumerate(zip(stops.tolist(), found.tolist(), strict=True)):
            if trace.reference is None:
                assert math.isnan(best)
                continue
            looked = np.flatnonzero(batch.mask[run] if trace.position is None else trace.position[run] >= 0)
            later = looked[looked > stop] if stop >= 0 else looked[:0]
            if len(later):
                np.testing.assert_equal(best, trace.reference[run, later[0]])


def test_own_best_by_hand():
    curve = Curve.of([1.0, 0.9, 0.905, 0.8, 0.79, 0.795], "min")
    batch = CurveBatch.of([curve])
    for spec, stop, best in [
        ("patience=2", -1, 0.79),
        ("patience=2,min_delta=0.05", -1, 0.8),  # a gain of 0.01 does not move it
        ("transformers:patience=2,threshold=0.05", -1, 0.79),  # any gain does
        ("patience=2", 2, 0.9),
        ("patience=2,every=4", -1, 0.8),
        ("target=0.5 | patience=2", -1, math.nan),  # of two policies there is no one best
        ("xgboost:rounds=2,min_delta=0.05", 4, 0.8),
    ]:
        np.testing.assert_equal(
            parse_policy(spec).reference_after(batch, np.array([stop]))[0], best, err_msg=spec
        )
    higher = CurveBatch.of([Curve.of([0.5, 0.7, 0.6], "max")])
    assert parse_policy("patience=2").reference_after(higher, np.array([-1]))[0] == 0.7
