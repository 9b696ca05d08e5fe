"""A real vLLM server with base and LoRA: likelihoods and texts equal to those of the local backend.

vLLM pins its own torch and transformers, so that it lives in an environment of its own:
``TUNEVAL_VLLM_PYTHON`` names that environment's interpreter.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_models import build_adapter, build_model
from tuneval.types import Decoding, Message, Request, Response, Variant

PYTHON = os.environ.get("TUNEVAL_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not PYTHON, reason="TUNEVAL_VLLM_PYTHON names no interpreter of an environment with vLLM"
    ),
]
pytest.importorskip("httpx2", reason="the server extra is not installed")

SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
QUESTION = (Message("user", "My card was refused in the shop. What is this about?"),)
ANSWERS = (" refund", " shipping account", " login", " card payment refused")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    base = build_model(home / "base", chat=True, bos=True, **SHAPE)
    return {"base": base, "lora": build_adapter(home / "lora", base, scale=0.1)}


@pytest.fixture(scope="module")
def server(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start it on a free port, wait until it answers, stop it and what it started."""
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # More than one sequence at a time ends its engine where LoRA and echo meet (0.32, CPU).
    settings = (
        f"--model {models['base']} --served-model-name small --host 127.0.0.1 --port {port} "
        f"--enable-lora --max-lora-rank 8 --lora-modules tuned={models['lora']} --dtype float32 "
        "--max-num-seqs 1 --max-model-len 256 --enforce-eager"
    )
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *settings.split()],
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                "HF_HUB_OFFLINE": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "VLLM_NO_USAGE_STATS": "1",
                "HF_HOME": str(home),
            },
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, home / "log.txt")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"no answer at {url}: {log.read_text()[-4000:]}")


def requests() -> list[Request]:
    asked = [
        Request(f"{kind}-{n}", "c", prompt, continuation=answer, with_token_logprobs=True)
        for kind, prompt in (("text", "Message: my card\nTopic:"), ("chat", QUESTION))
        for n, answer in enumerate(ANSWERS)
    ]
    asked.append(Request("whole", "c", "", continuation="Once upon a time there was a girl — né."))
    decoding = Decoding(max_tokens=12)
    asked.append(Request("text", "c", "Once upon a time", decoding=decoding))
    asked.append(Request("chat", "c", QUESTION, decoding=decoding))
    return asked


@pytest.fixture(scope="module")
def local(models: dict[str, Path]) -> dict[str, dict[str, Response]]:
    """What the backend on transformers answers, by variant and request."""
    from tuneval.engine.hf.backend import HFBackend

    backend = HFBackend(HFBackend.Options(device="cpu", dtype="float32", offline=True))
    base = str(models["base"])
    variants = [
        Variant("base", "base", base),
        Variant("lora", "adapter", base, adapter=str(models["lora"])),
    ]
    try:
        return {
            one.name: {found.request_id: found for found in backend.answer(one, requests())}
            for one in variants
        }
    finally:
        backend.close()


@pytest.mark.parametrize("is_written_here", [True, False], ids=["by ids", "by texts"])
def test_base_and_adapter_answer_as_the_local_backend(
    server: str,
    models: dict[str, Path],
    local: dict[str, dict[str, Response]],
    is_written_here: bool,
) -> None:
    from tuneval.engine.openai_server import OpenAIServer

    tokenizers = {"*": str(models["base"])} if is_written_here else {}
    backend = OpenAIServer(base_url=server, tokenizers=tokenizers)
    variants = [
        Variant("base", "base", "small"),
        Variant("lora", "adapter", "small", adapter="tuned"),
    ]
    # Of messages a server tells no likelihoods by itself.
    asked = [
        one
        for one in requests()
        if is_written_here or isinstance(one.prompt, str) or one.decoding is not None
    ]
    try:
        for variant in variants:
            backend.shown(variant, asked)
        facts = backend.prepare(variants)
        expected = "named tokens, by ids" if is_written_here else "echo, by text"
        assert {one.settings["scoring"] for one in facts.values()} == {expected}
        assert all(one.warnings == () for one in facts.values())
        for variant in variants:
            found = {one.request_id: one for one in backend.answer(variant, asked)}
            for request in asked:
                ours, theirs = found[request.id], local[variant.name][request.id]
                assert ours.problem is None, ours
                # A character that is not whole at the end is held back by vLLM.
                assert [one.text for one in ours.completions] == [
                    one.text.rstrip("\ufffd") for one in theirs.completions
                ]
                if theirs.loglikelihood is not None:
                    assert ours.loglikelihood == pytest.approx(theirs.loglikelihood, abs=2e-3)
                    assert ours.n_tokens == theirs.n_tokens
                    assert ours.is_greedy == theirs.is_greedy
    finally:
        backend.close()
