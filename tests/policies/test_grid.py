import itertools
from dataclasses import MISSING
from decimal import Decimal
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import parse_policy
from replay.errors import PolicyError
from replay.policies import POLICIES
from replay.policies.grid import MOST_POINTS, Dimension, count, default_grid, parse_grids
from replay.policies.modify import MODIFIERS
from replay.policies.param import parameters
from replay.policies.rules.budget import Budget
from replay.policies.rules.patience import Patience


def values(text):
    """The values of one dimension of the textbook rule."""
    texts = [text] if text.startswith("patience=") else ["patience=1", text]
    (grid,) = parse_grids(texts)
    return next(dimension.values for dimension in grid.dimensions if dimension.name == text.partition("=")[0])


def specs(*texts):
    return [policy.spec() for grid in parse_grids(texts) for policy, _ in grid.points]


def dimensions(*texts):
    return [
        {dimension.name: dimension.values for dimension in grid.dimensions} for grid in parse_grids(texts)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patience=1..5", "1 2 3 4 5"),
        ("patience= 1 .. 3 , 7 ", "1 2 3 7"),
        ("patience=3..3", "3"),
        ("patience=1..10..4", "1 5 9"),
        ("patience=1..1000..250,1000", "1 251 501 751 1000"),
        ("patience=1..20*2", "1 2 4 8 16"),
        ("patience=1..16*2", "1 2 4 8 16"),
        ("patience=5,3,1,3.0,1e0", "1 3 5"),
        ("patience=1..5,3..7..2", "1 2 3 4 5 7"),
        ("min_delta=0.1..0.5..0.1", "0.1 0.2 0.3 0.4 0.5"),
        ("min_delta=.1...3...1", "0.1 0.2 0.3"),
        ("min_delta=0..1..0.25", "0 0.25 0.5 0.75 1"),
        ("min_delta=0.5..3", "0.5 1.5 2.5"),
        ("min_delta=0,1e-4..1*10", "0 0.0001 0.001 0.01 0.1 1"),
        ("min_delta=1..100*3.1622777", "1 3.1622777 10.00000025191729 31.622777796632427 100"),
        ("min_delta=0.10,0.1,-0,0", "0 0.1"),
        ("min_delta=1e-300..3e-300..1e-300", "1e-300 2e-300 3e-300"),
        ("start=0,lr_warmup,100", "0 lr_warmup 100"),
        ("start=0..40..20,10", "0 10 20 40"),
        ("every=4,1,2", "1 2 4"),
        ("smooth=none,ema:0.30,mean:3,ema:.3", "none ema:0.3 mean:3"),
        ("monitor=eval_loss,metrics/mAP50(B)", "eval_loss metrics/mAP50(B)"),
        ("unit=tokens,evals", "tokens evals"),
        ("reset_on=none,lr_drop", "none lr_drop"),
    ],
)
def test_values(text, expected):
    assert values(text) == tuple(expected.split())


@given(st.integers(-1000, 1000), st.integers(1, 300), st.integers(0, 60), st.integers(0, 6))
def test_a_range_has_the_numbers_that_one_would_type(first, step, steps, places):
    def typed(number):
        return str(Decimal(number).scaleb(-places))

    last = first + step * steps
    (grid,) = parse_grids([f"target={typed(first)}..{typed(last)}..{typed(step)}"])
    assert [policy.target for policy, _ in grid.points] == [
        float(typed(first + step * place)) for place in range(steps + 1)
    ]


@given(st.integers(1, 1000), st.integers(11, 100), st.integers(0, 12))
def test_a_range_by_a_factor_ends_where_it_should(first, tenths, steps):
    factor = Decimal(tenths) / 10
    last = first * factor**steps
    (grid,) = parse_grids([f"target={first}..{last}*{factor}"])
    assert [policy.target for policy, _ in grid.points] == pytest.approx(
        [float(first * factor**place) for place in range(steps + 1)]
    )
    assert grid.points[-1][0].target == float(last)
    assert count([f"target={first}..{last}*{factor}"]) == steps + 1


@pytest.mark.parametrize("steps", [*range(1, 40), 300])
def test_a_range_by_a_factor_may_pass_its_end_by_a_millionth_whatever_its_length(steps):
    for first in ("1.000001", "3.000003"):
        last = int(first[0]) * 2**steps
        assert count([f"target={first}..{last}*2"]) == steps + 1
        assert count([f"target={first[:-1]}{int(first[-1]) + 1}..{last}*2"]) == steps


def test_dimensions_are_ordered_where_all_values_are_numbers():
    (grid,) = parse_grids(["patience=3,1", "start=0,lr_warmup", "every=1,2"])
    assert [dimension.ordered for dimension in grid.dimensions] == [True, False, True]
    assert Dimension("unit", ("steps",)).ordered is False


def test_points_and_coordinates():
    (grid,) = parse_grids(["every=1,2", "min_delta=0.1,0", "patience=2,1"])
    assert grid.rule == "patience"
    assert grid.dimensions == (
        Dimension("min_delta", ("0", "0.1")),
        Dimension("patience", ("1", "2")),
        Dimension("every", ("1", "2")),
    )
    assert [(policy.spec(), place) for policy, place in grid.points] == [
        ("patience=1", (0, 0, 0)),
        ("patience=1,every=2", (0, 0, 1)),
        ("patience=2", (0, 1, 0)),
        ("patience=2,every=2", (0, 1, 1)),
        ("patience=1,min_delta=0.1", (1, 0, 0)),
        ("patience=1,min_delta=0.1,every=2", (1, 0, 1)),
        ("patience=2,min_delta=0.1", (1, 1, 0)),
        ("patience=2,min_delta=0.1,every=2", (1, 1, 1)),
    ]
    assert grid.refused == ()


def test_modifiers_at_their_defaults_leave_the_policy_as_it_is():
    (grid,) = parse_grids(["patience=3", "smooth=none", "every=1", "start=0", "reset_on=none"])
    assert grid.points == ((Patience(3.0), (0,) * 5),)
    assert (
        grid.points[0][0].spec()
        == parse_policy("patience=3,smooth=none,every=1,start=0,reset_on=none").spec()
    )


def test_the_rule_is_named_or_found():
    assert specs("patience=2") == ["patience=2"]
    assert specs("min_delta=0.1", "patience=2") == ["patience=2,min_delta=0.1"]
    assert specs("rule=transformers", "early_stopping_patience=2", "min_delta=0.1") == [
        "transformers:patience=2,threshold=0.1"
    ]
    assert specs("rule=noise", "noise=1", "patience=3") == ["noise:patience=3,noise=1"]
    assert specs("rule=never", "every=1,2") == ["never", "never:every=2"]
    assert specs("rule=one-epoch,never") == ["one-epoch", "never"]
    assert specs("rule=gl,gl", "alpha=3") == ["gl=3"]


def test_groups_of_rules():
    def rules(text):
        return [grid.rule for grid in parse_grids([f"rule={text}"])]

    assert rules("all") == list(POLICIES)
    assert set(rules("own")) | set(rules("presets")) == set(POLICIES)
    assert not set(rules("own")) & set(rules("presets"))
    assert {"patience", "gl", "never"} <= set(rules("own"))
    assert {"keras", "transformers", "tutorial"} <= set(rules("presets"))
    assert rules("keras,own,gl,keras")[0] == "keras"
    assert len(rules("keras,own,gl,keras")) == len(rules("own")) + 1


def test_every_rule_takes_the_dimensions_that_are_its_own():
    found = dimensions(
        "rule=patience,keras,transformers,budget,never",
        "patience=1,2",
        "min_delta=0,0.1",
        "unit=evals,steps",
        "every=1,2",
    )
    assert found == [
        {"patience": ("1", "2"), "min_delta": ("0", "0.1"), "unit": ("evals", "steps"), "every": ("1", "2")},
        {"patience": ("1", "2"), "min_delta": ("0", "0.1"), "every": ("1", "2")},
        {"patience": ("1", "2"), "threshold": ("0", "0.1"), "every": ("1", "2")},
        {
            "budget": default_grid(POLICIES["budget"])["budget"],
            "unit": ("evals", "steps"),
            "every": ("1", "2"),
        },
        {"every": ("1", "2")},
    ]


def test_a_rule_without_a_dimension_of_its_own_has_its_default_grid():
    assert dimensions("rule=keras,gl", "gl=1,2") == [default_grid(POLICIES["keras"]), {"gl": ("1", "2")}]
    assert dimensions("rule=tutorial", "monitor=eval_loss") == [
        {**default_grid(POLICIES["tutorial"]), "monitor": ("eval_loss",)}
    ]
    assert dimensions("drift=0.1") == [
        {"min_gain": default_grid(POLICIES["drift"])["min_gain"], "drift": ("0.1",)}
    ]
    assert dimensions("rule=keras", "min_delta=0.1") == [{"min_delta": ("0.1",)}]


def test_default_grids(monkeypatch):
    class Bare(Budget):
        grid: ClassVar[dict[str, str]] = {}

    class Given(Patience):
        grid: ClassVar[dict[str, str]] = {"min_delta": "0,1e-3..1*10", "unit": "evals"}

    assert default_grid(Bare) == {"budget": ("50", "100", "250", "500", "1000", "2500", "5000")}
    waits = ("1", "2", "3", "4", "5", "6", "7", "8", "10", "15", "20")
    assert default_grid(Given) == {
        "patience": waits,
        "min_delta": ("0", "0.001", "0.01", "0.1", "1"),
        "unit": ("evals",),
    }
    monkeypatch.setitem(POLICIES.built_in, "patience", Given)
    assert dimensions("rule=patience", "every=2") == [{**default_grid(Given), "every": ("2",)}]
    assert dimensions("rule=patience", "min_delta=0.5") == [{"patience": waits, "min_delta": ("0.5",)}]


@pytest.mark.parametrize("kind", POLICIES.values(), ids=lambda kind: kind.name)
def test_default_grids_work(kind):
    default = default_grid(kind)
    (grid,) = parse_grids([f"rule={kind.name}"])
    assert {dimension.name: dimension.values for dimension in grid.dimensions} == default
    assert grid.points
    assert not grid.refused
    assert not default.keys() - {item.name for item in parameters(kind)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("patience", {"patience": "1 2 3 4 5 6 7 8 10 15 20"}),
        ("xgboost", {"rounds": "1 2 3 4 5 6 7 8 10 15 20"}),
        ("target", {"target": "0.05 0.1 0.25 0.5 1 2.5 5"}),
        ("nonfinite", {"nonfinite": "1 2 5 10"}),
        ("up", {"up": "1 2 4 10 20"}),
        ("never", {}),
        ("one-epoch", {}),
    ],
)
def test_default_grids_without_an_attribute(monkeypatch, rule, expected):
    monkeypatch.setattr(POLICIES[rule], "grid", {}, raising=False)
    assert default_grid(POLICIES[rule]) == {name: tuple(texts.split()) for name, texts in expected.items()}


def test_points_that_are_no_policy_are_left_out_and_listed():
    (grid,) = parse_grids(["patience=0..2", "every=1,2"])
    assert [(policy.spec(), place) for policy, place in grid.points] == [
        ("patience=1", (1, 0)),
        ("patience=1,every=2", (1, 1)),
        ("patience=2", (2, 0)),
        ("patience=2,every=2", (2, 1)),
    ]
    assert [spec for spec, _ in grid.refused] == ["patience=0,every=1", "patience=0,every=2"]
    assert "must be at least 1, not 0" in grid.refused[0][1]


def test_a_value_that_one_of_the_rules_cannot_read_is_left_out_there():
    steps, keras = parse_grids(["rule=patience,keras", "patience=0.5,1", "unit=steps"])
    assert [policy.spec() for policy, _ in steps.points] == [
        "patience=0.5,unit=steps",
        "patience=1,unit=steps",
    ]
    assert [(policy.spec(), place) for policy, place in keras.points] == [("keras:patience=1", (0,))]
    assert keras.dimensions == (Dimension("patience", ("1",)),)
    assert keras.refused == (
        (
            "keras:patience=0.5",
            "keras: patience must be a whole number, not 0.5; write for instance patience=3",
        ),
    )


def test_one_of_several_rules_may_have_no_points():
    textbook, keras = parse_grids(["rule=patience,keras", "patience=0"])
    assert (len(textbook.points), len(textbook.refused), len(keras.points)) == (0, 1, 1)


KERAS = "keras: patience must be a whole number, not 0.5; write for instance patience=3"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "an empty grid; write for instance patience=1..20"),
        (["patience"], "grid 'patience' is not NAME=VALUES; write for instance patience=1..20"),
        (["=3"], "grid '=3' is not NAME=VALUES; write for instance patience=1..20"),
        (["patience="], "grid 'patience=' has no values; write for instance patience=1..20"),
        (["smooth= , "], "grid 'smooth= , ' has no values; write for instance smooth=none,ema:0.3"),
        (
            ["patience=1", "patience=2..3"],
            "grid 'patience=2..3': patience is given twice; write patience=1,2..3",
        ),
        (
            ["rule=transformers", "threshold=1", "min_delta=2"],
            "threshold and min_delta are the same parameter of transformers; give one",
        ),
        (["patience=20..1"], "patience: a range goes up: 1..20, not 20..1"),
        (["patience=1..20..0"], "patience: the step of a range must be above 0, not 0"),
        (["patience=1..20..-1"], "patience: the step of a range must be above 0, not -1"),
        (["patience=1..20*1"], "patience: the factor of a range must be above 1, as in 1..20*2, not 1"),
        (
            ["patience=1", "min_delta=0..1*10"],
            (
                "min_delta: a range by a factor begins above 0, not at 0; give 0 as a value of its own, as in"
                " 0,1e-4..1*10"
            ),
        ),
        (
            ["patience=a..b"],
            "patience: a range has numbers, as in 1..20, 0..1..0.1 or 1e-4..1*10; 'a' in 'a..b' is none",
        ),
        (
            ["patience=1.."],
            "patience: a range has numbers, as in 1..20, 0..1..0.1 or 1e-4..1*10; '' in '1..' is none",
        ),
        (["patience=1..nan"], "patience: a range has finite numbers; 'nan' in '1..nan' is none"),
        (
            ["patience=1..1e999999999"],
            "patience: a range has finite numbers; '1e999999999' in '1..1e999999999' is none",
        ),
        (
            ["patience=1e-999999999..1"],
            "patience: a range has finite numbers; '1e-999999999' in '1e-999999999..1' is none",
        ),
        (["patience=1..2..3..4"], "patience: a range is A..B, A..B..STEP or A..B*FACTOR, not '1..2..3..4'"),
        (["patience=1..2..3*4"], "patience: a range is A..B, A..B..STEP or A..B*FACTOR, not '1..2..3*4'"),
        (["patience=nan"], "patience must be a finite number, not nan; write for instance patience=3"),
        (["patience=1,1e999"], "patience must be a finite number, not inf; write for instance patience=3"),
        (
            ["patience=x"],
            (
                "patience must be a whole number of at least 1 (with unit=steps, epochs or tokens any number"
                " above 0), not 'x'; write for instance patience=3"
            ),
        ),
        (["patience=1-6"], "patience: '1-6' is not a range; write patience=1..6"),
        (["patience=1:6"], "patience: '1:6' is not a range; write patience=1..6"),
        (["patience=3", "start=0-100"], "start: '0-100' is not a range; write start=0..100"),
        (["rule=keras", "patience=0.5,1"], KERAS),
        (["rule=keras,transformers", "patience=0.5,1"], KERAS),
        (
            ["patience=1", "unit=evals,parsecs"],
            "patience: unit is one of evals, steps, epochs, tokens, not 'parsecs'. Did you mean steps?",
        ),
        (["patience=1", "every=1.5"], "every counts whole evals, not 1.5"),
        (["patience=1", "start=-1..2"], "start must be at least 0, not -1"),
        (
            ["patience=1", "start=later"],
            "start must be a number or lr_warmup, not 'later'; write for instance start=100",
        ),
        (["patience=1", "mode=up"], "mode is min or max, not 'up'"),
        (
            ["patience=1", "smooth=none,box:2"],
            (
                "smooth is none, ema:WEIGHT (0 < WEIGHT <= 1, of the new value), mean:EVALS or median:EVALS;"
                " not 'box:2'"
            ),
        ),
        (["patience=1", "monitor=a|b"], "monitor is the name of a metric, not 'a|b'"),
        (["patience=1", "monitor=a unless never"], "monitor is the name of a metric, not 'a unless never'"),
        (["rule=tutorial", "monitor=a)"], "monitor is the name of a metric, not 'a)'"),
        (
            ["every=1,2", "start=0"],
            "every, start: of which rule? Add --grid rule=patience or, for every rule, --grid rule=all",
        ),
        (
            ["save_every=1"],
            (
                "of which rule? save_every is a parameter of transformers@4.46: add --grid"
                " rule=transformers@4.46"
            ),
        ),
        (
            ["patience=1", "tau=3"],
            (
                "patience has no parameter 'tau'; it has every, min_delta, mode, monitor, patience, reset_on,"
                " smooth, start, unit. Did you mean start? tau is a parameter of grades: add --grid"
                " rule=grades"
            ),
        ),
        (
            ["rule=patience,keras", "pateince=3"],
            (
                "no rule here has a parameter 'pateince'; there are baseline, every, min_delta, mode,"
                " monitor, patience, reset_on, smooth, start, start_from_epoch, unit. Did you mean patience?"
            ),
        ),
        (
            ["rule=reduce-on-plateau"],
            (
                "rule is all, presets, own or names of policies: reduce-on-plateau cannot be replayed from a"
                " log: it lowers the learning rate, and what comes after is another training; torch-plateau"
                " stops where it would first act"
            ),
        ),
        (
            ["rule=grades", "share=0,2", "grades=1"],
            (
                "no point of the grid is a policy (2 refused); the first, grades:share=0,grades=1:"
                " grades: alpha is from 0 to 1, and share above 0, up to 1"
            ),
        ),
    ],
)
def test_errors_teach(texts, says):
    with pytest.raises(PolicyError) as error:
        parse_grids(texts)
    assert str(error.value) == says


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["rule=patients"], "no policy 'patients'; there are"),
        (["rule=patients"], "Did you mean patience?"),
        (["patients=1..3"], "no rule has a parameter 'patients'; there are"),
        (["patients=1..3"], "Did you mean patience?"),
        (["threshold=1"], "of which rule? threshold is a parameter of transformers, "),
        (
            ["rule=keras", "early_stopping_patience=1"],
            "keras has no parameter 'early_stopping_patience'; it has baseline, ",
        ),
        (["rule=keras", "patience=1", "every=0"], "every must be at least 1, not 0"),
    ],
)
def test_errors_that_list_what_there_is(texts, says):
    with pytest.raises(PolicyError) as error:
        parse_grids(texts)
    assert says in str(error.value)


TWENTY = ",".join(map(str, range(1, 21)))


@pytest.mark.parametrize(
    ("texts", "points", "says"),
    [
        (
            ["patience=1..1000", "min_delta=1..1000", "start=0..999"],
            10**9,
            (
                "the grid has 1,000,000,000 points, more than the 200,000 that one sweep takes;"
                " patience alone has 1,000: give a step, as in patience=1..1000..50"
            ),
        ),
        (
            ["patience=1..1000000000000"],
            10**12,
            (
                "the grid has 1,000,000,000,000 points, more than the 200,000 that one sweep takes; patience"
                " alone has 1,000,000,000,000: give a step, as in patience=1..1000000000000..50000000000"
            ),
        ),
        (
            ["budget=1E-9..1*1.0001"],
            207_244,
            (
                "the grid has 207,244 points, more than the 200,000 that one sweep takes;"
                " budget alone has 207,244: give a larger factor, as in budget=1e-9..1*2.82"
            ),
        ),
        (
            [
                "unit=evals,steps",
                *(f"{name}={TWENTY}" for name in ("patience", "min_delta", "start", "every")),
            ],
            320_000,
            (
                "the grid has 320,000 points, more than the 200,000 that one sweep takes; patience alone has"
                " 20: give fewer of them"
            ),
        ),
        (
            ["target=1..2e18"],
            2 * 10**18,
            (
                "the grid has over 10^18 points, more than the 200,000 that one sweep takes; target alone has"
                " over 10^18: give a step, as in target=1..2e+18..1e+17"
            ),
        ),
        (
            ["rule=all", "patience=1e-300..1e300..1e-300", "min_delta=1e-300..1e300..1e-300"],
            None,
            (
                f"the grid has over 10^18 points over {len(POLICIES)} rules, more than the 200,000 that one"
                " sweep takes; patience alone has over 10^18: give a step, as in"
                " patience=1e-300..1e+300..5e+298"
            ),
        ),
    ],
)
def test_a_grid_that_is_too_large_is_refused_before_it_is_made(texts, points, says):
    with pytest.raises(PolicyError) as error:
        parse_grids(texts)  # to make any of these would take all memory
    assert str(error.value).startswith(says)
    assert points is None or count(texts) == points


def test_counts():
    assert count(["patience=0..5", "every=1,2"]) == 12
    assert count(["patience=1..5,1..5,5.0"]) == 5
    assert count(["rule=never,keras", "every=1,2", "patience=1..3"]) == 2 + 6
    assert count(["patience=1..1000", "every=1..200"]) == MOST_POINTS
    assert count(["patience=1..1000", "every=1..201"]) == 201_000


def test_a_large_grid_is_made():
    (grid,) = parse_grids(["patience=1..100", "min_delta=0..0.009..0.001", "every=1..10"])
    assert len(grid.points) == 10_000


TEXTS = {
    "int": ["0", "1", "2", "3.0", "5", "-1", "1e1"],
    "float": ["0", "0.5", "1", "2.0", "1e-3", "-1", ".25", "3"],
    "float | None": ["0", "0.5", "-1e-2"],
    "bool": ["true", "False"],
    "str": ["val_loss", "metrics/mAP50(B)", "7"],
}
MODIFIER_TEXTS = {
    "monitor": ["eval_loss", "a=b"],
    "mode": ["min", "max"],
    "every": ["1", "2", "3.0"],
    "smooth": ["none", "ema:0.3", "mean:3", "median:5"],
    "start": ["0", "2", "1e2", "lr_warmup"],
    "reset_on": ["none", "lr_drop"],
}


@st.composite
def grids(draw):
    """A rule, and values of some of its parameters and of modifiers."""
    kind = POLICIES[draw(st.sampled_from(list(POLICIES)))]
    choices = {}
    for item in parameters(kind):
        texts = item.metadata["choices"] or TEXTS[str(item.type)]
        choices[draw(st.sampled_from([item.name, *item.metadata["aliases"]]))] = list(texts)
    choices |= {name: texts for name, texts in MODIFIER_TEXTS.items() if name not in choices}
    required = {
        name
        for item in parameters(kind)
        if item.default is MISSING
        for name in (item.name, *item.metadata["aliases"])
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True))
    names += [name for name in choices if name in required and name not in names]
    chosen = {name: draw(st.lists(st.sampled_from(choices[name]), min_size=1, max_size=3)) for name in names}
    return kind, chosen


@settings(deadline=None, max_examples=300)
@given(grids())
def test_a_grid_is_what_its_points_say_one_by_one(drawn):
    kind, chosen = drawn
    valid, refused = set(), set()
    if all(name in MODIFIERS for name in chosen):
        chosen |= {name: list(texts) for name, texts in default_grid(kind).items() if name not in chosen}
    for texts in itertools.product(*chosen.values()):
        spec = f"{kind.name}:{','.join(map('='.join, zip(chosen, texts, strict=True)))}"
        try:
            valid.add(parse_policy(spec).spec())
        except PolicyError as error:
            refused.add(str(error))
    texts = [f"rule={kind.name}", *(f"{name}={','.join(texts)}" for name, texts in chosen.items())]
    if not valid:
        with pytest.raises(PolicyError):
            parse_grids(texts)
        return
    (grid,) = parse_grids(texts)
    assert sorted(policy.spec() for policy, _ in grid.points) == sorted(valid)
    assert {reason for _, reason in grid.refused} == refused
    assert len(grid.points) + len(grid.refused) == count(texts)
    for policy, place in grid.points:
        assert policy == parse_policy(policy.spec())
        pairs = (
            f"{dimension.name}={dimension.values[at]}"
            for dimension, at in zip(grid.dimensions, place, strict=True)
        )
        assert parse_policy(f"{kind.name}:{','.join(pairs)}").spec() == policy.spec()
    for spec, reason in grid.refused:
        with pytest.raises(PolicyError) as error:
            parse_policy(spec)
        assert str(error.value) == reason
