"""Subsets and examples: fixed by their inputs alone, nested, balanced, never a test case."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from shared import shared_path
from tuneval.data.read import read
from tuneval.data.select import few_shot, take
from tuneval.errors import ConfigError, DataError
from tuneval.types import Case, CaseSet, Message


def cases(n: int, file: str = "t.jsonl") -> tuple[Case, ...]:
    return tuple(
        Case(f"{file}:{line}", {"text": f"text {line}"}, ("abc"[line % 3],))
        for line in range(1, n + 1)
    )


def case_set(n: int, file: str = "t.jsonl") -> CaseSet:
    return CaseSet("t", file, "labelled text", "classify", cases(n, file))


def lines(found: CaseSet) -> list[int]:
    return [int(case.id.rpartition(":")[2]) for case in found.cases]


@pytest.mark.parametrize(
    ("limit", "n"),
    [(None, 200), (50, 50), (1, 1), (0.25, 50), (1.0, 200), (0.001, 1), (999, 200), (200, 200)],
)
def test_how_many(limit: float | None, n: int) -> None:
    found = take(case_set(200), limit)
    assert len(found.cases) == n
    assert (len(found.notes) == 1) == (n < 200)


@pytest.mark.parametrize("limit", [0, -1, 1.5, -0.5, 0.0])
def test_a_limit_without_sense(limit: float) -> None:
    with pytest.raises(ConfigError, match="neither a number of cases nor a share"):
        take(case_set(5), limit)


def test_subset_is_fixed_nested_in_file_order_and_blind_to_the_files_name() -> None:
    small, large = take(case_set(200), 20), take(case_set(200), 60)
    assert lines(small) == sorted(lines(small))
    assert set(lines(small)) < set(lines(large))
    assert lines(take(case_set(200, "renamed.csv"), 20)) == lines(small)
    assert lines(small) == lines(take(take(case_set(200), 60), 20))


def test_a_sorted_file_gives_a_mixed_subset() -> None:
    found = take(case_set(3000), 300)
    thirds = Counter((line - 1) // 1000 for line in lines(found))
    assert all(70 <= thirds[third] <= 130 for third in range(3))  # 100 +- 3.7 deviations


def test_few_shot_is_balanced_and_fixed() -> None:
    pool = cases(90)
    shown = few_shot(pool, 7, selection_seed=0, labels=["a", "b", "c"])
    assert sorted(Counter(case.references[0] for case in shown).values()) == [2, 2, 3]
    assert shown == few_shot(pool[::-1], 7, selection_seed=0, labels=["a", "b", "c"])
    assert shown != few_shot(pool, 7, selection_seed=1, labels=["a", "b", "c"])


def test_few_shot_without_labels() -> None:
    assert len({case.id for case in few_shot(cases(90), 5, selection_seed=0)}) == 5
    assert few_shot(cases(90), 0, selection_seed=0) == ()


@pytest.mark.parametrize(
    "twin",
    [
        lambda case: case,
        lambda case: replace(case, id="other:1", references=("z",)),
        lambda case: replace(case, inputs={"text": f"  {case.inputs['text']!s} ".upper()}),
        lambda case: replace(case, inputs={**case.inputs, "id": 9}),
    ],
)
def test_a_test_case_is_never_shown(twin) -> None:  # type: ignore[no-untyped-def]
    pool = cases(10)
    asked = [twin(case) for case in pool[:8]]
    shown = few_shot(pool, 2, selection_seed=0, test=asked)
    assert {case.id for case in shown} == {case.id for case in pool[8:]}
    with pytest.raises(DataError, match="3 examples are wanted, but only 2 of 10 cases"):
        few_shot(pool, 3, selection_seed=0, test=asked)


def test_chats_are_compared_by_their_turns() -> None:
    chat = Case("a:1", {"messages": (Message("user", "Hello"),)}, ("x",))
    same = Case("b:1", {"messages": (Message("user", " hello "),)}, ("y",))
    with pytest.raises(DataError, match="only 0 of 1"):
        few_shot([chat], 1, selection_seed=0, test=[same])


def test_real_pool() -> None:
    pool = read(shared_path("banking77", "train.jsonl.gz"))
    test = read(shared_path("banking77", "test_half.jsonl.gz"))
    shown = few_shot(
        pool.cases, len(pool.labels), selection_seed=3, labels=pool.labels, test=test.cases
    )
    assert {case.references for case in shown} == {(label,) for label in pool.labels}
    assert not {case.inputs["text"] for case in shown} & {c.inputs["text"] for c in test.cases}
