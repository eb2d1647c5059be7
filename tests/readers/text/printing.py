"""Texts for the tests of the text format: what tools print, with values of our own."""

from replay.readers import sniff
from replay.readers.formats.text_log import FORMAT
from replay.report.sentences import sentences


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def runs_of(tmp_path, text, name="slurm-7.out"):
    """The runs of a text, and what is reported of it."""
    path = put(tmp_path / name, text)
    assert sniff(path) is FORMAT
    runs, findings = FORMAT.load([path], "run")
    return runs, sentences(findings)


def run_of(tmp_path, text, name="slurm-7.out"):
    """The only run of a text of which there is nothing to report."""
    (run,), problems = runs_of(tmp_path, text, name)
    assert not problems
    return run


def bar(done, total, before="", behind="", width=10):
    """tqdm's progress bar."""
    full = int(width * done / total)
    shown = (
        f"{100 * done // total:3}%|{'█' * full}{' ' * (width - full)}| {done}/{total} [00:07<01:03,  2.86it/s"
    )
    return f"\r{before}{shown}{behind}]"
