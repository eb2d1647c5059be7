"""EvalLog: writes the eval log of `replay.importers.eval_log`, line by line, so that a kill loses at most the line in flight.

Used as a callback of any transformers Trainer, or called from a training loop of one's own.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from replay.errors import InputError, suggestion
from replay.importers.eval_log import FORMAT_NAME, VERSION, decode, encode, number

if TYPE_CHECKING:
    _Callback = object
else:
    try:
        from transformers import TrainerCallback as _Callback
    except ImportError:  # a loop of one's own needs no transformers
        _Callback = object

__all__ = ["FILE_NAME", "EvalLog", "Existing", "existing", "hardware", "versions"]

FILE_NAME = "eval_log.jsonl"
_HEADER = (
    "modes", "monitor", "planned_steps", "planned_epochs", "model", "dataset", "group", "hyperparameters", "seed", "versions",
    "hardware", "data", "config", "devices",
)  # fmt: skip
#: What makes two runs different runs: a log is only continued where these are the same.
_IDENTITY = ("config", "model", "dataset", "data", "hyperparameters", "seed")
#: Numbers that transformers adds to an evaluation's metrics.
_NOT_METRICS = ("_runtime", "_samples_per_second", "_steps_per_second", "_model_preparation_time")
_HYPERPARAMETERS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "optim",
    "weight_decay", "max_grad_norm", "label_smoothing_factor", "max_steps", "num_train_epochs", "bf16", "fp16",
)  # fmt: skip
_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save")


class Existing(NamedTuple):
    """A log that is already there: header, the other records, last step, number of evals, whether it ended, or is torn."""

    header: dict[str, Any]
    records: list[dict[str, Any]]
    step: float
    evals: int
    ended: bool
    torn: bool

    def differs(self, header: Mapping[str, Any], names: Sequence[str] = _IDENTITY) -> str | None:
        """The first entry in which a run with this header is another run (``learning_rate 0.001 there, 0.002 here``), or None."""
        mine = decode(encode({name: header.get(name) for name in names}))
        for name in names:
            if (found := _difference(self.header.get(name), mine[name], name)) is not None:
                return found
        return None


def existing(folder: Path) -> Existing | None:
    """The log in a folder, or None where there is none; raises InputError where the file there is not such a log."""
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
    if header.get("format") != FORMAT_NAME or header.get("version") != VERSION:
        raise InputError(f"{path} is there already and is no eval log of version {VERSION}; nothing is written over it")
    records = []
    for line in lines[1:]:
        try:
            records.append(decode(line))
        except ValueError:
            continue  # a line that a kill cut off
    steps = [number(record.get("step")) or 0.0 for record in records]
    kinds = [record.get("kind") for record in records]
    return Existing(header, records, max(steps, default=0.0), kinds.count("eval"), "end" in kinds, not text.endswith("\n"))


class EvalLog(_Callback):
    """The record of one run, in ``folder/eval_log.jsonl``.

    As a callback it fills the header from the Trainer, writes a line for each training log entry and one for each
    evaluation (all data sets of one step together), and counts time and tokens itself::

        trainer.add_callback(EvalLog("logs/my-run"))

    In a loop of one's own, give the header's entries and log each evaluation::

        with EvalLog("logs/my-run", planned_steps=1000, modes={"eval_loss": "min"}) as log:
            log.log(step=100, metrics={"eval_loss": 0.7}, train={"loss": 0.8}, eval_seconds=2.5)

    ``header`` takes the entries of the format (``modes``, ``group``, ``config``, …); ``run`` is the folder's name by default.
    A metric that ``modes`` states must be in the first evaluation, else InputError says so there. An existing log is
    continued only from a checkpoint of the same run; everything else that is there already is an InputError, and stays.
    """

    def __init__(self, folder: str | os.PathLike[str], *, run: str | None = None, **header: Any) -> None:
        for name in header:
            if name not in _HEADER:
                raise InputError(f"an eval log's header has no {name!r}; it has {suggestion(name, _HEADER)}")
        self.folder = Path(folder)
        self.run = run or self.folder.resolve().name
        self.header: dict[str, Any] = header
        self._file: IO[bytes] | None = None
        self._counts: dict[str, Any] = {}
        self._evals = 0
        self._pending: dict[str, Any] | None = None
        self._losses: list[tuple[int, float]] = []
        self._companions: dict[str, float] = {}
        self._logged_step = self._last_step = 0
        self._began = self._mark = time.perf_counter()
        self._cpu = time.process_time()
        self._eval_seconds = 0.0
        self._this_eval = 0.0
        self._hook: Any = None

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
        saved: bool | None = None,
    ) -> None:
        """Write one evaluation. It is on disk when this returns.

        ``metrics`` are named with their data set (``eval_loss``, ``test_loss``). ``train`` may hold ``loss`` (mean since
        the evaluation before), ``learning_rate`` and ``grad_norm``; without it, what `log_train` was told is used.
        ``eval_seconds`` is how long this evaluation took: with it, ``train_seconds`` can be told apart. ``compute`` adds
        counters of one's own, or replaces those that are counted here.
        """
        found = _plain(metrics)
        self._open(step)
        if self._evals == 0 and (missing := [name for name in self.header.get("modes") or {} if name not in metrics]):
            raise InputError(f"the first evaluation gave no {missing[0]!r}; it gave {suggestion(missing[0], metrics)}")
        self._evals += 1
        record: dict[str, Any] = {"kind": "eval", "step": int(step), "epoch": epoch, "time": time.time(), "metrics": found}
        companions = train if train is not None else self._since_last()
        if companions:
            record["train"] = _plain(companions)
        if eval_seconds is not None:
            self._this_eval = eval_seconds
            self._eval_seconds += eval_seconds
        record["compute"] = {**self._compute(timed=eval_seconds is not None), **_plain(compute or {})}
        if signals:
            record["signals"] = _plain(signals)
        if saved is not None:
            record["saved"] = bool(saved)
        self._write(record)
        self._losses.clear()
        self._this_eval = 0.0
        for name in [name for name in self._counts if name.startswith("eval_")]:
            del self._counts[name]

    def log_train(self, step: int, values: Mapping[str, Any], *, epoch: float | None = None) -> None:
        """Write one training log entry: ``loss`` (mean since the entry before), ``learning_rate``, ``grad_norm``."""
        plain = _plain({name: values[name] for name in ("loss", "learning_rate", "grad_norm") if name in values})
        self._open(step)
        self._write({"kind": "train", "step": int(step), "epoch": epoch, **plain})
        if "loss" in plain:
            self._losses.append((max(int(step) - self._logged_step, 1), plain["loss"]))
        self._companions = {name: value for name, value in plain.items() if name != "loss"}
        self._logged_step = int(step)

    def count(self, **amounts: Any) -> None:
        """Add to counters: ``tokens=512``. Names that begin with ``eval_`` are of the evaluation in progress."""
        for name, amount in amounts.items():
            self._counts[name] = self._counts.get(name, 0) + amount

    def resume(self, step: int) -> None:
        """Go on with the log from the checkpoint of this step; what it holds after that step is void from now on.

        Without a log there, a new one begins at that step. Clocks and counters go on from the last evaluation that is kept.
        Raises InputError where the log there is of another run, or has ended.
        """
        there = existing(self.folder)
        if there is None:
            return
        self._refuse_other(there)
        if there.ended:
            raise InputError(f"{self.folder / FILE_NAME} has ended at step {there.step:g}; it is not continued")
        self._file = (self.folder / FILE_NAME).open("ab")
        if there.torn:
            self._file.write(b"\n")
        segments = [record for record in there.records if record.get("kind") == "segment"]
        kept = [record for record in there.records if record.get("kind") == "eval" and (number(record.get("step")) or 0.0) <= step]
        self._evals = len(kept)
        if kept:
            counted = {name: value for name, value in (kept[-1].get("compute") or {}).items() if number(value) is not None}
            wall, train = (number(counted.pop(name, 0.0)) or 0.0 for name in ("wall_seconds", "train_seconds"))
            self._began -= wall
            self._eval_seconds = wall - train if train else 0.0
            self._cpu -= number(counted.pop("cpu_seconds", 0.0)) or 0.0
            self._counts = {name: value for name, value in counted.items() if not name.startswith("eval_")}
        self._logged_step = self._last_step = int(step)
        self._write({"kind": "segment", "segment": len(segments) + 1, "resumed_from": int(step), "time": time.time()})

    def end(self, step: int, reason: str) -> None:
        """Write that the training ended by itself, and close the file."""
        self._open(step)
        self._write({"kind": "end", "step": int(step), "reason": reason, "compute": self._compute(timed=self._eval_seconds > 0)})
        self.close()

    def close(self) -> None:
        """Close the file; a log that was not ended says by that that it was cut short."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def __enter__(self) -> EvalLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._file is not None:
            self.end(self._last_step, "the loop ended")
        self.close()

    def _open(self, step: int) -> None:
        self._last_step = int(step)
        if self._file is not None:
            return
        there = existing(self.folder)
        if there is not None:
            self._refuse_other(there)
            raise InputError(
                f"{self.folder / FILE_NAME} holds this run already, up to step {there.step:g} ({there.evals} evals); "
                "resume it from a checkpoint, or give another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / FILE_NAME).open("xb")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        defaults = {"modes": {}, "versions": versions(), "hardware": hardware()}
        self._write({"format": FORMAT_NAME, "version": VERSION, "run": self.run, "created": created, **defaults, **self.header})
        if hasattr(os, "O_DIRECTORY"):  # the file's name must survive a crash too
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)

    def _refuse_other(self, there: Existing) -> None:
        if (found := there.differs(self.header)) is not None:
            raise InputError(f"{self.folder / FILE_NAME} is the log of another run ({found}); nothing is written over it")

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(encode(record).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _since_last(self) -> dict[str, float]:
        steps = sum(steps for steps, _ in self._losses)
        mean = {"loss": sum(steps * loss for steps, loss in self._losses) / steps} if steps else {}
        return {**mean, **self._companions}

    def _compute(self, *, timed: bool) -> dict[str, Any]:
        wall = time.perf_counter() - self._began
        seconds = {"wall_seconds": wall, "cpu_seconds": time.process_time() - self._cpu}
        if timed:
            seconds = {"train_seconds": wall - self._eval_seconds, "eval_seconds": self._this_eval, **seconds}
        return {**seconds, **_plain(self._counts)}

    # ---- the Trainer's events ----

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        self._began = self._mark = time.perf_counter()
        self._cpu = time.process_time()
        for name, value in _from_trainer(args, state, model, kwargs.get("train_dataloader")).items():
            self.header.setdefault(name, value)
        if state.global_step:
            self.resume(state.global_step)
        self._open(state.global_step)
        if model is not None:
            self._hook = model.register_forward_pre_hook(self._count_tokens, with_kwargs=True)

    def _count_tokens(self, model: Any, args: Any, inputs: Mapping[str, Any]) -> None:
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is not None:
            prefix = "" if model.training else "eval_"
            # a sum stays on its device until an evaluation is written: no wait for the GPU at each step
            real = ids.numel() if mask is None or mask.dim() != 2 else mask.detach().sum()
            self.count(**{f"{prefix}tokens": real, f"{prefix}padded_tokens": ids.numel()})

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._flush(saved=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._mark = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if self._file is not None and logs and "loss" in logs:
            self.log_train(state.global_step, logs, epoch=state.epoch)
            self._mark = time.perf_counter()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if self._file is None:
            return  # an evaluation outside of the training
        now = time.perf_counter()
        found = {
            name: value
            for name, value in (metrics or {}).items()
            if not name.endswith(_NOT_METRICS) and name not in ("epoch", "step", "num_input_tokens_seen") and _is_number(value)
        }
        if not found:
            raise InputError(
                "the evaluation gave no loss and no metric: the Trainer does not know the labels; "
                "a peft model needs TrainingArguments(label_names=['labels'])"
            )
        if self._pending is None:
            self._pending = {"step": state.global_step, "epoch": state.epoch, "metrics": {}, "seconds": 0.0, "total_flos": state.total_flos}
        self._pending["metrics"].update(found)
        self._pending["seconds"] += now - self._mark
        self._mark = now

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._flush(saved=True)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._flush(saved=False)
        self._mark = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._file is None:
            return
        self._flush(saved=False)
        whole = state.global_step >= state.max_steps
        self.end(state.global_step, "all planned steps are done" if whole else f"stopped at step {state.global_step} of {state.max_steps}")

    def _flush(self, *, saved: bool) -> None:
        if self._pending is None or self._file is None:
            return
        pending, self._pending = self._pending, None
        self.log(
            pending["step"],
            pending["metrics"],
            epoch=pending["epoch"],
            eval_seconds=pending["seconds"],
            compute={"total_flos": pending["total_flos"]} if pending["total_flos"] else None,
            saved=saved,
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that shape a training, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in ("stop-replay", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Kind and number of the processors; nothing that names the machine."""
    import sys

    found: dict[str, Any] = {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()}
    if (torch := sys.modules.get("torch")) is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return found


def _from_trainer(args: Any, state: Any, model: Any, batches: Any) -> dict[str, Any]:
    """Header entries that the Trainer knows."""
    given = {name: getattr(args, name) for name in _HYPERPARAMETERS if hasattr(args, name)}
    given.pop("num_train_epochs" if args.max_steps > 0 else "max_steps", None)
    hyperparameters = {name: getattr(value, "value", value) for name, value in given.items()}  # enumerations by their value
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
    if name := getattr(getattr(model, "config", None), "_name_or_path", None):
        found["model"] = Path(name).name if Path(name).is_absolute() else name
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
