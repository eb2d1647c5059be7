"""Checks of collect on one GPU within ten minutes, from precision and memory to energy, kills and overhead.

Each check runs in a process of its own with a time limit, so that one that crashes or hangs spoils no other.
The result is one JSON file and a table with pass, fail and skipped. On a machine without a GPU the same
checks run with tiny models, and what needs a GPU is skipped with its reason.

Run: python benchmarks/gpu.py [--minutes 10] [--out gpu.json] [--only NAME ...]

The exit code is 1 if a check failed. The check ``corpus`` trains runs of the grids in ``--grids`` in the time
that is left; ``--keep DIR`` keeps what all checks wrote, the logs of these runs among them. A machine without
a network needs the models and texts of the grids in ``--cache``.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import gpu_figures  # noqa: E402
import gpu_runs  # noqa: E402
from gpu_place import FAIL, PASS, SKIPPED, Place, Result, note  # noqa: E402

#: In the order in which they run, with the most that each may take of the time of the whole.
CHECKS = {
    "cross-entropy": (gpu_figures.cross_entropy, 0.1),
    "precision": (gpu_runs.precision, 0.12),
    "eval-cadence": (gpu_runs.eval_cadence, 0.12),
    "kill": (gpu_runs.kill, 0.15),
    "memory-training": (gpu_runs.memory_training, 0.15),
    "memory-eval": (gpu_runs.memory_eval, 0.15),
    "energy": (gpu_figures.energy, 0.15),
    "weight-norms": (gpu_figures.weight_norms, 0.1),
    "quantized": (gpu_runs.quantized, 0.25),
    "flops": (gpu_figures.flops, 0.1),
    "overhead": (gpu_figures.overhead, 0.12),
    "corpus": (gpu_runs.corpus, 1.0),
}
#: A check that would have less time than this is not begun.
LEAST_SECONDS = 5


def run_check(name, folder, seconds, options):
    """Run a check in a process of its own, and kill it when its time is over."""
    folder.mkdir(parents=True)
    command = [sys.executable, str(Path(__file__).resolve()), "--check", name, "--keep", str(folder)]
    command += ["--minutes", str(seconds / 60), "--device", options.device]
    command += ["--grids", str(options.grids), "--cache", str(options.cache)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TQDM_DISABLE": "1"}
    if options.device == "cpu":  # threads that wait for each other spoil tiny models on a busy machine
        environment["OMP_NUM_THREADS"] = "1"
    path = folder / "result.json"
    with (folder / "console.txt").open("w+") as console:
        try:
            code = subprocess.run(
                command, stdout=console, stderr=console, timeout=seconds, env=environment
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        console.seek(0)
        lines = [line.strip() for line in console if line.strip()]
    if code == 0 or (code is None and path.exists()):
        return Result(**json.loads(path.read_text()))
    if code is None:
        return Result(FAIL, f"it took longer than its {seconds:.0f} s")
    return Result(FAIL, f"it crashed: {lines[-1] if lines else f'exit code {code}'}")


def run_all(names, folder, options):
    """Run the checks one after the other until the time is over; yields the record of each."""
    deadline = time.time() + 60 * options.minutes
    for name in names:
        began = time.time()
        remaining = deadline - began
        if remaining < LEAST_SECONDS:
            result = Result(SKIPPED, "no time was left")
        else:
            result = run_check(
                name, folder / name, min(remaining, CHECKS[name][1] * 60 * options.minutes), options
            )
        seconds = round(time.time() - began, 1)
        print(f"{name:16} {result.status:8} {seconds:6.1f} s  {result.text}", flush=True)
        yield name, {**dataclasses.asdict(result), "seconds": seconds}


def find_device():
    """``cuda`` where torch can use a GPU; asked in another process, since this one must not hold the GPU."""
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    return (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() or "cpu"
    )


def describe_machine():
    """Processors and versions, as a log's header has them."""
    code = (
        "import json, torch; from collect.machine import hardware, versions;"
        " print(json.dumps({'hardware': hardware(), 'versions': versions()}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def main(options):
    began = time.time()
    names = options.only or list(CHECKS)
    options.device = options.device or find_device()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        options.cache = options.cache or Path(temporary) / "cache"
        if existing := [name for name in names if (folder / name).exists()]:
            print(f"{folder / existing[0]} exists already; --keep must name a new folder", file=sys.stderr)
            return 2
        report = {"device": options.device, "minutes": options.minutes, **describe_machine(), "checks": {}}
        for name, record in run_all(names, folder, options):
            report["checks"][name] = record
            options.out.write_text(json.dumps(report, indent=1) + "\n")  # what is known survives a kill
    statuses = [record["status"] for record in report["checks"].values()]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in (PASS, FAIL, SKIPPED))
    print(
        f"{counts} in {(time.time() - began) / 60:.1f} minutes on {options.device}; details in {options.out}"
    )
    return 1 if FAIL in statuses else 0


def check(options):
    """Run one check in this process, and leave its result in the folder."""
    place = Place(
        options.keep, options.device, time.time() + 60 * options.minutes, options.grids, options.cache
    )
    note(place, CHECKS[options.check][0](place))
    return 0


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="bound of the whole (default: 10)")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu.json"), help="the JSON file (default: gpu.json)"
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="NAME", help="run only these checks")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: the GPU, if there is one")
    parser.add_argument("--grids", type=Path, default=ROOT / "corpus" / "grids", help="folder of grid files")
    parser.add_argument("--cache", type=Path, help="fetched models and texts (default: a temporary folder)")
    parser.add_argument("--keep", type=Path, help="keep what the checks write in this folder")
    parser.add_argument("--check", choices=CHECKS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse()
    sys.exit(check(given) if given.check else main(given))
