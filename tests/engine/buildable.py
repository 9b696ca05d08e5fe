"""Backends that a test can build here; another backend joins the contract tests by one line.

A builder returns the backend and the variants that it can answer as. Each answers text and message
prompts, likelihoods and greedy completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tuneval.engine import Backend
from tuneval.engine.scripted import ScriptedBackend
from tuneval.types import Variant

BUILDERS = {
    "hf": "engine.buildable:hf",
    "scripted": "engine.buildable:scripted",
    "vllm": "engine.buildable:vllm",
}
"""Backend name -> "module:function" below ``tests``; the function takes a folder and a batch size."""


def build(name: str, folder: Path, batch_size: int) -> tuple[Backend, Sequence[Variant]]:
    """Import a builder only when its test runs."""
    module, _, function = BUILDERS[name].partition(":")
    built: tuple[Backend, Sequence[Variant]] = getattr(import_module(module), function)(
        folder, batch_size
    )
    return built


def scripted(folder: Path, batch_size: int) -> tuple[Backend, Sequence[Variant]]:
    """Two variants with rules of their own."""
    models = {"base": {"": "billing"}, "tuned": {"log in": "login", "": "billing"}}
    variants = (Variant("base", "base", "small"), Variant("tuned", "full", "tuned"))
    return ScriptedBackend(models=models, batch_size=batch_size), variants


def hf(folder: Path, batch_size: int) -> tuple[Backend, Sequence[Variant]]:
    """A random base, an adapter of it and another whole model."""
    from tuneval.engine.hf.backend import HFBackend

    options = HFBackend.Options(device="cpu", batch_size=batch_size, offline=True)
    return HFBackend(options), _models(folder)


def vllm(folder: Path, batch_size: int) -> tuple[Backend, Sequence[Variant]]:
    """The same models, plain transformers in the place of vLLM's engine."""
    from engine.vllm.fake_engine import FakeEngine
    from tuneval.engine.vllm.backend import VLLMBackend

    options = VLLMBackend.Options(device="cpu", batch_size=batch_size, offline=True)
    backend = VLLMBackend(options, lambda settings, _: FakeEngine(settings))
    return backend, _models(folder)


def _models(folder: Path) -> Sequence[Variant]:
    from tiny_models import build_adapter, build_model

    base, full = build_model(folder / "base"), build_model(folder / "full", seed=5)
    adapter = build_adapter(folder / "lora", base)
    return (
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), adapter=str(adapter)),
        Variant("full", "full", str(full)),
    )
