from __future__ import annotations

import math

import pytest

from tuneval.engine.vllm.proof import BOUNDS, HALF_BOUND, check, check_adapter
from tuneval.errors import VariantError

BASE = [-1.0, -2.0, -3.0]


def off(numbers: list[float], by: float) -> list[float]:
    """Further away by so much on average, up and down."""
    return [one + by * (-1) ** n for n, one in enumerate(numbers)]


@pytest.mark.parametrize(
    ("dtype", "bound"), [("float32", BOUNDS["float32"]), ("bfloat16", HALF_BOUND)]
)
def test_numbers_may_differ_by_rounding_alone(dtype: str, bound: float) -> None:
    check("base", dtype, BASE, off(BASE, 0.9 * bound))
    with pytest.raises(VariantError, match=r'"base": vLLM gives other numbers than transformers'):
        check("base", dtype, BASE, off(BASE, 1.1 * bound))
    with pytest.raises(VariantError, match=r"nan nats a token"):
        check("base", dtype, BASE, [-1.0, math.nan, -3.0])


@pytest.mark.parametrize(
    ("effect", "missing", "noise", "is_taken"),
    [
        (0.5, 0.0, 0.0, True),
        (0.5, 0.2, 0.0, True),
        (0.5, 0.3, 0.0, False),
        (0.01, 0.006, 0.0, False),
        (0.01, 0.006, 0.0041, True),
        (1e-6, 5e-6, 0.0, True),
    ],
    ids=[
        "whole",
        "nearly",
        "a half is missing",
        "weak, a half missing",
        "lost in rounding",
        "tiny",
    ],
)
def test_the_whole_adapter_has_to_act(
    effect: float, missing: float, noise: float, is_taken: bool
) -> None:
    here = off(BASE, effect)
    there = off(here, -missing)
    numbers = here, there, BASE, off(BASE, noise)
    if is_taken:
        check_adapter("lora", *numbers)
        return
    with pytest.raises(VariantError, match=r'adapter "lora": vLLM answers with a part of it only'):
        check_adapter("lora", *numbers)


def test_an_adapter_that_changes_nothing_is_refused() -> None:
    with pytest.raises(VariantError, match="answers with it exactly as without it"):
        check_adapter("lora", off(BASE, 0.1), BASE, BASE, BASE)
