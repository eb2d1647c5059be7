"""Loads many groups of files in several processes, with the same result as in one.

What a process does not return, because it died or could not be started, is loaded by the caller itself.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np

from replay.pipes import PipeProcess, answer_all
from replay.readers.format import Loaded
from replay.readers.load import load_group
from replay.readers.naming import Group
from replay.readers.registry import FORMATS

__all__ = ["load_in_processes", "work"]

_CHUNK = 64  # groups at a time, at most

#: Name of the format, whether it is a folder, and the fields of the group.
_Task = tuple[str, int, Path, list[Path], bool]


def load_in_processes(groups: Sequence[Group], jobs: int) -> Iterator[Loaded]:
    """What is loaded of each group, in order."""
    # many chunks, so that no process is idle at the end, and not too many, as each is an answer to wait for
    size = max(min(len(groups) // (4 * jobs), _CHUNK), 1)
    chunks = [groups[at : at + size] for at in range(0, len(groups), size)]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    workers = [_Worker() for _ in range(jobs)]
    for worker in workers:
        idle.put(worker)
    with ThreadPoolExecutor(jobs) as threads:
        try:
            # few chunks ahead of what was taken, so that results do not pile up
            pending: list[Future[list[Loaded] | None]] = []
            sent = 0
            for number, chunk in enumerate(chunks):
                while sent < min(len(chunks), number + 4 * jobs):
                    pending.append(threads.submit(_run, idle, chunks[sent]))
                    sent += 1
                loaded = pending[number].result()
                pending[number] = Future()  # releases the result
                yield from map(load_group, chunk) if loaded is None else loaded
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.stop()


def _run(idle: SimpleQueue[_Worker], chunk: Sequence[Group]) -> list[Loaded] | None:
    """What a process loads of some groups; None where the caller has to load them."""
    if not all(any(group.format is format for format in FORMATS) for group in chunk):
        return None  # the columns that the user names, or a plug-in
    worker = idle.get()
    try:
        return worker.load(chunk)
    finally:
        idle.put(worker)


class _Worker:
    """A process that loads groups."""

    def __init__(self) -> None:
        self._process = PipeProcess(__name__, work.__name__)

    def load(self, groups: Sequence[Group]) -> list[Loaded] | None:
        """What the process loads, None where it does not answer."""
        if self._process.ended:
            return None
        tasks: list[_Task] = [
            (group.format.name, group.rank, group.root, group.files, group.whole_folder) for group in groups
        ]
        try:
            loaded: list[Loaded] | None = self._process.ask(pickle.dumps(tasks, pickle.HIGHEST_PROTOCOL))
        except Exception:  # whatever ends a process must not hide its logs
            self.stop()
            return None
        return loaded

    def stop(self) -> None:
        """End the process."""
        self._process.stop()


def work(tasks: BinaryIO, results: BinaryIO) -> None:
    """Load groups until there are no more: what each process does."""
    formats = {format.name: format for format in FORMATS}

    def answer(chunk: list[_Task]) -> bytes:
        return _answer(
            [Group(formats[name], rank, root, files, whole) for name, rank, root, files, whole in chunk]
        )

    answer_all(tasks, results, answer)


def _answer(groups: Sequence[Group]) -> bytes:
    loaded: list[Any] | None
    with np.errstate(all="ignore"):
        loaded = [load_group(group) for group in groups]
    try:
        return pickle.dumps(loaded, pickle.HIGHEST_PROTOCOL)
    except Exception:  # what cannot be sent is loaded by the caller
        return pickle.dumps(None)
