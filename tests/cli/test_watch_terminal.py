"""``replay watch`` on a terminal of its own, in tmux: what is on the screen, and how it ends."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.cli.test_watch import CURVE, PATIENCE_S, row, worse, write
from tests.readme import ROOT

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
pytest.importorskip("rich")


class Terminal:
    """A terminal of 24 lines; ``socket`` names a server of tmux that nothing else uses."""

    def __init__(self, folder, columns, *args):
        self.socket = str(folder / "tmux")
        command = [sys.executable, "-m", "replay", "watch", *map(str, args), "--interval", "0.2"]
        script = folder / "start.sh"
        words = " ".join(f"'{word}'" for word in command)
        script.write_text(f"trap : INT\nexport PYTHONPATH='{ROOT}'\n{words}\necho exit code $?\nsleep 600\n")
        size = ["-x", str(columns), "-y", "24"]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, f"sh '{script}'")

    def tmux(self, *words):
        known = ("TMUX", "COLUMNS", "LINES")  # the terminal has its own size
        environment = {name: text for name, text in os.environ.items() if name not in known}
        command = ["tmux", "-u", "-S", self.socket, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def wait_for(self, text):
        """The lines of the screen once it shows a text, however its lines are broken."""
        end = time.monotonic() + PATIENCE_S
        while text not in " ".join((screen := self.tmux("capture-pane", "-p")).split()):
            assert time.monotonic() < end, screen
            time.sleep(0.1)
        return screen.splitlines()

    def close(self):
        self.tmux("kill-server")


@pytest.mark.parametrize("columns", [40, 80])
def test_the_screen_follows_the_logs_and_ends_with_ctrl_c(columns, tmp_path):
    logs = tmp_path / "logs"
    for number in range(12):
        write(logs / f"run-{number}" / "log.jsonl", worse(CURVE[:4], number / 10))
    path = write(logs / "first" / "log.jsonl", worse(CURVE, 2.0))
    terminal = Terminal(tmp_path, columns, logs)
    try:
        lines = terminal.wait_for("stops at eval 6 unless eval_loss is below 2.5")
        assert len(lines) <= 24
        assert all(len(line) <= columns for line in lines)
        text = " ".join(" ".join(lines).split())
        assert text.startswith("13 runs.")
        assert "more runs." in text
        assert "Ctrl-C ends" in text
        with path.open("a") as file:
            file.write(row(6, 2.58))
        terminal.wait_for("stops at eval 6 (step 60): no gain over 2.5 for 3 evals.")
        terminal.tmux("send-keys", "C-c")
        lines = terminal.wait_for("exit code 130")
        assert "Interrupted." in lines
    finally:
        terminal.close()
