"""Verdicts of a summary in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replay.stats.verdict import Verdict

__all__ = ["SHORT_VERDICTS", "say_verdict"]

#: Verdicts that are too long for the column of a table, as the column shows them.
SHORT_VERDICTS: Mapping[str, str] = {
    Verdict.TOO_FEW: "too few",
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.NO_DIFFERENCE: "not signif.",
}

_UNFINISHED = (
    "cannot be compared with a shorter training, because logs were ended before the training that was planned"
)
#: What a verdict says of one policy, and of several, where it is more than "is" or "are" and the verdict.
_SAYS: Mapping[str, tuple[str, str]] = {
    Verdict.NEVER_FIRES: ("never fires on these logs", "never fire on these logs"),
    Verdict.LOSES_NOTHING: ("loses nothing", "lose nothing"),
    Verdict.SAVES_NOTHING: ("saves nothing", "save nothing"),
    Verdict.LOSS_UNKNOWN: ("has an unknown loss", "have unknown losses"),
    Verdict.NO_DIFFERENCE: (
        "shows no significant difference from training for the same shorter time",
        "show no significant difference from training for the same shorter time",
    ),
    Verdict.CANNOT_TELL: (_UNFINISHED, _UNFINISHED),
}
_MOST_POLICIES = 4


def say_verdict(verdict: str, policies: Sequence[str]) -> str:
    """The verdict as a clause about policies: ``patience=1, patience=2 lose nothing``."""
    more = len(policies) - _MOST_POLICIES
    shown = ", ".join(policies[:_MOST_POLICIES]) + (f" and {more} more" if more > 0 else "")
    one, several = _SAYS.get(verdict, (f"is {verdict}", f"are {verdict}"))
    return f"{shown} {several if len(policies) > 1 else one}"
