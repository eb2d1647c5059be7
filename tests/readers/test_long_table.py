"""Tables with one value per row."""

import pytest

from replay.readers import read, sniff
from replay.readers.formats.csv_log import FORMAT
from replay.report.sentences import sentences
from tests.readers.columns import curve


def put(folder, text, name="metrics.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_what_the_page_of_mlflow_exports(tmp_path):
    rows = ["Run,Run ID,metric,step,timestamp,value"]
    for run, shift in (("calm-owl-1", 0.0), ("bold-fox-2", 0.25)):
        for step in range(50, 350, 50):
            at = 1_760_000_000_000 + 1000 * step
            rows.append(f"{run},{hash(run) % 99}{run},val_loss,{step},{at},{30 / step + shift}")
        rows += [f"{run},{hash(run) % 99}{run},loss,{step},{at},{20 / step}" for step in range(50, 350, 50)]
    path = put(tmp_path, "\n".join(rows) + "\n")
    assert sniff(path) is FORMAT
    runs = read(tmp_path).runs
    assert len(runs) == 2
    for run, shift in zip(sorted(runs, key=lambda run: -run.id.count("owl")), (0.0, 0.25), strict=True):
        assert curve(run) == {step: 30 / step + shift for step in range(50, 350, 50)}
        assert run.train["loss"].value.tolist() == [20 / step for step in range(50, 350, 50)]
        assert run.columns["train_loss"].present.all()
        assert run.columns["wall_time"].values[0] == 1_760_000_050.0


@pytest.mark.parametrize("header", ["step,metric,value", "epoch;variable;value", "key\tvalue\titeration"])
def test_other_headers(tmp_path, header):
    sign = next(sign for sign in ",;\t" if sign in header)
    names = header.split(sign)
    rows = []
    for place in range(1, 6):
        for name, value in (("train_loss", 2 / place), ("val_loss", 3 / place)):
            cells = {"metric": name, "variable": name, "key": name, "value": str(value)}
            rows.append(sign.join(cells.get(column, str(place)) for column in names))
    put(tmp_path, "\n".join([header, *rows]) + "\n")
    (run,) = read(tmp_path).runs
    assert curve(run) == {place: 3 / place for place in range(1, 6)}
    assert run.info.step_unit == ("epoch" if "epoch" in header else "step")


def test_a_column_of_sets(tmp_path):
    rows = [f"{step},{part},loss,{step / 9}" for step in range(1, 5) for part in ("train", "valid")]
    put(tmp_path, "step,split,metric,value\n" + "\n".join(rows) + "\n")
    (run,) = read(tmp_path).runs
    assert curve(run, "valid/loss") == {step: step / 9 for step in range(1, 5)}


def test_a_row_that_is_cut_off(tmp_path):
    put(tmp_path, "step,metric,value\n1,val_loss,0.5\n2,val_loss,0.4\n3,val_lo")
    found = read(tmp_path)
    assert len(found.runs[0]) == 2
    assert sentences(found.findings)[0].endswith("its last row is cut off; it is left out")


@pytest.mark.parametrize(
    "text",
    ["name,value,step\nAda,36,1\n", "metric,value\nval_loss,0.5\n", "key,value,epoch\nbatch_size,8,1\n"],
)
def test_other_tables(tmp_path, text):
    assert sniff(put(tmp_path, text)) is not FORMAT
