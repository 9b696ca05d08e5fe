"""BLEU, chrF and TER against sacrebleu, from its sums and on the shared data."""

import gzip

import numpy as np
import pytest
import sacrebleu

from metrics.making import made_cases, value, vector, written
from shared import shared_json, shared_path
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.metrics.translation import SMOOTHINGS

SETTINGS = {
    "bleu_13a": ("bleu", {}, sacrebleu.BLEU()),
    "bleu_none": ("bleu", {"tokenize": "none"}, sacrebleu.BLEU(tokenize="none")),
    "bleu_lc_13a": ("bleu", {"lowercase": True}, sacrebleu.BLEU(lowercase=True)),
    "chrf": ("chrf", {}, sacrebleu.CHRF()),
    "chrf++": ("chrf++", {}, sacrebleu.CHRF(word_order=2)),
    "ter": ("ter", {}, sacrebleu.TER()),
}


def lines(*parts):
    with gzip.open(shared_path(*parts), "rt", encoding="utf-8", newline="\n") as file:
        return file.read().rstrip("\n").split("\n")


def ted(kind, name):
    return lines("mt_ted_slk_eng", f"ted.{name}{'.detok' if kind == 'detok' else ''}.eng.gz")


def check_figure(key, references, texts, expected):
    name, options, _ = SETTINGS[key]
    metric = build(name, **options)
    found = value(metric, made_cases(references), written(texts))
    assert found == pytest.approx(expected["score"], abs=5.1e-7)
    assert metric.signature() == expected["signature"].replace("2.6.0", sacrebleu.__version__)


@pytest.mark.parametrize("key", ["bleu_13a", "bleu_none", "bleu_lc_13a", "chrf"])
def test_shared_figures_of_ted(key):
    expected = shared_json("mt_ted_slk_eng", "expected_scores.json")["sys1.detok"][key]
    check_figure(key, ted("detok", "ref"), ted("detok", "sys1"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tok", "detok"])
@pytest.mark.parametrize("system", ["sys1", "sys2"])
@pytest.mark.parametrize("key", SETTINGS)
def test_all_shared_figures_of_ted(system, kind, key):
    expected = shared_json("mt_ted_slk_eng", "expected_scores.json")[f"{system}.{kind}"][key]
    check_figure(key, ted(kind, "ref"), ted(kind, system), expected)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(8))
def test_all_shared_figures_of_wmt17(place):
    systems = shared_json("mt_wmt17_en_de", "expected_scores.json")["systems"]
    if place >= len(systems):
        pytest.skip(f"there are {len(systems)} systems")
    system, figures = sorted(systems.items())[place]
    references = lines("mt_wmt17_en_de", "reference.de.gz")
    texts = lines("mt_wmt17_en_de", f"{system}.de.gz")
    for key in SETTINGS.keys() & figures.keys():
        check_figure(key, references, texts, figures[key])


@pytest.mark.parametrize("key", SETTINGS)
def test_equals_sacrebleu(key):
    name, options, engine = SETTINGS[key]
    references, texts = ted("detok", "ref")[:100], ted("detok", "sys1")[:100]
    metric = build(name, **options)
    found = value(metric, made_cases(references), written(texts))
    assert found == pytest.approx(engine.corpus_score(texts, [references]).score, abs=1e-9)
    assert metric.signature() == str(engine.get_signature())


@pytest.mark.parametrize("smooth_method", sorted(SMOOTHINGS))
@pytest.mark.parametrize("effective_order", [True, False])
def test_bleu_of_single_sentences_equals_sacrebleu(smooth_method, effective_order):
    references, texts = ted("detok", "ref")[:60], ted("detok", "sys1")[:60]
    references += ["a b c d e", "a", "", "x y", "a b c d e f"]
    texts += ["", "a", "a b", "z", "a b x d e f"]
    engine = sacrebleu.BLEU(
        smooth_method=smooth_method, effective_order=effective_order, force=True
    )
    expected = [
        engine.corpus_score([text], [[one]]).score
        for one, text in zip(references, texts, strict=True)
    ]
    metric = build("bleu", smooth_method=smooth_method, effective_order=effective_order)
    found = metric.from_totals(metric.per_case(made_cases(references), written(texts)))
    assert found == pytest.approx(expected, abs=1e-9)
    assert metric.signature() == str(engine.get_signature())


@pytest.mark.parametrize("key", ["bleu_13a", "chrf", "ter"])
def test_several_references_equal_sacrebleu(key):
    name, options, engine = SETTINGS[key]
    references, texts = ted("detok", "ref")[:40], ted("detok", "sys1")[:40]
    others = [one if n % 2 else None for n, one in enumerate(ted("detok", "sys2")[:40])]
    many = [
        (one,) if other is None else (one, other)
        for one, other in zip(references, others, strict=True)
    ]
    metric = build(name, **options)
    found = value(metric, made_cases(many), written(texts))
    assert found == pytest.approx(engine.corpus_score(texts, [references, others]).score, abs=1e-9)
    assert metric.signature() == str(engine.get_signature())
    assert "nrefs:var" in metric.signature()


def test_resampled_corpora_equal_sacrebleu():
    references, texts = ted("detok", "ref")[:80], ted("detok", "sys1")[:80]
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 80, size=(4, 80))
    for key in ("bleu_13a", "chrf"):
        name, options, engine = SETTINGS[key]
        metric = build(name, **options)
        rows = metric.per_case(made_cases(references), written(texts))
        expected = [
            engine.corpus_score([texts[k] for k in draw], [[references[k] for k in draw]]).score
            for draw in draws
        ]
        assert metric.from_totals(rows[draws].sum(axis=1)) == pytest.approx(expected, abs=1e-9)


def test_vector_bleu_chrf():
    given = vector("bleu_chrf_rouge")
    cases = made_cases(given["input"]["references"])
    answers = written(given["input"]["hypotheses"])
    tolerance = given["tolerance"]
    for name in ("bleu", "chrf"):
        metric = build(name)
        assert value(metric, cases, answers) == pytest.approx(
            given["expected"][name], abs=tolerance
        )
        expected = given["expected"][f"{name}_signature"]
        assert metric.signature() == expected.replace("2.6.0", sacrebleu.__version__)
    sentence = build("bleu", effective_order=True)
    found = sentence.from_totals(sentence.per_case(cases, answers))
    assert found == pytest.approx(given["expected"]["sentence_bleu"], abs=tolerance)


def test_options_are_checked(monkeypatch, tmp_path):
    with pytest.raises(MetricError, match='tokenize is "moses"; choose one of 13a, none'):
        build("bleu", tokenize="moses")
    with pytest.raises(MetricError, match='smooth_method is "laplace"'):
        build("bleu", smooth_method="laplace")
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path))
    with pytest.raises(MetricError, match=r'looked for ".*flores200sacrebleuspm"\).*sentencepiece'):
        build("bleu", tokenize="flores200")


def test_a_tokenizer_whose_package_is_missing_says_what_to_install():
    pytest.importorskip("sacrebleu")
    try:
        import MeCab  # noqa: F401
    except ImportError:
        with pytest.raises(MetricError, match=r'tokenize "ja-mecab": .*pip install'):
            build("bleu", tokenize="ja-mecab")
    else:
        pytest.skip("MeCab is installed")
