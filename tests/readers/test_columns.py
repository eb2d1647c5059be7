"""Tables whose columns are named by the user, in every regular format, from Python and the command line."""

import csv
import io
import json
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.cli import cli
from replay.errors import InputError
from replay.readers import ColumnMap
from replay.readers.columns import read_columns_file
from tests.readers.columns import curve

ROWS = [
    {
        "upd": 5 * number,
        "part": part,
        "xent": round(3 / number + (0.5 if part == "B" else 0) + (0.25 if who == "y" else 0), 4),
        "who": who,
    }
    for number in range(1, 7)
    for part in ("A", "B")
    for who in ("x", "y")
]


def as_csv(rows, sign=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=sign, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


WRITERS = {
    "table.csv": as_csv,
    "table.tsv": lambda rows: as_csv(rows, "\t"),
    "table.txt": lambda rows: as_csv(rows, ";"),
    "table.jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "table.json": lambda rows: json.dumps(rows, indent=1),
    "nested.json": lambda rows: json.dumps({"name": "a", "history": rows}),
    "by_column.json": lambda rows: json.dumps({name: [row[name] for row in rows] for name in rows[0]}),
    "blanks": lambda rows: "".join(
        " ".join(map(str, row)) + "\n" for row in [rows[0], *(row.values() for row in rows)]
    ),
}


def put(tmp_path, name, rows=ROWS):
    path = tmp_path / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(WRITERS[name](rows))
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_step_metric_split_and_run(tmp_path, name):
    put(tmp_path, name)
    runs = replay.load(tmp_path, step="upd", metric="xent=loss", split="part", run="who")
    assert [run.id.rpartition("/")[2] for run in runs] == ["x", "y"]
    for run, more in zip(runs, (0.5, 0.75), strict=True):
        assert run.metrics == ("A/loss", "B/loss")
        assert curve(run, "B/loss") == {5 * number: round(3 / number + more, 4) for number in range(1, 7)}
        assert run.info.format == "columns"


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "table.parquet"
    pandas.DataFrame(ROWS).to_parquet(path)
    runs = replay.load(tmp_path, step="upd", metric="xent", split="part", run="who")
    assert curve(runs[0], "A/xent") == {5 * number: round(3 / number, 4) for number in range(1, 7)}


def test_parquet_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "table.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(InputError, match="pip install pyarrow"):
        replay.load(tmp_path, step="a", metric="b")


def test_known_sets_become_train_series_and_evals(tmp_path):
    rows = [{**row, "part": {"A": "train", "B": "dev"}[row["part"]]} for row in ROWS if row["who"] == "x"]
    put(tmp_path, "table.csv", rows)
    (run,) = replay.load(tmp_path, step="upd", metric="xent", split="part")
    assert run.metrics == ("dev/xent",)
    assert run.train["train/xent"].value.tolist() == [round(3 / number, 4) for number in range(1, 7)]


def test_a_recognised_log_can_be_read_otherwise(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,samples,val_loss,own\n1,100,0.5,3\n2,200,0.4,2\n3,300,0.3,1\n")
    (plain,) = replay.load(tmp_path)
    assert plain.steps.tolist() == [1, 2, 3]
    (run,) = replay.load(tmp_path, step="samples", metric="own")
    assert curve(run, "own") == {100: 3, 200: 2, 300: 1}
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]


def test_files_without_the_columns_are_read_as_usual(tmp_path):
    put(tmp_path, "table.csv", [row for row in ROWS if row["who"] == "x" and row["part"] == "A"])
    (tmp_path / "usual.csv").write_text("epoch,val_loss\n1,0.5\n2,0.4\n")
    runs = replay.load(tmp_path, step="upd", metric="xent")
    assert sorted(run.info.format for run in runs) == ["columns", "csv"]


def test_a_column_that_is_not_there_is_named_with_the_closest(tmp_path):
    path = put(tmp_path, "table.csv")
    with pytest.raises(
        InputError, match=r"no column 'xnet'; it has upd, part, xent, who. Did you mean xent\?"
    ) as caught:
        replay.load(tmp_path, step="upd", metric="xnet")
    assert str(path) in str(caught.value)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no table with the columns 'a', 'b'"):
        replay.load(tmp_path / "other", step="a", metric="b")


def test_rows_without_a_step_are_counted(tmp_path):
    (tmp_path / "log.csv").write_text("upd,xent\n1,0.5\nnan,0.4\n,0.3\n2,0.2\n")
    with pytest.warns(
        replay.ReplayWarning, match="2 of 4 rows have no step in the column upd; they are left out"
    ):
        (run,) = replay.load(tmp_path, step="upd", metric="xent")
    assert curve(run, "xent") == {1: 0.5, 2: 0.2}


def test_a_file_that_is_cut_off(tmp_path):
    path = put(tmp_path, "table.json")
    path.write_text(path.read_text()[:-60])
    with pytest.warns(replay.ReplayWarning, match="cut off"):
        runs = replay.load(tmp_path, step="upd", metric="xent", split="part", run="who")
    assert len(runs) == 2


def test_a_file_of_columns_and_options_on_top(tmp_path):
    put(tmp_path, "table.csv")
    columns = tmp_path / "columns.toml"
    columns.write_text('step = "upd"\nsplit = "part"\nrun = "who"\n[metrics]\nxent = "ce"\n')
    assert read_columns_file(columns) == ColumnMap("upd", {"xent": "ce"}, "part", "who")
    runs = replay.load(tmp_path / "logs", columns=columns)
    assert runs[0].metrics == ("A/ce", "B/ce")
    assert replay.load(tmp_path / "logs", columns=columns, metric="xent")[0].metrics == ("A/xent", "B/xent")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepp = 'a'", "unknown key 'stepp'; allowed are step, metrics, split and run. Did you mean step?"),
        ("step = 3", "step is the name of a column, not 3"),
        ("metrics = [1]", "metrics is a list of columns or a table of columns and names, not [1]"),
        ("step =", "not a TOML file"),
    ],
)
def test_a_file_of_columns_with_a_mistake(tmp_path, text, said):
    path = tmp_path / "columns.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_columns_file(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["=b", "a="])
def test_half_a_metric(text):
    with pytest.raises(InputError, match="COLUMN=NAME with both parts"):
        ColumnMap.of(step="a", metric=[text])


OPTIONS = ["--step", "upd", "--metric", "xent=loss", "--split", "part"]
COMMANDS = {
    "simulate": ["--policy", "patience=2", "--monitor", "B/loss"],
    "explain": ["--policy", "patience=2", "--monitor", "B/loss"],
    "inspect": [],
    "sweep": ["--grid", "patience=1..3", "--monitor", "B/loss"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_logs_takes_the_options(tmp_path, command):
    put(tmp_path, "table.csv")
    run = "--run-column" if command == "explain" else "--run"
    words = [command, str(tmp_path), *OPTIONS, run, "who", *COMMANDS[command]]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert "loss" in result.output
    if command == "simulate":
        shown = " ".join(result.output.replace("\\\n", " ").split())
        assert "--step upd --metric xent=loss --split part --run-column who" in shown


def test_check_and_diff_take_them_too(tmp_path):
    put(tmp_path, "table.csv")
    file = tmp_path / "policies.toml"
    file.write_text('monitor = "B/loss"\n[policies.short]\nspec = "patience=2"\n')
    result = CliRunner().invoke(cli, ["check", str(file), str(tmp_path / "logs"), *OPTIONS, "--run", "who"])
    assert result.exit_code in (0, 3), result.output
    words = [
        "diff",
        "patience=1",
        "patience=2",
        str(tmp_path),
        *OPTIONS,
        "--run",
        "who",
        "--monitor",
        "B/loss",
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=0.001, max_value=1e9)


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=12), st.sampled_from(sorted(WRITERS)))
def test_every_format_gives_the_same_values(tmp_path_factory, losses, name):
    folder = tmp_path_factory.mktemp("logs")
    rows = [{"position": 3 * number, "measure": loss} for number, loss in enumerate(losses)]
    (folder / name).write_text(WRITERS[name](rows))
    (run,) = replay.load(folder, step="position", metric="measure")
    assert curve(run, "measure") == {3 * number: loss for number, loss in enumerate(losses)}
