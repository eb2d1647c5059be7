"""The line on a terminal."""

import os
import pty
import re
import subprocess
import sys

import pytest

from collect import progress
from tests.collect.conftest import CLASSIFIER, changed, toml


@pytest.mark.parametrize("width", [20, 40, 79, 200])
def test_the_line_fits(width):
    parts = ["step 120/450", "12 min left", "eval 8/30: 0.5123, best 0.5012 at 105", "train 0.4991"]
    line = progress._fitted("a-run-with-a-rather-long-name-r32-lr1e-3-cosine-s0", parts, width)
    assert len(line) <= width
    assert "step 120/450"[: width - 10] in line
    assert ("train 0.4991" in line) == (width > 79)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 min"), (59, "1 min"), (3541, "1 h 00 min"), (3601, "1 h 01 min"), (7200, "2 h 00 min")],
)
def test_spans(seconds, text):
    assert progress._span(seconds) == text


def test_on_a_terminal_it_is_rewritten_and_ends_with_the_result(workplace, tmp_path):
    """In a real terminal of 80 columns: no line is longer, evals are counted, and the last one is the
    result."""
    (workplace / "shown.toml").write_text(toml(changed(CLASSIFIER, train={"max_steps": 12, "eval_every": 4})))
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "collect", "run", str(workplace / "shown.toml"), "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=environment) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the terminal's other end is closed
                break
            said += part
        process.wait()
    os.close(master)
    lines = [line for line in re.split(r"[\r\n]+", said.decode().replace("\x1b[K", "")) if line]
    assert process.returncode == 0, said
    shown = [line for line in lines if line.startswith("shown: step")]
    assert len(shown) >= 12
    assert max(map(len, shown)) < 80
    assert re.fullmatch(
        r"shown: step 12/12, 0 min left, eval 3/3: [\d.]+, best [\d.]+ at \d+, train [\d.]+", shown[-1]
    )
    assert lines[-1].startswith("shown: done (eval_loss ")
