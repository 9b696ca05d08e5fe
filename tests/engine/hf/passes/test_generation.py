"""Completions: greedy equals the plain loop, samples follow their seed, rows end on their own."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny_models import SHAPES, build_model, build_tokenizer
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes.generation import (
    Job,
    Reader,
    Row,
    Speller,
    can_complete,
    choose,
    row_of,
)
from tuneval.engine.hf.text.render import Prompt
from tuneval.types import Decoding, Request, Variant

PROMPTS = [
    "Once upon a time",
    "Message: my card was refused\nTopic:",
    "def add(a, b):\n",
    "The",
    "positive negative neutral refund shipping",
]


def ask(backend, variant, requests):
    return {answer.request_id: answer for answer in backend.answer(variant, requests)}


def plain_greedy(model, tokenizer, prompt: str, n: int, ends: set[int]) -> list[int]:
    ids = tokenizer.encode(prompt)
    start = len(ids)
    while len(ids) - start < n:
        with torch.no_grad():
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if token in ends:
            break
        ids.append(token)
    return ids[start:]


@pytest.mark.parametrize("family", SHAPES)
def test_greedy_is_the_plain_loop(tmp_path, family) -> None:
    folder = build_model(tmp_path / family, family)
    variant = Variant("base", "base", str(folder))
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for batch_size in (1, 2, "auto"):
        backend = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=batch_size))
        requests = [
            Request(str(i), "c", prompt, decoding=Decoding(max_tokens=10 + i))
            for i, prompt in enumerate(PROMPTS)
        ]
        answers = ask(backend, variant, random.Random(0).sample(requests, len(requests)))
        for i, prompt in enumerate(PROMPTS):
            ids = plain_greedy(model, tokenizer, prompt, 10 + i, {tokenizer.eos_token_id})
            (completion,) = answers[str(i)].completions
            assert completion.n_tokens == len(ids)
            assert completion.text == tokenizer.decode(ids)
            assert completion.finish_reason == ("length" if len(ids) == 10 + i else "stop")
        backend.close()


def test_samples_do_not_depend_on_batching(base) -> None:
    variant = Variant("base", "base", str(base))
    decoding = Decoding(max_tokens=8, temperature=0.9, top_p=0.95, n_completions=4)
    requests = [Request(str(i), "c", p, decoding=decoding) for i, p in enumerate(PROMPTS)]
    found = []
    for batch_size in (1, 3, "auto"):
        backend = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=batch_size))
        shuffled = random.Random(batch_size).sample(requests, len(requests))
        answers = ask(backend, variant, shuffled)
        found.append({key: answer.completions for key, answer in answers.items()})
    assert found[0] == found[1] == found[2]
    assert all(len(set(completions)) > 1 for completions in found[0].values())
    other = Decoding(max_tokens=8, temperature=0.9, n_completions=4, sampling_seed=1)
    again = ask(backend, variant, [Request("0", "c", PROMPTS[0], decoding=other)])
    assert again["0"].completions != found[0]["0"]


def test_stop_strings_end_a_row(base) -> None:
    variant = Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    free = ask(backend, variant, [Request("r", "c", "Once", decoding=Decoding(max_tokens=12))])
    text = free["r"].completions[0].text
    stop = text[4:6]
    decoding = Decoding(max_tokens=12, stop=("never", stop))
    requests = [
        Request("r", "c", "Once", decoding=decoding),
        Request("other", "c", "Once", decoding=Decoding(max_tokens=12)),
    ]
    answers = ask(backend, variant, requests)
    assert answers["r"].completions[0].text == text[: text.find(stop)]
    assert answers["r"].completions[0].finish_reason == "stop"
    assert answers["other"].completions == free["r"].completions


@pytest.mark.fault
def test_an_immediate_end_is_an_empty_text(tmp_path) -> None:
    folder = build_model(tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(folder)
    variant = Variant("base", "base", str(folder))
    request = Request("r", "c", "Once", decoding=Decoding(max_tokens=5))
    with torch.no_grad():
        first = int(model(torch.tensor([build_tokenizer().encode("Once")])).logits[0, -1].argmax())
    model.generation_config.eos_token_id = [first]
    model.save_pretrained(folder)
    (completion,) = ask(HFBackend(HFBackend.Options(offline=True)), variant, [request])[
        "r"
    ].completions
    assert (completion.text, completion.n_tokens, completion.finish_reason) == ("", 0, "stop")


def test_no_room_and_no_tokens(base) -> None:
    variant = Variant("base", "base", str(base))
    request = Request("r", "c", "Once", decoding=Decoding(max_tokens=0))
    (completion,) = ask(HFBackend(HFBackend.Options(offline=True)), variant, [request])[
        "r"
    ].completions
    assert (completion.text, completion.finish_reason) == ("", "length")


def test_indentation_survives_vocabularies_that_drop_the_first_blank() -> None:
    from shared import shared_path

    tokenizer = AutoTokenizer.from_pretrained(shared_path("models", "stories260k"))
    prompt, whole = tokenizer.encode("def f():\n"), tokenizer.encode("def f():\n    return")
    reader = Reader(Speller(tokenizer), prompt, ())
    assert reader.text(whole[len(prompt) :]) == "    return"
    assert tokenizer.decode(whole[len(prompt) :]) == "   return"


SPELLER = Speller(build_tokenizer())


def row(top_p: float, number: int) -> Row:
    decoding = Decoding(temperature=0.5, top_p=top_p)
    return row_of(0, Job(0, number, Prompt((1, 2), 2, 4), decoding), SPELLER)


@pytest.mark.parametrize("n_tokens", [4, 300])
def test_draws_follow_the_distribution_within_top_p(n_tokens) -> None:
    shares = np.zeros(n_tokens)
    shares[[0, 1, n_tokens // 2, n_tokens - 1]] = [0.05, 0.5, 0.15, 0.3]
    logits = torch.tensor(shares).float().log().expand(4000, -1) * 0.5  # at temperature 0.5
    rows = [row(0.75, number) for number in range(4000)]
    counts = np.bincount(choose(logits, rows), minlength=n_tokens) / 4000
    expected = np.where(shares >= 0.3, shares, 0) / 0.8  # likelier tokens hold 0.8 of the mass
    assert counts == pytest.approx(expected, abs=0.03)
    rows = [row(1.0, number) for number in range(4000)]
    counts = np.bincount(choose(logits, rows), minlength=n_tokens) / 4000
    assert counts == pytest.approx(shares, abs=0.03)


@pytest.mark.parametrize("n_tokens", [4, 300])
def test_rows_that_are_not_finite_draw_nothing_and_leave_others_alone(n_tokens) -> None:
    logits = torch.zeros((5, n_tokens))
    logits[0, 1], logits[3, 2], logits[4, 3] = float("nan"), float("inf"), 9.0
    logits[1, n_tokens - 1] = 50.0
    logits[2] = float("-inf")
    rows = [row(0.9, number) for number in range(5)]
    greedy = row_of(4, Job(0, 0, Prompt((1, 2), 2, 4), Decoding()), SPELLER)
    assert choose(logits, [*rows[:4], greedy]) == [-1, n_tokens - 1, -1, -1, 3]
    assert choose(logits[[4, 1]], [greedy, rows[1]]) == [3, n_tokens - 1]


pieces = st.lists(st.text("ab \n", min_size=1, max_size=3), min_size=1, max_size=5)


@given(pieces, st.text("ab \n", min_size=1, max_size=4))
def test_no_token_that_completes_a_stop_string_is_missed(tokens, stop) -> None:
    is_new = stop in "".join(tokens) and stop not in "".join(tokens[:-1])
    assert not is_new or can_complete(tokens[-1], (stop,))
    assert not is_new or can_complete(tokens[-1].lstrip(), (stop,))  # decoders drop a blank


@pytest.mark.parametrize("stop", ["<|turn|>", "<|turn|>\n"])
def test_a_special_token_is_a_stop_string(stop) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    (number,) = tokenizer.encode("<|turn|>")
    reader = Reader(Speller(tokenizer), (), (stop, "never"))
    assert reader.ends == {number}
    words = tokenizer.encode(" Paris")
    assert reader.until_stop([*words, number]) is None
    assert reader.text([*words, number]) == " Paris"
    assert Reader(Speller(tokenizer), (), ("Paris",)).ends == frozenset()


@pytest.mark.parametrize(
    ("token", "stop", "expected"),
    [
        ("x", ("\ndef",), False),
        ("def", ("\ndef",), True),
        ("fun", ("\ndef",), True),
        ("if def", ("\ndef",), False),
        ("def", ("\n#", "\nclass"), False),
        ("}", ("\n\n",), True),  # blanks come and go
        ("\ufffd", ("x",), True),
        ("", ("x",), True),
    ],
)
def test_most_tokens_need_not_be_looked_at(token, stop, expected) -> None:
    assert can_complete(token, stop) is expected
