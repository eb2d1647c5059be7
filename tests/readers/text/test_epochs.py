"""Lines of one's own loop, and the tables and lines of spaCy, fairseq, OpenNMT and mmengine."""

import pytest

from tests.readers.columns import curve
from tests.readers.text.printing import run_of, runs_of


@pytest.mark.parametrize(
    "line",
    [
        "epoch {epoch}: val_loss {loss}",
        "Epoch {epoch}, train_loss: 0.5, val_loss: {loss}",
        "[epoch {epoch}/9] loss=0.50 val_loss={loss}",
        "Epoch: {epoch} | Train Loss: 0.500 | Val. Loss: {loss}",
        "Epoch {epoch}/9 - 2s - loss: 0.41 - val_loss: {loss}",
        "EPOCH {epoch} done: loss 0.5 - lr 0.1 - dev loss {loss} - bad epochs 0",
        "Epoch [{epoch}/9], Loss: 0.5000, Val Loss: {loss}, Val Accuracy: 81.25%",
        "2026-03-01 10:00:00,123 - train.py - INFO - Epoch {epoch} | val_loss: {loss} (best: 0.25)",
        "[rank0]: epoch={epoch} train/loss=0.5 val/loss={loss}",
        "INFO:__main__:Epoch {epoch} finished. Validation loss: {loss}.",
        "Epoch {epoch}\n---------\ntrain loss: 0.5\nval loss: {loss}",
        "Epoch {epoch}/9\n----------\ntrain Loss: 0.5000 Acc: 0.7100\nval Loss: {loss} Acc: 0.6400\n",
        "Epoch {epoch}/9 - Train Loss: 0.5, Train Acc: 7%\nEpoch {epoch}/9 - Val Loss: {loss}, Val Acc: 6%",
        "Epoch {epoch} (train): loss=0.5, f1=0.7\nEpoch {epoch} (valid): loss={loss}, f1=0.6",
        "INFO: {epoch}epoch results: [train] loss=0.5, acc=0.7, [valid] loss={loss}, acc=0.6, total_count=10",
        "Epoch {epoch}, batch 0, loss[loss=0.5]\nEpoch {epoch}, validation: loss={loss}, over 100 frames.",
        "epoch {epoch}: {{'train_loss': 0.5, 'val_loss': {loss}, 'val_f1': 0.6}}",
        "[  {epoch}/99] train_loss: 0.50000 valid_loss: {loss}\nValidation loss decreased (inf --> {loss}).",
        "Epoch {epoch}/9: 100%|####| 50/50 [00:03<00:00, 14.1it/s, loss=0.5]\nval_loss: {loss}, val_acc: 0.6",
        "Epoch: {epoch} - loss (train): 0.5, loss (val): {loss}",
        "Epoch {epoch} CV info cv_loss {loss}",
        "Epoch: {epoch}, Steps: 264 | Train Loss: 0.45 Vali Loss: {loss}\ntest 2785",
        "Epoch {epoch}/9 | Train Loss: 0.69 | Val Loss: {loss} | Val Precision: 0.51, Recall: 0.5, F1: 0.5",
        "Epoch {epoch} | train loss 0.9 | held-out loss {loss} | lr 0.001",
        "***** Evaluating perplexity, Epoch {epoch}/9 *****\nppl: 4.5, loss: {loss}",
        "[rank0]: epoch {epoch}: val_loss {loss}\n[rank0]:    ",
        "Validation - Epoch: {epoch}, Loss: {loss}, LR: 0.001\nMinimum validation loss: 0.125",
        "Epoch {epoch}: val_loss {loss}, best val loss so far: 0.125, previous best test loss 0.0625",
        "Number of validation samples: 9\nEpoch {epoch}: Train Loss: 0.5 Acc: 1 | Val Loss: {loss} Acc: 0.6",
        "Epoch {epoch}: tr_loss = 0.5, va_loss = {loss}",
        "EPOCH {epoch}:\n  batch 1000 loss: 0.6\nLOSS train 0.5 valid {loss}",
        "epoch {epoch}/9 | loss train 0.50000 val {loss} | acc train 0.8 val 0.7 | 12 samples in 3s",
        "epoch: {epoch}, metrics: {{'Loss': {loss}}}",
        "[2026-01-02 10:00:00,123] [INFO] Val epoch {epoch}, loss: {loss}",
        "Epoch {epoch} trainloss 0.5 valloss {loss}",
        (
            "2026-01-02 10:00:00,123 - trainer - INFO -     epoch          : {epoch}\n"
            "2026-01-02 10:00:00,123 - trainer - INFO -     loss           : 0.5\n"
            "2026-01-02 10:00:00,123 - trainer - INFO -     val_loss       : {loss}"
        ),
        (
            "2026-01-02 10:00:00.123 | INFO     | trainer:run:137 - Validation Results - Epoch: {epoch}\n"
            "2026-01-02 10:00:00.123 | INFO     | trainer:run:140 - loss: {loss}\n"
            "2026-01-02 10:00:00.123 | INFO     | trainer:run:142 - mAP: 51.2%"
        ),
        "Epoch {epoch}\nValidation:\nacc: 0.5\nloss: {loss}\nTraining:\nloss: 0.25",
        "Epoch {epoch}: Validation phase completed. Avg Val Loss: {loss}",
        "epoch {epoch} val loss {loss}, last val loss 0.5",
        "第{epoch}轮 训练损失：0.5，验证损失：{loss}，验证集准确率：0.75",
        "Epoch {epoch}/9 训练损失: 0.5 验证损失: {loss}",
        "#033[34mEpoch {epoch}: train_loss=0.5, val_loss={loss}#033[0m",
        "Epoch {epoch}: val_loss {loss}\nEpoch {epoch}: val_loss improved from 0.875 to {loss}, saving",
        "Epoch [{epoch}/9], Loss: 0.5\nTest loss: {loss}\nTest Accuracy of the model on the test data: 97.2",
        "e: {epoch}, train_loss: 0.49320010157860816, dev_loss: {loss}, dev_acc: 0.5",
        "Ep {epoch:02d}/30 | train_loss 0.5 | val_loss {loss} | macro_f1 0.5 | 10.1s",
        "[Ep {epoch}/30] loss=0.5 val_loss={loss}",
        "Round {epoch}: train loss 0.5, test loss {loss}, test acc 0.5",
        "---- Communication round: {epoch}/50 ----\nAverage train loss: 0.5\nTest loss: {loss}",
        "**Epoch {epoch}/20** - Train Loss: **0.5**, Val Loss: **{loss}**",
        "epoch={epoch} loss=0.5(val={loss}) acc=0.6(val=0.5)",
        "[E={epoch}] Loss (Train/Val) = 0.4100 / {loss} | Acc (Train/Val) = 0.5 / 0.6",
        "--- Epoch {epoch} ---\nTrain/Val Loss: 0.5/{loss} -- Train/Val AUC: 0.9/0.8 -- LR=0.000100",
        "Epoch {epoch}/5\nTraining...\nloss: 0.5\nEvaluating...\naccuracy: 0.5\nloss: {loss}",
        "Epoch: {epoch:02} | Time: 0m 15s\n\tTrain Loss: 0.650 | Train Acc: 60.12%\n\t Val. Loss: {loss}",
    ],
)
def test_epochs(tmp_path, line):
    values = {1: 0.75, 2: 0.5, 3: 0.625}
    run = run_of(
        tmp_path, "".join(line.format(epoch=epoch, loss=loss) + "\n" for epoch, loss in values.items())
    )
    (name,) = [name for name in run.metrics if name.lower().endswith("loss")]
    assert curve(run, name) == values
    assert run.info.step_unit == "epoch"


def test_evals_that_count_finished_epochs(tmp_path):
    """OpenCLIP counts its epochs from 0, and names the next one at an evaluation."""
    log = "2026-06-29,16:14:00 | INFO | "
    parts = []
    for n, loss in enumerate((0.75, 0.5, 0.625)):
        parts += [
            f"{log}Start epoch {n}\n",
            f"{log}Train Epoch: {n} [99/100 (99%)] Loss: 0.5 (0.4) LR: 0.1\n",
        ]
        parts += [f"{log}Eval Epoch: {n + 1} [{done} / 48]\tClip Loss: 0.9\n" for done in (6, 48)]
        parts.append(
            f"{log}Eval Epoch: {n + 1} image_to_text_R@1: 0.2\tclip_val_loss: {loss}\tepoch: {n + 1}.0\n"
        )
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "clip_val_loss") == {1: 0.75, 2: 0.5, 3: 0.625}
    assert run.metrics == ("clip_val_loss",)
    assert run.train["Loss"].step.tolist() == pytest.approx([0.99, 1.99, 2.99])


def test_the_last_batch_of_an_evaluation_counts_where_no_line_sums_it_up(tmp_path):
    parts = []
    for n, loss in enumerate((0.75, 0.5, 0.625), 1):
        parts.append(f"Train Epoch: {n} [50/50] loss 0.5\n")
        parts += [f"Val Epoch: {n} [{done}/20] loss {loss + 20 - done}\n" for done in (10, 20)]
    assert curve(run_of(tmp_path, "".join(parts))) == {1: 0.75, 2: 0.5, 3: 0.625}


def test_steps_of_each_set_begin_anew_with_the_epoch(tmp_path):
    """As DeepSpeech prints them."""
    line = "Epoch {} | {} | Elapsed Time: 0:00:59 | Steps: {} | Loss: {}\n".format
    parts = [
        line(n, "  Training", 189, 55.5) + line(n, "Validation", 10, loss)
        for n, loss in enumerate((0.75, 0.5, 0.625))
    ]
    assert curve(run_of(tmp_path, "".join(parts)), "validation_Loss") == {1: 0.75, 2: 0.5, 3: 0.625}


def test_the_number_of_a_set_is_no_value(tmp_path):
    line = "(Epoch {}) TRAIN LOSS:0.25 CER:6.5%\nVALID\nVALID SET 0 LOSS:0.{}5 CER:5.5%\n"
    run = run_of(tmp_path, "".join(line.format(n, n) for n in (1, 2, 3)))
    assert run.metrics == ("valid_LOSS", "valid_CER")


@pytest.mark.parametrize(
    "line",
    [
        "step {step}: loss 0.5, val_loss {loss}",
        "[{step}/900] iteration {step} train loss 0.5 eval loss {loss}",
        "global_step=     {step} eval/loss={loss}",
        "Step: {step}, Validation Loss: {loss}",
        "Step {step}: train_loss=0.5\nValidation at step {step}: loss={loss}, acc=0.6",
        " iteration {step}/ 900 | lm loss: 5.0E-01 |\n validation loss at iteration {step} | lm loss: {loss}",
        (
            "I0529 17:21:44.552723 25389 solver.cpp:270] Iteration {step}, Testing net (#0)\n"
            "I0529 17:21:44.554721 25389 solver.cpp:319]     Test net output #1: loss = {loss} (* 1 = 1 loss)"
        ),
        "iter {step} | train loss 0.50 | val loss {loss} | lr 3e-4 | 120 ms",
        "step 0.{step:03}k: val loss {loss}",
        "[rank0]:[titan] 2026-01-01 10:00:00,123 - root - INFO - validate step: {step}  loss:  {loss}  ",
        "[07/01/26 13:03:39] INFO   fairseq2.metrics - Validation Metrics (step {step}) - Loss: {loss}",
        "step 0{step}/01000 (10.00%) | loss: 0.5 | epoch: 1\nStep 0{step} | Validation loss: {loss}",
        "| Eval   {step} at step {step} | time: 19.50s | valid loss {loss}",
        "[INFO trees.cc:1593]   num-trees:{step} train-loss:0.5 valid-loss:{loss}",
        "iteration 19/99 | global_step: {step} | val_loss: {loss}\nValidation: iteration 20/20",
        "Step {step:.0e}/1K | val_loss: {loss}",
        "step 0_{step}: train loss 0.5, val loss {loss}",
        "It {step}: Train Loss 0.5, Test Loss {loss}",
        "step {step} loss 0.5 elapsed=10s\n  -- eval loss at step {step}: {loss} --",
        "2026-01-01 10:00:00 | INFO | Eval loss at step {step}: {loss}",
        "Training loss at step {step}: 0.5\nVal loss at step {step}: {loss}",
        "INFO  batch   {step}: trn: loss = 1.5e+00, lr = 1.00e-03\nINFO  batch   {step}: val: loss = {loss}",
    ],
)
def test_steps(tmp_path, line):
    values = {100: 0.75, 200: 0.5, 300: 0.625}
    run = run_of(tmp_path, "".join(line.format(step=step, loss=loss) + "\n" for step, loss in values.items()))
    (name,) = [name for name in run.metrics if name.lower().endswith("loss")]
    assert curve(run, name) == values
    assert run.info.step_unit == "step"


def test_epochs_from_0_are_finished_epochs(tmp_path):
    lines = [f"Epoch {epoch}: train_loss 0.9, val_loss {1 / (epoch + 1)}\n" for epoch in range(4)]
    assert curve(run_of(tmp_path, "".join(lines))) == {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25}


def test_the_test_lines_of_a_script_of_pytorch(tmp_path):
    """Train lines say how far the epoch is, in samples; the line of the test names no epoch."""
    parts = []
    for epoch in (1, 2, 3):
        parts += [
            f"Train Epoch: {epoch} [{done}/600 ({done // 6}%)]\tLoss: {1 / (done + 1):.4f}\n"
            for done in (0, 300)
        ]
        parts.append(
            f"\nTest set: Average loss: {0.3 / epoch:.4f}, Accuracy: {90 + epoch}/100 ({90 + epoch}%)\n\n"
        )
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "test_loss") == {1: 0.3, 2: 0.15, 3: 0.1}
    assert curve(run, "test_Accuracy") == {1: 0.91, 2: 0.92, 3: 0.93}
    assert run.train["Loss"].step.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


def test_batches_of_an_epoch_are_no_steps(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        parts += [f"epoch {epoch} step {step} loss {1 / step}\n" for step in (10, 20, 40)]
        parts.append(f"epoch {epoch} val_loss {1 / epoch}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run) == {1: 1.0, 2: 0.5, 3: 1 / 3}
    assert run.train["loss"].step[:3].tolist() == [0.25, 0.5, 1.0]


def test_steps_that_go_on_over_the_epochs(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        parts += [f"epoch {epoch} step {40 * (epoch - 1) + step} loss {1 / step}\n" for step in (10, 40)]
        parts.append(f"epoch {epoch} val_loss {1 / epoch}\n")
    assert curve(run_of(tmp_path, "".join(parts))) == {40: 1.0, 80: 0.5, 120: 1 / 3}


def test_each_training_is_a_run_and_a_resume_is_none(tmp_path):
    line = "epoch {}: val_loss {}\n".format
    anew = "".join(line(epoch, 0.5 + 0.1 * fold + epoch / 100) for fold in range(2) for epoch in (1, 2, 3, 4))
    runs, _ = runs_of(tmp_path, anew)
    assert [run.steps.tolist() for run in runs] == [[1, 2, 3, 4]] * 2
    resumed = "".join(line(epoch, epoch / 4) for epoch in (1, 2, 3, 4)) + "".join(
        line(n, n / 8) for n in (3, 4, 5)
    )
    assert curve(run_of(tmp_path, resumed)) == {1: 0.25, 2: 0.5, 3: 0.375, 4: 0.5, 5: 0.625}


@pytest.mark.parametrize(
    "prefix",
    ["[rank{}]: ", "[default{}]:", "{}: ", "[1,{}]<stdout>:", "(RayTrainWorker pid=12{}, ip=10.0.0.{}) "],
)
def test_processes_that_print_the_same(tmp_path, prefix):
    """All of them measure something of their own; the first is read."""
    lines = []
    for epoch in (1, 2, 3, 4):
        for rank in (1, 0, 2):
            begin = prefix.format(rank, rank)
            lines.append(f"{begin}epoch {epoch}: val_loss {epoch / 4 + rank}\n")
    run = run_of(tmp_path, "".join(lines))
    assert curve(run) == {epoch: epoch / 4 for epoch in (1, 2, 3, 4)}


def test_numbered_lines_are_no_processes(tmp_path):
    lines = [f"{number}: epoch {number} val_loss {1 / number}\n" for number in (1, 2, 3, 4)]
    assert len(run_of(tmp_path, "".join(lines))) == 4


def test_the_best_value_is_no_metric(tmp_path):
    lines = [
        f"epoch {n}: val_loss {1 / n:.3f} best_val_loss {1 / n:.3f} best loss: 0.1 eta 0:12:01\n"
        for n in (1, 2, 3)
    ]
    assert run_of(tmp_path, "".join(lines)).metrics == ("val_loss",)


FAIRSEQ = """2026-01-02 10:00:00 | INFO | fairseq_cli.train | task: translation
epoch 001 | loss 9.1 | nll_loss 8.5 | ppl 360.2 | wps 3000 | num_updates 200 | lr 0.0005 | wall 60
epoch 001 | valid on 'valid' subset | loss 8.25 | nll_loss 7.5 | ppl 181.0 | num_updates 200
epoch 002 | loss 7.1 | nll_loss 6.5 | ppl 90.5 | wps 3000 | num_updates 400 | lr 0.0005 | wall 120
epoch 002 | valid on 'valid' subset | loss 6.5 | nll_loss 5.5 | ppl 45.25 | num_updates 400 | best_loss 6.5
2026-01-02 10:09:00 | INFO | train | early stop since valid performance hasn't improved for last 3 runs
"""


def test_fairseq(tmp_path):
    run = run_of(tmp_path, FAIRSEQ)
    assert curve(run, "valid/loss") == {200: 8.25, 400: 6.5}
    assert curve(run, "epoch") == {200: 1, 400: 2}
    assert run.info.stopped_by == "early stopping (3 validations)"


def test_opennmt(tmp_path):
    parts = []
    for step in (50, 100, 150):
        parts.append(
            f"[2026-01-02 10:00:00 INFO] Step {step}/ 2000; acc: 12.5; ppl: 450.5; xent: 6.1; lr: 0.001;\n"
        )
        if step > 50:
            parts.append(f"[2026-01-02 10:00:01,123 INFO] Validation perplexity: {step / 2}\n")
            parts.append(f"[2026-01-02 10:00:01,123 INFO] Validation accuracy: {step / 4}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "valid/perplexity") == {100: 50, 150: 75}
    assert run.info.planned_steps == 2000


def test_mmengine(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        for done in (10, 20, 25):
            parts.append(
                f"mmengine - INFO - Epoch(train)   [{epoch}][{done}/25]  lr: 1.0e-04  eta: 0:10:00  "
                f"time: 0.5  loss: 0.5{epoch}\n"
            )
        parts.append(f"mmengine - INFO - Epoch(val)   [{epoch}][5/10]    eta: 0:00:01  time: 0.2\n")
        parts.append(
            f"mmengine - INFO - Epoch(val) [{epoch}][10/10]    coco/bbox_mAP: 0.2{epoch}0  time: 0.2\n"
        )
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "coco/bbox_mAP") == {25: 0.21, 50: 0.22, 75: 0.23}
    assert curve(run, "train_loss") == pytest.approx({25: 0.51, 50: 0.52, 75: 0.53})


def test_the_summary_of_an_evaluation_counts_and_not_its_batches(tmp_path):
    """As the ImageNet example of PyTorch prints it."""
    parts = []
    for epoch in (0, 1, 2):
        parts += [
            f"Epoch: [{epoch}][{at}/40]\tLoss 2.5000e+00 (2.6000e+00)\tAcc@1  12.50 ( 13.50)\n"
            for at in (0, 20)
        ]
        parts += [
            f"Test: [ {at}/16]\tLoss 3.5000e+00 (3.6000e+00)\tAcc@1   1.50 (  2.50)\n" for at in (0, 10)
        ]
        parts.append(f" * Acc@1 {20 + epoch}.123 Acc@5 {40 + epoch}.456\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "test_Acc@1") == {1: 20.123, 2: 21.123, 3: 22.123}
    assert curve(run, "test_Acc@5") == {1: 40.456, 2: 41.456, 3: 42.456}


def test_the_current_metric_of_paddle_is_an_eval_and_the_best_one_is_not(tmp_path):
    parts = []
    for epoch in (1, 2, 3):
        parts.append(
            f"[2026/05/01 12:00:00] ppocr INFO: epoch: [{epoch}/9], global_step: {10 * epoch}, loss: 0.5\n"
        )
        parts.append(f"[2026/05/01 12:00:30] ppocr INFO: cur metric, acc: 0.{epoch}25, fps: 100.5\n")
        parts.append("[2026/05/01 12:00:30] ppocr INFO: best metric, acc: 0.925, fps: 100.5\n")
    assert curve(run_of(tmp_path, "".join(parts)), "eval_acc") == {10: 0.125, 20: 0.225, 30: 0.325}


def test_the_plan_is_known_from_a_line_without_values(tmp_path):
    run = run_of(tmp_path, "".join(f"Epoch [{n}/10]\nTrain loss: 0.5\nVal loss: 0.{n}5\n" for n in (1, 2, 3)))
    assert run.info.planned_epochs == 10


def test_whole_percentages_are_values(tmp_path):
    line = "Epoch {n:03}: | Train Loss: 0.75 | Val Loss: 0.{n}5 | Train Acc: 50.000| Val Acc: 6{n}.000\n"
    run = run_of(tmp_path, "".join(line.format(n=n) for n in (1, 2, 3)))
    assert curve(run, "val_acc") == {1: 61, 2: 62, 3: 63}


def test_estimators_of_tensorflow(tmp_path):
    parts = []
    for step in (1000, 2000, 3000):
        parts.append(f"INFO:tensorflow:loss = 0.75, step = {step - 99} (0.268 sec)\n")
        parts.append(
            f"INFO:tensorflow:Saving dict for global step {step}: accuracy = 0.5{step // 1000},"
            f" global_step = {step}, loss = {step / 8000}\n"
        )
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval/loss") == {1000: 0.125, 2000: 0.25, 3000: 0.375}
    assert run.train["loss"].step.tolist() == [901, 1901, 2901]


def test_an_eval_after_the_steps_of_each_epoch(tmp_path):
    """The line of the epoch has the loss of the epoch, under the name that the steps have."""
    parts = []
    for epoch in (0, 1, 2):
        parts += [f"epoch {epoch} step {200 * epoch + at} loss 1.5\n" for at in (100, 200)]
        parts.append(f"epoch {epoch} loss 1.25 val_loss {1 / (epoch + 2)}\n")
    assert curve(run_of(tmp_path, "".join(parts))) == {200: 0.5, 400: 1 / 3, 600: 0.25}


def meter(done, of, loss, mean):
    return f"Test:  [{done:3}/{of}]  eta: 0:00:00  loss: {loss} ({mean})  acc1: 1.5 (2.5)  time: 2.1\n"


@pytest.mark.parametrize(
    "place",
    [
        "Epoch: [{}]  [   0/40]  eta: 1:00:00  loss: 6.9 (6.9)\n",
        "Train: {} [   0/40 (  0%)]  Loss: 6.94 (6.94)  Time: 2.9s\n",
        "[2026-04-20 10:00:00 swin] (main.py 9): INFO Train: [{}/3][0/40]\teta 1:00:00\tloss 6.9 (6.9)\n",
    ],
)
@pytest.mark.parametrize("summed", [True, False])
def test_the_mean_over_an_evaluation_counts_and_not_its_last_batch(tmp_path, place, summed):
    parts = []
    for epoch, mean in enumerate((2.25, 2.125, 2.5)):
        parts += [place.format(epoch), meter(0, 12, 9.5, 9.5), meter(11, 12, 8.5, mean)]
        if summed:
            parts.append(f"* Acc@1 {40 + epoch}.342 Acc@5 60.167 loss {mean}\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "test_loss") == {1: 2.25, 2: 2.125, 3: 2.5}
    if summed:
        assert curve(run, "test_Acc@1") == {1: 40.342, 2: 41.342, 3: 42.342}


def test_the_loss_of_an_evaluation_whose_summary_has_none(tmp_path):
    parts = []
    for epoch, mean in enumerate((2.25, 2.125, 2.5)):
        parts += [
            f"Epoch: [{epoch}] [ 0/40] loss: 6.9 (6.9)\n",
            meter(11, 12, 8.5, mean),
            f"* Acc@1 {40 + epoch}.342\n",
        ]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "test_loss") == {1: 2.25, 2: 2.125, 3: 2.5}
    assert curve(run, "test_Acc@1") == {1: 40.342, 2: 41.342, 3: 42.342}


def test_accuracy_on_images(tmp_path):
    line = "Epoch {n}: loss 0.5\nAccuracy of the network on the 10000 test images: 7{n}.5 %\n"
    run = run_of(tmp_path, "".join(line.format(n=n) for n in (1, 2, 3)))
    assert curve(run, "test_accuracy") == {1: 71.5, 2: 72.5, 3: 73.5}


def test_coqui_counts_steps_over_all_epochs(tmp_path):
    parts = []
    for epoch in (0, 1, 2):
        parts.append(f" > EPOCH: {epoch}/40\n > TRAINING\n")
        parts += [
            f"--> TIME: 14:22 -- STEP: {at}/200 -- GLOBAL_STEP: {200 * epoch + at}\n | > loss: 0.5 (0.5)\n"
            for at in (50, 150)
        ]
        parts.append(f" > EVALUATION\n  --> EVAL PERFORMANCE\n     | > avg_loss: 0.{epoch}25 (-0.001)\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval_avg_loss") == {150: 0.025, 350: 0.125, 550: 0.225}
    assert run.info.planned_epochs == 40
    assert run.info.planned_steps is None


def test_scripts_without_a_trainer_print_the_metrics_of_an_evaluation(tmp_path):
    text = "".join(f"epoch {n}: {{'accuracy': 0.{n}25, 'f1': 0.5}}\n" for n in (0, 1, 2))
    assert curve(run_of(tmp_path, text), "eval_accuracy") == {1: 0.025, 2: 0.125, 3: 0.225}


def test_the_figures_of_coco(tmp_path):
    row = " Average {}  ({}) @[ IoU={} | area=   all | maxDets=100 ] = {}\n"
    parts = []
    for epoch in (1, 2, 3):
        parts += [
            f"Epoch: [{epoch}] [10/20] loss: 0.5\n",
            row.format("Precision", "AP", "0.50:0.95", f"0.{epoch}25"),
        ]
        parts += [row.format("Precision", "AP", "0.50     ", "0.9"), "Best test bbox ap is 0.325.\n"]
    run = run_of(tmp_path, "".join(parts))
    assert run.metrics == ("eval_AP",)
    assert curve(run, "eval_AP") == {1: 0.125, 2: 0.225, 3: 0.325}


def test_fairseq_as_json(tmp_path):
    line = (
        '12:43:15 | INFO | {} | {{"epoch": {}, "{}_loss": "{}", "{}_num_updates": "{}", "{}_wps": "18.4"}}\n'
    )
    parts = []
    for at, (epoch, loss) in enumerate(((1, 0.5), (1, 0.25), (2, 0.375)), 1):
        parts.append(line.format("valid", epoch, "valid", loss, "valid", 5000 * at, "valid"))
        parts.append(line.format("train", epoch, "train", 0.75, "train", 5000 * at, "train"))
    run = run_of(tmp_path, "".join(parts))
    assert run.metrics == ("valid/loss",)
    assert curve(run, "valid/loss") == {5000: 0.5, 10000: 0.25, 15000: 0.375}


def test_marian(tmp_path):
    parts = []
    for at, value in enumerate((57.25, 30.5, 31.5), 1):
        parts.append(
            f"[2026-01-15 06:28:47] Ep. 1 : Up. {5000 * at} : Sen. 7,192,395 : Cost 42.5 : Time 715.06s\n"
        )
        parts.append(
            f"[2026-01-15 06:29:01] [valid] Ep. 1 : Up. {5000 * at} : cross-entropy : {value} : new best\n"
        )
        parts.append(f"[2026-01-15 06:33:08] [valid] Ep. 1 : Up. {5000 * at} : bleu : {at}.71 : new best\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "valid/cross-entropy") == {5000: 57.25, 10000: 30.5, 15000: 31.5}
    assert curve(run, "valid/bleu") == {5000: 1.71, 10000: 2.71, 15000: 3.71}


def test_the_validations_of_joeynmt(tmp_path):
    text = "".join(f"Steps: {500 * n}\tloss: {n}.25\tppl: 43.5\tLR: 0.00030000\t*\n" for n in (1, 2, 3))
    run = run_of(tmp_path, text, name="validations.txt")
    assert curve(run, "dev/loss") == {500: 1.25, 1000: 2.25, 1500: 3.25}


@pytest.mark.parametrize("first", [0, 1])
def test_the_terminal_of_yolo(tmp_path, first):
    parts = ["Starting training for 9 epochs...\n"]
    for epoch in range(3):
        parts.append("      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size\n")
        drawn = "100%|###| 14/14 [00:06<00:00,  2.11it/s]\n"
        parts.append(
            f"       {epoch + first}/{8 + first}   3.5G   0.1159  0.02889   0.04875    7    640: {drawn}"
        )
        parts.append(f"             Class   Images  Instances     P      R     mAP50   mAP50-95: {drawn}")
        parts.append(f"               all       60       61   0.285  0.697  0.3{epoch}27    0.2{epoch}61\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "val/mAP50-95") == {1: 0.2061, 2: 0.2161, 3: 0.2261}
    assert run.info.planned_epochs == 9


def test_commas_between_thousands(tmp_path):
    lines = [
        f"step {step:,}/20,000: val loss {value:,}\n"
        for step, value in ((1250, 1339.5), (1500, 950.25), (12000, 1000.5))
    ]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run) == {1250: 1339.5, 1500: 950.25, 12000: 1000.5}
    assert run.info.planned_steps == 20000


@pytest.mark.parametrize("line", ["epoch {}: {{'accuracy': {}, 'f1': 0.5}}", "epoch {}: perplexity: {}"])
def test_scripts_of_transformers_with_their_logger(tmp_path, line):
    log = "01/02/2026 10:01:00 - INFO - __main__ - "
    lines = [log + line.format(n, value) + "\n" for n, value in enumerate((0.5, 0.25, 0.75))]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run, run.metrics[0]) == {1: 0.5, 2: 0.25, 3: 0.75}


def test_the_last_epoch_of_a_training_that_counts_from_0(tmp_path):
    run = run_of(tmp_path, "".join(f"Epoch {n}/4\nval Loss: 0.{n}5\n" for n in range(5)))
    assert run.info.planned_epochs == 5


def test_steps_that_are_written_short(tmp_path):
    lines = [f"step {short}/20K: val loss {n}.5\n" for n, short in enumerate(("500", "1_000", "1.5k", "2e3"))]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run) == {500: 0.5, 1000: 1.5, 1500: 2.5, 2000: 3.5}
    assert run.info.planned_steps == 20000


@pytest.mark.parametrize(
    "line",
    [
        "Run: 01, Epoch: {epoch:02}, Loss: 0.5, Train: 93.21%, Valid: {share}%, Test: 70%\n",
        "Epoch {epoch}\nTrain: 93.21%\nValid: {share}%\nTest: 70%\n",
    ],
)
def test_percentages_of_sets_without_a_metric(tmp_path, line):
    shares = {1: 71.02, 2: 72.0, 3: 71.5}
    run = run_of(tmp_path, "".join(line.format(epoch=epoch, share=share) for epoch, share in shares.items()))
    assert curve(run, "Valid") == shares
    assert curve(run, "Test") == dict.fromkeys(shares, 70.0)
    assert run.info.modes == {"Valid": "max", "Test": "max"}


def test_fractions_of_sets_without_a_metric_say_nothing_of_the_direction(tmp_path):
    lines = [f"Epoch: {epoch}, Loss: 0.5, Val: 0.{epoch}5, Test: 0.25\n" for epoch in (1, 2, 3)]
    run = run_of(tmp_path, "".join(lines))
    assert curve(run, "Val") == {1: 0.15, 2: 0.25, 3: 0.35}
    assert not run.info.modes


def test_several_evals_within_an_epoch(tmp_path):
    """Batches are counted in each epoch, so that the place within it tells the evals apart."""
    lines = []
    for at, loss in enumerate((0.875, 0.75, 0.5, 0.625)):
        epoch, done = 1 + at // 2, (50, 100)[at % 2]
        lines.append(f"Epoch {epoch} [{done}/100] train loss: {loss + 0.25}, val loss: {loss}\n")
    run = run_of(tmp_path, "".join(lines))
    assert curve(run) == {0.5: 0.875, 1: 0.75, 1.5: 0.5, 2: 0.625}
    below = "".join(line.replace(", val loss", "\nval loss") for line in lines)
    assert curve(run_of(tmp_path, below)) == curve(run)


@pytest.mark.parametrize("epochs", [1, 2])
def test_steps_of_all_epochs_beside_the_epoch(tmp_path, epochs):
    parts = []
    for step in range(10, 81, 10):
        parts.append(f"INFO\t[step={step}/80,epoch={(step - 1) * epochs // 80}]\n    train/Loss={step}.5\n")
        if step % 20 == 0:
            parts.append(f"INFO\t[eval=lm,step=1/2]\n    eval/c4-set/CrossEntropyLoss={step}.25\n")
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "eval/c4-set/CrossEntropyLoss") == {20: 20.25, 40: 40.25, 60: 60.25, 80: 80.25}
    assert len(run.train["train/Loss"].step) == 8
    assert run.info.planned_steps == 80


def test_how_far_an_evaluation_is_is_no_eval(tmp_path):
    parts = []
    for step, loss in ((100, 0.75), (200, 0.5), (300, 0.625)):
        parts += [f"step {step}: loss 0.5\n", *(f"Eval step {n}/50: loss 0.9\n" for n in (10, 20, 50))]
        parts.append(f"step {step}: val_loss {loss}\n")
    assert curve(run_of(tmp_path, "".join(parts))) == {100: 0.75, 200: 0.5, 300: 0.625}


def test_train_losses_of_an_epoch_are_no_sets(tmp_path):
    lines = [f"Epoch: {n}, Loss: {2 - n / 10 - k / 4}\n" for n in (1, 2, 3, 4) for k in range(3)]
    runs, said = runs_of(tmp_path, "".join(lines))
    assert not said
    assert [run.metrics for run in runs] == [()] * len(runs)


def test_a_value_that_is_printed_twice_is_one_set(tmp_path):
    lines = [
        f"Epoch {n}: val_loss {loss:.5f}\nEpoch {n}: saved, val_loss {loss - 0.0001:.4f}\n"
        for n, loss in ((1, 0.75), (2, 0.5), (3, 0.625), (4, 0.6))
    ]
    assert curve(run_of(tmp_path, "".join(lines))) == {1: 0.75, 2: 0.5, 3: 0.625, 4: 0.6}


@pytest.mark.parametrize("line", ["{{'epoch': {n}, {of}}}", "Epoch {n}: {{{of}}}"])
def test_dicts_in_a_dict(tmp_path, line):
    of = "'train': {{'loss': 0.9}}, 'val': {{'loss': {loss}, 'acc': 0.5}}"
    text = "".join(line.format(n=n, of=of.format(loss=1 / n)) + "\n" for n in (1, 2, 4))
    assert curve(run_of(tmp_path, text), "val_loss") == {n: 1 / n for n in (1, 2, 4)}


def test_a_place_behind_dots(tmp_path):
    """The examples of Flax."""
    text = "".join(
        f"Step... ({step} | Loss: 0.9, Learning Rate: 0.0003)\nStep... ({step} | Eval Loss: {1 / step})\n"
        for step in (500, 1000, 2000)
    )
    assert curve(run_of(tmp_path, text), "eval_loss") == {step: 1 / step for step in (500, 1000, 2000)}


@pytest.mark.parametrize("end", ["Epoch {n} done", "Finished epoch {n} in 3.2 s", "Epoch [{n}/9] completed"])
def test_places_behind_their_values(tmp_path, end):
    text = "".join(
        f"Train loss: 0.9\nval_loss: {1 / n}\nval_acc: 0.5\n{end.format(n=n)}\n" for n in (1, 2, 3)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "val_loss") == {n: 1 / n for n in (1, 2, 3)}
    assert curve(run, "val_acc") == dict.fromkeys((1, 2, 3), 0.5)


def test_an_evaluation_before_the_training_is_not_of_the_first_epoch(tmp_path):
    text = "val_loss: 9.0\n" + "".join(f"Epoch {n}\nval_loss: {1 / n}\n" for n in (1, 2, 3))
    assert curve(run_of(tmp_path, text), "val_loss") == {n: 1 / n for n in (1, 2, 3)}


@pytest.mark.parametrize(
    "duration",
    [
        "epoch {epoch}: test loss computed in 0.{epoch} s",
        "epoch {epoch}: validation loss took 12.{epoch} seconds (3 batches)",
        "eval loss took 3.{epoch}s",
        "epoch {epoch}: eval took 3.{epoch} min",
        "validation accuracy: evaluated in 12.{epoch} seconds",
        "test accuracy over all batches 12.{epoch} sec.",
    ],
)
def test_a_duration_is_no_value(tmp_path, duration):
    lines = [
        f"epoch {epoch}: val_loss {1 / epoch}\n{duration.format(epoch=epoch)}\n" for epoch in (1, 2, 3, 4)
    ]
    run = run_of(tmp_path, "".join(lines))
    assert run.metrics == ("val_loss",)
    assert curve(run, "val_loss") == {epoch: 1 / epoch for epoch in (1, 2, 3, 4)}


def test_a_value_in_front_of_a_time_is_one(tmp_path):
    run = run_of(
        tmp_path, "".join(f"epoch {n}: val_loss {1 / n} secs 12.5 val_acc 0.5 s/it 3\n" for n in (1, 2))
    )
    assert curve(run, "val_loss") == {1: 1.0, 2: 0.5}
    assert curve(run, "val_acc") == {1: 0.5, 2: 0.5}


def test_a_model_of_masks_has_its_figures_twice(tmp_path):
    figures = "P  R  mAP50  mAP50-95)"
    head = f"    Class  Images  Instances  Box({figures}  Mask({figures}: 100% ━━━ 2/2 5.4s"
    parts = [
        f"      {n}/3      1.97G      1.113      2.997      12      640: 100% ━━━━ 9/9 3.1s\n"
        f"{head}\n      all   18   18   0.5   0.6   0.7{n}   0.4{n}   0.5   0.6   0.8{n}   0.3{n}\n"
        for n in (1, 2, 3)
    ]
    run = run_of(tmp_path, "".join(parts))
    assert curve(run, "val/mAP50") == {1: 0.71, 2: 0.72, 3: 0.73}
    assert curve(run, "val/mAP50(M)") == {1: 0.81, 2: 0.82, 3: 0.83}
    assert curve(run, "val/mAP50-95(M)") == {1: 0.31, 2: 0.32, 3: 0.33}


def test_the_summary_counts_behind_batches_in_cells(tmp_path):
    parts = [
        f"- Train | Epoch {n} | 5/9 | Loss 0.9\n- Valid | Epoch {n} | 1/3 | Loss 0.7\n"
        f"- Valid | Epoch {n} | 2/3 | Loss 0.8\n- Valid Summary | Epoch {n} | Loss=0.{n}5\n"
        for n in (1, 2, 3)
    ]
    assert curve(run_of(tmp_path, "".join(parts)), "valid_Loss") == {1: 0.15, 2: 0.25, 3: 0.35}


@pytest.mark.parametrize(
    "end",
    [
        "Best epoch: 2\n  val loss: 0.1\nFinal epoch: 50\n  val loss: 0.9\n",
        "Early stopping at epoch 9\nTraining complete: val loss: 0.9\n",
        "Stopped after epoch 9\nval loss: 0.9\n",
    ],
)
def test_places_that_are_only_told_of(tmp_path, end):
    lines = [f"Epoch {n}: train loss 0.5, val loss 0.{n}5\n" for n in (1, 2, 3)]
    run = run_of(tmp_path, "".join(lines) + end)
    assert curve(run) == {1: 0.15, 2: 0.25, 3: 0.35}
    assert not run.info.findings


def test_the_mean_of_an_epoch_is_no_eval_of_its_last_step(tmp_path):
    parts = []
    for step in (10, 20, 30, 40, 50, 60):
        epoch = (step + 10) // 20
        parts.append(f"epoch={epoch} step={step} train_loss=0.5 val_loss=0.{step}\n")
        if step == 20 * epoch:
            parts.append(f"epoch_end={epoch} train_loss=0.4 val_loss=0.9\n")
    run = run_of(tmp_path, "".join(parts) + "epoch=4 step=70 train_loss=0.5 val_loss=0.7\n")
    assert curve(run) == {step: step / 100 for step in range(10, 80, 10)}
    assert not run.info.resumes


@pytest.mark.parametrize(
    ("lines", "metric"),
    [
        ("Epoch {n}\n  Train  loss=0.9  acc=0.5\n  Val    loss={loss}  acc=0.5\n", "val_loss"),
        ("Epoch {n} Train, MAE: 0.9\nEpoch {n} Val, MAE: {loss} Cost 9.3 sec\n", "val_mae"),
        (
            "[Epoch: {n}] Train acc: 0.8 | loss: 0.9\n[Epoch: {n}] Valid acc: 0.7 | loss: {loss}\n",
            "valid_loss",
        ),
        ("Training epoch: {n}\n\tmean_loss: 0.9\nEval epoch: {n}\n\tmean_loss: {loss}\n", "eval_mean_loss"),
        ("Epoch {n} [5/9] Loss 0.9\n---[Evaluate]---\nFeatures:\nRecall@1: {loss}\n", "eval_Recall@1"),
        ("epoch {n}, iter 900, avg. loss 0.9\nvalidation: iter {n}, dev. ppl {loss}\n", "dev_ppl"),
        ("Epoch {n}: Val Loss: 0.9 | mP=7{n}.5% mR={loss}%\n", "val_mR"),
        ("Eval@Epoch={n} ValLoss=0.9 ROC-AUC={loss}\n", "eval_roc_auc"),
    ],
)
def test_the_set_of_a_value(tmp_path, lines, metric):
    values = {1: 0.15, 2: 0.25, 3: 0.35}
    log = "".join(
        f"[03.24.23|16:35:5{n}] {line}\n"
        for n, loss in values.items()
        for line in lines.format(n=n, loss=loss).splitlines()
    )
    run = run_of(tmp_path, log)
    name = next(name for name in run.metrics if name.lower() == metric.lower())
    assert curve(run, name) == values


def test_a_plain_loss_behind_a_score_may_be_of_the_training_set(tmp_path):
    lines = [f"Epoch {n} | Val acc: 0.{n}5 | loss: 0.9\n" for n in (1, 2, 3)]
    run = run_of(tmp_path, "".join(lines))
    assert run.metrics == ("val_acc",)


def test_percentages_that_are_no_metrics(tmp_path):
    lines = [f"Epoch {n}: val loss 0.{n}5 | gpu util 98.5% | improved 3.2%\n" for n in (1, 2, 3)]
    assert run_of(tmp_path, "".join(lines)).metrics == ("val_loss",)


LOSSES = [0.9125, 0.7415, 0.655, 0.702, 0.688]


def test_evals_within_epochs_stand_behind_the_batch_before_them(tmp_path):
    """icefall evaluates at the first batch of an epoch, and every few batches."""
    begin, losses = "2026-01-02 10:00:00,123 INFO [train.py:895] (0/4) ", iter(LOSSES)
    text = ""
    for epoch in (1, 2):
        for batch in range(0, 401, 50):
            text += (
                f"{begin}Epoch {epoch}, batch {batch}, loss[loss=1.5, over 61.00 frames. ], lr: 3.00e-03\n"
            )
            if batch in (0, 200):
                text += f"{begin}Computing validation loss\n"
                text += f"{begin}Epoch {epoch}, validation: loss={next(losses)}, over 944.00 frames. \n"
    run = run_of(tmp_path, text)
    assert curve(run, "validation_loss") == dict(zip((0, 0.5, 1, 1.5), LOSSES, strict=False))


def test_the_mean_of_an_evaluation_counts_and_not_its_batches(tmp_path):
    begin = "[2026/01/02 10:00:00] ppcls INFO: "
    text = "".join(
        f"{begin}[Train][Epoch {epoch}/5][Iter: 0/20]lr: 0.01, CELoss: 1.5, loss: 1.5, batch_cost: 0.5s\n"
        f"{begin}[Train][Epoch {epoch}/5][Avg]CELoss: 1.5, loss: 1.5\n"
        f"{begin}[Eval][Epoch {epoch}][Iter: 0/32]CELoss: 0.25, loss: 0.25, top1: 0.8\n"
        f"{begin}[Eval][Epoch {epoch}][Avg]CELoss: {loss}, loss: {loss}, top1: 0.5\n"
        f"{begin}[Eval][Epoch {epoch}][best metric: 0.5]\n"
        for epoch, loss in enumerate(LOSSES, 1)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "eval_loss") == dict(enumerate(LOSSES, 1))
    assert set(curve(run, "eval_top1").values()) == {0.5}


def test_batches_of_an_evaluation_are_no_place(tmp_path):
    begin = "[01/02 10:00:00] ppdet.engine INFO: "
    text = "".join(
        f"{begin}Epoch: [{epoch}] [ 0/100] learning_rate: 0.001 loss: 1.5 eta: 0:10:00\n"
        f"{begin}Eval iter: 0\n{begin}Eval iter: 100\n"
        f" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = {value}\n"
        for epoch, value in enumerate(LOSSES)
    )
    assert curve(run_of(tmp_path, text), "eval_AP") == dict(enumerate(LOSSES, 1))


def test_steps_of_an_evaluation_beside_those_of_the_training(tmp_path):
    """Coqui prints both, and numbers those of each evaluation anew."""
    text = "".join(
        f" > EPOCH: {epoch}/5\n > TRAINING (2026-01-02 10:00:00) \n"
        f"   --> TIME: 2026-01-02 10:00:00 -- STEP: 0/20 -- GLOBAL_STEP: {20 * epoch}\n     | > loss: 1.5\n"
        " > EVALUATION \n   --> STEP: 0\n     | > loss: 0.9  (0.9)\n   --> STEP: 1\n     | > loss: 0.8\n"
        f"  --> EVAL PERFORMANCE\n     | > avg_loader_time: 0.003 (-0.0)\n     | > avg_loss: {loss} (-0.1)\n"
        for epoch, loss in enumerate(LOSSES)
    )
    values = {20 * epoch: loss for epoch, loss in enumerate(LOSSES)}
    assert curve(run_of(tmp_path, text), "eval_avg_loss") == values


@pytest.mark.parametrize(
    "line",
    [
        "step {step:4d}/100 | loss 1.500000 (+nanz)| norm 6.1 (+nanz)| lr 3.00e-04 | 80 ms | 51234 tok/s",
        "step {step:4d}/100 | train loss 1.500000 | norm 6.1 | lr 3.00e-04 | (80 ms | 51234 tok/s)",
    ],
)
def test_an_eval_before_the_first_step(tmp_path, line):
    """llm.c."""
    text = "".join(
        f"val loss {loss}\n" + "".join(line.format(step=20 * number + at) + "\n" for at in range(1, 21))
        for number, loss in enumerate(LOSSES)
    )
    assert curve(run_of(tmp_path, text), "val_loss") == {20 * n: loss for n, loss in enumerate(LOSSES)}


def test_steps_in_wide_columns(tmp_path):
    """JoeyNMT's, several of which share an epoch."""
    begin = "2026-01-02 10:00:00,123 - INFO - joeynmt."
    text = "".join(
        f"{begin}training - Epoch {1 + step // 400:3d}, Step: {step:8d}, Batch Loss:     1.500000, Lr: 0.1\n"
        f"{begin}prediction - Evaluation result (greedy): bleu: 10.20, loss: {loss}, ppl: 12.30, 0.12[sec]\n"
        for step, loss in zip(range(100, 600, 100), LOSSES, strict=True)
    )
    values = dict(zip(range(100, 600, 100), LOSSES, strict=True))
    assert curve(run_of(tmp_path, text), "evaluation_loss") == values


def test_the_logger_of_tensorflow_is_no_metric(tmp_path):
    text = "".join(
        f"2026-01-02 10:00:00.123456: I evaluation.py:300] Evaluation result for step {step}: loss = {loss} ;"
        " perplexity = 2.5\n"
        for step, loss in zip(range(100, 600, 100), LOSSES, strict=True)
    )
    assert list(run_of(tmp_path, text).metrics) == ["evaluation_loss", "evaluation_perplexity"]


@pytest.mark.parametrize("begin", ["Mon 05 Feb 2026 10:00:00 INFO  ", "05 Feb 10:00    INFO  "])
def test_metrics_in_the_line_below_a_result(tmp_path, begin):
    """RecBole, in its file and on the terminal."""
    text = "".join(
        f"{begin}epoch {epoch} training [time: 1.23s, train loss: 151.2000]\n"
        f"{begin}epoch {epoch} evaluating [time: 0.12s, valid_score: {value:.6f}]\n"
        f"{begin}valid result: \nrecall@10 : 0.125    mrr@10 : {value}    ndcg@10 : 0.25\n"
        for epoch, value in enumerate(LOSSES)
    )
    run = run_of(tmp_path, text)
    assert curve(run, "valid_score") == curve(run, "valid_mrr@10") == dict(enumerate(LOSSES, 1))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (
            "epoch {epoch} average loss: 0.5\ncurrent epoch: {epoch} current mean dice: {value}",
            "val_mean_dice",
        ),
        ("{epoch}, train_loss=0.5, test_loss={value}, LR=0.001000, time 12.34s", "test_loss"),
        (
            "ITERATION {epoch:02d}: TRAIN AVG.LOSS 0.5, (lr0.008), CROSSVAL AVG.LOSS {value}",
            "val_avg.loss",
        ),
        (
            "Train loss {epoch} 0.5 Grad Norm 1.2 1.2s/it\nValidation loss {epoch}:  {value}  ",
            "validation_loss",
        ),
    ],
)
def test_lines_of_single_tools(tmp_path, line, name):
    """MONAI's tutorials, Cellpose, Kaldi, Tacotron 2."""
    text = "".join(line.format(epoch=n, value=value) + "\n" for n, value in enumerate(LOSSES, 1))
    assert curve(run_of(tmp_path, text), name) == dict(enumerate(LOSSES, 1))


def test_lines_with_nothing_but_a_time(tmp_path):
    """flair writes empty lines with its logger."""
    begin = "2026-01-02 10:00:00,123 "
    text = "".join(f"{begin}\nepoch {n}: val_loss {loss}\n{begin}\n" for n, loss in enumerate(LOSSES, 1))
    assert curve(run_of(tmp_path, text)) == dict(enumerate(LOSSES, 1))
