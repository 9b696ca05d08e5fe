"""Entities of tags against seqeval, and what its rules make of odd rows of tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metrics.making import made_cases, value, written
from tuneval.metrics import build
from tuneval.metrics.entities import entities
from tuneval.types import Prediction

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "seqeval.json").read_text(encoding="utf-8")
)
NAMES = ("entity_f1", "entity_precision", "entity_recall", "entity_f1_macro", "tag_accuracy")


def tags_of(rows):
    return sorted({tag for row in rows for tag in row.split()})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", range(len(VECTORS["sets"])))
def test_numbers_of_seqeval(number, name):
    given = VECTORS["sets"][number]
    metric = build(name, labels=tags_of(given["expected"] + given["given"]))
    found = value(metric, made_cases(given["expected"]), written(given["given"]))
    assert found == pytest.approx(given[name], abs=1e-12)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-PER I-PER O", {("PER", 1, 2)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        pytest.param("O I-LOC I-LOC", {("LOC", 1, 2)}, id="an I without its B starts one"),
        pytest.param("B-PER I-LOC", {("PER", 0, 0), ("LOC", 1, 1)}, id="another type inside"),
        ("S-PER B-LOC I-LOC E-LOC", {("PER", 0, 0), ("LOC", 1, 3)}),
        pytest.param("E-PER E-PER", {("PER", 0, 0), ("PER", 1, 1)}, id="an E alone is one"),
        pytest.param("B I O B", {("_", 0, 1), ("_", 3, 3)}, id="tags without a type"),
        ("O O", set()),
        ("", set()),
    ],
)
def test_entities_of_tags(tags, expected):
    assert entities(tags.split()) == expected


def test_an_answer_that_failed_has_found_nothing():
    cases = made_cases(["B-PER O", "O B-LOC"])
    given = [Prediction(cases[0].id, text="B-PER O"), Prediction(cases[1].id, problem="unparsed")]
    assert value(build("entity_recall"), cases, given) == 0.5
    assert value(build("entity_precision"), cases, given) == 1.0
    assert value(build("tag_accuracy"), cases, given) == 0.5


@pytest.mark.parametrize(
    ("expected", "given", "f1", "accuracy"),
    [
        pytest.param("B-PER O B-LOC", "B-PER", 2 / 3, 1 / 3, id="two tags too few"),
        pytest.param("B-PER O O", "B-PER O O B-LOC", 2 / 3, 1.0, id="a tag too many"),
    ],
)
def test_another_number_of_tags_than_words(expected, given, f1, accuracy):
    cases = made_cases([expected])
    assert value(build("entity_f1"), cases, written([given])) == pytest.approx(f1)
    assert value(build("tag_accuracy"), cases, written([given])) == pytest.approx(accuracy)


def test_a_type_that_no_tag_names_counts_once_in_the_mean():
    cases = made_cases(["B-PER B-LOC"])
    metric = build("entity_f1_macro", labels=("O", "B-PER", "B-LOC"))
    assert metric.per_case(cases, written(["B-PER B-XYZ"])).shape == (1, 9)
    # PER 1, LOC 0, the other 0
    assert value(metric, cases, written(["B-PER B-XYZ"])) == pytest.approx(1 / 3)
