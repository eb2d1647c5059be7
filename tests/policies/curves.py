"""Random curves and policies, for property tests."""

import math

import numpy as np
from hypothesis import strategies as st

from replay.policies import POLICIES
from replay.policies.base import parameters
from replay.policies.combine import Modified
from replay.run import CurveBatch, pad

# few distinct values, so that ties and exact boundaries are common
VALUES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0, -0.5, -1.0, 1 - 1e-9, math.nan, math.inf, -math.inf]),
    st.floats(-2, 2),
    st.floats(allow_nan=True, allow_infinity=True),
)
MODES = st.sampled_from(["min", "max"])


@st.composite
def runs(draw, most=4, longest=14):
    """A list of (values, companions) of ragged runs."""
    made = []
    for _ in range(draw(st.integers(1, most))):
        values = draw(st.lists(VALUES, max_size=longest))
        first = draw(st.sampled_from([0, 1, 100]))
        gaps = draw(st.lists(st.integers(1, 50), min_size=len(values), max_size=len(values)))
        steps = [float(first + sum(gaps[:index])) for index in range(len(values))]
        made.append(
            (
                values,
                {"steps": steps, "epoch": [step / 64 for step in steps], "used": [3 * step + index for index, step in enumerate(steps)]},
            )
        )
    return made


def batch_of(made, mode):
    """The runs as one padded batch with every companion that a policy may need."""
    lengths = np.array([len(values) for values, _ in made], dtype=np.int64)
    columns = {"epoch": pad([np.array(along["epoch"]) for _, along in made], lengths)}
    for unit in ("tokens", "flops", "seconds", "gpu_hours", "cost"):
        columns[f"used:{unit}"] = pad([np.array(along["used"], dtype=float) for _, along in made], lengths)
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
    if str(item.type) == "int":
        return st.integers(int(minimum or 0), 4)
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
    return kind(**{item.name: draw(_parameter(item)) for item in parameters(kind)})


@st.composite
def modified_policies(draw):
    """A policy with random modifiers."""
    return Modified(
        draw(plain_policies()),
        every=draw(st.integers(1, 3)),
        smooth=draw(st.sampled_from(["none", "ema:0.3", "ema:1", "mean:1", "mean:3", "median:2", "median:3"])),
        start=float(draw(st.sampled_from([0, 1, 2, 3, 100]))),
    )
