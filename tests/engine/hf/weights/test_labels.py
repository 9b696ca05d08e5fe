"""Which output of a head is which label of a file: by name, or asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.labels import HeadLabels, check_whole, labels_of, n_outputs
from tuneval.errors import VariantError


def head(*names: str, kind: Any = "one", are_named: bool = True) -> HeadLabels:
    return HeadLabels(names, kind, are_named)


UNNAMED = head("LABEL_0", "LABEL_1", "LABEL_2", are_named=False)


@pytest.mark.parametrize(
    ("asked", "labels", "places"),
    [
        (("no", "yes"), head("yes", "no"), {"no": 1, "yes": 0}),  # names, not the order
        (
            ("card arrival", "Top Up"),
            head("top_up", "CARD-ARRIVAL"),
            {"card arrival": 1, "Top Up": 0},
        ),
        (("0", "1", "2"), UNNAMED, {"0": 0, "1": 1, "2": 2}),
        (("LABEL_2", "label_0", "LABEL_1"), UNNAMED, {"LABEL_2": 2, "label_0": 0, "LABEL_1": 1}),
        (("0", "1"), head("negative", "positive"), {"0": 0, "1": 1}),
        (("1", "0"), head("1", "0"), {"1": 0, "0": 1}),  # names that are numbers are names
    ],
)
def test_places(asked: Any, labels: HeadLabels, places: dict[str, int]) -> None:
    assert check_whole(asked, labels, "m") == places


@pytest.mark.parametrize(
    ("asked", "labels", "message"),
    [
        (("a", "b"), head("a", "b", "c"), "head has 3 labels (a, b, c), the cases have 2 (a, b)"),
        (("a", "b", "c"), head("a", "b"), "head has 2 labels (a, b), the cases have 3"),
        (("a", "b"), head("a", "z"), 'no label "b" (it has a, z)'),
        (("a", "b", "c"), UNNAMED, 'nothing says which of its outputs is "a"'),
        (("1", "2", "3"), UNNAMED, 'nothing says which of its outputs is "1"'),
        (("a", "b"), head("a b", "a_b"), "gives two outputs of its head one name"),
        (
            ("a", "b"),
            head("LABEL_0", kind="number", are_named=False),
            "gives one number, not a label",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(asked: Any, labels: HeadLabels, message: str) -> None:
    with pytest.raises(VariantError) as error:
        check_whole(asked, labels, "m")
    assert message in str(error.value)


def folder(config: dict[str, Any], tensors: dict[str, tuple[int, ...]], **more: Any) -> ModelFolder:
    return ModelFolder(
        Path("m"), "m", has_adapter=False, has_model=True, config=config, tensors=tensors, **more
    )


SCORE = {"model.norm.weight": (8,), "score.weight": (2, 8)}


@pytest.mark.parametrize(
    ("config", "order", "found"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, (), head("a", "b")),
        ({"id2label": {"1": "b", "0": "a"}}, (), head("a", "b")),
        ({}, (), head("LABEL_0", "LABEL_1", are_named=False)),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, ("x", "y"), head("x", "y")),
        ({"id2label": {"0": "a", "1": "b"}}, ("b", "a"), head("b", "a")),
        # Names of another head say nothing of this one.
        (
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            (),
            head("LABEL_0", "LABEL_1", are_named=False),
        ),
        (
            {"problem_type": "multi_label_classification"},
            (),
            HeadLabels(("LABEL_0", "LABEL_1"), "several", are_named=False, is_told=True),
        ),
    ],
)
def test_names_of_outputs(config: dict[str, Any], order: Any, found: HeadLabels) -> None:
    assert labels_of(folder(config, SCORE), order=order) == found


def test_the_adapters_head_counts() -> None:
    adapter = ModelFolder(
        Path("a"),
        "a",
        has_adapter=True,
        has_model=False,
        config={"id2label": {"0": "a", "1": "b", "2": "c"}},
        adapter_tensors={"base_model.model.score.weight": (3, 8)},
    )
    assert labels_of(folder({"id2label": {"0": "x", "1": "y"}}, SCORE), adapter) == head(
        "a", "b", "c"
    )


def test_too_few_names_are_refused() -> None:
    with pytest.raises(VariantError, match="has 2 outputs, and --head-labels names 3"):
        labels_of(folder({}, SCORE), order=("a", "b", "c"))


@pytest.mark.parametrize(
    ("tensors", "n"),
    [
        ({"classifier.weight": (5, 32), "bert.pooler.dense.weight": (32, 32)}, 5),
        ({"classifier.dense.weight": (32, 32), "classifier.out_proj.weight": (4, 32)}, 4),
        ({"base_model.model.classifier.modules_to_save.default.out_proj.weight": (4, 32)}, 4),
        ({"pre_classifier.weight": (32, 32), "classifier.weight": (2, 32)}, 2),
        ({"lm_head.weight": (99, 32)}, None),
    ],
)
def test_outputs_are_counted_in_tensors(tensors: Any, n: int | None) -> None:
    assert n_outputs(tensors) == n
