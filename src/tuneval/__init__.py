"""tuneval: did the fine-tune work? Base, LoRA adapters and full fine-tune on the same cases.

>>> import tuneval
>>> result = tuneval.compare(adapters="out/lora", full="out/full", data="test.jsonl")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneval.version import __version__

if TYPE_CHECKING:
    from tuneval.api import RunResult, compare, run, score
    from tuneval.api.training import TrainerCallback
    from tuneval.errors import TunevalError
    from tuneval.plan.spec import RunSpec
    from tuneval.types import Case, Variant

_FRONT_DOOR = {
    "compare": "tuneval.api",
    "run": "tuneval.api",
    "score": "tuneval.api",
    "RunResult": "tuneval.api",
    "TrainerCallback": "tuneval.api.training",
    "RunSpec": "tuneval.plan.spec",
    "TunevalError": "tuneval.errors",
    "Case": "tuneval.types",
    "Variant": "tuneval.types",
}

__all__ = [
    "Case",
    "RunResult",
    "RunSpec",
    "TrainerCallback",
    "TunevalError",
    "Variant",
    "__version__",
    "compare",
    "run",
    "score",
]


def __dir__() -> list[str]:
    """What there is to use, before any of it was imported."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import tuneval`` alone costs almost nothing."""
    if name in _FRONT_DOOR:
        from importlib import import_module

        return getattr(import_module(_FRONT_DOOR[name]), name)
    raise AttributeError(f'module "tuneval" has no attribute "{name}"')
