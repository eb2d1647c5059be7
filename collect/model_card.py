"""The model card of an adapter: what it was made of, how good it is, and how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collect.config import Config, metric_modes
from collect.machine import versions

__all__ = ["Card"]

_AUTO = {"classification": "AutoModelForSequenceClassification", "causal-lm": "AutoModelForCausalLM"}
_PIPELINE = {"classification": "text-classification", "causal-lm": "text-generation"}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass
class Card:
    """What a card says beside the eval that it is of.

    ``sources`` are lines on the data, ``reference`` the metrics of the base model, ``notes`` what a reader
    must know to use the adapter.
    """

    config: Config
    labels: Sequence[str]
    sources: Sequence[str]
    planned_steps: int = 0
    reference: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def text(self, step: int, metrics: Mapping[str, Any], choice: str, log: str) -> str:
        """The card of the adapter of a step; ``choice`` says why it is this one, ``log`` is the path of the
        log.
        """
        config = self.config
        base = json.dumps(config.model.path, ensure_ascii=False)
        task = "a classifier" if config.task == "classification" else "a causal language model"
        introduction = (
            f"A LoRA adapter that makes {config.model.path} {task} for the data below. It is the adapter of"
            f" step {step} of {self.planned_steps}: {choice}. All numbers of the run are in"
            f" [{log.rsplit('/', 1)[-1]}]({log})."
        )
        return "\n".join(
            [
                "---",
                f"base_model: {base}",
                "library_name: peft",
                f"pipeline_tag: {_PIPELINE[config.task]}",
                "tags:",
                "- lora",
                "---",
                "",
                f"# {config.name}",
                "",
                introduction,
                "",
                *self._metrics(metrics),
                "## Data",
                "",
                *(f"- {source}" for source in self.sources),
                "",
                "## Use",
                "",
                *self._use(base),
                "## Settings",
                "",
                "```json",
                json.dumps(config.record(), indent=1, ensure_ascii=False),
                "```",
                "",
                "## Versions",
                "",
                ", ".join(f"{name} {version}" for name, version in versions().items()),
                "",
            ]
        )

    def _metrics(self, metrics: Mapping[str, Any]) -> list[str]:
        rows = [
            f"| {name} | {metrics[name]:.6g} | {_number(self.reference.get(name))} |"
            for name in metric_modes(self.config)
            if name in metrics
        ]
        return [
            "## Evaluation",
            "",
            "eval_ is the validation set, test_ the test set.",
            "",
            "| metric | this adapter | base model |",
            "| :-- | --: | --: |",
            *rows,
            "",
        ]

    def _use(self, base: str) -> list[str]:
        config, auto = self.config, _AUTO[self.config.task]
        options = [base]
        if config.task == "classification":
            options.append(f"num_labels={len(self.labels)}")
        if config.model.gguf_file is not None:
            options.append(f"gguf_file={json.dumps(config.model.gguf_file, ensure_ascii=False)}")
        options.append(f'dtype="{_DTYPES[config.model.dtype]}"')
        lines = [
            "```python",
            "from peft import PeftModel",
            f"from transformers import {auto}, AutoTokenizer",
            "",
            f"base = {auto}.from_pretrained({', '.join(options)})",
            'model = PeftModel.from_pretrained(base, "adapter")',
            'tokenizer = AutoTokenizer.from_pretrained("adapter")',
            "```",
            "",
        ]
        if config.task == "classification":
            names = json.dumps(list(self.labels), ensure_ascii=False)
            lines += [f"The classes in the order of their numbers: `{names}`.", ""]
        if config.model.package is not None:
            lines += [f"The base model is in the Python package {config.model.package}.", ""]
        if config.model.quantization is not None:
            lines += [f"It was trained on a base model in {config.model.quantization} (bitsandbytes).", ""]
        return [*lines, *(line for note in self.notes for line in (note, ""))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
