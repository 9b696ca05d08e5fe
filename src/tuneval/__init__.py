"""tuneval: did the fine-tune work? Base, LoRA adapters and full fine-tune on the same cases.

>>> import tuneval
>>> result = tuneval.compare(adapters="out/lora", full="out/full", data="test.jsonl")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneval.api import RunResult, compare, run, score
    from tuneval.config import RunSpec
    from tuneval.errors import TunevalError
    from tuneval.types import Case, Variant

__version__ = "0.1.0"

_FRONT_DOOR = {
    "compare": "tuneval.api",
    "run": "tuneval.api",
    "score": "tuneval.api",
    "RunResult": "tuneval.api",
    "RunSpec": "tuneval.config",
    "TunevalError": "tuneval.errors",
    "Case": "tuneval.types",
    "Variant": "tuneval.types",
}

__all__ = ["Case", "RunResult", "RunSpec", "TunevalError", "Variant", "compare", "run", "score"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import tuneval`` alone costs almost nothing."""
    if name in _FRONT_DOOR:
        from importlib import import_module

        return getattr(import_module(_FRONT_DOOR[name]), name)
    raise AttributeError(f'module "tuneval" has no attribute "{name}"')
