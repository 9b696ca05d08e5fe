"""Win rates of AlpacaEval's judgements, and what a missing verdict does."""

import csv
import gzip
import math

import numpy as np
import pytest

from metrics.making import made_cases, value
from shared import shared_json, shared_path
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.metrics.win_rate import win_of_preference
from tuneval.types import Prediction


def judged(preference):
    win = win_of_preference(preference)
    if win is None:
        return Prediction(case_id="x", problem="unparsed: no verdict")
    return Prediction(case_id="x", label_probabilities={"candidate": win, "baseline": 1 - win})


def test_win_rates_of_alpaca_eval():
    published = shared_json("alpaca_eval", "published_leaderboard.json")
    preferences = {}
    with gzip.open(shared_path("alpaca_eval", "annotations.csv.gz"), "rt", newline="") as file:
        for row in csv.DictReader(file):
            preferences.setdefault(row["model"], []).append(float(row["preference"] or "nan"))
    metric = build("win_rate")
    assert preferences
    for model, given in preferences.items():
        cases = made_cases(["x"] * len(given))
        answers = [judged(one) for one in given]
        expected = published[model]
        assert 100 * value(metric, cases, answers) == pytest.approx(expected["win_rate"], abs=5e-5)
        wins = metric.per_case(cases, answers)
        wins = wins[wins[:, 1] == 1, 0]
        error = 100 * np.std(wins, ddof=1) / math.sqrt(len(wins))
        assert error == pytest.approx(expected["standard_error"], abs=5e-5)


@pytest.mark.parametrize(("label", "win"), [("candidate", 1), ("baseline", 0), ("tie", 0.5)])
def test_plain_verdicts(label, win):
    cases, answers = made_cases(["x"]), [Prediction(case_id="x", label=label)]
    assert value(build("win_rate"), cases, answers) == win


def test_other_verdicts_are_refused():
    with pytest.raises(MetricError, match=r'verdict on case "test\.jsonl:1" is "maybe".*candidate'):
        build("win_rate").per_case(made_cases(["x"]), [Prediction(case_id="x", label="maybe")])
    with pytest.raises(MetricError, match='preference is "3"'):
        win_of_preference(3)
