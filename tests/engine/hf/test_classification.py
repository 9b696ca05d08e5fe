"""Heads over labels: every number is that of transformers' own forward pass, whatever runs together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import build_classifier, build_label_adapter, build_tokenizer, edit_json
from tuneval.engine.hf.backend import HFBackend, HFOptions
from tuneval.errors import AdapterError, VariantError
from tuneval.types import Decoding, Request, Variant

NAMES = ("positive", "negative", "neutral")
TEXTS = [
    ("my card was refused",),
    ("Once upon a time there was a little girl.",),
    ("a",),
    ("The quick brown fox jumps over the lazy dog. " * 20,),  # longer than the model reads
    ("refund", "shipping account login"),
    ("Question: What is the capital of France?", "Paris"),
    ("positive",),
    ("negative",),
]


def requests_of(texts: Sequence[tuple[str, ...]], labels: Sequence[str] = NAMES) -> list[Request]:
    return [
        Request(f"{n}#{label}", str(n), "unread", continuation=label, texts=one, label=label)
        for n, one in enumerate(texts)
        for label in labels
    ]


def own_logprobs(model: Any, folder: Path, texts: Sequence[tuple[str, ...]]) -> torch.Tensor:
    """What transformers gives each text by itself: the plain way, no padding anywhere."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for one in texts:
        inputs = tokenizer(*one, truncation=True, max_length=64, return_tensors="pt")
        if "token_type_ids" in inputs and model.config.model_type not in TYPED:
            del inputs["token_type_ids"]
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].double().log_softmax(-1))
    return torch.stack(rows)


TYPED = ("bert", "roberta", "deberta-v2", "electra", "gpt2")
"""Families whose models take the types of a pair's tokens."""


def answers(backend: HFBackend, variant: Variant, requests: Sequence[Request]) -> Any:
    return {one.request_id: one for one in backend.answer(variant, requests)}


def found_logprobs(backend: HFBackend, variant: Variant) -> torch.Tensor:
    found = answers(backend, variant, requests_of(TEXTS))
    numbers = [found[request.id].loglikelihood for request in requests_of(TEXTS)]
    return torch.tensor(numbers, dtype=torch.float64).view(len(TEXTS), len(NAMES))


# ------------------------------------------------------------------------------------- proofs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heads")


@pytest.fixture(scope="module")
def decoder(store: Path) -> Path:
    """A language model without a pad token."""
    return build_classifier(store / "decoder", "llama", kind="CausalLM")


@pytest.fixture(scope="module")
def decoders_adapter(store: Path, decoder: Path) -> Path:
    return build_label_adapter(store / "decoders-adapter", decoder, n_labels=3)


def ask(base: Path, adapter: Path, **options: Any) -> Any:
    """The answers of an adapter on a base, or the error that stands against it."""
    backend = HFBackend(HFOptions(device="cpu", head_labels=NAMES, **options))
    variant = Variant("a", "adapter", str(base), str(adapter), head="classification")
    return answers(backend, variant, requests_of(TEXTS[:3]))


def edited(adapter: Path, to: Path, change: Any) -> Path:
    """A copy of an adapter with other tensors."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, to)
    tensors = load_file(to / "adapter_model.safetensors")
    save_file(change(tensors), to / "adapter_model.safetensors")
    return to


def test_an_adapter_without_its_head_is_refused(
    decoder: Path, decoders_adapter: Path, tmp_path: Path
) -> None:
    lost = edited(
        decoders_adapter,
        tmp_path / "lost",
        lambda tensors: {name: one for name, one in tensors.items() if "score" not in name},
    )
    with pytest.raises(AdapterError, match="its head is neither in it nor in"):
        ask(decoder, lost)


def test_a_new_layer_that_was_not_saved_is_refused(tmp_path: Path) -> None:
    """PEFT saves the classifier of a BERT and leaves the pooler below it as it was initialised."""
    base = build_classifier(tmp_path / "base", "bert", kind="MaskedLM")
    config = LoraConfig(task_type="SEQ_CLS", target_modules=["query"])
    adapter = build_label_adapter(tmp_path / "a", base, n_labels=3, config=config)
    with pytest.raises(AdapterError, match=r'(?s)2 tensors.*"bert.pooler.dense.bias".*random'):
        ask(base, adapter)


def test_settings_that_forgot_the_head_do_not_lose_it(
    decoder: Path, decoders_adapter: Path, tmp_path: Path
) -> None:
    forgot = Path(shutil.copytree(decoders_adapter, tmp_path / "forgot"))
    edit_json(forgot / "adapter_config.json", modules_to_save=None, task_type=None)
    mine, theirs = ask(decoder, forgot), ask(decoder, decoders_adapter)
    assert [one.loglikelihood for one in mine.values()] == [
        one.loglikelihood for one in theirs.values()
    ]


def test_a_trained_head_alone_is_no_adapter(
    decoder: Path, decoders_adapter: Path, tmp_path: Path
) -> None:
    """Every lora_B is zero, as before the first step: the head would hide it."""
    untrained = edited(
        decoders_adapter,
        tmp_path / "untrained",
        lambda tensors: {
            name: torch.zeros_like(one) if "lora_B" in name else one
            for name, one in tensors.items()
        },
    )
    with pytest.raises(AdapterError, match="changes nothing"):
        ask(decoder, untrained)


def test_a_base_with_another_head_lends_it_to_nobody(tmp_path: Path) -> None:
    """A classifier of five labels, tuned on for three: the adapter's own head answers."""
    base = build_classifier(tmp_path / "five", "llama", names=("a", "b", "c", "d", "e"))
    bare = build_classifier(tmp_path / "bare", "llama", kind="CausalLM")
    adapter = build_label_adapter(tmp_path / "adapter", bare, n_labels=3)
    found = ask(base, adapter)
    assert len({one.loglikelihood for one in found.values()}) == len(found)
    sums = [sum(math.exp(found[f"{n}#{label}"].loglikelihood) for label in NAMES) for n in range(3)]
    assert sums == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("end", [None, "<|end|>"])
def test_pad_tokens_of_a_decoder(end: str | None, tmp_path: Path) -> None:
    """Without a pad token the last token counts. Where the tokenizer pads with the end token, training
    looked at the last token that is not one, and so does the answer."""
    from tokenizers import processors

    tokenizer = build_tokenizer()
    if end:
        number = tokenizer.convert_tokens_to_ids(end)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", pair=f"$A $B:1 {end}:1", special_tokens=[(end, number)]
        )
        tokenizer.pad_token = end
    folder = build_classifier(tmp_path / "m", "qwen2", names=NAMES, tokenizer=tokenizer)
    edit_json(folder / "config.json", pad_token_id=None)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.pad_token_id is None
    model.config.pad_token_id = tokenizer.pad_token_id
    variant = Variant("m", "full", str(folder), head="classification")
    found = found_logprobs(HFBackend(HFOptions(device="cpu")), variant)
    assert (found - own_logprobs(model, folder, TEXTS)).abs().max() < 1e-5


def test_what_runs_together_changes_nothing(tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "m", "bert", names=NAMES)
    variant = Variant("m", "full", str(folder), head="classification")
    alone = found_logprobs(HFBackend(HFOptions(device="cpu", batch_size=1)), variant)
    together = found_logprobs(HFBackend(HFOptions(device="cpu")), variant)
    assert (alone - together).abs().max() < 1e-5


def test_known_answers_are_not_given_again(tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "m", "bert", names=NAMES)
    variant = Variant("m", "full", str(folder), head="classification")
    backend = HFBackend(HFOptions(device="cpu"))
    asked = requests_of(TEXTS)
    known = frozenset(request.id for request in asked[:4])
    whole = answers(backend, variant, asked)
    rest = {one.request_id: one for one in backend.answer(variant, asked, known)}
    assert set(rest) == set(whole) - known
    assert all(rest[name].loglikelihood == whole[name].loglikelihood for name in rest)


def test_a_cut_text_says_so(tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "m", "bert", names=NAMES)
    variant = Variant("m", "full", str(folder), head="classification")
    backend = HFBackend(HFOptions(device="cpu"))
    found = answers(backend, variant, requests_of(TEXTS))
    assert [n for n in range(len(TEXTS)) if found[f"{n}#neutral"].is_truncated] == [3]
    shown = backend.shown(variant, requests_of(TEXTS[2:5]))
    assert [one.n_cut > 0 for one in shown[::3]] == [False, True, False]
    assert shown[3].is_question_lost and shown[3].cut_at == len(shown[3].text)
    assert shown[0].text == "<s>a</s>"
    assert shown[6].text == "<s>refund</s>shipping account login</s>"


@pytest.mark.parametrize("texts", [(), ("Which of these?",)])
def test_a_question_for_words_is_refused(texts: tuple[str, ...], tmp_path: Path) -> None:
    """Perplexity, multiple choice and the like: a head over labels gives no text a likelihood."""
    folder = build_classifier(tmp_path / "m", "bert", names=NAMES)
    variant = Variant("m", "full", str(folder), head="classification")
    asked = [Request("r", "c", "", continuation="Once upon a time", texts=texts)]
    backend = HFBackend(HFOptions(device="cpu"))
    with pytest.raises(VariantError, match="asks for words"):
        backend.shown(variant, asked)
    (found,) = backend.answer(variant, asked)
    assert found.problem and found.loglikelihood is None


@pytest.mark.parametrize(
    ("problem", "n_outputs"), [("regression", 1), ("multi_label_classification", 3)]
)
def test_other_losses(problem: str, n_outputs: int, tmp_path: Path) -> None:
    names = NAMES if n_outputs == 3 else ()
    options = {} if names else {"num_labels": 1}
    folder = build_classifier(tmp_path / "m", "bert", names=names, problem_type=problem, **options)
    backend = HFBackend(HFOptions(device="cpu"))
    variant = Variant("m", "full", str(folder), head="classification")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer("refund", return_tensors="pt")).logits[0].double()
    if problem == "regression":
        asked = [Request("r", "c", "", decoding=Decoding(), texts=("refund",))]
        (found,) = backend.answer(variant, asked)
        assert float(found.completions[0].text) == pytest.approx(float(logits[0]), abs=1e-5)
    else:
        found = answers(backend, variant, requests_of([("refund",)]))
        own = torch.nn.functional.logsigmoid(logits).tolist()
        assert [one.loglikelihood for one in found.values()] == pytest.approx(own, abs=1e-5)


def test_a_drawn_label_is_the_likeliest(tmp_path: Path) -> None:
    folder = build_classifier(tmp_path / "m", "bert", names=NAMES)
    backend = HFBackend(HFOptions(device="cpu"))
    variant = Variant("m", "full", str(folder), head="classification")
    scored = answers(backend, variant, requests_of(TEXTS))
    asked = [
        Request(f"{n}", f"{n}", "", decoding=Decoding(), texts=one) for n, one in enumerate(TEXTS)
    ]
    drawn = answers(backend, variant, asked)
    for n in range(len(TEXTS)):
        said = drawn[f"{n}"].completions[0].text
        assert scored[f"{n}#{said}"].is_greedy
