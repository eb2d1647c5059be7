"""One policy's outcomes against its limits."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import beta

from replay import Run
from replay.check.config import Entry, Expectation, Wanted
from replay.check.judging import expectations, judge, leave_open
from replay.check.model import Stop
from replay.check.scores import Scores, score_policies
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.errors import InputError
from replay.policies.spec import parse_policy
from replay.report.sentences import sentence
from replay.stats.binomial import binomial_bounds
from replay.stats.ties import TIE


@given(st.integers(1, 400), st.data(), st.sampled_from([0.025, 0.005, 0.1]))
def test_binomial_bounds_are_those_of_clopper_and_pearson(total, data, tail):
    count = data.draw(st.integers(0, total))
    low, high = binomial_bounds(count, total, tail)
    assert math.isclose(low, 0 if count == 0 else beta.ppf(tail, count, total - count + 1), abs_tol=1e-9)
    assert math.isclose(
        high, 1 if count == total else beta.ppf(1 - tail, count + 1, total - count), abs_tol=1e-9
    )


def scored(outcomes, policy, groups, logs):
    """The scores of one policy, by its index."""
    return score_policies(outcomes, groups, logs)[outcomes.policies[policy]]


def scores(lost, *, noise=0.0, evals=20, censored=0, early=None, stopped=True):
    count = len(lost)
    stops = tuple(
        Stop(f"run{n}", f"run{n}.csv", 3 if stopped else None, 3, "because", 0.5, None, None, None)
        for n in range(count)
    )
    array = np.array(lost, dtype=float)
    return Scores(
        stops,
        tuple(f"g{n % 2}" for n in range(count)),
        np.full(count, float(evals)),
        np.arange(count) < censored,
        {"lost": array, "regret": array, "relative_regret": array, "saved": np.full(count, 0.5)},
        {name: np.full(count, noise, dtype=float) for name in ("lost", "regret", "relative_regret")},
        np.zeros(count) if early is None else np.array(early, dtype=float),
        np.ones(count, dtype=bool),
    )


def entry(*limits, **groups):
    return Entry(Path("policies.toml"), "fast", "patience=3", parse_policy("patience=3"), limits, groups, ())


def limit(name, figure, value, text="x"):
    return Wanted(name, figure, name.endswith("_worst"), value, text)


def verdicts(own, *limits, level=0.95):
    results, findings = judge(entry(*limits), own, level, {})
    return [result.verdict for result in results], [(finding.severity, finding.kind) for finding in findings]


MEAN, WORST = limit("max_lost", "lost", 0.05, "5%"), limit("max_lost_worst", "lost", 0.3, "30%")


def test_a_mean_is_broken_only_beyond_its_interval():
    assert verdicts(scores([0.02] * 20), MEAN) == (["kept"], [])
    assert verdicts(scores([0.2] * 20), MEAN) == (["broken"], [("regression", "limit")])
    assert verdicts(scores([0.0] * 19 + [1.0] + [0.0, 0.5]), MEAN) == (["unsure"], [("warning", "limit")])
    result = judge(entry(MEAN), scores([0.0] * 19 + [1.0, 0.5]), 0.95, {})[0][0]
    assert result.low < 0.05 < result.value < result.high


@pytest.mark.parametrize(
    ("lost", "locked", "severity"),
    [
        ([0.0] * 19 + [1.0, 0.5], 19, "undecided"),
        # the limit was broken before, or nothing was added
        ([0.0] * 19 + [1.0, 0.5], 21, "warning"),
        ([1.0] + [0.0] * 12 + [0.5] * 2, 13, "warning"),
        # nothing to compare with
        ([0.0] * 19 + [1.0, 0.5], 0, "warning"),
        ([0.2] * 19 + [0.5], 19, "regression"),
    ],
)
@pytest.mark.parametrize("group", [None, "g0"])
def test_added_runs_that_leave_a_limit_open_make_it_undecided(lost, locked, severity, group):
    own = scores(lost)
    checked = entry(MEAN)
    if group is not None:
        own, checked = replace(own, groups=tuple("g0" for _ in lost)), entry(**{group: (MEAN,)})
    ((finding,),) = [judge(checked, own, 0.95, {})[1]]
    after = leave_open(finding, checked, own, [f"run{number}" for number in range(locked)])
    assert str(after.severity) == severity
    if severity == "undecided":
        assert sentence(after).endswith(
            ", which so few runs cannot tell from chance; without the 2 runs that are not in the lock it"
            " is 0%"
        )
    else:
        assert after is finding


def test_the_summary_is_believed_for_all_runs_and_not_for_groups():
    summary = {"lost_mean": 0.2, "lost_low": 0.1, "lost_high": 0.3}
    grouped = Entry(Path("p"), "fast", "patience=3", parse_policy("patience=3"), (MEAN,), {"g0": (MEAN,)}, ())
    every, group = judge(grouped, scores([0.0] * 16), 0.95, summary)[0]
    assert (every.value, every.verdict, group.value, group.verdict) == (0.2, "broken", 0.0, "kept")


@pytest.mark.parametrize("count", range(1, 10))
def test_eight_runs_are_enough(count):
    found, told = verdicts(scores([0.2] * count), MEAN)
    assert (
        (found, told) == (["broken"], [("regression", "limit")])
        if count >= 8
        else (["unknown"], [("undecided", "few-runs")])
    )


def test_five_evals_are_enough():
    assert verdicts(scores([0.0] * 9, evals=4), MEAN)[1] == [("undecided", "few-runs")]
    assert verdicts(scores([0.0] * 9, evals=5), MEAN)[1] == []


def test_what_censored_runs_leave_open_is_undecided():
    """The training as planned may have lost any amount more, and saved more."""
    undecided = (["unknown"], [("undecided", "censored")])
    assert verdicts(scores([0.0] * 10, censored=1), MEAN) == undecided
    assert verdicts(scores([0.0] * 10, censored=1), WORST) == undecided
    # one of 21 runs loses everything at worst, which a tolerance of 5 % allows
    assert verdicts(scores([0.0] * 21, censored=1), MEAN) == (["kept"], [])
    # a loss that is too large already can only be larger
    assert verdicts(scores([0.2] * 10, censored=5), MEAN) == (["broken"], [("regression", "limit")])
    saved = scores([0.0] * 10, censored=5)
    assert verdicts(saved, limit("min_saved", "saved", 0.4, "40%")) == (["kept"], [])
    assert verdicts(saved, limit("min_saved", "saved", 0.9, "90%")) == undecided
    regret = limit("max_regret", "regret", 1e9, "1e9")
    assert verdicts(scores([0.0] * 21, censored=1), regret) == undecided
    early = limit("max_stopped_too_early", "stopped_too_early", 0.05, "5%")
    assert verdicts(scores([0.0] * 21, early=[0.0] * 21, censored=1), early) == (["kept"], [])
    assert verdicts(scores([0.0] * 10, early=[0.0] * 10, censored=1), early) == undecided


def test_the_worst_run_is_judged_by_its_own_noise():
    lost = [0.0] * 8 + [0.4]
    assert verdicts(scores(lost), WORST) == (["broken"], [("regression", "limit")])
    assert verdicts(scores(lost, noise=0.1), WORST) == (["unsure"], [("warning", "limit")])
    assert verdicts(scores(lost, noise=np.nan), WORST) == (["unsure"], [("warning", "limit")])
    assert verdicts(scores(lost, noise=0.4), WORST)[1] == [("warning", "limit"), ("warning", "noise")]
    assert verdicts(scores([np.nan] * 9), WORST) == (["unknown"], [("undecided", "limit")])
    assert verdicts(scores([0.4]), WORST) == (["broken"], [("regression", "limit")]), (
        "one run shows what it shows"
    )


def test_unknown_figures_are_undecided():
    assert verdicts(scores([np.nan] * 9), MEAN) == (["unknown"], [("undecided", "limit")])
    assert verdicts(scores([math.inf] + [0.0] * 9), limit("max_regret", "regret", 1.0, "1")) == (
        ["broken"],
        [("regression", "limit")],
    )


def test_the_noise_is_compared_with_the_limit():
    assert verdicts(scores([0.0] * 9, noise=0.05), MEAN)[1] == []
    results, (finding,) = judge(entry(MEAN), scores([0.0] * 9, noise=0.0512), 0.95, {})
    assert results[0].verdict == "kept"
    assert "5.12%, the median run's" in sentence(finding)
    assert sentence(finding).endswith("set it to 5.2% at least")


@given(st.lists(st.floats(0, 1), min_size=8, max_size=40), st.floats(0, 1))
def test_verdicts_agree_with_their_figures(lost, wanted):
    (result,), findings = judge(entry(limit("max_lost", "lost", wanted)), scores(lost), 0.95, {})
    assert result.low <= result.value <= result.high
    most = result.wanted + TIE
    assume(all(abs(figure - most) > 1e-15 for figure in (result.value, result.low)))
    expected = "kept" if result.value <= most else "broken" if result.low > most else "unsure"
    assert result.verdict == expected
    assert any(finding.severity == "regression" for finding in findings) == (expected == "broken")


def test_runs_that_are_early_together_are_one_event():
    """12 of 40 runs are: by themselves that is more than 15 %; as 3 of 10 groups of 4 copies it may be
    chance."""
    early = np.repeat([1.0] * 3 + [0.0] * 7, 4)
    wanted = limit("max_stopped_too_early", "stopped_too_early", 0.15)
    alone = replace(scores(np.zeros(40), early=early), groups=tuple(f"run{n}" for n in range(40)))
    copies = replace(alone, groups=tuple(f"g{n // 4}" for n in range(40)))
    few = replace(alone, groups=tuple(f"g{n // 20}" for n in range(40)))
    results = [judge(entry(wanted), own, 0.95, {})[0][0] for own in (alone, copies, few)]
    assert [result.verdict for result in results] == ["broken", "unsure", "broken"], (
        "2 groups are none to draw from"
    )
    assert (results[0].low, results[0].high) == (results[2].low, results[2].high)
    assert results[1].low < results[0].low
    assert results[1].high > results[0].high
    none = replace(copies, early=np.zeros(40))
    (result,), _ = judge(entry(wanted), none, 0.95, {})
    assert result.high == pytest.approx(1 - 0.025 ** (1 / 10), abs=1e-5), "10 groups without one"


def test_the_share_of_runs_stopped_too_early_has_exact_bounds():
    wanted = limit("max_stopped_too_early", "stopped_too_early", 0.05)
    ten = replace(
        scores(np.zeros(11), early=[1.0] * 3 + [0.0] * 7 + [np.nan]),
        groups=tuple(f"run{n}" for n in range(11)),
    )
    (result,), _ = judge(entry(wanted), ten, 0.95, {})
    # the table of Clopper and Pearson: 3 of 10 at 95 %
    assert (result.value, result.low, result.high) == pytest.approx((0.3, 0.0667, 0.6525), abs=1e-4)
    assert result.verdict == "broken"
    five = replace(scores(np.zeros(10), early=[1.0] * 2 + [0.0] * 8), groups=tuple("aabbccddee"))
    (result,), _ = judge(entry(wanted), five, 0.95, {})
    low, high = binomial_bounds(2, 10, 0.025)
    assert result.low < low - 0.01, "5 groups are enough to draw from"
    assert result.high > high + 0.1


def test_the_worst_run_is_shown_with_the_number_of_others():
    (result,), _ = judge(entry(WORST), scores([0.4, 0.2, 0.6, 0.5, *[0.0] * 5]), 0.95, {})
    assert (result.worst_run.stop.run, result.worst_run.value, result.worst_run.others) == ("run2", 0.6, 2)
    (result,), _ = judge(entry(WORST), scores([0.0] * 8 + [0.4]), 0.95, {})
    assert (result.worst_run.stop.run, result.worst_run.others) == ("run8", 0)
    # of runs that are surely beyond it those that may be by chance are not counted
    some = scores([0.4, 0.5, *[0.0] * 7])
    some.noise["lost"][0] = 0.2
    (result,), _ = judge(entry(WORST), some, 0.95, {})
    assert (result.worst_run.stop.run, result.worst_run.others) == ("run1", 0)


@pytest.mark.parametrize(
    ("name", "figure", "value", "low", "high", "verdict"),
    [
        ("max_lost", "lost", 0.05, 0.01, 0.1, "kept"),
        ("max_lost", "lost", 0.05 + 1e-15, 0.01, 0.1, "kept"),  # beyond the digits of a lock
        ("max_lost", "lost", 0.05 + 9e-10, 0.01, 0.1, "kept"),
        ("max_lost", "lost", 0.05 + 2e-9, 0.01, 0.1, "unsure"),
        ("max_lost", "lost", 0.0501, 0.05, 0.1, "unsure"),
        ("max_lost", "lost", 0.0502, 0.05 + 9e-10, 0.1, "unsure"),
        ("min_saved", "saved", 0.05 - 9e-10, 0.01, 0.1, "kept"),
        ("max_lost", "lost", 0.0502, 0.0501, 0.1, "broken"),
        ("min_saved", "saved", 0.05, 0.01, 0.1, "kept"),
        ("min_saved", "saved", 0.0499, 0.01, 0.05, "unsure"),
        ("min_saved", "saved", 0.0498, 0.01, 0.0499, "broken"),
    ],
)
def test_a_figure_or_a_bound_that_is_the_limit_but_for_rounding(name, figure, value, low, high, verdict):
    """A mean equal to the limit keeps it; a bound equal to the limit does not show that it is broken."""
    summary = {f"{figure}_mean": value, f"{figure}_low": low, f"{figure}_high": high}
    (result,), findings = judge(entry(limit(name, figure, 0.05)), scores([0.0] * 9), 0.95, summary)
    assert (result.verdict, result.value, result.low, result.high) == (
        verdict,
        pytest.approx(value, abs=1e-12),
        low,
        high,
    )
    severities = {"kept": [], "unsure": ["warning"], "broken": ["regression"]}
    assert [finding.severity for finding in findings] == severities[verdict]


@pytest.mark.parametrize(
    ("lost", "noise", "verdict"),
    [
        (0.3, 0.0, "kept"),
        (0.3 + 9e-10, 0.0, "kept"),
        (0.3 + 2e-9, 0.0, "broken"),
        (0.425 + 9e-10, 0.125, "unsure"),
        (0.425, 0.125, "unsure"),
        (0.4250001, 0.125, "broken"),
    ],
)
def test_a_worst_run_that_is_exactly_at_the_limit_or_beyond_it_by_its_noise(lost, noise, verdict):
    (result,), _ = judge(entry(WORST), scores([0.0] * 8 + [lost], noise=noise), 0.95, {})
    assert (result.verdict, result.value) == (verdict, pytest.approx(lost))


def expecting(*rows):
    """An entry that expects runs, by a part of their ids, to stop at evals (None: not at all)."""
    wanted = tuple(Expectation(run, eval, f"row {number}") for number, (run, eval) in enumerate(rows, 1))
    return Entry(Path("p"), "fast", "patience=3", parse_policy("patience=3"), (), {}, wanted)


EVALS = {f"run{number}": 20 for number in range(9)} | {"run10": 20}


def test_an_expectation_that_is_met_is_no_finding_and_one_that_is_not_is_a_regression():
    stops = scores([0.0] * 9)
    assert expectations(expecting(("run3", 3), ("n7", 3)), stops, EVALS, []) == []
    later, never = expectations(expecting(("run3", 4), ("n7", None), ("run5", 3)), stops, EVALS, [])
    assert (later.kind, later.severity, later.runs, later.policy, later.log) == (
        "expect",
        "regression",
        ("run3",),
        "fast",
        "run3.csv",
    )
    assert later.facts == {"expected": 4, "after": stops.stops[3], "row": 0}
    assert (never.severity, never.runs, never["expected"]) == ("regression", ("run7",), None)
    silent = scores([0.0] * 9, stopped=False)
    assert expectations(expecting(("run3", None)), silent, EVALS, []) == []
    (stopped,) = expectations(expecting(("run3", 3)), silent, EVALS, [])
    assert stopped["after"].stopped_eval is None


def test_an_expectation_of_a_run_that_the_policy_cannot_judge_is_undecided():
    (finding,) = expectations(expecting(("run10", 3)), scores([0.0] * 9), EVALS, [])
    assert (finding.kind, finding.severity, finding.runs, finding.log) == (
        "expect",
        "undecided",
        ("run10",),
        None,
    )
    assert finding["after"] is None


def test_the_run_of_an_expectation_is_its_id_or_a_part_that_no_other_has():
    stops = scores([0.0] * 9)
    (finding,) = expectations(expecting(("run1", 9)), stops, EVALS, [])
    assert finding.runs == ("run1",), "run10 has it in its id, too"
    with pytest.raises(InputError, match=r'row 1: run = "un1" fits 2 runs: run1, run10; give more of the id'):
        expectations(expecting(("un1", 3)), stops, EVALS, [])
    with pytest.raises(
        InputError, match=r'row 2: run = "rum3" is not a run of these logs.*Did you mean run3\?'
    ):
        expectations(expecting(("run3", 3), ("rum3", 3)), stops, EVALS, ["other"])
    assert expectations(expecting(("old", 9)), stops, EVALS, ["the/old/run"]) == [], "its log is gone"


def test_an_expectation_of_an_eval_that_there_is_not():
    stops = scores([0.0] * 9)
    assert len(expectations(expecting(("run3", 20)), stops, EVALS, [])) == 1
    with pytest.raises(InputError, match=r"row 1: eval = 21, but run3 has 20 evals"):
        expectations(expecting(("run3", 21)), stops, EVALS, [])


def test_limits_of_a_group_are_found_by_its_name_or_what_follows_the_sign():
    own = replace(scores([0.0] * 8 + [1.0] * 8), groups=("dataset=films",) * 8 + ("dataset=news",) * 8)
    for name, verdict in (("dataset=news", "broken"), ("news", "broken"), ("films", "kept")):
        (result,), _ = judge(entry(**{name: (MEAN,)}), own, 0.95, {})
        assert (result.group, result.verdict) == (name, verdict)
    with pytest.raises(
        InputError, match="no run that fast judges is of group 'new'; there are dataset=films, "
    ):
        judge(entry(new=(MEAN,)), own, 0.95, {})


@pytest.mark.parametrize(
    ("last", "early"),
    [
        (0.9, 0.0),  # only the eval that stops is better than the kept one, and it is no later one
        (0.1, 1.0),
        (0.5, 0.0),
    ],
)
def test_stopped_too_early_looks_at_later_evals_only(last, early):
    """The loss stops at eval 4 and keeps eval 2, whose error is 0.5."""
    loss = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
    error = [0.9, 0.5, 0.6, 0.1, 0.9, 0.9, 0.9, last]
    run = Run("r", {"step": range(1, 9), "eval_loss": loss, "eval_error": error})
    question = Question(monitor="eval_loss", objective="eval_error")
    outcomes = simulate_policies([run], ["patience=2"], question)
    noise = float(outcomes.noise[0])
    assert 0 < noise < 0.4
    judged = scored(outcomes, 0, {"r": "r"}, {"r": "r.csv"})
    assert judged.early.tolist() == [early]
    (stop,) = judged.stops
    assert (stop.stopped_eval, stop.stopped_step, stop.log) == (4, 4, "r.csv")
    assert judged.noise["regret"].tolist() == [noise]
    assert judged.noise["relative_regret"] == pytest.approx([noise / 0.1])
    assert judged.noise["lost"] == pytest.approx([noise / 0.8])


def test_a_later_eval_that_is_as_good_as_the_kept_one_is_not_better():
    """Without any noise the smallest gain counts, but none is not a gain."""
    loss = [1.0, 0.5, 0.6, 0.7, *[0.8] * 8]
    for last, early in ((0.5, 0.0), (0.4990234375, 1.0)):
        error = [0.75, 0.5, *[0.75] * 9, last]
        run = Run("r", {"step": range(1, 13), "eval_loss": loss, "eval_error": error})
        outcomes = simulate_policies(
            [run], ["patience=2"], Question(monitor="eval_loss", objective="eval_error")
        )
        assert outcomes.noise.tolist() == [0.0]
        judged = scored(outcomes, 0, {"r": "r"}, {"r": "r.csv"})
        assert judged.early.tolist() == [early]


def test_a_stop_at_the_first_eval_may_be_too_early():
    for loss, early in (([0.5, 0.4, 0.3, 0.2, 0.1], 1.0), ([0.5, 0.6, 0.7, 0.8, 0.9], 0.0)):
        run = Run("r", {"step": range(1, 6), "eval_loss": loss})
        outcomes = simulate_policies([run], ["target=0.5"])
        judged = scored(outcomes, 0, {"r": "r"}, {"r": "r.csv"})
        assert judged.early.tolist() == [early]


def test_a_stop_at_the_first_eval_has_its_step():
    run = Run("r", {"step": [50, 100], "eval_loss": [0.5, 0.25]})
    outcomes = simulate_policies([run], ["target=0.5", "never"])
    for policy, stopped in ((0, (1, 50)), (1, (None, None))):
        judged = scored(outcomes, policy, {"r": "r"}, {"r": "r.csv"})
        (stop,) = judged.stops
        assert (stop.stopped_eval, stop.stopped_step) == stopped


def test_limits_are_about_the_runs_that_can_be_judged():
    """Nine runs lose nothing; ten that cannot be judged would lose everything and save nothing."""
    every = scores([0.0] * 9 + [1.0] * 10)
    every.figures["saved"][9:] = 0.0
    some = replace(every, judged=np.arange(19) < 9)
    saved = limit("min_saved", "saved", 0.4, "40%")
    assert verdicts(every, MEAN, saved)[0] == ["broken", "broken"]
    assert verdicts(some, MEAN, saved, WORST) == (["kept", "kept", "kept"], [])
    nothing = replace(every, judged=np.zeros(19, dtype=bool))
    (result,), findings = judge(entry(MEAN), nothing, 0.95, {})
    assert (result.verdict, result.value) == ("unknown", None)
    assert [finding.severity for finding in findings] == ["undecided"]


def test_too_few_runs_with_a_scale_leave_a_limit_on_lost_undecided():
    few = scores([0.0] * 7 + [math.nan] * 10)
    few.figures["regret"] = np.zeros(17)
    saved = limit("min_saved", "saved", 0.4, "40%")
    found, findings = judge(entry(MEAN, saved), few, 0.95, {})
    assert [result.verdict for result in found] == ["unknown", "kept"]
    (finding,) = findings
    assert (finding.kind, finding.severity) == ("few-runs", "undecided")
    text = "7 runs of which the share lost is known are too few (8 are needed; see the warnings on the other"
    assert text in sentence(finding)
    assert sentence(finding).endswith("so max_lost cannot be decided")
    enough = scores([0.0] * 8 + [math.nan] * 10)
    enough.figures["regret"] = np.zeros(18)
    assert verdicts(enough, MEAN, saved) == (["kept", "kept"], [])
