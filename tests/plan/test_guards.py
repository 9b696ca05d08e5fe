"""A suite of guards becomes the benchmarks that are here, and our own where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.made import write_all
from tuneval.benchmarks import Place
from tuneval.errors import ConfigError
from tuneval.plan.guards import SUITES, chosen, unfold
from tuneval.plan.words import describe_run

NOWHERE = Place(None, offline=True)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("TUNEVAL_BENCHMARK_DATA", raising=False)


def test_our_own_stand_in_where_nothing_is_here() -> None:
    names = [one.name for one in chosen("standard", NOWHERE)]
    assert names == ["everyday:sums", "everyday:orders", "everyday:refusals"]


def test_wordings_of_one_question_are_one_independent_case() -> None:
    sizes = {one.name: (one.n_cases, one.n_independent) for one in chosen("standard", NOWHERE)}
    assert sizes["everyday:sums"] == (400, 400)
    assert sizes["everyday:refusals"] == (150, 50)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("standart", r'did you mean "standard"\?'),
        ("nosuch", r"known: standard, alpaca_eval"),
        ("gsm9k:main", r'did you mean "gsm8k"\?'),
    ],
)
def test_a_guard_that_is_nothing_is_told_with_what_there_is(word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        list(unfold([word], NOWHERE))
    assert "tuneval list guards" in str(caught.value)


def test_published_rows_are_taken_where_they_are(tmp_path: Path) -> None:
    place = Place(write_all(tmp_path / "data"), offline=True)
    found = chosen("standard", place)
    assert [one.name for one in found] == [one.published for one in SUITES["standard"]]
    assert all(one.n_cases <= one.guard.n_cases for one in found)


def test_words_that_are_no_suite_stay_what_they_are() -> None:
    assert list(unfold(["sst2"], NOWHERE)) == [{"benchmark": "sst2", "guard": True}]
    with pytest.raises(ConfigError, match="Known: standard"):
        chosen("standart", NOWHERE)


def test_one_word_on_the_command_line_gives_the_whole_suite() -> None:
    spec = describe_run(
        base="b", full=["full=f"], guards=["standard"], data=["test.jsonl"], cases={"limit": 50}
    )
    guards = [one for one in spec.cases if one.guard]
    assert [one.benchmark for one in guards] == [
        "everyday:sums", "everyday:orders", "everyday:refusals",
    ]  # fmt: skip
    assert [one.limit for one in guards] == [50, 50, 50]
