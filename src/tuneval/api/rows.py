"""Rows in memory -> a JSON Lines file, so that there is one way in for cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneval.errors import ConfigError
from tuneval.report.files import replace_file


def write_rows(data: Any, place: Path) -> Path:
    """Rows in memory become a JSON Lines file beside the runs, so that there is one way in, errors
    can name a line, and the run.yaml that is left can be run again."""
    items = data.to_dict("records") if hasattr(data, "columns") else list(data)
    lines = []
    for number, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            raise ConfigError(
                f"data: row {number} is {type(item).__name__}, not a mapping of columns. "
                "Give a path, a list of dicts, a datasets.Dataset or a DataFrame."
            )
        row = _with_label_names(item, getattr(data, "features", None) or {})
        lines.append(json.dumps(row, ensure_ascii=False, default=_plain))
    content = "".join(f"{line}\n" for line in lines)
    digest = hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
    path = place / f"data-{digest}.jsonl"
    try:
        place.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise ConfigError(
            f'the output folder "{place}" cannot be written: {error.strerror}.\n'
            'Give another one with output={"dir": DIR}.'
        ) from None
    return path


def _with_label_names(item: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
    """A datasets.Dataset keeps class labels as numbers and their names in its features."""
    return {
        str(key): features[key].names[value]
        if isinstance(value, int) and hasattr(features.get(key), "names")
        else value
        for key, value in item.items()
    }


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ConfigError(f"data: a value of type {type(value).__name__} cannot be a column's value.")
