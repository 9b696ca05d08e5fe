"""The stemmer against NLTK's, on the words of the shared data and on hard endings."""

import random
import re

import pytest

from shared import shared_path, shared_rows
from tuneval.metrics.porter import IRREGULAR, Stems, stem

ENDINGS = [
    *("ies", "ied", "ing", "ed", "eed", "ly", "ational", "logi", "alli", "ness", "y", "fulli"),
    *("ization", "s", "er", "est", "ement", "ll", "e", "ying", "ousli", "iviti", "biliti", "ion"),
]


@pytest.fixture(scope="module")
def nltk_stem():
    return pytest.importorskip("nltk.stem.porter").PorterStemmer().stem


def test_equals_nltk_on_words_of_real_texts(nltk_stem):
    words = {
        word
        for row in shared_rows("cnndm_realsumm", "realsumm.jsonl.gz")[:15]
        for word in re.findall(r"[a-z0-9]+|\S+", row["article"].lower())
    }
    assert len(words) > 2_000
    assert [word for word in sorted(words) if stem(word) != nltk_stem(word)] == []


def test_equals_nltk_on_made_up_words(nltk_stem):
    rng = random.Random(0)
    words = [
        "".join(rng.choice("aceilnosty") for _ in range(rng.randint(0, 6))) + rng.choice(ENDINGS)
        for _ in range(8_000)
    ]
    assert [word for word in words if stem(word) != nltk_stem(word)] == []


@pytest.mark.slow
def test_equals_nltk_on_all_of_wordnet(nltk_stem):
    import zipfile

    archive = zipfile.ZipFile(shared_path("nltk_data", "corpora", "wordnet.zip"))
    words = {
        part
        for name in ("noun", "verb", "adj", "adv")
        for line in archive.read(f"wordnet/index.{name}").decode().splitlines()
        if not line.startswith(" ")
        for part in line.split()[0].split("_")
    }
    assert len(words) > 80_000
    assert [word for word in sorted(words) if stem(word) != nltk_stem(word)] == []


@pytest.mark.parametrize("word", sorted(IRREGULAR))
def test_irregular_words(word, nltk_stem):
    assert stem(word) == nltk_stem(word)


def test_stems_remember_and_leave_short_words():
    stems = Stems(shortest=3)
    assert [stems[word] for word in ("was", "running", "")] == ["was", "run", ""]
    assert stems["running"] is stems["running"]
