"""What is said of files that are not read: the file, what is in it, and the options that would read it."""

import shlex

import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.errors import InputError
from replay.readers import read, sniff

ODD = "lap,figure of merit,comment\n" + "".join(f"{10 * lap},{1 / lap},ok\n" for lap in range(1, 9))


def refuse(path):
    with pytest.raises(InputError) as caught:
        replay.load(path)
    return str(caught.value)


def test_a_table_is_named_with_its_columns_and_the_command_that_reads_it(tmp_path):
    (tmp_path / "odd.csv").write_text(ODD)
    said = refuse(tmp_path)
    assert f"{tmp_path / 'odd.csv'}: not a log in a format that replay reads" in said
    assert "it has 8 rows of lap, figure of merit, comment" in said
    command = said[said.index("replay inspect") :].splitlines()[0]
    result = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert "figure of merit" in result.output
    assert "8" in result.output


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("a.json", '[{"lap": 1, "merit": 2.5}, {"lap": 2, "merit": 2}]', "2 rows of lap, merit"),
        ("a.jsonl", '{"lap": 1, "merit": 2.5}\n{"lap": 2, "merit": 2}\n', "2 rows of lap, merit"),
        ("notes.txt", "\n  Dear diary,\ntoday", "it begins with 'Dear diary,'"),
        ("train.log", "lap 1 merit 2.5\nlap 2 merit 2\n", "lap 1 merit 2.5"),
    ],
)
def test_other_files(tmp_path, name, text, seen):
    (tmp_path / name).write_text(text)
    said = refuse(tmp_path)
    assert f"{tmp_path / name}: " in said
    assert seen in said
    is_table = name.startswith("a.")
    assert (f"{tmp_path / name} --step COLUMN --metric COLUMN" in said) == is_table
    assert said.endswith("replay formats lists the logs that can be read.") == (not is_table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "val_loss,lr\n1.0,0.1\n0.9,0.1\n0.8,0.1\n",
            "4 rows of val_loss, lr, and no column that could be the step",
        ),
        (
            "val_loss,lr\n1.0,0.1\n1.1,0.1\n1.2,0.1\n",
            "and no column that could be the step or epoch. Add one",
        ),
        ("lap,who\n1,Ada\n2,Bob\n3,Cy\n", "3 rows of lap, who, and no column that could be a metric"),
    ],
)
def test_a_table_without_a_step_or_a_metric_says_so(tmp_path, text, said):
    (tmp_path / "odd.csv").write_text(text + "0.85,0.1\n" * said.startswith("4"))
    text = refuse(tmp_path)
    assert said in text
    assert "--step" not in text


def test_the_advice_for_a_table_without_a_step_works(tmp_path):
    rows = [("val_loss", "lr"), (1.0, 0.1), (0.9, 0.1), (0.8, 0.1)]
    numbered = [(number or "step", *row) for number, row in enumerate(rows)]
    (tmp_path / "odd.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in numbered))
    (run,) = replay.load(tmp_path)
    assert run.steps.tolist() == [1, 2, 3]


def test_json_that_is_cut_off_before_any_entry(tmp_path):
    (tmp_path / "state.json").write_text('{"best_metric": null, "epoch": 1.0, "log_hist')
    assert "state.json: not a log in a format that replay reads; it is JSON that is cut off at" in refuse(
        tmp_path
    )


@pytest.mark.parametrize("named", [True, False])
def test_a_parquet_file(tmp_path, named):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "odd.parquet"
    pandas.DataFrame({"lap": [10, 20, 30], "merit": [3.0, 1.0, 2.0]}).to_parquet(path)
    said = refuse(path if named else tmp_path)
    assert f"{path}: not a log in a format that replay reads; it has 3 rows of lap, merit" in said
    assert "--step lap --metric merit" in said


def test_a_few_files_are_named_and_tables_come_first(tmp_path):
    for number in range(12):
        (tmp_path / f"a{number}.txt").write_text(f"text {number}")
    (tmp_path / "z.csv").write_text(ODD)
    said = refuse(tmp_path)
    assert said.count(str(tmp_path)) < 9
    assert said.index("z.csv") < said.index("a0.txt")
    assert "13 files looked at" in said


def test_an_empty_folder_suggests_no_options(tmp_path):
    assert "--step" not in refuse(tmp_path)


def test_a_table_beside_good_logs_is_suggested_by_inspect_only(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,val_loss\n1,0.5\n2,0.4\n")
    (tmp_path / "odd.csv").write_text(ODD)
    assert not read(tmp_path).findings
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path)])
    text = " ".join(result.output.replace("\n  ", " ").split())
    assert "If it is a log, say which column is what: replay inspect" in text
    assert "--step lap --metric 'figure of merit'" in text


def test_escape_sequences_in_a_file_do_not_reach_the_terminal(tmp_path):
    (tmp_path / "a.csv").write_text("lap,\x1b[2Jmerit\n1,2\n2,3\n")
    (tmp_path / "b.txt").write_text("\x1b[2Jtext")
    result = CliRunner().invoke(cli, ["simulate", str(tmp_path)])
    assert result.exit_code == 2
    assert "\x1b" not in result.output


def test_a_log_that_is_cut_off_says_so_in_every_command(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_text(
        '{"global_step": 9, "log_history": [{"step": 3, "epoch": 1.0, "loss": 2.0}, {"step": 3, "eval_lo'
    )
    for words in (["simulate"], ["explain", "--policy", "patience=1"], ["sweep", "--grid", "patience=1..2"]):
        result = CliRunner().invoke(cli, [words[0], str(tmp_path), *words[1:]])
        assert result.exit_code == 2
        assert "the file is cut off at" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "epoch,ra,mag_err\n2451545.5,1,0.1\n2451546,2,0.2\n",
            "Its column epoch holds times (the first is 2451545.5)",
        ),
        (
            "step,table,rows,errors,cost\n1,a,5,0,2.5\n2,b,6,1,3.5\n",
            "It has a column step, but none that only",
        ),
        (
            "iteration,residual,error\n1,0.5,0.7\n2,0.25,0.4\n",
            "It has a column iteration, but none that only",
        ),
        ("epoch,valid,temp,score\n1,1,20.5,3\n2,1,21.5,4\n", "It has a column epoch, but none that only"),
        (
            "date,steps,score\n2026-01-01,5012,70\n2026-01-02,9120,80\n",
            "It has a column steps, but none that",
        ),
    ],
)
def test_a_table_of_something_else_than_a_training(tmp_path, text, reason):
    (tmp_path / "odd.csv").write_text(text)
    assert reason in refuse(tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        "epoch,loss",
        "epoch,error,val_error",
        "step,reward",
        "epoch,train,valid",
        "epoch,lr,score",
        "step,rmse",
    ],
)
def test_a_table_of_a_training(tmp_path, head):
    columns = head.count(",")
    path = tmp_path / "log.csv"
    path.write_text(head + "\n" + "".join(f"{n}" + f",0.{n}" * columns + "\n" for n in (1, 2, 3)))
    assert sniff(path) is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"epoch": 10, "val_loss_weight": 0.5, "eval_batch_size": 8}\n' * 3),
        ("a.json", '[{"epoch": 10, "val_loss_weight": 0.5}, {"epoch": 20, "val_loss_weight": 0.6}]'),
        ("b.json", '{"val_loss_weight": [0.5, 0.1], "eval_batch_size": [8, 16]}'),
        ("a.csv", "epoch,val_loss_weight,eval_batch_size\n10,0.5,8\n20,0.6,8\n"),
    ],
)
def test_settings_are_no_metrics(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert f"{name}: not a log" in refuse(tmp_path)


def test_a_table_with_a_row_per_metric_says_so(tmp_path):
    (tmp_path / "history.csv").write_text(",0,1,2\nloss,0.9,0.8,0.7\nval_loss,0.8,0.7,0.9\n")
    said = refuse(tmp_path)
    assert "a row per metric, and a column per epoch. Turn it over" in said
    assert "Add one" not in said


def test_a_text_with_metrics_of_no_place_says_so(tmp_path):
    (tmp_path / "train.log").write_text("".join(f"loss:0.{n}, accuracy:0.{n}\n" for n in range(10, 20)))
    said = refuse(tmp_path)
    assert "Its metrics have no epoch or step, or do not say that they are of held-out data." in said
