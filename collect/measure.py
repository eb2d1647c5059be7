"""Measures what a training takes: a few real steps and evals of one batch, in a folder that is removed."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from collect.config import Config
from collect.estimate import Measurement, Sample, fit_seconds
from collect.eval_log import read_existing_log
from collect.examples import padded_width
from collect.flops import Meter
from collect.machine import Energy, peak_memory
from collect.resume import Plan
from collect.train import prepare

__all__ = ["measure"]

#: How many steps are measured; in the middle and at the end of them there is an eval.
_STEPS = 8
#: How many batches are looked at to find their mean length and how many shapes they have.
_BATCHES = 2000

_Examples = Sequence[Mapping[str, Any]]


def measure(config: Config, cache: Path, began: float) -> Measurement:
    """Train a few steps as the config says, and give what they took; ``began`` is when the process was ready,
    by `time.perf_counter`.

    The longest examples are tried first, so that the memory is that of the whole training. Raises InputError
    where the training could not begin.
    """
    steps = _STEPS if config.train.max_steps is None else max(min(config.train.max_steps, _STEPS), 2)
    small = dataclasses.replace(
        config,
        train=dataclasses.replace(
            config.train,
            max_steps=steps,
            epochs=None,
            eval_every=steps // 2,
            eval_at_start=False,
            log_every=None,
            save_every=0,
            resume_every=0,
            keep_state=True,
        ),
    )
    with tempfile.TemporaryDirectory(prefix="collect-") as temporary:
        folder = Path(temporary) / config.name
        prepared = prepare(small, folder, cache, Plan(False, None, None, small))
        trainer = prepared.trainer
        whole = _Whole(config, prepared.splits["train"], dict(trainer.sets), dict(trainer.prompts))
        trainer.sets = {name: _middle(examples, config) for name, examples in whole.sets.items()}
        trainer.prompts = {
            name: prompts[: config.train.eval_batch_size] for name, prompts in whole.prompts.items()
        }
        trainer.meter = watch = _Watch(prepared.log, trainer.args.device)
        clock = _Clock(trainer.args.device)
        trainer.callback_handler.callbacks.insert(0, clock)
        with prepared.running():
            trying = clock.now()
            trainer.try_memory()
            trying = clock.now() - trying
            if config.model.attn_implementation is not None:
                trainer.try_attention(config.model.attn_implementation)
            trainer.train()
        log = read_existing_log(folder)
        assert log is not None
        (checkpoint,) = (record for record in log.records if record.get("kind") == "checkpoint")
        # without the folder of the best adapter, which does not stay in it
        files = [path for path in (folder / f"checkpoint-{steps}").iterdir() if path.is_file()]
        return _summarise(
            whole,
            watch,
            clock,
            # without a GPU the longest examples are tried here only
            began=began + (0.0 if trainer.args.device.type == "cuda" else trying),
            checkpoint=float(checkpoint["compute"]["checkpoint_seconds"]),
            checkpoint_bytes=sum(path.stat().st_size for path in files),
        )


@dataclass(frozen=True)
class _Whole:
    """What the whole training goes through."""

    config: Config
    train: _Examples
    sets: dict[str, _Examples]
    prompts: dict[str, Sequence[Any]]

    def batches(self) -> list[tuple[int, int]]:
        """(rows, width) of the batches of a training, as many as are needed for their mean."""
        train = self.config.train
        rng = random.Random(train.seed)
        lengths = [len(example["input_ids"]) for example in self.train]
        batches: list[tuple[int, int]] = []
        total = _BATCHES if train.max_steps is None else train.max_steps * train.gradient_accumulation
        while len(batches) < min(total, _BATCHES):
            batches += _shapes(rng.sample(lengths, len(lengths)), train.batch_size)
        return batches

    def eval_batches(self, name: str) -> list[tuple[int, int]]:
        return _shapes(
            [len(example["input_ids"]) for example in self.sets[name]], self.config.train.eval_batch_size
        )


def _shapes(lengths: Sequence[int], size: int) -> list[tuple[int, int]]:
    """(rows, width) of the batches of examples of these lengths."""
    parts = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return [(len(part), padded_width(max(part))) for part in parts]


def _count_tokens(batches: Sequence[tuple[int, int]]) -> int:
    return sum(rows * width for rows, width in batches)


def _middle(examples: _Examples, config: Config) -> _Examples:
    """The batch of middle length."""
    size = config.train.eval_batch_size
    first = max((len(examples) - size) // 2, 0) // size * size
    return examples[first : first + size]


class _Watch(Meter):
    """Notes how long each pass takes, of what kind it is and how long its batch is."""

    def __init__(self, log: Any, device: torch.device) -> None:
        super().__init__(log)
        self.device = device
        self.train: list[Sample] = []
        self.evals: dict[str, list[Sample]] = {}
        self.generated: list[float] = []

    @contextlib.contextmanager
    def measure(self, counter: str, inputs: Mapping[str, Any], kind: str = "") -> Iterator[None]:
        known, began = len(self._known), now(self.device)
        with super().measure(counter, inputs, kind):
            yield
        sample = Sample(
            now(self.device) - began, inputs["input_ids"].numel(), is_new=len(self._known) > known
        )
        if counter == "flops":
            self.train.append(sample)
        else:
            self.evals.setdefault(kind, []).append(sample)

    @contextlib.contextmanager
    def counted(self, counter: str) -> Iterator[None]:
        began = now(self.device)
        with super().counted(counter):
            yield
        self.generated.append(now(self.device) - began)


def now(device: torch.device) -> float:
    """The time at which all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class _Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Notes when what happens; comes first among the callbacks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.train_ended = 0.0
        self.watts: float | None = None
        self._energy: Energy | None = None
        self._energy_began = 0.0

    def now(self) -> float:
        return now(self._device)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begins.append(self.now())
        if len(self.begins) == state.max_steps // 2 + 1:
            self._energy, self._energy_began = Energy(), self.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ends.append(self.now())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.train_ended = self.now()
        joules = None if self._energy is None else self._energy.joules()
        self.watts = None if joules is None else joules / (self.train_ended - self._energy_began)


def _summarise(
    whole: _Whole,
    watch: _Watch,
    clock: _Clock,
    *,
    began: float,
    checkpoint: float,
    checkpoint_bytes: int,
) -> Measurement:
    config, ended = whole.config, clock.now()
    batches = whole.batches()
    samples = _steps(watch, clock, config.train.gradient_accumulation)
    step = fit_seconds(samples, _count_tokens(batches) / len(batches) * config.train.gradient_accumulation)
    new = [sample.seconds - fit_seconds(samples, sample.tokens) for sample in samples if sample.is_new]
    base = watch.evals.get("base model", [])
    passes = watch.evals[""]
    first, second = passes[: len(passes) // 2], passes[len(passes) // 2 :]
    generated = watch.generated[len(watch.generated) // 2 :]
    # what an eval takes beside its batches: metrics, signals of the adapter, lines of the log
    around = clock.train_ended - clock.ends[-1] - checkpoint
    around -= sum(sample.seconds for sample in second) + sum(generated)
    evaluation, reference = max(around, 0.0), 0.0
    # the first eval also loads what computes the metrics
    half = len(clock.ends) // 2
    extra = clock.begins[half] - clock.ends[half - 1] - (clock.train_ended - clock.ends[-1] - checkpoint)
    extra = max(
        extra - sum(one.seconds - other.seconds for one, other in zip(first, second, strict=True)), 0.0
    )
    for place, name in enumerate(whole.sets):
        every = whole.eval_batches(name)
        seconds = second[place].seconds * _count_tokens(every) / second[place].tokens
        evaluation += seconds
        extra += len(set(every)) * max(first[place].seconds - second[place].seconds, 0.0)
        if base:
            reference += seconds + len(set(every)) * max(base[place].seconds - second[place].seconds, 0.0)
    size = config.train.eval_batch_size
    return Measurement(
        steps_measured=len(samples),
        evals_measured=2,
        train_examples=len(whole.train),
        setup=clock.begins[0] - began - sum(sample.seconds for sample in base) + ended - clock.train_ended,
        step=step,
        step_extra=max(sum(new) / len(new), 0.0) * len(set(batches)),
        evaluation=evaluation,
        evaluation_extra=extra,
        reference=reference,
        generation=sum(
            seconds * math.ceil(len(prompts) / size)
            for seconds, prompts in zip(generated, whole.prompts.values(), strict=True)
        ),
        checkpoint=checkpoint,
        checkpoint_bytes=checkpoint_bytes,
        watts=clock.watts,
        **peak_memory(),
    )


def _steps(watch: _Watch, clock: _Clock, accumulation: int) -> list[Sample]:
    """The steps, with what comes between them where there is no eval: the log, and the next batch."""
    last = len(clock.ends) - 1
    between = [
        clock.begins[number + 1] - clock.ends[number]
        for number in range(last)
        if (number + 1) % (len(clock.ends) // 2)
    ]
    pause = sum(between) / len(between) if between else 0.0
    samples = []
    for number, (begin, end) in enumerate(zip(clock.begins, clock.ends, strict=True)):
        passes = watch.train[number * accumulation : (number + 1) * accumulation]
        samples.append(
            Sample(
                end - begin + pause,
                sum(sample.tokens for sample in passes),
                is_new=number == 0 or any(sample.is_new for sample in passes),
            )
        )
    return samples
