"""ROUGE against rouge-score, pair by pair, and against the shared figures."""

import re

import numpy as np
import pytest

from metrics.making import made_cases, value, vector, written
from shared import shared_json, shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.metrics.rouge import common_places

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
PARTS = {"f1": "fmeasure", "precision": "precision", "recall": "recall"}


def realsumm():
    """Reference and summary, a sentence a line."""
    rows = shared_rows("cnndm_realsumm", "realsumm.jsonl.gz")
    systems = list(rows[0]["systems"])

    def lines(text):
        # One summary was cut in the middle of a sentence, which the figures leave out.
        return "\n".join(one.strip() for one in re.findall(r"<t>(.*?)</t>", text))

    return {
        system: [
            (lines(row["reference"]), lines(row["systems"][system]["summary"])) for row in rows
        ]
        for system in systems
    }


def summeval():
    rows = shared_rows("cnndm_summeval", "summeval.jsonl.gz")
    return {
        system: [(row["reference"], row["systems"][system]["summary"]) for row in rows]
        for system in rows[0]["systems"]
    }


def scored(name, pairs, **options):
    references, texts = zip(*pairs, strict=True)
    return build(name, **options).per_case(made_cases(references), written(texts))[:, 0]


@pytest.fixture(scope="module")
def scorer():
    rouge = pytest.importorskip("rouge_score.rouge_scorer")
    return {flag: rouge.RougeScorer(NAMES, use_stemmer=flag) for flag in (True, False)}


@pytest.mark.parametrize("stemmer", [True, False])
def test_equals_rouge_score_on_real_summaries(stemmer, scorer):
    pairs = [pair for system in list(realsumm().values())[:3] for pair in system[:20]]
    pairs += [pair for system in list(summeval().values())[:3] for pair in system[:10]]
    pairs += [
        ("", ""),
        ("", "a"),
        ("a", ""),
        ("\n\n", "the cats"),
        ("ÄÖ", "東京"),
        ("a\nb a", "b\na"),
    ]
    expected = [scorer[stemmer].score(*pair) for pair in pairs]
    for name in NAMES:
        for part, field in PARTS.items():
            found = scored(name, pairs, stemmer=stemmer, part=part)
            assert found == pytest.approx([getattr(one[name], field) for one in expected], abs=1e-9)


def test_equals_rouge_score_on_repeated_words(scorer):
    rng = np.random.default_rng(0)
    texts = [
        "\n".join(" ".join(rng.choice(list("abcd"), size=6)) for _ in range(4)) for _ in range(80)
    ]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    for name in NAMES:
        expected = [scorer[True].score(*pair)[name].fmeasure for pair in pairs]
        assert scored(name, pairs) == pytest.approx(expected, abs=1e-9)


def test_several_references_as_rouge_score_does(scorer):
    rows = shared_rows("cnndm_summeval", "summeval.jsonl.gz")[:4]
    texts = [row["systems"]["M11"]["summary"] for row in rows]
    references = [row["references"] for row in rows]
    best = [
        scorer[True].score_multi(many, text) for many, text in zip(references, texts, strict=True)
    ]
    for name in NAMES:
        for part, field in PARTS.items():
            metric = build(name, part=part)
            found = metric.per_case(made_cases(references), written(texts))[:, 0]
            expected = [getattr(one[name], field) for one in best]
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("stemmer", [True, False])
def test_shared_figures_of_summeval(stemmer):
    expected = shared_json("cnndm_summeval", "expected_rouge.json")["systems"]
    suffix = "stem" if stemmer else "nostem"
    for system, pairs in summeval().items():
        for name in ("rouge1", "rouge2", "rougeL"):
            found = scored(name, pairs, stemmer=stemmer).mean()
            assert found == pytest.approx(expected[system][f"{name}_f_{suffix}"], abs=5.1e-7)


def test_shared_figures_of_realsumm():
    expected = shared_json("cnndm_realsumm", "expected_rouge.json")["systems"]
    for system, pairs in realsumm().items():
        for name, key in zip(NAMES, ("1_f", "2_f", "L_f", "Lsum_f"), strict=True):
            found = scored(name, pairs).mean()
            assert found == pytest.approx(expected[system][f"rouge_score_{key}"], abs=5.1e-6)


def test_vector_rouge():
    given = vector("bleu_chrf_rouge")
    cases = made_cases(given["input"]["references"])
    answers = written(given["input"]["hypotheses"])
    for name in NAMES:
        found = value(build(name), cases, answers)
        assert found == pytest.approx(given["expected"][name], abs=given["tolerance"])


def test_sentences_are_split_when_asked():
    expected = 'He left. "Why?" she said (twice). It was 3.5 miles.'
    text = "It was 3.5 miles. He left."
    pairs = [(expected, text)]
    apart = scored("rougeLsum", pairs, splitter="sentence")
    lines = scored("rougeLsum", [(expected.replace(". ", ".\n"), text.replace(". ", ".\n"))])
    assert apart == pytest.approx(lines)
    assert scored("rougeLsum", pairs) == pytest.approx(scored("rougeL", pairs))
    assert "split:sentence" in build("rougeLsum", splitter="sentence").signature()


def test_places_of_a_common_subsequence_are_places():
    wanted, found = tuple("xaybzc"), tuple("abcab")
    places = common_places(wanted, found)
    assert [wanted[place] for place in sorted(places)] == ["a", "b", "c"]
    assert common_places(wanted, tuple("mn")) == []


def test_options_are_checked():
    with pytest.raises(MetricError, match='part is "f2"; choose f1, precision or recall'):
        build("rouge1", part="f2")
    with pytest.raises(MetricError, match='splitter is "dot"; choose newline or sentence'):
        build("rougeLsum", splitter="dot")
