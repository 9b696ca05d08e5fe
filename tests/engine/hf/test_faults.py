"""Faults of a run: refused before it starts, or reported per request while it goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tiny_models import build_adapter, build_model, build_tokenizer, edit_json
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes.fused import FusedBody
from tuneval.errors import AdapterError, BackendUnavailable, TokenizerMismatch, VariantError
from tuneval.types import Decoding, Request, Variant

pytestmark = pytest.mark.fault


def change(folder: Path, edit, name: str = "adapter_model.safetensors") -> Path:
    """Edit the tensors of a folder."""
    file = folder / name
    save_file(edit(load_file(file)), file, metadata={"format": "pt"})
    return folder


def prepare(base, adapter, **options):
    variant = Variant("lora", "adapter", str(base), str(adapter))
    return HFBackend(HFBackend.Options(offline=True, device="cpu", **options)).prepare([variant])[
        "lora"
    ]


def test_zeroed_second_factors(base, lora, copy) -> None:
    adapter = change(
        copy(lora), lambda ts: {k: t * 0 if "lora_B" in k else t for k, t in ts.items()}
    )
    with pytest.raises(AdapterError, match=r"all 12 tensors fit, but it changes nothing") as caught:
        prepare(base, adapter)
    assert "(all 6 lora_B tensors are zero, as before the first training step)" in str(caught.value)


def test_tensors_that_are_not_there(base, lora, copy) -> None:
    adapter = change(copy(lora), lambda ts: dict(list(ts.items())[2:]))
    with pytest.raises(AdapterError, match=r"2 tensors were not loaded into .*\n.*not in the file"):
        prepare(base, adapter)


def test_tensors_that_fit_nothing(base, lora, copy) -> None:
    """A module that the settings do not list: PEFT warns at most."""
    adapter = copy(lora)
    edit_json(adapter / "adapter_config.json", target_modules=["q_proj"])
    with pytest.raises(AdapterError, match=r"tensors were not loaded into .*\n.*fits nothing"):
        prepare(base, adapter)


def test_an_adapter_of_another_base(tmp_path, base) -> None:
    wide = build_model(tmp_path / "wide", hidden_size=48)
    with pytest.raises(AdapterError, match="another shape than the modules"):
        prepare(base, build_adapter(tmp_path / "lora", wide))


def test_a_diverged_adapter(base, lora, copy) -> None:
    adapter = change(copy(lora), lambda ts: {k: t * float("nan") for k, t in ts.items()})
    with pytest.raises(AdapterError, match="its logits are not finite on a probe prompt"):
        prepare(base, adapter)


def test_another_tokenizer(base, lora, copy) -> None:
    adapter = copy(lora)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|refund|>"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(TokenizerMismatch, match=r'1 tokens more \(first: "<|refund|>"\)'):
        prepare(base, adapter)
    assert prepare(base, adapter, tokenizer_from="base").tokenizer == "base's, as asked"


def test_missing_tensors_are_never_random(base, copy) -> None:
    folder = change(
        copy(base),
        lambda ts: {k: t for k, t in ts.items() if "layers.1.mlp" not in k},
        "model.safetensors",
    )
    with pytest.raises(VariantError, match=r"3 tensors of the model are missing") as caught:
        HFBackend(HFBackend.Options(offline=True, device="cpu")).prepare(
            [Variant("base", "base", str(folder))]
        )
    assert 'missing: "model.layers.1.mlp.down_proj.weight"' in str(caught.value)
    assert "filled them with random numbers" in str(caught.value)


def test_weights_of_another_shape(base, copy) -> None:
    folder = copy(base)
    edit_json(folder / "config.json", intermediate_size=64)
    with pytest.raises(VariantError, match=r"cannot be loaded|have another shape"):
        HFBackend(HFBackend.Options(offline=True, device="cpu")).prepare(
            [Variant("base", "base", str(folder))]
        )


def test_pickles_stay_closed(base, copy, tmp_path) -> None:
    canary = tmp_path / "canary"
    folder = copy(base)

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (canary,))

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    variant = Variant("base", "base", str(folder))
    torch.save({**weights, "bomb": Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(VariantError, match="pickle only"):
        HFBackend(HFBackend.Options(offline=True, device="cpu")).prepare([variant])
    with pytest.raises(VariantError, match="cannot be loaded"):
        HFBackend(HFBackend.Options(offline=True, device="cpu", allow_pickle_weights=True)).prepare(
            [variant]
        )
    assert not canary.exists()
    torch.save(weights, folder / "pytorch_model.bin")
    HFBackend(HFBackend.Options(offline=True, device="cpu", allow_pickle_weights=True)).prepare(
        [variant]
    )


def test_a_full_fine_tune_that_is_the_base(base, copy) -> None:
    named = [Variant("base", "base", str(base)), Variant("full", "full", str(copy(base)))]
    facts = HFBackend(HFBackend.Options(offline=True, device="cpu")).prepare(named)
    assert "holds the very weights of the base" in facts["full"].warnings[0]
    assert facts["full"].fingerprint != facts["base"].fingerprint


def test_a_base_that_peft_changed_in_place(base, lora) -> None:
    import warnings

    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PeftModel.from_pretrained(model, lora)
    with pytest.raises(AdapterError, match="carries adapter layers"):
        HFBackend(HFBackend.Options(offline=True, models={"base": model})).prepare(
            [Variant("base", "base", str(base))]
        )


# ------------------------------------------------------------------------------- while it runs


def scorings() -> list[Request]:
    return [
        Request(str(i), "c", "Once upon a time " * (i % 4), continuation=f" word{i}")
        for i in range(24)
    ]


def drawings() -> list[Request]:
    return [
        Request(f"g{i}", "c", "Once upon a time" + " there" * i, decoding=Decoding(max_tokens=4))
        for i in range(8)
    ]


def limit(backend: HFBackend, monkeypatch, rows: int, error: Exception) -> None:
    """Let every call of the model with more than ``rows`` rows run out of memory."""
    (weights,) = backend._resident.held.values()
    body = weights.network.body
    inner = body.forward

    def narrow(*args, **kwargs):
        ids = kwargs.get("input_ids")
        if ids is None:
            ids = kwargs["inputs_embeds"]
        if ids.shape[0] > rows:
            raise error
        return inner(*args, **kwargs)

    monkeypatch.setattr(body, "forward", narrow)
    fused = FusedBody.run

    def narrow_fused(self, ids, positions, attend):
        if len(ids) > rows * 16:
            raise error
        return fused(self, ids, positions, attend)

    monkeypatch.setattr(FusedBody, "run", narrow_fused)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_out_of_memory_halves_the_batch(base, monkeypatch, error) -> None:
    variant = Variant("base", "base", str(base))
    one = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=1))
    requests = scorings() + drawings()
    expected = {answer.request_id: answer for answer in one.answer(variant, requests)}
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", batch_size=8))
    backend.prepare([variant])
    limit(backend, monkeypatch, 2, error)
    answers = {answer.request_id: answer for answer in backend.answer(variant, requests)}
    assert set(answers) == set(expected)
    for key, answer in answers.items():
        assert answer.problem is None
        assert answer.completions == expected[key].completions
        if answer.loglikelihood is not None:
            assert answer.loglikelihood == pytest.approx(expected[key].loglikelihood, abs=1e-4)


def test_out_of_memory_at_one_row_is_reported(base, monkeypatch) -> None:
    variant = Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    backend.prepare([variant])
    limit(backend, monkeypatch, 0, torch.OutOfMemoryError("x"))
    answers = list(backend.answer(variant, scorings()[:3] + drawings()[:2]))
    assert len(answers) == 5
    for answer in answers:
        assert answer.problem is not None
        assert answer.problem.startswith("out of memory: a")
        assert answer.loglikelihood is None
        assert answer.completions == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(base, monkeypatch, value) -> None:
    """Only the request whose rows are hit has a problem; its neighbours in the batch do not."""
    variant = Variant("base", "base", str(base))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
    backend.prepare([variant])
    (weights,) = backend._resident.held.values()
    embeddings = weights.model.get_input_embeddings()
    bad = backend._reader.tokenizer(backend._reader.describe(str(base), variant), variant).encode(
        "Z"
    )[0]
    with torch.no_grad():
        embeddings.weight[bad] = value
    backend._resident.trees.clear()  # a fused pass keeps copies
    requests = [
        Request("fine", "c", "Once upon", continuation=" a time"),
        Request("bad", "c", "Once Z upon", continuation=" a time"),
        Request("fine-g", "c", "Once upon", decoding=Decoding(max_tokens=2)),
        Request("bad-g", "c", "Once Z upon", decoding=Decoding(max_tokens=2)),
    ]
    answers = {answer.request_id: answer for answer in backend.answer(variant, requests)}
    for key, answer in answers.items():
        if key.startswith("bad"):
            assert answer.problem is not None
            assert answer.problem.startswith("nonfinite")
        else:
            assert answer.problem is None


def test_tokens_beyond_the_embeddings(tmp_path, base, lora, copy) -> None:
    adapter = copy(lora)
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([f"<|{i}|>" for i in range(9)])
    tokenizer.save_pretrained(adapter)
    variant = Variant("lora", "adapter", str(base), str(adapter))
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", tokenizer_from="adapter"))
    facts = backend.prepare([variant])["lora"]
    assert any("texts with the tokens beyond cannot be answered" in w for w in facts.warnings)
    requests = [
        Request("a", "c", "Once", continuation=" <|8|>"),
        Request("b", "c", "Once <|8|>", decoding=Decoding(max_tokens=2)),
        Request("ok", "c", "Once", continuation=" upon"),
    ]
    answers = {answer.request_id: answer for answer in backend.answer(variant, requests)}
    assert "embeddings for" in answers["a"].problem
    assert "embeddings for" in answers["b"].problem
    assert answers["ok"].problem is None


MEASURE = """
import resource, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.passes.fused import FusedBody
from tuneval.types import Request, Variant
base, adapters = sys.argv[2], sys.argv[3:]
variants = [Variant("base", "base", base)]
variants += [Variant(a, "adapter", base, a) for a in adapters]
backend = HFBackend(HFBackend.Options(offline=True, device="cpu"))
backend.prepare(variants)
for variant in variants:
    list(backend.answer(variant, [Request("r", "c", "Once upon", continuation=" a time")]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_base_weights_are_held_once(tmp_path) -> None:
    """Three adapters cost little beside a base of 200 MB."""
    base = build_model(
        tmp_path / "base",
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=7,
        num_attention_heads=12,
        num_key_value_heads=12,
    )
    assert (base / "model.safetensors").stat().st_size > 190e6
    adapters = [build_adapter(tmp_path / f"lora{i}", base, seed=i) for i in range(3)]
    source = Path(__file__).parents[3] / "src"

    def peak(*folders: Path) -> float:
        command = [sys.executable, "-c", MEASURE, str(source), str(base), *map(str, folders)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout)

    alone, with_adapters = peak(), peak(*adapters)
    assert with_adapters <= 1.3 * alone, (alone, with_adapters)


@pytest.mark.parametrize(
    ("device", "n_cuda", "message"),
    [
        ("cuda", 0, 'device "cuda" asked for, but torch sees no CUDA device. Use --device cpu.'),
        ("cuda:3", 2, 'device "cuda:3" asked for, but the last one that torch sees is cuda:1.'),
        ("mps", 0, 'device "mps" asked for, but torch sees no Apple GPU. Use --device cpu.'),
    ],
)
def test_a_device_that_is_not_here_is_refused_before_anything_is_loaded(
    device, n_cuda, message, monkeypatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable) as error:
        HFBackend(HFBackend.Options(offline=True, device=device))
    assert str(error.value) == message
