"""The keys of run.yaml as one page of documentation: ``python -m tuneval.schemas.page``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tuneval.schemas.make import schema_of

HEAD = """# run.yaml

Made by `python -m tuneval.schemas.page`; a test keeps it true.

Every run leaves its `run.yaml` in its folder, to be edited and run again with `tuneval run`. Every key has a default except `variants` and `cases`; an unknown key is an error that offers the nearest one; relative paths start at the file. Beside it lies `run.schema.json`, and the first line of the file names it, so that an editor with a YAML language server completes keys and marks wrong ones. For a `run.yaml` of your own: `python -c "import tuneval.schemas; print(tuneval.schemas.place('run'))"` tells where the schema lies.

```yaml
# yaml-language-server: $schema=run.schema.json
variants:
  - {name: base, model: Qwen/Qwen3-0.6B}
  - {name: lora, adapter: [out/seed0, out/seed1]}
cases:
  - file: test.jsonl
```
"""


def page() -> str:
    """Return docs/run_yaml.md."""
    schema = schema_of("run")
    parts = [HEAD, "## The whole", "", *_table(schema), ""]
    for key, one in schema["properties"].items():
        section = _section(one)
        if section is None:
            continue
        found = schema["$defs"][section]
        many = "Each of " if key in ("variants", "cases", "perturbations") else ""
        text = " ".join(str(found.get("description", "")).split()).replace("``", "`")
        parts += [f"## {key}", "", f"{many}`{key}`: {text}", "", *_table(found), ""]
    return "\n".join(parts).rstrip() + "\n"


def _section(key: Mapping[str, Any]) -> str | None:
    """The definition that a key leads to, if it is a section of its own."""
    text = json.dumps(key)
    return text.partition("#/$defs/")[2].partition('"')[0] or None


def _table(section: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | value | left out | |"
    yield "|---|---|---|---|"
    required = section.get("required", ())
    for key, one in section["properties"].items():
        usual = "required" if key in required else _default(one)
        text = str(one.get("description", "")).replace("|", "\\|").replace("<", "&lt;")
        yield f"| `{key}` | {_kind(one)} | {usual} | {text} |"


def _default(key: Mapping[str, Any]) -> str:
    value = key.get("default")
    if value in (None, [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace('"', "")


def _kind(key: Mapping[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in key:
        return "keys below"
    if "enum" in key or "const" in key:
        return ", ".join(f"`{one}`" for one in key.get("enum", [key.get("const")]))
    if "anyOf" in key:
        kinds = dict.fromkeys(_kind(one) for one in key["anyOf"])
        return " or ".join(kind for kind in kinds if kind != "null")
    if key.get("type") == "array":
        items = key.get("items") or {}
        return f"list of {_kind(items)}" if items else "list"
    words = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true, false",
        "object": "mapping",
    }
    return words.get(str(key.get("type")), str(key.get("type", "anything")))


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - its whole purpose
