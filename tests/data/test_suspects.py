"""Faults and warnings about the content of rows: whole messages, one row of a table each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneval.data import suspects
from tuneval.data.outputs import read_references
from tuneval.data.read import read
from tuneval.errors import DataError

Row = dict[str, Any]
MULTI_LABEL = (
    "is a list, expected one value: several labels of one case (multi-label) are another task, "
    "which tuneval does not have"
)


def labelled(n: int) -> Row:
    return {
        "id": n,
        "text": f"parcel number {n}",
        "label": ("late", "lost")[n % 2],
        "zone": "north",
    }


def asked(n: int) -> Row:
    return {"question": f"Which {n}?", "choices": ["oak", "elm", "ash"], "answer": "ABC"[n % 3]}


def talked(n: int) -> Row:
    return {"instruction": f"Say {n}.", "output": f"It is {n}.", "history": [["Hi", "Hello"]]}


FAULTS: dict[str, tuple[Callable[[int], Row], str | Row, dict[str, Any], str]] = {
    # name: (good rows, the fault's line, options of read, the fault)
    "key twice": (
        labelled, '{"text": "a", "label": "late", "label": "lost"}', {},
        'key "label" stands twice in one object',
    ),
    "key twice, deep": (
        talked, '{"instruction": "a", "output": "b", "meta": {"x": 1, "x": 2}}', {},
        'key "x" stands twice in one object',
    ),
    "NUL in a text": (
        labelled, {"text": "a\0b", "label": "late"}, {}, 'field "text" holds a NUL character',
    ),
    "NUL in a turn": (
        talked, {"instruction": "a", "output": "b", "history": [["a\0", "b"]]}, {},
        'field "history" holds a NUL character',
    ),
    "zero width alone": (
        labelled, {"text": "\u200b \ufeff\u2060", "label": "late"}, {},
        'field "text" holds nothing but characters without width (U+200B, U+FEFF, U+2060)',
    ),
    "zero width as label": (
        labelled, {"text": "a", "label": "\u200d"}, {},
        'field "label" holds nothing but characters without width (U+200D)',
    ),
    "list as group": (
        labelled, {"text": "a", "label": "late", "zone": ["north", "south"]}, {"groups": ["zone"]},
        'group "zone" is a list, expected one value',
    ),
    "object in a crossed group": (
        labelled, {"text": "a", "label": "late", "zone": {"n": 1}}, {"groups": ["zone+id"]},
        'group "zone" is an object, expected one value',
    ),
    "null choice": (
        asked, {"question": "q", "choices": ["oak", None, "ash"], "answer": "A"}, {},
        'choice 2 of "choices" is null, expected text',
    ),
    "empty choice": (
        asked, {"question": "q", "choices": ["oak", " ", "ash"], "answer": "A"}, {},
        'choice 2 of "choices" is empty',
    ),
    "choice that is a list": (
        asked, {"question": "q", "choices": ["oak", ["elm"], "ash"], "answer": "A"}, {},
        'choice 2 of "choices" is a list, expected text',
    ),
    "one choice again and again": (
        asked, {"question": "q", "choices": ["oak", "oak", " oak"], "answer": "B"}, {},
        'all 3 choices of "choices" are "oak"',
    ),
    "one choice": (
        asked, {"question": "q", "choices": ["oak"], "answer": "A"}, {},
        'field "choices" is no list of two or more choices',
    ),
    "names for some choices": (
        asked, {"question": "q", "choices": {"text": ["oak", "elm"], "label": ["A"]}, "answer": "A"},
        {}, 'field "choices" has 2 texts and 1 labels',
    ),
    "answer beyond the choices": (
        asked, {"question": "q", "choices": ["oak", "elm", "ash"], "answer": "D"}, {},
        'answer "D" is none of the 3 choices',
    ),
    "several labels": (
        labelled, {"text": "a", "label": ["late", "lost"]}, {}, f'field "label" {MULTI_LABEL}',
    ),
    "label as object": (
        labelled, {"text": "a", "label": {"id": 0, "name": "late"}}, {},
        'field "label" is an object (of "id", "name"), expected one value',
    ),
    "no label": (labelled, {"text": "a", "label": None}, {}, 'field "label" is null'),
    "history as a number": (
        talked, {"instruction": "a", "output": "b", "history": 7}, {},
        'field "history" is a number, expected a list of turns',
    ),
    "no answer in a list": (
        lambda n: {"question": f"q{n}", "references": [f"a{n}", f"b{n}"]},
        {"question": "q", "references": []}, {}, 'field "references" is empty',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_line(tmp_path: Path, name: str) -> None:
    make, bad, options, fault = FAULTS[name]
    path = tmp_path / "cases.jsonl"
    lines = [
        *(json.dumps(make(n)) for n in range(6)),
        bad if isinstance(bad, str) else json.dumps(bad),
    ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert str(caught.value) == (
        "cases.jsonl: 1 of 7 lines cannot be read.\n"
        f"    line 7: {fault}\n"
        "Mend the lines; --skip-bad-rows goes on without them."
    )
    assert len(read(path, skip_bad_rows=True, **options).cases) == 6


def test_an_array_with_a_key_twice(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text('[{"text": "a", "label": "x"},\n {"text": "b", "text": "c", "label": "y"}]')
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == 'cases.json, line 2: key "text" stands twice in one object.'


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([None, None], 'field "label" is null'),
        (["", " "], 'field "label" is empty'),
        ([["late"], ["lost"]], f'field "label" {MULTI_LABEL}'),
        ([{"id": 0}, {"id": 1}], 'field "label" is an object (of "id"), expected one value'),
    ],
)
def test_no_row_has_a_label(values: list[Any], fault: str) -> None:
    with pytest.raises(DataError) as caught:
        read([{"text": f"t{n}", "label": value} for n, value in enumerate(values)])
    assert str(caught.value) == (
        "rows: 2 of 2 rows cannot be read.\n"
        f"    row 1: {fault}\n    row 2: {fault}\n"
        "Mend the rows; --skip-bad-rows goes on without them."
    )


def test_a_table_without_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("text,label\ngood film,\nbad film,\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        "cases.csv: 2 of 2 lines cannot be read.\n"
        '    line 2: field "label" is null\n    line 3: field "label" is null\n'
        "Mend the lines; --skip-bad-rows goes on without them."
    )


LABELS: dict[str, tuple[list[Any], tuple[str, ...], list[str]]] = {
    # name: (raw values, label set, sentences about spellings)
    "blanks": (["late ", " late", "lost\t", "lost"], ("late", "lost"), []),
    "line ends of Windows": (["late\r\n", "late\r", "lost\n", "lost"], ("late", "lost"), []),
    "case": (
        ["late", "late", "Late", "lost"], ("late", "lost"),
        ['Label "Late" is read as "late", spelled otherwise.'],
    ),
    "composed otherwise": (
        ["caf\u00e9", "caf\u00e9", "cafe\u0301", "lost"], ("caf\u00e9", "lost"),
        ['Label "cafe\u0301" is read as "caf\u00e9", spelled otherwise.'],
    ),
    "numbers as text": (["0.0", "1.0", "0", "1"], ("0", "1"), []),
    "numbers and texts": ([0, "0", 1.0, "1"], ("0", "1"), []),
    "truth values": ([True, False, True, False], ("false", "true"), []),
    "truth values and texts": (
        [True, True, "True", False], ("false", "true"),
        ['Label "True" is read as "true", spelled otherwise.'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_one_label_in_several_spellings(name: str) -> None:
    values, names, told = LABELS[name]
    found = read([{"text": f"t{n}", "label": value} for n, value in enumerate(values)])
    assert found.labels == names
    assert {reference for case in found.cases for reference in case.references} == set(names)
    assert [note for note in found.notes if "spelled otherwise" in note] == told


def test_given_labels_are_found_in_other_capitals() -> None:
    rows = [{"text": f"t{n}", "label": ["LATE", "Lost "][n % 2]} for n in range(4)]
    found = read(rows, labels=["late", "lost"])
    assert [case.references for case in found.cases] == [("late",), ("lost",)] * 2


WARNINGS: dict[str, tuple[list[Row], str]] = {
    "a long input": (
        [labelled(0), labelled(1), {"text": "x" * suspects.LONG, "label": "late"}],
        "1 case of 200,000 characters or more (first: row 3, 200,000): what does not fit into a "
        "model's context is cut.",
    ),
    "a long passage": (
        [{"context": "x " * suspects.LONG, "question": f"q{n}", "answer": f"a{n}"} for n in range(2)],
        "2 cases of 200,000 characters or more (first: row 1, 400,002): what does not fit into a "
        "model's context is cut.",
    ),
    "one text, two labels": (
        [*map(labelled, range(4)), {"text": "parcel number 1", "label": "late"}],
        'The same text has two labels in 1 case (first: row 2 ("lost") and row 5 ("late")): no '
        "answer can be right in both.",
    ),
    "a letter of another alphabet": (
        [{"text": f"t{n}", "label": ["late", "l\u0430te", "lost"][n % 3]} for n in range(6)],
        'Label "l\u0430te" mixes alphabets: "\u0430" is CYRILLIC SMALL LETTER A, which looks like a '
        "Latin letter.",
    ),
    "labels that look alike": (
        [{"text": f"t{n}", "label": ["\u0441\u043e\u0440", "cop", "car"][n % 3]} for n in range(6)],
        'Labels "cop" and "\u0441\u043e\u0440" look alike, letter by letter.',
    ),
    "wide letters": (
        [{"text": f"t{n}", "label": ["\uff4c\uff41\uff54\uff45", "late"][n % 2]} for n in range(6)],
        'Labels "late" and "\uff4c\uff41\uff54\uff45" look alike, letter by letter.',
    ),
    "columns that nobody reads": (
        [{**labelled(n), "remark": f"note {n} here", "zones": ["a", "b"]} for n in range(6)],
        'Not read: "zone", "remark", "zones" (a column stands in a prompt as {NAME}: --prompt).',
    ),
    "short references that repeat": (
        [{"input": f"i{n}", "expected": "yes"[: n % 2 + 1]} for n in range(6)],
        "2 short references repeat in 6 cases; as classes: --task classify.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(name: str) -> None:
    rows, sentence = WARNINGS[name]
    assert sentence in read(rows).notes


def test_nothing_is_said_of_rows_without_fault() -> None:
    rows = [{"text": f"t{n}", "label": ["сор", "кот"][n % 2]} for n in range(6)]
    assert read(rows).notes == (
        'Read as labelled text: column "text" -> "label".',
        "Task classify: 2 labels in 6 cases.",
        '2 labels found in "label": "кот", "сор".',
    )


def test_a_column_that_the_prompt_names_is_read() -> None:
    rows = [{**labelled(n), "remark": f"note {n} here"} for n in range(6)]
    found = read(rows, template="{text} ({remark}, {zone})\nLabel:")
    assert not any("Not read" in note for note in found.notes)


def test_labels_of_scored_outputs_are_spelled_one_way(tmp_path: Path) -> None:
    path = tmp_path / "references.jsonl"
    labels = ["late ", "late", "Late", "lost\r\n", "lost", "lost"]
    path.write_text("".join(json.dumps({"id": n, "label": x}) + "\n" for n, x in enumerate(labels)))
    found = read_references(str(path))
    assert found.labels == ("late", "lost")
    assert [case.references for case in found.cases] == [("late",)] * 3 + [("lost",)] * 3
    assert 'Label "Late" is read as "late", spelled otherwise.' in found.notes


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"label": "Late."}, 'Labels "Late." and "late" look alike, letter by letter.'),
        (
            {"split": "train"},
            '1 of 5 rows are of the training part by their "split", and all are read: ',
        ),
        (
            {"Split": "TRAIN"},
            '1 of 5 rows are of the training part by their "Split", and all are read: ',
        ),
        ({"split": "test"}, None),
    ],
)
def test_what_is_read_and_still_suspicious(row: dict[str, Any], told: str | None) -> None:
    column = next((name for name in row if name != "label"), "zone")
    rows = [{"text": f"t{n}", "label": ("late", "lost")[n % 2], column: "test"} for n in range(4)]
    notes = read([*rows, {**rows[0], "text": "t9", **row}]).notes
    found = [note for note in notes if "training part" in note or "look alike" in note]
    assert [note.startswith(told or "") for note in found] == [True] * (told is not None)
