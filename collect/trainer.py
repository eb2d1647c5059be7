"""The Trainer of a run: it evaluates on several sets, asks the base model, generates answers, and counts
operations.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from collect import generate
from collect.config import Config
from collect.disk import named, whole_or_gone
from collect.eval_log import NOT_METRICS, EvalLog
from collect.flops import Meter
from collect.keep import Keeper
from collect.random_state import random_state_aside
from replay.errors import InputError

__all__ = ["Sets"]

#: What an evaluation of the base model calls itself.
_BASE = "base model"
_Trainer: Any = Trainer  # its own types are narrower than what it takes


class LastStep(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Evaluates at the last step too, where ``eval_every`` does not divide the number of steps."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = control.should_evaluate = True


class State(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Writes ``trainer_state.json`` at the end, and the last word of the model card."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with named(Path(args.output_dir) / "trainer_state.json"):
            self.trainer.save_state()
        if self.trainer.keeper is not None:
            self.trainer.keeper.finish()


class Reference(State):
    """Asks the base model before the first step."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.ask_base_model()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        pass


def follow_schedule(optimizer: Any, scheduler: Any) -> None:
    """Give the next step the learning rate that the schedule has for it. What a checkpoint holds is that of
    the plan before, such as the 0 at the end of a linear schedule.
    """
    scheduler = getattr(scheduler, "scheduler", scheduler)  # accelerate wraps it
    if hasattr(scheduler, "lr_lambdas"):  # the others know no plan
        rates = [
            base * rule(scheduler.last_epoch)
            for base, rule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        ]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates


class Sets(_Trainer):  # type: ignore[misc]
    """Evaluates on validation as ``eval_…``, then on test as ``test_…`` and on generic texts as
    ``eval_generic_…``.
    """

    def __init__(
        self,
        *args: Any,
        splits: dict[str, list[dict[str, Any]]],
        prompts: dict[str, list[generate.Prompt]],
        config: Config,
        log: EvalLog,
        keeper: Keeper | None,
        with_reference: bool,
        is_extended: bool,
        callbacks: list[Any],
        **kwargs: Any,
    ) -> None:
        names = {"eval": "eval", "test": "test", "eval_generic": "generic"}
        self.sets = {prefix: splits[name] for prefix, name in names.items() if splits[name]}
        self.prompts = prompts
        self.config = config
        self.eval_log = log
        self.keeper = keeper
        self.is_extended = is_extended
        self.last_metrics: dict[str, Any] = {}
        self.meter = Meter(log)
        self.kind = ""
        log.data_sets = len(self.sets)
        # the state is written before the log says that all is done, and the base model is asked when the log
        # is open
        after = [Reference(self)] if with_reference else []
        super().__init__(
            *args,
            train_dataset=splits["train"],
            eval_dataset=splits["eval"],
            callbacks=[LastStep(), State(self), log, *after, *callbacks],
            **kwargs,
        )
        if config.task == "classification":
            # a classifier's loss is the mean of its batch. The Trainer takes it for a sum over the tokens of
            # a step, since forward has **kwargs, and would not divide it by the batches and processes of the
            # step.
            self.model_accepts_loss_kwargs: bool = False

    def _run_epoch(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing where all steps are done: a run that was killed after its last checkpoint only has to end,
        and transformers would train one more step.
        """
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return None
        return super()._run_epoch(*args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        with random_state_aside(self.args.device):
            for name, examples in self.sets.items():
                metrics |= super().evaluate(examples, ignore_keys, name)
            self.keep_adapter(metrics)
        self.last_metrics = metrics
        return metrics

    def keep_adapter(self, metrics: dict[str, float]) -> None:
        """Write the adapter of this eval, if it is to stay."""
        if self.keeper is None:
            return
        began = time.perf_counter()
        step = self.state.global_step
        model = self.accelerator.unwrap_model(self.model)
        if self.keeper.evaluated(model, step, metrics, is_last=step >= self.state.max_steps):
            self.eval_log.count_saving(time.perf_counter() - began)

    def evaluation_loop(
        self, dataloader: Any, description: str, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> Any:
        output = super().evaluation_loop(
            dataloader, description, *args, metric_key_prefix=metric_key_prefix, **kwargs
        )
        metrics = output.metrics
        if (weight := metrics.pop(f"{metric_key_prefix}_loss_weight", None)) is not None:
            self.eval_log.weights[f"{metric_key_prefix}_loss"] = weight
        if metric_key_prefix == "eval_generic":
            metrics.pop("eval_generic_accuracy", None)
        if self.kind != _BASE and metric_key_prefix in self.prompts and self.generates():
            metrics |= {
                f"{metric_key_prefix}_{name}": value
                for name, value in self.generated(metric_key_prefix).items()
            }
        return output

    def planned_steps(self) -> int:
        """How many steps the whole training takes."""
        train = self.config.train
        if train.max_steps is not None:
            return train.max_steps
        assert train.epochs is not None
        with random_state_aside(self.args.device):
            batches = len(self.get_train_dataloader())
        return math.ceil(train.epochs * math.ceil(batches / train.gradient_accumulation))

    def planned_evals(self) -> int:
        """How many evals the whole training makes."""
        train = self.config.train
        return math.ceil(self.planned_steps() / train.eval_every) + train.eval_at_start

    def generates(self) -> bool:
        """Whether answers are generated at this step's eval."""
        train, step = self.config.train, self.state.global_step
        number = math.ceil(step / train.eval_every)
        first = 0 if train.eval_at_start else 1
        assert self.config.generation is not None
        return bool(
            number == first or number % self.config.generation.every == 0 or step >= self.state.max_steps
        )

    def generated(self, name: str) -> dict[str, float]:
        """Metrics of generated answers."""
        settings = self.config.generation
        assert settings is not None
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        wanted = self.prompts[name]
        with torch.no_grad(), self.accelerator.autocast(), self.meter.counted("eval_flops"):
            written = generate.generate_answers(
                model,
                self.processing_class,
                wanted,
                batch_size=self.config.train.eval_batch_size,
                max_new_tokens=settings.max_new_tokens,
            )
        return generate.score_answers(written, [prompt.answer for prompt in wanted], settings.metrics)

    def ask_base_model(self) -> None:
        """Metrics of the eval sets with the adapter switched off."""
        began = time.perf_counter()
        metrics: dict[str, float] = {}
        # where an initialisation moved a part of the weights into the adapter, the base model is the one with
        # the adapter, which no step has changed yet
        unwrapped = self.accelerator.unwrap_model(self.model)
        bare = contextlib.nullcontext() if self.eval_log.initial else unwrapped.disable_adapter()
        self.kind = _BASE  # without the adapter, a batch of the same shape takes fewer operations
        with random_state_aside(self.args.device), bare:
            for name, examples in self.sets.items():
                output = self.evaluation_loop(
                    self.get_eval_dataloader(examples), _BASE, metric_key_prefix=name
                )
                metrics |= {
                    key: value for key, value in output.metrics.items() if not key.endswith(NOT_METRICS)
                }
        self.kind = ""
        self.eval_log.weights = {}
        if self.keeper is not None:
            self.keeper.card.reference = metrics
        if self.is_world_process_zero():
            self.eval_log.reference(metrics, eval_seconds=time.perf_counter() - began)
        else:
            self.eval_log.discard_eval()

    def try_memory(self) -> None:
        """One training step's and one evaluation's memory with the longest examples, without any effect on
        the training.
        """
        sizes = (
            (self.train_dataset, self.args.train_batch_size, True),
            (self.sets["eval"], self.args.eval_batch_size, False),
        )
        if self.args.gradient_checkpointing:
            self.model.gradient_checkpointing_enable(self.args.gradient_checkpointing_kwargs)
        with random_state_aside(self.args.device):
            for examples, count, trains in sizes:
                longest = sorted(examples, key=lambda example: len(example["input_ids"]))[-count:]
                inputs = self._prepare_inputs(self.data_collator(longest))
                self.model.train(trains)
                with torch.set_grad_enabled(trains), self.accelerator.autocast():
                    loss = self.model(**inputs).loss
                    if trains:
                        loss.backward()
                self.model.zero_grad()
        del inputs, loss
        gc.collect()
        if self.args.device.type == "cuda":
            torch.cuda.empty_cache()

    def try_attention(self, name: str) -> None:
        """Raise InputError where an attention does not run with this model on this machine."""
        try:
            self.try_memory()
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the attention's library raises
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"model.attn_implementation = {name!r} cannot be used here: {reason}") from None

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.is_extended:
            follow_schedule(self.optimizer, self.lr_scheduler)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with whole_or_gone(checkpoint):
            super()._save_checkpoint(*args, **kwargs)
            if self.keeper is not None:
                self.keeper.save_in(checkpoint)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        options = self.config.lora.options
        if not model.training or not options.keys() & {"kasa_config", "monteclora_config"}:
            return loss
        # what these methods add to the loss; peft leaves it to the training. A loss that is a mean over the
        # tokens of a step is not divided by the batches of the step any more
        lora = self.accelerator.unwrap_model(model).base_model
        term = lora._get_kasa_loss() if "kasa_config" in options else lora._get_monteclora_loss()
        return loss + term / (self.args.gradient_accumulation_steps if self.model_accepts_loss_kwargs else 1)

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self.meter.measure("flops", inputs):
            return super().training_step(model, inputs, *args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self.meter.measure("eval_flops", inputs, self.kind):
            return super().prediction_step(model, inputs, *args, **kwargs)
