"""Calls a function in several processes of this machine, with the results in the order of the tasks.

A process that dies is replaced, and its task is given to another one.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

from replay.errors import InputError, ReplayError
from replay.pipes import PipeProcess, answer_all

__all__ = ["run_in_processes", "serve"]

_T = TypeVar("_T")
_R = TypeVar("_R")

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
    """A process that calls functions."""

    def __init__(self) -> None:
        self._process = PipeProcess(__name__, serve.__name__)

    def call(self, function: Callable[[Any], Any], task: Any) -> Any:
        """The result of a task. Raises what the function raises."""
        data = pickle.dumps((function, task), pickle.HIGHEST_PROTOCOL)
        for _ in range(_MOST_DEATHS):
            if self._process.ended:
                break
            try:
                result, error = self._process.ask(data)
            except (OSError, EOFError, pickle.UnpicklingError, ValueError):  # the process has died
                self._process.remove()
                continue
            if error is not None:
                raise error
            return result
        raise InputError(
            f"{_MOST_DEATHS} processes died over one file of the store; the memory may be too small for"
            " it. Give fewer processes with --jobs"
        )

    def stop(self) -> None:
        """End the process, and start no other."""
        self._process.stop()


def serve(tasks: BinaryIO, results: BinaryIO) -> None:
    """Call functions until there are no more tasks: what each process does."""
    answer_all(tasks, results, _call)


def _call(question: tuple[Callable[[Any], Any], Any]) -> bytes:
    """The result of a function for a task, or the error that it raised, pickled."""
    function, task = question
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
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return pickle.dumps((None, RuntimeError(f"a result cannot be sent: {error}")))
