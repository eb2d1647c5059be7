"""EvalLog: the log of a run as a callback of any transformers Trainer."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collect.eval_log.last_step import LastStep
from collect.eval_log.reader import ExistingLog, read_existing_log
from collect.eval_log.trainer_header import header_from_trainer, schedule_from_trainer
from collect.eval_log.values import is_number
from collect.eval_log.writer import LogWriter
from replay.errors import InputError, ReplayWarning
from replay.readers.formats.eval_log import entries, number

if TYPE_CHECKING:
    from transformers import TrainerCallback as _Callback
else:
    _Callback = object  # a training loop without a Trainer need not pay for importing transformers

__all__ = ["NOT_METRICS", "EvalLog"]

#: Numbers that transformers and TRL add to an evaluation's metrics.
NOT_METRICS = (
    "_runtime",
    "_samples_per_second",
    "_steps_per_second",
    "_model_preparation_time",
    "_num_tokens",
)


@dataclass
class _Evaluation:
    """The evaluation of a step, of which a Trainer may report one data set after the other."""

    step: int
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    data_sets: int = 0
    #: Whether a part of it is in the log already.
    is_written: bool = False


class EvalLog(LogWriter, _Callback):
    """The record of one run: ``folder/eval_log.jsonl``, and ``folder/step_signals.bin`` beside it where a
    LoRA model is trained.

    As a callback it fills the header from the Trainer, writes a line for each training log entry and one for
    each evaluation, counts time, tokens and memory itself, and measures the LoRA adapter::

        trainer.add_callback(EvalLog("logs/my-run"))

    In a training loop of your own, give the header's entries and log each evaluation::

        with EvalLog("logs/my-run", planned_steps=1000, modes={"eval_loss": "min"}) as log:
            log.watch(model, optimizer)  # if it is a peft model: its LoRA signals
            log.log(step=100, metrics={"eval_loss": 0.7}, train={"loss": 0.8}, eval_seconds=2.5)

    ``header`` takes the entries of the format (``modes``, ``group``, ``config``, …); ``run`` is the folder's
    name by default. A metric that ``modes`` states must be in the first evaluation; otherwise that raises
    InputError. An existing log is continued only from a checkpoint of the same run, or, with ``restart``,
    begun again where it was cut short (what it holds becomes void). One that has ended is continued only with
    ``extend``, from the checkpoint of its last step, by a training that plans more steps. Every other file
    that is there already raises InputError, and stays. ``signals`` and ``step_signals`` switch the measuring
    of the adapter off, at each evaluation and at each step.

    The floating-point operations are measured on the first batch of each shape, in torch's own formulas, and
    later batches of that shape count the same. A batch that is measured takes longer; ``flops`` switches that
    off, and operations that are given to `count` take their place. They are left out where they cannot be
    measured: with compiled models, flex_attention, FSDP, DeepSpeed, and several GPUs in one process.

    Of several processes that train together each needs the callback; the first one writes, and the counters
    are sums.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        run: str | None = None,
        restart: bool = False,
        extend: bool = False,
        signals: bool = True,
        step_signals: bool = True,
        flops: bool = True,
        **header: Any,
    ) -> None:
        super().__init__(
            folder,
            run=run,
            restart=restart,
            extend=extend,
            signals=signals,
            step_signals=step_signals,
            flops=flops,
            **header,
        )
        #: The schedule of a Trainer's learning rate, for the record of an extension.
        self._schedule: dict[str, Any] = {}
        #: How many data sets a Trainer evaluates at one step, where that is known: they are written as one
        #: record then.
        self.data_sets: int | None = None
        #: Over how many tokens or examples a metric of the evaluation in progress is a mean.
        self.weights: dict[str, int] = {}
        #: What an initialisation such as PiSSA moved into the adapter: `collect.signals.initial_factors`.
        self.initial: dict[str, Any] | None = None
        self._evaluation: _Evaluation | None = None
        self._has_begun = False
        #: One of peft's layers, which knows whether the adapter is switched off.
        self._tuner: Any = None
        #: When the step, the evaluation or the checkpoint before now was done.
        self._mark = time.perf_counter()

    def discard_eval(self) -> None:
        super().discard_eval()
        self._mark = time.perf_counter()

    def count_saving(self, seconds: float) -> None:
        """Count these last seconds as spent on writing the model, not on training it."""
        self._counters.checkpoint_seconds += seconds
        self._mark = time.perf_counter()

    def __getattr__(self, name: str) -> Any:
        # the Trainer calls every event of every callback; those that say nothing to a log pass by, whatever
        # its version has
        if name.startswith("on_"):
            return _pass
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def on_init_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        # of a run that goes on, the checkpoint is loaded after this
        if model is not None and self.initial is None and (self._measures_evals or self._measures_steps):
            from collect.signals import initial_factors

            self.initial = initial_factors(model)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        # a Trainer that looks for a batch size that fits begins several times
        begins_again = self._has_begun and self._file is not None
        self._has_begun = True
        if begins_again:
            self.close()
        self._counters.start()
        self._mark = time.perf_counter()
        if model is not None:
            from collect.eval_log.passes import find_transformer, find_tuner

            self._tuner = find_tuner(model)
            self._hooks.append(
                find_transformer(model).register_forward_pre_hook(self._count_tokens, with_kwargs=True)
            )
        self._start_training(args, state, control, model, begins_again, **kwargs)
        if model is not None:
            self._count_flops(model, args)

    def _start_training(
        self, args: Any, state: Any, control: Any, model: Any, begins_again: bool, **kwargs: Any
    ) -> None:
        """Begin the log, or go on in it; in the first process only."""
        if not state.is_world_process_zero:
            return
        if getattr(args.eval_strategy, "value", args.eval_strategy) == "no" and not args.eval_on_start:
            text = (
                "the Trainer evaluates nothing, and no stop rule can be replayed without evaluations: set"
                " eval_strategy and eval_steps"
            )
            warnings.warn(text, ReplayWarning, stacklevel=2)
        for name, value in header_from_trainer(args, state, model, kwargs.get("train_dataloader")).items():
            self.header.setdefault(name, value)
        self._schedule = schedule_from_trainer(args, state, kwargs.get("optimizer"))
        if state.global_step or begins_again or self._restarts():
            self.resume(state.global_step)
        adapter = None
        if model is not None and (self._measures_evals or self._measures_steps):
            from collect.signals import Adapter

            if not state.global_step:
                self.on_init_end(args, state, control, model)
            adapter = Adapter.of(model, self.initial)
        if adapter is None:
            self._open(state.global_step)
            return
        self._measure(adapter, state.global_step)
        if state.global_step:
            if self._steps is not None:
                self._steps.restore(_checkpoint_folder(args, state))
            if self._signals is not None and self._resumed_at_eval:
                self._signals.remember()

    def _describe_extension(self, log: ExistingLog) -> dict[str, Any]:
        last = next(
            (
                rate
                for record in reversed(log.records)
                if (rate := number(entries(record, "train").get("learning_rate"))) is not None
            ),
            None,
        )
        described = super()._describe_extension(log)
        before = described["before"] | ({} if last is None else {"learning_rate": last})
        return {**described, **self._schedule, "before": before}

    def _restarts(self) -> bool:
        """Whether a log that was cut short is there, and is to be begun again."""
        if not self._restart:
            return False
        log = read_existing_log(self.folder)
        return log is not None and not log.ended

    def _count_tokens(self, model: Any, args: Any, inputs: Mapping[str, Any]) -> None:
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is not None:
            from collect.eval_log.passes import describe_pass

            prefix = describe_pass(model, self._tuner)
            # a sum stays on its device until an evaluation is written: no wait for the GPU at each step.
            # While it generates, a model gets one token at a time and the mask of all before.
            real = ids.numel() if mask is None or mask.shape != ids.shape else mask.detach().sum()
            self.count(**{f"{prefix}tokens": real, f"{prefix}padded_tokens": ids.numel()})

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end_batch(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._evaluation is not None:
            self._evaluation = None
            self._counters.end_eval()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end_batch(state.global_step)
        if self._steps is not None:
            self._steps.before()

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        if self._steps is not None:
            groups = getattr(optimizer, "param_groups", None)
            self._steps.after(state.global_step + 1, groups[0]["lr"] if groups else None)
        elif self._file is not None:
            if self._last_step_file is None:
                self._last_step_file = LastStep(self.folder, self._segment)
            self._last_step_file.write(state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = time.perf_counter()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if self._file is not None and logs and "loss" in logs:
            self.log_train(state.global_step, logs, epoch=state.epoch)
            self._mark = time.perf_counter()

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if not self._hooks:
            return  # an evaluation outside of the training
        now = time.perf_counter()
        values = _metrics(metrics or {})
        if not values:
            raise InputError(
                "the evaluation gave no loss and no metric: the Trainer does not know the labels; "
                "a peft model needs TrainingArguments(label_names=['labels'])"
            )
        if self._evaluation is None or self._evaluation.step != state.global_step:
            self._evaluation = _Evaluation(state.global_step)
        evaluation = self._evaluation
        for name, value in values.items():
            evaluation.metrics.setdefault(name, value)
        evaluation.seconds += now - self._mark
        evaluation.data_sets += 1
        self._mark = now
        if self.data_sets is not None and evaluation.data_sets < self.data_sets:
            return
        self._counters.merge_processes()
        if self._file is not None:
            self._write_eval(
                state.global_step,
                evaluation.metrics,
                epoch=state.epoch,
                seconds=evaluation.seconds,
                compute={"total_flos": state.total_flos} if state.total_flos else None,
                counts=self.weights,
                saved=None if evaluation.is_written or self._will_be_kept(args, state, control) else False,
                continues=evaluation.is_written,
            )
        self.weights = {}
        evaluation.metrics, evaluation.seconds, evaluation.is_written = {}, 0.0, True
        self._mark = time.perf_counter()

    def _will_be_kept(self, args: Any, state: Any, control: Any) -> bool:
        """Whether a checkpoint of this step may follow and stay; its own record says so when it is
        complete.
        """
        by_metric = getattr(args.save_strategy, "value", args.save_strategy) == "best"
        return (control.should_save or by_metric) and self.keeps(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._hooks:
            return
        now = time.perf_counter()
        self._counters.merge_processes()
        if self._file is not None:
            if self._steps is not None:
                self._steps.save(_checkpoint_folder(args, state))
            self._counters.checkpoint_seconds += now - self._mark
            self.checkpoint(state.global_step, kept=self.keeps(state.global_step))
        self._mark = time.perf_counter()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._hooks:
            self._counters.merge_processes()
        if self._file is not None:
            is_complete = state.global_step >= state.max_steps
            reason = (
                "all planned steps are done"
                if is_complete
                else f"stopped at step {state.global_step} of {state.max_steps}"
            )
            self.end(state.global_step, reason)
        self.close()


def _pass(*_: Any, **__: Any) -> None:
    return None


def _metrics(reported: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics among what a Trainer reports of an evaluation."""
    return {
        name: value
        for name, value in reported.items()
        if not name.endswith(NOT_METRICS)
        and name not in ("epoch", "step", "num_input_tokens_seen")
        and is_number(value)
    }


def _checkpoint_folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
