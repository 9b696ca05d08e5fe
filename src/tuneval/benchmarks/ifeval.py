"""IFEval: prompts with instructions that a program can verify."""

from __future__ import annotations

import json

from tuneval.benchmarks import Facts, Place, source
from tuneval.types import Case

FACTS = Facts(
    name="ifeval",
    title="IFEval (Instruction-Following Eval)",
    measures="Doing as told: so many words, no commas, in this language, as JSON, ending with that phrase.",
    licence="Apache-2.0",
    citation="Zhou et al. (2023), Instruction-following evaluation for large language models, "
    "arXiv:2311.07911.",
    hub="google/IFEval",
    sizes={"train": 541},
    split="train",
    task="generate",
    options={"template": "{prompt}", "prompt_style": "text", "max_tokens": 1280},
    metrics=(
        "ifeval_prompt_strict",
        "ifeval_prompt_loose",
        "ifeval_instruction_strict",
        "ifeval_instruction_loose",
    ),
    prompts="ifeval-1 (lm-eval ifeval 4.0)",
    counts_unanswered=True,
    notes=("The one split is called train on the hub; it is the test set.",),
)


class IfEval:
    """541 prompts with 834 instructions of 25 kinds; the groups say how many a prompt has."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the released ``input_data.jsonl``."""
        rows = source.rows(place, FACTS, split, ("input_data.jsonl*", "ifeval_input_data.jsonl"))
        return tuple(_case(n, row) for n, row in enumerate(rows, 1))


def _case(n: int, row: source.Row) -> Case:
    kinds = row["instruction_id_list"]
    # A setting that an instruction does not have stands there as null.
    settings = [{k: v for k, v in one.items() if v is not None} for one in row["kwargs"]]
    asked = [json.dumps(one, ensure_ascii=False) for one in zip(kinds, settings, strict=True)]
    return Case(
        f"ifeval:{n}",
        {"id": row.text("key"), "prompt": row.text("prompt"), "instructions": tuple(asked)},
        groups={"instructions": "one" if len(asked) == 1 else "several"},
    )
