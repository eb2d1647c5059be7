"""Python processes that answer over pipes.

They are plain interpreters. Unlike those of multiprocessing, they never import the main module of the caller,
which may lack the guard ``if __name__ == "__main__"``, and they do not inherit its threads.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["PipeProcess", "answer_all"]


class PipeProcess:
    """A process in which a function of a module calls `answer_all`.

    It is started when it is asked, and once more after it was removed.
    """

    def __init__(self, module: str, function: str) -> None:
        self._code = (
            f"import sys; sys.path[:] = sys.argv[1:]; from {module} import {function};"
            f" {function}(sys.stdin.buffer, sys.stdout.buffer)"
        )
        self._process: subprocess.Popen[bytes] | None = None
        #: Whether it was stopped for good.
        self.ended = False

    def ask(self, question: bytes) -> Any:
        """The answer to a pickled question. Where the process dies, its pipes raise OSError, EOFError or
        UnpicklingError.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(question)
        process.stdin.flush()
        return pickle.load(process.stdout)

    def _start(self) -> subprocess.Popen[bytes]:
        paths = [path or str(Path.cwd()) for path in sys.path if isinstance(path, str)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", self._code, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self._process

    def remove(self) -> None:
        """End the process; the next question starts another one."""
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
        """End the process for good."""
        self.ended = True
        self.remove()


def answer_all(questions: BinaryIO, answers: BinaryIO, answer: Callable[[Any], bytes]) -> None:
    """Answer until there are no more questions: what the process does. An answer is pickled already."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its processes
    out = os.fdopen(os.dup(answers.fileno()), "wb")
    os.dup2(2, answers.fileno())  # whatever prints must not print into the answers
    while True:
        try:
            question = pickle.load(questions)
        except EOFError:
            return
        out.write(answer(question))
        out.flush()
