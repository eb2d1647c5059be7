"""Random curves and policies, for property tests."""

import math
import random

import numpy as np
from hypothesis import strategies as st

from replay.data.curve import CurveBatch, pad
from replay.policies import POLICIES
from replay.policies.modify import Modified
from replay.policies.param import parameters, type_of

# few distinct values, so that ties and exact boundaries are common
VALUES = st.one_of(
    st.sampled_from(
        [
            0.0,
            0.1,
            0.2,
            0.25,
            0.3,
            0.5,
            0.7,
            0.75,
            0.8,
            0.9,
            1.0,
            -0.5,
            -1.0,
            1 - 1e-9,
            math.nan,
            math.inf,
            -math.inf,
        ]
    ),
    st.floats(-2, 2),
    st.floats(allow_nan=True, allow_infinity=True),
)
MODES = st.sampled_from(["min", "max"])
# companions, by the name under which a policy asks for them: mostly falling or settling, with all that a log
# may hold
COMPANIONS = {
    "planned_steps": [300.0],
    "finished_epochs": [0.0, 1.0, 2.0, 3.0, 4.0, 6.0],
    "finished_steps": [0.0, 1.0, 2.0, 3.0, 5.0, 8.0],
    "learning_rate": [1.0, 1.0, 0.5, 0.5, 0.6, 0.25, 0.1, 2.0, 0.0, math.nan],
    "signals/relative_change": [0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0, math.nan],
    "signals/stable_rank": [1.0, 1.0, 1.25, 1.3, 2.0, 0.0, math.nan],
    "eval_generic_loss": [1.0, 1.0, 1.1, 1.25, 1.5, 2.0, math.nan, math.inf],
    "reference:eval_generic_loss": [1.0],
    "train_loss": [
        1.0,
        0.9,
        0.8,
        0.75,
        0.5,
        0.5,
        0.25,
        0.1,
        1e-9,
        2.0,
        1.0,
        0.7,
        0.0,
        -0.5,
        math.nan,
        math.inf,
    ],
}
STEP_SIGNALS = ("step_signals:weight_change_l1:0.3:1", "step_signals:gradient_change_l1:0.3:1")


@st.composite
def runs(draw, most=4, longest=14):
    """A list of (values, companions) of ragged runs."""
    made = []
    for _ in range(draw(st.integers(1, most))):
        values = draw(st.lists(VALUES, max_size=longest))
        first = draw(st.sampled_from([0, 1, 100]))
        gaps = draw(st.lists(st.integers(1, 50), min_size=len(values), max_size=len(values)))
        steps = [float(first + sum(gaps[:index])) for index in range(len(values))]
        along = {
            "steps": steps,
            "epoch": [step / 64 for step in steps],
            "used": [3 * step + index for index, step in enumerate(steps)],
        }
        along["tokens"] = [64 * step + index for index, step in enumerate(steps)]
        chance = random.Random(
            draw(st.integers(0, 2**16))
        )  # one draw for all of them: hypothesis takes its time for each
        for name, numbers in COMPANIONS.items():
            along[name] = [chance.choice(numbers) for _ in values]
        for name in STEP_SIGNALS:
            along[name] = along["signals/relative_change"]
        made.append((values, along))
    return made


def batch_of(made, mode):
    """The runs as one padded batch with every companion that a policy may need."""
    lengths = np.array([len(values) for values, _ in made], dtype=np.int64)
    columns = {"epoch": pad([np.array(along["epoch"]) for _, along in made], lengths)}
    for unit in ("tokens", "flops", "seconds", "gpu_hours", "cost"):
        columns[f"used:{unit}"] = pad([np.array(along["used"], dtype=float) for _, along in made], lengths)
    for name in ("tokens", *STEP_SIGNALS, *COMPANIONS):
        columns[name] = pad([np.array(along.get(name, []), dtype=float) for _, along in made], lengths)
    return CurveBatch(
        pad([np.array(values, dtype=float) for values, _ in made], lengths),
        pad([np.array(along["steps"]) for _, along in made], lengths),
        lengths,
        mode,
        columns,
    )


def _parameter(item):
    choices, minimum = item.metadata["choices"], item.metadata["minimum"]
    if choices:
        return st.sampled_from(choices)
    if item.default is None:
        return st.sampled_from([None, 0.0, 0.25, 0.5, 0.9])
    if type_of(item) == "bool":
        return st.booleans()
    if item.name == "monitor":
        return st.sampled_from(["val_loss", "eval_loss"])
    if type_of(item) == "int":
        low = (
            1 if minimum is None else int(minimum)
        )  # a patience without a bound refuses 0 in words of its own, or is off there
        return st.integers(low, max(4, low + 2))
    if item.name in ("alpha", "share"):
        return st.just(item.default)  # they are in the name of the companion
    if item.name == "horizon":
        return st.sampled_from([0.0, 120.0, 1000.0])
    if item.name == "confidence":
        return st.sampled_from([0.5, 0.6, 0.8, 0.95])
    if item.name == "patience":
        return st.integers(1, 4)
    if item.name == "budget":
        return st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0, 250.0])
    low = 0.0 if minimum is not None else -1.0
    return st.sampled_from([low, 0.0, 0.1, 0.25, 0.3, 0.5])


@st.composite
def plain_policies(draw, kinds=None):
    """A policy of the table with random parameters."""
    kind = draw(st.sampled_from(list(kinds or POLICIES.values())))
    given = {item.name: draw(_parameter(item)) for item in parameters(kind)}
    if given.get("od_type") == "Iter":
        del given["od_pval"]  # CatBoost takes it with its other detector only
    return kind(**given)


def mirrors(policy):
    """Whether the rule is the same for min as for max with the sign turned: no parameter has the metric's
    sign, no formula differs."""
    if hasattr(policy, "policy"):
        return mirrors(policy.policy)
    if hasattr(policy, "parts"):
        return all(mirrors(part) for part in policy.parts)
    signed = (
        "target",
        "divergence",
        "baseline",
        "stopping_threshold",
        "divergence_threshold",
        "metric_threshold",
    )
    return not (
        any(getattr(policy, name, None) is not None for name in signed)
        or getattr(policy, "threshold_mode", "abs") == "rel"
        or policy.name in ("gl", "pq")  # defined for errors above 0 only
        or policy.name == "tutorial"  # lower is better in both modes
        or (policy.name == "xgboost" and policy.min_delta)  # best - d > v, but v - d > best
    )


@st.composite
def modified_policies(draw):
    """A policy with random modifiers."""
    return Modified(
        draw(plain_policies()),
        every=draw(st.integers(1, 3)),
        smooth=draw(
            st.sampled_from(["none", "ema:0.3", "ema:1", "mean:1", "mean:3", "median:2", "median:3"])
        ),
        start=draw(st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.0, 100.0, "lr_warmup"])),
        reset_on=draw(st.sampled_from(["none", "none", "lr_drop"])),
    )
