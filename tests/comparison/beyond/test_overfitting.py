"""Table 9.4: what loss curves show; training cases against test cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import MeanScore, measured
from tuneval.comparison import Settings, judge_training_log
from tuneval.comparison.beyond.overfitting import (
    gap_sentence,
    generalisation_gap,
    is_overfitted,
    is_training_unfinished,
    running_median,
)
from tuneval.errors import MetricError
from tuneval.types import TrainingLog

SETTINGS = Settings(resamples=500)


def log_of(validation, steps=None, epochs=(), train=()):
    steps = tuple(range(10, 10 * len(validation) + 10, 10)) if steps is None else steps
    return TrainingLog(
        tuple(range(len(train))), tuple(train), steps, tuple(validation), None, "x", epochs
    )


DEMO = (0.129, 0.092, 0.110, 0.118, 0.120, 0.120)


@pytest.mark.parametrize(
    ("log", "finding", "is_over"),
    [
        pytest.param(
            log_of([1.0, 0.9]),
            "Only 2 evaluations logged: set eval_strategy to steps to detect overfitting.",
            False,
            id="too few",
        ),
        pytest.param(
            log_of(DEMO, epochs=(1, 2, 3, 4, 5, 6)),
            "Validation loss reached its minimum 0.092 at step 20 and rose to 0.120 (+30%). "
            "The checkpoint at step 20 is the one to evaluate; train 4 fewer epochs or add "
            "dropout/weight decay.",
            True,
            id="3 to 7 evaluations",
        ),
        pytest.param(
            log_of([1.0, 0.9, 1.04], epochs=(1, 2, 3)),
            "Validation loss reached its minimum 0.900 at step 20 and rose to 1.040 (+16%). "
            "The checkpoint at step 20 is the one to evaluate; train 1 fewer epoch or add "
            "dropout/weight decay.",
            True,
            id="one epoch",
        ),
        pytest.param(
            log_of([1.0, 0.9, 1.04]),
            "Validation loss reached its minimum 0.900 at step 20 and rose to 1.040 (+16%). "
            "The checkpoint at step 20 is the one to evaluate; train fewer epochs or add "
            "dropout/weight decay.",
            True,
            id="no epochs logged",
        ),
        pytest.param(
            log_of([1.0, 0.9, 0.97]),
            "Validation loss is stable: 0.970 at the last step, minimum 0.900 at step 20.",
            False,
            id="a rise that noise of 4% explains",
        ),
        pytest.param(
            log_of([1.0, 0.8, 0.7, 0.6]),
            "Validation loss was still falling at the last step (0.600 at step 40): longer "
            "training may help.",
            False,
            id="still falling",
        ),
        pytest.param(
            log_of([1.0, 0.8, 0.7, 0.62, 0.6, 0.62, 0.66, 0.71, 0.76, 0.8]),
            "Validation loss reached its minimum 0.600 at step 50 and rose to 0.800 (+33%). "
            "The checkpoint at step 50 is the one to evaluate; train fewer epochs or add "
            "dropout/weight decay.",
            True,
            id="8 or more",
        ),
        pytest.param(
            log_of([9.0, 1.0, 0.9, 1.04], steps=(10, 10, 20, 30)),
            "Validation loss reached its minimum 0.900 at step 20 and rose to 1.040 (+16%). "
            "The checkpoint at step 20 is the one to evaluate; train fewer epochs or add "
            "dropout/weight decay.",
            True,
            id="the last of a doubled step counts",
        ),
        pytest.param(
            log_of([1.0, float("nan"), 0.9]),
            "Only 2 evaluations logged: set eval_strategy to steps to detect overfitting.",
            False,
            id="nan is no evaluation",
        ),
        pytest.param(
            replace(log_of([0.25, 0.2, 0.19, 0.3]), nan_from=30),
            "The losses became NaN at step 30; nothing is judged from there on: evaluate a "
            "checkpoint from before that step.",
            False,
            id="NaN after two evaluations",
        ),
        pytest.param(
            replace(log_of([1.0, 0.9, 1.17]), nan_from=40),
            "The losses became NaN at step 40; nothing is judged from there on: evaluate a "
            "checkpoint from before that step. Until then: Validation loss reached its minimum "
            "0.900 at step 20 and rose to 1.170 (+30%). The checkpoint at step 20 is the one to "
            "evaluate; train fewer epochs or add dropout/weight decay.",
            True,
            id="overfitted, then NaN",
        ),
        pytest.param(
            replace(log_of([]), nan_from=20),
            "All logged losses are NaN, from step 20 on: nothing is judged.",
            False,
            id="all NaN",
        ),
        pytest.param(
            log_of([1.0, 0.8, 0.55, 0.5, 0.51]),
            "Validation loss is stable: 0.510 at the last step, minimum 0.500 at step 40.",
            False,
            id="the best is not the last: no longer falling",
        ),
        pytest.param(
            log_of([]),
            "Only 0 evaluations logged: set eval_strategy to steps to detect overfitting.",
            False,
            id="none",
        ),
    ],
)
def test_table_9_4(log, finding, is_over):
    found = judge_training_log(log, "lora")
    assert (found.finding, found.is_overfitted) == (finding, is_over)
    assert (found.variant, found.log) == ("lora", log)


def test_running_median_at_the_ends():
    assert running_median(np.array([3.0, 1.0, 2.0, 8.0])).tolist() == [2.0, 2.0, 2.0, 5.0]


def plateau(rng, n, noise, rise=0.0):
    level = 0.5 + 1.5 * np.exp(-np.arange(n) / (n / 8))
    bottom = n // 2
    level[bottom:] *= 1 + rise * np.arange(n - bottom) / (n - 1 - bottom)
    return level * (1 + noise * rng.standard_normal(n))


@pytest.mark.parametrize(
    ("n", "noise", "rise", "low", "high"),
    [(20, 0.017, 0.0, 0.0, 0.04), (5, 0.017, 0.0, 0.0, 0.06), (20, 0.017, 0.25, 0.99, 1.0)],
)
def test_false_alarms_and_hits(n, noise, rise, low, high):
    rng = np.random.default_rng(11)
    share = np.mean([is_overfitted(plateau(rng, n, noise, rise)) for _ in range(1000)])
    assert low <= share <= high


def test_unfinished_training_is_seen_through_noise():
    rng = np.random.default_rng(1)
    falling = np.linspace(3, 1, 80) * (1 + 0.05 * rng.standard_normal(80))
    flat = 1 + 0.001 * rng.standard_normal(80)
    assert is_training_unfinished(log_of([], train=falling))
    assert not is_training_unfinished(log_of([], train=flat))
    assert not is_training_unfinished(log_of([], train=[2.0, 1.0]))


def test_generalisation_gap_is_welch():
    rng = np.random.default_rng(0)
    train, test = rng.random(250) * 0.1 + 0.85, rng.random(120) * 0.3 + 0.5
    found = generalisation_gap(
        measured(train, "lora", "token_f1"),
        measured(test, "lora", "token_f1"),
        MeanScore(),
        SETTINGS,
        case_set="t",
    )
    expected = stats.ttest_ind(train, test, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        tuple(expected.confidence_interval())
    )
    assert gap_sentence(found, "token F1") == (
        "lora scores 24.7 points higher in token F1 on its training cases than on the test cases "
        "(+23.1 to +26.3): a sign of overfitting."
    )
    with pytest.raises(MetricError, match="199 training cases were scored"):
        generalisation_gap(
            measured(train[:199]), measured(test), MeanScore(), SETTINGS, case_set="t"
        )
