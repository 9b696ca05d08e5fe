"""What a base stands for whose fine-tunes are classifiers, when it has no trained head itself.

An untrained head answers at random: there is nothing to measure. What can be measured is the commonest
label and, where the base is a language model, the likelihood that it gives each label unasked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.heads import head_of_object
from tuneval.engine.hf.weights.kind import no_head
from tuneval.errors import ConfigError
from tuneval.plan.spec import RunSpec
from tuneval.plan.variants import model_of
from tuneval.types import READS_TEXTS, Head, Variant

NAME = "majority"


@dataclass(frozen=True, slots=True)
class _Base:
    """The base as far as its files, or the object that it is, tell. ``head`` None: no trained one."""

    variant: Variant
    given: str
    head: Head | None


def join(
    variants: Sequence[Variant],
    base: str,
    folders: Mapping[str, ModelFolder],
    spec: RunSpec,
    in_memory: Mapping[str, Any],
    tasks: Collection[str] = (),
) -> tuple[list[Variant], str, list[str]]:
    """The variants with the commonest label among them where it is due; the baseline; notes.

    ``tasks``: those of the run, for the notes.

    Raises
    ------
    ConfigError
        ``base_as`` asks for what the base is not.
    VariantError
        The base cannot answer, and nothing stands beside it that was trained from it.
    """
    own = next((one for one in variants if one.name == base), None)
    if own is None or (base not in folders and base not in in_memory):
        return list(variants), base, []
    known = _base_of(own, folders.get(base), in_memory)
    heads = {one.head for one in variants if one.name != base and one.head in READS_TEXTS}
    if not heads:
        if known.head is None and base in folders:
            folder = folders[base]
            raise no_head(folder.path, folder.config, folder.given)
        if spec.base_as != "auto":
            raise ConfigError(
                f"--base-as {spec.base_as}: no fine-tune here is a classifier, so the base is asked as "
                "they are. Leave it away."
            )
        return list(variants), base, []
    is_model = known.head is not None and known.head not in READS_TEXTS
    if spec.base_as == "lm" and not is_model:
        raise ConfigError(
            f'--base-as lm: "{known.given}" is no language model: it cannot be asked for labels by '
            "likelihood.\nLeave it away: the commonest label stands for the base."
        )
    if known.head in heads:
        return list(variants), base, []
    is_asked = is_model and spec.base_as != "none"
    how = "by the likelihood of each label"
    if heads == {"tokens"} or "multilabel" in tasks:
        how = f"by the {'tags' if heads == {'tokens'} else 'labels'} that it writes"
    return _with_majority(variants, known, heads.pop(), how if is_asked else "")


def _base_of(own: Variant, folder: ModelFolder | None, in_memory: Mapping[str, Any]) -> _Base:
    if folder is not None:
        return _Base(own, folder.given, folder.head)
    model = model_of(in_memory[own.name])
    # With its adapters off, a PEFT model has the head that it was initialised with.
    wrapped = [one for one in map(model_of, in_memory.values()) if hasattr(one, "peft_config")]
    inner = getattr(model, "get_base_model", lambda: model)()
    is_wrapped = any(one.get_base_model() is inner for one in wrapped)
    is_random = is_wrapped and own.head in READS_TEXTS
    return _Base(own, "the base in memory", None if is_random else head_of_object(model))


def _with_majority(
    variants: Sequence[Variant], base: _Base, head: Head, how: str
) -> tuple[list[Variant], str, list[str]]:
    own = base.variant
    taken = {one.name for one in variants}
    name = NAME if NAME not in taken else f"{NAME} label"
    majority = Variant(name, "majority", model="", head=head)
    note = f'{own.name}: "{base.given}" has no trained head over labels'
    if not how:
        rest = [one for one in variants if one is not own]
        told = f"{note}: {name}, the commonest label, stands for it"
        return [majority, *rest], name, [told]
    at = variants.index(own) + 1
    told = (
        f"{note}: it is asked as a language model, {how}; {name}, the commonest label, stands beside it "
        "(--base-as none: alone)"
    )
    return [*variants[:at], majority, *variants[at:]], own.name, [told]
