"""Table 9.6: what the base could do before, and whether it was kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison.decision.made import BETTER, KEPT, decided, forgot, forgot_loss
from tuneval.comparison.decision.forgetting import forgetting


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
        (
            replace(KEPT, details={**KEPT.details, "baseline_value": 0.004}),
            "unclear",
            "Nothing could be forgotten on mmlu: the base has 0.4% in accuracy, so this guard says nothing.",
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
