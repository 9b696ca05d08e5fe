"""Subgroups: what is judged, shown and hidden, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from checks.finished import case_set, said, scene
from tuneval.checks.groups import Groups
from tuneval.types import Finding

LABELS = ("no", "yes")


def answers(references: Sequence[str], wrong: Sequence[bool]) -> list[str]:
    return [LABELS[1 - LABELS.index(r)] if w else r for r, w in zip(references, wrong, strict=True)]


def look(groups: Sequence[str | None], wrong: Sequence[bool], **more: object) -> list[Finding]:
    references = [LABELS[n % 2] for n in range(len(groups))]
    cases = case_set(references, [{"writer": g} if g else {} for g in groups])
    nothing = said(cases, answers(references, [False] * len(groups)))
    own = said(cases, answers(references, wrong))
    shown = scene(cases, {"base": nothing, "lora": own}, **more)  # type: ignore[arg-type]
    return [one for one in Groups().look(shown) if one.variant == "lora"]


def test_a_weak_group_is_a_warning_with_its_numbers() -> None:
    groups = ["fluent"] * 100 + ["learner"] * 60 + ["dialect"] * 20 + ["child"] * 9
    wrong = [False] * 100 + [n % 2 == 0 for n in range(60)] + [True] * 20 + [True] * 9
    gap, rates = look(groups, wrong)
    assert (gap.kind, gap.subject, gap.level) == ("groups", "writer", "warning")
    assert gap.sentence == (
        "accuracy differs between groups by about 45.5 points (95% CI 32.3 to 67.7), permutation p=0.007; "
        "lowest: writer=learner, n=60."
    )
    assert list(gap.columns) == [
        "group", "cases", "accuracy", "low", "high", "against the rest", "adjusted p", "note",
    ]  # fmt: skip
    by_name = {row[0]: row for row in gap.rows}
    assert by_name["fluent"][1:3] == (100, 1.0)
    assert by_name["learner"][2] == 0.5
    assert by_name["learner"][3] == pytest.approx(0.3773, abs=1e-3)  # Wilson
    assert by_name["dialect"][1:3] == (20, 0.0)
    assert by_name["dialect"][5:] == (None, None, "fewer than 30 cases: not judged")
    assert by_name["child"] == (
        "child", 9, None, None, None, None, None, "fewer than 10 cases: hidden",
    )  # fmt: skip
    assert gap.values["observed_gap"] == 0.5
    assert rates.level == "note"
    assert '"yes"; equalised odds difference' in rates.sentence


def test_equal_groups_are_clear_and_say_what_would_not_be_seen() -> None:
    gap, _ = look(["a"] * 100 + ["b"] * 100, [n % 10 == 0 for n in range(200)])
    assert gap.level == "clear"
    assert gap.sentence == (
        "No difference between groups beyond chance; gaps under 12 points would not be visible."
    )


def test_too_few_cases_are_not_judged() -> None:
    (gap,) = look(["a"] * 100 + ["b"] * 29, [False] * 100 + [True] * 29)
    assert (gap.level, gap.sentence) == (
        "unclear",
        "Groups of writer are not judged: fewer than two have 30 cases.",
    )
    assert gap.rows[0][0] == "b"


def test_many_tiny_groups_share_a_row() -> None:
    groups = ["a"] * 40 + ["b"] * 40 + [f"user {n}" for n in range(30)]
    gap, _ = look(groups, [False] * 110)
    assert [row[:2] for row in gap.rows] == [("a", 40), ("b", 40), ("30 further groups", 30)]


def test_cases_without_a_group_take_no_part() -> None:
    gap, _ = look(["a"] * 40 + ["b"] * 40 + [None] * 40, [False] * 80 + [True] * 40)
    assert [row[:3] for row in gap.rows] == [("a", 40, 1.0), ("b", 40, 1.0)]


def test_p_values_are_corrected_over_all_attributes_and_arms() -> None:
    rng = np.random.default_rng(0)
    references = ["yes"] * 240
    groups = [{f"g{k}": str(rng.integers(2)) for k in range(5)} for _ in range(240)]
    cases = case_set(references, groups)
    own = said(cases, answers(references, [bool(rng.random() < 0.3) for _ in references]))
    shown = scene(cases, {"base": own, "lora": own})
    gaps = [one for one in Groups().look(shown) if "p_value" in one.values]
    assert len(gaps) == 10
    assert {one.values["tests"] for one in gaps} == {10.0}
    from tuneval.comparison.estimate.multiplicity import holm

    expected = holm([one.values["p_value"] for one in gaps])
    assert [one.values["p_adjusted"] for one in gaps] == pytest.approx(expected)


def test_training_seeds_make_one_answer() -> None:
    """A seed that fails a group which the others master weighs a third."""
    references = ["yes"] * 120
    cases = case_set(references, [{"writer": "a" if n < 60 else "b"} for n in range(120)])
    right = said(cases, references)
    wrong_in_b = said(cases, answers(references, [n >= 60 for n in range(120)]))
    shown = scene(cases, {"base": right, "lora-0": right, "lora-1": right, "lora-2": wrong_in_b})
    gap = next(one for one in Groups().look(shown) if one.variant == "lora")
    assert gap.values["gap"] == pytest.approx(1 / 3)
    score = next(
        one
        for one in shown.assessments["test"].scores
        if one.variant == "lora" and one.slice == "writer=b"
    )
    assert gap.rows[0][:3] == ("b", 60, pytest.approx(score.value))


@pytest.mark.parametrize("metric", ["f1_macro", "ece"])
def test_metrics_of_sums_and_ranks(metric: str) -> None:
    from checks.finished import sure

    references = [LABELS[n % 2] for n in range(80)]
    cases = case_set(references, [{"writer": "a" if n < 40 else "b"} for n in range(80)])
    own = sure(cases, [{"no": 0.4, "yes": 0.6}] * 80)
    shown = scene(cases, {"base": own, "lora": own}, metric=metric)
    gap = next(iter(Groups().look(shown)))
    assert gap.level == "clear"


def test_clusters_that_lie_within_a_group_are_shuffled_whole() -> None:
    references = ["yes"] * 200
    clusters = [str(n // 10) for n in range(200)]
    groups = [{"writer": "a" if n < 100 else "b"} for n in range(200)]
    cases = case_set(references, groups, clusters)
    # Two of the ten clusters of b fail throughout: 20 cases, but only 2 independent ones.
    own = said(cases, answers(references, [n // 10 in (12, 17) for n in range(200)]))
    gap = next(iter(Groups().look(scene(cases, {"base": own, "lora": own}))))
    assert gap.level == "clear"
    assert gap.sentence.endswith("(Whole clusters were shuffled.)")


def test_clusters_that_hold_several_groups_are_said() -> None:
    references = ["yes"] * 200
    clusters = [str(n // 10) for n in range(200)]
    groups = [{"kind": "a" if n % 2 else "b"} for n in range(200)]
    cases = case_set(references, groups, clusters)
    own = said(cases, answers(references, [n % 4 == 0 for n in range(200)]))
    gap = next(iter(Groups().look(scene(cases, {"base": own, "lora": own}))))
    assert gap.level == "warning"
    assert gap.sentence.endswith(
        "(Clusters hold several groups: cases were shuffled within clusters.)"
    )


def test_ranks_in_clusters_are_not_judged() -> None:
    from checks.finished import sure

    references = ["yes"] * 80
    groups = [{"writer": "a" if n < 40 else "b"} for n in range(80)]
    cases = case_set(references, groups, [str(n // 4) for n in range(80)])
    own = sure(cases, [{"no": 0.4, "yes": 0.6}] * 80)
    shown = scene(cases, {"base": own}, metric="ece")
    gap = next(iter(Groups().look(shown)))
    assert gap.level == "unclear"
    assert "a metric of ranks cannot be judged by cluster" in gap.sentence


def test_a_guard_is_not_looked_at() -> None:
    references = ["yes"] * 80
    groups = [{"writer": "a" if n < 40 else "b"} for n in range(80)]
    cases = case_set(references, groups, is_guard=True)
    shown = scene(cases, {"base": said(cases, references)})
    assert Groups.begin(shown.plan) is None
    assert not list(Groups().look(shown))


def test_unreadable_answers_count_as_wrong() -> None:
    references = ["yes"] * 80
    groups = [{"writer": "a" if n < 40 else "b"} for n in range(80)]
    cases = case_set(references, groups)
    own = said(cases, [r if n < 40 else None for n, r in enumerate(references)])
    gap, rates = list(Groups().look(scene(cases, {"base": own})))
    assert gap.rows[0][:3] == ("b", 40, 0.0)
    assert rates.values["demographic_parity_difference"] == 1.0


def test_a_group_without_any_hit_is_no_proof() -> None:
    """0 of 100 where the rest has 1%: a t test would see no spread in the group and be sure."""
    groups = ["home"] * 100 + ["work"] * 800
    gap, _ = look(groups, [n < 100 or n % 100 != 0 for n in range(900)])
    assert gap.level == "clear"
    assert gap.rows[0][0] == "home"
    assert gap.rows[0][6] > 0.5
