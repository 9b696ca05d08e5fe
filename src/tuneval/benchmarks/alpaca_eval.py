"""AlpacaEval: open instructions whose answers a judge holds against a baseline's."""

from __future__ import annotations

from dataclasses import replace

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

V2 = Facts(
    name="alpaca_eval",
    title="AlpacaEval 2",
    measures="Whose answer to an everyday instruction is liked better: the variant's or the baseline's.",
    licence="CC BY-NC 4.0",
    citation="Li et al. (2023), AlpacaEval; Dubois et al. (2024), Length-controlled AlpacaEval, "
    "arXiv:2404.04475.",
    hub="tatsu-lab/alpaca_eval",
    config="alpaca_eval_gpt4_baseline",
    sizes={"eval": 805},
    split="eval",
    task="generate",
    options={"max_tokens": 2048},
    metrics=("rougeL", "chrf"),
    prompts="alpaca_eval-1 (the instruction alone, each variant's chat template)",
    notes=(
        "Likeness to the baseline's answer is no measure of quality: give --judge for a win rate.",
    ),
)

V1 = replace(
    V2,
    name="alpaca_eval:v1",
    title="AlpacaEval 1",
    citation="Li et al. (2023), AlpacaEval: an automatic evaluator of instruction-following models.",
    config="alpaca_eval",
    folders=("alpaca_eval",),
)

BASELINES = {"": "gpt4_1106_preview", "v1": "text_davinci_003"}


class AlpacaEval:
    """805 instructions of five sources; the reference is the baseline's answer."""

    subsets = ("", "v1")

    def facts(self, subset: str) -> Facts:
        """What is known of the version."""
        return V1 if subset else V2

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """``alpaca_eval_gpt4_baseline.json`` (version 1: ``alpaca_eval.json``), or the instructions
        with the outputs of each model in a folder ``outputs``."""
        facts = self.facts(subset)
        files = source.find(place, facts, (f"{facts.config}.json", f"{facts.config}.json.gz"))
        apart = source.find(place, facts, ("eval_set.jsonl", "eval_set.jsonl.gz"))
        if files or not apart:
            rows = (
                source.rows_of(files)
                if files
                else source.from_hub(place, facts, split, facts.config)
            )
            answers = [row.text("output") for row in rows]
        else:
            rows = source.rows_of(apart)
            answers = _answers(place, facts, BASELINES[subset], len(rows))
        return tuple(
            Case(
                f"{facts.name}:{n}",
                {"instruction": row.text("instruction")},
                (answer,),
                groups={"dataset": row.text("dataset")},
            )
            for n, (row, answer) in enumerate(zip(rows, answers, strict=True), 1)
        )


def _answers(place: Place, facts: Facts, model: str, n: int) -> list[str]:
    found = source.rows_of(source.find(place, facts, (f"outputs/{model}.jsonl*",)))
    if len(found) != n:
        raise DataError(
            f'benchmark "{facts.name}": {len(found)} answers of {model} for {n} instructions in '
            f"{source.origin(place, facts)}."
        )
    return [row.text("output") for row in found]
