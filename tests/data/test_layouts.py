"""Usual shapes of files, each read as it is meant or asked about; none guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tuneval.data.read import read, read_beside
from tuneval.errors import DataError
from tuneval.tasks import build
from tuneval.types import CaseSet, Message

Row = dict[str, Any]
N = 24
COLOURS = ("amber", "teal", "plum", "ochre")
MULTI = "Write the answers as letters; A is the first choice."


def q(n: int) -> str:
    return f"Which colour has gate {n}?"


def p(n: int) -> str:
    return f"Gate {n} was painted {COLOURS[n % 4]} by the keeper."


def a(n: int) -> str:
    return f"It is {COLOURS[n % 4]} since day {n}."


def long(n: int) -> str:
    return " ".join(f"Door {k} of house {n} leads to yard {k * n}." for k in range(9))


def kind(n: int) -> str:
    return ("calm", "cross")[n % 2]


FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def called(n: int, *before: Row) -> list[Row]:
    """Turns that end in a call, its arguments as text, as servers take them."""
    call = {"type": "function", "function": {"name": "find", "arguments": json.dumps({"gate": n})}}
    return [*before, {"role": "assistant", "content": None, "tool_calls": [call]}]


def choices(n: int) -> list[str]:
    return list(COLOURS)


Make = Callable[[int], Row]
READ: dict[str, tuple[Make, str, str, dict[str, str]]] = {
    # name: (row, layout, task, standard key -> column)
    "input, output": (
        lambda n: {"input": q(n), "output": a(n)},
        "text and output", "generate", {"input": "input", "reference": "output"},
    ),
    "input, target": (
        lambda n: {"input": q(n), "target": a(n)},
        "text and output", "generate", {"input": "input", "reference": "target"},
    ),
    "input, expected_output": (
        lambda n: {"Input": q(n), "Expected Output": a(n)},
        "text and output", "generate", {"input": "Input", "reference": "Expected Output"},
    ),
    "query, reference": (
        lambda n: {"query": q(n), "reference": a(n)},
        "question and answer", "generate", {"input": "query", "reference": "reference"},
    ),
    "query, few references": (
        lambda n: {"query": q(n), "reference": COLOURS[n % 4]},
        "question and answer", "generate", {"input": "query", "reference": "reference"},
    ),
    "question, gold": (
        lambda n: {"question": q(n), "gold": a(n)},
        "question and answer", "generate", {"input": "question", "reference": "gold"},
    ),
    "question, ideal": (
        lambda n: {"question": q(n), "ideal": a(n)},
        "question and answer", "generate", {"input": "question", "reference": "ideal"},
    ),
    "question, ground_truth": (
        lambda n: {"question": q(n), "groundTruth": a(n)},
        "question and answer", "generate", {"input": "question", "reference": "groundTruth"},
    ),
    "question, several references": (
        lambda n: {"question": q(n), "references": [a(n), COLOURS[n % 4]]},
        "question and answer", "generate", {"input": "question", "reference": "references"},
    ),
    "uneven references": (
        lambda n: {"input": q(n), "reference": [a(n)] * (n % 3 + 1)},
        "text and output", "generate", {"input": "input", "reference": "reference"},
    ),
    "problem, solution": (
        lambda n: {"problem": q(n), "solution": a(n)},
        "question and answer", "generate", {"input": "problem", "reference": "solution"},
    ),
    "text, summary": (
        lambda n: {"text": p(n), "summary": a(n)},
        "summary", "generate", {"input": "text", "reference": "summary"},
    ),
    "dialogue, summary": (
        lambda n: {"dialogue": p(n), "summary": a(n), "id": n},
        "summary", "generate", {"input": "dialogue", "reference": "summary"},
    ),
    "article, highlights": (
        lambda n: {"article": p(n), "highlights": a(n)},
        "summary", "generate", {"input": "article", "reference": "highlights"},
    ),
    "source, target": (
        lambda n: {"source": p(n), "target": f"Tor {n}"},
        "text and output", "generate", {"input": "source", "reference": "target"},
    ),
    "text, translation": (
        lambda n: {"text": p(n), "translation": f"Tor {n}"},
        "text and output", "generate", {"input": "text", "reference": "translation"},
    ),
    "prompt, completion": (
        lambda n: {"prompt": q(n), "completion": a(n)},
        "prompt and completion", "generate", {"input": "prompt", "reference": "completion"},
    ),
    "prompt, system, completion": (
        lambda n: {"prompt": q(n), "system": "Be brief.", "completion": a(n)},
        "prompt and completion", "generate",
        {"input": "prompt", "system": "system", "reference": "completion"},
    ),
    "prompt, reference": (
        lambda n: {"prompt": q(n), "reference": a(n)},
        "text and output", "generate", {"input": "prompt", "reference": "reference"},
    ),
    "prompt, label": (
        lambda n: {"prompt": q(n), "label": kind(n)},
        "labelled text", "classify", {"input": "prompt", "reference": "label"},
    ),
    "instruction, input, system, output": (
        lambda n: {"system": "Be brief.", "instruction": "Say it.", "input": p(n), "output": a(n)},
        "instruction", "generate",
        {"system": "system", "input": "instruction", "reference": "output"},
    ),
    "instruction, history, output": (
        lambda n: {"instruction": q(n), "output": a(n), "history": [["Hi", "Hello"]]},
        "instruction", "generate",
        {"input": "instruction", "history": "history", "reference": "output"},
    ),
    "instruction, context, response": (
        lambda n: {"instruction": q(n), "context": p(n), "response": a(n)},
        "instruction", "generate", {"input": "instruction", "reference": "response"},
    ),
    "passage, question, truth": (
        lambda n: {"question": q(n), "passage": p(n), "answer": n % 3 == 0},
        "question and answer", "classify",
        {"context": "passage", "input": "question", "reference": "answer"},
    ),
    "Context, Question, Answer": (
        lambda n: {" Context ": p(n), "Question": q(n), "Answer": a(n)},
        "question and answer", "generate",
        {"context": " Context ", "input": "Question", "reference": "Answer"},
    ),
    "story, question, answers": (
        lambda n: {"story": p(n), "question": q(n), "answers": {"text": [a(n)]}},
        "squad", "generate", {"context": "story", "input": "question", "reference": "answers"},
    ),
    "text, question, answer": (
        lambda n: {"text": p(n), "question": q(n), "answer": a(n)},
        "question and answer", "generate",
        {"context": "text", "input": "question", "reference": "answer"},
    ),
    "contexts, query, ground_truth": (
        lambda n: {"contexts": [p(n), p(n + 1)], "query": q(n), "ground_truth": a(n)},
        "question and answer", "generate",
        {"context": "contexts", "input": "query", "reference": "ground_truth"},
    ),
    "background, question, label": (
        lambda n: {"background": p(n), "question": q(n), "label": kind(n)},
        "labelled text", "classify",
        {"context": "background", "input": "question", "reference": "label"},
    ),
    "premise, hypothesis, label": (
        lambda n: {"premise": p(n), "hypothesis": a(n), "label": n % 3},
        "pair of texts", "classify",
        {"context": "premise", "input": "hypothesis", "reference": "label"},
    ),
    "sentence1, sentence2, label": (
        lambda n: {"Sentence 1": p(n), "Sentence 2": a(n), "Label": kind(n)},
        "pair of texts", "classify",
        {"context": "Sentence 1", "input": "Sentence 2", "reference": "Label"},
    ),
    "question, sentence, label": (
        lambda n: {"question": q(n), "sentence": p(n), "label": n % 2, "idx": n},
        "pair of texts", "classify",
        {"context": "question", "input": "sentence", "reference": "label"},
    ),
    "question1, question2, label": (
        lambda n: {"question1": q(n), "question2": q(n + 1), "is_duplicate": n % 2,
                   "label": n % 2},
        "pair of texts", "classify",
        {"context": "question1", "input": "question2", "reference": "label"},
    ),
    "question, A to D": (
        lambda n: {"question": q(n), **dict(zip("ABCD", COLOURS, strict=True)),
                   "answer": "ABCD"[n % 4]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "question, A to E, one missing": (
        lambda n: {"question": q(n), **dict(zip("abcde", (*COLOURS, "none" * (n % 2)),
                   strict=True)), "answer": COLOURS[n % 4]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "question, opt1 to opt4": (
        lambda n: {"question": q(n), **{f"opt{k + 1}": c for k, c in enumerate(COLOURS)},
                   "answer": n % 4 + 1},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "question, option_a to option_d, number": (
        lambda n: {"question": q(n), **{f"option_{'abcd'[k]}": c for k, c in enumerate(COLOURS)},
                   "correct_answer": n % 4},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "correct_answer"},
    ),
    "choices, number from 0": (
        lambda n: {"question": q(n), "choices": choices(n), "answer": n % 4},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "choices, number from 1 as text": (
        lambda n: {"question": q(n), "options": choices(n), "answer": str(n % 4 + 1)},
        "multiple choice", "multiple_choice",
        {"choices": "options", "input": "question", "reference": "answer"},
    ),
    "choices with names, answerKey": (
        lambda n: {"question": q(n), "choices": {"text": choices(n), "label": list("ABCD")},
                   "answerKey": "ABCD"[n % 4]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answerKey"},
    ),
    "choices as objects": (
        lambda n: {"question": q(n), "answerKey": str(n % 4 + 1),
                   "choices": [{"label": str(k + 1), "text": c} for k, c in enumerate(COLOURS)]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answerKey"},
    ),
    "choices by letter, answer and answer_idx": (
        lambda n: {"question": q(n), "options": dict(zip("ABCD", COLOURS, strict=True)),
                   "answer": COLOURS[n % 4], "answer_idx": "ABCD"[n % 4]},
        "multiple choice", "multiple_choice",
        {"choices": "options", "input": "question", "reference": "answer"},
    ),
    "choices with prefixes": (
        lambda n: {"question": q(n), "answer": "ABCD"[n % 4],
                   "choices": [f"{'ABCD'[k]}) {c}" for k, c in enumerate(COLOURS)]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "choices with prefixes, whole answer": (
        lambda n: {"question": q(n), "answer": f"({'ABCD'[n % 4]}) {COLOURS[n % 4]}",
                   "choices": [f"({'ABCD'[k]}) {c}" for k, c in enumerate(COLOURS)]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "choices with tight prefixes": (
        lambda n: {
            "question": q(n),
            "correct": "ABCD"[n % 4],
            "options": [f"{'ABCD'[k]}){c}" for k, c in enumerate(COLOURS)],
        },
        "multiple choice",
        "multiple_choice",
        {"choices": "options", "input": "question", "reference": "correct"},
    ),
    "choices in lines": (
        lambda n: {
            "question": q(n),
            "answer": "ABCD"[n % 4],
            "choices": "\n".join(f"{'ABCD'[k]}. {c}" for k, c in enumerate(COLOURS)),
        },
        "multiple choice",
        "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "choices as a list in a table's cell": (
        lambda n: {"question": q(n), "choices": f"{choices(n)}\n", "answer": str(n % 4)},
        "multiple choice",
        "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "choices, letter and text": (
        lambda n: {
            "question": q(n),
            "choices": json.dumps(choices(n)),
            "answer": f"{'ABCD'[n % 4]}. {COLOURS[n % 4]}",
        },
        "multiple choice",
        "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "system, user, assistant": (
        lambda n: {"system": "Be brief.", "user": q(n), "assistant": a(n)},
        "text and output",
        "generate",
        {"input": "user", "system": "system", "reference": "assistant"},
    ),
    "article, question, options": (
        lambda n: {"article": p(n), "question": q(n), "options": choices(n),
                   "answer": "ABCD"[n % 4]},
        "multiple choice", "multiple_choice",
        {"choices": "options", "context": "article", "input": "question", "reference": "answer"},
    ),
    "goal, sol1, sol2": (
        lambda n: {"goal": q(n), "sol1": "turn", "sol2": "push", "label": n % 2},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "goal", "reference": "label"},
    ),
    "a chat and its first question": (
        lambda n: {"prompt": q(n), "messages": [{"role": "user", "content": q(n)},
                                                {"role": "assistant", "content": a(n)}]},
        "messages", "generate", {"input": "messages", "reference": "messages"},
    ),
    "an instruction and its rendering": (
        lambda n: {"instruction": q(n), "output": a(n), "text": f"### Ask\n{q(n)}\n### Say\n{a(n)}"},
        "instruction", "generate", {"input": "instruction", "reference": "output"},
    ),
    "text alone, with its origin": (
        lambda n: {"text": p(n), "url": f"https://example.org/{n}", "timestamp": f"2026-01-{n:02}"},
        "text", "language_model", {"input": "text"},
    ),
    "question, options, answer, category": (
        lambda n: {
            "question": q(n),
            "options": choices(n),
            "answer": "ABCD"[n % 4],
            "answer_index": n % 4,
            "category": kind(n),
        },
        "multiple choice",
        "multiple_choice",
        {"choices": "options", "input": "question", "reference": "answer"},
    ),
    "question, an answer and its aliases": (
        lambda n: {"question": q(n), "answer": {"value": a(n), "aliases": [a(n), "amber"]}},
        "question and answer",
        "generate",
        {"input": "question", "reference": "answer"},
    ),
    "text, label, number of a title": (
        lambda n: {"text": p(n), "label": kind(n), "title": f"Gate{n}"},
        "labelled text",
        "classify",
        {"input": "text", "reference": "label"},
    ),
    "question, JSON as answer": (
        lambda n: {"question": q(n), "answer": f'{{"colour": "{COLOURS[n % 2]}"}}'},
        "question and answer", "generate", {"input": "question", "reference": "answer"},
    ),
    "text, code, test_list": (
        lambda n: {"task_id": n, "text": q(n), "code": "x = 1", "test_list": ["assert x == 1"]},
        "program in words",
        "complete_code",
        {"input": "text", "reference": "test_list"},
    ),
    "prompt, test, class": (
        lambda n: {"prompt": q(n), "test": f"assert {n}", "class": kind(n)},
        "program",
        "complete_code",
        {"input": "prompt", "reference": "test"},
    ),
    "one answer under two names": (
        lambda n: {"instruction": q(n), "output": a(n), "target": a(n)},
        "instruction", "generate", {"input": "instruction", "reference": "output"},
    ),
    "one class under two names": (
        lambda n: {"text": p(n), "label": kind(n), "answer": kind(n)},
        "labelled text", "classify", {"input": "text", "reference": "label"},
    ),
    "a question and why its answer is right": (
        lambda n: {"question": q(n), "answer": COLOURS[n % 4], "rationale": long(n)},
        "question and answer", "classify", {"input": "question", "reference": "answer"},
    ),
    "a chat and what it was made from": (
        lambda n: {"messages": [{"role": "user", "content": q(n)},
                                {"role": "assistant", "content": a(n)}], "page_source": long(n)},
        "messages", "generate", {"input": "messages", "reference": "messages"},
    ),
    "question, choices, answer as a list of one": (
        lambda n: {"question": q(n), "choices": choices(n), "answer": ["ABCD"[n % 4]]},
        "multiple choice", "multiple_choice",
        {"choices": "choices", "input": "question", "reference": "answer"},
    ),
    "a chat and its tools": (
        lambda n: {"messages": [{"role": "user", "content": q(n)},
                                {"role": "assistant", "content": a(n)}],
                   "tools": [{"name": "find", "parameters": {"type": "object"}}]},
        "messages", "generate", {"input": "messages", "reference": "messages"},
    ),
    "a chat that ends in a call, and its tools": (
        lambda n: {"messages": called(n, {"role": "user", "content": q(n)}), "tools": [FIND],
                   "parallel_tool_calls": False},
        "messages", "tool_call", {"input": "messages", "reference": "messages"},
    ),
    "a chat that ends in the older form of a call": (
        lambda n: {"messages": [{"role": "user", "content": q(n)},
                                {"role": "assistant", "content": None, "function_call": {
                                    "name": "find", "arguments": json.dumps({"gate": n})}}],
                   "functions": [FIND["function"]]},
        "messages", "tool_call", {"input": "messages", "reference": "messages"},
    ),
    "ShareGPT that ends in function_call": (
        lambda n: {"conversations": [{"from": "human", "value": q(n)},
                                     {"from": "function_call", "value": json.dumps(
                                         {"name": "find", "arguments": {"gate": n}})}],
                   "tools": json.dumps([FIND["function"]]), "system": ""},
        "messages", "tool_call", {"input": "conversations", "reference": "conversations"},
    ),
    "ShareGPT that ends after an observation": (
        lambda n: {"conversations": [{"from": "human", "value": q(n)},
                                     {"from": "function_call", "value": json.dumps(
                                         {"name": "find", "arguments": {"gate": n}})},
                                     {"from": "observation", "value": "yard 3"},
                                     {"from": "gpt", "value": a(n)}],
                   "tools": json.dumps([FIND["function"]]) if n % 2 else ""},
        "messages", "generate", {"input": "conversations", "reference": "conversations"},
    ),
    "Hermes, calls and tools among the words": (
        lambda n: {"conversations": [
                       {"from": "system", "value": f"<tools>{json.dumps([FIND])}</tools>"},
                       {"from": "human", "value": q(n)},
                       {"from": "gpt", "value": "<tool_call>\n" + str(
                           {"name": "find", "arguments": {"gate": n}}) + "\n</tool_call>"}],
                   "tools": json.dumps([FIND]), "category": kind(n)},
        "messages", "tool_call", {"input": "conversations", "reference": "conversations"},
    ),
    "prompt and completion as turns, with tools": (
        lambda n: {"prompt": [{"role": "user", "content": q(n)}], "completion": called(n),
                   "tools": [FIND]},
        "prompt and completion", "tool_call", {"input": "prompt", "reference": "completion"},
    ),
    "tools in the turn of the system": (
        lambda n: {"messages": called(n, {"role": "system", "content": "", "tools": [FIND]},
                                      {"role": "user", "content": q(n)})},
        "messages", "tool_call", {"input": "messages", "reference": "messages"},
    ),
    "text, several labels": (
        lambda n: {"text": p(n), "labels": [COLOURS[n % 4], COLOURS[(n + 1) % 4]][: n % 3]},
        "labelled text", "multilabel", {"input": "text", "reference": "labels"},
    ),
    "text, several labels written as text": (
        lambda n: {"text": p(n), "label": json.dumps([COLOURS[n % 4], "late"])},
        "labelled text", "multilabel", {"input": "text", "reference": "label"},
    ),
    "text, object": (
        lambda n: {"text": p(n), "output": {"gate": n, "colour": COLOURS[n % 4]}},
        "text and output", "extract", {"input": "text", "reference": "output"},
    ),
    "text, JSON, schema": (
        lambda n: {"text": p(n), "output": json.dumps({"gate": n % 2}), "schema": {"type": "object"}},
        "text and output", "extract", {"input": "text", "reference": "output"},
    ),
    "query, tools, answers": (
        lambda n: {"query": q(n), "tools": json.dumps([{"name": "find", "parameters": {}}]),
                   "answers": json.dumps([{"name": "find", "arguments": {"gate": n}}])},
        "tool calls", "tool_call",
        {"input": "query", "functions": "tools", "reference": "answers"},
    ),
    "question, functions, possible answers": (
        lambda n: {"id": f"simple_{n}", "category": kind(n), "question": q(n),
                   "functions": [{"name": "find", "parameters": {"properties": {}}}],
                   "possible_answer": {"find": {"gate": [n]}} if n % 5 else None},
        "tool calls", "tool_call",
        {"input": "question", "functions": "functions", "reference": "possible_answer"},
    ),
    "prompt, chosen, rejected": (
        lambda n: {"prompt": q(n), "chosen": a(n), "rejected": "Nobody knows."},
        "preference", "preference", {"input": "prompt", "reference": "chosen"},
    ),
    "chosen and rejected chats": (
        lambda n: {key: [{"role": "user", "content": q(n)}, {"role": "assistant", "content": said}]
                   for key, said in (("chosen", a(n)), ("rejected", "Nobody knows."))},
        "preferred chat", "preference", {"input": "chosen", "reference": "chosen"},
    ),
    "chosen and rejected texts": (
        lambda n: {key: f"\n\nHuman: {q(n)}\n\nAssistant: {said}"
                   for key, said in (("chosen", a(n)), ("rejected", "Nobody knows."))},
        "preferred chat", "preference", {"input": "chosen", "reference": "chosen"},
    ),
    "rows of zeros and ones": (
        lambda n: {"text": p(n), "labels": [float(n % 2), float(n // 2 % 2), float(n % 3 == 0)]},
        "labelled text", "multilabel", {"input": "text", "reference": "labels"},
    ),
    "prompt and whole chats": (
        lambda n: {"prompt": q(n), "prompt_id": str(n),
                   **{key: [{"role": "user", "content": q(n)}, {"role": "assistant", "content": said}]
                      for key, said in (("chosen", a(n)), ("rejected", "Nobody knows."))}},
        "preference", "preference", {"input": "prompt", "reference": "chosen"},
    ),
    "system, question, chosen, rejected": (
        lambda n: {"system": "Be brief.", "question": q(n), "chosen": a(n), "rejected": "No."},
        "preference", "preference", {"input": "question", "reference": "chosen"},
    ),
    "instruction, chosen, rejected": (
        lambda n: {"instruction": q(n), "chosen": a(n), "rejected": "No."},
        "preference", "preference", {"input": "instruction", "reference": "chosen"},
    ),
    "conversations, chosen and rejected turns": (
        lambda n: {"conversations": [{"from": "human", "value": q(n)}],
                   "chosen": {"from": "gpt", "value": a(n)},
                   "rejected": {"from": "gpt", "value": "No."}},
        "preference", "preference", {"input": "conversations", "reference": "chosen"},
    ),
    "question, functions, ground truth of the leaderboard": (
        lambda n: {"question": q(n), "functions": [FIND["function"]],
                   "ground_truth": [{"find": {"gate": [n, str(n)]}}]},
        "tool calls", "tool_call", {"input": "question", "reference": "ground_truth"},
    ),
    "text, JSON, a schema with definitions": (
        lambda n: {"text": p(n), "json_schema": {"$defs": {"G": {"type": "object"}},
                                                 "properties": {"g": {"$ref": "#/$defs/G"}}},
                   "answer": {"g": {"gates": [n, {"colour": "teal"}]}}},
        "text and output", "extract", {"input": "text", "reference": "answer"},
    ),
    "ToolBench": (
        lambda n: {"id": f"Task {n}", "conversations": [
            {"from": "system", "value": "You may act."}, {"from": "user", "value": q(n)},
            {"from": "assistant", "value": "Action: find\nAction Input: {}"},
            {"from": "function", "value": "{}"}, {"from": "assistant", "value": a(n)}]},
        "messages", "generate", {"input": "conversations", "reference": "conversations"},
    ),
    "Label Studio, the small export": (
        lambda n: {"text": p(n), "id": n, "sentiment": kind(n), "annotator": 1, "annotation_id": n,
                   "created_at": "2026-01-01", "updated_at": "2026-01-01", "lead_time": 1.5 * n},
        "labelled text", "classify", {"input": "text", "reference": "sentiment"},
    ),
    "text, JSON as label": (
        lambda n: {"text": q(n), "label": f'{{"colour": "{COLOURS[n % 2]}"}}'},
        "labelled text", "generate", {"input": "text", "reference": "label"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, row in READ.items() if row[2] == "tool_call"])
def test_calls_are_expected_in_one_form(name: str) -> None:
    """Whatever form a file has them in; the tools are at hand, for the template and for the metric."""
    for n, case in enumerate(read([READ[name][0](n) for n in range(N)]).cases):
        assert "find" in str(case.inputs["functions"])
        if "possible" in name:
            continue
        if "leaderboard" in name:
            accepted = [["find", {"gate": [n, str(n)]}]]
            assert json.loads(case.references[0]) == {"accepted": accepted}
        else:
            assert json.loads(case.references[0]) == [{"name": "find", "arguments": {"gate": n}}]


def mixed(n: int) -> Row:
    said = {"role": "assistant", "content": a(n)}
    turns = [{"role": "user", "content": q(n)}]
    return {"messages": [*turns, said] if n % 3 else called(n, *turns), "tools": [FIND]}


def test_conversations_that_end_in_calls_and_in_words_are_asked_about() -> None:
    rows = [mixed(n) for n in range(N)]
    with pytest.raises(DataError, match=f"{N // 3} of {N} conversations end in calls of tools"):
        read(rows)
    found = read(rows, task="tool_call")
    assert [case.references[0] == "[]" for case in found.cases] == [bool(n % 3) for n in range(N)]
    with pytest.raises(DataError, match="calls a tool and says nothing: no text to compare"):
        read(rows, task="generate")
    assert len(read(rows, task="generate", skip_bad_rows=True).cases) == N - N // 3


def shown(found: CaseSet) -> tuple[str, str, dict[str, str]]:
    return found.layout, found.task, dict(found.columns)


@pytest.mark.parametrize("name", READ)
def test_read_as_it_is_meant(name: str) -> None:
    make, layout, task, columns = READ[name]
    found = read([make(n) for n in range(N)])
    named = shown(found)[2]
    assert shown(found)[:2] == (layout, task)
    assert columns.items() <= named.items()


@pytest.mark.parametrize("name", READ)
def test_every_text_of_a_row_is_read_or_named(name: str) -> None:
    make = READ[name][0]
    found = read([make(n) for n in range(N)])
    told = " ".join(found.notes)
    for column, value in make(0).items():
        if isinstance(value, str) and column not in ("id", "_id"):
            assert f'"{column}"' in told or f"+{column}" in told or f"{column}+" in told, column


@pytest.mark.parametrize("name", READ)
def test_naming_what_was_found_finds_it_again(name: str) -> None:
    """As a second run from run.yaml does, and as the training file is read."""
    make = READ[name][0]
    rows = [make(n) for n in range(N)]
    found = read(rows)
    columns = found.columns if set(found.columns) <= {"input", "reference", "id"} else {}
    again = read(rows, columns=columns, task=found.task, labels=found.labels)
    assert [(c.inputs, c.references) for c in again.cases] == [
        (c.inputs, c.references) for c in found.cases
    ]


ASKED: dict[str, tuple[Make, str]] = {
    "text, headline": (
        lambda n: {"text": p(n), "headline": f"Gate {n}"},
        'rows: no column bears a known name for a reference; "headline" (text) may be one.\n'
        'Say --reference headline, or --task language_model for the perplexity of "text" alone.',
    ),
    "text and words of another language": (
        lambda n: {"text": p(n), "de": f"Tor{n}"},
        'rows: no column bears a known name for a reference; "de" (text) may be one.\n'
        'Say --reference de, or --task language_model for the perplexity of "text" alone.',
    ),
    "text and several words": (
        lambda n: {"text": p(n), "keywords": [COLOURS[n % 4], f"gate {n}"]},
        'rows: no column bears a known name for a reference; "keywords" (text) may be one.\n'
        'Say --reference keywords, or --task language_model for the perplexity of "text" alone.',
    ),
    "text and a score": (
        lambda n: {"text": p(n), "score": n / 7},
        'rows: "score" holds numbers; predicting a number is another task '
        '(--task regression --reference score).\nSay --task language_model for the perplexity of "text" alone.',
    ),
    "a pair and a score": (
        lambda n: {"sentence1": p(n), "sentence2": a(n), "label": n / 7},
        'rows: "label" holds numbers with fractions (0.14285714285714285, 0.2857142857142857, '
        "0.42857142857142855); predicting a number is another task (--task regression --reference label).\n"
        "Write classes into the column, or name another with --reference.",
    ),
    "text and its language": (
        lambda n: {"text": p(n), "lang": ("de", "en")[n % 2]},
        'rows: no column bears a known name for a reference; "lang" (2 values) may be one.\n'
        'Say --reference lang, or --task language_model for the perplexity of "text" alone.',
    ),
    "a question alone": (
        lambda n: {"question": q(n)},
        'rows: "question" has no reference beside it (columns "question").\n'
        'Say --reference COLUMN, or --task language_model for the perplexity of "question" alone.\n'
        "To compare what is answered to prompts alone, name a judge: --judge MODEL.",
    ),
    "two references": (
        lambda n: {"question": q(n), "answer": a(n), "solution": p(n)},
        'rows: "answer" may be column "answer" or "solution".\n'
        "Say --reference answer or --reference solution.",
    ),
    "a completion and an answer": (
        lambda n: {"prompt": q(n), "completion": a(n), "answer": COLOURS[n % 4]},
        'rows: the reference may be "completion" or "answer".\n'
        "Say --reference completion or --reference answer.",
    ),
    "two passages": (
        lambda n: {"context": p(n), "document": p(n + 1), "question": q(n), "answer": a(n)},
        'rows: "document" holds text that is not asked about; the question may be "question" alone '
        'or with "document".\nSay --input question to leave it out, or put it into the prompt: '
        "--prompt '{document}\\n\\n{context}\\n\\n{question}\\nAnswer:'.",
    ),
    "two passages of one rank": (
        lambda n: {"passage": p(n), "story": p(n + 1), "query": q(n), "answer": a(n)},
        'rows: "story" holds text that is not asked about; the question may be "query" alone or '
        'with "story".\nSay --input query to leave it out, or put it into the prompt: --prompt '
        "'{story}\\n\\n{passage}\\n\\n{query}\\nAnswer:'.",
    ),
    "two references with blanks in their names": (
        lambda n: {"Question": q(n), "Ground Truth": a(n), "Best Answer": p(n)},
        'rows: "answer" may be column "Ground Truth" or "Best Answer".\n'
        "Say --reference 'Ground Truth' or --reference 'Best Answer'.",
    ),
    "text, label, title": (
        lambda n: {"text": p(n), "label": kind(n), "title": f"About gate {n}"},
        'rows: "title" holds text that is not asked about; the question may be "text" alone or with '
        '"title".\nSay --input text to leave it out, or put it into the prompt: --prompt '
        "'{title}\\n\\n{text}\\nAnswer:'.",
    ),
    "story, several questions": (
        lambda n: {"story": p(n), "questions": [q(n), q(n + 1)], "answers": [a(n), a(n + 1)]},
        'rows: "questions" holds text that is not asked about; the question may be "story" alone or '
        'with "questions".\nSay --input story to leave it out, or put it into the prompt: --prompt '
        "'{questions}\\n\\n{story}\\nAnswer:'.",
    ),
    "a pair and a number": (
        lambda n: {"sentence1": p(n), "sentence2": a(n), "score": n / 7},
        'rows: its columns "sentence1", "sentence2", "score" are no layout that is known. "score" '
        "holds numbers; predicting a number is another task (--task regression --reference score).\n"
        'The nearest is pair of texts, which needs "sentence1", "sentence2", "label".\n'
        "Name the columns: --input COLUMN --reference COLUMN.",
    ),
    "a chat without its answer": (
        lambda n: {"messages": [{"role": "user", "content": q(n)}], "label": kind(n)},
        f"rows: {N} of {N} rows cannot be read.\n"
        + "".join(
            f'    row {n}: the last turn is of "user", expected the assistant\'s answer\n'
            for n in range(1, 11)
        )
        + f"    ... and {N - 10} more\n"
        "Give --reference label, or mend the rows; --skip-bad-rows goes on without them.\n"
        "To compare what is answered to prompts alone, name a judge: --judge MODEL.",
    ),
    "a text beside a prompt": (
        lambda n: {"prompt": "Name it.", "text": p(n), "completion": a(n)},
        'rows: "text" holds text that is not asked about; the question may be "prompt" alone or '
        "with \"text\".\nSay --input prompt to leave it out, or put it into the prompt: --prompt "
        "'{text}\\n\\n{prompt}\\nAnswer:'.",
    ),
    "a class and a text": (
        lambda n: {"text": p(n), "label": kind(n), "response": a(n)},
        'rows fits two tasks: "label" as class (2 values) or "response" as text.\n'
        "Say --task classify or --task generate.",
    ),
    "instruction, context, response, category": (
        lambda n: {"instruction": q(n), "context": p(n), "response": a(n), "category": kind(n)},
        'rows fits two tasks: "response" as text or "category" as class (2 values).\n'
        "Say --task generate or --task classify.",
    ),
    "an instruction and a text": (
        lambda n: {"instruction": "Name it.", "text": p(n), "output": a(n)},
        'rows: "text" holds text that is not asked about; the question may be "instruction" alone '
        'or with "text".\nSay --input instruction to leave it out, or put it into the prompt: '
        "--prompt '{text}\\n\\n{instruction}\\nAnswer:'.",
    ),
    "labels that do not repeat": (
        lambda n: {"text": p(n), "label": f"Tor {n}"},
        f'rows fits two tasks: "label" as class ({N} values in {N} cases) or as text.\n'
        "Say --task classify or --task generate.",
    ),
    "numbers to choose from": (
        lambda n: {"question": q(n), "choices": [1, 2, 3, 4], "answer": 2},
        'rows, row 1: the answer "2" may mean choice 2 ("2") by its text or choice 3 ("3") by its '
        f"number counted from 0; every row can be read both ways.\n{MULTI}",
    ),
    "numbers without first and last": (
        lambda n: {"question": q(n), "choices": choices(n), "answer": 1 + n % 2},
        'rows, row 1: the answer "1" may mean choice 2 ("teal") by its number counted from 0 or '
        f'choice 1 ("amber") by its number counted from 1; every row can be read both ways.\n{MULTI}',
    ),
    "text and a count": (
        lambda n: {"text": p(n), "votes": 10 * n},
        'rows: "votes" holds numbers; predicting a number is another task '
        '(--task regression --reference votes).\nSay --task language_model for the perplexity of "text" alone.',
    ),
    "wrong answers in columns of their own": (
        lambda n: {"question": q(n), "correct_answer": a(n), "distractor1": "at"},
        'rows: "distractor1" holds text that is not asked about; the question may be "question" '
        'alone or with "distractor1".\nSay --input question to leave it out, or put it into the '
        "prompt: --prompt '{distractor1}\\n\\n{question}\\nAnswer:'.",
    ),
    "a question and a long text of an unknown name": (
        lambda n: {"question": q(n), "answer": a(n), "scene": long(n)},
        'rows: "scene" holds text that is not asked about; the question may be "question" alone or '
        "with \"scene\".\nSay --input question to leave it out, or put it into the prompt: --prompt "
        "'{scene}\\n\\n{question}\\nAnswer:'.",
    ),
    "choices and a long text of an unknown name": (
        lambda n: {"question": q(n), "choices": choices(n), "answer": n % 4, "Case File": long(n)},
        'rows: "Case File" holds text that is not asked about; the question may be "question" alone '
        'or with "Case File".\nSay --input question to leave it out, or put it into the prompt: '
        "--prompt '{Case File}\\n\\n{question}\\n{choices}\\nAnswer:'.",
    ),
    "two languages in one object": (
        lambda n: {"translation": {"en": p(n), "de": f"Tor {n}"}},
        'rows: its columns "translation" are no layout that is known.\n"translation" holds objects: '
        "write what stands in them into columns of its own.\n"
        "Name the columns: --input COLUMN --reference COLUMN.",
    ),
    "two languages": (
        lambda n: {"en": p(n), "de": f"Tor {n}"},
        'rows: its columns "en", "de" are no layout that is known.\n'
        "Name the columns: --input COLUMN --reference COLUMN.",
    ),
}  # fmt: skip


def test_a_number_needs_a_column() -> None:
    rows = [{"text": p(n), "score": n / 7} for n in range(N)]
    with pytest.raises(DataError, match="Name the column of what is expected, too: --reference"):
        read(rows, task="regression")


@pytest.mark.parametrize("name", ASKED)
def test_asked_about(name: str) -> None:
    make, message = ASKED[name]
    with pytest.raises(DataError) as caught:
        read([make(n) for n in range(N)])
    assert str(caught.value) == message


def test_a_named_reference_may_be_a_list() -> None:
    rows = [ASKED["text and several words"][0](n) for n in range(N)]
    found = read(rows, columns={"reference": "keywords"})
    assert (found.layout, found.task) == ("text and output", "generate")
    assert found.cases[1].references == ("teal", "gate 1")


def test_nobody_asks_about_groups() -> None:
    rows = [{"text": p(n), "label": kind(n), "title": f"About gate {n}"} for n in range(N)]
    assert read(rows, groups=["title"]).layout == "labelled text"
    rows = [{"text": p(n), "lang": ("de", "en")[n % 2]} for n in range(N)]
    assert read(rows, groups=["lang"]).task == "language_model"


LEFT_OUT = [name for name, (_, message) in ASKED.items() if "to leave it out" in message]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_the_question_proposes_works(name: str) -> None:
    make, message = ASKED[name]
    rows = [make(n) for n in range(N)]
    template = message.partition("--prompt '")[2].removesuffix("'.").replace("\\n", "\n")
    asked = message.partition("--input ")[2].partition(" ")[0]
    without = read(rows, columns={"input": asked})
    assert without.columns["input"] == asked
    with_it = read(rows, template=template)
    assert with_it.columns == without.columns
    task = build(with_it.task, labels=with_it.labels, template=template)
    (*_, turn) = task.ask(with_it.cases[0])[0].prompt
    left = message.partition('"')[2].partition('"')[0]
    value = rows[0][left]
    assert (value if isinstance(value, str) else value[0]) in turn.content  # type: ignore[union-attr]


def test_columns_that_hold_the_same_are_said_to() -> None:
    make, *_ = READ["one answer under two names"]
    notes = read([make(n) for n in range(N)]).notes
    assert '"output", "target" hold the same: "output" is read.' in notes
    assert not any(note.startswith("Not read") for note in notes)


@pytest.mark.parametrize(
    ("answer", "right", "told"),
    [
        ("B", ("1",), "1 row offers a choice twice (first: row 1, \"oak\"), never the right one."),
        ("C", ("2", "0"), "1 row offers a choice twice (first: row 1, \"oak\"); in 1 of them it is "
         "the right one, and each of its doubles counts as right."),
        ("oak", ("0", "2"), "1 row offers a choice twice (first: row 1, \"oak\"); in 1 of them it is "
         "the right one, and each of its doubles counts as right."),
    ],
)  # fmt: skip
def test_a_choice_that_stands_twice(answer: str, right: tuple[str, ...], told: str) -> None:
    twice = {"question": "Which tree?", "choices": ["oak", "elm", " oak"], "answer": answer}
    other = "elm" if answer == "oak" else "B"
    rows = [twice, *({**twice, "choices": ["oak", "elm", "ash"], "answer": other},) * 5]
    found = read(rows)
    assert found.cases[0].references == right
    assert told in found.notes


INDICES = {name: row for name, row in READ.items() if row[2] == "multiple_choice"}


@pytest.mark.parametrize("name", INDICES)
def test_the_right_choice_is_the_right_one(name: str) -> None:
    make, *_ = INDICES[name]
    found = read([make(n) for n in range(N)])
    n_right = 2 if name == "goal, sol1, sol2" else 4
    assert [case.references for case in found.cases] == [(str(n % n_right),) for n in range(N)]
    shown = ("turn", "push") if n_right == 2 else COLOURS
    assert all(case.inputs["choices"][:4] == shown for case in found.cases)  # type: ignore[index]


PROMPTS: dict[str, tuple[Message, ...]] = {
    "passage, question, truth": (Message("user", f"{p(0)}\n\nQuestion: {q(0)}\nAnswer:"),),
    "Context, Question, Answer": (Message("user", f"{p(0)}\n\nQuestion: {q(0)}\nAnswer:"),),
    "text, question, answer": (Message("user", f"{p(0)}\n\nQuestion: {q(0)}\nAnswer:"),),
    "contexts, query, ground_truth": (
        Message("user", f"{p(0)}\n\n{p(1)}\n\nQuestion: {q(0)}\nAnswer:"),
    ),
    "premise, hypothesis, label": (Message("user", f"{p(0)}\n\n{a(0)}\nLabel:"),),
    "background, question, label": (Message("user", f"{p(0)}\n\n{q(0)}\nLabel:"),),
    "text, summary": (Message("user", f"{p(0)}\n\nSummary:"),),
    "instruction, input, system, output": (
        Message("system", "Be brief."),
        Message("user", f"Say it.\n{p(0)}"),
    ),
    "instruction, history, output": (
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", q(0)),
    ),
    "prompt, system, completion": (Message("system", "Be brief."), Message("user", q(0))),
    "system, user, assistant": (Message("system", "Be brief."), Message("user", q(0))),
    "article, question, options": (
        Message("user", f"{p(0)}\n\n{q(0)}\nA. amber\nB. teal\nC. plum\nD. ochre\nAnswer:"),
    ),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_what_is_read_is_asked(name: str) -> None:
    found = read([READ[name][0](n) for n in range(N)])
    request, *_ = build(found.task, labels=found.labels).ask(found.cases[0])
    assert request.prompt == PROMPTS[name]


@pytest.mark.parametrize(
    ("name", "template", "expected"),
    [
        ("premise, hypothesis, label", "{premise} So: {hypothesis}", f"{p(0)} So: {a(0)}"),
        ("question, sentence, label", "{question} {sentence}", f"{q(0)} {p(0)}"),
        ("Context, Question, Answer", "{Question} {context}", f"{q(0)} {p(0)}"),
        ("input, target", "Say: {input}", f"Say: {q(0)}"),
        ("dialogue, summary", "{dialogue} TL;DR:", f"{p(0)} TL;DR:"),
        ("text, label, number of a title", "{title}: {text}", f"Gate0: {p(0)}"),
    ],
)
def test_columns_stay_known_under_their_own_names(name: str, template: str, expected: str) -> None:
    make, _, _, columns = READ[name]
    rows = [make(n) for n in range(N)]
    for named in ({}, {key: columns[key] for key in ("input", "reference")}):
        found = read(rows, columns=named, template=template)
        request, *_ = build(found.task, labels=found.labels, template=template).ask(found.cases[0])
        assert request.prompt == (Message("user", expected),)


def test_a_column_called_like_a_standard_key_changes_no_prompt() -> None:
    """ "article" is not what is asked here, whatever it is called."""
    rows = [
        {"text": p(n), "label": kind(n), "instruction": "none", "question": "why"} for n in range(N)
    ]
    found = read(rows, columns={"input": "text", "reference": "label"})
    request, *_ = build(found.task, labels=found.labels).ask(found.cases[0])
    assert request.prompt == (Message("user", f"{p(0)}\nLabel:"),)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"message": q(n), "topic": kind(n)} for n in range(N)], q(0)),
        ([{"prompt": q(n), "completion": kind(n)} for n in range(N)], q(0)),
        ([{"text": q(n), "label": kind(n)} for n in range(N)], q(0)),
    ],
    ids=["other names", "another layout", "the same"],
)
def test_a_file_beside_the_test_file_may_have_another_layout(
    rows: list[Row], expected: str
) -> None:
    like = read([{"text": p(n), "label": kind(n)} for n in range(N)])
    columns = {"input": "text", "reference": "label"}
    found = read_beside(rows, like, columns=columns, labels=None, template=None)
    inputs = found.cases[0].inputs
    assert inputs.get("text", inputs.get("prompt")) == expected
    assert (found.task, found.labels) == (like.task, like.labels)
    assert [case.references for case in found.cases] == [(kind(n),) for n in range(N)]


@pytest.mark.parametrize(
    ("make", "labels", "expected"),
    [
        (lambda n: [n % 2, n // 2 % 2, int(n % 3 == 0)], COLOURS[:3], lambda n: [n % 2, n // 2 % 2, n % 3 == 0]),
        (lambda n: [0, 1][: n % 3], ("amber", "teal"), lambda n: [n % 3 > 0, n % 3 > 1]),
        (lambda n: ",".join("02"[: n % 2 + 1]), dict(zip("02", COLOURS[:2], strict=True)),
         lambda n: [True, n % 2]),
        (lambda n: "amber; teal" if n % 2 else "teal", COLOURS[:2], lambda n: [n % 2, True]),
    ],
    ids=["zeros and ones", "numbers", "numbers in a text", "names in a text"],
)  # fmt: skip
def test_several_labels_as_others_write_them(make: Any, labels: Any, expected: Any) -> None:
    rows = [{"text": p(n), "labels": make(n)} for n in range(N)]
    found = read(rows, labels=labels, task="multilabel")
    assert found.labels is not None
    for n, case in enumerate(found.cases):
        own = [name for name, fits in zip(found.labels, expected(n), strict=True) if fits]
        assert json.loads(case.references[0]) == own


def test_class_names_of_the_source_name_the_numbers_in_lists() -> None:
    from tuneval.data.choose import choose
    from tuneval.data.expected import as_asked
    from tuneval.data.formats import from_rows
    from tuneval.data.layouts import Draft, Reading

    table = from_rows([{"text": p(n), "labels": [n % 2]} for n in range(N)], "made")
    table.label_names["labels"] = COLOURS[:2]
    drafts = [
        Draft(row, Reading({}, ()), (json.dumps(row.fields["labels"]),)) for row in table.rows
    ]
    found = choose(table, {}, "auto", has_labels=False)
    good, faults, known = as_asked(table, drafts, "multilabel", None, found)
    assert not faults
    assert known is not None
    assert known.names == COLOURS[:2]
    assert [one.references[0] for one in good[:2]] == ['["amber"]', '["teal"]']


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda n: f"{n}%", lambda n: n),
        (lambda n: f"{n + 1},500", lambda n: 1000 * n + 1500),
        (lambda n: f"-{n}.5", lambda n: -n - 0.5),
    ],
    ids=["percent", "thousands", "plain"],
)
def test_numbers_as_others_write_them(make: Any, expected: Any) -> None:
    rows = [{"text": p(n), "score": make(n)} for n in range(N)]
    found = read(rows, task="regression", columns={"reference": "score"})
    assert [float(case.references[0]) for case in found.cases] == [expected(n) for n in range(N)]


@pytest.mark.parametrize(
    "make", [lambda n: f"{n},5", lambda n: f"{n}%" if n % 2 else f"{n / 100}", lambda n: f"${n}"]
)
def test_numbers_that_could_be_two_are_none(make: Any) -> None:
    rows = [{"text": p(n), "score": make(n)} for n in range(N)]
    with pytest.raises(DataError, match="is no number, and the task is regression"):
        read(rows, task="regression", columns={"reference": "score"})
