"""A person's own hard cases: who is whose twin, and what each wrong file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneval.errors import ConfigError, DataError
from tuneval.plan.adversarial import Joined, join
from tuneval.plan.resolve import read_cases
from tuneval.plan.spec import RunSpec

TEST = [
    {"text": "where is my card", "label": "card"},
    {"text": "close the account", "label": "account"},
    {"text": "my card is gone", "label": "card"},
    {"text": "the account is shut", "label": "account"},
]


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def joined(
    folder: Path, hard: list[dict[str, Any]], test: list[dict[str, Any]] = TEST, **more: Any
) -> Joined:
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": "base", "model": "m"}],
            "cases": [{"file": written(folder, "test.jsonl", test), **more}],
            "adversarial": [written(folder, "hard.jsonl", hard)],
        }
    )
    return join(spec, [read_cases(one) for one in spec.cases], read_cases)


@pytest.mark.parametrize("origin", ["test.jsonl:3", 3, "3"])
def test_a_row_becomes_the_twin_of_the_case_that_it_names(tmp_path: Path, origin: object) -> None:
    hard = [{"text": "m y c a r d", "label": "card", "origin": origin}]
    found = joined(tmp_path, hard, [{**row, "writer": "w"} for row in TEST], groups=["writer"])
    (twin,) = (case for case in found.case_sets[0].cases if case.origin)
    assert (twin.id, twin.origin) == ("test.jsonl:3~adversarial:hard", "test.jsonl:3")
    assert twin.perturbation == "adversarial:hard"
    assert twin.references == ("card",)
    assert twin.cluster == "test.jsonl:3"
    assert twin.groups == {"writer": "w"}
    assert len(found.spec.cases) == 1
    assert found.notes == ("test: 1 adversarial twins of 1 cases (adversarial:hard)",)


def test_an_own_id_comes_before_a_line(tmp_path: Path) -> None:
    test = [{**row, "id": n} for n, row in zip((3, 4, 1, 2), TEST, strict=True)]
    hard = [
        {"text": "x", "label": "card", "origin": 1},
        {"text": "y", "label": "card", "origin": 1},
    ]
    found = joined(tmp_path, hard, test)
    twins = [case for case in found.case_sets[0].cases if case.origin]
    assert [twin.id for twin in twins] == [f"test.jsonl:3~adversarial:hard:{n}" for n in (1, 2)]


def test_strangers_are_named_with_their_lines(tmp_path: Path) -> None:
    hard = [
        {"text": "a", "label": "card", "origin": 1},
        {"text": "b", "label": "card", "origin": "test.jsonl:9"},
        {"text": "c", "label": "card"},
    ]
    with pytest.raises(DataError) as caught:
        joined(tmp_path, hard)
    assert str(caught.value) == (
        "hard.jsonl: 2 rows have no original.\n"
        '    line 2: "test.jsonl:9" is no case of test\n'
        '    line 3: no "origin"\n'
        'Column "origin" holds the id of a case of test (test.jsonl:1), or its line.\n'
        "Without that column the file is a case set of its own."
    )


def test_copies_and_cases_that_were_not_drawn_are_counted(tmp_path: Path) -> None:
    hard = [
        {"text": row["text"] + ("!" if n > 1 else ""), "label": row["label"], "origin": n}
        for n, row in enumerate(TEST, 1)
    ]
    found = joined(tmp_path, hard, limit=2)
    n_twins = sum(case.origin is not None for case in found.case_sets[0].cases)
    n_same = "1 equal to their original: dropped" in found.notes[0]
    assert n_twins + n_same == 2
    assert "; 2 of cases that --limit left out" in found.notes[0]


def test_without_origin_it_is_a_case_set_of_its_own(tmp_path: Path) -> None:
    found = joined(tmp_path, [{"text": "c@rd", "label": "card"}], limit=2)
    own = found.case_sets[1]
    assert (own.name, own.is_exploratory, len(own.cases)) == ("hard (adversarial)", True, 1)
    assert own.labels == ("account", "card")
    assert found.spec.adversarial == ()
    assert (found.spec.cases[1].exploratory, found.spec.cases[1].limit) == (True, None)
    again = join(found.spec, [read_cases(one) for one in found.spec.cases], read_cases)
    assert again.case_sets == found.case_sets, "what is written to run.yaml reads back the same"


@pytest.mark.parametrize(
    ("hard", "message"),
    [
        ([{"text": "x", "label": "cart", "origin": 1}], '"cart" is not one of the 2 labels'),
        ([{"words": "x", "label": "card"}], 'there is no "text"'),
    ],
)
def test_a_file_unlike_the_test_file(
    tmp_path: Path, hard: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        joined(tmp_path, hard)


def test_two_files_of_one_name_and_nothing_to_go_with(tmp_path: Path) -> None:
    base = {"variants": [{"name": "base", "model": "m"}]}
    file = written(tmp_path, "hard.jsonl", TEST)
    spec = RunSpec.from_dict({**base, "cases": [{"file": file}], "adversarial": [file, file]})
    with pytest.raises(ConfigError, match='two adversarial files are called "hard": rename one'):
        join(spec, [read_cases(one) for one in spec.cases], read_cases)
    guarded = RunSpec.from_dict(
        {**base, "cases": [{"file": file, "guard": True}], "adversarial": [file]}
    )
    with pytest.raises(ConfigError, match="needs a test file to go with"):
        join(guarded, [read_cases(one) for one in guarded.cases], read_cases)
