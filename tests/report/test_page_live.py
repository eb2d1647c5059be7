"""The page of `replay watch --serve` in a real browser: it loads itself again where it has changed."""

from urllib.parse import urlsplit

import pytest

from replay.cli.serving import serve
from tests.cli.test_watch import row, worse, write
from tests.cli.test_watch_serve import Live
from tests.report.page_browser import PATIENCE_MS, browser, skip_reason

expect = pytest.importorskip("playwright.sync_api").expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]
FALLS = [0.9, 0.7, 0.5, 0.6, 0.55, 0.58, 0.6, 0.62]


def test_the_page_follows_the_logs_and_asks_nobody_else(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    live = Live(logs)
    messages, requests = [], []
    with serve(0, live.page) as address, browser() as opened:
        page = opened.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        expect(page.locator("h1")).to_have_text("There is no report yet")
        for number in range(5):
            write(logs / f"run-{number}" / "a.jsonl", worse(FALLS, number / 9))
        live.look()
        page.wait_for_selector("html[data-ready]", state="attached")
        page.wait_for_selector("#compare svg", state="attached")
        read = (
            "() => JSON.parse(document.getElementById('data').textContent).runs.map(one => one.values.length)"
        )
        assert page.evaluate(read) == [8] * 5
        page.evaluate("window.isTheSamePage = true")
        made = live.page.made
        live.look()
        asked = len(requests)
        page.wait_for_event("requestfinished")
        assert len(requests) > asked
        assert page.evaluate("window.isTheSamePage")
        assert live.page.made == made
        with (logs / "run-3" / "a.jsonl").open("a") as file:
            file.write(row(9, 0.3))
        with page.expect_event("load"):
            live.look()
        page.wait_for_selector("#compare svg", state="attached")
        assert sorted(page.evaluate(read)) == [8, 8, 8, 8, 9]
    own = urlsplit(address).netloc
    assert {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))} == {own}
    assert messages == []
