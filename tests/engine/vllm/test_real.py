"""Real vLLM, base, LoRA and full fine-tune: likelihoods and texts equal to those of transformers; and no
process that outlives the driver.

vLLM pins its own torch and transformers: ``TUNEVAL_VLLM_PYTHON`` names the interpreter of an
environment with it, unless it is installed here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import psutil
import pytest

from tiny_models import build_adapter, build_model
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.vllm.backend import VLLMBackend
from tuneval.engine.vllm.engine import PYTHON
from tuneval.errors import BackendError
from tuneval.types import Decoding, Message, Request, Response, Variant

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not os.environ.get(PYTHON) and find_spec("vllm") is None,
        reason=f"vLLM is not installed here, and {PYTHON} names no interpreter that has it",
    ),
]

SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
QUESTION = (Message("user", "My card was refused in the shop. What is this about?"),)
GREEDY = Decoding(max_tokens=12)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[Variant]:
    home = tmp_path_factory.mktemp("models")
    base = build_model(home / "base", chat=True, bos=True, **SHAPE)
    full = build_model(home / "full", chat=True, bos=True, seed=5, **SHAPE)
    lora = build_adapter(home / "lora", base, scale=0.1)
    return [
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), adapter=str(lora)),
        Variant("full", "full", str(full)),
    ]


def requests() -> list[Request]:
    asked = [
        Request(f"{kind}-{n}", kind, prompt, continuation=answer, with_token_logprobs=True)
        for kind, prompt in (("text", "Message: my card\nTopic:"), ("chat", QUESTION))
        for n, answer in enumerate((" refund", " shipping account", " card payment refused"))
    ]
    asked += [
        Request(f"letter-{n}", "letters", "Which one?", continuation=letter)
        for n, letter in enumerate("ABCDEFG")
    ]
    asked.append(Request("whole", "w", "", continuation="Once upon a time there was a girl — né."))
    asked += [
        Request("drawn-text", "d", "Once upon a time", decoding=GREEDY),
        Request("drawn-chat", "d", QUESTION, decoding=GREEDY),
        Request("drawn-e", "d", "Once upon a time", decoding=replace(GREEDY, stop=("e", "zz"))),
    ]
    return asked


def held_together(ours: Response, theirs: Response) -> None:
    assert ours.problem is None, ours
    assert ours.completions == theirs.completions
    assert ours.n_tokens == theirs.n_tokens
    assert ours.prompt_tokens == theirs.prompt_tokens
    assert ours.is_greedy == theirs.is_greedy
    if theirs.loglikelihood is not None:
        assert ours.loglikelihood == pytest.approx(theirs.loglikelihood, abs=2e-3)


def options() -> VLLMBackend.Options:
    return VLLMBackend.Options(device="cpu", dtype="float32", offline=True)


def all_answers(backend: HFBackend | VLLMBackend, variants: list[Variant]) -> Iterator[Response]:
    for one in variants:
        yield from backend.answer(one, requests())


def test_base_adapter_and_full_answer_as_on_transformers(variants: list[Variant]) -> None:
    local, backend = HFBackend(options().for_transformers()), VLLMBackend(options())
    try:
        facts = backend.prepare(variants)
        assert all("vLLM" in one.settings["completions"] for one in facts.values())
        assert len({one.fingerprint for one in facts.values()}) == len(variants)
        theirs = {(one.variant, one.request_id): one for one in all_answers(local, variants)}
        found = {(one.variant, one.request_id): one for one in all_answers(backend, variants)}
        assert set(found) == set(theirs)
        for key, own in found.items():
            held_together(own, theirs[key])
        warm = replace(GREEDY, temperature=1.0, top_p=0.9, n_completions=3, sampling_seed=7)
        sampled = [Request(str(n), "s", f"Once {n}", decoding=warm) for n in range(2)]
        first, again = (
            {r.request_id: r for r in backend.answer(variants[1], sampled)} for _ in "ab"
        )
        for one in sampled:
            texts = [c.text for c in first[one.id].completions]
            assert texts == [c.text for c in again[one.id].completions]
            assert len(set(texts)) > 1
    finally:
        backend.close()
        local.close()


def test_a_killed_engine_is_told_and_starts_again(variants: list[Variant]) -> None:
    backend = VLLMBackend(options())
    drawn = [one for one in requests() if one.decoding is not None]
    long = [
        Request(f"long-{n}", "l", f"Once {n}", decoding=Decoding(max_tokens=200)) for n in range(64)
    ]
    try:
        backend.prepare(variants[:1])
        pid = backend.engine_pid
        assert pid is not None
        answers = backend.answer(variants[0], long)
        next(answers)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BackendError, match=r"vLLM ended while it answered: killed by signal 9"):
            list(answers)
        assert not psutil.pid_exists(pid)
        assert len(list(backend.answer(variants[0], drawn))) == len(drawn)
    finally:
        backend.close()


DRIVER = """
    import sys, time
    from tuneval.engine.vllm.backend import VLLMBackend
    from tuneval.types import Decoding, Request, Variant
    backend = VLLMBackend(VLLMBackend.Options(device="cpu", dtype="float32", offline=True))
    variant = Variant("base", "base", sys.argv[1])
    asked = [Request(str(n), "c", f"Once {n}", decoding=Decoding(max_tokens=200)) for n in range(4000)]
    try:
        for n, _ in enumerate(backend.answer(variant, asked)):
            if n == 0:
                print("PID", backend.engine_pid, flush=True)
    finally:
        backend.close()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_driver(variants: list[Variant], how: signal.Signals) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), variants[0].model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert driver.stdout is not None and driver.stderr is not None
        said = driver.stdout.readline().split()
        assert said[:1] == ["PID"], driver.stderr.read()
        engine = psutil.Process(int(said[1]))
        family = [engine, *engine.children(recursive=True)]
        driver.send_signal(how)
        noise = driver.communicate(timeout=60)[1]
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
        assert not {"INFO", "WARNING", "EngineCore"} & set(noise.replace("(", " ").split()), noise
    finally:
        driver.kill()
        driver.wait()


def test_an_engine_that_does_not_start_says_why(variants: list[Variant]) -> None:
    settings = replace(options(), tensor_parallel_size=3)  # four heads
    backend = VLLMBackend(settings)
    try:
        with pytest.raises(BackendError, match=r"vLLM did not start: .*heads.*\nbackend.kind: hf"):
            backend.prepare(variants[:1])
    finally:
        backend.close()
