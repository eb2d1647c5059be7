"""Verdicts of a summary in words."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SHORT_VERDICTS", "say_verdict"]

#: Verdicts that are too long for the column of a table, as the column shows them.
SHORT_VERDICTS = {
    "too few runs to rank": "too few",
    "better than training shorter": "better",
    "worse than training shorter": "worse",
    "no better than training shorter": "no better",
    "not told apart from training shorter": "unclear",
}

#: What a verdict says of one policy, and of several, where it is more than "is" or "are" and the verdict.
_SAYS = {
    "never fires": ("never fires on these logs", "never fire on these logs"),
    "loses nothing": ("loses nothing", "lose nothing"),
    "saves nothing": ("saves nothing", "save nothing"),
}
_MOST_POLICIES = 4


def say_verdict(verdict: str, policies: Sequence[str]) -> str:
    """The verdict as a clause about policies: ``patience=1, patience=2 lose nothing``."""
    more = len(policies) - _MOST_POLICIES
    shown = ", ".join(policies[:_MOST_POLICIES]) + (f" and {more} more" if more > 0 else "")
    one, several = _SAYS.get(verdict, (f"is {verdict}", f"are {verdict}"))
    return f"{shown} {several if len(policies) > 1 else one}"
