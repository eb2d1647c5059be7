"""Two sides of a diff: what words name, how runs are paired, and what a difference says."""

from pathlib import Path

import pytest

from replay.check.diff import Both, Difference, Side, compare, diff, kind_of
from replay.check.model import Stop
from replay.errors import InputError
from replay.readers import read

from ..conftest import curve, write_log


def stop(run, eval=4, saved=0.5, lost=0.1, regret=0.2, log=""):
    return Stop(run, log, eval, None if eval is None else 100 * eval, "because", saved, regret, 0.2, lost)


def side(*stops, groups=None):
    return Side("patience=3", {one.run: one for one in stops}, groups or {})


@pytest.mark.parametrize(
    ("low", "mean", "high", "verdict"),
    [
        (0.0, 0.1, 0.3, "unclear"),
        (1e-9, 0.1, 0.3, "unclear"),
        (2e-9, 0.1, 0.3, "more"),
        (-0.3, -0.1, 0.0, "unclear"),
        (-0.3, -0.1, -1e-9, "unclear"),
        (-0.3, -0.1, -2e-9, "less"),
        (0.0, 0.0, 0.0, "same"),
        (-0.1, 0.0, 0.0, "unclear"),
        (0.0, 0.0, 0.1, "unclear"),
    ],
)
def test_a_bound_of_zero_but_for_rounding_does_not_show_a_difference(low, mean, high, verdict):
    assert Difference(8, 0.1, 0.1 + mean, mean, low, high).verdict == verdict
    assert Difference(7, 0.1, 0.1 + mean, mean, low, high).verdict == (
        "same" if verdict == "same" else "too few"
    )


def test_sides_are_paired_by_run():
    before = side(stop("a"), stop("b"), stop("c", saved=0.2), stop("d"))
    after = side(stop("b", 5), stop("c", saved=0.4), stop("d"), stop("e"))
    pair = compare("ours", before, after, 0.9)
    assert [both.run for both in pair.runs] == ["b", "c", "d"]
    assert [one.run for one in pair.only_before] == ["a"]
    assert [one.run for one in pair.only_after] == ["e"]
    assert [both.run for both in pair.moved] == ["b"]
    assert [both.run for both in pair.changed] == ["c"]
    assert (pair.name, pair.level) == ("ours", 0.9)
    assert (pair.saved.runs, pair.saved.before, pair.saved.after) == (
        3,
        pytest.approx(0.4),
        pytest.approx(1.4 / 3),
    )
    assert pair.saved.mean == pytest.approx(0.2 / 3)
    assert pair.saved.low < pair.saved.mean < pair.saved.high
    assert (pair.lost.mean, pair.lost.low, pair.lost.high) == (0, 0, 0)


def test_figures_that_differ_by_rounding_are_the_same():
    names = "abcdefgh"
    before = side(*(stop(name, saved=0.3) for name in names))
    after = side(*(stop(name, saved=0.1 + 0.2) for name in names))
    assert compare(None, before, after).saved.verdict == "same"
    assert compare(None, before, side(*(stop(name, saved=0.31) for name in names))).saved.verdict == "more"


def test_another_step_of_the_same_eval_is_another_stop():
    one, other = stop("a"), Stop("a", "", 4, 401, "because", 0.5, 0.2, 0.2, 0.1)
    assert Both(one, other).moved
    assert not Both(one, other).differs
    assert Both(one, stop("a", regret=0.3)).differs
    assert Both(one, stop("a", lost=0.3)).differs


def test_runs_whose_loss_one_side_does_not_know_are_in_no_difference():
    pair = compare(
        None, side(stop("a", lost=None), stop("b"), stop("c")), side(stop("a"), stop("b"), stop("c"))
    )
    assert (pair.saved.runs, pair.lost.runs) == (3, 2)
    none = compare(None, side(stop("a", lost=None)), side(stop("a")))
    assert none.lost == Difference(0, None, None, None, None, None)
    assert none.lost.verdict == "unknown"
    assert (none.saved.mean, none.saved.low, none.saved.high) == (0, None, None), (
        "of one run there is no interval"
    )


def test_groups_are_those_of_the_second_side_else_of_the_first():
    runs = [f"r{number}" for number in range(10)]
    before = [stop(run, saved=0.1) for run in runs]
    after = [stop(run, saved=0.1 + 0.1 * (number // 2)) for number, run in enumerate(runs)]
    groups = {run: f"g{number // 2}" for number, run in enumerate(runs)}
    alone = compare(None, side(*before), side(*after)).saved
    second = compare(None, side(*before, groups=dict.fromkeys(runs, "x")), side(*after, groups=groups)).saved
    first = compare(None, side(*before, groups=groups), side(*after)).saved
    assert second == first
    assert second.low < alone.low < second.mean < alone.high < second.high


def test_the_order_of_the_runs_is_that_of_their_logs():
    """Draws go by the order of runs: a diff has the interval that a check has."""
    saved = [0.1, 0.9, 0.2, 0.3, 0.4, 0.15, 0.6, 0.3]
    stops = [stop(f"r{number}", saved=share, log=f"log{9 - number}") for number, share in enumerate(saved)]
    zero = [stop(one.run, saved=0.0) for one in stops]
    pair = compare(None, side(*zero), side(*stops))
    backwards = compare(None, side(*zero[::-1]), side(*stops[::-1]))
    assert pair.saved == backwards.saved


def test_what_does_not_go_together(logs, tmp_path):
    def compared(before, after, *paths, policies=()):
        return diff(before, after, [Path(path) for path in paths], policies, read, defaults=["patience=3"])

    assert kind_of(str(logs)) == "logs"
    with pytest.raises(InputError, match=r"is a policy and .* logs; give two of a kind"):
        compared("patience=2", str(logs))
    with pytest.raises(InputError, match="two sets of logs need no more logs; leave out more"):
        compared(str(logs), str(logs), "more")
    with pytest.raises(InputError, match="--policy is for two sets of logs"):
        compared("patience=2", "patience=3", str(logs), policies=["never"])
    with pytest.raises(InputError, match="on which logs"):
        compared("patience=2", "patience=3")
    write_log(tmp_path / "other" / "elsewhere", curve(1))
    with pytest.raises(InputError, match=r"no run is in both .*: the first are run0 and elsewhere"):
        compared(str(logs), str(tmp_path / "other"))
    (pair,) = compared("patience=2", "patience=9", str(logs)).pairs
    assert (pair.name, pair.before, pair.after, len(pair.runs)) == (None, "patience=2", "patience=9", 10)
    assert pair.saved.verdict == "less"
    (same,) = compared(str(logs), str(logs)).pairs
    assert (same.name, same.saved.verdict, same.moved, same.changed) == ("patience=3", "same", [], [])


def test_two_files_of_policies_are_compared_at_the_confidence_of_the_second(logs, tmp_path):
    for name, confidence, spec in (("one", 0.6, "patience=2"), ("two", 0.9, "patience=9")):
        text = f'logs = ["{logs}"]\nconfidence = {confidence}\n[policies.ours]\nspec = "{spec}"\n'
        (tmp_path / f"{name}.toml").write_text(text)
    files = [str(tmp_path / f"{name}.toml") for name in ("one", "two")]
    (pair,) = diff(*files, [], (), read, defaults=()).pairs
    assert (pair.name, pair.before, pair.after, pair.level) == ("ours", "patience=2", "patience=9", 0.9)
    (turned,) = diff(*files[::-1], [], (), read, defaults=()).pairs
    assert (turned.level, turned.saved.mean) == (0.6, pytest.approx(-pair.saved.mean))
    assert turned.saved.high - turned.saved.low < pair.saved.high - pair.saved.low
