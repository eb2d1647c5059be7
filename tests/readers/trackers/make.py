"""Made-up trainings as the real libraries log them, for `tests.readers.test_tracker_files`.

    python make.py FOLDER TOOL...

writes the logs of a tool into a folder, each in a process of its own, and takes out what names a machine, a
person or a path. It needs the tool, not replay; the files beside this one were made with the versions that
`Format.tested_on` names.
"""

import json
import math
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

SETTINGS = {"lr": 0.01, "max_steps": 40}


def rows(first=1, last=30, seed=1):
    """The steps of one process: step, train values, and the values of an eval every 5 steps, else None."""
    noise = random.Random(seed)
    for step in range(1, last + 1):
        train = {"loss": 2 * math.exp(-step / 9) + 0.3 + 0.05 * noise.random()}
        evals = None
        if step % 5 == 0:
            loss = 1.8 * math.exp(-step / 8) + 0.5 + 0.01 * step + 0.05 * noise.random()
            evals = {"eval_loss": loss, "eval_accuracy": 1 - 0.6 * math.exp(-step / 12)}
        if step >= first:
            yield step, train, evals


#: First and last step and seed of the processes of a resumed run.
RESUMED = [(1, 22, 2), (16, 30, 3)]


def wandb(folder, kind, process=0):
    import wandb

    settings = wandb.Settings(console="off", disable_git=True, disable_code=True)
    run = wandb.init(
        project="small", id=kind, name="named", dir=folder, mode="offline", config=SETTINGS, settings=settings
    )
    if kind == "nested":
        run.define_metric("epoch")
        run.define_metric("val.*", step_metric="epoch")
        for step, train, evals in rows():
            if evals:
                values = {
                    "train": train,
                    "val": {"loss": evals["eval_loss"]},
                    "epoch": step / 5,
                    "note": "text",
                }
                run.log(values)
    elif kind == "calls":
        for step, train, evals in rows():
            run.log({**train, "trainer/global_step": step})
            if evals:
                run.log({**evals, "trainer/global_step": step})
    else:
        for step, train, evals in rows(*RESUMED[process]):
            run.log({**train, **(evals or {})}, step=step)
    run.finish()


def swanlab(folder, kind, process=0):
    import swanlab

    again = {"id": "resumed0123456789abcd", "resume": "allow"} if kind == "resumed" else {}
    swanlab.init(
        project="small", experiment_name=kind, mode="offline", logdir=folder, config=SETTINGS, **again
    )
    for step, train, evals in rows(*RESUMED[process]) if kind == "resumed" else rows():
        values = {**train, **(evals or {})}
        if kind == "diverged" and step == 25:
            values["eval_loss"] = math.nan
        swanlab.log(values, step=step)
    swanlab.finish()


def swanboard(folder, kind, process=0):
    import swanlab

    swanlab.init(project="small", experiment_name=kind, mode="local", logdir=folder, config=SETTINGS)
    for step, train, evals in rows():
        swanlab.log({**train, **(evals or {})}, step=step)
    swanlab.finish()


def trackio(folder, kind, process=0):
    os.environ["TRACKIO_DIR"] = folder
    if kind == "lines":
        os.environ["TRACKIO_STORAGE_MODE"] = "jsonl"
    import trackio

    again = {"resume": "must"} if process else {}
    trackio.init(project="small.one", name=kind, config=SETTINGS, **again)
    for step, train, evals in rows(*RESUMED[process]) if kind == "resumed" else rows():
        values = {**train, **(evals or {})}
        if kind == "diverged" and step == 25:
            values["eval_loss"] = math.nan
        trackio.log(values, step=step)
    trackio.finish()
    if kind == "diverged":
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.export_to_parquet()


def dvclive(folder, kind, process=0):
    from dvclive import Live

    live = Live(f"{folder}/{kind}", dvcyaml=None, save_dvc_exp=False, report=None, resume=process > 0)
    live.log_params(SETTINGS)
    for step, train, evals in rows(*RESUMED[process]) if kind == "resumed" else rows():
        live.step = step
        live.log_metric("train/loss", train["loss"])
        for name, value in (evals or {}).items():
            live.log_metric(name.replace("_", "/"), math.nan if kind == "diverged" and step == 25 else value)
        live.make_summary()
    live.end()


def sacred(folder, kind, process=0):
    import time

    from sacred import Experiment
    from sacred.observers import FileStorageObserver

    experiment = Experiment("small", save_git_info=False)
    experiment.observers.append(FileStorageObserver(folder, copy_sources=False))
    experiment.add_config(SETTINGS)

    @experiment.main
    def main(_run):
        for step, train, evals in rows():
            for name, value in {**train, **(evals or {})}.items():
                _run.log_scalar(name, value, step if kind == "steps" else None)
            time.sleep(0.002)

    experiment.run()


def ray(folder, kind, process=0):
    from ray import tune

    def train(config):
        for step, values, evals in rows():
            if evals:
                late = {"late": 1.0} if step > 10 else {}
                tune.report({**values, "val": {"loss": evals["eval_loss"]}, "epoch": step / 5, **late})

    config = tune.RunConfig(name="small", storage_path=folder)
    tune.Tuner(train, param_space=SETTINGS, run_config=config).fit()


def mlflow(folder, kind, process=0):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow

    where = f"sqlite:///{folder}/mlflow.db" if kind == "database" else f"file://{folder}/mlruns"
    mlflow.set_tracking_uri(where)
    mlflow.set_experiment("small")
    with mlflow.start_run(run_name="named"):
        mlflow.log_params(SETTINGS)
        for step, train, evals in rows():
            mlflow.log_metrics({**train, **(evals or {})}, step=step)
        mlflow.log_metric("test_loss", 0.5)


KINDS = {
    "wandb": [(wandb, "nested"), (wandb, "calls"), (wandb, "resumed", 0), (wandb, "resumed", 1)],
    "wandb-0.17": [(wandb, "old")],
    "swanlab": [(swanlab, "diverged"), (swanlab, "resumed", 0), (swanlab, "resumed", 1)],
    "swanlab-0.7": [(swanboard, "board")],
    "trackio": [(trackio, "diverged"), (trackio, "resumed", 0), (trackio, "resumed", 1)],
    "trackio-lines": [(trackio, "lines")],
    "dvclive": [(dvclive, "diverged"), (dvclive, "resumed", 0), (dvclive, "resumed", 1)],
    "sacred": [(sacred, "steps"), (sacred, "counted")],
    "ray-tune": [(ray, "trial")],
    "mlflow": [(mlflow, "files"), (mlflow, "database")],
}


def clean(folder):
    """Take out what names a machine, a person or a path, and what is not read."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix in (".wandb", ".swanlab") and path.read_bytes()[:1] == b":":
            path.write_bytes(clean_records(path.read_bytes(), path.suffix))
        elif path.suffix in (".db", ".swanlab"):
            clean_database(path)
        elif (
            path.name in KEPT
            or path.suffix in (".tsv", ".jsonl")
            or "metrics" in path.parts
            or (path.suffix == ".log" and path.parent.parent.name == "logs")
            or (path.suffix == ".parquet" and "_" not in path.name)
        ):
            text = path.read_bytes()
            if path.suffix != ".parquet":
                text = re.sub(rb'"(hostname|node_ip|pid|date)": ("[^"]*"|\d+)', rb'"\1": "x"', text)
                text = re.sub(rb"(?m)^(artifact_\w+|user_id|source_name|artifact_uri): .*$", rb"\1: x", text)
            if path.name == "progress.csv":
                table = [line.split(",") for line in text.decode().splitlines()]
                places = [at for at, name in enumerate(table[0]) if name not in MACHINE]
                text = "".join(",".join(row[at] for at in places) + "\n" for row in table).encode()
            if path.name == "run.json":
                run = json.loads(text)
                run = {name: run.get(name) for name in ("heartbeat", "start_time", "status", "result")}
                text = json.dumps({**run, "experiment": {"name": "small"}, "host": {}}, indent=2).encode()
            path.write_bytes(text)
        else:
            path.unlink()


KEPT = {
    "metrics.json",
    "config.json",
    "run.json",
    "result.json",
    "progress.csv",
    "params.json",
    "params.yaml",
    "meta.yaml",
    "config.yaml",
    "lr",
    "max_steps",
}


MACHINE = ("hostname", "node_ip", "pid", "date")


def clean_records(data, suffix):
    sys.path.insert(0, str(Path(__file__).parents[3]))
    import tempfile

    from replay.readers.block_records import BlockRecords
    from replay.readers.wire import message_fields
    from tests.readers.blocks import framed, message

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        records = list(BlockRecords(Path(file.name), begin=7))
    kept = []
    for record in records:
        if data[6] == 1 and suffix == ".swanlab":
            if json.loads(record)["model_type"] in ("Header", "Project", "Experiment", "Scalar", "Footer"):
                kept.append(record)
            continue
        fields = dict(message_fields(record))
        kinds = {2, 5, 12, 17, 18} if suffix == ".wandb" else {10, 11, 12, 13}
        if kinds & fields.keys():
            if 17 in fields and suffix == ".wandb":
                fields[17] = message(
                    *((n, v) for n, v in message_fields(fields[17]) if n in (1, 3, 4, 8, 17))
                )
            kept.append(message(*((n, v) for n, v in fields.items() if n in kinds | {1})))
    return framed(kept, data[:7])


def clean_database(path):
    used = {"experiments", "runs", "metrics", "params", "tags", "configs", "project", "experiment", "tag"}
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA foreign_keys = OFF")
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name not in used and not name.startswith("sqlite_"):
                database.execute(f'DROP TABLE "{name}"')
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "tags" in tables:
            database.execute("DELETE FROM tags WHERE key != 'mlflow.runName'")
            database.execute("UPDATE runs SET user_id = '', artifact_uri = '', source_name = ''")
            database.execute("UPDATE experiments SET artifact_location = ''")
        database.execute("PRAGMA page_size = 512")
        database.execute("VACUUM")
    database.close()


def main():
    target = Path(sys.argv[1]).resolve()
    if len(sys.argv) > 3 and sys.argv[3].isdigit():
        tool, number = sys.argv[2], int(sys.argv[3])
        write, *rest = KINDS[tool][number]
        write(str(target / tool), *rest)
        return
    for tool in sys.argv[2:]:
        shutil.rmtree(target / tool, ignore_errors=True)
        (target / tool).mkdir(parents=True)
        for number in range(len(KINDS[tool])):
            subprocess.run(
                [sys.executable, __file__, target, tool, str(number)], check=False, cwd=target / tool
            )
        clean(target / tool)


if __name__ == "__main__":
    main()
