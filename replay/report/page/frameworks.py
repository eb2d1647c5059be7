"""The same setting as several tools read it."""

from __future__ import annotations

from dataclasses import dataclass

from replay.errors import PolicyError
from replay.policies import Policy
from replay.policies.param import format_parameter
from replay.policies.spec import parse_policy

__all__ = ["Setting", "Tool", "same_settings"]

#: Prefixes of specifications, and the tools whose rule they are.
_TOOLS = {
    "": "textbook rule",
    "transformers:": "transformers",
    "keras:": "Keras",
    "lightning:": "Lightning",
    "ignite:": "Ignite",
    "xgboost:": "XGBoost",
}
_PATIENCE = 3.0
_MIN_DELTAS = (0.0, 0.001, 0.01)


@dataclass(frozen=True)
class Tool:
    """A tool's rule with a setting."""

    name: str
    policy: Policy


@dataclass(frozen=True)
class Setting:
    """A patience and a threshold, and the rules of the tools that take both."""

    label: str
    tools: tuple[Tool, ...]


def same_settings(policy: Policy) -> list[Setting]:
    """Settings as several tools read them: the patience of a policy (3 where it has none), with its own
    threshold and with common ones.
    """
    patience = getattr(policy, "patience", None)
    own = getattr(policy, "min_delta", None)
    if not isinstance(patience, int | float) or patience < 1 or patience != int(patience):
        patience = _PATIENCE
    deltas = dict.fromkeys(
        [*([float(own)] if isinstance(own, int | float) and own > 0 else []), *_MIN_DELTAS]
    )
    return [setting for delta in deltas if len((setting := _setting(patience, delta)).tools) > 1]


def _setting(patience: float, min_delta: float) -> Setting:
    text = f"patience={format_parameter(int(patience))}"
    if min_delta:
        text += f",min_delta={format_parameter(min_delta)}"
    tools = []
    for prefix, name in _TOOLS.items():
        try:
            tools.append(Tool(name, parse_policy(prefix + text)))
        except PolicyError:
            continue  # a rule that has no such threshold
    return Setting(text, tuple(tools))
