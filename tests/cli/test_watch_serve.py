"""``replay watch --serve``: the page over real connections, and who gets no answer."""

import http.client
import json
import os
import re
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from replay.cli.candidates import Candidates
from replay.cli.serving import LivePage, serve
from replay.cli.watching import Watch
from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from tests.cli.test_cli import run
from tests.cli.test_watch import CURVE, PATIENCE_S, row, watching, worse, write

__all__ = ["watching"]

SPECS = ("patience=2", "patience=3")


def ask(address, path=None, method="GET", host=None, headers=()):
    """The answer of a server, and its body."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
    try:
        connection.putrequest(method, parts.path if path is None else path, skip_host=True)
        for one in [parts.netloc] if host is None else host:
            connection.putheader("Host", one)
        for name, text in headers:
            connection.putheader(name, text)
        connection.endheaders()
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def data_in(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


class Live:
    """A page that is served, and the watch that it belongs to."""

    def __init__(self, logs):
        policies = list(zip(SPECS, parse_policies(SPECS), strict=True))
        self.watch = Watch([logs], policies, Question())
        self.page = LivePage([logs], Candidates((), SPECS, (), None, None), Question(), ["replay", "report"])
        self.look()

    def look(self):
        frame = self.watch.update()
        self.page.update(self.watch.logs, frame.message)


@pytest.fixture
def live(logs):
    made = Live(logs)
    with serve(0, made.page) as made.address:
        yield made


def test_the_page_is_that_of_report(live, logs, tmp_path):
    answer, text = ask(live.address)
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
    target = tmp_path / "page.html"
    words = [word for spec in SPECS for word in ("--policy", spec)]
    run("report", logs, *words, "--out", target)
    served, written = data_in(text), data_in(target.read_text())
    assert served.pop("command") == ["replay", "report", "--out", "report.html"]
    del written["command"]
    assert served == written


def test_it_is_made_anew_only_where_the_runs_have_changed(live, logs):
    first = ask(live.address)[1]
    version = ask(live.address, urlsplit(live.address).path + "version")[1]
    assert f'<meta name="version" content="{version}">' in first
    path = next(logs.rglob("*.jsonl"))
    os.utime(path)
    live.look()
    assert ask(live.address)[1] == first
    assert live.page.made == 1
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    live.look()
    assert ask(live.address, urlsplit(live.address).path + "version")[1] != version
    assert live.page.made == 1
    assert ask(live.address)[1] != first
    assert live.page.made == 2


def test_many_readers_at_once_get_one_page(live):
    texts = []
    readers = [threading.Thread(target=lambda: texts.append(ask(live.address)[1])) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(PATIENCE_S)
    assert len(texts) == 6
    assert len(set(texts)) == 1
    assert live.page.made == 1


def test_without_the_token_there_is_no_page(live):
    path = urlsplit(live.address).path
    token = path.strip("/")
    assert len(token) >= 22
    for wrong in ("/", "/version", "//", f"/{token[:-1]}/", f"/{token}x/", "/%C3%A4/"):
        answer, text = ask(live.address, wrong)
        assert answer.status == 404, wrong
        assert token not in text
    for other in (f"/{token}", f"{path}page.html", f"{path}../", f"http://elsewhere{path}", f"x{path}"):
        assert ask(live.address, other)[0].status == 404, other
    assert live.page.made == 0


@pytest.mark.parametrize(
    "host", [["elsewhere.example"], ["127.0.0.1"], [], ["127.0.0.1:1"], ["{own}", "elsewhere.example"], [""]]
)
def test_a_request_under_another_name_gets_no_page(host, live):
    """Whoever has a name that leads to this machine could otherwise read the page from a browser."""
    named = [one.format(own=urlsplit(live.address).netloc) for one in host]
    answer, _ = ask(live.address, host=named)
    assert answer.status == 421
    assert live.page.made == 0
    port = urlsplit(live.address).port
    assert ask(live.address, host=[f"localhost:{port}"])[0].status == 200


def test_the_answers_are_strict(live):
    for path in (None, "/nowhere"):
        answer, text = ask(live.address, path)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert int(headers["content-length"]) == len(text.encode())
    head, nothing = ask(live.address, method="HEAD")
    assert (head.status, nothing) == (200, "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert ask(live.address, method=method)[0].status == 501


def test_it_listens_on_this_machine_only(live):
    port = urlsplit(live.address).port
    assert urlsplit(live.address).hostname == "127.0.0.1"
    # 127.0.0.2 is this machine too, so that it tells a server on one address from one on all
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), PATIENCE_S):
        pass


def test_without_a_report_the_page_says_why(live, logs):
    for path in logs.rglob("*.jsonl"):
        path.unlink()
    live.look()
    answer, text = ask(live.address)
    assert answer.status == 200
    assert "There is no report yet" in text
    assert "no log found below" in text
    hostile = "<img src=x onerror=alert(1)>"
    (logs / hostile).mkdir()
    (logs / hostile / "a.jsonl").write_text('{"step": 1, "eval_loss": ')
    live.look()
    assert "<img" not in ask(live.address)[1]


def test_a_port_that_is_taken_is_a_mistake(tmp_path):
    write(tmp_path / "a.jsonl", CURVE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        error = run("watch", tmp_path, "--serve", taken.getsockname()[1], code=2).stderr
    assert "Give another port" in error
    assert "70000" in run("watch", tmp_path, "--serve", 70000, code=2).stderr
    error = run("watch", tmp_path, "--once", "--serve", 0, code=2).stderr
    assert "Leave out one of the two" in " ".join(error.split())


def test_the_command_serves_the_page_while_it_watches(watching, tmp_path):
    for number in range(4):
        write(tmp_path / "logs" / f"run-{number}" / "a.jsonl", worse([*CURVE, 0.6, 0.6], number / 7))
    watch = watching("logs", "--policy", "patience=3", "--serve", "0")
    said = watch.wait_for(lambda text: re.search(r"The page is at http://\S+/\n", text) and "4 runs" in text)
    address = re.search(r"http://\S+", said).group()
    first = data_in(ask(address)[1])
    assert len(first["runs"]) == 4
    assert first["command"][:3] == ["replay", "report", "logs"]
    version = ask(address, urlsplit(address).path + "version")[1]
    with (Path(tmp_path) / "logs" / "run-0" / "a.jsonl").open("a") as file:
        file.write(row(8, 0.3))
    watch.wait_for(lambda text: "0.3 at eval 8" in text)
    assert len(next(one for one in data_in(ask(address)[1])["runs"] if one["id"] == "run-0")["values"]) == 8
    assert ask(address, urlsplit(address).path + "version")[1] != version
    assert watch.interrupt() == 130
    with pytest.raises(OSError, match="refused"):
        ask(address)
