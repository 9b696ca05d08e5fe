"""What a base stands for whose fine-tunes are classifiers, when it has no trained head itself.

An untrained head answers at random: there is nothing to measure. What can be measured is the commonest
label and, where the base is a language model, the likelihood that it gives each label unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.kind import no_head
from tuneval.errors import ConfigError
from tuneval.plan.spec import RunSpec
from tuneval.types import READS_TEXTS, Head, Variant

NAME = "majority"


def join(
    variants: Sequence[Variant], base: str, folders: Mapping[str, ModelFolder], spec: RunSpec
) -> tuple[list[Variant], str, list[str]]:
    """The variants with the commonest label among them where it is due; the baseline; notes.

    Raises
    ------
    ConfigError
        ``base_as`` asks for what the base is not.
    VariantError
        The base cannot answer, and nothing stands beside it that was trained from it.
    """
    own = next((one for one in variants if one.name == base), None)
    folder = folders.get(base)
    heads = {one.head for one in variants if one.name != base and one.head in READS_TEXTS}
    if own is None or folder is None or (heads and folder.head in heads):
        return list(variants), base, []
    if not heads:
        if folder.head is None:
            raise no_head(folder.path, folder.config, folder.given)
        if spec.base_as != "auto":
            raise ConfigError(
                f"--base-as {spec.base_as}: no fine-tune here is a classifier, so the base is asked as "
                "they are. Leave it away."
            )
        return list(variants), base, []
    is_model = folder.head is not None and folder.head not in READS_TEXTS
    if spec.base_as == "lm" and not is_model:
        raise ConfigError(
            f'--base-as lm: "{folder.given}" is no language model: it cannot be asked for labels by '
            "likelihood.\nLeave it away: the commonest label stands for the base."
        )
    return _with_majority(
        variants, own, folder, heads.pop(), is_asked=is_model and spec.base_as != "none"
    )


def _with_majority(
    variants: Sequence[Variant], own: Variant, folder: ModelFolder, head: Head, *, is_asked: bool
) -> tuple[list[Variant], str, list[str]]:
    taken = {one.name for one in variants}
    name = NAME if NAME not in taken else f"{NAME} label"
    majority = Variant(name, "majority", model="", head=head)
    note = f'{own.name}: "{folder.given}" has no trained head over labels'
    if not is_asked:
        rest = [one for one in variants if one is not own]
        told = f"{note}: {name}, the commonest label, stands for it"
        return [majority, *rest], name, [told]
    at = variants.index(own) + 1
    told = (
        f"{note}: it is asked as a language model, by the likelihood of each label; {name}, the commonest "
        "label, stands beside it (--base-as none: alone)"
    )
    return [*variants[:at], majority, *variants[at:]], own.name, [told]
