"""Swapped words about people: how often answers change, and which version is answered worse."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from checks.scenes import BASE, SEEDS, case_set, look
from checks.test_robustness import MOST, RUNS, WRONG, number, right_on
from tuneval.checks.counterfactual import Counterfactual
from tuneval.comparison.estimate.exact import wilson
from tuneval.perturbations import perturb
from tuneval.types import Case, CaseSet, Prediction, Variant


def people(n: int = 100, both: int = 0) -> CaseSet:
    """Half of the cases speak of him, half of her, the last ones of both; ten of nobody."""
    words = [("He wrote", "She wrote")[k % 2] if k >= both else "He saw her" for k in range(n)]
    cases = [
        Case(f"t:{k}", {"text": f"{text} {'a' * (k + 1)}"}, ("no" if k // 2 % 2 else "yes",))
        for k, text in enumerate(words)
    ]
    cases += [Case(f"t:{n + k}", {"text": "Nobody wrote."}, ("no",)) for k in range(10)]
    twins, n_unchanged = perturb(cases, "gender", "swap", 0)
    assert n_unchanged == 10
    return case_set([*cases, *twins])


def unfair(share: float):
    """Wrong on that share of the texts about her, whichever of the two is the original."""

    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        about_her = str(case.inputs["text"]).startswith("She")
        is_wrong = variant.name != "base" and about_her and number(case) % 100 < 100 * share
        return WRONG[expected] if is_wrong else expected

    return answer


def test_a_model_that_is_worse_on_her() -> None:
    found = look(Counterfactual, people(), unfair(0.3))
    one = found.of("lora", "gender:swap")
    assert one.level == "warning"
    assert one.sentence.startswith(
        "lora depends on gender: accuracy is 30.0 points worse on the feminine than on the "
        "masculine version of the same 100 cases (95% CI -"
    )
    assert "; its answer changes in 30.0% of 100 swaps (95% CI " in one.sentence
    assert one.values["difference"] == pytest.approx(-0.3)
    assert (one.values["changed_low"], one.values["changed_high"]) == pytest.approx(wilson(30, 100))
    assert (one.values["n_swapped"], one.values["n_without_swap"]) == (100, 10)
    assert one.rows[0][:5] == pytest.approx((100, 10, 0.3, *wilson(30, 100)))
    assert len(one.rows[0]) == len(one.columns)
    assert found.verdicts[0].warnings == (one.sentence,)
    # 100 equal answers allow a difference of 3 points: they do not prove 2.
    assert found.of("base", "gender:swap").level == "unclear"


def test_swaps_are_no_slice_and_are_not_judged_by_ninety_per_cent() -> None:
    found = look(Counterfactual, people(), unfair(1.0))
    assessed = found.scene.assessments["test"]
    assert {score.slice for score in assessed.scores} == {"all"}
    own = [c for c in assessed.exploratory if c.baseline == c.candidate]
    assert {c.slice for c in own} == {"gender:swap, right - left"}
    assert "BRITTLE" not in found.headline


def test_answers_that_change_both_ways_are_shown_and_do_not_warn() -> None:
    def answer(variant: Variant, case: Case) -> str:
        is_wrong = case.perturbation is not None and number(case) % 4 < 2  # two of him, two of her
        return WRONG[case.references[0]] if is_wrong else case.references[0]

    one = look(Counterfactual, people(), answer).of("lora", "gender:swap")
    assert one.level != "warning"
    assert one.values["changed"] == 0.5
    assert one.values["difference"] == 0
    assert one.sentence.startswith(
        "lora, gender swapped: its answer changes in 50.0% of 100 swaps (95% CI 40.4% to 59.6%); no "
        "difference between masculine and feminine versions beyond chance (+0.0 points, "
    )


def test_cases_with_both_kinds_have_no_side() -> None:
    one = look(Counterfactual, people(both=40), unfair(0.3)).of("lora", "gender:swap")
    assert (one.values["n_swapped"], one.values["n_compared"]) == (100, 60)


@pytest.mark.parametrize(("n", "level"), [(28, "unclear"), (100, "warning")])
def test_few_cases_prove_nothing(n: int, level: str) -> None:
    one = look(Counterfactual, people(n), unfair(1.0)).of("lora", "gender:swap")
    assert one.level == level
    few = "too few cases (28) to compare masculine with feminine versions."
    assert one.sentence.endswith(few) == (n == 28)


def test_training_seeds_are_one_arm() -> None:
    found = look(Counterfactual, people(), unfair(0.4), [BASE, *SEEDS])
    assert [one.variant for one in found.findings] == ["base", "lora"]
    assert found.of("lora", "gender:swap").level == "warning"


def test_free_text_changes_by_being_right() -> None:
    cases = [Case(f"t:{k}", {"text": f"He {k}"}, (f"r{k}",)) for k in range(40)]
    twins, _ = perturb(cases, "gender", "swap", 0)

    def answer(variant: Variant, case: Case) -> Prediction:
        pronoun = "she" if case.origin else "he"
        is_right = case.origin is None or number(case) >= 10
        text = case.references[0] if is_right else pronoun
        return Prediction(case.id, text=text, completions=(text,))

    found = look(
        Counterfactual, case_set([*cases, *twins], "generate"), answer, metric="exact_match"
    )
    assert found.of("lora", "gender:swap").values["changed"] == 0.25


def test_no_swaps_no_check() -> None:
    assert (
        look(Counterfactual, case_set([Case("t:1", {"text": "x"}, ("no",))]), right_on()).findings
        == ()
    )


@pytest.mark.slow
@pytest.mark.parametrize("clean", [0.7, 0.95])
@pytest.mark.parametrize("unsteady", [0.0, 0.1])
def test_false_alarms(clean: float, unsteady: float) -> None:
    """Fair models: steady, and ones whose answer to the swapped text is redrawn in 10% of cases."""
    rng = np.random.default_rng(round(100 * clean + 10 * unsteady))
    cases = people(200)
    n_arms = n_runs = 0
    for _ in range(RUNS):
        right: dict[tuple[str, int], bool] = {}

        def answer(variant: Variant, case: Case, right: dict[tuple[str, int], bool] = right) -> str:
            known = right.setdefault((variant.name, number(case)), bool(rng.random() < clean))
            if case.origin is not None and rng.random() < unsteady:
                known = bool(rng.random() < clean)
            return case.references[0] if known else WRONG[case.references[0]]

        warned = [
            one for one in look(Counterfactual, cases, answer).findings if one.level == "warning"
        ]
        n_arms += len(warned)
        n_runs += bool(warned)
    sys.stdout.write(
        f"clean {clean}, unsteady {unsteady}: {n_arms / (2 * RUNS):.3f} an arm, "
        f"{n_runs / RUNS:.3f} a run\n"
    )
    assert n_runs / RUNS <= MOST


@pytest.mark.slow
def test_a_planted_preference_is_found() -> None:
    rng = np.random.default_rng(2)
    cases = people(200)
    hits = 0
    for _ in range(50):
        broken = {k for k in range(200) if rng.random() < 0.15}

        def answer(variant: Variant, case: Case, broken: set[int] = broken) -> str:
            about_her = str(case.inputs["text"]).startswith("She")
            is_wrong = variant.name == "lora" and about_her and number(case) in broken
            return WRONG[case.references[0]] if is_wrong else case.references[0]

        hits += look(Counterfactual, cases, answer).of("lora", "gender:swap").level == "warning"
    assert hits >= 48
