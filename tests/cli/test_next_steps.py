"""The command that each command suggests next: it runs, and is about what was shown."""

import json
import re
import shlex

import pytest

from tests.cli.test_cli import run
from tests.conftest import curve, write_log


def suggested(text):
    """The words behind ``Next: replay``; None where nothing is suggested."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("Next: ")), None)
    if start is None:
        return None
    words = shlex.split(" ".join(line.rstrip("\\").strip() for line in lines[start:]).removeprefix("Next: "))
    assert words[0] == "replay"
    return words[1:]


def table(path, **columns):
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")


STEPS = [10, 20, 30, 40, 50]
FALLS = [0.9, 0.7, 0.6, 0.65, 0.68]


@pytest.mark.parametrize(
    ("columns", "given", "words"),
    [
        ({"val_foo": FALLS}, [], ["--mode", "min"]),
        ({"val_foo": FALLS}, ["--mode", "max"], ["--mode", "max"]),
        ({"val_foo": FALLS}, ["--monitor", "val_foo", "--mode", "min"], None),
        ({"val_foo": FALLS, "val_bar": FALLS}, [], ["--monitor", "val_foo", "--mode", "min"]),
        ({"val_foo": FALLS, "val_accuracy": FALLS}, [], ["--monitor", "val_accuracy"]),
        ({"val_loss": FALLS}, [], []),
        ({"val_neg_mse": FALLS}, [], ["--mode", "max"]),
    ],
)
def test_what_inspect_suggests_runs(tmp_path, monkeypatch, columns, given, words):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "made.csv", step=STEPS, **columns)
    text = run("inspect", "made.csv", *given).stdout
    command = suggested(text)
    assert command == ["made.csv", *(given if words is None else words)]
    run(*command)
    chosen = f"The command below assumes {' '.join(command[1:])}: choose what is right."
    assert (chosen in " ".join(text.split())) == bool(words and not given)


def test_inspect_shows_the_direction_that_was_given(tmp_path):
    table(tmp_path / "made.csv", step=STEPS, val_foo=FALLS, val_bar=FALLS)
    args = ["inspect", tmp_path / "made.csv", "--monitor", "val_foo", "--mode", "max"]
    assert "Metrics: val_foo (max), val_bar (unknown)." in run(*args).stdout
    (row,) = json.loads(run(*args, "--format", "json").stdout)["runs"]
    assert (row["metrics"]["val_foo"]["mode"], row["metrics"]["val_foo"]["reason"]) == ("max", "as given")
    assert row["metrics"]["val_bar"]["reason"] == "unknown: give --mode"


def test_inspect_suggests_nothing_for_logs_without_evals(tmp_path):
    rows = [{"step": step, "loss": 1 / step} for step in STEPS]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert suggested(run("inspect", tmp_path).stdout) is None


def test_inspect_counts_the_runs_that_were_still_improving(tmp_path):
    for number in range(12):
        planned = 1600 if number < 2 else 500
        values = [value + number / 100 for value in (FALLS if number % 3 else [*FALLS[:3], 0.5, 0.4])]
        write_log(tmp_path / f"run{number}", values, header={"planned_steps": planned})
    text = run("inspect", tmp_path).stdout
    assert re.search(r"^group +runs +evals/run +steps/run +end$", text, re.MULTILINE)
    assert "2 cut short or stopped, 10 as planned (3 still improving)" in " ".join(text.split())


@pytest.mark.parametrize(
    "given", [["--policy", "patience=1", "--policy", "patience=2"], ["--policies", "p.toml"]]
)
def test_simulate_per_run_suggests_the_first_row(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text('[policies.a]\nspec = "patience=2"\n[policies.b]\nspec = "patience=1"\n')
    for number in range(4):
        write_log(tmp_path / "logs" / f"run{number}", curve(number))
    # the only one that loses much: it comes after the others
    write_log(tmp_path / "logs" / "worst", [1.0, 0.9, 0.95, 0.96, 0.97, 0.5, 0.2, 0.1])
    text = run("simulate", "logs", *given, "--per-run").stdout
    lines = text.splitlines()
    first = lines[next(at for at, line in enumerate(lines) if line.startswith("run ")) + 1].split()
    command = suggested(text)
    assert first[0] == "worst"
    assert command == ["explain", "logs", "--policy", first[1], "--run", "worst"]
    assert first[1] in ("patience=1", "patience=2")
    run(*command)


@pytest.mark.parametrize("command", ["explain", "verify", "export"])
def test_a_missing_policy_has_an_example(tmp_path, command):
    path = [] if command == "export" else [tmp_path]
    text = run(command, *path, code=2).stderr
    assert "Missing option '--policy'. Write for example: --policy patience=3" in text


def test_one_run_is_in_the_singular(tmp_path):
    write_log(tmp_path / "alone", FALLS, header={"planned_steps": 1600})
    text = " ".join(run("plan", tmp_path, code=3).stdout.split())
    assert "The run is censored and counts as a loss of 100%: the log ends" in text
    write_log(tmp_path / "alone", FALLS)
    text = " ".join(run("plan", tmp_path, code=3).stdout.split())
    assert "there is 1." in text
    assert "This one run supports a tolerance of" in text


def test_choose_and_plan_do_not_send_the_reader_in_a_circle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "made.csv", step=STEPS, val_foo=FALLS)
    command, seen = ["choose", "made.csv", "--mode", "min"], []
    while command is not None:
        seen.append(command[0])
        assert len(seen) < 7, seen
        code = 3 if command[0] in ("choose", "plan") else 0
        command = suggested(run(*command, code=code).stdout)
    assert seen == ["choose", "plan", "simulate", "explain", "explain"]
    assert (tmp_path / "stop.png").stat().st_size


def test_choose_shows_what_comes_closest_where_there_are_enough_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(10):  # stopping early loses nearly all of the improvement
        values = [value + number / 100 for value in (1.0, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.1)]
        write_log(tmp_path / "logs" / f"run{number}", values)
    command = suggested(run("choose", "logs", code=3).stdout)
    assert command[:2] == ["simulate", "logs"]
    run(*command)
    command = suggested(run("plan", "logs", code=3).stdout)
    assert command[:2] == ["choose", "logs"]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["policies", "patience"], "replay simulate LOGS --policy patience=3"),
        (["policies", "asha"], "replay simulate LOGS --policy asha"),
        (["policies", "smooth"], "replay policies patience"),
        (["formats", "csv"], "replay inspect LOGS"),
    ],
)
def test_what_is_asked_for_by_name_says_where_to_use_it(words, step):
    assert run(*words).stdout.rstrip().endswith(f"Next: {step}")


def test_a_missing_policies_file_says_how_to_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = " ".join(run("check", "policies.toml", code=2).stderr.split())
    assert text.endswith("policies.toml: No such file or directory. To begin with one: replay init LOGS")


def test_a_metric_of_no_table_points_to_the_monitor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "made.csv", step=STEPS, val_loss=FALLS)
    (tmp_path / "README.md").write_text("Some words, and more words,\nnot a table, of 3 metrics\n")
    text = " ".join(run("simulate", ".", "--policy", "patience=3", "--metric", "foo", code=2).stderr.split())
    assert text == (
        "Error: made.csv: no column 'foo'; it has step, val_loss. To choose one of the metrics that are read"
        " anyway, give --monitor"
    )


@pytest.mark.parametrize("command", ["simulate", "import"])
def test_a_store_has_no_columns(tmp_path, command):
    table(tmp_path / "made.csv", step=STEPS, val_loss=FALLS)
    run("import", tmp_path / "made.csv", "--out", tmp_path / "store")
    words = {"simulate": ["--policy", "patience=3"], "import": ["--out", tmp_path / "other"]}[command]
    text = run(command, tmp_path / "store", "--metric", "val_loss", *words, code=2).stderr
    assert "a store has runs, not tables" in text
