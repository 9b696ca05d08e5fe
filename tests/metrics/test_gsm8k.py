"""GSM8K's answers are read as lm-eval reads them, and as people marked the released solutions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from shared import shared_json, shared_rows
from tuneval.metrics import build
from tuneval.types import Case, Prediction

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "lm_eval_prompts.json").read_text("utf-8")
)
READINGS = {digest: key for key, own in VECTORS["gsm8k_readings"].items() for digest in own}
SYSTEMS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def _value(metric: str, answer: str, reference: str) -> int:
    rows = build(metric).per_case(
        [Case("1", {"question": "?"}, (reference,))], [Prediction("1", text=answer)]
    )
    return int(rows[0][0])


def _digest(answer: str, reference: str) -> str:
    return hashlib.sha256(f"{answer}\x1f{reference}".encode()).hexdigest()[:16]


def _both(answer: str, reference: str) -> str:
    return " ".join(
        str(_value(metric, answer, reference)) for metric in ("gsm8k_strict", "gsm8k_flexible")
    )


ODD = (
    "", "#### 1,234.", "#### $5", "it is 5.", "...", "$$", "#### 5 or #### 6", "a 7 b -", "#### -3", "1 000",
)  # fmt: skip


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize("reference", ["#### 5", "x\n#### -3", "#### 1234", "7"])
def test_odd_answers_are_read_as_lm_eval_reads_them(answer: str, reference: str) -> None:
    assert _both(answer, reference) == READINGS[_digest(answer, reference)]


def test_released_solutions_are_read_as_lm_eval_reads_them() -> None:
    references = {row["idx"]: row["answer"] for row in shared_rows("gsm8k", "test_half.jsonl.gz")}
    n = 0
    for row in shared_rows("gsm8k", "model_solutions_half.jsonl.gz"):
        reference = references.get(row["idx"])
        for system in SYSTEMS:
            solution = row[system]["solution"]
            for answer in (solution, solution.replace("A: ", "#### ")):
                known = READINGS.get(_digest(answer, reference)) if reference else None
                if known is not None:
                    assert _both(answer, reference) == known, (row["idx"], system)
                    n += 1
    if not n:
        pytest.skip("none of the solutions that lm-eval read is among these rows")


@pytest.mark.parametrize("system", SYSTEMS)
def test_final_number_agrees_with_the_marks_of_the_released_solutions(system: str) -> None:
    expected = shared_json("gsm8k", "expected.json")["systems"][system]
    rows = shared_rows("gsm8k", "model_solutions_half.jsonl.gz")
    got = [
        bool(_value("final_number", row[system]["solution"], row["ground_truth"])) for row in rows
    ]
    assert got == [row[system]["is_correct"] for row in rows]
    assert (sum(got), len(got)) == (expected["correct"], expected["n"])
