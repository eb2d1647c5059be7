"""One LoRA fine-tune, to the end: every planned step is trained, and every evaluation is written down.

Read `fit` and `train` from top to bottom; what they call is below them, in that order.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from collect import data, generate, model
from collect.config import Config, make_lora_config
from collect.eval_log import EvalLog, read_existing_log
from collect.eval_log.values import is_number
from collect.examples import Collate, encode, encode_plain
from collect.initialization import EXAMPLES, keeps_base, needs_data
from collect.keep import FOLDER, Keeper
from collect.machine import NEEDED, gather, rank
from collect.metrics import classification, language, metric_modes, statistics
from collect.model_card import Card
from collect.optimizers import check_optimizer, explain_first_step, hides_gradients, target_modules
from collect.resume import Plan, make_plan
from collect.signals import Factors, initial_factors
from replay.errors import InputError, ReplayError

__all__ = ["Busy", "Fit", "Prepared", "fit", "prepare", "require", "train"]


class Fit(NamedTuple):
    """The result of a run: whether this call ``trained`` it, its evals and steps, and, if so, the metrics of
    the last eval.
    """

    trained: bool
    evals: int
    step: float
    metrics: dict[str, Any]


def _silent(line: str) -> None:
    """Write nothing."""


class Busy(ReplayError):
    """Another process trains this run."""

    exit_code = 75


def fit(
    config: Config,
    folder: Path,
    cache: Path,
    *,
    max_steps: int | None = None,
    terminal: int | None = None,
    eval_lines: bool = True,
    say: Callable[[str], None] = _silent,
) -> Fit:
    """Train a run to its end, from its beginning or from where it was cut short. A finished run stays as it
    is, or is extended to ``max_steps``. ``say`` gets the lines that the first process has for the user, one
    per eval among them if ``eval_lines``. ``terminal`` is the file descriptor of a terminal that shows the
    progress after each step.

    Raises InputError where the folder holds another run, and what `train` raises; Busy where another process
    trains it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        atexit.register(_leave, PartialState(cpu=config.train.device == "cpu").destroy_process_group)
    with contextlib.ExitStack() as stack:
        plan: Plan | ReplayError | None = None
        if rank() == 0:
            try:
                stack.enter_context(_alone(folder))
                plan = make_plan(config, folder, max_steps)
            except ReplayError as error:
                plan = error
        plan = gather(plan)[0]  # the first process decides for all
        if isinstance(plan, ReplayError):
            raise plan
        assert plan is not None
        metrics = {}
        if not plan.finished:
            first = rank() == 0
            metrics = train(
                plan.config,
                folder,
                cache,
                plan,
                terminal=terminal if first else None,
                eval_lines=eval_lines and first,
                say=say if first else _silent,
            )
        elif rank() == 0 and plan.log is not None and any(folder.glob("checkpoint-*")):
            # a kill may have come between the end of the log and the end of the process
            from collect.checkpoints import Checkpoints

            settings = plan.config.train
            checkpoints = Checkpoints(folder, settings.save_every, 0, keep_last=settings.keep_state)
            checkpoints.leave(int(plan.log.step))
        log = read_existing_log(folder)
        assert log is not None
        return Fit(not plan.finished, log.evals, log.step, metrics)


def _leave(destroy: Callable[[], None]) -> None:
    """Leave the other processes, and end the threads of gloo. Threads that still run when the interpreter
    ends may abort it.
    """
    gc.collect()  # what remains of the Trainer holds the group, in cycles, and with it the threads
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


def train(
    config: Config,
    folder: Path,
    cache: Path,
    plan: Plan,
    *,
    terminal: int | None = None,
    eval_lines: bool = True,
    say: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """Fine-tune, and write ``eval_log.jsonl``, ``step_signals.bin``, ``trainer_state.json`` and TensorBoard
    events into ``folder``.

    Returns the metrics of the last evaluation. Raises InputError where the config, the data and the model do
    not go together, before training where that can be known.
    """
    import torch

    from collect.progress import EvalLines, Progress
    from collect.reporters import close_reporters, make_reporters

    reporters = make_reporters(config.train.report_to, say)
    prepared = prepare(config, folder, cache, plan, say=say)
    trainer, keeper = prepared.trainer, prepared.keeper
    if eval_lines:
        trainer.add_callback(EvalLines(say, trainer.planned_evals()))
    if terminal is not None:
        trainer.add_callback(Progress(config.name, trainer.planned_evals(), terminal))
    if reporters:
        trainer.args.run_name = config.name
    for reporter in reporters:
        trainer.add_callback(reporter)
    with prepared.running(), contextlib.ExitStack() as stack:
        stack.callback(close_reporters, reporters)
        if torch.cuda.is_available() and config.train.device != "cpu":
            trainer.try_memory()
        if config.model.attn_implementation is not None:
            trainer.try_attention(config.model.attn_implementation)
        trainer.train(resume_from_checkpoint=None if plan.checkpoint is None else str(plan.checkpoint))
    if keeper is not None and keeper.step is not None:
        chosen = "last" if config.train.keep == "last" else "best"
        say(f"the adapter of step {keeper.step}, the {chosen} one, is in {folder / FOLDER}")
    return dict(trainer.last_metrics)


@dataclass(frozen=True)
class Prepared:
    """A training that can begin: its Trainer, its log, what keeps its adapter, and its encoded examples."""

    config: Config
    trainer: Any
    log: EvalLog
    keeper: Keeper | None
    splits: dict[str, list[dict[str, Any]]]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Explain what can go wrong while it trains, and close the log at the end."""
        optimizer, trainer = self.config.train.optimizer, self.trainer
        try:
            with (
                _out_of_memory(self.config),
                explain_first_step(optimizer, lambda: trainer.state.global_step),
            ):
                yield
        finally:
            self.log.close()


def prepare(
    config: Config, folder: Path, cache: Path, plan: Plan, *, say: Callable[[str], None] = _silent
) -> Prepared:
    """Read the texts, load the model and make the Trainer of a training, which ``say`` describes."""
    import torch
    import transformers

    from collect.checkpoints import Checkpoints
    from collect.events import EventFile, Events
    from collect.progress import describe_training
    from collect.trainer import Sets

    silence_libraries()
    if config.train.precision == "bf16" and (config.train.device == "cpu" or not torch.cuda.is_available()):
        raise InputError("train.precision = 'bf16' needs a GPU, and there is none; use 'fp32'")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    arguments = make_arguments(config, folder)
    check_optimizer(config.train.optimizer, arguments)
    if (gpus := use_one_gpu(arguments)) > 1:
        say(
            f"{gpus} GPUs are visible, and this run uses the first one; to train on all of"
            f" them: accelerate launch --num_processes {gpus} -m collect run CONFIG.toml --out DIR"
        )
    with arguments.main_process_first(
        desc="texts and models"
    ):  # fetched and converted once, by the first process
        texts = data.load(config, cache)
        transformers.set_seed(config.train.seed)
        base, tokenizer = model.load(config, texts.labels, cache)
    splits = {
        name: encode(examples, texts.labels, tokenizer, config)
        for name, examples in (("train", texts.train), ("eval", texts.validation), ("test", texts.test))
    }
    splits["generic"] = encode_plain(texts.generic, tokenizer, config)
    for name in (
        "eval",
        "test",
        "generic",
    ):  # alike lengths share a batch: less padding to compute, and no effect on the metrics
        splits[name].sort(key=lambda example: len(example["input_ids"]))
    collate = Collate(tokenizer.pad_token_id)
    adapted = model.add_lora(
        base, config, _initial_batches(config, base, splits["train"], collate, arguments)
    )
    if hidden := hides_gradients(config.train.optimizer):
        say(
            f"train.optimizer = {config.train.optimizer!r} leaves no gradients behind a step: the log has no"
            " step signals"
        )
    log = EvalLog(
        folder,
        run=config.name,
        restart=True,
        extend=plan.extended_at is not None,
        step_signals=not hidden,
        flops=False,  # the Trainer counts them, of all that it computes
        **make_header(config, texts),
    )
    checkpoints = Checkpoints(
        folder,
        config.train.save_every,
        config.train.resume_every * config.train.eval_every,
        keep_last=config.train.keep_state,
    )
    log.keeps = checkpoints.keeps
    if plan.log is not None and plan.checkpoint is None:
        for path in folder.glob("events.out.tfevents.*"):  # the log still holds what is void now
            path.unlink()
    log.initial = initial_factors(adapted)
    keeper = make_keeper(config, folder, texts, tokenizer, plan, log.initial) if rank() == 0 else None
    trainer = Sets(
        model=adapted,
        args=arguments,
        splits=splits,
        prompts=_prompts(config, texts, tokenizer),
        config=config,
        log=log,
        keeper=keeper,
        is_extended=plan.extended_at is not None,
        with_reference=keeps_base(config)
        and (plan.log is None or not any(record.get("kind") == "reference" for record in plan.log.records)),
        data_collator=collate,
        processing_class=tokenizer,
        compute_metrics=classification if config.task == "classification" else language,
        preprocess_logits_for_metrics=statistics,
        callbacks=[checkpoints, Events(EventFile(folder, config.name))],
    )
    for callback in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(callback)
    steps, evals = trainer.planned_steps(), trainer.planned_evals()
    if keeper is not None:
        keeper.card.planned_steps = steps
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            trainer.keeper = None
            say("no adapter is kept, since its weights are spread over the processes")
    for line in (*map(str, texts.counts), *describe_training(splits, adapted, config, steps, evals)):
        say(line)
    return Prepared(config, trainer, log, keeper, splits)


def _initial_batches(
    config: Config, base: Any, examples: list[dict[str, Any]], collate: Collate, arguments: Any
) -> list[dict[str, Any]]:
    """The batches that the adapter is initialized from, on the device of the training, where the model then
    is too; none where the initialisation needs no data.
    """
    if not needs_data(make_lora_config(config.lora, config.task)):
        return []
    base.to(arguments.device)
    size, first = config.train.batch_size, examples[:EXAMPLES]
    batches = [collate(first[start : start + size]) for start in range(0, len(first), size)]
    return [{name: value.to(arguments.device) for name, value in batch.items()} for batch in batches]


def make_keeper(
    config: Config,
    folder: Path,
    texts: data.Texts,
    tokenizer: Any,
    plan: Plan,
    initial: dict[str, Factors],
) -> Keeper | None:
    """What writes the adapters that are to stay, as it was at the checkpoint that the run goes on from; None
    where none is to stay.
    """
    if config.train.keep == "none":
        return None
    card = Card(config, texts.labels, [str(counts) for counts in texts.counts])
    keeper = Keeper(config, folder, tokenizer, card, initial)
    keeper.resume(plan.checkpoint)
    for record in () if plan.log is None else plan.log.records:
        if record.get("kind") == "reference":
            metrics = record.get("metrics") or {}
            card.reference = {name: value for name, value in metrics.items() if is_number(value)}
    return keeper


def use_one_gpu(arguments: Any) -> int:
    """Have the Trainer use one GPU per process; returns how many it would have used.

    Where one process sees several GPUs, transformers wraps the model in torch's DataParallel (5.24). That
    multiplies the batch by their number, which the config does not say, and runs the model in threads whose
    operations are not counted.
    """
    gpus = int(arguments.n_gpu)
    if gpus > 1:
        arguments._n_gpu = 1
    return gpus


def require(config: Config) -> None:
    """Raise ImportError, with its name, for a library that is not installed and that this training needs."""
    for name in (*NEEDED, *(("rouge_score", "sacrebleu") if config.generation is not None else ())):
        importlib.import_module(name)


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
        name: generate.make_prompts(part[: config.generation.examples], tokenizer, room)
        for name, part in parts.items()
        if part
    }


def make_header(config: Config, texts: data.Texts) -> dict[str, Any]:
    """The header entries of a run that follow from its config and data."""
    model_name = (
        config.model.gguf_file or config.model.path if config.model.package is None else config.model.package
    )
    dataset = config.data.package or config.data.file or config.data.train_file
    return {
        "modes": metric_modes(config),
        "monitor": "eval_loss",
        "model": model_name,
        "dataset": dataset,
        "group": config.group or f"{model_name} on {dataset}",
        "data": texts.record(),
        "rows": [counts.record() for counts in texts.counts],
        "config": config.record(),
    }


def silence_libraries() -> None:
    """No talk and no progress bars of the libraries: what a user must know comes as one sentence."""
    import warnings

    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # peft and transformers warn each other of names that are to change
    warnings.filterwarnings("ignore", category=FutureWarning, module="(transformers|peft)")


def make_arguments(config: Config, folder: Path) -> Any:
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
    chosen: dict[str, Any] = {} if train.optimizer is None else {"optim": train.optimizer}
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
        optim_target_modules=target_modules(train.optimizer),
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
        **chosen,
    )
