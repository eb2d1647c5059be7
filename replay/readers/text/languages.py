"""Words of trainings in languages other than English: ``Epoche 3/10 - Verlust: 0.5 - Val-Verlust: 0.4``,
``第3轮 训练损失：0.5，验证损失：0.4``.

A line with one of these words is put into English before it is read. Some languages name the metric before
the set (``pérdida de validación``), which is turned round.
"""

from __future__ import annotations

import re

__all__ = ["in_english"]

#: What epochs, steps, sets and metrics are called elsewhere, as words that stand alone.
_WORDS = {
    "epoch": "époque época epoca эпоха",
    "step": "schritt шаг",
    "train": (
        "entraînement entrainement entrenamiento treinamento treino обучении обучения обучение обучающей"
        " тренировочной тренировочная"
    ),
    "val": (
        "validación validacion validação validacao валидации валидация валидационная валидационной"
        " валидационные"
    ),
    "test": "prueba teste тестовой тестовая тесте тест",
    "loss": "perte pérdida perdida perda потерь потери",
    "accuracy": "exactitude exactitud precisión acurácia acuracia точность",
    "error": "erreur ошибка",
    "lr": "lernrate",
}
#: Those that may be a part of a longer word.
_PARTS = {
    "epoch": "エポック 에포크 에폭",
    "step": "ステップ 스텝",
    "train": "trainings 训练集 训练 訓練 学習 훈련 학습",
    "val": "validierungs 验证集 验证 検証 검증",
    "test": "テスト 测试集 测试 테스트",
    "loss": "verlust 损失 損失 ロス 손실",
    "accuracy": "genauigkeit 准确率 精度 正解率 정확도",
    "recall": "召回率",
    "lr": "学习率 学習率 학습률",
}
_ENGLISH = {word: english for part in (_WORDS, _PARTS) for english in part for word in part[english].split()}
_ALONE = "|".join(" ".join(_WORDS.values()).split())
_WITHIN = "|".join(sorted(" ".join(_PARTS.values()).split(), key=len, reverse=True))
_ANY = re.compile(rf"\b(?:{_ALONE})\b|{_WITHIN}", re.IGNORECASE)
#: What a line of ASCII signs alone has, if it has one of the words.
_PLAIN = ("erlust", "enauigkeit", "erdida", "erda ", "poca ")
_SIGNS = str.maketrans({"：": ": ", "，": ", ", "（": " (", "）": ") "})
_ROUND = re.compile(r"第\s?(\d{1,9})\s?(?:轮|エポック|个?epoch)|轮次", re.IGNORECASE)
_METRIC = "(loss|accuracy|recall|error)"
_SET_FIRST = re.compile(rf"\b(train|val|test)(?: set|集)?[ _-]{{1,2}}{_METRIC}\b", re.IGNORECASE)
#: `loss de validation`
_METRIC_FIRST = re.compile(
    rf"\b{_METRIC} (?:de la |de |d['’] ?|en |na |no |на )?(train|val|test)(?:idation)?\b", re.IGNORECASE
)


def in_english(text: str) -> str:
    """The line with the words of trainings in English; the line itself where it has none of them."""
    if text.isascii():
        if not any(word in text for word in _PLAIN):
            return text
    elif "轮" in text:
        text = _ROUND.sub(lambda match: f"Epoch {match[1] or ''}", text)
    if _ANY.search(text) is None:
        return text
    text = _ROUND.sub(lambda match: f"Epoch {match[1] or ''}", text.translate(_SIGNS))
    text = _ANY.sub(lambda match: f" {_ENGLISH[match[0].lower()]} ", text)
    text = re.sub(r" {2,}", " ", text).replace("( ", "(").replace(" )", ")").strip()
    return _METRIC_FIRST.sub(r"\2_\1", _SET_FIRST.sub(r"\1_\2", text))
