"""Servers as processes on free ports, ended by their own id."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from tests.readme import ROOT


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A process that answers at a port; ``requests`` are the lines that it has written to stderr."""

    def __init__(self, process, port, log):
        self.process, self.port, self._log = process, port, log

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def requests(self):
        return self._log.read_text().splitlines()

    def forget(self):
        with self._log.open("r+") as file:
            file.truncate(0)


@contextlib.contextmanager
def serving(log, words, *, port=None, env=None, ready=None):
    """Start a server, wait until it accepts connections, and end it."""
    port = port or free_port()
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *(str(word).replace("PORT", str(port)) for word in words)],
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            start_new_session=True,  # a server may start processes, which end with it
        )
    server = Server(process, port, log)
    try:
        while not (ready or answers)(server):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield server
    finally:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def answers(server):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
        return True
    return False


def web(log, folder, *options):
    """The web server of the tests over a folder."""
    return serving(log, ["-m", "tests.remote.web_server", folder, "PORT", *options])
