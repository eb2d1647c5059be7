"""read and load: bad input beside good, ids, messages."""

import os
import subprocess
import sys

import pytest

import replay
from replay.api import load
from replay.errors import InputError, ReplayWarning
from replay.readers import FORMATS, read, sniff
from replay.report.sentences import sentences
from tests.conftest import curve, write_log
from tests.readers.golden import golden


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.fixture
def good(tmp_path):
    """A folder with one good run, to which a test adds a bad one."""
    write_log(tmp_path / "logs" / "good", curve(1))
    return tmp_path / "logs"


def only_good(folder):
    found = read(folder)
    assert [run.id for run in found.runs] == ["good"]
    return found


def test_no_log_at_all(tmp_path):
    put(tmp_path / "logs" / "notes.txt", "nothing")
    put(tmp_path / "logs" / "data.csv", "name,age\nAda,36\n")
    with pytest.raises(
        InputError, match=r"(?s)no log found below .*logs \(2 files looked at\).*it has 1 row of name, age"
    ):
        load(tmp_path / "logs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"(?s)\(0 files looked at\)\nThe folder holds no files. Give a log"):
        load(tmp_path / "empty")
    put(tmp_path / "empty" / ".git" / "HEAD", "x")
    with pytest.raises(InputError, match="only files that are never logs, such as HEAD"):
        load(tmp_path / "empty")
    put(tmp_path / "empty" / "history.pkl", "x")
    with pytest.raises(InputError, match=r"such as history\.pkl\. A pickle is never loaded.* as CSV or JSON"):
        load(tmp_path / "empty")


def test_a_path_that_is_not_there(tmp_path):
    (tmp_path / "logs").mkdir()
    with pytest.raises(InputError, match=r"Did you mean .*logs\?"):
        load(tmp_path / "log")


@pytest.mark.parametrize(
    "name", ["trainer_state.json", "metrics.csv", "trainer_log.jsonl", "events.out.tfevents.1", "loss.tsv"]
)
def test_an_empty_file(good, name):
    put(good / "bad" / name, b"")
    (problem,) = sentences(only_good(good).findings)
    assert problem == f"{good / 'bad' / name}: the file is empty"


@pytest.mark.parametrize(
    "data", [b"\0" * 200, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), b"\x7fELF" + b"\0\1" * 99]
)
def test_a_binary_file_that_is_called_a_table(good, data):
    put(good / "bad" / "metrics.csv", data)
    (problem,) = sentences(only_good(good).findings)
    assert "metrics.csv: " in problem
    assert "binary file" in problem or "zero bytes" in problem


@pytest.mark.parametrize("name", ["trainer_state.json", "trainer_log.jsonl"])
def test_a_file_that_is_not_what_its_name_says(good, name):
    put(good / "bad" / name, "<html>404</html>\n")
    (problem,) = sentences(only_good(good).findings)
    assert (
        problem == f"{good / 'bad' / name}: not what its name says; no format that replay reads recognises it"
    )


def test_files_that_are_no_logs_are_passed_over_in_silence(good):
    put(good / "data.csv", "age,income,label\n1,2,3\n")
    put(good / "index.csv", ",age,label\n0,31,1\n1,45,0\n")
    put(good / "data.jsonl", '{"prompt": "a", "answer": "b"}\n')
    put(good / "config.json", '{"learning_rate": 0.1, "epochs": 3}')
    put(good / "wandb-summary.json", '{"_step": 9, "train/global_step": 100, "eval/loss": 0.5}')
    put(good / "mlruns" / "0" / "abc" / "metrics" / "loss", "1716151171 0.5 0\n1716151172 0.4 1\n")
    put(good / "scores" / "metrics.json", '{\n    "loss": 0.5,\n    "step": 3\n}')
    put(good / "notes.db", b"SQLite format 3\0" + bytes(100))
    put(good / "texts.parquet", b"PAR1" + bytes(100) + b"PAR1")
    put(
        good / "server.log",
        "12:00:01 INFO step 1 of 3: loaded 20 files\n12:00:09 INFO step 2 of 3 took 8.1 s\n",
    )
    found = only_good(good)
    assert not sentences(found.findings)
    assert len(found.skipped) == 10


def test_a_file_that_was_named_and_is_no_log_is_told(good):
    other = put(good.parent / "notes.txt", "nothing")
    found = read([good, other])
    assert [run.id for run in found.runs] == ["good"]
    assert sentences(found.findings) == [
        f"{other}: not a log in a format that replay reads; it begins with 'nothing'"
    ]


#: Formats whose file ends with its last eval.
OF_FILES = [format for format in FORMATS if golden(format.name).is_file() and format.name != "sacred"]


@pytest.mark.parametrize("format", OF_FILES, ids=[format.name for format in OF_FILES])
def test_a_truncated_log_keeps_its_good_part_and_says_so(good, format):
    whole = golden(format.name).read_bytes()
    size = len(whole) * 3 // 4
    while b"\n" in whole[size - 3 : size + 3]:
        size -= 1
    put(good / "bad" / golden(format.name).name, whole[:size])
    found = read(good)
    (bad,) = [run for run in found.runs if run.id.startswith("bad")]
    assert 3 <= len(bad) <= 5
    (problem,) = sentences(found.findings)
    assert "cut off" in problem or "is damaged" in problem  # a database does not show where it ends


def test_a_defect_of_an_importer_hides_no_other_run(good, monkeypatch):
    put(good / "bad" / "trainer_state.json", golden("trainer-state").read_bytes())
    target = next(format for format in FORMATS if format.name == "trainer-state")

    def explode(files, run_id):
        raise ZeroDivisionError("by zero")

    object.__setattr__(target, "load", explode)
    try:
        (problem,) = sentences(only_good(good).findings)
    finally:
        from replay.readers.formats import trainer_state

        object.__setattr__(target, "load", trainer_state._load)
    assert problem.endswith("could not be read as trainer-state (ZeroDivisionError: by zero); it is left out")


def test_a_file_that_vanishes_between_sniff_and_load(good, monkeypatch):
    path = put(good / "bad" / "trainer_log.jsonl", golden("jsonl").read_bytes())
    import replay.readers.json_records as json_records

    plain = json_records.open_text
    monkeypatch.setattr(
        json_records, "open_text", lambda file: plain(good / "gone") if file == path else plain(file)
    )
    (problem,) = sentences(only_good(good).findings)
    assert "No such file" in problem


def test_a_run_with_one_eval_and_one_with_only_nan(good):
    write_log(good / "one", [0.5])
    write_log(good / "nan", [float("nan")] * 4)
    found = read(good)
    assert {run.id: len(run) for run in found.runs} == {"good": 20, "nan": 4, "one": 1}
    nan = next(run for run in found.runs if run.id == "nan")
    assert nan.columns["eval_loss"].present.all()


def test_a_symlink_loop_and_a_pipe_beside_a_good_run(good):
    (good / "loop").symlink_to(good)
    os.mkfifo(good / "metrics.csv")
    assert not sentences(only_good(good).findings)


def test_load_warns_of_each_problem_and_gives_the_rest(good):
    put(good / "bad" / "metrics.csv", b"")
    put(good / "worse" / "trainer_state.json", "{")
    with pytest.warns(ReplayWarning) as caught:
        runs = load(good)
    assert [run.id for run in runs] == ["good"]
    assert len(caught) == 2
    assert all(warning.filename == __file__ for warning in caught)


def test_where_nothing_can_be_read_the_error_says_why(tmp_path):
    put(tmp_path / "logs" / "events.out.tfevents.1", b"")
    with pytest.raises(InputError, match="the file is empty"):
        load(tmp_path / "logs")


def test_load_takes_one_path_or_several_as_text_or_path(good):
    write_log(good.parent / "other" / "run", curve(2))
    assert [run.id for run in replay.load(str(good))] == ["good"]
    assert [run.id for run in replay.load([good, str(good.parent / "other")])] == ["good", "run"]
    assert len(replay.load(good / "good" / "eval_log.jsonl")) == 1


def test_ids_are_the_folders_and_get_the_file_where_that_is_needed(tmp_path):
    root = tmp_path / "logs"
    write_log(root / "a" / "run10", curve(1))
    write_log(root / "a" / "run2", curve(2))
    write_log(root / "b", curve(3), name="one.jsonl")
    write_log(root / "b", curve(4), name="two.jsonl")
    assert [run.id for run in load(root)] == ["a/run2", "a/run10", "b/one.jsonl", "b/two.jsonl"]
    assert [run.id for run in load(root / "a" / "run2")] == ["run2"]


def test_ids_of_equal_folders_below_several_roots_differ(tmp_path):
    for number in range(3):
        write_log(tmp_path / f"logs{number}" / "run", curve(number))
    runs = load([tmp_path / f"logs{number}" for number in range(3)])
    assert len({run.id for run in runs}) == 3
    assert all("run" in run.id for run in runs)


def test_ids_of_files_that_are_given_one_by_one(tmp_path, monkeypatch):
    for number in range(2):
        write_log(tmp_path, curve(number), name=f"run{number}.jsonl")
    monkeypatch.chdir(tmp_path)
    assert [run.id for run in load(["run0.jsonl", "run1.jsonl"])] == ["run0.jsonl", "run1.jsonl"]
    assert [run.id for run in load("run0.jsonl")] == ["run0.jsonl"]


def test_restarts_keep_their_number_and_group(tmp_path):
    put(
        tmp_path / "logs" / "run" / "metrics.csv",
        "epoch,loss,val_loss\n" + "".join(f"{n},1,{k + n / 7}\n" for k in range(2) for n in range(1, 6)),
    )
    runs = load(tmp_path / "logs")
    assert [run.id for run in runs] == ["run#1", "run#2"]
    assert [run.info.group for run in runs] == ["run", "run"]


def test_names_from_outside_cannot_steer_the_terminal(tmp_path):
    folder = tmp_path / "logs" / "evil\x1b[2Jname"
    write_log(folder, curve(1))
    put(folder / "bad" / "metrics.csv", b"")
    found = read(tmp_path / "logs")
    texts = [*(run.id for run in found.runs), *sentences(found.findings)]
    assert all("\x1b" not in text for text in texts)
    assert any("\\x1b" in text for text in texts)


def test_order_is_the_same_every_time(tmp_path):
    for number in (10, 2, 33, 1):
        write_log(tmp_path / "logs" / f"run{number}", curve(number))
    assert [run.id for run in load(tmp_path / "logs")] == ["run1", "run2", "run10", "run33"]


def test_sniff_tells_the_format_of_a_file(tmp_path):
    assert sniff(str(golden("csv"))).name == "csv"
    assert sniff(put(tmp_path / "trainer_state.txt", "hello")) is None
    with pytest.raises(OSError, match="No such file"):
        sniff(tmp_path / "missing")


def test_importing_the_importers_imports_nothing_heavy():
    heavy = ("pandas", "tensorboard", "google.protobuf", "matplotlib", "torch")
    code = f"import sys, replay.readers; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
