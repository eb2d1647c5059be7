"""One LoRA fine-tune, to the end: every planned step is trained, and every evaluation is written down.

Read `run` from top to bottom; what it calls is below it, in that order.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from collect import data, generate, model
from collect import eval_log as logs
from collect.config import Config
from collect.machine import NEEDED, gathered, rank
from replay.errors import InputError, ReplayError

__all__ = ["Busy", "Fit", "Plan", "fit", "header_of", "modes", "plan", "require", "run"]

#: Labels that the loss leaves out, in torch and transformers.
_IGNORED = -100


class Plan(NamedTuple):
    """What is left to do in a folder: nothing where it is ``finished``, or to go on from a checkpoint (None:
    from the first step).
    """

    finished: bool
    there: logs.Existing | None
    checkpoint: Path | None


class Fit(NamedTuple):
    """What became of a run: ``trained`` by this call or before it, its evals and steps, and the metrics of
    the last eval if trained.
    """

    trained: bool
    evals: int
    step: float
    metrics: dict[str, Any]


class Busy(ReplayError):
    """Another process trains this run."""


def fit(config: Config, folder: Path, cache: Path, *, progress: bool = False) -> Fit:
    """Train a run to its end: from its beginning, or from where it was cut short; a finished one is left
    alone.

    Raises InputError where the folder holds another run, and what `run` raises; Busy where another process
    trains it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        atexit.register(_leave, PartialState(cpu=config.train.device == "cpu").destroy_process_group)
    with contextlib.ExitStack() as stack:
        left: Plan | ReplayError | None = None
        if rank() == 0:
            try:
                stack.enter_context(_alone(folder))
                left = plan(config, folder)
            except ReplayError as error:
                left = error
        left = gathered(left)[0]  # the first process decides for all
        if isinstance(left, ReplayError):
            raise left
        assert left is not None
        if not left.finished:
            metrics = run(config, folder, cache, left, progress=progress and rank() == 0)
        there = logs.existing(folder)
        assert there is not None
        return Fit(not left.finished, there.evals, there.step, {} if left.finished else metrics)


def _leave(destroy: Callable[[], None]) -> None:
    """Leave the other processes, and end the threads of gloo: those that still run when the interpreter ends
    may abort it.
    """
    gc.collect()  # what is left of the Trainer holds the group, in cycles, and with it the threads
    destroy()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock beside the folder of a run, so that two processes never train the same one; raises Busy."""
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{folder.name}: another process trains it") from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def plan(config: Config, folder: Path) -> Plan:
    """What is left to do of a run; raises InputError where the folder holds a run of another config."""
    from collect.checkpoints import newest

    there = logs.existing(folder)
    if there is None or not there.header:
        return Plan(False, None, None)
    if found := logs.other_config(there, config):
        raise InputError(
            f"{folder} holds a run of another config ({found}); nothing is written over it: give another name"
            " or --out"
        )
    return Plan(there.ended, there, None if there.ended else newest(folder, there))


def run(config: Config, folder: Path, cache: Path, plan: Plan, *, progress: bool = False) -> dict[str, Any]:
    """Fine-tune, and write ``eval_log.jsonl``, ``step_signals.bin``, ``trainer_state.json`` and TensorBoard
    events into ``folder``.

    Returns the metrics of the last evaluation. Raises InputError where the config, the data and the model do
    not go together, before training where that can be known.
    """
    import torch
    import transformers

    from collect.checkpoints import Checkpoints
    from collect.eval_log import EvalLog
    from collect.events import EventFile, Events
    from collect.trainer import Sets

    quiet()
    if config.train.precision == "bf16" and (config.train.device == "cpu" or not torch.cuda.is_available()):
        raise InputError("train.precision = 'bf16' needs a GPU, and there is none; use 'fp32'")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    given = arguments(config, folder)
    with given.main_process_first(
        desc="texts and models"
    ):  # fetched and converted once, by the first process
        texts = data.load(config, cache)
        transformers.set_seed(config.train.seed)
        base, tokenizer = model.load(config, texts.labels, cache)
    splits = {
        name: encode(examples, texts.labels, tokenizer, config)
        for name, examples in (("train", texts.train), ("eval", texts.validation), ("test", texts.test))
    }
    splits["generic"] = plain(texts.generic, tokenizer, config)
    for name in (
        "eval",
        "test",
        "generic",
    ):  # alike lengths share a batch: less padding to compute, and no effect on the metrics
        splits[name].sort(key=lambda example: len(example["input_ids"]))
    adapted = model.add_lora(base, config)
    log = EvalLog(folder, run=config.name, restart=True, **header_of(config, texts))
    checkpoints = Checkpoints(
        folder, config.train.save_every, config.train.resume_every * config.train.eval_every
    )
    log.keeps = checkpoints.keeps
    if plan.there is not None and plan.checkpoint is None:
        for path in folder.glob("events.out.tfevents.*"):  # the log still holds what is void now
            path.unlink()
    trainer = Sets(
        model=adapted,
        args=given,
        splits=splits,
        prompts=_prompts(config, texts, tokenizer),
        config=config,
        log=log,
        with_reference=plan.there is None
        or not any(record.get("kind") == "reference" for record in plan.there.records),
        data_collator=Collate(tokenizer.pad_token_id),
        processing_class=tokenizer,
        compute_metrics=classification if config.task == "classification" else language,
        preprocess_logits_for_metrics=statistics,
        callbacks=[checkpoints, Events(EventFile(folder, config.name))],
    )
    for callback in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(callback)
    if progress:
        from collect.progress import Progress

        trainer.add_callback(Progress(config.name, trainer.planned_evals()))
    try:
        with _out_of_memory(config):
            if torch.cuda.is_available() and config.train.device != "cpu":
                trainer.try_memory()
            trainer.train(resume_from_checkpoint=None if plan.checkpoint is None else str(plan.checkpoint))
    finally:
        log.close()
    return dict(trainer.last_metrics)


def require(config: Config) -> None:
    """Raise ImportError, with its name, for a library that is not installed and that this training needs."""
    for name in (*NEEDED, *(("rouge_score", "sacrebleu") if config.generation is not None else ())):
        importlib.import_module(name)


def modes(config: Config) -> dict[str, str]:
    """Metrics of the task, for each split, with their mode."""
    names = (
        {"loss": "min", "accuracy": "max", "f1": "max"}
        if config.task == "classification"
        else {"loss": "min", "accuracy": "max"}
    )
    if config.generation is not None:
        names |= dict.fromkeys(config.generation.metrics, "max")
    splits = ("eval", "test") if config.data.test_size or config.data.test_file else ("eval",)
    found = {f"{split}_{name}": mode for split in splits for name, mode in names.items()}
    return found | ({"eval_generic_loss": "min"} if config.generic is not None else {})


@contextlib.contextmanager
def _out_of_memory(config: Config) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the GPU's memory is too small for train.batch_size = {config.train.batch_size},"
            f" train.eval_batch_size = {config.train.eval_batch_size} and data.max_length ="
            f" {config.data.max_length}; lower one of them, or set train.gradient_checkpointing = true"
        ) from None


def _prompts(config: Config, texts: data.Texts, tokenizer: Any) -> dict[str, list[generate.Prompt]]:
    """The prompts that answers are generated for, of each split; none without [generation]."""
    if config.generation is None:
        return {}
    room = config.data.max_length
    parts = {"eval": texts.validation, "test": texts.test}
    return {
        name: generate.prompts(part[: config.generation.examples], tokenizer, room)
        for name, part in parts.items()
        if part
    }


def header_of(config: Config, texts: data.Texts) -> dict[str, Any]:
    """The header entries of a run that follow from its config and data."""
    model_name = (
        config.model.gguf_file or config.model.path if config.model.package is None else config.model.package
    )
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


def encode(
    examples: Sequence[data.Example], labels: Sequence[str], tokenizer: Any, config: Config
) -> list[dict[str, Any]]:
    """Token ids and labels of each example, at most ``max_length`` tokens.

    A classifier's label is a class number. A causal model's are the token ids of the answer and of the end
    token; the prompt's are left out of the loss. A text that is too long loses the beginning of its prompt,
    never its answer.
    """
    limit = config.data.max_length
    if config.task == "classification":
        number = {label: index for index, label in enumerate(labels)}
        encoded = (
            tokenizer([example.source for example in examples], truncation=True, max_length=limit)[
                "input_ids"
            ]
            if examples
            else []
        )
        return [
            {"input_ids": ids, "labels": number[example.target]}
            for ids, example in zip(encoded, examples, strict=True)
        ]
    out = []
    ending = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for example in examples:
        prompt = tokenizer(example.source)["input_ids"] if example.source else []
        answer = [*tokenizer(example.target, add_special_tokens=False)["input_ids"], *ending]
        if len(answer) > limit - 1:
            raise InputError(
                f"an answer has {len(answer)} tokens; data.max_length = {limit} leaves no room for it and a"
                " prompt"
            )
        prompt = prompt[-(limit - len(answer)) :]
        # without a prompt the first token has nothing to be predicted from, and is not counted
        out.append({"input_ids": prompt + answer, "labels": [_IGNORED] * len(prompt) + answer})
    return out


def plain(texts: Sequence[str], tokenizer: Any, config: Config) -> list[dict[str, Any]]:
    """Token ids of texts whose every token counts but the first, which has nothing to be predicted from."""
    limit = 2 if config.generic is None else config.generic.max_length
    encoded = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"] if texts else []
    return [{"input_ids": ids, "labels": list(ids)} for ids in encoded if len(ids) > 1]


class Collate:
    """Batches of examples, padded to the longest one and then to a multiple of 8, so that few shapes
    occur.
    """

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = 8 * math.ceil(max(len(example["input_ids"]) for example in examples) / 8)

        def padded(name: str, fill: int) -> Any:
            return torch.tensor(
                [example[name] + [fill] * (width - len(example[name])) for example in examples]
            )

        mask = torch.tensor(
            [
                [1] * len(example["input_ids"]) + [0] * (width - len(example["input_ids"]))
                for example in examples
            ]
        )
        whole = isinstance(examples[0]["labels"], int)
        labels = (
            torch.tensor([example["labels"] for example in examples]) if whole else padded("labels", _IGNORED)
        )
        return {"input_ids": padded("input_ids", self.pad), "attention_mask": mask, "labels": labels}


def arguments(config: Config, folder: Path) -> Any:
    """The Trainer's arguments; none of them can end the training early."""
    from transformers import TrainingArguments

    train = config.train
    plateau: dict[str, Any] = {}
    if train.scheduler == "reduce-on-plateau":
        kwargs = {"mode": "min", "patience": train.plateau_patience, "factor": train.plateau_factor}
        plateau = {
            "lr_scheduler_kwargs": kwargs,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        }
    schedulers = {"reduce-on-plateau": "reduce_lr_on_plateau"}
    if train.warmup_steps:
        schedulers["constant"] = "constant_with_warmup"
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=train.max_steps or -1,
        num_train_epochs=train.epochs or 1,
        per_device_train_batch_size=train.batch_size,
        per_device_eval_batch_size=train.eval_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation,
        learning_rate=train.learning_rate,
        lr_scheduler_type=schedulers.get(train.scheduler, train.scheduler),
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
        save_strategy="no",  # collect.checkpoints says when
        gradient_checkpointing=train.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if train.gradient_checkpointing else None,
        bf16=train.precision == "bf16",
        use_cpu=train.device == "cpu",
        # peft hides the model's signature, and without the names an evaluation has no loss
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        seed=train.seed,
        data_seed=train.seed,
        report_to="none",
        disable_tqdm=True,
        **plateau,
    )


def statistics(logits: Any, labels: Any) -> Any:
    """What the metrics need of each example, so that no logits are kept: one row of float64 an example.

    Classification: (negative log likelihood, predicted class). Causal: (sum of the negative log likelihoods
    of its answer's tokens, their number, how many the model gives the highest probability).
    """
    import torch

    logits = logits[0] if isinstance(logits, tuple) else logits
    if labels.dim() == 1:
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        return torch.stack([loss.double(), logits.argmax(-1).double()], dim=1)
    logits, labels = logits[:, :-1], labels[:, 1:]
    loss = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2).float(), labels, reduction="none", ignore_index=_IGNORED
    )
    counted = labels != _IGNORED
    right = (logits.argmax(-1) == labels) & counted
    return torch.stack([loss.double().sum(1), counted.sum(1).double(), right.sum(1).double()], dim=1)


def classification(prediction: Any) -> dict[str, float]:
    """Mean loss an example, accuracy, and F1 averaged over the classes that occur in labels or
    predictions.
    """
    loss, predicted = prediction.predictions.T
    labels = np.asarray(prediction.label_ids).astype(np.int64)
    predicted = predicted.astype(np.int64)
    scores = []
    for label in np.union1d(labels, predicted):
        hits = int(((predicted == label) & (labels == label)).sum())
        scores.append(2 * hits / (int((predicted == label).sum()) + int((labels == label).sum())))
    accuracy = float((predicted == labels).mean())
    return {
        "loss": float(loss.mean()),
        "accuracy": accuracy,
        "f1": float(np.mean(scores)),
        "loss_weight": len(loss),
    }


def language(prediction: Any) -> dict[str, float]:
    """Mean loss an answer token, over all tokens alike (not a mean of batch means), and the share of tokens
    that are right.
    """
    loss, tokens, right = prediction.predictions.sum(axis=0)
    return {"loss": float(loss / tokens), "accuracy": float(right / tokens), "loss_weight": int(tokens)}
