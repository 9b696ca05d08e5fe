"""IFEval: every verdict is the official program's; each kind of instruction at its edges."""

from __future__ import annotations

import json

import pytest

from shared import shared_json, shared_path, shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.metrics.ifeval import forms, verdicts
from tuneval.metrics.instructions import CHECKS, follows
from tuneval.types import Case, Prediction

pytest.importorskip("langdetect", reason="langdetect is not installed")
pytest.importorskip("nltk", reason="nltk is not installed")

SYSTEMS = ("gpt-4", "mistral-7b-instruct-v0.3", "qwen2.5-0.5b-instruct-gptq-int4")


def _cases(rows: list[dict]) -> list[Case]:
    asked = {row["key"]: row for row in shared_rows("ifeval", "input_data.jsonl.gz")}
    return [
        Case(
            str(row["key"]),
            {
                "instructions": tuple(
                    json.dumps([kind, {k: v for k, v in own.items() if v is not None}])
                    for kind, own in zip(
                        row["instruction_id_list"], asked[row["key"]]["kwargs"], strict=True
                    )
                )
            },
        )
        for row in rows
    ]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("reading", ["strict", "loose"])
def test_verdicts_are_the_official_program_s(system: str, reading: str) -> None:
    rows = shared_rows("ifeval", "responses", f"{system}.jsonl.gz")
    rows = [row for row in rows if not row["official_result_varies"]]
    cases = _cases(rows)
    got = [
        verdicts(case, row["response"], is_loose=reading == "loose")
        for case, row in zip(cases, rows, strict=True)
    ]
    wrong = [
        (row["key"], row["instruction_id_list"], own, row[reading])
        for row, own in zip(rows, got, strict=True)
        if own != row[reading]
    ]
    assert not wrong
    expected = shared_json("ifeval", "expected.json")[system]["stable_rows_only"]
    answers = [Prediction(c.id, text=row["response"]) for c, row in zip(cases, rows, strict=True)]
    for level in ("prompt", "instruction"):
        metric = build(f"ifeval_{level}_{reading}")
        value = metric.from_totals(metric.per_case(cases, answers).sum(axis=0))
        assert float(value) == pytest.approx(expected[f"{reading}_{level}_accuracy"], abs=1e-12)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_letter_that_is_none_is_counted_as_it_stands(system: str) -> None:
    rows = shared_rows("ifeval", "responses", f"{system}.jsonl.gz")
    rows = [row for row in rows if row.get("literal_letter_count_ok") is not None]
    if not rows:
        pytest.skip(f"no such row of {system} is here")
    for row, case in zip(rows, _cases(rows), strict=True):
        at = row["instruction_id_list"].index("keywords:letter_frequency")
        got = verdicts(case, row["response"], is_loose=False)[at]
        assert got == row["literal_letter_count_ok"]


@pytest.mark.parametrize(
    ("kind", "settings", "yes", "no"),
    [
        ("keywords:existence", {"keywords": ["Cat", "dog"]}, "cats and DOGS", "cats"),
        ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "at least"}, "a A", "a"),
        ("keywords:frequency", {"keyword": "a", "frequency": 2, "relation": "less than"}, "a", "aa"),
        ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "rocks", "Rock!"),
        ("keywords:letter_frequency", {"letter": "!", "let_frequency": 2, "let_relation": "at least"},
         "a!!", "a!"),
        ("language:response_language", {"language": "de"}, "Das ist ein schöner Tag heute.",
         "This is a beautiful day, is it not?"),
        ("language:response_language", {"language": "de"}, "12345", "Voilà une belle journée pour nous."),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"},
         "One. Two.", "Mr. Smith came."),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"},
         "Dr. Smith met e.g. Daleks", "No! Yes?"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***\n",
         "a\n***\n\n***\nb"),
        ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "it's", "it's so"),
        ("length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "so"}, "a\n\n\"So, b", "a\n\nSome b"),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a [b"),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\nP. S. y", "x\nPS y"),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "x\np.p.s y", "x\nP.S. y"),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n** b"),
        ("detectable_format:constrained_response", {}, " My answer is no. ", "My answer: no."),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "*a*", "* \n*"),
        ("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": 2},
         "Day 1 a Day 2 b", "Day one Day 2"),
        ("detectable_format:json_format", {}, "```json\n{\"a\": 1}\n```", "{a: 1}"),
        ("detectable_format:json_format", {}, "[1]", "[" * 100_000),
        ("detectable_format:title", {}, "<<a>>", "<< >>"),
        ("combination:two_responses", {}, "a******b", "a****** a"),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Do it. "}, " do IT. Done", "Done. Do it."),
        ("startend:end_checker", {"end_phrase": "Bye."}, "\"so, bye.\"", "bye. x"),
        ("change_case:capital_word_frequency",
         {"capital_frequency": 2, "capital_relation": "at least"}, "NASA and ESA", "NASA and I-am"),
        ("change_case:english_capital", {}, "THIS IS A LONG SENTENCE IN ENGLISH", "This is it"),
        ("change_case:english_lowercase", {}, "this is a long sentence in english", "This is it"),
        ("punctuation:no_comma", {}, "a; b", "a, b"),
        ("startend:quotation", {}, ' "a" ', '"'),
    ],
)  # fmt: skip
def test_kinds_at_their_edges(kind: str, settings: dict, yes: str, no: str) -> None:
    assert follows(kind, yes, settings)
    assert not follows(kind, no, settings)
    assert not follows(kind, " \n", settings)


def test_there_are_25_kinds_and_the_table_above_has_all() -> None:
    (mark,) = test_kinds_at_their_edges.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(CHECKS)
    assert len(CHECKS) == 25


def test_unknown_kinds_and_cases_without_instructions_are_named() -> None:
    with pytest.raises(MetricError, match='no instruction "a:b"'):
        follows("a:b", "x", {})
    with pytest.raises(MetricError, match='case "7" has no reference: it names no'):
        verdicts(Case("7", {}), "x", is_loose=False)


def test_the_loose_reading_has_eight_forms() -> None:
    assert forms("*a*\nb\n*c*") == (
        "*a*\nb\n*c*", "b\n*c*", "*a*\nb", "b", "a\nb\nc", "b\nc", "a\nb", "b",
    )  # fmt: skip


def test_every_kind_that_was_published_is_known() -> None:
    shared_path("ifeval")
    kinds = {
        one
        for row in shared_rows("ifeval", "input_data.jsonl.gz")
        for one in row["instruction_id_list"]
    }
    assert kinds <= set(CHECKS)
