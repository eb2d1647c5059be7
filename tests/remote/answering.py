"""What the servers of the tests have in common."""

import http.server
import re
import sys


class Answering(http.server.BaseHTTPRequestHandler):
    """Writes what is asked for to stderr, one line per request, and leaves the answer to ``answer``."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, options, **more):
        self.options = options
        super().__init__(*arguments, **more)

    def log_message(self, text, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        print(self.command, self.path, self.headers.get("Range", ""), flush=True, file=sys.stderr)
        self.answer()

    def span(self, size):
        """The first and the last of the bytes of so many that are asked for; None where all are."""
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        return span and (int(span[1]), min(int(span[2] or size), size - 1))

    def send_body(self, data, cut=None):
        """Send data after the headers, or only so many bytes of it before the connection ends."""
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
