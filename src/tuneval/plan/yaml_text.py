"""The text of a run.yaml -> plain values, and the line of each; nothing in it is obeyed.

Not for: which keys there are, which ``spec`` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tuneval.errors import ConfigError

Place = tuple[str | int, ...]
"""Keys and positions from the top of the file down to a value."""

MAX_NODES = 20_000
"""A run.yaml whose aliases unfold to more nodes than this is refused as an alias bomb."""


def read_yaml(path: Path) -> tuple[Any, dict[Place, int]]:
    """Parse safely: no object tags, no duplicate keys, no alias bombs. Returns content and lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f'"{path}" does not exist. Give the path of a run.yaml.') from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'"{path}" cannot be read: {error}.') from None
    lines: dict[Place, int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise ConfigError(f'{path} is empty. It needs at least "variants" and "cases".')
        _walk(root, (), lines, path, [0])
        return yaml.safe_load(text), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{where}: not YAML that can be read: {what}.") from None


def _walk(
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    path: Path,
    seen: list[int],
) -> None:
    seen[0] += 1
    if seen[0] > MAX_NODES:
        raise ConfigError(
            f"{path}: aliases unfold to more than {MAX_NODES} values; write them out."
        )
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in keys:
                raise ConfigError(
                    f'{path}, line {line}: key "{key.value}" stands twice '
                    f"(first in line {keys[key.value]}). Keep one."
                )
            keys[key.value] = line
            lines[(*place, key.value)] = line
            _walk(value, (*place, key.value), lines, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*place, index), lines, path, seen)


def override(content: Any, word: str) -> None:
    """Set "a.b.0.c=value" in place; the value is read as YAML."""
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise ConfigError(f'"{word}": an override looks like statistics.resamples=2000.')
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    target = content
    try:
        for part in parents:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(
            f'"{word}": the value is not YAML that can be read. Quote it: {key}="\'{value}\'"'
        ) from None
    except (IndexError, TypeError, KeyError):
        raise ConfigError(f'"{word}": there is no place "{key}" in this run.yaml.') from None
