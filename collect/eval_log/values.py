"""Numbers as a log holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replay.errors import InputError

__all__ = ["is_number", "plain_numbers"]


def is_number(value: Any) -> bool:
    """Whether a value is a number of Python; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as numbers of Python: tensors and arrays of one element become numbers, None stays.

    Raises InputError where a value is anything else.
    """
    plain = {}
    for name, value in values.items():
        try:
            single = value.item() if hasattr(value, "item") else value
        except (ValueError, RuntimeError):  # more than one element
            single = value
        if single is not None and not is_number(single):
            raise InputError(f"{name} = {value!r} is not a number")
        plain[str(name)] = single
    return plain
