"""Folders of small random models that the tests of this backend share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_models import build_adapter, build_model


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for models that no test changes."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def base(store: Path) -> Path:
    """A Llama-shaped base without a beginning-of-sequence or pad token."""
    return build_model(store / "base")


@pytest.fixture(scope="session")
def other_base(store: Path) -> Path:
    """A base with other weights: the full fine-tune."""
    return build_model(store / "full", seed=5)


@pytest.fixture(scope="session")
def lora(store: Path, base: Path) -> Path:
    """A LoRA adapter that acts."""
    return build_adapter(store / "lora", base)


@pytest.fixture(scope="session")
def lora2(store: Path, base: Path) -> Path:
    """Another training seed of the same recipe."""
    return build_adapter(store / "lora2", base, seed=2)


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a folder so that a test may damage it."""

    def copy_folder(folder: Path, name: str | None = None) -> Path:
        return Path(shutil.copytree(folder, tmp_path / (name or folder.name)))

    return copy_folder
