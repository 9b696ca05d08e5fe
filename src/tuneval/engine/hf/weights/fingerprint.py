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

from tuneval.engine.hf.weights.folder import ModelFolder

_PACKAGES = ("torch", "transformers", "peft", "tokenizers")
_HASHED: dict[tuple[str, int, int, int], str] = {}
"""(path, size, mtime_ns, inode) -> content hash: a 16 GB file is read once per process."""


def known() -> list[list[Any]]:
    """What was hashed so far, for another process of this machine."""
    return [[*key, content] for key, content in _HASHED.items()]


def learn(hashed: Iterable[Iterable[Any]]) -> None:
    """Take over what another process has hashed; a file that changed since is hashed again."""
    for path, size, mtime_ns, inode, content in hashed:
        _HASHED[str(path), int(size), int(mtime_ns), int(inode)] = str(content)


def of_parts(parts: Mapping[str, object]) -> str:
    """Hash of named parts; any part that differs gives another hash."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def of_files(files: Iterable[Path]) -> str:
    """Hash of the contents of files, wherever they lie."""
    return of_parts({"files": sorted((file.name, _of_file(file)) for file in files)})


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


def _of_file(file: Path) -> str:
    state = file.stat()
    key = (str(file.resolve()), state.st_size, state.st_mtime_ns, state.st_ino)
    if key not in _HASHED:
        with file.open("rb") as stream:
            _HASHED[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _HASHED[key]
