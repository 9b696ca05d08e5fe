"""A type checker knows the words of the calls, and a person finds what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import tuneval
from tuneval.api.options import (
    CaseOptions,
    CompareOptions,
    PromptingOptions,
    StatisticsOptions,
)
from tuneval.plan.spec import CasesSpec, PromptingSpec, RunSpec, StatisticsSpec
from tuneval.plan.words import describe_run

ROOT = Path(__file__).parents[2]

SNIPPET = """
import tuneval
tuneval.compare(adapters="lora", data="test.jsonl", limit=3, task="classify")
tuneval.compare(adapters="lora", data="test.jsonl", limt=3)
tuneval.compare(adapters="lora", data="test.jsonl", statistics={"resample": 100})
tuneval.compare(adapters="lora", data="test.jsonl", prompting={"thinking": "none"})
tuneval.compare(adapters="lora", data="test.jsonl").comparisons_frame()
tuneval.compare(adapters="lora", data="test.jsonl").comparison_frame()
"""


def test_a_type_checker_catches_words_that_nothing_reads(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(tmp_path / "snippet.py")],
        cwd=ROOT,  # its settings, and what it remembers of the package
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if "snippet.py" in line]
    lines = {int(line.split("snippet.py:")[1].split(":")[0]) for line in found}
    assert lines == {4, 5, 6, 8}, done.stdout + done.stderr
    assert any('"limt"' in line for line in found), found


def test_the_words_of_the_call_are_those_of_run_yaml() -> None:
    def names(kind: type) -> set[str]:
        return set(get_type_hints(kind))

    own = set(describe_run.__annotations__) - {"return", "cases", "sections"}
    taken_apart = {"file", "benchmark", "guard", "exploratory", "name"}
    assert names(CaseOptions) == set(CasesSpec.model_fields) - taken_apart
    assert names(CompareOptions) - names(CaseOptions) - own == set(RunSpec.model_fields) - {
        "variants",
        "cases",
        "baseline",
    }
    assert names(PromptingOptions) == set(PromptingSpec.model_fields)
    assert names(StatisticsOptions) == set(StatisticsSpec.model_fields)


def test_everything_offered_is_listed() -> None:
    assert dir(tuneval) == sorted(tuneval.__all__)
    for name in dir(tuneval):
        assert getattr(tuneval, name) is not None
