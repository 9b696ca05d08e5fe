"""Finished runs made without a model: outputs of systems, scored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneval.api import RunResult
from tuneval.pipeline.score_outputs import Expected, score
from tuneval.plan.spec import MetricsSpec, OutputSpec

LABELS = ("fees", "card", "transfer")


def questions(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Test cases that are told apart by their text."""
    return [{"text": f"question {n}", "label": LABELS[n % 3], "n": n} for n in numbers]


def answers(cases: Sequence[Mapping[str, Any]], wrong: Callable[[int], bool]) -> list[str]:
    """The label of each case, or another one where it is wrong."""
    return [
        LABELS[(one["n"] + 1) % 3] if wrong(one["n"]) else LABELS[one["n"] % 3] for one in cases
    ]


Make = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Score systems on cases; returns the run's folder."""
    monkeypatch.chdir(tmp_path)
    clock = iter(range(1_700_000_000, 1_800_000_000, 60))

    def make(
        name: str,
        cases: Sequence[Mapping[str, Any]],
        systems: Mapping[str, Callable[[int], bool]],
        **words: Any,
    ) -> Path:
        place = tmp_path / f"inputs-{name}"
        place.mkdir()
        # Column n is left out: the cases of two files must be told apart by what is asked.
        rows = [{key: one[key] for key in ("text", "label")} for one in cases]
        file = place / "refs.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files = {}
        for system, wrong in systems.items():
            (place / f"{system}.txt").write_text("\n".join(answers(cases, wrong)) + "\n")
            files[system] = str(place / f"{system}.txt")
        result = score(
            Expected(f"{file}:label", task="classify"),
            files,
            metrics=MetricsSpec.of(["accuracy", "f1_macro"]),
            name=name,
            output=OutputSpec(**{"reports": (), **words}),
        )
        folder = Path(result.output_dir)
        seconds = next(clock)
        os.utime(folder / "result.json", (seconds, seconds))
        return folder

    return make


def loaded(folder: Path) -> RunResult:
    return RunResult.load(folder)
