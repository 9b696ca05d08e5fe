"""Tags of a file beside those of a head over words: named, held against each other, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import ConfigError, VariantError
from tuneval.plan.spec import RunSpec
from tuneval.plan.tags import join
from tuneval.types import Case, CaseSet, Variant

NAMES = ("O", "B-PER", "I-PER")


def folder(names: tuple[str, ...] = NAMES, n: int | None = None) -> ModelFolder:
    return ModelFolder(
        path=Path("full"),
        given="full",
        has_adapter=False,
        has_model=True,
        config={"id2label": {str(k): name for k, name in enumerate(names)}},
        tensors={"classifier.weight": (n or len(names), 8)},
        head="tokens",
    )


def spec(**backend) -> RunSpec:
    variants = [{"name": "full", "model": "full"}]
    return RunSpec.model_validate(
        {"variants": variants, "cases": [{"file": "ner.jsonl"}], "backend": backend}
    )


def cases(labels: tuple[str, ...], *references: str, task: str = "tag") -> CaseSet:
    made = tuple(
        Case(f"ner.jsonl:{n}", {"text": "x " * len(one.split())}, (one,))
        for n, one in enumerate(references, 1)
    )
    return CaseSet("ner", "ner.jsonl", "tagged words", task, made, labels)


def variants(*names: str) -> list[Variant]:
    return [Variant(name, "full", name, head="tokens") for name in names or ("full",)]


def joined(case_set: CaseSet, folders=None, **backend):
    folders = folders or {"full": folder()}
    (found,), notes = join([case_set], variants(*folders), folders, spec(**backend))
    return found, notes


def test_numbers_are_named_as_the_head_names_its_outputs() -> None:
    found, (note,) = joined(cases(("0", "1", "2"), "0 1 2", "0 0"))
    assert [case.references for case in found.cases] == [("O B-PER I-PER",), ("O O",)]
    assert found.labels == NAMES
    assert '"full" names its outputs (0 is O)' in note


@pytest.mark.parametrize(
    ("labels", "reference"),
    [
        pytest.param(NAMES, "O B-PER I-PER", id="the same"),
        pytest.param(("O", "B-PER"), "O B-PER", id="the head knows more"),
        pytest.param(("o", "b_per"), "o b_per", id="spelled otherwise"),
    ],
)
def test_names_are_held_against_each_other(labels, reference) -> None:
    case_set = cases(labels, reference)
    assert joined(case_set) == (case_set, [])


def test_numbers_without_any_names_stay() -> None:
    unnamed = {"full": folder(("LABEL_0", "LABEL_1", "LABEL_2"))}
    case_set = cases(("0", "1"), "0 1")
    assert joined(case_set, unnamed) == (case_set, [])


def test_the_user_names_the_outputs() -> None:
    unnamed = {"full": folder(("LABEL_0", "LABEL_1", "LABEL_2"))}
    found, _ = joined(cases(("0", "1", "2"), "0 1 2"), unnamed, head_labels=list(NAMES))
    assert found.cases[0].references == ("O B-PER I-PER",)


@pytest.mark.parametrize(
    ("labels", "reference", "folders", "fault"),
    [
        pytest.param(
            ("B-LOC", "O"), "O B-LOC", {"full": folder()},
            'its head has no tag "B-LOC" \\(it has O, B-PER, I-PER\\)', id="a tag that it lacks",
        ),
        pytest.param(
            ("B-PER", "I-PER", "O"), "O B-PER",
            {"full": folder(("LABEL_0", "LABEL_1", "LABEL_2"))},
            "--head-labels B-PER,I-PER,O", id="outputs without names",
        ),
        pytest.param(
            ("0", "1", "2", "3"), "0 3", {"full": folder(("LABEL_0", "LABEL_1"))},
            "its head has 2 tags, ner has 4", id="fewer outputs than tags",
        ),
        pytest.param(
            ("0", "1", "7"), "0 7", {"full": folder()}, "holds the number 7", id="a number beyond",
        ),
    ],
)  # fmt: skip
def test_heads_that_do_not_belong_to_the_file(labels, reference, folders, fault) -> None:
    with pytest.raises(VariantError, match=fault):
        joined(cases(labels, reference), folders)


def test_heads_that_disagree_about_the_numbers() -> None:
    folders = {"one": folder(), "two": folder(("B-PER", "O", "I-PER"))}
    with pytest.raises(ConfigError, match='"one" and "two" give them other names'):
        joined(cases(("0", "1"), "0 1"), folders)


def test_other_tasks_are_left_alone() -> None:
    case_set = cases(("a", "b"), "a", task="classify")
    assert joined(case_set) == (case_set, [])
