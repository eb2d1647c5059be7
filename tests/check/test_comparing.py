"""A check against its lock: each finding there is, and no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from replay.check.comparing import accepted, compare, match
from replay.check.config import Entry, Wanted
from replay.check.following import follow
from replay.check.lock import Lock, LockedPolicy, Log
from replay.check.model import Stop
from replay.data.finding import Finding, Kind, Severity
from replay.policies.spec import parse_policy
from replay.report.sentences import sentence

SETTINGS = {"monitor": "eval_loss", "mode": "min", "unit": "steps", "keep": "best"}
IDS = [f"run{number}" for number in range(10)]


def stop(run, eval=4, **figures):
    given = {"saved": 0.5, "regret": 0.1, "relative_regret": 0.2, "lost": 0.05} | figures
    return Stop(run, f"logs/{run}", eval, None if eval is None else 100 * eval, "because", **given)


def stops_of(ids=IDS, **changes):
    """A stop for each run; ``changes`` are other stops by run."""
    return {run: changes.get(run, stop(run)) for run in ids}


def lock_of(stops, spec="patience=3", *, tool="1", logs=None, settings=SETTINGS, name="ours"):
    """A lock with one policy; by default each run has a log of its own."""
    logs = {f"logs/{run}": Log(f"digest of {run}", (run,)) for run in IDS} if logs is None else logs
    return Lock(tool, settings, logs, {name: LockedPolicy(spec, {}, stops)})


def entry(name="ours", spec="patience=3", *limits):
    return Entry(Path("policies.toml"), name, spec, parse_policy(spec), limits, {}, ())


def compared(old, new, *entries, groups=None, where="deleted", companions=False):
    """What is found of the whole and, by name, of each policy."""
    entries = entries or tuple(entry(name, policy.spec) for name, policy in new.policies.items())
    matched = match(old, new, companions)
    return compare(
        entries,
        0.95,
        old,
        new,
        matched,
        follow(old, new, matched.runs),
        groups={run: run for policy in new.policies.values() for run in policy.stops} | (groups or {}),
        locate=lambda path: where,
        shorten=lambda path: path.removeprefix("logs/"),
    )


def kinds(findings):
    return [(finding.severity, finding.kind, finding.get("state")) for finding in findings]


def test_where_nothing_differs_nothing_is_found():
    assert compared(lock_of(stops_of()), lock_of(stops_of())) == ([], {"ours": []})


def test_each_run_that_stops_elsewhere_is_one_regression():
    moves = {"run2": stop("run2", 5), "run5": stop("run5", None), "run9": stop("run9", 3)}
    whole, by_policy = compared(lock_of(stops_of()), lock_of(stops_of(**moves)))
    assert whole == []
    assert by_policy["ours"] == [
        Finding(
            Kind.MOVED,
            Severity.REGRESSION,
            (run,),
            "ours",
            f"logs/{run}",
            {"state": "moved", "before": stop(run), "after": moves[run]},
        )
        for run in ("run2", "run5", "run9")
    ]


def test_another_version_is_one_note_with_the_number_of_moved_stops():
    moves = {"run2": stop("run2", 5), "run5": stop("run5", None)}
    old = replace(lock_of({}), policies=dict.fromkeys("ab", LockedPolicy("patience=3", {}, stops_of())))
    new = replace(
        old,
        tool="2",
        policies={
            "a": LockedPolicy("patience=3", {}, stops_of(**moves)),
            "b": LockedPolicy("patience=3", {}, stops_of(run1=stop("run1", 1))),
        },
    )
    (version,), by_policy = compared(old, new)
    facts = {"state": "tool", "before": "1", "after": "2", "moved": 3, "compared": True, "runs": 10}
    assert version == Finding(Kind.VERSION, Severity.NOTE, facts=facts)
    assert [len(by_policy[name]) for name in "ab"] == [2, 1]


def test_a_policy_that_is_gone_is_a_regression_and_a_new_one_a_note():
    policy = LockedPolicy("patience=3", {}, stops_of())
    other = LockedPolicy("patience=9", {}, stops_of(IDS, run1=stop("run1", 9)))
    old = replace(lock_of({}), policies=dict.fromkeys(("kept", "gone", "lost"), policy))
    new = replace(old, policies={"kept": policy, "fresh": other})
    whole, by_policy = compared(old, new)
    assert whole == [
        Finding(Kind.REMOVED_POLICY, Severity.REGRESSION, policy=name) for name in ("gone", "lost")
    ]
    assert by_policy == {"kept": [], "fresh": [Finding(Kind.NEW_POLICY, Severity.NOTE, policy="fresh")]}


def renamed_to(folder):
    """The logs in another folder, and the ids that their runs have there."""
    return {f"{folder}/{run}": Log(f"digest of {run}", (f"{folder}/{run}",)) for run in IDS}


def renamed_stops(**figures):
    return {f"new/{run}": replace(stop(run, **figures), run=f"new/{run}", log=f"new/{run}") for run in IDS}


def test_renamed_logs_are_a_note_each_and_their_runs_are_compared():
    stops = renamed_stops()
    stops["new/run3"] = replace(stops["new/run3"], stopped_eval=7)
    whole, by_policy = compared(lock_of(stops_of()), lock_of(stops, logs=renamed_to("new")))
    assert whole == [
        Finding(
            Kind.NEW_LOG,
            Severity.NOTE,
            log=f"new/{run}",
            facts={"state": "renamed", "before": run, "after": f"new/{run}"},
        )
        for run in IDS
    ]
    assert kinds(by_policy["ours"]) == [("regression", "moved", "moved")]
    assert by_policy["ours"][0].runs == ("new/run3",)


def test_renamed_logs_and_a_changed_policy_together():
    """The pairs are of old and new ids; the groups are those of the new ones."""
    old, new = lock_of(stops_of()), lock_of(renamed_stops(saved=0.2), "patience=9", logs=renamed_to("new"))
    groups = {f"new/{run}": f"g{number // 2}" for number, run in enumerate(IDS)}
    whole, by_policy = compared(old, new, groups=groups)
    assert kinds(whole) == [("note", "new-log", "renamed")] * 10
    changed, worse, other = by_policy["ours"]
    assert changed == Finding(
        Kind.CHANGED_POLICY,
        Severity.NOTE,
        policy="ours",
        facts={"state": "changed", "before": "patience=3", "after": "patience=9"},
    )
    assert (worse.kind, worse.severity, worse["figure"], worse["count"]) == (
        "worse",
        "regression",
        "saved",
        10,
    )
    assert (worse["before"], worse["after"]) == (("saved", 0.5), ("saved", pytest.approx(0.2)))
    assert (worse["low"], worse["mean"], worse["high"]) == pytest.approx((-0.3, -0.3, -0.3))
    assert (other["state"], other["count"], [change["figure"] for change in other["changes"]]) == (
        "compared",
        10,
        ["lost"],
    )
    # runs that are gone, or that the policy did not judge before, are in no pair
    fewer = replace(old, policies={"ours": LockedPolicy("patience=3", {}, stops_of(IDS[:9]))})
    assert compared(fewer, new, groups=groups)[1]["ours"][1]["count"] == 9


def test_groups_of_renamed_runs_are_drawn_whole():
    """Seven of ten runs save less: by themselves that is a regression, as pairs in 5 groups it is not."""
    saved = [0.2 if number < 7 else 0.6 for number in range(10)]
    stops = {
        run: replace(one, saved=share)
        for (run, one), share in zip(renamed_stops().items(), saved, strict=True)
    }
    old, new = lock_of(stops_of()), lock_of(stops, "patience=9", logs=renamed_to("new"))
    alone = compared(old, new)[1]["ours"]
    assert [finding.kind for finding in alone] == ["changed-policy", "worse", "changed-policy"]
    groups = {run: f"g{number // 2}" for number, run in enumerate(stops)}
    wide = compared(old, new, groups=groups)[1]["ours"]
    assert kinds(wide) == [("note", "changed-policy", "changed"), ("note", "changed-policy", "compared")]
    assert [change["figure"] for change in wide[1]["changes"]] == ["saved", "lost"]
    assert wide[1]["changes"][0]["low"] < alone[1]["low"]


def test_runs_that_a_policy_can_no_longer_judge_are_one_warning():
    old, new = lock_of(stops_of()), lock_of(stops_of(IDS[:7]))
    assert compared(old, new) == (
        [],
        {
            "ours": [
                Finding(
                    Kind.MOVED,
                    Severity.WARNING,
                    tuple(IDS[7:]),
                    "ours",
                    facts={"state": "not-judged"},
                )
            ]
        },
    )
    assert compared(new, old) == ([], {"ours": []}), "it refused them before"
    assert compared(new, new) == ([], {"ours": []}), "it refuses them as before"
    changed = lock_of(stops_of(IDS[:9]), "patience=9")
    assert kinds(compared(old, changed)[1]["ours"]) == [
        ("note", "changed-policy", "changed"),
        ("note", "changed-policy", "compared"),
    ], "another policy may refuse others"


def test_under_another_monitor_nothing_can_be_compared():
    moved = stops_of(run2=stop("run2", 5), run3=stop("run3", saved=0.1))
    for name in ("monitor", "mode"):
        (finding,), by_policy = compared(
            lock_of(stops_of()), lock_of(moved, settings={**SETTINGS, name: "other"})
        )
        facts = {
            "settings": {name: (SETTINGS[name], "other")},
            "stops_compared": False,
        }
        assert finding == Finding(Kind.CHANGED_SETTINGS, Severity.UNDECIDED, facts=facts)
        assert by_policy == {"ours": []}


def test_in_another_unit_only_stops_are_compared():
    moved = stops_of(run2=stop("run2", 5), run3=stop("run3", saved=0.1))
    (finding,), by_policy = compared(
        lock_of(stops_of()), lock_of(moved, settings={**SETTINGS, "unit": "tokens"})
    )
    assert finding["settings"] == {"unit": ("steps", "tokens")}
    assert finding["stops_compared"] is True
    assert kinds(by_policy["ours"]) == [("regression", "moved", "moved")]
    changed = lock_of(moved, "patience=9", settings={**SETTINGS, "unit": "tokens"})
    assert kinds(compared(lock_of(stops_of()), changed)[1]["ours"]) == [("note", "changed-policy", "changed")]


def test_the_same_stops_with_other_figures_are_one_warning():
    differing = {
        "run3": stop("run3", lost=0.06),
        "run5": stop("run5", saved=0.4, regret=0.2),
        "run6": stop("run6", 5, saved=0.1),
        "run7": stop("run7", lost=None),
    }
    _, by_policy = compared(lock_of(stops_of()), lock_of(stops_of(**differing)))
    moved, other = by_policy["ours"]
    assert (moved.kind, moved.runs) == ("moved", ("run6",))
    facts = {"state": "figures", "figure": "lost", "first": "run3", "values": (0.05, 0.06)}
    runs = ("run3", "run5", "run7")
    assert other == Finding(Kind.VERSION, Severity.WARNING, runs, "ours", "logs/run3", facts)


@pytest.mark.parametrize("figure", ["saved", "regret", "lost"])
@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (0.5, 0.5 * (1 + 0.9e-9), True),
        (0.5, 0.5 * (1 + 1.2e-9), False),
        (0.0, 0.9e-12, True),
        (0.0, 1.1e-12, False),
        (float("inf"), float("inf"), True),
        (None, None, True),
        (None, 0.0, False),
        (0.0, None, False),
    ],
)
def test_figures_agree_to_nine_digits(figure, before, after, same):
    old, new = (lock_of(stops_of(run4=stop("run4", **{figure: value}))) for value in (before, after))
    found = compared(old, new)[1]["ours"]
    assert kinds(found) == ([] if same else [("warning", "version", "figures")])


def test_a_policy_that_fires_no_more_is_a_regression_where_the_same_runs_show_it():
    fired = stops_of(IDS, **{run: stop(run, None) for run in IDS[3:]})
    silent = stops_of(IDS, **{run: stop(run, None) for run in IDS})
    found = compared(lock_of(fired), lock_of(silent))[1]["ours"]
    assert kinds(found) == [("regression", "moved", "moved")] * 3 + [("regression", "never-fires", None)]
    assert (found[-1].policy, found[-1].facts) == ("ours", {"fired": 3, "total": 10})
    assert compared(lock_of(silent), lock_of(silent))[1]["ours"] == []
    # the logs on which it fired are gone, or another metric is monitored
    logs = {f"logs/{run}": Log(f"digest of {run}", (run,)) for run in IDS[3:]}
    rest = lock_of(stops_of(IDS[3:], **silent), logs=logs)
    assert kinds(compared(lock_of(fired), rest)[1]["ours"]) == [("warning", "never-fires", None)]
    other = lock_of(silent, settings={**SETTINGS, "monitor": "other"})
    assert kinds(compared(lock_of(fired), other)[1]["ours"]) == [("warning", "never-fires", None)]
    one = lock_of(stops_of(IDS, **{run: stop(run, None) for run in IDS[1:]}))
    assert kinds(compared(lock_of(fired), one)[1]["ours"]) == [("regression", "moved", "moved")] * 2


@pytest.mark.parametrize(
    ("where", "severity", "kind", "under_another_monitor"),
    [
        ("deleted", "regression", "vanished", "regression"),
        ("elsewhere", "regression", "vanished", "regression"),
        ("duplicate", "warning", "changed-log", "warning"),
        ("unreadable", "undecided", "changed-log", "warning"),
    ],
)
def test_a_log_that_no_run_was_read_from(where, severity, kind, under_another_monitor):
    logs = {f"logs/{run}": Log(f"digest of {run}", (run,)) for run in IDS[1:]}
    old, new = lock_of(stops_of()), lock_of(stops_of(IDS[1:]), logs=logs)
    whole, by_policy = compared(old, new, where=where)
    facts = {"state": where, "of": ("run0",)}
    assert whole == [Finding(Kind(kind), Severity(severity), log="run0", facts=facts)]
    assert by_policy == {"ours": []}
    other = replace(new, settings={**SETTINGS, "monitor": "other"})
    assert [finding.severity for finding in compared(old, other, where=where)[0]] == [
        "undecided",
        under_another_monitor,
    ]


def test_changed_logs_are_a_regression_each():
    def with_changed(ids):
        logs = {f"logs/{run}": Log(f"{run} {run in ids}", (run,)) for run in IDS}
        return lock_of(stops_of(IDS, **{run: stop(run, 9) for run in ids}), logs=logs)

    old = with_changed([])
    whole, by_policy = compared(old, with_changed(["run1", "run4"]))
    assert whole == [
        Finding(Kind.CHANGED_LOG, Severity.REGRESSION, log=run, facts={"state": "changed", "of": (run,)})
        for run in ("run1", "run4")
    ]
    assert by_policy == {"ours": []}, "their stops are not compared"
    whole, _ = compared(old, with_changed(IDS))
    assert kinds(whole) == [("regression", "changed-log", "changed")] * 10 + [
        ("undecided", "changed-log", "all-changed")
    ]


def test_runs_that_logs_no_longer_hold_are_one_warning_and_new_logs_one_note():
    old = lock_of(stops_of(["a", "b", "c"]), logs={"logs/all": Log("1", ("a", "b", "c"))})
    new = lock_of(
        stops_of(["b", "x", "y"]),
        logs={"logs/all": Log("1", ("b",)), "logs/x": Log("2", ("x",)), "logs/y": Log("3", ("y",))},
    )
    whole, by_policy = compared(old, new)
    assert whole == [
        Finding(Kind.CHANGED_LOG, Severity.WARNING, ("a", "c"), facts={"state": "regrouped"}),
        Finding(Kind.NEW_LOG, Severity.NOTE, facts={"state": "new", "logs": ("x", "y")}),
    ]
    assert by_policy == {"ours": []}


def changed_figures(before, after, *limits, count=10):
    """What is found of a policy that has changed, from the figures of each run before and after."""
    old, new = (
        lock_of({run: stop(run, **figures(number)) for number, run in enumerate(IDS[:count])}, spec)
        for figures, spec in ((before, "patience=3"), (after, "patience=9"))
    )
    changed, *rest = compared(old, new, entry("ours", "patience=9", *limits))[1]["ours"]
    assert changed["state"] == "changed"
    return rest


def test_eight_pairs_are_enough_to_compare_a_changed_policy():
    def saves(share):
        return lambda number: {"saved": share}

    (few,) = changed_figures(saves(0.5), saves(0.4), count=7)
    assert (few.kind, few.severity, few["count"]) == ("few-common-runs", "undecided", 7)
    assert sentence(few) == (
        "ours has changed, and 7 runs are in the lock and the same now: too few to decide whether it got"
        " worse (8 are needed); it saves 10 points less than before and loses the same, on average over"
        " these runs"
    )
    worse, other = changed_figures(saves(0.5), saves(0.1), count=8)
    assert (worse.kind, worse["count"], other["count"]) == ("worse", 8, 8)


def with_expectations(lock, name="ours", **expect):
    """The lock with runs that are expected to stop at evals."""
    return replace(lock, policies={name: replace(lock.policies[name], limits={}, expect=expect)})


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"run2": 4}, {"run2": 4}, []),
        ({"run2": 4}, {"run2": 5}, [("regression", "loosened", "expect-changed")]),
        ({"run2": 4}, {"run2": None}, [("regression", "loosened", "expect-changed")]),
        ({"run2": None, "run3": 4}, {"run3": 4, "run2": 1}, [("regression", "loosened", "expect-changed")]),
        ({"run2": 4}, {}, [("regression", "loosened", "expect")]),
        (
            {"run2": 4},
            {"run3": 4},
            [("regression", "loosened", "expect"), ("note", "changed-limit", "expect")],
        ),
        # the same run by another part of its id
        ({"un2": 4}, {"run2": 4}, []),
        ({"run2": 4}, {"un2": 3}, [("regression", "loosened", "expect-changed")]),
        ({}, {"run2": 4}, [("note", "changed-limit", "expect")]),
    ],
)
@pytest.mark.parametrize("spec", ["patience=3", "patience=9"])
def test_an_expectation_that_says_something_else_is_a_loosened_limit(before, after, found, spec):
    old = with_expectations(lock_of(stops_of()), **before)
    new = with_expectations(lock_of(stops_of(), spec), **after)
    findings = [one for one in compared(old, new)[1]["ours"] if one.kind != "changed-policy"]
    assert kinds(findings) == found


def test_an_expectation_of_a_run_that_has_another_name_now_is_followed():
    old = with_expectations(lock_of(stops_of()), run3=4)
    new = lock_of(renamed_stops(), logs=renamed_to("new"))
    assert kinds(compared(old, with_expectations(new, **{"new/run3": 4}))[1]["ours"]) == []
    (loose,) = compared(old, with_expectations(new, **{"new/run3": 5}))[1]["ours"]
    assert sentence(loose) == (
        "ours: the lock expects new/run3 to be stopped at eval 4, and the file now expects it to be stopped"
        " at eval 5"
    )


@pytest.mark.parametrize(
    ("before", "after", "count", "found"),
    [
        # no run got worse: nothing is in doubt
        ({"saved": 0.5, "lost": 0.1}, {"saved": 0.6, "lost": 0.1}, 3, [("note", "changed-policy")]),
        ({"saved": 0.5, "lost": 0.1}, {"saved": 0.5, "lost": 0.1}, 1, [("note", "changed-policy")]),
        # better on one figure and worse on the other
        ({"saved": 0.5, "lost": 0.1}, {"saved": 0.6, "lost": 0.2}, 3, [("undecided", "few-common-runs")]),
        # 80 points on each of seven runs are beyond the bounds for any number of runs
        (
            {"saved": 0.9, "lost": 0.1},
            {"saved": 0.1, "lost": 0.1},
            7,
            [("regression", "worse"), ("note", "changed-policy")],
        ),
        ({"saved": 0.8, "lost": 0.1}, {"saved": 0.1, "lost": 0.1}, 2, [("undecided", "few-common-runs")]),
        ({"lost": 0.1}, {"lost": None, "eval": 2}, 4, [("undecided", "few-common-runs")]),
        ({"lost": None}, {"lost": None}, 4, [("note", "changed-policy")]),
        ({}, {}, 0, [("undecided", "few-common-runs")]),
    ],
)
def test_a_changed_policy_on_few_runs(before, after, count, found):
    findings = changed_figures(lambda number: before, lambda number: after, count=count)
    assert [(str(one.severity), str(one.kind)) for one in findings] == found


@pytest.mark.parametrize("figure", ["regret", "relative_regret"])
def test_regrets_of_few_runs_have_no_bounds(figure):
    few = changed_figures(
        lambda number: {figure: 0.0},
        lambda number: {figure: 0.9},
        Wanted("max_regret", figure, False, 0.1, "0.1"),
        count=7,
    )
    assert [(str(one.severity), str(one.kind)) for one in few] == [("undecided", "few-common-runs")]


def test_a_changed_policy_that_loses_more_or_saves_less_regresses_and_one_that_does_not_is_a_note():
    found = changed_figures(
        lambda number: {"saved": 0.5, "lost": 0.1}, lambda number: {"saved": 0.4, "lost": 0.2}
    )
    assert [(one.kind, one["figure"], one["before"], one["after"]) for one in found] == [
        ("worse", "saved", ("saved", 0.5), ("saved", 0.4)),
        ("worse", "lost", ("lost", 0.1), ("lost", 0.2)),
    ]
    (note,) = changed_figures(
        lambda number: {"saved": 0.4, "lost": 0.2}, lambda number: {"saved": 0.5, "lost": 0.1}
    )
    assert (note.severity, note["state"], note["count"]) == ("note", "compared", 10)
    assert [(change["figure"], change["mean"]) for change in note["changes"]] == [
        ("saved", pytest.approx(0.1)),
        ("lost", pytest.approx(-0.1)),
    ]
    (same,) = changed_figures(lambda number: {}, lambda number: {})
    assert [(change["low"], change["mean"], change["high"]) for change in same["changes"]] == [(0, 0, 0)] * 2


def test_a_changed_policy_whose_figures_differ_by_rounding_is_no_regression():
    (same,) = changed_figures(
        lambda number: {"saved": 0.1 + 0.2, "lost": 0.3}, lambda number: {"saved": 0.3, "lost": 0.1 + 0.2}
    )
    assert [(change["low"], change["mean"], change["high"]) for change in same["changes"]] == [(0, 0, 0)] * 2
    # regrets have no scale but their own size
    regret = Wanted("max_regret", "regret", False, 0.1, "0.1")
    worse, _ = changed_figures(
        lambda number: {"regret": 1e-12}, lambda number: {"regret": 3e-12}, regret, count=20
    )
    assert (worse["figure"], worse["mean"]) == ("regret", pytest.approx(2e-12))


def test_a_changed_policy_is_compared_by_the_figure_that_the_file_limits():
    regret = Wanted("max_regret", "regret", False, 0.1, "0.1")
    saved = Wanted("min_saved", "saved", False, 0.1, "10%")
    more = lambda number: {"regret": 0.3}  # noqa: E731
    (note,) = changed_figures(lambda number: {}, more)
    assert [change["figure"] for change in note["changes"]] == ["saved", "lost"]
    worse, note = changed_figures(lambda number: {}, more, saved, regret)
    assert (worse["figure"], worse["mean"]) == ("regret", pytest.approx(0.2))
    assert [change["figure"] for change in note["changes"]] == ["saved"]


def test_figures_that_are_unknown_or_infinite_are_left_out_of_the_comparison():
    def some(figures, others):
        return lambda number: figures if number else others

    worse, note = changed_figures(some({"lost": 0.1}, {"lost": None}), some({"lost": 0.4}, {"lost": 0.1}))
    assert (worse["count"], worse["mean"]) == (9, pytest.approx(0.3))
    limit = Wanted("max_regret", "regret", False, 0.1, "0.1")
    (note,) = changed_figures(some({}, {}), some({}, {"regret": float("inf")}), limit)
    assert [change["figure"] for change in note["changes"]] == ["saved"], "an infinite change has no interval"
    infinite = some({"regret": 0.1}, {"regret": float("inf")})
    (note,) = changed_figures(infinite, some({"regret": 0.3}, {"regret": float("inf")}), limit)
    _, regret = note["changes"]
    assert (regret["count"], regret["mean"]) == (10, pytest.approx(0.18)), "infinite both times: no change"
    assert regret["low"] < 0.18 < regret["high"]
    assert changed_figures(lambda number: {"lost": None}, lambda number: {"lost": None})[0]["changes"][0][
        "figure"
    ] == ("saved")


def test_a_change_that_costs_every_run_alike_is_not_missed():
    """Nine runs that save 30 points less and one that saves 20 less: no run that was not seen hides that."""
    worse, other = changed_figures(
        lambda number: {"saved": 0.6}, lambda number: {"saved": 0.4 if number == 9 else 0.3}
    )
    assert kinds([worse, other]) == [("regression", "worse", None), ("note", "changed-policy", "compared")]
    assert "ours saves 29 points less than before" in sentence(worse)


def test_an_update_makes_notes_of_all():
    old, new = lock_of(stops_of()), lock_of(stops_of(run2=stop("run2", 5)))
    (finding,) = accepted(compared(old, new)[1]["ours"])
    assert (finding.severity, finding.kind, finding.runs) == ("note", "moved", ("run2",))
