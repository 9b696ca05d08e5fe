"""Cases that belong together: equal inputs, a column that is named, columns that are offered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneval.data.clusters import asked_in, distinct, equal_inputs
from tuneval.data.outputs import read_references
from tuneval.data.read import read
from tuneval.errors import DataError
from tuneval.perturbations import perturb
from tuneval.types import Case

ROWS = [{"text": f"how do I {n % 3}", "label": "ab"[n % 2]} for n in range(6)]
NOTE = "3 distinct inputs among 6 rows: equal inputs count as one."


def written(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("reader", [read, read_references])
def test_equal_inputs_are_one_cluster(reader, tmp_path) -> None:
    found = reader(written(tmp_path / "t.jsonl", ROWS))
    clusters = [case.cluster for case in found.cases]
    assert len(set(clusters)) == 3
    assert clusters[:3] == clusters[3:]
    assert NOTE in found.notes
    assert [case.id for case in distinct(found.cases)] == ["t.jsonl:1", "t.jsonl:2", "t.jsonl:3"]


def test_different_inputs_stand_alone(tmp_path) -> None:
    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(6)]
    found = read(written(tmp_path / "t.jsonl", rows))
    assert {case.cluster for case in found.cases} == {None}
    assert not [note for note in found.notes if "distinct" in note]


def test_answers_alone_say_nothing_of_the_inputs(tmp_path) -> None:
    rows = [{"id": n, "label": "ab"[n % 2]} for n in range(6)]
    found = read_references(written(tmp_path / "t.jsonl", rows))
    assert {case.cluster for case in found.cases} == {None}


def test_twins_follow_their_original() -> None:
    found = read(
        [{"text": f"some longer words {n % 2}", "label": "ab"[n % 2]} for n in range(4)], name="t"
    )
    twins, _ = perturb(found.cases, "typos", "heavy", 0)
    assert twins
    originals = {case.id: case.cluster for case in found.cases}
    assert {twin.cluster == originals[str(twin.origin)] for twin in twins} == {True}


@pytest.mark.parametrize("of", ["score", "compare"])
def test_a_named_column_wins(of: str, tmp_path) -> None:
    rows = [{"text": f"t {n % 3}", "label": "ab"[n % 2], "case": n // 2} for n in range(6)]
    file = written(tmp_path / "t.jsonl", rows)
    found = (
        read_references(file, cluster="case")
        if of == "score"
        else read(file, columns={"cluster": "case"})
    )
    assert [case.cluster for case in found.cases] == ["0", "0", "1", "1", "2", "2"]
    assert not [note for note in found.notes if "distinct" in note]


def test_a_column_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(
        DataError, match=r'^t\.jsonl: column: there is no "doc" \(known: text, label\)\.$'
    ):
        read_references(written(tmp_path / "t.jsonl", ROWS), cluster="doc")


@pytest.mark.parametrize("reader", [read, read_references])
def test_a_column_that_looks_like_one_is_offered(reader, tmp_path) -> None:
    rows = [
        {"text": f"text {n}", "label": "ab"[n % 2], "doc_id": f"d{n // 2}", "n": n // 2}
        for n in range(40)
    ]
    notes = reader(written(tmp_path / "t.jsonl", rows)).notes
    assert [note for note in notes if "--cluster" in note] == [
        'Cases that share a value of "doc_id" may not be independent; to count them together: '
        "--cluster doc_id."
    ]


@pytest.mark.parametrize(
    ("rows", "n_distinct"),
    [
        pytest.param(
            [
                {"choices": ["a", "b"], "start": "as green as grass"},
                {"choices": ["a", "b"], "start": "as green as mud"},
            ],
            2,
            id="a sentence under an unknown name tells rows apart",
        ),
        pytest.param(
            [
                {"text": "where is it", "response": "it is here", "id": "1"},
                {"text": "where is it", "response": "it is there", "id": "2"},
            ],
            1,
            id="other answers to one question are one question",
        ),
        pytest.param([{"id": "1"}, {"id": "2"}], 2, id="nothing is known of the questions"),
    ],
)
def test_what_tells_two_questions_apart(rows, n_distinct: int) -> None:
    cases = [Case(str(n), inputs={}, references=("x",)) for n, _ in enumerate(rows)]
    clustered, _ = equal_inputs(cases, [asked_in(row) for row in rows])
    assert len({case.cluster or case.id for case in clustered}) == n_distinct
