"""LLaMA-Factory's ``dataset_info.json`` beside a data file: gives its columns the usual names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneval.data.formats import Row, Table, quote

_COLUMNS = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "messages": "messages",
    "chosen": "chosen",
    "rejected": "rejected",
    "system": "system",
    "history": "history",
}
"""Its word for a column -> ours. ``tools`` stays as it is."""

_ROLES = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}


def rename(table: Table, path: Path) -> None:
    """Rename columns and chat tags in place, where a ``dataset_info.json`` describes the file."""
    entry = _entry(path)
    if entry is None:
        return
    columns = {
        theirs: _COLUMNS[word]
        for word, theirs in (entry.get("columns") or {}).items()
        if word in _COLUMNS and isinstance(theirs, str)
    }
    tags = {k: v for k, v in (entry.get("tags") or {}).items() if isinstance(v, str)}
    table.rows = [
        Row(place, {columns.get(key, key): _turns(value, tags) for key, value in fields.items()})
        for place, fields in table.rows
    ]
    changed = [f"{quote(a)} as {quote(b)}" for a, b in columns.items() if a != b]
    if changed or tags:
        what = f": {', '.join(changed)}" if changed else ""
        table.notes.append(f"Columns named by dataset_info.json{what}.")


def _entry(path: Path) -> Mapping[str, Any] | None:
    try:
        info = json.loads((path.parent / "dataset_info.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there, or a file of another program under the same name
    if not isinstance(info, dict):
        return None
    for entry in info.values():
        if isinstance(entry, dict) and entry.get("file_name") == path.name:
            return entry
    return None


def _turns(value: object, tags: Mapping[str, str]) -> object:
    """Chat turns with the usual keys and roles; anything else as it was."""
    if not tags or not isinstance(value, list):
        return value
    keys = {tags.get("role_tag", "from"): "role", tags.get("content_tag", "value"): "content"}
    roles = {tags[tag]: role for tag, role in _ROLES.items() if tag in tags}
    turns: list[object] = []
    for turn in value:
        if not isinstance(turn, dict):
            return value
        named = {keys.get(key, key): part for key, part in turn.items()}
        named["role"] = roles.get(str(named.get("role")), named.get("role"))
        turns.append(named)
    return turns
