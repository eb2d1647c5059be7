"""From texts to batches of token ids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from collect.config import Config
from collect.data import Example
from replay.errors import InputError

__all__ = ["IGNORED", "Collate", "encode", "encode_plain"]

#: Labels that the loss leaves out, in torch and transformers.
IGNORED = -100


def encode(
    examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, config: Config
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
        out.append({"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer})
    return out


def encode_plain(texts: Sequence[str], tokenizer: Any, config: Config) -> list[dict[str, Any]]:
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
            torch.tensor([example["labels"] for example in examples]) if whole else padded("labels", IGNORED)
        )
        return {"input_ids": padded("input_ids", self.pad), "attention_mask": mask, "labels": labels}
