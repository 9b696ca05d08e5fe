"""A head with sigmoids on cases of several labels: its sets are those of a plain script, its figures scikit-learn's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig, PeftModelForSequenceClassification, get_peft_model
from sklearn.metrics import f1_score, hamming_loss, jaccard_score
from sklearn.preprocessing import MultiLabelBinarizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import build_classifier, build_label_adapter, edit_json
from tuneval.api.calls import compare
from tuneval.data.read import read
from tuneval.errors import VariantError
from tuneval.pipeline.majority import best_constant
from tuneval.types import RunResult

NAMES = ("card", "login", "refund")
WORDS = {
    "card": ("my card", "the card reader", "a card number"),
    "login": ("the login page", "a login", "every login"),
    "refund": ("a refund", "the refund", "no refund"),
}
FEW = {"resamples": 200}


def row(n: int) -> dict[str, Any]:
    fitting = [name for k, name in enumerate(NAMES) if (n * 7 + 3) >> k & 1]
    said = " and ".join(WORDS[name][(n + k) % 3] for k, name in enumerate(fitting))
    return {"text": f"Message {n % 5}: {said or 'good day'}", "labels": fitting}


ROWS = [row(n) for n in range(48)]


class Folders(NamedTuple):
    base: Path
    adapter: Path
    full: Path
    data: Path


def train(model: Any, tokenizer: Any) -> Any:
    """A few steps of binary cross-entropy on the rows themselves, as transformers' Trainer does it."""
    model.train()
    chosen = [one for one in model.parameters() if one.requires_grad]
    step = torch.optim.AdamW(chosen, lr=5e-3)
    targets = torch.tensor([[float(name in one["labels"]) for name in NAMES] for one in ROWS])
    inputs = tokenizer([one["text"] for one in ROWS], padding=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    torch.manual_seed(0)
    for _ in range(60):
        loss = model(**inputs, labels=targets).loss
        step.zero_grad()
        loss.backward()
        step.step()
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    at = tmp_path_factory.mktemp("several")
    base = build_classifier(at / "base", "roberta", kind="MaskedLM", max_position_embeddings=130)
    tokenizer = AutoTokenizer.from_pretrained(base)
    named: dict[str, Any] = {
        "num_labels": len(NAMES),
        "id2label": dict(enumerate(NAMES)),
        "label2id": {name: k for k, name in enumerate(NAMES)},
        "problem_type": "multi_label_classification",
    }
    full = train(AutoModelForSequenceClassification.from_pretrained(base, **named), tokenizer)
    full.save_pretrained(at / "full")
    tokenizer.save_pretrained(at / "full")
    config = LoraConfig(r=8, lora_alpha=16, task_type="SEQ_CLS", target_modules=["query", "value"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_peft_model(
            AutoModelForSequenceClassification.from_pretrained(base, **named), config
        )
        train(tuned, tokenizer).save_pretrained(at / "lora")
    data = at / "test.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in ROWS), encoding="utf-8")
    return Folders(base, at / "lora", at / "full", data)


def run(folders: Folders, **more: Any) -> RunResult:
    settings = {
        "adapters": [f"lora={folders.adapter}"],
        "data": [str(folders.data)],
        "backend": {"device": "cpu", "head_labels": NAMES},
        "output": {"dir": str(folders.data.parent / "runs")},
        "statistics": FEW,
        **more,
    }
    return compare(str(folders.base), **settings)


def plain_sets(model: Any, folder: Path, threshold: float) -> list[list[str]]:
    """One text at a time, as the model's card would show it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for one in ROWS:
        inputs = tokenizer(one["text"], return_tensors="pt")
        with torch.no_grad():
            shares = model(**inputs).logits[0].double().sigmoid().tolist()
        found.append(
            [name for name, share in zip(NAMES, shares, strict=True) if share >= threshold]
        )
    return found


def models_of(folders: Folders) -> Mapping[str, Any]:
    full = AutoModelForSequenceClassification.from_pretrained(folders.full).eval()
    base = AutoModelForSequenceClassification.from_pretrained(folders.base, num_labels=len(NAMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lora = PeftModelForSequenceClassification.from_pretrained(base, folders.adapter).eval()
    return {"lora": lora, "full": full}


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_sets_and_figures_are_those_of_a_plain_script(folders: Folders, threshold: float) -> None:
    options = {} if threshold == 0.5 else {"multilabel": {"threshold": threshold}}
    result = run(folders, full=[str(folders.full)], task_options=options)
    marks = MultiLabelBinarizer(classes=NAMES)
    expected = marks.fit_transform([one["labels"] for one in ROWS])
    for name, model in models_of(folders).items():
        sets = plain_sets(model, folders.base, threshold)
        assert [json.loads(one.text or "") for one in result.predictions[name]] == sets
        given = marks.transform(sets)
        figures = {
            "multilabel_f1_micro": f1_score(expected, given, average="micro"),
            "multilabel_f1_macro": f1_score(expected, given, average="macro"),
            "jaccard": jaccard_score(expected, given, average="samples", zero_division=1),
            "subset_accuracy": float((expected == given).all(axis=1).mean()),
            "hamming_loss": hamming_loss(expected, given),
        }
        found = {one.metric: one.value for one in result.scores if one.variant == name}
        assert {metric: found[metric] for metric in figures} == pytest.approx(figures)
        if threshold == 0.5:
            assert found["multilabel_f1_micro"] > 0.9  # it was trained on these


def test_the_commonest_set_stands_for_the_base(folders: Folders) -> None:
    """No constant set has a higher F1, by trying all of them."""
    result = run(folders)
    cases = read(str(folders.data))
    constant = best_constant(cases, cases.labels or ())
    assert {one.text for one in result.predictions["majority"]} == {json.dumps(constant)}
    marks = MultiLabelBinarizer(classes=NAMES)
    expected = marks.fit_transform([one["labels"] for one in ROWS])
    tried = {
        n: f1_score(
            expected,
            marks.transform([[name for k, name in enumerate(NAMES) if n >> k & 1]] * len(ROWS)),
            average="micro",
        )
        for n in range(1, 2 ** len(NAMES))
    }
    found = {one.metric: one.value for one in result.scores if one.variant == "majority"}
    assert found["multilabel_f1_micro"] == pytest.approx(max(tried.values()))
    assert any("no constant answer has a higher F1 (micro)" in note for note in result.notes)


@pytest.mark.parametrize(
    ("change", "names", "fault"),
    [
        ({"problem_type": "single_label_classification"}, NAMES, "gives one label a case"),
        ({}, ("card", "login"), "its head has 3 outputs, and --head-labels names 2"),
        ({}, ("card", "login", "other"), 'its head has no label "refund"'),
    ],
)  # fmt: skip
def test_heads_that_cannot_answer(
    folders: Folders, tmp_path: Path, change: dict[str, Any], names: tuple[str, ...], fault: str
) -> None:
    full = build_classifier(tmp_path / "full", "roberta", names=NAMES)
    edit_json(full / "config.json", **change)
    with pytest.raises(VariantError, match=fault):
        run(
            folders,
            adapters=[],
            full=[str(full)],
            backend={"device": "cpu", "head_labels": names},
        )


def test_a_decoder_with_a_head_and_the_base_as_a_language_model(
    folders: Folders, tmp_path: Path
) -> None:
    base = build_classifier(tmp_path / "base", "llama", kind="CausalLM")
    adapter = build_label_adapter(tmp_path / "lora", base, n_labels=3)
    result = run(folders._replace(base=base, adapter=adapter))
    assert [one.name for one in result.variants] == ["base", "majority", "lora"]
    assert any("by the labels that it writes" in note for note in result.notes)
    assert all(one.problem is None for one in result.predictions["lora"])
