"""compare: every kind of metric, its properties, its refusals, its degenerate inputs."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison.fakes import (
    Accuracy,
    Auroc,
    MacroF1,
    MeanScore,
    Perplexity,
    f1_rows,
    from_table,
    measured,
)
from tuneval.comparison import Settings, compare, score
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=400)
rng = np.random.default_rng(5)


def binary(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2, n).astype(float)


def rows_of(kind, n, seed):
    """Random rows for a metric of each kind."""
    random = np.random.default_rng(seed)
    if kind is MacroF1:
        return f1_rows(np.arange(n) % 3, random.integers(0, 3, n), range(3))
    if kind is Perplexity:
        return np.stack([random.gamma(3, 4, n), np.full(n, 7.0)], axis=1)
    if kind is Auroc:
        return np.stack([random.random(n).round(2), np.arange(n) % 2], axis=1)
    values = random.integers(0, 2, n) if kind is Accuracy else random.random(n)
    return np.stack([values, np.ones(n)], axis=1).astype(float)


KINDS = [Accuracy, MeanScore, MacroF1, Perplexity, Auroc]


def pair(kind, n, seeds=(1, 2)):
    name = kind().name
    return (
        measured(None, "base", name, rows_of(kind, n, seeds[0])),
        measured(None, "lora", name, rows_of(kind, n, seeds[1])),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_identical_variants_differ_by_nothing(kind):
    a, _ = pair(kind, 60)
    found = compare(a, replace(a, variant="lora"), kind(), SETTINGS, case_set="t")
    assert (found.difference, found.p_value) == (0, 1)
    if kind is Perplexity:  # no range, no spread: nothing to make an interval of
        assert (found.interval, found.note) == (None, "all cases are alike: no interval")
    else:
        assert found.interval.low < 0 < found.interval.high
        assert found.details["interval90_high"] >= 1 - 0.05 ** (1 / 60)


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_variants_flips_the_sign(kind):
    a, b = pair(kind, 60)
    there = compare(a, b, kind(), SETTINGS, case_set="t")
    back = compare(b, a, kind(), SETTINGS, case_set="t")
    assert back.difference == pytest.approx(-there.difference)
    assert back.p_value == there.p_value
    assert back.interval.low == pytest.approx(-there.interval.high, abs=1e-9)
    assert back.interval.high == pytest.approx(-there.interval.low, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_same_inputs_give_the_same_bits(kind):
    a, b = pair(kind, 60)
    assert compare(a, b, kind(), SETTINGS, case_set="t") == compare(
        a, b, kind(), SETTINGS, case_set="t"
    )


def test_another_resampling_seed_gives_another_interval():
    a, b = pair(MacroF1, 60)
    other = replace(SETTINGS, resampling_seed=1)
    first = compare(a, b, MacroF1(), SETTINGS, case_set="t").interval
    assert first != compare(a, b, MacroF1(), other, case_set="t").interval


@pytest.mark.parametrize("kind", [Accuracy, MeanScore])
def test_duplicating_every_case_in_its_cluster_changes_no_interval(kind):
    a, b = pair(kind, 40)
    clusters = [f"k{i // 2}" for i in range(40)]

    def twice(m):
        return replace(
            m,
            case_ids=tuple(i + s for s in "xy" for i in m.case_ids),
            rows=np.concatenate([m.rows, m.rows]),
        )

    once = compare(a, b, kind(), SETTINGS, case_set="t", clusters=clusters)
    double = compare(twice(a), twice(b), kind(), SETTINGS, case_set="t", clusters=clusters * 2)
    assert double.interval.low == pytest.approx(once.interval.low)
    assert double.interval.high == pytest.approx(once.interval.high)
    assert double.p_value == once.p_value
    one = score(a, kind(), SETTINGS, case_set="t", clusters=clusters)
    two = score(twice(a), kind(), SETTINGS, case_set="t", clusters=clusters * 2)
    assert two.interval.low == pytest.approx(one.interval.low)


@pytest.mark.parametrize("kind", [MacroF1, Perplexity])
def test_duplicating_every_case_in_its_cluster_keeps_the_bootstrap(kind):
    a, b = pair(kind, 40)
    clusters = [f"k{i}" for i in range(40)]

    def twice(m):
        return replace(
            m,
            case_ids=tuple(i + s for s in "xy" for i in m.case_ids),
            rows=np.concatenate([m.rows, m.rows]),
        )

    once = compare(a, b, kind(), SETTINGS, case_set="t", clusters=clusters)
    double = compare(twice(a), twice(b), kind(), SETTINGS, case_set="t", clusters=clusters * 2)
    assert double.interval.low == pytest.approx(once.interval.low)
    assert double.interval.high == pytest.approx(once.interval.high)
    assert double.p_value == once.p_value


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_binary_properties(cells):
    x, y = np.array(cells, float).T
    there = compare(measured(x), measured(y, "b"), Accuracy(), SETTINGS, case_set="t")
    back = compare(measured(y, "b"), measured(x), Accuracy(), SETTINGS, case_set="t")
    assert back.difference == pytest.approx(-there.difference)
    assert back.p_value == there.p_value
    assert back.interval.low == pytest.approx(-there.interval.high)
    assert 0 < there.p_value <= 1
    assert there.interval.low <= there.difference <= there.interval.high


def test_the_order_of_the_cases_does_not_matter():
    a, b = pair(Accuracy, 30)
    order = np.random.default_rng(3).permutation(30)
    shuffled = replace(b, case_ids=tuple(b.case_ids[i] for i in order), rows=b.rows[order])
    assert compare(a, shuffled, Accuracy(), SETTINGS, case_set="t") == compare(
        a, b, Accuracy(), SETTINGS, case_set="t"
    )


def test_details_of_a_binary_comparison():
    x, y = from_table(14, 5, 120, 61)
    found = compare(
        measured(x),
        measured(y, "lora"),
        Accuracy(),
        SETTINGS,
        case_set="test",
        unparsed=(0.01, 0.0),
    )
    assert (found.baseline, found.candidate, found.case_set) == ("base", "lora", "test")
    assert found.test == "McNemar mid-p"
    assert found.details["both_right"] == 120
    assert found.details["both_wrong"] == 61
    assert found.details["discordant_share"] == pytest.approx(0.095)
    assert found.details["cases_needed"] == 361
    assert found.details["unparsed_baseline"] == 0.01
    assert found.details["margin"] == pytest.approx(0.02)
    assert found.details["interval90_low"] > found.interval.low
    assert found.detectable_difference == pytest.approx(0.0599, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "test", "method"),
    [
        (MeanScore, "sign-flip permutation", "bounded mean"),
        (MacroF1, "approximate randomisation", "bca"),
        (Perplexity, "approximate randomisation", "bca"),
        (Auroc, "approximate randomisation", "bca"),
    ],
)
def test_method_by_kind(kind, test, method):
    found = compare(*pair(kind, 60), kind(), SETTINGS, case_set="t")
    assert (found.test, found.interval.method) == (test, method)
    assert found.detectable_difference > 0


def test_a_mean_resampled_agrees_with_its_closed_form():
    a, b = pair(MeanScore, 400)

    class AsCorpus(MeanScore):
        statistic = "corpus"

        def __init__(self):
            super().__init__(statistic="corpus")

    closed = compare(a, b, MeanScore(), Settings(resamples=4000), case_set="t")
    drawn = compare(a, b, AsCorpus(), Settings(resamples=4000), case_set="t")
    assert drawn.interval.low == pytest.approx(closed.interval.low, abs=0.006)
    assert drawn.interval.high == pytest.approx(closed.interval.high, abs=0.006)
    assert drawn.p_value == pytest.approx(closed.p_value, abs=0.03)


def test_unequal_cases_are_refused_by_name():
    a = measured([1, 0, 1])
    b = replace(measured([1, 0, 1], "lora"), case_ids=("c0", "c1", "other"))
    with pytest.raises(MetricError) as error:
        compare(a, b, Accuracy(), SETTINGS, case_set="t")
    assert str(error.value) == (
        '"base" and "lora" do not have the same cases (3 and 3):\n'
        '    "c2" is missing for "lora"\n'
        '    "other" is missing for "base"\n'
        "A paired comparison needs every case answered by both: run the missing ones."
    )


def test_a_case_that_occurs_twice_is_refused():
    a = replace(measured([1, 0, 1]), case_ids=("c0", "c0", "c1"))
    with pytest.raises(MetricError, match='"base": 1 case ids occur more than once:\n    "c0"'):
        compare(a, replace(a, variant="b"), Accuracy(), SETTINGS, case_set="t")


def test_two_metrics_are_refused():
    with pytest.raises(MetricError, match='by "accuracy" and "lora" by "f1": compare the same'):
        compare(measured([1]), measured([1], "lora", "f1"), Accuracy(), SETTINGS, case_set="t")


def test_rows_of_unequal_width_are_refused():
    a, b = pair(MacroF1, 9)
    with pytest.raises(MetricError, match='rows of "base" have 9 columns and those of "lora" 6'):
        compare(a, replace(b, rows=b.rows[:, :6]), MacroF1(), SETTINGS, case_set="t")


def test_wrong_number_of_clusters_is_refused():
    with pytest.raises(MetricError, match="2 clusters for 3 cases"):
        compare(*pair(MeanScore, 3), MeanScore(), SETTINGS, case_set="t", clusters=["a", "b"])


def test_a_rank_metric_needs_from_rows():
    class Broken(Accuracy):
        statistic = "ranks"

        def __init__(self):
            super().__init__(statistic="ranks")

    with pytest.raises(MetricError, match=r'"accuracy" is of kind "ranks" but has no from_rows'):
        compare(*pair(Accuracy, 9), Broken(), SETTINGS, case_set="t")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_tiny_inputs_are_defined(kind, n):
    a, b = pair(kind, n)
    found = compare(a, b, kind(), SETTINGS, case_set="t")
    assert found.n_cases == n
    assert found.p_value is None or 0 < found.p_value <= 1
    if n == 0:
        assert isnan(found.difference)
        assert found.note == "no cases"
    one = score(a, kind(), SETTINGS, case_set="t")
    assert one.n_cases == n
    if n == 0:
        assert (isnan(one.value), one.interval, one.note) == (True, None, "no cases")


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("kind", [Accuracy, MeanScore])
def test_all_right_and_all_wrong(kind, value):
    a = measured([value] * 50, metric=kind().name)
    one = score(a, kind(), SETTINGS, case_set="t")
    assert one.value == value
    assert one.interval.low <= value <= one.interval.high
    clustered = score(a, kind(), SETTINGS, case_set="t", clusters=["x", "y"] * 25)
    assert clustered.interval.low <= value <= clustered.interval.high
    found = compare(a, replace(a, variant="b"), kind(), SETTINGS, case_set="t")
    assert (found.difference, found.p_value) == (0, 1)


def test_one_cluster_has_no_interval_but_a_value():
    a, b = pair(MeanScore, 20)
    clusters = ["only"] * 20
    assert score(a, MeanScore(), SETTINGS, case_set="t", clusters=clusters).note == (
        "one cluster: no interval"
    )
    found = compare(a, b, MeanScore(), SETTINGS, case_set="t", clusters=clusters)
    assert (found.interval, found.p_value) == (None, 1.0)
    assert found.note == "one cluster: no interval"


def test_one_class():
    rows = f1_rows([0] * 40, [0] * 40, range(1))
    one = score(measured(None, rows=rows), MacroF1(), SETTINGS, case_set="t")
    assert (one.value, one.interval.low) == (1.0, pytest.approx(0.025 ** (1 / 40)))


@pytest.mark.parametrize("kind", [MeanScore, Perplexity])
def test_nan_is_undefined_not_zero(kind):
    a, b = pair(kind, 20)
    rows = b.rows.copy()
    rows[3, 0] = np.nan
    bad = replace(b, rows=rows)
    one = score(bad, kind(), SETTINGS, case_set="t")
    note = "undefined: 1 of 20 cases have a value that is not a finite number"
    assert (isnan(one.value), one.interval, one.note) == (True, None, note)
    found = compare(a, bad, kind(), SETTINGS, case_set="t")
    assert isnan(found.difference)
    assert (found.interval, found.p_value) == (None, None)
    assert "not a finite number" in found.note


def test_a_case_without_value_is_left_out_on_both_sides():
    a, b = pair(MeanScore, 20)
    rows = b.rows.copy()
    rows[3] = 0
    found = compare(a, replace(b, rows=rows), MeanScore(), SETTINGS, case_set="t")
    assert found.n_cases == 19
    assert found.note.startswith("1 cases lack a value on one side and are left out")
    kept = [i for i in range(20) if i != 3]
    assert found.difference == pytest.approx(b.rows[kept, 0].mean() - a.rows[kept, 0].mean())


def test_few_cases_and_few_clusters_are_said():
    a, b = pair(MeanScore, 20)
    nats = MeanScore(unit="nats")
    assert "fewer than 30 cases" in compare(a, b, nats, SETTINGS, case_set="t").note
    clusters = [f"k{i // 4}" for i in range(20)]
    found = compare(a, b, MeanScore(), SETTINGS, case_set="t", clusters=clusters)
    assert found.note == "few clusters (5)"
    assert found.details["n_clusters"] == 5


def test_a_rare_class_makes_the_interval_unreliable():
    a, _ = pair(MacroF1, 60)
    found = score(a, MacroF1(), SETTINGS, case_set="t", class_counts={"billing": 57, "refund": 3})
    assert found.note == "interval unreliable: class refund has 3 items"


def test_ranks_with_clusters_say_that_they_cannot():
    a, b = pair(Auroc, 20)
    found = compare(a, b, Auroc(), SETTINGS, case_set="t", clusters=["a", "b"] * 10)
    assert (found.interval, found.p_value) == (None, None)
    assert "cannot be resampled by cluster" in found.note
