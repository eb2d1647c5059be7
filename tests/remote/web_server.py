"""A web server of files for the tests, as a process of its own: folders are listed as pages; files with or
without range requests, behind a password, or cut off.

Run as ``python -m tests.remote.web_server FOLDER PORT [--ranges] [--user NAME:PASSWORD] [--token TOKEN]``.
What is asked for is written to stderr, one line per request. A name that begins with ``denied`` is answered
403, ``broken`` 500; of one that begins with ``half`` the connection ends in the middle of the file, and one
that begins with ``slow`` stays there. With ``?run=N``, a file is that with ``-N`` in its name.
"""

import argparse
import base64
import http.server
import time
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.remote.answering import Answering


class Handler(Answering, http.server.SimpleHTTPRequestHandler):
    def answer(self):
        url, name = urlsplit(self.path), urlsplit(self.path).path.rpartition("/")[2]
        if self.options.user:
            wanted = "Basic " + base64.b64encode(self.options.user.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                return self.fail(401, {"WWW-Authenticate": 'Basic realm="logs"'})
        if self.options.token and parse_qs(url.query).get("token") != [self.options.token]:
            return self.fail(403)
        if name.startswith("denied"):
            return self.fail(403)
        if name.startswith("broken"):
            return self.fail(500)
        page = Path(self.directory, "page.html")
        path = Path(self.translate_path(self.path))
        if run := parse_qs(url.query).get("run"):
            path = path.with_stem(f"{path.stem}-{run[0]}")
        if path.is_dir() and page.exists():
            return self.send(page.read_bytes(), "text/html")
        if path.is_dir():
            serve = http.server.SimpleHTTPRequestHandler
            return serve.do_GET(self) if self.command == "GET" else serve.do_HEAD(self)
        if not path.is_file():
            return self.fail(404)
        data = path.read_bytes()
        if name.startswith("slow"):
            self.send(data, "text/plain", cut=len(data) // 2)
            return time.sleep(3600)
        if name.startswith("half"):
            return self.send(data, "text/plain", cut=len(data) // 2)
        if self.options.ranges and (span := self.span(len(data))):
            first, last = span
            part = data[first : last + 1]
            return self.send(part, "text/plain", span=f"bytes {first}-{last}/{len(data)}")
        return self.send(data, "text/plain")

    def send(self, data, kind, *, span=None, cut=None):
        self.send_response(206 if span else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.options.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", span)
        self.send_body(data, cut)

    def fail(self, status, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--ranges", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--token")
    options = parser.parse_args()
    handler = partial(Handler, options=options, directory=options.folder)
    http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
