"""From the value of a column to a conversation: lists of messages as OpenAI and Hugging Face write them, or
of turns as ShareGPT does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from collect.templates import describe_type, is_empty, shorten

__all__ = ["Conversation", "Message", "NothingToLearnError", "read_conversation"]

_ROLES = ("system", "developer", "user", "assistant", "tool")
#: What ShareGPT calls who speaks.
_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    content: str


class Conversation(NamedTuple):
    """One example: the turns in their order. Those of the assistant are learned."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> str:
        """What no two splits may share: the first turn of the user, or else the first turn."""
        first = next((message for message in self.messages if message.role == "user"), self.messages[0])
        return first.content

    @property
    def before_answer(self) -> tuple[Message, ...]:
        """What precedes the assistant's last turn."""
        return self.messages[: self._last]

    @property
    def answer(self) -> str:
        """What the assistant's last turn says."""
        return self.messages[self._last].content

    @property
    def _last(self) -> int:
        return max(place for place, message in enumerate(self.messages) if message.role == "assistant")


class NothingToLearnError(ValueError):
    """A conversation in which the assistant says nothing, or nothing in one of its turns."""


def read_conversation(value: Any) -> Conversation:
    """The conversation that a column holds: a list of messages, or the same as JSON text.

    Raises ValueError with the reason where it is something else, NothingToLearnError where a turn of the
    assistant is empty or there is none.

    Examples
    --------
    >>> read_conversation([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]).messages
    (Message(role='user', content='Hi'), Message(role='assistant', content='Hello'))
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"it is the text {shorten(value)}, and no JSON") from None
    if not isinstance(value, list | tuple):
        raise ValueError(f"it is {describe_type(value)}")
    messages = tuple(_message(item, number) for number, item in enumerate(value, 1))
    spoken = [message.content for message in messages if message.role == "assistant"]
    if not spoken:
        raise NothingToLearnError("it has no turn of the assistant")
    if any(is_empty(content) for content in spoken):
        raise NothingToLearnError("a turn of the assistant is empty")
    return Conversation(messages)


def _message(item: Any, number: int) -> Message:
    if not isinstance(item, Mapping):
        raise ValueError(f"message {number} is {describe_type(item)}, not a table with role and content")
    # tables of Parquet give every message all keys, those that it lacks as null
    given = {str(key): value for key, value in item.items() if value is not None}
    speaks, says, roles = (
        ("from", "value", _SPEAKERS) if "from" in given else ("role", "content", dict.fromkeys(_ROLES))
    )
    for key in (speaks, says):
        if key not in given:
            raise ValueError(f"message {number} has no {key}")
    if others := [key for key in given if key not in (speaks, says)]:
        raise ValueError(
            f"message {number} has the key {others[0]!r}, whose effect on the training would be unclear;"
            " a message may have role and content (or from and value)"
        )
    role = given[speaks]
    if role not in roles:
        raise ValueError(f"message {number} has {speaks} = {role!r}; it must be one of {', '.join(roles)}")
    return Message(roles[role] or role, _text(given[says], number))


def _text(content: Any, number: int) -> str:
    """The text of a message, whose parts may be listed."""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(map(str, parts))
        raise ValueError(f"message {number} holds more than text, such as {shorten(content)}")
    raise ValueError(f"the content of message {number} is {describe_type(content)}, not text")
