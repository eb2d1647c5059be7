"""``replay check`` as a user types it, and as CI runs it."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.check.lock import read_lock, write_lock
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.conftest import curve, write_log
from tests.readme import ROOT

# under patience=3 both stop at eval 6, which saves 40 %; `TWICE` then loses a third, as it is best at eval 9
ONCE = [1.0, 0.8, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0]
TWICE = [1.0, 0.8, 0.6, 0.7, 0.8, 0.9, 0.7, 0.5, 0.4, 0.5]
FALLS = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


@pytest.fixture(autouse=True)
def not_on_github(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


class Project:
    """A folder with logs and a file of policies."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "policies.toml"
        self.lock = folder / "replay.lock"

    def logs(self, *kinds, first=0, header=None):
        """Logs run0, run1, …, each a hair different, as equal ones would count once."""
        for number, values in enumerate(kinds, first):
            write_log(
                self.folder / "logs" / f"run{number}",
                [value + number * 2**-30 for value in values],
                seed=number,
                header=header,
            )
        return self

    def policies(self, text, head='logs = ["logs"]\n'):
        self.file.write_text(head + text)
        return self

    def one(self, limits="", spec="patience=3", **more):
        return self.policies(f'[policies.fast]\nspec = "{spec}"\n{limits}\n', **more)

    def check(self, *args, code=0):
        return run("check", os.path.relpath(self.file), *args, code=code)

    def told(self, *args, code=0):
        return json.loads(self.check(*args, "--format", "json", code=code).stdout)

    def update(self, *args, code=0):
        self.check("--update", *args, code=code)
        return self

    def found(self, *args, code=0):
        """(level, kind) of all findings, without what is said of new files."""
        return [(found["level"], found["kind"]) for found in self.told(*args, code=code)["findings"]]

    def verdicts(self, code=0):
        return {limit["name"]: limit["verdict"] for limit in self.told(code=code)["policies"][0]["limits"]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def alter(project, **changes):
    """Make the lock say that the policy fast did something else to run0, as an older tool might have written
    it."""
    lock = read_lock(project.lock)
    fast = lock.policies["fast"]
    stops = {**fast.stops, "run0": replace(fast.stops["run0"], **changes)}
    write_lock(project.lock, replace(lock, policies={**lock.policies, "fast": replace(fast, stops=stops)}))


def test_first_run_passes_its_limits_and_says_how_to_make_a_lock(project):
    project.logs(*[ONCE] * 10).one('max_lost = "5%"\nmin_saved = "40%"')
    out = project.check().stdout
    fits(out)
    assert out.startswith("Passed: both limits are kept, and there is no lock to compare with.\n")
    assert "fast    10 of 10    40%    0%  2 kept\n" in out
    assert out.splitlines()[-1] == "Next: replay check policies.toml --update"
    details = project.check("--verbose").stdout
    assert "fast: patience=3\n  stops 10 of 10 runs, saves 40%, loses 0%" in details
    assert [line.split()[-1] for line in details.splitlines() if line.startswith("  m")] == ["kept", "kept"]
    assert "there is no replay.lock to compare with" in " ".join(out.split())
    assert not project.lock.exists()


def test_update_then_check_finds_nothing(project):
    project.logs(*[ONCE] * 9, TWICE).one('max_lost = "90%"')
    result = project.check("--update")
    assert "wrote replay.lock" in result.stderr
    before = project.lock.read_bytes()
    told = project.told()
    assert told["findings"] == []
    assert told["exit_code"] == 0
    assert told["verdict"] == "passed"
    assert told["policies"][0]["before"] == told["policies"][0]["summary"]
    out = project.check().stdout
    assert " ".join(out.split()).startswith(
        "Passed: the one limit is kept, and the policies stop the 10 runs where replay.lock says. "
    )
    assert out.splitlines()[-1] == "Next: replay simulate logs --policies policies.toml --per-run"
    assert "is up to date" in project.check("--update").stderr
    assert project.lock.read_bytes() == before


@pytest.mark.parametrize(
    ("kinds", "limit", "verdict"),
    [
        ([ONCE] * 10, 'max_lost = "5%"', "kept"),
        ([TWICE] * 10, 'max_lost = "5%"', "broken"),
        ([TWICE] + [ONCE] * 9, 'max_lost = "2%"', "unsure"),
        ([TWICE] + [ONCE] * 9, 'max_lost = "4%"', "kept"),
        ([TWICE] * 10, "max_regret = 0.1", "broken"),
        ([TWICE] * 10, "max_regret = 0.201", "kept"),
        ([TWICE] * 10, 'max_regret = "10%"', "broken"),
        ([TWICE] * 10, 'max_regret = "51%"', "kept"),
        ([ONCE] * 10, 'min_saved = "40%"', "kept"),
        ([ONCE] * 10, 'min_saved = "41%"', "broken"),
        ([FALLS] * 3 + [ONCE] * 9, 'min_saved = "35%"', "unsure"),
        ([FALLS] * 3 + [ONCE] * 9, 'min_saved = "30%"', "kept"),
        ([TWICE] + [ONCE] * 9, 'max_lost_worst = "20%"', "broken"),
        ([TWICE] + [ONCE] * 9, 'max_lost_worst = "30%"', "unsure"),
        ([TWICE] + [ONCE] * 9, 'max_lost_worst = "34%"', "kept"),
        ([TWICE] + [ONCE] * 9, "max_regret_worst = 0.1", "broken"),
        ([TWICE] + [ONCE] * 9, "max_regret_worst = 0.19", "unsure"),
        ([TWICE] + [ONCE] * 9, 'max_regret_worst = "20%"', "broken"),
        ([TWICE] * 10, 'max_stopped_too_early = "10%"', "broken"),
        ([TWICE] + [ONCE] * 9, 'max_stopped_too_early = "10%"', "kept"),
        ([TWICE] + [ONCE] * 9, 'max_stopped_too_early = "5%"', "unsure"),
        ([TWICE] * 4 + [ONCE] * 6, 'max_stopped_too_early = "10%"', "broken"),
        ([TWICE] * 4 + [ONCE] * 6, 'max_stopped_too_early = "13%"', "unsure"),
    ],
)
def test_limits(project, kinds, limit, verdict):
    project.logs(*kinds).one(limit)
    told = project.told(code=1 if verdict == "broken" else 0)
    (found,) = told["policies"][0]["limits"]
    assert found["verdict"] == verdict
    name = found["name"]
    levels = {finding["level"] for finding in told["findings"] if finding["kind"] == "limit"}
    assert levels == {"kept": set(), "broken": {"regression"}, "unsure": {"warning"}}[verdict]
    if verdict != "kept" and name.endswith("_worst"):
        assert next(finding for finding in told["findings"] if finding["kind"] == "limit")["run"] == "run0"
    if not name.endswith("_worst") and verdict != "kept":
        assert found["low"] <= found["value"] <= found["high"]


def test_a_broken_limit_is_told_with_its_figures(project):
    project.logs(*[TWICE] * 10).one('max_lost = "5%"\nmax_lost_worst = "20%"')
    out = project.check(code=1).stdout
    fits_the_screen(out)
    assert "max_lost BROKEN, max_lost_worst BROKEN" in out
    assert "max_lost         5%    33%  BROKEN" in project.check("--verbose", code=1).stdout
    assert "regression: fast: max_lost 5% is broken: lost 33.3% on average" in out
    details = " ".join(project.check("--verbose", code=1).stdout.split())
    assert "max_lost_worst 20% is broken: run0 (and 9 more runs) has lost 33.3%" in details
    assert out.startswith("Failed: 2 limits are broken (fast).\n")
    assert out.splitlines()[-1].startswith(("Next: replay simulate", "  "))


def test_a_policy_that_fires_nowhere_saves_nothing_however_few_the_runs(project):
    project.logs(*[FALLS] * 8, header={"planned_steps": 2000}).one(
        'min_saved = "20%"', spec="patience=8", head='logs = ["logs"]\nobjective = "eval_accuracy"\n'
    )
    told = project.told(code=3)
    assert ("undecided", "censored") in [(found["level"], found["kind"]) for found in told["findings"]]
    project.logs(*[ONCE] * 8)
    told = project.told(code=1)
    assert told["policies"][0]["limits"][0]["verdict"] == "broken"
    assert "fast stops none of these runs" in [found["message"] for found in told["findings"]]


def test_limits_of_groups(project):
    for number in range(16):
        header = {"dataset": "films" if number < 8 else "news"}
        values = [value + number * 2**-30 for value in (ONCE if number < 8 else TWICE)]
        write_log(project.folder / "logs" / f"run{number}", values, header=header, seed=number)
    head = 'logs = ["logs"]\ngroup = "dataset"\n'
    text = (
        '[policies.fast]\nspec = "patience=3"\nmax_lost = "50%"\n[policies.fast.groups.{}]\nmax_lost ='
        ' "10%"\n'
    )
    project.policies(text.format("films"), head)
    assert [limit["group"] for limit in project.told()["policies"][0]["limits"]] == [None, "films"]
    project.policies(text.format("news"), head)
    told = project.told(code=1)
    assert [limit["verdict"] for limit in told["policies"][0]["limits"]] == ["kept", "broken"]
    assert told["findings"][0]["group"] == "news"
    assert "fast on group news: max_lost 10% is broken: lost 33.3%" in told["findings"][0]["message"]
    project.policies(text.format('"dataset=news"'), head)
    project.check(code=1)
    project.policies(text.format("new"), head)
    assert "no run that fast judges is of group 'new'; there are dataset=films, dataset=news" in " ".join(
        project.check(code=2).stderr.split()
    )


def test_too_few_runs_are_undecided_and_no_failure(project):
    project.logs(*[TWICE] * 7).one('max_lost = "5%"\nmin_saved = "90%"')
    project.one('max_regret = 0.3\nmin_saved = "50%"')
    told = project.told(code=3)
    assert {limit["verdict"] for limit in told["policies"][0]["limits"]} == {"unknown"}
    assert (told["findings"][0]["level"], told["findings"][0]["kind"]) == ("undecided", "few-runs")
    assert "7 runs are too few (8 are needed)" in told["findings"][0]["message"]
    out = project.check(code=3).stdout
    assert out.startswith("Undecided: too few runs to decide a limit (fast).\n")
    project.one('max_lost_worst = "10%"')
    project.check(code=1)  # what one run shows, it shows
    project.one('[[policies.fast.expect]]\nrun = "run0"\neval = 6')
    project.check()  # as does an expectation


def test_too_few_evals_are_undecided(project):
    project.logs(*[[1.0, 0.9, 1.1, 1.2]] * 9).one('max_lost = "5%"', spec="patience=1")
    assert "a median of 4 evals a run is too few" in project.check(code=3).stdout


def test_censored_beyond_use_is_undecided(project):
    """Whether the policy stops a run of them, as it does here, or never fires."""
    project.logs(*[ONCE] * 6, header={"planned_steps": 2000}).logs(*[ONCE] * 5, first=6)
    project.one('max_lost = "5%"')
    told = project.told(code=3)
    assert (told["findings"][0]["kind"], told["verdict"]) == (
        "censored",
        "undecided: too many runs are censored",
    )
    assert "6 of 11 runs are censored (their logs end before" in told["findings"][0]["message"]
    for number in range(3):
        shutil.rmtree(project.folder / "logs" / f"run{number}")
    assert "3 of 8 runs are censored" in project.told(code=3)["findings"][0]["message"], (
        "they may lose it all"
    )
    project.one('max_lost = "40%"')
    project.check()


def test_a_limit_below_the_noise_is_warned_of(project):
    for number in range(10):
        write_log(project.folder / "logs" / f"run{number}", curve(number), seed=number)
    project.one('max_lost = "0.1%"\nmax_lost_worst = "100%"', spec="patience=9")
    told = project.told(code=0)
    (found,) = [finding for finding in told["findings"] if finding["kind"] == "noise"]
    assert (found["level"], found["limit"]) == ("warning", "max_lost")
    assert "breeds re-runs" in found["message"]
    enough = found["message"].rpartition("so set it to ")[2].split()[0]
    project.one(f'max_lost = "{enough}"', spec="patience=9")
    assert not [finding for finding in project.told()["findings"] if finding["kind"] == "noise"]


def test_expectations(project):
    expect = '[[policies.fast.expect]]\nrun = "{}"\neval = {}\n'
    project.logs(ONCE, TWICE, FALLS)
    project.one(expect.format("run0", 6) + expect.format("n2", '"never"'))
    project.check()
    project.one(expect.format("run0", 5) + expect.format("run1", '"never"') + expect.format("run2", 3))
    told = project.told(code=1)
    found = [finding for finding in told["findings"] if finding["kind"] == "expect"]
    assert [finding["run"] for finding in found] == ["run0", "run1", "run2"]
    assert "fast stops run0 at eval 6, and the policies file expects a stop at eval 5" in found[0]["message"]
    assert (found[0]["before"], found[2]["after"]) == ("eval 5 (expected)", "not stopped")
    assert found[0]["after"].startswith("eval 6 (step 600): ")
    for row, said in (
        (
            expect.format("run7", 5),
            'run = "run7" is not a run of these logs; there are run0, run1, run2. Did you mean',
        ),
        (expect.format("run", 5), 'run = "run" fits 3 runs: run0, run1, run2; give more of the id'),
        (expect.format("run0", 11), "eval = 11, but run0 has 10 evals"),
    ):
        project.one(row)
        assert said in " ".join(project.check(code=2).stderr.split())


def test_a_moved_stop_fails_and_is_told_run_by_run(project):
    project.logs(*[ONCE] * 10).one().update()
    alter(project, stopped_eval=4, stopped_step=400, reason="no gain for 1 eval")
    told = project.told(code=1)
    (found,) = told["findings"]
    assert (found["level"], found["kind"], found["run"]) == ("regression", "moved", "run0")
    assert found["before"] == "eval 4 (step 400): no gain for 1 eval"
    assert found["after"].startswith("eval 6 (step 600): ")
    assert found["log"] == "logs/run0/eval_log.jsonl"
    out = project.check(code=1).stdout
    fits(out)
    assert "    before: eval 4 (step 400): no gain for 1 eval\n    after:  eval 6 (step 600): " in out
    assert out.startswith("Failed: a stop moved (fast).\n")
    result = project.check("--update")
    assert "note: fast stops run0 at eval 6, but stopped it at eval 4" in " ".join(result.stdout.split()), (
        "an update tells what it accepts"
    )
    assert project.found() == []


def test_of_many_moved_stops_ten_are_shown(project):
    project.logs(*[ONCE] * 14).one().update()
    lock = read_lock(project.lock)
    fast = lock.policies["fast"]
    stops = {
        name: replace(stop, stopped_eval=None, stopped_step=None, reason="the end of the log")
        for name, stop in fast.stops.items()
    }
    write_lock(project.lock, replace(lock, policies={"fast": replace(fast, stops=stops)}))
    out = project.check(code=1).stdout
    fits_the_screen(out)
    assert out.startswith("Failed: 14 stops moved (fast).\n")
    assert out.count("before: not stopped") == 1
    assert "(and 13 more of this kind)" in " ".join(out.split())
    out = project.check("--verbose", code=1).stdout
    assert out.count("before: not stopped") == 10
    assert "regression: … and 4 more runs of fast." in out
    assert len(project.told(code=1)["findings"]) == 14


def test_other_figures_of_the_same_stop_only_warn(project):
    project.logs(*[ONCE] * 10).one().update()
    alter(project, saved=0.39)
    (found,) = project.told()["findings"]
    assert (found["level"], found["kind"]) == ("warning", "version")
    assert "saved of run0 was 0.39 and is 0.4" in found["message"]


def test_another_version_with_equal_figures_is_a_note(project):
    project.logs(*[ONCE] * 10).one().update()
    write_lock(project.lock, replace(read_lock(project.lock), tool="0.0.9"))
    (found,) = project.told()["findings"]
    assert (found["level"], found["kind"]) == ("note", "version")
    assert "made by replay 0.0.9" in found["message"]
    assert "all stops on the same logs are the same" in found["message"]


def test_a_vanished_log_fails(project):
    project.logs(*[ONCE] * 10).one().update()
    shutil.rmtree(project.folder / "logs" / "run3")
    told = project.told(code=1)
    (found,) = told["findings"]
    assert (found["level"], found["kind"], found["log"]) == (
        "regression",
        "vanished",
        "logs/run3/eval_log.jsonl",
    )
    assert project.check(code=1).stdout.startswith("Failed: a log vanished.\n")
    project.update()
    assert project.found() == []


def test_an_expectation_of_a_vanished_log_is_no_mistake(project):
    project.logs(*[ONCE] * 10).one('[[policies.fast.expect]]\nrun = "run3"\neval = 6').update()
    shutil.rmtree(project.folder / "logs" / "run3")
    assert project.found(code=1) == [("regression", "vanished")]


def test_logs_beside_those_that_are_given_count_as_vanished(project):
    project.logs(*[ONCE] * 10).one().update()
    told = json.loads(
        run("check", project.file, project.folder / "logs" / "run0", "--format", "json", code=1).stdout
    )
    assert len(told["findings"]) == 9
    assert "not below the logs that were given" in told["findings"][0]["message"]


def test_a_renamed_log_is_known_again(project):
    project.logs(*[ONCE] * 10).one().update()
    (project.folder / "logs" / "run3").rename(project.folder / "logs" / "other")
    (found,) = project.told()["findings"]
    assert (found["level"], found["kind"]) == ("note", "new-log")
    assert "logs/run3/eval_log.jsonl is now logs/other/eval_log.jsonl" in found["message"]


def test_a_changed_value_is_a_regression_and_compared_no_further(project):
    project.logs(*[ONCE] * 10).one().update()
    alter(project, stopped_eval=4)
    path = project.folder / "logs" / "run0" / "eval_log.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.001", b"0.002", 1))
    (found,) = project.told(code=1)["findings"]
    assert (found["level"], found["kind"], found["log"]) == (
        "regression",
        "changed-log",
        "logs/run0/eval_log.jsonl",
    )
    assert "does not say what it said when the lock was made (run run0)" in found["message"]
    project.update()
    assert project.found() == []


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data + b"\n",
        lambda data: data.replace(b": ", b" :  "),
    ],
)
def test_a_log_that_says_the_same_in_other_bytes_is_the_same_log(project, rewrite):
    """So the moved stop of one of them is found."""
    project.logs(*[ONCE] * 10).one().update()
    before = project.lock.read_bytes()
    for number in (0, 4, 7):
        path = project.folder / "logs" / f"run{number}" / "eval_log.jsonl"
        path.write_bytes(rewrite(path.read_bytes()))
    assert project.found("--strict") == []
    alter(project, stopped_eval=4)
    assert project.found(code=1) == [("regression", "moved")]
    project.lock.write_bytes(before.replace(b"\n", b"\r\n"))
    assert project.found("--strict") == []


def test_a_log_that_cannot_be_read_any_more_is_undecided(project):
    project.logs(*[ONCE] * 10).one().update()
    (project.folder / "logs" / "run0" / "eval_log.jsonl").write_text("")
    assert project.found(code=3) == [("undecided", "changed-log")]


def test_when_all_logs_changed_nothing_can_be_compared(project):
    project.logs(*[ONCE] * 10).one().update()
    for path in project.folder.glob("logs/*/*"):
        path.write_text(path.read_text().replace("0.6", "0.61"))
    found = project.found(code=1)
    assert found == [("regression", "changed-log")] * 10 + [("undecided", "changed-log")]


def test_new_logs_are_told_and_do_not_fail(project):
    project.logs(*[ONCE] * 10).one().update()
    project.logs(*[TWICE] * 5, first=10)
    (found,) = project.told()["findings"]
    assert (found["level"], found["kind"]) == ("note", "new-log")
    assert "5 logs are new: logs/run10/eval_log.jsonl, " in found["message"]
    out = project.check().stdout
    assert "what differs from replay.lock is listed below." in " ".join(out.split())
    assert "fast    10 of 10 -> 15 of 15    40%  0% -> 11%\n(when the lock was made -> now)\n" in out
    assert (
        "stops 15 of 15 runs, saves 40%, loses 11% in the lock: stops 10 of 10 runs, saves 40%, loses 0%"
        in " ".join(project.check("--verbose").stdout.split())
    )
    assert "Next: replay check" in out


def test_a_changed_policy_is_compared_run_by_run(project):
    project.logs(*[TWICE] * 10).one(spec="patience=5").update()
    project.one(spec="patience=3")
    told = project.told(code=1)
    levels = [(found["level"], found["kind"]) for found in told["findings"]]
    assert levels == [("regression", "worse"), ("note", "changed-policy"), ("note", "changed-policy")]
    assert (
        "fast loses 33.3 points more than before, on average over the same 10 runs"
        in told["findings"][0]["message"]
    )
    assert (told["findings"][0]["before"], told["findings"][0]["after"]) == ("lost 0%", "lost 33.3%")
    project.update()
    project.one(spec="patience=5")
    said = [found["message"] for found in project.told(code=1)["findings"] if found["kind"] == "worse"]
    assert said == ["fast saves 40 points less than before, on average over the same 10 runs"]


def test_a_changed_policy_that_is_no_worse_is_a_note(project):
    project.logs(*[ONCE] * 10).one(spec="patience=3").update()
    project.one(spec="patience=2")
    assert {level for level, _ in project.found()} == {"note"}
    project.one(spec="patience=3,min_delta=0.0001")
    assert project.found() == [("note", "changed-policy")] * 2, "the same stops by another rule"


def test_with_few_common_runs_a_changed_policy_is_not_judged(project):
    project.logs(*[TWICE] * 7).one(spec="patience=4").update()
    project.one(spec="patience=3")
    assert project.found() == [("note", "changed-policy")] * 2, "no run got worse"
    project.one(spec="patience=5").update()
    project.one(spec="patience=3")
    done = project.check(code=3)
    said = " ".join(done.stdout.split())
    assert (
        "undecided: fast has changed, and 7 runs are in the lock and the same now: too few to decide" in said
    )
    assert said.startswith("Undecided: too few runs to compare a changed policy (fast).")
    assert "Next: replay check policies.toml --update" in said
    for setting, code, level in (
        ('undecided = "warn"', 0, "warning"),
        ('undecided = "pass"', 0, "note"),
        ('severity.few-common-runs = "regression"', 1, "regression"),
        ('severity.few-common-runs = "note"', 0, "note"),
        ('undecided = "pass"\nfail_on = ["few-common-runs"]', 3, "undecided"),
        ('fail_on = ["few-common-runs"]\nseverity.few-common-runs = "note"', 1, "regression"),
    ):
        head = f'logs = ["logs"]\n{setting}\n'
        project.one(spec="patience=5", head=head).update()
        project.one(spec="patience=3", head=head)
        assert sorted(project.found(code=code)) == sorted(
            [(level, "few-common-runs"), ("note", "changed-policy")]
        )


def test_what_is_suggested_reads_the_same_again(project):
    """With the lock, the logs and the options on columns; and a new lock is no remedy for a broken limit."""
    rows = [f"{run},{9 * number},{value}" for run in "abcdefghi" for number, value in enumerate(TWICE)]
    table = project.folder / "table.csv"
    table.write_text("\n".join(["which,at,eval_loss", *(f"{row}{ord(row[0]):03}" for row in rows)]) + "\n")
    project.policies('[policies.fast]\nspec = "patience=5"\n', "")
    words = "table.csv --lock my.lock --step at --metric eval_loss --run-column which".split()
    done = project.check(*words)
    command = "replay check policies.toml " + " ".join(words) + " --update"
    said = " ".join(done.stdout.replace("\\\n", "").split())
    assert f"there is no my.lock to compare with; {command} writes one" in said
    assert f"Next: {command}" in said
    project.check(*words, "--update")
    project.policies('[policies.fast]\nspec = "patience=3"\nmax_lost = "5%"\n', "")
    said = " ".join(project.check(*words, code=1).stdout.replace("\\\n", "").split())
    assert said.startswith("Failed: a limit is broken (fast) and a policy got worse (fast).")
    assert (
        "Next: replay simulate table.csv --step at --metric eval_loss --run-column which --policies" in said
    )
    assert "--update" not in said
    lock = project.folder / "my.lock"
    lock.write_text(lock.read_text().replace("patience", "pat1ence"))
    assert f"write it again with {command}" in " ".join(project.check(*words, code=2).stderr.split())


def test_a_policy_that_no_longer_fires_anywhere_fails(project):
    project.logs(*[ONCE] * 3).one().update()
    project.one(spec="patience=9")
    found = project.found(code=1)
    assert found[0] == ("regression", "never-fires")
    assert "no longer fires anywhere" in project.check(code=1).stdout
    project.update()
    assert project.found() == [("note", "never-fires")]


def test_a_policy_that_is_removed_is_a_regression_and_a_new_one_a_note(project):
    one, two = '[policies.fast]\nspec = "patience=3"\n', '[policies.slow]\nspec = "patience=4"\n'
    project.logs(*[ONCE] * 10).policies(one).update()
    project.policies(one + two)
    assert project.found() == [("note", "new-policy")]
    project.update().policies(two)
    assert project.found(code=1) == [("regression", "removed-policy")]
    assert "fast is in the lock, but no longer in the file" in project.check(code=1).stdout


def test_under_other_settings_figures_cannot_be_compared(project):
    project.logs(*[ONCE] * 10).one().update()
    project.one(head='logs = ["logs"]\nunit = "tokens"\n')
    (found,) = project.told(code=3)["findings"]
    assert (found["level"], found["kind"]) == ("undecided", "changed-settings")
    assert "unit was steps and is tokens; stops are compared, figures are not" in found["message"]
    alter(project, stopped_eval=4)
    project.check(code=1)
    project.one(head='logs = ["logs"]\nmonitor = "eval_accuracy"\n')
    found = project.found(code=3)
    assert found == [("undecided", "changed-settings")], "stops by another metric are other stops"


def test_a_lock_that_is_required(project):
    project.logs(*[ONCE] * 10).one()
    assert project.found("--require-lock", code=3) == [("undecided", "no-lock")]
    out = project.check("--require-lock", code=3).stdout
    assert out.startswith("Undecided: there is no lock to compare with.\n")
    project.update("--require-lock")
    assert project.found("--require-lock") == []


def test_an_update_fails_for_broken_limits_only(project):
    project.logs(*[TWICE] * 10).one('max_lost = "5%"')
    project.update(code=1)
    assert project.lock.exists()
    project.one().update()
    alter(project, stopped_eval=4)
    project.update()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-40], "the lock is damaged"),
        (lambda data: data.replace(b"[6, 600", b"[5, 500", 1), "a checksum differs"),
        (lambda data: b"<<<<<<< HEAD\n" + data, "merge conflict"),
    ],
)
def test_a_damaged_lock_is_named_and_not_trusted(project, damage, said):
    project.logs(*[ONCE] * 10).one().update()
    whole = project.lock.read_bytes()
    project.lock.write_bytes(damage(whole))
    result = project.check(code=2)
    assert said in result.stderr
    assert "replay.lock" in result.stderr
    assert "replay check policies.toml --update" in result.stderr
    assert "could not be trusted and is replaced" in " ".join(project.check("--update").stdout.split())
    assert project.lock.read_bytes() == whole


def test_what_is_no_lock_or_a_newer_one_is_never_overwritten(project):
    project.logs(*[ONCE] * 10).one()
    text = project.file.read_bytes()
    for args in ([], ["--update"]):
        assert (
            "is not a lock of replay, so it is left alone"
            in project.check("--lock", project.file, *args, code=2).stderr
        )
    assert project.file.read_bytes() == text
    project.update()
    newer = project.lock.read_bytes().replace(b'"version": 2', b'"version": 3')
    project.lock.write_bytes(newer)
    for args in ([], ["--update"]):
        assert "a lock of version 3, while this replay reads version 2" in project.check(*args, code=2).stderr
    assert project.lock.read_bytes() == newer


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        ("[policies.fast]\nspec = 'patients=3'\n", [], "no policy 'patients'"),
        ("[policies.fast]\nspec = 'patience=3'\nmax_loss = '5%'\n", [], "Did you mean max_lost?"),
        ("[policies.fast]\nspec = 'patience=3,monitor=eval_los'\n", [], "Did you mean eval_loss?"),
        ("[policies.fast]\nspec = 'drift=0.1'\n", [], "drift"),
        ("[policies.fast]\nspec = 'patience=3'\n", ["nowhere"], "nowhere: no such file or folder"),
        ("[policies.fast]\nspec = 'patience=3'\n", ["--lock", "."], "directory"),
        (
            "[policies.fast]\nspec = 'patience=3'\n",
            ["--update", "--lock", "no/where/replay.lock"],
            "No such file",
        ),
    ],
)
def test_mistakes_are_sentences_and_exit_code_2(project, text, args, said):
    project.logs(*[ONCE] * 10).policies(text)
    result = run("check", "policies.toml", *args, code=2)
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_without_logs_it_says_how_to_give_them(project):
    project.logs(*[ONCE] * 10).one(head="")
    assert 'which logs? Give them on the command line, or write logs = ["…"]' in " ".join(
        project.check(code=2).stderr.split()
    )
    project.check(project.folder / "logs")


def test_paths_in_the_lock_are_relative_to_it(project):
    project.logs(*[ONCE] * 10).one()
    (project.folder / "ci").mkdir()
    project.check("--update", "--lock", project.folder / "ci" / "my.lock")
    lock = read_lock(project.folder / "ci" / "my.lock")
    assert min(lock.logs) == "../logs/run0/eval_log.jsonl"
    assert str(project.folder) not in (project.folder / "ci" / "my.lock").read_text()
    assert project.found("--lock", project.folder / "ci" / "my.lock") == []
    shutil.rmtree(project.folder / "logs" / "run3")
    told = project.told("--lock", project.folder / "ci" / "my.lock", code=1)
    assert told["policies"][0]["stops"][0]["log"] == "logs/run0/eval_log.jsonl"
    assert told["findings"][0]["log"] == "logs/run3/eval_log.jsonl", (
        "findings are relative to the file of policies"
    )


def test_the_lock_is_the_same_wherever_the_project_lies_and_however_it_is_named(
    project, monkeypatch, tmp_path
):
    for name in ("a/deep", "b"):
        there = Project(tmp_path / name)
        for folder in ("x", "y"):  # two logs of one name, and one right beside the file
            write_log(
                there.folder / folder, [value + 0.001 * (folder == "y") for value in ONCE], name="log.jsonl"
            )
        write_log(there.folder, TWICE, name="own.jsonl", header={"run": "own"})
        there.one(head='logs = ["x/log.jsonl", "y/log.jsonl", "."]\n')
    monkeypatch.chdir(tmp_path)
    run("check", "a/deep/policies.toml", "--update")
    monkeypatch.chdir(tmp_path / "b")
    run("check", "policies.toml", "--update")
    first, second = (tmp_path / "a/deep/replay.lock").read_text(), (tmp_path / "b/replay.lock").read_text()
    assert first == second
    run("check", tmp_path / "b" / "policies.toml")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert run("check", tmp_path / "link" / "policies.toml").stdout.startswith("Passed: ")


def test_the_lock_is_the_same_in_any_process(project):
    project.logs(*[curve(number) for number in range(12)]).policies(
        '[policies.fast]\nspec = "patience=2"\nmax_lost = "90%"\n[policies.smooth]\nspec ='
        ' "patience=3,smooth=ema:0.3"\nmin_saved = "1%"\n'
    )
    made, out = set(), set()
    for seed, threads in (("1", "1"), ("2", "2")):
        project.lock.unlink(missing_ok=True)
        env = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        command = [sys.executable, "-m", "replay", "check", "policies.toml", "--update", "--format", "json"]
        out.add(subprocess.run(command, check=True, capture_output=True, env=env, cwd=project.folder).stdout)
        made.add(project.lock.read_bytes())
    assert len(made) == len(out) == 1


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.sampled_from(["patience=1", "patience=4", "gl=5", "never", "patience=2,smooth=mean:3"]),
        min_size=1,
        unique=True,
    )
)
def test_after_an_update_nothing_is_worse_than_a_note(tmp_path_factory, specs):
    project = Project(tmp_path_factory.mktemp("any"))
    project.logs(*[curve(number, 12) for number in range(9)])
    project.policies(
        "".join(f'[policies."p {number}"]\nspec = "{spec}"\n' for number, spec in enumerate(specs))
    ).update()
    first = project.lock.read_bytes()
    assert {level for level, _ in project.found()} <= {"note"}
    project.update()
    assert project.lock.read_bytes() == first


def test_several_runs_of_one_log_and_several_logs_of_one_run(tmp_path):
    shutil.copytree(ROOT / "tests" / "golden", tmp_path / "logs")
    project = Project(tmp_path).one(spec="patience=1", head='logs = ["logs"]\nmonitor = "eval_loss"\n')
    project.update()
    lock = read_lock(project.lock)
    assert lock.logs
    assert project.found() == [] or {level for level, _ in project.found()} == {"note"}


def test_the_files_beside_a_log_count_where_a_policy_reads_them(tmp_path):
    shutil.copytree(ROOT / "sample_logs", tmp_path / "logs")
    project = Project(tmp_path).one().update()
    assert not [path for path in read_lock(project.lock).logs if path.endswith("step_signals.bin")]
    project.one(spec="grades=0.5")
    beside = next(path for path in sorted(tmp_path.glob("logs/*/step_signals.bin")))
    grades = project.check("--update")
    assert "Traceback" not in grades.output
    name = str(beside.relative_to(tmp_path))
    assert name in read_lock(project.lock).logs
    beside.write_bytes(beside.read_bytes() + b"\0")
    assert ("regression", "changed-log") in project.found(code=1)
    project.one().update()
    beside.unlink()
    assert project.found() == []


def test_names_are_escaped(project):
    project.logs(*[ONCE] * 9)
    bad = project.folder / "logs" / "run\x1b[31m|*"
    write_log(bad, [value + 0.001 for value in ONCE])
    project.policies('[policies."fast\\u001b[2J|"]\nspec = "patience=3"\n').update()
    shutil.rmtree(bad)
    for style in ("text", "json", "markdown"):
        out = run("check", project.file, "--format", style, code=1).stdout
        assert "\x1b" not in out
    assert r"fast\\x1b\[2J\|" in run("check", project.file, "--format", "markdown", code=1).stdout
    assert "\x1b" not in project.lock.read_text()


def test_json_is_strict_sorted_and_whole(project):
    project.logs(*[ONCE] * 10).one('max_lost = "5%"')
    text = project.check("--format", "json").stdout

    def refuse(constant):
        raise AssertionError(constant)

    document = json.loads(text, parse_constant=refuse)
    assert list(document) == sorted(document)
    assert {"policies", "findings", "exit_code", "verdict", "warnings", "runs", "monitor"} <= set(document)
    (policy,) = document["policies"]
    assert len(policy["stops"]) == 10
    assert math.isclose(policy["summary"]["saved_mean"], 0.4)
    assert project.check("--format", "json").stdout == text


def test_markdown_and_files(project):
    project.logs(*[TWICE] * 10).one('max_lost = "5%"')
    project.check("--format", "markdown", "--out", project.folder / "out.md", code=1)
    text = (project.folder / "out.md").read_text()
    assert text.startswith("**failed: a limit is broken**\n\n| policy | limit | wanted | found | verdict |")
    assert r"| fast | max\_lost | 5% | 33% | broken |" in text
    assert "regression" in text


def test_machine_formats(project):
    project.logs(*[TWICE] * 10).one('max_lost = "5%"')
    files = {name: project.folder / f"out.{name}" for name in ("junit", "sarif", "code-quality")}
    project.check(*[word for name, path in files.items() for word in (f"--{name}", path)], code=1)
    assert "<testsuite" in files["junit"].read_text()
    assert json.loads(files["sarif"].read_text())["version"] == "2.1.0"
    assert isinstance(json.loads(files["code-quality"].read_text()), list)


def test_on_github_annotations_and_a_summary_are_written(project, monkeypatch):
    project.logs(*[TWICE] * 10).one('max_lost = "5%"')
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.folder / "summary.md"))
    (project.folder / "summary.md").write_text("before\n")
    assert "::error" in project.check(code=1).stdout
    told = project.check("--format", "json", code=1)
    assert json.loads(told.stdout)["exit_code"] == 1
    assert "::error" in told.stderr
    assert (project.folder / "summary.md").read_text().startswith("before\n")
    assert "max" in (project.folder / "summary.md").read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.folder))
    assert "warning: " in project.check(code=1).stderr


def test_sample_logs(project):
    project.file.write_text(
        'group = "dataset"\n[policies.lora]\nspec = "patience=3,smooth=mean:3"\nmax_lost = "10%"\nmin_saved ='
        ' "20%"\n'
    )
    shutil.copytree(ROOT / "sample_logs", project.folder / "logs")
    out = project.check("logs").stdout
    fits(out)
    assert out.startswith("Passed")
