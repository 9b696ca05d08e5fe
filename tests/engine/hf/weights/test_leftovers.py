"""Quantised, merged and half-saved folders, as trainers leave them: loaded, or refused with the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_models import edit_json
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.weights.folder import describe
from tuneval.errors import AdapterError, BackendUnavailable, TunevalError, VariantError
from tuneval.types import Request, Variant

# ------------------------------------------------------------------------------------- quantised


def prepared(*variants: Variant) -> Any:
    engine = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    return engine, engine.prepare(variants)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"quant_method": "gptq", "bits": 4}, "optimum"),
        ({"quant_method": "awq", "bits": 4}, "gptqmodel"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao"),
        ({"quant_method": "fbgemm_fp8"}, "GPU"),
        ({"quant_method": "aqlm"}, "aqlm"),
    ],
)
def test_what_a_stored_method_needs_is_named_before_loading(
    settings: dict[str, Any], needed: str, base: Path, copy: Any
) -> None:
    folder = copy(base)
    edit_json(folder / "config.json", quantization_config=settings)
    (folder / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(BackendUnavailable) as error:
        prepared(Variant("base", "base", str(folder)))
    said = str(error.value)
    assert (
        f'is stored quantised by "{settings["quant_method"]}", which cannot be read here: ' in said
    )
    assert needed in said.splitlines()[0]


def test_a_method_that_transformers_does_not_know(base: Path, copy: Any) -> None:
    folder = copy(base)
    edit_json(folder / "config.json", quantization_config={"quant_method": "exl2", "bits": 4.0})
    with pytest.raises(
        VariantError, match=r'is stored quantised by "exl2", which transformers \S+ does'
    ):
        prepared(Variant("base", "base", str(folder)))


def in_float8(folder: Path) -> Path:
    """Quantise the layers' matrices of a folder, one scale each; returns the same numbers, unpacked."""
    plain = Path(shutil.copytree(folder, folder.with_name("unpacked")))
    packed, unpacked = {}, {}
    for name, weight in load_file(folder / "model.safetensors").items():
        packed[name] = unpacked[name] = weight
        if name.endswith("proj.weight"):
            scale = weight.abs().max() / 448
            packed[name] = (weight / scale).to(torch.float8_e4m3fn)
            packed[f"{name}_scale_inv"] = scale.reshape(1, 1)
            unpacked[name] = packed[name].float() * scale
    save_file(packed, folder / "model.safetensors", {"format": "pt"})
    save_file(unpacked, plain / "model.safetensors", {"format": "pt"})
    settings = {"activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    edit_json(folder / "config.json", quantization_config={"quant_method": "fp8", **settings})
    return plain


def test_float8_is_unpacked_where_nothing_multiplies_it(base: Path, lora: Path, copy: Any) -> None:
    folder = copy(base, "packed")
    plain = in_float8(folder)
    variants = [
        Variant("packed", "base", str(folder)),
        Variant("packed lora", "adapter", str(folder), str(lora)),
        Variant("plain", "base", str(plain)),
        Variant("plain lora", "adapter", str(plain), str(lora)),
    ]
    engine, facts = prepared(*variants)
    assert (
        '"packed" is stored in fp8, in which cpu does no products: its weights are unpacked to float32 as '
        "they are read."
    ) in facts["packed"].warnings
    request = Request("r", "c", "Once upon", continuation=" a time")
    found = [next(engine.answer(one, [request])).loglikelihood for one in variants]
    assert found[:2] == found[2:]
    assert found[0] != found[1]


# ---------------------------------------------------------------------------------------- merged


def test_settings_left_in_a_merged_folder_make_no_adapter(
    base: Path, lora: Path, copy: Any
) -> None:
    merged = copy(base, "model-merged")
    shutil.copy(lora / "adapter_config.json", merged / "adapter_config.json")
    with pytest.raises(AdapterError) as error:
        prepared(Variant("tuned", "adapter", str(base), str(merged)))
    assert (
        "there is an adapter_config.json without an adapter's weights beside a whole model"
        in str(error.value)
    )
    _, facts = prepared(Variant("tuned", "full", str(merged)))
    assert facts["tuned"].n_adapter_parameters == 0


def test_a_pickle_beside_adapter_settings_is_the_model(base: Path, lora: Path, copy: Any) -> None:
    merged = copy(base)
    shutil.copy(lora / "adapter_config.json", merged / "adapter_config.json")
    torch.save(load_file(merged / "model.safetensors"), merged / "pytorch_model.bin")
    (merged / "model.safetensors").unlink()
    with pytest.raises(VariantError, match="has its weights as pickle only"):
        describe(merged)
    found = describe(merged, allow_pickle_weights=True)
    assert (found.has_model, found.has_adapter) == (True, False)


def test_what_mergekit_writes(base: Path, copy: Any) -> None:
    """Shards with an index, its own recipe beside them, and no generation_config.json."""
    folder = copy(base)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    files = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, own in files.items():
        save_file({name: tensors[name] for name in own}, folder / file, {"format": "pt"})
    places = {name: file for file, own in files.items() for name in own}
    index = {"metadata": {"mergekit_version": "0.1.4"}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "mergekit_config.yml").write_text(
        "merge_method: slerp\nmodels:\n- model: a\n- model: b\n"
    )
    engine, _ = prepared(Variant("full", "full", str(folder)), Variant("base", "base", str(base)))
    request = Request("r", "c", "Once upon", continuation=" a time")
    full, plain = (
        next(engine.answer(Variant(kind, kind, str(path)), [request])).loglikelihood
        for kind, path in (("full", folder), ("base", base))
    )
    assert full == plain


# --------------------------------------------------------------------------------------- in parts


def empty(folder: Path, *entries: str) -> Path:
    folder.mkdir()
    for entry in entries:
        path = folder / entry
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return folder


MERGE = "    accelerate merge-weights c/pytorch_model_fsdp_0 c-whole"
GATHER = "    python c/zero_to_fp32.py c c-whole --safe_serialization"


@pytest.mark.parametrize(
    ("entries", "remedy"),
    [
        (("pytorch_model_fsdp_0/__0_0.distcp", "trainer_state.json"), MERGE),
        (("pytorch_model_fsdp_0/__0_0.distcp", "config.json"), MERGE),
        (("pytorch_model_fsdp_0/__0_0.distcp", "adapter_config.json"), MERGE),
        (("__0_0.distcp", ".metadata"), "    accelerate merge-weights c c-whole"),
        (("zero_to_fp32.py", "global_step9/mp_rank_00_model_states.pt"), GATHER),
        (("zero_to_fp32.py", "config.json"), GATHER),
        (
            ("global_step9/mp_rank_00_model_states.pt",),
            "zero_to_fp32.py of the checkpoint's folder",
        ),
        (("pytorch_model_fsdp.bin", "config.json"), "holds the whole model as a pickle"),
    ],
)
def test_shards_alone_are_named_with_the_command(
    entries: tuple[str, ...], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = empty(Path("c"), *entries)
    for name in ("config.json", "adapter_config.json"):
        if (folder / name).is_file():
            (folder / name).write_text('{"model_type": "llama", "peft_type": "LORA"}')
    with pytest.raises(TunevalError) as error:
        describe("c")
    assert remedy in str(error.value)


def test_flat_parts_of_an_adapter(lora: Path, copy: Any) -> None:
    folder = copy(lora)
    file = folder / "adapter_model.safetensors"
    save_file({key: value.flatten() for key, value in load_file(file).items()}, file)
    with pytest.raises(VariantError, match=r"12 of 12 tensors are flat .*\n.*FULL_STATE_DICT"):
        describe(folder)


@pytest.mark.parametrize(
    ("part", "maker"),
    [
        ("_fsdp_wrapped_module.", "FSDP"),
        ("_orig_mod.", "torch.compile"),
        ("module.", "DistributedDataParallel"),
    ],
)
@pytest.mark.parametrize("kind", ["base", "lora"])
def test_names_of_a_wrapper(
    kind: str, part: str, maker: str, request: pytest.FixtureRequest, copy: Any
) -> None:
    folder = copy(request.getfixturevalue(kind))
    file = next(folder.glob("*model.safetensors"))
    start = "base_model.model." if kind == "lora" else ""
    stored = {
        f"{start}{part}{key.removeprefix(start)}": value for key, value in load_file(file).items()
    }
    save_file(stored, file)
    with pytest.raises(VariantError, match=rf"while {maker} had the model wrapped"):
        describe(folder)
