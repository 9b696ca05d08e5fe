"""Real rows and a real small model: the numbers are those of plain forwards, one request at a time.

MMLU with two examples, Banking77 with all labels, SQuAD questions and long texts, many of them
beyond the model's context of 512 tokens.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared import shared_path, shared_rows
from tuneval.engine.hf.backend import HFBackend
from tuneval.types import Decoding, Request, Variant

CONTEXT = 512
N_DRAWN = 12
STOP = ("\n", " the")


def mmlu(n: int) -> list[Request]:
    """Letters after two examples of the same subject and a question."""

    def block(row: dict[str, Any]) -> str:
        options = "".join(
            f"\n{letter}. {c}" for letter, c in zip("ABCD", row["choices"], strict=True)
        )
        return f"{row['question'].strip()}{options}\nAnswer:"

    shots, requests = shared_rows("mmlu", "dev.jsonl.gz"), []
    tests = shared_rows("mmlu", "test.jsonl.gz")
    for number, row in enumerate(tests[:: len(tests) // n][:n]):
        subject = row["subject"]
        examples = [shot for shot in shots if shot["subject"] == subject][:2]
        head = f"The following are multiple choice questions about {subject.replace('_', ' ')}.\n\n"
        head += "".join(f"{block(shot)} {'ABCD'[shot['answer']]}\n\n" for shot in examples)
        requests += [
            Request(f"mmlu-{number}-{letter}", "c", head + block(row), continuation=f" {letter}")
            for letter in "ABCD"
        ]
    return requests


def banking(n: int, *, is_listed: bool, n_labels: int = 77) -> list[Request]:
    """Every label of a message, after a short instruction or after one that lists all labels."""
    rows = shared_rows("banking77", "test_half.jsonl.gz")
    labels = sorted({row["category"].replace("_", " ") for row in rows})
    head = "Name the intent of the message of a bank customer.\n"
    if is_listed:
        head += f"Intents: {', '.join(labels)}.\n"
    return [
        Request(f"{is_listed}-{i}-{k}", "c", f"{head}Message: {row['text']}\nIntent:", f" {label}")
        for i, row in enumerate(rows[:: len(rows) // n][:n])
        for k, label in enumerate(labels[:: 77 // n_labels])
    ]


def squad(n: int) -> list[tuple[str, str]]:
    """(paragraph, question)."""
    with gzip.open(shared_path("squad", "dev_v1.1_subset.json.gz"), "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    pairs = [
        (paragraph["context"], question["question"])
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return pairs[:: len(pairs) // n][:n]


def drawings(n: int) -> list[Request]:
    decoding = Decoding(max_tokens=N_DRAWN, stop=STOP)
    return [
        Request(f"squad-{i}", "c", f"Context: {p}\n\nQuestion: {q}\n\nAnswer:", decoding=decoding)
        for i, (p, q) in enumerate(squad(n))
    ]


def rollings(n: int) -> list[Request]:
    """Texts without a context, longer than the model's."""
    paragraphs = [paragraph for paragraph, _ in squad(3 * n)]
    return [
        Request(f"text-{i}", "c", "", continuation="\n\n".join(paragraphs[3 * i : 3 * i + 3]))
        for i in range(n)
    ]


# --------------------------------------------------------------------------- plain forwards


@torch.no_grad()
def scored(model: Any, ids: list[int], n: int) -> tuple[float, bool, float]:
    """Log-likelihood of the last ``n`` ids, is_greedy, and the smallest gap to another token."""
    kept = ids[-(CONTEXT + 1) :]
    logits = model(torch.tensor([kept[:-1]]), use_cache=False).logits[0, -n:].double()
    targets = torch.tensor(kept[-n:])
    logprobs = logits.log_softmax(-1)
    top = logits.topk(2).values
    value = float(logprobs[torch.arange(n), targets].sum())
    return value, bool((logits.argmax(-1) == targets).all()), float((top[:, 0] - top[:, 1]).min())


def plain(model: Any, tokenizer: Any, request: Request) -> tuple[float, bool, float]:
    if request.prompt:
        head = tokenizer.encode(request.prompt)
        whole = tokenizer.encode(request.prompt + request.continuation)
        assert whole[: len(head)] == head
        return scored(model, whole, len(whole) - len(head))
    ids = tokenizer.encode(request.continuation)
    assert ids[0] == tokenizer.bos_token_id
    # Each token once, in blocks as long as the context that end where the block ends.
    ends = range(1 + CONTEXT, len(ids) + CONTEXT, CONTEXT)
    parts = [
        scored(model, ids[: min(end, len(ids))], min(end, len(ids)) - (end - CONTEXT))
        for end in ends
    ]
    return sum(p[0] for p in parts), all(p[1] for p in parts), min(p[2] for p in parts)


@torch.no_grad()
def drawn(model: Any, tokenizer: Any, request: Request) -> str:
    ids = tokenizer.encode(request.prompt)[-(CONTEXT - N_DRAWN) :]
    n = len(ids)
    for _ in range(N_DRAWN):
        ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        text = tokenizer.decode(ids[n:], skip_special_tokens=True)
        found = [text.find(stop) for stop in STOP if stop in text]
        if found or ids[-1] == tokenizer.eos_token_id:
            return text[: min(found, default=None)]
    return text


def check(requests: Sequence[Request], backend: HFBackend, variant: Variant) -> tuple[int, int]:
    """Hold all answers against plain forwards; (requests that were cut, flips of is_greedy)."""
    model = AutoModelForCausalLM.from_pretrained(variant.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(variant.model)
    answers = {answer.request_id: answer for answer in backend.answer(variant, requests)}
    assert len(answers) == len(requests)
    n_cut = n_flips = 0
    for request in requests:
        answer = answers[request.id]
        n_cut += answer.is_truncated
        if request.decoding is not None:
            text = answer.completions[0].text
            # This tokenizer's decoder drops the blank in front of a text.
            assert text.removeprefix(" ") == drawn(model, tokenizer, request).removeprefix(" ")
            continue
        value, is_greedy, gap = plain(model, tokenizer, request)
        assert answer.loglikelihood == pytest.approx(value, abs=1e-3, rel=1e-5)
        if answer.is_greedy != is_greedy:
            assert gap < 1e-3
            n_flips += 1
    return n_cut, n_flips


@pytest.fixture
def variant() -> Variant:
    return Variant("base", "base", str(shared_path("models", "stories260k")))


def test_a_few_real_rows(variant) -> None:
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    requests = [
        *mmlu(5),
        *banking(2, is_listed=False, n_labels=19),
        *banking(1, is_listed=True, n_labels=12),
        *drawings(3),
        *rollings(1),
    ]
    n_cut, n_flips = check(requests, backend, variant)
    assert n_cut > 12
    assert n_flips == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["packed", "expanded", "padded"])
def test_many_real_rows(variant, monkeypatch, path) -> None:
    """The same on every path that a model may take."""
    if path != "packed":
        monkeypatch.setattr("tuneval.engine.hf.resident.find_tree", lambda *_: None)
    if path == "padded":
        monkeypatch.setattr("tuneval.engine.hf.passes.prefix.can_expand", lambda *_: False)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    requests = [
        *mmlu(25),
        *banking(3, is_listed=False),
        *banking(1, is_listed=True),
        *drawings(10),
        *rollings(2),
    ]
    n_cut, n_flips = check(requests, backend, variant)
    assert n_cut > 100
    assert n_flips == 0
    named = {"packed": "packed trie, fused pass", "expanded": "prefix expansion"}
    scoring = backend.prepare([variant])["base"].settings["scoring"]
    assert scoring == named.get(path, "padded batches")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_same_as_lm_eval(variant) -> None:
    """Against lm-evaluation-harness itself, where it is installed."""
    huggingface = pytest.importorskip(
        "lm_eval.models.huggingface",
        reason="lm_eval is not installed (pip install lm_eval==0.4.13)",
    )
    from lm_eval.api.instance import Instance

    peer = huggingface.HFLM(
        pretrained=variant.model, device="cpu", dtype="float32", batch_size=4, max_length=CONTEXT
    )
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    requests = [*mmlu(40), *banking(8, is_listed=False), *banking(2, is_listed=True)]
    answers = {answer.request_id: answer for answer in backend.answer(variant, requests)}
    work = [
        Instance("loglikelihood", {}, (request.prompt, request.continuation), number)
        for number, request in enumerate(requests)
    ]
    with torch.no_grad():
        expected = peer.loglikelihood(work, disable_tqdm=True)
    for request, (value, is_greedy) in zip(requests, expected, strict=True):
        assert answers[request.id].loglikelihood == pytest.approx(value, abs=1e-3, rel=1e-5)
        assert answers[request.id].is_greedy == is_greedy
    asked = drawings(20)
    texts = {a.request_id: a.completions[0].text for a in backend.answer(variant, asked)}
    options = {"until": list(STOP), "max_gen_toks": N_DRAWN, "do_sample": False}
    work = [
        Instance("generate_until", {}, (request.prompt, dict(options)), number)
        for number, request in enumerate(asked)
    ]
    with torch.no_grad():
        drawn_there = peer.generate_until(work, disable_tqdm=True)
    for request, text in zip(asked, drawn_there, strict=True):
        assert texts[request.id].removeprefix(" ") == text.removeprefix(" ")
