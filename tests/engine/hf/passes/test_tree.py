"""Every family of models either runs as a packed trie that equals plain forwards, or falls back."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tiny_models import build_tokenizer
from tuneval.engine.hf.passes import tree as trees
from tuneval.engine.hf.passes.generation import Job, generate
from tuneval.engine.hf.passes.loglikelihood import score
from tuneval.engine.hf.passes.prefix import can_expand
from tuneval.engine.hf.passes.schedule import build_trie
from tuneval.engine.hf.passes.tree import find_tree
from tuneval.engine.hf.text.render import Prompt, Window
from tuneval.engine.hf.weights.network import Network
from tuneval.types import Decoding

FUSED, TRIE = "packed trie, fused pass", "packed trie"
EXPANDED, PADDED = "prefix expansion", "padded"
QUICK = {
    "llama": FUSED,
    "qwen2": FUSED,
    "qwen3": FUSED,
    "mistral": TRIE,
    "gemma": TRIE,
    "gemma2": TRIE,
    "gemma3_text": TRIE,
    "gpt2": TRIE,
    "cohere2": TRIE,
    "gpt_oss": TRIE,
    "bloom": EXPANDED,
    "mpt": EXPANDED,
    "mamba": PADDED,
    "llama4_text": PADDED,
}
# fmt: off
SLOW: dict[str, str] = dict.fromkeys([
    "qwen2_moe", "qwen3_moe", "mixtral", "phi", "phi3", "gpt_neox", "gpt_bigcode", "gptj",
    "codegen", "xglm", "opt", "stablelm", "starcoder2", "olmo", "olmo2", "olmo3", "olmoe",
    "granite", "granitemoe", "cohere", "smollm3", "glm", "glm4", "nemotron", "ernie4_5", "helium",
    "hunyuan_v1_dense", "exaone4", "bitnet", "persimmon", "diffllama", "biogpt", "seed_oss",
    "apertus", "ministral",
], TRIE)
# fmt: on
SLOW |= dict.fromkeys(["falcon_mamba", "rwkv", "recurrent_gemma", "qwen3_next", "minimax"], PADDED)
FAMILIES = [
    *(pytest.param(name, path, id=name) for name, path in QUICK.items()),
    *(pytest.param(name, path, id=name, marks=pytest.mark.slow) for name, path in SLOW.items()),
]
# One set of names for all families; each takes those that it knows.
SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "intermediate_size_mlp"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "attention_heads", "n_heads"), 4),
    **dict.fromkeys(("num_experts", "num_local_experts"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 128),
    "vocab_size": 120,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rotary_dim": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "query_pre_attn_scalar": 8,
    "attention_chunk_size": 32,
    "sliding_window": 8,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}


def build(family: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    settings = {**SETTINGS, **settings}
    if family in ("bloom", "mpt"):
        # transformers' own cache slides by these even where no layer does.
        del settings["sliding_window"], settings["attention_chunk_size"]
    config = CONFIG_MAPPING[family](**settings)
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def network_of(model: Any) -> Network:
    network = Network(model, device="cpu")
    with torch.inference_mode():
        network.check(list(range(2, 30)))
    return network


def random_windows(n: int = 14) -> list[Window]:
    """Sequences of up to 40 tokens (beyond the sliding window of 8) that share their beginnings."""
    draw = random.Random(0)
    stem = [draw.randrange(2, 119) for _ in range(30)]
    windows = []
    for _ in range(n):
        tail = [draw.randrange(2, 119) for _ in range(draw.randint(2, 10))]
        ids = stem[: draw.choice([0, 5, 20, 30])] + tail
        windows.append(Window(tuple(ids), draw.randint(1, len(tail) - 1)))
    return windows


def plain(model: Any, window: Window) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([window.ids[:-1]]), use_cache=False).logits[0]
    logprobs = logits.double().log_softmax(-1)
    places = range(len(window.ids) - window.n_scored, len(window.ids))
    return [float(logprobs[place - 1, window.ids[place]]) for place in places]


@pytest.mark.filterwarnings("ignore")  # some families warn about kernels that are not installed
@pytest.mark.parametrize(("family", "path"), FAMILIES)
def test_scores_and_texts_are_those_of_plain_forwards(family, path) -> None:
    model = build(family)
    network = network_of(model)
    tree = find_tree(network, None, 119)
    expands = tree is None and can_expand(network, 119)
    assert (tree.name if tree else EXPANDED if expands else PADDED) == path
    assert tree is None or tree.can_generate
    windows = random_windows()
    limits = {"token_budget": 64, "max_rows": 4}
    found = dict(score(network, tree, windows, **limits, can_expand=expands))
    assert len(found) == len(windows)
    for index, window in enumerate(windows):
        assert list(found[index].logprobs) == pytest.approx(plain(model, window), abs=2e-4)
    jobs = [
        Job(i, 0, Prompt(window.ids, len(window.ids), 6), Decoding(max_tokens=6))
        for i, window in enumerate(windows[:5])
    ]
    tokenizer = build_tokenizer()
    options = {"tokenizer": tokenizer, "end_tokens": frozenset(), "token_budget": 10**6}
    for index, drawn in generate(network, tree, jobs, max_rows=3, **options):
        ids = list(jobs[index].prompt.ids)
        for _ in range(6):
            with torch.no_grad():
                logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            ids.append(int(logits.argmax()))
        assert drawn.completion.n_tokens == 6
        expected = tokenizer.decode(ids[-6:], skip_special_tokens=True)
        assert drawn.completion.text in (expected, expected.removeprefix(" ")), family


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "gemma3_text", "gpt2"])
def test_a_deep_model_in_half_precision_is_as_near_as_a_plain_forward(family) -> None:
    """The check at load asks a few layers only: rounding over all of them is beyond its bound.

    So here both are held against float32 over the whole depth. A mask that is wrong anywhere is
    off by whole nats.
    """
    depth = dict.fromkeys(("num_hidden_layers", "n_layer"), 24)
    exact = build(family, initializer_range=0.1, **depth)
    half = build(family, initializer_range=0.1, **depth).to(torch.bfloat16)
    exact.load_state_dict(half.state_dict())
    network = network_of(half)
    tree = find_tree(network, None, 119)
    assert tree is not None
    windows = random_windows()
    scored = dict(score(network, tree, windows, token_budget=64, max_rows=4))
    right = [number for one in windows for number in plain(exact, one)]
    ours = [number for index in range(len(windows)) for number in scored[index].logprobs]
    theirs = [number for one in windows for number in plain(half, one)]
    gap, allowed = (
        max(abs(a - b) for a, b in zip(found, right, strict=True)) for found in (ours, theirs)
    )
    assert 0 < gap < 3 * allowed < 0.5


def test_a_window_that_the_model_does_not_obey() -> None:
    """Configs that went from one family to another keep settings that mean nothing."""
    assert trees.sliding_window(network_of(build("llama"))) is None
    assert trees.sliding_window(network_of(build("mistral"))) == 8


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_no_token_is_pushed_twice(family, monkeypatch) -> None:
    network = network_of(build(family))
    tree = find_tree(network, None, 119)
    pushed = 0
    push = type(tree).push

    def counted(self, trie, chunk):
        nonlocal pushed
        pushed += chunk.stop - chunk.start
        return push(self, trie, chunk)

    monkeypatch.setattr(type(tree), "push", counted)
    windows = random_windows(40)
    list(score(network, tree, windows, token_budget=10**6, max_rows=8))
    assert pushed == build_trie([window.ids[:-1] for window in windows]).n_nodes


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_chunks_and_slots_of_any_size_give_the_same(family) -> None:
    network = network_of(build(family))
    tree = find_tree(network, None, 119)
    windows = random_windows()
    decoding = Decoding(max_tokens=9, temperature=0.7, top_p=0.9, n_completions=3)
    jobs = [
        Job(i, number, Prompt(window.ids, len(window.ids), 3 + i), decoding)
        for i, window in enumerate(windows[:6])
        for number in range(3)
    ]
    options = {"tokenizer": build_tokenizer(), "end_tokens": frozenset({7}), "token_budget": 10**6}
    scores, texts = [], []
    for size in (16, 17, 64, 1000):
        tree.chunk_size = size
        found = dict(score(network, tree, windows, token_budget=10**6, max_rows=8))
        scores.append([found[index].logprobs for index in range(len(windows))])
        drawn = dict(generate(network, tree, jobs, max_rows=max(1, size // 16), **options))
        texts.append([drawn[index].completion for index in range(len(jobs))])
    for other in scores[1:]:
        for a, b in zip(scores[0], other, strict=True):
            assert list(a) == pytest.approx(list(b), abs=1e-4)
    assert texts[0] == texts[1] == texts[2] == texts[3]


def test_a_wrong_pass_is_found_out(monkeypatch) -> None:
    """The check at load is what keeps a pass that an update of torch breaks from being used."""
    network = network_of(build("llama"))
    monkeypatch.setattr(trees.FusedTree, "head", lambda self, hidden: self._head.plain(hidden) + 1)
    assert find_tree(network, None, 119).name == TRIE
    monkeypatch.setattr(trees.MaskedTree, "head", lambda self, hidden: hidden)
    assert find_tree(network, None, 119) is None
