"""Words about people, exchanged exactly; lists of one's own; what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneval.errors import ConfigError, DataError
from tuneval.perturbations import perturb
from tuneval.perturbations.first_names import PAIRS as NAME_PAIRS
from tuneval.perturbations.gender import NAMES, PAIRS
from tuneval.perturbations.swaps import DIRECTION
from tuneval.types import Case, Message


def swap(text: str, name: str = "gender", **options: object) -> tuple[str, object]:
    twins, _ = perturb([Case("t:1", {"text": text}, ("x",))], name, "swap", 0, **options)
    return (str(twins[0].inputs["text"]), twins[0].inputs[DIRECTION]) if twins else (text, None)


@pytest.mark.parametrize(
    ("text", "expected", "direction"),
    [
        ("He lost his card.", "She lost her card.", "right"),
        ("She lost her card.", "He lost his card.", "left"),
        ("I saw her yesterday.", "I saw him yesterday.", "left"),
        ("I saw her, and I told her.", "I saw him, and I told him.", "left"),
        ("I gave her the card and her PIN", "I gave him the card and his PIN", "left"),
        ("I told her that her new card is lost", "I told him that his new card is lost", "left"),
        ("I asked him.", "I asked her.", "right"),
        ("The card is hers, not his.", "The card is his, not hers.", "both"),
        ("SHE'S here, he's not", "HE'S here, she's not", "both"),
        ("He did it himself", "She did it herself", "right"),
        ("My husband and my mother", "My wife and my father", "both"),
        ("Mr. Smith and Mrs Jones", "Ms. Smith and Mr Jones", "both"),
        ("John's card", "Mary's card" if ("John", "Mary") in NAMES else "Patricia's card", "right"),
        ("john wrote, mail he@example.com", "john wrote, mail he@example.com", None),
        ("the theme of other mankind", "the theme of other mankind", None),
        ("I lost my card 1234", "I lost my card 1234", None),
        ("see `he = she`", "see `he = she`", None),
    ],
)
def test_gender(text: str, expected: str, direction: str | None) -> None:
    assert swap(text) == (expected, direction)


@pytest.mark.parametrize(
    ("text", "expected", "direction"),
    [
        ("I am Emily and she is Jamal's.", "I am Lakisha and she is Greg's.", "both"),
        ("GREG called", "JAMAL called", "right"),
        ("emily is no name here", "emily is no name here", None),
    ],
)
def test_first_names(text: str, expected: str, direction: str | None) -> None:
    assert swap(text, "first_names") == (expected, direction)


@pytest.mark.parametrize("pairs", [PAIRS, NAMES, NAME_PAIRS])
def test_no_word_stands_in_two_pairs(pairs: tuple[tuple[str, str], ...]) -> None:
    words = [word.lower() for pair in pairs for word in pair]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.txt", "# mine\nlandlord, landlady\nhe = xe\n"),
        ("w.yaml", "- [landlord, landlady]\n- [he, xe]\n"),
        ("w.yml", "landlord: landlady\nhe: xe\n"),
    ],
)
def test_a_list_of_ones_own_comes_first(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert swap("He is her landlady", file=path) == ("Xe is his landlord", "both")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.txt", "he\na, b, c\n", "w.txt: 2 pairs cannot be read.\n    line 1: not two words"),
        ("w.yaml", "- [he, 3]\n", "pair 1: not two words"),
        ("w.yaml", "just text", "expected a list of pairs"),
        ("w.yaml", "[a", "not YAML that can be read"),
    ],
)
def test_faulty_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        swap("he", file=path)
    assert message in str(caught.value)
    with pytest.raises(DataError, match="cannot be opened"):
        swap("he", file=tmp_path / "absent.txt")
    path.write_text("", encoding="utf-8")
    with pytest.raises((ConfigError, DataError), match="pair"):
        swap("he", file=path)


def test_every_text_of_a_case_is_swapped_and_nothing_else() -> None:
    case = Case(
        "t:1",
        {
            "context": "Anna met her uncle.",
            "question": "Whom did she meet?",
            "choices": ("his aunt", "a friend"),
            "messages": (Message("system", "he"), Message("user", "he"), Message("assistant", "she")),
            "writer": "he",
        },
        ("1",),
    )  # fmt: skip
    (twin,), _ = perturb([case], "gender", "swap", 0)
    inputs = twin.inputs
    assert inputs["context"] == "Peter met his aunt."
    assert inputs["question"] == "Whom did he meet?"
    assert inputs["choices"] == ("her uncle", "a friend")
    assert [one.content for one in inputs["messages"]] == ["he", "she", "he"]  # type: ignore[attr-defined]
    assert inputs["writer"] == "he"
    assert twin.references == ("1",)


@pytest.mark.parametrize("reference", ["his aunt", "She", "female"])
def test_a_case_whose_answer_would_change_is_left_out(reference: str) -> None:
    case = Case("t:1", {"context": "He met his aunt.", "question": "Whom?"}, (reference,))
    assert perturb([case], "gender", "swap", 0) == ((), 1)


def test_label_words_stay() -> None:
    case = Case("t:1", {"text": "He asks about the male ward"}, ("ward",))
    (twin,), _ = perturb([case], "gender", "swap", 0, ["male"])
    assert twin.inputs["text"] == "She asks about the male ward"
