"""What makes a check fail, as the file of policies says, and what few runs prove."""

from pathlib import Path

import pytest

from replay.check.config import read_config
from replay.check.gate import USUAL, Gate
from replay.data.finding import Finding, Kind, Severity
from replay.errors import InputError

from .test_judging import limit, scores, verdicts

HEAD = '[policies.a]\nspec = "patience=2"\n'


def severity(gate, kind, usual):
    return str(gate.apply(Finding(kind, Severity(usual))).severity)


@pytest.mark.parametrize(
    ("gate", "kind", "usual", "expected"),
    [
        (Gate(), Kind.MOVED, "regression", "regression"),
        (Gate(severity={"moved": Severity.WARNING}), Kind.MOVED, "regression", "warning"),
        (Gate(severity={"new-log": Severity.REGRESSION}), Kind.NEW_LOG, "note", "regression"),
        # chance never fails a check, unless it is told to be strict
        (Gate(severity={"limit": Severity.REGRESSION}), Kind.LIMIT, "warning", "warning"),
        (Gate(fail_on=("limit",)), Kind.LIMIT, "warning", "warning"),
        (Gate(strict=True), Kind.LIMIT, "warning", "regression"),
        (Gate(undecided="pass"), Kind.FEW_RUNS, "undecided", "note"),
        (Gate(undecided="warn"), Kind.GUARANTEE, "undecided", "warning"),
        (Gate(undecided="pass"), Kind.CHANGED_LOG, "undecided", "undecided"),
        (Gate(undecided="pass", strict=True), Kind.FEW_RUNS, "undecided", "undecided"),
        (Gate(fail_on=("limit",)), Kind.MOVED, "regression", "warning"),
        (Gate(fail_on=("limit",)), Kind.LIMIT, "regression", "regression"),
        (Gate(fail_on=("limit",)), Kind.FEW_RUNS, "undecided", "undecided"),
        (Gate(undecided="pass"), Kind.FEW_COMMON_RUNS, "undecided", "note"),
        (
            Gate(undecided="pass", fail_on=("few-common-runs",)),
            Kind.FEW_COMMON_RUNS,
            "undecided",
            "undecided",
        ),
        (Gate(severity={"few-common-runs": Severity.NOTE}), Kind.FEW_COMMON_RUNS, "undecided", "note"),
        (Gate(fail_on=("regression", "new-log")), Kind.NEW_LOG, "note", "regression"),
        (Gate(fail_on=("warning",)), Kind.NOISE, "warning", "regression"),
        (Gate(fail_on=()), Kind.CHANGED_SETTINGS, "undecided", "warning"),
        (Gate(strict=True), Kind.NEW_LOG, "note", "regression"),
        (Gate(strict=True), Kind.VERSION, "note", "note"),
        (Gate(strict=True, fail_on=()), Kind.MOVED, "regression", "regression"),
    ],
)
def test_the_severity_of_a_finding(gate, kind, usual, expected):
    assert severity(gate, kind, usual) == expected


@pytest.mark.parametrize(
    ("before", "after", "weaker"),
    [
        (Gate(), Gate(strict=True), []),
        (Gate(), Gate(severity={"new-log": Severity.WARNING}), []),
        (Gate(), Gate(severity={"moved": Severity.NOTE}), ["moved"]),
        (Gate(severity={"moved": Severity.NOTE}), Gate(), []),
        (Gate(require_lock=True), Gate(), ["no-lock"]),
        (Gate(fail_on=("regression", "undecided", "new-log")), Gate(), ["new-log"]),
        (Gate(), Gate(undecided="warn"), ["guarantee", "few-runs", "few-common-runs", "censored"]),
    ],
)
def test_what_is_weaker_than_before(before, after, weaker):
    assert after.weaker_than(before) == weaker
    assert Gate.of(after.stated()) == after


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(), "undecided"),
        (Gate(undecided="warn"), "warning"),
        (Gate(undecided="pass"), "note"),
        (Gate(undecided="warn", fail_on=("limit",)), "undecided"),
        (Gate(fail_on=()), "undecided"),
        (Gate(severity={"limit": Severity.REGRESSION}), "undecided"),
        (Gate(strict=True), "regression"),
        (Gate(strict=True, undecided="pass"), "regression"),
    ],
)
def test_a_limit_that_added_runs_leave_open(gate, expected):
    finding = Finding(Kind.LIMIT, Severity.UNDECIDED, facts={"added": 2})
    assert str(gate.apply(finding).severity) == expected


def test_the_file_sets_it(tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text(
        'undecided = "warn"\nfail_on = ["moved", "regression"]\nstrict = true\nrequire_lock = true\n'
        f'[severity]\nchanged-log = "note"\n{HEAD}'
    )
    expected = Gate("warn", ("moved", "regression"), {"changed-log": Severity.NOTE}, True, True)
    assert read_config(file).gate == expected
    file.write_text(HEAD)
    assert read_config(file).gate == Gate()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('undecided = "ignore"', 'undecided takes "pass", "warn" or "fail"'),
        ('fail_on = ["movd"]', "Did you mean moved"),
        ('fail_on = "moved"', "fail_on takes a list"),
        ("strict = 1", "strict takes true or false"),
        ('severity.movd = "note"', "has no key 'movd'"),
        ('severity.moved = "error"', "moved takes one of regression, undecided, warning, note"),
    ],
)
def test_mistakes(tmp_path, text, said):
    file = Path(tmp_path / "policies.toml")
    file.write_text(f"{text}\n{HEAD}")
    with pytest.raises(InputError) as raised:
        read_config(file)
    assert said in str(raised.value)


def test_every_kind_of_a_check_has_a_usual_severity():
    from replay.report.sentences.check_kinds import CHECK_KINDS

    assert {str(kind) for kind in CHECK_KINDS} - {str(kind) for kind in USUAL} == {"not-checked"}


@pytest.mark.parametrize(
    ("lost", "tolerance", "verdict"),
    [
        # (6 · 0.037 + 1) / 7 is 17.5 %
        ([0.037] * 6, 0.2, "kept"),
        ([0.037] * 6, 0.17, "unknown"),
        ([0.53] * 6, 0.05, "broken"),
        ([0.53] * 2, 0.2, "unknown"),
        ([0.9] * 7, 0.2, "broken"),
    ],
)
def test_a_limit_on_the_mean_of_few_runs_is_decided_where_the_bounds_decide(lost, tolerance, verdict):
    found, findings = verdicts(scores(lost), limit("max_lost", "lost", tolerance, "x"))
    assert found == [verdict]
    of = {"kept": [], "unknown": [("undecided", "few-runs")], "broken": [("regression", "limit")]}
    assert findings == of[verdict]


def test_a_censored_run_counts_with_the_worst_that_it_allows():
    few = limit("max_lost", "lost", 0.3, "30%")
    assert verdicts(scores([0.0] * 6), few)[0] == ["kept"]
    assert verdicts(scores([0.0] * 6, censored=2), few)[0] == ["unknown"]
