"""One row per row of the verdict tables: label and exact text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comparison.fakes import Accuracy, MeanScore, from_table, measured
from tuneval.comparison import Settings, adjust, compare, decide
from tuneval.comparison.decision.forgetting import forgetting
from tuneval.comparison.decision.gap import UNCONVERGED, adapter_to_full
from tuneval.comparison.decision.headline import headline
from tuneval.comparison.decision.tuned import (
    NO_FULL,
    ONE_CHECKPOINT,
    TWO_CHECKPOINTS,
    base_to_tuned,
)
from tuneval.types import (
    Comparison,
    Finding,
    Interval,
    LearningCurve,
    TrainingLog,
    Variant,
    VariantFacts,
)

BASE = Variant("base", "base", "m")
LORA = Variant("lora", "adapter", "m", adapter="a", training_seed=0)
FULL = Variant("full", "full", "m2")
NEEDED = {"cases_needed": 3917.0, "cases_needed_equivalence": 2141.0}


def made(
    difference,
    low,
    high,
    *,
    low90=None,
    high90=None,
    p=0.001,
    n=400,
    baseline="base",
    candidate="lora",
    case_set="test",
    unit="share",
    detectable=0.05,
    test="McNemar mid-p",
    **more,
):
    """A comparison in shown units (points for a share)."""
    factor = 100 if unit == "share" else 1
    details = {
        "interval90_low": (low if low90 is None else low90) / factor,
        "interval90_high": (high if high90 is None else high90) / factor,
        "margin": 0.02 if unit == "share" else 2.0,
        **NEEDED,
        **more.pop("details", {}),
    }
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        case_set=case_set,
        metric="accuracy",
        slice="all",
        difference=difference / factor,
        interval=Interval(low / factor, high / factor, 0.95, "agresti-min"),
        p_value=p,
        p_adjusted=p,
        test=test,
        n_cases=n,
        detectable_difference=detectable,
        unit=unit,
        details=details,
        **more,
    )


BY_SEEDS = "two-way t over seeds and cases"
WORST = {"worst_case_difference": 0.41, "worst_case_p": 1e-9}
UNCLEAR = (
    "The data cannot tell whether fine-tuning helped: +2.0 points (-1.0 to +5.0). "
    "400 examples detect 5.0 in 80 of 100 test sets; about 3917 would settle a difference of 2.0."
)


@pytest.mark.parametrize(
    ("comparison", "outcome", "text"),
    [
        pytest.param(
            made(39.8, 35.1, 44.4),
            "better",
            "Fine-tuning improved accuracy by +39.8 points over the base model "
            "(95% CI +35.1 to +44.4, n=400).",
            id="better",
        ),
        pytest.param(
            made(-4.2, -7.0, -1.4),
            "worse",
            "Fine-tuning made accuracy worse by 4.2 points (-7.0 to -1.4). Check the prompt "
            "template used at training time, the learning rate and the label order before "
            "changing the rank.",
            id="worse",
        ),
        pytest.param(
            made(0.1, -0.9, 1.1, low90=-0.7, high90=0.9, p=0.8),
            "no change",
            "accuracy did not change by more than 1 point in either direction.",
            id="no real change",
        ),
        pytest.param(made(2.0, -1.0, 5.0, p=0.2), "unclear", UNCLEAR, id="unclear"),
        pytest.param(
            made(2.0, 0.1, 3.9, p=0.06),
            "unclear",
            "The data cannot tell whether fine-tuning helped: +2.0 points (+0.1 to +3.9 for this "
            "comparison alone; adjusted p=0.060). 400 examples detect 5.0 in 80 of 100 test sets; about 3917 would settle a difference of 2.0.",
            id="interval above 0 but not after Holm",
        ),
        pytest.param(
            made(30, 8, 52, n=20, detectable=0.27, details={"cases_needed": 12.0}, test=BY_SEEDS),
            "unclear",
            "The data cannot tell whether fine-tuning helped: +30.0 points (+8.0 to +52.0). "
            "20 examples detect 27.0 in 80 of 100 test sets; about 30 would settle a difference of 30.0.",
            id="fewer than 30 cases",
        ),
        pytest.param(
            made(100, 80.4, 100, n=29, test="McNemar exact"),
            "better",
            "Fine-tuning improved accuracy by +100.0 points over the base model "
            "(95% CI +80.4 to +100.0, n=29).",
            id="an exact test needs no 30 cases",
        ),
        pytest.param(
            made(51, 47.7, 54.1, details={"unparsed_baseline": 0.1, **WORST}),
            "better",
            "Fine-tuning improved accuracy by +51.0 points over the base model (95% CI +47.7 to "
            "+54.1, n=400). Had every unread answer spoken against it, +41.0 points would be left.",
            id="whatever the unread answers were",
        ),
        pytest.param(
            made(0.04, 0.0, 0.1, n=14_042),
            "better",
            "Fine-tuning improved accuracy by less than 0.1 points over the base model "
            "(95% CI +0.0 to +0.1, n=14042).",
            id="too small to print",
        ),
        pytest.param(
            made(0, -2, 2, p=1.0, details={"discordant_share": 0.0, "baseline_value": 0.798}),
            "unclear",
            "The data cannot tell whether fine-tuning helped. Both have the same accuracy on each of "
            "the 400 cases; so many equal cases still allow a difference of 2.0 points.",
            id="identical",
        ),
        pytest.param(
            made(0, -2, 2, p=1.0, details={"discordant_share": 0.0, "baseline_value": 0.0}),
            "unclear",
            "The data cannot tell whether fine-tuning helped. Both score 0.0 in accuracy on all 400 "
            "cases, which are too hard to tell them apart; so many equal cases still allow a "
            "difference of 2.0 points.",
            id="floor",
        ),
        pytest.param(
            made(5, 2, 8, details={"unparsed_baseline": 0.06}),
            "unclear",
            "The data cannot tell whether fine-tuning helped: +5.0 points (+2.0 to +8.0). "
            "400 examples detect 5.0 in 80 of 100 test sets; about 3917 would settle a difference of 5.0.",
            id="too many unparsed",
        ),
        pytest.param(
            made(-3.21, -4, -2.4, unit="perplexity", higher_is_better=False, detectable=1.1),
            "better",
            "Fine-tuning improved accuracy by 3.21 over the base model "
            "(95% CI -4.00 to -2.40, lower is better, n=400).",
            id="less is better",
        ),
        pytest.param(
            made(-0.25, -0.3, -0.2, unit="nats", higher_is_better=False, detectable=0.1),
            "better",
            "Fine-tuning improved accuracy by 0.250 nats over the base model "
            "(95% CI -0.300 to -0.200, lower is better, n=400).",
            id="nats",
        ),
        pytest.param(
            made(-2.3, -4.4, -0.2, unit="points"),
            "worse",
            "Fine-tuning made accuracy worse by 2.3 points (-4.4 to -0.2). Check the prompt "
            "template used at training time, the learning rate and the label order before "
            "changing the rank.",
            id="BLEU on 0-100",
        ),
        pytest.param(
            made(0.0, -1.5, 1.5, p=1.0),
            "unclear",
            "The data cannot tell whether fine-tuning helped: +0.0 points (-1.5 to +1.5). "
            "400 examples detect 5.0 in 80 of 100 test sets.",
            id="difference 0 needs no number of cases",
        ),
    ],
)
def test_table_9_1(comparison, outcome, text):
    assert base_to_tuned(comparison, "accuracy") == (outcome, text)


@pytest.mark.parametrize(
    ("comparison", "text"),
    [
        (
            made(4.7, 1.1, 8.3, details={"n_clusters": 51.0}),
            "lora is better than base in accuracy by +4.7 points "
            "(95% CI +1.1 to +8.3, n=400, 51 independent).",
        ),
        (
            made(-4.7, -8.3, -1.1),
            "lora is worse than base in accuracy by 4.7 points (-8.3 to -1.1).",
        ),
        (
            made(2.0, -1.0, 5.0, p=0.2, details={"n_clusters": 51.0}),
            "The data cannot tell lora from base in accuracy: +2.0 points (-1.0 to +5.0). "
            "51 independent examples detect 5.0 in 80 of 100 test sets.",
        ),
    ],
)
def test_two_systems_of_which_none_is_known_to_be_the_base(comparison, text: str) -> None:
    assert base_to_tuned(comparison, "accuracy", is_tuning=False)[1].startswith(text.rstrip("."))


def gap(value, low90, high90, **more):
    return made(
        value,
        low90 - 1,
        high90 + 1,
        low90=low90,
        high90=high90,
        baseline="lora",
        candidate="full",
        **more,
    )


ENOUGH = {"only_candidate_right": 30.0, "only_baseline_right": 25.0}


@pytest.mark.parametrize(
    ("comparison", "grade", "support", "text"),
    [
        pytest.param(
            gap(-1.5, -2.8, -0.2),
            "lora ahead",
            "proved",
            "LoRA is ahead of full fine-tuning by 1.5 points.",
            id="ahead, proved",
        ),
        pytest.param(
            gap(-0.5, -2.0, 1.0, p=0.5),
            "lora ahead",
            "suggested",
            "LoRA looks ahead of full fine-tuning by 0.5 points.",
            id="ahead, suggested",
        ),
        pytest.param(
            gap(-0.5, -3.0, 2.5, p=0.5),
            "lora ahead",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: -0.5 points "
            "(90% CI -3.0 to +2.5, n=400).",
            id="ahead, undecided",
        ),
        pytest.param(
            gap(0.4, -0.9, 1.7, details=ENOUGH),
            "excellent",
            "proved",
            "LoRA is within 2 points of full fine-tuning (gap 0.4). Keep LoRA.",
            id="excellent, proved",
        ),
        pytest.param(
            gap(1.2, -0.7, 3.1),
            "excellent",
            "suggested",
            "The gap looks excellent (1.2 points), but 400 examples allow a gap up to 3.1. "
            "About 2141 would prove it.",
            id="excellent, suggested",
        ),
        pytest.param(
            gap(1.2, -3.7, 6.1),
            "excellent",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: +1.2 points "
            "(90% CI -3.7 to +6.1, n=400).",
            id="excellent, undecided",
        ),
        pytest.param(
            gap(3.3, 2.2, 4.4),
            "acceptable",
            "proved",
            "LoRA is 3.3 points behind full fine-tuning: acceptable for most uses; try a higher "
            "rank if quality matters more than size.",
            id="acceptable, proved",
        ),
        pytest.param(
            gap(3.3, 1.2, 4.4),
            "acceptable",
            "suggested",
            "LoRA looks 3.3 points behind full fine-tuning: acceptable for most uses; try a "
            "higher rank if quality matters more than size.",
            id="acceptable, suggested",
        ),
        pytest.param(
            gap(3.3, 1.2, 5.4),
            "acceptable",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: +3.3 points "
            "(90% CI +1.2 to +5.4, n=400).",
            id="acceptable, undecided",
        ),
        pytest.param(
            gap(7.0, 5.5, 8.5),
            "large",
            "proved",
            "LoRA is 7.0 points behind full fine-tuning. Raise the rank (r 8 -> 16), add target "
            "modules (all linear layers), or train longer.",
            id="large, proved",
        ),
        pytest.param(
            gap(7.0, 4.5, 9.5),
            "large",
            "suggested",
            "LoRA looks 7.0 points behind full fine-tuning; confirm with more data before "
            "spending a training run.",
            id="large, suggested",
        ),
        pytest.param(
            gap(7.0, 1.5, 12.5),
            "large",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: +7.0 points "
            "(90% CI +1.5 to +12.5, n=400).",
            id="large, undecided",
        ),
        pytest.param(
            gap(7.0, 5.5, 8.5, n=29, test=BY_SEEDS),
            "large",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: +7.0 points "
            "(90% CI +5.5 to +8.5, n=29).",
            id="fewer than 30 cases",
        ),
        pytest.param(
            gap(0.5, 0.1, 0.9, unit="nats", p=0.06),
            "large",
            "undecided",
            "The data cannot tell how far LoRA is from full fine-tuning: +0.500 nats "
            "(90% CI +0.100 to +0.900, n=400).",
            id="no grades without points",
        ),
    ],
)
def test_table_9_2(comparison, grade, support, text):
    found = adapter_to_full(comparison, rank=8)
    assert (found.grade, found.support, found.text) == (grade, support, text)


def test_large_gap_of_an_overfitted_adapter_advises_fewer_epochs():
    found = adapter_to_full(gap(7.0, 5.5, 8.5), rank=None, is_overfitted=True)
    assert found.text == (
        "LoRA is 7.0 points behind full fine-tuning. Raise the rank, add target modules "
        "(all linear layers), or reduce epochs."
    )


def test_an_adapter_on_all_linear_layers_is_not_sent_there():
    found = adapter_to_full(gap(7.0, 5.5, 8.5), rank=8, acts_everywhere=True)
    assert found.text == (
        "LoRA is 7.0 points behind full fine-tuning. Raise the rank (r 8 -> 16) or train longer."
    )
    settings = {"r": "8", "covers": "all linear layers"}
    facts = VariantFacts("lora", "f", "hf", "cpu", "float32", 1, settings=settings)
    assert decided(gap(7.0, 5.5, 8.5), facts=[facts])[0][0].reasons[0] == found.text


def test_the_gap_reads_the_same_from_either_side():
    there = gap(3.3, 1.2, 4.4)
    back = replace(
        there,
        baseline="full",
        candidate="lora",
        difference=-there.difference,
        interval=Interval(-there.interval.high, -there.interval.low, 0.95, "agresti-min"),
        details={
            **there.details,
            "interval90_low": -there.details["interval90_high"],
            "interval90_high": -there.details["interval90_low"],
        },
    )
    assert adapter_to_full(back, is_adapter_baseline=False) == adapter_to_full(there)


@pytest.mark.parametrize(
    ("only_full", "only_lora", "n", "is_proved"),
    [
        (3, 3, 200, False),
        (0, 0, 200, True),
        (0, 0, 100, False),
        (5, 5, 2000, True),
        (22, 20, 14_042, True),
    ],
)
def test_closeness_needs_enough_cases_not_disagreements(only_full, only_lora, n, is_proved):
    rest = n - only_full - only_lora
    x, y = from_table(only_full, only_lora, rest, 0)
    c = compare(measured(x, "lora"), measured(y, "full"), Accuracy(), Settings(), case_set="t")
    verdicts, _ = decide(
        comparisons=adjust([c]), variants=[LORA, FULL], primary_metrics={"t": "accuracy"}
    )
    assert (verdicts[0].headline == "EXCELLENT") is is_proved
    assert (verdicts[0].decision == "equivalent") is is_proved


def decided(*comparisons, **more):
    more.setdefault("variants", [BASE, LORA, FULL])
    more.setdefault("primary_metrics", {c.case_set: "accuracy" for c in comparisons})
    return decide(comparisons=comparisons, **more)


BETTER = made(39.8, 35.1, 44.4)
WORSE = made(-4.2, -7.0, -1.4)
SAME = made(0.1, -0.9, 1.1, low90=-0.7, high90=0.9, p=0.8)
DONT_KNOW = made(2.0, -1.0, 5.0, p=0.2)
LOG = TrainingLog((), (), (10, 20, 30), (1.0, 1.2, 1.5), 10, "trainer_state.json")
RISING = LearningCurve("lora", LOG, "Validation loss rose.", is_overfitted=True)


def brittle(name="lora", high=-0.02):
    return replace(
        made(-17.7, -20, -15, baseline=name, candidate=name),
        slice="long",
        details={
            "clean": 0.953,
            "perturbed": 0.776,
            "ratio": 0.814,
            "kept_low": -0.12,
            "kept_high": high,
        },
    )


LEAKED = Finding(
    "contamination", "", "test", "train.jsonl", "warning", "6 of 100 cases leaked.", flag="INVALID"
)


def warned_brittle(name="lora", level="warning"):
    return Finding("robustness", name, "test", "long", level, "is brittle.", flag="BRITTLE")


def forgot(value=-3.0, high=-1.0, p=0.001):
    return made(value, value - 3, high, case_set="mmlu", p=p)


KEPT = made(-0.1, -0.6, 0.4, case_set="mmlu")


def unread_guard():
    """A fine-tune that answers the guard in its own words is no reason to call a run invalid."""
    return made(-30, -40, -20, case_set="mmlu", details={"unparsed_candidate": 0.4})


def forgot_loss(
    base=10.0, tuned=10.6, *, unit="perplexity", metric="perplexity", half=0.3, p_adjusted=0.001
):
    rise = tuned - base
    return replace(
        made(0, -1, 1),
        case_set="wiki",
        metric=metric,
        unit=unit,
        higher_is_better=False,
        difference=rise,
        interval=Interval(rise - half, rise + half, 0.95, "bca"),
        p_adjusted=p_adjusted,
        details={
            "baseline_value": base,
            "candidate_value": tuned,
            "interval90_low": rise - 0.8 * half,
            "interval90_high": rise + 0.8 * half,
        },
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


@pytest.mark.parametrize(
    ("comparison", "text"),
    [
        (
            forgot(),
            "General ability fell 3.0 points on mmlu. Mix in general data, lower the learning "
            "rate, or use LoRA instead of full fine-tuning.",
        ),
        (forgot(-0.9, -0.1), None),
        (forgot(-3.0, 0.1, p=0.06), None),
    ],
)
def test_table_9_6(comparison, text):
    verdicts, _ = decided(BETTER, comparison, general=["mmlu"])
    assert verdicts[0].warnings == ((text,) if text else ())


@pytest.mark.parametrize(
    ("comparison", "outcome", "text"),
    [
        (
            forgot_loss(10.0, 10.5),  # ln 10 -> ln 10.5 is +2.1%
            "forgot",
            "General ability fell on wiki: perplexity rose from 10.00 to 10.50. Mix in general data, "
            "lower the learning rate, or use LoRA instead of full fine-tuning.",
        ),
        (
            forgot_loss(10.0, 10.4),
            "unclear",
            "The data cannot tell whether perplexity on wiki was kept: +0.40 (95% CI +0.10 to +0.70, "
            "n=400).",
        ),
        (
            forgot_loss(1.0, 1.1, unit="bits", metric="bits_per_byte", half=0.05),
            "forgot",
            "General ability fell on wiki: bits_per_byte rose from 1.000 to 1.100 bits. Mix in "
            "general data, lower the learning rate, or use LoRA instead of full fine-tuning.",
        ),
        (
            forgot_loss(1.0, 1.01, unit="bits", metric="bits_per_byte", half=0.005),
            "kept",
            "bits_per_byte on wiki was kept: +0.010 bits (95% CI +0.005 to +0.015, n=400).",
        ),
        (
            forgot_loss(10.0, 12.0, p_adjusted=0.2),
            "unclear",
            "The data cannot tell whether perplexity on wiki was kept: +2.00 (95% CI +1.70 to +2.30, "
            "n=400).",
        ),
        (
            replace(forgot_loss(), interval=None, note="one case: no interval"),
            "unclear",
            "The data cannot tell whether perplexity on wiki was kept: one case: no interval.",
        ),
        (KEPT, "kept", "accuracy on mmlu was kept: -0.1 points (95% CI -0.6 to +0.4, n=400)."),
    ],
)
def test_guards(comparison, outcome, text):
    assert forgetting(comparison, comparison.case_set) == (outcome, text)


def test_a_guard_that_was_kept_is_said():
    verdicts, _ = decided(BETTER, KEPT, general=["mmlu"])
    assert verdicts[0].reasons[-1] == (
        "accuracy on mmlu was kept: -0.1 points (95% CI -0.6 to +0.4, n=400)."
    )
    assert not verdicts[0].warnings


def test_adapter_against_full_is_no_question_of_forgetting():
    pair = replace(forgot(), baseline="lora", candidate="full")
    verdicts, overall = decided(
        forgot(), replace(forgot(), candidate="full"), pair, general=["mmlu"]
    )
    assert [(one.baseline, one.candidate) for one in verdicts] == [
        ("base", "lora"),
        ("base", "full"),
    ]
    assert overall == "FORGOT"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (
            -0.12,
            -0.02,
            "lora is brittle: accuracy falls from 95.3 to 77.6 under long (81% of clean). "
            "Add long examples to the training data.",
        ),
        (0.01, 0.05, "lora keeps 81% of its clean accuracy under long."),
        (
            -0.01,
            0.01,
            "81% of clean accuracy under long: too few examples (400) to say whether that is "
            "below 90%.",
        ),
    ],
)
def test_table_9_3(low, high, text):
    from tuneval.comparison.beyond.robustness import robustness_sentence

    finding = brittle(high=high)
    finding = replace(finding, details={**finding.details, "kept_low": low})
    assert robustness_sentence(finding, "accuracy") == text


def test_the_lora_gap_is_unknown_without_full():
    verdicts, _ = decided(BETTER, variants=[BASE, LORA])
    assert verdicts[0].reasons == (
        base_to_tuned(BETTER, "accuracy")[1],
        ONE_CHECKPOINT,
        NO_FULL,
    )


def test_rank_and_convergence_go_into_the_advice():
    falling = TrainingLog(
        tuple(range(40)), tuple(np.linspace(3, 1, 40)), (10,), (1.0,), 10, "trainer_state.json"
    )
    facts = VariantFacts("lora", "f", "hf", "cpu", "float32", 1, settings={"r": "8"})
    verdicts, overall = decided(
        gap(7.0, 5.5, 8.5),
        facts=[facts],
        learning_curves=[LearningCurve("lora", falling, "falling", is_overfitted=False)],
    )
    assert "(r 8 -> 16)" in verdicts[0].reasons[0]
    assert verdicts[0].reasons[1] == UNCONVERGED
    assert (verdicts[0].headline, overall) == ("LARGE GAP", "LARGE GAP")
    assert verdicts[0].decision == "better"


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
