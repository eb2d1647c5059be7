"""The store: read back bit for bit, committed whole, and never broken by what others write into it."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.data.finding import Finding, Kind, Severity
from replay.data.run import Column, Run, Series
from replay.data.step_signals import StepSignals
from replay.errors import InputError
from replay.store import FILE_NAME, SCHEMA, Origin, Store
from replay.store import shards as shard_files
from replay.store.encoding import decode, encode
from tests.cli.test_cli import run as cli

BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
NUMBERS = st.one_of(BITS, st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0]))
TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(10**299, 10**305), NUMBERS, TEXTS)
FINDINGS = st.builds(
    Finding,
    st.sampled_from(list(Kind)),
    st.sampled_from(list(Severity)),
    st.tuples(TEXTS),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.dictionaries(TEXTS, st.tuples(PLAIN, TEXTS), max_size=2),
)
VALUES = st.recursive(
    st.one_of(PLAIN, st.binary(max_size=4), FINDINGS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=6,
)


@st.composite
def runs(draw):
    evals = draw(st.integers(0, 5))
    steps = np.cumsum(draw(st.lists(st.integers(1, 9), min_size=evals, max_size=evals))).astype(float)
    columns = {"step": Column(steps, np.ones(evals, dtype=bool))}
    for name in draw(st.lists(TEXTS.filter(lambda text: text != "step"), max_size=3, unique=True)):
        values = draw(st.lists(NUMBERS, min_size=evals, max_size=evals))
        present = draw(st.lists(st.booleans(), min_size=evals, max_size=evals))
        columns[name] = Column(np.array(values, dtype=float), np.array(present, dtype=bool))
    series = {
        name: Series(np.arange(3.0), np.array(draw(st.lists(NUMBERS, min_size=3, max_size=3))))
        for name in draw(st.lists(TEXTS, max_size=2, unique=True))
    }
    meta = {
        "format": draw(st.none() | TEXTS),
        "model": draw(st.none() | TEXTS),
        "modes": draw(st.dictionaries(TEXTS, st.sampled_from(["min", "max"]), max_size=2)),
        "planned_steps": draw(st.none() | NUMBERS | st.integers(0, 9)),
        "hyperparameters": draw(st.dictionaries(TEXTS, VALUES, max_size=2)),
        "hardware": draw(st.none() | st.dictionaries(TEXTS, PLAIN, max_size=2)),
        "resumes": (3.0,),
        "findings": draw(st.lists(FINDINGS, max_size=2)),
        "extra": draw(st.dictionaries(TEXTS, VALUES, max_size=2)),
    }
    return Run(draw(TEXTS), columns, meta, series)


def bits(value):
    """A value with its types and the bits of its numbers, to compare."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Finding):
        return (
            "finding",
            value.kind,
            value.severity,
            bits(value.runs),
            value.policy,
            value.log,
            bits(value.facts),
        )
    if hasattr(value, "items"):
        return "mapping", [(bits(key), bits(item)) for key, item in value.items()]
    if isinstance(value, Column | Series | list | tuple):
        return type(value).__name__, [bits(item) for item in value]
    return type(value).__name__, value


def content(run):
    fields = {
        name: getattr(run.info, name) for name in run.info.__dataclass_fields__ if name != "step_signals"
    }
    return run.id, bits(run.columns), bits(run.train), bits(fields)


@settings(max_examples=60)
@given(st.lists(runs(), min_size=1, max_size=4))
def test_every_run_comes_back_bit_for_bit(tmp_path_factory, given_runs):
    folder = tmp_path_factory.mktemp("store") / "s"
    distinct = {replay.store.store.digest_of_run(run): run for run in reversed(given_runs)}
    added = Store.add(folder, given_runs, Origin(["x"], "1"))
    assert (added.runs, added.duplicates) == (len(distinct), len(given_runs) - len(distinct))
    findings = []
    back = list(Store.open(folder).read(findings))
    assert findings == []
    kept = [run for run in given_runs if any(run is one for one in distinct.values())]
    assert [content(run)[1:] for run in back] == [content(run)[1:] for run in kept]
    if len({run.id for run in kept}) == len(kept):
        assert [run.id for run in back] == [run.id for run in kept]


@given(VALUES)
def test_values_of_a_log_come_back_as_they_were(value):
    assert bits(decode(encode(value))) == bits(value)


class Signals:
    path = "x"

    def read(self):
        values = np.array([[[1.5, np.nan]], [[-0.0, np.inf]]], dtype=np.float32)
        return StepSignals(
            {"columns": ["c"], "modules": ["a", "b"], "totals": ["t"]},
            np.array([1, 2]),
            np.array([0, 0]),
            np.ones((2, 1), dtype=np.float32),
            values,
        )


def test_step_signals_come_back_when_they_are_asked_for(tmp_path):
    made = [small(number) for number in range(3)]
    made[1] = made[1].replace(info=made[1].info.replace(step_signals=Signals()))
    Store.add(tmp_path / "s", made, Origin([], "1"))
    back = list(Store.open(tmp_path / "s", "run = 'r1' or run = 'r0'").read([]))
    assert back[0].info.step_signals is None
    for one, other in zip(back[1].info.step_signals.read(), Signals().read(), strict=True):
        assert bits(one) == bits(other)


def small(number, evals=4):
    values = np.random.default_rng(number).random(evals)
    meta = {"model": f"m{number % 2}", "hyperparameters": {"lr": 10.0**-number}}
    return Run(f"r{number}", {"step": np.arange(1, evals + 1), "eval_loss": values}, meta)


def test_commands_say_the_same_of_a_store_as_of_its_logs(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("import", "logs", "--out", "runs.store").stdout
    assert said == "Added 10 runs to runs.store.\nNext: replay inspect runs.store\n"
    again = cli("import", "logs", "--out", "runs.store").stdout
    assert "Added 0 runs" in again
    assert "10 runs were there already" in again
    for words in (["simulate", "--policy", "patience=3"], ["sweep"], ["explain", "--policy", "patience=3"]):
        texts = [
            cli(words[0], source, *words[1:], "--format", "json").stdout for source in ("logs", "runs.store")
        ]
        assert texts[0] == texts[1]
    assert [run.id for run in replay.load("runs.store")] == [run.id for run in replay.load("logs")]


POLICIES = '[policies.wait]\nspec = "patience=2"\nmin_saved = "1%"\n'


def test_check_needs_no_logs_where_there_is_a_store(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies.toml").write_text(POLICIES)
    cli("import", "logs", "--out", "runs.store")
    of_logs = cli("check", "policies.toml", "logs", "--update", "--format", "json").stdout
    (tmp_path / "logs").rename(tmp_path / "away")
    # the lock of the logs holds for the store, since the runs are the same
    after = cli("check", "policies.toml", "runs.store", "--format", "json")
    assert after.exit_code == 0, after.output
    assert json.loads(after.stdout)["policies"][0]["summary"] == json.loads(of_logs)["policies"][0]["summary"]
    assert json.loads(after.stdout)["runs"] == 10
    cli("check", "policies.toml", "runs.store", "--update")
    lock = (tmp_path / "replay.lock").read_text()
    ids = [run.id for run in replay.load("runs.store")]
    assert all(f'"runs.store/{run}"' in lock for run in ids)
    assert cli("check", "policies.toml", "runs.store", "--strict").exit_code == 0
    filtered = cli("check", "policies.toml", "runs.store", "--where", f"run != '{ids[0]}'", code=1)
    assert f"runs.store/{ids[0]}" in filtered.output
    assert "not below the logs that were given" in " ".join(filtered.output.split())
    from replay.check.checking import check

    assert check("policies.toml", ["runs.store"]).runs == 10


@given(TEXTS)
def test_the_path_of_a_run_in_a_lock_stays_below_its_store(text):
    from pathlib import Path

    from replay.check.stored import digests_by_path

    (path,) = digests_by_path(small(0).replace(id=text), Path("/a/store"), True)
    assert os.path.normpath(path) == path
    assert path.startswith("/a/store/")


def test_inspect_lists_the_imports_of_a_store(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(5):
        cli("import", "logs", "--out", "runs.store")
    shown = " ".join(cli("inspect", "runs.store").stdout.split())
    assert "Store runs.store: 10 runs with " in shown
    assert f"schema version {SCHEMA}." in shown
    assert "duplicates" not in shown
    assert "duplicates" in cli("inspect", "runs.store", "--verbose").stdout
    (stated,) = json.loads(cli("inspect", "runs.store", "--format", "json").stdout)["stores"]
    store = Store.open("runs.store")
    assert stated["bytes"] == sum((tmp_path / "runs.store" / one.file).stat().st_size for one in store.shards)
    assert [(one["runs"], one["duplicates"]) for one in stated["imports"]] == [(10, 0), *[(0, 10)] * 4]
    assert "stores" not in json.loads(cli("inspect", "logs", "--format", "json").stdout)


def test_a_filter_keeps_the_runs_that_it_is_true_of(tmp_path):
    Store.add(tmp_path / "s", [small(number) for number in range(6)], Origin([], "1"))
    for where, ids in {
        "model = 'm1' and evals >= 4": ["r1", "r3", "r5"],
        "hyperparameters['lr']::double < 1e-4": ["r5"],
        "list_contains(metrics, 'eval_loss') and run != 'r0'": ["r1", "r2", "r3", "r4", "r5"],
    }.items():
        assert [run.id for run in replay.load(tmp_path / "s", where=where)] == ids
    with pytest.raises(InputError, match=r"has no run of which --where .* is true"):
        replay.load(tmp_path / "s", where="evals > 100")


@pytest.mark.parametrize(
    "where",
    [
        "modle = 'x'",
        "evals >=",
        "1=1; drop table runs",
        "1=1) union select 1 --",
        "run in (select * from read_csv('{file}'))",
        "run = (select content from read_text('{file}'))",
        "run in (select * from secret)",
    ],
)
def test_a_filter_with_a_mistake_names_the_columns_and_reads_no_file(tmp_path, where):
    secret = __import__("pyarrow").table({"run": ["r0"]})  # noqa: F841  (DuckDB would find it by its name)
    (tmp_path / "file.txt").write_text("r0")
    Store.add(tmp_path / "s", [small(0)], Origin([], "1"))
    with pytest.raises(InputError, match=r"columns: run, format, model, dataset, .*evals"):
        Store.open(tmp_path / "s", where.replace("{file}", str(tmp_path / "file.txt")))


def test_a_filter_of_a_folder_is_an_error(logs):
    with pytest.raises(InputError, match="replay import"):
        replay.load(logs, where="evals > 3")


def test_imports_fill_files_and_keep_their_origin(tmp_path, monkeypatch):
    monkeypatch.setattr(replay.store.store, "MOST_RUNS", 4)
    for number in range(6):
        finding = Finding(Kind.OTHER, facts={"text": f"f{number}"})
        Store.add(tmp_path / "s", [small(number)], Origin([f"p{number}"], "9", [finding]))
    store = Store.open(tmp_path / "s")
    assert [shard.runs for shard in store.shards] == [4, 2]
    assert [one.paths for one in store.manifest.imports] == [(f"p{number}",) for number in range(6)]
    assert store.details(store.manifest.imports[3])["findings"][0]["text"] == "f3"
    assert [run.id for run in Store.open(tmp_path / "s", "import_number = 4").read([])] == ["r3"]


def test_another_run_under_the_same_id_gets_a_number(tmp_path):
    Store.add(tmp_path / "s", [small(1)], Origin([], "1"))
    added = Store.add(tmp_path / "s", [small(2).replace(id="r1")], Origin([], "1"))
    assert added.renamed == 1
    assert [run.id for run in Store.open(tmp_path / "s").read([])] == ["r1", "r1 (2)"]


def test_an_older_schema_is_read_and_migrated(tmp_path):
    folder = tmp_path / "s"
    made = [small(number) for number in range(3)]
    Store.add(folder, made, Origin([], "1"))
    manifest = json.loads((folder / FILE_NAME).read_text())
    entries = [replay.store.store.Entry(run, replay.store.store.digest_of_run(run), 1) for run in made]
    old = shard_files.write_shard(folder, 1, entries, [], version=1)
    manifest |= {"schema": 1, "shards": [vars(old)]}
    (folder / FILE_NAME).write_text(json.dumps(manifest))
    where = "hyperparameters['lr']::double > 0.05"
    assert [run.id for run in Store.open(folder, where).read([])] == ["r0", "r1"]
    Store.add(folder, [small(7)], Origin([], "1"))
    store = Store.open(folder, where)
    assert (store.manifest.schema, {shard.schema for shard in store.shards}) == (SCHEMA, {SCHEMA})
    assert [run.id for run in store.read([])] == ["r0", "r1"]
    assert [content(run) for run in Store.open(folder).read([])] == [
        content(run) for run in [*made, small(7)]
    ]


def test_a_damaged_file_hides_no_other_and_stops_an_import(tmp_path, monkeypatch):
    monkeypatch.setattr(replay.store.store, "MOST_RUNS", 2)
    folder = tmp_path / "s"
    Store.add(folder, [small(number) for number in range(6)], Origin([], "1"))
    store = Store.open(folder)
    damaged = folder / store.shards[1].file
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (folder / store.shards[2].file).write_bytes(foreign(tmp_path))
    findings = []
    assert [run.id for run in store.read(findings)] == ["r0", "r1"]
    assert {finding.log for finding in findings} == {str(damaged), str(folder / store.shards[2].file)}
    with pytest.raises(InputError, match="Nothing is added to a damaged store"):
        Store.add(folder, [small(9)], Origin([], "1"))


def foreign(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"info": [1, 2], "x": ["a", "b"]}), tmp_path / "foreign.parquet")
    return (tmp_path / "foreign.parquet").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, "Install a newer stop-replay"),
        ({"schema": "2"}, "schema version"),
        (
            {"shards": [{"file": "../other.parquet", "runs": 1, "evals": 1, "bytes": 1, "schema": 2}]},
            "is not a file",
        ),
        (
            {"shards": [{"file": "/etc/passwd", "runs": 1, "evals": 1, "bytes": 1, "schema": 2}]},
            "is not a file",
        ),
        ({"shards": [{"file": "runs-000001-00000000.parquet", "runs": -1}]}, "runs = -1"),
        ({"shards": None}, "no list 'shards'"),
    ],
)
def test_a_hostile_manifest_is_a_clear_error(tmp_path, change, message):
    Store.add(tmp_path / "s", [small(0)], Origin([], "1"))
    path = tmp_path / "s" / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        replay.load(tmp_path / "s")


def test_a_folder_with_other_files_is_not_made_a_store(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"not empty and is not a store: it has notes\.txt"):
        Store.add(tmp_path, [small(0)], Origin([], "1"))


WRITER = """
import sys
import numpy as np
from replay.data.run import Run
from replay.store import Origin, Store
folder, first, count, rounds = sys.argv[1], *map(int, sys.argv[2:])
print("ready", flush=True)
for number in range(rounds):
    begin = first + number * count
    runs = []
    for k in range(begin, begin + count):
        values = np.random.default_rng(k).random(4)
        runs.append(Run(f"r{k}", {"step": np.arange(1, 5), "eval_loss": values}))
    Store.add(folder, runs, Origin(["w"], "1"), lambda who: None)
"""


def writer(folder, first, count, rounds):
    words = [sys.executable, "-c", WRITER, str(folder), str(first), str(count), str(rounds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)


def test_imports_at_the_same_time_wait_for_each_other(tmp_path):
    processes = [writer(tmp_path / "s", first, 3, 4) for first in (0, 100, 200)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    expected = {f"r{first + number}" for first in (0, 100, 200) for number in range(12)}
    store = Store.open(tmp_path / "s")
    assert {run.id for run in store.read([])} == expected
    assert len(store.manifest.imports) == 12


def test_a_store_that_is_written_to_is_refused_where_nobody_waits(tmp_path):
    from replay.store.writing import exclusive

    Store.add(tmp_path / "s", [small(0)], Origin([], "1"))
    with (
        exclusive(tmp_path / "s"),
        pytest.raises(InputError, match=f"written to by process {os.getpid()} on"),
    ):
        Store.add(tmp_path / "s", [small(1)], Origin([], "1"))


@pytest.mark.slow
def test_an_import_that_is_killed_leaves_the_old_state_or_the_new_one(tmp_path):
    chance = random.Random(5)
    folder, kills = tmp_path / "s", 0
    while kills < 50:
        process = writer(folder, 1000 * kills, 5, 10_000)
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        kills += 1
        if not (folder / FILE_NAME).exists():
            continue
        store, findings = Store.open(folder), []
        ids = [run.id for run in store.read(findings)]
        assert findings == []
        assert len(set(ids)) == len(ids) == store.manifest.runs
        assert all(one.runs in (0, 5) for one in store.manifest.imports)  # an import is there as a whole
    added = Store.add(folder, [small(3)], Origin([], "1"))  # neither the lock nor what was left is in the way
    assert added.runs == 1
    names = {path.name for path in folder.iterdir()} - {"store.lock", FILE_NAME}
    assert Store.open(folder).manifest.files <= names
