"""The labels of a head: how many it has, what each output is called, and which label of a file it is.

Reads settings and tensor shapes, imports no torch. Not for: which head it is (``heads.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tuneval.engine.hf.weights.folder import ModelFolder, Shape
from tuneval.errors import VariantError

LabelKind = Literal["one", "several", "number"]
"""One label of a set (softmax), any number of them (sigmoids), or a number."""
_HEAD = re.compile(
    r"(^|\.)(classifier|score|classification_head|logits_proj)"
    r"(\.modules_to_save(\.\w+)?)?(\.out_proj)?\.weight$"
)
_UNNAMED = re.compile(r"LABEL_\d+")
_BETWEEN = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class HeadLabels:
    """The outputs of a head over labels, in their order.

    ``are_named``: somebody gave them names; otherwise they are called LABEL_0, LABEL_1, ...
    ``is_told``: its folder says which kind it is; PEFT does not save that with an adapter.
    """

    names: tuple[str, ...]
    kind: LabelKind
    are_named: bool
    is_told: bool = False

    def __len__(self) -> int:
        return len(self.names)


def labels_of(
    model: ModelFolder | None, adapter: ModelFolder | None = None, order: Sequence[str] = ()
) -> HeadLabels:
    """The labels of a variant's head: of the adapter's where it brings one, else of the model's.

    Parameters
    ----------
    order : sequence of str
        What the user says that the outputs are called, in their order.

    Raises
    ------
    VariantError
        ``order`` has another number of names than the head has outputs.
    """
    configs = [folder.config for folder in (adapter, model) if folder is not None]
    shapes = dict(adapter.adapter_tensors) if adapter is not None else {}
    n = n_outputs(shapes) or n_outputs(model.tensors if model is not None else {})
    if n is None:
        n = next((len(names) for config in configs if (names := _names(config))), 2)
    owner = adapter or model
    return _labels(configs, n, order, owner.given if owner else "")


def labels_of_config(config: Any, order: Sequence[str], given: str) -> HeadLabels:
    """The same of a model in memory, by its configuration object."""
    settings = {"id2label": config.id2label, "problem_type": config.problem_type}
    return _labels([settings], int(config.num_labels), order, given)


def _labels(
    configs: Sequence[Mapping[str, Any]], n: int, order: Sequence[str], given: str
) -> HeadLabels:
    if order and len(order) != n:
        raise VariantError(
            f'"{given}": its head has {n} outputs, and --head-labels names {len(order)}.\n'
            "Name every output once, in the order of training."
        )
    named = [tuple(order)] + [_names(config) for config in configs]
    names = next(
        (one for one in named if len(one) == n and not all(map(_UNNAMED.fullmatch, one))), ()
    )
    problem = next((one for config in configs if (one := config.get("problem_type"))), None)
    kind: LabelKind = "one"
    if problem == "regression" or n == 1:
        kind = "number"
    elif problem == "multi_label_classification":
        kind = "several"
    return HeadLabels(
        names or tuple(f"LABEL_{k}" for k in range(n)), kind, bool(names), problem is not None
    )


def n_outputs(shapes: Mapping[str, Shape]) -> int | None:
    """How many outputs the head among some tensors has; None where there is none."""
    found = [shape[0] for name, shape in shapes.items() if _HEAD.search(name) and len(shape) == 2]
    # RoBERTa's head has a dense layer before its last one; both match, the last one is narrow.
    return min(found, default=None)


def _names(config: Mapping[str, Any]) -> tuple[str, ...]:
    listed = config.get("id2label")
    if not isinstance(listed, Mapping):
        return ()
    by_place = {int(place): str(name) for place, name in listed.items() if str(place).isdecimal()}
    return tuple(by_place[place] for place in sorted(by_place))


def folded(name: str) -> str:
    """A label without what does not matter in it: case, blanks, hyphens and underscores."""
    return _BETWEEN.sub(" ", name).strip().casefold()


def places_of(asked: Sequence[str], head: HeadLabels, given: str) -> dict[str, int]:
    """Output of the head for each label that is asked about, by name.

    Labels 0 to n - 1 are the outputs themselves: so files number their classes.

    Raises
    ------
    VariantError
        A label has no output of its name, or two have the same.
    """
    if head.kind == "number":
        raise VariantError(
            f'"{given}" gives one number, not a label: a regression or a reward model.\n'
            "Regression: compare it on a file whose references are numbers. Reward models are "
            "measured on pairs of answers: pip install rewardbench."
        )
    outputs = {folded(name): place for place, name in enumerate(head.names)}
    if len(outputs) < len(head):
        raise VariantError(f'"{given}": id2label gives two outputs of its head one name.')
    found = {label: outputs.get(folded(label)) for label in asked}
    if None not in found.values():
        return {label: place for label, place in found.items() if place is not None}
    if all(label.isdecimal() and int(label) < len(head) for label in asked):
        return {label: int(label) for label in asked}
    lost = [label for label, place in found.items() if place is None]
    if head.are_named:
        raise VariantError(
            f'"{given}": its head has no label "{lost[0]}" (it has {listed(head.names)}).\n'
            "Labels are found by name. Rename those of the file (--labels RAW=NAME,...), or those of "
            "the head in their order (--head-labels A,B,...)."
        )
    raise VariantError(
        f'"{given}": nothing says which of its outputs is "{lost[0]}": they are called '
        f"{listed(head.names)}.\nName them in the order of training: --head-labels "
        f"{','.join(sorted(asked))} (this is the order of the alphabet, not necessarily yours), or as "
        "id2label in its config.json."
    )


def check_whole(asked: Sequence[str], head: HeadLabels, given: str) -> dict[str, int]:
    """``places_of``, where the labels asked about must be all that the head has.

    Raises
    ------
    VariantError
        The head has another number of labels than the file.
    """
    if head.kind != "number" and len(asked) != len(head):
        raise VariantError(
            f'"{given}": its head has {len(head)} labels ({listed(head.names)}), the cases have '
            f"{len(asked)} ({listed(sorted(asked))}).\nIf the file lacks some of them, name all: "
            "--labels A,B,... Otherwise this head was trained for another task."
        )
    return places_of(asked, head, given)


def check_several(asked: Sequence[str], head: HeadLabels, given: str) -> dict[str, int]:
    """``check_whole``, where any number of the labels may fit.

    Raises
    ------
    VariantError
        The head was trained to give one label a case, by its own folder.
    """
    if head.kind == "one" and head.is_told:
        raise VariantError(
            f'"{given}" gives one label a case (problem_type single_label_classification), and the cases '
            "have lists of them.\nCompare it on a file with one label a case. If it was trained with "
            "sigmoids, write problem_type: multi_label_classification into its config.json."
        )
    return check_whole(asked, head, given)


def listed(names: Sequence[str]) -> str:
    """The first names, for a sentence."""
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
