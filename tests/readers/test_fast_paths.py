"""What is read fast is what a plain loop over the same input gives."""

import json
import math
import re
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replay.data.info import RunInfo
from replay.data.run import Run, Series
from replay.readers import assemble as module
from replay.readers.agreement import LoggedCurve, measure_together
from replay.readers.assemble import assemble
from replay.readers.csv_table import ABSENT, _Rows, cell_number
from replay.readers.duplicates import _Index
from replay.readers.flatten import flat_numbers
from replay.readers.formats.trainer_state import _points, _step
from replay.readers.json_parser import parse_json, parser
from replay.readers.layout import _Evals
from replay.readers.points import Points, PointsBuilder, StepOrder, number
from replay.readers.runs_in_table import trainings_of
from replay.readers.segments import Segment, _Turns, merge_segments
from replay.readers.shared_arrays import shared
from replay.readers.text_files import _File, _open_large, open_text, read_whole

NUMBERS = st.one_of(
    st.integers(-(10**400), 10**400),
    st.integers(-5, 5),
    st.floats(),
    st.booleans(),
    st.sampled_from(["0.5", "x"]),
)


@given(st.dictionaries(st.text(max_size=3), NUMBERS, max_size=6))
def test_numbers_of_a_plain_row(record):
    expected = {name: value for name, item in record.items() if (value := number(item)) is not None}
    found = flat_numbers(record)
    assert list(found) == list(expected)
    assert np.array_equal(list(found.values()), list(expected.values()), equal_nan=True)
    assert all(type(value) is float for value in found.values())


def cell_by_rules(cell, delimiter):
    text = cell.strip()
    if text.lower() in ABSENT or "_" in text:
        return None
    comma = re.fullmatch(r"[-+]?(\d+),(\d+)(e[-+]?\d+)?", text, re.IGNORECASE)
    if comma is not None and (delimiter != "," or comma[1] == "0" or len(comma[2]) != 3):
        text = text.replace(",", ".")
    elif re.fullmatch(r"[-+]?([1-9]\d{0,2}(,\d{3})+(\.\d+)?|(\d+\.?\d*|\.\d+)\s?%)", text):
        text = text.replace(",", "").rstrip("% ")
    try:
        return float(text)
    except ValueError:
        return None


CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            "None ",
            "-",
            "nan",
            "-inf",
            "1_000",
            "1,5",
            " 2,5e3",
            "1,250",
            "0,250",
            "5 %",
            "3;4",
            "٣",
        ]
    ),
    st.floats().map(str),
    st.text("0123456789.,eE+-_ ", max_size=8),
    st.text(max_size=5),
)


@given(CELLS, st.sampled_from(",;\t"))
def test_the_value_of_a_cell(cell, delimiter):
    found, expected = cell_number(cell, delimiter), cell_by_rules(cell, delimiter)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def is_interleaved(step, begin, index, before):
    """Whether a turn back is that of two writers, point by point."""
    old = step[begin:index]
    top = old.max()
    few = 8 if before else 2
    new = step[index : index + few + 2]
    fall = np.flatnonzero(np.diff(new) < 0)
    new = new[: fall[0] + 1] if len(fall) else new
    again = new[new <= top]
    if len(again) > few:
        return False
    if before or new[-1] <= top:
        return before
    passed = np.unique(old[old > step[index]])
    return not np.isin(passed, again).all() or not np.isin(again, old).any()


@given(st.lists(st.integers(0, 12), min_size=3, max_size=40), st.integers(0, 20), st.booleans())
def test_turns_back_of_two_writers(steps, start, before):
    step = np.array(steps, dtype=float)
    points = Points(np.arange(len(step)), step, np.zeros(len(step)))
    for index in (np.flatnonzero(np.diff(step) < 0) + 1).tolist():
        if start < index:
            expected = is_interleaved(step, start, index, before)
            assert _Turns(points, start).is_interleaved(index, before) == expected


@given(st.lists(st.integers(0, 30), max_size=20))
def test_one_segment_has_the_first_value_of_each_step(steps):
    step = np.array(steps, dtype=float)
    points = Points(np.arange(len(step)), step, np.arange(len(step)) / 7)
    merged, segment, repeated, overlapped = merge_segments(points, [Segment(0, None)])
    unique, first = np.unique(step, return_index=True)
    assert merged.step.tolist() == unique.tolist()
    assert merged.value.tolist() == (first / 7).tolist()
    assert segment.tolist() == [0.0] * len(unique)
    assert (repeated, overlapped) == (len(step) - len(unique), 0)


VALUES = st.one_of(
    st.integers(1, 3).map(float),
    st.floats(0.5, 0.501).map(lambda value: round(value, 4)),
    st.floats(0.5, 0.501),
    st.sampled_from([math.nan, math.inf, 0.0, 1e-300, -0.5]),
)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=8))
def test_series_near_a_point(series):
    curves = [
        LoggedCurve(owner, "loss", np.arange(len(values), dtype=float), np.array(values), True)
        for owner, values in enumerate(series)
    ]
    points = [point for curve in curves for point in curve.anchors if math.isfinite(point[1])]
    found = _Index(curves, {step for step, _ in points}).near(points) if points else []
    for (step, value), owners in zip(points, found, strict=True):
        reach = max(6e-4 * abs(value), 6e-5)
        for curve in curves:
            near = [
                other
                for at, other in zip(curve.step.tolist(), curve.value.tolist(), strict=True)
                if abs(at - step) <= 1 and abs(other - value) <= 0.999 * reach
            ]
            rounded = [other for other in (value, *near) if float(f"{other:.9e}") == other]
            same = any(np.float32(other) == np.float32(value) for other in near)
            if same or (near and (len(rounded) == len(near) + 1)):
                assert curve.owner in owners
            if not any(
                abs(at - step) <= 1 and abs(other - value) <= 1.001 * reach
                for at, other in zip(curve.step.tolist(), curve.value.tolist(), strict=True)
            ):
                assert curve.owner not in owners


def test_unrounded_values_that_differ_are_not_near():
    step, one = np.arange(3.0), np.array([0.9, 0.8, 0.512345678912345])
    curves = [
        LoggedCurve(0, "loss", step, one, True),
        LoggedCurve(1, "loss", step, one + 1e-5, True),
        LoggedCurve(2, "loss", step, np.round(one, 4), True),
        LoggedCurve(3, "loss", step, one.astype(np.float32).astype(float), True),
    ]
    index = _Index(curves, {2.0})
    assert index.near([(2.0, float(one[2]))]) == [{0, 2, 3}]


@given(
    st.lists(st.lists(st.floats(), min_size=4, max_size=4), min_size=1, max_size=6),
    st.lists(st.lists(st.floats(width=16), min_size=1, max_size=3), max_size=6),
)
def test_series_of_the_same_steps_are_measured_at_once(alike, others):
    shared, curves = np.arange(4.0), []
    for values in alike:
        curves.append(LoggedCurve(0, "loss", shared, np.array(values), True))
    for values in others:
        curves.append(LoggedCurve(0, "loss", np.arange(float(len(values))), np.array(values), True))
    for seed, step in enumerate([np.arange(200.0), np.arange(70.0)]):
        drawn = np.random.default_rng(seed).integers(0, 40, (3, len(step))).astype(float)
        curves += [LoggedCurve(0, "loss", step, value, True) for value in drawn]
    alone = [replace(curve) for curve in curves]
    measure_together(curves)
    assert [curve.distinct for curve in curves] == [curve.distinct for curve in alone]
    assert [repr(curve.anchors) for curve in curves] == [repr(curve.anchors) for curve in alone]


NAMES = ["loss", "grad_norm", "learning_rate", "epoch", "eval_loss", "eval_acc", "tokens", "eval runtime"]
STEPS = st.lists(st.one_of(st.integers(0, 9).map(float), st.floats(0, 9)), max_size=8).map(sorted)


@st.composite
def logged_points(draw):
    """Points of some names, most of which never go back, and other values at the same steps."""
    tracks = draw(st.lists(STEPS, min_size=1, max_size=3))
    points, again = {}, {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
        steps = draw(st.sampled_from(tracks))
        if draw(st.integers(0, 9)) == 0:
            steps = draw(st.permutations(steps))
        first = draw(st.integers(0, 3))
        order = shared(np.arange(first, first + 2 * len(steps), 2))
        step = shared(np.array(steps, dtype=float))
        for target in (points, again):
            values = draw(st.lists(st.floats(), min_size=len(steps), max_size=len(steps)))
            target[name] = Points(order, step, np.array(values, dtype=float))
    return points, again


def parts_of(run):
    columns = {
        name: (column.values.tobytes(), column.present.tobytes()) for name, column in run.columns.items()
    }
    train = {name: (series.step.tobytes(), series.value.tobytes()) for name, series in run.train.items()}
    return run.id, list(run.columns), columns, list(run.train), train, repr(run.info.stated())


@given(logged_points(), st.booleans(), st.sampled_from(["step", "epoch"]))
def test_what_follows_from_steps_alone_is_found_once(logged, zero_based, unit):
    """Runs that share their steps are made as if each were the only one."""
    given_ = {
        "held_out": {"eval_loss", "eval_acc"},
        "epoch": "epoch",
        "counters": {"tokens": "tokens", "eval runtime": "eval_seconds"},
        "companions": {"loss": "train_loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm"},
        "zero_based": zero_based,
        "hint": lambda steps: {"tool": "csv", "every": round(steps)},
    }
    info = RunInfo(step_unit=unit, trained_steps=3)
    with np.errstate(all="ignore"):
        found = [list(map(parts_of, assemble("a", points, info=info, **given_))) for points in logged]
        known, module._known_plain = module._known_plain, lambda *_: None
        try:
            expected = [list(map(parts_of, assemble("a", points, info=info, **given_))) for points in logged]
        finally:
            module._known_plain = known
    assert found == expected


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.floats(),
        st.integers(-(10**400), 10**400),
        st.text(st.characters(codec=None), max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


DAMAGE = st.sampled_from(["", "1e999", "NaN", "-", '"', "\\ud800", "[", "\0"])


@given(JSON, st.booleans(), st.one_of(st.none(), st.tuples(st.integers(0, 99), DAMAGE)))
@example([1e-400, -0.0, 10**400, "\ud800"], False, None)
def test_both_parsers_of_json_give_the_same(value, escaped, damage):
    text = json.dumps(value, ensure_ascii=escaped)
    if damage is not None:
        at = damage[0] % len(text)
        text = text[:at] + damage[1] + text[at + 1 :]
    try:
        expected = repr(json.loads(text))
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - of either parser
            parse_json(text)
        return
    assert repr(parse_json(text)) == expected


def test_json_without_the_fast_parser(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    parser.cache_clear()
    try:
        assert parser() is json.loads
    finally:
        monkeypatch.undo()
        parser.cache_clear()
    assert parser() is not json.loads


def test_a_run_with_another_id_has_the_same_parts():
    points = {"loss": Points(np.arange(3), np.arange(3.0), np.arange(3.0))}
    points["eval_loss"] = points["loss"]
    (run,) = assemble("a", points, held_out={"eval_loss"}, info=Run("b", {"step": [1.0]}).info)
    other = run.replace(id="c")
    assert (other.id, other.info, other.metrics) == ("c", run.info, run.metrics)
    assert other.columns is run.columns
    assert other.train is run.train
    assert (run.id, len(other)) == ("a", 3)


BYTES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\xef\xbb\xbf", b"\xef\xbb", b"\xff\xfe", b"\x1f\x8b", b"\0", b"\r", b"\n", b"\r\n"]
        ),
        st.text(max_size=5).map(str.encode),
        st.binary(max_size=3),
    ),
    max_size=8,
).map(b"".join)


@given(BYTES)
def test_a_small_text(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "small.txt"
    path.write_bytes(data)
    try:
        with _open_large(_File(path), path) as large:
            lines = list(large)
        with _open_large(_File(path), path) as large:
            whole, findings = large.read(), large.findings(path)
    except OSError:  # a damaged gzip file
        return
    with open_text(path) as small:
        assert list(small) == lines
        small.seek(0)
        assert (small.readline(), small.read()) == ("".join(lines[:1]), "".join(lines[1:]))
    assert read_whole(path) == (whole, findings)


def same_points(found, expected):
    assert list(found) == list(expected)
    for name, series in found.items():
        for one, other in zip(series, expected[name], strict=True):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()


HEADERS = st.lists(
    st.sampled_from(["step", "epoch", "val_loss", "loss", "lr", "split", "seed", "is_val", "", "x__MIN"]),
    min_size=1,
    max_size=4,
)
TABLE_CELLS = st.one_of(
    st.floats().map(str),
    st.integers(0, 20).map(str),
    st.sampled_from(["", " 3 ", "nan", "1_0", "val", "3/10", "step", "NA"]),
)


@st.composite
def tables(draw):
    header = draw(HEADERS)
    plain = st.lists(st.floats(0, 9).map(str), min_size=len(header), max_size=len(header))
    others = st.lists(TABLE_CELLS, max_size=len(header) + 1)
    return header, draw(st.lists(st.one_of(plain, plain, plain, others), max_size=12))


@given(tables(), st.integers(1, 5), st.booleans(), st.booleans())
@example((["step"], [["0.0"], ["", "1_0"], ["0.0"], []]), 1, False, False)
def test_rows_of_a_table_in_blocks(table, size, ended, by_epoch):
    header, rows = table
    one_by_one, blocks = (_Rows(",".join(header), by_epoch=by_epoch) for _ in range(2))
    if one_by_one.key is None:
        return
    for row in rows:
        one_by_one.take(row)
    for at in range(0, len(rows), size):
        blocks.take_all(rows[at : at + size], whole=at + size < len(rows) or ended)
    text = "".join(",".join(row) + "\n" for row in rows)
    whole = _Rows(",".join(header), by_epoch=by_epoch)
    if ended and whole.take_text(text):
        assert whole.finish(ended)
        blocks = whole
    assert blocks.finish(ended) == one_by_one.finish(ended)
    same_points(blocks.points.points(), one_by_one.points.points())
    assert blocks.first_cells().keys() == one_by_one.first_cells().keys()
    assert trainings_of(blocks.placed) == trainings_of(one_by_one.placed)
    for name in ("rows", "longer", "without_step", "placed", "first", "names", "key"):
        assert getattr(blocks, name) == getattr(one_by_one, name)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(
            [
                "step",
                "epoch",
                "loss",
                "eval_loss",
                "eval_runtime",
                "test_runtime",
                "train_runtime",
                "total_flos",
            ]
        ),
        st.one_of(st.integers(0, 5), st.floats(0, 5), st.just(math.nan)),
        max_size=5,
    ),
    max_size=12,
)


@given(ROWS)
def test_rows_of_a_history_by_their_names(rows):
    state = {"epoch": 2.0, "global_step": 10}
    points, held_out, summary = _points(rows, state)
    plain, metrics, totals = PointsBuilder(), set(), {}
    for row in rows:
        if "train_runtime" in row:
            totals["train_runtime"] = totals.get("train_runtime", 0.0) + float(row["train_runtime"])
            totals |= {"total_flos": float(row["total_flos"])} if "total_flos" in row else {}
            continue
        step = row["step"] if "step" in row else _step(row, state)
        if step is None:
            continue
        names = tuple(name for name in row if name in ("epoch", "loss", "eval_loss", "total_flos"))
        metrics |= {"eval_loss"} & row.keys()
        if set(names) - {"epoch"}:
            plain.add(step, row, names)
        if parts := {name: row[name] for name in row if name.endswith("runtime")}:
            plain.add_parts(step, "eval runtime", parts)
    same_points(points.points(), plain.points())
    assert (points.row, held_out) == (plain.row, metrics)
    assert repr(summary) == repr(totals)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=60), st.data())
def test_means_since_the_eval_before(values, data):
    series = Series(np.arange(1.0, len(values) + 1), np.array(values))
    steps = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) + 2), max_size=20))), dtype=float)
    with np.errstate(all="ignore"):
        found = _Evals(steps).mean_since(series.step, series.value)
        expected, before = [], 0
        for step in steps.tolist():
            until = max(min(int(step), len(values)), before)
            part = series.value[before:until]
            expected.append(np.add.reduce(part) / len(part) if len(part) else math.nan)
            before = until
    assert found.present.tolist() == [
        len(values) >= 1 and later > earlier
        for earlier, later in pairwise([0, *(min(int(step), len(values)) for step in steps)])
    ]
    assert np.array_equal(found.values, np.array(expected, dtype=float), equal_nan=True)


@given(st.lists(st.one_of(st.floats(), st.integers(0, 9).map(float)), max_size=6))
def test_steps_that_ascend(steps):
    order = StepOrder()
    array = np.array(steps, dtype=float)
    expected = all(map(math.isfinite, steps)) and all(later > earlier for earlier, later in pairwise(steps))
    assert order.ascends(array) == order.ascends(array) == expected
