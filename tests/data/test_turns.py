"""Conversations whose every answer is a case, and those that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneval.errors import ConfigError
from tuneval.plan.resolve import read_cases
from tuneval.plan.spec import CasesSpec


def _chat(*turns: tuple[str, str]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


CHATS = [
    _chat(("system", "Be kind."), ("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")),
    _chat(("user", "v1"), ("assistant", "b1")),
    _chat(("assistant", "Hello!"), ("user", "w1"), ("assistant", "c1")),
]  # fmt: skip


def _read(tmp_path: Path, rows: list[dict[str, object]], turns: str):
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_cases(CasesSpec(file=str(path), turns=turns))


def test_every_answer_is_a_case_of_its_conversation(tmp_path: Path) -> None:
    found = _read(tmp_path, CHATS, "all")
    assert [
        (c.id, c.cluster, [m.content for m in c.inputs["messages"]], c.references)
        for c in found.cases
    ] == [
        ("chat.jsonl:1.3", "chat.jsonl:1", ["Be kind.", "u1"], ("a1",)),
        ("chat.jsonl:1", "chat.jsonl:1", ["Be kind.", "u1", "a1", "u2"], ("a2",)),
        ("chat.jsonl:2", "chat.jsonl:2", ["v1"], ("b1",)),
        ("chat.jsonl:3", "chat.jsonl:3", ["Hello!", "w1"], ("c1",)),
    ]
    assert "4 of 3 conversations" in found.notes[-1]


def test_the_last_alone_as_ever(tmp_path: Path) -> None:
    found = _read(tmp_path, CHATS, "last")
    assert [c.references for c in found.cases] == [("a2",), ("b1",), ("c1",)]
    assert {c.cluster for c in found.cases} == {None}


def test_calls_and_words_of_one_conversation(tmp_path: Path) -> None:
    """With calls as the task, words mean that no tool is to be called; among words, a call is no answer."""
    call = {"function": {"name": "find", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "content": "yard 3"},
        {"role": "assistant", "content": "In yard 3."},
    ]
    calling = _read(tmp_path, [{"messages": turns[:2]}, {"messages": turns[:2]}], "all")
    assert [c.references for c in calling.cases] == [('[{"name": "find", "arguments": {}}]',)] * 2
    path = tmp_path / "words.jsonl"
    path.write_text((json.dumps({"messages": turns}) + "\n") * 2, encoding="utf-8")
    for task, expected in (
        ("tool_call", ['[{"name": "find", "arguments": {}}]', "[]"] * 2),
        ("generate", ["In yard 3."] * 2),
    ):
        found = read_cases(CasesSpec(file=str(path), turns="all", task=task))
        assert [c.references[0] for c in found.cases] == expected


def test_only_conversations(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"t{n}", "label": "ab"[n % 2]} for n in range(8)]
    with pytest.raises(ConfigError, match='"turns: all" is for conversations'):
        _read(tmp_path, rows, "all")
