import json
import math

import pytest

import replay
from replay import parse_policy
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, PolicyError

NAN, INF = math.nan, math.inf
CHANGE, RANK, GENERIC = "signals/relative_change", "signals/stable_rank", "eval_generic_loss"


@pytest.mark.parametrize(
    ("spec", "change", "stop"),
    [
        ("adapter=0.01,patience=2", [NAN, 0.4, 0.009, 0.02, 0.009, 0.008], 6),
        ("adapter=0.01,patience=1", [NAN, 0.4, 0.009], 3),
        ("adapter=0.01,patience=1", [NAN, 0.01], None),  # strictly below
        ("adapter=0.01", [NAN, 0, 0, 0], 4),  # patience 3
        ("adapter=0.01,patience=2", [NAN, 0.001, NAN, 0.001], None),  # what is not known breaks the row
        ("adapter=0.01,patience=1", [NAN, INF], None),
        ("adapter=0.01,patience=1", [NAN], None),
        ("adapter=0.01,patience=1", [], None),
    ],
)
def test_adapter(spec, change, stop):
    assert parse_policy(spec).stop_eval([1.0] * len(change), columns={CHANGE: change}) == stop


def test_adapter_with_its_rank():
    # the stable rank changes by 0.5, 0.0667, 0.0625, 0
    columns = {CHANGE: [NAN, 0.1, 0.001, 0.001, 0.001], RANK: [1.0, 1.5, 1.6, 1.7, 1.7]}
    assert parse_policy("adapter=0.01,patience=1").stop_eval([1.0] * 5, columns=columns) == 3
    assert parse_policy("adapter=0.01,patience=1,rank=0.065").stop_eval([1.0] * 5, columns=columns) == 4
    assert parse_policy("adapter=0.01,patience=2,rank=0.065").stop_eval([1.0] * 5, columns=columns) == 5
    assert (
        parse_policy("adapter=0.01,patience=1,rank=0.065").stop_eval(
            [1.0] * 5, columns={**columns, RANK: [NAN] * 5}
        )
        is None
    )
    with pytest.raises(PolicyError, match="needs signals/stable_rank"):
        parse_policy("adapter=0.01,rank=0.1").stop_eval([1.0], columns={CHANGE: [0.1]})


@pytest.mark.parametrize(
    ("spec", "mode", "metric", "generic", "stop"),
    [
        # rises 0, 0.05, 0.2, 0.3; gains 0, 0.5, 0.6, 0.55
        ("drift=0.1,min_gain=0.58", "min", [2.0, 1.5, 1.4, 1.45], [3.0, 3.05, 3.2, 3.3], 4),
        ("drift=0.1,min_gain=0.7", "min", [2.0, 1.5, 1.4, 1.45], [3.0, 3.05, 3.2, 3.3], 3),
        ("drift=0.1,min_gain=0.5", "min", [2.0, 1.5, 1.4, 1.45], [3.0, 3.05, 3.2, 3.3], None),
        ("drift=0.1,min_gain=0.58", "max", [-2.0, -1.5, -1.4, -1.45], [3.0, 3.05, 3.2, 3.3], 4),
        ("drift=0.25,min_gain=9", "min", [2.0, 2.0], [3.0, 3.25], None),  # strictly more
        ("drift=0.25,min_gain=0", "min", [2.0, 2.0], [3.0, 3.5], None),  # a gain of 0 is not less than 0
        ("drift=0.25,min_gain=0", "min", [2.0, 2.1], [3.0, 3.5], 2),
        (
            "drift=0.25,min_gain=1",
            "min",
            [2.0, NAN, 2.0],
            [NAN, 9.0, 9.5],
            3,
        ),  # from the first values that there are
        ("drift=0.25,min_gain=1", "min", [NAN, 2.0], [3.0, NAN], None),
        ("drift=0.25,min_gain=1", "min", [2.0, 2.0], [3.0, INF], 2),
        ("drift=0.25,min_gain=1", "min", [2.0], [3.0], None),
        ("drift=0.25,min_gain=1", "min", [], [], None),
    ],
)
def test_drift(spec, mode, metric, generic, stop):
    assert parse_policy(spec).stop_eval(metric, mode=mode, columns={GENERIC: generic}) == stop


def test_drift_from_the_base_model():
    columns = {GENERIC: [3.2, 3.3], f"reference:{GENERIC}": [3.0, 3.0]}
    assert parse_policy("drift=0.15,min_gain=1,base=model").stop_eval([1.0, 1.0], columns=columns) == 1
    assert parse_policy("drift=0.15,min_gain=1").stop_eval([1.0, 1.0], columns=columns) is None


def _log(tmp_path, signals, reference=True, generic=(3.0, 3.1, 3.3, 3.5)):
    """An eval log as collect writes it: signals of the adapter from the second eval on, generic text from the
    first."""
    records = [
        {
            "format": "replay-eval-log",
            "version": 1,
            "run": "r",
            "modes": {"eval_loss": "min", GENERIC: "min"},
            "monitor": "eval_loss",
        }
    ]
    if reference:
        records.append({"kind": "reference", "metrics": {"eval_loss": 2.5, GENERIC: 2.9}})
    for number, (loss, other) in enumerate(zip((2.0, 1.5, 1.45, 1.44), generic, strict=True)):
        change = None if number == 0 else (0.5, 0.009, 0.008)[number - 1]
        record = {
            "kind": "eval",
            "step": 10 * (number + 1),
            "metrics": {"eval_loss": loss, **({} if other is None else {GENERIC: other})},
        }
        if signals:
            record["signals"] = {
                "delta_norm": 0.1,
                "delta_ratio": 0.01,
                "cosine": None,
                "relative_change": change,
                "stable_rank": 1.5,
            }
        records.append(record)
    (tmp_path / "eval_log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return replay.load(tmp_path)


def test_both_read_what_collect_logs(tmp_path):
    specs = [
        "adapter=0.01,patience=2",
        "adapter=0.01,patience=1,rank=0.1",
        "drift=0.2,min_gain=0.6",
        "drift=0.25,min_gain=0.6,base=model",
    ]
    rows = simulate_policies(_log(tmp_path, signals=True), specs).rows()
    assert [row["stopped_eval"] for row in rows] == [4, 3, 3, 3]
    assert rows[0]["reason"] == "the adapter changed by 0.008: settled at 2 of 2 evals in a row"
    assert (
        rows[1]["reason"]
        == "the adapter changed by 0.009 and its stable rank by 0: settled at 1 of 1 evals in a row"
    )
    assert rows[2]["reason"] == "the loss on generic text rose by 0.3 for a gain of 0.55: less than 0.6"
    assert rows[3]["reason"] == "the loss on generic text rose by 0.4 for a gain of 0.55: less than 0.6"


def test_logs_that_lack_them_are_refused_by_name(tmp_path):
    runs = _log(tmp_path, signals=False, reference=False, generic=(None,) * 4)
    with pytest.raises(InputError, match=r"adapter=0.01 needs signals/relative_change, which no run logs"):
        simulate_policies(runs, ["adapter=0.01"])
    with pytest.raises(InputError, match=r"drift=0.1,min_gain=1 needs eval_generic_loss, which no run logs"):
        simulate_policies(runs, ["drift=0.1,min_gain=1"])
    runs = _log(tmp_path, signals=False, reference=False)
    with pytest.raises(InputError, match=r"needs the base model's eval_generic_loss, which no run logs"):
        simulate_policies(runs, ["drift=0.1,min_gain=1,base=model"])


def test_an_eval_without_generic_text_cannot_stop(tmp_path):
    (row,) = simulate_policies(
        _log(tmp_path, signals=True, generic=(3.0, None, None, 3.5)), ["drift=0.2,min_gain=0.6"]
    ).rows()
    assert row["stopped_eval"] == 4


def test_reasons():
    decide = parse_policy("adapter=0.01,rank=0.1").decide
    assert (
        decide([1.0], columns={CHANGE: [NAN], RANK: [1.0]}).reason == "the adapter's change is not known here"
    )
    assert (
        decide([1.0], columns={CHANGE: [0.01], RANK: [1.0]}).reason
        == "the adapter changed by 0.01: not below 0.01"
    )
    told = decide([1.0] * 2, columns={CHANGE: [0.5, 0.001], RANK: [1.0, 1.5]}).reason
    assert told == "the adapter changed by 0.001, but its stable rank by 0.5: not below 0.1"
    assert "stable rank is not known" in decide([1.0], columns={CHANGE: [0.001], RANK: [1.0]}).reason
    decide = parse_policy("drift=0.1,min_gain=1").decide
    assert (
        decide([1.0], columns={GENERIC: [3.0]}).reason == "the loss on generic text rose by 0: not above 0.1"
    )
    assert decide([1.0], columns={GENERIC: [NAN]}).reason == "the loss on generic text is not known here"
    assert (
        decide([2.0, 0.5], columns={GENERIC: [3.0, 4.0]}).reason
        == "the loss on generic text rose by 1 for a gain of 1.5: at least 1"
    )
