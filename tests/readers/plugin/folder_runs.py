"""A format of somebody else: one folder per run, with one file per metric, as MLflow lays them out."""

from dataclasses import replace

from replay.data.finding import Finding, Kind
from replay.data.info import RunInfo
from replay.readers import Format, Loaded, UnusableLog
from replay.readers.assemble import assemble
from replay.readers.points import PointsBuilder
from replay.readers.series_names import held_out_of


def _sniff_folder(path, names):
    return {"meta.yaml", "metrics"} <= names


def _load(files, run_id):
    (folder,) = files
    points, sources = PointsBuilder(), sorted((folder / "metrics").iterdir())
    for path in sources:
        for line in path.read_text().splitlines():
            _, value, step = line.split()
            points.add(float(step), {path.name: float(value)})
    series = points.points()
    if not series:
        raise UnusableLog(Finding(Kind.OTHER, log=str(folder), facts={"text": f"{folder}: no metrics"}))
    info = RunInfo(format=FORMAT.name, sources=tuple(sources))
    notes = [Finding(Kind.OTHER, facts={"text": f"{folder.name}: times are left out"})]
    return Loaded(assemble(run_id, series, held_out=held_out_of(series), info=info), notes)


FORMAT = Format(
    name="folder-runs",
    summary="one folder per run, one file per metric",
    files="meta.yaml",
    sniff_folder=_sniff_folder,
    load=_load,
)

SECOND_CSV = replace(FORMAT, name="csv")


def _stumble(path, head):
    raise ZeroDivisionError("by zero")


CLUMSY = Format(name="clumsy", summary="a format with a defect", files="*.clumsy", sniff=_stumble, load=_load)
