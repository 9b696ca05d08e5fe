"""Correlations and errors are those of scipy and scikit-learn; what is no number is left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.making import made_cases, value, written
from shared import shared_json, shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build
from tuneval.types import Prediction

NAMES = ("pearson", "spearman", "kendall_tau", "mse", "rmse", "mae", "r2")


def oracle(name: str, x: list[float], y: list[float]) -> float:
    stats = pytest.importorskip("scipy.stats")
    learn = pytest.importorskip("sklearn.metrics")
    return {
        "pearson": lambda: stats.pearsonr(x, y).statistic,
        "spearman": lambda: stats.spearmanr(x, y).statistic,
        "kendall_tau": lambda: stats.kendalltau(x, y).statistic,
        "mse": lambda: learn.mean_squared_error(x, y),
        "rmse": lambda: learn.root_mean_squared_error(x, y),
        "mae": lambda: learn.mean_absolute_error(x, y),
        "r2": lambda: learn.r2_score(x, y),
    }[name]()


def made(name: str, x: list[float], y: list[float]) -> float:
    return value(
        build(name), made_cases([repr(one) for one in x]), written([repr(one) for one in y])
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_on_random_numbers_with_ties(name: str, seed: int) -> None:
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 11, 200) / 2
    y = np.round(x + draw.normal(0, 1 + seed, 200), seed)
    found = made(name, x.tolist(), y.tolist())
    assert found == pytest.approx(oracle(name, x.tolist(), y.tolist()), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("pearson", "pearson"),
        ("spearman", "spearman"),
        ("kendall_tau", "kendall_tau_b"),
        ("mse", "mse"),
        ("mae", "mae"),
    ],
)
def test_on_the_rows_of_sts_b(name: str, key: str) -> None:
    rows = shared_rows("glue", "baseline_predictions", "stsb.jsonl.gz")
    found = made(name, [row["label"] for row in rows], [row["prediction"] for row in rows])
    assert found == pytest.approx(shared_json("glue", "expected.json")["stsb"][key], abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_left_out(name: str) -> None:
    x, y = [1.0, 2.0, 4.0, 3.0], [1.5, 2.5, 3.0, 9.0]
    cases = made_cases([repr(one) for one in x])
    given = written([repr(one) for one in y])
    for odd in ("many", "", "nan", "inf"):
        assert value(build(name), cases, [*given[:3], written([odd])[0]]) == pytest.approx(
            made(name, x[:3], y[:3])
        )
    failed = Prediction(cases[3].id, problem="unparsed")
    assert value(build(name), cases, [*given[:3], failed]) == pytest.approx(
        made(name, x[:3], y[:3])
    )


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall_tau", "r2"])
@pytest.mark.parametrize("constant", [0.1, 3.3, 1e6])
def test_constants_have_no_correlation(name: str, constant: float) -> None:
    x = [constant] * 7
    assert math.isnan(made(name, x, [1.0, 2, 3, 4, 5, 6, 7]))
    if name != "r2":
        assert math.isnan(made(name, [1.0, 2, 3, 4, 5, 6, 7], x))


def test_a_reference_that_is_no_number_is_named() -> None:
    with pytest.raises(MetricError) as error:
        build("pearson").per_case(made_cases(["high"]), written(["1"]))
    assert str(error.value) == (
        'metric "pearson": the reference of case "test.jsonl:1" is "high", no number. Use a metric of texts '
        "or labels, or mend the row."
    )
