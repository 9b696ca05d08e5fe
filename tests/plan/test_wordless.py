"""Free text is not asked of a classifier, whose answer would be the name of a label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny_models import build_classifier, build_label_adapter
from tuneval.errors import VariantError
from tuneval.plan.resolve import Plan, resolve
from tuneval.plan.words import describe_run

NAMES = ("negative", "positive")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("wordless")
    base = build_classifier(at / "base", "llama", kind="CausalLM")
    return {
        "base": base,
        "lora": build_label_adapter(at / "lora", base, n_labels=2),
        "full": build_classifier(at / "full", "llama", names=NAMES),
    }


def planned(
    folders: dict[str, Path], tmp_path: Path, answers: list[str], task: str, **more: Any
) -> Plan:
    file = tmp_path / "test.jsonl"
    rows = [{"text": f"Text {n}", "output": one} for n, one in enumerate(answers)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return resolve(
        describe_run(base=str(folders["base"]), data=[str(file)], cases={"task": task}, **more)
    )


@pytest.mark.parametrize(
    ("arms", "answers", "named"),
    [
        ({"adapters": "lora"}, ["It was good."] * 9, "lora"),
        ({"adapters": "lora"}, ["positive", "negative"] * 5, "lora"),  # outputs without names
        ({"full": "full"}, ["positive"] * 8 + ["neutral"], "full"),
    ],
)  # fmt: skip
def test_words_are_not_asked_of_a_head(
    folders: dict[str, Path], tmp_path: Path, arms: dict[str, str], answers: list[str], named: str
) -> None:
    given = {key: [f"{one}={folders[one]}"] for key, one in arms.items()}
    with pytest.raises(VariantError) as caught:
        planned(folders, tmp_path, answers, "generate", **given)
    assert f'"{named}" has a head over labels and writes no words' in str(caught.value)
    assert "Compare base alone on it" in str(caught.value)


@pytest.mark.parametrize(
    ("arms", "answers", "task"),
    [
        ({"full": "full"}, ["Positive", "negative"] * 5, "generate"),
        ({"full": "full"}, ["positive", "negative"] * 5, "classify"),
    ],
)  # fmt: skip
def test_labels_are(
    folders: dict[str, Path], tmp_path: Path, arms: dict[str, str], answers: list[str], task: str
) -> None:
    given = {key: [f"{one}={folders[one]}"] for key, one in arms.items()}
    (found,) = planned(folders, tmp_path, answers, task, **given).case_sets
    assert found.task == task
