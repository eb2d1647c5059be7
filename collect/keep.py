"""The adapter that stays when a run has ended: the best one by a metric, the last one, or all.

A kill at any moment leaves a whole folder or none: an adapter is written under another name and renamed. Each
checkpoint holds the adapter that was kept by then, so that a run that goes on from it keeps what an
uninterrupted one would keep.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collect.config import Config, metric_modes
from collect.disk import named, whole_or_gone
from collect.model_card import Card
from collect.signals import Factors

__all__ = ["FOLDER", "Keeper", "forget"]

#: The folder of the kept adapter in that of its run, and the one of all evals' adapters.
FOLDER, ALL = "adapter", "adapters"
#: In a checkpoint: the adapter kept by then. transformers takes a folder with an adapter directly in a
#: checkpoint for one to load.
_IN_CHECKPOINT, _STATE = "kept", "state.json"
_WEIGHTS = "adapter_model.safetensors"


class Keeper:
    """Writes the adapters of a run that are to stay. Of several processes the first one has it."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        tokenizer: Any,
        card: Card,
        initial: Mapping[str, Factors] | None = None,
    ) -> None:
        self._config = config
        self._initial = initial or {}
        self._folder = folder
        self._tokenizer = tokenizer
        self.card = card
        self._monitor = config.train.keep_monitor
        self._sign = 1.0 if metric_modes(config)[self._monitor] == "min" else -1.0
        #: Of the kept adapter: its step, and the metrics there.
        self.step: int | None = None
        self.metrics: dict[str, Any] = {}
        #: Of how many evals it is the best, and the step after which they begin.
        self._evals = self._since = 0

    @property
    def value(self) -> float:
        """The monitor of the kept adapter."""
        return float(self.metrics.get(self._monitor, math.nan))

    def resume(self, checkpoint: Path | None) -> None:
        """Have the folder of the run as it was at a checkpoint; None is the beginning."""
        for name in (FOLDER, f".{FOLDER}.partial", f".{FOLDER}.old"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        last = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
        for path in (self._folder / ALL).glob("step-*"):
            if checkpoint is None or int(path.name.rpartition("-")[2]) > last:
                shutil.rmtree(path, ignore_errors=True)
        if checkpoint is None:
            return
        if not (checkpoint / _IN_CHECKPOINT / _STATE).is_file():  # of a version that kept nothing
            self._since = last
            return
        state = json.loads((checkpoint / _IN_CHECKPOINT / _STATE).read_text(encoding="utf-8"))
        self.step, self.metrics = state["step"], state["metrics"]
        self._evals, self._since = state["evals"], state["since"]
        if self.step is not None:
            partial = self._partial()
            with whole_or_gone(partial):
                _link_all(checkpoint / _IN_CHECKPOINT / FOLDER, partial)
            self._put(partial, FOLDER)

    def evaluated(self, model: Any, step: int, metrics: Mapping[str, Any], *, is_last: bool) -> bool:
        """Write the adapter as it is now, if it is to be kept; returns whether it was."""
        kind = self._config.train.keep
        known = {name: metrics[name] for name in metric_modes(self._config) if name in metrics}
        self._evals += 1
        value = known.get(self._monitor, math.nan)
        is_best = math.isfinite(value) and not self._sign * value >= self._sign * self.value
        if is_last if kind == "last" else is_best:
            self.step, self.metrics = step, known
            choice = "the last one" if kind == "last" else self._choice("so far")
            self._write(model, FOLDER, choice, step, known)
        elif kind != "all":
            return False
        if kind == "all":
            choice = f"all evals' adapters are kept, and the best is in the folder {FOLDER}"
            self._write(model, f"{ALL}/step-{step}", choice, step, known)
        return True

    def finish(self) -> None:
        """Say in the card what the adapter is now that the run has ended."""
        if self.step is None or self._config.train.keep == "last":
            return
        path = self._folder / FOLDER / "README.md"
        partial = path.with_suffix(".partial")
        text = self._text(FOLDER, self._choice("of the run"), self.step, self.metrics)
        with named(path):
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)

    def save_in(self, checkpoint: Path) -> None:
        """Keep in a checkpoint what a run that goes on from it must know."""
        forget(checkpoint)  # of a process that was killed while it wrote this checkpoint
        inside = checkpoint / _IN_CHECKPOINT
        inside.mkdir()
        if self.step is not None:
            _link_all(self._folder / FOLDER, inside / FOLDER)
        state = {"step": self.step, "metrics": self.metrics, "evals": self._evals, "since": self._since}
        (inside / _STATE).write_text(json.dumps(state), encoding="utf-8")

    def _choice(self, until: str) -> str:
        word = "lowest" if self._sign > 0 else "highest"
        evals = "1 eval" if self._evals == 1 else f"{self._evals} evals"
        until += f" after step {self._since}" if self._since else ""
        return f"the one with the {word} {self._monitor}, {self.value:.6g}, of the {evals} {until}"

    def _text(self, name: str, choice: str, step: int, metrics: Mapping[str, Any]) -> str:
        log = "../" * (name.count("/") + 1) + "eval_log.jsonl"
        return self.card.text(step, metrics, choice, log)

    def _write(self, model: Any, name: str, choice: str, step: int, metrics: Mapping[str, Any]) -> None:
        partial = self._partial()
        with whole_or_gone(partial):
            partial.mkdir(parents=True)
            save_adapter(model, partial, self._config, self._initial)
            self._save_tokenizer(partial)
            (partial / "README.md").write_text(self._text(name, choice, step, metrics), encoding="utf-8")
            _sync(partial)
        self._put(partial, name)

    def _partial(self) -> Path:
        partial = self._folder / f".{FOLDER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        return partial

    def _put(self, partial: Path, name: str) -> None:
        """Give a whole folder its name."""
        target, old = self._folder / name, self._folder / f".{FOLDER}.old"
        shutil.rmtree(old, ignore_errors=True)
        with named(target):
            target.parent.mkdir(exist_ok=True)
            if target.is_dir():
                target.rename(old)
            partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)

    def _save_tokenizer(self, into: Path) -> None:
        """The tokenizer's files, which do not change: those of the adapter before, if there is one."""
        mine = ("README.md", "adapter_config.json", _WEIGHTS)
        before = self._folder / FOLDER
        files = [path for path in before.glob("*") if path.is_file() and path.name not in mine]
        if not files:
            self._tokenizer.save_pretrained(into)
        for path in files:
            _link(path, into / path.name)


def save_adapter(model: Any, folder: Path, config: Config, initial: Mapping[str, Factors]) -> None:
    """The adapter of a peft model, with the modules that are trained in full, as peft loads it onto the base
    model. What an initialisation moved into the adapter (``initial``) is taken out of it again, by factors of
    twice the rank.
    """
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights, seen = {}, set()
    # the embedding is in it where it is trained; otherwise it is the base model's
    for name, weight in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        whole = weight.detach()
        module, _, factor = name.removeprefix("base_model.model.").rpartition(".lora_")
        if module in initial and factor in ("A.weight", "B.weight"):
            number = "AB".index(factor[0])
            first = initial[module][number].to(whole)
            whole = torch.cat([whole, -first if number else first], dim=number)
        whole = whole.contiguous()
        # safetensors does not take two names for one tensor
        weights[name] = whole.clone() if whole.data_ptr() in seen else whole
        seen.add(whole.data_ptr())
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    settings = copy.deepcopy(model.peft_config["default"])
    settings.inference_mode = True
    if isinstance(settings.init_lora_weights, str) and settings.init_lora_weights != "loftq":
        settings.init_lora_weights = (
            True  # the weights replace it, and the base model is not to be changed again
        )
        settings.eva_config = settings.corda_config = settings.lora_ga_config = None
    if initial:
        factor = 2**0.5 if settings.use_rslora else 2
        settings.r *= 2
        settings.lora_alpha *= factor
        settings.rank_pattern = {name: 2 * rank for name, rank in settings.rank_pattern.items()}
        settings.alpha_pattern = {name: factor * alpha for name, alpha in settings.alpha_pattern.items()}
    settings.base_model_name_or_path = config.model.path  # as the config says it: no path of this machine
    for name, value in vars(settings).items():
        if isinstance(value, set):
            setattr(settings, name, sorted(value))  # a set has another order in each process
    settings.save_pretrained(folder)


def forget(checkpoint: Path) -> None:
    """Remove the kept adapter from a checkpoint that stays: its run has ended and does not go on from it."""
    shutil.rmtree(checkpoint / _IN_CHECKPOINT, ignore_errors=True)


def _link_all(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        _link(path, target / path.name)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where a file system has no such thing. What is kept is
    never written over, only replaced.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync(folder: Path) -> None:
    """Have the files of a folder on disk, so that its name never stands for less."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)
