"""Whether probabilities can be believed: what is warned of and what is only shown."""

from __future__ import annotations

import numpy as np
import pytest

from checks.finished import case_set, said, scene, sure
from tuneval.checks.calibration import CalibrationCheck
from tuneval.comparison.beyond import calibration as cal
from tuneval.types import CaseSet, Finding

LABELS = ("a", "b", "c")


def drawn(
    n: int, seed: int, sharper: float = 1.0, clusters: list[str] | None = None
) -> tuple[CaseSet, list[dict[str, float]]]:
    """Labels drawn from probabilities, which are then made sharper than they were."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([0.7] * 3, n)
    references = [LABELS[rng.choice(3, p=p)] for p in true]
    told = true**sharper
    told /= told.sum(axis=1, keepdims=True)
    cases = case_set(references, clusters=clusters, labels=LABELS)
    return cases, [dict(zip(LABELS, map(float, p), strict=True)) for p in told]


def look(n: int, seed: int, sharper: float = 1.0, **more: object) -> list[Finding]:
    cases, told = drawn(n, seed, sharper, **more)  # type: ignore[arg-type]
    shown = scene(cases, {"base": sure(cases, told), "lora": sure(cases, told)})
    return list(CalibrationCheck().look(shown))


def test_an_honest_model_is_clear() -> None:
    base, lora, everyone = look(600, 1)
    assert (base.level, lora.level, everyone.level) == ("clear", "clear", "note")
    assert lora.sentence.startswith("lora: calibration error of ")
    assert "a perfectly calibrated model with these confidences shows" in lora.sentence
    assert everyone.variant == ""
    assert [row[0] for row in everyone.rows] == ["base", "lora"]
    assert len(everyone.rows[0]) == len(everyone.columns)


def test_an_overconfident_model_is_told_its_temperature() -> None:
    _, lora, _ = look(1000, 2, sharper=3.0)
    assert lora.level == "warning"
    assert "too sure. Predictions stand; do not use its probabilities as they are." in lora.sentence
    assert lora.values["temperature"] == pytest.approx(3.0, rel=0.15)
    assert lora.values["nll_after"] < lora.values["nll_before"]
    assert f"Temperature {lora.values['temperature']:.2f} fixes validation loss from " in (
        lora.sentence
    )


def test_an_underconfident_model() -> None:
    _, lora, _ = look(1000, 3, sharper=0.4)
    assert "too unsure" in lora.sentence


def test_the_table_holds_every_case_once() -> None:
    _, lora, _ = look(600, 4)
    assert len(lora.rows) == 15
    assert sum(row[4] for row in lora.rows) == 600
    confidences = [row[0] for row in lora.rows]
    assert confidences == sorted(confidences)
    assert all(low <= accuracy <= high for _, accuracy, low, high, _ in lora.rows)


def test_numbers_equal_those_of_the_metrics() -> None:
    from tuneval.metrics import build

    cases, told = drawn(300, 5)
    predictions = sure(cases, told)
    lora = next(iter(CalibrationCheck().look(scene(cases, {"base": predictions}))))
    for metric, key in [
        ("ece", "ece"), ("ece_width", "ece_equal_width"), ("brier", "brier"), ("aurc", "aurc"),
        ("brier_top_label", "brier_top_label"), ("log_loss", "nll"), ("accuracy", "accuracy"),
    ]:  # fmt: skip
        one = build(metric, labels=LABELS)
        rows = one.per_case(cases.cases, predictions)
        is_ranks = one.statistic == "ranks"
        expected = one.from_rows(rows) if is_ranks else one.from_totals(rows.sum(axis=0))  # type: ignore[attr-defined]
        assert lora.values[key] == pytest.approx(float(expected), abs=1e-12), metric


def test_temperature_is_fitted_on_one_half_and_quoted_on_the_other() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (1, 400, 3))
    labels = rng.integers(0, 3, 400)
    half = np.arange(400) < 200
    found = cal.held_out_temperature(logits, labels, half)
    assert found.temperature == cal.fit_temperature(logits[0, :200], labels[:200]).temperature
    assert found.nll_before == pytest.approx(cal.loss_at(1.0, logits[0, 200:], labels[200:]))
    # What happens in one half moves nothing in the other.
    other = logits.copy()
    other[0, 200:] = 0
    assert cal.held_out_temperature(other, labels, half).temperature == found.temperature


def test_halves_keep_clusters_whole() -> None:
    codes = np.repeat(np.arange(40), 5)
    half = cal._half(200, codes, np.random.default_rng(0))
    assert half is not None
    assert half.sum() == 100
    assert all(len(set(half[codes == one])) == 1 for one in range(40))
    assert cal._half(50, None, np.random.default_rng(0)) is None


def test_a_temperature_that_does_not_help_is_not_advised() -> None:
    found = cal.Confidence("overconfident", 0.1, 0.05, 0.15, 0.8)
    text = cal.confidence_sentence("lora", found, cal.Temperature(0.9, 0.5, 0.51))
    assert "Temperature" not in text


def test_clustered_cases_are_not_judged_by_the_null() -> None:
    clusters = [str(n // 5) for n in range(600)]
    _, lora, _ = look(600, 6, clusters=clusters)
    assert lora.level == "clear"
    assert "not judged because cases belong together" in lora.sentence


def test_few_cases_are_unclear() -> None:
    _, lora, _ = look(29, 7)
    assert (lora.level, lora.sentence) == (
        "unclear",
        "lora: 29 cases are too few to say whether its probabilities can be believed.",
    )


def test_training_seeds_are_one_arm() -> None:
    cases, honest = drawn(600, 8)
    _, sharp = drawn(600, 8, 3.0)
    predictions = {
        "base": sure(cases, honest),
        **{f"lora-{n}": sure(cases, sharp) for n in range(3)},
    }
    base, lora, everyone = CalibrationCheck().look(scene(cases, predictions))
    assert (base.level, lora.level) == ("clear", "warning")
    assert sum(row[4] for row in lora.rows) == 600
    assert len(everyone.rows) == 2


def test_answers_without_probabilities_are_left_alone() -> None:
    cases = case_set(["no", "yes"] * 30)
    assert not list(
        CalibrationCheck().look(scene(cases, {"base": said(cases, ["no", "yes"] * 30)}))
    )


def test_choices_may_differ_in_number() -> None:
    """A question with fewer choices has nothing to say about the others."""
    found = cal.judge_calibration(
        np.array([[[0.7, 0.3, 0.0], [0.2, 0.3, 0.5]] * 40]),
        np.array([0, 2] * 40),
        scene(case_set(["no"]), {"base": said(case_set(["no"]), ["no"])}).settings,
        case_set="t",
        name="base",
    )
    assert np.isfinite(found.nll)
    assert found.temperature is not None
    assert np.isfinite(found.temperature.nll_after)
