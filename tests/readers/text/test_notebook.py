"""The outputs of notebooks: what their cells printed, and the tables that they show."""

import json

import pytest

from replay.errors import InputError
from replay.readers import read, sniff
from replay.readers.formats.text_log import FORMAT
from tests.readers.columns import curve

LOSSES = {10: 0.75, 20: 0.5, 30: 0.625}


def shown(markup):
    return {"output_type": "display_data", "data": {"text/html": markup, "text/plain": ["<HTML>"]}}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}


def put(tmp_path, *cells):
    code = [{"cell_type": "code", "source": ["fit()"], "outputs": list(outputs)} for outputs in cells]
    notes = {"cell_type": "markdown", "source": ["epoch 1: val_loss 0.5\\nepoch 2: val_loss 0.25"]}
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({"cells": [notes, *code], "nbformat": 4}, indent=1))
    return path


def test_the_table_of_transformers(tmp_path):
    head = "".join(f"<th>{name}</th>\n" for name in ("Step", "Training Loss", "Validation Loss", "F1"))
    rows = "".join(
        f"<tr>\n<td>{step}</td>\n<td>No log</td>\n<td>{loss}</td><td>0.5</td></tr>"
        for step, loss in LOSSES.items()
    )
    markup = (
        "<div><progress value='30' max='30'></progress>[30/30 00:12, Epoch 3/3]</div>"
        f"<table border='1' class='dataframe'><thead><tr style='text-align: left;'>{head}</tr></thead>"
        f"{rows}</table>"
    )
    path = put(tmp_path, [printed("Map: 100%\n"), shown(markup.splitlines(keepends=True))])
    assert sniff(path) is FORMAT
    (run,) = read(path).runs
    assert curve(run, "validation_loss") == LOSSES
    assert curve(run, "F1") == dict.fromkeys(LOSSES, 0.5)


def test_printed_lines_of_several_cells(tmp_path):
    texts = ["".join(f"epoch {n}: val_loss {at}.{n}\n" for n in (1, 2, 3)) for at in (1, 2)]
    runs = read(put(tmp_path, [printed(texts[0])], [printed("done"), printed(texts[1])])).runs
    assert [curve(run) for run in runs] == [{1: 1.1, 2: 1.2, 3: 1.3}, {1: 2.1, 2: 2.2, 3: 2.3}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"cells": 3}',
        '{"cells": [3, {"outputs": 4}, {"outputs": [5, {"text": 6}, {"data": 7}]}]}',
        '{"cells": [{"outputs": [{"data": {"text/html": [8]}}]}]',
        '{"cells": [{"source": ["epoch 1: val_loss 0.5\\n", "epoch 2: val_loss 0.25\\n"]}]}',
    ],
)
def test_no_training(tmp_path, text):
    path = tmp_path / "notes.ipynb"
    path.write_text(text)
    with pytest.raises(InputError):
        read(tmp_path)


def frame(index, *rows):
    """A DataFrame as a notebook keeps it."""
    tagged = [[f"<td>{cell}</td>" for cell in row] for row in rows]
    body = "".join(f"<tr>{cells[0].replace('td', 'th')}{''.join(cells[1:])}</tr>" for cells in tagged)
    style = "<div>\n<style scoped>\n .dataframe tbody tr th { vertical-align: top; }\n</style>"
    table = f"<table border='1' class='dataframe'><thead>{index}</thead><tbody>{body}</tbody></table>"
    return shown(style + table)


NAMES = "<th>Training Loss</th><th>Validation Loss</th></tr>"


@pytest.mark.parametrize(
    ("head", "numbered"),
    [
        (f"<tr><th></th><th>Step</th>{NAMES}", True),
        (f"<tr><th></th>{NAMES}<tr><th>Step</th><th></th><th></th></tr>", False),
    ],
)
def test_tables_of_pandas(tmp_path, head, numbered):
    rows = [(*((at,) * numbered), step, "NaN", loss) for at, (step, loss) in enumerate(LOSSES.items())]
    (run,) = read(put(tmp_path, [frame(head, *rows)])).runs
    assert curve(run, "validation_loss") == LOSSES
    assert not run.train


def test_the_text_of_a_table_of_pandas(tmp_path):
    rows = "".join(f"{at}  {step}  0.5  {loss}\n" for at, (step, loss) in enumerate(LOSSES.items()))
    plain = {
        "output_type": "execute_result",
        "data": {"text/plain": f"  Step  Training Loss  Validation Loss\n{rows}"},
    }
    (run,) = read(put(tmp_path, [plain])).runs
    assert curve(run, "validation_loss") == LOSSES
    assert run.train["training_loss"].value.tolist() == [0.5] * 3


def test_the_evaluation_at_the_end_of_a_notebook_is_no_run(tmp_path):
    head = "<tr><th>Epoch</th><th>Training Loss</th><th>Validation Loss</th></tr>"
    rows = "".join(
        f"<tr><td>{n}</td><td>0.5</td><td>{loss}</td></tr>" for n, loss in enumerate(LOSSES.values(), 1)
    )
    last = "{'eval_loss': 0.5,\n 'eval_runtime': 63.8,\n 'eval_steps_per_second': 48.9,\n 'epoch': 3.0}"
    shown_last = {"output_type": "execute_result", "data": {"text/plain": last.splitlines(keepends=True)}}
    (run,) = read(put(tmp_path, [shown(f"<table>{head}{rows}</table>")], [shown_last])).runs
    assert curve(run, "validation_loss") == dict(enumerate(LOSSES.values(), 1))


def test_two_phases_of_fastai_and_a_table_that_is_shown_again(tmp_path):
    def table(*losses):
        rows = "".join(f"<tr><td>{n}</td><td>0.5</td><td>{loss}</td></tr>" for n, loss in enumerate(losses))
        return shown(f"<table><tr><th>epoch</th><th>train_loss</th><th>valid_loss</th></tr>{rows}</table>")

    outputs = [table(0.875), table(0.75), table(0.75, 0.5), table(0.75, 0.5, 0.25)]
    runs = read(put(tmp_path, outputs)).runs
    assert [curve(run, "valid_loss") for run in runs] == [{1: 0.875}, {1: 0.75, 2: 0.5, 3: 0.25}]
