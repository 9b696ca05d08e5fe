"""Honest confidences."""

from __future__ import annotations

import numpy as np
import pytest

from comparison.fakes import vector
from tuneval.comparison import Settings
from tuneval.comparison.beyond import calibration as cal
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=500)


def test_calibration_vector():
    found = vector("calibration_top_label")
    confidence, correct = (np.array(found["input"][k], float) for k in ("confidence", "correct"))
    expected, near = found["expected"], {"abs": found["tolerance"]}
    assert cal.ece_equal_mass(confidence, correct, 5) == pytest.approx(
        expected["ece_mass5"], **near
    )
    assert cal.ece_equal_width(confidence, correct, 10) == pytest.approx(
        expected["ece_width10"], **near
    )
    assert cal.brier(confidence, correct) == pytest.approx(expected["brier"], **near)
    assert cal.aurc(confidence, correct) == pytest.approx(expected["aurc"], **near)


def test_temperature_vector():
    found = vector("temperature_scaling")
    logits, labels = np.array(found["input"]["logits"]), np.array(found["input"]["gold"])
    fitted, expected, near = (
        cal.fit_temperature(logits, labels),
        found["expected"],
        {"abs": found["tolerance"]},
    )
    assert fitted.temperature == pytest.approx(expected["temperature"], **near)
    assert fitted.nll_before == pytest.approx(expected["nll_T1"], **near)
    assert fitted.nll_after == pytest.approx(expected["nll_T"], **near)


@pytest.mark.parametrize(("n", "mean"), [(200, 0.088), (1000, 0.039)])
def test_binning_bias_of_a_perfect_model(n, mean):
    rng = np.random.default_rng(0)
    confidence = rng.beta(2, 1, n) * 0.75 + 0.25
    correct = (rng.random(n) < confidence).astype(float)
    found = cal.calibration_null(confidence, correct, SETTINGS, key="t")
    assert found.null_mean == pytest.approx(mean, abs=0.012)
    assert not found.is_miscalibrated
    sure = cal.calibration_null(np.full(n, 0.99), correct, SETTINGS, key="t")
    assert sure.is_miscalibrated


@pytest.mark.parametrize(
    ("shift", "finding"), [(0.10, "overconfident"), (-0.10, "underconfident"), (0.0, "")]
)
def test_table_9_5(shift, finding):
    confidence = np.full(1000, 0.8 + shift)
    correct = np.array([1.0] * 800 + [0.0] * 200)
    found = cal.judge_confidence(confidence, correct)
    assert found.finding == finding
    sentence = cal.confidence_sentence("lora", found, cal.Temperature(1.5, 0.612, 0.5))
    side = {"overconfident": "too sure", "underconfident": "too unsure", "": None}[finding]
    assert sentence == (
        ""
        if side is None
        else f"lora is right 80% of the time but 10 points {side}. Predictions stand; do not use its "
        "probabilities as they are. Temperature 1.50 fixes validation loss from 0.612 to 0.500."
    )


def test_overconfident_by_less_than_two_points_is_no_finding():
    found = cal.judge_confidence(np.full(100_000, 0.81), np.array([1.0] * 80_000 + [0.0] * 20_000))
    assert (found.finding, found.low > 0) == ("", True)


@pytest.mark.parametrize("n", [0, 1])
def test_tiny_calibration_is_defined(n):
    assert cal.judge_confidence(np.ones(n), np.ones(n)).finding == ""
    found = cal.calibration_null(np.full(n, 0.5), np.ones(n), SETTINGS, key="t") if n else None
    assert found is None or found.ece == 0.5


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(MetricError, match="at least one case"):
        cal.fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))


def test_risk_at_coverage():
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1.0, 1, 1, 1, 0])
    assert cal.risk_at(confidence, correct) == 0.0
