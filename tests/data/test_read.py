"""Good input: what is read from each format and layout, and what is said about it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from shared import shared_json, shared_path, shared_rows
from tuneval.data.read import read
from tuneval.errors import DataError
from tuneval.types import COLUMN_NAMES, Message

LABELLED = [{"text": f"words {n}", "label": "ab"[n % 2]} for n in range(4)]
USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def table(rows: list[dict[str, Any]], delimiter: str) -> str:
    return "".join(delimiter.join(row) + "\n" for row in [list(rows[0]), *map(dict.values, rows)])


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("t.jsonl", lines(LABELLED), "1 2 3 4"),
        ("t.ndjson", lines(LABELLED), "1 2 3 4"),
        ("t.jsonl.gz", lines(LABELLED), "1 2 3 4"),
        pytest.param("t.jsonl", "\ufeff" + lines(LABELLED), "1 2 3 4", id="BOM"),
        pytest.param("t.jsonl", lines(LABELLED).replace("\n", "\r\n"), "1 2 3 4", id="CRLF"),
        pytest.param("t.jsonl", "\n" + lines(LABELLED).replace("\n", "\n\n"), "2 4 6 8", id="gaps"),
        pytest.param("t.jsonl", lines(LABELLED)[:-1], "1 2 3 4", id="no last newline"),
        pytest.param("t.jsonl", json.dumps(LABELLED), "1 2 3 4", id="array called jsonl"),
        ("t.json", json.dumps(LABELLED), "1 2 3 4"),
        pytest.param("t.json", json.dumps(LABELLED, indent=1), "2 6 10 14", id="array on lines"),
        pytest.param("t.json", lines(LABELLED), "1 2 3 4", id="lines called json"),
        pytest.param("t.json", json.dumps({"data": LABELLED}), "1 2 3 4", id="wrapped"),
        ("t.json.gz", json.dumps(LABELLED), "1 2 3 4"),
        ("t.csv", table(LABELLED, ","), "2 3 4 5"),
        pytest.param("t.csv", table(LABELLED, ";"), "2 3 4 5", id="semicolons"),
        pytest.param("t.csv", "\ufeff" + table(LABELLED, ","), "2 3 4 5", id="CSV with BOM"),
        pytest.param("t.csv", table(LABELLED, ",").replace("\n", "\r\n"), "2 3 4 5", id="CSV CRLF"),
        ("t.csv.gz", table(LABELLED, ","), "2 3 4 5"),
        ("t.tsv", table(LABELLED, "\t"), "2 3 4 5"),
        ("t.tsv.gz", table(LABELLED, "\t"), "2 3 4 5"),
    ],
)
def test_every_format_gives_the_same_cases(
    tmp_path: Path, name: str, content: str, places: str
) -> None:
    found = read(write(tmp_path, name, content))
    assert [case.id for case in found.cases] == [f"{name}:{place}" for place in places.split()]
    assert [(c.inputs["text"], *c.references) for c in found.cases] == [
        (row["text"], row["label"]) for row in LABELLED
    ]
    assert (found.name, found.task, found.labels) == ("t", "classify", ("a", "b"))
    assert found.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    features = {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}
    content = pyarrow.table({"text": ["a", "b"], "label": [0, 1]})
    written = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    parquet.write_table(content.replace_schema_metadata(written), tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet")
    assert [case.references for case in found.cases] == [("negative",), ("positive",)]
    assert found.labels == ("negative", "positive")
    assert 'The numbers in "label" count the file\'s own class names' in " ".join(found.notes)


def test_csv_record_over_several_lines_is_placed_where_it_starts(tmp_path: Path) -> None:
    text = 'text,label\n"one\ntwo, three",a\n"say ""hi""",b\n\nlast,a\n'
    found = read(write(tmp_path, "t.csv", text))
    assert [(c.id, c.inputs["text"]) for c in found.cases] == [
        ("t.csv:2", "one\ntwo, three"),
        ("t.csv:4", 'say "hi"'),
        ("t.csv:6", "last"),
    ]


def test_csv_field_above_the_csv_modules_own_limit(tmp_path: Path) -> None:
    long = "word " * 60_000
    before = csv.field_size_limit()
    found = read(write(tmp_path, "t.csv", f"text,label\n{long},a\nx,b\n"))
    assert found.cases[0].inputs["text"] == long
    assert csv.field_size_limit() == before


def test_tsv_with_bare_quotation_marks(tmp_path: Path) -> None:
    found = read(write(tmp_path, "t.tsv", 'sentence\tlabel\n"so" he said\ta\nyes\tb\n'))
    assert found.cases[0].inputs["text"] == '"so" he said'
    assert "t.tsv: quotation marks were read as part of the text." in found.notes


@pytest.mark.parametrize(
    ("row", "layout", "task", "inputs", "references"),
    [
        (
            {"messages": [USER, ANSWER, USER, {"role": "assistant", "content": "b"}]},
            "messages", "generate",
            {"messages": (Message("user", "q"), Message("assistant", "a"), Message("user", "q"))},
            ("b",),
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
             "system": "be kind"},
            "messages", "generate",
            {"messages": (Message("system", "be kind"), Message("user", "q"))}, ("a",),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, ANSWER]},
            "messages", "generate", {"messages": (Message("user", "q"),)}, ("a",),
        ),
        ({"prompt": "p: ", "completion": " c"}, "prompt and completion", "generate",
         {"prompt": "p: ", "completion": " c"}, (" c",)),
        ({"prompt": "p", "response": "r"}, "prompt and completion", "generate",
         {"prompt": "p", "completion": "r"}, ("r",)),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt and completion", "generate",
         {"messages": (Message("user", "q"),)}, ("a",)),
        ({"instruction": "i", "input": "x", "output": "o"}, "instruction", "generate",
         {"instruction": "i", "input": "x"}, ("o",)),
        ({"instruction": "i", "input": "", "output": "o"}, "instruction", "generate",
         {"instruction": "i"}, ("o",)),
        ({"Instruction": "i", "Response": "o"}, "instruction", "generate",
         {"instruction": "i"}, ("o",)),
        ({"instruction": "i", "context": "c", "response": "o"}, "instruction", "generate",
         {"instruction": "i", "input": "c"}, ("o",)),
        ({"text": "t", "label": "x", "id": 7, "score": 0.5, "tags": ["y"], "gone": None},
         "labelled text", "classify", {"text": "t", "id": 7, "score": 0.5, "tags": ("y",)}, ("x",)),
        ({"sentence": "t", "intent": "x"}, "labelled text", "classify", {"text": "t"}, ("x",)),
        ({"input": "t", "category": True}, "labelled text", "classify", {"text": "t"}, ("true",)),
        ({"utterance": "t", "sentiment": " x "}, "labelled text", "classify", {"text": "t"},
         ("x",)),
        ({"TEXT": "t", "Label": 2.0}, "labelled text", "classify", {"text": "t"}, ("2",)),
        ({"question": "q", "choices": ["x", "y"], "answer": 0}, "multiple choice",
         "multiple_choice", {"question": "q", "choices": ("x", "y")}, ("0",)),
        ({"question": "q", "choices": ["x", "y"], "answer": "B"}, "multiple choice",
         "multiple_choice", {"question": "q", "choices": ("x", "y")}, ("1",)),
        ({"question": "q", "options": ["x", "y"], "answer": "y"}, "multiple choice",
         "multiple_choice", {"question": "q", "choices": ("x", "y")}, ("1",)),
        ({"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]},
          "answerKey": "2"}, "multiple choice", "multiple_choice",
         {"question": "q", "choices": ("x", "y")}, ("1",)),
        ({"ctx": "q", "endings": ["x", "y"], "label": "0"}, "multiple choice",
         "multiple_choice", {"question": "q", "choices": ("x", "y")}, ("0",)),
        ({"context": "c", "question": "q", "answers": {"text": ["a", "b", "a"],
          "answer_start": [1, 2, 1]}}, "squad", "generate", {"context": "c", "question": "q"},
         ("a", "b")),
        pytest.param({"context": "c", "question": "q", "answers": {"text": []}}, "squad",
                     "generate", {"context": "c", "question": "q"}, ("",), id="unanswerable"),
        ({"article": "a", "highlights": "h"}, "summary", "generate", {"article": "a"}, ("h",)),
        ({"document": "a", "summary": "h"}, "summary", "generate", {"article": "a"}, ("h",)),
        ({"prompt": "p", "test": "t", "entry_point": "f", "canonical_solution": "s",
          "task_id": "x/1"}, "program", "complete_code",
         {"prompt": "p", "test": "t", "entry_point": "f", "task_id": "x/1"}, ("s",)),
        ({"question": "q", "answer": "a"}, "question and answer", "generate", {"question": "q"},
         ("a",)),
        ({"question": "q", "answer": 4}, "question and answer", "generate", {"question": "q"},
         ("4",)),
        ({"question": "q", "answers": ["a", "b"]}, "question and answer", "generate",
         {"question": "q"}, ("a", "b")),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference", "preference",
         {"prompt": "p", "chosen": "c", "rejected": "r"}, ("c",)),
        ({"text": "t", "response": "r"}, "text and output", "generate", {"text": "t"}, ("r",)),
        ({"text": "t"}, "text", "language_model", {"text": "t"}, ()),
    ],
)  # fmt: skip
def test_layouts(
    row: dict[str, Any], layout: str, task: str, inputs: dict[str, object], references: tuple[str]
) -> None:
    found = read([row])
    (case,) = found.cases
    assert (found.layout, found.task) == (layout, task)
    own = {key: value for key, value in case.inputs.items() if key != COLUMN_NAMES}
    assert (own, case.references) == (inputs, references)


@pytest.mark.parametrize(
    ("references", "task"),
    [
        (["yes", "no"] * 5, "classify"),
        (["yes"] * 10, "generate"),
        pytest.param([f"answer {n}" for n in range(10)], "generate", id="nothing repeats"),
        pytest.param([f"label {n}" for n in range(50)] * 2, "classify", id="50"),
        pytest.param([f"label {n}" for n in range(51)] * 2, "generate", id="51"),
        pytest.param(["yes", "long " * 20] * 5, "generate", id="not short"),
    ],
)
def test_references_decide_the_task(references: list[str], task: str) -> None:
    rows = [{"prompt": f"p{n}", "completion": text} for n, text in enumerate(references)]
    found = read(rows)
    assert found.task == task
    assert (found.labels is None) == (task != "classify")


@pytest.mark.parametrize("chosen", ["classify", "generate", "language_model"])
def test_the_users_task_wins(chosen: str) -> None:
    rows = [{"prompt": f"p{n}", "completion": "no" if n % 2 else "yes"} for n in range(6)]
    assert read(rows, task=chosen).task == chosen


def test_labels_make_it_classification() -> None:
    found = read([{"prompt": "p", "completion": " yes"}], labels=["yes", "no"])
    assert (found.task, found.labels, found.cases[0].references) == (
        "classify",
        ("yes", "no"),
        ("yes",),
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, ("0", "1")),
        (["negative", "positive"], ("negative", "positive")),
        ({"1": "good", "0": "bad"}, ("bad", "good")),
        (["0", "1"], ("0", "1")),
    ],
)
def test_numbers_as_labels(labels: Any, expected: tuple[str, str]) -> None:
    found = read([{"text": "x", "label": 0}, {"text": "y", "label": "1"}], labels=labels)
    assert tuple(case.references[0] for case in found.cases) == expected
    digits = "the digits are scored as text. Name them with --labels 0=NAME,1=NAME."
    assert (digits in " ".join(found.notes)) == (labels is None)


def test_found_labels_are_sorted_as_numbers() -> None:
    rows = [{"text": f"t{n}", "label": n % 12} for n in range(24)]
    assert read(rows).labels == tuple(map(str, range(12)))


def test_a_second_column_names_the_numbers() -> None:
    rows = [{"text": f"t{n}", "label": n % 2, "label_text": ["b", "a"][n % 2]} for n in range(6)]
    found = read(rows)
    assert (found.labels, found.cases[0].references) == (("b", "a"), ("b",))
    assert 'The numbers in "label" are named by "label_text".' in found.notes


def test_a_rare_label_that_looks_like_a_slip_is_pointed_out() -> None:
    rows = [{"text": f"t{n}", "label": ["refund", "login"][n % 2]} for n in range(60)]
    found = read([*rows, {"text": "x", "label": "refnd"}])
    assert any('Label "refnd" occurs 1 time, "refund" 30 times' in note for note in found.notes)


def test_columns_of_the_user_win() -> None:
    rows = [
        {"text": f"t{n}", "label": "x", "kind": "ab"[n % 2], "user": n // 2, "key": f"k{n}"}
        for n in range(4)
    ]
    found = read(
        rows,
        columns={"input": "text", "reference": "kind", "id": "key", "cluster": "user"},
        groups=["label"],
    )
    assert [case.references for case in found.cases] == [("a",), ("b",), ("a",), ("b",)]
    assert [case.cluster for case in found.cases] == ["0", "0", "1", "1"]
    assert found.cases[0].groups == {"label": "x"}
    assert found.columns["reference"] == "kind"
    assert found.cases[0].inputs["key"] == "k0"


def test_a_chat_with_a_label_column() -> None:
    rows = [{"messages": [USER], "topic": "a"}, {"messages": [USER], "topic": "b"}]
    found = read(rows, columns={"reference": "topic"}, task="classify")
    assert found.cases[0].inputs["messages"] == (Message("user", "q"),)
    assert found.labels == ("a", "b")


def test_groups_are_offered() -> None:
    rows = [
        {
            "text": f"t{n}", "label": n % 2, "twin": "yn"[n % 2], "writer": "abc"[n % 3],
            "n": n, "same": 1, "day": n // 4, "length": n / 7,
        }
        for n in range(24)
    ]  # fmt: skip
    found = read(rows)
    assert found.offered_groups == ("writer", "day")
    assert (
        'Columns that could be groups: "writer", "day" (--group writer --group day).' in found.notes
    )
    assert read(rows, groups=["writer"]).offered_groups == ("day",)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["g+h"], [{"g+h": "u+x"}, {"g+h": "v+y"}, {}]),
        (["g", "g + h"], [{"g": "u", "g + h": "u+x"}, {"g": "v", "g + h": "v+y"}, {"g": "w"}]),
        (["a+b"], [{"a+b": "1"}, {"a+b": "2"}, {"a+b": "1"}]),  # a column of that name
    ],
)
def test_groups_may_be_crossed(groups: list[str], expected: list[dict[str, str]]) -> None:
    rows = [
        {"text": "one", "label": "p", "g": "u", "h": "x", "a+b": 1},
        {"text": "two", "label": "q", "g": "v", "h": "y", "a+b": 2},
        {"text": "three", "label": "p", "g": "w", "h": None, "a+b": 1},
    ]
    assert [case.groups for case in read(rows, groups=groups).cases] == expected


def test_a_crossed_column_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match='"week"'):
        read([{"text": "one", "label": "p", "day": "mon"}] * 2, groups=["day+week"])


def test_a_case_without_group_value_is_said() -> None:
    rows = [{"text": "x", "label": "a", "g": "u"}, {"text": "y", "label": "b", "g": None}]
    found = read(rows, groups=["g"])
    assert [case.groups for case in found.cases] == [{"g": "u"}, {}]
    assert 'No value of group "g" in 1 of 2 cases.' in found.notes


def test_name_and_limit(tmp_path: Path) -> None:
    path = write(tmp_path, "t.jsonl", lines(LABELLED * 5))
    found = read(path, name="support", limit=3, columns={"input": "text"})
    assert (found.name, len(found.cases)) == ("support", 3)
    assert all(case.id.startswith("support:") for case in found.cases)
    assert found.notes[-1] == "3 of 20 cases, a fixed random choice (--limit 3)."
    assert found.labels == ("a", "b")


def test_passages_are_clusters() -> None:
    rows = [{"context": c, "question": "q", "answers": ["a"]} for c in ("one", "one", "two")]
    clusters = [case.cluster for case in read(rows).cases]
    assert clusters[0] == clusters[1] != clusters[2]


def test_dataset_info_of_llama_factory(tmp_path: Path) -> None:
    info = {
        "mine": {
            "file_name": "t.jsonl",
            "columns": {"prompt": "ask", "response": "say", "system": "told", "history": "before"},
        },
        "chat": {
            "file_name": "c.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk"},
            "tags": {
                "role_tag": "who",
                "content_tag": "what",
                "user_tag": "u",
                "assistant_tag": "a",
            },
        },
    }
    write(tmp_path, "dataset_info.json", json.dumps(info))
    row = {"ask": "i", "say": "o", "told": "be kind", "before": [["q", "r"]]}
    alpaca = read(write(tmp_path, "t.jsonl", lines([row])))
    assert (dict(alpaca.cases[0].inputs), alpaca.cases[0].references) == (
        {
            "instruction": "i",
            "system": "be kind",
            "history": (Message("user", "q"), Message("assistant", "r")),
        },
        ("o",),
    )
    note = (
        'Columns named by dataset_info.json: "ask" as "instruction", "say" as "output", "told" as '
        '"system", "before" as "history".'
    )
    assert note in alpaca.notes
    turns = [{"who": "u", "what": "q"}, {"who": "a", "what": "r"}]
    chat = read(write(tmp_path, "c.json", json.dumps([{"talk": turns}])))
    assert chat.cases[0].inputs["messages"] == (Message("user", "q"),)
    assert chat.cases[0].references == ("r",)


def test_notes_say_what_was_inferred(tmp_path: Path) -> None:
    found = read(write(tmp_path, "t.jsonl", lines(LABELLED)))
    assert found.notes == (
        'Read as labelled text: column "text" -> "label".',
        "Task classify: 2 labels in 4 cases.",
        '2 labels found in "label": "a", "b".',
    )


# ---- real files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "options", "layout", "task", "n_labels", "offered"),
    [
        (("banking77", "test_half.jsonl.gz"), {}, "labelled text", "classify", 77, ()),
        (("sst2", "validation.jsonl.gz"), {}, "labelled text", "classify", 2, ()),
        (("clinc150", "val.jsonl.gz"), {}, "labelled text", "classify", 150, ("domain",)),
        (("clinc150", "oos_val.jsonl.gz"), {}, "labelled text", "classify", 1, ()),
        (("mmlu", "test.jsonl.gz"), {}, "multiple choice", "multiple_choice", None, ()),
        (("humaneval", "HumanEval.jsonl.gz"), {}, "program", "complete_code", None, ()),
        (("cnndm_summeval", "summeval.jsonl.gz"), {}, "summary", "generate", None, ()),
        (
            ("trec6", "test_half.jsonl.gz"),
            {"columns": {"reference": "coarse_name"}},
            "labelled text", "classify", 6, (),
        ),
    ],
)  # fmt: skip
def test_real_files(
    parts: tuple[str, ...],
    options: dict[str, Any],
    layout: str,
    task: str,
    n_labels: int | None,
    offered: tuple[str, ...],
) -> None:
    path = shared_path(*parts)
    found = read(path, **options)
    assert (found.layout, found.task, found.offered_groups) == (layout, task, offered)
    rows = shared_rows(*parts)
    assert len(found.cases) == len(rows)
    right = [n for n, row in enumerate(rows) if n_right(row) > 1]
    assert [n for n, case in enumerate(found.cases) if len(case.references) > 1] == right
    assert (found.labels and len(found.labels)) == n_labels


def n_right(row: dict[str, Any]) -> int:
    """A few published questions offer the right choice twice."""
    given = [choice.strip() for choice in row.get("choices", ())]
    return given.count(given[row["answer"]]) if given else 0


def test_real_rows_arrive_unchanged() -> None:
    rows = shared_rows("sst2", "validation.jsonl.gz")
    found = read(
        shared_path("sst2", "validation.jsonl.gz"), labels={"0": "negative", "1": "positive"}
    )
    names = ("negative", "positive")
    assert [(c.inputs["text"], c.references) for c in found.cases] == [
        (row["sentence"], (names[row["label"]],)) for row in rows
    ]


def test_real_choices() -> None:
    rows = shared_rows("mmlu", "dev.jsonl.gz")
    found = read(shared_path("mmlu", "dev.jsonl.gz"), groups=["subject"], skip_bad_rows=True)
    assert [
        (c.inputs["choices"], int(c.references[0]), c.groups["subject"]) for c in found.cases
    ] == [(tuple(row["choices"]), row["answer"], row["subject"]) for row in rows]


def test_nested_squad_has_the_published_counts() -> None:
    expected = shared_json("squad", "expected_scores.json")
    found = read(shared_path("squad", "dev_v2.0_subset.json.gz"))
    unanswerable = sum(case.references == ("",) for case in found.cases)
    assert len(found.cases) == expected["n_questions_v2.0"]
    assert unanswerable == expected["n_unanswerable_v2.0"]
    assert found.offered_groups == ("title",)
    assert len({case.inputs["id"] for case in found.cases}) == len(found.cases)
