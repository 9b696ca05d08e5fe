"""What is compared with what, and what an unanswered case does to the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneval.assess.assess import assess, pairs
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.assess.measure import choose_metrics
from tuneval.comparison import Settings
from tuneval.plan.spec import MetricsSpec
from tuneval.types import Case, CaseSet, Prediction, Variant, arms

BASE = Variant("base", "base", "b")
SEEDS = tuple(Variant(f"lora-{n}", "adapter", "b", adapter=f"a{n}", recipe="lora") for n in (1, 2))
FULL = Variant("full", "full", "f")
SETTINGS = Settings(resamples=200)
CASES = CaseSet(
    name="test",
    source="test.jsonl",
    layout="labelled text",
    task="classify",
    cases=tuple(
        Case(f"test:{n}", {"text": "t"}, ("yes" if n % 2 else "no",), {"writer": "ab"[n % 4 > 1]})
        for n in range(40)
    ),
    labels=("no", "yes"),
)


def predictions(n_right: int) -> list[Prediction]:
    return [
        Prediction(case.id, label=case.references[0] if n < n_right else "no?")
        for n, case in enumerate(CASES.cases)
    ]


def metrics(*names: str) -> tuple[object, ...]:
    return choose_metrics(MetricsSpec(primary=names[0], also=names), CASES)


def test_every_arm_meets_the_baseline_and_every_adapter_every_full() -> None:
    rows = arms([BASE, *SEEDS, FULL, replace(FULL, name="other")])
    assert pairs(rows, "base") == [
        ("base", "lora"),
        ("base", "full"),
        ("base", "other"),
        ("lora", "full"),
        ("lora", "other"),
    ]


def test_the_primary_metric_on_all_cases_is_what_a_verdict_rests_on() -> None:
    answers = {"base": predictions(10), "lora-1": predictions(30), "lora-2": predictions(32)}
    found = assess(
        CASES, metrics("accuracy", "f1_macro"), answers, [BASE, *SEEDS], "base", SETTINGS
    )  # type: ignore[arg-type]
    assert [(one.metric, one.slice) for one in found.confirmatory] == [("accuracy", "all")]
    assert {(one.metric, one.slice) for one in found.exploratory} == {
        ("f1_macro", "all"),
        ("accuracy", "writer=a"),
        ("accuracy", "writer=b"),
    }
    recipe = next(one for one in found.scores if one.variant == "lora" and one.slice == "all")
    assert recipe.training_seeds == (0.75, 0.8)


def test_an_unanswered_case_counts_for_nobody() -> None:
    whole = {"base": predictions(10), "full": predictions(30)}
    broken = {
        **whole,
        "full": [replace(whole["full"][0], problem="nonfinite: nan"), *whole["full"][1:]],
    }
    found = assess(CASES, metrics("accuracy"), broken, [BASE, FULL], "base", SETTINGS)  # type: ignore[arg-type]
    by_name = {one.variant: one for one in found.scores if one.slice == "all"}
    assert by_name["base"].n_cases == by_name["full"].n_cases == 39
    assert by_name["base"].value == pytest.approx(9 / 39)
    assert by_name["full"].value == pytest.approx(29 / 39)
    assert found.case_scores["full"][0] is None
    assert found.case_scores["base"][0] == 1
    flips = found.flips[0]
    assert flips.both_right + flips.both_wrong + len(flips.fixed) + len(flips.broken) == 39


def test_an_unreadable_answer_is_wrong_and_its_share_is_told() -> None:
    answers = {
        "base": predictions(40),
        "full": [Prediction(case.id, problem='unparsed: "x"') for case in CASES.cases],
    }
    found = assess(CASES, metrics("accuracy"), answers, [BASE, FULL], "base", SETTINGS)  # type: ignore[arg-type]
    assert found.confirmatory[0].difference == -1
    assert found.confirmatory[0].details["unparsed_candidate"] == 1
    result = conclude(
        About("x", "0", {}, {}, 0, ""),
        Compared([BASE, FULL], [CASES]),
        Found({"test": answers}, {"test": found}, {"test": "accuracy"}),
    )
    assert result.headline == "INVALID"
    assert result.is_complete


def test_all_completions_of_a_case_count() -> None:
    cases = replace(CASES, task="generate", labels=())
    chosen = choose_metrics(MetricsSpec(primary="exact_match", also=()), cases)

    def answers(n_right: int) -> list[Prediction]:
        said = [("x" if place < n_right else "y") for place in range(4)]
        return [
            Prediction(case.id, text="x", texts=tuple(said[n % 4 :] + said[: n % 4]))
            for n, case in enumerate(cases.cases)
        ]

    cases = replace(cases, cases=tuple(replace(case, references=("x",)) for case in cases.cases))
    base, tuned = answers(1), answers(3)
    base[0] = replace(base[0], texts=("x", None, "y", "y"))
    by_name = {"base": base, "full": tuned}
    found = assess(cases, chosen, by_name, [BASE, FULL], "base", SETTINGS)
    scores = {one.variant: one for one in found.scores if one.slice == "all"}
    assert (scores["base"].value, scores["full"].value) == (0.25, 0.75)
    assert found.case_scores["base"][0] == 0.25
    (compared,) = found.confirmatory
    assert compared.n_cases == 40
    assert compared.difference == 0.5
    assert compared.details["unparsed_baseline"] == pytest.approx(1 / 160)
    assert "worst_case_difference" in compared.details
    assert scores["base"].note.startswith("mean of 4 completions for each case")
    assert found.flips == []
