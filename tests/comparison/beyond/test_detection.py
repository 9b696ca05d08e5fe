"""Telling two kinds of text apart: the shared vectors, scikit-learn, and what has no answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from comparison.fakes import vector
from tuneval.comparison import Settings
from tuneval.comparison.beyond.detection import (
    Detection,
    _weighted,
    auroc,
    detection_sentence,
    false_positive_rate,
    judge_detection,
    min_k_prob,
)
from tuneval.errors import MetricError


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


@pytest.mark.parametrize("arm", ["base", "lora", "full"])
def test_real_out_of_scope_requests(arm: str) -> None:
    """What the models of examples/clinc150 said, against what scikit-learn makes of it now."""
    from sklearn.metrics import roc_auc_score, roc_curve

    path = Path(__file__).parents[2] / "vectors" / "clinc150_detection.json"
    one = json.loads(path.read_text(encoding="utf-8"))["arms"][arm]
    inside, outside = one["inside"], one["outside"]
    truth = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    rates, recalls, _ = roc_curve(truth, [*inside, *outside], drop_intermediate=False)
    expected = roc_auc_score(truth, [*inside, *outside]), rates[recalls >= 0.95].min()
    assert (one["auroc"], one["fpr95"]) == pytest.approx(expected, abs=1e-9)
    assert auroc(inside, outside) == pytest.approx(expected[0], abs=1e-9)
    assert false_positive_rate(inside, outside) == pytest.approx(expected[1], abs=1e-9)


def test_what_has_no_answer() -> None:
    assert math.isnan(auroc([], [1.0]))
    assert math.isnan(false_positive_rate([1.0], []))
    with pytest.raises(MetricError, match="at least one token"):
        min_k_prob([])
    with pytest.raises(MetricError, match="not finite"):
        auroc([float("nan")], [1.0])


def judged(seed: int = 0, n_seeds: int = 1, **more: object):
    random = np.random.default_rng(seed)
    scores = {
        "base": (random.random((1, 200)), random.random((1, 80))),
        "lora": (random.normal(1.5, 1, (n_seeds, 200)), random.normal(0, 1, (n_seeds, 80))),
    }
    settings = Settings(resamples=2000)
    return scores, judge_detection(scores, settings, key="t", baseline="base", **more)  # type: ignore[arg-type]


def test_an_arm_is_the_mean_of_its_seeds() -> None:
    scores, found = judged(n_seeds=3)
    inside, outside = scores["lora"]
    seeds = [auroc(a, b) for a, b in zip(inside, outside, strict=True)]
    assert found["lora"].auroc == pytest.approx(np.mean(seeds))
    assert found["base"].difference is None
    assert found["lora"].difference == pytest.approx(found["lora"].auroc - found["base"].auroc)
    assert [one.kept for one in found["lora"].passing] == [0.99, 0.95, 0.9, 0.8]
    assert found["lora"].passing[1].passed == pytest.approx(found["lora"].fpr95)


def test_the_interval_is_a_bootstrap_of_both_kinds() -> None:
    """Against plain resampling by index, with roc_auc_score."""
    from sklearn.metrics import roc_auc_score

    scores, found = judged()
    a, b = (one[0] for one in scores["lora"])
    random = np.random.default_rng(1)
    truth = np.r_[np.ones(a.size), np.zeros(b.size)]
    draws = [
        roc_auc_score(truth, np.r_[random.choice(a, a.size), random.choice(b, b.size)])
        for _ in range(1000)
    ]
    assert found["lora"].interval == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    low, high = found["lora"].difference_interval
    assert low < found["lora"].difference < high


def test_weights_count_as_copies() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 5, 20).astype(float), random.integers(0, 5, 9).astype(float)
    wa, wb = random.integers(0, 3, (4, 20)), random.integers(1, 3, (4, 9))
    found = _weighted(a, b, wa.astype(float), wb.astype(float))
    copies = [auroc(np.repeat(a, x), np.repeat(b, y)) for x, y in zip(wa, wb, strict=True)]
    assert found == pytest.approx(copies)


def test_clusters_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    inside = np.repeat(random.normal(1, 1, (1, 20)), 10, axis=1)
    scores = {"base": (inside, random.normal(0, 1, (1, 400)))}
    settings = Settings(resamples=1000)
    given = {"key": "t", "baseline": "base"}
    alone = judge_detection(scores, settings, **given)["base"].interval
    codes = np.repeat(np.arange(20), 10)
    whole = judge_detection(scores, settings, **given, codes=codes)["base"].interval
    assert whole[1] - whole[0] > 1.5 * (alone[1] - alone[0])


def test_the_sentence() -> None:
    found = Detection(
        0.91, (0.88, 0.94), 0.4, 250, 20, (), difference=0.2, difference_interval=(0.1, 0.3)
    )
    assert detection_sentence("lora", found, texts="oos.jsonl", baseline="base") == (
        "lora tells the 20 texts of oos.jsonl from 250 test cases with AUROC 0.910 (0.880 to "
        "0.940); a threshold on its highest label probability that keeps 95% of the test cases lets "
        "40% of them through. AUROC against base: +0.200 (+0.100 to +0.300). Fewer than 30 texts: "
        "take this as a hint."
    )
