"""``replay diff``: two sides of a replay, run by run."""

import csv
import io
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import replay
from replay import Run
from replay.check import diff
from replay.check.diff import Difference, kind_of, paired
from replay.check.lock import Lock, LockedPolicy, Log, write_lock
from replay.check.model import Stop
from replay.cli import cli
from replay.engine.question import Question
from replay.engine.scoring import parse_policies, simulate_policies
from replay.report.diff import COLUMNS
from replay.stats.intervals import interval
from tests.cli.test_cli import fits, fits_the_screen, run

from ..conftest import curve, write_log
from ..readme import ROOT

FILMS = ROOT / "examples" / "ci" / "logs"
OLD, NEW = "transformers@4.46:patience=3,save_every=2", "transformers:patience=3"


def told(*args, code=0):
    return json.loads(run("diff", *args, "--format", "json", code=code).stdout)


def mistake(*args):
    result = CliRunner().invoke(cli, ["diff", *map(str, args)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


def above_the_command(out):
    """What stands above the suggested command, which may be too long because of the paths of a test."""
    return out.partition("Next: ")[0]


def flat(text):
    return " ".join(text.split())


@pytest.mark.filterwarnings("ignore:3 of 26 runs improve by less than twice the eval noise")
def test_a_framework_upgrade(monkeypatch):
    monkeypatch.chdir(ROOT)
    first = run("diff", OLD, NEW, "sample_logs").stdout
    fits_the_screen(first)
    out = run("diff", OLD, NEW, "sample_logs", "--verbose").stdout
    fits(out)
    assert "\nMonitor: eval_loss, lower is better. Compute in steps.\n" in out
    assert f"A  {OLD}\nB  {NEW}\n" in out
    rows = [line.split() for line in out.splitlines() if " -> " in line]
    assert [row[:4] for row in rows if row[0] == "minilm-films-r4-lr3e-4-constant-s0"] == [
        ["minilm-films-r4-lr3e-4-constant-s0", "never", "->", "16"]
    ]
    frame = replay.simulate(replay.load(ROOT / "sample_logs"), [OLD, NEW]).pivot(
        index="run", columns="policy", values="stopped_eval"
    )
    changed = frame[frame[OLD].fillna(0) != frame[NEW].fillna(0)]
    assert {row[0] for row in rows} == set(changed.index)
    assert flat(first).startswith(f"B stops {len(changed)} of {len(frame)} runs elsewhere than A. B saves")
    assert "may be chance." in flat(first)
    assert "Next: replay explain sample_logs --policy transformers:patience=3" in flat(first)


def test_the_figures_are_those_of_the_simulation_paired_by_run():
    found = told(OLD, NEW, FILMS)
    (pair,) = found["pairs"]
    frame = replay.simulate(replay.load(FILMS), [OLD, NEW])
    for name in ("saved", "lost"):
        sides = frame.pivot(index="run", columns="policy", values=name)
        more = sides[NEW] - sides[OLD]
        figure = pair[name]
        assert figure["runs"] == len(sides) == 10
        assert figure["a"] == pytest.approx(sides[OLD].mean())
        assert figure["b"] == pytest.approx(sides[NEW].mean())
        assert figure["difference"] == pytest.approx(more.mean())
        order = sorted(row["run"] for row in pair["outcomes"])
        assert (figure["low"], figure["high"]) == pytest.approx(interval(more[order].to_numpy(), order))
    assert pair["moved"] == sum(row["moved"] == "yes" for row in pair["outcomes"]) == 3
    assert {"monitor", "objective", "unit", "warnings"} <= set(found)


def test_a_difference_beyond_its_interval_is_said_plainly():
    pair = told("patience=1", "patience=4", FILMS)["pairs"][0]
    assert pair["saved"]["verdict"] == pair["lost"]["verdict"] == "less"
    assert pair["saved"]["high"] < 0
    out = flat(run("diff", "patience=1", "patience=4", FILMS).stdout)
    assert (
        "B stops 10 of 10 runs elsewhere than A. B saves 38.8 points less of the compute (31.6 to 46.6) and"
        " loses 24.8 points less of the improvement (19.5 to 30.7)." in out
    )
    swapped = told("patience=4", "patience=1", FILMS)["pairs"][0]
    assert swapped["saved"]["difference"] == pytest.approx(-pair["saved"]["difference"])
    assert swapped["saved"]["verdict"] == "more"


def test_equal_policies_move_no_run(logs):
    out = run("diff", "patience=3", "patience=3.0", logs).stdout
    assert "No run moved: A and B stop all 10 runs alike." in out
    assert "->" not in out
    pair = told("patience=3", "patience=3", logs)["pairs"][0]
    assert pair["saved"]["verdict"] == pair["lost"]["verdict"] == "same"


def test_few_runs_are_too_few_to_tell(tmp_path):
    for number in range(3):
        write_log(tmp_path / f"r{number}", curve(number))
    assert "3 runs are too few to tell this from chance (at least 8 are needed)" in flat(
        run("diff", "patience=1", "patience=4", tmp_path).stdout
    )
    assert told("patience=1", "patience=4", tmp_path)["pairs"][0]["saved"]["verdict"] == "too few"


def test_one_run(tmp_path):
    write_log(tmp_path / "only", curve(1))
    assert "A and B stop the one run alike" in run("diff", "patience=2", "patience=2", tmp_path).stdout
    out = run("diff", "patience=1", "patience=6", tmp_path).stdout
    assert out.startswith("B stops 1 of 1 run elsewhere than A.")


def test_two_sets_of_logs_are_paired_by_run(tmp_path):
    for number in range(10):
        write_log(tmp_path / "a" / f"run{number}", curve(number), seed=number)
        write_log(tmp_path / "b" / f"run{number}", curve(number if number else 3), seed=number)
    shutil.rmtree(tmp_path / "a" / "run9")
    shutil.rmtree(tmp_path / "b" / "run8")
    out = run("diff", tmp_path / "a", tmp_path / "b", "--policy", "patience=2").stdout
    fits(above_the_command(out))
    assert "\nPolicy: patience=2\n" in out
    assert "1 run only in A: run8." in out
    assert "1 run only in B: run9." in out
    moved = [line for line in out.splitlines() if "->" in line]
    assert len(moved) == 1
    assert moved[0].startswith("run0 ")
    pair = told(tmp_path / "a", tmp_path / "b", "--policy", "patience=2")["pairs"][0]
    assert pair["only_in_a"] == ["run8"]
    assert pair["only_in_b"] == ["run9"]
    assert pair["runs"] == 8
    default = told(tmp_path / "a", tmp_path / "b")
    assert [pair["policy"] for pair in default["pairs"]] == [
        "patience=1",
        "patience=2",
        "patience=3",
        "patience=5",
        "patience=10",
        "transformers:patience=3",
    ]


def test_the_same_stop_with_other_figures_is_told(tmp_path):
    write_log(tmp_path / "a" / "run", [1, 0.8, 0.9, 0.95, 0.5])
    write_log(tmp_path / "b" / "run", [1, 0.8, 0.9, 0.95, 0.6])
    out = flat(run("diff", tmp_path / "a", tmp_path / "b", "--policy", "patience=2").stdout)
    assert "No run moved, but 1 stops where it did, with other figures." in out


def test_logs_that_are_watched_by_another_metric_are_refused(tmp_path):
    write_log(tmp_path / "a" / "run", curve(1))
    write_log(tmp_path / "b" / "run", curve(1), header={"monitor": "eval_accuracy"})
    said = mistake(tmp_path / "a", tmp_path / "b")
    assert "by eval_loss (min)" in said
    assert "by eval_accuracy (max); give --monitor" in said
    run("diff", tmp_path / "a", tmp_path / "b", "--monitor", "eval_loss")


def policies(path, **specs):
    path.write_text("".join(f'[policies.{name}]\nspec = "{spec}"\n' for name, spec in specs.items()))
    return path


def test_two_files_of_policies_are_paired_by_name(logs, tmp_path):
    one = policies(tmp_path / "one.toml", ours="patience=2", gone="patience=9", same="patience=4")
    two = policies(tmp_path / "two.toml", ours="patience=3", more="patience=7", same="patience=4")
    first = run("diff", one, two, logs).stdout
    fits_the_screen(above_the_command(first))
    assert first.startswith("1 of 2 policies differs between A and B. Under ours: B stops ")
    out = run("diff", one, two, logs, "--verbose").stdout
    fits(above_the_command(out))
    assert "ours:\nA  patience=2\nB  patience=3\n" in out
    assert "same: patience=4\n" in out
    assert "Only in A: policy gone.\nOnly in B: policy more.\n" in out
    found = told(one, two, logs)
    assert [pair["policy"] for pair in found["pairs"]] == ["ours", "same"]
    assert (found["policies_only_in_a"], found["policies_only_in_b"]) == (["gone"], ["more"])
    alone = policies(tmp_path / "alone.toml", new_name="patience=5")
    before = policies(tmp_path / "before.toml", old_name="patience=4")
    assert [pair["policy"] for pair in told(before, alone, logs)["pairs"]] == ["old_name, new_name"]


def test_files_of_policies_bring_their_logs_and_settings(logs, tmp_path):
    own = (
        'logs = ["logs"]\nmonitor = "eval_accuracy"\nconfidence = 0.8\n[policies.ours]\nspec = "patience=2"\n'
    )
    (tmp_path / "one.toml").write_text(own)
    (tmp_path / "two.toml").write_text(own.replace("patience=2", "patience=3"))
    found = told(tmp_path / "one.toml", tmp_path / "two.toml")
    assert found["monitor"] == "eval_accuracy"
    assert found["pairs"][0]["level"] == 0.8
    assert (
        told(tmp_path / "one.toml", tmp_path / "two.toml", "--monitor", "eval_loss")["monitor"] == "eval_loss"
    )
    assert " 80 %" in run("diff", tmp_path / "one.toml", tmp_path / "two.toml").stdout
    (tmp_path / "two.toml").write_text(own.replace("patience=2", "patience=3").replace("0.8", "0.9"))
    assert told(tmp_path / "one.toml", tmp_path / "two.toml")["pairs"][0]["level"] == 0.9
    (tmp_path / "two.toml").write_text('unit = "tokens"\n' + own)
    assert "the unit of" in mistake(tmp_path / "one.toml", tmp_path / "two.toml")
    assert told(tmp_path / "one.toml", tmp_path / "two.toml", "--unit", "epochs")["unit"] == "epochs"


def lock(path, stops, spec="patience=3", name="ours", **settings):
    made = {
        run: Stop(run, "logs", eval, None if eval is None else 100 * eval, "", saved, 0.0, 0.0, lost)
        for run, eval, saved, lost in stops
    }
    logs = {"logs": Log("0" * 64, tuple(made))}
    write_lock(path, Lock("0.1.0", {"unit": "steps", **settings}, logs, {name: LockedPolicy(spec, {}, made)}))
    return path


def test_two_locks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = lock(Path("one.lock"), [(f"r{number}", 5, 0.5, 0.0) for number in range(9)])
    two = lock(
        Path("two.json"),
        [("r0", None, 0.0, 0.0), *((f"r{number}", 5, 0.5, None) for number in range(1, 10))],
        "patience=4",
        unit="tokens",
    )
    result = run("diff", one, two)
    fits_the_screen(result.stdout)
    assert "\nPolicy: ours\n" in result.stdout
    assert "A  patience=3\nB  patience=4\n" in result.stdout
    assert "r0   5 -> never  50% -> 0%  0% -> 0%" in result.stdout
    assert "1 run only in B: r9." in result.stdout
    assert "unit was 'steps' in" in flat(result.stdout)
    assert "a lock does not hold the groups" in flat(run("diff", one, two, "--verbose").stdout)
    assert "unit was 'steps' in" in flat(run("diff", one, two, "--format", "csv").stderr)
    assert "!" not in run("diff", one, one).stdout
    pair = told(one, two)["pairs"][0]
    assert pair["saved"]["difference"] == pytest.approx(-0.5 / 9)
    assert pair["lost"]["runs"] == 1


def test_damaged_lock(tmp_path):
    one = lock(tmp_path / "one.lock", [("r0", 5, 0.5, 0.0)])
    two = tmp_path / "two.lock"
    two.write_text(one.read_text().replace("0.5", "0.6"))
    assert "two.lock" in mistake(one, two)


def test_csv_has_every_run_of_both_sides(tmp_path):
    for number in range(3):
        write_log(tmp_path / "a" / f"run{number}", curve(number))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "a" / "run2")
    rows = list(
        csv.DictReader(
            io.StringIO(
                run(
                    "diff", tmp_path / "a", tmp_path / "b", "--policy", "patience=2", "--format", "csv"
                ).stdout
            )
        )
    )
    assert tuple(rows[0]) == COLUMNS
    assert [(row["run"], row["in"], row["moved"]) for row in rows] == [
        ("run0", "both", "no"),
        ("run1", "both", "no"),
        ("run2", "b", ""),
    ]
    assert rows[2]["saved_a"] == ""
    assert float(rows[2]["saved_b"]) >= 0


def test_markdown_and_out(logs, tmp_path):
    run("diff", "patience=2", "patience=6", logs, "--format", "markdown", "--out", tmp_path / "out.md")
    text = (tmp_path / "out.md").read_text()
    assert text.startswith("A: `patience=2`, B: `patience=6`\n\n| run | stop | saved | lost |\n")
    assert "| mean of 10 runs | A | B | B - A, points | 95 % CI |" in text
    assert "B stops 10 of 10 runs elsewhere than A. B saves" in text


@pytest.mark.parametrize("style", ["table", "json", "csv", "markdown"])
def test_the_same_every_time(logs, style):
    args = ("diff", "patience=2", "patience=6", logs, "--format", style)
    assert run(*args).stdout == run(*args).stdout


def test_names_cannot_steer_a_terminal(tmp_path):
    write_log(tmp_path / "evil\x1b[2Jname", curve(1))
    for style in ("table", "markdown"):
        assert "\x1b" not in run("diff", "patience=1", "patience=6", tmp_path, "--format", style).stdout


def test_many_moved_runs_are_cut_short(tmp_path):
    for number in range(35):
        write_log(tmp_path / f"run{number}", curve(number))
    out = run("diff", "patience=1", "patience=9", tmp_path).stdout
    fits_the_screen(above_the_command(out))
    shown = sum("->" in line for line in out.splitlines())
    moved = told("patience=1", "patience=9", tmp_path)["pairs"][0]["moved"]
    assert 6 <= shown < moved
    assert f"{moved - shown} more rows and details with --verbose." in out
    details = run("diff", "patience=1", "patience=9", tmp_path, "--verbose").stdout
    assert sum("->" in line for line in details.splitlines()) == moved


def test_mistakes(logs, tmp_path):
    file = policies(tmp_path / "p.toml", ours="patience=2")
    locked = lock(tmp_path / "one.lock", [("r0", 5, 0.5, 0.0)])
    other = lock(tmp_path / "other.lock", [("r1", 5, 0.5, 0.0)])
    assert "on which logs? Write replay diff" in mistake("patience=2", "patience=3")
    assert "Neither file names any" in mistake(file, file)
    assert "is a policy and" in mistake("patience=2", logs, logs)
    assert "give two of a kind" in mistake(file, "patience=2", logs)
    assert "two sets of logs need no more logs" in mistake(logs, logs, logs)
    assert "two locks need no more logs" in mistake(locked, locked, logs)
    assert "--policy is for two sets of logs" in mistake(
        "patience=2", "patience=3", logs, "--policy", "patience=4"
    )
    assert "is neither a file or folder that exists nor a policy" in mistake("old_logs", "new_logs")
    assert "patience must be" in mistake("patience=x", "patience=3", logs)
    assert "no run is in both" in mistake(locked, other)
    two = policies(tmp_path / "two.toml", a="patience=2", b="patience=3")
    three = policies(tmp_path / "three.toml", c="patience=2", d="patience=3")
    assert "no policy is in both" in mistake(two, three, logs)


def test_kinds_and_pairs(tmp_path, logs):
    assert kind_of("patience=2 | target=0.5") == "policy"
    assert kind_of(" | ".join(f"patience={number}" for number in range(1, 999))) == "policy", (
        "longer than a name of a file may be"
    )
    assert kind_of(str(logs)) == kind_of(str(logs / "run0" / "eval_log.jsonl")) == "logs"
    assert paired(["a", "b"], ["b", "c"]) == ([("b", "b")], ["a"], ["c"])
    assert paired(["a"], ["b"]) == ([("a", "b")], [], [])


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ((10, 0.1, 0.3, 0.2, 0.1, 0.3), "more"),
        ((10, 0.3, 0.1, -0.2, -0.3, -0.1), "less"),
        ((10, 0.3, 0.1, -0.2, -0.3, 0.1), "unclear"),
        ((10, 0.3, 0.3, 0.0, 0.0, 0.0), "same"),
        ((7, 0.1, 0.3, 0.2, 0.1, 0.3), "too few"),
        ((1, 0.1, 0.3, 0.2, None, None), "too few"),
        ((0, None, None, None, None, None), "unknown"),
    ],
)
def test_verdict_of_a_difference(figures, verdict):
    assert Difference(*figures).verdict == verdict


def test_paired_intervals_are_narrower_than_unpaired_ones(logs):
    """The reason to pair: runs differ far more from each other than the sides do on one run."""
    pair = told("patience=4", "patience=5", logs)["pairs"][0]
    each = [row["saved_b"] for row in pair["outcomes"]]
    width = pair["saved"]["high"] - pair["saved"]["low"]
    assert width < 2 * statistics.stdev(each)


def test_saved_and_lost_are_about_the_runs_that_log_the_objective():
    """Ten runs without it would be stopped much earlier."""
    with_f1 = [
        Run(
            f"f1-{number}",
            {
                "step": range(1, 11),
                "eval_loss": [*np.linspace(1, 0.5, 6), 0.6, 0.7, 0.8, 0.9],
                "eval_f1": [*np.linspace(0.1, 0.6, 6), 0.5, 0.5, 0.5, 0.5],
            },
            {},
        )
        for number in range(8)
    ]
    without = [
        Run(f"no-{number}", {"step": range(1, 11), "eval_loss": [0.5, *np.linspace(0.6, 0.9, 9)]}, {})
        for number in range(10)
    ]
    question = Question(monitor="eval_loss", objective="eval_f1")
    policies = parse_policies(["patience=1", "patience=3"])
    outcomes = simulate_policies([*with_f1, *without], policies, question)
    sides = diff._sides(outcomes, policies)
    pair = diff.compare(None, *sides.values())
    assert len(pair.runs) == 18
    assert (pair.saved.runs, pair.lost.runs) == (8, 8)
    assert (pair.saved.before, pair.saved.after) == (pytest.approx(0.3), pytest.approx(0.1))
