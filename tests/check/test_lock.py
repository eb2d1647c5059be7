"""The lock as a file: the same bytes for the same content, and nothing trusted that replay did not write."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import re
import signal
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.check import lock_text
from replay.check.digests import digests_with_other_ends
from replay.check.lock import (
    VERSION,
    BrokenLock,
    Lock,
    LockedLimit,
    LockedPolicy,
    Log,
    as_text,
    digest,
    from_text,
    read_lock,
    rounded,
    write_lock,
)
from replay.check.model import Stop
from replay.errors import InputError

from ..conftest import curve, write_log


def stop(run, **changes):
    given = {
        "run": run,
        "log": f"logs/{run}.jsonl",
        "stopped_eval": 3,
        "stopped_step": 300,
        "reason": "no gain for 3 evals",
        "saved": 0.25,
        "regret": 0.125,
        "relative_regret": 0.5,
        "lost": 0.0,
    }
    return Stop(**(given | changes))


def example():
    stops = {run: stop(run) for run in ("run1", "run10", "run2")}
    stops["run2"] = stop("run2", stopped_eval=None, stopped_step=None, regret=math.inf, relative_regret=None)
    return Lock(
        "0.1.0",
        {"monitor": "eval_loss", "confidence": 0.95, "price": None},
        {f"logs/{run}.jsonl": Log(f"{number:064x}", (run,)) for number, run in enumerate(stops)},
        {
            "fast \u202e": LockedPolicy(
                "patience=3", {"runs": 3, "saved_mean": 1 / 6, "regret_mean": math.inf, "verdict": "x"}, stops
            )
        },
    )


def test_what_is_written_is_read_again(tmp_path):
    assert write_lock(tmp_path / "replay.lock", example())
    again = read_lock(tmp_path / "replay.lock")
    assert again.tool == "0.1.0"
    assert again.logs == example().logs
    assert again.policies["fast \u202e"].stops == example().policies["fast \u202e"].stops
    assert again.policies["fast \u202e"].summary == {
        "runs": 3,
        "saved_mean": 0.166666666667,
        "regret_mean": math.inf,
        "verdict": "x",
    }
    assert as_text(again) == as_text(example())
    assert read_lock(tmp_path / "none.lock") is None


def test_a_run_of_several_logs_is_shown_by_the_first_of_them():
    made = example()
    logs = dict.fromkeys(("logs/b.csv", "logs/a.csv", "logs/c.csv"), made.logs["logs/run1.jsonl"])
    policy = LockedPolicy("patience=3", {}, {"run1": stop("run1", log="logs/a.csv")}, {}, {})
    again = from_text(as_text(Lock("0.1.0", {}, logs, {"fast": policy})).encode(), "replay.lock")
    assert again.logs == logs
    assert again.policies == {"fast": policy}


def test_it_is_ordered_plain_and_one_run_a_line():
    text = as_text(example())
    assert text.isascii(), "untrusted names are escapes"
    assert text.endswith("}\n]}\n")
    runs = [row["run"] for row in json.loads(text)["lines"] if "stop" in row]
    assert runs == ["run1", "run10", "run2"]
    swapped = dataclasses.replace(example(), logs=dict(reversed(example().logs.items())))
    assert as_text(swapped) == text
    one, other = text.splitlines(), as_text(dataclasses.replace(example(), tool="0.2.0")).splitlines()
    assert sum(a != b for a, b in zip(one, other, strict=True)) == 2, "one line, and the checksum of its part"


LAYOUT = """\
{"format": "replay lock", "version": 2, "lines": [
 {"tool": "0.1.0"}
,{"setting": "confidence", "value": 0.95}
,{"setting": "monitor", "value": "eval_loss"}
,{"setting": "price", "value": null}
,{"gate": "fail_on", "value": ["limit", "moved"]}
,{"gate": "undecided", "value": "warn"}
,{"log": "logs/run1.jsonl", "runs": ["run1"], "sha256": "01", "content": "c1"}
,{"log": "logs/run2.jsonl", "runs": ["run2"], "sha256": "02", "content": null}
,{"checksum": "X"}
,{"policy": "fast"}
,{"policy": "fast", "spec": "patience=3"}
,{"policy": "fast", "limit": "max_lost", "text": "5%", "value": 0.05}
,{"policy": "fast", "limit": "min_saved", "group": "films", "text": "20%", "value": 0.2}
,{"policy": "fast", "expect": "run1", "eval": null}
,{"policy": "fast", "run": "run1", "stop": [3, 300, "no gain for 3 evals", 0.25, 0.125, 0.5, 0.0]}
,{"policy": "fast", "figure": "runs", "value": 3}
,{"policy": "fast", "figure": "saved_mean", "value": 0.25}
,{"policy": "fast", "checksum": "X"}
,{"policy": "idle"}
,{"policy": "idle", "spec": "never"}
,{"policy": "idle", "checksum": "X"}
]}
"""


def test_a_change_of_one_thing_is_a_change_of_one_line():
    """People review a lock as a difference, and git merges it by lines."""
    limits = {("films", "min_saved"): LockedLimit("20%", 0.2), (None, "max_lost"): LockedLimit("5%", 0.05)}
    fast = LockedPolicy(
        "patience=3", {"saved_mean": 0.25, "runs": 3}, {"run1": stop("run1")}, limits, {"run1": None}
    )
    logs = {
        "logs/run2.jsonl": Log("02", ("run2",)),
        "logs/run1.jsonl": Log("01", ("run1",), "c1"),
    }
    settings = {"price": None, "monitor": "eval_loss", "confidence": 0.95}
    gate = {"undecided": "warn", "fail_on": ["limit", "moved"]}
    idle = LockedPolicy("never", {}, {}, {}, {})
    lock = Lock("0.1.0", settings, logs, {"idle": idle, "fast": fast}, gate)
    text = re.sub(r',\{"part": \d+\}\n', "", as_text(lock))
    lines = re.sub(r'"checksum": "\w+"', '"checksum": "X"', text).splitlines()
    assert sorted(lines) == sorted(LAYOUT.splitlines()), "policies stand in the parts of their names"
    assert from_text(as_text(lock).encode(), "replay.lock") == lock


def test_an_added_policy_stands_in_the_part_of_its_name():
    """The lines of parts are the same in each lock, so that additions in different parts never touch."""
    one = example()
    (policy,) = one.policies.values()
    parts = {}
    for number in range(40):
        lock = dataclasses.replace(one, policies={**one.policies, f"new{number}": policy})
        lines = as_text(lock).splitlines()
        marks = [line for line in lines if line.startswith(',{"part": ')]
        assert marks == [f',{{"part": {part}}}' for part in range(32)]
        before = lines[: lines.index(f',{{"policy": "new{number}"}}')]
        parts[number] = max(before.index(mark) for mark in marks if mark in before)
        assert from_text(as_text(lock).encode(), "replay.lock").policies.keys() == lock.policies.keys()
    assert len(set(parts.values())) > 16


def test_a_lock_without_parts_is_read():
    """As the first locks of this version were."""
    lines = [line for line in as_text(example()).splitlines() if '"part"' not in line]
    head = lock_text._head(example())
    index = next(number for number, line in enumerate(lines) if line.startswith(',{"checksum"'))
    lines[index] = f',{{"checksum": "{lock_text._checksum(head, "")}"}}'
    old = from_text("\n".join(lines).encode(), "replay.lock")
    assert as_text(old) == as_text(example())


FIRST = """\
{
 "format": "replay lock",
 "version": 1,
 "tool": "0.1.0",
 "settings": {
  "monitor": "eval_loss"
 },
 "logs": {
  "logs/run1.jsonl": {"runs": ["run1"], "sha256": "01"}
 },
 "policies": {
  "fast": {
   "spec": "patience=3",
   "stops": {
    "run1": [3, 300, "no gain for 3 evals", 0.25, "Infinity", 0.5, 0.0]
   },
   "summary": {
    "runs": 1
   }
  }
 },
 "checksum": "CHECKSUM"
}
"""


def first_lock(text=FIRST):
    """A lock of version 1, signed as replay 0.1 did."""
    rest = json.loads(text)
    del rest["checksum"]
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    return text.replace("CHECKSUM", hashlib.sha256(canonical).hexdigest()).encode()


def test_a_lock_of_the_first_version_is_read_and_holds_no_limits():
    lock = from_text(first_lock(), "replay.lock")
    assert lock.version == 1
    assert lock.logs == {"logs/run1.jsonl": Log("01", ("run1",))}
    assert lock.policies == {
        "fast": LockedPolicy("patience=3", {"runs": 1}, {"run1": stop("run1", regret=math.inf)})
    }
    assert (lock.gate, lock.policies["fast"].limits) == (None, None)
    with pytest.raises(BrokenLock, match="a checksum differs"):
        from_text(first_lock().replace(b"0.25", b"0.26"), "replay.lock")


def test_parts_that_do_not_belong_together_are_refused():
    """As git may merge them: a policy of one branch, and the logs of another."""
    one = example()
    other = dataclasses.replace(one, logs={**one.logs, "logs/run2.jsonl": Log("f" * 64, ("run2",))})
    head, policy = as_text(other).index(',{"policy"'), as_text(one).index(',{"policy"')
    with pytest.raises(BrokenLock, match="a checksum differs"):
        from_text((as_text(other)[:head] + as_text(one)[policy:]).encode(), "replay.lock")
    newer = dataclasses.replace(one, tool="0.2.0")
    head = as_text(newer).index(',{"policy"')
    mixed = from_text((as_text(newer)[:head] + as_text(one)[policy:]).encode(), "replay.lock")
    assert (mixed.tool, mixed.policies) == ("0.2.0", from_text(as_text(one).encode(), "x").policies)


@given(st.data())
def test_any_byte_flipped_is_refused_or_changes_nothing(data):
    text = as_text(example()).encode()
    at = data.draw(st.integers(0, len(text) - 1))
    changed = bytearray(text)
    changed[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        assert as_text(from_text(bytes(changed), "replay.lock")).encode() == text


def test_any_prefix_is_refused():
    text = as_text(example()).encode()
    for end in range(len(text) - 2):
        with pytest.raises(InputError, match=r"replay\.lock"):
            from_text(text[:end], "replay.lock")


def edited(old, new):
    text = as_text(example())
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edited("[3, 300", "[4, 300"), "a checksum differs"),
        (edited('"patience=3"', '"patience=4"'), "a checksum differs"),
        (edited('"checksum"', '"chequesum"'), "a checksum differs"),
        (edited(',{"policy"', '<<<<<<< HEAD\n,{"policy"'), "the marks of a merge conflict"),
        ("", "it is empty or cut short"),
        (edited("0.25", "NaN"), "NaN is not a number of JSON"),
    ],
)
def test_a_damaged_lock_says_how_to_make_it_anew(text, said):
    with pytest.raises(BrokenLock, match=r"replay\.lock: the lock .*replay check FILE --update") as told:
        from_text(text.encode(), "replay.lock")
    assert said in str(told.value)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "3", '{"format": "other"}', "[policies.fast]", "\0\1", "[" * 100_000]
)
def test_what_is_no_lock_is_never_taken_for_a_damaged_one(text):
    with pytest.raises(InputError, match="is not a lock of replay") as told:
        from_text(text.encode(), "policies.toml")
    assert not isinstance(told.value, BrokenLock)


def test_a_newer_version_is_named():
    with pytest.raises(InputError, match=f"version {VERSION + 1}.*reads version {VERSION}") as told:
        from_text(edited(f'"version": {VERSION}', f'"version": {VERSION + 1}').encode(), "replay.lock")
    assert not isinstance(told.value, BrokenLock), "an update must not throw it away"


@pytest.mark.parametrize(
    "change",
    [
        lambda lock: lock.pop("logs"),
        lambda lock: lock.update(version=0),
        lambda lock: lock.update(version="1"),
        lambda lock: lock.update(tool=3),
        lambda lock: lock.update(logs=[]),
        lambda lock: lock["logs"].clear(),
        lambda lock: lock["policies"]["fast"].pop("spec"),
        lambda lock: lock["policies"]["fast"]["stops"].update(run1=[1]),
        lambda lock: lock["policies"]["fast"]["stops"].update(run1=["1", 1, "x", 0, 0, 0, 0]),
        lambda lock: lock["policies"]["fast"]["stops"].update(run1=[1, 1, "x", None, 0, 0, 0]),
    ],
)
def test_a_right_checksum_is_no_reason_to_trust_the_rest_of_a_first_lock(change):
    document = json.loads(FIRST)
    change(document)
    with pytest.raises(BrokenLock):
        from_text(first_lock(json.dumps(document)), "replay.lock")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.pop(0),
        lambda rows: rows[0].update(tool=3),
        lambda rows: rows.append({"log": "more", "runs": [], "sha256": "1"}),
        lambda rows: rows.append({"policy": "fast", "spec": "never"}),
        lambda rows: rows[-2].update(stop=[1]),
        lambda rows: rows[-2].update(stop=["1", 1, "x", 0, 0, 0, 0]),
        lambda rows: rows[-2].update(stop=[1, 1, "x", None, 0, 0, 0]),
        lambda rows: rows[-2].update(run="unknown"),
    ],
)
def test_a_right_checksum_is_no_reason_to_trust_the_rest(change, monkeypatch):
    fast = LockedPolicy("patience=3", {}, {"run1": stop("run1")}, {}, {})
    lock = Lock("0.1.0", {}, {"logs/run1.jsonl": Log("01", ("run1",))}, {"fast": fast})
    document = json.loads(as_text(lock))
    rows = [row for row in document["lines"] if "checksum" not in row and "part" not in row]
    rows.append(rows.pop(rows.index(next(row for row in rows if row == {"policy": "fast"}))))
    change(rows)
    head, rest = [row for row in rows if "policy" not in row], [row for row in rows if "policy" in row]
    signed = [*lock_text._signed(head, ""), *lock_text._signed(rest, lock_text._base(head))]
    with pytest.raises(BrokenLock):
        from_text(json.dumps({**document, "lines": signed}).encode(), "replay.lock")


@given(st.floats())
def test_rounded_numbers_stay_when_rounded_again(value):
    once = rounded(value)
    assert rounded(once) == once
    assert once is None or math.isinf(once) or math.isclose(once, value, rel_tol=1e-11, abs_tol=5e-324)
    assert once is None or math.copysign(1, once) == 1 or once < 0


def test_digest_is_of_the_bytes_with_line_feeds_in_a_text(tmp_path):
    (tmp_path / "log").write_bytes(b"abc")
    assert digest(tmp_path / "log") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    pairs = [(b"a\r\nb\r\n", b"a\nb\n", True), (b"a\rb", b"a\nb", False), (b"\0\r\n", b"\0\n", False)]
    # a block of the file may end between the two bytes of a line end
    pairs += [(b"x" * size + b"\r\r\nb", b"x" * size + b"\r\nb", False) for size in (1 << 20, (1 << 20) - 1)]
    pairs += [(b"x" * size + b"\r\nb", b"x" * size + b"\nb", True) for size in (1 << 20, (1 << 20) - 1)]
    for one, other, same in pairs:
        (tmp_path / "one").write_bytes(one)
        (tmp_path / "other").write_bytes(other)
        assert (digest(tmp_path / "one") == digest(tmp_path / "other")) == same
        if same:
            every = digests_with_other_ends(tmp_path / "other")
            assert hashlib.sha256(one).hexdigest() in every
            assert every == digests_with_other_ends(tmp_path / "one")
    with pytest.raises(InputError, match="none"):
        digest(tmp_path / "none")


def test_writing_keeps_links_modes_and_what_is_the_same(tmp_path):
    place = tmp_path / "replay.lock"
    assert write_lock(place, example())
    assert stat.S_IMODE(place.stat().st_mode) == 0o666 & ~current_umask()
    before = place.stat().st_mtime_ns
    assert not write_lock(place, example())
    assert place.stat().st_mtime_ns == before
    place.chmod(0o600)
    (tmp_path / "link.lock").symlink_to(place)
    assert write_lock(tmp_path / "link.lock", dataclasses.replace(example(), tool="9"))
    assert (tmp_path / "link.lock").is_symlink()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert read_lock(place).tool == "9"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.lock", "replay.lock"], (
        "nothing else is left"
    )
    with pytest.raises(InputError, match="nowhere"):
        write_lock(tmp_path / "nowhere" / "replay.lock", example())
    with pytest.raises(InputError, match="directory"):
        read_lock(tmp_path)


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_error_on_the_way_leaves_the_old_lock(tmp_path, monkeypatch):
    write_lock(tmp_path / "replay.lock", example())
    monkeypatch.setattr(
        os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(InputError, match="No space left"):
        write_lock(tmp_path / "replay.lock", dataclasses.replace(example(), tool="9"))
    assert read_lock(tmp_path / "replay.lock").tool == "0.1.0"
    assert len(list(tmp_path.iterdir())) == 1


#: Kills its process when that is about to do the n-th thing to a lock or its folder.
KILLED = """
import os, signal, sys

remaining, lock = int(sys.argv[1]), sys.argv[2]
folder, name = os.path.split(lock)

def watch(event, arguments):
    global remaining
    paths = [os.fspath(one) for one in arguments if isinstance(one, str | os.PathLike)]
    if event in ("open", "os.chmod", "os.rename") and any(
        path == folder or os.path.dirname(path) == folder and name in os.path.basename(path) for path in paths
    ):
        remaining -= 1
        if not remaining:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
"""
WRITE = """
import dataclasses
from pathlib import Path
from replay.check.lock import read_lock, write_lock

write_lock(Path(lock), dataclasses.replace(read_lock(Path(lock)), tool="new"))
"""
UPDATE = """
from replay.cli import main

sys.argv = ["replay", "check", os.path.join(folder, "policies.toml"), "--update"]
main()
"""


def content_after_kills(place, code):
    """The contents of a lock after kills at the first, the second, ... thing that the code does to it; the
    last one is that after no kill."""
    before = place.read_bytes()
    contents = []
    while True:
        command = [sys.executable, "-c", KILLED + code, str(len(contents) + 1), str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        contents.append(place.read_bytes())
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, done.stderr
            return contents
        place.write_bytes(before)


def assert_old_then_new(contents, old):
    new = contents[-1]
    assert new != old
    replaced = contents.index(new)
    # something is killed before the lock is replaced, and something after
    assert 2 <= replaced < len(contents) - 1
    assert contents == [old] * replaced + [new] * (len(contents) - replaced)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_any_moment_the_lock_is_whole(tmp_path):
    place = tmp_path / "replay.lock"
    stops = {f"run{number}": stop(f"run{number}") for number in range(300)}
    logs = {f"logs/{run}.jsonl": Log("0" * 64, (run,)) for run in stops}
    write_lock(place, Lock("first", {}, logs, {"p": LockedPolicy("patience=3", {}, stops)}))
    old = place.read_bytes()
    assert_old_then_new(content_after_kills(place, WRITE), old)
    assert read_lock(place).tool == "new"


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_an_update_that_is_killed_leaves_the_old_lock_or_the_new_one(tmp_path):
    for number in range(8):
        write_log(tmp_path / "logs" / f"run{number}", curve(number), seed=number)
    (tmp_path / "policies.toml").write_text('logs = ["logs"]\n[policies.a]\nspec = "patience=2"\n')
    command = [sys.executable, "-m", "replay", "check", str(tmp_path / "policies.toml"), "--update"]
    subprocess.run(command, check=True, capture_output=True)
    place = tmp_path / "replay.lock"
    old = place.read_bytes()
    (tmp_path / "policies.toml").write_text('logs = ["logs"]\n[policies.a]\nspec = "patience=3"\n')
    assert_old_then_new(content_after_kills(place, UPDATE), old)
    assert read_lock(place).policies["a"].spec == "patience=3"
