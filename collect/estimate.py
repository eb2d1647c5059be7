"""What a training will take: from a few measured steps to time, memory, energy and cost. Plain arithmetic."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collect.config import Config

__all__ = ["Estimate", "Measurement", "Sample", "estimate", "fit_seconds", "shape_of", "together"]

#: Ranks up to each of these count as one class: the adapter's share of the work is alike.
_RANKS = (16, 64, 256)


@dataclass(frozen=True)
class Sample:
    """One measured step or batch; ``is_new`` where it is the first of its shape, which takes longer."""

    seconds: float
    tokens: int
    is_new: bool = False


@dataclass(frozen=True)
class Measurement:
    """What was measured of one shape, in seconds unless the name says otherwise.

    ``setup`` is what comes before the first step, but for the evaluation of the base model (``reference``).
    ``step`` is a step of mean length, ``evaluation`` one of all eval sets without ``generation``; each
    ``extra`` is what the batches of a shape take longer when they are met first, for all shapes together.
    ``train_examples`` is the size of the training set. Where there is no counter of energy, ``watts`` is
    None.
    """

    steps_measured: int
    evals_measured: int
    train_examples: int
    setup: float
    step: float
    step_extra: float
    evaluation: float
    evaluation_extra: float
    reference: float
    generation: float
    checkpoint: float
    checkpoint_bytes: int
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    watts: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What one run will take. ``measured`` names the run whose steps were measured; ``parts`` are seconds
    that add up to ``seconds``. What is unknown is None.
    """

    run: str
    measured: str
    steps: int
    evals: int
    seconds: float
    parts: dict[str, float]
    peak_rss_bytes: int | None
    peak_gpu_bytes: int | None
    checkpoint_bytes: int
    energy_joules: float | None
    cost: float | None

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return dataclasses.asdict(self)


def shape_of(config: Config) -> tuple[Any, ...]:
    """What decides how long a step, an eval and a checkpoint take, and how much memory they need; runs that
    are alike in it are measured once. The seed, the learning rate and the number of steps are not in it.
    """
    record = config.record()
    data = {key: value for key, value in record["data"].items() if key not in ("seed", "train_size")}
    data["all_rows"] = config.data.train_size is None
    lora = {key: value for key, value in record["lora"].items() if key not in ("r", "alpha", "dropout")}
    lora["rank_class"] = sum(config.lora.r > rank for rank in _RANKS)
    lora["drops_out"] = config.lora.dropout > 0
    ignored = (
        *("learning_rate", "seed", "max_steps", "epochs", "scheduler", "warmup_steps", "weight_decay"),
        *("plateau_patience", "plateau_factor", "eval_every", "eval_at_start", "log_every", "save_every"),
        *("resume_every", "keep_state"),
    )
    train = {key: value for key, value in record["train"].items() if key not in ignored}
    others = {key: record.get(key) for key in ("task", "model", "generation", "generic")}
    shape: tuple[Any, ...] = _frozen({**others, "data": data, "lora": lora, "train": train})
    return shape


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _frozen(inner)) for key, inner in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def fit_seconds(samples: Sequence[Sample], tokens: float) -> float:
    """Seconds of a batch of so many tokens, from batches of other lengths.

    The regression on the tokens, whose slope is neither negative nor more than proportional. Batches of a new
    shape are left out where there are others.
    """
    steady = [sample for sample in samples if not sample.is_new] or list(samples)
    seconds = sum(sample.seconds for sample in steady) / len(steady)
    mean = sum(sample.tokens for sample in steady) / len(steady)
    spread = sum((sample.tokens - mean) ** 2 for sample in steady)
    if not spread:
        return seconds if len(steady) > 1 or not mean else seconds * min(max(tokens / mean, 0.5), 2.0)
    together = sum((sample.tokens - mean) * (sample.seconds - seconds) for sample in steady)
    slope = min(max(together / spread, 0.0), seconds / mean)
    return seconds + slope * (tokens - mean)


def planned_steps(config: Config, examples: int) -> int:
    """How many steps a training of one process takes."""
    train = config.train
    if train.max_steps is not None:
        return train.max_steps
    assert train.epochs is not None
    batches = math.ceil(examples / train.batch_size)
    return math.ceil(train.epochs * math.ceil(batches / train.gradient_accumulation))


def estimate(config: Config, measurement: Measurement, measured: str, price: float | None) -> Estimate:
    """What a run takes of the shape that was measured; ``price`` is that of an hour."""
    train = config.train
    examples = measurement.train_examples if config.data.train_size is None else config.data.train_size
    steps = planned_steps(config, examples)
    evals = math.ceil(steps / train.eval_every) + train.eval_at_start
    checkpoints = _count_checkpoints(config, steps)
    kept = _count_kept(config, steps)
    parts = {
        "setup": measurement.setup,
        "steps": steps * measurement.step + measurement.step_extra,
        "evals": evals * measurement.evaluation + measurement.evaluation_extra,
        "base_model": measurement.reference,
        "generation": _count_generating(config, steps) * measurement.generation,
        "checkpoints": checkpoints * measurement.checkpoint,
    }
    seconds = sum(parts.values())
    return Estimate(
        run=config.name,
        measured=measured,
        steps=steps,
        evals=evals,
        seconds=seconds,
        parts=parts,
        peak_rss_bytes=measurement.peak_rss_bytes,
        peak_gpu_bytes=measurement.peak_gpu_bytes,
        checkpoint_bytes=kept * measurement.checkpoint_bytes,
        energy_joules=None if measurement.watts is None else measurement.watts * seconds,
        cost=None if price is None else price * seconds / 3600,
    )


def _count_generating(config: Config, steps: int) -> int:
    """At how many evals answers are generated: the first, each of a period, and the last."""
    if config.generation is None:
        return 0
    last = math.ceil(steps / config.train.eval_every)
    first = 0 if config.train.eval_at_start else 1
    return len(
        {first, last, *range(0 if first == 0 else config.generation.every, last, config.generation.every)}
    )


def _count_kept(config: Config, steps: int) -> int:
    every = config.train.save_every
    if not every:
        return int(config.train.keep_state)
    return steps // every + bool(steps % every)


def _count_checkpoints(config: Config, steps: int) -> int:
    """How many checkpoints are written, whether they stay or not."""
    every = config.train.resume_every * config.train.eval_every
    to_resume = set(range(every, steps, every)) if every else set()
    kept = (
        set(range(config.train.save_every, steps, config.train.save_every))
        if config.train.save_every
        else set()
    )
    return len(to_resume | kept) + bool(config.train.save_every or config.train.keep_state)


def together(seconds: Sequence[float], jobs: int) -> float:
    """How long runs take of which ``jobs`` are trained at once, each as soon as another has ended."""
    ends = [0.0] * jobs
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)
