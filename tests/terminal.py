"""Runs a command on a terminal of its own, as a user sees it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[1]


def on_terminal(*args, columns=80, module="replay", stderr=False, **environment):
    """What a command prints to a terminal of so many columns on stdout, and with ``stderr`` on both."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = ("NO_COLOR", "COLUMNS", "LINES")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)],
        cwd=ROOT,
        env={**inherited, "TERM": "xterm", "PYTHONPATH": str(ROOT), **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave if stderr else subprocess.DEVNULL,
    )
    os.close(slave)
    out = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the command has closed its end
            break
        if not part:
            break
        out += part
    os.close(master)
    assert done.wait() in (0, 1, 3), out.decode()
    return out.decode().replace("\r\n", "\n")
