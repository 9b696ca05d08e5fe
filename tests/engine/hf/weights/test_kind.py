"""Folders that load without a word and are no language model, or not what they seem: said or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_models import build_model, edit_json
from tuneval.engine.hf.backend import HFBackend, HFOptions
from tuneval.engine.hf.weights.folder import describe
from tuneval.engine.hf.weights.loading import load_weights
from tuneval.errors import AdapterError, TunevalError, VariantError
from tuneval.types import Variant

INSTEAD = "tuneval score --references FILE --predictions NAME=FILE"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"architectures": ["BertForQuestionAnswering"], "model_type": "bert"},
            '"m" is a BertForQuestionAnswering, whose answers are neither text nor labels.\n'
            f"Write its predictions to a file and compare those: {INSTEAD}",
        ),
        (
            {"architectures": ["LlamaForRewardModel"]},
            '"m" is a LlamaForRewardModel, whose answers are neither text nor labels.\n'
            "Reward models are measured on pairs of answers: pip install rewardbench.",
        ),
    ],
)
def test_other_kinds_of_models_are_refused(
    settings: dict[str, Any], message: str, base: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base, "m")
    edit_json(Path("m/config.json"), **settings)
    with pytest.raises(VariantError) as error:
        describe("m")
    assert str(error.value) == message


ENCODER = (
    "without a trained head: it reads in both directions, so that it would see the very label that it is "
    "asked for.\nGive a fine-tune of it (--full, --adapter), or a language model that reads from left to "
    "right."
)


@pytest.mark.parametrize(
    ("settings", "has_modules", "message"),
    [
        (
            {"architectures": ["BertForMaskedLM"], "model_type": "bert"},
            False,
            f'"m" is an encoder (BertForMaskedLM) {ENCODER}',
        ),
        (
            {"architectures": None, "model_type": "roberta"},
            False,
            f'"m" is an encoder (roberta) {ENCODER}',
        ),
        (
            {"architectures": ["BertModel"], "model_type": "bert"},
            True,
            '"m" is an embedding model (sentence-transformers): it answers with vectors.\n'
            "Embeddings are measured by MTEB: pip install mteb.",
        ),
    ],
)
def test_models_without_a_head_do_not_answer(
    settings: dict[str, Any],
    has_modules: bool,
    message: str,
    base: Path,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base, "m")
    edit_json(Path("m/config.json"), **settings)
    if has_modules:
        Path("m/modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    assert describe("m").head is None
    with pytest.raises(VariantError) as error:
        HFBackend(HFOptions(device="cpu")).shown(Variant("m", "full", "m"), [])
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("architecture", "notes"),
    [
        (
            "Qwen3Model",
            ("a Qwen3Model was saved without a head for text: is it an embedding model?",),
        ),
        ("GPT2LMHeadModel", ()),
        ("LlamaForCausalLM", ()),
        ("Gemma3ForConditionalGeneration", ()),
    ],
)
def test_a_trunk_without_a_head_is_asked_about(
    architecture: str, notes: tuple[str, ...], base: Path, copy: Any
) -> None:
    folder = copy(base)
    edit_json(folder / "config.json", architectures=[architecture])
    assert describe(folder).notes == notes


def test_a_decoder_of_an_encoders_kind_is_taken(base: Path, copy: Any) -> None:
    folder = copy(base)
    edit_json(
        folder / "config.json",
        model_type="bert",
        architectures=["BertLMHeadModel"],
        is_decoder=True,
    )
    assert describe(folder).model_type == "bert"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"peft_type": "NEWEST", "peft_version": "9.1.0"},
            'adapter "a": the installed PEFT knows no adapters of type "NEWEST".\n'
            "It was saved by PEFT 9.1.0: pip install --upgrade 'peft>=9.1.0'",
        ),
        (
            {"peft_type": "NEWEST", "peft_version": None},
            'adapter "a": the installed PEFT knows no adapters of type "NEWEST".\n'
            "A newer PEFT may know it: pip install --upgrade 'peft'",
        ),
        (
            {"task_type": "QUESTION_ANS"},
            'adapter "a" was trained for QUESTION_ANS, not for text (CAUSAL_LM): its answers come from a '
            f"head of its own.\nWrite its predictions to a file and compare those: {INSTEAD}",
        ),
    ],
)
def test_other_kinds_of_adapters_are_refused(
    settings: dict[str, Any], message: str, lora: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(lora, "a")
    edit_json(Path("a/adapter_config.json"), **settings)
    with pytest.raises(AdapterError) as error:
        describe("a")
    assert str(error.value) == message


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize(
    ("kind", "file"), [("base", "model.safetensors"), ("lora", "adapter_model.safetensors")]
)
def test_what_zero_3_leaves_is_no_model(
    kind: str,
    file: str,
    has_script: bool,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(request.getfixturevalue(kind), "z")
    tensors = load_file(f"z/{file}")
    first = min(tensors)
    save_file({**tensors, first: torch.zeros(0)}, f"z/{file}")
    if has_script:
        Path("z/zero_to_fp32.py").touch()
    with pytest.raises(TunevalError) as error:
        describe("z")
    start = (
        f'"z": 1 of {len(tensors)} tensors are empty (first: "{first}"). DeepSpeed ZeRO-3 kept the numbers '
        "in shards of its own.\nPut them together"
    )
    assert str(error.value) == start + (
        ", and copy the json files of z beside them:\n"
        "    python z/zero_to_fp32.py z z-whole --safe_serialization"
        if has_script
        else " with zero_to_fp32.py of the checkpoint's folder, or train with "
        "stage3_gather_16bit_weights_on_model_save: true"
    )


def test_shards_of_zero_3_alone(copy: Any, base: Path, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    copy(base, "checkpoint 9")
    Path("checkpoint 9/model.safetensors").unlink()
    Path("checkpoint 9/zero_to_fp32.py").touch()
    with pytest.raises(VariantError) as error:
        describe("checkpoint 9")
    assert str(error.value) == (
        '"checkpoint 9" has no weights: there is no model.safetensors and no '
        "model.safetensors.index.json.\nPut them together, and copy the json files of checkpoint 9 beside "
        "them:\n    python 'checkpoint 9/zero_to_fp32.py' 'checkpoint 9' 'checkpoint 9-whole' "
        "--safe_serialization"
    )


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("adapters.safetensors", "mlx_lm.fuse"),
        ("pytorch_model_fsdp_0/__0_0.distcp", "accelerate merge-weights"),
        ("__0_0.distcp", "accelerate merge-weights"),
        ("optimizer.pt", "Copy or download the folder again."),
    ],
)
def test_weights_of_another_tool(
    copy: Any, base: Path, monkeypatch: Any, tmp_path: Path, file: str, advice: str
) -> None:
    monkeypatch.chdir(tmp_path)
    copy(base, "out")
    Path("out/model.safetensors").unlink()
    (Path("out") / file).parent.mkdir(exist_ok=True)
    (Path("out") / file).touch()
    with pytest.raises(VariantError, match=advice):
        describe("out")


def sharded(folder: Path, source: Path) -> None:
    """Two shards and their index, from another model."""
    tensors = load_file(source / "model.safetensors")
    names = sorted(tensors)
    parts = {
        "model-00001-of-00002.safetensors": names[:4],
        "model-00002-of-00002.safetensors": names[4:],
    }
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / file, {"format": "pt"})
    edit = {name: file for file, own in parts.items() for name in own}
    (folder / "model.safetensors.index.json").write_text("{}")
    edit_json(folder / "model.safetensors.index.json", metadata={}, weight_map=edit)


@pytest.mark.parametrize("left", ["shards and index", "index", "shards"])
def test_what_transformers_would_load_is_what_counts(
    left: str, copy: Any, base: Path, tmp_path: Path
) -> None:
    folder = copy(base)
    sharded(folder, build_model(tmp_path / "old", seed=9))
    for entry in list(folder.glob("model-*" if left == "index" else "*.index.json")):
        if left != "shards and index":
            entry.unlink()
    found = describe(folder)
    assert [file.name for file in found.weight_files] == ["model.safetensors"]
    (note,) = found.notes
    assert note.startswith("model.safetensors is read; left from another save, not read: model")
    loaded = load_weights(found, device="cpu", dtype="float32").model
    expected = load_file(base / "model.safetensors")["model.norm.weight"]
    assert torch.equal(loaded.model.norm.weight, expected)


def test_shards_alone_are_read_by_their_index(copy: Any, base: Path) -> None:
    folder = copy(base)
    sharded(folder, base)
    (folder / "model.safetensors").unlink()
    found = describe(folder)
    assert [file.name for file in found.weight_files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert found.notes == ()


def test_a_merged_model_is_read_without_the_adapter_that_was_left_in_it(
    copy: Any, base: Path, lora: Path
) -> None:
    """transformers attaches it a second time."""
    merged = copy(base)
    for entry in lora.iterdir():
        shutil.copy(entry, merged / entry.name)
    found = describe(merged)
    assert (found.has_model, found.has_adapter) == (True, True)
    weights = load_weights(found, device="cpu", dtype="float32")
    assert not hasattr(weights.model, "peft_config")
    ids = torch.tensor([[5, 6, 7]])
    plain = load_weights(describe(base), device="cpu", dtype="float32")
    assert torch.equal(weights.network.logits(ids), plain.network.logits(ids))


def test_adapter_settings_without_weights_do_not_make_an_adapter(
    copy: Any, base: Path, lora: Path
) -> None:
    merged = copy(base)
    shutil.copy(lora / "adapter_config.json", merged / "adapter_config.json")
    found = describe(merged)
    assert (found.has_model, found.has_adapter) == (True, False)
    assert found.notes == (
        "adapter_config.json without an adapter's weights: read as the whole model",
    )
    weights = load_weights(found, device="cpu", dtype="float32")
    assert not hasattr(weights.model, "peft_config")
