"""Rows under way: what they share, how they stand together and how many at once change nothing."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from tiny_models import build_tokenizer
from tuneval.engine.hf.passes import cascade, schedule
from tuneval.engine.hf.passes.cascade import Begun, Cascade
from tuneval.engine.hf.passes.generation import Job, generate
from tuneval.engine.hf.passes.tree import find_tree
from tuneval.engine.hf.text.render import Prompt
from tuneval.engine.hf.weights.network import Network
from tuneval.types import Decoding

END = 7


@pytest.fixture(scope="module", params=[LlamaConfig, Qwen3Config], ids=["llama", "qwen3"])
def network(request) -> Network:
    torch.manual_seed(1)
    config = request.param(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    network = Network(model, device="cpu")
    with torch.inference_mode():
        network.check(list(range(2, 30)))
    return network


def jobs_of_all_kinds() -> list[Job]:
    """Many samples of a prompt, questions on one text, prompts alone, one within another."""
    draw = random.Random(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(8, 119) for _ in range(n))

    header, text = ids(25), ids(40)
    prompts = [header + ids(draw.randint(1, 20)) for _ in range(6)]
    prompts += [header + text + ids(draw.randint(1, 9)) for _ in range(5)]
    prompts += [header + text, ids(3), ids(70), ids(110)]
    jobs = []
    for owner, prompt in enumerate(prompts):
        n, temperature = draw.choice([(1, 0.0), (6, 0.8)])
        decoding = Decoding(
            max_tokens=20, temperature=temperature, top_p=0.9, n_completions=n, stop=("e",)
        )
        lengths = draw.randint(1, 20)
        jobs += [
            Job(owner, number, Prompt(prompt, len(prompt), lengths), decoding)
            for number in range(n)
        ]
    return jobs


def drawn(network: Network, jobs: list[Job], **options) -> list[tuple[str, int, str]]:
    tree = find_tree(network, None, 119)
    assert tree is not None and tree.shares_stems and tree.can_generate
    options = {"token_budget": 10**6, "max_rows": 64, **options}
    found = dict(
        generate(
            network,
            tree,
            jobs,
            tokenizer=build_tokenizer(),
            end_tokens=frozenset({END}),
            **options,
        )
    )
    assert sorted(found) == list(range(len(jobs)))
    return [
        (found[i].completion.text, found[i].completion.n_tokens, found[i].completion.finish_reason)
        for i in range(len(jobs))
    ]


@pytest.fixture(scope="module")
def apart(network) -> list[tuple[str, int, str]]:
    """Each row alone, with all keys of its own."""
    return [drawn(network, [job], max_rows=1)[0] for job in jobs_of_all_kinds()]


@pytest.mark.parametrize("stem", [0, 10**9], ids=["shared", "all their own"])
@pytest.mark.parametrize("shelf", [0, 10**9], ids=["a shelf per length", "one shelf"])
@pytest.mark.parametrize("room", [1, 64])
def test_texts_are_those_of_rows_alone(network, apart, monkeypatch, stem, shelf, room) -> None:
    monkeypatch.setattr(schedule, "_STEM", stem)
    monkeypatch.setattr(schedule, "_SHELF", shelf)
    monkeypatch.setattr(cascade, "_ROOM", room)
    jobs = jobs_of_all_kinds()
    assert drawn(network, jobs) == apart
    order = random.Random(2).sample(range(len(jobs)), len(jobs))
    shuffled = drawn(network, [jobs[i] for i in order], max_rows=7, token_budget=300)
    assert shuffled == [apart[i] for i in order]


def keys_values(n: int):
    return [(torch.randn(2, n, 8), torch.randn(2, n, 8)) for _ in range(2)]


def test_what_is_held_is_counted(network) -> None:
    tree = find_tree(network, None, 119)
    slots = Cascade(tree.body, tree.head, 3, 50)

    def row(key: int, n_own: int, stem: int | None = None) -> Begun:
        return Begun(key, stem, keys_values(30), keys_values(n_own), n_more=4)

    with torch.inference_mode():
        assert slots.has_room(row(0, 10, stem=5))
        slots.add(row(0, 10, stem=5))
        assert slots.n_free_tokens == 50 - 30 - 10 - 4
        assert not slots.has_room(row(1, 3))
        assert slots.has_room(row(1, 2, stem=5))  # the stem is there already
        assert not slots.has_room(row(1, 2, stem=6))
        slots.add(row(1, 2, stem=5))
        assert (slots.n_free, slots.n_free_tokens) == (1, 0)
        order = slots.order()
        assert sorted(order) == [0, 1]
        assert slots.step([9, 9], [40, 40]).shape == (2, 120)
        slots.remove(0, is_dirty=False)
        assert slots.n_free_tokens == 14
        slots.remove(1, is_dirty=False)
        assert (slots.n_free, slots.n_free_tokens) == (3, 50)
        assert slots.has_room(row(2, 500))  # the first always is
        assert slots.order() == []


def test_samples_of_one_prompt_hold_its_keys_once(network, monkeypatch) -> None:
    """Memory follows from what is held: the prompt once, and per row what it has drawn."""
    most = 0
    move_in = cascade._Shelf.move_in

    def measured(self, layer):
        nonlocal most
        move_in(self, layer)
        most = max(most, sum(keys.shape[0] // self.heads * keys.shape[1] for keys in self.keys[:1]))

    monkeypatch.setattr(cascade._Shelf, "move_in", measured)
    prompt = Prompt(tuple(range(8, 108)), 100, 6)
    decoding = Decoding(max_tokens=6, temperature=0.8, n_completions=40)
    drawn(network, [Job(0, number, prompt, decoding) for number in range(40)])
    assert 100 <= most <= 40 * 6


def test_rows_are_moved_seldom(network, monkeypatch) -> None:
    """Rows of many lengths would be cheapest on many shelves; that must not move them each step."""
    monkeypatch.setattr(schedule, "_SHELF", 0)
    moved = 0
    settle = Cascade._settle

    def counted(self, sequences, beside=()):
        nonlocal moved
        moved += 1
        settle(self, sequences, beside)

    monkeypatch.setattr(Cascade, "_settle", counted)
    decoding = Decoding(max_tokens=24)
    jobs = [
        Job(n, 0, Prompt(tuple(range(8 + n, 20 + 4 * n)), 12 + 3 * n, 24), decoding)
        for n in range(14)
    ]
    drawn(network, jobs)
    assert 0 < moved <= 8  # rows come in, fewer are left, the self-check
