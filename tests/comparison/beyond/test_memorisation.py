"""The gap fires for a variant that learnt texts by heart, and for no other."""

from __future__ import annotations

import numpy as np
import pytest

from tuneval.comparison.beyond.memorisation import (
    Likelihoods,
    Memorisation,
    judge_memorisation,
    memorisation_sentence,
)
from tuneval.errors import MetricError


def texts(dice: np.random.Generator, n: int, shift: float = 0.0) -> tuple[Likelihoods, Likelihoods]:
    """(base, tuned): a text's difficulty is common to both, tuning moves every token by ``shift``."""
    base, tuned = [], []
    for _ in range(n):
        tokens = -dice.gamma(2.0, 1.0, size=dice.integers(5, 40)) - dice.normal(1, 0.3) ** 2
        base.append(tuple(tokens.tolist()))
        tuned.append(tuple((tokens + shift + dice.normal(0, 0.3, tokens.size)).tolist()))
    return Likelihoods(tuple(base)), Likelihoods(tuple(tuned))


def judged(dice: np.random.Generator, n: int, on_train: float, on_test: float) -> Memorisation:
    train_base, train = texts(dice, n, on_train)
    test_base, test = texts(dice, n, on_test)
    return judge_memorisation((train, test), (train_base, test_base))


def test_the_gap_is_that_of_the_perplexities() -> None:
    dice = np.random.default_rng(1)
    (train_base, train), (test_base, test) = texts(dice, 50, 0.5), texts(dice, 60, 0.1)

    def log_perplexity(some: Likelihoods) -> float:
        return -sum(map(sum, some.tokens)) / sum(map(len, some.tokens))

    found = judge_memorisation((train, test), (train_base, test_base))
    expected = (log_perplexity(test) - log_perplexity(train)) - (
        log_perplexity(test_base) - log_perplexity(train_base)
    )
    assert found.gap == pytest.approx(expected, abs=1e-12)
    assert found.low < found.gap < found.high


@pytest.mark.parametrize(
    ("on_train", "on_test", "n", "expected"),
    [
        (0.6, 0.1, 200, "has memorised"),
        (0.3, 0.3, 200, "hardly likelier"),
        (0.1, 0.0, 5, "too few"),
    ],
)
def test_sentences(on_train: float, on_test: float, n: int, expected: str) -> None:
    found = judged(np.random.default_rng(2), n, on_train, on_test)
    sentence = memorisation_sentence("lora", found)
    assert expected in sentence
    assert sentence.startswith("lora")


def test_false_alarms_over_two_hundred_runs() -> None:
    """A tune that makes all texts likelier alike; and one that sits exactly on the threshold."""
    dice = np.random.default_rng(3)
    assert sum(judged(dice, 60, 0.4, 0.4).is_memorised for _ in range(200)) <= 1
    assert sum(judged(dice, 60, 0.5, 0.4).is_memorised for _ in range(200)) <= 0.05 * 200
    assert sum(judged(dice, 60, 0.7, 0.4).is_memorised for _ in range(50)) >= 45


def test_other_tokens_cannot_be_compared() -> None:
    one = Likelihoods(((-1.0, -2.0),))
    other = Likelihoods(((-1.0,),))
    with pytest.raises(MetricError, match="into other tokens"):
        judge_memorisation((one, one), (other, one))
