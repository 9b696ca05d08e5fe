"""Calibration error, Brier score and log loss: the shared vector and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from metrics.making import made_cases, value, vector
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.types import Prediction


def sure(confidences, correct):
    """Predictions of "yes" with these confidences; the reference is "yes" where correct."""
    cases = made_cases(["yes" if right else "other" for right in correct])
    # Nine further labels share the rest, so that "yes" wins at any confidence above 1/10.
    answers = [
        Prediction(
            case_id=case.id,
            label="yes",
            label_probabilities={
                "yes": share,
                **{f"other{n or ''}": (1 - share) / 9 for n in range(9)},
            },
        )
        for case, share in zip(cases, confidences, strict=True)
    ]
    return cases, answers


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("ece", {"bins": 5}, "ece_mass5"),
        ("ece_width", {"bins": 10}, "ece_width10"),
        ("brier_top_label", {}, "brier"),
        ("aurc", {}, "aurc"),
    ],
)
def test_vector_calibration(name, options, key):
    given = vector("calibration_top_label")
    cases, answers = sure(given["input"]["confidence"], given["input"]["correct"])
    found = value(build(name, **options), cases, answers)
    assert found == pytest.approx(given["expected"][key], abs=given["tolerance"])


def probabilities(n=40, n_labels=4):
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(n_labels), size=n)
    gold = rng.integers(0, n_labels, size=n)
    cases = made_cases([str(one) for one in gold])
    answers = [
        Prediction(
            case_id=case.id,
            label_probabilities={str(n): float(x) for n, x in enumerate(row)},
        )
        for case, row in zip(cases, shares, strict=True)
    ]
    return cases, answers, gold, shares


def test_log_loss_equals_scikit_learn():
    cases, answers, gold, shares = probabilities()
    assert value(build("log_loss"), cases, answers) == pytest.approx(sk.log_loss(gold, shares))


def test_brier_sums_over_labels():
    cases, answers, gold, shares = probabilities()
    expected = np.mean(((shares - np.eye(4)[gold]) ** 2).sum(axis=1))
    assert value(build("brier"), cases, answers) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 7, 15, 16, 100])
def test_equal_mass_bins_are_those_of_array_split(n):
    rng = np.random.default_rng(n)
    confidence, right = rng.random(n), rng.integers(0, 2, size=n).astype(float)
    rows = np.column_stack([confidence, right, np.ones(n)])
    order = np.argsort(confidence)
    expected = sum(
        len(part) / n * abs(confidence[part].mean() - right[part].mean())
        for part in np.array_split(order, 15)
        if len(part)
    )
    assert build("ece").from_rows(rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name", ["ece", "ece_width", "aurc", "brier", "brier_top_label", "log_loss"]
)
def test_a_prediction_without_probabilities_is_left_out_or_refused(name):
    cases, answers, _, _ = probabilities()
    metric = build(name)
    failed = Prediction(case_id="x", problem="nonfinite: nan logits")
    with_failed = value(metric, [*cases, *made_cases(["0"])], [*answers, failed])
    assert with_failed == pytest.approx(value(metric, cases, answers))
    with pytest.raises(MetricError, match='has no "label_probabilities"'):
        metric.per_case(made_cases(["0"]), [Prediction(case_id="x", label="0")])
    with pytest.raises(MetricError, match='expects "9", to which'):
        metric.per_case(made_cases(["9"]), answers[:1])


@pytest.mark.parametrize("name", ["ece", "aurc"])
def test_ranks_cannot_be_had_from_sums(name):
    with pytest.raises(MetricError, match="use from_rows"):
        build(name).from_totals(np.zeros(3))


@pytest.mark.parametrize("name", ["ece", "ece_width"])
def test_bins_are_checked(name):
    with pytest.raises(MetricError, match='bins is "0"'):
        build(name, bins=0)
