"""A check as a whole, without its command line (see tests/cli/test_check.py)."""

import os
import shutil
from pathlib import Path

import pytest

from replay import Run
from replay.check.checking import check, examine, lock_beside, logs_of
from replay.check.config import Config, read_config
from replay.check.lock import write_lock
from replay.errors import InputError
from replay.readers import ReadResult, read
from replay.report.sentences import sentences

from ..conftest import curve, write_log

ROOT = Path(__file__).parents[2]


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
    assert any("run0" in text and "empty" in text for text in sentences(check(file).warnings))


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


def test_logs_elsewhere_keep_the_name_that_they_were_given_by(tmp_path):
    project(tmp_path / "store")
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "store" / "logs")
    (home / "policies.toml").write_text('logs = ["../current"]\n[policies.fast]\nspec = "patience=2"\n')
    config = read_config(home / "policies.toml")
    roots = logs_of(config, [])
    _, made = examine(config, read(roots), roots, home / "replay.lock")
    assert min(made.logs) == "../current/run0/eval_log.jsonl"


def kinds(findings):
    return [(finding.severity, finding.kind, finding.get("state")) for finding in findings]


def locked_project(folder, spec, values):
    for number, own in enumerate(values):
        write_log(folder / "logs" / f"run{number}", own, seed=number)
    (folder / "policies.toml").write_text(f'logs = ["logs"]\n[policies.ours]\nspec = "{spec}"\n')
    lock(folder / "policies.toml")
    return folder / "policies.toml"


def lock(file):
    """Write the lock of now."""
    config = read_config(file)
    _, made = examine(config, read(config.logs), config.logs, file.with_name("replay.lock"))
    write_lock(file.with_name("replay.lock"), made)


def test_a_renamed_log_and_a_changed_policy_of_real_files(tmp_path):
    file = locked_project(tmp_path, "patience=2", [curve(number) for number in range(9)])
    (tmp_path / "logs" / "run3").rename(tmp_path / "logs" / "other")
    file.write_text(file.read_text().replace("patience=2", "patience=8"))
    checked = check(file)
    assert kinds(checked.findings) == [("note", "new-log", "renamed")]
    (ours,) = checked.policies
    assert kinds(ours.findings) == [
        ("note", "changed-policy", "changed"),
        ("regression", "worse", None),
        ("note", "changed-policy", "compared"),
    ]
    assert ours.findings[1]["count"] == 9
    assert (checked.exit_code, checked.runs) == (1, 9)


def test_a_locked_policy_that_refuses_some_runs_of_real_files(tmp_path):
    """Generalization loss is defined for errors above 0 only."""
    values = [curve(number) if number < 6 else [1.0, -0.5, 0.9] for number in range(9)]
    file = locked_project(tmp_path, "gl=5", values)
    checked = check(file)
    assert kinds(checked.policies[0].findings) == []
    assert len(checked.policies[0].stops) == 6
    assert checked.exit_code == 0
    # the run that is refused from now on is a changed log, so that nothing is said of its stop
    write_log(tmp_path / "logs" / "run2", [1.0, -0.5, 0.9], seed=2)
    checked = check(file)
    assert kinds(checked.findings) == [("regression", "changed-log", "changed")]
    assert kinds(checked.policies[0].findings) == []
    assert len(checked.policies[0].stops) == 5


def test_what_became_of_a_log_that_no_run_was_read_from(tmp_path):
    file = locked_project(tmp_path, "patience=2", [curve(number) for number in range(9)])
    logs = tmp_path / "logs"

    def states():
        checked = check(file)
        return [
            (finding.kind, finding["state"], *finding["of"])
            for finding in checked.findings
            if finding.kind != "new-log"
        ]

    assert states() == []
    text = (logs / "run3" / "eval_log.jsonl").read_text()
    (logs / "run3" / "eval_log.jsonl").write_text("")
    assert states() == [("changed-log", "unreadable", "run3")]
    # the same where other logs are read twice
    shutil.copytree(logs / "run5", logs / "run5-again")
    assert ("changed-log", "unreadable", "run3") in states()
    (logs / "run3" / "eval_log.jsonl").unlink()
    assert ("vanished", "deleted", "run3") in states()
    shutil.rmtree(logs / "run5-again")
    (logs / "run3" / "eval_log.jsonl").write_text(text)
    assert states() == []
    # other logs that come first by name have the same evals
    for number in (3, 5):
        shutil.copytree(logs / f"run{number}", logs / f"a{number}")
        copy = logs / f"a{number}" / "eval_log.jsonl"
        copy.write_text(copy.read_text().replace("{", '{"dataset": "another", ', 1))
    assert states() == [("changed-log", "duplicate", "run3"), ("changed-log", "duplicate", "run5")]


def test_a_log_of_another_folder_than_those_that_are_read(tmp_path):
    file = locked_project(tmp_path, "patience=2", [curve(number) for number in range(9)])
    config = read_config(file)
    roots = [tmp_path / "logs" / f"run{number}" for number in range(8)]
    checked, _ = examine(config, read(roots), roots, tmp_path / "replay.lock")
    (gone,) = checked.findings
    assert (gone.kind, gone["state"], gone["of"]) == ("vanished", "elsewhere", ("run8",))


def test_an_expectation_of_a_run_whose_log_is_gone_is_not_a_mistake_of_the_file(tmp_path):
    file = locked_project(tmp_path, "patience=2", [curve(number) for number in range(9)])
    expected = '[[policies.ours.expect]]\nrun = "run3"\neval = 1\n'
    file.write_text(file.read_text() + expected)
    assert [finding.kind for finding in check(file).policies[0].findings] == [
        "expect",
        "changed-limit",
    ]
    shutil.rmtree(tmp_path / "logs" / "run3")
    checked = check(file)
    assert kinds(checked.findings) == [("regression", "vanished", "deleted")]
    assert kinds(checked.policies[0].findings) == [("note", "changed-limit", "expect")]
    file.write_text(file.read_text().replace('"run3"', '"other"'))
    with pytest.raises(InputError, match='run = "other" is not a run of these logs'):
        check(file)


def test_runs_whose_ids_are_no_part_of_their_path_are_named_by_it(tmp_path):
    """Ids such as those that the reader makes of absolute paths would differ from machine to machine."""
    config = read_config(project(tmp_path))
    file = tmp_path / "logs" / "run0" / "eval_log.jsonl"
    values = {"step": [1, 2, 3], "eval_loss": [1.0, 0.5, 0.6]}
    ids = ["mine", "yours", "run0", "far/away#2"]
    runs = [Run(name, values, {"sources": [str(file)]}) for name in ids]
    checked, lock = examine(config, ReadResult(runs), [tmp_path / "logs"], tmp_path / "replay.lock")
    path = "logs/run0/eval_log.jsonl"
    named = [path, f"{path} (2)", "run0", f"{path}#2"]
    assert [stop.run for stop in checked.policies[0].stops] == named
    assert lock.logs[path].runs == tuple(named)


def test_what_lies_beside_a_log_is_locked_where_a_policy_reads_it(tmp_path):
    shutil.copytree(ROOT / "sample_logs", tmp_path / "logs")
    for spec, beside in (("patience=2", False), ("patience=2 | grades=0.5", True)):
        file = tmp_path / "policies.toml"
        file.write_text(f'logs = ["logs"]\n[policies.ours]\nspec = "{spec}"\n')
        config = read_config(file)
        _, made = examine(config, read(config.logs), config.logs, tmp_path / "replay.lock")
        signals = [path for path in made.logs if path.endswith("step_signals.bin")]
        assert bool(signals) == beside
        for path in signals:
            assert made.logs[path].runs == made.logs[str(Path(path).with_name("eval_log.jsonl"))].runs
