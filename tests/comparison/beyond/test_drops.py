"""Differences of drops, worst cases, spreads, swapped versions: figures by hand and edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from comparison.fakes import Accuracy, MacroF1, MeanScore, f1_rows, measured
from tuneval.comparison import Settings
from tuneval.comparison.beyond.counterfactual import changed_share, compare_versions
from tuneval.comparison.beyond.drops import (
    adjusted_among,
    difference_of_drops,
    drop_sentence,
    is_suggested,
    worst_case,
)
from tuneval.comparison.beyond.robustness import flip_rates
from tuneval.comparison.estimate.spread import spread

SETTINGS = Settings(resamples=500)


def origins(n, copies=1):
    return {f"p{i}": f"c{i % n}" for i in range(n * copies)}


def side(before, after, metric="accuracy"):
    return [measured(before, "x", metric)], [measured(after, "x", metric, prefix="p")]


def difference(left, right, metric=None, copies=1, **more):
    metric = metric or Accuracy()
    n = len(left[0][0].case_ids)
    return difference_of_drops(
        left,
        right,
        metric,
        SETTINGS,
        case_set="t",
        kind="typos:heavy",
        origins=origins(n, copies),
        names=("base", "lora"),
        **more,
    )


def test_by_hand():
    base = side([1, 1, 1, 0], [1, 1, 0, 0])
    lora = side([1, 1, 1, 1], [0, 0, 1, 0])
    found = difference(base, lora)
    assert found.details["baseline_value"] == pytest.approx(-0.25)
    assert found.details["candidate_value"] == pytest.approx(-0.75)
    assert found.difference == pytest.approx(-0.5)
    assert (found.baseline, found.candidate, found.slice) == ("base", "lora", "typos:heavy - clean")
    assert not is_suggested(found, 0.001), "four cases suggest nothing"


def test_swapping_the_sides_turns_the_sign():
    rng = np.random.default_rng(0)
    base, lora = (
        side(*rng.integers(0, 2, (2, 60)).astype(float)),
        side(*rng.integers(0, 2, (2, 60)).astype(float)),
    )
    one, other = difference(base, lora), difference(lora, base)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval.low == pytest.approx(-other.interval.high)


def test_copies_of_a_case_are_no_further_cases():
    rng = np.random.default_rng(1)
    clean, once = rng.integers(0, 2, (2, 60)).astype(float)
    flat = side(np.ones(60), np.ones(60))
    triple_flat = side(np.ones(60), np.ones(180))
    single = difference(flat, side(clean, once))
    triple = difference(triple_flat, side(clean, np.tile(once, 3)), copies=3)
    assert triple.interval == single.interval
    assert triple.n_cases == 60


def test_doubled_clusters_leave_the_interval():
    rng = np.random.default_rng(2)
    clean, after = rng.integers(0, 2, (2, 40)).astype(float)
    flat = side(np.ones(80), np.ones(80))
    found = difference(
        flat,
        side(np.repeat(clean, 2), np.repeat(after, 2)),
        clusters=[str(i // 2) for i in range(80)],
    )
    alone = difference(side(np.ones(40), np.ones(40)), side(clean, after))
    assert found.interval.low == pytest.approx(alone.interval.low)


def test_corpus_metrics_go_by_pseudo_values():
    rng = np.random.default_rng(3)
    reference = np.arange(120) % 3

    def f1_side(broken):
        made = []
        for prefix, share in (("c", 0.05), ("p", broken)):
            wrong = rng.random(120) < share
            rows = f1_rows(reference, np.where(wrong, (reference + 1) % 3, reference), range(3))
            made.append([measured(None, "x", "f1_macro", rows, prefix)])
        return tuple(made)

    found = difference(f1_side(0.1), f1_side(0.6), MacroF1())
    assert found.difference < -0.3
    assert is_suggested(found, found.p_value)
    assert drop_sentence(found, 0.001).startswith(
        "The data suggest that lora loses more than base under typos:heavy:"
    )


def test_cases_without_a_value_on_one_side_are_left_out_on_both():
    rows = np.ones((50, 2))
    holed = rows.copy()
    holed[:3] = 0
    full = [measured(None, "x", "token_f1", rows)], [measured(None, "x", "token_f1", rows, "p")]
    less = [measured(None, "x", "token_f1", rows)], [measured(None, "x", "token_f1", holed, "p")]
    assert difference(full, less, MeanScore()).n_cases == 47


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny(n):
    found = difference(side(np.ones(n), np.zeros(n)), side(np.ones(n), np.ones(n)))
    assert found.n_cases == n
    assert not is_suggested(found, found.p_value)


def test_adjusting_leaves_places():
    one = difference(side(np.ones(1), np.zeros(1)), side(np.ones(1), np.ones(1)))
    rng = np.random.default_rng(4)
    two = difference(
        side(np.ones(60), rng.integers(0, 2, 60).astype(float)), side(np.ones(60), np.ones(60))
    )
    adjusted = adjusted_among([one, two])
    assert len(adjusted) == 2
    assert adjusted[1] <= 2 * two.p_value


def test_worst_case_by_hand():
    clean = [measured([1, 1, 0, 1], "x")]
    typos = [measured([1, 0, 1, 1], "x", prefix="p")]
    long_ = [measured([1, 1], "x", prefix="q")]
    kin = {**origins(4), "q0": "c0", "q1": "c2"}
    found = worst_case(clean, [typos, long_], Accuracy(), SETTINGS, kin)
    assert (found.clean, found.worst) == (0.75, 0.5)
    assert (found.n_cases, found.n_copies) == (4, 6)
    some = worst_case(clean, [long_], Accuracy(), SETTINGS, kin)
    assert (some.n_cases, some.worst) == (2, 0.5), "cases without a copy do not count"
    less = worst_case(clean, [typos], Accuracy(higher_is_better=False), SETTINGS, kin)
    assert less.worst == 1.0
    assert worst_case(clean, [typos], MacroF1(), SETTINGS, kin) is None


def test_flip_rates_by_hand():
    found = flip_rates(*side([1, 1, 1, 0], [1, 0, 0, 1]), Accuracy(), origins(4))
    assert (found.right_to_wrong, found.wrong_to_right) == (pytest.approx(2 / 3), 1.0)
    always = flip_rates(*side([1, 1], [1, 0]), Accuracy(), origins(2))
    assert np.isnan(always.wrong_to_right)
    assert flip_rates(*side([1, 0.5], [1, 0.2]), MeanScore(), origins(2)) is None


def test_spread_by_hand():
    rows = measured([1, 1, 0, 1, 0, 0], "x")
    forms = {f"c{i}": "AB"[i % 2] for i in range(6)}
    owners = {f"c{i}": f"c{i // 2 * 2}" for i in range(6)}
    found = spread([rows], Accuracy(), forms, owners)
    assert found.values == pytest.approx({"A": 1 / 3, "B": 2 / 3})
    assert (found.lowest, found.highest) == ("A", "B")
    assert found.width == pytest.approx(1 / 3)
    assert found.right_under_all == pytest.approx(1 / 3)
    assert spread([rows], Accuracy(), dict.fromkeys(forms, "A"), owners) is None


def test_versions_have_sides_whatever_was_the_original():
    original, swapped = measured([1, 0, 1, 0], "x"), measured([0, 1, 1, 0], "x")
    found = compare_versions(
        [original],
        [swapped],
        Accuracy(),
        SETTINGS,
        case_set="t",
        kind="gender:swap",
        name="lora",
        leads_right={"c0": True, "c1": False, "c2": True},
    )
    assert found.details["only_baseline_right"] == 2
    assert found.difference == pytest.approx(-2 / 3)
    assert found.slice == "gender:swap, right - left"


def test_changed_share():
    found = changed_share([[True, False], [True, True]], 0.95)
    assert (found.value, found.n_cases) == (0.75, 2)
    assert found.low < 0.75 < found.high
    assert changed_share([[]], 0.95) is None
