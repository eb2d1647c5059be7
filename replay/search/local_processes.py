"""Calls a function in several processes of this machine, with the results in the order of the tasks.

The processes are plain interpreters that read tasks from a pipe, so they do not import the main module of the
caller. A process that dies is replaced, and its task is given to another one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

from replay.errors import InputError, ReplayError

__all__ = ["run_in_processes", "serve"]

_T = TypeVar("_T")
_R = TypeVar("_R")

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from replay.search.local_processes import serve;"
    " serve(sys.stdin.buffer, sys.stdout.buffer)"
)
#: Processes that may die over one task: a task that ends every process has no result.
_MOST_DEATHS = 3
#: Tasks per process that are given out ahead of the result that is waited for.
_AHEAD = 4


def run_in_processes(function: Callable[[_T], _R], tasks: Sequence[_T], jobs: int) -> Iterator[_R]:
    """The results in the order of the tasks; ``function`` and tasks are pickled.

    An error of the function is raised here. Raises InputError for a task over which several processes died.
    """
    idle: SimpleQueue[_Process] = SimpleQueue()
    processes = [_Process() for _ in range(min(jobs, len(tasks)))]
    for process in processes:
        idle.put(process)

    def call(task: _T) -> Any:
        process = idle.get()
        try:
            return process.call(function, task)
        finally:
            idle.put(process)

    with ThreadPoolExecutor(max(len(processes), 1)) as threads:
        waiting: deque[Future[Any]] = deque()
        left = iter(tasks)
        try:
            for task in left:
                waiting.append(threads.submit(call, task))
                if len(waiting) >= _AHEAD * len(processes):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.stop()


class _Process:
    """A process that calls functions. It is started when it gets its first task."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def call(self, function: Callable[[Any], Any], task: Any) -> Any:
        """The result of a task. Raises what the function raises."""
        data = pickle.dumps((function, task), pickle.HIGHEST_PROTOCOL)
        for _ in range(_MOST_DEATHS):
            if self._ended:
                break
            try:
                process = self._process or self._start()
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(data)
                process.stdin.flush()
                result, error = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError, ValueError):  # the process has died
                self._remove()
                continue
            if error is not None:
                raise error
            return result
        raise InputError(
            f"{_MOST_DEATHS} processes died over one file of the store; the memory may be too small for"
            " it. Give fewer processes with --jobs"
        )

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [path or str(Path.cwd()) for path in sys.path if isinstance(path, str)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self._process

    def _remove(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        process.wait()

    def stop(self) -> None:
        """End the process, and start no other."""
        self._ended = True
        self._remove()


def serve(tasks: BinaryIO, results: BinaryIO) -> None:
    """Call functions until there are no more tasks: what each process does."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its processes
    answers = os.fdopen(os.dup(results.fileno()), "wb")
    os.dup2(2, results.fileno())  # whatever prints must not print into the answers
    while True:
        try:
            function, task = pickle.load(tasks)
        except EOFError:
            return
        answer: tuple[Any, BaseException | None]
        try:
            answer = function(task), None
        except ReplayError as error:
            answer = None, error
        except Exception as error:
            import traceback

            error.add_note("".join(traceback.format_exception(error)))
            answer = None, error
        try:
            data = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            data = pickle.dumps((None, RuntimeError(f"a result cannot be sent: {error}")))
        answers.write(data)
        answers.flush()
