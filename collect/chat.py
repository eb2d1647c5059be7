"""Conversations as token ids, by the chat template of the model, and which of the tokens are learned.

The template is a program from the model's folder. It is only run by transformers, in its sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from collect.conversations import Conversation, Message
from collect.templates import shorten
from replay.errors import InputError

__all__ = ["encode_before_answer", "encode_conversation", "find_turn_ends", "require_template"]

#: The mark in a template around what the assistant says.
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def require_template(tokenizer: Any, model: str) -> None:
    """Raise InputError where a tokenizer has no chat template; ``model`` is the model's path."""
    if not tokenizer.chat_template:
        raise InputError(
            f"data.messages needs a chat template, and the tokenizer of model.path = {model!r} has none; take"
            " a model that was made for chats, or give data.prompt and data.answer"
        )


def encode_conversation(conversation: Conversation, tokenizer: Any) -> tuple[list[int], list[bool]]:
    """(token ids, whether each is learned) of a whole conversation: all that the assistant says is learned.

    Where the template marks this (``{% generation %}``), the marks count. Otherwise the tokens of a turn are
    those by which the conversation up to this turn is longer than the conversation before it with the
    beginning of an answer. Special tokens that end every conversation are of its last turn. Raises InputError
    where the template refuses the conversation, and where these do not begin alike, so that it is unknown
    which tokens the turn has.
    """
    messages = conversation.messages
    if tokenizer.is_fast and _MARK.search(tokenizer.get_chat_template()):
        encoded = _apply(tokenizer, messages, return_dict=True, return_assistant_tokens_mask=True)
        return list(encoded["input_ids"]), [bool(learned) for learned in encoded["assistant_masks"]]
    ids = _encode(tokenizer, messages)
    learned = [False] * len(ids)
    special = _special_tokens(tokenizer)
    for place, message in enumerate(messages):
        if message.role == "assistant":
            before = _encode(tokenizer, messages[:place], begin_answer=True) if place else []
            until = ids if place == len(messages) - 1 else _encode(tokenizer, messages[: place + 1])
            end = _common_length(ids, until)
            if until[: len(before)] != before or end <= len(before) or not special.issuperset(until[end:]):
                raise InputError(
                    "the chat template does not say which tokens the assistant writes: it has no"
                    f" {{% generation %}}, and the tokens before turn {place + 1} of the conversation"
                    f" {_describe(messages)} change with what follows. White space at the beginning of that"
                    " turn can be the cause; otherwise give the template these marks, as"
                    " trl.chat_template_utils.get_training_chat_template does for common models"
                )
            learned[len(before) : end] = [True] * (end - len(before))
    return ids, learned


def encode_before_answer(conversation: Conversation, tokenizer: Any) -> list[int]:
    """Token ids of what precedes the assistant's last turn, with the beginning of an answer."""
    messages = conversation.before_answer
    return _encode(tokenizer, messages, begin_answer=True) if messages else []


def find_turn_ends(ids: Sequence[int], learned: Sequence[bool], tokenizer: Any) -> set[int]:
    """The special tokens that end what the assistant says, as ``<|im_end|>`` does: the last one of each
    turn.
    """
    special = _special_tokens(tokenizer)
    ends: set[int] = set()
    last: int | None = None
    for token, is_learned in zip((*ids, None), (*learned, False), strict=True):
        if is_learned:
            last = token if token in special else last
        elif last is not None:
            ends.add(last)
            last = None
    return ends


def _special_tokens(tokenizer: Any) -> set[int]:
    return {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return next(
        (place for place, (first, second) in enumerate(zip(one, other, strict=False)) if first != second),
        min(len(one), len(other)),
    )


def _encode(tokenizer: Any, messages: Sequence[Message], *, begin_answer: bool = False) -> list[int]:
    return list(
        _apply(tokenizer, messages, return_dict=True, add_generation_prompt=begin_answer)["input_ids"]
    )


def _apply(tokenizer: Any, messages: Sequence[Message], **options: Any) -> Any:
    try:
        return tokenizer.apply_chat_template([message._asdict() for message in messages], **options)
    except Exception as error:  # whatever the template raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise InputError(
            f"the chat template refuses the conversation {_describe(messages)}:"
            f" {reason or type(error).__name__}"
        ) from None


def _describe(messages: Sequence[Message]) -> str:
    return "that begins with " + shorten(messages[0].content)
