"""The notebook of the documentation shows what its cells print today."""

import nbformat

from tests.notebook import PATH, comparable, run


def test_the_notebook_is_fresh_and_small(monkeypatch):
    """`python -m tests.notebook` writes it anew."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    written = nbformat.read(PATH, as_version=4)
    nbformat.validate(written)
    assert comparable(written) == comparable(run())
    images = [
        output for cell in written.cells for output in cell.get("outputs", ()) if "image/png" in str(output)
    ]
    assert len(images) == 1
    assert PATH.stat().st_size < 40_000
