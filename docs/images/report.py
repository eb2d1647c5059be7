"""Makes the pictures of the page of replay report, from the sample logs: python docs/images/report.py"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 1280, 860


def main() -> None:
    """Write report-light.png and report-dark.png beside this file."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed (apt-get install chromium fonts-inter)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "report.html"
        with contextlib.chdir(ROOT):
            command = [sys.executable, "-m", "replay", "report", "sample_logs", "--out", str(page_file)]
            subprocess.run(command, check=True, capture_output=True)
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme, section in (("light", "answer"), ("dark", "compare")):
            size = {"width": WIDTH, "height": HEIGHT}
            page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=1)  # type: ignore[arg-type]
            page.goto(page_file.as_uri())
            page.wait_for_selector("#compare svg", state="attached")
            page.evaluate("document.documentElement.style.setProperty('scroll-behavior', 'auto')")
            page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            page.wait_for_timeout(500)
            page.screenshot(path=Path(__file__).with_name(f"report-{scheme}.png"))
        browser.close()


if __name__ == "__main__":
    main()
