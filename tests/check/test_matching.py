"""Which logs and runs of a lock are known again."""

from replay.check.comparing import match
from replay.check.lock import Lock, Log


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


def test_of_two_logs_of_one_content_the_one_of_the_same_name_is_the_renamed_one():
    old = made(a__log=("1", ["a"]), b__other=("1", ["b"]))
    new = made(x__other=("1", ["x"]), y__log=("1", ["y"]), z__log=("1", ["z"]))
    matched = match(old, new, companions=False)
    assert matched.renamed == {"a/log": "y/log", "b/other": "x/other"}
    assert dict(matched.runs) == {"a": "y", "b": "x"}
    assert matched.new == ["z/log"]
    # a log stands for one log only, and one that has not changed its path is not asked
    two = made(a=("1", ["a"]), b=("1", ["b"]))
    assert match(two, made(c=("1", ["c"])), companions=False).missing == ["b"]
    assert not match(made(a=("1", ["a"])), two, companions=False).renamed
