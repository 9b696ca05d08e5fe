"""Group gaps beyond chance, honest confidences, disjoint samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from comparison.fakes import Accuracy, MacroF1, MeanScore, f1_rows, measured
from shared import shared_json
from tuneval.comparison import Settings
from tuneval.comparison.beyond import calibration as cal
from tuneval.comparison.beyond.groups import fairness_gaps, group_sentence, judge_groups
from tuneval.comparison.beyond.overfitting import gap_sentence, generalisation_gap
from tuneval.comparison.estimate.independent import score_over_strata
from tuneval.errors import MetricError

SETTINGS = Settings(resamples=500)


def vector(name):
    found = {v["id"]: v for v in shared_json("vectors", "statistics.json")["vectors"]}
    return found[name]


def test_fairness_vector():
    found = vector("fairness")
    given, expected = found["input"], found["expected"]
    gaps = fairness_gaps(given["y_true"], given["y_pred"], given["group"])
    near = {"abs": found["tolerance"]}
    assert gaps.accuracy == pytest.approx(expected["accuracy"], **near)
    assert gaps.accuracy_gap == pytest.approx(expected["accuracy_gap"], **near)
    assert gaps.demographic_parity_difference == pytest.approx(
        expected["demographic_parity_difference"], **near
    )
    assert gaps.equalized_odds_difference == pytest.approx(
        expected["equalized_odds_difference"], **near
    )


def judged(values, groups, metric=None):
    metric = metric or Accuracy()
    rows = values if np.ndim(values) == 2 else None
    measurement = measured(values, "lora", metric.name, rows)
    return judge_groups(
        [measurement], metric, SETTINGS, case_set="t", attribute="writer", groups=groups
    )


def test_a_real_gap_is_named():
    values = [1] * 95 + [0] * 5 + [1] * 60 + [0] * 40
    gap = judged(values, ["fluent"] * 100 + ["learner"] * 100)
    assert gap.p_value == pytest.approx(1 / 501)
    assert group_sentence(gap, Accuracy(), "accuracy") == (
        "accuracy differs between groups by 35.0 points (permutation p=0.002); "
        "lowest: writer=learner, n=100."
    )
    assert [c.slice for c in gap.against_rest] == ["writer=fluent", "writer=learner"]
    assert gap.against_rest[1].difference == pytest.approx(-0.35)
    assert gap.against_rest[1].p_adjusted == pytest.approx(1 / 501)


def test_no_gap_says_what_would_be_visible():
    values = ([1] * 85 + [0] * 15) * 2
    gap = judged(values, ["a"] * 100 + ["b"] * 100)
    assert gap.p_value == 1
    assert group_sentence(gap, Accuracy(), "accuracy") == (
        "No difference between groups beyond chance; gaps under 14 points would not be visible."
    )


def test_small_groups_are_shown_not_judged():
    gap = judged([1] * 40 + [0] * 20 + [1] * 40, ["a"] * 40 + ["b"] * 20 + [None] * 40)
    assert gap.values == {"a": 1.0, "b": 0.0}
    assert np.isnan(gap.p_value)
    assert group_sentence(gap, Accuracy(), "accuracy") == ""


def test_groups_of_sums():
    rng = np.random.default_rng(0)
    reference = np.arange(120) % 3
    wrong = rng.random(120) < np.where(np.arange(120) < 60, 0.05, 0.6)
    rows = f1_rows(reference, np.where(wrong, (reference + 1) % 3, reference), range(3))
    gap = judged(rows, ["a"] * 60 + ["b"] * 60, MacroF1())
    assert (gap.p_value, gap.lowest) == (pytest.approx(1 / 501), "b")


def test_dealing_kinds_is_shuffling_cases():
    """Against the hypergeometric distribution of a 2 x 2 table, which is exact."""
    values = [1] * 40 + [0] * 10 + [1] * 30 + [0] * 20
    gap = judge_groups(
        [measured(values, "lora")],
        Accuracy(),
        Settings(resamples=20_000),
        case_set="t",
        attribute="writer",
        groups=["a"] * 50 + ["b"] * 50,
    )
    right = np.arange(20, 51)
    extreme = np.abs(right - (70 - right)) >= 10
    expected = stats.hypergeom.pmf(right, 100, 70, 50) @ extreme
    assert gap.p_value == pytest.approx(expected, abs=0.006)
    rng = np.random.default_rng(0)
    slow = judged(rng.random(100), ["a"] * 50 + ["b"] * 50, MeanScore())
    assert 0 < slow.p_value <= 1


def test_wrong_number_of_groups_is_refused():
    with pytest.raises(MetricError, match="2 groups for 3 cases"):
        judged([1, 0, 1], ["a", "b"])


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
        else f"lora is right 80% of the time but 10% {side}. Predictions stand; do not use its "
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


def test_generalisation_gap_is_welch():
    rng = np.random.default_rng(0)
    train, test = rng.random(250) * 0.1 + 0.85, rng.random(120) * 0.3 + 0.5
    found = generalisation_gap(
        measured(train, "lora", "token_f1"),
        measured(test, "lora", "token_f1"),
        MeanScore(),
        SETTINGS,
        case_set="t",
    )
    expected = stats.ttest_ind(train, test, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        tuple(expected.confidence_interval())
    )
    assert gap_sentence(found, "token F1") == (
        "lora scores 24.7 points higher in token F1 on its training cases than on the test cases "
        "(+23.1 to +26.3): a sign of overfitting."
    )
    with pytest.raises(MetricError, match="199 training cases were scored"):
        generalisation_gap(
            measured(train[:199]), measured(test), MeanScore(), SETTINGS, case_set="t"
        )


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


@pytest.mark.parametrize("seed", range(5))
def test_fairness_equals_fairlearn(seed):
    """Two labels, and each of several labels against the rest."""
    from fairlearn.metrics import (
        MetricFrame,
        demographic_parity_difference,
        equalized_odds_difference,
    )
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], 300)
    for labels in (["no", "yes"], ["x", "y", "z", "w"]):
        reference = rng.choice(labels, 300)
        said = np.where(rng.random(300) < 0.6, reference, rng.choice(labels, 300))
        for positive in labels:
            found = fairness_gaps(reference, said, group, positive)
            truth, told = (reference == positive).astype(int), (said == positive).astype(int)
            given = {"sensitive_features": group}
            assert found.demographic_parity_difference == pytest.approx(
                demographic_parity_difference(truth, told, **given), abs=1e-12
            )
            assert found.equalized_odds_difference == pytest.approx(
                equalized_odds_difference(truth, told, **given), abs=1e-12
            )
            frame = MetricFrame(
                metrics=accuracy_score, y_true=reference, y_pred=said, sensitive_features=group
            )
            assert found.accuracy_gap == pytest.approx(frame.difference(), abs=1e-12)


def test_rates_over_too_few_cases_are_undefined():
    found = fairness_gaps([1] * 5 + [0] * 95, [1] * 100, ["a"] * 50 + ["b"] * 50, fewest=10)
    assert found.demographic_parity_difference == 0
    assert found.equalized_odds_difference == 0  # of the false positives alone
    one = fairness_gaps([1, 0], [1, 1], ["a", "b"], fewest=10)
    assert np.isnan(one.demographic_parity_difference)
