"""What every format of the table keeps to."""

import codecs
import contextlib
import gzip
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.errors import ReplayError
from replay.readers import FORMATS, UnusableLog, read, sniff
from replay.report.sentences import sentence
from tests.readers import golden as made
from tests.readers.columns import curve
from tests.readers.golden import ACCURACY, LOSS, STEPS, golden, parts

EACH_FORMAT = pytest.mark.parametrize("format", FORMATS, ids=[format.name for format in FORMATS])


OF_FILES = [format for format in FORMATS if golden(format.name).is_file()]
OF_FOLDERS = [format for format in FORMATS if format not in OF_FILES]
#: Formats of records or pages: a file that is cut off between two of them, or in a page without a value, does
#: not show it.
RECORDS = {"tensorboard", "wandb", "swanlab", "aim", "neptune-scale"}
#: Formats that store float32.
SINGLE = {"tensorboard", "guild"}
EACH_OF_FILES = pytest.mark.parametrize("format", OF_FILES, ids=[format.name for format in OF_FILES])
#: Those of which cutting them off at each byte takes long.
LONG = {"aim", "clearml", "comet", "guild", "mlflow", "neptune", "neptune-scale", "ray-tune", "trackio"}


def at_every_byte(formats):
    return pytest.mark.parametrize(
        "format",
        [pytest.param(one, id=one.name, marks=[pytest.mark.slow] * (one.name in LONG)) for one in formats],
    )


def load(format, path):
    return format.load([path], "run")


def claims(path):
    """The formats that recognise a file, or a folder as a whole."""
    if path.is_file():
        return [format.name for format in FORMATS if format.sniff(path, path.read_bytes()[:65536])]
    names = frozenset(entry.name for entry in path.iterdir())
    return [format.name for format in FORMATS if format.sniff_folder and format.sniff_folder(path, names)]


def copied(format, folder):
    """A copy of the format's golden file or folder, and the files that it consists of."""
    path = golden(format.name)
    copy = folder / path.name
    if path.is_dir():
        shutil.copytree(path, copy, dirs_exist_ok=True)
    else:
        shutil.copy(path, copy)
    return copy, parts(copy)


@EACH_FORMAT
def test_each_recognises_its_own_file_and_no_other(format):
    path = golden(format.name)
    assert claims(path) == [format.name]
    if path.is_file():
        assert sniff(path) is format
    assert format.name in {run.info.format for run in read(path).runs}


@EACH_OF_FILES
def test_recognised_whatever_the_file_is_called(format, tmp_path):
    path = tmp_path / "something"
    path.write_bytes(golden(format.name).read_bytes())
    assert sniff(path) is format


@EACH_FORMAT
def test_the_golden_run(format):
    (run,), findings = load(format, golden(format.name))
    assert not findings
    assert run.steps.tolist() == STEPS
    loss, accuracy = (
        run.columns[next(name for name in run.metrics if word in name)].values
        for word in ("loss", "accuracy")
    )
    exact = format.name not in SINGLE
    assert loss.tolist() == LOSS if exact else np.float32(LOSS).tolist() == loss.tolist()
    assert accuracy.tolist() == ACCURACY if exact else np.float32(ACCURACY).tolist() == accuracy.tolist()
    assert run.info.format == format.name
    assert set(run.info.sources) <= set(map(str, parts(golden(format.name))))
    assert run.info.sources
    assert run.columns["train_loss"].present.all()


def test_the_same_run_in_every_format_is_one_run():
    found = read(made.GOLDEN)
    assert [run.info.format for run in found.runs] == ["eval-log"]
    assert len(found.duplicates) == len(FORMATS) - 1
    assert not found.findings
    (run,) = found.runs
    assert run.info.total_flos == 1e12  # what only trainer_state.json knows
    assert run.columns["wall_time"].values.tolist() == made.WALL  # what only the events know


@EACH_FORMAT
def test_loading_is_deterministic(format):
    once, again = load(format, golden(format.name)), load(format, golden(format.name))
    assert repr(once) == repr(again)
    assert [run.info for run in once.runs] == [run.info for run in again.runs]


@at_every_byte(OF_FILES)
def test_cut_off_at_every_byte_the_good_part_stays(format, tmp_path):
    whole = golden(format.name).read_bytes()
    (full,), _ = load(format, golden(format.name))
    path = tmp_path / golden(format.name).name
    loaded, said = 0, set()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            runs, findings = load(format, path)
        except UnusableLog as error:
            said.add(sentence(error.finding))
            continue
        for run in runs:
            evals = len(run)
            assert run.steps.tolist() == STEPS[:evals]
            for name in run.metrics:
                values, present = run.columns[name]
                # the last number of a table without an end of line may lack its last digit, which nobody can
                # see
                assert np.allclose(
                    values[present],
                    full.columns[name].values[:evals][present],
                    rtol=1e-15 if format.name == "csv" else 0,
                    atol=0,
                )
            loaded = max(loaded, evals)
        if (
            format.name != "csv" and not findings
        ):  # the end of a table that is cut off between two rows cannot be seen
            assert (
                whole[size - 1 : size + 1].find(b"\n") >= 0
                or whole[size:].strip() in (b"", b"}")
                or format.name in RECORDS
                # in a text, a line without a number logs nothing
                or (
                    format.name == "text"
                    and not any(48 <= sign < 58 for sign in whole[:size].split(b"\n")[-1])
                )
            )
    assert loaded >= len(STEPS) - 1
    assert said
    assert all(text.startswith(f"{path}: ") for text in said)


@at_every_byte(OF_FOLDERS)
def test_a_folder_with_one_file_cut_off_at_every_byte(format, tmp_path):
    (full,), _ = load(format, golden(format.name))
    known = {(name, step): value for name in full.metrics for step, value in curve(full, name).items()}
    copy, files = copied(format, tmp_path)
    loaded = set()
    for path in files:
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            try:
                runs, findings = load(format, copy)
            except UnusableLog as error:
                runs, findings = [], [error.finding]
            values = {}
            for run in runs:
                values |= {
                    (name, step): value for name in run.metrics for step, value in curve(run, name).items()
                }
            assert values.items() <= known.items()
            # the end of lines or records that are cut off between two of them cannot be seen
            assert len(values) == len(known) or findings or format.name in RECORDS or at_an_end(whole, size)
            loaded.add(len(values))
        path.write_bytes(whole)
    assert len(known) in loaded
    assert max(loaded - {len(known)}) >= len(known) - 2


def at_an_end(whole, size):
    """Whether a file that is cut off there shows nothing of it."""
    return size == 0 or b"\n" in whole[size - 1 : size + 1] or b"tfevents" in whole or whole[:1] == b"\x18"


@EACH_FORMAT
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damage_never_raises_anything_but_our_own_errors(format, tmp_path, data):
    copy, files = copied(format, tmp_path)
    path = data.draw(st.sampled_from(files))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        junk = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=12),
                st.sampled_from([b"\0" * 8, b"NaN", b"1e999", b"-", b'"', b"}", b"\n", b"\xff\xfe"]),
            )
        )
        whole[at : at + data.draw(st.integers(0, 12))] = junk
    path.write_bytes(whole)
    for other in FORMATS:
        if other.name in claims(copy):
            with contextlib.suppress(ReplayError, OSError):
                load(other, copy)


@EACH_FORMAT
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_random_bytes_never_crash(format, tmp_path, data):
    copy, files = copied(format, tmp_path)
    path = data.draw(st.sampled_from(files))
    content = data.draw(st.binary(max_size=300))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        format.sniff(path, content)
        with contextlib.suppress(ReplayError, OSError):
            load(format, copy)


def test_names_are_unique_and_told():
    assert len({format.name for format in FORMATS}) == len(FORMATS)
    for format in FORMATS:
        assert format.summary
        assert format.files
        assert format.files == format.files.lower()


def test_the_golden_files_are_what_their_writers_write(tmp_path):
    for name, make in made.SINGLE_FILES.items():
        assert golden(name).read_bytes() == make()
    for name, make in made.FOLDERS.items():
        written = {made.GOLDEN / name / path: content for path, content in make().items()}
        assert written == {path: path.read_bytes() for path in parts(made.GOLDEN / name)}
    made.events(tmp_path / "events")
    assert golden("tensorboard").read_bytes() == (tmp_path / "events").read_bytes()


def is_text(path):
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return path.stat().st_size > 0


@EACH_FORMAT
def test_a_byte_order_mark_changes_nothing(format, tmp_path):
    """Of each text file of the format in turn, as editors on Windows write it; and of all together."""
    copy, files = copied(format, tmp_path)
    texts = [file for file in files if is_text(file)]
    before = [(run.id, run.evals.to_dict("list")) for run in read([copy]).runs]
    for marked in [*([file] for file in texts), texts]:
        contents = [file.read_bytes() for file in marked]
        for file, content in zip(marked, contents, strict=True):
            file.write_bytes(codecs.BOM_UTF8 + content)
        after = [(run.id, run.evals.to_dict("list")) for run in read([copy]).runs]
        assert repr(after) == repr(before), marked
        for file, content in zip(marked, contents, strict=True):
            file.write_bytes(content)


def test_a_byte_order_mark_in_a_packed_log_changes_nothing(tmp_path):
    content = golden("eval-log").read_bytes()
    for name, data in (("plain", content), ("marked", codecs.BOM_UTF8 + content)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "eval_log.jsonl.gz").write_bytes(gzip.compress(data))
    plain, marked = (read([tmp_path / name]).runs for name in ("plain", "marked"))
    assert repr([run.evals.to_dict() for run in marked]) == repr([run.evals.to_dict() for run in plain])
    assert len(marked) == 1
