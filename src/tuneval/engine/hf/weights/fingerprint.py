"""Hashes all that can change an answer, so that two variants never share one.

Not for: finding the files (``folder.py``) or the tokenizer's own hash (``tokenizer.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneval.engine.hf.weights import hashes
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.home import home

_PACKAGES = ("torch", "transformers", "peft", "tokenizers")


def known() -> list[list[Any]]:
    """What was hashed so far, for another process of this machine."""
    return [[key, content] for key, content in hashes.KNOWN.items()]


def learn(hashed: Iterable[Iterable[Any]]) -> None:
    """Take over what another process has hashed; a file that changed since is hashed again."""
    for key, content in hashed:
        hashes.KNOWN[str(key)] = str(content)


def begin(files: Iterable[Path]) -> None:
    """Have a thread hash files whose hashes will be asked for."""
    hashes.begin(files, _memory())


def of_parts(parts: Mapping[str, object]) -> str:
    """Hash of named parts; any part that differs gives another hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def of_files(files: Iterable[Path]) -> str:
    """Hash of the contents of files, wherever they lie."""
    return of_parts(
        {"files": sorted((file.name, hashes.of_file(file, _memory())) for file in files)}
    )


def _memory() -> Path:
    """Where the hashes of large files are remembered."""
    return home() / "hashes.json"


def of_model(folder: ModelFolder) -> str:
    """Hash of a model's weights and of the settings that shape its forward pass."""
    settings = {key: value for key, value in folder.config.items() if key != "_name_or_path"}
    return of_parts({"weights": of_files(folder.weight_files), "config": settings})


def of_adapter(folder: ModelFolder, tensors: Mapping[str, Any] | None = None) -> str:
    """Hash of an adapter's tensors and settings (rank and scale change answers too).

    ``tensors`` are those of an adapter that exists in memory only.
    """
    return of_parts(
        {
            "weights": (
                of_files(folder.adapter_weight_files)
                if tensors is None
                else of_tensors(tensors.items())
            ),
            "settings": dict(folder.adapter_settings),
        }
    )


def of_tensors(tensors: Iterable[tuple[str, Any]]) -> str:
    """Hash of named tensors that exist in memory only."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda entry: entry[0]):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions(*more: str) -> dict[str, str]:
    """Versions of the packages that compute the answers, ``more`` among them."""
    found = {}
    for package in (*_PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
