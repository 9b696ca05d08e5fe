"""The backend on vLLM around a fake engine: what goes where, what is proved, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig

from engine.vllm.fake_engine import FakeEngine
from tiny_models import build_adapter, build_model
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.vllm.backend import VLLMBackend
from tuneval.engine.vllm.engine import Up
from tuneval.errors import AdapterError, BackendUnavailable, VariantError
from tuneval.types import Decoding, Message, Request, Response, Variant

GREEDY = Decoding(max_tokens=6)
TURNS = (Message("user", "I cannot log in"),)
OPTIONS = VLLMBackend.Options(device="cpu", dtype="float32", offline=True)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[Variant]:
    home = tmp_path_factory.mktemp("models")
    base, full = build_model(home / "base", chat=True), build_model(home / "full", seed=5)
    return [
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), adapter=str(build_adapter(home / "lora", base))),
        Variant("full", "full", str(full)),
    ]


class Started(list[FakeEngine]):
    """Starts fake engines, and remembers them."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def __call__(self, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Up:
        assert all(one.is_closed for one in self), "one engine at a time"
        self.append(FakeEngine(settings, self.fault))
        return self[-1]


def requests() -> list[Request]:
    """Letters, labels of several tokens, and completions that end in each of the possible ways."""
    letters = [
        Request(f"{n}-{letter}", f"letters {n}", f"Case {n}.", continuation=letter)
        for n in range(2)
        for letter in "ABC"
    ]
    labels = [
        Request(f"{kind}-{label}", kind, prompt, continuation=label, with_token_logprobs=True)
        for kind, prompt in (("text", "I cannot log in\nLabel:"), ("chat", TURNS))
        for label in (" login", " billing and more")
    ]
    drawn = [
        Request("text", "t", "Once upon", decoding=GREEDY),
        Request("chat", "t", TURNS, decoding=GREEDY),
        Request("e", "t", "Once upon", decoding=replace(GREEDY, stop=("e", "a", "zz"))),
        Request("two", "t", "Once upon a", decoding=replace(GREEDY, n_completions=2)),
        Request("one", "t", "Once", decoding=replace(GREEDY, max_tokens=1)),
    ]
    return [*letters, *labels, *drawn]


def test_answers_are_those_of_transformers(variants: list[Variant]) -> None:
    started = Started()
    backend, local = VLLMBackend(OPTIONS, started), HFBackend(OPTIONS.for_transformers())
    facts = backend.prepare(variants)
    assert [one.backend for one in facts.values()] == ["vllm"] * 3
    n_before = sum(one.n_asked for one in started)
    for variant in variants:
        theirs = {one.request_id: one for one in local.answer(variant, requests())}
        found = list(backend.answer(variant, requests()))
        assert sorted(one.request_id for one in found) == sorted(theirs)
        for one in found:
            expected = theirs[one.request_id]
            assert without_numbers(one) == without_numbers(expected)
            if expected.loglikelihood is not None:
                assert one.loglikelihood == pytest.approx(expected.loglikelihood, abs=1e-4)
    n_drawn = sum(one.decoding.n_completions for one in requests() if one.decoding)
    # One ask for the three letters of a prompt; labels of several tokens are none.
    assert sum(one.n_asked for one in started) - n_before == len(variants) * (2 + n_drawn)
    # Base and adapter share one that holds both; it was still up when they were asked.
    assert [one.settings.get("enable_lora", False) for one in started] == [False, True, False]
    assert started[1].settings["max_lora_rank"] == 8
    backend.close()
    local.close()
    assert all(one.is_closed for one in started)


def without_numbers(response: Response) -> Response:
    return replace(response, seconds=0.0, loglikelihood=None, token_logprobs=None)


def test_what_is_known_is_not_asked_and_does_not_move_the_rest(variants: list[Variant]) -> None:
    backend = VLLMBackend(OPTIONS, Started())
    known = {one.id for one in requests()[::2]}
    found = {one.request_id for one in backend.answer(variants[0], requests(), known)}
    assert found == {one.id for one in requests()} - known
    backend.close()


@pytest.mark.parametrize(
    ("fault", "refused", "says"),
    [
        ("deaf", {"lora"}, r'adapter "lora": vLLM answers with it exactly as without it'),
        ("half", {"lora"}, r'adapter "lora": vLLM answers with a part of it only: .* nats a token'),
        ("shifted", {"base", "full", "lora"}, r'"base": vLLM gives other numbers than transf'),
    ],
)
def test_an_engine_that_answers_otherwise_is_refused(
    variants: list[Variant], fault: str, refused: set[str], says: str
) -> None:
    backend = VLLMBackend(OPTIONS, Started(fault))
    with pytest.raises(VariantError, match=says) as error:
        backend.prepare(variants)
    assert set(error.value.refused) == refused
    backend.close()


def test_an_engine_that_ends_over_a_model_is_no_reason_to_try_again(
    variants: list[Variant],
) -> None:
    backend = VLLMBackend(OPTIONS, Started("dies"))
    says = r'"base" was tried on probe texts, and vLLM ended .* no such heads.\nUse backend.kind: hf for this run'
    with pytest.raises(BackendUnavailable, match=says):
        backend.prepare(variants[:1])
    backend.close()


@pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers")
def test_an_adapter_that_vllm_would_cut_is_refused_before_anything_is_loaded(
    variants: list[Variant], tmp_path: Path
) -> None:
    base = Path(variants[0].model)
    config = LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"])
    adapter = build_adapter(tmp_path / "head", base, config=config)
    started = Started()
    backend = VLLMBackend(OPTIONS, started)
    with pytest.raises(AdapterError, match=r"it changes lm_head.*\nUse backend.kind: hf"):
        backend.prepare([Variant("head", "adapter", str(base), adapter=str(adapter))])
    assert not started
    backend.close()


def test_other_heads_are_for_transformers(variants: list[Variant]) -> None:
    backend = VLLMBackend(OPTIONS, Started())
    with pytest.raises(VariantError, match=r'"base": on vLLM only language models.*classification'):
        backend.prepare([replace(variants[0], head="classification")])
    backend.close()


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNEVAL_VLLM_PYTHON", raising=False)
    monkeypatch.setattr("tuneval.extras._is_here", lambda module: module != "vllm")
    with pytest.raises(BackendUnavailable, match=r"needs vllm.*tuneval\[vllm\]"):
        VLLMBackend(OPTIONS)
