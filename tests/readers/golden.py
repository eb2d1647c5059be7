"""One small run as every format logs it. ``python -m tests.readers.golden`` writes the files of tests/golden
again."""

import csv
import io
import json
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from replay.readers.formats.eval_log import FORMAT_NAME, VERSION, encode
from tests.readers.aim_files import repository
from tests.readers.blocks import framed, message

GOLDEN = Path(__file__).parents[1] / "golden"
STEPS = [20, 40, 60, 80, 100, 120]
LOSS = [
    1.2345678901234567,
    0.9876543209876543,
    0.8172635445362718,
    0.8091827364554637,
    0.8314159265358979,
    0.8577215664901533,
]
ACCURACY = [0.5125, 0.6375, 0.7125, 0.7250, 0.7175, 0.7075]
TRAIN = [1.5013671875, 1.0717773438, 0.8012695313, 0.6210937500, 0.4760742188, 0.3491210938]
EPOCH = [step / 40 for step in STEPS]
WALL = [1700000000.0 + 7 * step for step in STEPS]


def eval_log():
    lines = [
        {
            "format": FORMAT_NAME,
            "version": VERSION,
            "modes": {"eval_loss": "min", "eval_accuracy": "max"},
            "monitor": "eval_loss",
            "planned_steps": 200,
        }
    ]
    for step, loss, accuracy, train, epoch in zip(STEPS, LOSS, ACCURACY, TRAIN, EPOCH, strict=True):
        metrics = {"eval_loss": loss, "eval_accuracy": accuracy}
        lines.append(
            {
                "kind": "train",
                "step": step,
                "epoch": epoch,
                "loss": train,
                "learning_rate": 1e-3 * (1 - step / 200),
            }
        )
        lines.append(
            {
                "kind": "eval",
                "step": step,
                "epoch": epoch,
                "metrics": metrics,
                "train": {"loss": train},
                "saved": True,
            }
        )
    return "".join(encode(line) for line in lines).encode()


def trainer_state():
    history = []
    for step, loss, accuracy, train, epoch in zip(STEPS, LOSS, ACCURACY, TRAIN, EPOCH, strict=True):
        history.append(
            {"epoch": epoch, "learning_rate": 1e-3 * (1 - step / 200), "loss": train, "step": step}
        )
        history.append(
            {
                "epoch": epoch,
                "eval_accuracy": accuracy,
                "eval_loss": loss,
                "eval_runtime": 1.5,
                "eval_samples_per_second": 8.0,
                "step": step,
            }
        )
    state = {
        "best_global_step": 80,
        "best_metric": LOSS[3],
        "best_model_checkpoint": "out/checkpoint-80",
        "epoch": 3.0,
        "eval_steps": 20,
        "global_step": 120,
        "log_history": history,
        "max_steps": 200,
        "num_train_epochs": 5,
        "save_steps": 20,
        "total_flos": 1e12,
        "train_batch_size": 8,
    }
    return (json.dumps(state, indent=2, sort_keys=True) + "\n").encode()


def events(path, names=("train/loss", "train/epoch", "eval/loss", "eval/accuracy")):
    """Written by TensorBoard's own record writer."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1700000000.0, file_version="brain.Event:2").SerializeToString())
        for step, loss, accuracy, train, epoch, wall in zip(
            STEPS, LOSS, ACCURACY, TRAIN, EPOCH, WALL, strict=True
        ):
            for tag, value in zip(names, (train, epoch, loss, accuracy), strict=True):
                event = Event(wall_time=wall, step=step)
                event.summary.value.add(tag=tag, simple_value=value)
                writer.write(event.SerializeToString())


def lightning_csv():
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", "step", "train_loss", "val_accuracy", "val_loss"])
    writer.writeheader()
    for step, loss, accuracy, train, epoch in zip(STEPS, LOSS, ACCURACY, TRAIN, EPOCH, strict=True):
        writer.writerow({"epoch": int(epoch), "step": step, "train_loss": train})
        writer.writerow({"epoch": int(epoch), "step": step, "val_accuracy": accuracy, "val_loss": loss})
    return text.getvalue().encode()


def trainer_log():
    rows = []
    for step, loss, accuracy, train, epoch in zip(STEPS, LOSS, ACCURACY, TRAIN, EPOCH, strict=True):
        place = {"current_steps": step, "total_steps": 200, "epoch": epoch}
        rows.append(
            {
                **place,
                "loss": train,
                "lr": 1e-3 * (1 - step / 200),
                "percentage": step / 2,
                "elapsed_time": f"0:0{step // 60}:{step % 60:02}",
            }
        )
        rows.append(
            {
                **place,
                "eval_loss": loss,
                "eval_accuracy": accuracy,
                "elapsed_time": f"0:0{step // 60}:{step % 60:02}",
            }
        )
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def torchtune_text():
    lines = []
    for step, loss, accuracy, train in zip(STEPS, LOSS, ACCURACY, TRAIN, strict=True):
        lines.append(
            f"Step {step} | loss:{train} lr:{1e-3 * (1 - step / 200)} tokens_per_second_per_gpu:512.5 "
        )
        lines.append(f"Step {step} | val_loss:{loss} val_accuracy:{accuracy} ")
    return "".join(line + "\n" for line in lines).encode()


def json_history():
    """Lists of a script of one's own."""
    lists = {"step": STEPS, "train_loss": TRAIN, "eval_loss": LOSS, "eval_accuracy": ACCURACY}
    return (json.dumps({"args": {"lr": 0.001}, "history": lists}, indent=1) + "\n").encode()


def catboost():
    """Written at every twentieth iteration, as with metric_period."""
    metrics = [{"best_value": "Min", "name": "Logloss"}, {"best_value": "Max", "name": "accuracy"}]
    meta = {
        "test_sets": ["test"],
        "test_metrics": metrics,
        "learn_metrics": metrics[:1],
        "launch_mode": "Train",
        "parameters": "",
        "iteration_count": 200,
        "learn_sets": ["learn"],
        "name": "experiment",
    }
    rows = [
        {"learn": [train], "iteration": step, "passed_time": step / 8, "test": [loss, accuracy]}
        for step, loss, accuracy, train in zip(STEPS, LOSS, ACCURACY, TRAIN, strict=True)
    ]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    return f'{{\n"meta":{json.dumps(meta)},\n"iterations":[\n{lines}\n]}}'.encode()


def peft_benchmark():
    rows = [
        {
            "step": step,
            "valid accuracy": accuracy,
            "valid loss": loss,
            "train loss": train,
            "train samples": 4 * step,
            "eval time": 1.5,
        }
        for step, loss, accuracy, train in zip(STEPS, LOSS, ACCURACY, TRAIN, strict=True)
    ]
    rows.append({"step": STEPS[-1], "test accuracy": 0.71, "train loss": TRAIN[-1], "train samples": 480})
    result = {
        "run_info": {
            "experiment_name": "lora/small-model-rank8",
            "train_config": {"model_id": "team/small-model", "max_steps": 200, "eval_steps": 20},
            "peft_config": {"peft_type": "LORA", "r": 8},
        },
        "train_info": {"status": "success", "train_time": 60.0, "metrics": rows},
        "meta_info": {"package_info": {"peft-version": "0.19.0"}},
    }
    return (json.dumps(result, indent=2) + "\n").encode()


def neptune_scale(path):
    """Small pages, so that each row has one of its own."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute("CREATE TABLE metadata (id INTEGER PRIMARY KEY, version, project, run_id)")
        database.execute("INSERT INTO metadata VALUES (1, 'v5', 'team/demo', 'first')")
        database.execute(
            "CREATE TABLE run_operations"
            " (sequence_id INTEGER PRIMARY KEY, timestamp, operation_type, operation)"
        )
        for step, loss, accuracy, train, wall in zip(STEPS, LOSS, ACCURACY, TRAIN, WALL, strict=True):
            values = {"train/loss": train, "eval/loss": loss, "eval/accuracy": accuracy}
            appended = [
                (8, message((1, name), (2, message((1, float(value)))))) for name, value in values.items()
            ]
            request = (9, "0" * 200)  # an id
            update = message((1, message((1, step))), (2, message((1, int(wall)))), *appended, request)
            row = (int(wall * 1000), 0, update)
            database.execute(
                "INSERT INTO run_operations (timestamp, operation_type, operation) VALUES (?, ?, ?)", row
            )
        database.execute("CREATE TABLE operation_errors (error_id INTEGER PRIMARY KEY, error_type)")
        database.commit()


def aim():
    points = []
    for step, loss, accuracy, train, epoch, wall in zip(
        STEPS, LOSS, ACCURACY, TRAIN, EPOCH, WALL, strict=True
    ):
        points += [
            (7, "loss", step, train, wall, epoch),
            (8, "loss", step, loss, wall, epoch),
            (8, "accuracy", step, accuracy, wall, epoch),
        ]
    files = repository(points, {7: {"subset": "train"}, 8: {"subset": "val"}})
    return {f".aim/{name}": content for name, content in files.items()}


def mlflow():
    """A run of a file store; the last metric has the fields that new versions add."""
    values = {"loss": TRAIN, "eval_loss": LOSS, "eval_accuracy": ACCURACY}
    files = {
        "meta.yaml": "artifact_location: mlflow-artifacts:/1\nexperiment_id: '1'\nname: sweep\n",
        f"{RUN}/meta.yaml": (
            f"end_time: null\nexperiment_id: '1'\nlifecycle_stage: active\nrun_id: {RUN}\nrun_name: first\n"
            "start_time: 1700000000000\nstatus: 1\n"
        ),
        f"{RUN}/params/max_steps": "200",
    }
    for name, column in values.items():
        rest = " texts 1234abcd" if name == "eval_accuracy" else ""
        files[f"{RUN}/metrics/{name}"] = "".join(
            f"{int(wall * 1000)} {value!r} {step}{rest}\n"
            for wall, value, step in zip(WALL, column, STEPS, strict=True)
        )
    return {name: text.encode() for name, text in files.items()}


def wandb():
    """An offline run that has not ended; each row is one record, as the writer of W&B's core makes them."""

    def items(values, number):
        parts = [message((number, name), (16, json.dumps(value))) for name, value in values.items()]
        return [(1, part) for part in parts]

    start = message((1, int(WALL[0]) - 10))
    records = [
        message((1, 1), (21, b"")),
        message((1, 2), (17, message((1, "abc123"), (3, "sweep"), (8, "first"), (17, start)))),
        message((1, 3), (5, message(*items({"max_steps": 200}, 1)))),
    ]
    for step, loss, accuracy, train, epoch, wall in zip(
        STEPS, LOSS, ACCURACY, TRAIN, EPOCH, WALL, strict=True
    ):
        for values in ({"loss": train, "epoch": epoch}, {"eval_loss": loss, "eval_accuracy": accuracy}):
            row = {**values, "_timestamp": wall, "_step": step}
            history = message(*items(row, 2), (2, message((1, step))))
            records.append(message((1, len(records) + 1), (2, history)))
    return framed(records, b":W&B\xe1\xbe\0")


def swanlab():
    """A run of version 2 that has not ended."""
    records = [message((1, 1), (10, message((1, "sweep"), (4, "first"), (10, "abc123"))))]
    for step, loss, accuracy, train, wall in zip(STEPS, LOSS, ACCURACY, TRAIN, WALL, strict=True):
        for name, value in (("loss", train), ("eval_loss", loss), ("eval_accuracy", accuracy)):
            scalar = message((1, name), (2, step), (4, message((1, int(wall)))), (5, message((1, value))))
            records.append(message((1, len(records) + 1), (13, scalar)))
    return framed(records, b":SWL\xd6\xe1\x02")


def trackio():
    """A fragment of the inbox."""
    lines = []
    for step, loss, accuracy, train, wall in zip(STEPS, LOSS, ACCURACY, TRAIN, WALL, strict=True):
        for values in ({"loss": train}, {"eval_loss": loss, "eval_accuracy": accuracy}):
            line = {
                "v": 1,
                "kind": "metric",
                "project": "sweep",
                "run": "first",
                "run_id": RUN,
                "metrics": values,
                "step": step,
                "timestamp": datetime.fromtimestamp(wall, UTC).isoformat(),
                "config": None if lines else {"max_steps": 200},
                "log_id": f"{len(lines):032x}",
            }
            lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def sacred():
    times = [datetime.fromtimestamp(wall, UTC).replace(tzinfo=None).isoformat() for wall in WALL]
    columns = {"eval_accuracy": ACCURACY, "eval_loss": LOSS, "loss": TRAIN}
    metrics = {
        name: {"steps": STEPS, "timestamps": times, "values": values} for name, values in columns.items()
    }
    return json.dumps(metrics, indent=2, sort_keys=True).encode()


def dvclive():
    tables = {"loss": TRAIN, "eval/loss": LOSS, "eval/accuracy": ACCURACY}
    last = {"loss": TRAIN[-1], "eval": {"loss": LOSS[-1], "accuracy": ACCURACY[-1]}, "step": STEPS[-1]}
    files = {"dvclive/metrics.json": json.dumps(last, indent=4)}
    for name, values in tables.items():
        rows = [f"{step}\t{value!r}\n" for step, value in zip(STEPS, values, strict=True)]
        files[f"dvclive/plots/metrics/{name}.tsv"] = f"step\t{name.split('/')[-1]}\n" + "".join(rows)
    return {name: text.encode() for name, text in files.items()}


def guild():
    names = ("loss", "epoch", "eval_loss", "eval_accuracy")
    with tempfile.TemporaryDirectory() as folder:
        events(Path(folder) / "events", names)
        content = (Path(folder) / "events").read_bytes()
    home = f"{RUN}/.guild"
    return {
        f"{home}/events.out.tfevents.1700000000.host.1.0": content,
        f"{home}/attrs/exit_status": b"0",
        f"{home}/attrs/flags": b"lr: 0.01\nseed: 3\n",
        f"{home}/attrs/started": b"1699999990000000",
    }


def ray_tune():
    """A trial, with what it reported in both of its files."""
    rows = []
    for number, (step, loss, accuracy, train, wall) in enumerate(
        zip(STEPS, LOSS, ACCURACY, TRAIN, WALL, strict=True), 1
    ):
        values = {"loss": train, "eval_loss": loss, "eval_accuracy": accuracy, "step": step}
        own = {"timestamp": int(wall), "done": False, "training_iteration": number}
        rows.append({**values, **own, "config": {"lr": 0.01}, "iterations_since_restore": number})
    names = [name for name in rows[0] if name != "config"]
    table = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    return {
        "trial/result.json": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "trial/progress.csv": "".join(line + "\n" for line in table).encode(),
        "trial/params.json": b'{"lr": 0.01}',
    }


RUN = "0123456789abcdef0123456789abcdef"


def clearml():
    """Two batches of events, as ClearML flushes them."""
    events = [
        {
            "timestamp": 1700000000000 + 7000 * step,
            "type": "training_stats_scalar",
            "task": "offline-5f0c",
            "iter": step,
            "metric": title,
            "variant": series,
            "value": value,
            "method": "get",
        }
        for step, loss, accuracy, train in zip(STEPS, LOSS, ACCURACY, TRAIN, strict=True)
        for title, series, value in (
            ("loss", "train", train),
            ("loss", "eval", loss),
            ("accuracy", "eval", accuracy),
        )
    ]
    return "".join(json.dumps(batch) + "\n" for batch in (events[:9], events[9:])).encode()


def comet():
    lines = []
    for step, loss, accuracy, train in zip(STEPS, LOSS, ACCURACY, TRAIN, strict=True):
        for name, value in (("loss", train), ("eval_accuracy", accuracy), ("eval_loss", loss)):
            metric = {"epoch": None, "metricName": name, "metricValue": value, "step": step}
            payload = {
                "local_timestamp": 1700000000000 + 7000 * step,
                "message_id": len(lines) + 1,
                "metric": metric,
            }
            lines.append({"payload": payload, "type": "metric_msg"})
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()


def neptune():
    lines = []
    for step, loss, accuracy, train, wall in zip(STEPS, LOSS, ACCURACY, TRAIN, WALL, strict=True):
        for path, value in (
            (["train", "loss"], train),
            (["eval", "loss"], loss),
            (["eval", "accuracy"], accuracy),
        ):
            values = [{"value": value, "step": step, "ts": wall}]
            operation = {"type": "LogFloats", "path": path, "values": values}
            lines.append({"obj": operation, "version": len(lines) + 1, "at": wall})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


#: The file of each format, or the folder that it recognises as a whole.
FILES = {
    "clearml": "metrics.jsonl",
    "comet": "messages.json",
    "neptune": "data-1.log",
    "eval-log": "eval_log.jsonl",
    "trainer-state": "trainer_state.json",
    "tensorboard": "events.out.tfevents.1700000000.host.1.0",
    "csv": "metrics.csv",
    "jsonl": "trainer_log.jsonl",
    "mlflow": RUN,
    "text": "log_1700000000.txt",
    "wandb": "run-abc123.wandb",
    "trackio": "inbox/0123456789abcdef/00000000.jsonl",
    "swanlab": "run-abc123.swanlab",
    "dvclive": "dvclive",
    "guild": f"{RUN}/.guild",
    "sacred": "metrics.json",
    "ray-tune": "trial",
    "neptune-scale": "run_operations.sqlite3",
    "aim": ".aim",
    "json-history": "history.json",
    "catboost": "catboost_training.json",
    "peft-benchmark": "lora-rank8.json",
}

#: Writers of logs that are folders: what each file of the format's folder holds.
FOLDERS = {"mlflow": mlflow, "aim": aim, "dvclive": dvclive, "guild": guild, "ray-tune": ray_tune}

#: Writers of logs that are one file of bytes.
SINGLE_FILES = {
    "eval-log": eval_log,
    "trainer-state": trainer_state,
    "csv": lightning_csv,
    "jsonl": trainer_log,
    "wandb": wandb,
    "trackio": trackio,
    "swanlab": swanlab,
    "sacred": sacred,
    "text": torchtune_text,
    "clearml": clearml,
    "comet": comet,
    "neptune": neptune,
    "json-history": json_history,
    "catboost": catboost,
    "peft-benchmark": peft_benchmark,
}


def golden(name):
    """The golden file or folder of a format, by the format's name."""
    return GOLDEN / name / FILES[name]


def parts(path):
    """The file itself, or the files of a folder."""
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def write():
    for name, make in SINGLE_FILES.items():
        golden(name).parent.mkdir(parents=True, exist_ok=True)
        golden(name).write_bytes(make())
    for name, make in FOLDERS.items():
        for file, content in make().items():
            path = GOLDEN / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for name, put in {"tensorboard": events, "neptune-scale": neptune_scale}.items():
        golden(name).parent.mkdir(parents=True, exist_ok=True)
        put(golden(name))


if __name__ == "__main__":
    write()
