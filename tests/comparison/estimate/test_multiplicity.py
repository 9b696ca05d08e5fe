"""The error budget: its table, and what it does to comparisons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comparison.fakes import Accuracy, from_table, measured
from tuneval.comparison import Settings, adjust, compare
from tuneval.comparison.estimate import exact, power
from tuneval.comparison.estimate.multiplicity import FAMILIES
from tuneval.comparison.wording import cases_text, gain, scale

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


SETTINGS = Settings()


def one(settings=SETTINGS, name="lora"):
    base, tuned = (
        np.r_[np.ones(300), np.zeros(100)],
        np.r_[np.ones(290), np.zeros(10), np.ones(100)],
    )
    return compare(
        measured(base, "base"), measured(tuned, name), Accuracy(), settings, case_set="t"
    )


def test_the_page_shows_the_table_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    for family in FAMILIES:
        assert f"| {family.name} | {family.claims} | {family.correction} |" in page


@pytest.mark.parametrize("n_tests", [1, 3, 13])
def test_what_n_detects_is_meant_at_the_level_of_the_family(n_tests):
    plain = one()
    share = plain.details["discordant_share"]
    found = adjust([one(name=f"lora-{k}") for k in range(n_tests)])[0]
    level = 0.05 / n_tests
    assert found.details["level"] == level
    assert found.detectable_difference == pytest.approx(power.detectable(400, share, alpha=level))
    assert found.details["cases_needed"] == pytest.approx(
        power.cases_for(plain.difference, share, alpha=level), abs=2 * n_tests
    )


def test_exploratory_comparisons_keep_the_level_of_one_test():
    plain, (found,) = one(), adjust([], [one()])
    assert found.detectable_difference == plain.detectable_difference
    assert (found.details["confirmatory"], found.details["holm"]) == (0.0, 0.0)


def test_the_ranking_is_a_family_of_its_own():
    first, _, ranked = adjust([one()], [one()], [replace(one(), baseline="a", candidate="b")])
    assert first.p_adjusted == first.p_value
    assert (ranked.details["confirmatory"], ranked.details["holm"]) == (0.0, 1.0)
    assert ranked.p_adjusted == ranked.p_value


def test_claims_of_closeness_share_one_error_rate():
    plain, shared = one(), one(Settings(closeness_claims=6))
    assert plain.details["bound_confidence"] == pytest.approx(0.9)
    assert shared.details["bound_confidence"] == pytest.approx(1 - 0.1 / 6)
    assert shared.details["interval90_low"] < plain.details["interval90_low"]
    assert shared.interval == plain.interval


def test_what_rounding_leaves_of_equal_means_needs_no_cases():
    assert power.cases_for_mean(1e-17, 0.1) == power.cases_for(1e-17, 0.1) == float("inf")


@pytest.mark.parametrize(
    ("n_cases", "text"),
    [(3917, "about 3917"), (1e7, "about 10000000"), (5e33, "more than 10,000,000")],
)
def test_no_absurd_number_of_cases_is_asked_for(n_cases, text):
    assert cases_text(n_cases) == text


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("share", 0.051, "5.1 points"),
        ("share", -0.0004, "less than 0.1 points"),
        ("share", 0.0, "0.0 points"),
        ("nats", 0.0004, "less than 0.001 nats"),
    ],
)
def test_what_rounds_to_zero_is_no_zero(unit, value, text):
    assert scale(unit).amount(value) == text


def pair_of(better, worse, name="lora", claims=3, n=400):
    x, y = from_table(better, worse, n - better - worse, 0)
    settings = Settings(difference_claims=claims)
    return compare(measured(x), measured(y, name), Accuracy(), settings, case_set="t")


def test_the_interval_of_a_verdict_holds_for_all_claims_at_once():
    found = pair_of(60, 20)
    alone = pair_of(60, 20, claims=1)
    assert found.interval == alone.interval
    assert "shared_low" not in alone.details
    wanted = exact.agresti_min(60, 20, 400).interval(1 - 0.05 / 3)
    assert found.details["shared_confidence"] == pytest.approx(1 - 0.05 / 3)
    assert (found.details["shared_low"], found.details["shared_high"]) == pytest.approx(
        wanted, abs=0.02
    )
    assert found.details["shared_low"] <= wanted[0]
    assert gain(found).level_text == "98.3%"


@pytest.mark.parametrize(
    ("counts", "holds_zero"),
    [
        pytest.param([(60, 20), (55, 30), (45, 26)], [False, False, False], id="all rejected"),
        pytest.param([(60, 20), (45, 28), (40, 36)], [False, True, True], id="one rejected"),
        pytest.param([(48, 30), (45, 30), (40, 36)], [True, True, True], id="none rejected"),
    ],
)
def test_holm_and_the_interval_of_the_verdict_agree_about_zero(counts, holds_zero):
    """Enough alone (p=.025) is enough as the last of three, and not beside one that proves nothing."""
    found = adjust([pair_of(*one, name=f"lora-{n}") for n, one in enumerate(counts)])
    for one, is_held in zip(found, holds_zero, strict=True):
        low, high = one.details["shared_low"], one.details["shared_high"]
        assert (one.p_adjusted >= 0.05) is is_held
        assert (low < 0 < high) is is_held
        assert is_held or low >= 0
