"""METEOR against nltk and the shared figures; WordNet read here against nltk's reader."""

import random
import shutil
import zipfile

import pytest

from metrics.making import made_cases, value, written
from shared import shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build, try_out, wordnet


def test_shared_figures(wordnet_data):
    rows = shared_rows("meteor", "pairs.jsonl")
    found = build("meteor").per_case(
        made_cases([row["reference"] for row in rows]), written([row["hypothesis"] for row in rows])
    )
    assert found[:, 0] == pytest.approx([row["meteor_whitespace_tokens"] for row in rows], abs=1e-6)


def test_documented_example(wordnet_data):
    # The docstring of nltk.translate.meteor_score.single_meteor_score.
    text = "It is a guide to action which ensures that the military always obeys the commands of the party"
    expected = (
        "It is a guide to action that ensures that the military will forever heed Party commands"
    )
    assert value(build("meteor"), made_cases([expected]), written([text])) == pytest.approx(
        0.6944, abs=5e-5
    )


@pytest.fixture
def nltk_wordnet(wordnet_data):
    nltk = pytest.importorskip("nltk")
    nltk.data.path.insert(0, str(wordnet_data))
    yield nltk.corpus.wordnet
    nltk.data.path.remove(str(wordnet_data))


@pytest.mark.slow
def test_equals_nltk_on_real_translations(nltk_wordnet):
    from nltk.translate.meteor_score import meteor_score

    rows = shared_rows("human_wmt19_darr", "kk-en.jsonl.gz")[:400]
    references, texts = [row["reference"] for row in rows], [row["worse"]["text"] for row in rows]
    for options in ({}, {"alpha": 0.5, "beta": 2.0, "gamma": 0.2}):
        found = build("meteor", **options).per_case(made_cases(references), written(texts))
        expected = [
            meteor_score([one.split()], text.split(), **options)
            for one, text in zip(references, texts, strict=True)
        ]
        assert found[:, 0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_synonyms_equal_those_of_nltk(nltk_wordnet, wordnet_data):
    archive = zipfile.ZipFile(wordnet_data / "corpora" / "wordnet.zip")
    words = [
        line.split()[0]
        for part in wordnet.PARTS
        for line in archive.read(f"wordnet/index.{part}").decode().splitlines()
        if not line.startswith(" ")
    ]
    rng = random.Random(0)
    words = [
        rng.choice(words) + rng.choice(("", "s", "ing", "ed", "er", "men")) for _ in range(4_000)
    ]
    ours = wordnet.load(wordnet.find("meteor"))
    for word in words:
        expected = {
            lemma.name()
            for synset in nltk_wordnet.synsets(word)
            for lemma in synset.lemmas()
            if "_" not in lemma.name()
        }
        assert ours.synonyms(word) == expected, word


def test_an_unpacked_wordnet_is_read_too(wordnet_data, tmp_path, monkeypatch):
    target = tmp_path / "corpora"
    zipfile.ZipFile(wordnet_data / "corpora" / "wordnet.zip").extractall(target)
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert wordnet.find("meteor") == target / "wordnet"
    assert "domestic_dog" not in wordnet.load(target / "wordnet").synonyms("dogs")
    assert {"dog", "frank", "chase"} <= wordnet.load(target / "wordnet").synonyms("dogs")
    shutil.rmtree(target)


def test_missing_wordnet_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(wordnet, "folders", lambda: [tmp_path / "here"])
    with pytest.raises(MetricError) as caught:
        try_out(build("meteor"))
    assert str(caught.value) == (
        'metric "meteor" needs WordNet, which is not here (looked for corpora/wordnet.zip in '
        f'"{tmp_path / "here"}"). Get it with: pip install nltk && python -m nltk.downloader wordnet'
    )


def test_broken_wordnet_is_named(tmp_path):
    broken = tmp_path / "wordnet.zip"
    broken.write_bytes(b"no zip")
    with pytest.raises(MetricError, match=r'wordnet\.zip" cannot be read'):
        wordnet.load(broken)


def test_words_may_be_parted_from_marks(wordnet_data):
    cases, answers = made_cases(["the cat sat."]), written(["the cat sat!"])
    glued = value(build("meteor"), cases, answers)
    assert value(build("meteor", tokenize="words"), cases, answers) > glued
    with pytest.raises(MetricError, match='tokenize is "moses"; choose whitespace or words'):
        build("meteor", tokenize="moses")
