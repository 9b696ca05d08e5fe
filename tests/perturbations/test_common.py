"""What every perturbation promises, run over the whole table and over real sentences."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from shared import shared_path, shared_rows
from tuneval.errors import ConfigError
from tuneval.perturbations import (
    PERTURBATIONS,
    label_words,
    perturb,
    standard_suite,
    understand,
)
from tuneval.registry import load
from tuneval.types import Case, Message

TEXTS = ("casing", "long", "typos")
SWAPS = ("gender", "first_names")
KINDS = [
    (name, level)
    for name in (*TEXTS, *SWAPS, "choice_order", "format")
    for level in load(PERTURBATIONS, name, room="perturbations").levels
]
TEXT_KINDS = [(name, level) for name, level in KINDS if name in TEXTS]

MIXED = [
    Case("t:1", {"text": "Please tell me where my parcel is today."}, ("delivery",), {"g": "x"}),
    Case("t:2", {"question": "Which planet is largest?", "choices": ("Mars", "Jupiter", "Earth")},
         ("1",)),
    Case("t:3", {"messages": (Message("system", "Always answer briefly."),
                              Message("user", "Hello there, good morning."),
                              Message("assistant", "Hello, what happened?"),
                              Message("user", "The payment failed yesterday, twice."))},
         ("billing",)),
    Case("t:4", {"context": "The passage remains whole.", "question": "Which passage remains?"},
         ("whole",), cluster="passage"),
    Case("t:5", {"instruction": "Summarise the message below.", "input": "Something broke here."},
         ("broken",)),
    Case("t:6", {"prompt": "def function():\n", "test": "assert function()"}),
    Case("t:7", {"text": "Emily told John about her parcel."}, ("delivery",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_identity_of_twins(name: str, level: str) -> None:
    twins, n_unchanged = perturb(MIXED, name, level, 0)
    by_id = {case.id: case for case in MIXED}
    assert n_unchanged + len({twin.origin for twin in twins}) == len(MIXED)
    assert len({twin.id for twin in twins}) == len(twins)
    for twin in twins:
        case = by_id[twin.origin or ""]
        assert re.fullmatch(rf"{case.id}~{name}:{level}(:\d+)?", twin.id)
        assert twin.perturbation == f"{name}:{level}"
        assert twin.cluster == (case.cluster or case.id)
        assert twin.groups == case.groups
        assert twin.inputs != case.inputs
        if name != "choice_order":
            assert twin.references == case.references


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_order_and_subset_do_not_matter(name: str, level: str) -> None:
    whole = {twin.id: twin for twin in perturb(MIXED, name, level, 5)[0]}
    backwards = {twin.id: twin for twin in perturb(MIXED[::-1], name, level, 5)[0]}
    alone = {twin.id: twin for case in MIXED for twin in perturb([case], name, level, 5)[0]}
    assert whole == backwards == alone


@pytest.mark.parametrize(("name", "level"), TEXT_KINDS)
def test_only_the_main_text_changes(name: str, level: str) -> None:
    twins = {
        twin.origin: twin
        for seed in range(20)
        for twin in perturb(MIXED, name, level, seed)[0]
    }  # fmt: skip
    assert "t:6" not in twins  # a program
    chat = twins["t:3"].inputs["messages"]
    assert chat[:3] == MIXED[2].inputs["messages"][:3]  # type: ignore[index]
    assert twins["t:4"].inputs["context"] == MIXED[3].inputs["context"]
    assert twins["t:5"].inputs["instruction"] == MIXED[4].inputs["instruction"]
    assert twins["t:2"].inputs["choices"] == MIXED[1].inputs["choices"]


def test_seeds_kinds_and_levels_differ() -> None:
    texts = {
        tuple(twin.inputs["text"] for twin in perturb(MIXED[:1], name, level, seed)[0])
        for seed in (0, 1)
        for name, level in (("typos", "heavy"), ("long", "2x"), ("long", "4x"))
    }
    assert len(texts) == 6


@pytest.mark.parametrize(
    ("name", "level", "options", "expected"),
    [
        ("typo", "light", {}, 'perturbations: there is no "typo" (did you mean "typos"?)'),
        ("typos", "ligth", {}, 'perturbation typos: there is no "ligth" (did you mean "light"?)'),
        ("long", "light", {"factor": 1}, 'long: factor "1" must be a number above 1.'),
        ("long", "light", {"factr": 3},
         'perturbation long: there is no "factr" (did you mean "factor"?)'),
        ("typos", "light", {"levle": 3},
         'perturbation typos: there is no "levle" (did you mean "level"?)'),
        ("paraphrase", "file", {}, "paraphrase: needs a file with id and text."),
        ("gender", "swop", {}, 'perturbation gender: there is no "swop" (did you mean "swap"?)'),
    ],
)  # fmt: skip
def test_what_the_user_can_mend(
    name: str, level: str, options: dict[str, object], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        perturb(MIXED, name, level, 0, **options)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("typos", None, ("medium", {})),
        ("choice_order", None, ("all", {})),
        ("format", None, ("all", {})),
        ("gender", None, ("swap", {})),
        ("long", None, ("2x", {})),
        ("long", "medium", ("4x", {})),
        ("long", "heavy", ("max", {})),
        ("long", "3x", ("2x", {"factor": 3.0})),
        ("long", "2.5x", ("2x", {"factor": 2.5})),
    ],
)
def test_what_stands_after_the_colon(
    name: str, word: str | None, expected: tuple[str, dict[str, object]]
) -> None:
    assert understand(name, word, {}) == expected


def test_the_standard_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneval.perturbations.synonyms.has_wordnet", lambda: False)
    assert standard_suite(MIXED[:1]) == ("casing:medium", "typos:medium", "long:4x")
    assert standard_suite(MIXED)[-1] == "choice_order:all"
    monkeypatch.setattr("tuneval.perturbations.synonyms.has_wordnet", lambda: True)
    assert standard_suite(MIXED[:1])[-1] == "synonyms:medium"


def test_label_words() -> None:
    assert label_words(["card_arrival", "Refund"]) == {"card_arrival", "card", "arrival", "refund"}


# ---- 1,000 real sentences ------------------------------------------------------------------------

NOISE = " See https://example.com/a_b?c=1 or write to bob@example.com, order 1234, don't, never, `x = y`."
"""Appended to real sentences, which hold few of the things to be kept."""

MUST_STAY = re.compile(
    r"https?://\S+|\S+@\S+|`[^`]*`|\d+|\b(?:no|not|never|none|nothing|without)\b|\b\w*n['’]t\b",
    re.I,
)


def sentences() -> list[Case]:
    sst2 = shared_rows("sst2", "validation.jsonl.gz")[:500]
    banking = shared_rows("banking77", "test_half.jsonl.gz")
    chosen = banking[:: max(len(banking) // 500, 1)][:500]
    cases = [Case(f"sst2:{n}", {"text": row["sentence"] + NOISE}) for n, row in enumerate(sst2)]
    cases += [
        Case(f"banking:{n}", {"text": row["text"] + NOISE}, (row["category"],))
        for n, row in enumerate(chosen)
    ]
    return cases


PEOPLE = " Then John and Emily, his sister, wrote to her."
"""Appended for swaps, which need people."""

LEAST_CHANGED = {("typos", "light"): 0.35, ("typos", "medium"): 0.7, ("casing", "light"): 0.3}
"""Shares: short texts often have no word due at a low share, and SST-2 has no capital letters."""


@pytest.fixture(scope="module")
def real() -> tuple[list[Case], frozenset[str]]:
    cases = sentences()
    return cases, label_words(case.references[0] for case in cases if case.references)


def kept_pieces(text: str, words: frozenset[str]) -> Sequence[str]:
    pieces = [m[0].lower() for m in MUST_STAY.finditer(text)]
    return pieces + [w for w in re.findall(r"[a-z]+", text.lower()) if w in words]


@pytest.mark.parametrize(("name", "level"), TEXT_KINDS)
def test_kept_in_a_thousand_real_sentences(
    name: str, level: str, real: tuple[list[Case], frozenset[str]]
) -> None:
    cases, words = real
    by_id = {case.id: case for case in cases}
    twins, n_unchanged = perturb(cases, name, level, 0, words)
    assert len(twins) + n_unchanged == len(cases)
    assert len(twins) >= LEAST_CHANGED.get((name, level), 0.9) * len(cases)
    for twin in twins:
        before, after = str(by_id[twin.origin or ""].inputs["text"]), str(twin.inputs["text"])
        assert kept_pieces(before, words) == kept_pieces(after, words)
    again = {twin.id: twin for twin in perturb(cases[::-7], name, level, 0, words)[0]}
    assert again == {twin.id: twin for twin in twins if twin.id in again}


@pytest.mark.parametrize("name", SWAPS)
def test_swaps_keep_the_same_in_a_thousand_real_sentences(
    name: str, real: tuple[list[Case], frozenset[str]]
) -> None:
    cases, words = real
    cases = [replace(c, inputs={"text": str(c.inputs["text"]) + PEOPLE}) for c in cases]
    by_id = {case.id: case for case in cases}
    twins, n_unchanged = perturb(cases, name, "swap", 0, words)
    assert (len(twins), n_unchanged) == (len(cases), 0)
    for twin in twins:
        before, after = str(by_id[twin.origin or ""].inputs["text"]), str(twin.inputs["text"])
        assert kept_pieces(before, words) == kept_pieces(after, words)
        assert len(before.split()) == len(after.split())
    back = {
        t.origin: t for t in perturb([replace(t, origin=None) for t in twins], name, "swap", 0)[0]
    }
    assert len(back) == len(cases)


def test_choices_of_real_questions_keep_their_answer() -> None:
    rows = shared_rows("mmlu", "dev.jsonl.gz")
    cases = [
        Case(f"mmlu:{n}", {"question": r["question"], "choices": tuple(r["choices"])},
             (str(r["answer"]),))
        for n, r in enumerate(rows)
    ]  # fmt: skip
    twins, n_unchanged = perturb(cases, "choice_order", "all", 0)
    assert (len(twins), n_unchanged) == (3 * len(rows), 0)
    right = {case.id: rows[n]["choices"][rows[n]["answer"]] for n, case in enumerate(cases)}
    for twin in twins:
        choices: tuple[str, ...] = twin.inputs["choices"]  # type: ignore[assignment]
        assert choices[int(twin.references[0])] == right[twin.origin or ""]
    positions = {case.id: {case.references[0]} for case in cases}
    for twin in twins:
        positions[twin.origin or ""].add(twin.references[0])
    assert all(places == {"0", "1", "2", "3"} for places in positions.values())


@pytest.mark.slow  # loading WordNet takes 4 s
def test_synonyms_of_real_sentences(
    monkeypatch: pytest.MonkeyPatch, real: tuple[list[Case], frozenset[str]]
) -> None:
    nltk = pytest.importorskip("nltk")
    folder = shared_path("nltk_data")
    monkeypatch.setattr(nltk.data, "path", [str(folder), *nltk.data.path])
    cases, words = real
    twins, _ = perturb(cases[::10], "synonyms", "heavy", 0, words)
    by_id = {case.id: case for case in cases}
    assert len(twins) >= 50
    for twin in twins:
        before, after = str(by_id[twin.origin or ""].inputs["text"]), str(twin.inputs["text"])
        assert kept_pieces(before, words) == kept_pieces(after, words)
        assert len(before.split()) == len(after.split())


def test_synonyms_without_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("nltk")
    from tuneval.perturbations import synonyms

    def absent() -> object:
        raise ConfigError("perturbation synonyms needs the WordNet data, which are not here.")

    monkeypatch.setattr(synonyms, "_wordnet", absent)
    with pytest.raises(ConfigError, match="needs the WordNet data"):
        perturb([replace(MIXED[0], inputs={"text": "unheard wonder"})], "synonyms", "heavy", 0)


@lru_cache
def questions() -> tuple[Case, ...]:
    with gzip.open(shared_path("squad", "dev_v1.1_subset.json.gz"), "rt") as stream:
        articles = json.load(stream)["data"]
    found = [
        Case(
            one["id"],
            {"context": passage["context"], "question": one["question"]},
            tuple(answer["text"] for answer in one["answers"]),
        )
        for article in articles
        for passage in article["paragraphs"]
        for one in passage["qas"]
    ]
    return tuple(found[:1000])


@pytest.mark.parametrize(
    ("name", "level"), [("typos", "heavy"), ("casing", "heavy"), ("long", "max")]
)
def test_answer_spans_of_a_thousand_real_questions_stay(name: str, level: str) -> None:
    cases = questions()
    by_id = {case.id: case for case in cases}
    twins, _ = perturb(cases, name, level, 0)
    assert len(twins) > 300
    for twin in twins:
        case = by_id[twin.origin or ""]
        assert twin.inputs["context"] == case.inputs["context"]
        for span in case.references:
            before, after = (str(one.inputs["question"]).lower() for one in (case, twin))
            word = rf"(?<!\w){re.escape(span.lower())}(?!\w)"
            assert len(re.findall(word, before)) <= len(re.findall(word, after))


def test_swapped_passages_still_hold_the_answer() -> None:
    cases = questions()
    twins, n_unchanged = perturb(cases, "gender", "swap", 0)
    assert len(twins) > len(cases) / 20
    assert len(twins) + n_unchanged == len(cases)
    for twin in twins:
        assert all(span in str(twin.inputs["context"]) for span in twin.references)


DOCS = Path(__file__).parents[2] / "docs" / "robustness.md"
SHOWN = re.compile(r"^\| `(\w+)` \|.*\| (\w+): `([^`]+)` \|$", re.MULTILINE)


def test_the_documentation_shows_what_happens() -> None:
    page = DOCS.read_text(encoding="utf-8")
    text = re.search(r"^Of `([^`]+)`:$", page, re.MULTILINE)
    assert text is not None
    shown = SHOWN.findall(page)
    assert {name for name, _, _ in shown} == {*TEXTS, *SWAPS}
    for name, level, expected in shown:
        (twin,), _ = perturb([Case("test.jsonl:1", {"text": text[1]})], name, level, 0)
        assert twin.inputs["text"] == expected
    assert {name for name in PERTURBATIONS if f"| `{name}` |" in page} == set(PERTURBATIONS)
