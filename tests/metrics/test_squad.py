"""SQuAD scores against the official programs' figures, over the official nested files."""

import gzip
import json

import pytest

from metrics.making import made_cases, value, vector, written
from shared import shared_figures, shared_path
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.types import Case, Prediction

SYSTEMS = [
    *(("v2.0", name) for name in ("bert_single_google", "nlnet_msra", "bidaf_selfattn_elmo_ai2")),
    *(
        ("v1.1", name)
        for name in (
            *("logreg_baseline_stanford", "match_lstm_smu", "slqa_alibaba"),
            *("bert_ensemble_google", "rnet_plus_msra"),
        )
    ),
]


def zipped(*parts):
    with gzip.open(shared_path(*parts), "rt", encoding="utf-8") as file:
        return json.load(file)


def questions(version):
    return [
        Case(id=qa["id"], inputs={}, references=tuple(one["text"] for one in qa["answers"]))
        for article in zipped("squad", f"dev_{version}_subset.json.gz")["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


@pytest.mark.parametrize(("version", "system"), SYSTEMS)
def test_official_figures(version, system):
    expected = shared_figures("squad", "expected_scores.json", of=(version, system))
    cases = questions(version)
    texts = zipped("squad", f"predictions_{version}", f"{system}.json.gz")
    answers = [
        Prediction(
            case_id=case.id,
            text=texts.get(case.id),
            problem=None if case.id in texts else "unanswered",
        )
        for case in cases
    ]
    prefix, exact = ("squad_v1", "exact_match") if version == "v1.1" else ("squad", "exact")
    em, f1 = build(f"{prefix}_em"), build(f"{prefix}_f1")
    assert 100 * value(em, cases, answers) == pytest.approx(expected[exact], abs=1e-9)
    assert 100 * value(f1, cases, answers) == pytest.approx(expected["f1"], abs=1e-9)
    assert len(cases) == expected["total"]
    if version == "v2.0":
        has_answer = [bool(case.references) for case in cases]
        rows = f1.per_case(cases, answers)
        for key, wanted in (("HasAns_f1", True), ("NoAns_f1", False)):
            chosen = rows[[flag == wanted for flag in has_answer]]
            assert 100 * f1.from_totals(chosen.sum(axis=0)) == pytest.approx(
                expected[key], abs=1e-9
            )


def test_vector_squad():
    given = vector("squad_em_f1")
    items = given["input"]["items"]
    cases = made_cases([item["golds"] for item in items])
    answers = written([item["prediction"] for item in items])
    for name, key in (("squad_em", "em"), ("squad_f1", "f1")):
        found = build(name).per_case(cases, answers)[:, 0]
        assert found == pytest.approx(given["expected"][key], abs=given["tolerance"])
    assert 100 * value(build("squad_f1"), cases, answers) == pytest.approx(
        given["expected"]["corpus_f1"], abs=given["tolerance"]
    )


@pytest.mark.parametrize(
    ("expected", "given", "em", "f1"),
    [
        pytest.param("twenty-one", "twentyone", 1, 1, id="punctuation is removed, not spaced"),
        pytest.param("The  Tower", "tower", 1, 1, id="articles and spaces"),
        pytest.param("x b b", "b b c", 0, 2 / 3, id="words count as often as they occur"),
        pytest.param("x", "y", 0, 0, id="nothing shared"),
    ],
)
def test_rules(expected, given, em, f1):
    cases, answers = made_cases([expected]), written([given])
    for prefix in ("squad", "squad_v1"):
        assert value(build(f"{prefix}_em"), cases, answers) == em
        assert value(build(f"{prefix}_f1"), cases, answers) == pytest.approx(f1)


def test_two_empty_answers_agree_under_2_0_only():
    cases, answers = made_cases(["the"]), written(["a"])
    assert value(build("squad_f1"), cases, answers) == 1
    assert value(build("squad_v1_f1"), cases, answers) == 0


def test_a_failed_prediction_is_no_right_silence():
    silent = [Prediction(case_id="x", problem="nonfinite: nan logits")]
    assert value(build("squad_em"), made_cases([()]), silent) == 0
    assert value(build("squad_em"), made_cases([()]), written([""])) == 1


def test_1_1_knows_no_unanswerable_question():
    with pytest.raises(MetricError, match=r'no answer, which SQuAD 1\.1.*Use "squad_f1"'):
        build("squad_v1_f1").per_case(made_cases([()]), written(["x"]))
