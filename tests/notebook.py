"""The notebook of the documentation: `python -m tests.notebook` runs it and writes it with its outputs.

The cells stand here, so that a change of them can be read. `tests/test_notebook.py` runs them again and
compares.
"""

import copy
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "notebook.ipynb"

#: The cells, each below a line that says what it is.
CELLS = """\
%% markdown
# Stop policies in a notebook

This notebook asks the 26 sample runs which stop policy would have saved how much compute, and what it would
have cost. Run it from the root of a clone of the repository, after `pip install .`.
%% code
import replay

runs = replay.load("sample_logs")
len(runs), runs[0].id, runs[0].metrics[:3]
%% markdown
A run has one row per eval:
%% code
runs[0].evals[["step", "epoch", "eval_loss", "test_loss"]].head(3).round(3)
%% markdown
`simulate` gives one row per run and policy. `saved` is the share of the compute saved, and `lost` the share
of the run's improvement that is given up:
%% code
outcomes = replay.simulate(runs, ["patience=1", "patience=3"], monitor="eval_loss")
outcomes.groupby("policy")[["saved", "lost"]].mean().round(3)
%% markdown
`choose_policy` searches a grid of policies. It says which one to use, and how far that can be trusted:
%% code
import warnings

warnings.simplefilter("ignore", replay.ReplayWarning)  # the one above would be repeated
choice = replay.choose_policy(runs, max_lost=0.05, monitor="eval_loss")
choice
%% markdown
A plot of many policies. Each point is one policy; the best ones are at the bottom right:
%% code
import matplotlib.pyplot as plt

policies = [f"patience={p},min_delta={d}" for p in range(1, 11) for d in (0, 0.001, 0.01)]
table = replay.sweep(runs, policies, monitor="eval_loss")
figure, axes = plt.subplots(figsize=(4.5, 3), dpi=60)
axes.scatter(100 * table.saved_mean, 100 * table.lost_mean, s=12)
axes.axhline(5, color="0.6", linestyle=":")
axes.set(xlabel="saved, %", ylabel="lost, %")
figure.tight_layout()
"""


def run():
    """The notebook with its outputs."""
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for number, part in enumerate(CELLS.split("%% ")[1:]):
        kind, source = part.split("\n", 1)
        make = new_code_cell if kind == "code" else new_markdown_cell
        cell = make(source.rstrip(), id=f"cell-{number}")
        notebook.cells.append(cell)
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(ROOT)}}).execute()
    notebook.metadata.pop("language_info", None)  # it names the version of Python
    for cell in notebook.cells:
        cell.metadata.clear()  # the times at which it ran
        for output in cell.get("outputs", ()):
            if "text" in output:  # a warning begins with a temporary file's name
                output["text"] = re.sub(r"^\S*ipykernel\S*: ", "", output["text"], flags=re.MULTILINE)
    return notebook


def comparable(notebook):
    """Sources and outputs as they must agree: of an image its kind, since fonts differ between machines, and
    of a table its HTML, which has rounded figures."""
    plain = copy.deepcopy(notebook)
    for cell in plain.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "text/html" in data:
                del data["text/plain"]
            for kind in data:
                if kind.startswith("image/"):
                    data[kind] = "an image"
    return plain.cells


if __name__ == "__main__":
    nbformat.write(run(), PATH)
