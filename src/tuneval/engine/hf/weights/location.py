"""Turns what the user wrote, a path or a hub id, into a folder on this disk.

Not for: what the folder holds (``folder.py``).
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from tuneval.errors import VariantError
from tuneval.extras import need

DOWNLOADED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")
"""What is fetched of a hub repository: no pickle ever reaches the disk."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_ID_LENGTH = 96


def find_folder(given: str, *, offline: bool = False, revision: str | None = None) -> Path:
    """Turn a path or hub id into a local folder.

    A path is never looked up on a network. A hub id is taken from the local cache, and downloaded
    (weights as safetensors only) where the run is not offline.

    Raises
    ------
    VariantError
        Nothing is there; near names are offered.
    """
    path = expanded(given)
    if is_dir(path):
        return path
    if is_file(path):
        raise VariantError(f'"{given}" is a file. Give the folder that holds it: "{path.parent}"')
    if not may_be_hub_id(given):
        raise VariantError(f'there is no folder "{given}"{_near_folder(path)}')
    return _from_hub(given, path, offline=offline, revision=revision)


def expanded(given: str) -> Path:
    """A path with its ``~`` written out."""
    try:
        return Path(given).expanduser()
    except RuntimeError:  # "~nobody": no such user
        return Path(given)


def is_dir(path: Path) -> bool:
    """Whether there is such a folder; a name that no file system takes (too long) is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file system takes is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def may_be_hub_id(given: str) -> bool:
    """Whether a name has the form of a hub id and its first part is no folder here."""
    if not _HUB_ID.fullmatch(given) or len(given) > _HUB_ID_LENGTH:
        return False
    if "--" in given or ".." in given or given.endswith((".", "-", ".git")):
        return False
    parent, _, _ = given.rpartition("/")
    return not (parent and is_dir(Path(parent)))


def _near_folder(path: Path) -> str:
    """Offer the sibling with the most similar name; climb to the first parent that exists."""
    parent = path.parent
    wanted = path.name
    while not is_dir(parent) and parent != parent.parent:
        wanted, parent = parent.name, parent.parent
    names = sorted(entry.name for entry in entries(parent) if is_dir(entry))
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    if near:
        return f'. Did you mean "{parent / near[0]}"?'
    shown = ", ".join(f'"{name}"' for name in names[:5]) or "no folders"
    return f'. "{parent}" holds {shown}'


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _from_hub(given: str, path: Path, *, offline: bool, revision: str | None) -> Path:
    need("models", f'"{given}" is no folder here, and fetching it from the hub')
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(given, revision=revision, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        pass
    near = _near_folder(path)
    if "Did you mean" in near:
        raise VariantError(
            f'there is no folder "{given}" and no such model in the cache{near}\n'
            f"If it is a hub id, fetch it first with: hf download {given}"
        )
    if offline or constants.HF_HUB_OFFLINE:
        raise VariantError(
            f'"{given}" is not in the cache and this run is offline.\n'
            f"Download it elsewhere with: hf download {given}\n"
            "then pass the directory, or unset HF_HUB_OFFLINE."
        )
    try:
        return Path(
            huggingface_hub.snapshot_download(
                given, revision=revision, allow_patterns=list(DOWNLOADED)
            )
        )
    except Exception as error:  # the hub client's faults have no common class
        reason = str(error).strip().splitlines()
        raise VariantError(
            f'"{given}" is neither a folder here nor could it be fetched from the hub:\n'
            f"    {type(error).__name__}: {reason[0] if reason else ''}\n"
            "Check the name, log in with: hf auth login, or pass a local directory."
        ) from error


def cached_hub_ids() -> list[str]:
    """Hub ids of all models in the local cache, sorted."""
    try:
        from huggingface_hub import constants
    except ImportError:  # comes with the models' extra; without it nothing was fetched here
        return []
    folders = Path(constants.HF_HUB_CACHE).glob("models--*")
    return sorted(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)
