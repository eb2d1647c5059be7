"""What each kind of finding of a check is called, what it means, and how severe it usually is.

The reports of a check (text, JUnit, SARIF, annotations, code quality) read this table and have no table of
kinds of their own. A new kind of check finding needs an entry here.
"""

from __future__ import annotations

from dataclasses import dataclass

from replay.check.gate import USUAL
from replay.data.finding import Kind, Severity

__all__ = ["CHECK_KINDS", "KindText", "usual_severity"]


@dataclass(frozen=True)
class KindText:
    """How reports speak of a kind of finding.

    ``title`` names it in a few words, ``help`` says what it means and what to do. ``counted`` names one and
    several of them in a verdict; ``concerns`` is what one finding of a group concerns ("… and 3 more runs").
    ``of_lock`` is true for what the comparison with the lock finds. ``undecided`` is the title where the
    finding is not a regression.
    """

    title: str
    help: str
    counted: tuple[str, str] | None = None
    concerns: str = "such"
    of_lock: bool = False
    undecided: str | None = None


def usual_severity(kind: str) -> Severity:
    """The severity of the worst finding of a kind, where the file of policies sets none."""
    if kind == Kind.NOT_CHECKED:
        return Severity.REGRESSION
    return next((severity for known, severity in USUAL.items() if known == kind), Severity.WARNING)


_ANEW = "If that is meant, write the lock anew and commit it."

#: In the order in which reports list the kinds.
CHECK_KINDS: dict[str, KindText] = {
    Kind.LIMIT: KindText(
        "limit broken",
        "A policy's figure over the runs is beyond the limit that the policies file sets. If it is beyond its"
        " uncertainty as well, it is a regression; otherwise more runs are needed to decide. Change the"
        " policy, or the limit if it asks for too much. Writing the lock anew does not change this.",
        ("a limit is broken", "limits are broken"),
        undecided="limit undecided",
    ),
    Kind.GUARANTEE: KindText(
        "not guaranteed",
        "The policies file demands that a policy's loss is proven to stay within max_lost, and these runs do"
        " not prove it. Add logs of more runs, use a policy that loses less, or accept a larger loss.",
        ("a loss is not guaranteed", "losses are not guaranteed"),
    ),
    Kind.EXPECT: KindText(
        "not as expected",
        "A policy does not stop a run where the file of policies says that it should. Change the policy, or"
        " the expectation where it is out of date.",
        ("a run is not stopped where expected", "runs are not stopped where expected"),
        concerns="runs",
    ),
    Kind.MOVED: KindText(
        "stop moved",
        f"A policy stops a run elsewhere than it did when the lock was written. {_ANEW}",
        ("a stop moved", "stops moved"),
        concerns="runs",
        of_lock=True,
    ),
    Kind.WORSE: KindText(
        "worse than in the lock",
        f"A policy saves less or loses more than it did when the lock was written. {_ANEW}",
        ("a policy got worse", "policies got worse"),
        of_lock=True,
    ),
    Kind.VANISHED: KindText(
        "gone",
        f"Something that the lock knows is there no more. {_ANEW}",
        ("a log vanished", "logs vanished"),
        concerns="logs",
        of_lock=True,
    ),
    Kind.NEVER_FIRES: KindText(
        "never fires",
        "A policy stops none of the runs: it has no effect, and nothing is tested by it. Make it stricter, or"
        " remove it.",
        counted=("a policy no longer fires", "policies no longer fire"),
    ),
    Kind.CHANGED_LOG: KindText(
        "log changed",
        "A log is not what it was when the lock was written, so that stops then and now cannot be compared."
        " Restore the log, or write the lock anew and commit it.",
        counted=("a log cannot be compared", "logs cannot be compared"),
        concerns="logs",
        of_lock=True,
    ),
    Kind.NEW_LOG: KindText(
        "new log",
        "A log is not in the lock yet. Write the lock anew and commit it.",
        counted=("a log is new", "logs are new"),
        concerns="logs",
        of_lock=True,
    ),
    Kind.CHANGED_SETTINGS: KindText(
        "settings changed",
        "The metric, the unit or another setting is not what it was when the lock was written, so figures"
        f" of then and now cannot be compared. {_ANEW}",
        counted=("settings differ from the lock", "settings differ from the lock"),
        of_lock=True,
    ),
    Kind.LOOSENED: KindText(
        "limit loosened",
        "A limit, or what makes the check fail, demands less than it did when the lock was written, or an"
        f" expectation was removed or demands something else. {_ANEW}",
        counted=("a limit was loosened", "limits were loosened"),
        of_lock=True,
    ),
    Kind.CHANGED_LIMIT: KindText(
        "limit changed",
        "A limit or an expectation is new, or a limit demands more than it did when the lock was written."
        " Write the lock anew and commit it.",
        counted=("a limit changed", "limits changed"),
        of_lock=True,
    ),
    Kind.REMOVED_POLICY: KindText(
        "policy removed",
        f"A policy is in the lock and no longer in the file of policies. {_ANEW}",
        counted=("a policy was removed", "policies were removed"),
        of_lock=True,
    ),
    Kind.CHANGED_POLICY: KindText(
        "policy changed",
        f"A policy is not what it was when the lock was written. {_ANEW}",
        counted=("a policy changed", "policies changed"),
        of_lock=True,
    ),
    Kind.FEW_COMMON_RUNS: KindText(
        "too few runs to compare",
        "A policy has changed, and too few runs of the lock are the same now to decide whether it got worse."
        " Add logs of more runs before you change the policy, or set `undecided` in the policies file."
        f" {_ANEW}",
        ("too few runs to compare a changed policy", "too few runs to compare changed policies"),
        of_lock=True,
    ),
    Kind.NEW_POLICY: KindText(
        "new policy",
        "A policy is not in the lock yet. Write the lock anew and commit it.",
        counted=("a policy is new", "policies are new"),
        of_lock=True,
    ),
    Kind.VERSION: KindText(
        "another version",
        "The lock was written by another version, or its figures were. Where the stops are the same, write it"
        " anew and commit it.",
        counted=("the version differs from the lock's", "figures differ from the lock's"),
        of_lock=True,
    ),
    Kind.NOISE: KindText(
        "limit below the noise",
        "A limit is smaller than the noise of the evals, so that it is broken or kept by chance. Set it above"
        " the noise.",
        counted=("a limit is below the noise", "limits are below the noise"),
    ),
    Kind.FEW_RUNS: KindText(
        "too few runs",
        "There are too few runs to say how uncertain a figure is. Add logs of more runs.",
        counted=("too few runs to decide a limit", "too few runs to decide limits"),
    ),
    Kind.CENSORED: KindText(
        "runs ended early",
        "The logs of more than half of the runs end before the planned end, so that their losses are lower"
        " bounds. Add logs of complete runs.",
        counted=("too many runs are censored", "too many runs are censored"),
    ),
    Kind.NO_LOCK: KindText(
        "no lock",
        "There is no lock to compare with: only limits and expectations are checked. Write one and commit"
        " it.",
        ("there is no lock to compare with", "there is no lock to compare with"),
        of_lock=True,
    ),
    Kind.LOCK: KindText(
        "lock not usable",
        "The lock cannot be read, or does not belong to this file of policies. Write it anew and commit it.",
        of_lock=True,
    ),
    Kind.NOT_CHECKED: KindText(
        "could not check",
        "The check could not run: the file of policies, the lock, the logs or an option is not usable as"
        " given. Nothing was checked.",
        ("nothing was checked", "nothing was checked"),
    ),
}
