"""Agreement of judges, against scikit-learn and the krippendorff package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tuneval.comparison.beyond.agreement import (
    agreement,
    cohen_kappa,
    coincidences,
    interval,
    krippendorff_alpha,
    pair_tables,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "krippendorff.json").read_text())


def test_two_judges():
    raw, kappa = agreement(["a", "b", "a", "b"], ["a", "b", "b", "b"])
    assert (raw, kappa) == (0.75, 0.5)
    assert np.isnan(agreement(["a", "a"], ["a", "a"])[1])


@pytest.mark.parametrize("found", VECTORS["sets"])
def test_alpha_is_that_of_the_krippendorff_package(found):
    codes = np.array([[-1 if one is None else one for one in own] for own in found["judges"]]).T
    tables = coincidences(codes, found["values"])
    assert krippendorff_alpha(tables.sum(axis=0)) == pytest.approx(found["alpha"], abs=1e-12)


def test_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    first = rng.integers(0, 3, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 3, 200))
    tables = pair_tables(first, second, 3)
    assert cohen_kappa(tables.sum(axis=0)) == pytest.approx(cohen_kappa_score(first, second))
    low, high = interval(cohen_kappa, tables, 0)
    assert low < cohen_kappa(tables.sum(axis=0)) < high
    assert (low, high) == interval(cohen_kappa, tables, 0)


def test_what_one_judge_left_open_counts_for_no_pair():
    first, second = np.array([0, 1, -1, 2]), np.array([0, 0, 1, -1])
    assert pair_tables(first, second, 3).sum() == 2
    assert coincidences(np.stack([first, second], axis=1), 3).sum() == 4


def test_judges_that_all_say_one_thing_have_no_alpha():
    assert np.isnan(krippendorff_alpha(coincidences(np.zeros((5, 3), int), 3).sum(axis=0)))
