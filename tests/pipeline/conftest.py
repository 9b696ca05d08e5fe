"""A whole comparison on the smallest models: base, two training seeds of a LoRA, a full fine-tune."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tiny_models import build_adapter, build_model
from tuneval.api import RunResult, compare

LABELS = ("positive", "negative", "neutral")


class Setting(NamedTuple):
    """What training left on disk, and a test file."""

    base: Path
    adapters: list[Path]
    full: Path
    data: Path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "text": f"The {'quick brown fox' if n % 2 else 'lazy dog'} number {n} jumps over",
            "label": LABELS[n * 7 % 3],
            "writer": "fluent" if n % 4 else "learner",
        }
        for n in range(n)
    ]


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """Random weights: nothing was learned, so no verdict may say so."""
    folder = tmp_path_factory.mktemp("setting")
    base = build_model(folder / "base")
    adapters = [build_adapter(folder / f"seed{n}", base, seed=n) for n in (1, 2)]
    full = build_model(folder / "full", seed=5)
    return Setting(base, adapters, full, write_rows(folder / "test.jsonl", rows(24)))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers and runs of a test stay in its folder."""
    monkeypatch.setenv("TUNEVAL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture
def run_it(setting: Setting) -> Callable[..., RunResult]:
    """Compare everything there is, with few resamples."""

    def run(**changes: Any) -> RunResult:
        words: dict[str, Any] = {
            "base": str(setting.base),
            "adapters": [f"lora={path}" for path in setting.adapters],
            "full": str(setting.full),
            "data": str(setting.data),
            "statistics": {"resamples": 200},
        }
        words |= changes
        return compare(words.pop("base"), **words)

    return run
