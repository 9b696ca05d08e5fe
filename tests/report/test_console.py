"""The summary keeps to 80 columns and 24 lines, whatever the run looks like."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from report.finished_run import finished_run, five_arms, with_benchmark
from tuneval.report import console, html, markdown, wording
from tuneval.report.escape import display_width
from tuneval.report.view import View
from tuneval.types import RunResult

RUN = finished_run(60)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def _renamed(result: RunResult, name: str) -> RunResult:
    variant = dataclasses.replace(result.variants[0], name=name)
    return dataclasses.replace(
        result,
        name=name,
        variants=(variant, *result.variants[1:]),
        scores=tuple(
            dataclasses.replace(s, variant=name) if s.variant == "base" else s
            for s in result.scores
        ),
    )


def _many_messages(result: RunResult) -> RunResult:
    warnings = tuple(
        f"Warning number {i}: " + "something is not as it should be, " * 4 for i in range(9)
    )
    verdict = dataclasses.replace(result.verdicts[0], warnings=warnings)
    return dataclasses.replace(result, verdicts=(verdict,))


SHAPES = {
    "usual": RUN,
    "five arms": five_arms(RUN),
    "two case sets": with_benchmark(RUN),
    "incomplete": dataclasses.replace(RUN, is_complete=False),
    "many messages": _many_messages(RUN),
    "long names": _renamed(RUN, "a-very-long-variant-name-" * 5),
    "wide names": _renamed(RUN, "基底モデル" * 12),
    "hostile names": _renamed(RUN, "\x1b[31mx\x1b]0;t\x07\u202e\n" * 6),
    "no scores": dataclasses.replace(RUN, scores=(), comparisons=(), verdicts=()),
    "no cases": dataclasses.replace(RUN, case_sets=(), scores=(), comparisons=()),
    "no facts": dataclasses.replace(RUN, facts=()),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", [False, True])
def test_fits_the_terminal(shape: str, color: bool) -> None:
    text = console.render(SHAPES[shape], color=color)
    lines = ANSI.sub("", text).splitlines() if color else text.splitlines()
    assert len(lines) <= 24
    assert max(map(display_width, lines[:-1])) <= 80
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == "report  ./tuneval-runs/support-3f9c21/report.html"


def test_colour_changes_no_character() -> None:
    assert ANSI.sub("", console.render(RUN, color=True)) == console.render(RUN)


def test_own_characters_are_ascii() -> None:
    assert all(console.render(result).isascii() for result in (RUN, SHAPES["five arms"]))


def test_arms_stand_below_one_another() -> None:
    text = console.render(SHAPES["five arms"])
    for name in ("base", "lora-rank-04", "lora-rank-16", "lora-rank-64", "full"):
        assert re.search(rf"^{name} +\d", text, re.MULTILINE)


def test_recipe_is_one_column_with_spread() -> None:
    text = console.render(RUN)
    assert "lora (3 seeds)" in text
    assert re.search(r"^accuracy .* \+- \d\.\d .*\+\d+\.\d \*$", text, re.MULTILINE)


def test_incomplete_stands_where_the_verdict_stands() -> None:
    text = console.render(SHAPES["incomplete"])
    assert (
        "\nINCOMPLETE\n  Go on with: tuneval run ./tuneval-runs/support-3f9c21/run.yaml\n" in text
    )
    assert "BETTER" not in text
    assert "improved" not in text


@pytest.mark.parametrize("render", [console.render, markdown.render, html.render])
def test_scoring_that_is_incomplete_names_no_file_that_it_never_wrote(
    render: Callable[[RunResult], str],
) -> None:
    scored = replace(
        SHAPES["incomplete"], spec={"problems": "p.jsonl", "samples": {"a": "a.jsonl"}}
    )
    text = render(scored)
    assert "Give the same command again: it goes on from there." in text
    assert "run.yaml" not in text


def test_other_case_sets_are_not_pushed_out_by_slices() -> None:
    assert re.search(r"^bank accuracy ", console.render(SHAPES["two case sets"]), re.MULTILINE)


def test_escapes_hostile_names() -> None:
    text = console.render(SHAPES["hostile names"])
    assert "\\x1b[31mx\\x1b]0;t\\x07" in text


def test_without_preface() -> None:
    assert "test.jsonl" not in console.render(RUN, preface=False)


@pytest.mark.parametrize("shape", ["usual", "five arms"])
def test_every_pair_that_fits_has_its_difference(shape: str) -> None:
    text = console.render(SHAPES[shape])
    found = [c for c in SHAPES[shape].comparisons if c.metric == "accuracy" and c.slice == "all"]
    pairs = [c for c in found if c.baseline != c.candidate]
    shown = [wording.starred(c) for c in pairs if c.baseline != "lora-rank-64"]  # no room at 80
    assert len(shown) >= 3
    words = text.split("\n\n")[1]
    assert all(words.count(one) >= shown.count(one) for one in shown)


def test_two_names_of_one_number_stand_once() -> None:
    twin = [replace(s, metric="recall_macro") for s in RUN.scores if s.metric == "f1_macro"]
    same = [replace(s, metric="balanced_accuracy") for s in twin]
    run = replace(RUN, scores=(*RUN.scores, *twin, *same))
    text = console.render(run)
    assert "balanced accuracy" in text and "recall macro" not in text
    apart = [replace(s, value=s.value / 2) for s in same]
    assert "recall_macro" in View.of(replace(RUN, scores=(*RUN.scores, *twin, *apart))).metrics(
        "test"
    )
