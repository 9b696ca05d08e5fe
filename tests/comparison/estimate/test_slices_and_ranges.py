"""Chosen rows, groups, clusters; the reading aids of table 9.7."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from comparison.fakes import Accuracy, measured
from tuneval.comparison import Settings, score
from tuneval.comparison.decision import ranges
from tuneval.comparison.decision.tuned import plan_sentence
from tuneval.comparison.estimate import power, slices
from tuneval.errors import MetricError
from tuneval.types import Case

CASES = (
    Case("a", {}, groups={"writer": "learner"}, cluster="p1"),
    Case("b", {}, groups={"writer": "fluent"}, cluster="p1"),
    Case("c", {}, groups={"writer": "learner"}),
    Case("d", {}),
)


def test_groups_and_clusters():
    assert slices.by_group(CASES, "writer") == {"learner": ("a", "c"), "fluent": ("b",)}
    assert slices.clusters_of(CASES) == ("p1", "p1", None, None)
    assert slices.clusters_of(CASES[2:]) is None
    assert slices.cluster_codes(("p1", "p1", None, None), 4).tolist() == [0, 0, 1, 2]
    assert slices.cluster_codes(("x", "y", None), 3) is None


def test_choosing_keeps_the_order_of_the_rows():
    m = replace(measured([1, 0, 1, 0]), case_ids=("a", "b", "c", "d"))
    chosen = slices.choose(m, ["c", "a"])
    assert chosen.case_ids == ("a", "c")
    assert chosen.rows[:, 0].tolist() == [1, 1]
    assert slices.choose(m, []).rows.shape == (0, 2)


def test_choosing_what_was_not_measured_is_refused():
    with pytest.raises(MetricError, match='1 cases of the slice were not measured:\n    "z"'):
        slices.choose(measured([1]), ["c0", "z"])


def scored(metric, value, unit="share"):
    plain = score(measured([1.0, 0.0]), Accuracy(), Settings(), case_set="t")
    return replace(plain, metric=metric, value=value, unit=unit)


@pytest.mark.parametrize(
    ("metric", "value", "unit", "word"),
    [
        ("accuracy", 0.96, "share", "strong"),
        ("accuracy", 0.95, "share", "usual"),
        ("accuracy", 0.80, "share", "usual"),
        ("accuracy", 0.50, "share", ""),
        ("perplexity", 50.0, "perplexity", "weak"),
        ("perplexity", 49.9, "perplexity", "usual"),
        ("perplexity", 10.0, "perplexity", "usual"),
        ("perplexity", 9.9, "perplexity", "strong"),
        ("bleu", 24.9, "points", "weak"),
        ("bleu", 25.0, "points", "usual"),
        ("bleu", 35.0, "points", "usual"),
        ("bleu", 36.0, "points", "good"),
        ("bleu", 50.0, "points", "strong"),
        ("rouge1", 0.29, "share", "weak"),
        ("rouge1", 0.35, "share", "usual"),
        ("rouge1", 0.45, "share", "good"),
        ("rouge1", 0.50, "share", "strong"),
        ("chrf", 0.50, "points", ""),
        ("accuracy", float("nan"), "share", ""),
    ],
)
def test_table_9_7(metric, value, unit, word):
    assert ranges.reading(scored(metric, value, unit)) == word


def test_baselines():
    counts = {"billing": 60, "refund": 40}
    assert ranges.majority(counts) == ("billing", 0.6)
    assert ranges.chance(4) == 0.25
    values = [1] * 62 + [0] * 38
    weak = score(measured(values), Accuracy(), Settings(), case_set="t")
    assert ranges.against_majority(weak, counts) == "no better than always answering billing"
    fine = score(measured([1] * 95 + [0] * 5), Accuracy(), Settings(), case_set="t")
    assert ranges.against_majority(fine, counts) == ""
    assert ranges.against_majority(replace(weak, value=float("nan")), counts) == ""


@pytest.mark.parametrize(
    ("n", "discordant", "points"),
    [(100, 0.05, 6.0), (200, 0.1, 6.1), (500, 0.2, 5.6), (1000, 0.3, 4.8), (14_042, 0.2, 1.1)],
)
def test_power_table(n, discordant, points):
    assert round(100 * power.detectable(n, discordant), 1) == points


@pytest.mark.parametrize(
    ("delta", "discordant", "n"),
    [(0.02, 0.1, 1955), (0.02, 0.2, 3917), (0.05, 0.1, 307), (0.05, 0.2, 621), (0, 0.1, np.inf)],
)
def test_cases_needed(delta, discordant, n):
    assert power.cases_for(delta, discordant) == n


@pytest.mark.parametrize(
    ("margin", "discordant", "gap", "n"),
    [
        (0.02, 0.1, 0, 2141),
        (0.02, 0.2, 0, 4282),
        (0.05, 0.1, 0, 343),
        (0.05, 0.2, 0, 686),
        (0.02, 0.1, 0.01, 6183),
        (0.02, 0.1, 0.02, np.inf),
    ],
)
def test_cases_for_equivalence(margin, discordant, gap, n):
    assert power.cases_for_equivalence(margin, discordant, true_gap=gap) == n


def test_cases_for_a_mean():
    assert power.cases_for_mean(0.05, 0.25) == 785
    assert power.cases_for_mean(0, 0.25) == np.inf


def test_plan_sentence():
    assert plan_sentence(200, 0.1) == (
        "200 examples can detect a difference of 6.1 points or more (80% power) where two "
        "variants disagree on 10% of the cases."
    )


def test_nothing_heavy_is_imported_before_it_is_used():
    import subprocess
    import sys

    code = (
        "import sys, tuneval.comparison as c; "
        "assert not any(m.startswith('scipy') for m in sys.modules); c.score; "
        "assert 'scipy.stats' not in sys.modules; assert 'torch' not in sys.modules"
    )
    path = [*sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_name_of_the_room():
    import tuneval.comparison as room

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = room.nothing
