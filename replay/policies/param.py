"""Parameters of policies: how a policy class declares them, and how they are checked and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any

from replay.errors import PolicyError, did_you_mean

__all__ = [
    "check_parameter",
    "describe_allowed",
    "example_value",
    "format_parameter",
    "format_value",
    "names_of",
    "param",
    "parameters",
    "say_example",
    "signal_fields",
    "type_of",
]


#: The largest whole number that a parameter takes; figures with it stay exact.
_MOST = 10**12


def param(
    help: str,
    default: Any = MISSING,
    *,
    minimum: float | None = None,
    choices: Sequence[str] = (),
    aliases: Sequence[str] = (),
    sets_threshold: bool = False,
    example: str | None = None,
    allowed: str | None = None,
) -> Any:
    """Declare a parameter of a policy: a dataclass field with its description, bounds and other names.

    ``sets_threshold`` states that the parameter moves the policy's threshold and not its signal, so that a
    sweep computes the signal once for all values. ``example`` is a value for examples of a parameter without
    a default. ``allowed`` says in words which values there are, where the type and the minimum do not.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "choices": tuple(choices),
        "aliases": tuple(aliases),
        "sets_threshold": sets_threshold,
        "example": example,
        "allowed": allowed,
    }
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@cache
def parameters(policy_class: type) -> tuple[Field[Any], ...]:
    """The parameters of a policy class, in order; those of its base that are keyword-only come last."""
    declared = (item for item in fields(policy_class) if "help" in item.metadata)
    return tuple(sorted(declared, key=lambda item: item.kw_only is True))


@cache
def signal_fields(policy_class: type) -> tuple[str, ...]:
    """Names of the fields of a policy class that its signal may depend on."""
    return tuple(item.name for item in fields(policy_class) if not item.metadata.get("sets_threshold"))


def names_of(parameter: Field[Any]) -> tuple[str, ...]:
    """The names that a parameter may be given by, its own first."""
    return (parameter.name, *parameter.metadata["aliases"])


def type_of(parameter: Field[Any]) -> str:
    """Name of a parameter's type, such as ``int``, whether or not its module postpones annotations."""
    declared = parameter.type
    return declared.__name__ if isinstance(declared, type) else str(declared)


def check_parameter(prefix: str, parameter: Field[Any], value: Any) -> None:
    """Raise PolicyError for a value that the parameter does not take; its message begins with the prefix."""
    minimum, choices = parameter.metadata["minimum"], parameter.metadata["choices"]
    shown = format_parameter(value)
    if choices and value not in choices:
        hint = did_you_mean(str(value), choices)
        raise PolicyError(f"{prefix}{parameter.name} is one of {', '.join(choices)}, not {value!r}{hint}")
    if isinstance(value, float) and not math.isfinite(value):
        wanted = f"must be a finite number, not {value!r}"
    elif isinstance(value, int) and abs(value) > _MOST:
        wanted = f"must be at most {_MOST}, not {shown}"
    elif minimum is not None and value < minimum:
        wanted = f"must be at least {format_parameter(minimum)}, not {shown}"
    else:
        return
    raise PolicyError(f"{prefix}{parameter.name} {wanted}; {say_example(parameter)}")


def describe_allowed(parameter: Field[Any]) -> str:
    """Which values a parameter that is a number takes: ``a whole number of at least 1``."""
    if parameter.metadata["allowed"] is not None:
        return str(parameter.metadata["allowed"])
    kind = "a whole number" if type_of(parameter) == "int" else "a number"
    minimum = parameter.metadata["minimum"]
    return kind if minimum is None else f"{kind} of at least {format_parameter(minimum)}"


def say_example(parameter: Field[Any]) -> str:
    """The end of a message on a parameter: ``write for instance patience=3``."""
    return f"write for instance {parameter.name}={example_value(parameter)}"


def example_value(parameter: Field[Any]) -> str:
    """A value of a parameter for examples."""
    if parameter.metadata["example"] is not None:
        return str(parameter.metadata["example"])
    choices, minimum = parameter.metadata["choices"], parameter.metadata["minimum"] or 0
    if choices:
        return format_parameter(choices[0])
    if "patience" in names_of(parameter) or type_of(parameter) == "int":
        return format_parameter(max(3, minimum))
    return format_parameter(max(0.5, float(minimum)))


def format_parameter(value: Any) -> str:
    """A parameter as a specification writes it, short and exact (``3``, ``0.001``)."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_value(value: float) -> str:
    """A metric value for a reader, with five significant digits."""
    return f"{value:.5g}"
