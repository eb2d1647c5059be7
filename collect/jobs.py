"""Trains the runs of a grid, each in a process of its own, and says how far each run is."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any

import click

from collect.config import Config
from collect.disk import FULL
from collect.eval_log import read_existing_log
from collect.machine import NEEDED
from collect.resume import config_difference
from replay.cli.exits import CRASH, UNWRITTEN
from replay.errors import InputError, printable

__all__ = ["BUSY", "child_command", "child_environment", "list_states", "run_state", "train_all"]

#: Exit code of a run whose folder another process holds, as `collect.train.Busy` has it.
BUSY = 75
_POLL_SECONDS = 0.1
#: How much of the end of a run's messages is looked at for the line to show.
_TAIL_BYTES = 65536


def list_states(configs: Sequence[Config], out: Path) -> Iterator[tuple[str, str]]:
    """(name, state) for each run: ``finished``, ``at step 120 of 450``, ``not begun``, or why it cannot be
    trained there.
    """
    for config in configs:
        yield config.name, printable(run_state(config, out / config.name))


def run_state(config: Config, folder: Path) -> str:
    """How far a run is, or why it cannot be trained in a folder."""
    try:
        log = read_existing_log(folder)
    except (InputError, OSError):
        return "another file is there"
    if log is None or not log.header:
        return "not begun"
    if (difference := config_difference(log, config)) is not None:
        return f"another config is there ({difference})"
    if log.ended:
        return "finished"
    planned = log.planned_steps
    return f"at step {log.step:.0f}" + (f" of {planned}" if planned else "")


def _is_finished(config: Config, folder: Path) -> bool:
    """Whether this very run has ended in the folder. Anything else there is for the process of the run to
    judge.
    """
    try:
        log = read_existing_log(folder)
    except (InputError, OSError):
        return False
    return log is not None and log.ended and config_difference(log, config) is None


@dataclass
class _Child:
    """The process of one run; ``messages`` is the file that it writes to.

    ``before`` is how long the file was when the process began, and ``shown`` how much of it was shown.
    """

    name: str
    process: subprocess.Popen[bytes]
    messages: IO[bytes]
    before: int
    shown: int


@dataclass
class _Tally:
    """Counts the runs as they end, and reports each; ``shows_all`` where all that a run writes is shown
    anyway.
    """

    total: int
    finished: int
    shows_all: bool
    busy: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    codes: set[int] = dataclasses.field(default_factory=set)

    @property
    def position(self) -> str:
        return f"[{self.finished + self.busy + len(self.failed)}/{self.total}]"

    def end(self, child: _Child) -> None:
        code = child.process.returncode
        lines = _read_tail(child)
        child.messages.close()
        if code == 0:
            self.finished += 1
            if not self.shows_all:
                self._report(_last(lines, f"{child.name}: ") or f"{child.name}: done")
        elif code == BUSY:
            self.busy += 1
            self._report(f"{child.name}: busy: another process trains it")
        else:
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            reason = how if code < 0 else _last(lines, "Error: ").removeprefix("Error: ") or how
            wrote = f" (all it wrote is in {printable(child.messages.name)})" if lines else ""
            self.fail(child.name, reason + wrote, code)

    def fail(self, name: str, reason: str, code: int) -> None:
        self.failed.append(name)
        self.codes.add(code)
        self._report(f"{name}: failed: {reason}")

    @property
    def exit_code(self) -> int:
        """2 if a run failed, or 74 or 70 where each that failed met a full disk or crashed; else `BUSY` if
        one is busy.
        """
        alike = self.codes if self.codes in ({UNWRITTEN}, {CRASH}) else {2}
        return max(alike) if self.failed else BUSY if self.busy else 0

    def _report(self, line: str) -> None:
        _report(f"{self.position} {line}")

    def __str__(self) -> str:
        other = [(len(self.failed), "failed"), (self.busy, "busy")]
        return f"{_count(self.total)}: " + ", ".join(
            [f"{self.finished} finished", *(f"{number} {what}" for number, what in other if number)]
        )


class _Signals:
    """Collects the signals that ask us to stop, instead of being interrupted at any line; those that are
    ignored stay so.
    """

    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

    def __enter__(self) -> list[int]:
        self._received: list[int] = []
        self._before: dict[int, Any] = {}
        for name in self._NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)
        return self._received

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)


def train_all(
    path: Path, configs: Sequence[Config], out: Path, *, jobs: int = 1, cache: Path | None = None
) -> int:
    """Train the configs of a grid file, each in a process of its own, ``jobs`` at once; returns the exit code
    of the command.

    A crash of one run does not touch the others. Progress is reported on stderr. What a run itself writes is
    added to ``collect_console.log`` in its folder, and with one job it is shown on stderr too. The exit code
    is that of `_Tally.exit_code`. Raises InputError where the libraries
    for training are not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "collect grid starts its runs itself; for one run on several GPUs, accelerate launch -m"
            " collect run"
        )
    for library in NEEDED:
        if importlib.util.find_spec(library) is None:
            raise InputError(f"{library} is not installed; pip install 'stop-replay[collect]'")
    waiting = deque(config for config in configs if not _is_finished(config, out / config.name))
    tally = _Tally(len(configs), len(configs) - len(waiting), shows_all=jobs == 1)
    _report(f"{_count(tally.total)}, {tally.finished} finished already")
    devices = _devices() if jobs > 1 and waiting else []
    running: dict[int, _Child] = {}
    with _Signals() as received:
        try:
            while not received and (waiting or running):
                for slot in range(jobs):
                    if slot in running:
                        has_ended = running[slot].process.poll() is not None
                        if jobs == 1:
                            _show(running[slot], to_the_end=has_ended)
                        if has_ended:
                            tally.end(running.pop(slot))
                    if slot not in running and waiting and not received:
                        config = waiting.popleft()
                        if jobs == 1:
                            _report(f"[{tally.total - len(waiting)}/{tally.total}] {config.name}")
                        try:
                            running[slot] = _start(
                                path,
                                config,
                                out,
                                cache,
                                jobs,
                                devices[slot % len(devices)] if devices else None,
                            )
                        except OSError as error:  # its folder cannot be written to
                            reason = f"{error.filename}: {(error.strerror or '').lower()}"
                            tally.fail(config.name, reason, UNWRITTEN if error.errno in FULL else 2)
                if running:
                    time.sleep(_POLL_SECONDS)
        finally:
            _stop(list(running.values()), received, shows_all=jobs == 1)
        if received:
            tally.finished += sum(child.process.returncode == 0 for child in running.values())
            _report(f"interrupted: {tally.finished} of {tally.total} finished; the same command goes on")
            return 128 + received[0]
    _report(str(tally))
    if tally.failed:
        _report(f"failed: {', '.join(tally.failed)}")
    return tally.exit_code


def _start(
    path: Path, config: Config, out: Path, cache: Path | None, jobs: int, device: str | None
) -> _Child:
    command = [
        *child_command(),
        "grid",
        str(path),
        "--out",
        str(out),
        "--only",
        config.name,
        "--in-process",
    ]
    if cache is not None:
        command += ["--cache", str(cache)]
    environment = child_environment(config, jobs)
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    messages = _open_console(out / config.name)  # closed when the run has ended
    before = messages.tell()
    terminal = _terminal() if jobs == 1 and os.name == "posix" else None
    if terminal is not None:
        command += ["--terminal", str(terminal)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            pass_fds=() if terminal is None else (terminal,),
            env=environment,
            # in a group of its own it gets a Ctrl-C from us, and once
            process_group=0 if os.name == "posix" else None,
        )
    finally:
        if terminal is not None:
            os.close(terminal)
    return _Child(config.name, process, messages, before, before)


def child_command() -> list[str]:
    """How to start a further ``collect`` in a process of its own."""
    # without -P a file of the working folder could stand in for a library; -m needs that folder only in a
    # bare checkout
    safe = [] if Path(__file__).resolve().parent.parent == Path.cwd().resolve() else ["-P"]
    return [sys.executable, *safe, "-m", "collect"]


def child_environment(config: Config, jobs: int) -> dict[str, str]:
    """The environment of a process that trains a run, as one of so many at once."""
    from collect import data, model

    environment = dict(os.environ)
    if model.is_local(config) and data.is_local(config):
        environment["HF_HUB_OFFLINE"] = "1"
    environment["TQDM_DISABLE"] = "1"
    if jobs > 1:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cpus // jobs)))
    return environment


def _terminal() -> int | None:
    """A further file descriptor of the terminal that stderr is; None where it is none."""
    try:
        return os.dup(sys.stderr.fileno()) if sys.stderr.isatty() else None
    except (OSError, ValueError):  # stderr is no file
        return None


def _open_console(folder: Path) -> IO[bytes]:
    """The file for what a run writes, at its end. A process that writes to it always appends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "collect_console.log").open("a+b")
    file.seek(0, os.SEEK_END)
    return file


def _stop(children: Sequence[_Child], received: list[int], *, shows_all: bool) -> None:
    """Pass a signal on to the children and wait for them. A second signal kills them."""
    passed_on = max(len(received), 1)
    for child in children:
        if received and received[0] == signal.SIGINT:
            if os.name == "posix":  # elsewhere the console has sent it to them
                child.process.send_signal(signal.SIGINT)
        else:
            child.process.terminate()
    while any(child.process.poll() is None for child in children):
        if len(received) > passed_on:
            for child in children:
                child.process.kill()
        time.sleep(_POLL_SECONDS)
    for child in children:
        if shows_all:
            _show(child, to_the_end=True)
        child.messages.close()


def _show(child: _Child, *, to_the_end: bool) -> None:
    """Write what a run has written since the last time to our stderr: whole lines, and what follows them only
    where its process has ended.
    """
    # not by seek and read: the place in the file is the child's too
    text = b""
    while part := os.pread(child.messages.fileno(), _TAIL_BYTES, child.shown + len(text)):
        text += part
    if not to_the_end:
        text = text[: text.rfind(b"\n") + 1]
    if text:
        child.shown += len(text)
        # on a terminal, the line of progress gives way, and is written again after the next step
        erase = "\r\x1b[K" if sys.stderr.isatty() else ""
        click.echo(erase + text.decode(errors="replace"), nl=False, err=True)


def _devices() -> list[str]:
    """The GPUs that children can be spread over, as CUDA_VISIBLE_DEVICES names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:  # CUDA ignores what comes after -1
        return list(
            itertools.takewhile(
                lambda device: device != "-1", (part.strip() for part in given.split(",") if part.strip())
            )
        )
    try:
        import torch
    except ImportError:
        return []
    return [str(number) for number in range(torch.cuda.device_count())]


def _read_tail(child: _Child) -> list[str]:
    child.messages.seek(max(child.before, child.messages.seek(0, os.SEEK_END) - _TAIL_BYTES))
    text = child.messages.read().decode(errors="replace")
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def _last(lines: Sequence[str], prefix: str) -> str:
    """The last line that begins with this, else the last at all."""
    chosen = [line for line in lines if line.startswith(prefix)] or lines
    return printable(chosen[-1]) if chosen else ""


def _count(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"


def _report(line: str) -> None:
    click.echo(line, err=True)
