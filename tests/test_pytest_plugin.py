"""``pytest --replay-policies``: policies and limits as tests, in pytest's own harness."""

import shutil
import subprocess
import sys
import tomllib
from xml.etree import ElementTree

import pytest

# before pytester takes its snapshot of the modules: numpy cannot be imported twice
import replay.check.checking

from .conftest import curve, write_log
from .readme import ROOT

assert replay.check.checking

pytest_plugins = ["pytester"]

EXAMPLE = ROOT / "examples" / "ci"
GUARDED = "minilm-films-r4-lr3e-4-constant-s0"
ALL = [
    "policies.toml::logs",
    "policies.toml::default::max_lost",
    "policies.toml::default::min_saved",
    "policies.toml::default::lock",
    "policies.toml::script::max_lost",
    f"policies.toml::script::expect[[]{GUARDED}[]]",  # as fnmatch has brackets
    "policies.toml::script::lock",
]


@pytest.fixture
def example(pytester):
    """A folder with the example of a real repository and one test of its own."""
    for name in ("policies.toml", "replay.lock"):
        shutil.copy(EXAMPLE / name, pytester.path)
    shutil.copytree(EXAMPLE / "logs", pytester.path / "logs")
    pytester.makepyfile(test_own="def test_own(): pass")
    return pytester


def edit(pytester, *pairs):
    path = pytester.path / "policies.toml"
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def run(pytester, *args, code=0, **counts):
    result = pytester.runpytest("--replay-policies", "policies.toml", *args)
    assert result.ret == code, result.stdout.str()
    if counts:
        result.assert_outcomes(**counts)
    return result


def test_each_policy_and_limit_is_a_test(example):
    result = run(example, "-v", passed=8)
    result.stdout.fnmatch_lines([f"{name} PASSED*" for name in ALL])
    result.stdout.fnmatch_lines(["test_own.py::test_own PASSED*"])


def test_nothing_without_the_option(example):
    result = example.runpytest("-v")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*policies*")


def test_a_broken_limit_fails_with_its_figures(example):
    edit(example, ("patience=4", "patience=1"))
    result = run(example, "-v", code=1, passed=6, failed=2)
    result.stdout.fnmatch_lines(
        [
            "policies.toml::default::max_lost FAILED*",
            "*_ default::max_lost _*",
            "default: max_lost 20% is broken: lost 26.6% on average (22.2% to 31.3%)",
            "*_ default::lock _*",
            "default loses 24.8 points more than before *",
            "  before: lost 1.77%",
            "  now:    lost 26.6%",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*runtest*")


def test_spread_over_processes_the_result_is_the_same(example):
    """By pytest-xdist; each process reads the logs by itself."""
    edit(example, ("patience=4", "patience=1"))
    result = example.runpytest_subprocess("--replay-policies", "policies.toml", "-n", "2", "-p", "xdist")
    assert result.ret == 1
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(["*[[]gw?[]]*", "FAILED policies.toml::default::*"])


def test_an_expectation_shows_then_and_now(example):
    edit(example, ("transformers@4.46:patience=3,save_every=2", "transformers:patience=3"))
    result = run(example, code=1, passed=7, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"script stops {GUARDED} at eval 16, and the policies file expects no stop",
            "  before: not stopped (expected)",
            "  now:    eval 16 (step 240): *",
            f"FAILED policies.toml::script::expect[[]{GUARDED}[]]*",
        ]
    )


def test_notes_are_shown_where_pytest_is_asked(example):
    edit(example, ("patience=4", "patience=2,smooth=mean:3"))
    result = run(example, "-rP", passed=8)
    result.stdout.fnmatch_lines(
        ["*Captured notes call*", "default has changed from patience=4 to patience=2,smooth=mean:3"]
    )


def test_a_vanished_log_fails(example):
    shutil.rmtree(example.path / "logs" / GUARDED)
    result = run(example, code=1)
    result.stdout.fnmatch_lines(
        [f"logs/{GUARDED}/eval_log.jsonl has vanished, with run {GUARDED}", "FAILED policies.toml::logs*"]
    )


def test_a_changed_log_fails_and_is_a_warning_where_the_file_says_so(example):
    path = example.path / "logs" / GUARDED / "eval_log.jsonl"
    path.write_text(path.read_text() + "\n")
    run(example, passed=8)
    path.write_text(path.read_text().replace('"eval_loss": 0.7', '"eval_loss": 0.8', 1))
    result = run(example, code=1, passed=7, failed=1)
    result.stdout.fnmatch_lines(
        [f"logs/{GUARDED}/eval_log.jsonl does not say what it said *", "FAILED policies.toml::logs*"]
    )
    edit(example, ('logs = ["logs"]', 'logs = ["logs"]\nseverity.changed-log = "warning"'))
    run(example, code=1, passed=7, failed=1)  # the lock still says that this fails
    example.run(sys.executable, "-m", "replay", "check", "policies.toml", "--update")
    path.write_text(path.read_text().replace('"eval_loss": 0.8', '"eval_loss": 0.9', 1))
    result = run(example, passed=8, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*= warnings summary =*",
            "policies.toml::logs",
            f"*PolicyWarning: logs/{GUARDED}/eval_log.jsonl does not say what it said *",
        ]
    )
    run(example, "-W", "error", code=1, passed=7, failed=1)
    run(example, "--replay-strict", code=1, passed=7, failed=1)


def test_without_a_lock_the_comparison_is_skipped(example):
    (example.path / "replay.lock").unlink()
    result = run(example, "-rs", passed=6, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*there is no lock to compare with; replay check --update makes it"])


def test_the_lock_is_found_where_it_is_said_to_be(example):
    (example.path / "replay.lock").rename(example.path / "other.lock")
    run(example, "--replay-lock", "other.lock", passed=8)


def test_a_damaged_lock_fails_with_one_sentence(example):
    (example.path / "replay.lock").write_text("{")
    result = run(example, "-k", "logs", code=1, failed=1)
    result.stdout.fnmatch_lines(["*replay.lock is not a lock of replay, so it is left alone*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_lock_that_is_required_fails_where_there_is_none(example):
    (example.path / "replay.lock").unlink()
    result = run(example, "--replay-require-lock", code=1)
    result.stdout.fnmatch_lines(
        ["undecided: there is no replay.lock to compare with, though one is required*"]
    )
    edit(example, ('logs = ["logs"]', 'logs = ["logs"]\nrequire_lock = true'))
    run(example, code=1)


def test_of_two_expectations_the_right_one_fails(pytester):
    """Where the run of one has a name that the other's begins with."""
    for name in ("foo", "foo-bar"):
        write_log(pytester.path / "logs" / name, [value + len(name) for value in curve(1)])
    (pytester.path / "policies.toml").write_text(
        'logs = ["logs"]\n[policies.ours]\nspec = "patience=2"\n'
        '[[policies.ours.expect]]\nrun = "foo"\neval = 12\n'
        '[[policies.ours.expect]]\nrun = "o-bar"\neval = 9\n'
    )
    result = run(pytester, "-v", code=1)
    result.stdout.fnmatch_lines(["*::expect[[]foo[]] PASSED*", "*::expect[[]o-bar[]] FAILED*"])


def test_what_cannot_be_decided_fails_with_the_reason_unless_the_file_says_otherwise(pytester):
    for number in range(3):
        write_log(pytester.path / "logs" / f"run{number}", curve(number))
    (pytester.path / "policies.toml").write_text(
        'logs = ["logs"]\n[policies.few]\nspec = "patience=2"\nmax_lost = "5%"\nmin_saved = "1%"\n'
    )
    result = run(pytester, code=1, passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["undecided: few: 3 runs are too few (8 are needed), so max_lost cannot be decided"]
    )
    text = (pytester.path / "policies.toml").read_text()
    (pytester.path / "policies.toml").write_text('undecided = "warn"\n' + text)
    run(pytester, passed=3, skipped=1, warnings=1)
    (pytester.path / "policies.toml").write_text('undecided = "pass"\n' + text)
    run(pytester, passed=3, skipped=1)


def test_limits_of_groups_and_of_the_worst_run(pytester):
    for number in range(20):
        write_log(pytester.path / "logs" / f"run{number}", curve(number), header={"group": f"g{number % 2}"})
    (pytester.path / "policies.toml").write_text(
        'logs = ["logs"]\n[policies.ours]\nspec = "patience=2"\nmax_lost_worst ='
        ' "90%"\n[policies.ours.groups.g1]\nmin_saved = "90%"\n'
    )
    result = run(pytester, "-v", code=1)
    result.stdout.fnmatch_lines(["*::ours::max_lost_worst PASSED*", "*::ours::min_saved[[]g1[]] FAILED*"])
    result.stdout.fnmatch_lines(["ours on group g1: min_saved 90% is broken: saved *"])


def test_selection_by_name_and_by_node(example):
    run(example, "-k", "default and max_lost", passed=1, deselected=7)
    result = run(example, "-v", "policies.toml::script::max_lost", passed=1)
    result.stdout.fnmatch_lines(["policies.toml::script::max_lost PASSED*"])
    result = run(example, "--collect-only", "-q")
    result.stdout.fnmatch_lines(ALL)


def test_nothing_is_read_for_tests_that_do_not_run(example):
    shutil.rmtree(example.path / "logs")
    run(example, "-k", "own", passed=1, deselected=7)
    result = run(example, code=1, passed=1, failed=7)
    result.stdout.fnmatch_lines(["*logs*"])


def test_junit(example):
    edit(example, ("patience=4", "patience=1"))
    run(example, "--junitxml", "out.xml", code=1)
    cases = {
        case.get("name"): case
        for case in ElementTree.parse(example.path / "out.xml").getroot().iter("testcase")
    }
    assert set(cases) == {"logs", "max_lost", "min_saved", "lock", f"expect[{GUARDED}]", "test_own"}
    every = ElementTree.parse(example.path / "out.xml").getroot().iter("testcase")
    (failed,) = [
        case for case in every if case.get("name") == "max_lost" and case.find("failure") is not None
    ]
    assert "max_lost 20% is broken" in (failed.find("failure").text or "")
    assert failed.get("classname") == "policies.toml.default"


def test_files_that_pytest_does_not_come_across(example):
    """In a folder that is passed over, and outside of what is asked for."""
    hidden = example.path / ".github"
    hidden.mkdir()
    shutil.move(example.path / "policies.toml", hidden / "policies.toml")
    shutil.move(example.path / "replay.lock", hidden / "replay.lock")
    shutil.move(example.path / "logs", hidden / "logs")
    result = example.runpytest("--replay-policies", ".github/policies.toml", "-v")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines([".github/policies.toml::default::max_lost PASSED*"])
    result = example.runpytest(
        "--replay-policies", ".github/policies.toml", "test_own.py", "-k", "min_saved or own"
    )
    result.assert_outcomes(passed=2, deselected=6)


def test_two_files(example):
    (example.path / "more.toml").write_text(
        'logs = ["logs"]\n[policies.more]\nspec = "patience=5"\nmax_lost = "30%"\n'
    )
    result = run(example, "--replay-policies", "more.toml", "-k", "max_lost", passed=3, deselected=8)
    assert result.ret == 0


def test_mistakes_in_the_file_are_an_error_of_collection(example):
    edit(example, ('max_lost = "20%"  #', "max_lots = 1 #"))
    result = run(example, code=2)
    result.stdout.fnmatch_lines(
        ["*ERROR collecting policies.toml*", "*has no key 'max_lots'*Did you mean max_lost?"]
    )


def test_a_file_that_is_not_there(pytester):
    result = pytester.runpytest("--replay-policies", "absent.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*absent.toml: there is no such file"])


def test_it_is_cheap_where_it_is_not_asked_for():
    script = (
        "import sys, replay.pytest_plugin; print([name for name in ('numpy', 'pandas', 'click',"
        " 'replay.check') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_lives_beside_pytest_replay():
    """Which has taken the name replay, and options that begin so; pytest passes over a second plugin of a
    name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"stop-replay": "replay.pytest_plugin"}
