"""AlpacaEval rows end to end, judged by a model behind a real OpenAI-compatible server.

The server is ``transformers serve``; it tells no log-probabilities, so that the judge writes its
letter. The judge is a small model that was taught to write one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.conftest import write_rows
from shared import shared_rows
from tiny_models import build_adapter, build_model, build_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("uvicorn", "fastapi", "openai"))
        or shutil.which("transformers", path=str(Path(sys.executable).parent)) is None,
        reason="transformers serve is not installed: pip install 'transformers[serving]'",
    ),
]
pytest.importorskip("httpx2", reason="the server extra is not installed")

N = 32
CONTEXT = 4096


def build_judge(folder: Path) -> Path:
    """A chat model that was taught to write A or B, for no good reason: it must only be readable."""
    import torch
    from transformers import AutoModelForCausalLM

    build_model(folder, chat=True, seed=3, max_position_embeddings=CONTEXT)
    tokenizer = build_tokenizer(chat=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    letters = [tokenizer(letter)["input_ids"][0] for letter in "AB"]
    end = tokenizer.eos_token_id
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    tail = tokenizer("Better answer:\n<|assistant|>")["input_ids"]
    for _ in range(60):
        noise = torch.randint(3, len(tokenizer), (16, 24))
        chosen = torch.tensor([letters[int(row[0] % 2)] for row in noise])
        rows = torch.cat(
            [noise, torch.tensor(tail).expand(16, -1), chosen[:, None], torch.full((16, 1), end)], 1
        )
        labels = torch.full_like(rows, -100)
        labels[:, -2:] = rows[:, -2:]
        loss = model(input_ids=rows, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start it on a free port, wait until it answers, stop it."""
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).parent / "transformers"
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [str(command), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(home)},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, home / "log.txt")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"no answer at {url}: {log.read_text()}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = {
        row["index"]: row["output"]
        for row in shared_rows("alpaca_eval", "outputs", "gpt4_1106_preview.jsonl.gz")
    }
    rows = [
        {**row, "output": outputs[row["index"]][:600]}
        for row in shared_rows("alpaca_eval", "eval_set.jsonl.gz")
        if len(row["instruction"]) < 300
    ]
    return write_rows(tmp_path_factory.mktemp("data") / "alpaca_eval.jsonl", rows[:N])


def test_alpaca_eval_with_a_real_server_as_the_judge(
    server: str, data: Path, tmp_path: Path
) -> None:
    from tuneval.api import compare

    base = build_model(tmp_path / "base", max_position_embeddings=CONTEXT)
    words = {
        "adapters": {"lora": str(build_adapter(tmp_path / "lora", base, seed=1))},
        "full": str(build_model(tmp_path / "full", seed=5, max_position_embeddings=CONTEXT)),
        "data": str(data),
        "task": "generate",
        "metrics": ["rougeL"],
        "options": {"max_tokens": 24},
        "statistics": {"resamples": 200},
        "judge": {
            "model": str(build_judge(tmp_path / "judge")),
            "backend": "openai",
            "base_url": server,
            "against": "reference",
        },
    }
    result = compare(str(base), **words)
    assert result.is_complete, result.problems
    (judged,) = [one for one in result.case_sets if one.task == "judge"]
    assert judged.name == "alpaca_eval (judged)"
    assert len(judged.cases) == N
    assert result.primary_metrics == {judged.name: "win_rate"}
    (note,) = [one for one in result.notes if one.startswith("judge:")]
    assert "by a letter that it writes" in note, "this server tells no log-probabilities"
    found = {one.subject: one for one in result.findings if one.kind == "judge"}
    bias, effort = found["position bias"], found["effort"]
    assert [row[0] for row in bias.rows] == ["base", "lora", "full"]
    for _, wins, ties, losses, _, unread, failed in bias.rows:
        assert wins + ties + losses + unread == N
        assert failed == 0
    assert bias.values["verdicts"] > 0.9 * 3 * N, bias.rows
    assert effort.values["requests"] <= 2 * 3 * N
    assert effort.values["prompt_tokens"] > 100 * effort.values["requests"]
    assert effort.values["completion_tokens"] >= effort.values["requests"]
    again = compare(str(base), **words)
    (effort,) = [one for one in again.findings if one.subject == "effort"]
    assert effort.values["remembered"] == effort.values["requests"]
    assert again.verdicts == result.verdicts


def test_the_models_under_test_behind_a_real_server(
    server: str, data: Path, tmp_path: Path
) -> None:
    from tuneval.api import compare

    base = build_model(tmp_path / "base", chat=True, max_position_embeddings=CONTEXT)
    full = build_model(tmp_path / "full", chat=True, seed=5, max_position_embeddings=CONTEXT)
    result = compare(
        str(base),
        full=str(full),
        data=str(data),
        limit=8,
        task="generate",
        metrics=["rougeL"],
        options={"max_tokens": 8},
        statistics={"resamples": 200},
        backend={"kind": "openai", "base_url": server},
    )
    assert result.is_complete, result.problems
    assert {one.backend for one in result.facts} == {"openai"}
    assert all(one.text for one in result.predictions["base"])
    assert result.predictions["base"] != result.predictions["full"]


def test_labels_are_written_where_a_real_server_tells_no_likelihoods(
    server: str, tmp_path: Path
) -> None:
    from tuneval.api import compare
    from tuneval.errors import VariantError

    base = build_model(tmp_path / "base", chat=True, max_position_embeddings=CONTEXT)
    full = build_model(tmp_path / "full", chat=True, seed=5, max_position_embeddings=CONTEXT)
    copy = shutil.copytree(base, tmp_path / "copy")
    rows = [{"text": f"note {n}", "label": ("billing", "login")[n % 2]} for n in range(6)]
    words = {
        "data": str(write_rows(tmp_path / "test.jsonl", rows)),
        "statistics": {"resamples": 200},
        "backend": {"kind": "openai", "base_url": server},
    }
    result = compare(str(base), full=str(full), **words)
    assert result.spec["cases"][0]["options"] == {"scoring": "generate"}
    assert any("written, not scored" in one for one in result.notes)
    assert all(
        one.problem is None or "unparsed" in one.problem for one in result.predictions["base"]
    )
    with pytest.raises(VariantError, match="exactly as for"):
        compare(str(base), full=str(copy), **words)
