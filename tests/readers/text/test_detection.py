"""What is a text of a training, and what is not, whatever the file is called and however it is encoded."""

import json
import subprocess
from pathlib import Path

import pytest

from replay.readers import NothingFound, read, sniff
from replay.readers.find import HEAD
from replay.readers.formats.text_log import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal
from tests.readers.text.printing import put, run_of

LOG = "".join(f"epoch {epoch}: train_loss 0.9 – val_loss {1 / epoch:.4f} ✓\n" for epoch in range(1, 6))
VALUES = {1: 1.0, 2: 0.5, 3: 0.3333, 4: 0.25, 5: 0.2}


@pytest.mark.parametrize(
    "name", ["train.log", "log.txt", "slurm-123.out", "nohup.out", "output", "run.1", "stderr.err"]
)
def test_any_name(tmp_path, name):
    (run,) = read(put(tmp_path / "a" / name, LOG)).runs
    assert curve(run) == VALUES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding(tmp_path, encoding):
    (run,) = read(put(tmp_path / "a.log", LOG.encode(encoding))).runs
    assert curve(run) == VALUES


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_any_line_end(tmp_path, line_end):
    path = put(tmp_path / "a.log", LOG.replace("\n", line_end))
    (run,) = read(path).runs
    assert curve(run) == VALUES


def test_stray_bytes(tmp_path):
    """A disk that was full, another encoding, colours, and a window title."""
    lines = LOG.encode().splitlines(keepends=True)
    junk = [b"\0" * 200, b"caf\xe9 \xff\xfe\n", b"\x1b[32m", b"\x1b]0;training\x07", b"\x1b[0m\x1b[K", b""]
    path = put(
        tmp_path / "a.log", b"".join(part for pair in zip(junk, [*lines, b""], strict=True) for part in pair)
    )
    (run,) = read(path).runs
    assert curve(run) == VALUES


NOT_LOGS = {
    "README": LOG,
    "readme.txt": LOG,
    "CHANGELOG": LOG,
    "METADATA": LOG,
    "notes.md": LOG,
    "train.py": LOG,
    "out.html": LOG,
    "a.txt": f"How to read the output:\n\n```text\n{LOG}```\n\nThe loss falls.\n",
    "b.txt": "def train(step):\n    loss = 0.5\n    print(f'step {step}: val_loss {loss}')\n" * 40,
    "c.txt": "The first epoch 1 had a loss of 0.5 on average, as was said.\n" * 3,
    "d.txt": "Step 1: open the lid\nStep 2: add 0.5 l of water\nStep 3: wait for 10.5 minutes\n",
    "e.txt": "[1] A. Author. Loss: 0.5 of everything. 2003.\n[2] B. Author. Gain. 2004.\n",
    "f.txt": "1.0 2.0 3.0\n" * 500,
    "g.log": "2026-01-01 10:00:00 INFO step 1 of 12: 3.5 s\n2026-01-01 10:00:04 INFO step 2 of 12: 4 s\n",
    "h.log": "iter 1: 200 requests, error rate 0.5\n",
    "i.log": "100%|██████████| 400/400 [00:06<00:00, 65.40it/s]\n" * 4,
    "j.txt": "epoch,val_loss\n1,0.5\n2,0.25\n",
    "k.txt": "version 1.0\n1.1, update 3: fixes 2 errors\nupdate 4: fixes 1 error\nupdate 5: 3 errors\n",
    "m.txt": "".join(f"Round {n}: average score {n}.5, best 9.5\n" for n in range(1, 7)),
    "n.txt": "Round 1 of 10: loss 0.5 points\nRound 2 of 10: loss 0.75 points\n",
    "o.txt": "".join(f"[LibSVM]done, #iter = {n}\nTest accuracy: 0.{n}\n" for n in (81, 92, 83)),
    "p.txt": "".join(f"{name}\nTrain accuracy: 0.95, test accuracy: 0.9{name}.\n" for name in "123"),
    "q.txt": "".join(f"Fold {n}: val accuracy 0.8{n}, val loss 0.5{n}\n" for n in (1, 2, 3)),
    "l.txt": "chapter 1\n\n[0]\tabc\n[1]\tdef: 12\n0:\tlearn to walk\n1:\ttest: no\n",
}


@pytest.mark.parametrize("name", NOT_LOGS)
def test_other_texts_are_no_logs(tmp_path, name):
    path = put(tmp_path / name, NOT_LOGS[name])
    assert not FORMAT.sniff(path, path.read_bytes()[:HEAD])


def test_this_repository_holds_no_other_text_of_a_training():
    root = Path(__file__).parents[3]
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True
    ).stdout.decode()
    known = {
        "tests/readers/text/printed",
        "tests/readers/libraries/catboost-short",
        "tests/readers/libraries/fastai-fine-tune",
        "tests/golden/text",
    }
    found = set()
    for name in listed.split("\0"):
        path = root / name
        # the table of evals in the notebook of the docs is one
        if path.is_file() and path.suffix != ".ipynb" and FORMAT.sniff(path, path.open("rb").read(HEAD)):
            found.add(str(path.parent.relative_to(root)))
    assert found == known


@pytest.mark.slow
def test_texts_that_packages_bring_are_no_logs():
    """Licences, descriptions with output in them, data, type stubs."""
    folder = Path(pytest.__file__).parents[1]
    looked_at, found = 0, []
    for path in sorted(folder.glob("*.dist-info/**/*")) + sorted(folder.glob("*/*.txt")):
        if path.is_file():
            looked_at += 1
            if FORMAT.sniff(path, path.open("rb").read(HEAD)):
                found.append(path)
    assert looked_at > 100
    assert not found


def test_a_log_that_begins_late(tmp_path):
    """Downloads and warnings of 300 KB come before the first entry."""
    noise = "".join(f"Downloading shard {number}: checksum ok, no loss\n" for number in range(8000))
    path = put(tmp_path / "a.log", noise + LOG)
    assert path.stat().st_size > 4 * HEAD
    assert sniff(path) is FORMAT
    assert curve(read(path).runs[0]) == VALUES


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Loading datasets\nStarting training..., iters: 600\n", "MLX-LM"),
        ("  Num Epochs = 3\n  Total optimization steps = 300\n", "a banner of transformers' Trainer"),
        ("[LightGBM] [Info] Total Bins 344\n", "LightGBM"),
        ("E    #       LOSS NER  ENTS_F  SCORE \n", "a table of spaCy"),
    ],
)
def test_a_training_without_values_is_refused_with_what_was_seen(tmp_path, text, seen):
    path = put(tmp_path / "a.log", text)
    expected = (
        f"{path}: {seen} was seen, but no line that holds a metric and says at which step or epoch it was"
        " measured"
    )
    assert refusal(FORMAT, path) == expected
    with pytest.raises(NothingFound) as caught:
        read(tmp_path)
    assert sentences(caught.value.findings) == [expected]


def test_a_log_without_evals_says_how_to_print_them(tmp_path):
    (run,) = read(put(tmp_path / "a.log", "".join(f"step {n}: loss {1 / n:.3f}\n" for n in range(1, 9)))).runs
    assert not len(run)
    assert run.info.eval_hint["tool"] == "text"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: {"log": text + "\n", "stream": "stdout", "time": "2026-01-01T10:00:00Z"},
        lambda text: {"severity": "INFO", "message": text},
        lambda text: {"level": "info", "ts": 1.5, "msg": text},
    ],
)
def test_lines_that_json_wraps(tmp_path, wrap):
    lines = ["begin", *(f"epoch {n}: val_loss 0.{n}5" for n in (1, 2, 3)), "end"]
    text = "".join(json.dumps(wrap(line)) + "\n" for line in lines)
    assert curve(run_of(tmp_path, text, "container-json.log")) == {1: 0.15, 2: 0.25, 3: 0.35}
    (tmp_path / "other.log").write_text(json.dumps(wrap("hello")) + "\n" + json.dumps(wrap("bye")) + "\n")
    with pytest.raises(NothingFound):
        read(tmp_path / "other.log")


def test_a_long_begin_that_says_nothing(tmp_path):
    text = "loading the data\n" * 9000 + LOG
    (run,) = read(put(tmp_path / "train.log", text)).runs
    assert curve(run) == VALUES
