"""The trainings that trackers logged into the files of ``trackers``: an eval every 25 of 200 steps."""

import math
from pathlib import Path

TRACKERS = Path(__file__).parent / "trackers"
STEPS = [float(step) for step in range(25, 201, 25)]


def losses(seed, lower=0.0):
    """The validation loss by step."""
    values = {}
    for number, step in enumerate(STEPS):
        loss = 1.9 * math.exp(-step / 70) + 0.35 + 0.0009 * step + 0.021 * math.sin(3.1 * number + seed)
        values[step] = round(round(loss, 9) - lower, 9)
    return values


def accuracies(seed):
    """The validation accuracy by step."""
    values = {}
    for number, step in enumerate(STEPS):
        accuracy = 0.9 - 0.45 * math.exp(-step / 80) + 0.006 * math.cos(2.3 * number + seed)
        values[step] = round(accuracy, 9)
    return values


def cuts(path, tmp_path, read, every=13):
    """What ``read`` makes of a file that is cut off, at every few bytes and near its end, under its own name.

    The contract tests cut the golden file of each format at every byte.
    """
    whole = path.read_bytes()
    short = tmp_path / path.name
    for size in sorted({*range(0, len(whole), every), *range(max(len(whole) - 40, 0), len(whole))}):
        short.write_bytes(whole[:size])
        yield size, read(short)
