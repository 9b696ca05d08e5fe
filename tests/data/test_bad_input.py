"""Bad input: each fault says what, where and what to do. The texts are part of the product."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tuneval.data import formats
from tuneval.data.read import read
from tuneval.errors import ConfigError, DataError

GOOD = [{"text": f"words {n}", "label": ["refund", "login"][n % 2]} for n in range(10)]


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message(source: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"text": "x", "label": "refund"', 'malformed JSON: expecting \',\' delimiter (column 32)'),
        ("{'text': 'x'}", "malformed JSON: expecting property name enclosed in double quotes (column 2)"),
        ('{"text": "cut off', "malformed JSON: unterminated string starting at (column 10)"),
        ("[1, 2]", "not an object but a list"),
        ("null", "not an object but null"),
        ("[" * 100_000, "nested too deeply"),
        (r'{"text": "\ud83d", "label": "login"}',
         "holds half a character (a lone surrogate such as \\ud83d)"),
        ({"text": "x"}, 'no field "label" (found "text")'),
        ({}, 'no field "text" (found none)'),
        ({"text": "x", "label": None}, 'field "label" is null'),
        ({"text": "x", "label": " "}, 'field "label" is empty'),
        ({"text": "x", "label": ["login"]},
         'field "label" is a list, expected one value as in other rows: several labels of one case '
         "are the task multilabel, for which every row has a list"),
        ({"text": "x", "label": {"a": 1}},
         'field "label" is an object (of "a"), expected one value'),
        ('{"text": "x", "label": NaN}', 'field "label" is not a number, expected one value'),
        ({"text": 42, "label": "login"}, 'field "text" is a number ("42"), expected text'),
        ({"text": "x", "label": 0.5},
         'label "0.5" is a number with a fraction, expected a class'),
        ({"text": ["x"], "label": "login"}, 'field "text" is a list, expected text'),
        ({"text": None, "label": "login"}, 'field "text" is null'),
        ({"text": "  ", "label": "login"}, 'field "text" is empty'),
    ],
)  # fmt: skip
def test_a_faulty_line(tmp_path: Path, row: object, fault: str) -> None:
    path = write(tmp_path, "test.jsonl", lines(*GOOD, row))
    assert message(path) == (
        "test.jsonl: 1 of 11 lines cannot be read.\n"
        f"    line 11: {fault}\n"
        "Mend the lines; --skip-bad-rows goes on without them."
    )
    found = read(path, skip_bad_rows=True)
    assert len(found.cases) == 10
    assert found.skipped == (f"line 11: {fault}",)
    assert "1 of 11 lines skipped: they cannot be read." in found.notes


def test_missing_field_and_unknown_label_together(tmp_path: Path) -> None:
    rows = [*GOOD, {"text": "x", "intent": "login"}, {"text": "y", "label": "refnd"}]
    path = write(tmp_path, "test.jsonl", lines(*rows))
    assert message(path, labels=["refund", "login"]) == (
        "test.jsonl: 2 of 12 lines cannot be read.\n"
        '    line 11: no field "label" (found "text", "intent")\n'
        '    line 12: label "refnd" is not one of the 2 labels (did you mean "refund"?)\n'
        "Give --reference intent, or mend the lines; --skip-bad-rows goes on without them."
    )


def test_ten_faults_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "test.jsonl", lines(*GOOD * 3, *[{"text": "x"}] * 12))
    text = message(path)
    assert text.startswith("test.jsonl: 12 of 42 lines cannot be read.\n    line 31: no field")
    assert "line 40:" in text
    assert "line 41:" not in text
    assert "    ... and 2 more\n" in text


def test_duplicate_ids(tmp_path: Path) -> None:
    rows = [{"id": f"a{n % 9}", **row} for n, row in enumerate(GOOD)]
    path = write(tmp_path, "test.jsonl", lines(*rows))
    assert message(path) == (
        "test.jsonl: 1 of 10 lines cannot be read.\n"
        '    line 10: id "a0" was already used in line 1\n'
        "Mend the lines; --skip-bad-rows goes on without them.\n"
        "Ids that may repeat: --allow-duplicate-ids."
    )
    assert len(read(path, allow_duplicate_ids=True).cases) == 10


@pytest.mark.parametrize("answer", ["5", 5, -1, "E", "none", True])
def test_an_answer_that_is_no_choice(answer: object) -> None:
    rows = [{"question": "q", "choices": ["a", "b", "c", "d"], "answer": answer}]
    assert f'row 1: answer "{answer}" is none of the 4 choices' in message(rows)


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ([{"role": "user", "content": "q"}],
         'the last turn is of "user", expected the assistant\'s answer'),
        ([{"role": "assistant", "content": "a"}],
         "no turn of the user before the assistant's answer"),
        ("hello", 'field "messages" is text, expected a list of turns'),
        ([], 'field "messages" is a list, expected a list of turns'),
        (["hello"], 'turn 1 of "messages" is text, expected an object'),
        ([{"content": "q"}], 'turn 1 of "messages" has no "role" (found "content")'),
        ([{"role": "user"}], 'turn 1 of "messages" has no "content" (found "role")'),
        (
            [{"role": "user", "content": "q"},
             {"role": "assistant", "content": None, "tool_calls": [{"arguments": {}}]}],
            """the assistant's answer calls a tool without a name (with "{}")""",
        ),
        (
            [{"role": "user", "content": "q"},
             {"role": "assistant", "content": None,
              "tool_calls": [{"function": {"name": "look", "arguments": "up"}}]}],
            'the assistant\'s answer calls "look", and its arguments are text ("up"), expected an object',
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": "look"}],
            'turn 1 of "messages": "tool_calls" is text, expected a list of objects',
        ),
        ([{"role": "user", "content": [{"type": "image"}]}],
         'turn 1 of "messages" holds something other than text'),
    ],
)  # fmt: skip
def test_faulty_chats(turns: object, fault: str) -> None:
    assert f"row 1: {fault}\n" in message([{"messages": turns}])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.jsonl", "", "t.jsonl is empty: it holds no case.\nGive a file with cases."),
        ("t.jsonl", " \n\n", "t.jsonl is empty: it holds no case.\nGive a file with cases."),
        ("t.json", "[]", "t.json is empty: it holds no case.\nGive a file with cases."),
        ("t.csv", "text,label\n", "t.csv is empty: it holds no case.\nGive a file with cases."),
        ("t.jsonl", "\ufeff", "t.jsonl is empty: it holds no case.\nGive a file with cases."),
        ("t.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n',
         "t.jsonl, line 2: not UTF-8 (byte 0xe9 at offset 27).\n"
         "Convert the file, for instance: iconv -f WINDOWS-1252 -t UTF-8 t.jsonl"),
        ("t.json", b'[{"text": "a"},\n{"text": "caf\xe9"}]',
         "t.json, line 2: not UTF-8 (byte 0xe9 at offset 29).\n"
         "Convert the file, for instance: iconv -f WINDOWS-1252 -t UTF-8 t.json"),
        ("t.csv", b"\xef\xbb\xbftext,label\ncaf\xe9,a\n",
         "t.csv, line 2: not UTF-8 (byte 0xe9 at offset 17).\n"
         "Convert the file, for instance: iconv -f WINDOWS-1252 -t UTF-8 t.csv"),
        ("t.jsonl", '{"text": "a"}'.encode("utf-16"),
         "t.jsonl: the text is UTF-16, not UTF-8.\nConvert it: iconv -f UTF-16 -t UTF-8 t.jsonl"),
        ("t.jsonl.gz", b"plain",
         "t.jsonl.gz: not a whole gzip file (Not a gzipped file (b'pl')).\n"
         "Copy it again, or take .gz off its name if it is not compressed."),
        ("t.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99)[:-20],
         "t.jsonl.gz: not a whole gzip file (Compressed file ended before the end-of-stream marker "
         "was reached).\nCopy it again, or take .gz off its name if it is not compressed."),
        ("t.json", '[{"text": "a"},\n {"text": }]',
         "t.json, line 2: malformed JSON: expecting value (column 11)."),
        ("t.json", '[{"text": "a"}\n {"text": "b"}]',
         't.json, line 2: malformed JSON: expecting "," or "]" after an element.'),
        ("t.json", '[{"text": "a"}', 't.json, line 1: malformed JSON: expecting "," or "]" after '
         "an element."),
        ("t.json", '[{"text": "a"}] x', 't.json: text after the end of the array ("x").'),
        ("t.json", '{"text": "a",\n "label"}',
         "t.json, line 2: malformed JSON: expecting ':' delimiter (column 9)."),
        ("t.json", '"text"', "t.json: holds text, not a list of objects."),
        ("t.json", '{"data": [{"paragraphs": [{"context": "c"}]}]}',
         "t.json: looks like nested SQuAD (data, paragraphs, qas), but lacks 'qas'."),
        ("t.csv", "text,label,text\na,b,c\n",
         't.csv, line 1: "text" names more than one column.\nRename one of them in the header.'),
        ("t.parquet", b"PAR1", "t.parquet: not a Parquet file ("),
        ("t.doc", "a", "t.doc: its ending names no format that can be read.\n"
         "Known are .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .txt, and .gz of each."),
        ("test", "a", "test: its ending names no format that can be read.\n"
         "Known are .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .txt, and .gz of each."),
        ("t.jsonl", "no JSON\n",
         "t.jsonl: 1 of 1 lines cannot be read.\n"
         "    line 1: malformed JSON: expecting value (column 1)\nMend the lines."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read(
    tmp_path: Path, name: str, content: str | bytes, expected: str
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        assert message(write(tmp_path, name, content)).startswith(expected)
    else:
        assert message(write(tmp_path, name, content)) == expected


def test_csv_faults_carry_the_line_on_which_the_record_starts(tmp_path: Path) -> None:
    text = 'text,label\n"two\nlines",a\none,b,c\nx,a\n\nlonely\n"open,a\n'
    assert message(write(tmp_path, "t.csv", text)) == (
        "t.csv: 3 of 5 lines cannot be read.\n"
        '    line 4: 3 fields, the header has 2 (a text that holds "," needs quotation marks)\n'
        "    line 7: 1 fields, the header has 2\n"
        "    line 8: malformed CSV: unexpected end of data\n"
        "Mend the lines; --skip-bad-rows goes on without them."
    )


def test_an_endless_line_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_LINE_BYTES", 2**20)
    path = write(tmp_path, "t.jsonl", b'{"text": "a"}\n"' + b"x" * 2**21)
    assert message(path) == (
        "t.jsonl, line 2: longer than 1 MiB.\n"
        "Is it one object per line? An array belongs in a file that ends in .json."
    )


def test_a_path_with_a_slip(tmp_path: Path) -> None:
    write(tmp_path, "test.jsonl", lines(*GOOD))
    slip = tmp_path / "tset.jsonl"
    text = f'there is no file "{slip}" (did you mean "{tmp_path / "test.jsonl"}"?).'
    assert message(slip) == text
    assert message(str(slip)) == text
    other = tmp_path / "quite-another.csv"
    assert message(other) == f'there is no file "{other}". Data files there: "test.jsonl".'
    far = tmp_path / "no" / "test.jsonl"
    assert message(far) == (
        f'there is no file "{far}": its directory "{tmp_path / "no"}" does not exist.'
    )


@pytest.mark.parametrize("name", ["imdb", "glue:sst2"])
def test_a_bare_name_may_be_meant_for_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message(name) == (
        f'there is no file "{name}".\n'
        f"A data set of the hub is named with its owner (--data OWNER/{name}, with a configuration "
        f"OWNER/{name.partition(':')[0]}:NAME, and --split); it needs pip install 'tuneval[hub]'."
    )


def test_a_directory(tmp_path: Path) -> None:
    assert message(tmp_path) == (
        f'"{tmp_path}" is a directory. Give a file; this one holds no data file.'
    )
    write(tmp_path, "test.jsonl", "")
    write(tmp_path, "notes.txt", "")
    write(tmp_path, "dev.csv.gz", b"")
    assert message(tmp_path) == (
        f'"{tmp_path}" is a directory. Give one of its files: "dev.csv.gz", "test.jsonl".'
    )


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is neither a file nor a directory." in message(tmp_path / "pipe.jsonl")


@pytest.mark.parametrize("source", [42, {"text": ["a"]}, b"raw", None])
def test_a_source_of_another_kind(source: object) -> None:
    assert "Give a path, a list of dictionaries, or a datasets.Dataset." in message(source)


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (
            [{"text": f"t{n}", "label": n % 8, "output": f"o{n}"} for n in range(40)],
            {},
            'rows fits two tasks: "label" as class (8 values) or "output" as text.\n'
            "Say --task classify or --task generate.",
        ),
        (
            [{"instruction": "i", "input": "t", "category": "x", "output": "o"}],
            {},
            'rows fits two tasks: "output" as text or "category" as class (1 values).\n'
            "Say --task generate or --task classify.",
        ),
        (
            [{"prompt": "p", "completion": "c", "messages": []}],
            {},
            'rows fits two layouts: "messages" as text or "completion" as text.\n'
            "Say --reference messages or --reference completion.",
        ),
        (
            [{"text": f"t{n}", "label": n % 2, "intent": n % 3} for n in range(6)],
            {},
            'rows: the label may be "label" (2 values) or "intent" (3 values).\n'
            "Say --reference label or --reference intent.",
        ),
        (
            [{"text": "t", "sentence": "s", "label": "x"}],
            {},
            'rows: "text" may be column "text" or "sentence".\n'
            "Say --input text or --input sentence.",
        ),
        (
            [{"text": f"t{n}", "tone": n % 3} for n in range(9)],
            {},
            'rows: no column bears a known name for a reference; "tone" (3 values) may be one.\n'
            'Say --reference tone, or --task language_model for the perplexity of "text" alone.',
        ),
        (
            [{"text": f"t{n}", "label": f"{n} " + "essay " * 20} for n in range(9)],
            {},
            'rows fits two tasks: "label" as class (9 values in 9 cases) or as text.\n'
            "Say --task classify or --task generate.",
        ),
        (
            [{"instruction": "i", "outptu": "o"}],
            {},
            'rows: its columns "instruction", "outptu" are no layout that is known.\n'
            'The nearest is instruction, which needs "instruction", "output".\n'
            "Name the columns: --input COLUMN --reference COLUMN.\n"
            "To compare what is answered to prompts alone, name a judge: --judge MODEL.",
        ),
        (
            [{"a": "i", "b": "o"}],
            {"columns": {"reference": "b"}},
            'rows: its columns "a", "b" are no layout that is known.\n'
            "Name the input, too: --input COLUMN.",
        ),
        (
            GOOD,
            {"columns": {"reference": "lable"}},
            'rows, columns: there is no "lable" (did you mean "label"?).',
        ),
        (
            GOOD,
            {"groups": ["writer"]},
            'rows, columns: there is no "writer" (known: text, label).',
        ),
        (
            [{"text": "t"}],
            {"task": "classify"},
            'rows: task "classify" cannot be asked of text (columns "text").\n'
            'It needs columns such as "text", "label".',
        ),
        (
            [{"text": "t", "label": -1}] * 3,
            {},
            'rows: every label is "-1", as in test splits whose labels are kept back.\n'
            "Use a split with labels, for instance --split validation.",
        ),
    ],
)
def test_two_readings_or_none(
    rows: list[dict[str, Any]], options: dict[str, Any], expected: str
) -> None:
    assert message(rows, **options) == expected


def test_an_unknown_standard_key() -> None:
    with pytest.raises(ConfigError, match='columns: there is no "refrence"'):
        read(GOOD, columns={"refrence": "label"})


def test_labels_as_one_text() -> None:
    with pytest.raises(ConfigError, match='labels "refund,login" is one text; give a list'):
        read(GOOD, labels="refund,login")


def test_a_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "t.jsonl", lines(*GOOD))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message(path) == "t.jsonl cannot be opened (Permission denied)."


def test_what_a_remedy_proposes_works() -> None:
    rows = [{"text": f"t{n}", "label": f"l{n % 8}", "output": f"o{n}"} for n in range(40)]
    assert read(rows, task="classify").cases[0].references == ("l0",)
    assert read(rows, task="generate").cases[0].references == ("o0",)
    assert read(rows, columns={"reference": "output"}).layout == "text and output"
    tones = [{"text": f"t{n}", "tone": n % 3} for n in range(9)]
    assert read(tones, task="language_model").layout == "text"
    assert read(tones, columns={"reference": "tone"}).task == "classify"


def test_control_characters_are_shown_escaped() -> None:
    text = message([*GOOD, {"text": "x", "label": "\x1b[31mred"}], labels=["refund", "login"])
    assert "\x1b" not in text
    assert r'label "\x1b[31mred" is not one of the 2 labels' in text


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    text = message(write(tmp_path, "t.parquet", b""))
    assert text == "t.parquet needs pyarrow: pip install 'tuneval[parquet]'"
