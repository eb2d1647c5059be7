"""LogWriter: writes the eval log of `replay.readers.formats.eval_log`, line by line, so that a kill loses at
most the eval in flight.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from collect.disk import named
from collect.eval_log.continuation import continue_from
from collect.eval_log.counters import Counters
from collect.eval_log.last_step import LastStep, read_last_step
from collect.eval_log.reader import FILE_NAME, ExistingLog, read_existing_log, without_plan
from collect.eval_log.values import plain_numbers
from collect.machine import hardware, versions
from replay.errors import InputError, suggestion
from replay.readers.formats.eval_log import FORMAT_NAME, VERSION, encode, number

if TYPE_CHECKING:
    from collect.eval_log.passes import PassMeter
    from collect.signals import Adapter, EvalSignals
    from collect.step_log import StepLog

__all__ = ["LogWriter"]

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
    "rows",
    "config",
    "devices",
    "lora",
)
#: What an extension changes.
_PLAN = ("planned_steps", "planned_epochs")
#: What a training log entry holds.
_TRAIN = ("loss", "learning_rate", "grad_norm")


class LogWriter:
    """The record of one run, for a training loop: ``folder/eval_log.jsonl``, and
    ``folder/step_signals.bin`` beside it where a LoRA model is watched.

    `EvalLog` is this and a callback of a Trainer; it describes the parameters.
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
        for name in header:
            if name not in _HEADER:
                raise InputError(f"an eval log's header has no {name!r}; it has {suggestion(name, _HEADER)}")
        self.folder = Path(folder)
        self.run = run or self.folder.resolve().name
        self.header: dict[str, Any] = header
        #: Whether the checkpoint of a step stays; one that does not only serves to resume.
        self.keeps: Callable[[int], bool] = lambda step: True
        self._restart = restart
        self._extend = extend
        self._measures_evals, self._measures_steps, self._measures_flops = signals, step_signals, flops
        self._file: IO[bytes] | None = None
        self._segment = 0
        self._resumed_at_eval = False
        self._counters = Counters()
        self._evals = 0
        #: (steps, mean loss) of each training log entry since the last evaluation.
        self._losses: list[tuple[int, float]] = []
        self._companions: dict[str, float] = {}
        self._logged_step = self._last_step = 0
        self._signals: EvalSignals | None = None
        self._steps: StepLog | None = None
        self._passes: PassMeter | None = None
        #: Whether the log that is continued lacks the operations of its earlier steps.
        self._lacks_flops = False
        self._resumed_at = 0
        #: Where no step signals are recorded, and a Trainer says when a step is done.
        self._last_step_file: LastStep | None = None
        self._hooks: list[Any] = []

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
        evaluation before), ``learning_rate`` and ``grad_norm``; what it lacks is taken from `log_train` and
        from the steps of a watched optimizer. ``eval_seconds`` is how long this evaluation took; with it, the
        log can give ``train_seconds``. ``compute`` adds counters of your own, or replaces those that are
        counted here. ``signals`` adds to those of a watched adapter.
        """
        self._write_eval(
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
        self._counters.end_eval()

    def log_train(self, step: int, values: Mapping[str, Any], *, epoch: float | None = None) -> None:
        """Write one training log entry: ``loss`` (mean since the entry before), ``learning_rate``,
        ``grad_norm``.
        """
        plain = plain_numbers({name: values[name] for name in _TRAIN if name in values})
        self._open(step)
        compute = self._counters.at_risk(timed=self._timed)
        self._write({"kind": "train", "step": int(step), "epoch": epoch, **plain, "compute": compute})
        self._remember_train(int(step), plain)

    def count(self, **amounts: Any) -> None:
        """Add to counters: ``tokens=512``. Names that begin with ``eval_`` are of the evaluation in
        progress.
        """
        self._counters.add(amounts)

    def watch(self, model: Any, optimizer: Any = None) -> None:
        """Measure the LoRA adapter of a peft model at each evaluation, and, with its optimizer, at each step
        of that, and count the operations of what runs through the model.

        Steps are counted from the last one that is in the log. Raises InputError where the model has no LoRA
        layer.
        """
        from collect.signals import Adapter, initial_factors

        initial = None if self._last_step else initial_factors(model)
        if (adapter := Adapter.of(model, initial)) is None:
            raise InputError(
                f"{type(model).__name__} has no trainable LoRA layer whose weights are whole; there is"
                " nothing to watch"
            )
        self._measure(adapter, self._last_step)
        self._count_flops(model)
        if optimizer is not None and self._passes is not None:
            self._passes.follow(optimizer)
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
        record: dict[str, Any] = {"kind": "reference", "time": time.time(), "metrics": plain_numbers(metrics)}
        if eval_seconds is not None:
            record["compute"] = {"eval_seconds": eval_seconds}
            self._counters.eval_seconds += eval_seconds
        self._write(record)
        self.discard_eval()

    def discard_eval(self) -> None:
        """Forget what was counted of the evaluation in progress, which is of no step."""
        self._counters.end_eval()

    def checkpoint(self, step: int, *, kept: bool = True) -> None:
        """Write that a checkpoint of this step is complete; ``kept`` says whether it stays, or only serves to
        resume.
        """
        self._open(step)
        compute = self._counters.totals(timed=self._timed)
        self._write({"kind": "checkpoint", "step": int(step), "kept": kept, "compute": compute})

    def resume(self, step: int) -> None:
        """Continue the log from the checkpoint of this step; what it holds after that step is void from now
        on.

        Without a log in the folder, a new one begins at that step. Clocks and counters continue from that
        checkpoint, or else from the last evaluation that is kept. Raises InputError where the log there is of
        another run, or has ended.
        """
        step = int(step)
        log = read_existing_log(self.folder)
        if log is None or not log.header:
            self._last_step = step
            return
        file = (self.folder / FILE_NAME).open("ab")
        try:
            self._lock(file)
            log = read_existing_log(self.folder)  # what another process wrote until it let go of the lock
            assert log is not None
            self._refuse_other(log)
            if log.ended and not (self._extend and step == log.step):
                raise InputError(
                    f"{self.folder / FILE_NAME} has ended at step {log.step:g}; it is not continued"
                )
        except BaseException:
            file.close()
            raise
        self._file = file
        if log.torn:
            self._file.write(b"\n")
        if log.ended:
            if not self.keeps(step):  # it was the last one, and stayed as such
                self._write({"kind": "checkpoint", "step": step, "kept": False})
            described = self._describe_extension(log)
            self._write({"kind": "extended", "step": step, "time": time.time(), **described})
        from collect.step_log import last_recorded_step

        segment = sum(record.get("kind") == "segment" for record in log.records)
        recorded = max(last_recorded_step(self.folder, segment), read_last_step(self.folder, segment))
        state = continue_from(log, step, recorded)
        self._counters.restore(state.counters, state.wasted, beginning=step == 0)
        self._evals, self._segment = state.evals, state.segment
        self._resumed_at_eval = state.at_eval
        self._last_step, self._logged_step = step, state.logged_step
        self._resumed_at = step
        self._lacks_flops = bool(state.counters) and "flops" not in state.counters
        self._losses.clear()
        for record in state.train:
            plain = {name: value for name in _TRAIN if (value := number(record.get(name))) is not None}
            self._remember_train(int(number(record.get("step")) or 0), plain)
        self._write(
            {
                "kind": "segment",
                "segment": self._segment,
                "resumed_from": step,
                "time": time.time(),
                "wasted": state.waste,
            }
        )

    def _describe_extension(self, log: ExistingLog) -> dict[str, Any]:
        """How the plan of a training changes that had ended: by now, and ``before``."""
        before = {name: log.header.get(name) for name in _PLAN}
        for record in log.records:
            if record.get("kind") == "extended":
                before |= {name: record.get(name) for name in _PLAN}
        return {**{name: self.header.get(name) for name in _PLAN}, "before": before}

    def end(self, step: int, reason: str) -> None:
        """Write that the training ended by itself, and close the file."""
        self._open(step)
        self._end_batch(step)
        compute = self._counters.totals(timed=self._timed)
        self._write({"kind": "end", "step": int(step), "reason": reason, "compute": compute})
        if self._last_step_file is not None:
            self._last_step_file.remove()
        self.close()

    def close(self) -> None:
        """Close the files. A log that was closed without `end` counts as cut short."""
        if (file := self._file) is not None:
            self._file = None
            with named(self.folder / FILE_NAME):  # what a full disk did not take is written once more
                file.close()
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        if self._last_step_file is not None:
            self._last_step_file.close()
            self._last_step_file = None
        self._remove_hooks()

    def _remove_hooks(self) -> None:
        if self._passes is not None:
            self._passes.close()
            self._passes = None
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is not None:
            self.end(self._last_step, "the loop ended")
        self.close()

    @property
    def _timed(self) -> bool:
        """Whether the time of evaluations is known, so that training time is too."""
        return self._counters.eval_seconds > 0 or bool(self._hooks)

    def _write_eval(
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
        """Write one evaluation, or one that ``continues`` that of the line before on a further data set."""
        plain = plain_numbers(metrics)
        self._open(step)
        self._end_batch(step)
        self._check_first_eval(metrics)
        record: dict[str, Any] = {
            "kind": "eval",
            "step": int(step),
            "epoch": epoch,
            "segment": self._segment,
            "time": time.time(),
            "metrics": plain,
        }
        if continues:
            record["continues"] = True
        else:
            self._evals += 1
        if counts:
            record["counts"] = {name: int(value) for name, value in counts.items()}
        companions = {**self._since_last_eval(), **(train or {})}
        if companions and not continues:
            record["train"] = plain_numbers(companions)
        if seconds is not None:
            self._counters.add_eval_seconds(seconds)
        if self._signals is not None and not continues:
            whole, modules = self._signals.measure()
            record["signals"] = {**whole, **plain_numbers(signals or {})}
            record["modules"] = modules
        elif signals:
            record["signals"] = plain_numbers(signals)
        self._counters.merge()
        counted = self._counters.values(timed=seconds is not None)
        record["compute"] = {**counted, **plain_numbers(compute or {})}
        if saved is not None:
            record["saved"] = bool(saved)
        if self._steps is not None:
            self._steps.sync()
        self._write(record)
        self._losses.clear()

    def _check_first_eval(self, metrics: Mapping[str, Any]) -> None:
        """Raise InputError where the first evaluation lacks a metric whose mode the header states."""
        if self._evals:
            return
        missing = [name for name in self.header.get("modes") or {} if name not in metrics]
        if missing:
            raise InputError(
                f"the first evaluation gave no {missing[0]!r}; it gave {suggestion(missing[0], metrics)}"
            )

    def _open(self, step: int) -> None:
        """Begin the log, unless it is open; ``step`` is the step that is about to be logged."""
        self._last_step = int(step)
        if self._file is not None:
            return
        log = self._refuse_present()
        self.folder.mkdir(parents=True, exist_ok=True)
        file = (self.folder / FILE_NAME).open("xb" if log is None else "ab")
        try:
            self._lock(file)
            self._refuse_present()
        except BaseException:
            file.close()
            raise
        file.truncate(0)  # a header line that a kill cut off
        self._file = file
        self._write(
            {
                "format": FORMAT_NAME,
                "version": VERSION,
                "run": self.run,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "modes": {},
                "versions": versions(),
                "hardware": hardware(),
                **self.header,
            }
        )
        if hasattr(os, "O_DIRECTORY"):  # the file's name must survive a crash too
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)

    def _refuse_present(self) -> ExistingLog | None:
        """Raise InputError where the folder holds a log; one without a complete header line is returned."""
        log = read_existing_log(self.folder)
        if log is not None and log.header:
            self._refuse_other(log)
            raise InputError(
                f"{self.folder / FILE_NAME} holds this run already, up to step {log.step:g} ({log.evals}"
                " evals); resume it from a checkpoint, or give another folder"
            )
        return log

    def _lock(self, file: IO[bytes]) -> None:
        """Keep other writers out until the file is closed, or this process ends; raises InputError where
        another has it.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            # of the open file: fcntl's other locks end as soon as this process closes any file of that path
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.folder / FILE_NAME} is being written by another process; wait until that has ended,"
                " or give another folder"
            ) from None
        except OSError:
            return  # a file system without locks

    def _refuse_other(self, log: ExistingLog) -> None:
        header: Mapping[str, Any] = self.header
        if self._extend or log.extended_at is not None:
            log, header = log._replace(header=without_plan(log.header)), without_plan(header)
        if (difference := log.difference(header)) is not None:
            raise InputError(
                f"{self.folder / FILE_NAME} is the log of another run ({difference}); nothing is written over"
                " it"
            )

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._file is not None
        with named(self.folder / FILE_NAME):
            self._file.write(encode(record).encode())
            self._file.flush()
            os.fsync(self._file.fileno())

    def _remember_train(self, step: int, plain: Mapping[str, Any]) -> None:
        if "loss" in plain:
            self._losses.append((max(step - self._logged_step, 1), plain["loss"]))
        self._companions = {name: value for name, value in plain.items() if name != "loss"}
        self._logged_step = step

    def _since_last_eval(self) -> dict[str, float]:
        """The mean train loss since the last evaluation, and the newest of the other training values."""
        steps = sum(steps for steps, _ in self._losses)
        mean = {"loss": sum(steps * loss for steps, loss in self._losses) / steps} if steps else {}
        measured = {}
        if self._steps is not None and self._steps.grad_norm is not None:
            measured["grad_norm_clipped"] = self._steps.grad_norm
            if self._steps.learning_rate is not None:
                measured["learning_rate"] = self._steps.learning_rate
        return {**mean, **measured, **self._companions}

    def _measure(self, adapter: Adapter, step: int) -> None:
        """Open the log, and measure an adapter from now on."""
        from collect.signals import EvalSignals
        from collect.step_log import StepLog

        self.header.setdefault("lora", adapter.header())
        self._open(step)
        if self._measures_evals:
            self._signals = EvalSignals(adapter)
        if self._measures_steps:
            self._steps = StepLog(self.folder, adapter, self._segment)

    def _count_flops(self, model: Any, args: Any = None) -> None:
        """Count the operations of what runs through a model from now on, if they are wanted and can be."""
        from collect.eval_log.passes import PassMeter, is_measurable

        if not self._measures_flops or not is_measurable(model, args):
            return
        if self._lacks_flops:
            self._counters.add_measured("flops", math.nan)
        self._passes = PassMeter(model, self._counters.add_measured)

    def _end_batch(self, step: int) -> None:
        """Count what the steps up to this one have taken."""
        if self._passes is not None:
            self._passes.end_batch()
        if step > self._resumed_at:
            self._counters.forget_stale()
