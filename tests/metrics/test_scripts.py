"""Texts in every script have words, and the default metrics tell a perfect answer from a wrong one."""

from __future__ import annotations

import pytest

import tuneval
from tuneval.assess.measure import choose_metrics
from tuneval.errors import ConfigError
from tuneval.metrics.scripts import WORD, script_of
from tuneval.plan.spec import MetricsSpec
from tuneval.types import Case, CaseSet

TEXTS = {
    "latin": ("the train is late", "no idea"),
    "han": ("今天的火车晚点了", "我不太清楚"),
    "kana": ("今日は電車が遅れています", "知りません"),
    "hangul": ("오늘은 기차가 늦어요", "모르겠습니다"),
    "unspaced": ("วันนี้รถไฟมาช้า", "ไม่ทราบครับ"),
    "arabic": ("تأخر القطار اليوم كثيرا", "لا أعلم"),
    "hindi": ("आज गाड़ी देर से आई", "पता नहीं"),
    "cyrillic": ("сегодня поезд опоздал надолго", "не знаю"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_perfect_answer_is_best_in_every_script(name: str) -> None:
    right, wrong = TEXTS[name]
    assert script_of([right]) == (
        name if name in ("latin", "han", "kana", "hangul", "unspaced") else "spaced"
    )
    for metric in ("rougeL", "rouge1", "rouge2", "rougeLsum", "bleu", "chrf"):
        best = tuneval.score(metric, [right] * 2, [right] * 2)
        worse = tuneval.score(metric, [wrong] * 2, [right] * 2)
        assert best == pytest.approx(100 if metric in ("bleu", "chrf") else 1), metric
        assert worse < best / 2, metric


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpt 4 模型", ["gpt", "4", "模", "型"]),
        ("आज गाड़ी", ["आज", "गाड़ी"]),
        ("late, train_3", ["late", "train", "3"]),
        ("ไป", ["ไ", "ป"]),
        ("привет, мир", ["привет", "мир"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert WORD.findall(text) == words


def test_a_stray_word_of_another_script_changes_nothing() -> None:
    assert (
        script_of(["the word 火 means fire, and nobody in this room would say otherwise"])
        == "latin"
    )
    assert script_of(["", "12 + 3"]) == "latin"


def cases(text: str) -> CaseSet:
    one = Case("r:1", {}, (text,))
    return CaseSet("r", "r", "outputs", "generate", (one,))


@pytest.mark.parametrize(
    ("name", "names", "signed"),
    [
        ("latin", ["bleu", "rougeL"], ["tok:13a", "tok:a-z0-9|as:rouge-score-0.1.2"]),
        ("han", ["bleu", "rougeL"], ["tok:zh", "characters of Han"]),
        ("unspaced", ["bleu"], ["tok:char"]),
        ("latin", ["bleu:zh"], ["tok:zh"]),
        ("han", ["bleu:13a"], ["tok:13a"]),
        ("han", ["rougeL:latin"], ["tok:a-z0-9"]),
    ],
)
def test_signatures_say_how_words_are_found(
    name: str, names: list[str], signed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", "/nowhere")
    chosen = choose_metrics(MetricsSpec.of(names), cases(TEXTS[name][0]))
    assert [one.name for one in chosen] == [one.partition(":")[0] for one in names]
    for metric, part in zip(chosen, signed, strict=True):
        assert part in metric.signature()


def test_a_suffix_that_says_nothing_is_refused() -> None:
    for names, message in (
        (["accuracy:zh"], 'metric "accuracy:zh": accuracy takes nothing after a colon.'),
        (["bleu:zh", "bleu:char"], 'metric "bleu" is named twice, with different settings'),
    ):
        with pytest.raises(ConfigError, match=message):
            choose_metrics(MetricsSpec.of(names), cases("a"))
