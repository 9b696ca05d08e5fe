"""Is a folder's model a language model at all? Classifiers, encoders and empty shells load without a
word, and are then asked what they cannot answer.

Reads settings and tensor shapes only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tuneval.engine.hf.weights.heads import OF_TASK, head_of_model, is_encoder
from tuneval.errors import AdapterError, VariantError
from tuneval.types import Head

ANSWERED: frozenset[Head] = frozenset(("causal",))
"""Heads that the hf backend has a pass for: ``engine/hf/passes``."""
_HEADS = re.compile(
    r".*(ForSequenceClassification|ForTokenClassification|ForQuestionAnswering|ForMultipleChoice"
    r"|RewardModel|ForRewardModel|ForImageClassification)"
)


def check_is_language_model(config: Mapping[str, Any], given: str) -> None:
    """Raise VariantError where the settings of a whole model say that it is something else."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    kind = config.get("model_type")
    head = head_of_model(config)
    if head in ANSWERED and head != "causal":
        return
    if _HEADS.fullmatch(architecture):
        raise VariantError(
            f'"{given}" is a {architecture}: its answers come from a head over labels, and here models are '
            "asked by text.\nWrite its predictions to a file and compare those: "
            "tuneval score --references FILE --predictions NAME=FILE"
        )
    if is_encoder(config):
        raise VariantError(
            f'"{given}" is an encoder ({architecture or kind}): it reads in both directions, so that it '
            "would see the very label that it is asked for.\nGive a language model that reads from left "
            "to right, or compare predictions: tuneval score --references FILE --predictions NAME=FILE"
        )
    if config.get("is_encoder_decoder"):
        raise VariantError(
            f'"{given}" is an encoder with a decoder ({architecture or kind}), which the hf backend does '
            "not run.\nWrite its predictions to a file and compare those: "
            "tuneval score --references FILE --predictions NAME=FILE"
        )


def about_missing_head(config: Mapping[str, Any]) -> list[str]:
    """A trunk alone may be a language model's, or an embedding model's: both load where the embeddings
    are the head, too."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if not architecture.endswith("Model") or architecture.endswith("LMHeadModel"):
        return []
    return [f"a {architecture} was saved without a head for text: is it an embedding model?"]


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
    known = _known_peft_types()
    if known and kind is not None and kind not in known:
        saved = f"It was saved by PEFT {version}" if version else "A newer PEFT may know it"
        wanted = f"peft>={version}" if version else "peft"
        raise AdapterError(
            f'adapter "{given}": the installed PEFT knows no adapters of type "{kind}".\n'
            f"{saved}: pip install --upgrade '{wanted}'"
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


def check_is_whole(shapes: Mapping[str, tuple[int, ...]], path: Path, given: str) -> None:
    """Raise VariantError where tensors are empty: what DeepSpeed ZeRO-3 leaves of a model that was not
    gathered."""
    empty = sorted(name for name, shape in shapes.items() if 0 in shape)
    if empty:
        raise VariantError(
            f'"{given}": {len(empty)} of {len(shapes)} tensors are empty (first: "{empty[0]}"). DeepSpeed '
            f"ZeRO-3 kept the numbers in shards of its own.\n{how_to_gather(path, given)}"
        )


def has_shards(path: Path) -> bool:
    """Did DeepSpeed leave its script beside shards that nobody has put together?"""
    return (path / "zero_to_fp32.py").is_file()


def how_to_convert(path: Path) -> str:
    """What to do about a folder whose weights lie in another tool's form, or not at all."""
    if (path / "adapters.safetensors").is_file():
        return (
            "Its adapters.safetensors are of mlx-lm, which PEFT does not read: make a whole model with "
            "mlx_lm.fuse and give that with --full."
        )
    if any(path.glob("*.distcp")) or any(path.glob("*/*.distcp")):
        return (
            "Its .distcp files are shards of FSDP: put them together with accelerate merge-weights, or "
            "train with fsdp_state_dict_type: FULL_STATE_DICT."
        )
    return "Copy or download the folder again."


def how_to_gather(path: Path, given: str) -> str:
    """The command that makes one model of DeepSpeed's shards."""
    if not has_shards(path):
        return (
            "Put them together with zero_to_fp32.py of the checkpoint's folder, or train with "
            "stage3_gather_16bit_weights_on_model_save: true"
        )
    words = [f"{given}/zero_to_fp32.py", given, f"{given}-whole", "--safe_serialization"]
    return (
        f"Put them together, and copy the json files of {given} beside them:\n"
        f"    python {shlex.join(words)}"
    )
