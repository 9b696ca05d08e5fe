"""Published preferences through the same door as a judge's verdicts."""

from __future__ import annotations

import csv
import gzip
import math

import numpy as np
import pytest
from scipy.stats import t as student

from shared import shared_json, shared_path
from tuneval import metrics
from tuneval.assess.assess import assess
from tuneval.comparison import Settings
from tuneval.metrics.win_rate import win_of_preference
from tuneval.types import Case, CaseSet, Prediction, Variant

MODELS = ("vicuna-7b-v1.5", "alpaca-7b", "FuseChat-Llama-3.1-8B-Instruct", "claude-2")


def verdict(case_id: str, preference: float) -> Prediction:
    win = win_of_preference(preference)
    if win is None:
        return Prediction(case_id, problem="unparsed: no verdict")
    label = "tie" if win == 0.5 else "candidate" if win > 0.5 else "baseline"
    shares = {"candidate": win, "baseline": 1 - win}
    return Prediction(case_id, label=label, label_probabilities=shares)


def test_alpaca_eval_figures_come_out_through_comparison() -> None:
    published = shared_json("alpaca_eval", "published_leaderboard.json")
    given: dict[str, dict[int, float]] = {}
    with gzip.open(shared_path("alpaca_eval", "annotations.csv.gz"), "rt", newline="") as file:
        for row in csv.DictReader(file):
            preferences = given.setdefault(row["model"], {})
            preferences[int(row["index"])] = float(row["preference"] or "nan")
    rows = list(given[MODELS[0]])
    cases = CaseSet(
        name="alpaca_eval (judged)",
        source="annotations",
        layout="annotations",
        task="judge",
        cases=tuple(Case(f"alpaca_eval:{n}", {"question": "?"}) for n in rows),
    )
    predictions = {
        name: [verdict(case.id, given[name][n]) for n, case in zip(rows, cases.cases, strict=True)]
        for name in MODELS
    }
    variants = [Variant(name, "base" if name == MODELS[0] else "full", name) for name in MODELS]
    chosen = [metrics.build(name) for name in ("win_rate", "discrete_win_rate")]
    found = assess(cases, chosen, predictions, variants, MODELS[0], Settings(resamples=200))
    scores = {(one.variant, one.metric): one for one in found.scores}
    for name in MODELS:
        score, expected = scores[name, "win_rate"], published[name]
        assert 100 * score.value == pytest.approx(expected["win_rate"], abs=5e-5)
        wins = np.array([one for one in found.case_scores[name] if one is not None])
        spread = wins.std(ddof=1) / math.sqrt(wins.size)
        assert 100 * spread == pytest.approx(expected["standard_error"], abs=5e-5)
        assert score.interval is not None
        half = (score.interval.high - score.interval.low) / 2
        error = half / student.ppf(0.975, score.n_cases - 1)
        # The bounds know that a preference lies in [0, 1], which costs a width that shrinks as they do.
        room = 3 / math.sqrt(score.n_cases)
        assert 100 * error == pytest.approx(expected["standard_error"], rel=room)
        if "discrete_win_rate" in expected:
            discrete = 100 * scores[name, "discrete_win_rate"].value
            assert discrete == pytest.approx(expected["discrete_win_rate"], abs=5e-5)
    for one in found.confirmatory:
        a, b = (
            np.array([win_of_preference(given[name][n]) for n in rows], dtype=float)
            for name in (one.baseline, one.candidate)
        )
        kept = ~(np.isnan(a) | np.isnan(b))
        difference = (b - a)[kept]
        assert one.n_cases == kept.sum()
        assert one.difference == pytest.approx(difference.mean())
        error = difference.std(ddof=1) / math.sqrt(difference.size)
        assert one.details["standard_error"] == pytest.approx(error)
