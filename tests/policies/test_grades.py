import json
import math

import numpy as np
import pytest

import replay
from replay import parse_policy
from replay.data.step_signals import StepSignals, settled
from replay.engine.scoring import simulate_policies
from replay.errors import InputError, PolicyError
from replay.policies.companions import SettledModules
from replay.readers.step_signals import FILE_NAME, encode_header, encode_record
from replay.report.sentences import sentences

NAN, INF = math.nan, math.inf
COMPANION = "step_signals:weight_change_l1:0.3:1"


def test_the_companion_is_compared_strictly():
    stop = parse_policy("grades=0.01").stop_eval
    assert stop([1.0, 0.9, 0.8], columns={COMPANION: [INF, 0.01, 0.009]}) == 3
    assert stop([1.0, 0.9], columns={COMPANION: [INF, NAN]}) is None
    assert stop([], columns={COMPANION: []}) is None
    assert parse_policy("grades:tau=0.01").spec() == "grades=0.01"
    assert [companion.name for companion in parse_policy("grades").companions] == [COMPANION]
    assert parse_policy("grades:alpha=0.5,share=0.25,of=gradient_change_l1").companions == (
        SettledModules("gradient_change_l1", 0.5, 0.25),
    )


def test_settled_by_a_plain_loop():
    generator = np.random.default_rng(3)
    values = generator.exponential(size=(40, 3, 5)).astype(np.float32)
    values[generator.random(values.shape) < 0.1] = NAN
    steps = np.arange(1, 41)
    signals = StepSignals(
        {"columns": ["a", "b", "c"]}, steps, steps * 0, np.zeros((40, 2), np.float32), values
    )
    at = np.array([0.0, 5.0, 12.0, 20.0, 40.0])
    for share, needed in ((1.0, 5), (0.6, 3), (0.5, 3), (0.2, 1), (0.01, 1)):
        expected = []
        for end in at:
            lowest = []
            for module in range(5):
                seen = [values[step - 1, 1, module] for step in range(10, int(end) + 1)]
                lowest.append(min((float(one) for one in seen if not math.isnan(one)), default=INF))
            expected.append(sorted(lowest)[needed - 1])
        np.testing.assert_array_equal(settled(signals, "b", at, 10, share), expected)
    assert (
        settled(
            StepSignals({"columns": ["b"]}, steps[:0], steps[:0], np.zeros((0, 2)), np.zeros((0, 1, 5))),
            "b",
            at,
            1,
            1.0,
        ).tolist()
        == [INF] * 5
    )


def _log(tmp_path, changes, planned=10):
    """An eval log with an eval every 2 steps, and step signals: the weight change of two modules at each
    step."""
    header = {"format": "replay-eval-log", "version": 1, "run": "r", "modes": {"eval_loss": "min"}}
    lines = [{**header, **({"planned_steps": planned} if planned else {})}]
    lines += [
        {"kind": "eval", "step": step, "metrics": {"eval_loss": 1 / step}}
        for step in range(2, len(changes) + 1, 2)
    ]
    (tmp_path / "eval_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    body = encode_header(["q", "v"], [8, 8])
    for step, change in enumerate(changes, 1):
        values = np.array([[1.0, 1.0], [1.0, 1.0], change], dtype=np.float32)
        body += encode_record(0, step, np.zeros(2, dtype=np.float32), values)
    (tmp_path / FILE_NAME).write_bytes(body)
    return replay.load(tmp_path)


# below 0.25 are q at steps 1, 4, 7, and v at steps 2 and 5
CHANGES = [[0.125, 1], [1, 0.125], [1, 1], [0.125, 1], [1, 0.125], [1, 1], [0.125, 1], [1, 1], [1, 1], [1, 1]]


def test_it_reads_what_collect_logs(tmp_path):
    runs = _log(tmp_path, CHANGES)
    # alpha 0.3 of 10 steps: steps 3 and later count; q has settled by step 4, v by step 5: eval 3 (step 6)
    outcomes = simulate_policies(
        runs,
        [
            "grades=0.25",
            "grades=0.25,share=0.5",
            "grades=0.25,alpha=0.7",
            "grades=0.125",
            "grades=0.25,alpha=0",
        ],
    )
    assert [row["stopped_eval"] for row in outcomes.rows()] == [3, 2, None, None, 1]
    assert (
        outcomes.rows()[0]["reason"] == "every module had a step with a change of 0.125 or less: below 0.25"
    )
    assert any(text.startswith("grades is approximate") for text in sentences(outcomes.findings))


def test_logs_without_step_signals_are_refused_by_name(tmp_path):
    runs = _log(tmp_path, CHANGES, planned=None)
    with pytest.raises(
        InputError,
        match=r"grades needs step_signals.bin beside its eval log, and planned steps, which no run logs",
    ):
        simulate_policies(runs, ["grades"])
    runs = _log(tmp_path, CHANGES)
    (tmp_path / FILE_NAME).write_bytes(b"not what it says\n")
    with pytest.raises(InputError, match=r"needs step_signals\.bin"):
        simulate_policies(runs, ["grades"])
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(InputError, match=r"needs step_signals\.bin"):
        simulate_policies(runs, ["grades"])


@pytest.mark.parametrize("spec", ["grades:alpha=1.5", "grades:share=0", "grades:share=2"])
def test_parameters_that_cannot_be(spec):
    with pytest.raises(PolicyError, match="alpha is from 0 to 1, and share above 0"):
        parse_policy(spec)


def test_reasons():
    decide = parse_policy("grades=0.25,share=0.5").decide
    companion = "step_signals:weight_change_l1:0.3:0.5"
    assert (
        decide([1.0], columns={companion: [INF]}).reason
        == "no step counts yet (they do from 0.3 of the planned steps on)"
    )
    assert (
        decide([1.0], columns={companion: [0.5]}).reason
        == "0.5 of the modules had a step with a change of 0.5 or less: not below 0.25"
    )
