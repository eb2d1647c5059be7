"""Opens pages in the Chromium of the system, which must be installed; nothing is downloaded."""

import contextlib
import shutil

import pytest

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: No test depends on how busy the machine is.
PATIENCE_MS = 120_000


def skip_reason():
    """Why no page can be opened here; None where one can."""
    if CHROMIUM is None:
        return "Chromium is not installed (apt-get install chromium)"
    return None


@contextlib.contextmanager
def browser():
    """A browser without a window."""
    if (reason := skip_reason()) is not None:
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE_MS)
        yield opened
        opened.close()


class Opened:
    """A page that was opened from disk, with what the browser had to say about it."""

    def __init__(self, browser, path, *, width=1280, height=900, scheme="light", permissions=()):
        self.messages, self.requests = [], []
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        self.context.set_default_timeout(PATIENCE_MS)
        if permissions:
            self.context.grant_permissions(list(permissions))
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")
        self.page.wait_for_selector("#compare svg", state="attached")

    def draw_all(self):
        """Draw what is not in view yet, as before printing."""
        self.page.evaluate("dispatchEvent(new Event('beforeprint'))")

    def close(self):
        self.context.close()
