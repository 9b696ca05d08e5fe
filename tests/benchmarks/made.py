"""Made-up rows of every benchmark, written as a snapshot of the hub keeps them. Nothing published."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneval import registry
from tuneval.benchmarks import BENCHMARKS, Benchmark, Place
from tuneval.benchmarks.codexglue import LANGUAGES
from tuneval.benchmarks.glue import PARTS
from tuneval.benchmarks.mmlu import SUBJECTS

Rows = list[dict[str, Any]]

MMLU = [
    {"question": f" Which is {n}? ", "subject": subject, "choices": list("wxyz"), "answer": n % 4}
    for subject in SUBJECTS
    for n in range(2)
]
SENTENCES = [{"idx": n, "sentence": f"film {n} ", "label": n % 2} for n in range(12)]
QUESTIONS = [{"text": f"Who was {n} ?", "coarse_label": n % 6, "fine_label": n} for n in range(12)]
PASSAGES = [
    {
        "id": f"q{n}",
        "title": "Cats",
        "context": "A cat sat.",
        "question": f"What sat {n}?",
        "answers": {"text": ["a cat", "cat"], "answer_start": [0, 2]},
    }
    for n in range(4)
]
NO_ANSWER = {**PASSAGES[0], "id": "none", "answers": {"text": [], "answer_start": []}}
ARTICLES = [
    {"article": f"News {n}.", "highlights": f"News.\nOf {n}.", "id": str(n)} for n in range(4)
]
FUNCTIONS = [
    {
        "task_id": f"HumanEval/{n}",
        "prompt": f"def f{n}(x):\n",
        "canonical_solution": f"    return x + {n}\n",
        "test": f"def check(f):\n    assert f(1) == {n + 1}\n",
        "entry_point": f"f{n}",
    }
    for n in range(3)
]
PROBLEMS = [
    {
        "task_id": n,
        "text": f"Add {n}.",
        "code": f"def f(x):\n    return x + {n}",
        "test_list": [f"assert f(1) == {n + 1}"] * 3,
        "test_setup_code": "",
    }
    for n in (2, 11, 12)
]
INSTRUCTIONS = [
    {"instruction": f"Say {n}.", "output": str(n), "dataset": "made", "generator": "nobody"}
    for n in range(3)
]
COMMENTED = [
    {"id": n, "code_tokens": ["f", "(", ")"], "docstring_tokens": ["Does", f"{n}", "."]}
    for n in range(3)
]


def glue_rows(name: str, start: str) -> Rows:
    """Every label in turn; numbers for STS-B."""
    part = PARTS[name]
    return [
        {
            "idx": n,
            **{column: f"{start} {column} {n}" for column in part.inputs.values()},
            "label": n % len(part.facts.labels) if part.facts.labels else n * 5 / 11,
        }
        for n in range(12)
    ]


PROBLEMS_OF_SCHOOL = [
    {"question": f"{n} and {n}?", "answer": f"{n}+{n}=<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n}"}
    for n in range(12)
]
ORDERS = [
    {
        "key": 1000 + n,
        "prompt": f"Write {n} without commas.",
        "instruction_id_list": ["punctuation:no_comma", "keywords:existence"][: n % 2 + 1],
        "kwargs": [{"keywords": None}, {"keywords": ["a"]}][: n % 2 + 1],
    }
    for n in range(6)
]
PROMPTS = [
    {"prompt": f"How do I {n}?", "type": "made", "label": ("safe", "unsafe")[n % 2]}
    for n in range(6)
]
FILES: dict[str, Rows] = {
    "xstest/test-00000-of-00001.parquet": PROMPTS,
    "ifeval/train-00000-of-00001.parquet": ORDERS,
    "gsm8k/main/test-00000-of-00001.parquet": PROBLEMS_OF_SCHOOL,
    "gsm8k/main/train-00000-of-00001.parquet": [
        {**one, "question": f"Old {one['question']}"} for one in PROBLEMS_OF_SCHOOL
    ],
    "mmlu/all/test-00000-of-00001.parquet": MMLU,
    "mmlu/all/dev-00000-of-00001.parquet": MMLU,
    "sst2/sst2/validation-00000-of-00001.parquet": SENTENCES,
    "sst2/sst2/train-00000-of-00001.parquet": SENTENCES,
    "trec6/default/test/0000.parquet": QUESTIONS,
    "trec6/default/train/0000.parquet": [{**one, "text": f"{one['text']} ?"} for one in QUESTIONS],
    "squad/plain_text/validation-00000-of-00001.parquet": [],
    "rajpurkar/squad/validation.jsonl": PASSAGES,
    "rajpurkar/squad/train.jsonl": [{**one, "question": f"{one['id']}?"} for one in PASSAGES],
    "rajpurkar/squad_v2/validation.jsonl": [*PASSAGES, NO_ANSWER],
    "rajpurkar/squad_v2/train.jsonl": [{**one, "question": f"{one['id']}?"} for one in PASSAGES],
    "cnn_dailymail/3.0.0/test-00000-of-00001.parquet": ARTICLES,
    "cnn_dailymail/3.0.0/train-00000-of-00001.parquet": [
        {**one, "article": f"Old {one['article']}"} for one in ARTICLES
    ],
    "cnndm_summeval/summeval.jsonl": [
        {"id": "a", "article": "News.", "reference": "New.", "references": ["New."]}
    ],
    "cnndm_realsumm/realsumm.jsonl": [
        {"doc_id": 0, "article": "News.", "reference": "<t> It is . </t> <t> New . </t>"}
    ],
    **{
        f"glue/{part.facts.config}/{split}-00000-of-00001.parquet": glue_rows(
            name, "old" if split == "train" else "new"
        )
        for name, part in PARTS.items()
        for split in (part.facts.split, "train")
    },
    "humaneval/openai_humaneval/test-00000-of-00001.parquet": FUNCTIONS,
    "humaneval/test.jsonl": FUNCTIONS,
    "mbpp/full/test-00000-of-00001.parquet": PROBLEMS,
    "mbpp/sanitized/test-00000-of-00001.parquet": [
        {**{k: v for k, v in one.items() if k != "text"}, "prompt": one["text"], "test_imports": []}
        for one in PROBLEMS
    ],
    "alpaca_eval/alpaca_eval_gpt4_baseline.json": INSTRUCTIONS,
    "alpaca_eval/alpaca_eval.json": INSTRUCTIONS,
    "codexglue/code_to_code_trans/test.jsonl": [
        {"id": n, "java": f"int f() {{ return {n}; }}", "cs": f"int F() {{ return {n}; }}"}
        for n in range(3)
    ],
    "google/code_x_glue_tc_text_to_code/validation.jsonl": [
        {"id": n, "nl": f"gives {n}", "code": f"int f ( ) {{ return {n} ; }}"} for n in range(3)
    ],
    "google/code_x_glue_cc_defect_detection/test.jsonl": [
        {"id": n, "func": f"int f(){{ return {n}; }}", "target": bool(n % 2)} for n in range(4)
    ],
    "google/code_x_glue_cc_clone_detection_big_clone_bench/test.jsonl": [
        {"id": n, "id1": n, "id2": n + 9, "func1": "int a(){}", "func2": "int b(){}", "label": n == 1}
        for n in range(3)
    ],
    **{
        f"google/code_x_glue_cc_code_refinement/{size}/test.jsonl": [
            {"id": n, "buggy": f"a {n}", "fixed": f"b {n}"} for n in range(3)
        ]
        for size in ("small", "medium")
    },
    **{
        f"google/code_x_glue_ct_code_to_text/{language}/test.jsonl": COMMENTED
        for language in LANGUAGES
    },
    "google/code_x_glue_cc_code_to_code_trans/test.jsonl": [
        {"id": n, "java": f"int f() {{ return {n}; }}", "cs": f"int F() {{ return {n}; }}"}
        for n in range(3)
    ],
}  # fmt: skip

NAMES = [
    f"{name}:{subset}" if subset else name
    for name in BENCHMARKS
    for subset in registry.load(BENCHMARKS, name, room="benchmarks").subsets
    if name != "everyday" and (name != "mmlu" or subset in ("", "stem", "anatomy"))
]
"""Every benchmark and part that is read from disk; of the subjects of MMLU, which are all alike, one."""


def write_all(folder: Path, change: Callable[[Rows], Rows] = list) -> Path:
    """Write every file; ``change`` may reorder or damage the rows."""
    for name, rows in FILES.items():
        if rows:
            write(folder / name, change(rows))
    return folder


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """JSON Lines, a JSON array or Parquet, by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(text: str, folder: Path, split: str = "") -> Any:
    """Cases of the split that is asked, or of another."""
    benchmark, subset = named(text)
    return benchmark.read(
        Place(folder, offline=True), subset, split or benchmark.facts(subset).split
    )


def named(text: str) -> tuple[Benchmark, str]:
    """The benchmark of a name, and its subset."""
    name, _, subset = text.partition(":")
    return registry.load(BENCHMARKS, name, room="benchmarks")(), subset
