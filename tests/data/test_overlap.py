"""Leaked rows are found, whatever was done to them on the way; rows that only sound alike are not."""

from __future__ import annotations

import random

import pytest

from shared import shared_rows
from tuneval.data.overlap import Overlap, Text, find_overlap, normalised, text_of
from tuneval.types import Case, Message

LONG = (
    "I was charged twice for the same coffee this morning and would like to know when the second "
    "payment comes back to my account"
)


def only(training: str, test: str, reference: str = "") -> Overlap | None:
    found = find_overlap([Text("train:1", training, "a")], [Text("test:1", test, reference)])
    return found[0] if found else None


@pytest.mark.parametrize(
    ("training", "test", "kind"),
    [
        ("Where is my card?", "where is  MY card", "exact"),
        ("What's the top-up limit?", "What’s the top up limit", "exact"),
        ("ﬁne print", "fine print", "exact"),
        (LONG, LONG.replace("coffee", "tea"), "near"),
        (LONG, LONG.replace("twice", "2x").replace("second", "other"), "near"),
        ("My card has not arrived yet.", "My card has not arrived", "near"),
        (
            f"Well now: {LONG}. Thank you all, and have a very nice day out there.",
            LONG,
            "run of words",
        ),
        (
            "what should I do if my card is lost",
            "what should I do if my card is stolen",
            "run of words",
        ),
        ("how do I activate my card", "how do I cancel my card", None),
        (LONG, "Where is the nearest machine that takes my card", None),
        ("", "", None),
        ("!!!", "???", None),
    ],
)
def test_kinds(training: str, test: str, kind: str | None) -> None:
    found = only(training, test)
    assert (found.kind if found else None) == kind
    if found:
        assert 0 < found.similarity <= 1
        assert (found.case_id, found.training_id) == ("test:1", "train:1")


def test_the_strongest_evidence_counts_and_the_same_answer_is_said() -> None:
    rows = [Text("a", f"{LONG} please", "x"), Text("b", LONG, "other"), Text("c", LONG, "GOLD ")]
    (found,) = find_overlap(rows, [Text("t", LONG, "gold")])
    assert (found.kind, found.training_id, found.has_reference) == ("exact", "c", True)


def test_a_turn_of_phrase_is_no_leak() -> None:
    phrase = "I would like to know how long it takes until"
    rows = [Text(f"r{n}", f"{phrase} {word}") for n, word in enumerate("abcdefghijklm")]
    assert find_overlap(rows, [Text("t", f"{phrase} my parcel")]) == ()
    assert find_overlap(rows[:10], [Text("t", f"{phrase} my parcel")]) != ()


def test_what_a_case_is_compared_by() -> None:
    turns = (
        Message("system", "s"),
        Message("user", "one"),
        Message("assistant", "x"),
        Message("user", "two"),
    )
    assert text_of(Case("1", {"messages": turns}, ("y",))) == Text("1", "one\ntwo", "y")
    assert text_of(Case("2", {"context": "passage", "question": "why"})).text == "why"
    assert text_of(Case("3", {"instruction": "do", "input": "this"})).text == "do\nthis"
    assert text_of(Case("4", {"other": 3})).text == ""


def test_normalised() -> None:
    assert normalised("  Ａ-b,\tC! don’t\n") == "a b c dont"


def _texts(rows: list[dict[str, object]], key: str, label: str, name: str) -> list[Text]:
    return [Text(f"{name}:{n}", str(row[key]), str(row[label])) for n, row in enumerate(rows, 1)]


def banking() -> tuple[list[Text], list[Text]]:
    """Every third training row and every second test row: all labels, a third of the time."""
    return (
        _texts(shared_rows("banking77/train.jsonl.gz")[::3], "text", "category", "train"),
        _texts(shared_rows("banking77/test_half.jsonl.gz")[::2], "text", "category", "test"),
    )


def test_planted_rows_of_real_messages_are_found() -> None:
    training, test = banking()
    natural = {one.case_id for one in find_overlap(training, test)}
    dice = random.Random(5)
    free = [one for one in test if one.id not in natural]
    n = round(0.05 * len(test))
    # One word in twelve can only be changed where there are twelve.
    near = dice.sample([one for one in free if len(one.text.split()) >= 12], n)
    exact = dice.sample([one for one in free if one not in near], n)
    planted = [one._replace(id=f"leak:{one.id}") for one in exact]
    planted += [
        one._replace(id=f"leak:{one.id}", text=_one_in_twelve(dice, one.text)) for one in near
    ]
    found = {one.case_id: one for one in find_overlap([*training, *planted], test)}
    assert all(found[one.id].kind == "exact" for one in exact)
    assert all(found[one.id].has_reference for one in exact)
    assert sum(one.id in found and found[one.id].kind == "near" for one in near) >= 0.95 * n


def _one_in_twelve(dice: random.Random, text: str) -> str:
    words = text.split()
    for at in dice.sample(range(len(words)), len(words) // 12):
        words[at] = "otherwise"
    return " ".join(words)


def test_disjoint_real_files_have_no_copies() -> None:
    questions = _texts(shared_rows("trec6/test_half.jsonl.gz"), "text", "coarse_name", "trec")
    training, messages = banking()
    reviews = _texts(shared_rows("sst2/train.jsonl.gz")[:5_000], "sentence", "label", "sst2")
    assert find_overlap(training, questions) == ()
    assert find_overlap(reviews, messages) == ()


def test_order_of_the_test_file_does_not_matter() -> None:
    training, test = banking()
    test = test[:300]
    forward = find_overlap(training, test)
    assert set(forward) == set(find_overlap(training, test[::-1]))
    assert [one.case_id for one in forward] == [
        one.id for one in test if one.id in {found.case_id for found in forward}
    ]
