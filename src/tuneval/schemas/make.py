"""Writes the schemas from RunSpec and RunResult: ``python -m tuneval.schemas.make``."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from tuneval.plan.spec import RunSpec
from tuneval.schemas import NAMES, place
from tuneval.types import RunResult

DRAFT = "https://json-schema.org/draft/2020-12/schema"
UNDEFINED = ("NaN", "Infinity", "-Infinity")


class _WithUndefined(GenerateJsonSchema):
    """JSON has no NaN: result.json spells undefined numbers as text."""

    def float_schema(self, schema: Any) -> dict[str, Any]:
        """A number, or the name of an undefined one."""
        return {"anyOf": [super().float_schema(schema), {"enum": list(UNDEFINED)}]}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema of "run" or "result"."""
    if name == "run":
        found = RunSpec.model_json_schema()
    else:
        found = TypeAdapter(RunResult).json_schema(schema_generator=_WithUndefined)
    title = {"run": "run.yaml of tuneval", "result": "result.json of tuneval"}[name]
    return {"$schema": DRAFT, **_without_titles(found), "title": title}


def text_of(name: str) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """Pydantic titles every key with its own name again."""
    if isinstance(node, list):
        return [_without_titles(one) for one in node]
    if isinstance(node, dict):
        kept = {key: one for key, one in node.items() if not _is_title(key, one)}
        return {key: _without_titles(one) for key, one in kept.items()}
    return node


def _is_title(key: str, value: Any) -> bool:
    return key == "title" and isinstance(value, str)


if __name__ == "__main__":
    for one in NAMES:
        place(one).write_text(text_of(one), encoding="utf-8")
