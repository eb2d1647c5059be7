"""One row, one set of runs: summaries are about the runs that can be judged, and say which."""

import math

import numpy as np
import pytest

import replay
from replay import Run
from replay.data.finding import Kind
from replay.engine.outcomes import records
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.engine.study import Study
from replay.search.sweep import sweep_study
from replay.stats.summary import summarise

LOSS = [1.0, 0.6, 0.7, 0.5, 0.9, 0.8]


def run(id, loss=LOSS, meta=None, step=None, **columns):
    steps = np.arange(1, len(loss) + 1) * 10 if step is None else step
    return Run(id, {"step": steps, "epoch": np.asarray(steps) / 20, "eval_loss": loss, **columns}, meta)


def rows_of(runs, policies, **settings):
    outcomes = simulate_policies(runs, policies, Question(**settings), baselines=True)
    return outcomes, {row["spec"]: row for row in records(summarise(outcomes))}


def accuracy(*values):
    return {"eval_acc": values}


#: Two runs that can be judged by accuracy, and one for each reason why a run cannot.
MIXED = [
    run("good", **accuracy(0.1, 0.5, 0.4, 0.6, 0.6, 0.6)),
    run("also", [1.0, 0.9, 0.5, 0.6, 0.4, 0.7], **accuracy(0.1, 0.3, 0.5, 0.5, 0.8, 0.7)),
    run("silent", [1.0, 0.9, 0.8, 0.7, 0.6, 0.65]),
    run("never a number", LOSS, **accuracy(*[math.nan] * 6)),
    run("apart", [1.0, None, 0.5, None, 0.6, None], **accuracy(None, 0.2, None, 0.4, None, 0.3)),
    run("no loss", [math.nan] * 6, **accuracy(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
]


def test_every_figure_of_every_row_is_about_the_runs_that_can_be_judged():
    _, rows = rows_of(MIXED, ["patience=1", "patience=9"], monitor="eval_loss", objective="eval_acc")
    _, alone = rows_of(MIXED[:2], ["patience=1", "patience=9"], monitor="eval_loss", objective="eval_acc")
    assert list(rows) == ["never", "one-epoch", "patience=1", "patience=9", "oracle"]
    assert rows == alone
    assert {row["runs"] for row in rows.values()} == {2}
    assert rows["patience=1"]["saved_mean"] == pytest.approx((3 / 6 + 2 / 6) / 2)


def test_a_sweep_is_about_the_same_runs():
    rules = parse_policies(["patience=1", "patience=2", "never"])
    question = Question("eval_loss", objective="eval_acc")
    swept, alone = (sweep_study(Study(runs, rules, question), rules) for runs in (MIXED, MIXED[:2]))
    for name, values in swept.figures.items():
        np.testing.assert_array_equal(values, alone.figures[name], err_msg=name)


def test_outcomes_are_given_of_every_run():
    outcomes, _ = rows_of(MIXED, ["patience=1"], monitor="eval_loss", objective="eval_acc")
    stops = [row["stopped_eval"] for row in outcomes.rows() if row["spec"] == "patience=1"]
    assert stops == [3, 4, 6, 3, 3, 1]


def test_each_run_that_is_left_out_is_named_once_with_its_reason():
    outcomes, _ = rows_of(MIXED, ["patience=1"], monitor="eval_loss", objective="eval_acc")
    wanted = {
        Kind.OBJECTIVE_NOT_LOGGED: ("silent", "never a number"),
        Kind.OBJECTIVE_APART: ("apart",),
        Kind.MONITOR_NOT_FINITE: ("no loss",),
    }
    assert {finding.kind: finding.runs for finding in outcomes.findings if finding.kind in wanted} == wanted
    assert Kind.NO_METRIC not in {finding.kind for finding in outcomes.findings}
    with pytest.warns(replay.ReplayWarning) as warned:
        replay.simulate(MIXED, ["patience=1"], monitor="eval_loss", objective="eval_acc")
    texts = [str(one.message) for one in warned]
    assert sum("silent" in text for text in texts) == 1
    assert any(text.startswith("1 of 6 runs never logs eval_acc at an eval of eval_loss") for text in texts)
    assert any(text.startswith("2 of 6 runs do not log eval_acc") for text in texts)
    assert any(text.startswith("1 of 6 runs has no finite value of eval_loss") for text in texts)


def test_where_no_run_can_be_judged_the_losses_are_unknown():
    some = [MIXED[index] for index in (2, 4, 5)]
    more = [run(f"more{number}") for number in range(6)]
    _, rows = rows_of([*some, *more], ["patience=1"], monitor="eval_loss", objective="eval_acc")
    for row in rows.values():
        assert row["runs"] == 9
        assert [row[name] for name in ("lost_mean", "lost_worst", "regret_mean", "budget_lost")] == [None] * 4
        assert (row["lost_runs"], row["within_noise"], row["beyond_noise"]) == (0, 0, 0)
    assert rows["patience=1"]["saved_mean"] > 0
    assert rows["patience=1"]["verdict"] == "loss unknown"
    rules = parse_policies(["patience=1"])
    question = Question("eval_loss", objective="eval_acc")
    figures = sweep_study(Study([*some, *more], rules, question), rules).figures
    assert figures["runs"].tolist() == [9]
    assert figures["saved_mean"].tolist() == pytest.approx([rows["patience=1"]["saved_mean"]])
    assert np.isnan([figures[name][0] for name in ("lost_mean", "regret_mean", "budget_lost")]).all()


def test_a_policy_with_a_monitor_of_its_own_is_not_judged_where_that_has_no_value():
    some = [
        run("a", eval_acc=[0.1, 0.2, 0.3, 0.4, 0.3, 0.3]),
        run("b", eval_acc=[0.1, 0.2, 0.3, 0.4, 0.3, 0.3]),
        run("c", eval_acc=[math.nan] * 6),
    ]
    outcomes, rows = rows_of(some, ["patience=1", "patience=1,monitor=eval_acc"])
    assert {spec: row["runs"] for spec, row in rows.items()} == {
        "never": 3,
        "one-epoch": 3,
        "patience=1": 3,
        "patience=1,monitor=eval_acc": 2,
        "oracle": 3,
    }
    (finding,) = [finding for finding in outcomes.findings if finding.kind is Kind.MONITOR_NOT_FINITE]
    assert (finding.runs, finding.policy) == (("c",), "patience=1,monitor=eval_acc")


def test_the_total_is_the_share_of_all_compute():
    runs = [run("short", [1.0, 0.5, 0.6, 0.7]), run("long", [1.0, 0.9, *np.linspace(0.8, 0.1, 18)])]
    row = replay.sweep(runs, ["patience=1"]).iloc[0]
    assert row.saved_mean == pytest.approx((1 / 4 + 0) / 2)
    assert row.saved_total == pytest.approx(10 / (40 + 200))
    lean = replay.sweep(runs, ["patience=1"], intervals=False).iloc[0]
    assert lean.saved_total == pytest.approx(row.saved_total)


def test_within_noise_is_counted_over_the_runs_whose_loss_has_a_scale():
    rng = np.random.default_rng(5)
    flat = [run(f"flat{number}", 2 - 0.01 * (np.arange(30) % 2)) for number in range(9)]
    fall = np.exp(-np.arange(30) / 4)
    steep = [run(f"steep{number}", fall + 0.003 * rng.standard_normal(30)) for number in range(10)]
    outcomes, rows = rows_of([*flat, *steep], ["budget=50", "never"])
    row = rows["budget=50"]
    (finding,) = [finding for finding in outcomes.findings if finding.kind is Kind.NO_SCALE]
    assert finding.runs == tuple(made.id for made in flat)
    assert (row["runs"], row["lost_runs"]) == (19, 10)
    assert row["within_noise"] + row["beyond_noise"] == row["lost_runs"]
    assert row["beyond_noise"] == 10
    assert row["saved_mean"] == pytest.approx(1 - 50 / 300)


def test_the_equal_budget_loses_on_the_same_runs():
    """A flat run, which has no scale, changes what an equal budget saves, not the runs it is judged on."""
    rng = np.random.default_rng(8)
    fall = np.exp(-np.arange(20) / 3) + 0.001 * rng.standard_normal((9, 20))
    steep = [run(f"s{number}", values) for number, values in enumerate(fall)]
    flat = run("flat", 1 + 0.01 * (np.arange(20) % 2))
    _, alone = rows_of(steep, ["budget=80"])
    _, rows = rows_of([*steep, flat], ["budget=80"])
    assert rows["budget=80"]["lost_runs"] == 9
    assert rows["budget=80"]["budget_lost"] == pytest.approx(alone["budget=80"]["budget_lost"])
    assert rows["budget=80"]["lost_mean"] == pytest.approx(alone["budget=80"]["lost_mean"])
