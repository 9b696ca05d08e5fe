"""Arms of different heads on the same cases: classifiers, the commonest label, a base asked as a model."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import build_classifier, build_label_adapter, edit_json
from tuneval.api import RunResult, compare
from tuneval.engine.hf.backend import HFBackend, HFOptions
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import ConfigError, DataError, VariantError
from tuneval.pipeline.majority import begin as begin_majority
from tuneval.pipeline.prompts import show_from_folders
from tuneval.plan.resolve import resolve
from tuneval.plan.words import describe_run
from tuneval.tasks.classify import Classify

NAMES = ("positive", "negative", "neutral")
FEW = {"resamples": 200}
"""Draws: nothing here looks at an interval."""


class Heads(NamedTuple):
    """Bases without a head, what was tuned on each, and a test file."""

    encoder: Path
    encoders_adapter: Path
    encoders_full: Path
    decoder: Path
    decoders_adapter: Path
    data: Path


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(n: int, *, labels: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    """The first label is the commonest."""
    return [
        {
            "premise": f"The {'quick brown fox' if k % 2 else 'lazy dog'} number {k} jumps",
            "hypothesis": f"something is over {k * 7 % 5}",
            "label": labels[0 if k % 5 < 3 else k % len(labels)],
        }
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    folder = tmp_path_factory.mktemp("heads")
    encoder = build_classifier(folder / "encoder", "roberta", kind="MaskedLM")
    decoder = build_classifier(folder / "decoder", "llama", kind="CausalLM")
    return Heads(
        encoder,
        build_label_adapter(folder / "encoders-adapter", encoder, n_labels=3),
        build_classifier(folder / "encoders-full", "roberta", names=NAMES, seed=3),
        decoder,
        build_label_adapter(folder / "decoders-adapter", decoder, n_labels=3),
        write(folder / "test.jsonl", rows(40)),
    )


def run(heads: Heads, base: Path, adapter: Path, tmp_path: Path, **more: Any) -> RunResult:
    names = more.pop("head_labels", NAMES)
    settings = {
        "data": [str(heads.data)],
        "backend": {"device": "cpu", "head_labels": names},
        "output": {"dir": str(tmp_path / "runs")},
        "statistics": FEW,
        **more,
    }
    return compare(str(base), adapters=[str(adapter)], **settings)


def accuracy(result: RunResult, arm: str) -> float:
    return next(
        one.value
        for one in result.scores
        if (one.variant, one.metric, one.slice) == (arm, "accuracy", "all")
    )


def test_the_commonest_label_stands_for_an_encoder(heads: Heads, tmp_path: Path) -> None:
    result = run(
        heads, heads.encoder, heads.encoders_adapter, tmp_path, full=[str(heads.encoders_full)]
    )
    assert [(one.name, one.kind, one.head) for one in result.variants] == [
        ("majority", "majority", "classification"),
        ("lora", "adapter", "classification"),
        ("full", "full", "classification"),
    ]
    labels = [row["label"] for row in rows(40)]
    assert accuracy(result, "majority") == labels.count("positive") / 40
    assert {one.label for one in result.predictions["majority"]} == {"positive"}
    assert {(one.baseline, one.candidate) for one in result.comparisons} >= {
        ("majority", "lora"),
        ("majority", "full"),
        ("lora", "full"),
    }
    assert any("no constant answer can be right more often" in note for note in result.notes)


def test_every_case_is_what_transformers_says(heads: Heads, tmp_path: Path) -> None:
    """Pairs of texts, the full fine-tune, one row at a time."""
    result = run(
        heads, heads.encoder, heads.encoders_adapter, tmp_path, full=[str(heads.encoders_full)]
    )
    model = AutoModelForSequenceClassification.from_pretrained(heads.encoders_full)
    tokenizer = AutoTokenizer.from_pretrained(heads.encoders_full)
    for row, found in zip(rows(40), result.predictions["full"], strict=True):
        inputs = tokenizer(row["premise"], row["hypothesis"], return_tensors="pt")
        with torch.no_grad():
            shares = model(**inputs).logits[0].double().softmax(-1)
        assert found.label == NAMES[int(shares.argmax())]
        assert found.label_probabilities == pytest.approx(
            dict(zip(NAMES, shares.tolist(), strict=True)), abs=1e-6
        )


def test_a_language_model_is_asked_beside_the_commonest_label(heads: Heads, tmp_path: Path) -> None:
    result = run(heads, heads.decoder, heads.decoders_adapter, tmp_path)
    assert [(one.name, one.kind, one.head) for one in result.variants] == [
        ("base", "base", "causal"),
        ("majority", "majority", "classification"),
        ("lora", "adapter", "classification"),
    ]
    pairs = {(one.baseline, one.candidate) for one in result.comparisons if one.slice == "all"}
    assert pairs == {("base", "lora"), ("majority", "lora")}
    assert len(result.verdicts) == 2
    # The base answers as in a run of language models alone.
    alone = compare(str(heads.decoder), data=[str(heads.data)], backend={"device": "cpu"})
    assert [one.label_probabilities for one in alone.predictions["base"]] == [
        one.label_probabilities for one in result.predictions["base"]
    ]


def test_the_commonest_label_alone_where_that_is_asked(heads: Heads, tmp_path: Path) -> None:
    result = run(heads, heads.decoder, heads.decoders_adapter, tmp_path, base_as="none")
    assert [one.name for one in result.variants] == ["majority", "lora"]


def test_labels_of_a_training_file_are_counted(heads: Heads, tmp_path: Path) -> None:
    trained = write(tmp_path / "train.jsonl", rows(40, labels=NAMES[::-1]))
    result = run(heads, heads.encoder, heads.encoders_adapter, tmp_path, train_data=str(trained))
    assert {one.label for one in result.predictions["majority"]} == {"neutral"}
    assert any(f"counted in {trained}" in note for note in result.notes)


@pytest.mark.parametrize(
    ("base", "settings", "message"),
    [
        ("encoder", {"base_as": "lm"}, "is no language model"),
        ("encoder", {"head_labels": ()}, 'nothing says which of its outputs is "negative"'),
        ("encoder", {"head_labels": ("positive", "negative")}, "3 outputs, and --head-labels names 2"),
        ("encoder", {"head_labels": ("x", "y", "z")}, 'no label "negative"'),
        ("encoder", {"labels": [*NAMES, "other"]}, "head has 3 labels"),
    ],
)  # fmt: skip
def test_what_is_refused_before_a_weight_is_loaded(
    base: str, settings: dict[str, Any], message: str, heads: Heads, tmp_path: Path
) -> None:
    folders = getattr(heads, base), getattr(heads, f"{base}s_adapter")
    with pytest.raises((ConfigError, VariantError, DataError)) as error:
        run(heads, *folders, tmp_path, **settings)
    assert message in str(error.value)


def test_a_base_that_is_a_classifier_answers_by_its_own_head(heads: Heads, tmp_path: Path) -> None:
    other = build_classifier(tmp_path / "other", "roberta", names=NAMES[::-1], seed=4)
    result = compare(
        str(other), full=[str(heads.encoders_full)], data=[str(heads.data)], statistics=FEW
    )
    assert [(one.name, one.kind, one.head) for one in result.variants] == [
        ("base", "base", "classification"),
        ("full", "full", "classification"),
    ]
    with pytest.raises(ConfigError, match="is no language model"):
        compare(str(other), full=[str(heads.encoders_full)], data=[str(heads.data)], base_as="lm")


def test_an_encoder_alone_is_refused(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(VariantError, match="without a trained head"):
        compare(str(heads.encoder), data=[str(heads.data)])


def test_checks_see_probabilities_of_heads(heads: Heads, tmp_path: Path) -> None:
    """Changed inputs, texts that no label fits, calibration: all of them ask as ever."""
    outside = write(
        tmp_path / "oos.jsonl",
        [{"premise": f"weather {k}", "hypothesis": f"of {k}"} for k in range(40)],
    )
    result = run(
        heads,
        heads.encoder,
        heads.encoders_adapter,
        tmp_path,
        ood=[str(outside)],
        perturbations=["typos"],
    )
    kinds = {one.kind for one in result.findings if one.variant == "lora"}
    assert kinds >= {"out of distribution", "robustness", "calibration"}


def test_labels_in_another_order_are_noticed(heads: Heads, tmp_path: Path) -> None:
    """The rows are labelled by the model itself; then two names of its head change places."""
    model = AutoModelForSequenceClassification.from_pretrained(heads.encoders_full)
    tokenizer = AutoTokenizer.from_pretrained(heads.encoders_full)
    told = []
    for row in rows(120):
        texts = {"premise": row["premise"][::-1], "hypothesis": row["hypothesis"]}
        with torch.no_grad():
            logits = model(**tokenizer(*texts.values(), return_tensors="pt")).logits[0]
        told.append({**texts, "label": NAMES[int(logits.argmax())]})
    assert {row["label"] for row in told} >= {NAMES[0], NAMES[1]}
    data = write(tmp_path / "told.jsonl", told)
    swapped = Path(shutil.copytree(heads.encoders_full, tmp_path / "swapped"))
    edit_json(
        swapped / "config.json", id2label={"0": NAMES[1], "1": NAMES[0], "2": NAMES[2]}, label2id={}
    )
    result = compare(
        str(heads.encoder),
        full=[f"right={heads.encoders_full}", f"swapped={swapped}"],
        data=[str(data)],
        labels=list(NAMES),
        statistics=FEW,
    )
    assert accuracy(result, "right") == 1.0
    assert {one.variant for one in result.findings if one.kind == "label order"} == {"swapped"}
    assert result.headline == "INVALID"


def test_reports_say_that_the_commonest_label_is_no_model(heads: Heads, tmp_path: Path) -> None:
    result = run(heads, heads.encoder, heads.encoders_adapter, tmp_path)
    assert "no model: the commonest label for every case" in str(result)
    page = Path(result.save_report(str(tmp_path / "report.html"))).read_text("utf-8")
    assert "no model: the commonest label for every case" in page


def test_folders_alone_show_what_is_read(heads: Heads) -> None:
    spec = describe_run(
        base=str(heads.decoder),
        adapters=[str(heads.decoders_adapter)],
        data=[str(heads.data)],
        backend={"head_labels": NAMES},
    )
    plan = resolve(spec)
    task = Classify(Classify.Options(labels=NAMES))
    asked = [one for case in plan.case_sets[0].cases[:5] for one in task.ask(case)]
    backend = HFBackend(HFOptions(device="cpu", head_labels=NAMES))
    show = show_from_folders(plan)
    for variant in (one for one in plan.variants if one.kind != "majority"):
        assert list(show(variant, asked)) == list(backend.shown(variant, asked))


def test_classifiers_in_memory(heads: Heads, tmp_path: Path) -> None:
    """A PEFT model with a head: with its adapter off, the head is the one it was initialised with."""
    from peft import PeftModelForSequenceClassification

    config = {"id2label": dict(enumerate(NAMES)), "label2id": {n: k for k, n in enumerate(NAMES)}}
    model = AutoModelForSequenceClassification.from_pretrained(heads.encoder, **config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = PeftModelForSequenceClassification.from_pretrained(model, heads.encoders_adapter)
    tokenizer = AutoTokenizer.from_pretrained(heads.encoder)
    result = compare(
        models={"tuned": (tuned, tokenizer)},
        data=[str(heads.data)],
        backend={"device": "cpu"},
        statistics=FEW,
    )
    assert [one.name for one in result.variants] == ["majority", "tuned"]
    stored = run(heads, heads.encoder, heads.encoders_adapter, tmp_path)
    for mine, theirs in zip(result.predictions["tuned"], stored.predictions["lora"], strict=True):
        assert mine.label_probabilities == pytest.approx(theirs.label_probabilities, abs=1e-6)


def test_a_set_with_other_labels_has_its_own_commonest(heads: Heads, tmp_path: Path) -> None:
    spec = describe_run(
        base=str(heads.encoder),
        adapters=[str(heads.encoders_adapter)],
        data=[str(heads.data), str(write(tmp_path / "other.jsonl", rows(20, labels=("x", "y"))))],
    )
    plan, complete = begin_majority(resolve(spec))
    backend = complete(ScriptedBackend({}))
    own = plan.variants[0]
    for cases, top in zip(plan.case_sets, ("positive", "x"), strict=True):
        task = Classify(Classify.Options(labels=cases.labels))
        case = cases.cases[-1]
        assert task.read(case, list(backend.answer(own, task.ask(case)))).label == top
