"""Several completions of a case: the split of the variance against what is true of the generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comparison.fakes import Corpus, MeanScore, measured
from tuneval.comparison import Settings, compare, score, score_recipe
from tuneval.comparison.estimate.draws import draw_share, with_draws

SETTINGS = Settings(resamples=200)
N, K = 4000, 4


def drawn(rng, chances, name="base", k=K):
    """Right or wrong of k completions of each case, each with the case's own chance."""
    draws = (rng.random((k, chances.size)) < chances).astype(float)
    rows = np.stack([draws, np.ones_like(draws)], axis=2)
    return replace(measured(draws.mean(axis=0), name, "token_f1"), draws=rows)


@pytest.fixture
def chances():
    return np.random.default_rng(1).beta(1, 1, N)


def true_part(chances, k=K):
    """Variance of a case's mean from the draws, and from the cases."""
    return np.mean(chances * (1 - chances)) / k, np.var(chances)


@pytest.mark.parametrize("metric", [MeanScore(), Corpus(name="token_f1")], ids=["mean", "sums"])
@pytest.mark.parametrize("k", [2, 4, 8])
def test_share_of_a_score(chances, metric, k):
    draws, cases = true_part(chances, k)
    found = draw_share([[drawn(np.random.default_rng(2), chances, k=k)]], metric, None, SETTINGS)
    assert found == pytest.approx(draws / (draws + cases), abs=0.03)


def test_share_of_a_difference(chances):
    """On equally hard cases nothing but the draws makes two variants differ."""
    rng = np.random.default_rng(3)
    sides = [[drawn(rng, chances)], [drawn(rng, chances, "lora")]]
    assert draw_share(sides, MeanScore(), None, SETTINGS) > 0.95


def test_one_side_may_have_one_completion(chances):
    rng = np.random.default_rng(4)
    base = measured(chances > 0.5, "base", "token_f1")
    tuned = drawn(rng, chances, "lora")
    share = draw_share([[base], [tuned]], MeanScore(), None, SETTINGS)
    draws, _ = true_part(chances)
    rest = np.var(chances - (chances > 0.5))
    assert share == pytest.approx(draws / (draws + rest), abs=0.05)


def test_more_completions_narrow_the_interval_as_the_note_says(chances):
    rng = np.random.default_rng(5)
    few, many = drawn(rng, chances, k=2), drawn(rng, chances, k=200)
    found = with_draws(
        score(few, MeanScore(), SETTINGS, case_set="t"), [[few]], MeanScore(), SETTINGS
    )
    assert found.note.startswith("mean of 2 completions for each case: which were drawn makes ")
    promised = int(found.note.split("narrow the interval by ")[1].rstrip("%"))
    widths = [
        one.interval.high - one.interval.low
        for one in (found, score(many, MeanScore(), SETTINGS, case_set="t"))
    ]
    assert 100 * (1 - widths[1] / widths[0]) == pytest.approx(promised, abs=3)


def test_seeds_are_averaged(chances):
    rng = np.random.default_rng(6)
    seeds = [drawn(rng, chances, f"s{n}") for n in range(3)]
    names = {"case_set": "t", "name": "lora"}
    found = score_recipe(seeds, MeanScore(), SETTINGS, **names)
    share = draw_share([seeds], MeanScore(), None, SETTINGS)
    draws, cases = true_part(chances, 3 * K)
    assert share == pytest.approx(draws / (draws + cases), abs=0.05)
    assert "mean of 4 completions" in with_draws(found, [seeds], MeanScore(), SETTINGS).note


def test_a_comparison_keeps_the_share(chances):
    rng = np.random.default_rng(7)
    sides = [[drawn(rng, chances)], [drawn(rng, chances, "lora")]]
    found = compare(sides[0][0], sides[1][0], MeanScore(), SETTINGS, case_set="t")
    assert with_draws(found, sides, MeanScore(), SETTINGS).details["draw_share"] > 0.9


def test_one_completion_changes_nothing():
    one = measured([1, 0, 1, 1], metric="token_f1")
    found = score(one, MeanScore(), SETTINGS, case_set="t")
    assert with_draws(found, [[one]], MeanScore(), SETTINGS) is found


def test_equal_completions_have_no_part(chances):
    same = np.tile((chances > 0.5).astype(float), (2, 1))
    one = replace(
        measured(same[0], metric="token_f1"), draws=np.stack([same, np.ones_like(same)], axis=2)
    )
    assert draw_share([[one]], MeanScore(), None, SETTINGS) is None
