"""Lines of trainings in other languages."""

import pytest

from replay.readers.text.languages import in_english
from tests.readers.columns import curve
from tests.readers.text.printing import run_of

VALUES = {1: 0.75, 2: 0.5, 3: 0.625}


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        ("Epoche {epoch}/3 – Verlust: 0.9 – Val-Verlust: {loss} – Val-Genauigkeit: 0.6", "Val_loss"),
        ("Epoche {epoch}/3 | Trainingsverlust: 0.9 | Validierungsverlust: {loss}", "val_loss"),
        ("Époque {epoch}/3, perte d'entraînement : 0.9, perte de validation : {loss}", "val_loss"),
        ("Época {epoch}/3 - Pérdida entrenamiento: 0.9 - Pérdida validación: {loss}", "val_loss"),
        ("Epoca {epoch}/3 - perdida: 0.9 - perdida de validacion: {loss}", "val_loss"),
        ("Época {epoch}/3 - Perda de treino: 0.9 - Perda de validação: {loss}", "val_loss"),
        ("Эпоха {epoch}/3: потери на обучении: 0.9, потери на валидации: {loss}", "val_loss"),
        ("Эпоха {epoch}: train_loss=0.9 val_loss={loss}", "val_loss"),
        ("エポック {epoch}/3 訓練損失: 0.9 検証損失: {loss} 検証精度: 0.6", "val_loss"),
        ("에폭 {epoch}/3 - 훈련 손실: 0.9, 검증 손실: {loss}, 검증 정확도: 0.6", "val_loss"),
        ("에포크: {epoch:02d} | 학습 손실: 0.9 | 검증 손실: {loss}", "val_loss"),
        ("第{epoch}轮（共3轮） 训练损失：0.9，验证损失：{loss}", "val_loss"),
    ],
)
def test_epochs(tmp_path, line, metric):
    text = "".join(line.format(epoch=epoch, loss=loss) + "\n" for epoch, loss in VALUES.items())
    run = run_of(tmp_path, text)
    assert (curve(run, metric), run.info.step_unit) == (VALUES, "epoch")
    assert not run.info.findings


@pytest.mark.parametrize(
    "line",
    [
        "Epoch 1/3 – training loss: 0.9 – validation loss: 0.75 – tested 5 files – expert error 0.5",
        "the parting experts converted 5 greatest contests",
    ],
)
def test_english_stays_as_it_is(line):
    assert in_english(line) == line
