"""Table 9.8: what a whole run is called, and what its verdicts rest on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison.decision.made import (
    BASE,
    BETTER,
    DONT_KNOW,
    FULL,
    KEPT,
    LEAKED,
    LORA,
    RISING,
    SAME,
    WORSE,
    brittle,
    decided,
    forgot,
    forgot_loss,
    made,
    unread_guard,
    warned_brittle,
)
from comparison.fakes import Accuracy, MeanScore, from_table, measured
from tuneval.comparison import Settings, adjust, compare, decide
from tuneval.comparison.decision.headline import headline
from tuneval.comparison.decision.tuned import (
    NO_FULL,
    ONE_CHECKPOINT,
    TWO_CHECKPOINTS,
    base_to_tuned,
)


@pytest.mark.parametrize(
    ("comparisons", "more", "label", "decision"),
    [
        ([BETTER], {}, "BETTER", "better"),
        ([WORSE], {}, "WORSE", "worse"),
        ([SAME], {}, "NO CHANGE", "equivalent"),
        ([DONT_KNOW], {}, "INCONCLUSIVE", "undecided"),
        ([BETTER], {"learning_curves": [RISING]}, "BETTER, WITH WARNINGS", "better"),
        ([BETTER], {"findings": [warned_brittle()]}, "BETTER, WITH WARNINGS", "better"),
        ([BETTER, brittle()], {}, "BETTER", "better"),
        (
            [BETTER, made(-9, -12, -6, case_set="hard", details={"confirmatory": 0.0})],
            {},
            "BETTER",
            "better",
        ),
        ([BETTER, forgot()], {"general": ["mmlu"]}, "BETTER, WITH WARNINGS", "better"),
        ([DONT_KNOW], {"learning_curves": [RISING]}, "OVERFIT", "undecided"),
        ([SAME], {"findings": [warned_brittle()]}, "BRITTLE", "equivalent"),
        ([DONT_KNOW, forgot()], {"general": ["mmlu"]}, "FORGOT", "undecided"),
        ([WORSE, forgot()], {"general": ["mmlu"]}, "WORSE", "worse"),
        ([forgot()], {"general": ["mmlu"]}, "FORGOT", "undecided"),
        ([forgot(-0.9, -0.1)], {"general": ["mmlu"]}, "INCONCLUSIVE", "undecided"),
        ([KEPT], {"general": ["mmlu"]}, "NO CHANGE", "undecided"),
        (
            [KEPT, forgot_loss(metric="accuracy")],
            {"general": ["mmlu", "wiki"]},
            "FORGOT",
            "undecided",
        ),
        ([BETTER, KEPT], {"general": ["mmlu"]}, "BETTER", "better"),
        ([BETTER, unread_guard()], {"general": ["mmlu"]}, "BETTER", "better"),
        ([unread_guard()], {"general": ["mmlu"]}, "INCONCLUSIVE", "undecided"),
        (
            [DONT_KNOW],
            {"learning_curves": [RISING], "findings": [warned_brittle()]},
            "OVERFIT, BRITTLE",
            "undecided",
        ),
        ([WORSE], {"learning_curves": [RISING]}, "WORSE", "worse"),
        ([BETTER], {"findings": [warned_brittle("base")]}, "BETTER", "better"),
        ([BETTER], {"findings": [warned_brittle(level="clear")]}, "BETTER", "better"),
        ([BETTER, replace(SAME, case_set="b")], {}, "BETTER", "better"),
        ([BETTER, replace(DONT_KNOW, case_set="b")], {}, "BETTER", "better"),
        ([BETTER, replace(WORSE, case_set="b")], {}, "MIXED", "undecided"),
        ([SAME, replace(WORSE, case_set="b")], {}, "WORSE", "worse"),
        ([SAME, replace(DONT_KNOW, case_set="b")], {}, "INCONCLUSIVE", "undecided"),
        ([BETTER], {"findings": [LEAKED]}, "INVALID", "undecided"),
        ([BETTER], {"findings": [replace(LEAKED, flag="")]}, "BETTER, WITH WARNINGS", "better"),
        ([made(5, 2, 8, details={"unparsed_baseline": 0.21})], {}, "INVALID", "undecided"),
        ([made(5, 2, 8, details={"unparsed_candidate": 0.1})], {}, "INCONCLUSIVE", "undecided"),
    ],
)
def test_table_9_8(comparisons, more, label, decision):
    verdicts, overall = decided(*comparisons, **more)
    assert (overall, verdicts[0].headline, verdicts[0].decision) == (label, label, decision)


def test_an_invalid_run_says_why():
    verdicts, _ = decided(made(5, 2, 8, details={"unparsed_candidate": 0.3}), findings=[LEAKED])
    assert verdicts[0].warnings[:2] == (
        LEAKED.sentence,
        "30% of the answers of lora could not be read.",
    )


def test_mixed_tasks_are_listed():
    verdicts, _ = decided(BETTER, replace(WORSE, case_set="sums"))
    assert verdicts[0].reasons[2] == "Better on test; worse on sums."
    assert verdicts[0].reasons[0].startswith("test: Fine-tuning improved accuracy")


def test_two_tuned_variants_that_disagree_are_mixed():
    _, overall = decided(BETTER, replace(WORSE, candidate="full"))
    assert overall == "MIXED"


def test_the_lora_gap_is_unknown_without_full():
    verdicts, _ = decided(BETTER, variants=[BASE, LORA])
    assert verdicts[0].reasons == (
        base_to_tuned(BETTER, "accuracy")[1],
        ONE_CHECKPOINT,
        NO_FULL,
    )


def test_recipes_are_known_by_their_name():
    seeds = [replace(LORA, name=f"s{i}", recipe="lora", training_seed=i) for i in range(3)]
    comparison = made(39.8, 35.1, 44.4, details={"training_seeds_candidate": 3.0})
    verdicts, overall = decided(comparison, variants=[BASE, *seeds, FULL])
    assert overall == "BETTER"
    assert verdicts[0].reasons == (base_to_tuned(comparison, "accuracy")[1],)
    two = replace(comparison, details={**comparison.details, "training_seeds_candidate": 2.0})
    assert decided(two, variants=[BASE, *seeds, FULL])[0][0].reasons[1] == TWO_CHECKPOINTS
    rising = replace(RISING, variant="s1")
    assert decided(comparison, variants=[BASE, *seeds], learning_curves=[rising])[1] == (
        "BETTER, WITH WARNINGS"
    )


def test_a_metric_that_does_not_matter_changes_nothing_but_holm():
    x, y = from_table(60, 20, 200, 120)
    real = compare(measured(x), measured(y, "lora"), Accuracy(), Settings(), case_set="test")
    flat = compare(
        measured([0.5] * 400, metric="token_f1"),
        measured([0.5] * 400, "lora", "token_f1"),
        MeanScore(),
        Settings(),
        case_set="test",
    )
    alone = decided(*adjust([real]))
    beside = decided(*adjust([real], [flat]))
    assert alone == beside
    assert adjust([real, flat])[0].p_adjusted == pytest.approx(2 * real.p_value)


def test_nothing_to_compare_is_inconclusive():
    assert decide(comparisons=(), variants=(), primary_metrics={}) == ((), "INCONCLUSIVE")


def test_headline_of_no_outcomes():
    assert headline([], []) == "INCONCLUSIVE"
