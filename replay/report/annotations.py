"""A check on GitHub: annotations as workflow commands on standard output."""

from __future__ import annotations

import re

from replay.check.model import Checked
from replay.data.finding import Finding, Severity
from replay.errors import printable
from replay.report.findings import details, line_of, location, subjects, title

__all__ = ["as_annotation", "as_annotations", "without_commands"]

_COMMAND = {
    Severity.REGRESSION: "error",
    Severity.UNDECIDED: "warning",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}
#: GitHub shows no more annotations of one kind from one step.
_MOST = 10


def as_annotations(checked: Checked) -> str:
    """One workflow command per finding, the worst first.

    Of more than ten of one kind, the tenth says how many more there are.
    """
    out = []
    for command in ("error", "warning", "notice"):
        findings = [finding for finding in checked.all_findings if _COMMAND[finding.severity] == command]
        shown = findings if len(findings) <= _MOST else findings[: _MOST - 1]
        out += [
            _command(
                command,
                location(checked, finding),
                _title(finding),
                "\n".join(details(finding)),
                line_of(checked, finding),
            )
            for finding in shown
        ]
        if len(shown) < len(findings):
            more = f"{len(findings) - len(shown)} more are in the job's summary and log."
            out.append(_command(command, location(checked), "replay check", more))
    return "".join(line + "\n" for line in out)


def as_annotation(text: str, file: str | None = None, line: int | None = None) -> str:
    """The workflow command for a check that could not run, with what was said of it."""
    shown = "\n".join(printable(part) for part in text.splitlines())
    return _command("error", file, "replay could not check", shown, line)


def _title(finding: Finding) -> str:
    about = subjects(finding)
    return ", ".join(about) + (": " if about else "replay check: ") + title(finding)


def _command(name: str, file: str | None, heading: str, text: str, line: int | None = None) -> str:
    place = {} if file is None else {"file": file, "line": str(line or 1)}
    properties = {**place, "title": heading}
    return (
        f"::{name} "
        + ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        + f"::{_escaped(text)}"
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # the runner trims what is between the name and the message
    return _escaped(printable(text).strip()).replace(":", "%3A").replace(",", "%2C")


def without_commands(text: str) -> str:
    """Text for a log on GitHub, with what the runner would take for a command shown as an escape.

    A line that begins with ``::`` is a command, and so is a line with ``##[`` anywhere in it.

    Examples
    --------
    >>> print(without_commands("run\\n  ::error::no\\nlost ##[error]no"))
    run
      \\x3a:error::no
    lost #\\x23[error]no
    """
    return re.sub(r"^(\s*):(?=:)", r"\1\\x3a", text, flags=re.MULTILINE).replace("##[", "#\\x23[")
