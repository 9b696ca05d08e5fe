"""The estimate of ppi-python, and how often its interval holds the truth."""

from __future__ import annotations

import csv
import gzip
import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from shared import shared_path
from tuneval.comparison.beyond.prediction_powered import UNSEEN, leaning, prediction_powered
from tuneval.errors import MetricError

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "prediction_powered.json").read_text()
)
NORMAL = 1.959963984540054


@pytest.mark.parametrize("found", VECTORS["sets"])
@pytest.mark.parametrize("at", range(4))
def test_the_estimate_and_its_error_are_those_of_ppi_python(found, at):
    marks, judged, unmarked = (np.array(found[k]) for k in ("marks", "judged", "unmarked"))
    expected = found["expected"][at]
    given = prediction_powered(marks, judged, unmarked, power=expected["power"])
    assert given.value == pytest.approx(expected["estimate"], abs=1e-12)
    # Its error has n in place of n - 1, and nothing for what was not seen.
    n, n_other = marks.size, unmarked.size
    of_judge = given.power**2 * unmarked.var() / n_other
    of_marks = (
        (given.standard_error**2 - of_judge * n_other / (n_other - 1) - UNSEEN / (n - 1) / n)
        * (n - 1)
        / n
    )
    half = (expected["high"] - expected["low"]) / 2
    assert NORMAL * sqrt(of_judge + of_marks) == pytest.approx(half, abs=1e-9)


def test_a_judge_that_says_nothing_counts_for_nothing():
    rng = np.random.default_rng(0)
    marks = rng.random(40)
    constant = prediction_powered(marks, np.full(40, 0.7), np.full(300, 0.7))
    everything = prediction_powered(marks, marks, np.empty(0))
    for found in (constant, everything):
        assert (found.power, found.value) == (0.0, pytest.approx(marks.mean()))


def test_too_few_marks():
    with pytest.raises(MetricError, match="1 marks with 1 verdicts: give two or more"):
        prediction_powered(np.ones(1), np.ones(1), np.ones(3))


def test_a_judge_that_likes_one_side_is_told_apart():
    marks = np.array([0.0, 0.5, 1.0, 0.0] * 10)
    low, high = leaning(marks, np.ones(40)).interval()
    assert low < -0.625 < high < 0
    low, high = leaning(marks, marks).interval()
    assert low < 0 < high


def held(marks, judged, n_marked, truth):
    """Shares of runs (rows) whose interval holds the truth: corrected, and by the marks alone."""
    n_runs = len(marks)
    inside = np.zeros(2)
    for y, f in zip(marks, judged, strict=True):
        corrected = prediction_powered(y[:n_marked], f[:n_marked], f[n_marked:])
        alone = prediction_powered(y[:n_marked], f[:n_marked], f[n_marked:], power=0.0)
        for at, one in enumerate((corrected, alone)):
            low, high = one.interval()
            inside[at] += low <= truth <= high
    return inside / n_runs


QUALITIES = {"coin": 0.0, "weak": 0.4, "good": 0.7, "near people": 0.95, "people": 1.0}


def verdicts(rng, shape, quality):
    """Marks of people (50% wins, 20% ties), and a judge that says the same that often, and else
    prefers the candidate more than they do."""
    marks = rng.choice([0.0, 0.5, 1.0], size=shape, p=[0.3, 0.2, 0.5])
    guess = rng.choice([0.0, 0.5, 1.0], size=shape, p=[0.2, 0.2, 0.6])
    return marks, np.where(rng.random(shape) < quality, marks, guess)


@pytest.mark.slow
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("n_cases", [400, 1500])
@pytest.mark.parametrize("n_marked", [30, 100])
def test_the_interval_holds_the_rate_of_people(n_marked, n_cases, quality):
    """docs/judge.md shows the table; 2,000 runs have a Monte Carlo error of 0.5 points."""
    rng = np.random.default_rng([n_marked, n_cases])
    marks, judged = verdicts(rng, (2_000, n_cases), QUALITIES[quality])
    corrected, alone = held(marks, judged, n_marked, 0.6)
    assert corrected > 0.935
    assert alone > 0.935


@pytest.mark.slow
def test_real_verdicts_corrected_by_better_ones():
    """AlpacaEval has one judge and no person: its verdicts stand in for people's, the length of the
    answers for the judge."""
    path = shared_path("alpaca_eval/annotations.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [one for one in csv.DictReader(lines) if one["preference"]]
    rng = np.random.default_rng(5)
    for model in sorted({one["model"] for one in rows}):
        own = [one for one in rows if one["model"] == model]
        marks = np.array([float(one["preference"]) - 1 for one in own])
        longer = np.array([float(int(one["len_model"]) > int(one["len_baseline"])) for one in own])
        drawn = np.stack([rng.choice(marks.size, 805) for _ in range(500)])
        corrected, _ = held(marks[drawn], longer[drawn], 100, float(marks.mean()))
        assert corrected > 0.9, model
