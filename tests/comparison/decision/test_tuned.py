"""Table 9.1: base against tuned, label and exact text."""

from __future__ import annotations

import pytest

from comparison.decision.made import BY_SEEDS, made
from tuneval.comparison.decision.tuned import base_to_tuned

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
            made(0.04, -3.0, 3.1, p=0.9, details={"cases_needed": 209143.0}),
            "unclear",
            "The data cannot tell whether fine-tuning helped: +0.0 points (-3.0 to +3.1). "
            "400 examples detect 5.0 in 80 of 100 test sets.",
            id="nobody wants to settle 0.0",
        ),
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
