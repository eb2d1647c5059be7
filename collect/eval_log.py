"""EvalLog: writes the eval log of `replay.readers.formats.eval_log`, line by line, so that a kill loses at
most the eval in flight.

Used as a callback of any transformers Trainer, or called from a training loop of one's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from collect.config import Config, parse_record
from collect.machine import Energy, hardware, peak_memory, processes, summed, versions
from replay.errors import InputError, ReplayWarning, suggestion
from replay.readers.formats.eval_log import FORMAT_NAME, VERSION, decode, encode, entries, number

if TYPE_CHECKING:
    from transformers import TrainerCallback as _Callback

    from collect.signals import Adapter, EvalSignals
    from collect.step_log import StepLog
else:
    _Callback = object  # a loop of one's own need not pay for importing transformers

__all__ = ["FILE_NAME", "NOT_METRICS", "EvalLog", "Existing", "config_of", "existing", "other_config"]

FILE_NAME = "eval_log.jsonl"
#: How the header line of every log begins.
_BEGIN = encode({"format": FORMAT_NAME}).rstrip("}\n")
_HEADER = (
    "modes",
    "monitor",
    "planned_steps",
    "planned_epochs",
    "model",
    "dataset",
    "group",
    "hyperparameters",
    "seed",
    "versions",
    "hardware",
    "data",
    "config",
    "devices",
    "lora",
)
#: What makes two runs different runs: a log is only continued where these are the same.
_IDENTITY = ("config", "model", "dataset", "data", "hyperparameters", "seed")
#: Numbers that transformers and TRL add to an evaluation's metrics.
NOT_METRICS = (
    "_runtime",
    "_samples_per_second",
    "_steps_per_second",
    "_model_preparation_time",
    "_num_tokens",
)
_HYPERPARAMETERS = (
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "optim",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "max_steps",
    "num_train_epochs",
    "bf16",
    "fp16",
)
_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "use_rslora", "use_dora")
#: What a training log entry holds.
_TRAIN = ("loss", "learning_rate", "grad_norm")
#: Counters whose loss to a kill is told as waste.
_WASTE = ("wall_seconds", "train_seconds", "tokens", "padded_tokens", "flops", "energy_joules")


class Existing(NamedTuple):
    """A log that is already there: header, the other records, last step, number of evals, whether it ended,
    or is torn.
    """

    header: dict[str, Any]
    records: list[dict[str, Any]]
    step: float
    evals: int
    ended: bool
    torn: bool

    def differs(self, header: Mapping[str, Any], names: Sequence[str] = _IDENTITY) -> str | None:
        """The first entry in which a run with this header is another run (``learning_rate 0.001 there, 0.002
        here``), or None.
        """
        mine = decode(encode({name: header.get(name) for name in names}))
        for name in names:
            if (found := _difference(self.header.get(name), mine[name], name)) is not None:
                return found
        return None

    def checkpoints(self) -> list[int]:
        """Steps whose checkpoint was completely written, ascending; whether it is still there, only the
        folder tells.
        """
        steps = {number(record.get("step")) for record in self.records if record.get("kind") == "checkpoint"}
        return sorted(int(step) for step in steps if step is not None and math.isfinite(step))


def existing(folder: Path) -> Existing | None:
    """The log in a folder, or None where there is none; raises InputError where the file there is not such a
    log.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    lines = text.split("\n")
    try:
        header = decode(lines[0])
    except ValueError:
        header = {}
    if not header and len(lines) == 1 and _BEGIN.startswith(text[: len(_BEGIN)]):
        # the kill came while the very first line was written: there is nothing in it to keep
        return Existing({}, [], 0.0, 0, False, True)
    if header.get("format") != FORMAT_NAME or header.get("version") != VERSION:
        raise InputError(
            f"{path} is there already and is no eval log of version {VERSION}; nothing is written over it"
        )
    records = []
    for line in lines[1:]:
        try:
            records.append(decode(line))
        except ValueError:
            continue  # a line that a kill cut off
    steps = [number(record.get("step")) or 0.0 for record in records]
    kinds = [record.get("kind") for record in records]
    evals = len({record.get("step") for record in records if record.get("kind") == "eval"})
    return Existing(header, records, max(steps, default=0.0), evals, "end" in kinds, not text.endswith("\n"))


def other_config(log: Existing, config: Config) -> str | None:
    """How the config of a log differs from this one, or None; settings that an older version did not know
    have their default.
    """
    old = log.header.get("config")
    if not isinstance(old, dict):
        return "its log says no config"
    with contextlib.suppress(InputError):
        old = parse_record(old, "the log's config").record()
    return log._replace(header={"config": old}).differs({"config": config.record()}, ("config",))


def config_of(folder: Path, root: Path) -> Config:
    """The config that the log in a folder was made with, local paths relative to ``root``; raises InputError
    where it has none.
    """
    log = existing(folder)
    if log is None:
        raise InputError(f"{folder} holds no {FILE_NAME}; it must be the folder of a run of collect")
    record = log.header.get("config")
    if not isinstance(record, dict):
        raise InputError(f"{folder / FILE_NAME} says no config; only a run of collect can be resumed by it")
    return dataclasses.replace(parse_record(record, str(folder / FILE_NAME)), root=root)


class EvalLog(_Callback):
    """The record of one run: ``folder/eval_log.jsonl``, and ``folder/step_signals.bin`` beside it where a
    LoRA model is trained.

    As a callback it fills the header from the Trainer, writes a line for each training log entry and one for
    each evaluation, counts time, tokens and memory itself, and measures the LoRA adapter::

        trainer.add_callback(EvalLog("logs/my-run"))

    In a loop of one's own, give the header's entries and log each evaluation::

        with EvalLog("logs/my-run", planned_steps=1000, modes={"eval_loss": "min"}) as log:
            log.watch(model, optimizer)  # if it is a peft model: its LoRA signals
            log.log(step=100, metrics={"eval_loss": 0.7}, train={"loss": 0.8}, eval_seconds=2.5)

    ``header`` takes the entries of the format (``modes``, ``group``, ``config``, …); ``run`` is the folder's
    name by default. A metric that ``modes`` states must be in the first evaluation, else InputError says so
    there. An existing log is continued only from a checkpoint of the same run, or, with ``restart``, begun
    again where it was cut short (what it holds becomes void); everything else that is there already is an
    InputError, and stays. ``signals`` and ``step_signals`` switch the measuring of the adapter off, at each
    evaluation and at each step.

    Of several processes that train together each needs the callback; the first one writes, and the counters
    are sums.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        run: str | None = None,
        restart: bool = False,
        signals: bool = True,
        step_signals: bool = True,
        **header: Any,
    ) -> None:
        for name in header:
            if name not in _HEADER:
                raise InputError(f"an eval log's header has no {name!r}; it has {suggestion(name, _HEADER)}")
        self.folder = Path(folder)
        self.run = run or self.folder.resolve().name
        self.header: dict[str, Any] = header
        #: How many data sets a Trainer evaluates at one step, where that is known: they are written as one
        #: record then.
        self.data_sets: int | None = None
        #: Whether the checkpoint of a step stays; one that does not only serves to resume.
        self.keeps: Callable[[int], bool] = lambda step: True
        #: Over how many tokens or examples a metric of the evaluation in progress is a mean.
        self.weights: dict[str, int] = {}
        self._restart = restart
        self._measures = (signals, step_signals)
        self._file: IO[bytes] | None = None
        self._segment = 0
        self._resumed_at_eval = False
        self._counts: dict[str, Any] = {}
        self._local: dict[str, Any] = {}
        self._evals = 0
        self._in_eval: dict[str, Any] | None = None
        self._losses: list[tuple[int, float]] = []
        self._companions: dict[str, float] = {}
        self._logged_step = self._last_step = 0
        self._began = self._mark = time.perf_counter()
        self._cpu = time.process_time()
        self._energy: Energy | None = None
        self._energy_before: float | None = 0.0
        self._others: dict[str, Any] = {}
        self._eval_seconds = self._checkpoint_seconds = 0.0
        self._this_eval = 0.0
        self._signals: EvalSignals | None = None
        self._steps: StepLog | None = None
        self._hooks: list[Any] = []

    # ---- writing ----

    def log(
        self,
        step: int,
        metrics: Mapping[str, Any],
        *,
        epoch: float | None = None,
        train: Mapping[str, Any] | None = None,
        eval_seconds: float | None = None,
        compute: Mapping[str, Any] | None = None,
        signals: Mapping[str, Any] | None = None,
        counts: Mapping[str, int] | None = None,
        saved: bool | None = None,
    ) -> None:
        """Write one evaluation. It is on disk when this returns.

        ``metrics`` are named with their data set (``eval_loss``, ``test_loss``); ``counts`` says over how
        many tokens or examples such a metric is a mean. ``train`` may hold ``loss`` (mean since the
        evaluation before), ``learning_rate`` and ``grad_norm``; without it, what `log_train` was told is
        used. ``eval_seconds`` is how long this evaluation took: with it, ``train_seconds`` can be told apart.
        ``compute`` adds counters of one's own, or replaces those that are counted here. ``signals`` adds to
        those of a watched adapter.
        """
        self._evaluation(
            step,
            metrics,
            epoch=epoch,
            train=train,
            seconds=eval_seconds,
            compute=compute,
            signals=signals,
            counts=counts,
            saved=saved,
        )
        self._end_of_eval()

    def log_train(self, step: int, values: Mapping[str, Any], *, epoch: float | None = None) -> None:
        """Write one training log entry: ``loss`` (mean since the entry before), ``learning_rate``,
        ``grad_norm``.
        """
        plain = _plain({name: values[name] for name in _TRAIN if name in values})
        self._open(step)
        self._write({"kind": "train", "step": int(step), "epoch": epoch, **plain, "compute": self._so_far()})
        self._remember_train(int(step), plain)

    def count(self, **amounts: Any) -> None:
        """Add to counters: ``tokens=512``. Names that begin with ``eval_`` are of the evaluation in
        progress.
        """
        for name, amount in amounts.items():
            self._local[name] = self._local.get(name, 0) + amount

    def watch(self, model: Any, optimizer: Any = None) -> None:
        """Measure the LoRA adapter of a peft model at each evaluation, and, with its optimizer, at each step
        of that.

        Steps are counted from the last one that is in the log. Raises InputError where the model has no LoRA
        layer.
        """
        from collect.signals import Adapter

        if (adapter := Adapter.of(model)) is None:
            raise InputError(
                f"{type(model).__name__} has no trainable LoRA layer whose weights are whole; there is"
                " nothing to watch"
            )
        self._measure(adapter, self._last_step)
        if optimizer is not None and (steps := self._steps) is not None:
            done = self._last_step

            def before(*_: Any) -> None:
                steps.before()

            def after(*_: Any) -> None:
                nonlocal done
                done += 1
                steps.after(done, optimizer.param_groups[0]["lr"])

            self._hooks += [
                optimizer.register_step_pre_hook(before),
                optimizer.register_step_post_hook(after),
            ]

    def reference(self, metrics: Mapping[str, Any], *, eval_seconds: float | None = None) -> None:
        """Write what the base model gives on the eval sets, the adapter switched off."""
        self._open(self._last_step)
        record: dict[str, Any] = {"kind": "reference", "time": time.time(), "metrics": _plain(metrics)}
        if eval_seconds is not None:
            record["compute"] = {"eval_seconds": eval_seconds}
            self._eval_seconds += eval_seconds
        self._write(record)
        self.discard_eval()

    def discard_eval(self) -> None:
        """Forget what was counted of the evaluation in progress, which is of no step."""
        self._end_of_eval()
        self._mark = time.perf_counter()

    def checkpoint(self, step: int, *, kept: bool = True) -> None:
        """Write that a checkpoint of this step is complete; ``kept`` says whether it stays, or only serves to
        resume.
        """
        self._open(step)
        self._write({"kind": "checkpoint", "step": int(step), "kept": kept, "compute": self._totals()})

    def resume(self, step: int) -> None:
        """Go on with the log from the checkpoint of this step; what it holds after that step is void from now
        on.

        Without a log there, a new one begins at that step. Clocks and counters go on from that checkpoint, or
        else from the last evaluation that is kept. Raises InputError where the log there is of another run,
        or has ended.
        """
        step = int(step)
        there = existing(self.folder)
        if there is None or not there.header:
            self._last_step = step
            return
        self._refuse_other(there)
        if there.ended:
            raise InputError(
                f"{self.folder / FILE_NAME} has ended at step {there.step:g}; it is not continued"
            )
        self._file = (self.folder / FILE_NAME).open("ab")
        if there.torn:
            self._file.write(b"\n")
        kept, valid = _kept(there.records, step)
        evals = [record for record in kept if record.get("kind") == "eval"]
        base = _counted(kept)
        waste = _waste(valid, base, step)
        clocks = {
            name: number(base.pop(name, 0.0)) or 0.0
            for name in ("wall_seconds", "train_seconds", "cpu_seconds", "checkpoint_seconds")
        }
        self._began -= clocks["wall_seconds"]
        self._checkpoint_seconds = clocks["checkpoint_seconds"]
        timed = clocks["train_seconds"]
        self._eval_seconds = clocks["wall_seconds"] - timed - self._checkpoint_seconds if timed else 0.0
        self._cpu -= clocks["cpu_seconds"]
        self._energy_before = number(base.pop("energy_joules", None)) if base or step else 0.0
        self._counts = {
            name: value
            for name, value in base.items()
            if not name.startswith(("eval_", "peak_", "wasted_", "total_flos"))
        }
        for name, value in waste.items():
            earlier = [
                entries(record, "wasted").get(name)
                for record in there.records
                if record.get("kind") == "segment"
            ]
            self._counts[f"wasted_{name}"] = value + sum(number(one) or 0.0 for one in earlier)
        self._evals = len({record.get("step") for record in evals})
        self._segment = sum(record.get("kind") == "segment" for record in there.records) + 1
        self._last_step = step
        since = kept.index(evals[-1]) + 1 if evals else 0
        self._losses.clear()
        evaluated = int(number(evals[-1].get("step")) or 0) if evals else 0
        self._resumed_at_eval = bool(evals) and evaluated == step
        self._logged_step = evaluated if kept else step
        for record in kept[since:]:
            if record.get("kind") == "train":
                plain = {name: value for name in _TRAIN if (value := number(record.get(name))) is not None}
                self._remember_train(int(number(record.get("step")) or 0), plain)
        self._write(
            {
                "kind": "segment",
                "segment": self._segment,
                "resumed_from": step,
                "time": time.time(),
                "wasted": waste,
            }
        )

    def end(self, step: int, reason: str) -> None:
        """Write that the training ended by itself, and close the file."""
        self._open(step)
        self._write({"kind": "end", "step": int(step), "reason": reason, "compute": self._totals()})
        self.close()

    def close(self) -> None:
        """Close the files; a log that was not ended says by that that it was cut short."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> EvalLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is not None:
            self.end(self._last_step, "the loop ended")
        self.close()

    def _evaluation(
        self,
        step: int,
        metrics: Mapping[str, Any],
        *,
        epoch: float | None,
        seconds: float | None,
        train: Mapping[str, Any] | None = None,
        compute: Mapping[str, Any] | None = None,
        signals: Mapping[str, Any] | None = None,
        counts: Mapping[str, int] | None = None,
        saved: bool | None = None,
        continues: bool = False,
    ) -> None:
        found = _plain(metrics)
        self._open(step)
        if self._evals == 0 and (
            missing := [name for name in self.header.get("modes") or {} if name not in metrics]
        ):
            raise InputError(
                f"the first evaluation gave no {missing[0]!r}; it gave {suggestion(missing[0], metrics)}"
            )
        record: dict[str, Any] = {
            "kind": "eval",
            "step": int(step),
            "epoch": epoch,
            "segment": self._segment,
            "time": time.time(),
            "metrics": found,
        }
        if continues:
            record["continues"] = True
        else:
            self._evals += 1
        if counts:
            record["counts"] = {name: int(value) for name, value in counts.items()}
        companions = train if train is not None else self._since_last()
        if companions and not continues:
            record["train"] = _plain(companions)
        if seconds is not None:
            self._this_eval += seconds
            self._eval_seconds += seconds
        if self._signals is not None and not continues:
            whole, modules = self._signals.measure()
            record["signals"] = {**whole, **_plain(signals or {})}
            record["modules"] = modules
        elif signals:
            record["signals"] = _plain(signals)
        self._merge_counts()
        record["compute"] = {**self._compute(timed=seconds is not None), **_plain(compute or {})}
        if saved is not None:
            record["saved"] = bool(saved)
        if self._steps is not None:
            self._steps.sync()
        self._write(record)
        self._losses.clear()

    def _end_of_eval(self) -> None:
        self._merge_counts()
        self._this_eval = 0.0
        for name in [name for name in self._counts if name.startswith("eval_")]:
            del self._counts[name]

    def _merge_counts(self, *, together: bool = False) -> None:
        """Take up what was counted since the last time; of all processes, where they all come here
        ``together``.
        """
        local = _plain(self._local)
        self._local.clear()
        if together:
            local = summed(local)
        for name, value in local.items():
            self._counts[name] = self._counts.get(name, 0) + value

    def _open(self, step: int) -> None:
        self._last_step = int(step)
        if self._file is not None:
            return
        there = existing(self.folder)
        fresh = "xb"
        if there is not None and not there.header:
            fresh = "wb"
        elif there is not None:
            self._refuse_other(there)
            raise InputError(
                f"{self.folder / FILE_NAME} holds this run already, up to step {there.step:g} ({there.evals}"
                " evals); resume it from a checkpoint, or give another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / FILE_NAME).open(fresh)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        defaults = {"modes": {}, "versions": versions(), "hardware": hardware()}
        self._write(
            {
                "format": FORMAT_NAME,
                "version": VERSION,
                "run": self.run,
                "created": created,
                **defaults,
                **self.header,
            }
        )
        if hasattr(os, "O_DIRECTORY"):  # the file's name must survive a crash too
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)

    def _refuse_other(self, there: Existing) -> None:
        if (found := there.differs(self.header)) is not None:
            raise InputError(
                f"{self.folder / FILE_NAME} is the log of another run ({found}); nothing is written over it"
            )

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(encode(record).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:  # a full disk: which file it was, Python does not say
            error.filename = error.filename or str(self.folder / FILE_NAME)
            raise

    def _remember_train(self, step: int, plain: Mapping[str, Any]) -> None:
        if "loss" in plain:
            self._losses.append((max(step - self._logged_step, 1), plain["loss"]))
        self._companions = {name: value for name, value in plain.items() if name != "loss"}
        self._logged_step = step

    def _since_last(self) -> dict[str, float]:
        steps = sum(steps for steps, _ in self._losses)
        mean = {"loss": sum(steps * loss for steps, loss in self._losses) / steps} if steps else {}
        clipped = {}
        if self._steps is not None and self._steps.grad_norm is not None:
            clipped["grad_norm_clipped"] = self._steps.grad_norm
        return {**mean, **self._companions, **clipped}

    def _compute(self, *, timed: bool) -> dict[str, Any]:
        wall = time.perf_counter() - self._began
        seconds = {
            "wall_seconds": wall,
            "cpu_seconds": time.process_time() - self._cpu + self._others.get("cpu_seconds", 0.0),
        }
        if timed:
            train = wall - self._eval_seconds - self._checkpoint_seconds
            seconds = {"train_seconds": train, "eval_seconds": self._this_eval, **seconds}
        if self._checkpoint_seconds:
            seconds["checkpoint_seconds"] = self._checkpoint_seconds
        joules = None if self._energy is None else self._energy.joules()
        if joules is not None and self._energy_before is not None:
            seconds["energy_joules"] = joules + self._others.get("energy_joules", 0.0) + self._energy_before
        peaks = peak_memory() | {
            name: value for name, value in self._others.items() if name.startswith("peak_")
        }
        return {**seconds, **_plain(self._counts), **peaks}

    def _so_far(self) -> dict[str, Any]:
        """What a kill from now on would waste; of several processes only the time is known between
        evaluations.
        """
        alone = processes() == 1
        if alone:
            self._merge_counts()
        names = _WASTE if alone else ("wall_seconds", "train_seconds")
        return {name: value for name, value in self._totals().items() if name in names}

    def _totals(self) -> dict[str, Any]:
        """The cumulative counters, without those of a single evaluation."""
        counters = self._compute(timed=self._eval_seconds > 0 or bool(self._hooks))
        return {name: value for name, value in counters.items() if not name.startswith("eval_")}

    def _measure(self, adapter: Adapter, step: int) -> None:
        """Open the log, and measure an adapter from now on."""
        from collect.signals import EvalSignals
        from collect.step_log import StepLog

        self.header.setdefault("lora", adapter.header())
        self._open(step)
        if self._measures[0]:
            self._signals = EvalSignals(adapter)
        if self._measures[1]:
            self._steps = StepLog(self.folder, adapter, self._segment)

    # ---- the Trainer's events ----

    def __getattr__(self, name: str) -> Any:
        # the Trainer calls every event of every callback; those that say nothing to a log pass by, whatever
        # its version has
        if name.startswith("on_"):
            return _pass
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self._began = self._mark = time.perf_counter()
        self._cpu = time.process_time()
        self._energy = Energy()
        if model is not None:
            self._hooks.append(
                _transformer(model).register_forward_pre_hook(self._count_tokens, with_kwargs=True)
            )
        if not state.is_world_process_zero:
            return
        if getattr(args.eval_strategy, "value", args.eval_strategy) == "no" and not args.eval_on_start:
            text = (
                "the Trainer evaluates nothing, and no stop rule can be replayed without evaluations: set"
                " eval_strategy and eval_steps"
            )
            warnings.warn(text, ReplayWarning, stacklevel=2)
        for name, value in _from_trainer(args, state, model, kwargs.get("train_dataloader")).items():
            self.header.setdefault(name, value)
        if state.global_step or (
            self._restart and (there := existing(self.folder)) is not None and not there.ended
        ):
            self.resume(state.global_step)
        adapter = None
        if model is not None and any(self._measures):
            from collect.signals import Adapter

            adapter = Adapter.of(model)
        if adapter is None:
            self._open(state.global_step)
            return
        self._measure(adapter, state.global_step)
        if state.global_step:
            if self._steps is not None:
                self._steps.restore(_checkpoint_folder(args, state))
            if self._signals is not None and self._resumed_at_eval:
                self._signals.remember()

    def _count_tokens(self, model: Any, args: Any, inputs: Mapping[str, Any]) -> None:
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is not None:
            prefix = "" if model.training else "eval_"
            # a sum stays on its device until an evaluation is written: no wait for the GPU at each step.
            # While it generates, a model gets one token at a time and the mask of all before.
            real = ids.numel() if mask is None or mask.shape != ids.shape else mask.detach().sum()
            self.count(**{f"{prefix}tokens": real, f"{prefix}padded_tokens": ids.numel()})

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._in_eval is not None:
            self._in_eval = None
            self._end_of_eval()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._steps is not None:
            self._steps.before()

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        if self._steps is not None:
            groups = getattr(optimizer, "param_groups", None)
            self._steps.after(state.global_step + 1, groups[0]["lr"] if groups else None)

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
        found = {
            name: value
            for name, value in (metrics or {}).items()
            if not name.endswith(NOT_METRICS)
            and name not in ("epoch", "step", "num_input_tokens_seen")
            and _is_number(value)
        }
        if not found:
            raise InputError(
                "the evaluation gave no loss and no metric: the Trainer does not know the labels; "
                "a peft model needs TrainingArguments(label_names=['labels'])"
            )
        begun = (
            self._in_eval
            if self._in_eval is not None and self._in_eval["step"] == state.global_step
            else None
        )
        if begun is None:
            begun = self._in_eval = {
                "step": state.global_step,
                "metrics": {},
                "seconds": 0.0,
                "sets": 0,
                "written": False,
            }
        begun["metrics"] |= {name: value for name, value in found.items() if name not in begun["metrics"]}
        begun["seconds"] += now - self._mark
        begun["sets"] += 1
        self._mark = now
        if self.data_sets is not None and begun["sets"] < self.data_sets:
            return
        self._merge_all(state)
        if self._file is not None:
            self._evaluation(
                state.global_step,
                begun["metrics"],
                epoch=state.epoch,
                seconds=begun["seconds"],
                compute={"total_flos": state.total_flos} if state.total_flos else None,
                counts=self.weights,
                saved=None if begun["written"] else False,
                continues=begun["written"],
            )
        self.weights = {}
        begun.update(metrics={}, seconds=0.0, written=True)
        self._mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._hooks:
            return
        now = time.perf_counter()
        self._merge_all(state)
        if self._file is not None:
            if self._steps is not None:
                self._steps.save(_checkpoint_folder(args, state))
            self._checkpoint_seconds += now - self._mark
            self.checkpoint(state.global_step, kept=self.keeps(state.global_step))
        self._mark = time.perf_counter()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._hooks:
            self._merge_all(state)
        if self._file is not None:
            whole = state.global_step >= state.max_steps
            reason = (
                "all planned steps are done"
                if whole
                else f"stopped at step {state.global_step} of {state.max_steps}"
            )
            self.end(state.global_step, reason)
        self.close()

    def _merge_all(self, state: Any) -> None:
        """What all processes have counted, in the one that writes."""
        self._merge_counts(together=processes() > 1)
        if processes() > 1:
            used: dict[str, Any] = {"cpu_seconds": time.process_time() - self._cpu, **peak_memory()}
            joules = None if self._energy is None else self._energy.joules()
            total = summed(used | ({} if joules is None else {"energy_joules": joules}))
            self._others = {
                "cpu_seconds": total.pop("cpu_seconds") - used["cpu_seconds"],
                "energy_joules": total.pop("energy_joules", 0.0) - (joules or 0.0),
                **total,
            }


def _pass(*_: Any, **__: Any) -> None:
    return None


def _transformer(model: Any) -> Any:
    """The model that all tokens go through: beneath peft's, which generation passes by, unless peft replaces
    the tokens itself.
    """
    config = getattr(model, "active_peft_config", None)
    return model if config is None or config.is_prompt_learning else model.get_base_model()


def _checkpoint_folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _kept(
    records: Sequence[Mapping[str, Any]], step: float
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """(records that are valid up to ``step``, records that were valid until now)."""
    valid: list[Mapping[str, Any]] = []
    for record in records:
        if record.get("kind") == "segment":
            at = number(record.get("resumed_from")) or 0.0
            valid = [one for one in valid if (number(one.get("step")) or 0.0) <= at]
        elif number(record.get("step")) is not None:
            valid.append(record)
    return [record for record in valid if (number(record.get("step")) or 0.0) <= step], valid


def _waste(valid: Sequence[Mapping[str, Any]], base: Mapping[str, Any], step: int) -> dict[str, Any]:
    """What was done after ``step`` and becomes void: steps, and the counters as far as they are known."""
    last = max((number(record.get("step")) or 0.0 for record in valid), default=float(step))
    waste: dict[str, Any] = {"steps": max(int(last) - step, 0)}
    counted = _counted(valid)
    for name in _WASTE:
        if name in counted:
            waste[name] = max(counted[name] - base.get(name, 0), 0)
    return waste


def _counted(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last known value of each counter in some records."""
    found: dict[str, Any] = {}
    for record in records:
        found |= {name: value for name, value in entries(record, "compute").items() if _is_number(value)}
    return found


def _from_trainer(args: Any, state: Any, model: Any, batches: Any) -> dict[str, Any]:
    """Header entries that the Trainer knows."""
    given = {name: getattr(args, name) for name in _HYPERPARAMETERS if hasattr(args, name)}
    given.pop("num_train_epochs" if args.max_steps > 0 else "max_steps", None)
    hyperparameters = {
        name: getattr(value, "value", value) for name, value in given.items()
    }  # enumerations by their value
    for name in ("lr_scheduler_kwargs", "gradient_checkpointing"):
        if not hyperparameters.get(name):
            hyperparameters.pop(name, None)
    try:
        epochs = state.max_steps / math.ceil(len(batches) / args.gradient_accumulation_steps)
    except TypeError:  # a stream of batches has no length
        epochs = None
    for adapter in (getattr(model, "peft_config", None) or {}).values():
        for key in _LORA:
            value = getattr(adapter, key, None)
            if value is not None:
                hyperparameters[key] = sorted(value) if isinstance(value, set) else value
        break  # of several adapters the first is trained
    found: dict[str, Any] = {
        "planned_steps": state.max_steps,
        "planned_epochs": epochs,
        "hyperparameters": hyperparameters,
        "seed": args.seed,
    }
    with contextlib.suppress(TypeError):
        found["data"] = {"train": {"examples": len(batches.dataset)}}
    if path := getattr(getattr(model, "config", None), "_name_or_path", None):
        found["model"] = Path(path).name if Path(path).is_absolute() else path
    if args.metric_for_best_model:
        metric = str(args.metric_for_best_model)
        metric = metric if metric.startswith("eval_") else f"eval_{metric}"
        found["monitor"] = metric
        if args.greater_is_better is not None:
            found["modes"] = {metric: "max" if args.greater_is_better else "min"}
    if args.device.type == "cuda":
        found["devices"] = args.world_size * max(1, args.n_gpu)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as numbers of Python; tensors and arrays of one element become theirs, None stays."""
    plain = {}
    for name, value in values.items():
        try:
            single = value.item() if hasattr(value, "item") else value
        except (ValueError, RuntimeError):  # more than one element
            single = value
        if single is not None and not _is_number(single):
            raise InputError(f"{name} = {value!r} is not a number")
        plain[str(name)] = single
    return plain


def _difference(old: Any, new: Any, name: str) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (found := _difference(old.get(key), new.get(key), key)) is not None:
                return found
        return None
    if isinstance(old, dict) or isinstance(new, dict):
        return f"it has {'a' if old else 'no'} {name}"
    return None if old == new else f"{name} {old!r} there, {new!r} here"
