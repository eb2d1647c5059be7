"""Loads groups of files with their formats: the runs, and findings on what could not be read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Run
from replay.errors import InputError, ReplayError
from replay.readers.format import Format, Loaded, UnusableLog, unreadable
from replay.readers.naming import Group
from replay.readers.step_signals import StepSignalsFile
from replay.readers.text_files import BLOCK

__all__ = ["JOBS", "load_group", "load_groups", "reader_failed"]

#: The environment variable that sets how many processes read logs; by default the caller's reads them.
JOBS = "REPLAY_JOBS"
_MOST_JOBS = 16


def load_groups(groups: Sequence[Group]) -> Iterator[Loaded]:
    """What is loaded of each group, in order: by several processes where the user asks for them."""
    jobs = _count_jobs(groups)
    if jobs < 2:
        yield from map(load_group, groups)
        return
    from replay.readers.parallel import load_in_processes

    yield from load_in_processes(groups, jobs)


def load_group(group: Group) -> Loaded:
    """The runs of one group of files. Whatever goes wrong costs this group only and becomes a finding."""
    findings: list[Finding] = []
    try:
        runs, more = group.format.load(group.files, group.name)
    except UnusableLog as error:
        return Loaded([], [error.finding])
    except ReplayError as error:
        return Loaded([], [Finding(Kind.OTHER, facts={"text": str(error)})])
    except OSError as error:
        return Loaded([], [unreadable(error.filename or group.name, error)])
    except Exception as error:  # a format's defect must not hide the other runs
        return Loaded([], [reader_failed(group.format, group.name, error)])
    findings += _without_repeats(more)
    runs = [_take_warnings(run, group.name, findings) for run in runs]
    if any(map(_leaves_the_rest_unread, findings)):
        runs = [run.replace(info=run.info.replace(cut_off=True)) for run in runs]
    signals = None if group.file is None else StepSignalsFile.beside(group.file)
    if signals is not None:
        runs = [run.replace(info=run.info.replace(step_signals=signals)) for run in runs]
    return Loaded(runs, findings)


def _leaves_the_rest_unread(finding: Finding) -> bool:
    """Whether a finding says that a file which is written as a whole could not be read to its end.

    Files that are written line by line or record by record end in the middle where a training was killed.
    """
    if finding.kind is Kind.PYTHON_TEXT:
        return True
    if finding.facts.get("part") == BLOCK:
        return True
    return finding.kind in (Kind.CUT_OFF, Kind.INVALID_JSON) and "character" in finding.facts


def _without_repeats(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, of those on a compressed file that is cut off only the one that says most: what it holds
    is cut off as well.
    """
    cut = [finding for finding in findings if finding.kind in (Kind.CUT_OFF, Kind.INVALID_JSON)]
    blocks = {finding.log for finding in cut if finding.facts.get("part") == BLOCK}
    if not blocks:
        return list(findings)
    documents = {finding.log for finding in cut if "character" in finding.facts}
    return [
        finding
        for finding in findings
        if finding.log not in blocks
        or finding.kind is not Kind.CUT_OFF
        or (finding.facts.get("part") == BLOCK) != (finding.log in documents)
    ]


def reader_failed(format: Format, name: str, error: Exception) -> Finding:
    """The finding that a format has a defect."""
    facts = {"format": format.name, "error_type": type(error).__name__, "error": str(error)}
    return Finding(Kind.READER_FAILED, log=name, facts=facts)


def _take_warnings(run: Run, log: str, findings: list[Finding]) -> Run:
    """The run without the findings that are warnings; they are added to those of all logs."""
    own = run.info.findings
    warnings = [finding for finding in own if finding.severity is Severity.WARNING]
    if not warnings:
        return run
    findings += [replace(finding, log=finding.log or log) for finding in warnings]
    notes = tuple(finding for finding in own if finding.severity is not Severity.WARNING)
    return run.replace(info=run.info.replace(findings=notes))


def _count_jobs(groups: Sequence[Group]) -> int:
    """How many processes read; 1 for none beside the caller's, as where the user asks for none."""
    # not by itself: on two cores, two processes took longer than one
    most = min(_stated_jobs() or 1, _MOST_JOBS, len(groups))
    return most if sys.executable and not getattr(sys, "frozen", False) else 1


def _stated_jobs() -> int | None:
    """The number of processes that the user set; None where it is not set."""
    text = os.environ.get(JOBS, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1024:
        raise InputError(f"environment variable {JOBS}: {text!r} is not a number of processes from 1 to 1024")
    return int(text)
