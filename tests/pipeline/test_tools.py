"""Conversations that end in calls, asked of models with chat templates: what is read, what is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_models import build_adapter, build_model
from tool_templates import FIND, HERMES, LLAMA
from tuneval.api.calls import compare
from tuneval.errors import VariantError
from tuneval.types import RunResult


def row(n: int) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "find", "arguments": json.dumps({"gate": n})}}
    turns = [
        {"role": "user", "content": f"Where is gate {n}?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    return {"messages": turns, "tools": [FIND]}


def run(tmp_path: Path, template: str | None, **more: Any) -> RunResult:
    base = build_model(tmp_path / "base", chat=True, max_position_embeddings=700)
    if template is not None:
        (base / "chat_template.jinja").write_text(template, encoding="utf-8")
    data = tmp_path / "test.jsonl"
    data.write_text("".join(json.dumps(row(n)) + "\n" for n in range(12)), encoding="utf-8")
    return compare(
        str(base),
        adapters=[str(build_adapter(tmp_path / "lora", base))],
        data=[str(data)],
        backend={"device": "cpu"},
        output={"dir": str(tmp_path / "runs")},
        statistics={"resamples": 200},
        **{"cases": {"options": {"max_tokens": 4}}, **more},
    )


@pytest.mark.parametrize(
    ("template", "shown"),
    [(HERMES, f"<tools>\n{json.dumps(FIND)}\n</tools>"), (LLAMA, json.dumps(FIND, indent=4))],
    ids=["Hermes", "Llama"],
)
def test_every_variant_reads_the_tools_where_its_template_shows_them(
    tmp_path: Path, template: str, shown: str
) -> None:
    result = run(tmp_path, template)
    (cases,) = result.case_sets
    assert (cases.task, result.primary_metrics[cases.name]) == ("tool_call", "tool_call_accuracy")
    assert len(result.prompts) == 12
    assert all(one.text.count(shown) == 1 for one in result.prompts)
    assert {one.metric for one in result.scores} >= {"tool_call_accuracy", "tool_name_accuracy"}


def test_a_template_without_tools_says_what_to_do_and_that_works(tmp_path: Path) -> None:
    with pytest.raises(VariantError, match=r"\{tools: text\}\} in run\.yaml"):
        run(tmp_path, None)
    result = run(tmp_path, None, task_options={"tool_call": {"tools": "text"}})
    assert all(f"Tools: {json.dumps([FIND])}" in one.text for one in result.prompts)
