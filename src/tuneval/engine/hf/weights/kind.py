"""Is a folder's model a language model at all? Classifiers, encoders and empty shells load without a
word, and are then asked what they cannot answer.

Reads settings and tensor shapes only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tuneval.engine.hf.weights.heads import OF_TASK, head_of_model
from tuneval.errors import AdapterError, VariantError
from tuneval.types import READS_TEXTS, Head

ANSWERED: frozenset[Head] = frozenset(("causal", "classification", "seq2seq", "tokens"))
"""Heads that the hf backend has a pass for: ``engine/hf/passes``."""
_OTHERS = re.compile(
    r".*(ForQuestionAnswering|ForMultipleChoice|RewardModel|ForImageClassification|ForNextSentencePrediction)"
)


def check_is_answered(config: Mapping[str, Any], given: str) -> None:
    """Raise VariantError where the settings of a whole model name a head that nothing here asks."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if _OTHERS.fullmatch(architecture):
        raise VariantError(
            f'"{given}" is a {architecture}, whose answers are neither text nor labels.{_instead(architecture)}'
        )
    head = head_of_model(config)
    if head in READS_TEXTS and head not in ANSWERED:
        raise VariantError(
            f'"{given}" has a head that nothing here asks ({architecture}).{_instead()}'
        )
    if head == "seq2seq" and head not in ANSWERED:
        raise VariantError(
            f'"{given}" is an encoder with a decoder ({architecture or config.get("model_type")}), which '
            f"the hf backend does not run.{_instead()}"
        )


def _instead(architecture: str = "") -> str:
    """What would compare such models."""
    if "Reward" in architecture:
        return "\nReward models are measured on pairs of answers: pip install rewardbench."
    return (
        "\nWrite its predictions to a file and compare those: "
        "tuneval score --references FILE --predictions NAME=FILE"
    )


def is_embedding_model(path: Path) -> bool:
    """Is a folder of sentence-transformers, whose last module makes one vector of a text?"""
    modules = path / "modules.json"
    return modules.is_file() and "Pooling" in modules.read_text("utf-8", "replace")


def no_head(path: Path, config: Mapping[str, Any], given: str) -> VariantError:
    """What to say of a model without a trained head that is to answer by itself."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if is_embedding_model(path):
        return VariantError(
            f'"{given}" is an embedding model (sentence-transformers): it answers with vectors.\n'
            "Embeddings are measured by MTEB: pip install mteb."
        )
    return VariantError(
        f'"{given}" is an encoder ({architecture or config.get("model_type")}) without a trained head: it '
        "reads in both directions, so that it would see the very label that it is asked for.\nGive a "
        "fine-tune of it (--full, --adapter), or a language model that reads from left to right."
    )


def about_missing_head(config: Mapping[str, Any]) -> list[str]:
    """A trunk alone may be a language model's, or an embedding model's: both load where the embeddings
    are the head, too."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if not architecture.endswith("Model") or architecture.endswith("LMHeadModel"):
        return []
    return [f"a {architecture} was saved without a head for text: is it an embedding model?"]


def about_prefixes(config: Mapping[str, Any]) -> list[str]:
    """T5 was trained with a word for each task in front of its text; nobody but the user knows which one."""
    tasks = config.get("task_specific_params")
    settings = tasks.values() if isinstance(tasks, Mapping) else ()
    found = [one.get("prefix") for one in settings if isinstance(one, Mapping)]
    prefixes = ", ".join(f'"{one}"' for one in found if isinstance(one, str) and one)
    if not prefixes:
        return []
    return [
        f"config.json names prefixes of tasks ({prefixes}): none is added by itself, --prompt words it"
    ]


def check_adapter_kind(settings: Mapping[str, Any], version: object, given: str) -> None:
    """Raise AdapterError for an adapter of another task, or of a type that the installed PEFT lacks.

    ``version``: that of the PEFT which saved it, where the adapter says so.
    """
    task, kind = settings.get("task_type"), settings.get("peft_type")
    if task is not None and OF_TASK.get(str(task)) not in ANSWERED:
        raise AdapterError(
            f'adapter "{given}" was trained for {task}, not for text (CAUSAL_LM): its answers come from a '
            "head of its own.\nWrite its predictions to a file and compare those: "
            "tuneval score --references FILE --predictions NAME=FILE"
        )
    if kind == "XLORA":
        named = ", ".join(f'"{path}"' for path in (settings.get("adapters") or {}).values())
        raise AdapterError(
            f'adapter "{given}" is an X-LoRA: it mixes other adapters that its settings name ({named}), so '
            "that its answers hang on files outside of its folder.\nCompare those adapters one by one, or "
            "write its predictions to a file: tuneval score --references FILE --predictions NAME=FILE"
        )
    _refuse_changed_base(settings, given)
    known = _known_peft_types()
    if known and kind is not None and kind not in known:
        saved = f"It was saved by PEFT {version}" if version else "A newer PEFT may know it"
        wanted = f"peft>={version}" if version else "peft"
        raise AdapterError(
            f'adapter "{given}": the installed PEFT knows no adapters of type "{kind}".\n'
            f"{saved}: pip install --upgrade '{wanted}'"
        )


_CHANGES_BASE = re.compile(r"(pissa|olora|corda|lora_ga|loftq)\w*", re.IGNORECASE)
"""Ways to begin a LoRA that subtract it from the base: what is saved fits that changed base only."""


def changes_base(start: str) -> bool:
    """Whether a LoRA that begins in this way takes something from the base's own weights."""
    return _CHANGES_BASE.fullmatch(start) is not None


def _refuse_changed_base(settings: Mapping[str, Any], given: str) -> None:
    start = settings.get("init_lora_weights")
    match = _CHANGES_BASE.fullmatch(start) if isinstance(start, str) else None
    if match is None:
        return
    if match[1].lower() == "loftq":
        remedy = (
            "Save the base as LoftQ left it, give that folder as the base, and set init_lora_weights: true "
            "in the adapter's settings"
        )
    else:
        remedy = (
            "Save it as a plain LoRA: save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=FIRST), where FIRST is the adapter as it was before "
            "the first step"
        )
    raise AdapterError(
        f'adapter "{given}" began with init_lora_weights: "{start}", which changes the weights of the base, '
        f"and was not converted: with the base as it is, it is not what was trained.\n{remedy}; or merge it "
        "and compare the merged folder with --full."
    )


@cache
def _known_peft_types() -> frozenset[str]:
    """Read from PEFT's source, since importing it imports torch."""
    spec = find_spec("peft")
    source = Path(spec.origin).parent / "utils" / "peft_types.py" if spec and spec.origin else None
    if source is None or not source.is_file():
        return frozenset()
    return frozenset(
        re.findall(r'^    [A-Z0-9_]+ = "(\w+)"$', source.read_text("utf-8"), re.MULTILINE)
    )
