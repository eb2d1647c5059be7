"""step_signals.bin: what is written is read back, and damage costs only what it hit."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from replay.errors import InputError
from replay.readers import read
from replay.readers.step_signals import (
    COLUMNS,
    FILE_NAME,
    TOTALS,
    encode_header,
    encode_record,
    read_step_signals,
    record_size,
)
from tests.conftest import write_log

MODULES = ["layer.0.query", "layer.1.query"]
HEADER = encode_header(MODULES, [10, 12])
SIZE = record_size(json.loads(HEADER))


def record(segment, step, value=None):
    """A record whose numbers tell where it is from."""
    value = 100 * segment + step if value is None else value
    totals = np.full(len(TOTALS), value, dtype=np.float32)
    return encode_record(
        segment, step, totals, np.full((len(COLUMNS), len(MODULES)), value, dtype=np.float32)
    )


@pytest.fixture
def written(tmp_path):
    """Writes records into a file; returns its path."""

    def write(*records, header=HEADER):
        path = tmp_path / FILE_NAME
        path.write_bytes(header + b"".join(records))
        return path

    return write


def assert_steps(found, wanted):
    """(segment, step) of the records that were read, each with the values that were written into it."""
    assert list(zip(found.segments.tolist(), found.steps.tolist(), strict=True)) == wanted
    values = np.array([100 * segment + step for segment, step in wanted], dtype=np.float32)
    assert found.totals.shape == (len(wanted), len(TOTALS))
    assert found.values.shape == (len(wanted), len(COLUMNS), len(MODULES))
    assert (found.totals == values[:, None]).all()
    assert (found.values == values[:, None, None]).all()


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_read_back_is_what_was_written(data, tmp_path_factory):
    """Every float32, NaN and the infinities, for any number and any names of modules."""
    modules = data.draw(st.lists(st.text(max_size=30), max_size=6))
    parameters = [data.draw(st.integers(1, 2**40)) for _ in modules]
    first = data.draw(st.integers(1, 2**40))
    count = data.draw(st.integers(0, 5))
    totals = data.draw(arrays.arrays(np.float32, (count, len(TOTALS)), elements=floats))
    values = data.draw(arrays.arrays(np.float32, (count, len(COLUMNS), len(modules)), elements=floats))
    path = tmp_path_factory.mktemp("signals") / FILE_NAME
    header = encode_header(modules, parameters)
    assert len(header) % 64 == 0
    assert header.count(b"\n") == 1
    path.write_bytes(
        header + b"".join(encode_record(3, first + at, totals[at], values[at]) for at in range(count))
    )
    found = read_step_signals(path)
    assert (found.header["modules"], found.header["parameters"]) == (modules, parameters)
    assert path.stat().st_size == len(header) + count * record_size(found.header)
    assert found.steps.tolist() == [first + at for at in range(count)]
    assert found.segments.tolist() == [3] * count
    assert found.totals.tobytes() == totals.tobytes()
    assert found.values.tobytes() == values.tobytes()
    for at, name in enumerate(COLUMNS):
        assert found.column(name).tobytes() == values[:, at].tobytes()


@pytest.mark.parametrize("cut", range(SIZE + 1))
def test_a_cut_in_the_last_record_leaves_those_before(cut, written):
    path = written(*(record(0, step) for step in (1, 2, 3)))
    path.write_bytes(path.read_bytes()[: len(HEADER) + 2 * SIZE + cut])
    assert_steps(read_step_signals(path), [(0, 1), (0, 2), (0, 3)][: 2 + (cut == SIZE)])


@pytest.mark.parametrize("at", range(SIZE))
def test_a_flipped_bit_drops_just_that_record(at, written):
    bad = bytearray(record(0, 2))
    bad[at] ^= 1 << at % 8
    assert_steps(read_step_signals(written(record(0, 1), bytes(bad), record(0, 3))), [(0, 1), (0, 3)])


@pytest.mark.parametrize("cut", range(1, SIZE))
def test_records_after_a_padded_torn_one_are_read(cut, written):
    """What StepLog does when it goes on where a kill cut a record off."""
    torn = record(0, 3)[:cut] + bytes(SIZE - cut)
    assert_steps(
        read_step_signals(written(record(0, 1), record(0, 2), torn, record(1, 3), record(1, 4))),
        [(0, 1), (0, 2), (1, 3), (1, 4)],
    )


@pytest.mark.parametrize("cut", [0, 1, 17, SIZE - 1])
def test_step_log_goes_on_after_a_kill(cut, tmp_path):
    """The writer and the reader together, on the bytes that a kill leaves."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from collect.signals import Adapter
    from collect.step_log import StepLog

    model = peft.get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(3, 5)), peft.LoraConfig(r=1, target_modules=["0"])
    )
    adapter = Adapter.of(model)

    def write(segment, steps):
        log = StepLog(tmp_path, adapter, segment)
        for step in steps:
            model(torch.ones(1, 3) * step).sum().backward()
            log.before()
            log.after(step, 0.1)
        log.sync()
        log.close()

    write(0, range(1, 6))
    path = tmp_path / FILE_NAME
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    before = path.read_bytes()
    write(1, range(4, 7))
    assert path.read_bytes().startswith(before)
    found = read_step_signals(path)
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.segments.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.isfinite(found.column("gradient_l1")).all()
    after = path.read_bytes()
    for segment, other in (
        (0, adapter),
        (
            2,
            Adapter.of(
                peft.get_peft_model(
                    torch.nn.Sequential(torch.nn.Linear(3, 6)), peft.LoraConfig(r=1, target_modules=["0"])
                )
            ),
        ),
    ):
        with pytest.raises(
            InputError, match="is there already and is of another run; nothing is written over it"
        ):
            StepLog(tmp_path, other, segment)
    assert path.read_bytes() == after


@pytest.mark.parametrize("cut", [0, 1, 40, len(HEADER) - 1])
def test_step_log_writes_a_torn_header_anew(cut, tmp_path):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from collect.signals import Adapter
    from collect.step_log import StepLog

    model = peft.get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(3, 5)), peft.LoraConfig(r=1, target_modules=["0"])
    )
    adapter = Adapter.of(model)
    header = encode_header(adapter.names, adapter.parameters)
    (tmp_path / FILE_NAME).write_bytes(header[:cut])
    StepLog(tmp_path, adapter, 1).close()
    assert (tmp_path / FILE_NAME).read_bytes() == header


def test_a_later_segment_voids_from_its_first_step_on(written):
    first = [record(0, step) for step in range(1, 8)]
    second = [record(1, step) for step in range(4, 9)]
    third = [record(2, step) for step in range(7, 10)]
    path = written(*first, *second, *third)
    assert_steps(
        read_step_signals(path),
        [*((0, step) for step in (1, 2, 3)), *((1, step) for step in (4, 5, 6)), (2, 7), (2, 8), (2, 9)],
    )
    every = [
        *((0, step) for step in range(1, 8)),
        *((1, step) for step in range(4, 9)),
        *((2, step) for step in range(7, 10)),
    ]
    assert_steps(read_step_signals(path, voided=True), every)


def test_a_later_segment_that_begins_earlier_voids_those_between(written):
    path = written(
        *(record(0, step) for step in (1, 2, 3, 4)),
        *(record(1, step) for step in (4, 5)),
        *(record(3, step) for step in (2, 3)),
    )
    assert_steps(read_step_signals(path), [(0, 1), (3, 2), (3, 3)])


def test_a_file_without_records_is_empty(written):
    assert_steps(read_step_signals(written()), [])
    assert_steps(read_step_signals(written(), voided=True), [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no step signals"),
        (b"my notes\n", "no step signals"),
        (b"[1, 2]\n", "no step signals"),
        (b"[" * 100_000 + b"\n", "no step signals"),
        (b"\xff\xfe\x00\n" * 8, "no step signals"),
        (b'{"format": "replay-eval-log", "version": 1}\n', "no step signals"),
        (HEADER[:50], "no step signals"),
        (
            HEADER.replace(b'"version": 1', b'"version": 2'),
            "step signals of version 2; this replay reads version 1",
        ),
        (HEADER.replace(b'"modules"', b'"moduls"'), "the header of the step signals has no list 'modules'"),
        (HEADER.replace(b'"columns"', b'"colums"'), "the header of the step signals has no list 'columns'"),
        (HEADER.replace(b'"totals"', b'"total"'), "the header of the step signals has no list 'totals'"),
    ],
)
def test_what_is_no_step_signals_is_an_error_that_names_the_file(content, message, tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_step_signals(path)
    assert str(path) in str(error.value)


def test_a_run_reads_what_lies_beside_its_log_when_it_is_asked(tmp_path, written):
    write_log(tmp_path, [1.0, 0.9])
    write_log(tmp_path / "other", [2.0, 1.9])
    path = written(record(0, 1), record(0, 2))
    bare, run = sorted(read(tmp_path).runs, key=lambda run: run.info.step_signals is not None)
    assert bare.info.step_signals is None
    assert run.info.step_signals.path == path
    path.write_bytes(HEADER + record(0, 1) + record(0, 2) + record(0, 3))  # it was not read before
    for again in (run, run.replace(id="x"), pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):
        assert again.info.step_signals.read().steps.tolist() == [1, 2, 3]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        run.info.step_signals.read()
