"""Units of work: whole, cut where little is shared, the same whoever works on them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from shared import DATA, shared_path
from tuneval.engine.pool.units import MOST_UNITS, Unit, cut, loss, shares
from tuneval.types import Decoding, Message, Request


def labelled(n: int, header: str = "") -> list[Request]:
    return [
        Request(f"{k}-{word}", str(k), f"{header}question number {k} of {n}:", continuation=word)
        for k in range(n)
        for word in (" yes", " no", " perhaps")
    ]


MIXED = [
    *labelled(40),
    *(Request(f"d{k}", "c", f"write {k}", decoding=Decoding(max_tokens=64)) for k in range(20)),
    *(Request(f"m{k}", "c", (Message("user", f"hi {k}"),), continuation="A") for k in range(20)),
    Request("", "c", "", continuation="a whole text"),
]


@pytest.mark.parametrize(
    "requests",
    [[], MIXED[:1], labelled(2), MIXED, labelled(30, "a header " * 50)],
    ids=["none", "one", "two prompts", "mixed", "one header"],
)
def test_every_request_is_in_one_unit_with_those_of_its_prompt(requests: list[Request]) -> None:
    units = cut(requests)
    found = Counter(one.id for unit in units for one in unit.requests)
    assert found == Counter(one.id for one in requests)
    of_prompt = {one.prompt: n for n, unit in enumerate(units) for one in unit.requests}
    assert all(of_prompt[one.prompt] == n for n, unit in enumerate(units) for one in unit.requests)
    assert [unit.cost for unit in units] == sorted((unit.cost for unit in units), reverse=True)
    assert all(unit.requests for unit in units)
    assert len(units) <= MOST_UNITS


def test_units_hang_on_the_requests_and_not_on_their_order() -> None:
    shuffled = MIXED.copy()
    random.Random(1).shuffle(shuffled)

    def content(units: list[Unit]) -> list[set[str]]:
        return [{one.id for one in unit.requests} for unit in units]

    assert content(cut(shuffled)) == content(cut(MIXED))


def test_a_long_header_of_few_questions_is_not_read_many_times() -> None:
    few = labelled(6, "an example that every question shares. " * 100)
    assert len(cut(few)) == 1
    many = [one for n in range(20) for one in labelled(6, f"{n} examples of subject {n}. " * 100)]
    assert len(cut(many)) == 20
    assert loss(cut(many), many) < 0.001


def test_shares_are_even_and_whole() -> None:
    units = cut(labelled(500))
    for n in (1, 2, 3, 8):
        dealt = shares(units, n)
        assert sorted(map(id, (one for own in dealt for one in own))) == sorted(map(id, units))
        costs = [sum(one.cost for one in own) for own in dealt]
        assert min(costs) > 0.8 * max(costs)


def test_more_shares_than_units_leave_some_without() -> None:
    assert [len(own) for own in shares(cut(MIXED[:1]), 3)] == [1, 0, 0]


@pytest.fixture(scope="module")
def mmlu() -> list[Request]:
    """MMLU with five examples, every question that is here."""
    from tuneval import tasks
    from tuneval.benchmarks import Place
    from tuneval.benchmarks.load import load

    shared_path("mmlu")
    found = load("mmlu", Place(DATA, offline=True), few_shot=5)
    task = tasks.build(
        found.cases.task, labels=found.cases.labels, few_shot=found.examples, **found.options
    )
    return [one for case in found.cases.cases for one in task.ask(case)]


def test_two_dozen_units_of_mmlu_read_little_twice(mmlu: list[Request]) -> None:
    units = cut(mmlu, 24)
    assert len(units) == 24
    assert loss(units, mmlu) <= 0.02


def test_eight_workers_are_kept_busy_by_mmlu(mmlu: list[Request]) -> None:
    units = cut(mmlu)
    busiest = max(sum(one.cost for one in own) for own in shares(units, 8))
    whole = sum(one.cost for one in units) / (1 + loss(units, mmlu))
    assert whole / (8 * busiest) >= 0.95
