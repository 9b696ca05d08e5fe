from __future__ import annotations

from collections import Counter

import pytest

from shared import shared_rows
from tuneval.tasks.parse import fold, read_choice, read_label, unparsed
from tuneval.tasks.wording import letter, lettered

INTENTS = {label: label for label in ("login", "billing", "card", "card arrival", "not working")}
MOODS = {"positive": "1", "very positive": "2", "negative": "0"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("billing", "billing"),
        (" Billing\n", "billing"),
        ("\uff22illing", "billing"),
        ("billing.", "billing"),
        ("**billing**", "billing"),
        ("Topic: billing", "billing"),
        ("The topic is billing, surely billing.", "billing"),
        ("card arrival", "card arrival"),
        ("It is about card arrival.", "card arrival"),
        ("card\narrival", "card arrival"),
        ("card", "card"),
        ("a card", "card"),
        ("card, not card arrival", None),
        ("billing or login", None),
        ("login\nbilling", None),
        ("the bill", None),
        ("rebilling", None),
        ("billings", None),
        ("billing_2", None),
        ("", None),
        ("   ", None),
        ("<script>billing</script>", "billing"),
    ],
)
def test_labels(text: str, expected: str | None) -> None:
    assert read_label(text, INTENTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("positive", "1"), ("very positive", "2"), ("It is VERY  positive!", "2"),
        ("negative", "0"), ("positive and negative", None), ("1", None),
    ],
)  # fmt: skip
def test_spellings_stand_for_labels(text: str, expected: str | None) -> None:
    assert read_label(text, MOODS) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("US", "country"), ("us", "pronoun"), ("Us", None), ("the US", None)]
)
def test_case_counts_only_where_it_must(text: str, expected: str | None) -> None:
    assert read_label(text, {"US": "country", "us": "pronoun"}) == expected


@pytest.mark.parametrize("label", ["C++", "(none)", "a|b", ".*", "\u4e2d\u6587"])
def test_labels_are_no_patterns(label: str) -> None:
    spellings = {label: label, "other": "other"}
    assert read_label(f"It is {label} here", spellings) == label
    assert read_label("nothing", spellings) is None


def test_fold() -> None:
    assert fold("  Stra\u00dfe\t\u2460 ") == "strasse 1"


CHOICES = ("a cat", "a dog", "a bird", "C. elegans")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", 1), (" B\n", 1), ("B.", 1), ("(B)", 1), ("[B]", 1), ("B)", 1), ("**B**", 1),
        ("B: a dog", 1), ("B) a dog.", 1), ("B\n\nBecause it barks.", 1), ("a dog", 1),
        ("A dog.", 1), ("Answer: B", 1), ("Answer: (B) a dog", 1), ("**Answer:** B", None),
        ("The answer is B because it barks", 1), ("The correct answer is: B", 1),
        ("The answer is option B.", 1), ("The answer is a dog.", 1), ("the answer is B) a dog", 1),
        ("First I thought the answer is A. No, the answer is B", 1),
        ("B) a cat", None), ("C. elegans", None), ("A dog is what I would say", None),
        ("The answer is A dog", None), ("The answer is A or B", None), ("A) or B)", None),
        ("Answer: A, C", None), ("A, B", None), ("A and B", None), ("(A), (B)", None),
        ("The answer is A or another", 0), ("A, because it purrs", None),
        ("The answer is B, no: answer is E", None),
        ("b", None), ("E", None), ("", None), ("I cannot tell", None), ("A or B", None),
        ("BB", None), ("Bad question", None), ("answer is B's owner", None), ("\u2460", None),
    ],
)  # fmt: skip
def test_choices(text: str, expected: int | None) -> None:
    assert read_choice(text, CHOICES) == expected


def test_six_forms_of_a_right_answer_are_read_right_or_not_at_all() -> None:
    """measurement.md section 14: a search for the first letter reads 23 to 91% of these."""
    outcomes: Counter[tuple[str, object]] = Counter()
    rows = shared_rows("mmlu", "test.jsonl.gz")
    for row in rows:
        choices, right = row["choices"], row["answer"]
        mark = letter(right)
        forms = {
            "with the prompt": f"{row['question']}\n{lettered(choices)}\nAnswer: {mark}",
            "Answer: X": f"Answer: {mark}",
            "X) text": f"{mark}) {choices[right]}",
            "text": choices[right],
            "X": mark,
            "The correct answer is X": f"The correct answer is {mark}",
        }
        for form, text in forms.items():
            index = read_choice(text, choices)
            outcomes[form, None if index is None else index == right] += 1
    for form in forms:
        assert outcomes[form, False] == 0, form
        assert outcomes[form, True] >= 0.999 * len(rows), form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what?", 'unparsed: "what?"'),
        ("\x1b[31mred", "unparsed: '\\x1b[31mred'"),
        ("two\nlines", "unparsed: 'two\\nlines'"),
        ("x" * 100, 'unparsed: "' + "x" * 57 + '..."'),
        ("", 'unparsed: ""'),
    ],
)
def test_unparsed_texts_are_shown_harmless(text: str, expected: str) -> None:
    assert unparsed(text) == expected
