"""Policies that compare runs, simulated on sets of runs in many arrival orders."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from replay.cli import cli
from replay.data.run import Run
from replay.engine.across import find_orders, join_sets, set_of_outcomes, simulate_set
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.engine.study import Study
from replay.errors import InputError, PolicyError
from replay.policies import ACROSS
from replay.policies.clock import play
from replay.policies.joint import prepare
from replay.policies.spec import example, parse_policy
from replay.stats.across import summarise_set
from tests.conftest import write_log
from tests.policies.across.populations import draw_batch, draw_order


def parse(spec):
    return parse_policy(spec, across=True)


def make_runs(curves, every=10):
    return [
        Run(f"r{number}", pd.DataFrame({"step": (np.arange(len(curve)) + 1) * every, "eval_loss": curve}))
        for number, curve in enumerate(curves)
    ]


def study_of(curves):
    return Study(make_runs(curves), [], Question("eval_loss", "min"))


@pytest.mark.parametrize(
    "spec", [*ACROSS, "asha & patience=1", "ray-median | patience=2", "asha unless patience=3"]
)
def test_a_run_is_compared_with_what_was_reported_by_then_only(spec):
    """What is reported after a moment changes no stop at or before it."""
    policy = parse(spec)
    if getattr(policy, "waits", False):
        pytest.skip("its runs wait for each other")
    changed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        batch = draw_batch(rng)
        order, workers, timing = draw_order(rng, batch)
        moments = moments_of(policy, batch, order, workers, timing)
        stops, when = run_order(policy, batch, order, workers, timing)
        cut = float(np.median([moment for row in moments for moment in row if moment < np.inf] or [0]))
        values = batch.values.copy()
        for run, row in enumerate(moments):
            for eval, moment in enumerate(row):
                if moment > cut:
                    values[run, eval] = rng.normal(0, 5)
        other, _ = run_order(policy, batch.replace(values=values), order, workers, timing)
        for run, stop in enumerate(stops):
            if stop >= 0 and when[run] <= cut:
                assert other[run] == stop, (seed, run)
        changed += stops != other
    assert changed  # what comes later does change later stops


def run_order(policy, batch, order, workers, timing):
    """The stops, and the moment of each run's stop."""
    prepared = prepare(policy, batch)
    scheduler = _Recorder(prepared.begin(np.random.default_rng(1)))
    stops = play(order, workers, timing, scheduler).stops
    return stops, scheduler.stopped_at(stops)


class _Recorder:
    """Counts reports; the count stands for the moment."""

    def __init__(self, inner):
        self.inner, self.count, self.log = inner, 0, {}
        self.start, self.end = inner.start, inner.end

    def report(self, run, eval):
        self.count += 1
        self.log[run, eval] = self.count
        return self.inner.report(run, eval)

    def stopped_at(self, stops):
        return [self.log.get((run, stop), np.inf) for run, stop in enumerate(stops)]


def moments_of(policy, batch, order, workers, timing):
    """The moment (count of reports) of each eval; infinite for evals that were never reported."""
    prepared = prepare(policy, batch)
    scheduler = _Recorder(prepared.begin(np.random.default_rng(1)))
    play(order, workers, timing, scheduler)
    return [
        [scheduler.log.get((run, eval), np.inf) for eval in range(length)]
        for run, length in enumerate(batch.lengths.tolist())
    ]


def test_the_figures_of_a_set():
    """The first rung keeps the best third in arrival order; the late bloomer r2 is the best run."""
    curves = [[1.0, 0.8, 0.7, 0.6], [2.0, 1.9, 1.8, 1.7], [3.0, 2.0, 1.0, 0.1]]
    study = study_of(curves)
    policy = parse("asha:reduction=3,grace=1,workers=1,orders=300")
    stops = find_orders(study, policy)
    (one,) = simulate_set(study, [policy], ["asha"])
    assert (one.stops == stops).all()
    first = stops[:, 2] < 0  # r2 came first, so it went on at the first rung
    assert 0.2 < first.mean() < 0.5
    assert one.best_stopped.tolist() == (stops[:, 2] >= 0).tolist()
    used = np.where(stops < 0, 40, (stops + 1) * 10).sum(axis=1)
    assert one.saved == pytest.approx(1 - used / 120)
    found = np.where(first, 0.1, 0.6)
    ends = np.where(stops < 0, 3, stops)
    lowest = np.array([np.minimum.accumulate(curve) for curve in curves])
    kept = lowest[np.arange(3), ends]
    assert kept.min(axis=1).tolist() == found.tolist()
    assert one.regret == pytest.approx(found - 0.1)
    (row,) = summarise_set([one])
    assert row["regret_mean"] == pytest.approx(one.regret.mean())
    assert row["saved_low"] <= row["saved_mean"] <= row["saved_high"]
    assert (row["orders"], row["workers"], row["runs"]) == (300, 1, 3)


def test_policies_within_runs_stand_beside_them():
    curves = [[1.0, 0.8, 0.9, 0.7], [2.0, 1.9, 2.1, 2.2]]
    outcomes = simulate_policies(
        make_runs(curves), ["patience=1"], Question("eval_loss", "min"), baselines=True
    )
    rows = {row["spec"]: row for row in summarise_set(set_of_outcomes(outcomes))}
    assert rows["never"]["saved_mean"] == rows["never"]["regret_mean"] == 0
    assert rows["patience=1"]["saved_mean"] == pytest.approx(1 - 60 / 80)
    assert rows["patience=1"]["regret_mean"] == pytest.approx(0.1)
    assert rows["patience=1"]["best_missed"] == 1
    assert rows["patience=1"]["orders"] is None
    assert "oracle" not in rows


def test_combinations_stop_between_their_parts():
    rng = np.random.default_rng(3)
    study = study_of([(rng.normal(0, 0.3, 12) + 1 / np.arange(1, 13)).tolist() for _ in range(15)])
    alone = find_orders(study, parse("patience=2 | asha:reduction=1000"))
    patience = parse_policy("patience=2").stops(study.panel.whole)
    assert (alone <= patience).all() or (patience < 0).any()
    either = find_orders(study, parse("asha | patience=2"))
    limit = np.where(patience < 0, 99, patience)
    assert (np.where(either < 0, 99, either) <= limit).all()
    both = find_orders(study, parse("asha & patience=2"))
    assert ((both < 0) | (both >= limit)).all()
    assert not (either == both).all()


def test_parts_need_the_same_order_and_metric():
    study = study_of([[1.0, 0.5], [0.9, 0.4]])
    with pytest.raises(PolicyError, match="same workers, orders and seed"):
        find_orders(study, parse("asha:workers=2 | median:workers=3"))
    with pytest.raises(PolicyError, match="must monitor the same metric"):
        find_orders(study, parse("asha | patience=2,monitor=eval_f1"))
    with pytest.raises(InputError, match=r"needs epoch.* of each, but run r0 .and 1 more."):
        find_orders(study, parse("asha:unit=epochs"))


@pytest.mark.parametrize("name", ACROSS)
def test_every_policy_has_an_example_that_is_read_back(name):
    policy = parse(example(ACROSS[name]))
    assert parse(policy.spec()) == policy
    assert policy.name == name


def test_simulate_reports_the_set(tmp_path):
    for run in make_runs([[1.0, 0.8, 0.7, 0.6], [2.0, 1.9, 1.8, 1.7], [3.0, 2.0, 1.0, 0.1]]):
        run.evals.to_csv(tmp_path / f"{run.id}.csv", index=False)
    words = ["simulate", str(tmp_path), "--policy", "patience=3", "--policy", "asha:reduction=2,orders=40"]
    told = json.loads(CliRunner().invoke(cli, [*words, "--format", "json"]).stdout)
    rows = {row["policy"]: row for row in told["set"]}
    assert rows["asha:reduction=2,orders=40"]["orders"] == 40
    assert rows["patience=3"]["saved_mean"] == 0
    figure = tmp_path / "saved.png"
    done = CliRunner().invoke(cli, [*words, "--plot", str(figure)])
    assert done.exit_code == 0, done.output
    assert figure.stat().st_size > 1000
    assert "would have saved" in done.stdout
    refused = CliRunner().invoke(cli, [*words, "--per-run"])
    assert refused.exit_code == 2
    assert "compares runs with each other" in refused.output
    for command in (["choose"], ["explain", "--run", "r0"]):
        refused = CliRunner().invoke(cli, [*command, str(tmp_path), "--policy", "asha"])
        assert refused.exit_code == 2, refused.output
        assert "replay simulate" in refused.output


def test_groups_are_compared_within_each(tmp_path):
    curves = [[1.0, 0.9, 0.8], [1.1, 1.0, 0.95], [9.0, 8.0, 7.0], [9.5, 8.8, 8.1]]
    for number, values in enumerate(curves):
        write_log(tmp_path / f"run{number}", values, header={"dataset": "ab"[number // 2]})
    words = ["simulate", str(tmp_path), "--policy", "top-k:k=1,after=1,unit=evals", "--policy", "patience=2"]
    mixed = CliRunner().invoke(cli, [*words, "--verbose"])  # the path of a test takes the room of a note
    assert mixed.exit_code == 0, mixed.output
    note = " ".join(mixed.stdout.split())
    assert "The runs belong to 2 data sets (a, b), and are compared with each other all the same" in note
    assert "Give --group dataset to compare within each." in note

    def rows(*more):
        told = json.loads(CliRunner().invoke(cli, [*words, *more, "--format", "json"]).stdout)
        return {row["spec"].split(":")[0]: row for row in told["set"]}

    # of all runs one goes on, of each group one does: the others use one of three evals
    assert rows()["top-k"]["saved_mean"] == pytest.approx(1 - (3 + 3) / 12)
    apart = rows("--group", "dataset")
    assert apart["top-k"]["saved_mean"] == pytest.approx(1 - (6 + 2) / 12)
    assert (apart["top-k"]["regret_worst"], apart["top-k"]["runs"]) == (0, 4)
    assert apart["never"]["saved_mean"] == 0
    refused = CliRunner().invoke(
        cli, ["simulate", str(tmp_path), "--policy", "patience=2", "--group", "model"]
    )
    assert refused.exit_code == 2
    assert "is about policies that compare runs" in refused.output


def test_figures_of_joined_groups():
    policy = parse("asha:reduction=3,grace=1,workers=1,orders=50")
    studies = [study_of([[1.0, 0.8], [2.0, 1.9], [3.0, 0.1]]), study_of([[5.0, 4.0], [6.0, 3.0]])]
    groups = [simulate_set(study, [policy], ["asha"]) for study in studies]
    (one,), (other,) = groups
    (joined,) = join_sets(groups, [float(study.payoffs.full.sum()) for study in studies])
    assert joined.saved == pytest.approx(0.6 * one.saved + 0.4 * other.saved)
    assert joined.regret == pytest.approx((one.regret + other.regret) / 2)
    assert joined.best_stopped == pytest.approx((one.best_stopped * 1.0 + other.best_stopped) / 2)
    assert joined.stops.shape == (50, 5)


def test_policies_of_files_may_compare_runs(tmp_path):
    for number in range(4):
        write_log(tmp_path / f"run{number}", [2.0 - number / 9, 1.0, 0.5 + number])
    file = tmp_path / "policies.toml"
    file.write_text('[policies.halving]\nspec = "asha:reduction=2,orders=20"\n')
    done = CliRunner().invoke(cli, ["simulate", str(tmp_path), "--policies", str(file), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["set"][-1]["orders"] == 20
    refused = CliRunner().invoke(cli, ["sweep", str(tmp_path), "--policies", str(file)])
    assert refused.exit_code == 2
    assert "[policies.halving] spec: asha:reduction=2,orders=20 compares runs" in " ".join(
        refused.output.split()
    )
