"""Where weights go and in how many bits; quantised and spread models answer, or say why not."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny_models import build_adapter, build_model, edit_json
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.weights import memory, placement
from tuneval.engine.hf.weights.folder import describe
from tuneval.engine.hf.weights.loading import load_weights
from tuneval.engine.hf.weights.placement import Placement, bits_of, in_words, needed_bytes, place
from tuneval.engine.hf.weights.proof import Proof
from tuneval.errors import AdapterError, BackendUnavailable, VariantError
from tuneval.types import Decoding, Request, Variant

GIB = 2**30
WIDE = {"hidden_size": 64, "intermediate_size": 128}
REQUESTS = [
    Request(f"{i}-{j}", "c", context, continuation=rest, with_token_logprobs=True)
    for i, context in enumerate(("Once upon a time there was", "Question: my card\nTopic:", ""))
    for j, rest in enumerate((" a little girl", " refund", " card payment refused"))
]
DRAWN = [Request("g", "c", "Once upon a time", decoding=Decoding(max_tokens=5))]


def ask(backend: HFBackend, variant: Variant, requests=REQUESTS):
    return {answer.request_id: answer for answer in backend.answer(variant, requests)}


# ------------------------------------------------------------------------------ the decision


@pytest.mark.parametrize(
    ("needed", "device", "free", "bits", "expected"),
    [
        (8 * GIB, "cuda:0", 10 * GIB, None, Placement()),
        (8 * GIB, "cuda:0", 9 * GIB, None, Placement("auto", None, is_spread=True)),
        (8 * GIB, "cuda:0", 10 * GIB, "4-bit", Placement({"": "cuda:0"})),
        (8 * GIB, "cpu", 9 * GIB, None, Placement()),
        (8 * GIB, "cpu", 5 * GIB, None, Placement("auto", {"cpu": 4 * GIB}, is_spread=True)),
        (8 * GIB, "mps", 5 * GIB, None, Placement()),
    ],
)
def test_what_does_not_fit_is_spread(needed, device, free, bits, expected) -> None:
    assert place(needed, device, free, bits=bits) == expected


def test_bytes_that_weights_take(base) -> None:
    folder = describe(base)
    whole = folder.n_parameters * 4
    assert needed_bytes(folder, "float32", None) == pytest.approx(whole, rel=0.05)
    assert needed_bytes(folder, "bfloat16", None) == pytest.approx(whole / 2, rel=0.05)
    layers = sum(
        shape[0] * shape[1]
        for name, shape in folder.tensors.items()
        if len(shape) == 2 and "layers" in name
    )
    rest = (folder.n_parameters - layers) * 4
    assert needed_bytes(folder, "float32", "8-bit") == pytest.approx(rest + layers)
    assert needed_bytes(folder, "float32", "4-bit") == pytest.approx(
        rest + layers * 0.5625, rel=0.01
    )


def test_stored_bits_win_and_others_are_refused(base, copy) -> None:
    assert bits_of(describe(base), "none") is None
    assert bits_of(describe(base), "4bit") == "4-bit"
    folder = copy(base, "stored")
    edit_json(
        folder / "config.json",
        quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True},
    )
    stored = describe(folder)
    assert bits_of(stored, "none") == bits_of(stored, "8bit") == "8-bit"
    assert placement.needs_bitsandbytes(stored, "8-bit")
    with pytest.raises(VariantError, match=r"stored quantised \(8-bit\) and cannot be loaded"):
        bits_of(stored, "4bit")
    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert not placement.needs_bitsandbytes(describe(folder), "4-bit")


def test_places_in_words() -> None:
    places = {"model.embed": 0, "model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "disk"}
    assert in_words(places) == "cuda:0 2 parts, cpu 1 part, disk 1 part"


def test_cached_files_are_free_memory(monkeypatch, tmp_path) -> None:
    """A container that has read a model once is full of its pages."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    before = memory.free_bytes("cpu")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    assert memory.free_bytes("cpu") == 100
    (tmp_path / "memory.stat").write_text("anon 200\ninactive_file 600\nactive_file 100\n")
    assert memory.free_bytes("cpu") == 700
    assert before > 1000


# ------------------------------------------------------------------- more than fits on a device


def test_a_device_map_of_one_device(base, lora) -> None:
    expected = ask(
        HFBackend(HFBackend.Options(offline=True, device="cpu")), Variant("base", "base", str(base))
    )
    for device_map in ("cpu", {"": "cpu"}, "auto"):
        weights = load_weights(
            describe(base), device="cpu", dtype="float32", placement=Placement(device_map)
        )
        assert weights.spread_over == ""
        backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
        variant = Variant("base", "base", str(base))
        backend._resident._load = lambda *_, held=weights: held
        for key, answer in ask(backend, variant).items():
            assert answer.token_logprobs == expected[key].token_logprobs


@pytest.mark.parametrize("share", [0.0, 0.75])
def test_a_model_that_does_not_fit_is_read_from_disk_in_parts(tmp_path, monkeypatch, share) -> None:
    """On CPU accelerate keeps what fits and reads the rest again for every pass."""
    base = build_model(tmp_path / "base", num_hidden_layers=8)
    lora = build_adapter(tmp_path / "lora", base)
    lora2 = build_adapter(tmp_path / "lora2", base, seed=2)
    named = [
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), str(lora)),
        Variant("lora2", "adapter", str(base), str(lora2)),
    ]
    roomy = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    expected = {v.name: ask(roomy, v, REQUESTS + DRAWN) for v in named}
    free = int(describe(base).disk_bytes * share)
    monkeypatch.setattr("tuneval.engine.hf.weights.memory.free_bytes", lambda device: free)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    facts = backend.prepare(named)
    assert "disk" in facts["base"].settings["placement"]
    assert ("cpu" in facts["base"].settings["placement"]) == (share > 0)
    assert facts["base"].settings["scoring"] == "packed trie"
    assert '"base" does not fit on cpu (' in facts["base"].warnings[-1]
    for variant in (*named, named[0]):
        for key, answer in ask(backend, variant, REQUESTS + DRAWN).items():
            wanted = expected[variant.name][key]
            assert answer.completions == wanted.completions
            if wanted.loglikelihood is not None:
                assert answer.loglikelihood == pytest.approx(wanted.loglikelihood, abs=1e-4)
    backend.close()


def test_only_a_plain_lora_goes_beside_parts(tmp_path, base, monkeypatch) -> None:
    import peft

    config = peft.LoraConfig(r=4, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    adapter = build_adapter(tmp_path / "dora", base, config=config)
    monkeypatch.setattr("tuneval.engine.hf.weights.memory.free_bytes", lambda device: 0)
    variant = Variant("dora", "adapter", str(base), str(adapter))
    with pytest.raises(AdapterError, match=r"does not fit into memory as a whole .*plain LoRA can"):
        HFBackend(HFBackend.Options(offline=True, device="cpu")).prepare([variant])


# ------------------------------------------------------------------------------ 8 and 4 bits


def test_quantisation_without_the_package(base, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    variant = Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", quantization="4bit"))
    with pytest.raises(BackendUnavailable) as caught:
        backend.prepare([variant])
    text = str(caught.value)
    assert f'"{base}" in 8 or 4 bits needs bitsandbytes, which cannot be imported' in text
    assert 'Install it with: pip install "tuneval[bitsandbytes]"' in text


def test_quantisation_on_a_device_that_the_package_does_not_know(base, monkeypatch) -> None:
    fake = types.SimpleNamespace(__version__="0.45.0", supported_torch_devices={"cuda", "xpu"})
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", quantization="8bit"))
    with pytest.raises(BackendUnavailable) as caught:
        backend.prepare([Variant("base", "base", str(base))])
    assert 'bitsandbytes 0.45.0 does not run on device "cpu" (it knows cuda, xpu).' in str(
        caught.value
    )
    assert "leave backend.quantization out" in str(caught.value)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matrices of a width that 4-bit blocks of 64 fit."""
    folder = tmp_path_factory.mktemp("wide")
    return build_model(folder / "base", **WIDE)


@pytest.fixture
def real() -> None:
    try:
        importlib.import_module("bitsandbytes")
    except ImportError:
        pytest.skip("bitsandbytes is not installed (pip install tuneval[bitsandbytes])")


def plain_logprobs(model, tokenizer, request: Request) -> list[float]:
    """By one forward of the whole model with one row."""
    head = tokenizer.encode(request.prompt) or [tokenizer.eos_token_id]
    rest = tokenizer.encode(request.prompt + request.continuation)
    whole = rest if request.prompt else head + rest
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return [float(logits[i - 1, whole[i]]) for i in range(len(head), len(whole))]


# Every product in 8 bits looks for outliers over all rows that it is given.
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(("bits", "within"), [("4bit", 1e-4), ("8bit", 0.15)])
def test_quantised_base_and_adapters(tmp_path, wide, bits, within) -> None:
    import peft
    from transformers import BitsAndBytesConfig

    adapter = build_adapter(tmp_path / "lora", wide)
    named = [
        Variant("base", "base", str(wide)),
        Variant("lora", "adapter", str(wide), str(adapter)),
        Variant("full", "full", str(build_model(tmp_path / "full", seed=5, **WIDE))),
    ]
    whole = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", quantization=bits))
    facts, plain_facts = backend.prepare(named), whole.prepare(named)
    label = {"4bit": "4-bit", "8bit": "8-bit"}[bits]
    for name, fact in facts.items():
        assert fact.settings["quantization"] == label
        assert fact.fingerprint != plain_facts[name].fingerprint
        # Never merged into copies: PEFT's own modules act.
        assert fact.settings["scoring"] == "packed trie"
        assert fact.n_parameters == plain_facts[name].n_parameters
        assert not any("a part of any difference" in text for text in fact.warnings)
        assert any("held in 8 bits" in text for text in fact.warnings) == (bits == "8bit")
    options = (
        {"load_in_8bit": True}
        if bits == "8bit"
        else {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    )
    if bits == "4bit":
        options["bnb_4bit_compute_dtype"] = torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        wide, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**options)
    ).eval()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    tokenizer = AutoTokenizer.from_pretrained(wide)
    apart = {}
    for variant in named[:2]:
        if variant.adapter:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = peft.PeftModel.from_pretrained(model, adapter).eval()
        exact = ask(whole, variant)
        for key, answer in ask(backend, variant).items():
            request = next(one for one in REQUESTS if one.id == key)
            expected = plain_logprobs(model, tokenizer, request)
            assert list(answer.token_logprobs) == pytest.approx(expected, abs=within)
            apart[key] = abs(answer.loglikelihood - exact[key].loglikelihood)
    assert max(apart.values()) > 1e-3  # it really was quantised
    first = ask(backend, named[0])
    ask(backend, named[1])
    again = ask(backend, named[0])
    assert {k: a.token_logprobs for k, a in first.items()} == {
        k: a.token_logprobs for k, a in again.items()
    }
    drawn = ask(backend, named[1], DRAWN)["g"]
    assert drawn.problem is None
    assert drawn.completions[0].n_tokens == 5
    backend.close()


@pytest.mark.usefixtures("real")
def test_4_bit_weights_outlive_a_state_dict(tmp_path) -> None:
    """On some processors bitsandbytes rearranges them in place, and turns them back wrongly."""
    odd = build_model(tmp_path / "odd", hidden_size=64, intermediate_size=192, vocab_size=500)
    weights = load_weights(
        describe(odd), device="cpu", dtype="float32", bits="4-bit", placement=Placement({"": "cpu"})
    )
    proof = Proof(weights, [[5, 6, 7, 8], [9, 10]])
    before = proof._probe([5, 6, 7, 8])
    weights.model.state_dict()
    assert torch.equal(proof._probe([5, 6, 7, 8]), before)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_folder_that_is_stored_quantised(tmp_path, wide, bits) -> None:
    """It loads as it is stored; a full fine-tune that is whole beside it is said to be so."""
    from transformers import BitsAndBytesConfig

    options = {"load_in_8bit": True} if bits == "8bit" else {"load_in_4bit": True}
    if bits == "4bit":
        options |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
    model = AutoModelForCausalLM.from_pretrained(
        wide, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**options)
    )
    model.save_pretrained(tmp_path / "stored")
    AutoTokenizer.from_pretrained(wide).save_pretrained(tmp_path / "stored")
    stored = Variant("base", "base", str(tmp_path / "stored"))
    named = [stored, Variant("full", "full", str(build_model(tmp_path / "full", seed=5)))]
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    facts = backend.prepare(named)
    label = {"4bit": "4-bit", "8bit": "8-bit"}[bits]
    assert facts["base"].settings["quantization"] == label
    assert facts["full"].warnings[-1] == (
        f'"full" is loaded whole and the base "base" in {label}: a part of any difference may come '
        "from that alone."
    )
    asked = HFBackend(HFBackend.Options(offline=True, device="cpu", quantization=bits))
    expected = ask(asked, Variant("base", "base", str(wide)))
    for key, answer in ask(backend, stored).items():
        assert list(answer.token_logprobs) == pytest.approx(
            list(expected[key].token_logprobs), abs=1e-5
        )


def test_an_adapter_of_a_4_bit_base_fits_one_that_is_loaded_so(base, lora, copy) -> None:
    from tuneval.engine.hf.weights.adapter import check_adapter_fits

    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="somebody/base-bnb-4bit")
    with pytest.raises(AdapterError, match="was trained on a 4-bit base"):
        check_adapter_fits(describe(adapter), describe(base))
    assert check_adapter_fits(describe(adapter), describe(base), is_quantised=True) == ()


def test_the_key_of_a_run_reaches_the_backend(base) -> None:
    from tuneval.errors import ConfigError
    from tuneval.pipeline.build import make_backend
    from tuneval.plan.spec import RunSpec

    def spec(**backend: str) -> RunSpec:
        return RunSpec.from_dict(
            {
                "variants": [{"name": "base", "model": str(base)}],
                "cases": [{"file": "test.jsonl"}],
                "backend": backend,
            }
        )

    made = make_backend(spec(quantization="4bit", device="cpu"), None)
    assert isinstance(made, HFBackend)
    assert made.options.quantization == "4bit"
    with pytest.raises(ConfigError, match=r'^backend "hf" has no option "base_url"\.$'):
        make_backend(spec(base_url="http://localhost/v1"), None)
    with pytest.raises(ConfigError, match=r"backend.quantization: .*'4bit'"):
        spec(quantization="3bit")
