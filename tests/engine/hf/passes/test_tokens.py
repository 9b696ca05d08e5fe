"""Heads over words give the tags of transformers' own forward, family by family."""

from __future__ import annotations

import inspect
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, AutoTokenizer

from tiny_models import ENCODERS, build_classifier, build_label_adapter, edit_json
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.text.words import align
from tuneval.errors import TunevalError, VariantError
from tuneval.types import Decoding, Request, Variant

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = (
    "Ada Lovelace lives in Paris",
    "Question : What is the capital of France ?",
    "refund",
    "Once upon a time there was a little girl who lived in an unbelievable house",
)
FAMILIES = [*ENCODERS, "llama", "qwen2"]


def asked(texts=TEXTS) -> list[Request]:
    return [
        Request(f"{n}", f"{n}", "unread", decoding=Decoding(max_tokens=9), texts=(text,))
        for n, text in enumerate(texts)
    ]


def backend_of(**options: Any) -> HFBackend:
    return HFBackend(HFBackend.Options(offline=True, device="cpu", **options))


def full_of(folder: Path) -> Variant:
    return Variant("full", "full", str(folder), head="tokens")


def tags_of(backend: HFBackend, variant: Variant, requests=None) -> dict[str, str]:
    answers = backend.answer(variant, requests or asked())
    return {one.request_id: one.completions[0].text for one in answers}


def plain(model: Any, tokenizer: Any, text: str, names=NAMES, longest: int | None = None) -> str:
    """The tag of each word's first token, as run_ner.py reads it; "O" of what is cut off."""
    words = text.split()
    row = tokenizer(
        words,
        is_split_into_words=True,
        return_tensors="pt",
        truncation=longest is not None,
        max_length=longest,
    )
    if "token_type_ids" not in inspect.signature(model.forward).parameters:
        row.pop("token_type_ids", None)
    with torch.no_grad():
        best = model(**row).logits[0].argmax(-1).tolist()
    first: dict[int, str] = {}
    for place, word in enumerate(row.word_ids(0)):
        if word is not None:
            first.setdefault(word, names[best[place]])
    return " ".join(first.get(n, "O") for n in range(len(words)))


@pytest.mark.parametrize("family", FAMILIES)
def test_tags_are_those_of_transformers(tmp_path, family) -> None:
    folder = build_classifier(
        tmp_path / "full", family, names=NAMES, kind="TokenClassification", initializer_range=0.5
    )
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = {str(n): plain(model, tokenizer, text) for n, text in enumerate(TEXTS)}
    assert len({tag for text in expected.values() for tag in text.split()}) > 1
    for batch_size in (1, "auto"):
        backend = backend_of(batch_size=batch_size)
        requests = random.Random(0).sample(asked(), len(TEXTS))
        assert tags_of(backend, full_of(folder), requests) == expected


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    """An encoder without a head over words."""
    folder = tmp_path_factory.mktemp("bert") / "base"
    return build_classifier(folder, "bert", kind="MaskedLM", initializer_range=0.5)


def lora(folder: Path, base: Path, **options: Any) -> Path:
    config = LoraConfig(r=4, task_type="TOKEN_CLS", target_modules=["query", "value"])
    return build_label_adapter(folder, base, n_labels=len(NAMES), config=config, **options)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_adapters_bring_their_head(tmp_path, bert) -> None:
    backend = backend_of(head_labels=NAMES)
    for seed in (1, 2):
        adapter = lora(tmp_path / f"lora{seed}", bert, seed=seed)
        variant = Variant(f"lora{seed}", "adapter", str(bert), str(adapter), head="tokens")
        model = AutoModelForTokenClassification.from_pretrained(bert, num_labels=len(NAMES))
        model = PeftModel.from_pretrained(model, adapter).eval()
        tokenizer = AutoTokenizer.from_pretrained(bert)
        expected = {str(n): plain(model, tokenizer, text) for n, text in enumerate(TEXTS)}
        assert tags_of(backend, variant) == expected


def test_an_adapter_without_its_head_is_refused(tmp_path, bert) -> None:
    adapter = lora(tmp_path / "lora", bert)
    file = adapter / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "classifier" not in k}, file)
    variant = Variant("lora", "adapter", str(bert), str(adapter), head="tokens")
    with pytest.raises(TunevalError, match="PEFT would answer with a random one"):
        backend_of(head_labels=NAMES).prepare([variant])


def test_a_folder_without_its_head_is_refused(tmp_path) -> None:
    folder = build_classifier(tmp_path / "full", "bert", names=NAMES, kind="TokenClassification")
    file = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(file).items() if not k.startswith("classifier")}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(VariantError, match=r'missing: "classifier\.bias"'):
        backend_of().prepare([full_of(folder)])


def test_what_does_not_fit_is_outside_and_told(tmp_path) -> None:
    folder = build_classifier(tmp_path / "full", "bert", names=NAMES, kind="TokenClassification")
    text = " ".join(["unbelievable"] * 40)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    backend, requests = backend_of(), asked([text])
    (found,) = backend.answer(full_of(folder), requests)
    assert found.is_truncated
    assert found.completions[0].text == plain(model, tokenizer, text, longest=64)
    assert found.completions[0].text.endswith(" O O")
    (view,) = backend.shown(full_of(folder), requests)
    (row,) = align(tokenizer, [text], 64)
    assert view.n_cut == row.n_lost == row.firsts.count(None) > 0


def test_other_questions_are_refused(tmp_path) -> None:
    folder = build_classifier(tmp_path / "full", "bert", names=NAMES, kind="TokenClassification")
    asked_for = Request("1", "c:1", "Hello", continuation=" yes", texts=("Hello",))
    with pytest.raises(VariantError, match='"full" has a head over words'):
        backend_of().shown(full_of(folder), [asked_for])
    (found,) = backend_of().answer(full_of(folder), [asked_for])
    assert found.problem == "a head over words gives tags of a text, and nothing else"


def test_outputs_are_called_as_the_folder_says(tmp_path) -> None:
    folder = build_classifier(tmp_path / "full", "bert", names=NAMES, kind="TokenClassification")
    before = tags_of(backend_of(), full_of(folder))
    other = Path(shutil.copytree(folder, tmp_path / "swapped"))
    names = ("I-LOC", "B-LOC", "I-PER", "B-PER", "O")
    edit_json(other / "config.json", id2label={str(n): name for n, name in enumerate(names)})
    swapped = dict(zip(NAMES, names, strict=True))
    after = tags_of(backend_of(), full_of(other))
    assert after == {k: " ".join(swapped[tag] for tag in v.split()) for k, v in before.items()}
