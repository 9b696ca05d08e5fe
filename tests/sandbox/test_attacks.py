"""Hostile programs must not pass, must not harm, and must leave nothing. They run only through a
probed backend."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from sandbox.yard import Yard, program_of
from shared import DATA, shared_rows
from tuneval.sandbox import Limits, Outcome, SandboxBackend, run_all

CORPUS = DATA / "sandbox" / "attacks.jsonl"
LIMITS = Limits(cpu_seconds=2, wall_seconds=20.0)
SPECIAL_LIMITS = {
    "d19": Limits(cpu_seconds=2, wall_seconds=4.0),
    "d28": Limits(),  # filling a gibibyte can take two CPU seconds
}
FAST = [
    "d01",
    "d02",
    "d05",
    "d06",
    "d07",
    "d08",
    "d10",
    "d12",
    "d14",
    "d15",
    "d21",
    "d26",
    "d31",
    "d34",
    "d36",
    "d37",
    "d39",
    "d40",
    "d41",
    "d44",
]
"""Those that end within a fraction of a second and cover every class but the exhausting ones."""


def _corpus() -> list[Any]:
    if not CORPUS.exists():
        return [pytest.param(None, id="no corpus")]
    return [
        pytest.param(row, id=row["id"], marks=[] if row["id"][:3] in FAST else [pytest.mark.slow])
        for row in shared_rows("sandbox", "attacks.jsonl")
    ]


@pytest.mark.parametrize("row", _corpus())
def test_attack_is_contained(row: dict[str, Any] | None, each: SandboxBackend, yard: Yard) -> None:
    if row is None:
        pytest.skip(f"shared data not here: {CORPUS}")
    limits = SPECIAL_LIMITS.get(row["id"][:3], LIMITS)
    expected = row["expect"]
    started = time.monotonic()
    outcome = run_all([program_of(row, yard.fill(row["program"]))], each, limits, workers=1)[0]
    assert time.monotonic() - started < expected["max_wall_s"]
    assert outcome.outcome in expected["outcome"], outcome
    assert not (outcome.is_passed and expected["passed"] is False), outcome
    if "canary_intact_after_5s" in expected["host"]:
        time.sleep(5)
    _assert_unharmed(outcome, yard)
    if "program2" in row:
        second = run_all([program_of(row, yard.fill(row["program2"]))], each, limits, workers=1)[0]
        assert second.outcome in row["expect2"]["outcome"], second
    _assert_next_passes(each)


def _assert_unharmed(outcome: Outcome, yard: Yard) -> None:
    assert yard.damage() == []
    record = json.dumps(outcome.to_record())
    assert yard.secret not in record
    assert "LEAK:" not in record
    assert len(record) < 64 << 10
    shown = outcome.detail + outcome.output_tail
    assert not [c for c in shown if not c.isprintable() and c not in "\n\t"]


def _assert_next_passes(backend: SandboxBackend) -> None:
    row = {"test": "def check(f):\n    assert f(20, 22) == 42", "entry_point": "add", "prompt": ""}
    honest = program_of(row, "def add(a, b):\n    return a + b\n")
    assert run_all([honest], backend, workers=1)[0].is_passed
