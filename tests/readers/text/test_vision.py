"""The terminal of Detectron2, and the tables of AllenNLP."""

from tests.readers.columns import curve
from tests.readers.text.printing import run_of

LOG = "[03/01 10:00:00 d2.{}]: "


def detectron2():
    """An evaluation comes before the line of its iteration, the last one behind it."""
    events, pasted = LOG.format("utils.events"), LOG.format("evaluation.testing") + "copypaste: "
    losses = " eta: {}  iter: {}  total_loss: {}  loss_cls: 0.5  time: 0.3  lr: 0.00025  max_mem: 2000M\n"
    parts = []
    for n, precision in ((1, 30.25), (2, 40.5), (3, 39.75)):
        parts.append(events + losses.format("0:10:00", 100 * n - 21, n + 0.5))
        last = events + losses.format("1 day, 0:10:00", 100 * n - 1, n + 0.25)
        scores = "".join(
            f"{pasted}Task: {task}\n{pasted}AP,AP50,APs\n{pasted}{precision + more:.4f},60.5,nan\n"
            for task, more in (("bbox", 0), ("segm", 1))
        )
        parts += [last, scores] if n == 3 else [scores, last]
    return "".join(parts)


def test_detectron2(tmp_path):
    run = run_of(tmp_path, detectron2())
    assert curve(run, "bbox/AP") == {99: 30.25, 199: 40.5, 299: 39.75}
    assert curve(run, "segm/AP") == {99: 31.25, 199: 41.5, 299: 40.75}
    assert run.train["total_loss"].step.tolist() == [79, 99, 179, 199, 279, 299]


def test_allennlp(tmp_path):
    log = "2026-07-24 15:20:56,426 - INFO - allennlp.training.{} - {}\n".format
    parts = []
    for n, loss in enumerate((0.75, 0.5, 0.625)):
        parts += [
            log("trainer", f"Epoch {n}/3"),
            "accuracy: 0.9, loss: 0.2 ||: 100%|###| 9/9 [00:01<00:00, 9it/s]\n",
        ]
        rows = ["                     Training |  Validation", "gpu_0_memory_MB | 11890.000  |       N/A"]
        rows += [f"loss            |     1.084  |     {loss}", f"accuracy        |     0.5    |     0.{n}25"]
        parts += [log("console_logger", row) for row in rows]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "validation_loss") == {1: 0.75, 2: 0.5, 3: 0.625}
    assert curve(run, "validation_accuracy") == {1: 0.025, 2: 0.125, 3: 0.225}
    assert run.train["training_loss"].value.tolist() == [1.084] * 3
    assert run.info.planned_epochs == 4
