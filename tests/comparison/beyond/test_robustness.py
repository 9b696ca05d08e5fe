"""judge_robustness: the 90% test on a variant's own clean cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comparison.decision.made import brittle
from comparison.fakes import Accuracy, MacroF1, Perplexity, f1_rows, measured
from tuneval.comparison import Settings, judge_robustness
from tuneval.comparison.beyond.robustness import support
from tuneval.errors import MetricError

SETTINGS = Settings()


def judged(clean, perturbed, metric=None, copies=1, **more):
    metric = metric or Accuracy()
    n = len(clean[0].case_ids)
    origins = {f"p{i}": f"c{i % n}" for i in range(n * copies)}
    return judge_robustness(
        clean,
        perturbed,
        metric,
        SETTINGS,
        case_set="t",
        kind="typos:medium",
        origins=origins,
        name="lora",
        **more,
    )


def shares(n, right, prefix="c"):
    return measured([1] * round(n * right) + [0] * (n - round(n * right)), "lora", prefix=prefix)


@pytest.mark.parametrize(
    ("right", "found"), [(0.60, "brittle"), (0.93, "robust"), (0.85, "unclear")]
)
def test_support(right, found):
    result = judged([shares(200, 0.95)], [shares(200, right, "p")])
    assert support(result) == found
    assert result.details["ratio"] == pytest.approx(right / 0.95)
    assert (result.baseline, result.candidate, result.slice) == ("lora", "lora", "typos:medium")
    assert result.difference == pytest.approx(right - 0.95)


@pytest.mark.parametrize(("n", "found"), [(29, "unclear"), (30, "robust")])
def test_few_cases_that_all_stay_right_prove_nothing(n, found):
    assert support(judged([shares(n, 1)], [shares(n, 1, "p")])) == found


def test_copies_of_a_case_are_averaged():
    rng = np.random.default_rng(0)
    clean = [shares(50, 0.9)]
    once = rng.integers(0, 2, 50).astype(float)
    single = judged(clean, [measured(once, "lora", prefix="p")])
    triple = judged(clean, [measured(np.tile(once, 3), "lora", prefix="p")], copies=3)
    assert triple.details == pytest.approx(single.details)
    assert triple.n_cases == 50


def test_seeds_and_sums():
    rng = np.random.default_rng(0)
    reference = np.arange(90) % 3

    def side(share, prefix):
        made = []
        for s in range(3):
            wrong = rng.random(90) < share
            rows = f1_rows(reference, np.where(wrong, (reference + 1) % 3, reference), range(3))
            made.append(measured(None, f"s{s}", "f1_macro", rows, prefix))
        return made

    result = judged(side(0.03, "c"), side(0.5, "p"), MacroF1())
    assert support(result) == "brittle"
    assert result.details["kept_low"] < result.details["kept_high"] < 0


def test_less_is_better():
    rng = np.random.default_rng(0)
    nats = rng.gamma(20, 1, 100)
    clean = [measured(None, "lora", "perplexity", np.stack([nats, np.full(100, 10.0)], 1))]
    noisy = [
        measured(None, "lora", "perplexity", np.stack([nats * 1.5, np.full(100, 10.0)], 1), "p")
    ]
    result = judged(clean, noisy, Perplexity())
    assert support(result) == "brittle"
    assert result.details["ratio"] < 0.9


def test_a_copy_without_original_is_refused():
    with pytest.raises(MetricError, match='1 perturbed cases have no measured original:\n    "p3"'):
        judged([shares(3, 1)], [shares(4, 1, "p")])


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(MetricError, match="2 clean and 1 perturbed"):
        judged([shares(3, 1)] * 2, [shares(3, 1, "p")])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny(n):
    result = judged([shares(n, 1)], [shares(n, 0, "p")])
    assert result.n_cases == n
    if n < 2:
        assert support(result) == "unclear"


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
