"""``replay watch``: what a frame says, and that nothing that happens to the files ends it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import replay
from replay.cli.watching import Watch
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.engine.standing import observe
from replay.policies.spec import parse_policy
from replay.report.watch import COLUMNS, sparkline
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.readme import ROOT

#: Best at eval 3, and two evals without an improvement after it.
CURVE = [0.9, 0.7, 0.5, 0.6, 0.55]
#: No test depends on how busy the machine is.
PATIENCE_S = 60


def row(number, value):
    return json.dumps({"step": 10 * number, "epoch": number / 4, "eval_loss": value}) + "\n"


def write(path, values):
    """A log of these values. One that only repeats a part of another would count as the same run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row(number, value) for number, value in enumerate(values, 1)))
    return path


def worse(values, offset):
    return [round(value + offset, 6) for value in values]


def frame_of(path, *args):
    return json.loads(run("watch", path, "--once", "--format", "json", *args).stdout)


def policies_of(path, *args):
    (only,) = frame_of(path, *args)["runs"]
    return {one["policy"]: one for one in only["policies"]}


def test_a_frame_is_not_written_over_what_is_read(tmp_path):
    log = write(tmp_path / "logs" / "a.jsonl", CURVE)
    before = log.read_bytes()
    for target in (log, tmp_path / "linked.jsonl"):
        if target != log:
            target.hardlink_to(log)
        error = run("watch", log.parent, "--once", "--out", target, code=2).stderr
        assert f"--out {target} would overwrite {log}, which is read" in " ".join(error.split())
        assert log.read_bytes() == before


def test_a_frame_says_what_the_next_eval_decides(tmp_path):
    write(tmp_path / "a.jsonl", CURVE)
    text = run("watch", tmp_path, "--once").stdout
    fits(text)
    assert "patience=3 2/3 stops at eval 6 unless eval_loss is below 0.5" in " ".join(text.split())
    assert "\x1b" not in text
    (only,) = frame_of(tmp_path)["runs"]
    assert (only["evals"], only["step"], only["value"], only["best"]) == (5, 50, 0.55, 0.5)
    (standing,) = only["policies"]
    assert (standing["counter"], standing["threshold"], standing["stopped_eval"]) == (2, 3, None)
    assert (standing["next"], standing["next_bound"], standing["next_strict"]) == (
        "stops_unless_better",
        0.5,
        True,
    )


def test_a_counter_never_exceeds_its_threshold(tmp_path):
    write(tmp_path / "a.jsonl", [*CURVE, 0.58, 0.57, 0.56, 0.55])
    text = " ".join(run("watch", tmp_path, "--once").stdout.split())
    assert "patience=3 STOP stops at eval 6 (step 60), 3 evals ago: no gain over 0.5 for 3 evals." in text
    for counter, threshold in re.findall(r"\b(\d+)/(\d+)\b", text):
        assert int(counter) <= int(threshold)
    (standing,) = policies_of(tmp_path).values()
    assert standing["counter"] == 6, "for programs it is the signal as it is"


def test_once_fits_on_one_screen_of_many_runs(tmp_path):
    for number in range(20):
        write(tmp_path / f"run{number}.jsonl", worse([*CURVE, 0.58], number / 1000))
    text = run("watch", tmp_path, "--once").stdout
    fits_the_screen(text)
    (more,) = re.findall(r"^(\d+) more runs with --verbose\.$", text, re.M)
    assert int(more) > 0
    assert sum(line.startswith("run") for line in text.splitlines()) + int(more) == 20
    text = run("watch", tmp_path, "--once", "--verbose").stdout
    assert "more runs" not in text
    assert text.count("STOP") == 20


@pytest.mark.parametrize(("name", "better"), [("eval_loss", "lower"), ("eval_accuracy", "higher")])
def test_the_bars_say_which_direction_is_good(tmp_path, name, better):
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"step": 10 * at, name: value}) + "\n" for at, value in enumerate(CURVE, 1))
    )
    text = run("watch", tmp_path, "--once").stdout
    fits(text)
    assert f"Bars: the last 14 values of {name}; {better} bars are better." in " ".join(text.split())


def test_a_stop_comes_with_the_compute_since_then(tmp_path):
    write(tmp_path / "a.jsonl", [*CURVE, 0.58, 0.57, 0.56])
    (standing,) = policies_of(tmp_path).values()
    assert (standing["stopped_eval"], standing["stopped_step"], standing["since"]) == (6, 60, 20)
    simulated = replay.simulate(replay.load(tmp_path), ["patience=3"]).iloc[0]
    assert standing["reason"] == simulated["reason"]
    assert standing["since"] == simulated["used_full"] - simulated["used"]
    assert "Since then: 20 steps." in " ".join(run("watch", tmp_path, "--once").stdout.split())
    epochs = policies_of(tmp_path, "--unit", "epochs")["patience=3"]
    assert (epochs["unit"], epochs["since"]) == ("epochs", 0.5)


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("patience=3", "min"),
        ("patience=3", "max"),
        ("patience=3,min_delta=0.03", "min"),
        ("transformers:patience=3,threshold=0.1", "max"),
        ("keras:patience=2,min_delta=0.02", "min"),
        ("target=0.45", "min"),
        ("gl=5", "min"),
        ("patience=2,smooth=ema:0.5", "min"),
        ("patience=3 | target=0.4", "min"),
        ("patience=1,every=2", "min"),
        ("budget=60", "min"),
        ("budget=1000", "min"),
        ("up=2", "min"),
    ],
)
def test_the_next_eval_does_what_was_said(spec, mode):
    """On both sides of the bound, next to it and far from it, the policy does what the state says."""
    random = np.random.default_rng(len(spec) + (mode == "max"))
    policy = parse_policy(spec)
    kinds = set()
    for _ in range(40):
        values = np.round(random.uniform(0.3, 0.9, random.integers(1, 9)), 3).tolist()
        steps = [10.0 * number for number in range(1, len(values) + 1)]
        one = replay.Run("r", {"step": steps, "score": values}, {"modes": {"score": mode}})
        state = observe(one, [(spec, policy)], Question("score"))
        (standing,) = state.standings
        if standing.stopped_eval is not None:
            continue
        coming = standing.next
        kinds.add(coming.kind)
        near = [] if coming.bound is None else [coming.bound + offset for offset in (-1e-9, 0.0, 1e-9)]
        for value in (0.01, 0.2, 0.44, 0.62, 0.95, 3.0, *near):
            stop = policy.stop_eval([*values, value], mode, [*steps, steps[-1] + 10])
            better = value < (coming.bound or 0) if mode == "min" else value > (coming.bound or 0)
            reaches = better or (not coming.strict and value == coming.bound)
            says = {
                "continues": None,
                "stops": coming.eval,
                "stops_unless_better": None if reaches else coming.eval,
                "stops_if_better": coming.eval if reaches else None,
            }
            if coming.kind != "open":
                assert stop == says[coming.kind], (values, value, coming)
    assert kinds - {"open"} or "|" in spec


def test_runs_that_train_on_after_a_stop_come_first(tmp_path):
    write(tmp_path / "going" / "a.jsonl", worse(CURVE[:3], 0.1))
    write(tmp_path / "soon" / "a.jsonl", CURVE)
    write(tmp_path / "late" / "a.jsonl", worse([*CURVE, 0.7, 0.8], 0.2))
    assert [one["run"] for one in frame_of(tmp_path)["runs"]] == ["late", "soon", "going"]
    assert run("watch", tmp_path, "--once").stdout.startswith("3 runs: 1 trains on after a stop.")


def test_several_policies_in_the_units_and_formats_of_simulate(tmp_path):
    write(tmp_path / "a.jsonl", CURVE)
    specs = ["patience=3", "patience=1", "target=0.4"]
    args = [word for spec in specs for word in ("--policy", spec)]
    assert list(policies_of(tmp_path, *args)) == specs
    rows = list(
        csv.DictReader(io.StringIO(run("watch", tmp_path, "--once", "--format", "csv", *args).stdout))
    )
    assert [one["policy"] for one in rows] == specs
    assert tuple(rows[0]) == COLUMNS
    marked = run("watch", tmp_path, "--once", "--format", "markdown", *args).stdout
    assert "stops at eval 4 (step 40)" in marked


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_frame_fits(columns, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for number in range(3):
        name = f"a-run-with-a-very-long-name-that-all-share-{number}-and-goes-on"
        write(tmp_path / name / "log.jsonl", worse([*CURVE, 0.6, 0.7][: 5 + number], number / 10))
    text = run("watch", tmp_path, "--once", "--policy", "transformers:patience=3,threshold=0.001").stdout
    fits(text, columns)
    assert all(f"{number}-and-goes-on" in text for number in range(3))


def test_names_are_data(tmp_path):
    name = "[red]\x1b[31mrun"
    write(tmp_path / name / "log.jsonl", CURVE)
    write(tmp_path / "other" / "log.jsonl", worse(CURVE, 0.1))
    text = run("watch", tmp_path, "--once").stdout
    assert "\x1b" not in text
    assert "[red]\\x1b[31mrun" in text
    assert name in [one["run"] for one in frame_of(tmp_path)["runs"]] or "[red]\\x1b[31mrun" in text


def test_bars_show_the_latest_values():
    assert sparkline(np.array([0.0, 0.5, 1.0]), 8) == "▁▅█"
    assert sparkline(np.array([9.0, 0.0, np.nan, 1.0]), 3) == "▁?█"
    assert sparkline(np.array([2.0, 2.0]), 8) == "▅▅"
    assert sparkline(np.array([0.0, 1.0]), 8, ascii=True).isascii()
    assert sparkline(np.array([1e308, -1e308]), 8)  # their distance is no double


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "no such file or folder"),
        (["logs", "--policy", "patience=0"], "patience"),
        (["logs", "--format", "json"], "--format json is for one frame; give --once too"),
        (["logs", "--out", "frame.txt"], "--out is for one frame"),
        (["logs", "--once", "--on-stop", "true"], "Leave out one of the two"),
        (["logs", "--on-stop", ""], "it is empty"),
        (["logs", "--on-stop", "say 'it"], "cannot be split into words"),
        (["logs", "--interval", "0"], "--interval"),
        (["logs", "--once", "--where", "evals > 3"], "--where filters the runs of a store"),
        (["empty", "--once"], "no log found below"),
    ],
)
def test_mistakes(args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "logs" / "a.jsonl", CURVE)
    (tmp_path / "empty").mkdir()
    done = run("watch", *args, code=2)
    assert said in " ".join(done.stderr.split())


def watch_of(*paths, policies=("patience=3",)):
    return Watch(paths, list(zip(policies, parse_policies(policies), strict=True)), Question())


def test_files_appear_grow_are_cut_replaced_and_vanish(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    watch = watch_of(logs)
    assert "no log found below" in watch.update(first=True).message
    path = write(logs / "a.jsonl", CURVE[:1])

    def evals():
        return {state.run.id: len(state.values) for state in watch.update().states}

    assert evals() == {"logs": 1}
    write(path, CURVE)
    assert evals() == {"logs": 5}
    with path.open("a") as file:
        file.write('{"step": 60, "eval_')
    assert evals() == {"logs": 5}
    with path.open("a") as file:
        file.write('loss": 0.58}\n')
    assert evals() == {"logs": 6}
    os.truncate(path, len(row(1, 0.9)) + 5)
    assert evals() == {"logs": 1}
    new = write(tmp_path / "new.jsonl", [0.4, 0.3])
    new.replace(path)
    assert evals() == {"logs": 2}
    write(logs / "b" / "log.jsonl", worse(CURVE, 0.1))
    assert evals() == {"logs": 2, "b": 5}
    path.unlink()
    assert evals() == {"b": 5}
    shutil.rmtree(logs)
    frame = watch.update()
    assert (list(frame.states), "no such file or folder" in frame.message) == ([], True)
    write(logs / "a.jsonl", CURVE)
    assert evals() == {"logs": 5}


def test_a_log_that_lacks_the_metric_does_not_hide_the_others(tmp_path):
    write(tmp_path / "good" / "a.jsonl", CURVE)
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "a.jsonl").write_text('{"step": 1, "loss": 2.0, "learning_rate": 0.1}\n')
    data = frame_of(tmp_path, "--monitor", "eval_loss")
    problems = {one["run"]: one["problem"] for one in data["runs"]}
    assert problems["good"] is None
    assert "eval_loss" in problems["young"]


class Watching:
    """``replay watch`` in a process of its own, with its output in a file."""

    def __init__(self, folder, *args):
        self.output = folder / "watch.txt"
        command = [sys.executable, "-m", "replay", "watch", *map(str, args), "--interval", "0.1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=environment
            )

    def wait_for(self, holds):
        """Wait until something holds for what was printed; returns that."""
        end = time.monotonic() + PATIENCE_S
        while not holds(text := self.output.read_text()):
            assert self.process.poll() is None, text
            assert time.monotonic() < end, text
            time.sleep(0.05)
        return text

    def interrupt(self):
        """End it as Ctrl-C does; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def watching(tmp_path):
    started = []

    def start(*args):
        started.append(Watching(tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


HOOK = """
import json, os, sys
given = {name: text for name, text in os.environ.items() if name.startswith("REPLAY_")}
with open("calls.txt", "a") as file:
    file.write(json.dumps([sys.argv[1:], given]) + "\\n")
sys.exit("it went wrong" if "bad" in sys.argv[2] else 0)
"""


def calls(folder):
    path = folder / "calls.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_command_runs_once_per_run(watching, tmp_path):
    logs = tmp_path / "logs"
    write(logs / "before" / "a.jsonl", worse([*CURVE, 0.6], 0.1))
    path = write(logs / "now; touch harm" / "a.jsonl", CURVE)
    bad = write(logs / "bad" / "a.jsonl", worse(CURVE, 0.2))
    (tmp_path / "hook.py").write_text(HOOK)
    hook = f"{sys.executable} hook.py 'two words'"
    watch = watching(logs, "--policy", "patience=3", "--policy", "patience=4", "--on-stop", hook)
    watch.wait_for(lambda text: "before" in text)
    assert calls(tmp_path) == []
    with path.open("a") as file:
        file.write(row(6, 0.58) + row(7, 0.58))
    watch.wait_for(lambda text: len(calls(tmp_path)) == 1)
    with bad.open("a") as file:
        file.write(row(6, 0.78))
    watch.wait_for(lambda text: "it went wrong" in " ".join(text.split()))
    os.truncate(path, 10)
    write(path, [*CURVE, 0.6, 0.6])
    late = write(logs / "late" / "a.jsonl", worse([*CURVE, 0.6], 0.3))
    watch.wait_for(lambda text: len(calls(tmp_path)) == 3)
    assert watch.interrupt() == 130
    (first, environment), (second, _), (third, _) = calls(tmp_path)
    assert first == ["two words", "now; touch harm", "patience=3", "60"]
    assert environment["REPLAY_RUN"] == "now; touch harm"
    assert (environment["REPLAY_EVAL"], environment["REPLAY_STEP"]) == ("6", "60")
    assert "for 3 evals" in environment["REPLAY_REASON"]
    assert (second[1], third[1]) == ("bad", "late")
    assert late.exists()
    assert not list(tmp_path.rglob("harm"))
    assert "exit code 1" in watch.output.read_text()


def test_a_command_that_is_missing_does_not_end_the_watch(watching, tmp_path):
    path = write(tmp_path / "logs" / "a.jsonl", CURVE)
    watch = watching("logs", "--on-stop", "no-such-program-of-ours")
    watch.wait_for(lambda text: "stops at eval 6 unless" in " ".join(text.split()))
    with path.open("a") as file:
        file.write(row(6, 0.58))
    text = watch.wait_for(lambda text: "No such file" in " ".join(text.split()))
    assert "no-such-program-of-ours" in text
    assert watch.process.poll() is None
    assert watch.interrupt() == 130
    assert "Traceback" not in watch.output.read_text()


def test_in_a_pipe_a_frame_is_printed_where_something_has_changed(watching, tmp_path):
    path = write(tmp_path / "logs" / "a.jsonl", CURVE)
    watch = watching("logs")
    watch.wait_for(lambda text: text.count("1 run.") == 1)
    time.sleep(0.5)
    assert watch.output.read_text().count("1 run.") == 1
    with path.open("a") as file:
        file.write(row(6, 0.45))
    text = watch.wait_for(lambda text: text.count("1 run.") == 2)
    assert "0.45 at eval 6" in text
    assert "\x1b" not in text
    assert watch.interrupt() == 130
    assert watch.output.read_text().rstrip().endswith("Interrupted.")


def test_it_needs_no_rich_for_one_frame(tmp_path):
    write(tmp_path / "a.jsonl", CURVE)
    code = (
        "import sys; sys.modules['rich'] = None; sys.argv = ['replay', 'watch', sys.argv[1], '--once'];"
        "from replay.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "stops at eval 6" in done.stdout


def test_an_output_without_bars_gets_other_signs(tmp_path):
    write(tmp_path / "a.jsonl", CURVE)
    done = subprocess.run(
        [sys.executable, "-m", "replay", "watch", str(tmp_path), "--once"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert re.search(rb"[_.=+*#@-]{5} +0.55 at eval 5", done.stdout)
