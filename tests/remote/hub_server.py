"""A server that answers as the Hugging Face Hub does, as a process of its own: the files of model
repositories, listed with paging and fetched whole or in part.

Run as ``python -m tests.remote.hub_server FOLDER PORT [--token TOKEN]``. FOLDER holds ORG/MODEL/REVISION/….
What is asked for is written to stderr, one line per request. ``org/gated`` is answered 403 as a gated
repository is, and a list of ``org/silent`` never comes. With a token, other repositories are hidden from
requests without it.
"""

import argparse
import http.server
import json
import re
import time
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.remote.answering import Answering

COMMIT = "c0ffee" + "0" * 34
_PAGE = 20


class Handler(Answering):
    def answer(self):
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        resolved = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        listed = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?", path)
        found = resolved or listed
        if found is None:
            return self.fail(404, "RepoNotFound")
        repository = found[1]
        if repository == "org/gated":
            return self.fail(403, "GatedRepo")
        home = Path(self.options.folder, repository)
        token = f"Bearer {self.options.token}"
        if not home.is_dir() or (self.options.token and self.headers.get("Authorization") != token):
            return self.fail(401, "RepoNotFound")
        revision = (resolved[2] if resolved else listed[3]) or "main"
        folder = home / ("main" if revision == COMMIT else revision)
        if not folder.is_dir():
            return self.fail(404, "RevisionNotFound")
        if resolved:
            return self.file(folder / resolved[3])
        if listed[2] == "tree" and repository == "org/silent":
            return time.sleep(3600)
        if listed[2] == "tree":
            return self.tree(folder, (listed[4] or "").strip("/"), query)
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        facts = {"id": repository, "sha": COMMIT, "private": False, "tags": []}
        return self.send(200, json.dumps({**facts, "siblings": [{"rfilename": name} for name in files]}))

    def tree(self, folder, below, query):
        start = folder / below
        if not start.is_dir():
            return self.fail(404, "EntryNotFound")
        everything = query.get("recursive", ["false"])[0].lower() == "true"
        paths = sorted(start.rglob("*") if everything else start.iterdir())
        first = int(query.get("cursor", ["0"])[0])
        items = []
        for path in paths[first : first + _PAGE]:
            facts = {"path": path.relative_to(folder).as_posix(), "oid": "b" * 40, "size": 0}
            if path.is_dir():
                items.append({**facts, "type": "directory"})
            else:
                items.append({**facts, "type": "file", "size": path.stat().st_size})
        headers = {}
        if first + _PAGE < len(paths):
            here = self.path.partition("?")[0]
            more = f"recursive={everything}&cursor={first + _PAGE}"
            headers["Link"] = f'<http://127.0.0.1:{self.options.port}{here}?{more}>; rel="next"'
        return self.send(200, json.dumps(items), headers)

    def file(self, path):
        if not path.is_file():
            return self.fail(404, "EntryNotFound")
        data = path.read_bytes()
        if path.name.startswith("half"):
            return self.send(200, data, cut=len(data) // 2)
        span = self.span(len(data))
        headers = {"Accept-Ranges": "bytes", "ETag": '"etag"', "X-Repo-Commit": COMMIT}
        if span is None:
            return self.send(200, data, headers)
        first, last = span
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self.send(206, data[first : last + 1], headers)

    def send(self, status, data, headers=None, *, cut=None):
        data = data.encode() if isinstance(data, str) else data
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_body(data, cut)

    def fail(self, status, code):
        self.send(status, json.dumps({"error": code}), {"X-Error-Code": code, "X-Error-Message": code})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--token")
    options = parser.parse_args()
    handler = partial(Handler, options=options)
    http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
