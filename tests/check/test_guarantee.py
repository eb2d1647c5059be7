"""A check that demands a guarantee of a policy, on runs of which the answer is known by hand."""

import re

import pytest

from replay.check.checking import check
from replay.check.config import read_config
from replay.data.finding import Kind, Severity
from replay.errors import InputError
from replay.report.sentences import sentence

from ..conftest import write_log

#: patience=1 stops it at the third eval and loses nothing.
TURNS = [1.0, 0.5, 0.75, 0.8, 0.9, 1.0]
#: patience=1 stops it at the third eval, and the rest of the log gains as much again: it loses a half.
BUMP = [1.0, 0.5, 0.75, 0.4, 0.2, 0.0]


def write_fine(folder, number, header=None):
    """A log of a run that loses nothing; logs with the same values would count as one."""
    write_log(folder / "logs" / f"fine{number}", [value + number for value in TURNS], header=header)


def project(folder, demand, *, fine=19, bumps=0, top="", header=None):
    for number in range(fine):
        write_fine(folder, number, header and header(number))
    for number in range(bumps):
        write_log(folder / "logs" / f"bump{number}", [value + number for value in BUMP])
    (folder / "policies.toml").write_text(
        f'{top}logs = ["logs"]\n[policies.fast]\nspec = "patience=1"\n{demand}\n'
    )
    return folder / "policies.toml"


def result(file):
    (policy,) = check(file).policies
    (limit,) = [limit for limit in policy.limits if limit.name == "guarantee"]
    return limit, [finding for finding in policy.findings if finding.get("limit") == "guarantee"]


def test_nineteen_runs_that_lose_nothing_guarantee_five_percent_on_average(tmp_path):
    limit, findings = result(project(tmp_path, 'max_lost = "5%"\nguarantee = "mean"'))
    assert (limit.verdict, limit.value, limit.needed) == ("kept", pytest.approx(1 / 20), None)
    assert not findings
    assert check(tmp_path / "policies.toml").exit_code == 0


def test_eighteen_do_not_and_that_is_undecided(tmp_path):
    file = project(tmp_path, 'max_lost = "5%"\nguarantee = "mean"', fine=18)
    limit, (finding,) = result(file)
    assert (limit.verdict, limit.value, limit.needed) == ("unproven", pytest.approx(1 / 19), 19)
    assert (finding.kind, finding.severity) == (Kind.GUARANTEE, Severity.UNDECIDED)
    assert sentence(finding) == (
        "fast: a loss of at most 5% cannot be guaranteed on average; these runs guarantee 5.26%, and it takes"
        " 19 runs with such losses"
    )
    assert check(file).exit_code == 3


def test_losses_count_and_no_number_of_runs_guarantees_less_than_the_mean(tmp_path):
    limit, (finding,) = result(project(tmp_path, 'max_lost = "4%"\nguarantee = "mean"', fine=18, bumps=2))
    assert (limit.value, limit.needed) == (pytest.approx((2 * 0.5 + 1) / 21, abs=1e-6), None)
    assert "more runs with such losses would not change that" in sentence(finding)


def test_with_confidence_it_takes_more_runs(tmp_path):
    demand = 'max_lost = "5%"\nguarantee = "90%"'
    limit, (finding,) = result(project(tmp_path, demand))
    assert limit.verdict == "unproven"
    assert limit.needed > 40
    assert "cannot be guaranteed with 90% confidence" in sentence(finding)
    for number in range(19, limit.needed):
        write_fine(tmp_path, number)
    assert result(tmp_path / "policies.toml")[0].verdict == "kept"


def test_groups_are_the_units_where_the_file_names_them(tmp_path):
    file = project(
        tmp_path,
        'max_lost = "20%"\nguarantee = "mean"',
        top='group = "dataset"\n',
        header=lambda number: {"dataset": f"d{number % 3}"},
    )
    limit, _ = result(file)
    assert (limit.value, limit.needed) == (pytest.approx(1 / 4), 4)


def test_censored_runs_count_with_the_worst_that_they_allow(tmp_path):
    file = project(
        tmp_path,
        'max_lost = "5%"\nguarantee = "mean"',
        header=lambda number: {"planned_steps": 6000 if number == 0 else 600},
    )
    limit, _ = result(file)
    assert (limit.verdict, limit.value) == ("unproven", pytest.approx(2 / 20))


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ('guarantee = "mean"', "it needs max_lost"),
        ('max_lost = "5%"\nguarantee = "always"', 'guarantee = "always": guarantee takes "mean"'),
        ('max_lost = "5%"\nguarantee = "100%"', 'guarantee = "100%"'),
        ('max_lost = "5%"\nguarantee = 0.9', "guarantee = 0.9"),
    ],
)
def test_what_a_guarantee_cannot_be(tmp_path, demand, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read_config(project(tmp_path, demand, fine=0))
