"""The shared numeric vectors that belong to this room."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import Accuracy, Corpus, MeanScore, from_table, measured
from shared import shared_json
from tuneval.comparison import Settings, compare, score
from tuneval.comparison.estimate import exact, power
from tuneval.comparison.estimate.mean import Estimate, estimate_mean
from tuneval.comparison.estimate.multiplicity import benjamini_hochberg, holm
from tuneval.comparison.estimate.resampling import bca, generator, resample
from tuneval.comparison.estimate.seeds import two_way

SETTINGS = Settings()


@pytest.fixture
def vector(request):
    found = {v["id"]: v for v in shared_json("vectors", "statistics.json")["vectors"]}
    return found[request.param]


def vector_named(name):
    return pytest.mark.parametrize("vector", [name], indirect=True)


def near(vector, name):
    return pytest.approx(vector["expected"][name], abs=vector["tolerance"])


@vector_named("wilson_interval")
def test_wilson(vector):
    x, n, confidence = (vector["input"][k] for k in ("x", "n", "confidence"))
    low, high = exact.wilson(x, n, confidence)
    assert (low, high) == (near(vector, "low"), near(vector, "high"))
    found = score(measured([1] * x + [0] * (n - x)), Accuracy(), SETTINGS, case_set="t")
    assert (found.interval.low, found.interval.high, found.interval.method) == (low, high, "wilson")


@vector_named("clopper_pearson_interval")
def test_clopper_pearson(vector):
    x, n, confidence = (vector["input"][k] for k in ("x", "n", "confidence"))
    low, high = exact.clopper_pearson(x, n, confidence)
    assert (low, high) == (near(vector, "low"), near(vector, "high"))
    found = score(measured([1] * x + [0] * (n - x)), Accuracy(), SETTINGS, case_set="t")
    assert (found.interval.high, found.interval.method) == (high, "clopper-pearson")


@vector_named("clustered_se_mean")
def test_clustered_mean(vector):
    values, clusters = np.array(vector["input"]["scores"]), vector["input"]["clusters"]
    codes = np.array(clusters)
    estimate = estimate_mean(values, codes)
    groups = codes.max() + 1
    assert estimate.value == near(vector, "mean")
    assert estimate_mean(values).standard_error == near(vector, "se_iid")
    assert estimate.standard_error == near(vector, "se_cr1")
    assert estimate.standard_error * sqrt((groups - 1) / groups) == near(vector, "se_cr0")
    found = score(
        measured(values),
        MeanScore(unit="nats"),  # without a range the interval is the t interval
        SETTINGS,
        case_set="t",
        clusters=[str(c) for c in clusters],
    )
    assert found.interval.low == near(vector, "ci_low")
    assert found.interval.high == near(vector, "ci_high")


@vector_named("paired_t")
def test_paired_t(vector):
    a, b = vector["input"]["a"], vector["input"]["b"]
    nats = MeanScore(unit="nats")  # without a range the interval is the t interval
    found = compare(measured(a), measured(b, "lora"), nats, SETTINGS, case_set="t")
    assert found.difference == near(vector, "mean_diff")
    assert found.details["standard_error"] == near(vector, "se")
    assert found.interval.low == near(vector, "ci_low")
    assert found.interval.high == near(vector, "ci_high")
    estimate = estimate_mean(np.subtract(b, a))
    assert estimate.p_value() == near(vector, "p")
    assert estimate.value / estimate.standard_error == near(vector, "t")


@vector_named("mcnemar")
def test_mcnemar(vector):
    b, c = vector["input"]["b"], vector["input"]["c"]
    found = exact.mcnemar(b, c)
    assert found.p_exact == near(vector, "p_exact")
    assert found.p_mid == near(vector, "p_mid")
    assert found.chi2 == near(vector, "chi2")
    assert found.p_chi2 == near(vector, "p_chi2")
    assert found.chi2_corrected == near(vector, "chi2_cc")
    assert found.p_chi2_corrected == near(vector, "p_chi2_cc")


@vector_named("paired_proportion_difference")
def test_paired_proportions(vector):
    b, c, n = (vector["input"][k] for k in ("b", "c", "n"))
    x, y = from_table(b, c, (n - b - c) // 2, n - b - c - (n - b - c) // 2)
    found = compare(measured(x), measured(y, "lora"), Accuracy(), SETTINGS, case_set="t")
    assert found.difference == near(vector, "diff")
    assert found.interval.low == near(vector, "agresti_min_low")
    assert found.interval.high == near(vector, "agresti_min_high")
    assert found.details["standard_deviation"] / sqrt(n) == near(vector, "se")
    assert (found.details["only_candidate_right"], found.details["only_baseline_right"]) == (b, c)


@vector_named("sign_flip_exact")
def test_sign_flip(vector):
    d = np.array(vector["input"]["differences"])
    assert exact.sign_flip(d) == near(vector, "p")
    found = compare(measured(0 * d), measured(d, "b"), MeanScore(), SETTINGS, case_set="t")
    assert found.p_value == near(vector, "p")
    assert found.difference == near(vector, "mean_diff")


@vector_named("multiple_testing")
def test_multiple_testing(vector):
    assert holm(vector["input"]["p"]) == near(vector, "holm")
    assert benjamini_hochberg(vector["input"]["p"]) == near(vector, "benjamini_hochberg")


@vector_named("tost_paired")
def test_tost(vector):
    d, margin = np.array(vector["input"]["differences"]), vector["input"]["margin"]
    assert estimate_mean(d).equivalence(margin) == (
        near(vector, "p_lower"),
        near(vector, "p_upper"),
    )
    settings = Settings(margin_points=100 * margin)
    found = compare(measured(0 * d), measured(d, "b"), MeanScore(), settings, case_set="t")
    assert found.details["p_equivalence"] == near(vector, "p")
    assert found.details["interval90_low"] == near(vector, "ci90_low")
    assert found.details["interval90_high"] == near(vector, "ci90_high")


@vector_named("power_paired_binary")
def test_power(vector):
    given = vector["input"]
    kind = {"alpha": given["alpha"], "power": given["power"]}
    share = given["discordant_rate"]
    assert power.detectable(given["n"], share, **kind) == near(vector, "mde")
    assert power.cases_for(given["delta"], share, **kind) == vector["expected"]["n_needed"]
    assert (
        power.cases_for_equivalence(given["margin"], share, **kind) == vector["expected"]["tost_n"]
    )


@vector_named("seed_summary")
def test_seed_summary(vector):
    values = np.array(vector["input"]["scores"])
    estimate = estimate_mean(values)
    assert estimate.value == near(vector, "mean")
    assert np.std(values, ddof=1) == near(vector, "sd")
    assert estimate.interval() == (near(vector, "ci_low"), near(vector, "ci_high"))
    # Without any spread between cases the two-way interval is the t interval over seeds.
    flat = np.repeat(values[:, None], 50, axis=1)
    assert two_way(flat).estimate.interval() == (near(vector, "ci_low"), near(vector, "ci_high"))


@vector_named("bca_interval")
def test_bca(vector):
    rows = measured(vector["input"]["x"]).rows
    found = resample(rows, Corpus().from_totals, 100_000, generator(0))
    low, high = bca(found.value, found.draws, found.left_out, 0.95)
    assert (low, high) == (near(vector, "low"), near(vector, "high"))


def test_an_interval_from_draws_is_no_narrower_than_t():
    x = [2.0, 3.5, 1.0, 8.0, 2.5, 4.0]
    found = score(measured(x), Corpus(unit="nats"), SETTINGS, case_set="t").interval
    mean, error = np.mean(x), np.std(x, ddof=1) / sqrt(6)
    low, high = stats.t.interval(0.95, 5, mean, error)
    assert found.low <= low + 1e-9
    assert found.high >= high - 1e-9


def test_equivalence_of_a_value_without_error():
    assert Estimate(0.01, 0.0, 9).equivalence(0.02) == (0.0, 0.0)
    assert Estimate(0.03, 0.0, 9).equivalence(0.02) == (0.0, 1.0)
