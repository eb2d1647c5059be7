import csv
import io
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.engine.outcomes import COLUMNS
from replay.stats.summary import KEYS
from tests.conftest import curve, write_log


def run(*args, code=0):
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def fits_the_screen(text):
    """The brief form: 24 lines of 80 columns."""
    fits(text)
    assert len(text.splitlines()) <= 24, text


def fits(text, width=80):
    assert all(len(line) <= width for line in text.splitlines()), max(text.splitlines(), key=len)


def test_simulate_first_screen(logs, monkeypatch):
    monkeypatch.chdir(logs.parent)
    result = run(
        "simulate", "logs", "--policy", "patience=3", "--policy", "transformers:patience=3,threshold=0.001"
    )
    fits_the_screen(result.stdout)
    lines = [line.split("  ")[0] for line in result.stdout.splitlines() if line.strip()]
    order = [
        "no early stopping",
        "one-epoch",
        "patience=3",
        "transformers:patience=3,threshold=0.001",
        "best possible",
    ]
    assert [lines.index(name) for name in order] == sorted(lines.index(name) for name in order)
    assert "10 runs in" in result.stdout
    assert "Monitor: eval_loss, lower is better (the logs state both)" in " ".join(result.stdout.split())
    assert "Next: replay simulate" in result.stdout
    assert "Verdict:" in run("simulate", "logs", "--policy", "patience=3", "--verbose").stdout


def test_a_bare_path_gives_the_whole_answer(logs, monkeypatch):
    monkeypatch.chdir(logs.parent)
    text = run("logs").stdout
    fits_the_screen(text)
    flat = " ".join(text.split())
    assert "On average, patience=3 would have saved" in flat
    assert "The same budget for every run loses" in flat
    for policy in ("patience=1", "patience=5", "no early stopping", "best possible"):
        assert policy in text
    assert "Recommended: " in flat
    assert "Next: replay choose logs" in flat
    found = json.loads(run("logs", "--format", "json").stdout)
    assert found["choice"]["status"] in ("guaranteed", "best guess", "cannot tell")
    assert {"summary", "outcomes", "warnings"} <= set(found)


def test_a_bare_path_with_policies_simulates_them(logs):
    assert (
        run(logs, "--policy", "patience=4").stdout == run("simulate", logs, "--policy", "patience=4").stdout
    )


def test_the_setting_that_the_logs_name_is_the_one_that_is_judged(tmp_path):
    for number in range(3):
        history = [
            {"step": step, "epoch": step / 100, "eval_loss": 1 / step + 0.001 * max(0, step - 40 - number)}
            for step in range(10, 110, 10)
        ]
        early = {"args": {"early_stopping_patience": 2, "early_stopping_threshold": 0.01}, "attributes": {}}
        state = {
            "global_step": 100,
            "max_steps": 100,
            "log_history": history,
            "stateful_callbacks": {"EarlyStoppingCallback": early},
        }
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "trainer_state.json").write_text(json.dumps(state))
    flat = " ".join(run(tmp_path).stdout.split())
    assert "The logs say that they were trained with transformers:patience=2,threshold=0.01." in flat


@pytest.mark.parametrize("command", ["simulate", "sweep", "choose", "plan"])
def test_the_suggested_command_asks_the_same_question(logs, command):
    args = [command, str(logs), "--monitor", "eval_accuracy", "--mode", "max", "--unit", "tokens"]
    text = " ".join(CliRunner().invoke(cli, args).stdout.replace("\\\n", " ").split())
    suggested = text[text.index("Next: ") :]
    for words in ("--monitor eval_accuracy", "--mode max", "--unit tokens"):
        assert words in suggested


@pytest.mark.parametrize("columns", ["", "wide", "0", "-3"])
def test_a_width_of_the_terminal_that_is_no_number(logs, monkeypatch, columns):
    monkeypatch.chdir(logs.parent)
    monkeypatch.setenv("COLUMNS", columns)
    assert run("simulate", "logs", "--policy", "patience=2").stdout.startswith("10 runs in logs")


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_narrow_and_a_wide_terminal(logs, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(logs.parent)
    fits(run("simulate", "logs", "--policy", "patience=2").stdout, columns)


def test_json_has_the_documented_keys(logs):
    document = json.loads(run("simulate", logs, "--policy", "patience=3", "--format", "json").stdout)
    assert {"summary", "outcomes", "warnings"} <= set(document)
    assert [row["policy"] for row in document["summary"]] == ["never", "one-epoch", "patience=3", "oracle"]
    assert all(tuple(row) == KEYS for row in document["summary"])
    assert all(tuple(row) == COLUMNS for row in document["outcomes"])
    assert len(document["outcomes"]) == 40
    assert document["monitor"] == {
        "metric": "eval_loss",
        "mode": "min",
        "metric_reason": "stated by the logs",
        "mode_reason": "stated by the log",
    }
    never = [row for row in document["outcomes"] if row["policy"] == "never"]
    assert all(row["stopped_eval"] is None and row["saved"] == 0 for row in never)
    frame = replay.simulate(replay.load(logs), ["patience=3"])
    ours = [row for row in document["outcomes"] if row["policy"] == "patience=3"]
    assert [row["saved"] for row in ours] == frame.saved.tolist()


def test_output_is_the_same_every_time(logs):
    for style in ("table", "json", "csv", "markdown"):
        assert (
            run("simulate", logs, "--format", style).stdout == run("simulate", logs, "--format", style).stdout
        )


def test_csv_and_per_run(logs, monkeypatch):
    monkeypatch.chdir(logs)  # a command that is too wide for a line keeps its path whole
    logs = "."
    rows = list(
        csv.DictReader(io.StringIO(run("simulate", logs, "--policy", "patience=2", "--format", "csv").stdout))
    )
    assert tuple(rows[0]) == KEYS
    rows = list(
        csv.DictReader(
            io.StringIO(
                run("simulate", logs, "--policy", "patience=2", "--format", "csv", "--per-run").stdout
            )
        )
    )
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 40
    text = run("simulate", logs, "--policy", "patience=2", "--per-run").stdout
    fits_the_screen(text)
    cells = [line.split() for line in text.splitlines() if line.startswith("run") and "%" in line]
    lost = [float(row[4].rstrip("%")) for row in cells]
    assert lost == sorted(lost, reverse=True)
    assert len(lost) == 10, "only the policy that was asked for"
    text = run("simulate", logs, "--policy", "patience=2", "--per-run", "--verbose").stdout
    fits(text)
    assert sum(line.startswith("run") for line in text.splitlines() if "run's" not in line) == 40 + 4


def test_markdown_escapes_what_a_log_may_say(tmp_path):
    write_log(tmp_path / "a|b <script>", curve(1))
    text = run("simulate", tmp_path, "--format", "markdown", "--per-run").stdout
    assert "<script>" not in text
    assert "a\\|b" in text


def test_terminal_escapes_in_names_are_shown_not_sent(tmp_path):
    write_log(tmp_path / "evil\x1b[2Jname", curve(1))
    text = run("simulate", tmp_path, "--per-run").stdout
    assert "\x1b" not in text
    assert "\\x1b" in text


def test_out_and_plot(logs, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "plot.png"
    result = run("simulate", logs, "--format", "json", "--out", out, "--plot", plot)
    assert result.stdout == ""
    assert json.loads(out.read_text())["summary"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    svg = tmp_path / "plot.svg"
    run("simulate", logs, "--plot", svg)
    assert "patience=3" in svg.read_text() or svg.stat().st_size > 10_000


def test_units_and_objective(logs):
    document = json.loads(
        run(
            "simulate",
            logs,
            "--policy",
            "patience=2",
            "--unit",
            "cost",
            "--price",
            "2",
            "--objective",
            "test_loss",
            "--format",
            "json",
        ).stdout
    )
    row = document["outcomes"][-1]
    assert row["unit"] == "cost"
    assert row["objective"] == "test_loss"
    assert row["used_full"] == pytest.approx(2 * (200 + 40) / 3600)
    assert "Evals are" in run("simulate", logs, "--policy", "patience=2", "--unit", "seconds").stdout


def test_policies_from_a_file(logs, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text('[policies.ours]\nspec = "patience=4"\n')
    assert "patience=4" in run("simulate", logs, "--policies", file).stdout
    file.write_text('unit = "epochs"\n[policies.ours]\nspec = "patience=4"\nmin_saved = "20%"\n')
    assert "patience=4" in run("simulate", logs, "--policies", file).stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no policies; write [policies.NAME]"),
        ("[policies.a]\n", 'needs spec = "…"'),
        ('[policies.a]\nspec = "patienc=3"\n', "[policies.a] spec: no policy 'patienc'"),
        ('[policies.a]\nspec = "patience=3"\nmax_lots = "5%"\n', "no key 'max_lots'"),
        ("[", "policies.toml: "),
    ],
)
def test_a_file_without_policies_is_refused(logs, tmp_path, text, says):
    file = tmp_path / "policies.toml"
    file.write_text(text)
    result = run("simulate", logs, "--policies", file, code=2)
    assert says in " ".join(result.stderr.split())
    assert "No such file" in run("simulate", logs, "--policies", tmp_path / "none.toml", code=2).stderr


def test_inspect(logs):
    write_log(logs / "short", [1.0, 0.5, 0.6], end=False, header={"planned_steps": 1000})
    fits(run("inspect", logs).stdout)
    text = run("inspect", logs, "--verbose").stdout
    fits(text)
    flat = " ".join(text.split())
    assert "11 runs in" in flat
    assert "A simulation would monitor eval_loss" in flat
    assert "cut short at step 300 of 1000" in flat
    assert "eval_accuracy: max (stated by the log); 11 of 11 runs, 3-20 evals" in flat
    assert "compute can be counted in: steps, epochs, tokens, seconds, gpu_hours" in flat
    document = json.loads(run("inspect", logs, "--format", "json").stdout)
    assert len(document["runs"]) == 11
    assert document["runs"][0]["metrics"]["eval_loss"] == {
        "mode": "min",
        "reason": "stated by the log",
        "evals": 20,
        "nonfinite": 0,
    }
    assert run("inspect", logs, "--format", "csv").stdout.count("\n") == 12
    assert "| run |" in run("inspect", logs, "--format", "markdown").stdout


def test_explain_reads_like_a_story(logs):
    text = run("explain", logs, "--policy", "patience=2", "--run", "run3").stdout
    fits(text.partition("Next: ")[0])  # a path is not broken
    assert text.startswith("run3 under patience=2: eval_loss, lower is better")
    assert "first value: the reference" in text
    assert "STOP" in text
    assert "what the log shows after the stop:" in text
    assert "The checkpoint kept is that of step" in " ".join(text.split())
    document = json.loads(
        run("explain", logs, "--policy", "patience=2", "--run", "run3", "--format", "json").stdout
    )
    assert [row["eval"] for row in document["evals"]] == list(range(1, 21))
    assert [row["decision"] for row in document["evals"]].count("stop") == 1
    for style in ("csv", "markdown"):
        assert run("explain", logs, "--policy", "patience=2", "--format", style).stdout


def test_explain_a_modified_policy_shows_what_it_saw(logs):
    rows = json.loads(
        run("explain", logs, "--policy", "patience=2,every=2,smooth=mean:2", "--format", "json").stdout
    )["evals"]
    assert rows[0]["seen"] is None
    assert rows[0]["counter"] is None
    assert rows[3]["seen"] == pytest.approx((rows[1]["value"] + rows[3]["value"]) / 2)


def test_explain_a_policy_that_never_fires(logs):
    assert "never stops this run" in run("explain", logs, "--policy", "never").stdout


def test_catalogues():
    for command in ("policies", "formats"):
        fits(run(command).stdout)
        assert json.loads(run(command, "--format", "json").stdout)
        assert run(command, "--format", "markdown").stdout.startswith("| ")
        assert run(command, "--format", "csv").stdout
    assert "transformers 5.24.0" in run("policies", "--verbose").stdout


# --- mistakes: exit code 2, one message, no traceback
# ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            ["simulate", "LOGS", "--monitor", "val_loss"],
            "no metric 'val_loss' in any of the 10 runs; they have eval_accuracy,",
        ),
        (["simulate", "LOGS", "--monitor", "val_loss"], "Did you mean eval_loss?"),
        (["simulate", "LOGS", "--policy", "patients=3"], "Did you mean patience?"),
        (["simulate", "LOGS", "--policy", "patience=0"], "must be at least 1"),
        (["simulate", "LOGS", "--policy", "patience=3,delta=1"], "has no parameter 'delta'"),
        (["simulate", "LOGS", "--unit", "hours"], "no unit 'hours'"),
        (["simulate", "LOGS", "--unit", "flops"], "does not record flops"),
        (["simulate", "LOGS", "--unit", "cost"], "--price"),
        (["simulate", "LOGS", "--plot", "x.docx"], "cannot draw a .docx"),
        (["simulate", "LOGS", "--out", "/nowhere/at/all.json"], "No such file"),
        (["simulate", "LOGS", "--mode", "up"], "'up' is not one of"),
        (["explain", "LOGS", "--policy", "patience=3", "--run", "nope"], "no run 'nope'"),
        (["explain", "LOGS"], "Missing option '--policy'"),
        (["simulate"], "Missing argument"),
        (["simulate", "nowhere"], "nowhere"),
        (["simulat", "LOGS"], "Did you mean simulate?"),
        (["lgos"], "neither a file or folder nor a command"),
    ],
)
def test_mistakes(logs, args, says):
    result = run(*[str(logs) if arg == "LOGS" else arg for arg in args], code=2)
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_nothing_to_read(tmp_path):
    assert "no log" in run("simulate", tmp_path, code=2).stderr


def test_a_log_whose_mode_is_unknown(tmp_path):
    write_log(tmp_path / "a", [1.0, 2.0])
    text = (tmp_path / "a" / "eval_log.jsonl").read_text().replace("eval_loss", "eval_zap")
    (tmp_path / "a" / "eval_log.jsonl").write_text(text.replace('"modes"', '"other"'))
    result = run("simulate", tmp_path, "--monitor", "eval_zap", code=2)
    assert "is eval_zap better when lower or when higher?" in result.stderr


def test_one_eval_and_only_nan_are_no_crash(tmp_path):
    write_log(tmp_path / "one", [0.5])
    write_log(tmp_path / "nan", [float("nan")] * 4)
    text = run("simulate", tmp_path, "--policy", "patience=1").stdout
    assert "too few" in text
    assert "?" in run("simulate", tmp_path / "nan", "--policy", "patience=1").stdout
    run("explain", tmp_path, "--policy", "patience=1", "--run", "nan")
    run("inspect", tmp_path)
    run("simulate", tmp_path, "--plot", tmp_path / "p.png")


def test_one_bad_log_does_not_hide_the_others(logs):
    (logs / "run4" / "eval_log.jsonl").write_bytes(b"\x00\xff" * 50)
    (logs / "empty").mkdir()
    (logs / "empty" / "eval_log.jsonl").write_bytes(b"")
    result = run("simulate", logs, "--policy", "patience=2")
    assert "9 runs in" in result.stdout


HEAVY = ("numpy", "pandas", "matplotlib", "torch", "tensorboard", "collect")


def imported_by(*args):
    """Which of the heavy modules a command imports, and its stdout."""
    code = f"""
import sys
from replay.cli import cli
cli({[str(arg) for arg in args]!r}, standalone_mode=False)
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split(), done.stdout


def test_help_starts_without_numpy():
    modules, text = imported_by("--help")
    assert modules == []
    assert "replay simulate" in text


def test_simulate_needs_no_pandas_matplotlib_or_torch(logs):
    assert imported_by("simulate", logs)[0] == ["numpy"]


def test_module_and_script_are_the_same():
    assert (
        subprocess.run(
            [sys.executable, "-m", "replay", "--version"], capture_output=True, text=True, check=True
        )
        .stdout.strip()
        .endswith(replay.__version__)
    )


def test_help_keeps_its_examples_on_lines_of_their_own():
    for command in ("--help", *(f"{name} --help" for name in cli.commands)):
        text = run(*command.split()).stdout
        fits(text)
        assert "\\b" not in text
    assert "\n    replay simulate logs/ --policy patience=3 \\\n" in run("simulate", "--help").stdout
