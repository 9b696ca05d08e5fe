"""Lists of words and of their tags: read, named, and refused where they do not belong together."""

from __future__ import annotations

import json

import pytest

from tuneval.data.formats import feature_names
from tuneval.data.read import read
from tuneval.errors import DataError

WORDS = ["Ada", "Lovelace", "lives", "in", "Paris"]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC"]
NUMBERS = [1, 2, 0, 0, 3]
NAMES = ("O", "B-PER", "I-PER", "B-LOC")


def rows(n=4, **columns):
    return [{"id": str(k), **columns} for k in range(n)]


@pytest.mark.parametrize(
    ("row", "reference"),
    [
        ({"tokens": WORDS, "ner_tags": TAGS}, "ner_tags"),
        ({"words": WORDS, "tags": TAGS}, "tags"),
        ({"tokens": WORDS, "labels": TAGS}, "labels"),
        pytest.param(
            {"tokens": WORDS, "pos_tags": ["N"] * 5, "chunk_tags": ["B-NP"] * 5, "ner_tags": TAGS},
            "ner_tags",
            id="as CoNLL-2003 on the hub",
        ),
    ],
)
def test_tags_are_read(row, reference):
    found = read(rows(**row))
    assert (found.task, found.layout) == ("tag", "tagged words")
    assert found.columns["reference"] == reference
    assert found.labels == ("B-LOC", "B-PER", "I-PER", "O")
    case = found.cases[0]
    assert case.inputs["text"] == "Ada Lovelace lives in Paris"
    assert case.references == ("B-PER I-PER O O B-LOC",)
    assert "Task tag: 20 words in 4 cases, 4 tags." in found.notes


def test_a_column_that_is_named_is_taken():
    found = read(
        rows(tokens=WORDS, pos_tags=["N", "N", "V", "P", "N"], ner_tags=TAGS),
        columns={"reference": "pos_tags"},
    )
    assert found.cases[0].references == ("N N V P N",)


@pytest.mark.parametrize("labels", [NAMES, {"0": "O", "1": "B-PER", "2": "I-PER", "3": "B-LOC"}])
def test_numbers_are_named_by_the_user(labels):
    found = read(rows(tokens=WORDS, ner_tags=NUMBERS), labels=labels)
    assert found.cases[0].references == ("B-PER I-PER O O B-LOC",)
    assert found.labels == NAMES


def test_numbers_without_names_stay_numbers():
    found = read(rows(tokens=WORDS, ner_tags=NUMBERS))
    assert found.cases[0].references == ("1 2 0 0 3",)
    assert found.labels == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": {"names": list(NAMES), "_type": "ClassLabel"}, "_type": "Sequence"},
        {"feature": {"names": list(NAMES), "_type": "ClassLabel"}, "_type": "List"},
        {"sequence": {"class_label": {"names": {str(n): one for n, one in enumerate(NAMES)}}}},
    ],
)
def test_names_that_the_source_declares_for_every_word(feature):
    assert feature_names({"ner_tags": feature, "id": {"_type": "Value"}}) == {"ner_tags": NAMES}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"tokens": WORDS, "ner_tags": TAGS[:4]}, "5 words and 4 tags, expected as many"),
        ({"tokens": [*WORDS[:4], ""], "ner_tags": TAGS}, 'entry 5 of "tokens" is empty'),
        (
            {"tokens": [*WORDS[:4], "New York"], "ner_tags": TAGS},
            'entry 5 of "tokens" ("New York") holds white space, expected one word',
        ),
        ({"tokens": [*WORDS[:4], None], "ner_tags": TAGS}, 'entry 5 of "tokens" is null'),
        ({"tokens": [], "ner_tags": []}, 'field "tokens" is empty'),
        ({"tokens": "Ada Lovelace", "ner_tags": TAGS}, 'field "tokens" is text, expected a list'),
        ({"tokens": WORDS, "ner_tags": [0.5, 1, 0, 0, 0]}, 'entry 1 of "ner_tags" is'),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, row, fault):
    file = tmp_path / "ner.jsonl"
    lines = [*rows(3, tokens=WORDS, ner_tags=TAGS), {"id": "x", **row}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(str(file))
    assert "ner.jsonl: 1 of 4 lines cannot be read." in str(caught.value)
    assert f"line 4: {fault}" in str(caught.value)


def test_a_tag_outside_the_given_set_is_a_fault():
    with pytest.raises(DataError, match='tag "B-LOC" is not one of the 3 labels'):
        read(rows(tokens=WORDS, ner_tags=TAGS), labels=("O", "B-PER", "I-PER"))
