"""Tables of metrics as their many writers leave them."""

import csv
import math

import pytest

from replay.data.finding import Kind
from replay.readers import ColumnMap, read, sniff
from replay.readers.formats.csv_log import FORMAT
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def load(tmp_path, text, name="metrics.csv", encoding="utf-8"):
    path = put(tmp_path / "run" / name, text, encoding)
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    return run, sentences(findings)


def test_lightning_writes_a_row_for_each_call_of_log(tmp_path):
    text = "epoch,lr-Adam,step,train_loss,val_loss\r\n,0.001,0,,\r\n0,,49,0.9,\r\n0,,49,,0.8\r\n,0.0005,50,,\r\n1,,99,0.7,\r\n1,,99,,0.6\r\n"  # noqa: E501
    run, problems = load(tmp_path, text)
    assert not problems
    assert curve(run, "val_loss") == {49: 0.8, 99: 0.6}
    assert run.columns["epoch"].values.tolist() == [0, 1]
    assert run.columns["train_loss"].values.tolist() == [0.9, 0.7]
    assert run.columns["learning_rate"].values.tolist() == [0.001, 0.0005]
    assert run.info.step_unit == "step"


def test_keras_counts_epochs_from_zero(tmp_path):
    run, _ = load(
        tmp_path,
        "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.0,0.4,1.1\n1,0.6,0.8,0.5,0.9\n",
        "training.log",
    )
    assert curve(run, "val_loss") == {1: 1.1, 2: 0.9}
    assert run.info.step_unit == "epoch"
    assert run.trained_steps == 2
    assert set(run.train) == {"accuracy", "loss"}


def test_epochs_counted_from_one_stay(tmp_path):
    run, _ = load(tmp_path, "epoch,loss,val_loss\n1,1.0,1.1\n2,0.8,0.9\n")
    assert run.steps.tolist() == [1, 2]


def test_an_eval_before_the_training_is_epoch_zero(tmp_path):
    run, _ = load(tmp_path, "epoch,loss,val_loss\n0,,2.3\n1,1.0,1.1\n2,0.8,0.9\n")
    assert run.steps.tolist() == [0, 1, 2]


def test_na_logs_nothing_and_nan_is_a_value(tmp_path):
    rows = ["1,NA,nan", "2,None,inf", "3,,-inf", "4,null,0.5", "5,N/A,0.4"]
    run, _ = load(tmp_path, "epoch,val_acc,val_loss\n" + "\n".join(rows) + "\n")
    assert "val_acc" not in run.columns
    values, present = run.columns["val_loss"]
    assert present.all()
    assert math.isnan(values[0])
    assert values[1:].tolist() == [math.inf, -math.inf, 0.5, 0.4]


def test_columns_without_a_value_are_named_in_the_hint(tmp_path):
    run, _ = load(tmp_path, "epoch,loss,val_loss\n0,1.0,NA\n1,0.9,NA\n")
    assert len(run) == 0
    assert sentence(run.info.eval_hint).startswith("val_loss is in its header, but without a value; ")


def test_every_digit_is_kept(tmp_path):
    run, _ = load(tmp_path, "step,val_loss\n1,0.12345678901234567\n2,1e-320\n3,17976931348623157e292\n")
    assert run.columns["val_loss"].values.tolist() == [0.12345678901234567, 1e-320, 17976931348623157e292]


def test_ultralytics_pads_its_header(tmp_path):
    names = ["epoch", "time", "train/box_loss", "metrics/mAP50(B)", "val/box_loss", "lr/pg0"]
    rows = [
        [0, 10.5, 1.5, 0.1, 2.0, 0.01],
        [1, 20.1, 1.2, 0.3, 1.8, 0.01],
        [2, 31.0, 1.1, 0.4, 1.7, 0.01],
        [3, 42.0, 1.0, 0.5, 1.6, 0.01],
        [4, 52.0, 1.0, 0.5, 1.6, 0.01],
    ]
    text = (
        ",".join(f"{name:>23}" for name in names)
        + "\n"
        + "".join(",".join(f"{cell:>23}" for cell in row) + "\n" for row in rows)
    )
    run, _ = load(tmp_path, text, "results.csv")
    assert set(run.metrics) == {"metrics/mAP50(B)", "val/box_loss"}
    assert run.steps.tolist() == [1, 2, 3, 4, 5]
    assert run.columns["wall_seconds"].values.tolist() == [10.5, 20.1, 31.0, 42.0, 52.0]
    assert set(run.train) == {"train/box_loss", "lr/pg0"}


def test_a_pandas_index_counts_epochs(tmp_path):
    run, _ = load(tmp_path, ",val_loss,loss\n0,1.1,1.0\n1,0.9,0.8\n2,0.7,0.6\n", "history.csv")
    assert curve(run, "val_loss") == {1: 1.1, 2: 0.9, 3: 0.7}
    assert run.info.step_unit == "epoch"


def test_an_index_beside_a_step_is_no_series(tmp_path):
    run, _ = load(tmp_path, ",step,val_loss,loss\n0,10,1.1,1.0\n1,20,0.9,0.8\n")
    assert curve(run, "val_loss") == {10: 1.1, 20: 0.9}
    assert set(run.train) == {"loss"}


@pytest.mark.parametrize("sign", [";", "\t"])
def test_other_delimiters(tmp_path, sign):
    run, _ = load(
        tmp_path, "iteration,loss,test_loss\n10,1.0,1.1\n20,0.8,0.9\n".replace(",", sign), "log.tsv"
    )
    assert curve(run, "test_loss") == {10: 1.1, 20: 0.9}


def test_decimal_commas(tmp_path):
    run, _ = load(tmp_path, "Epoch;Val_Loss;Loss\n1;0,53;1,5e-1\n2;0,41;0,1\n")
    assert curve(run, "Val_Loss") == {1: 0.53, 2: 0.41}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, encoding):
    run, _ = load(tmp_path, "epoch,loss,val_loss\r\n1,1.0,1.1\r\n2,0.8,0.9\r\n", encoding=encoding)
    assert curve(run, "val_loss") == {1: 1.1, 2: 0.9}


def test_lists_and_text_in_cells_are_no_values(tmp_path):
    run, _ = load(
        tmp_path,
        'step,val_loss,hist,time,note\n1,0.5,"[1, 2, 3]",12:30:01,a\n2,0.4,"[4, 5]",12:31:01,"b, c"\n',
    )
    assert curve(run, "val_loss") == {1: 0.5, 2: 0.4}
    assert not run.train


def test_a_header_that_comes_again_is_no_row(tmp_path):
    run, problems = load(tmp_path, "epoch,loss,val_loss\n1,1.0,1.1\nepoch,loss,val_loss\n2,0.8,0.9\n")
    assert not problems
    assert curve(run, "val_loss") == {1: 1.1, 2: 0.9}


def test_a_file_that_goes_on_under_another_header(tmp_path):
    run, _ = load(tmp_path, "step,loss,val_loss\n1,1.0,1.1\nstep,val_acc,loss,val_loss\n2,0.7,0.8,0.9\n")
    assert curve(run, "val_loss") == {1: 1.1, 2: 0.9}
    assert curve(run, "val_acc") == {2: 0.7}


def test_ragged_rows(tmp_path):
    run, (problem,) = load(
        tmp_path, "step,loss,val_loss\n1,1.0,1.1\n2,0.9\n3,0.8,0.9,7,8\n4,0.7,0.8,\n\n5,0.6,0.7\n"
    )
    assert curve(run, "val_loss") == {1: 1.1, 4: 0.8, 5: 0.7}
    assert "1 row has more values than there are column names" in problem


def test_where_every_row_is_too_long_nothing_is_guessed(tmp_path):
    path = put(tmp_path / "results.csv", "epoch,loss,val_loss\n1,1,2,3,4\n2,1,2,3,4\n")
    assert "2 rows have more values" in refusal(FORMAT, path)


@pytest.mark.parametrize("last", ["3,0.6", "3,0.6,", "3,0.6,0.", "3"])
def test_a_last_row_that_is_cut_off_is_left_out(tmp_path, last):
    run, problems = load(tmp_path, f"step,loss,val_loss\n1,1.0,1.125\n2,0.8,0.925\n{last}")
    assert curve(run, "val_loss") == {1: 1.125, 2: 0.925}
    assert problems == [] or problems[0].endswith("its last row is cut off; it is left out")
    assert problems or last.endswith(",")


def test_a_last_row_without_end_of_line_counts_where_it_is_whole(tmp_path):
    run, problems = load(tmp_path, "step,loss,val_loss\n1,1.0,1.125\n2,0.8,0.925")
    assert not problems
    assert len(run) == 2


def test_zero_bytes_inside_are_no_end(tmp_path):
    run, _ = (
        FORMAT.load([put(tmp_path / "a.csv", b"step,val_loss\n1,0.5\n\0\0\0\0\n2,0.4\n")], "run")[0][0],
        None,
    )
    assert curve(run, "val_loss") == {1: 0.5, 2: 0.4}


def test_a_quote_that_never_ends(tmp_path):
    path = put(tmp_path / "a.csv", 'step,val_loss\n1,0.5\n2,"0.4\n3,0.3\n' + "4,0.2\n" * 3)
    run = FORMAT.load([path], "run").runs[0]
    assert curve(run, "val_loss")[1] == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "name,age\nAda,36\n",
        "x,y,label\n1,2,0\n",
        ",feature,score\n0,1,0.5\n1,2,0.25\n",
        "id,text,loss_of_life\n1,a,3\n",
        "step,name\n1,a\n2,b\n",
        "epoch,lr\n1,0.1\n",
        "step;x\n",
        "1,2,3\n4,5,6\n",
        "step loss\n1 2\n",
        "# only a comment\n",
        "\n\n",
        "",
        ",age,loss\n5,1,2\n9,3,4\n",
        ",text,loss\n0,word,2\n1,words,4\n",
        '{"step": 1, "val_loss": 2}\n',
        "time,loss\n1,2\n",
        "model,epoch,val_loss\na,12,0.5\nb,7,0.4\nc,30,0.3\nd,5,0.6\n",
    ],
)
def test_other_tables_are_not_taken_for_logs(tmp_path, text):
    assert sniff(put(tmp_path / "data.csv", text)) is not FORMAT


def test_restarts_that_were_appended(tmp_path):
    rows = "".join(f"{epoch},1.0,{fold + 1 / epoch}\n" for fold in range(3) for epoch in range(1, 5))
    path = put(tmp_path / "log.csv", "epoch,loss,val_loss\n" + rows)
    runs, _ = FORMAT.load([path], "log")
    assert [run.id for run in runs] == ["log#1", "log#2", "log#3"]


def test_two_files_of_one_table_are_one_run(tmp_path):
    put(
        tmp_path / "catboost_info" / "learn_error.tsv",
        "iter\tLogloss\tAUC\n0\t0.6\t0.5\n1\t0.5\t0.6\n2\t0.4\t0.7\n",
    )
    put(
        tmp_path / "catboost_info" / "test_error.tsv",
        "iter\tLogloss\tAUC\n0\t0.7\t0.5\n1\t0.6\t0.55\n2\t0.65\t0.54\n",
    )
    put(tmp_path / "catboost_info" / "time_left.tsv", "iter\tPassed\tRemaining\n0\t1\t2\n1\t2\t1\n")
    found = read(tmp_path)
    (run,) = found.runs
    assert run.id == "catboost_info"
    assert set(run.metrics) == {"test/Logloss", "test/AUC"}
    assert set(run.train) == {"learn/Logloss", "learn/AUC"}
    assert curve(run, "test/Logloss") == {0: 0.7, 1: 0.6, 2: 0.65}


def test_a_run_whose_name_begins_with_test_is_no_split(tmp_path):
    put(tmp_path / "test_run_3.csv", "epoch,loss\n1,0.5\n2,0.4\n")
    (run,) = read(tmp_path).runs
    assert set(run.train) == {"loss"}


def test_exports_of_tensorboards_page(tmp_path):
    for tag, values in (("eval_loss", [0.5, 0.4, 0.3]), ("train_loss", [0.6, 0.5, 0.4])):
        rows = "".join(f"{1.7e9 + step},{step * 10},{value}\n" for step, value in enumerate(values, 1))
        put(tmp_path / f"run-exp1-tag-{tag}.csv", "Wall time,Step,Value\n" + rows)
    (run,) = read(tmp_path).runs
    assert curve(run, "eval_loss") == {10: 0.5, 20: 0.4, 30: 0.3}
    assert set(run.train) == {"train_loss"}
    assert run.columns["wall_time"].values[0] == 1.7e9 + 1
    for split in ("train", "validation"):
        put(
            tmp_path / "keras" / f"run-{split}-tag-epoch_loss.csv",
            "Wall time,Step,Value\n1.0,0,0.5\n2.0,1,0.4\n3.0,2,0.3\n",
        )
    (run,) = read(tmp_path / "keras").runs
    assert run.metrics == ("validation/epoch_loss",)


def test_exports_that_may_be_samples_say_so(tmp_path):
    page = "Wall time,Step,Value\n" + "".join(
        f"{1.7e9 + step},{step},{1 / (step + 1)}\n" for step in range(1000)
    )
    run, _ = load(tmp_path, page, "run-a-tag-val_loss.csv")
    assert "1,000 rows" in sentence(run.info.findings[0])
    wandb = "_step,eval/loss,_runtime\n" + "".join(
        f"{step},{1 / (step + 1)},{step * 2}\n" for step in range(500)
    )
    run, _ = load(tmp_path, wandb, "history.csv")
    assert "500 rows" in sentence(run.info.findings[0])
    keras = "epoch,loss,val_loss\n" + "".join(f"{step},1,{1 / (step + 1)}\n" for step in range(500))
    assert not load(tmp_path, keras, "log.csv")[0].info.findings


def test_a_wandb_chart_holds_a_run_a_column(tmp_path):
    text = (
        '"Step","a - eval/loss","a - eval/loss__MIN","a - eval/loss__MAX","b - eval/loss","b -'
        ' eval/loss__MIN","b - eval/loss__MAX"\n'
    )
    text += '"10","0.5","0.5","0.5","0.7","0.7","0.7"\n"20","0.4","0.4","0.4","","",""\n'
    put(tmp_path / "logs" / "wandb_export.csv", text)
    runs = {run.id: run for run in read(tmp_path / "logs").runs}
    assert list(runs) == ["logs/a", "logs/b"]
    assert curve(runs["logs/a"], "eval/loss") == {10: 0.5, 20: 0.4}
    assert curve(runs["logs/b"], "eval/loss") == {10: 0.7}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,step,train_loss\n0,1,0.5\n0,2,0.4\n", "validation_step"),
        ("epoch,loss\n0,0.5\n1,0.4\n", "validation_data"),
        ("epoch,train/box_loss\n0,0.5\n1,0.4\n", "val=True"),
        ("step,loss\n100,0.5\n2000,0.4\n", "every 100 steps"),
    ],
)
def test_without_evals_it_says_what_would_have_logged_them(tmp_path, text, said):
    run, _ = load(tmp_path, text)
    assert len(run) == 0
    assert said in sentence(run.info.eval_hint)


def test_a_header_alone(tmp_path):
    path = put(tmp_path / "metrics.csv", "epoch,step,val_loss\n")
    assert refusal(FORMAT, path) == f"{path}: a header, but no row under it"


def test_columns_of_the_splits_alone(tmp_path):
    run, _ = load(tmp_path, "epoch,train,val\n1,1.0,1.1\n2,0.8,0.9\n", "losses.csv")
    assert curve(run, "val") == {1: 1.1, 2: 0.9}


def keras_dump(rows, last, columns=500):
    """A Keras history with its rows numbered in a column without a name, as pandas writes it.

    ``last`` is the name of its last column.
    """
    names = ["loss", "val_loss", *(f"val_head{number:03}_loss" for number in range(columns)), last]
    lines = [",".join(["", *names])]
    lines += [",".join([str(row), *["0.12345"] * len(names)]) for row in range(rows)]
    return lines


def test_a_row_that_the_head_cuts_off_says_nothing(tmp_path):
    """The head of 64 KiB ends within the number of row 12, of which it shows the 1 only."""
    short = keras_dump(20, "x")
    missing = 64 * 1024 - 1 - len("\n".join(short[:13]) + "\n")
    lines = keras_dump(20, "x" * (1 + missing))
    path = put(tmp_path / "history.csv", "\n".join(lines) + "\n")
    head = path.read_bytes()[: 64 * 1024]
    assert head.endswith(b"\n1")
    assert sniff(path) is FORMAT
    (run,) = read(tmp_path).runs
    assert len(run) == 20
    assert run.steps.tolist() == list(range(1, 21))
    assert not FORMAT.sniff(path, head[:-1] + b"7\n" + b"," * 64)  # a whole row with a wrong number counts


def test_the_last_row_of_a_small_table_counts(tmp_path):
    numbered = ",loss,val_loss\n0,1.0,1.1\n1,0.8,0.9\n{},0.7,0.8"
    assert sniff(put(tmp_path / "a.csv", numbered.format(2))) is FORMAT
    assert sniff(put(tmp_path / "b.csv", numbered.format(7))) is not FORMAT


def test_a_header_of_more_than_the_head(tmp_path):
    names = ["epoch", "loss", "val_loss", *(f"weight{number}" for number in range(9000))]
    rows = [",".join([str(row + 1), "1.0", f"{1 / (row + 1)}", *["0"] * 9000]) for row in range(3)]
    path = put(tmp_path / "wide.csv", ",".join(names) + "\n" + "\n".join(rows) + "\n")
    assert len(",".join(names)) > 64 * 1024
    assert sniff(path) is FORMAT
    (run,) = read(tmp_path).runs
    assert run.curve("val_loss", "min").values.tolist() == [1.0, 0.5, 1 / 3]


def test_the_limit_of_the_csv_module_is_as_before(tmp_path):
    """It holds for the whole process, and so for other code that reads CSV."""
    limit = csv.field_size_limit()
    log = tmp_path / "log.csv"
    log.write_text("step,eval_loss,note\n" + f"1,0.5,{'x' * (limit + 1)}\n2,0.4,\n")
    (run,) = read([log]).runs
    assert run.columns["eval_loss"].values.tolist() == [0.5, 0.4]
    assert csv.field_size_limit() == limit
    log.write_text("step,eval_loss,note\n1,0.5,\n" + f"2,0.4,{'x' * ((1 << 24) + 1)}\n")
    read([log])
    assert csv.field_size_limit() == limit


def test_a_tail_of_zero_bytes(tmp_path):
    """A crash left a block of zeros within the first KiB of the file."""
    rows = "".join(f"{step},{9 / step}\n" for step in range(10, 60, 10))
    path = put(tmp_path / "log.csv", f"step,val_loss\n{rows}".encode() + bytes(900))
    found = read(tmp_path)
    assert curve(found.runs[0]) == {step: 9 / step for step in range(10, 60, 10)}
    (text,) = sentences(found.findings)
    assert text.startswith(f"{path}: there are zero bytes in it, as a crash or a full disk leaves them")


def test_a_binary_file_is_no_table(tmp_path):
    assert sniff(put(tmp_path / "a.csv", b"step,\0val_loss\n1,0.5\n")) is not FORMAT


def test_a_step_column_behind_the_first_64_kib_of_the_header(tmp_path):
    names = [*(f"layer{number}/norm" for number in range(9000)), "val_loss", "zz_step", "step"]
    assert len(",".join(names)) > 2 * 64 * 1024
    rows = [",".join([*["0.5"] * 9000, str(1 / step), "7", str(step)]) for step in (20, 40, 60)]
    path = put(tmp_path / "wide.csv", ",".join(names) + "\n" + "\n".join(rows) + "\n")
    assert sniff(path) is FORMAT
    (run,) = read(tmp_path).runs
    assert curve(run) == {step: 1 / step for step in (20, 40, 60)}


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "", "NA"])
def test_evals_without_a_step_are_counted(tmp_path, cell):
    run, problems = load(tmp_path, f"step,val_loss\n10,0.5\n{cell},0.4\n{cell},0.3\n20,0.2\n")
    assert curve(run) == {10: 0.5, 20: 0.2}
    (problem,) = problems
    assert problem.endswith("2 of 4 rows have no step; they are left out")


def test_results_of_openais_fine_tuning(tmp_path):
    evals = {step: 2.5 - step / 100 for step in (25, 50, 75)}
    header = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,full_valid_loss"
    rows = [
        f"{step},{3 / step:.5f},0.5,{evals.get(step, -1.0)},{0.6 if step in evals else -1.0},"
        + ("2.1" if step == 75 else "")
        for step in range(1, 76)
    ]
    run, _ = load(tmp_path, header + "\n" + "\n".join(rows) + "\n", "step_metrics.csv")
    assert curve(run, "valid_loss") == evals
    assert curve(run, "valid_mean_token_accuracy") == dict.fromkeys(evals, 0.6)
    assert curve(run, "full_valid_loss") == {75: 2.1}


def test_a_cross_validation_of_boosting(tmp_path):
    header = ",train-auc-mean,train-auc-std,test-auc-mean,test-auc-std\n"
    run, problems = load(tmp_path, header + "0,0.7,0.01,0.6,0.02\n1,0.8,0.01,0.65,0.03\n")
    assert not problems
    assert curve(run, "test-auc-mean") == {0: 0.6, 1: 0.65}  # rounds, as the library numbers them
    assert run.metrics == ("test-auc-mean",)
    assert run.info.step_unit == "step"


def test_fastai_computes_its_metrics_on_the_validation_set(tmp_path):
    header = "epoch,train_loss,valid_loss,accuracy,dice,time\n"
    text = header + "0,2.0,1.0,0.5,0.1,00:12\n1,1.5,0.9,0.6,0.2,01:02\n"
    run, _ = load(tmp_path, text, "history.csv")
    assert run.metrics == ("valid_loss", "accuracy", "dice")
    assert curve(run, "accuracy") == {1: 0.5, 2: 0.6}
    assert set(run.train) == {"train_loss"}
    other, _ = load(tmp_path, text.replace("valid_loss", "val_loss"), "log.csv")  # not fastai
    assert other.metrics == ("val_loss",)


@pytest.mark.parametrize("step", ["Epoch {}", "epoch_{}", "{}/3", "Epoch {} / 3"])
def test_steps_with_a_word_or_the_number_of_all(tmp_path, step):
    rows = [f"{step.format(n)},0.9,0.{n}5\n" for n in (1, 2, 3)]
    run, problems = load(tmp_path, "epoch,train_loss,val_loss\n" + "".join(rows))
    assert not problems
    assert curve(run, "val_loss") == {1: 0.15, 2: 0.25, 3: 0.35}


@pytest.mark.parametrize("title", ["Experiment 7\n", "Run of Monday\nseed 3\n\n", "\n\n# lr=0.1\nmy model\n"])
def test_lines_before_the_header(tmp_path, title):
    run, problems = load(tmp_path, title + "epoch,train_loss,val_loss\n1,0.9,0.5\n2,0.8,0.25\n")
    assert not problems
    assert curve(run, "val_loss") == {1: 0.5, 2: 0.25}


@pytest.mark.parametrize("blank", ["nan", "", "None"])
def test_epochs_count_where_no_row_has_a_step(tmp_path, blank):
    rows = [f"{blank},{n},0.{n}5\n" for n in (1, 2, 3)]
    run, problems = load(tmp_path, "step,epoch,val_loss\n" + "".join(rows))
    assert not problems
    assert curve(run, "val_loss") == {1: 0.15, 2: 0.25, 3: 0.35}
    assert run.info.step_unit == "epoch"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('"1,250.5"', 1250.5),
        ("62.5%", 62.5),
        ("\"tensor(0.5, device='cuda:0')\"", 0.5),
        ("np.float32(2.5)", 2.5),
    ],
)
def test_numbers_as_they_are_shown(tmp_path, cell, value):
    run, _ = load(tmp_path, f"step,val_loss\n10,{cell}\n20,0.125\n")
    assert curve(run, "val_loss") == {10: value, 20: 0.125}


def test_an_evaluator_that_evaluates_within_epochs(tmp_path):
    """Steps begin anew with each epoch, and are -1 at its end."""
    rows = [f"{epoch},{step},0.{epoch}{at}\n" for epoch in range(3) for at, step in enumerate((50, 100, -1))]
    run, problems = load(tmp_path, "epoch,steps,MSE\n" + "".join(rows), name="mse_evaluation_dev_results.csv")
    assert not problems
    assert list(curve(run, "MSE").values()) == [0.0, 0.01, 0.02, 0.1, 0.11, 0.12, 0.2, 0.21, 0.22]
    assert run.steps.tolist()[2::3] == [1, 2, 3]


def test_a_table_of_transformers_has_its_metrics_behind_the_loss(tmp_path):
    run, _ = load(
        tmp_path, "Step\tTraining Loss\tValidation Loss\tF1\n10\t0.9\t0.5\t0.7\n20\t0.8\t0.25\t0.75\n"
    )
    assert set(run.metrics) == {"Validation Loss", "F1"}


@pytest.mark.parametrize(
    "text",
    [
        "epoch\tval_loss\tval_acc\n1\t0,912\t0,61\n2\t1,125\t0,7\n",
        'epoch,val_loss,val_acc\n1,"0,912","0,61"\n2,"1,1250","0,7"\n',
        "epoch;val_loss;val_acc\n1;0,912;0,61\n2;1,125;0,7\n",
    ],
)
def test_decimal_commas_whatever_parts_the_cells(tmp_path, text):
    run, _ = load(tmp_path, text, name="log.tsv" if "\t" in text else "log.csv")
    assert curve(run, "val_loss") == {1: 0.912, 2: 1.125}
    assert curve(run, "val_acc") == {1: 0.61, 2: 0.7}


def test_rows_of_the_training_and_evals_in_turn_have_no_missing_head(tmp_path):
    rows = [f"{epoch},{10 * epoch + 9},0.9,\n{epoch},{11 * epoch + 10},,0.{epoch}5\n" for epoch in range(4)]
    path = put(tmp_path / "metrics.csv", "epoch,step,train_loss,val_loss\n" + "".join(rows))
    (run,) = FORMAT.load([path], "run").runs
    assert Kind.MISSING_HEAD not in {finding.kind for finding in run.info.findings}


@pytest.mark.parametrize(
    "short", [("500", "1_000", "1_500"), ("0.5k", "1K", "1.5k"), ("5e2", "1e3", "1.5e3")]
)
def test_steps_that_are_written_short(tmp_path, short):
    rows = "".join(f"{step},0.{n}\n" for n, step in enumerate(short, 1))
    run, problems = load(tmp_path, "step,val_loss\n" + rows)
    assert not problems
    assert curve(run, "val_loss") == {500: 0.1, 1000: 0.2, 1500: 0.3}


@pytest.mark.parametrize(
    "before",
    ["Training time: 123.4,,\n", "Train samples: 800, batches: 100\nVal samples: 200, batches: 20\n\n"],
)
def test_settings_before_the_header(tmp_path, before):
    run, problems = load(tmp_path, before + "Epoch,Train loss,Val loss\n1,0.5,0.75\n2,0.5,0.25\n")
    assert not problems
    assert curve(run, "Val loss") == {1: 0.75, 2: 0.25}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("before", ['{"lr": 0.1}\n', '\n{\n  "lr": 0.1\n}\n\n'])
def test_settings_as_json_before_a_header_in_quotes(tmp_path, before, encoding):
    text = before + '"step","val_loss"\n100,0.75\n200,0.5\n300,0.25\n'
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode(encoding))
    (run,) = read(path).runs
    assert curve(run, "val_loss") == {100: 0.75, 200: 0.5, 300: 0.25}


@pytest.mark.parametrize("place", [5, 0, 2])
def test_a_last_eval_whose_place_is_a_number_of_rows(tmp_path, place):
    """Fabric's CSVLogger puts the number of rows that wait in the place of a step that was not given."""
    rows = [f"{20 * n},{2.0 / n},\n" + (f"{20 * n},,{1.0 / n}\n" if n % 2 == 0 else "") for n in range(1, 5)]
    last = f"{place if place != 5 else 6},,0.125\n"
    run, problems = load(tmp_path, "step,loss,val_loss\n" + "".join(rows) + last)
    assert not problems
    assert curve(run) == {40: 0.5, 80: 0.25}
    assert run.info.resumes == ()
    assert [(one.kind, one["metrics"], one["step"]) for one in run.info.findings] == [
        (Kind.FINISHED_MODEL, ("val_loss",), 80)
    ]


@pytest.mark.parametrize("last", ["4,,0.125\n", "5,,0.125\n6,0.3,\n"])
def test_a_process_that_evaluates_first_is_no_last_eval(tmp_path, last):
    rows = [f"{n},{2.0 / n},\n" + (f"{n},,{1.0 / n}\n" if n % 2 == 0 else "") for n in range(1, 7)]
    run, _ = load(tmp_path, "step,loss,val_loss\n" + "".join(rows) + last)
    assert 0.125 in curve(run).values()
    assert Kind.FINISHED_MODEL not in [one.kind for one in run.info.findings]


def test_a_resumed_training_that_logs_its_last_epoch_again(tmp_path):
    rows = [f"{epoch},{1.0 / (epoch + 1)},{2.0 / (epoch + 1)}\n" for epoch in range(6)]
    rows.insert(4, "3,0.2,0.7\n")
    run, problems = load(tmp_path, "epoch,loss,val_loss\n" + "".join(rows))
    assert not problems
    assert curve(run) == {1: 2, 2: 1, 3: 2 / 3, 4: 0.7, 5: 0.4, 6: 2 / 6}
    assert run.train["loss"].value[3] == 0.2
    assert run.info.resumes == (4.0,)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 1, 2.0), (1, 0.5, 1.0), (2, 0.4, 0.8), (3, 0.3, 0.7), (3, 0.2, 0.6)],  # the last one
        [
            (0, 1, 2.0),
            (0, 0.9, 1.9),
            (1, 0.5, 1.0),
            (1, 0.6, 1.1),
            (2, 0.4, 0.8),
            (2, 0.3, 0.9),
        ],  # two writers
        [(0, 1, 2.0), (1, 0.5, 1.0), (1, 0.5, 0.9), (2, 0.4, 0.8), (3, 0.3, 0.7)],  # only evaluated again
    ],
)
def test_rows_that_are_logged_again_without_a_resume(tmp_path, rows):
    text = "step,loss,val_loss\n" + "".join(f"{step},{loss},{val}\n" for step, loss, val in rows)
    run, _ = load(tmp_path, text)
    firsts = {}
    for step, _, val in rows:
        firsts.setdefault(step, val)
    assert curve(run) == firsts
    assert run.info.resumes == ()


@pytest.mark.parametrize(("sign", "first"), [(";", "sep=;\n"), (",", "SEP=,\r\n"), ("|", "")])
@pytest.mark.parametrize(
    "columns", [None, ColumnMap("step", {"val_loss": "val_loss"})], ids=["plain", "named"]
)
def test_the_signs_between_cells(tmp_path, sign, first, columns):
    rows = [["step", "train_loss", "val_loss"], *([str(10 * n), str(3 / n), str(2 / n)] for n in range(1, 6))]
    text = first + "".join(sign.join(row) + "\n" for row in rows)
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    (run,) = read(tmp_path, columns=columns).runs
    assert curve(run) == {10 * n: 2 / n for n in range(1, 6)}


@pytest.mark.parametrize(
    ("sign", "rows"),
    [
        (",", ("500,0.5", '"1,000",0.25', '"1,500",0.125')),
        (";", ("500;0,5", "1.000;0,25", "1.500;0,125")),
        (";", ("500;0.5", "1,000;0.25", "1,500;0.125")),
        ("\t", ("500\t0.5", "1,000\t0.25", "1,500\t0.125")),
        (",", ("500,0.5", "1 000,0.25", "1\u00a0500,0.125")),
        (";", ("500;0,5", "1'000;0,25", "1’500;0,125")),
        (";", ("500,000;0,500", "1000,000;0,250", "1500,000;0,125")),
    ],
)
def test_thousands_of_steps(tmp_path, sign, rows):
    run, problems = load(tmp_path, "\n".join([f"step{sign}val_loss", *rows, ""]))
    assert not problems
    assert curve(run, "val_loss") == {500: 0.5, 1000: 0.25, 1500: 0.125}


def test_thousands_and_percentages_with_a_decimal_comma(tmp_path):
    text = "step;val_ppl;val_acc\n500;1.234,5;41,5 %\n1000;987,25;52,25%\n"
    run, problems = load(tmp_path, text)
    assert not problems
    assert curve(run, "val_ppl") == {500: 1234.5, 1000: 987.25}
    assert curve(run, "val_acc") == {500: 41.5, 1000: 52.25}


def test_fractions_of_epochs_are_no_thousands(tmp_path):
    run, _ = load(tmp_path, "epoch;val_loss\n1,125;0.5\n2,250;0.25\n")
    assert curve(run, "val_loss") == {1.125: 0.5, 2.25: 0.25}


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("Epoch,TrainLoss,ValLoss,mIoU,AUC,LR", ("AUC", "mIoU")),
        ("epoch,train_loss,val_loss,accuracy,time,lr", ("accuracy",)),
        ("epoch,train_loss,val_loss,accuracy,val_accuracy,lr", ()),
        ("epoch,loss,val_loss,accuracy,auc,lr", ()),
        ("epoch,accuracy,train_loss,val_loss,lr,time", ()),
    ],
)
def test_columns_that_name_no_set_behind_both_losses(tmp_path, header, named):
    rows = [f"{n},0.5,0.{n}5,0.{n}6,0.{n}7,0.1" for n in (1, 2, 3)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    (run,) = read([path]).runs
    found = [finding for finding in run.info.findings if finding.kind is Kind.COLUMNS_WITHOUT_SET]
    assert [finding["metrics"] for finding in found] == [named] * bool(named)
