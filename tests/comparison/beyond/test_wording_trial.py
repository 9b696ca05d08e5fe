"""The trial of wordings: its exact p, its false alarms, what each outcome says."""

from __future__ import annotations

import numpy as np
import pytest

from tuneval.comparison.beyond.wording_trial import (
    ALPHA,
    MARGIN_NATS,
    WordingTrial,
    is_told_apart,
    nothing_better_sentence,
    trained_score,
    trial_sentence,
)

ONES = np.ones(20)
SPREAD = np.linspace(0.95, 1.05, 20)


def trial(tuned: tuple[float, float], base: tuple[float, float]) -> WordingTrial:
    """(as asked here, as found), with some spread."""
    costs = [np.array(mean * SPREAD) for mean in (*tuned, *base)]
    return WordingTrial(costs[0], costs[1][::-1].copy(), costs[2], costs[3])


@pytest.mark.parametrize(
    ("tuned", "base", "outcome"),
    [
        ((3.0, 0.4), (5.0, 4.9), "trained there"),
        ((3.0, 2.0), (5.0, 4.9), "trained there"),  # a third is lost
        ((3.0, 2.8), (5.0, 5.2), "perhaps"),  # it is no such matter
        ((98.0, 90.0), (102.0, 101.0), "trained there"),  # long texts are never halved
        ((6.0, 2.0), (6.0, 1.4), "cheaper"),  # the base's own words: tuning spoilt them
        ((3.0, 0.4), (5.0, 0.6), "serious"),  # the base knew the wording, the verdict still falls
        ((3.0, 2.4), (5.0, 4.0), "cheaper"),  # and so does the base find it
        ((9.0, 7.5), (6.0, 7.0), "cheaper"),  # tuning made nothing likelier anywhere
        ((3.0, 2.9), (5.0, 5.0), "nothing"),  # below the share
        ((0.25, 0.2), (5.0, 5.0), "nothing"),  # below the margin
        ((3.0, 3.2), (5.0, 1.0), "nothing"),  # a wording for the base alone
    ],
)
def test_outcomes(tuned: tuple[float, float], base: tuple[float, float], outcome: str) -> None:
    found = trial(tuned, base)
    assert {
        "trained there": found.is_trained_there and found.is_serious,
        "perhaps": found.is_trained_there and not found.is_serious,
        "serious": found.is_serious and not found.is_trained_there,
        "cheaper": found.is_cheaper and not (found.is_serious or found.is_trained_there),
        "nothing": not (found.is_cheaper or found.is_serious or found.is_trained_there),
    }[outcome]


def test_p_is_exact_over_all_signs() -> None:
    found = WordingTrial(ONES[:5] * 3, ONES[:5], ONES[:5], ONES[:5])
    assert found.p_cheaper == pytest.approx(1 / 2**5)
    worse = WordingTrial(ONES[:5], ONES[:5] * 3, ONES[:5], ONES[:5])
    assert worse.p_cheaper == pytest.approx(1 - 1 / 2**5)


def test_the_difference_in_differences_is_a_ratio_of_what_tuning_left() -> None:
    found = trial((4.0, 1.0), (5.0, 5.0))
    assert (found.share_own, found.share_other) == pytest.approx((0.8, 0.2))


@pytest.mark.parametrize("part", range(4))
def test_a_cost_of_nothing_proves_nothing(part: int) -> None:
    costs = [ONES.copy() for _ in range(4)]
    costs[part] *= 0
    assert WordingTrial(*costs).p_tuned_there == 1.0


@pytest.mark.parametrize(
    "costs",
    [
        [(0.4, 0.6), (6.0, 5.3), (30.0, 31.0)],  # the base knew it, and tuning sharpened it
        [(8.5, 41.0), (2.1, 1.4), (6.7, 6.4)],  # the base's own words are cheaper, untuned
        [(0.7, 5.1), (0.4, 0.8), (20.0, 35.0)],
    ],
)
def test_the_trained_wording_scores_lowest(costs: list[tuple[float, float]]) -> None:
    scores = [trained_score(tuned * SPREAD, base * SPREAD) for tuned, base in costs]
    assert min(scores) == scores[0]


def test_a_wording_without_answers_is_none() -> None:
    nothing = np.full(20, np.nan)
    assert trained_score(nothing, SPREAD) == np.inf
    assert trained_score(SPREAD * 0, SPREAD) == pytest.approx(2 * np.log(0.01))


RUNS = 2_000
MOST = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)
"""The stated share and three standard errors of the simulation."""


def test_false_alarms_where_the_other_wording_is_no_better() -> None:
    """Skewed costs, and a margin that noise passes easily: what holds the rate is the test."""
    rng = np.random.default_rng(0)
    alarms = margins = 0
    for _ in range(RUNS):
        hard = rng.gamma(1.0, 2.0, 12)
        own, other, base, base_other = (hard * rng.gamma(2.0, 0.5, 12) for _ in range(4))
        found = WordingTrial(own, other, base, base_other)
        margins += found.gain >= MARGIN_NATS
        alarms += found.is_cheaper
    assert margins > RUNS / 5
    assert alarms / RUNS <= MOST


FLAGS = "--prompt '{text}\\nTopic:'"
FATE = ", so that its score here and the verdict may not stand"
FIGURES = (
    f'ask with --prompt auto, or {FLAGS}. As "{{text}}\\nTopic:", the best of 44 wordings, the 20 '
    "references tried cost it %s nats each, as asked here %s (the base: %s and %s)."
)


@pytest.mark.parametrize(
    ("tuned", "base", "opening"),
    [
        ((3.0, 0.4), (5.0, 4.9), f"lora was most likely trained on another wording{FATE}: "),
        ((3.0, 2.8), (5.0, 5.2), "lora was perhaps trained on another wording: "),
        (
            (3.0, 0.4),
            (5.0, 0.6),
            f"lora knows the answers better in another wording, and so does the base{FATE}: ",
        ),
    ],
)
def test_sentence(tuned: tuple[float, float], base: tuple[float, float], opening: str) -> None:
    figures = FIGURES % tuple(f"{one:.2f}" for one in (*tuned[::-1], *base[::-1]))
    told = trial_sentence("lora", trial(tuned, base), '"{text}\\nTopic:"', 44, FLAGS)
    assert told == opening + figures


@pytest.mark.parametrize(
    ("shift", "is_apart"),
    [(0.0, False), (-1.0, False), (0.001, False), (0.2, True), (np.nan, True)],
)
def test_which_wordings_can_be_told_from_the_best(shift: float, is_apart: bool) -> None:
    best = 3 * SPREAD
    noise = np.where(np.arange(20) % 2, 0.05, -0.05)
    assert is_told_apart(best + noise + shift, best) is is_apart


def test_the_set_keeps_a_wording_that_is_as_good() -> None:
    """95 of 100 times, whatever the costs are like."""
    rng = np.random.default_rng(1)
    lost = 0
    for _ in range(RUNS):
        hard = rng.gamma(1.0, 2.0, 12)
        one, other = (hard * rng.gamma(2.0, 0.5, 12) for _ in range(2))
        lost += is_told_apart(one, other)
    assert lost / RUNS <= MOST


@pytest.mark.parametrize(("n", "told"), [(0, ""), (1, " 1 other wording cannot be told from it.")])
def test_how_many_are_alike_is_told(n: int, told: str) -> None:
    assert nothing_better_sentence("lora", 44, "0.20", None, 2.5, n).endswith(f"(0.20).{told}")


@pytest.mark.parametrize(
    ("n_tried", "logged", "sentence"),
    [
        (44, None, "lora: none of 44 wordings tried is clearly better than this one (0.20)."),
        (
            1,
            None,
            "lora finds the references so likely in this wording that no other could be clearly "
            "better (0.20).",
        ),
        (
            44,
            0.1,
            "lora was perhaps trained on another wording than this: its trainer logged a loss of "
            "0.10 nats per token at the end, the references asked here cost 2.50, and none of 44 "
            "wordings tried is clearly better; give the trained one with --prompt.",
        ),
    ],
)
def test_sentence_where_nothing_is_better(
    n_tried: int, logged: float | None, sentence: str
) -> None:
    assert nothing_better_sentence("lora", n_tried, "0.20", logged, 2.5) == sentence
