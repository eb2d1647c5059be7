"""A sweep against the simulation of each policy by itself, which is the slow and plain way."""

import math
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay import Run, api
from replay.data.finding import Kind
from replay.engine.payoffs import Payoffs
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_study
from replay.engine.study import Study
from replay.errors import InputError, ReplayWarning
from replay.policies import POLICIES
from replay.policies.grid import parse_grids
from replay.policies.param import parameters
from replay.policies.rules.patience import Patience
from replay.policies.spec import example
from replay.policies.stops import REFUSED
from replay.report.sentences import sentences
from replay.search.sweep import SWEPT, sweep_study
from replay.stats.summary import KEYS, summarise

COUNTS = ("runs", "stopped", "censored", "lost_runs")
MEANS = ("saved_mean", "regret_mean", "relative_regret_mean", "lost_mean")
WORST = ("regret_worst", "lost_worst")
BUDGETS = ("budget_lost", "budget_regret")

#: Policies of many kinds: shared signals, modifiers, several parts, other metrics, and some that cannot judge
#: every run.
MANY = [
    *(f"patience={wait},min_delta={delta}" for wait in (1, 2, 3, 50) for delta in (0, 0.05)),
    *(f"patience={wait},every=2" for wait in (1, 2)),
    "patience=2,every=3",
    "patience=2,smooth=ema:0.5",
    "patience=1,smooth=median:3,start=3",
    "patience=2,reset_on=lr_drop",
    "gl=1",
    "gl=5",
    "gl=50",
    "up=1",
    "up=2",
    "pq=0.5,strip=2",
    "pq=2,strip=2",
    "target=0.3",
    "target=-0.2",
    "divergence=2",
    "nonfinite",
    "noise:patience=2",
    "slope=0.1,window=4",
    "gap:patience=2,window=3",
    "budget=3",
    "budget=100",
    "one-epoch",
    "never",
    "extrapolate:min_evals=4,min_delta=0.05",
    "patience=2 | target=0.2",
    "patience=1 & up=1",
    "gl=5 && patience=1",
    "patience=2 unless up=1",
    "patience=1,every=2 | budget=200,every=3",
    "patience=2,monitor=eval_error",
    "patience=2,monitor=eval_error,mode=max",
    "patience=2,mode=max",
    "patience=3 | patience=1,monitor=eval_error",
    "gl=2,monitor=eval_error & patience=1",
    "transformers:patience=2",
    "keras:patience=2",
    "lightning:patience=1",
    "xgboost:rounds=2",
    "torch-plateau:patience=1",
    "llamafactory:early_stopping_steps=2",
    "fairseq:patience=2",
]


def made_run(number, chance, *, evals=None, lacks=(), negative=False, odd=False):
    """A random run with companions; ``lacks`` are columns that it does not have.

    With ``odd`` some runs cannot be judged, and some state the base model's values.
    """
    count = chance.randint(1, 14) if evals is None else evals
    numbers = [0.2, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3, math.nan, math.inf]
    steps = np.cumsum([chance.randint(1, 40) for _ in range(count)])

    def column(values, absent=0.0):
        return [None if chance.random() < absent else chance.choice(values) for _ in range(count)]

    columns = {
        "step": steps,
        "epoch": steps / 64,
        "eval_loss": column([*numbers, -0.5, 0.0] if negative else numbers),
        "eval_error": column(numbers),
        "eval_score": column([0.1, 0.2, 0.4, 0.5, 0.9, -1.0, math.nan], absent=0.4),
        "train_loss": column([1.0, 0.9, 0.8, 0.5]),
        "learning_rate": column([1.0, 1.0, 0.5, 0.4]),
        "saved": column([0, 1]),
        "train_seconds": 2.0 * steps,
        "eval_seconds": column([1.0, 5.0]),
        "tokens": 64.0 * steps,
    }
    columns["saved"][0] = 1
    columns["eval_score"][0] = 0.3
    reference = {}
    if odd:
        for name in ("eval_loss", "eval_error"):
            if chance.random() < 0.15:
                columns[name] = [math.nan] * count
        if chance.random() < 0.15:
            columns["eval_score"] = [None] * count
        if chance.random() < 0.3:
            reference = {"eval/loss": chance.choice([0.1, 1.5, 3.0]), "eval_score": chance.choice([0.0, 5.0])}
    meta = {
        "reference": reference,
        "trained_steps": int(steps[-1]) + chance.choice([0, 7]),
        "planned_steps": int(steps[-1]) + chance.choice([0, 7, 100]),
    }
    return Run(f"run{number}", {name: values for name, values in columns.items() if name not in lacks}, meta)


def made_runs(seed, count=9, **how):
    chance = random.Random(seed)
    return [made_run(number, chance, **how) for number in range(count)]


def question(**settings):
    return Question(monitor="eval_loss", **settings)


def compare(runs, policies, **settings):
    """Every figure of a sweep against the summary of the simulation of each policy by itself."""
    rules = parse_policies(policies)
    swept = sweep_study(Study(runs, rules, question(**settings)), rules, optional=True)
    assert list(swept.figures) == list(SWEPT)
    assert swept.policies == rules
    some = 0
    for index, rule in enumerate(rules):
        figures = {name: float(values[index]) for name, values in swept.figures.items()}
        alone = Study(runs, rules, question(**settings))  # of its own, so that nothing is shared
        try:
            outcomes = simulate_study(alone, [rule])
        except InputError:  # no run has what it takes
            assert [figures[name] for name in COUNTS] == [0, 0, 0, 0]
            assert all(math.isnan(figures[name]) for name in SWEPT if name not in COUNTS)
            continue
        some += 1
        table = summarise(outcomes)
        expected = {name: math.nan if table[name][0] is None else float(table[name][0]) for name in SWEPT}
        for name in (*COUNTS, *WORST):
            np.testing.assert_equal(figures[name], expected[name], err_msg=f"{rule} {name}")
        view = outcomes.stops.view(0)
        judged, available = view.judged(alone), len(view.runs)
        refused = bool((outcomes.stops.positions[0, view.runs] == REFUSED)[judged].any())
        np.testing.assert_allclose(
            figures["saved_total"], expected["saved_total"], rtol=1e-12, atol=1e-15, err_msg=str(rule)
        )
        for name in MEANS:
            column = name.removesuffix("_mean")
            # the same numbers are added; with gaps between them in another order
            gaps = refused or (column != "saved" and bool(np.isnan(getattr(outcomes, column)).any()))
            if gaps and available >= 8:
                np.testing.assert_allclose(
                    figures[name], expected[name], rtol=1e-14, err_msg=f"{rule} {name}"
                )
            else:
                np.testing.assert_equal(figures[name], expected[name], err_msg=f"{rule} {name}")
        for name in BUDGETS:
            if refused:
                assert math.isnan(figures[name]), "there is no fixed budget of runs that differ by policy"
            else:
                np.testing.assert_allclose(
                    figures[name], expected[name], rtol=1e-12, atol=1e-15, err_msg=f"{rule} {name}"
                )
    return some


@given(
    seed=st.integers(0, 2**32),
    asked=st.sampled_from(
        [
            {},
            {"mode": "max"},
            {"keep": "last"},
            {"keep": "best-saved", "unit": "seconds"},
            {"keep": "transformers", "unit": "tokens"},
            {"objective": "eval_score"},
            {"objective": "eval_score", "keep": "last", "unit": "seconds"},
            {"objective": "eval_score", "objective_mode": "min", "mode": "max"},
            {"unit": "epochs"},
        ]
    ),
)
@settings(max_examples=40, deadline=None)
def test_a_sweep_is_the_simulation_of_every_policy(seed, asked):
    chance = random.Random(seed)
    policies = chance.sample(MANY, 14)
    runs = made_runs(seed, chance.randint(1, 12), negative=chance.random() < 0.5, odd=True)
    assert compare(runs, policies, **asked)


def test_all_of_these_policies_at_once():
    for seed, asked in enumerate(
        [{}, {"objective": "eval_score", "unit": "seconds"}, {"mode": "max", "keep": "last"}]
    ):
        for odd in (False, True):
            assert compare(made_runs(seed, 12, negative=True, odd=odd), MANY, **asked) > len(MANY) / 2


def test_every_rule_there_is():
    """Those that no run has the companions for have 0 runs; every other is the simulation."""
    policies = [
        policy
        for grid in parse_grids(["rule=all"])
        for policy, _ in grid.points[:: max(1, len(grid.points) // 3)]
    ]
    assert {policy.name for policy in policies} == set(POLICIES)
    assert compare(made_runs(3, 10), policies) > len(policies) * 2 / 3


def test_every_example_on_runs_that_lack_companions():
    chance = random.Random(4)
    lacks = [
        (),
        ("train_loss",),
        ("learning_rate",),
        ("epoch",),
        ("eval_error",),
        ("train_loss", "tokens"),
    ] * 2
    runs = [made_run(number, chance, evals=9, lacks=without) for number, without in enumerate(lacks)]
    policies = [*map(example, POLICIES.values()), *MANY]
    assert compare(runs, policies) > len(policies) / 2


def test_figures_by_hand():
    two = [
        Run("a", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 0.5, 0.6, 0.7]}),
        Run("b", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 1.1, 0.6, 0.5]}, {"planned_steps": 8}),
    ]
    rules = parse_policies(["patience=1", "never", "target=0.6"])
    figures = sweep_study(Study(two, rules, Question()), rules).figures
    # patience=1 stops a at 3, with 0.5 kept, and b at 2, with 1.0 kept; target=0.6 stops a at 2 and b at 3; b
    # ends at its best, and b was planned to be twice as long
    expected = {
        "runs": [2, 2, 2],
        "stopped": [2, 0, 2],
        "censored": [1, 0, 1],
        "saved_mean": [3 / 8, 0, 3 / 8],
        "saved_total": [3 / 8, 0, 3 / 8],
        "lost_runs": [2, 2, 2],
        "regret_mean": [0.25, 0, 0.05],
        "regret_worst": [0.5, 0, 0.1],
        "relative_regret_mean": [0.5, 0, 0.1],
        "lost_mean": [0.5, 0, 0.1],
        "lost_worst": [1, 0, 0.2],
        # both at 3 of 4 saves 1/4 and loses (0 + 0.1) / 2, both at 2 saves 1/2 and loses (0 + 0.5) / 2: in
        # the middle of these
        "budget_lost": [0.3, 0, 0.3],
        "budget_regret": [0.15, 0, 0.15],
    }
    assert set(expected) == set(SWEPT)
    for name, values in expected.items():
        assert figures[name].tolist() == pytest.approx(values), name


def test_policies_that_are_refused_on_some_runs_are_judged_on_the_others():
    good = Run("good", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 0.5, 0.6, 0.9]})
    late = Run("late", {"step": [1, 2, 3, 4], "eval_loss": [1.0, 1.2, 0.9, -0.1]})
    rules = parse_policies(["gl=10", "gl=30", "patience=1"])
    figures = sweep_study(Study([good, late], rules, Question()), rules).figures
    # gl=10 stops late at its eval 2, before it falls below 0; gl=30 would go on
    assert figures["runs"].tolist() == [2, 1, 2]
    assert figures["stopped"].tolist() == [2, 1, 2]
    assert figures["saved_mean"].tolist() == pytest.approx([(1 / 4 + 1 / 2) / 2, 0, (1 / 4 + 1 / 2) / 2])
    assert figures["lost_mean"].tolist() == pytest.approx([0.5, 0, 0.5])
    assert np.isnan(figures["budget_lost"]).tolist() == [False, True, False]


def test_policies_that_no_run_has_what_it_takes_for():
    runs = made_runs(1, 4, lacks=("train_loss",))
    rules = parse_policies(["pq=1", "patience=1"])
    swept = sweep_study(Study(runs, rules, question()), rules, optional=True)
    assert swept.figures["runs"].tolist() == [0, 4]
    about_policies = [finding for finding in swept.findings if finding.kind != Kind.NO_SCALE]
    assert sentences(about_policies) == ["pq=1 needs train_loss, which no run logs; the policy is skipped"]
    with pytest.raises(InputError, match="pq=1 needs train_loss, which no run logs"):
        sweep_study(Study(runs, rules, question()), rules)


def test_policies_that_watch_a_metric_that_no_run_has_are_left_out_of_a_grid_of_all_rules():
    runs = made_runs(16, 4)
    rules = parse_policies(
        ["patience=1", "patience=1,monitor=val_nothing_loss", "patience=2,monitor=val_nothing_loss", "never"]
    )
    swept = sweep_study(Study(runs, rules, question()), rules, optional=True)
    assert swept.figures["runs"].tolist() == [4, 0, 0, 4]
    (text,) = sentences(finding for finding in swept.findings if finding.kind == Kind.POLICY_SKIPPED)
    assert text.startswith("patience=1,monitor=val_nothing_loss is skipped: no metric 'val_nothing_loss'")
    with pytest.raises(InputError, match="no metric 'val_nothing_loss'"):
        sweep_study(Study(runs, rules, question()), rules)


def test_it_is_told_how_many_policies_are_done_up_to_all():
    told = []
    rules = parse_policies(MANY)
    sweep_study(Study(made_runs(5, 6), rules, question()), rules, progress=told.append)
    assert told == sorted(set(told))
    assert told[-1] == len(MANY)
    assert len(told) > 10


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_policies_moves_their_rows_only(seed):
    runs = made_runs(seed, 11, negative=True)
    order = random.Random(seed).sample(range(len(MANY)), len(MANY))
    rules = parse_policies(MANY)
    shuffled = [rules[place] for place in order]
    one = sweep_study(Study(runs, rules, question()), rules)
    other = sweep_study(Study(runs, shuffled, question()), shuffled)
    for name in SWEPT:
        np.testing.assert_array_equal(one.figures[name][order], other.figures[name], err_msg=name)
    assert set(one.findings) == set(other.findings)


def test_the_order_of_the_policies_is_no_matter_of_effort(monkeypatch):
    """What is shared is found wherever it stands: as many payoffs and signals."""
    runs = made_runs(6, 8)
    rules = parse_policies(
        [
            f"{rule}={number}"
            for rule in ("every=1,patience", "every=2,patience", "gl")
            for number in range(1, 20)
        ]
    )
    efforts = []
    for order in (rules, random.Random(1).sample(rules, len(rules)), rules[::-1]):
        calls = {"payoffs": 0, "stops": 0}

        def counted(name, call, calls=calls):
            def wrapped(*given, **named):
                calls[name] += 1
                return call(*given, **named)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(Payoffs, "of", counted("payoffs", Payoffs.of))
            patch.setattr(Patience, "family_stops", counted("stops", Patience.family_stops))
            sweep_study(Study(runs, order, question()), order)
        efforts.append(calls)
    assert efforts[0] == efforts[1] == efforts[2]
    assert efforts[0]["payoffs"] <= 3, "one for each way of making evals, and one for the budgets"
    assert efforts[0]["stops"] <= 4


@pytest.mark.parametrize(
    "asked", [{}, {"keep": "last"}, {"objective": "eval_score", "unit": "seconds"}, {"mode": "max"}]
)
def test_with_and_without_intervals_the_same_figures_are_the_same(asked):
    runs = made_runs(8, 8, odd=True)
    policies = ["patience=1", "patience=2,every=2", "gl=6", "never", "patience=2 | target=0.2"]
    if asked.get("mode") == "max":
        policies.remove("gl=6")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplayWarning)
        full = replay.sweep(runs, policies, monitor="eval_loss", intervals=True, **asked)
        lean = replay.sweep(runs, policies, monitor="eval_loss", intervals=False, **asked)
        default = replay.sweep(runs, policies, monitor="eval_loss", **asked)
    assert default.equals(full)
    assert list(full.columns) == list(lean.columns) == list(KEYS)
    assert full.policy.tolist() == lean.policy.tolist() == policies
    for name in COUNTS:
        assert full[name].dtype == lean[name].dtype == np.int64
        assert full[name].tolist() == lean[name].tolist()
    assert lean.spec.tolist() == full.spec.tolist()
    assert lean.budget_lost.notna().any()
    for name in (*MEANS, *WORST, *BUDGETS, "saved_total"):
        assert lean[name].dtype == np.float64
        np.testing.assert_allclose(
            lean[name].astype(float), full[name].astype(float), rtol=1e-12, atol=1e-15, err_msg=name
        )
    given = {"policy", "spec", *SWEPT}
    assert lean[[name for name in KEYS if name not in given]].isna().all().all()
    assert full.verdict.notna().all()


#: What the random runs make every sweep warn of, which these tests are not about.
quiet = pytest.mark.filterwarnings("ignore:.*twice the eval noise", "ignore:.*more than half of the improve")


@quiet
def test_intervals_are_given_up_to_a_number_of_outcomes(monkeypatch):
    runs = made_runs(9, 4)
    monkeypatch.setattr(api, "_DETAILED", 8)
    assert replay.sweep(runs, ["patience=1", "never"], monitor="eval_loss").verdict.notna().all()
    assert replay.sweep(runs, ["patience=1", "patience=2", "never"], monitor="eval_loss").verdict.isna().all()
    assert (
        replay.sweep(runs, ["patience=1", "patience=2", "never"], monitor="eval_loss", intervals=True)
        .verdict.notna()
        .all()
    )


@quiet
@pytest.mark.parametrize("intervals", [True, False, None])
def test_what_is_left_out_is_told_at_the_callers_line(intervals):
    runs = made_runs(10, 4)
    runs.append(made_run("lacks", random.Random(1), lacks=("train_loss",)))
    with pytest.warns(ReplayWarning, match="pq=1 needs train_loss, which 1 run lacks: runlacks") as told:
        frame = replay.sweep(runs, ["pq=1", "patience=1"], monitor="eval_loss", intervals=intervals)
    assert all(one.filename == __file__ for one in told)
    assert frame.runs.tolist() == [4, 5]


@quiet
@pytest.mark.parametrize("intervals", [True, False])
def test_a_policy_that_is_given_twice_has_one_row(intervals):
    frame = replay.sweep(
        made_runs(12, 4), ["patience=1", "never", "patience=1.0"], monitor="eval_loss", intervals=intervals
    )
    assert frame.policy.tolist() == ["patience=1", "never"]


@pytest.mark.parametrize("intervals", [True, False])
def test_errors_are_those_of_simulate(intervals):
    runs = made_runs(13, 3)
    with pytest.raises(InputError, match="no metric 'eval_nothing'"):
        replay.sweep(runs, ["never"], monitor="eval_nothing", intervals=intervals)
    with pytest.raises(InputError, match="needs signals/relative_change"):
        replay.sweep(runs, ["adapter=0.1"], monitor="eval_loss", intervals=intervals)
    with pytest.raises(InputError, match="no runs to simulate"):
        replay.sweep([], ["never"], intervals=intervals)
    with pytest.raises(InputError, match="a policy is a specification or a Policy"):
        replay.sweep(runs, [3], monitor="eval_loss", intervals=intervals)


def test_many_limits_of_every_rule_that_has_a_parameter_which_sets_its_limit_alone():
    runs = made_runs(14, 8)
    policies = []
    for kind in POLICIES.values():
        limits = [item.name for item in parameters(kind) if item.metadata["sets_threshold"]]
        for name in limits:
            values = "1,2,3,5,8" if "int" in str(kind.__dataclass_fields__[name].type) else "0.1,0.3,0.9,2,7"
            (grid,) = parse_grids([f"rule={kind.name}", f"{name}={values}"])
            policies += [policy for policy, _ in grid.points[:15]]
    assert len(policies) > 50
    compare(runs, policies)
