"""Hub ids and folders written by ``save_to_disk``, through the optional package ``datasets``."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuneval.data.formats import Row, Table, feature_names, listed
from tuneval.errors import DataError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?::[\w.-]+)?")


def is_hub_id(source: str) -> bool:
    """Tell "owner/name" or "owner/name:configuration" from a path."""
    return _HUB_ID.fullmatch(source) is not None


def is_name(source: str) -> bool:
    """Tell a bare name, as of a data set without its owner, from a file with an ending."""
    return re.fullmatch(r"[A-Za-z0-9][\w-]*(?::[\w.-]+)?", source) is not None


def is_saved(folder: Path) -> bool:
    """Tell a folder written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    if (folder / "dataset_dict.json").is_file():
        return True
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def is_dataset(source: object) -> bool:
    """Tell a ``datasets.Dataset`` (or a dictionary of them) without importing the package."""
    if isinstance(source, Mapping):
        return bool(source) and all(is_dataset(part) for part in source.values())
    return hasattr(source, "features") and hasattr(source, "column_names")


def read_saved(folder: Path, split: str) -> Table:
    """Read a folder written by ``save_to_disk``."""
    datasets = _datasets(f'"{folder}"')
    try:
        content = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f'"{folder}": datasets cannot read it ({error}).') from error
    return from_dataset(content, folder.name, str(folder), split)


def read_hub(hub_id: str, split: str) -> Table:
    """Read a data set of the hub, or of its local cache when offline."""
    datasets = _datasets(f'"{hub_id}"')
    name, _, configuration = hub_id.partition(":")
    try:
        content = datasets.load_dataset(name, configuration or None)
    except Exception as error:
        raise DataError(_refusal(hub_id, error)) from error
    return from_dataset(content, name.rpartition("/")[2], hub_id, split)


def read_split(
    hub_id: str, configuration: str | None, split: str, revision: str | None
) -> list[dict[str, Any]]:
    """Rows of one split at one revision, or of the local cache when offline. Raises DataError."""
    datasets = _datasets(f'"{hub_id}"')
    try:
        content = datasets.load_dataset(hub_id, configuration, split=split, revision=revision)
    except Exception as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise DataError(first[0]) from error
    return list(_plain(content))


def _refusal(hub_id: str, error: Exception) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return (
            f'"{hub_id}" is not in the cache and this run is offline.\n'
            f"Download it elsewhere with: hf download --repo-type dataset {hub_id.split(':', maxsplit=1)[0]}\n"
            "then pass one of its files, or unset HF_HUB_OFFLINE."
        )
    first = str(error).strip().splitlines()[:1] or [type(error).__name__]
    return (
        f'"{hub_id}" is no file here, and as a data set of the hub it cannot be read:\n'
        f"    {first[0]}\n"
        "A configuration is named after a colon, as in owner/name:configuration."
    )


def _datasets(what: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{what} needs datasets: pip install 'tuneval[hub]'") from error
    return datasets


def from_dataset(content: Any, name: str, source: str, split: str) -> Table:
    """Make a table of a ``datasets.Dataset``, or of one split of a dictionary of them."""
    if isinstance(content, Mapping):
        if split not in content:
            raise DataError(
                f'{name}: no split "{split}" (found {listed(content)}).\n'
                f"Say --split {next(iter(content))}, for instance."
            )
        content = content[split]
    table = Table(name, source, "row")
    digest = hashlib.sha256()
    for place, row in enumerate(_plain(content), 1):
        table.rows.append(Row(place, row))
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    table.sha256 = digest.hexdigest()
    table.label_names = feature_names(content.features or {})
    return table


def _plain(content: Any) -> Iterator[dict[str, Any]]:
    for row in content:
        yield dict(row)
