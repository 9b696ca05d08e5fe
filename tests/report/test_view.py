"""Arms, pairs and slices stand in the order in which a reader wants them."""

from __future__ import annotations

import dataclasses

import pytest

from report.finished_run import finished_run, five_arms, with_benchmark
from tuneval.report.view import View, chosen
from tuneval.types import RunResult, Variant

RUN = finished_run(20)


def _single_adapter(result: RunResult, name: str) -> RunResult:
    """One adapter of recipe "lora" whose records carry the adapter's own name."""
    base, adapter, *_, full = result.variants

    def renamed(text: str) -> str:
        return name if text == "lora" else text

    return dataclasses.replace(
        result,
        variants=(base, dataclasses.replace(adapter, name=name), full),
        scores=tuple(dataclasses.replace(s, variant=renamed(s.variant)) for s in result.scores),
        comparisons=tuple(
            dataclasses.replace(c, baseline=renamed(c.baseline), candidate=renamed(c.candidate))
            for c in result.comparisons
        ),
    )


def test_seeds_of_a_recipe_are_one_arm() -> None:
    titles = [arm.title for arm in View.of(RUN).arms]
    assert titles == ["base", "lora (3 seeds)", "full"]


def test_judges_are_no_arm() -> None:
    judge = Variant("judge", "judge", "./judge")
    view = View.of(dataclasses.replace(RUN, variants=(*RUN.variants, judge)))
    assert "judge" not in [arm.name for arm in view.arms]


def test_adapter_against_base_comes_first_and_every_pair_is_shown() -> None:
    view = View.of(RUN)
    assert view.pairs("test") == [("base", "lora"), ("lora", "full"), ("base", "full")]
    assert view.shown_pairs("test") == view.pairs("test")


def test_too_many_pairs_get_no_columns() -> None:
    assert View.of(five_arms(RUN)).shown_pairs("test") == []


def test_a_single_adapter_is_found_by_its_own_name() -> None:
    view = View.of(_single_adapter(RUN, "lora-0"))
    arm = view.arms[1]
    assert (arm.name, arm.title) == ("lora", "lora")
    assert view.score("test", "accuracy", arm) is not None
    assert view.shown_pairs("test") == view.pairs("test")
    assert view.comparison("test", "accuracy", ("base", "lora")) is not None
    assert view.slice_note("test", "typos:medium").endswith("% of clean")


def test_primary_metric_comes_first() -> None:
    result = dataclasses.replace(RUN, primary_metrics={"test": "ece"})
    assert View.of(result).metrics("test") == ["ece", "accuracy", "f1_macro", "f1_weighted"]


def test_slices_are_told_apart() -> None:
    view = View.of(RUN)
    assert view.perturbations("test") == ["typos:medium", "long:2x"]
    assert sorted(view.groups("test")) == ["channel", "writer"]
    assert list(view.slices("nowhere")) == []


def test_cases_are_counted_without_twins() -> None:
    assert View.of(with_benchmark(RUN, n_labels=10)).case_count() == 20 + 30


def test_each_sentence_stands_once_and_warnings_last() -> None:
    doubled = dataclasses.replace(RUN, verdicts=RUN.verdicts * 2)
    assert [mark for mark, _ in View.of(doubled).messages()] == ["+", "?", "!", "!"]


@pytest.mark.parametrize(
    ("signs", "heights", "most", "expected"),
    [
        ("+!", [1, 1], 2, [0, 1]),
        ("+++!!", [2, 2, 2, 2, 2], 7, [0, 3, 4]),
        ("+?=", [2, 2, 2], 5, [0, 1]),
        ("!!", [2, 2], 3, [0]),
    ],
)
def test_warnings_keep_half_of_the_lines(
    signs: str, heights: list[int], most: int, expected: list[int]
) -> None:
    assert chosen(signs, heights, most) == expected
