"""Every benchmark of the table keeps the room's contract; a new one is found by its line there.

Rows are made up and written as the hub keeps them, so that nothing here needs data or network.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made import NAMES, Rows, named, read, write_all
from tuneval import metrics, tasks
from tuneval.benchmarks import BENCHMARKS, Place
from tuneval.benchmarks.checksums import KNOWN
from tuneval.benchmarks.load import checksum, find, load
from tuneval.errors import DataError, TunevalError
from tuneval.pipeline.build import made_up_answer
from tuneval.tasks import TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows in another order, without the last, and with the first damaged."""
    changes: dict[str, Callable[[Rows], Rows]] = {
        "mixed": lambda rows: random.Random(1).sample(rows, len(rows)),
        "fewer": lambda rows: rows[:-1],
        "damaged": lambda rows: [{"other": 1}, *rows[1:]],
    }
    return {
        name: write_all(tmp_path_factory.mktemp(name), change) for name, change in changes.items()
    }


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def loaded(name: str, folder: Path, **options: Any) -> Any:
    return load(name, Place(folder, offline=True), **options)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_of_it_is_whole(name: str) -> None:
    benchmark, subset = named(name)
    facts = benchmark.facts(subset)
    assert facts.name == name
    for said in (facts.title, facts.licence, facts.citation, facts.prompts):
        assert said
        assert said == said.strip()
    assert facts.measures.endswith(".")
    assert any(char.isdigit() for char in facts.citation), "the year"
    assert facts.hub or facts.get, "how to get it"
    assert facts.task in TASKS
    assert "-1 (" in facts.prompts, "a version, and whose wording"
    assert not set(facts.metric_options) - set(facts.metrics)


@pytest.mark.parametrize("name", NAMES)
def test_rows_become_cases_that_can_be_asked_and_measured(name: str, folder: Path) -> None:
    found = loaded(name, folder)
    cases = found.cases.cases
    assert len({case.id for case in cases}) == len(cases) > 0
    assert all(case.id.startswith(name.partition(":")[0] + ":") for case in cases)
    assert found.cases.name == name
    task = tasks.build(found.cases.task, labels=found.cases.labels, **found.options)
    chosen = [
        metrics.build(one, labels=found.cases.labels, **found.metric_options.get(one, {}))
        for one in found.metrics
    ]
    predictions = [
        task.read(case, [made_up_answer(request, case) for request in task.ask(case)])
        for case in cases
    ]
    assert not [one.problem for one in predictions if one.problem]
    for metric in chosen:
        if "completions" not in metric.needs:  # those run programs
            assert metric.per_case(cases, predictions).shape[0] == len(cases)


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_gets_full_marks(name: str, folder: Path) -> None:
    found = loaded(name, folder)
    if found.cases.task != "generate" or name.startswith(
        ("codexglue:code_to_text", "ifeval", "xstest")
    ):
        pytest.skip("answers are scored, run, or smoothed, or there is no one right answer")
    task = tasks.build("generate", **found.options)
    predictions = [
        task.read(case, [made_up_answer(request, case) for request in task.ask(case)])
        for case in found.cases.cases
    ]
    metric = metrics.build(found.metrics[0])
    rows = metric.per_case(found.cases.cases, predictions)
    best = 100 if metric.unit == "points" else 1
    assert float(metric.from_totals(rows.sum(axis=0))) == pytest.approx(best)


@pytest.mark.parametrize("name", NAMES)
def test_the_checksum_is_of_the_rows_not_of_their_order_or_packaging(
    name: str, folder: Path, folders: dict[str, Path]
) -> None:
    cases = read(name, folder)
    assert checksum(read(name, folders["mixed"])) == checksum(cases)
    if len(cases) > 1 and name not in (
        "mmlu:anatomy",
        "mmlu:stem",
    ):  # the last is of no such subject
        assert checksum(read(name, folders["fewer"])) != checksum(cases)


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_says_all_that_makes_the_number_comparable(name: str, folder: Path) -> None:
    found = loaded(name, folder)
    n = len(found.cases.cases)
    parts = dict(part.split(":", 1) for part in found.signature.split("|"))
    assert parts["benchmark"] == name
    assert parts["rows"] == f"{n}/{found.cases.sha256[:12]}"
    assert parts["shots"] == "0"
    assert parts["prompts"] == named(name)[0].facts(named(name)[1]).prompts
    assert parts["bos"] == "the tokenizer's own"
    if n > 1:
        assert "|asked:1|" in loaded(name, folder, limit=1).signature
    assert "shots" not in loaded(name, folder, is_asked=False).signature


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("codexglue")])
def test_examples_come_from_elsewhere_and_stand_before_the_question(
    name: str, folder: Path
) -> None:
    benchmark, subset = named(name)
    facts = benchmark.facts(subset)
    found = loaded(name, folder, few_shot=2)
    if not facts.pool:
        assert "Asked without examples" in " ".join(found.cases.notes)
        return
    task = tasks.build(
        found.cases.task,
        labels=found.cases.labels,
        few_shot=found.examples,
        **{**found.options, "prompt_style": "text"},
    )
    case = found.cases.cases[0]
    (first, *_) = task.ask(case)
    shown = found.examples(case) if callable(found.examples) else found.examples
    assert len(shown) == 2
    pool = {one.id: one for one in read(name, folder, facts.pool)}
    assert all(pool[one.id].inputs == one.inputs for one in shown)
    assert first.prompt.count("\n\n") >= 2
    assert "shots:2/" in found.signature


@pytest.mark.parametrize("name", NAMES)
def test_without_rows_one_line_says_how_to_get_them(name: str, tmp_path: Path) -> None:
    benchmark, subset = named(name)
    facts = benchmark.facts(subset)
    with pytest.raises(DataError) as error:
        loaded(name, tmp_path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f'benchmark "{name}", split {facts.split}: no rows in "{tmp_path}"')
    assert (facts.get or f"hf download {facts.hub} --repo-type dataset") in message
    assert message.endswith("then --benchmark-data DIR")


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_another_kind_is_named(name: str, folders: dict[str, Path]) -> None:
    with pytest.raises(TunevalError, match=r"(row|line) 1: no (field )?\"") as error:
        loaded(name, folders["damaged"])
    assert "found" in str(error.value)


def test_known_checksums_are_of_this_table() -> None:
    for key, (n, digest) in KNOWN.items():
        name, _, split = key.rpartition("/")
        benchmark, subset = find(name)
        facts = benchmark.facts(subset)
        assert split in (facts.split, facts.pool)
        assert facts.sizes.get(split, n) == n
        assert len(digest) == 32
    read = {name.partition(":")[0] for name in NAMES}
    assert set(BENCHMARKS) == read | {"everyday"}  # which is made, not read
