"""Recipes with several training seeds: which interval, which test, which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import Accuracy, Auroc, MacroF1, MeanScore, f1_rows, measured
from tuneval.comparison import Settings, compare, compare_recipe, score, score_recipe
from tuneval.comparison.estimate.seeds import linear, two_way
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=400)
NAMES = {"case_set": "t", "baseline_name": "base", "candidate_name": "lora"}


def seeds_of(values, variant="lora", metric="token_f1"):
    return [measured(row, f"{variant}{s}", metric) for s, row in enumerate(values)]


@pytest.fixture
def values():
    rng = np.random.default_rng(2)
    return rng.random((3, 40)) * 0.2 + rng.random(40) * 0.5 + np.array([[0.0], [0.05], [0.1]])


def test_two_way_by_hand(values):
    """Against the formulas of a two-way layout, written out in full."""
    n_seeds, n = values.shape
    rows, columns, grand = values.mean(1), values.mean(0), values.mean()
    residual = values - columns - rows[:, None] + grand
    v_seed = rows.var(ddof=1) / n_seeds
    v_case = columns.var(ddof=1) / n
    v_rest = (residual**2).sum() / ((n_seeds - 1) * (n - 1) * n_seeds * n)
    v = max(v_seed + v_case - v_rest, v_seed, v_case)
    df = v / (v_seed / (n_seeds - 1) + max(v - v_seed, 0) / (n - 1))
    found = two_way(values)
    assert found.estimate.value == pytest.approx(grand)
    assert found.estimate.standard_error**2 == pytest.approx(v)
    assert found.estimate.df == pytest.approx(df)
    half = stats.t.ppf(0.975, df) * np.sqrt(v)
    assert found.estimate.interval() == pytest.approx((grand - half, grand + half))


def test_single_cases_as_clusters_change_nothing(values):
    codes = np.arange(values.shape[1])
    assert two_way(values, codes=codes).estimate == pytest.approx(two_way(values).estimate) or (
        two_way(values, codes=codes).estimate.standard_error
        == pytest.approx(two_way(values).estimate.standard_error)
    )


def test_one_against_many_equals_the_layout_of_differences(values):
    base = np.random.default_rng(3).random((1, 40))
    assert two_way(values, base).estimate.standard_error == pytest.approx(
        two_way(values - base).estimate.standard_error
    )


@pytest.mark.parametrize(
    ("n_seeds", "has_interval", "note"),
    [
        (1, True, "for this checkpoint: one training seed"),
        (2, False, "mean of 2 training seeds; 2 training seeds: no interval"),
        (3, True, "mean of 3 training seeds"),
    ],
)
def test_score_recipe(values, n_seeds, has_interval, note):
    found = score_recipe(
        seeds_of(values[:n_seeds]), MeanScore(), SETTINGS, case_set="t", name="lora"
    )
    assert found.variant == "lora"
    assert found.value == pytest.approx(values[:n_seeds].mean())
    assert found.training_seeds == pytest.approx(values[:n_seeds].mean(axis=1))
    assert (found.interval is not None) is has_interval
    assert found.note == note
    if n_seeds > 1:
        assert found.standard_deviation == pytest.approx(values[:n_seeds].mean(1).std(ddof=1))


def test_one_seed_equals_the_plain_score(values):
    one = seeds_of(values[:1])
    plain = score(replace(one[0], variant="lora"), MeanScore(), SETTINGS, case_set="t")
    recipe = score_recipe(one, MeanScore(), SETTINGS, case_set="t", name="lora")
    assert (recipe.value, recipe.interval) == (plain.value, plain.interval)


def test_one_seed_each_equals_compare(values):
    a, b = measured(values[0], "base", "token_f1"), measured(values[1], "lora", "token_f1")
    plain = compare(a, b, MeanScore(), SETTINGS, case_set="t")
    found = compare_recipe([a], [b], MeanScore(), SETTINGS, **NAMES)
    assert found.details["training_seeds_candidate"] == 1
    assert replace(found, details={}) == replace(plain, details={})


@pytest.mark.parametrize(
    ("n_base", "n_tuned", "method"),
    [(1, 3, "two-way t"), (3, 3, "two-way t"), (1, 2, "t, these checkpoints")],
)
def test_compare_recipe(values, n_base, n_tuned, method):
    base = np.random.default_rng(3).random((n_base, 40)) * 0.3
    found = compare_recipe(
        seeds_of(base, "base"), seeds_of(values[:n_tuned]), MeanScore(), SETTINGS, **NAMES
    )
    assert found.difference == pytest.approx(values[:n_tuned].mean() - base.mean())
    assert found.interval.method == method
    assert found.details["training_seeds_candidate"] == n_tuned
    assert found.interval.low < found.details["interval90_low"] < found.difference
    assert found.detectable_difference > 0
    back = compare_recipe(
        seeds_of(values[:n_tuned]),
        seeds_of(base, "base"),
        MeanScore(),
        SETTINGS,
        case_set="t",
        baseline_name="lora",
        candidate_name="base",
    )
    assert back.interval.low == pytest.approx(-found.interval.high)
    assert back.p_value == pytest.approx(found.p_value)


def test_two_seeds_speak_for_these_checkpoints(values):
    found = compare_recipe(
        seeds_of(values[:1] * 0.5, "base"), seeds_of(values[:2]), MeanScore(), SETTINGS, **NAMES
    )
    assert "the interval holds for these checkpoints, not for the recipe" in found.note


def test_paired_seeds_take_out_what_they_share(values):
    base = values - 0.1 + np.random.default_rng(4).normal(0, 0.01, values.shape)
    sides = seeds_of(base, "base"), seeds_of(values)
    paired = compare_recipe(*sides, MeanScore(), SETTINGS, are_paired_seeds=True, **NAMES)
    alone = compare_recipe(*sides, MeanScore(), SETTINGS, **NAMES)
    assert paired.difference == pytest.approx(alone.difference)
    assert paired.interval.high - paired.interval.low < alone.interval.high - alone.interval.low


def test_a_spread_of_seeds_that_no_case_can_outweigh():
    rng = np.random.default_rng(1)
    tuned = rng.random((3, 50)) * 0.1 + np.array([[0.0], [0.3], [0.6]])
    found = compare_recipe(
        seeds_of(np.full((1, 50), 0.2), "base"), seeds_of(tuned), MeanScore(), SETTINGS, **NAMES
    )
    assert "cases_needed" not in found.details


def test_identical_recipes_differ_by_nothing(values):
    sides = seeds_of(values), seeds_of(values)
    found = compare_recipe(*sides, MeanScore(), SETTINGS, **NAMES)
    assert found.difference == pytest.approx(0)
    assert found.p_value == pytest.approx(1)
    assert found.interval.low <= 0 <= found.interval.high
    same = np.repeat(values[:1], 3, axis=0)
    found = compare_recipe(
        seeds_of(same[:1], "base"), seeds_of(same), MeanScore(), SETTINGS, **NAMES
    )
    assert (found.difference, found.p_value) == (0, 1)


def test_all_seeds_all_right():
    found = score_recipe(
        seeds_of(np.ones((3, 50)), metric="accuracy"),
        Accuracy(),
        SETTINGS,
        case_set="t",
        name="lora",
    )
    assert (found.value, found.interval.method) == (1.0, "clopper-pearson")
    assert found.interval.low == pytest.approx(0.025 ** (1 / 50))


def test_pseudo_values_of_a_mean_are_the_values(values):
    class AsCorpus(MeanScore):
        def __init__(self):
            super().__init__(statistic="corpus")

    rows = np.stack([m.rows for m in seeds_of(values)])
    pseudo, codes = linear(AsCorpus(), rows, None, SETTINGS)
    assert codes is None
    assert pseudo == pytest.approx(values)


@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_corpus_recipes_of_any_size(n):
    rng = np.random.default_rng(0)
    references = np.arange(n) % 3
    tuned = [
        measured(None, f"s{s}", "f1_macro", f1_rows(references, rng.integers(0, 3, n), range(3)))
        for s in range(3)
    ]
    found = compare_recipe(tuned[:1], tuned, MacroF1(), SETTINGS, **NAMES)
    assert found.n_cases == n
    assert (found.interval is not None) == (n > 1)
    one = score_recipe(tuned, MacroF1(), SETTINGS, case_set="t", name="lora")
    assert (one.interval is not None) == (n > 1)


def test_ranks_of_recipes():
    rng = np.random.default_rng(0)
    tuned = [
        measured(None, f"s{s}", "auroc", np.stack([rng.random(40), np.arange(40) % 2], axis=1))
        for s in range(3)
    ]
    found = score_recipe(tuned, Auroc(), SETTINGS, case_set="t", name="lora")
    assert found.interval.low < found.value < found.interval.high
    with pytest.raises(MetricError, match='metric "auroc" depends on ranks'):
        score_recipe(tuned, Auroc(), SETTINGS, case_set="t", name="lora", clusters=["a", "b"] * 20)
