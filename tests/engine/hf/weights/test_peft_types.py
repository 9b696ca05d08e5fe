"""Every adapter type of the installed PEFT: its own forward's numbers, or refused with the true reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from peft_kinds import TARGETS, TASK, config_of, loaded, saved, trained
from tiny_models import build_model, build_tokenizer
from tuneval.engine.hf.backend import HFBackend
from tuneval.errors import AdapterError
from tuneval.types import Decoding, Request, Variant

TEXTS = [
    ("Question: What is the capital of France?\nAnswer:", " Paris"),
    ("Once upon a time there was", " a little girl"),
    ("def add(a, b):\n    return", " a + b"),
    ("Message: my card", " payment refused"),
]
PROMPTS = ("Once upon", "Message: my card was")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of sparse tensors, in FRoD

REFUSED = {
    "MULTITASK_PROMPT_TUNING": "does not take a text alone with an adapter of type "
    "MULTITASK_PROMPT_TUNING (ValueError: task_ids cannot be None)",
    "POLY": "does not take a text alone with an adapter of type POLY "
    "(ValueError: task_ids should not be None.)",
    "XLORA": "is an X-LoRA: it mixes other adapters that its settings name (",
}
"""What their own forward wants more than a text."""


def backend() -> HFBackend:
    return HFBackend(HFBackend.Options(offline=True, device="cpu"))


def variants(base: Path, adapter: Path) -> list[Variant]:
    return [
        Variant("base", "base", str(base)),
        Variant("tuned", "adapter", str(base), str(adapter)),
    ]


def asked() -> list[Request]:
    scored = [
        Request(f"s{n}", f"{n}", head, continuation=rest) for n, (head, rest) in enumerate(TEXTS)
    ]
    drawn = [
        Request(f"g{n}", f"{n}", text, decoding=Decoding(max_tokens=5))
        for n, text in enumerate(PROMPTS)
    ]
    return scored + drawn


def answers(engine: HFBackend, variant: Variant, requests: list[Request]) -> dict[str, Any]:
    return {
        one.request_id: one.completions[0].text if one.completions else one.loglikelihood
        for one in engine.answer(variant, requests)
    }


def logits_of(model: Any, ids: list[int]) -> torch.Tensor:
    """By one plain forward of the model; virtual tokens stand in front of the text."""
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return found[-len(ids) :].double()


def plain(model: Any, tokenizer: Any) -> dict[str, Any]:
    """What a short script finds: no cache, one text at a time."""
    found: dict[str, Any] = {}
    for n, (head, rest) in enumerate(TEXTS):
        start, whole = tokenizer.encode(head), tokenizer.encode(head + rest)
        rows = logits_of(model, whole[:-1]).log_softmax(-1)
        found[f"s{n}"] = sum(
            float(rows[place - 1, whole[place]]) for place in range(len(start), len(whole))
        )
    for n, text in enumerate(PROMPTS):
        ids = tokenizer.encode(text)
        for _ in range(5):
            ids.append(int(logits_of(model, ids)[-1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
        drawn = tokenizer.decode(ids, skip_special_tokens=True)
        found[f"g{n}"] = drawn.removeprefix(text)
    return found


@cache
def plain_base(base: Path) -> dict[str, Any]:
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    return plain(model, AutoTokenizer.from_pretrained(base))


def hold(base: Path, adapter: Path, *, cached: bool = False, reference: Any = None) -> None:
    """Scores and texts are those of PEFT's own forward, and the base is what it was, in any order."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    right = plain(reference or loaded(adapter, base), tokenizer)
    untouched = plain_base(base)
    engine = backend()
    both = variants(base, adapter)
    engine.prepare(both)
    for variant, wanted in ((both[1], right), (both[0], untouched), (both[1], right)):
        found = answers(engine, variant, asked())
        for name, value in wanted.items():
            if isinstance(value, float):
                assert found[name] == pytest.approx(value, abs=1e-5 * max(1, abs(value))), name
            elif not cached:
                assert found[name] == value, name
    engine.close()


QUICK = {
    "ADALORA",  # does not save a counter
    "CARTRIDGE",  # one tensor at the root
    "IA3",
    "LILY",  # mixes rows
    "LORA",
    "MULTITASK_PROMPT_TUNING",
    "POLY",
    "PREFIX_TUNING",
    "SHADOW",  # leaves a state behind
    "TINYLORA",  # shares tensors at the root
    "TRAINABLE_TOKENS",
    "VERA",
    "XLORA",
}
"""Types that differ in what it takes; the others run with the slow tests."""


def types() -> list[Any]:
    names = sorted(member.value for member in peft.PeftType)
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name)
        for name in names
    ]


@pytest.mark.parametrize("kind", types())
def test_every_type(kind: str, base: Path, lora: Path, tmp_path: Path) -> None:
    more = {"adapters": {"0": str(lora)}} if kind == "XLORA" else {}
    adapter = saved(trained(config_of(kind, **more), base), tmp_path / kind)
    if kind not in REFUSED:
        # Lily averages over all tokens it is given: a cache gives it one at a time.
        hold(base, adapter, cached=kind == "LILY")
        return
    with pytest.raises(AdapterError) as error:
        backend().prepare(variants(base, adapter))
    assert REFUSED[kind] in str(error.value)


def lora_of(**more: Any) -> Any:
    return peft.LoraConfig(**{"r": 4, "target_modules": TARGETS, **more}, **TASK)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose layers have biases of their own."""
    return build_model(tmp_path_factory.mktemp("qwen") / "base", "qwen2")


LORAS: dict[str, Callable[[], Any]] = {
    "biases all": lambda: lora_of(bias="all"),
    "biases lora_only": lambda: lora_of(bias="lora_only"),
    "biases of its own": lambda: lora_of(lora_bias=True),
    "token rows": lambda: lora_of(trainable_token_indices=[5, 300]),
    "token rows by module": lambda: lora_of(trainable_token_indices={"embed_tokens": [5, 300]}),
    "activated by a token": lambda: lora_of(alora_invocation_tokens=[80, 81]),
    "dora": lambda: lora_of(use_dora=True),
    "rslora": lambda: lora_of(use_rslora=True),
    "ranks by module": lambda: lora_of(rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 16}),
    "whole head": lambda: lora_of(modules_to_save=["lm_head"]),
    "embeddings": lambda: lora_of(target_modules=["embed_tokens", "q_proj"]),
}


@pytest.mark.parametrize("name", LORAS)
def test_every_way_to_make_a_lora(name: str, qwen: Path, tmp_path: Path) -> None:
    hold(qwen, saved(trained(LORAS[name](), qwen), tmp_path / "lora"))


def test_replicated_layers(base: Path, tmp_path: Path) -> None:
    """The adapter's model is deeper than its base, which comes back when the adapter is taken off."""
    config = lora_of(layer_replication=[[0, 2], [1, 2]])
    hold(base, saved(trained(config, base), tmp_path / "deeper"))


def test_an_activated_lora_acts_from_its_tokens_on(qwen: Path, tmp_path: Path) -> None:
    """It is the base before them, and another model behind; PEFT alone knows where they stand."""
    tokenizer = AutoTokenizer.from_pretrained(qwen)
    call = tokenizer.encode("Topic:")
    adapter = saved(trained(lora_of(alora_invocation_tokens=call), qwen), tmp_path / "alora")
    engine = backend()
    both = variants(qwen, adapter)
    engine.prepare(both)
    requests = [
        Request("with", "1", "Message: my card\nTopic:", continuation=" payment"),
        Request("without", "2", "Message: my card\n", continuation=" payment"),
    ]
    base, tuned = (answers(engine, variant, requests) for variant in both)
    assert tuned["without"] == pytest.approx(base["without"], abs=1e-5)
    assert abs(tuned["with"] - base["with"]) > 1e-2
    right = plain(loaded(adapter, qwen), tokenizer)
    assert answers(engine, both[1], asked()) == {
        name: pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
        for name, value in right.items()
    }
    text = "Message: my card\nTopic:"
    ids = tokenizer.encode(text)
    model = loaded(adapter, qwen)
    for _ in range(5):
        ids.append(int(logits_of(model, ids)[-1].argmax()))
    (drawn,) = engine.answer(both[1], [Request("g", "g", text, decoding=Decoding(max_tokens=5))])
    assert drawn.completions[0].text == tokenizer.decode(ids).removeprefix(text)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("how", ["list", "by module"])
def test_token_rows_beside_a_grown_vocabulary(how: str, ties: bool, tmp_path: Path) -> None:
    """PEFT itself wants a base that has grown; here the base stays what it is."""
    base = build_model(tmp_path / "base", "qwen2", tie_word_embeddings=ties)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([f"<|new{n}|>" for n in range(20)])
    new = [len(tokenizer) - 2, len(tokenizer) - 1]
    rows: Any = new if how == "list" else {"embed_tokens": new}
    tuned = trained(lora_of(trainable_token_indices=rows), base, grown=len(tokenizer))
    adapter = saved(tuned, tmp_path / "adapter")
    tokenizer.save_pretrained(adapter)
    engine = backend()
    both = variants(base, adapter)
    before = answers(backend(), both[0], asked())
    engine.prepare(both)
    request = Request("r", "c", f"Once <|new{18}|> upon", continuation=" a <|new19|> time")
    head, whole = (
        tokenizer.encode(text)
        for text in ("Once <|new18|> upon", "Once <|new18|> upon a <|new19|> time")
    )
    logits = logits_of(tuned, whole[:-1]).log_softmax(-1)
    right = sum(float(logits[place - 1, whole[place]]) for place in range(len(head), len(whole)))
    assert answers(engine, both[1], [request])["r"] == pytest.approx(right, abs=1e-4)
    assert answers(engine, both[0], asked()) == before


def test_token_rows_beyond_the_vocabulary(base: Path, tmp_path: Path, copy: Any) -> None:
    from safetensors.torch import load_file, save_file

    tokenizer = build_tokenizer()
    tuned = trained(
        lora_of(trainable_token_indices=[len(tokenizer) + 9]), base, grown=len(tokenizer) + 20
    )
    adapter = saved(tuned, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    stored = load_file(file)
    whole = ("embed_tokens.weight", "lm_head.weight", "base_layer.weight")
    save_file({key: value for key, value in stored.items() if not key.endswith(whole)}, file)
    with pytest.raises(
        AdapterError, match=r"has trained the row of token \d+, but the base has emb"
    ):
        backend().prepare(variants(base, adapter))


@pytest.mark.parametrize(
    "kinds", [("LORA", "VERA", "LORA"), ("IA3", "LORA", "LORA", "PREFIX_TUNING")]
)
def test_several_types_in_one_run(kinds: tuple[str, ...], base: Path, tmp_path: Path) -> None:
    """Every variant as if it were alone, whichever was asked before."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    named, right = [Variant("base", "base", str(base))], {}
    for n, kind in enumerate(kinds):
        adapter = saved(trained(config_of(kind), base, seed=n + 1), tmp_path / f"{n}")
        named.append(Variant(f"{n}", "adapter", str(base), str(adapter)))
        right[f"{n}"] = plain(loaded(adapter, base), tokenizer)
    right["base"] = plain(AutoModelForCausalLM.from_pretrained(base).eval(), tokenizer)
    engine = backend()
    engine.prepare(named)
    for variant in (*named, *named[::-1]):
        found = answers(engine, variant, asked())
        for name, value in right[variant.name].items():
            wanted = pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
            assert found[name] == wanted, (variant.name, name)


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        ("pissa", "path_initial_model_for_weight_conversion=FIRST"),
        ("pissa_niter_4", "path_initial_model_for_weight_conversion=FIRST"),
        ("olora", "path_initial_model_for_weight_conversion=FIRST"),
    ],
)
def test_a_lora_that_changes_the_base(start: str, remedy: str, base: Path, tmp_path: Path) -> None:
    adapter = saved(trained(lora_of(init_lora_weights=start), base), tmp_path / "pissa")
    with pytest.raises(AdapterError) as error:
        backend().prepare(variants(base, adapter))
    assert f'began with init_lora_weights: "{start}", which changes the weights' in str(error.value)
    assert remedy in str(error.value)


def test_a_converted_pissa_is_a_plain_lora(base: Path, tmp_path: Path) -> None:
    tuned = trained(lora_of(init_lora_weights="pissa"), base, scale=0.0)
    tuned.peft_config["default"].init_lora_weights = True
    first = saved(tuned, tmp_path / "first")
    tuned.peft_config["default"].init_lora_weights = "pissa"
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned.save_pretrained(
            tmp_path / "plain", path_initial_model_for_weight_conversion=str(first)
        )
    hold(base, tmp_path / "plain", reference=tuned)


@pytest.mark.parametrize(
    ("more", "way"),
    [
        ({"bias": "all"}, 'bias="all"'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights="pissa"'),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    ],
)
def test_a_model_in_memory_whose_base_is_gone(more: dict[str, Any], way: str, base: Path) -> None:
    tuned = trained(lora_of(**more), base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    models = {"tuned": (tuned, tokenizer)}
    engine = HFBackend(HFBackend.Options(offline=True, device="cpu", models=models))
    with pytest.raises(AdapterError) as error:
        engine.prepare([Variant("tuned", "adapter", "", "")])
    assert f"was trained with {way}, which changes the base in memory" in str(error.value)


@pytest.mark.parametrize("kind", ["LILY", "SHADOW", "VERA"])
def test_a_model_in_memory_is_tried_too(kind: str, base: Path) -> None:
    tuned = trained(config_of(kind), base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    right = plain(tuned, tokenizer)
    models = {"tuned": (tuned, tokenizer), "base": (tuned, tokenizer)}
    engine = HFBackend(HFBackend.Options(offline=True, device="cpu", models=models))
    both = [Variant("base", "base", ""), Variant("tuned", "adapter", "", "")]
    engine.prepare(both)
    for variant, wanted in ((both[1], right), (both[0], plain_base(base)), (both[1], right)):
        found = answers(engine, variant, asked())
        for name, value in wanted.items():
            if isinstance(value, float):
                assert found[name] == pytest.approx(value, abs=1e-4), name
