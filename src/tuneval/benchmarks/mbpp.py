"""MBPP: short Python functions from a sentence and three tests."""

from __future__ import annotations

from dataclasses import replace

from tuneval.benchmarks import Facts, Place, source
from tuneval.data.code_problems import problem_case
from tuneval.types import Case

FACTS = Facts(
    name="mbpp",
    title="MBPP (test part: problems 11 to 510)",
    measures="Writing a short Python function from one sentence and three tests.",
    licence="CC-BY-4.0",
    citation="Austin et al. (2021), Program synthesis with large language models, arXiv:2108.07732.",
    hub="google-research-datasets/mbpp",
    config="full",
    sizes={"test": 500},
    split="test",
    task="complete_code",
    options={"style": "completion", "max_tokens": 512},
    metrics=("pass_at_k",),
    prompts="mbpp-1 (sentence and tests as a docstring, without examples)",
    notes=("lm-eval asks this one with three examples of its own and other words.",),
)

SANITIZED = replace(
    FACTS,
    name="mbpp:sanitized",
    title="MBPP, sanitized (test part)",
    config="sanitized",
    sizes={"test": 257},
    folders=("mbpp",),
)

TEST_IDS = range(11, 511)
"""The original file holds all 974 problems; these are the published test part."""


class Mbpp:
    """Problems in words; the tests stand in the prompt."""

    subsets = ("", "sanitized")

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return SANITIZED if subset else FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the original ``mbpp.jsonl`` and ``sanitized-mbpp.json``."""
        facts = self.facts(subset)
        own = ("sanitized-mbpp.json", "sanitized*") if subset else ("mbpp.jsonl*", "test_ids*")
        files = source.find(place, facts, own)
        rows = source.rows_of(files) if files else source.rows(place, facts, split)
        asked = [row for row in rows if row["task_id"] in TEST_IDS]
        return tuple(
            problem_case(f"{facts.name}:{n}", row.fields, row.where)
            for n, row in enumerate(asked, 1)
        )
