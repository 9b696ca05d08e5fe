"""Chosen rows, groups, clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparison.fakes import measured
from tuneval.comparison.estimate import slices
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
