"""How long `replay --help` takes, as a ratio to `python -c "import click"` in the same run, alternating.

Run: python benchmarks/startup.py [rounds]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

REPLAY = str(Path(sys.executable).with_name("replay"))
COMMANDS = {
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "replay --help": [REPLAY, "--help"],
    "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    "python -c 'import pandas'": [sys.executable, "-c", "import pandas"],
}


def main(rounds=15):
    times = {name: [] for name in COMMANDS}
    for turn in range(rounds + 1):
        for name, command in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first round warms the page cache
                times[name].append(time.perf_counter() - begin)
    base = statistics.median(times["python -c 'import click'"])
    print(f"{'command':28} {'median ms':>9} {'x click':>8}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:28} {1000 * median:9.0f} {median / base:8.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
