"""Judging and comparing in their parts; as a user sees them, see test_cli_check."""

import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from replay.check import comparing
from replay.check.checking import check, examine, lock_beside, logs_of
from replay.check.comparing import match
from replay.check.config import Config, Entry, Wanted, read_config
from replay.check.judging import Scores, binomial_bounds, judge
from replay.check.lock import Lock, Log
from replay.check.model import Stop
from replay.data.finding import Finding, Kind
from replay.errors import InputError
from replay.policies.spec import parse_policy
from replay.readers import read

from ..conftest import curve, write_log


@given(st.integers(1, 400), st.data(), st.sampled_from([0.025, 0.005, 0.1]))
def test_binomial_bounds_are_those_of_clopper_and_pearson(total, data, tail):
    count = data.draw(st.integers(0, total))
    low, high = binomial_bounds(count, total, tail)
    assert math.isclose(low, 0 if count == 0 else beta.ppf(tail, count, total - count + 1), abs_tol=1e-9)
    assert math.isclose(
        high, 1 if count == total else beta.ppf(1 - tail, count + 1, total - count), abs_tol=1e-9
    )


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
    )


def entry(*limits, **groups):
    return Entry(Path("policies.toml"), "fast", "patience=3", parse_policy("patience=3"), limits, groups, ())


def limit(name, figure, value, text="x"):
    return Wanted(name, figure, name.endswith("_worst"), value, text)


def verdicts(own, *limits, level=0.95):
    results, findings = judge(entry(*limits), own, level, {})
    return [result.verdict for result in results], [(finding.level, finding.kind) for finding in findings]


MEAN, WORST = limit("max_lost", "lost", 0.05, "5%"), limit("max_lost_worst", "lost", 0.3, "30%")


def test_a_mean_is_broken_only_beyond_its_interval():
    assert verdicts(scores([0.02] * 20), MEAN) == (["kept"], [])
    assert verdicts(scores([0.2] * 20), MEAN) == (["broken"], [("regression", "limit")])
    assert verdicts(scores([0.0] * 19 + [1.0] + [0.0, 0.5]), MEAN) == (["unsure"], [("warning", "limit")])
    result = judge(entry(MEAN), scores([0.0] * 19 + [1.0, 0.5]), 0.95, {})[0][0]
    assert result.low < 0.05 < result.value < result.high


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


def test_five_evals_and_half_of_the_runs_uncensored_are_enough():
    assert verdicts(scores([0.0] * 9, evals=4), MEAN)[1] == [("undecided", "few-runs")]
    assert verdicts(scores([0.0] * 9, evals=5), MEAN)[1] == []
    assert verdicts(scores([0.0] * 10, censored=5), MEAN)[1] == []
    assert verdicts(scores([0.0] * 10, censored=6), MEAN)[1] == [("undecided", "censored")]


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
    assert "5.12%, the median run's" in finding.message
    assert finding.message.endswith("set it to 5.2% at least")


@given(st.lists(st.floats(0, 1), min_size=8, max_size=40), st.floats(0, 1))
def test_verdicts_agree_with_their_figures(lost, wanted):
    (result,), findings = judge(entry(limit("max_lost", "lost", wanted)), scores(lost), 0.95, {})
    assert result.low <= result.value <= result.high
    expected = (
        "kept" if result.value <= result.wanted else "broken" if result.low > result.wanted else "unsure"
    )
    assert result.verdict == expected
    assert any(finding.level == "regression" for finding in findings) == (expected == "broken")


def made(**logs):
    return Lock(
        "1", {}, {path.replace("__", "/"): Log(sha, tuple(runs)) for path, (sha, runs) in logs.items()}, {}
    )


def test_logs_are_matched_by_path_then_by_digest():
    old = made(a=("1", ["a"]), b=("2", ["b"]), c=("3", ["c"]), d=("4", ["d"]))
    new = made(a=("1", ["a"]), b=("9", ["b"]), x__c=("3", ["x/c"]), e=("5", ["e"]))
    found = match(old, new, companions=False)
    assert dict(found.runs) == {"a": "a", "c": "x/c"}
    assert (found.renamed, found.changed, found.missing, found.new) == ({"c": "x/c"}, ["b"], ["d"], ["e"])


def test_runs_are_known_again_under_other_ids():
    old = made(a=("1", ["run#1", "run#2"]), b=("2", ["other"]))
    new = made(a=("1", ["a/run#1", "a/run#2"]), b=("2", ["b/other"]))
    assert dict(match(old, new, companions=False).runs) == {
        "run#1": "a/run#1",
        "run#2": "a/run#2",
        "other": "b/other",
    }
    fewer = made(a=("1", ["run#2"]), b=("2", ["other"]))
    found = match(old, fewer, companions=False)
    assert dict(found.runs) == {"run#2": "run#2", "other": "other"}
    assert found.regrouped == ["run#1"]


def test_a_run_of_several_logs_is_the_same_only_with_all_of_them():
    old = made(a=("1", ["run"]), b=("2", ["run"]))
    assert match(old, made(a=("1", ["run"]), b=("2", ["run"])), companions=False).runs == {"run": "run"}
    assert not match(old, made(a=("1", ["run"]), b=("3", ["run"])), companions=False).runs
    assert not match(old, made(a=("1", ["run"])), companions=False).runs
    assert not match(made(a=("1", ["run"])), old, companions=False).runs


def test_files_beside_logs_may_come_and_go_where_no_policy_reads_them():
    plain, more = made(a=("1", ["run"])), made(**{"a": ("1", ["run"]), "step_signals.bin": ("2", ["run"])})
    for old, new in ((plain, more), (more, plain)):
        assert match(old, new, companions=False).runs == {"run": "run"}
        assert not match(old, new, companions=False).missing
        assert not match(old, new, companions=False).new
    assert match(more, plain, companions=True).missing == ["step_signals.bin"]


def project(folder, text='logs = ["logs"]\n[policies.fast]\nspec = "patience=2"\n', runs=8):
    for number in range(runs):
        write_log(folder / "logs" / f"run{number}", curve(number), seed=number)
    (folder / "policies.toml").write_text(text)
    return folder / "policies.toml"


def test_check_writes_nothing(tmp_path):
    file = project(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    checked = check(str(file))
    assert (checked.exit_code, checked.runs, checked.lock) == (0, 8, None)
    assert check(file, [tmp_path / "logs"], require_lock=True).exit_code == 3
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_where_the_lock_and_the_logs_are(tmp_path):
    config = read_config(project(tmp_path))
    assert lock_beside(config.path) == tmp_path / "replay.lock"
    assert logs_of(config, []) == [tmp_path / "logs"]
    assert logs_of(config, [Path("other")]) == [Path("other")]
    with pytest.raises(InputError, match="which logs"):
        logs_of(Config(Path("x"), ()), [])


def test_a_policy_under_two_names_is_simulated_once_and_shown_twice(tmp_path):
    text = 'logs = ["logs"]\n' + "".join(
        f'[policies.{name}]\nspec = "{spec}"\n'
        for name, spec in (("a", "patience=2"), ("b", "patience = 2.0"))
    )
    checked = check(project(tmp_path, text))
    one, other = checked.policies
    assert (one.name, other.name, one.spec) == ("a", "b", other.spec)
    assert one.stops == other.stops


def test_what_the_reader_warns_of_is_told(tmp_path):
    file = project(tmp_path)
    (tmp_path / "logs" / "run0" / "eval_log.jsonl").write_text("")
    (warning,) = [one for one in check(file).warnings if isinstance(one, Finding)]
    assert (warning.kind, Path(warning.log).parent.name) == (Kind.EMPTY_FILE, "run0")


def test_stopped_too_early_needs_a_later_eval_better_than_noise(tmp_path):
    falls = [1.0, 0.8, 0.6, 0.7, 0.8, 0.9]
    tails = ([0.7, 0.5, 0.4, 0.5], [0.9, 0.9, 0.9, 0.9], [0.9, 0.595, 0.9, 0.9])
    for number in range(9):
        tail = tails[number] if number < 3 else tails[1]
        values = [value + 0.001 * number for value in falls + tail]
        write_log(tmp_path / "logs" / f"run{number}", values, seed=number)
    (tmp_path / "policies.toml").write_text(
        'logs = ["logs"]\n[policies.a]\nspec = "patience=3"\nmax_stopped_too_early = "20%"\n'
    )
    (result,) = check(tmp_path / "policies.toml").policies[0].limits
    assert result.value == pytest.approx(1 / 9), "run0; run2 is better by less than its noise"


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


@pytest.mark.parametrize("how", ["relative", "absolute", "dotted"])
def test_ids_and_paths_do_not_depend_on_how_the_logs_are_named(tmp_path, monkeypatch, how):
    file = project(tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    root = {
        "relative": Path("logs"),
        "absolute": tmp_path / "home" / "logs",
        "dotted": Path("../home/./logs"),
    }[how]
    config = read_config(Path(os.path.relpath(file)))
    checked, lock = examine(config, read([root]), [root], Path("replay.lock"))
    assert min(lock.logs) == "logs/run0/eval_log.jsonl"
    assert checked.policies[0].stops[0].run == "run0"


def test_links_to_logs_stay_below_the_folder(tmp_path):
    project(tmp_path / "data")
    home = tmp_path / "home"
    home.mkdir()
    (home / "logs").symlink_to(tmp_path / "data" / "logs")
    shutil.copy(tmp_path / "data" / "policies.toml", home)
    config = read_config(home / "policies.toml")
    roots = logs_of(config, [])
    _, lock = examine(config, read(roots), roots, home / "replay.lock")
    assert min(lock.logs) == "logs/run0/eval_log.jsonl"


def test_a_change_that_costs_every_run_alike_is_not_missed(tmp_path):
    """Nine runs that save 30 points less and one that saves 20 less: no run that was not seen hides that."""
    pairs = []
    for number in range(10):
        before = Stop(f"r{number}", f"r{number}.csv", 4, 4, "", 0.6, 0.0, 0.0, 0.0)
        pairs.append((before, replace(before, saved=0.4 if number == 9 else 0.3, stopped_eval=7)))
    entry = SimpleNamespace(name="p", limits=())
    found = comparing._worse(entry, pairs, {f"r{number}": f"r{number}" for number in range(10)}, 0.95)
    assert [(one.level, one.kind) for one in found] == [("regression", "worse"), ("note", "changed-policy")]
    assert "saves less than before on the same 10 runs" in found[0].message
