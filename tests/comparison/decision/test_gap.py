"""Table 9.2: an adapter against full fine-tuning, grade, support and exact text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comparison.decision.made import BY_SEEDS, FULL, LORA, decided, gap
from comparison.fakes import Accuracy, from_table, measured
from tuneval.comparison import Settings, adjust, compare, decide
from tuneval.comparison.decision.gap import UNCONVERGED, adapter_to_full
from tuneval.types import Interval, LearningCurve, TrainingLog, VariantFacts

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
