"""GSM8K: word problems of primary school, answered in steps that end in a number."""

from __future__ import annotations

from tuneval.benchmarks import Facts, Place, source
from tuneval.types import Case

FACTS = Facts(
    name="gsm8k",
    title="GSM8K (Grade School Math)",
    measures="Arithmetic in two to eight steps, told as a story.",
    licence="MIT",
    citation="Cobbe et al. (2021), Training verifiers to solve math word problems, arXiv:2110.14168.",
    hub="openai/gsm8k",
    config="main",
    sizes={"test": 1_319, "train": 7_473},
    split="test",
    pool="train",
    shots="drawn_without_spare",
    task="generate",
    options={
        "template": "Question: {question}\nAnswer:",
        "prompt_style": "text",
        "stop": ("Question:", "</s>", "<|im_end|>"),
        "max_tokens": 256,
    },
    metrics=("gsm8k_flexible", "gsm8k_strict"),
    prompts="gsm8k-1 (lm-eval gsm8k 3.0)",
    counts_unanswered=True,
    notes=(
        'gsm8k_flexible reads the last number of an answer, gsm8k_strict only what stands after "####", '
        "which a model has to be shown (--few-shot 5, as usually published) or taught.",
    ),
)


class Gsm8k:
    """1,319 problems; the reference is a worked solution whose last line is "#### NUMBER"."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the released file of the split."""
        return tuple(
            Case(f"gsm8k:{n}", {"question": row.text("question")}, (row.text("answer"),))
            for n, row in enumerate(source.rows(place, FACTS, split, (f"{split}*",)), 1)
        )
