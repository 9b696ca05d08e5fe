"""Folders described, and refused, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tiny_models import build_adapter, build_model, edit_json
from tuneval.engine.hf.weights.adapter import acts_everywhere, check_adapter_fits, find_base
from tuneval.engine.hf.weights.folder import describe
from tuneval.errors import AdapterError, VariantError


def test_it_needs_no_torch() -> None:
    code = "import sys, tuneval.engine.hf.weights.folder; print('torch' in sys.modules)"
    source = Path(__file__).parents[4] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(source)},
    )
    assert done.stdout.strip() == "False", done.stderr


def test_a_base_model(base) -> None:
    found = describe(base)
    assert (found.has_model, found.has_adapter) == (True, False)
    assert (found.model_type, found.architecture) == ("llama", "LlamaForCausalLM")
    assert (found.dtype, found.context_length, found.n_layers) == ("float32", 64, 2)
    assert found.n_parameters == sum(
        t.numel() for t in load_file(base / "model.safetensors").values()
    )
    assert found.disk_bytes == (base / "model.safetensors").stat().st_size
    assert found.chat_template is None
    assert {file.name for file in found.tokenizer_files} >= {"tokenizer.json"}


def test_an_adapter(base, lora, lora2) -> None:
    found = describe(lora)
    assert (found.has_model, found.has_adapter) == (False, True)
    assert found.base_model_name == str(base)
    assert found.adapter_settings["r"] == 4
    assert found.n_adapter_parameters == 1536
    assert found.recipe == describe(lora2).recipe
    assert check_adapter_fits(found, describe(base)) == ()


LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize(
    ("targets", "is_everywhere"),
    [
        (LLAMA, True),
        ([f"model.layers.0.mlp.{name}" for name in LLAMA], True),
        ("all-linear", True),
        ([*LLAMA, "lm_head"], True),
        (LLAMA[:-1], False),
        (r".*_proj", False),  # not read
    ],
)
def test_an_adapter_on_all_linear_layers_is_known(targets, is_everywhere, copy, base, lora) -> None:
    folder = copy(lora)
    edit_json(folder / "adapter_config.json", target_modules=targets)
    assert acts_everywhere(describe(folder), describe(base)) is is_everywhere


def test_chat_template_from_either_place(tmp_path, copy, base) -> None:
    assert "assistant" in (describe(build_model(tmp_path / "m", chat=True)).chat_template or "")
    named = copy(base)
    templates = [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]
    edit_json(named / "tokenizer_config.json", chat_template=templates)
    assert describe(named).chat_template == "d"


@pytest.mark.fault
def test_weights_that_are_not_whole(copy, base) -> None:
    cut = copy(base, "cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(
        VariantError, match=r'"model.safetensors" is damaged or cut off \(\d+ bytes'
    ):
        describe(cut)
    weights.write_bytes(b"")
    with pytest.raises(VariantError, match="damaged or cut off"):
        describe(cut)
    weights.write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(VariantError, match="damaged or cut off"):
        describe(cut)
    weights.unlink()
    with pytest.raises(VariantError, match=r"has no weights: there is no model.safetensors"):
        describe(cut)


@pytest.mark.fault
def test_a_missing_shard(copy, base) -> None:
    folder = copy(base)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[:5]}, folder / "a.safetensors")
    (folder / "model.safetensors").unlink()
    index = {name: "a.safetensors" if name in names[:5] else "b.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(VariantError, match=r'1 of 2 weight files are missing \(first: "b.safeten'):
        describe(folder)
    edit_json(folder / "model.safetensors.index.json", weight_map={"x": "../b.safetensors"})
    with pytest.raises(VariantError, match="outside of the folder"):
        describe(folder)


@pytest.mark.fault
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickled_weights_are_refused(copy, base, name) -> None:
    folder = copy(base)
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(VariantError, match=rf'weights as pickle only \("{name}"\)'):
        describe(folder)


@pytest.mark.fault
def test_own_code_is_refused(copy, base) -> None:
    folder = copy(base)
    edit_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(VariantError, match=r"code of its own \(config.json: auto_map\)"):
        describe(folder)
    assert describe(folder, trust_remote_code=True).has_own_code


def test_paths_with_a_typo(tmp_path, copy, base) -> None:
    copy(base, "support")
    with pytest.raises(VariantError, match=r'no folder ".*suport". Did you mean ".*support"\?'):
        describe(tmp_path / "suport")
    with pytest.raises(VariantError, match=r'there is no folder ".*zzz". ".*" holds "support"'):
        describe(tmp_path / "zzz")
    with pytest.raises(VariantError, match=r"is a file\. Give the folder"):
        describe(tmp_path / "support" / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VariantError, match=r"no model folder: .* \(it holds nothing\)"):
        describe(tmp_path / "empty")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache of our own."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def fill(cache: Path, name: str, model: Path) -> None:
    """Put a model into a hub cache."""
    import shutil

    repo = cache / f"models--{name.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    shutil.copytree(model, repo / "snapshots" / ("0" * 40))


def test_hub_ids_come_from_the_cache(cache, base, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        VariantError,
        match=r'"org/tiny" is not in the cache and this run is offline.\n.*hf download org/tiny',
    ):
        describe("org/tiny", offline=True)
    fill(cache, "org/tiny", base)
    assert describe("org/tiny", offline=True).model_type == "llama"


def test_a_base_that_is_not_here_is_offered_never_used(cache, copy, lora, base) -> None:
    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="/mnt/models/llama-3-8b")
    with pytest.raises(
        AdapterError, match=r'was trained on "/mnt/models/llama-3-8b", which is not'
    ):
        find_base(describe(adapter), offline=True)
    fill(cache, "meta/Meta-Llama-3-8B", base)
    with pytest.raises(
        AdapterError,
        match=r"Your cache holds meta/Meta-Llama-3-8B. If that is the same model:\n"
        r"    tuneval compare meta/Meta-Llama-3-8B --adapter .*",
    ):
        find_base(describe(adapter), offline=True)
    assert find_base(describe(lora), offline=True) == str(base)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(AdapterError, match="names no base model"):
        find_base(describe(adapter), offline=True)


def rename_tensors(folder: Path, rename) -> Path:
    file = folder / "adapter_model.safetensors"
    save_file({rename(name): tensor for name, tensor in load_file(file).items()}, file)
    return folder


def test_an_adapter_of_another_architecture(copy, base, lora) -> None:
    adapter = rename_tensors(
        copy(lora),
        lambda name: name.replace("model.layers", "blocks").replace("self_attn.", ""),
    )
    with pytest.raises(AdapterError, match="no weight of this adapter acts on the base") as caught:
        check_adapter_fits(describe(adapter), describe(base))
    text = str(caught.value)
    assert "12 of 12 tensors name modules that" in text
    assert "(first: blocks.0.mlp.down_proj;\nthe base has layers.0.mlp.down_proj)" in text
    assert "PEFT would have loaded it and returned\nthe base model's answers." in text


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(lambda name: name.replace("lora_A", "lora_a"), id="factor"),
        pytest.param(lambda name: name.replace(".weight", ".default.weight"), id="adapter-name"),
        pytest.param(lambda name: name.removeprefix("base_model.model."), id="prefix"),
    ],
)
def test_renamed_keys(copy, base, lora, rename) -> None:
    adapter = rename_tensors(copy(lora), rename)
    with pytest.raises(
        AdapterError, match=r"tensors (fit no module|have names that PEFT)|no weight"
    ):
        check_adapter_fits(describe(adapter), describe(base))


def test_an_adapter_of_a_deeper_base(tmp_path, base) -> None:
    deep = build_model(tmp_path / "deep", num_hidden_layers=3)
    adapter = build_adapter(tmp_path / "lora", deep)
    with pytest.raises(
        AdapterError, match=r"6 of 18 tensors fit no module of the base model \(first: layers.2"
    ) as caught:
        check_adapter_fits(describe(adapter), describe(base))
    assert "has 2 layers" in str(caught.value)


def test_an_adapter_of_a_wider_base(tmp_path, base) -> None:
    wide = build_model(tmp_path / "wide", hidden_size=48, num_attention_heads=4)
    adapter = build_adapter(tmp_path / "lora", wide)
    with pytest.raises(
        AdapterError, match=r"tensors have another shape than the modules"
    ) as caught:
        check_adapter_fits(describe(adapter), describe(base))
    assert "The base is 32 wide, the adapter's modules mostly 48." in str(caught.value)


def test_an_adapter_of_a_quantised_base(copy, base, lora) -> None:
    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="org/llama-bnb-4bit")
    with pytest.raises(
        AdapterError, match=r"trained on a 4-bit base \(org/llama-bnb-4bit\), but\n"
    ):
        check_adapter_fits(describe(adapter), describe(base))
    (warning,) = check_adapter_fits(describe(adapter), describe(base), allow_base_mismatch=True)
    assert "Scores will differ from training time." in warning


def test_a_base_of_another_name_is_a_warning(copy, base, lora) -> None:
    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="org/other")
    (warning,) = check_adapter_fits(describe(adapter), describe(base))
    assert 'trained on "org/other" and is evaluated on' in warning


def test_gpt2_modules_are_known_by_their_stored_names(tmp_path) -> None:
    gpt2 = build_model(tmp_path / "gpt2", "gpt2")
    assert (
        check_adapter_fits(describe(build_adapter(tmp_path / "lora", gpt2)), describe(gpt2)) == ()
    )


@pytest.mark.parametrize(
    "name", ["a" * 300, "o" * 60 + "/" + "m" * 60, "folder/" + "b" * 300, "/tmp/" + "c" * 5000]
)
def test_names_that_no_file_system_takes(name) -> None:
    with pytest.raises(VariantError, match="there is no folder"):
        describe(name, offline=True)


@pytest.mark.parametrize("name", ["a--b", "a..b", "owner/model.git", "~nobody-here/model"])
def test_names_that_no_hub_takes(name) -> None:
    with pytest.raises(VariantError, match="there is no folder"):
        describe(name, offline=True)


def test_an_adapter_that_records_a_name_too_long(lora, copy) -> None:
    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="x" * 400)
    with pytest.raises(AdapterError, match="which is not here"):
        find_base(describe(adapter), offline=True)
