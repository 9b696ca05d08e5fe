"""Disjoint samples."""

from __future__ import annotations

import numpy as np
import pytest

from comparison.fakes import Accuracy, MeanScore, measured
from tuneval.comparison import Settings
from tuneval.comparison.estimate.independent import score_over_strata
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=500)


def test_strata_by_hand():
    rng = np.random.default_rng(0)
    values = rng.random(60)
    strata = ["law"] * 20 + ["physics"] * 40
    given = {"case_set": "mmlu", "attribute": "subject", "strata": strata}
    found = score_over_strata(measured(values), MeanScore(), SETTINGS, **given)
    parts = values[:20], values[20:]
    variance = sum(0.25 * part.var(ddof=1) / part.size for part in parts)
    assert found.value == pytest.approx((parts[0].mean() + parts[1].mean()) / 2)
    assert found.slice == "mean over subject"
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(2.0 * np.sqrt(variance), rel=0.03)
    micro = score_over_strata(
        measured(values), MeanScore(), SETTINGS, **given, weights={"law": 20, "physics": 40}
    )
    assert micro.value == pytest.approx(values.mean())


def test_strata_of_one_case_and_of_none():
    given = {"case_set": "mmlu", "attribute": "subject"}
    found = score_over_strata(
        measured([1, 0, 1]), Accuracy(), SETTINGS, **given, strata=["a", "a", "b"]
    )
    assert (found.value, found.interval) == (0.75, None)
    assert found.note == "2 strata; a stratum has a single case: no interval"
    empty = score_over_strata(measured([]), Accuracy(), SETTINGS, **given, strata=[])
    assert (np.isnan(empty.value), empty.interval) == (True, None)
    with pytest.raises(MetricError, match="1 strata for 2 cases"):
        score_over_strata(measured([1, 0]), Accuracy(), SETTINGS, **given, strata=["a"])
    same = score_over_strata(
        measured([1.0] * 6), Accuracy(), SETTINGS, **given, strata=["a", "b"] * 3
    )
    assert (same.interval.low, same.interval.high) == (1.0, 1.0)
