"""The command of ``replay watch --on-stop``: it runs once per run, never through a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from replay.cli.watching import run_key
from replay.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay.engine.standing import RunState, Standing

__all__ = ["StopHook"]

#: Bytes of what a failed command printed that are looked at for its last line, and characters shown of that.
_MOST_BYTES, _MOST_SHOWN = 4096, 200


@dataclass
class _Started:
    """A command that runs for a run; ``output`` is what it prints."""

    run: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]


class StopHook:
    """Runs a command for each run that a policy stops, once.

    The runs that were stopped before the first look are left alone, so that a second watch of the same logs
    repeats nothing. ``problems`` are the sentences on commands that failed.

    Raises InputError for a command that is empty or cannot be split into words.
    """

    def __init__(self, command: str) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"--on-stop {command!r} cannot be split into words: {error}") from None
        if not self.words:
            raise InputError("--on-stop takes a command, such as --on-stop 'notify-send stop'; it is empty")
        self.problems: list[str] = []
        self._done: set[tuple[str, str]] = set()
        self._running: list[_Started] = []
        self._begun = False

    def look(self, states: Sequence[RunState]) -> None:
        """Run the command for the runs that are stopped now and were not before."""
        for state in states:
            standing, key = state.stopped, run_key(state.run)
            if standing is None or key in self._done:
                continue
            self._done.add(key)
            if self._begun:
                self._start(state, standing)
        self._begun = True
        self.collect()

    def collect(self) -> None:
        """Report the commands that have ended badly."""
        running = []
        for started in self._running:
            code = started.process.poll()
            if code is None:
                running.append(started)
                continue
            with started.output as output:
                if code:
                    end = f"exit code {code}" if code > 0 else f"signal {-code}"
                    said = _last_line(output)
                    self._report(started.run, f"{end}, {said!r}" if said else end)
        self._running = running

    def wait(self) -> None:
        """Wait for the commands that still run."""
        for started in self._running:
            started.process.wait()
        self.collect()

    def _start(self, state: RunState, standing: Standing) -> None:
        facts = {
            "run": state.run.id,
            "policy": standing.policy,
            "step": f"{standing.stopped_step:.15g}",
            "eval": str(standing.stopped_eval),
            "reason": standing.reason or "",
        }
        # a zero byte ends an argument, and half a surrogate pair has no bytes
        safe = {name: _passable(text) for name, text in facts.items()}
        arguments = [safe["run"], safe["policy"], safe["step"]]
        environment = {f"REPLAY_{name.upper()}": text for name, text in safe.items()}
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the command has ended
        try:
            process = subprocess.Popen(
                [*self.words, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C ends the watch, not what it has started
            )
        except (OSError, ValueError) as error:
            output.close()
            self._report(state.run.id, getattr(error, "strerror", None) or str(error))
            return
        self._running.append(_Started(state.run.id, process, output))

    def _report(self, run: str, problem: str) -> None:
        from replay.report.sentences.watch import say_hook_failure

        self.problems.append(say_hook_failure(self.words[0], run, problem))


def _passable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _last_line(output: IO[bytes]) -> str:
    """The last line that a command printed, cut to what fits."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _MOST_BYTES, 0))
    lines = output.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:_MOST_SHOWN] if lines else ""
