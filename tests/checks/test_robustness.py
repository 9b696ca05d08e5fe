"""Changed inputs: one warning per arm and kind, sums over kinds, arms against each other."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from checks.scenes import BASE, LORA, SEEDS, Found, case_set, look
from tuneval.checks.robustness import Robustness
from tuneval.perturbations import perturb
from tuneval.types import PROMPT_FORMAT, PROMPT_FORMATS, Case, CaseSet, Prediction, Variant

WRONG = {"yes": "no", "no": "yes"}


def originals(n: int = 100) -> list[Case]:
    return [
        Case(f"t:{k}", {"text": f"plain words {k}"}, ("no" if k % 2 else "yes",)) for k in range(n)
    ]


def number(case: Case) -> int:
    return int((case.origin or case.id).split(":")[1])


def twin(case: Case, kind: str, copy: int = 0) -> Case:
    id_ = f"{case.id}~{kind}" + (f":{copy}" if copy else "")
    return replace(case, id=id_, origin=case.id, perturbation=kind, cluster=case.id)


def with_twins(*kinds: str, n: int = 100) -> CaseSet:
    cases = originals(n)
    return case_set([*cases, *(twin(case, kind) for kind in kinds for case in cases)])


def right_on(*shares: tuple[str | None, float]):
    """Answers that are right on the first so many per cent of each kind (None: originals)."""
    wanted = dict(shares)

    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        share = wanted.get(case.perturbation, 1.0)
        return expected if number(case) % 100 < 100 * share else WRONG[expected]

    return answer


def test_the_numbers_of_one_arm_under_one_kind() -> None:
    found = look(Robustness, with_twins("typos:heavy"), right_on((None, 0.8), ("typos:heavy", 0.5)))
    one = found.of("lora", "typos:heavy")
    assert one.level == "warning"
    assert one.flag == "BRITTLE"
    assert one.sentence == (
        "lora is brittle: accuracy falls from 80.0 to 50.0 under typos:heavy (62% of clean). Add "
        "typos:heavy examples to the training data."
    )
    assert one.values["n_changed"] == 100
    assert one.values["right_to_wrong"] == pytest.approx(30 / 80)
    assert one.values["wrong_to_right"] == 0
    assert one.values["consistency"] == pytest.approx(0.7)
    assert one.rows[0] == (100, 0.8, 0.5, 0.625, 0.375, 0.0, pytest.approx(0.7), 0.0)
    assert len(one.columns) == len(one.rows[0])


def test_one_warning_per_arm_and_kind_reaches_the_verdict() -> None:
    answer = right_on(("typos:heavy", 0.5), ("long:4x", 0.6))
    found = look(Robustness, with_twins("typos:heavy", "long:4x"), answer)
    (verdict,) = found.verdicts
    assert [w.split(" under ")[1].split(" ")[0] for w in verdict.warnings] == [
        "typos:heavy",
        "long:4x",
    ]
    assert found.headline == "BRITTLE"


@pytest.mark.parametrize(("base", "is_said"), [(0.3, True), (0.5, False), (0.9, False)])
def test_the_clean_score_of_the_base_is_a_line_beside_the_test(base: float, is_said: bool) -> None:
    tuned, untuned = right_on(("typos:heavy", 0.5)), right_on((None, base), ("typos:heavy", base))

    def answer(variant: Variant, case: Case) -> str:
        return (untuned if variant.name == "base" else tuned)(variant, case)

    one = look(Robustness, with_twins("typos:heavy"), answer).of("lora", "typos:heavy")
    assert one.level == "warning"
    assert one.sentence.endswith("That is still better than the clean 30.0 of base.") == is_said


@pytest.mark.parametrize(
    ("share", "n", "level"),
    [(0.5, 100, "warning"), (0.88, 100, "unclear"), (0.99, 100, "clear"), (0.0, 29, "unclear"),
     (1.0, 29, "unclear"), (1.0, 30, "clear")],
)  # fmt: skip
def test_levels(share: float, n: int, level: str) -> None:
    found = look(Robustness, with_twins("typos:light", n=n), right_on(("typos:light", share)))
    assert found.of("lora", "typos:light").level == level


def test_average_and_worst_case() -> None:
    def answer(variant: Variant, case: Case) -> str:
        """Typos break the first 20, long inputs the last 30."""
        n, expected = number(case), case.references[0]
        is_broken = {"typos:heavy": n < 20, "long:4x": n >= 70}.get(case.perturbation or "", False)
        return WRONG[expected] if is_broken else expected

    found = look(Robustness, with_twins("typos:heavy", "long:4x"), answer)
    one = found.of("lora", "all changed inputs")
    assert one.values["average"] == pytest.approx(0.75)
    assert one.values["average_ratio"] == pytest.approx(0.75)
    assert one.values["worst_case"] == pytest.approx(0.5)
    assert one.values["clean"] == 1.0
    assert 0.38 < one.values["worst_case_low"] < 0.5 < one.values["worst_case_high"] < 0.62
    assert one.sentence == (
        "lora keeps 75% of its clean accuracy on average over 2 kinds of changed input; counting "
        "the worst of each case and its copies, accuracy is 50.0 (100.0 clean, 200 copies of 100 "
        "cases)."
    )


def test_a_larger_drop_is_suggested_and_never_a_warning() -> None:
    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        is_broken = case.perturbation == "typos:heavy" and number(case) < (
            60 if variant.name == "lora" else 10
        )
        return WRONG[expected] if is_broken else expected

    found = look(Robustness, with_twins("typos:heavy", "long:4x"), answer)
    one = found.of("lora", "drops against base")
    assert one.level == "note"
    assert one.sentence.startswith(
        "The data suggest that lora loses more than base under typos:heavy: 50.0 points more (95% CI"
    )
    assert "long:4x" not in one.sentence
    assert one.rows[0][:4] == (
        "typos:heavy",
        pytest.approx(-0.6),
        pytest.approx(-0.1),
        pytest.approx(-0.5),
    )
    explored = found.scene.assessments["test"].exploratory
    assert [c.difference for c in explored if c.slice == "typos:heavy - clean"] == [
        pytest.approx(-0.5)
    ]


def test_equal_drops_are_said_to_be_no_difference() -> None:
    found = look(Robustness, with_twins("typos:heavy"), right_on(("typos:heavy", 0.7)))
    assert found.of("lora", "drops against base").sentence == (
        "lora and base: no difference between their drops beyond chance (1 kind of changed input)."
    )


def test_training_seeds_are_one_arm() -> None:
    rng = np.random.default_rng(0)

    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        is_right = case.perturbation is None or rng.random() < 0.6
        return expected if is_right else WRONG[expected]

    found = look(Robustness, with_twins("typos:heavy"), answer, [BASE, *SEEDS])
    assert {one.variant for one in found.findings} == {"base", "lora"}
    one = found.of("lora", "typos:heavy")
    assert one.level == "warning"
    assert one.values["right_to_wrong"] == pytest.approx(1 - one.values["perturbed"])


def test_unanswered_cases_count_for_nobody() -> None:
    plain = right_on(("typos:heavy", 0.7))

    def answer(variant: Variant, case: Case) -> str | Prediction:
        if variant.name == "base" and case.id in ("t:0", "t:1~typos:heavy"):
            return Prediction(case.id, problem="nonfinite: nan")
        return plain(variant, case)

    found = look(Robustness, with_twins("typos:heavy"), answer)
    assert found.of("lora", "typos:heavy").values["n_changed"] == 98


def test_cut_inputs_are_counted() -> None:
    def answer(variant: Variant, case: Case) -> Prediction:
        cut = case.perturbation is not None and number(case) < 7
        return Prediction(case.id, label=case.references[0], is_truncated=cut)

    one = look(Robustness, with_twins("long:max"), answer, [BASE, *SEEDS]).of("lora", "long:max")
    assert one.values["n_truncated"] == 7
    assert one.sentence.endswith(" 7 of its inputs were cut to fit the context.")


# ---- orders of choices, prompt formats ------------------------------------------------------------


def questions(n: int = 40) -> CaseSet:
    cases = [
        Case(f"q:{k}", {"question": f"Q{k}", "choices": ("w", "x", "y", "z")}, (str(k % 4),))
        for k in range(n)
    ]
    twins, _ = perturb(cases, "choice_order", "all", 0)
    return case_set([*cases, *twins], "multiple_choice")


def test_a_model_that_always_says_a_is_right_in_one_place_only() -> None:
    found = look(Robustness, questions(), lambda variant, case: "0")
    one = found.of("lora", "order of the choices")
    assert one.values == {"mean": 0.25, "lowest": 0.0, "right_under_all": 0.0}
    assert one.rows == (("A", 40, 1.0), ("B", 40, 0.0), ("C", 40, 0.0), ("D", 40, 0.0))
    assert one.sentence == (
        "lora: accuracy is 25.0 over all orders of the choices, between 0.0 with the right choice "
        "at B and 100.0 at A; 0.0% of the cases are right under every order."
    )
    assert found.of("lora", "choice_order:all").values["consistency"] == 0.0


def test_a_model_that_knows_is_right_under_every_order() -> None:
    found = look(Robustness, questions(), lambda variant, case: case.references[0])
    assert found.of("lora", "order of the choices").sentence == (
        "lora: accuracy is 100.0 wherever the right choice stands; 100.0% of the cases are right "
        "under every order."
    )
    assert found.of("lora", "choice_order:all").values["consistency"] == 1.0


def test_spread_over_prompt_formats() -> None:
    cases = originals()
    twins, _ = perturb(cases, "format", "all", 0)
    shares = {None: 0.9, **dict(zip(PROMPT_FORMATS, (0.8, 0.4, 0.9, 0.95), strict=True))}

    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        is_right = number(case) < 100 * shares[case.inputs.get(PROMPT_FORMAT)]  # type: ignore[index]
        return expected if is_right else WRONG[expected]

    found = look(Robustness, case_set([*cases, *twins]), answer)
    one = found.of("lora", "prompt format")
    assert one.values["spread"] == pytest.approx(0.55)
    assert one.sentence == (
        "lora: over 5 prompt formats accuracy lies between 40.0 (capitals) and 95.0 (wide): a "
        "spread of 55.0 points."
    )
    assert found.of("lora", "format:all").sentence.endswith(
        "Vary the prompt format in the training data."
    )


def test_metrics_that_are_no_share_of_right_answers() -> None:
    for metric in ("f1_macro", "auto"):
        found = look(
            Robustness, with_twins("typos:heavy"), right_on(("typos:heavy", 0.6)), metric=metric
        )
        one = found.of("lora", "typos:heavy")
        assert one.level == "warning"
        assert ("right_to_wrong" in one.values) == (metric == "auto")
        assert ("worst_case" in found.of("lora", "all changed inputs").values) == (metric == "auto")


def test_no_twins_no_check() -> None:
    found: Found = look(Robustness, case_set(originals()), right_on())
    assert found.findings == ()
    swapped = case_set([*originals(), *(twin(one, "gender:swap") for one in originals())])
    assert look(Robustness, swapped, right_on()).findings == ()
    assert LORA.kind == "adapter"


# ---- false alarms ---------------------------------------------------------------------------------

RUNS = 200
MOST = 0.05 + 1.645 * (0.05 * 0.95 / RUNS) ** 0.5
"""5%, and what 200 draws of it may show by chance."""


def simulated(rng: np.random.Generator, clean: float, kept: float, n: int = 200):
    """Right with chance ``clean``; the change breaks each right answer with chance 1 - kept and
    mends wrong ones so that both arms drop alike."""
    right = {(arm, k): rng.random() < clean for arm in ("base", "lora") for k in range(n)}

    def answer(variant: Variant, case: Case) -> str:
        expected = case.references[0]
        is_right = right[variant.name, number(case)]
        if case.perturbation is not None and is_right:
            is_right = rng.random() < kept
        elif case.perturbation is not None and kept == 1.0:
            is_right = rng.random() < 0.05
        return expected if is_right else WRONG[expected]

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("clean", [0.6, 0.9, 0.98])
@pytest.mark.parametrize("kept", [1.0, 0.9])
def test_false_alarms(clean: float, kept: float) -> None:
    """A model without a drop, and one that keeps exactly 90%: per kind of change, and per run."""
    rng = np.random.default_rng(round(1000 * clean + 10 * kept))
    cases = with_twins("typos:medium", "long:4x", n=200)
    n_brittle = n_brittle_runs = n_suggested = 0
    for _ in range(RUNS):
        found = look(Robustness, cases, simulated(rng, clean, kept))
        brittle = [one for one in found.findings if one.flag and one.variant == "lora"]
        n_brittle += len(brittle)
        n_brittle_runs += bool(brittle)
        n_suggested += "suggest" in found.of("lora", "drops against base").sentence
    sys.stdout.write(
        f"clean {clean}, kept {kept}: brittle {n_brittle / (2 * RUNS):.3f} a kind, "
        f"{n_brittle_runs / RUNS:.3f} a run of two kinds, difference {n_suggested / RUNS:.3f}\n"
    )
    assert n_brittle / (2 * RUNS) <= MOST
    assert n_suggested / RUNS <= MOST


@pytest.mark.slow
def test_a_planted_weakness_is_found() -> None:
    rng = np.random.default_rng(1)
    cases = with_twins("typos:medium", n=200)
    hits = sum(
        bool(look(Robustness, cases, simulated(rng, 0.95, 0.75)).of("lora", "typos:medium").flag)
        for _ in range(50)
    )
    assert hits >= 45
