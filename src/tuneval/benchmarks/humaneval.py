"""HumanEval: complete Python functions; hidden tests decide."""

from __future__ import annotations

from tuneval.benchmarks import Facts, Place, source
from tuneval.data.code_problems import problem_case
from tuneval.types import Case

FACTS = Facts(
    name="humaneval",
    title="HumanEval",
    measures="Writing a Python function from its signature and docstring so that hidden tests pass.",
    licence="MIT",
    citation="Chen et al. (2021), Evaluating large language models trained on code, arXiv:2107.03374.",
    hub="openai/openai_humaneval",
    sizes={"test": 164},
    split="test",
    task="complete_code",
    options={"style": "completion", "max_tokens": 512},
    metrics=("pass_at_k",),
    prompts="humaneval-1 (lm-eval humaneval 1.0)",
    notes=(
        "Programs run in the sandbox only; pass@k beyond 1 needs n_completions and a temperature.",
    ),
)


class HumanEval:
    """164 functions."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or ``HumanEval.jsonl.gz``."""
        rows = source.rows(place, FACTS, split, ("HumanEval.jsonl*", "data/HumanEval.jsonl*"))
        return tuple(
            problem_case(f"humaneval:{n}", row.fields, row.where) for n, row in enumerate(rows, 1)
        )
