"""What every format of the table keeps to."""

import contextlib
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.errors import ReplayError
from replay.readers import FORMATS, UnusableLog, read, sniff
from replay.report.sentences import sentence
from tests.readers import golden as made
from tests.readers.golden import ACCURACY, LOSS, STEPS, golden

EACH_FORMAT = pytest.mark.parametrize("format", FORMATS, ids=[format.name for format in FORMATS])


def load(format, path):
    return format.load([path], "run")


@EACH_FORMAT
def test_each_recognises_its_own_file_and_no_other(format):
    path = golden(format.name)
    assert sniff(path) is format
    assert [other.name for other in FORMATS if other.sniff(path, path.read_bytes())] == [format.name]


@EACH_FORMAT
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
    exact = format.name != "tensorboard"  # it stores float32
    assert loss.tolist() == LOSS if exact else np.float32(LOSS).tolist() == loss.tolist()
    assert accuracy.tolist() == ACCURACY if exact else np.float32(ACCURACY).tolist() == accuracy.tolist()
    assert run.info.format == format.name
    assert run.info.sources == (str(golden(format.name)),)
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


@EACH_FORMAT
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
                or format.name == "tensorboard"
            )
    assert loaded >= len(STEPS) - 1
    assert said
    assert all(text.startswith(f"{path}: ") for text in said)


@EACH_FORMAT
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damage_never_raises_anything_but_our_own_errors(format, tmp_path, data):
    whole = bytearray(golden(format.name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        junk = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=12),
                st.sampled_from([b"\0" * 8, b"NaN", b"1e999", b"-", b'"', b"}", b"\n", b"\xff\xfe"]),
            )
        )
        whole[at : at + data.draw(st.integers(0, 12))] = junk
    path = tmp_path / golden(format.name).name
    path.write_bytes(whole)
    for other in FORMATS:
        if other.sniff(path, bytes(whole[:65536])):
            with contextlib.suppress(ReplayError):
                load(other, path)


@EACH_FORMAT
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.binary(max_size=300))
def test_random_bytes_never_crash(format, tmp_path, data):
    path = tmp_path / golden(format.name).name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        format.sniff(path, data)
        with contextlib.suppress(ReplayError):
            load(format, path)


def test_names_are_unique_and_told():
    assert len({format.name for format in FORMATS}) == len(FORMATS)
    for format in FORMATS:
        assert format.summary
        assert format.files
        assert format.files == format.files.lower()


def test_the_golden_files_are_what_their_writers_write(tmp_path):
    for name, make in {
        "eval-log": made.eval_log,
        "trainer-state": made.trainer_state,
        "csv": made.lightning_csv,
        "jsonl": made.trainer_log,
    }.items():
        assert golden(name).read_bytes() == make()
    made.events(tmp_path / "events")
    assert golden("tensorboard").read_bytes() == (tmp_path / "events").read_bytes()
