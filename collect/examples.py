"""From texts to batches of token ids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from collect.chat import encode_conversation, require_template
from collect.config import Config
from collect.conversations import Conversation
from collect.data import Example, Item
from collect.templates import shorten
from replay.errors import InputError

__all__ = [
    "IGNORED",
    "Collate",
    "count_learned",
    "encode",
    "encode_plain",
    "encode_prompt",
    "find_beginning",
    "padded_width",
]

#: Labels that the loss leaves out, in torch and transformers.
IGNORED = -100


def encode(
    examples: Sequence[Item], labels: Sequence[str], tokenizer: Any, config: Config
) -> list[dict[str, Any]]:
    """Token ids and labels of each example, at most ``max_length`` tokens, and whether it was ``cut``.

    A classifier's label is a class number. A causal model's are the token ids of the answer and of the end
    token; the prompt's are left out of the loss. A text that is too long loses the beginning of its prompt,
    but neither its answer nor the tokens that the tokenizer puts before every text (BOS, for many models).
    Of a conversation the tokens of the assistant count; one that is too long loses its end.
    """
    limit = config.data.max_length
    if config.data.messages is not None:
        chats = [example for example in examples if isinstance(example, Conversation)]
        return _encode_conversations(chats, tokenizer, config)
    pairs = [example for example in examples if isinstance(example, Example)]
    if config.task == "classification":
        number = {label: index for index, label in enumerate(labels)}
        texts = [example.source for example in pairs]
        return [
            {**encoded, "labels": number[example.target]}
            for encoded, example in zip(_encode_texts(texts, tokenizer, limit), pairs, strict=True)
        ]
    out = []
    begin = find_beginning(tokenizer)
    ending = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for example in pairs:
        answer = [*tokenizer(example.target, add_special_tokens=False)["input_ids"], *ending]
        if len(answer) > limit - max(len(begin), 1):
            raise InputError(
                f"an answer has {len(answer)} tokens; data.max_length = {limit} leaves no room for it and a"
                " prompt"
            )
        prompt, cut = encode_prompt(example.source, tokenizer, limit - len(answer), begin)
        # where nothing precedes the answer, its first token cannot be predicted, and is not counted
        out.append({"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer, "cut": cut})
    return out


def _encode_conversations(
    chats: Sequence[Conversation], tokenizer: Any, config: Config
) -> list[dict[str, Any]]:
    limit = config.data.max_length
    require_template(tokenizer, config.model.path)
    out = []
    too_long = 0
    for chat in chats:
        ids, learned = encode_conversation(chat, tokenizer)
        labels = [token if counts else IGNORED for token, counts in zip(ids, learned, strict=True)]
        if not count_learned(labels):
            raise InputError(
                "the chat template gives the assistant no token in the conversation that begins with"
                f" {shorten(chat.messages[0].content)}, so that nothing would be learned from it; mend the"
                " template, or remove the conversation"
            )
        if not count_learned(labels[:limit]):
            too_long = max(too_long, next(place for place, counts in enumerate(learned) if counts) + 1)
        out.append({"input_ids": ids[:limit], "labels": labels[:limit], "cut": len(ids) > limit})
    if too_long:
        raise InputError(
            f"data.max_length = {limit} cuts off all that the assistant says in a conversation, which begins"
            f" to answer at token {too_long}; give more, or remove such conversations"
        )
    return out


def count_learned(labels: Sequence[int]) -> int:
    """How many tokens carry loss; the first never does, since it has nothing to be predicted from."""
    return sum(label != IGNORED for label in labels[1:])


def find_beginning(tokenizer: Any) -> list[int]:
    """The tokens that the tokenizer puts before every text: the BOS token, several, or none."""
    empty, text = (tokenizer(text)["input_ids"] for text in ("", "a"))
    # what the two have in common at their start; a tokenizer may also put tokens behind a text
    pairs = zip(empty, text, strict=False)
    return [first for first, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]


def encode_prompt(source: str, tokenizer: Any, room: int, begin: Sequence[int]) -> tuple[list[int], bool]:
    """(token ids of a prompt, whether it was cut): at most ``room`` tokens, those that begin every text and
    as much of the prompt's end as there is room for. No token that ends a text follows, since the answer
    does.
    """
    ids = tokenizer(source, add_special_tokens=False)["input_ids"] if source else []
    surplus = max(len(ids) - (room - len(begin)), 0)
    return [*begin, *ids[surplus:]], surplus > 0


def encode_plain(texts: Sequence[str], tokenizer: Any, config: Config) -> list[dict[str, Any]]:
    """Token ids of texts whose every token counts but the first, which has nothing to be predicted from."""
    limit = 2 if config.generic is None else config.generic.max_length
    encoded = _encode_texts(texts, tokenizer, limit)
    return [{**text, "labels": list(text["input_ids"])} for text in encoded if len(text["input_ids"]) > 1]


def _encode_texts(texts: Sequence[str], tokenizer: Any, limit: int) -> list[dict[str, Any]]:
    """Token ids of each text, at most ``limit``, and whether it was cut."""
    encoded = tokenizer(list(texts))["input_ids"] if texts else []
    return [
        {
            # what the tokenizer puts around a text stays when it cuts the text itself
            "input_ids": tokenizer(text, truncation=True, max_length=limit)["input_ids"]
            if len(ids) > limit
            else ids,
            "cut": len(ids) > limit,
        }
        for text, ids in zip(texts, encoded, strict=True)
    ]


def padded_width(longest: int) -> int:
    """How many tokens each example of a batch has whose longest one has so many: a multiple of 8, so that few
    shapes occur.
    """
    return 8 * math.ceil(longest / 8)


class Collate:
    """Batches of examples, padded to the width of the longest one."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = padded_width(max(len(example["input_ids"]) for example in examples))

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
