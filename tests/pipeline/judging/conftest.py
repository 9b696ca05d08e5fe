"""Three variants behind one server, judged by models behind other ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.fake_server import Fake, serving
from pipeline.conftest import write_rows
from tuneval.api import RunResult, compare
from tuneval.engine import openai_server
from tuneval.engine.retry import RetryPolicy
from tuneval.types import Finding, Score

N = 40
JUDGED = "prompts (judged)"
Run = Callable[..., RunResult]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts take no time."""
    quick = functools.partial(RetryPolicy, sleep=lambda _: None, attempts=4)
    monkeypatch.setattr(openai_server, "RetryPolicy", quick)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"instruction": f"Say {n}.", "output": f"the number {n}", "index": n, "half": f"h{n % 2}"}
        for n in range(N)
    ]
    return write_rows(tmp_path / "prompts.jsonl", rows)


def talk(asked: dict[str, Any]) -> str:
    """Base says PLAIN, LoRA GOOD but in every fourth case PLAIN, full GOOD at length."""
    prompt = asked["messages"][-1]["content"]
    is_fourth = prompt.startswith("Say ") and int(prompt[4:-1]) % 4 == 0
    return {
        "base": "PLAIN answer",
        "lora": "PLAIN answer too" if is_fourth else "GOOD answer",
        "full": "GOOD answer, and a long one at that",
    }[asked["model"]]


@pytest.fixture
def run_judged(data: Path) -> Iterator[Run]:
    """Three variants behind one server, judged by a model behind another one."""
    with serving(content=talk, models=("base", "lora", "full")) as talkers:

        def run(fake: Fake, **changes: Any) -> RunResult:
            words: dict[str, Any] = {
                "adapters": "lora",
                "full": "full",
                "data": str(data),
                "backend": {"kind": "openai", "base_url": talkers.url, "timeout_seconds": 1.0},
                "statistics": {"resamples": 200},
                "metrics": ["rougeL"],
            }
            judge = changes.pop("judge", {})
            if isinstance(judge, dict):
                judge = {"model": "small", "backend": "openai", "base_url": fake.url} | judge
            words |= {"judge": judge} | changes
            return compare("base", **words)

        yield run


def texts_of(asked: dict[str, Any]) -> tuple[str, str]:
    """The two answers that a judge is shown."""
    prompt = asked["messages"][-1]["content"]
    first, second = prompt.split("<answer A>\n")[1].split("<answer B>\n")
    return first.split("\n</answer")[0], second.split("\n</answer")[0]


def prefers_good(asked: dict[str, Any]) -> str:
    """A judge that knows what it wants; it prefers the first of two alike."""
    first, second = (
        texts_of(asked) if "<answer A>" in asked["messages"][-1]["content"] else ("",) * 2
    )
    return "B" if "GOOD" in second and "GOOD" not in first else "A"


def findings(result: RunResult, subject: str) -> list[Finding]:
    return [one for one in result.findings if one.kind == "judge" and one.subject == subject]


def score(result: RunResult, arm: str, metric: str = "win_rate", slice_: str = "all") -> Score:
    (found,) = [
        one
        for one in result.scores
        if (one.case_set, one.variant, one.metric, one.slice) == (JUDGED, arm, metric, slice_)
    ]
    return found
