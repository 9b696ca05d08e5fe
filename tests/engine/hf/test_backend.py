"""The backend's answers are those of a plain forward pass, for every variant and any batching."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared import shared_json, shared_path
from tiny_models import SHAPES, build_adapter, build_model, build_tokenizer
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.weights import placement
from tuneval.engine.hf.weights.folder import describe
from tuneval.types import Decoding, Message, Request, Variant

CONTEXTS = [
    "Message: my card was refused\nTopic:",
    "Question: What is the capital of France?\nAnswer:",
    "Once upon a time there was",
    "def add(a, b):\n",
    "",
]
CONTINUATIONS = [" card payment", " refund", " Paris", " a little girl", "    return a + b"]


def questions() -> list[Request]:
    return [
        Request(f"{i}-{j}", f"{i}", context, continuation=continuation, with_token_logprobs=True)
        for i, context in enumerate(CONTEXTS)
        for j, continuation in enumerate(CONTINUATIONS)
    ]


def ask(backend: HFBackend, variant: Variant, requests):
    return {answer.request_id: answer for answer in backend.answer(variant, requests)}


def plain(model, tokenizer, request: Request) -> tuple[float, bool]:
    """Log-likelihood by one unpadded forward pass of the whole model."""
    context, continuation = request.prompt, request.continuation
    stripped = context.rstrip()
    continuation = context[len(stripped) :] + continuation
    if stripped:
        head, whole = tokenizer.encode(stripped), tokenizer.encode(stripped + continuation)
    else:
        start = tokenizer.bos_token_id
        head = [tokenizer.eos_token_id if start is None else start]
        whole = head + tokenizer.encode(continuation, add_special_tokens=False)
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    rows = range(len(head) - 1, len(whole) - 1)
    total = sum(float(logits[row, whole[row + 1]]) for row in rows)
    return total, all(int(logits[row].argmax()) == whole[row + 1] for row in rows)


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("family", SHAPES)
def test_loglikelihoods_are_those_of_a_plain_forward(tmp_path, family, pad) -> None:
    folder = build_model(tmp_path / family, family, pad=pad, bos=pad)
    variant = Variant("base", "base", str(folder))
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = {request.id: plain(model, tokenizer, request) for request in questions()}
    for batch_size in (1, 3, "auto"):
        backend = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=batch_size))
        shuffled = random.Random(batch_size).sample(questions(), len(questions()))
        answers = ask(backend, variant, shuffled)
        assert set(answers) == set(expected)
        for key, (value, is_greedy) in expected.items():
            assert answers[key].loglikelihood == pytest.approx(value, abs=1e-4)
            assert answers[key].is_greedy == is_greedy
            assert sum(answers[key].token_logprobs) == pytest.approx(value, abs=1e-4)
        backend.close()


def test_published_numbers_of_a_real_model() -> None:
    folder = shared_path("models", "stories260k")
    expected = shared_json("models", "stories260k_expected.json")
    variant = Variant("base", "base", str(folder))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    requests = [Request(str(i), "c", "", row["text"]) for i, row in enumerate(expected["nll"])]
    answers = ask(backend, variant, requests)
    for i, row in enumerate(expected["nll"]):
        assert -answers[str(i)].loglikelihood == pytest.approx(row["sum_nll"], abs=2e-4)
        assert answers[str(i)].n_tokens == row["n_predicted"]
    requests = [
        Request(str(i), "c", row["prompt"], decoding=Decoding(max_tokens=row["max_new_tokens"]))
        for i, row in enumerate(expected["greedy"])
    ]
    answers = ask(backend, variant, requests)
    for i, row in enumerate(expected["greedy"]):
        (completion,) = answers[str(i)].completions
        assert (row["prompt"] + completion.text).strip() == row["text"].strip()
    backend.close()


def variants(base, lora, lora2, other_base) -> dict[str, Variant]:
    return {
        "base": Variant("base", "base", str(base)),
        "lora": Variant("lora", "adapter", str(base), str(lora)),
        "lora.2": Variant("lora.2", "adapter", str(base), str(lora2)),
        "full": Variant("full", "full", str(other_base)),
    }


def test_every_variant_answers_as_if_alone(base, lora, lora2, other_base) -> None:
    from peft import PeftModel

    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    named = variants(base, lora, lora2, other_base)
    facts = backend.prepare(list(named.values()))
    assert len({fact.fingerprint for fact in facts.values()}) == 4
    assert facts["lora"].n_adapter_parameters == 1536
    assert facts["lora"].settings["r"] == "4"
    answers = {name: ask(backend, variant, questions()) for name, variant in named.items()}
    tokenizer = AutoTokenizer.from_pretrained(base)
    for name, variant in named.items():
        model = AutoModelForCausalLM.from_pretrained(variant.model)
        if variant.adapter:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = PeftModel.from_pretrained(model, variant.adapter)
        for request in questions():
            value, _ = plain(model.eval(), tokenizer, request)
            assert answers[name][request.id].loglikelihood == pytest.approx(value, abs=1e-4)
    backend.close()


@pytest.mark.fault
def test_base_scores_are_untouched_by_adapters(base, lora, lora2, other_base) -> None:
    """Bit for bit what a run without any adapter gives, before, between and after adapters."""
    named = variants(base, lora, lora2, other_base)
    alone = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    expected = {k: a.token_logprobs for k, a in ask(alone, named["base"], questions()).items()}
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    for name in ("lora", "base", "lora.2", "base", "full", "base"):
        answers = ask(backend, named[name], questions())
        if name == "base":
            assert {k: a.token_logprobs for k, a in answers.items()} == expected
        else:
            assert {k: a.token_logprobs for k, a in answers.items()} != expected


def test_two_variants_may_be_asked_in_turn(base, lora, lora2, other_base) -> None:
    """Answers come as batches finish; what is asked between two of them does not leak in."""
    named = variants(base, lora, lora2, other_base)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=1))
    backend.prepare(list(named.values()))
    alone = {name: ask(backend, variant, questions()) for name, variant in named.items()}
    streams = {name: backend.answer(variant, questions()) for name, variant in named.items()}
    for _ in questions():
        for name, stream in streams.items():
            answer = next(stream)
            assert answer.loglikelihood == alone[name][answer.request_id].loglikelihood


def test_why_the_usual_tutorial_script_compares_an_adapter_with_itself(base, lora) -> None:
    """`PeftModel.from_pretrained(base, ...)` changes ``base`` in place: both give one answer."""
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(ids).logits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tuned = PeftModel.from_pretrained(model, lora)
        assert torch.equal(model(ids).logits, tuned(ids).logits)
        assert not torch.equal(model(ids).logits, before)


def test_swapping_when_only_one_fits(base, lora, lora2, other_base, monkeypatch) -> None:
    named = variants(base, lora, lora2, other_base)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    expected = {n: ask(backend, v, questions()[:5]) for n, v in named.items()}
    assert len(backend._resident.held) == 2
    # Enough for one, not for two.
    room = placement.needed_bytes(describe(base), "float32", None) * 9 // 8
    monkeypatch.setattr(
        "tuneval.engine.hf.weights.memory.free_bytes",
        lambda device: room * (not narrow._resident.held),
    )
    narrow = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    narrow.prepare(list(named.values()))
    for _ in range(2):
        for name, variant in named.items():
            answers = ask(narrow, variant, questions()[:5])
            assert len(narrow._resident.held) == 1
            for key, answer in answers.items():
                assert answer.token_logprobs == expected[name][key].token_logprobs


@pytest.mark.parametrize("kind", ["dora", "ia3", "prompt", "prefix", "lora_gpt2"])
def test_other_kinds_of_adapters(tmp_path, base, lora, kind) -> None:
    """Each kind through PEFT's own forward; the base and a LoRA beside it stay what they are."""
    import peft

    folder = build_model(tmp_path / "gpt2", "gpt2") if kind == "lora_gpt2" else base
    task = {"task_type": "CAUSAL_LM"}
    config = {
        "dora": lambda: peft.LoraConfig(r=4, target_modules=["q_proj"], use_dora=True, **task),
        "ia3": lambda: peft.IA3Config(
            target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], **task
        ),
        "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=3, **task),
        "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, **task),
        "lora_gpt2": lambda: None,
    }[kind]()
    adapter = build_adapter(tmp_path / "adapter", folder, config=config, scale=0.5)
    named = {
        "base": Variant("base", "base", str(folder)),
        "tuned": Variant("tuned", "adapter", str(folder), str(adapter)),
    }
    if folder == base:
        named["lora"] = Variant("lora", "adapter", str(folder), str(lora))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    backend.prepare(list(named.values()))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(folder), adapter
        ).eval()
    first = {name: ask(backend, variant, questions()[:8]) for name, variant in named.items()}
    with torch.no_grad():
        for request in questions()[:8]:
            head = tokenizer.encode(request.prompt)
            whole = tokenizer.encode(request.prompt + request.continuation)
            n = len(whole) - len(head)
            logits = model(torch.tensor([whole])).logits[0, -len(whole) :].log_softmax(-1)
            value = sum(float(logits[-n - 1 + i, whole[-n + i]]) for i in range(n))
            found = first["tuned"][request.id].loglikelihood
            assert found == pytest.approx(value, abs=1e-4)
    for name in ("base", "tuned", *(["lora"] if "lora" in named else []), "base"):
        again = ask(backend, named[name], questions()[:8])
        for key, answer in again.items():
            assert answer.token_logprobs == first[name][key].token_logprobs
    request = Request("g", "c", "Once upon", decoding=Decoding(max_tokens=6))
    (drawn,) = ask(backend, named["tuned"], [request])["g"].completions
    ids = tokenizer.encode("Once upon")
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    n = len(tokenizer.encode("Once upon"))
    assert drawn.text == tokenizer.decode(ids)[len("Once upon") :] or drawn.n_tokens < 6, ids[n:]
    backend.close()


def test_an_adapter_with_a_grown_vocabulary(tmp_path, base) -> None:
    """The adapter's own copies grow; the base keeps its size and its scores."""
    from peft import LoraConfig, get_peft_model

    tokenizer = build_tokenizer()
    tokenizer.add_tokens([f"<|new{i}|>" for i in range(20)])
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config = LoraConfig(
        r=4,
        target_modules=["q_proj"],
        modules_to_save=["embed_tokens", "lm_head"],
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_peft_model(model, config).eval()
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    adapter = tmp_path / "adapter"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned.save_pretrained(adapter)
    tokenizer.save_pretrained(adapter)
    named = [
        Variant("base", "base", str(base)),
        Variant("tuned", "adapter", str(base), str(adapter)),
    ]
    alone = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    expected = ask(alone, named[0], questions())
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    facts = backend.prepare(named)
    assert "20 tokens more" in facts["tuned"].tokenizer
    request = Request("r", "c", "Once <|new3|> upon", continuation=" a<|new7|>")
    value, _ = plain(tuned, tokenizer, request)
    assert ask(backend, named[1], [request])["r"].loglikelihood == pytest.approx(value, abs=1e-4)
    answers = ask(backend, named[0], questions())
    assert {k: a.token_logprobs for k, a in answers.items()} == {
        k: a.token_logprobs for k, a in expected.items()
    }


def test_embeddings_that_peft_saved_by_itself_stay_out_of_the_base(tmp_path, base, lora, copy):
    """PEFT would write them into the base, whose answers would change without a word."""
    from safetensors.torch import load_file, save_file

    adapter = copy(lora)
    file = adapter / "adapter_model.safetensors"
    stored = load_file(file)
    weights = load_file(base / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        source = weights.get(name, weights["model.embed_tokens.weight"])
        stored[f"base_model.model.{name}"] = source + 0.1
    save_file(stored, file)
    named = [
        Variant("base", "base", str(base)),
        Variant("tuned", "adapter", str(base), str(adapter)),
    ]
    expected = ask(HFBackend(HFBackend.Options(offline=True, device="cpu")), named[0], questions())
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    backend.prepare(named)
    tuned = ask(backend, named[1], questions())
    answers = ask(backend, named[0], questions())
    for key, answer in answers.items():
        assert answer.token_logprobs == expected[key].token_logprobs
        assert answer.token_logprobs != tuned[key].token_logprobs


def test_messages_and_templates(tmp_path) -> None:
    folder = build_model(tmp_path / "chat", chat=True)
    variant = Variant("base", "base", str(folder))
    turns = (Message("user", "my card was refused"),)
    request = Request("r", "c", turns, continuation=" refund")
    on, off = (
        HFBackend(HFBackend.Options(offline=True)),
        HFBackend(HFBackend.Options(offline=True, chat_template="off")),
    )
    assert on.prepare([variant])["base"].prompt_format == "own chat template"
    assert off.prepare([variant])["base"].prompt_format == "plain template"
    assert on.fingerprint(variant) != off.fingerprint(variant)
    text = Request("r", "c", "<|user|>my card was refused\n<|assistant|>", continuation=" refund")
    expected = ask(on, variant, [text])["r"].loglikelihood
    assert ask(on, variant, [request])["r"].loglikelihood == pytest.approx(expected)
    text = Request("r", "c", "my card was refused\n", continuation=" refund")
    assert ask(off, variant, [request])["r"].n_tokens >= 1


def test_models_already_in_memory(base, lora) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    variant = Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, models={"base": model}))
    expected = ask(HFBackend(HFBackend.Options(offline=True)), variant, questions())
    for key, answer in ask(backend, variant, questions()).items():
        assert answer.token_logprobs == expected[key].token_logprobs


def test_fingerprints_follow_everything_that_changes_answers(base, lora, copy) -> None:
    variant = Variant("lora", "adapter", str(base), str(lora))
    known = HFBackend(HFBackend.Options(offline=True)).fingerprint(variant)
    assert HFBackend(HFBackend.Options(offline=True)).fingerprint(variant) == known
    moved = Variant("other name", "adapter", str(copy(base)), str(copy(lora)))
    assert HFBackend(HFBackend.Options(offline=True)).fingerprint(moved) == known
    half = Variant("lora", "adapter", str(base), str(lora), dtype="bfloat16")
    assert HFBackend(HFBackend.Options(offline=True)).fingerprint(half) != known
    scaled = copy(lora, "scaled")
    from tiny_models import edit_json

    edit_json(scaled / "adapter_config.json", lora_alpha=9)
    other = Variant("lora", "adapter", str(base), str(scaled))
    assert HFBackend(HFBackend.Options(offline=True)).fingerprint(other) != known


def test_an_adapter_is_proved_on_any_number_of_threads(base: Path, lora: Path) -> None:
    """The base's own logits are taken on the threads of the run, not on those found at its start."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        backend = HFBackend(HFBackend.Options(device="cpu"))
        backend.prepare([Variant("lora", "adapter", str(base), adapter=str(lora))])
        assert torch.get_num_threads() == 1
        backend.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_journal_can_name_what_changed(base, lora, copy, tmp_path) -> None:
    from tiny_models import edit_json
    from tuneval.engine.answer import answer
    from tuneval.engine.journal import Journal

    adapter = copy(lora)
    variant = Variant("lora", "adapter", str(base), str(adapter))
    requests = questions()[:2]

    def warnings_of(backend: HFBackend, one: Variant = variant) -> list[str]:
        with Journal(tmp_path / "journal") as journal:
            answer(backend, one, requests, journal)
            return journal.warnings

    assert warnings_of(HFBackend(HFBackend.Options(offline=True, device="cpu"))) == []
    (half,) = warnings_of(
        HFBackend(HFBackend.Options(offline=True, device="cpu", dtype="bfloat16"))
    )
    assert f'"{base}" with adapter "{adapter}" are not reused: ' in half
    assert 'dtype is "bfloat16", was "float32"; scoring is "packed trie", was' in half
    assert "hash" not in half
    (template,) = warnings_of(
        HFBackend(HFBackend.Options(offline=True, device="cpu", dtype="float64"))
    )
    assert 'dtype is "float64", was' in template
    edit_json(adapter / "adapter_config.json", lora_alpha=9)
    (scaled,) = warnings_of(HFBackend(HFBackend.Options(offline=True, device="cpu")))
    assert "adapter's weights and settings (hash) is" in scaled
    assert "dtype" not in scaled
