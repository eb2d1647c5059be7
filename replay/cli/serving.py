"""Serves the page of ``replay report`` to browsers on this machine, while trainings write their logs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from replay.errors import InputError, ReplayError

if TYPE_CHECKING:
    from replay.cli.candidates import Candidates
    from replay.data.run import Run
    from replay.engine.question import Question
    from replay.readers import ReadResult

__all__ = ["LivePage", "serve"]

_HOST = "127.0.0.1"
#: Seconds that a connection may be silent.
_SILENCE_S = 30


#: Columns, series and facts of a run, and its digest.
_Known = tuple[object, object, object, bytes]


class LivePage:
    """The page on what was read last. It is made when it is asked for, and anew only where the runs have
    changed.

    ``made`` counts how often it was made.
    """

    def __init__(
        self, paths: Sequence[Path], candidates: Candidates, question: Question, words: Sequence[str]
    ) -> None:
        self.made = 0
        self._paths, self._candidates, self._question = paths, candidates, question
        self._again = [*words, "--out", "report.html"]
        self._logs: ReadResult | None = None
        self._message = ""
        self._version = ""
        self._known: dict[str, _Known] = {}
        self._page: tuple[str, bytes] | None = None
        self._changing, self._making = threading.Lock(), threading.Lock()

    @property
    def version(self) -> str:
        """What changes where the page has to be made anew."""
        return self._version

    def update(self, logs: ReadResult | None, message: str = "") -> None:
        """Take what was read; where that is nothing, ``message`` says why."""
        made = hashlib.sha256(message.encode("utf-8", "replace"))
        known: dict[str, _Known] = {}
        for run in () if logs is None else logs.runs:
            digest = self._digest(run)
            known[run.id] = run.columns, run.train, run.info, digest
            made.update(run.id.encode("utf-8", "replace") + b"\0" + digest)
        with self._changing:
            self._known, self._logs, self._message = known, logs, message
            self._version = made.hexdigest()

    def text(self) -> bytes:
        """The page as UTF-8."""
        with self._making:
            with self._changing:
                version, logs, message = self._version, self._logs, self._message
            if self._page is None or self._page[0] != version:
                self._page = version, self._make(version, logs, message)
            return self._page[1]

    def _digest(self, run: Run) -> bytes:
        from replay.data.digest import digest_of_run

        known = self._known.get(run.id)
        if known is not None and known[0] is run.columns and known[1] is run.train and known[2] == run.info:
            return known[3]
        return digest_of_run(run)

    def _make(self, version: str, logs: ReadResult | None, message: str) -> bytes:
        from replay.report.page.html import message_text

        self.made += 1
        try:
            text = message_text(message, version) if logs is None else self._report(version, logs)
        except ReplayError as error:
            from replay.cli.output import error_words

            text = message_text(error_words(error), version)
        except Exception as error:  # a defect must not end the watch
            text = message_text(f"The report could not be made: {type(error).__name__}: {error}", version)
        return text.encode("utf-8", "backslashreplace")

    def _report(self, version: str, logs: ReadResult) -> str:
        from replay.engine.study import Study
        from replay.policies.grid import policies_of
        from replay.report.page.data import page_data
        from replay.report.page.gather import gather
        from replay.report.page.html import page_text
        from replay.search.grid_sweep import refused_points
        from replay.search.ladders import default_policies
        from replay.search.tolerance import parse_tolerance

        grids, singles = self._candidates.parse()
        study = Study(logs.runs, [*policies_of(grids), *singles], self._question)
        facts = gather(
            logs,
            study,
            grids,
            singles,
            parse_tolerance(),
            ladder_policies=default_policies() if self._candidates.are_default else None,
            typed=self._candidates.typed(singles),
        )
        findings = [*logs.findings, *refused_points(grids)]
        return page_text(page_data(facts, self._paths, self._again, findings), version)


class _Server(ThreadingHTTPServer):
    """Answers only requests for a path that holds the token, under the names of this machine."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, page: LivePage) -> None:
        super().__init__((_HOST, port), _Handler)
        self.page = page
        # 128 bits; short enough for a line of a terminal
        self.token = secrets.token_urlsafe(16)
        names = (_HOST, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names}
        if self.server_port == 80:
            self.hosts |= set(names)

    def server_bind(self) -> None:
        """Bind without asking for the name of the machine, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing where a browser hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "replay", ""
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        """Answer with the page, or with its version."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self._answer()

    def _answer(self) -> None:
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            # a page elsewhere may have a name of its own that leads to this machine
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"This server answers under 127.0.0.1 only.\n")
            return
        parts = self.path.split("/")
        begin, token, name = parts if len(parts) == 3 else ("", "", "")
        given, wanted = token.encode("utf-8", "replace"), self.server.token.encode()
        is_known = hmac.compare_digest(given, wanted) and not begin
        if is_known and not name:
            self._send(HTTPStatus.OK, self.server.page.text(), "text/html; charset=utf-8")
        elif is_known and name == "version":
            self._send(HTTPStatus.OK, self.server.page.version.encode())
        else:
            self._send(
                HTTPStatus.NOT_FOUND,
                b"This page does not exist. replay watch prints the address.\n",
            )

    def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        from replay.report.page.html import live_policy_text

        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"{live_policy_text()}; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the terminal shows the runs, and an address holds the token."""


@contextmanager
def serve(port: int, page: LivePage) -> Iterator[str]:
    """Serve a page on this machine; gives its address. Raises InputError where the port cannot be used.

    Port 0 is any free one.
    """
    try:
        server = _Server(port, page)
    except OSError as error:
        raise InputError(
            f"--serve {port}: {error.strerror or error}. Give another port, or 0 for any free one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}/{server.token}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
