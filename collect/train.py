"""One LoRA fine-tune, to the end: every planned step is trained, and every evaluation is written down.

Read `run` from top to bottom; what it calls is below it, in that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from collect import data, model
from collect.config import Config
from replay.errors import InputError

if TYPE_CHECKING:
    from collect.eval_log import EvalLog

__all__ = ["header_of", "modes", "require", "run"]

#: Labels that the loss leaves out, in torch and transformers.
_IGNORED = -100


def run(config: Config, folder: Path, cache: Path, *, progress: bool = False) -> dict[str, Any]:
    """Fine-tune, and write ``eval_log.jsonl``, ``trainer_state.json`` and TensorBoard events into ``folder``.

    Returns the metrics of the last evaluation. Raises InputError where the config, the data and the model do not go
    together, before training where that can be known.
    """
    import torch
    import transformers

    from collect.eval_log import EvalLog
    from collect.events import EventFile, Events

    quiet()
    if config.train.precision == "bf16" and (config.train.device == "cpu" or not torch.cuda.is_available()):
        raise InputError("train.precision = 'bf16' needs a GPU, and there is none; use 'fp32'")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    texts = data.load(config, cache)
    transformers.set_seed(config.train.seed)
    base, tokenizer = model.load(config, texts.labels, cache)
    splits = {
        name: encode(examples, texts.labels, tokenizer, config)
        for name, examples in (("train", texts.train), ("validation", texts.validation), ("test", texts.test))
    }
    for name in ("validation", "test"):  # alike lengths share a batch: less padding to compute, and no effect on the metrics
        splits[name].sort(key=lambda example: len(example["input_ids"]))
    adapted = model.add_lora(base, config)
    log = EvalLog(folder, run=config.name, **header_of(config, texts))
    trainer = _trainer_class()(
        model=adapted,
        args=arguments(config, folder),
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        test_dataset=splits["test"],
        log=log,
        data_collator=Collate(tokenizer.pad_token_id),
        processing_class=tokenizer,
        compute_metrics=classification if config.task == "classification" else language,
        preprocess_logits_for_metrics=statistics,
        callbacks=[log, Events(EventFile(folder, config.name))],
    )
    for callback in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(callback)
    if progress:
        from collect.progress import Progress

        trainer.add_callback(Progress(config.name))
    try:
        trainer.train()
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the GPU's memory is too small for train.batch_size = {config.train.batch_size} and data.max_length = "
            f"{config.data.max_length}; lower one of them, and raise train.gradient_accumulation instead"
        ) from None
    finally:
        log.close()
    trainer.save_state()
    return dict(trainer.last_metrics)


def require() -> None:
    """Raise ImportError, with its name, for a library of the ``collect`` extra that is not installed."""
    import accelerate  # type: ignore[import-untyped]
    import peft
    import torch
    import transformers

    del accelerate, peft, torch, transformers


def modes(config: Config) -> dict[str, str]:
    """Metrics of the task, for each split, with their mode."""
    names = {"loss": "min", "accuracy": "max", "f1": "max"} if config.task == "classification" else {"loss": "min", "accuracy": "max"}
    splits = ("eval", "test") if config.data.test_size or config.data.test_file else ("eval",)
    return {f"{split}_{name}": mode for split in splits for name, mode in names.items()}


def header_of(config: Config, texts: data.Texts) -> dict[str, Any]:
    """The header entries of a run that follow from its config and data."""
    model_name = config.model.gguf_file or config.model.path if config.model.package is None else config.model.package
    dataset = config.data.package or config.data.file or config.data.train_file
    return {
        "modes": modes(config),
        "monitor": "eval_loss",
        "model": model_name,
        "dataset": dataset,
        "group": config.group or f"{model_name} on {dataset}",
        "data": texts.record(),
        "config": config.record(),
    }


def quiet() -> None:
    """No talk and no progress bars of the libraries: what a user must know comes as one sentence."""
    import warnings

    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # peft and transformers warn each other of names that are to change
    warnings.filterwarnings("ignore", category=FutureWarning, module="(transformers|peft)")


def encode(examples: Sequence[data.Example], labels: Sequence[str], tokenizer: Any, config: Config) -> list[dict[str, Any]]:
    """Token ids and labels of each example, at most ``max_length`` tokens.

    A classifier's label is a class number. A causal model's are the token ids of the answer and of the end token; the
    prompt's are left out of the loss. A text that is too long loses the beginning of its prompt, never its answer.
    """
    limit = config.data.max_length
    if config.task == "classification":
        number = {label: index for index, label in enumerate(labels)}
        encoded = tokenizer([example.source for example in examples], truncation=True, max_length=limit)["input_ids"] if examples else []
        return [{"input_ids": ids, "labels": number[example.target]} for ids, example in zip(encoded, examples, strict=True)]
    out = []
    ending = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for example in examples:
        prompt = tokenizer(example.source)["input_ids"] if example.source else []
        answer = [*tokenizer(example.target, add_special_tokens=False)["input_ids"], *ending]
        if len(answer) > limit - 1:
            raise InputError(f"an answer has {len(answer)} tokens; data.max_length = {limit} leaves no room for it and a prompt")
        prompt = prompt[-(limit - len(answer)) :]
        # without a prompt the first token has nothing to be predicted from, and is not counted
        out.append({"input_ids": prompt + answer, "labels": [_IGNORED] * len(prompt) + answer})
    return out


class Collate:
    """Batches of examples, padded to the longest one and then to a multiple of 8, so that few shapes occur."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = 8 * math.ceil(max(len(example["input_ids"]) for example in examples) / 8)

        def padded(name: str, fill: int) -> Any:
            return torch.tensor([example[name] + [fill] * (width - len(example[name])) for example in examples])

        mask = torch.tensor([[1] * len(example["input_ids"]) + [0] * (width - len(example["input_ids"])) for example in examples])
        whole = isinstance(examples[0]["labels"], int)
        labels = torch.tensor([example["labels"] for example in examples]) if whole else padded("labels", _IGNORED)
        return {"input_ids": padded("input_ids", self.pad), "attention_mask": mask, "labels": labels}


def arguments(config: Config, folder: Path) -> Any:
    """The Trainer's arguments; none of them can end the training early."""
    from transformers import TrainingArguments

    train = config.train
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=train.max_steps or -1,
        num_train_epochs=train.epochs or 1,
        per_device_train_batch_size=train.batch_size,
        per_device_eval_batch_size=train.eval_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation,
        learning_rate=train.learning_rate,
        lr_scheduler_type="constant_with_warmup" if train.scheduler == "constant" and train.warmup_steps else train.scheduler,
        warmup_steps=train.warmup_steps,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        eval_strategy="steps",
        eval_steps=train.eval_every,
        eval_on_start=train.eval_at_start,
        logging_strategy="steps",
        logging_steps=train.log_every or train.eval_every,
        # a loss that is NaN is logged as NaN
        logging_nan_inf_filter=False,
        save_strategy="steps" if train.save_every else "no",
        save_steps=train.save_every or 500,
        bf16=train.precision == "bf16",
        use_cpu=train.device == "cpu",
        # peft hides the model's signature, and without the names an evaluation has no loss
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=train.seed,
        data_seed=train.seed,
        report_to="none",
        disable_tqdm=True,
    )


def statistics(logits: Any, labels: Any) -> Any:
    """What the metrics need of each example, so that no logits are kept: one row of float64 an example.

    Classification: (negative log likelihood, predicted class). Causal: (sum of the negative log likelihoods of its
    answer's tokens, their number, how many the model gives the highest probability).
    """
    import torch

    logits = logits[0] if isinstance(logits, tuple) else logits
    if labels.dim() == 1:
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return torch.stack([loss.double(), logits.argmax(-1).double()], dim=1)
    logits, labels = logits[:, :-1], labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2).float(), labels, reduction="none", ignore_index=_IGNORED)
    counted = labels != _IGNORED
    right = (logits.argmax(-1) == labels) & counted
    return torch.stack([loss.double().sum(1), counted.sum(1).double(), right.sum(1).double()], dim=1)


def classification(prediction: Any) -> dict[str, float]:
    """Mean loss an example, accuracy, and F1 averaged over the classes that occur in labels or predictions."""
    loss, predicted = prediction.predictions.T
    labels = np.asarray(prediction.label_ids).astype(np.int64)
    predicted = predicted.astype(np.int64)
    scores = []
    for label in np.union1d(labels, predicted):
        hits = int(((predicted == label) & (labels == label)).sum())
        scores.append(2 * hits / (int((predicted == label).sum()) + int((labels == label).sum())))
    return {"loss": float(loss.mean()), "accuracy": float((predicted == labels).mean()), "f1": float(np.mean(scores))}


def language(prediction: Any) -> dict[str, float]:
    """Mean loss an answer token, over all tokens alike (not a mean of batch means), and the share of tokens that are right."""
    loss, tokens, right = prediction.predictions.sum(axis=0)
    return {"loss": float(loss / tokens), "accuracy": float(right / tokens)}


def _trainer_class() -> Any:
    """The Trainer that evaluates on two splits and counts FLOPs; made on demand, since transformers takes seconds to load."""
    from transformers import Trainer, TrainerCallback

    from collect.flops import Meter

    class LastStep(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Evaluates at the last step too, where ``eval_every`` does not divide the number of steps."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step >= state.max_steps:
                control.should_log = control.should_evaluate = True

    class TwoSplits(Trainer):
        """Evaluates on validation as ``eval_…`` and then on test as ``test_…``, at the same step."""

        def __init__(self, *args: Any, test_dataset: list[dict[str, Any]], log: EvalLog, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.test_dataset: Any = test_dataset
            self.last_metrics: dict[str, Any] = {}
            self.meter = Meter(log)
            self.add_callback(LastStep())

        def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
            metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
            if eval_dataset is None and self.test_dataset:
                metrics |= super().evaluate(self.test_dataset, ignore_keys, "test")
            self.last_metrics = metrics
            return metrics

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            with self.meter.measure("flops", inputs):
                return super().training_step(model, inputs, *args, **kwargs)

        def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            with self.meter.measure("eval_flops", inputs):
                return super().prediction_step(model, inputs, *args, **kwargs)

    return TwoSplits
