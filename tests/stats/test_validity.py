"""Notes on what the logs cannot tell: each where its reason shows in a run, and none elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay import Run
from replay.data.finding import Finding, Kind
from replay.policies.combine import AllOf, AllOnce, AnyOf, Unless
from replay.policies.spec import parse_policy
from replay.report.sentences import sentences
from replay.stats.validity import find_validity, first_stop, is_resumed, lowers_on_plateau
from tests.policies.curves import MODES, batch_of, modified_policies, plain_policies, runs

PLATEAU = [1e-3] * 6 + [1e-4] * 3 + [1e-5] * 5
COSINE = [1e-3 * (1 + math.cos(math.pi * place / 14)) / 2 for place in range(1, 15)]
LINEAR = [1e-3 * (1 - place / 14) for place in range(14)]
CONSTANT = [1e-3] * 14
FLAT = [1.0, 0.8, 0.7, 0.7, 0.71, 0.7, 0.6, 0.6, 0.61, 0.55, 0.55, 0.56, 0.55, 0.57]


def run(rate=None, values=FLAT, id="a", **meta):
    columns = {"step": np.arange(1, len(values) + 1) * 10, "eval_loss": values}
    if rate is not None:
        columns["learning_rate"] = rate
    if "segment" in meta:
        columns["segment"] = meta.pop("segment")
    return Run(id, columns, meta)


def noted(*made, policies=("patience=3",)):
    curves = {one.id: one.curve("eval_loss", "min") for one in made}
    return sentences(find_validity(made, curves, [parse_policy(text) for text in policies]))


def named(value, key="lr_scheduler_type"):
    return {"hyperparameters": {key: value, "learning_rate": 1e-3}}


@settings(max_examples=100)
@given(
    st.integers(1, 6),
    st.integers(25, 60),
    st.floats(1e-6, 1),
    st.lists(st.floats(-10, 10), min_size=60, max_size=60),
    st.sampled_from(
        [{}, named("constant"), named("constant_with_warmup"), {"notes": ["something was left out"]}]
    ),
)
def test_a_plain_run_has_no_note(count, evals, rate, values, meta):
    """At a constant rate (or one that is not logged), in one segment, with many evals."""
    made = [
        run([rate] * evals if number % 2 else None, values[:evals], id=str(number), **meta)
        for number in range(count)
    ]
    rules = ("patience=3", "keras:patience=5", "patience=2,every=3", "patience=8", "target=0.5 | patience=4")
    assert noted(*made, policies=rules) == []


def test_falling_rates_are_counted():
    made = [
        run(COSINE, id="cosine"),
        run(LINEAR, id="linear"),
        run(CONSTANT, id="constant"),
        run(id="unknown"),
    ]
    (text,) = noted(*made)
    assert (
        text
        == "2 of 4 runs have a falling learning rate: stopping one of them early is not the same as planning"
        " a shorter schedule."
    )
    assert noted(*made[1:])[0].startswith("1 of 3 runs has a falling learning rate: ")
    assert noted(made[0])[0].startswith("The run has a falling learning rate: stopping it early is not ")
    assert noted(run([1e-4, 5e-4, *CONSTANT[2:]])) == []


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (PLATEAU, True),
        ([1e-4, 5e-4, 1e-3, *PLATEAU], True),  # after a warm-up
        ([1e-3] * 8 + [5e-4] * 6, True),
        ([1e-3] * 6 + [1e-4] * 3 + [5e-5] * 5, True),  # the least rate holds the last drop up
        ([1e-3] * 8 + [9.5e-4] * 6, False),  # too small a drop
        ([1e-3] * 6 + [1e-4] * 3 + [1e-6] * 5, False),  # two factors, neither held up
        ([1e-3] * 4 + [5e-4] * 2 + [2.45e-4] * 5 + [1.225e-4] * 3, False),  # 0.5, 0.49, 0.5
        ([1.0] * 4 + [0.494] * 2 + [0.24159564] * 5 + [0.12] * 3, True),  # 0.494 and 1 % less are alike
        ([1e-3] * 2 + [1e-4] * 12, False),
        ([1e-3] * 5 + [5e-4] * 5 + [2.5e-4] * 4, False),  # at equal distances: planned
        ([1e-3] * 8 + [5e-4, 2.5e-4, 1.25e-4, 6e-5, 3e-5, 1e-5], False),  # a decay at the end
        ([1e-3] * 8 + [5e-4] * 3 + [1e-3] * 3, False),  # it rises again
        ([1e-3] * 8 + [5e-4] * 3 + [8e-4] * 3, False),
        ([1e-3] * 3 + [5e-4], False),  # four evals are too few to tell
        ([1e-3] * 10 + [0.0] * 4, False),
        (COSINE, False),
        (LINEAR, False),
        (CONSTANT, False),
        ([0.9**place for place in range(14)], False),  # exponential
        ([1e-3] * 2 + [5e-4] * 2, False),  # too few to tell
    ],
)
def test_drops_are_told_from_a_decay(rate, shown):
    values = (FLAT + FLAT[-1:] * 4)[: len(rate)]
    assert lowers_on_plateau(run(rate, values)) == ("rate" if shown else None)
    said = noted(run(rate, values))
    assert any("reduce-on-plateau" in text for text in said) == shown
    assert any("falling" in text for text in said) == (not shown and rate[-1] < 0.9 * max(rate))


def test_five_evals_are_enough_to_show_a_drop():
    assert lowers_on_plateau(run([1e-3] * 3 + [5e-4] * 2, FLAT[:5])) == "rate"
    assert lowers_on_plateau(run([1e-3] * 3 + [5e-4], FLAT[:4])) is None


def test_a_drop_right_after_a_gain_or_at_a_resume_answers_nothing():
    gaining = [1 / (1 + place) for place in range(14)]
    one = run(PLATEAU, gaining)
    assert lowers_on_plateau(one, one.curve("eval_loss", "min")) is None
    assert lowers_on_plateau(one, run(PLATEAU).curve("eval_loss", "min")) == "rate"
    assert lowers_on_plateau(run([1e-3] * 8 + [1e-4] * 6, segment=[0] * 8 + [1] * 6)) is None
    assert lowers_on_plateau(run([1e-3] * 8 + [1e-4] * 6, segment=[0] * 5 + [1] * 9)) == "rate"
    # one of two drops was made by hand
    assert lowers_on_plateau(run(PLATEAU, segment=[0] * 6 + [1] * 8)) is None
    assert lowers_on_plateau(run(PLATEAU, segment=[0] * 9 + [1] * 5)) is None
    assert lowers_on_plateau(run(PLATEAU, segment=[0] * 7 + [1] * 7)) == "rate"
    # a gain is large or small beside the best so far, whatever the first value was
    steep = [100.0, 0.8, 0.75, 0.75, 0.76, 0.7, *FLAT[6:]]
    assert lowers_on_plateau(run(PLATEAU), run(PLATEAU, steep).curve("eval_loss", "min")) is None
    small = [100.0, 0.8, 0.75, 0.75, 0.76, 0.7495, *FLAT[6:]]
    assert lowers_on_plateau(run(PLATEAU), run(PLATEAU, small).curve("eval_loss", "min")) == "rate"
    rising = run(PLATEAU, [1 - value for value in FLAT])
    assert lowers_on_plateau(rising, rising.curve("eval_loss", "max")) == "rate"


@pytest.mark.parametrize(
    "settings",
    [
        named("reduce_lr_on_plateau"),
        named("SchedulerType.REDUCE_ON_PLATEAU"),
        named("ReduceLROnPlateau", "scheduler"),
        named("reduce-on-plateau", "train/scheduler"),
        named("plateau", "sched"),
        named("torch.optim.lr_scheduler.ReduceLROnPlateau", "lr_scheduler/class_path"),
        {
            "hyperparameters": {
                "scheduler": {
                    "class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "init_args": {"patience": 3},
                }
            }
        },
    ],
)
def test_a_named_scheduler_is_believed(settings):
    odd = [1e-3] * 2 + [1e-4, 1e-5] + [1e-6] * 10  # what the rate alone would not show
    assert lowers_on_plateau(run(odd, **settings)) == "name"
    assert lowers_on_plateau(run(None, **settings)) == "name"
    assert lowers_on_plateau(run(CONSTANT, **settings)) is None  # it never came to a drop
    assert not any("falling" in text for text in noted(run(odd, **settings)))


def test_other_names():
    assert lowers_on_plateau(run(PLATEAU, **named("MultiStepLR", "scheduler"))) is None
    assert lowers_on_plateau(run(PLATEAU, **named("step", "lr_schedule"))) is None
    assert lowers_on_plateau(run(PLATEAU, **named("linear"))) == "rate"  # a default that the rate contradicts
    assert lowers_on_plateau(run(PLATEAU, **named("step", "scheduler/interval"))) == "rate"
    assert lowers_on_plateau(run(COSINE, **named("plateau", "experiment"))) is None


def test_headers_are_untrusted():
    deep = {}
    for _ in range(5000):
        deep = {"scheduler": deep}
    for odd in (deep, ["scheduler"], "scheduler", 3, {"scheduler": [{"name": "plateau"}], "lr": None}):
        assert lowers_on_plateau(run(CONSTANT, hyperparameters=odd)) is None
    for steps in (math.nan, math.inf, -3.0, 0.0, None):
        assert not is_resumed(run(wasted={"steps": steps}))


def test_the_note_on_plateaus():
    both = [
        run(PLATEAU, id="a"),
        run(PLATEAU, id="b", **named("reduce_lr_on_plateau")),
        run(CONSTANT, id="c"),
    ]
    (text,) = noted(*both)
    assert (
        text
        == "2 of 3 runs lower the learning rate in steps, as reduce-on-plateau does when the metric stalls (1"
        " of them named so): the results hold for stopping such a training, not for one whose rate is"
        " lowered at other times or never. What a drop gained counts as lost where a policy stops before"
        " it; with reset_on=lr_drop a policy waits anew after each drop to half or less."
    )
    assert noted(*both[1:])[0].startswith(
        "1 of 2 runs lowers the learning rate when the metric stalls (reduce-on-plateau): "
    )
    assert noted(both[0])[0].startswith(
        "The run lowers the learning rate in steps, as reduce-on-plateau does when the metric stalls: "
    )
    assert "reset_on" not in noted(*both, policies=["patience=3,reset_on=lr_drop"])[0]
    assert "reset_on" in noted(*both, policies=["patience=3,reset_on=lr_drop", "patience=3"])[0]
    assert "reset_on" not in noted(run([1e-3] * 8 + [8e-4] * 6))[0]  # no drop that it would see


def resume(step, replaced):
    return Finding(Kind.RESUMED, facts={"steps": (step,), "replaced": replaced})


def test_resumed_runs():
    plain, parts = run(id="a"), run(id="b", segment=[0] * 6 + [1] * 8)
    twice = run(
        id="c",
        wasted={"steps": 10.0, "tokens": 100.0},
        findings=[resume(60, 0)],
    )
    tensorboard = run(id="d", resumes=[60], findings=[resume(60, 3)])
    clean = run(id="e", resumes=[60], findings=[resume(60, 0)])
    assert [is_resumed(one) for one in (plain, parts, twice, tensorboard, clean)] == [
        False,
        True,
        True,
        True,
        True,
    ]
    twice_told = " 10 steps were trained twice and are not counted as used."
    again_told = (
        " In 1 of them some steps were trained twice. Counted in steps, they are not part of what was used."
    )
    first = (
        "4 of 5 runs were resumed. Tools that keep the patience counter in memory reset it on resume and"
        " usually stop later. This replay does not reset it."
    )
    assert noted(plain, parts, twice, tensorboard, clean) == [first + twice_told + again_told]
    assert noted(plain, parts) == [first.replace("4 of 5 runs were", "1 of 2 runs was")]
    assert noted(tensorboard)[0].startswith("The run was resumed. ")
    assert "There some steps were trained twice" in noted(tensorboard)[0]
    assert noted(run(segment=[2] * 14)) == []


def test_waits_longer_than_the_log():
    short = [run(values=FLAT[:count], id=str(count)) for count in (5, 6, 14)]
    assert noted(*short, policies=["patience=3"]) == []
    assert noted(*short, policies=["patience=5"]) == [
        (
            "2 of 3 runs have too few evals to try patience=5: it can stop at eval 6 at the earliest, which"
            " is their last or comes after it."
        )
    ]
    (text,) = noted(*short, policies=["patience=4", "patience=20", "keras:patience=8", "patience=2"])
    assert text.startswith("2 of 3 runs have too few evals to try keras:patience=8: it can stop at eval 9 ")
    assert text.endswith(" So it is with 2 more policies on some of the runs.")
    (text,) = noted(*short, policies=["patience=4"])
    assert (
        text
        == "1 of 3 runs has too few evals to try patience=4: it can stop at eval 5 at the earliest, which is"
        " its last or comes after it."
    )
    assert noted(short[0], policies=["patience=4", "patience=5"])[0].endswith(
        "comes after it. So it is with 1 more policy."
    )
    assert noted(run(values=[math.nan, *FLAT[:4]]), policies=["patience=4"]) == []  # it can stop at eval 4
    assert (
        noted(*short, policies=["patience=50,unit=steps", "target=0.1", "never", "patience=9 | target=0.1"])
        == []
    )


def test_a_policy_is_held_against_the_metric_that_it_watches():
    one = Run(
        "a",
        {"step": [1, 2, 3, 4, 5, 6], "eval_loss": FLAT[:6], "eval_f1": [0.1, None, None, 0.2, None, None]},
    )
    curves = {"a": one.curve("eval_loss", "min")}
    assert find_validity([one], curves, [parse_policy("patience=3,monitor=eval_loss")]) == []
    assert len(find_validity([one], curves, [parse_policy("patience=3,monitor=eval_f1,mode=max")])) == 1
    assert find_validity([one], curves, [parse_policy("patience=3,monitor=eval_bleu")]) == []
    assert find_validity([one], {}, [parse_policy("patience=30")]) == []


@pytest.mark.parametrize(
    ("spec", "earliest"),
    [
        ("patience=3", 4),
        ("xgboost:rounds=3", 4),
        ("keras:patience=3,baseline=0.5", 3),
        ("patience=3,every=4", 16),
        ("patience=3,start=5", 8),
        ("patience=3,every=2,start=5", 16),
        ("patience=3,start=lr_warmup", 4),
        ("patience=3 | keras:patience=9", 4),
        ("patience=3 | target=0.5", None),
        ("patience=3 & keras:patience=9", 10),
        ("patience=3 && target=0.5", 4),
        ("patience=3 unless target=0.5", 4),
        ("patience=3,monitor=eval_loss | patience=4,monitor=eval_f1", None),
        ("patience=3,unit=epochs", None),
        ("lightning:patience=3,divergence_threshold=5", None),
        ("ultralytics:patience=0", None),
        ("fairseq", None),
        ("budget=5,unit=evals", None),
    ],
)
def test_first_stop(spec, earliest):
    assert first_stop(parse_policy(spec)) == earliest


@st.composite
def rules(draw):
    """A policy of any kind: plain, modified, or two of them together."""
    part = st.one_of(plain_policies(), modified_policies())
    join = draw(st.sampled_from([None, None, AnyOf, AllOf, AllOnce, Unless]))
    return draw(part) if join is None else join((draw(part), draw(part)))


FINITE = st.lists(st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0, -0.5]), st.floats(-2, 2)), max_size=14)


@settings(max_examples=400, deadline=None)
@given(runs(most=1), FINITE, rules(), MODES)
def test_no_policy_stops_before(made, finite, policy, mode):
    """Whatever the rule and its parameters: no run of finite values is stopped before the eval that is given
    as the first."""
    made = [(finite[: len(values)] + [0.5] * (len(values) - len(finite)), along) for values, along in made]
    earliest = first_stop(policy)
    if earliest is not None:
        stops = policy.stops(batch_of(made, mode))
        assert all(stop < 0 or stop + 1 >= earliest for stop in stops.tolist())


def test_sample_logs():
    """By count against the grids: cosine runs, and the one that was killed in its middle."""
    made = replay.load("sample_logs")
    said = noted(*made, policies=["patience=3", "transformers:patience=3,threshold=0.001"])
    cosine = sum(1 for one in made if one.info.hyperparameters["lr_scheduler_type"] == "cosine")
    assert cosine == sum("-cosine-" in one.id for one in made) == 9
    assert [one.id for one in made if is_resumed(one)] == ["minilm-films-r4-lr1e-3-constant-s0"]
    assert [lowers_on_plateau(one, one.curve("eval_loss", "min")) for one in made] == [None] * len(made)
    assert len(said) == 2
    assert said[0].startswith(f"{cosine} of {len(made)} runs have a falling learning rate: ")
    assert said[1].startswith(f"1 of {len(made)} runs was resumed. ")
    assert said[1].endswith(" 10 steps were trained twice and are not counted as used.")
    (text,) = noted(*made, policies=["patience=24", "patience=25"])[2:]
    few = sum(len(one) == 25 for one in made)
    assert text.startswith(f"{few} of 26 runs have too few evals to try patience=24: it can stop at eval 25 ")
    assert text.endswith(" So it is with 1 more policy on some of the runs.")
