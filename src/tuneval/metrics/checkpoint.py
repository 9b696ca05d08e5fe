"""Where a metric's own network lies on this machine, and loading it without noise.

Not for: the models that are compared (engine), fetching anything from the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from tuneval.errors import MetricError
from tuneval.extras import need

CONFIGS = ("config.json", "bert_config.json")


def find(metric: str, option: str, name: str) -> Path:
    """Folder of a checkpoint: a folder as such, or a hub id that was downloaded before.

    Raises
    ------
    MetricError
        It is not here, or holds no safetensors; says where it was looked for and how to get it.
    BackendUnavailable
        What runs it is not installed.
    """
    need("models", f'metric "{metric}"')
    folder = Path(name).expanduser()
    looked = [str(folder)]
    if not any((folder / config).exists() for config in CONFIGS):
        from huggingface_hub import constants, try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        looked.append(constants.HF_HUB_CACHE)
        try:
            config = try_to_load_from_cache(name, CONFIGS[0])
        except HFValidationError:
            config = None
        if not isinstance(config, str):
            places = " and ".join(f'"{place}"' for place in looked)
            raise MetricError(
                f'metric "{metric}" needs the model "{name}", which is not here (looked for '
                f"{places}). Download it with: hf download {name} or name a folder with {option}."
            )
        folder = Path(config).parent
    if not any(folder.glob("*.safetensors")):
        raise MetricError(
            f'metric "{metric}": the model in "{folder}" has no *.safetensors. Other weight files '
            "are not opened, because they can run code; convert it, or name another with "
            f"{option}."
        )
    return folder


@lru_cache(maxsize=8)
def identity(folder: Path) -> str:
    """Name of a checkpoint for a signature: its folder, and the beginning of its weights' sha256.

    For a downloaded one the folder is the commit.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return f"{folder.resolve().name[:40]}@{digest.hexdigest()[:8]}"


def config_of(folder: Path) -> dict[str, Any]:
    """The checkpoint's configuration as it stands in its file."""
    path = next(folder / name for name in CONFIGS if (folder / name).exists())
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@contextmanager
def loading(metric: str, folder: Path, option: str) -> Iterator[None]:
    """Load without noise, and turn what a broken or foreign checkpoint raises into one line.

    Raises
    ------
    MetricError
        The files cannot be made into a network.
    """
    from safetensors import SafetensorError

    try:
        with quietly():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MetricError(
            f'metric "{metric}": the model in "{folder}" cannot be loaded ({reason}). '
            f"Name another with {option}."
        ) from error


def device_of(device: str) -> str:
    """Where "auto" runs: the accelerator if there is one."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from reporting weights that are left out on purpose."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
