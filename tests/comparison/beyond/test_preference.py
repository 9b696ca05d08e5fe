"""Win rates and strengths, against vectors and the published AlpacaEval table."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pytest

from comparison.fakes import vector
from shared import shared_json, shared_path
from tuneval.comparison.beyond.preference import (
    bradley_terry,
    bradley_terry_intervals,
    elo,
    from_codes,
    length_controlled,
    win_rate,
)
from tuneval.errors import MetricError


def test_length_controlled_vector():
    found = vector("length_controlled_win_rate")
    y, length, difficulty = (np.array(found["input"][k]) for k in ("y", "len_delta", "difficulty"))
    expected, tolerance = found["expected"], found["tolerance"]
    plain, controlled = win_rate(y), length_controlled(y, length, difficulty)
    assert plain.rate == pytest.approx(expected["win_rate"], abs=tolerance)
    assert plain.standard_error == pytest.approx(expected["win_rate_se"], abs=tolerance)
    assert controlled.rate == pytest.approx(expected["lc_win_rate"], abs=tolerance)
    assert controlled.standard_error == pytest.approx(expected["lc_se"], abs=tolerance)
    assert controlled.coefficients == pytest.approx(expected["coef"], abs=tolerance)
    assert controlled.label == "length-controlled"
    assert length_controlled(y, length).label == "length-adjusted (local)"


def test_bradley_terry_vector():
    found = vector("bradley_terry")
    strength = bradley_terry(np.array(found["input"]["wins"]))
    expected = found["expected"]
    assert strength == pytest.approx(expected["log_strength"], abs=found["tolerance"])
    p = 1 / (1 + np.exp(strength[1] - strength[0]))
    assert p == pytest.approx(expected["p_0_beats_1"], abs=found["tolerance"])
    assert elo(strength).mean() == pytest.approx(1000)


@pytest.fixture(scope="module")
def annotations():
    path = shared_path("alpaca_eval", "annotations.csv.gz")
    models = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            models.setdefault(row["model"], []).append(
                [
                    float(row[k] or "nan")
                    for k in ("index", "preference", "len_baseline", "len_model")
                ]
            )
    return {name: np.array(rows) for name, rows in models.items()}


@pytest.fixture(scope="module")
def difficulty():
    text = shared_path("alpaca_eval", "instruction_difficulty_estimated.csv").read_text("utf-8")
    rows = list(csv.reader(io.StringIO(text)))
    return {int(float(row[0])): float(row[-1]) for row in rows if row[0][:1].isdigit()}


def test_published_win_rates(annotations):
    published = shared_json("alpaca_eval", "published_leaderboard.json")
    checked = 0
    for name, figures in published.items():
        if name not in annotations:
            continue
        found = win_rate(from_codes(annotations[name][:, 1]))
        assert found.rate == pytest.approx(figures["win_rate"], abs=1e-4), name
        assert found.standard_error == pytest.approx(figures["standard_error"], abs=1e-4), name
        assert found.wins == figures["n_wins"], name
        assert found.ties == figures["n_draws"], name
        assert found.discrete_rate == pytest.approx(figures["discrete_win_rate"], abs=1e-4), name
        checked += 1
    assert checked


def test_length_controlled_rates_of_real_models(annotations, difficulty):
    """Same model and same difficulties give the refitted figure; the table itself is near."""
    published = shared_json("alpaca_eval", "published_leaderboard.json")
    refit, table = [], []
    for name, figures in published.items():
        expected = figures.get("length_controlled_winrate_refit_without_gamed_regulariser")
        if name not in annotations or expected is None:
            continue
        rows = annotations[name][~np.isnan(annotations[name][:, 1])]
        found = length_controlled(
            from_codes(rows[:, 1]),
            rows[:, 2] - rows[:, 3],
            np.array([difficulty[int(i)] for i in rows[:, 0]]),
        )
        refit.append(abs(found.rate - expected))
        table.append(abs(found.rate - figures["length_controlled_winrate"]))
    if not refit:
        pytest.skip("no length-controlled figures are known for these rows")
    assert max(refit) < 0.01
    assert np.median(table) < 2


def test_anchors_pull_the_length_effect():
    rng = np.random.default_rng(0)
    length = rng.normal(0, 300, 200)
    y = 1 / (1 + np.exp(2 * np.tanh(length / 300)))
    free = length_controlled(y, length)
    still = length_controlled(
        y, length, anchors=[(np.full(5000, 0.5), rng.normal(0, 300, 5000), None)]
    )
    assert abs(still.coefficients[0]) < abs(free.coefficients[0])


def test_equal_lengths_leave_the_win_rate():
    y = np.array([0.2, 0.9, 0.4])
    assert length_controlled(y, np.zeros(3)).rate == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("codes", "y"), [([1, 2, 1.5, 0, float("nan"), 1.25], [0, 1, 0.5, 0.5, 0.25]), ([], [])]
)
def test_codes(codes, y):
    assert from_codes(codes).tolist() == y


def test_codes_out_of_range_are_refused():
    with pytest.raises(MetricError, match=r"1 preferences are neither 0 nor within 1 to 2 .*3"):
        from_codes([1, 3])


def test_a_variant_that_never_lost_has_no_strength():
    with pytest.raises(MetricError, match="some variants never lost to the others"):
        bradley_terry(np.array([[0, 3, 3], [0, 0, 1], [0, 1, 0]]))


def test_separated_labels_have_no_finite_solution():
    with pytest.raises(MetricError, match="length alone separates wins from losses"):
        length_controlled(np.array([0.0, 0, 1, 1]), np.array([-900.0, -800, 800, 900]))


def test_bootstrap_of_strengths():
    rng = np.random.default_rng(0)
    games = np.zeros((300, 2, 2))
    first = rng.random(300) < 0.7
    games[first, 0, 1], games[~first, 1, 0] = 1, 1
    low, high = bradley_terry_intervals(games, 0, n_draws=200)
    strength = bradley_terry(games.sum(axis=0))
    assert (low < strength).all()
    assert (strength < high).all()
    again = bradley_terry_intervals(games, 0, n_draws=200)
    assert (again[0] == low).all()
