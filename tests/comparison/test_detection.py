"""Telling two kinds of text apart: the shared vectors, scikit-learn, and what has no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shared import shared_json
from tuneval.comparison.detection import auroc, false_positive_rate, min_k_prob
from tuneval.errors import MetricError


def vector(name: str) -> dict:
    vectors = shared_json("vectors", "statistics.json")["vectors"]
    return next(one for one in vectors if one["id"] == name)


def test_out_of_distribution_vector() -> None:
    one = vector("ood_detection")
    inside, outside = one["input"]["score_in"], one["input"]["score_out"]
    assert auroc(inside, outside) == pytest.approx(one["expected"]["auroc"], abs=one["tolerance"])
    found = false_positive_rate(inside, outside)
    assert found == pytest.approx(one["expected"]["fpr95"], abs=one["tolerance"])


def test_min_k_vector() -> None:
    one = vector("min_k_prob")
    found = min_k_prob(one["input"]["token_logprobs"], one["input"]["k"])
    assert found == pytest.approx(one["expected"]["min_k"], abs=one["tolerance"])


@pytest.mark.parametrize("seed", range(8))
def test_the_numbers_of_scikit_learn(seed: int) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    random = np.random.default_rng(seed)
    inside = np.round(random.normal(1, 1, 40 + seed), 1)  # rounded, so that there are ties
    outside = np.round(random.normal(0, 1, 25), 1)
    truth = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    scores = np.r_[inside, outside]
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    rates, recalls, _ = roc_curve(truth, scores, drop_intermediate=False)
    smallest = rates[recalls >= 0.95].min()
    assert false_positive_rate(inside, outside) == pytest.approx(smallest, abs=1e-9)


def test_what_has_no_answer() -> None:
    assert math.isnan(auroc([], [1.0]))
    assert math.isnan(false_positive_rate([1.0], []))
    with pytest.raises(MetricError, match="at least one token"):
        min_k_prob([])
    with pytest.raises(MetricError, match="not finite"):
        auroc([float("nan")], [1.0])
