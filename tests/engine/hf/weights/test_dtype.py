"""Which dtype "auto" takes, and that all variants have the same."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from tuneval.engine.hf.backend import HFBackend
from tuneval.engine.hf.weights import loading
from tuneval.engine.hf.weights.folder import describe
from tuneval.types import Variant


@pytest.fixture
def narrow(tmp_path, base):
    """The base, stored in bfloat16."""
    folder = tmp_path / "narrow"
    shutil.copytree(base, folder)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("stored", "device", "speed_up", "small", "expected"),
    [
        ("narrow", "cpu", 4.0, 0, "bfloat16"),
        ("narrow", "cpu", 1.2, 0, "float32"),  # no instructions for it
        ("narrow", "cpu", 4.0, 10**9, "float32"),  # the fused pass is faster
        ("narrow", "cuda:0", 0.1, 10**9, "bfloat16"),
        ("wide", "cpu", 4.0, 0, "float32"),
        ("wide", "cuda:0", 4.0, 0, "float32"),
    ],
)
def test_auto(stored, device, speed_up, small, expected, base, narrow, monkeypatch) -> None:
    monkeypatch.setattr(loading, "speed_up", lambda dtype: speed_up)
    monkeypatch.setattr(loading, "SMALL_MODEL", small)
    folder = describe(narrow if stored == "narrow" else base)
    assert loading.resolve_dtype("auto", folder, device) == expected
    assert loading.resolve_dtype("float16", folder, device) == "float16"


def test_the_trial_measures() -> None:
    """A dtype with no more than a fallback is slower than float32 everywhere; threads come back."""
    before = torch.get_num_threads()
    loading.speed_up.cache_clear()
    assert loading.speed_up("float64") < 1.5
    assert loading.speed_up("bfloat16") > 0
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("stored", "said", "expected"),
    [
        (("narrow", "narrow"), None, ["bfloat16", "bfloat16"]),
        (("narrow", "wide"), None, ["float32", "float32"]),
        (("wide", "narrow"), None, ["float32", "float32"]),
        (("narrow", "wide"), "float32", ["bfloat16", "float32"]),  # of the second, by the user
    ],
)
def test_variants_share_one(stored, said, expected, base, narrow, lora, monkeypatch) -> None:
    monkeypatch.setattr(loading, "speed_up", lambda dtype: 4.0)
    monkeypatch.setattr(loading, "SMALL_MODEL", 0)
    first, second = (str(narrow if kind == "narrow" else base) for kind in stored)
    variants = [
        Variant("base", "base", first),
        Variant("full", "full", second, dtype=said or "auto"),
        Variant("lora", "adapter", first, str(lora)),
    ]
    backend = HFBackend(HFBackend.Options(offline=True, device="cpu", allow_base_mismatch=True))
    facts = backend.prepare(variants)
    assert [facts[name].dtype for name in ("base", "full")] == expected
    assert facts["lora"].dtype == expected[0]
    backend.close()
