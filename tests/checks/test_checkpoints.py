"""Checkpoints of one training in a run: what is said, and who is judged after a choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checks.scenes import BASE, Found, case_set, look
from tuneval.checks.checkpoints import Checkpoints
from tuneval.errors import ConfigError
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import RunSpec
from tuneval.types import Case, Prediction, Variant

STEPS = (10, 20, 30)
PATH = tuple(
    Variant(
        f"checkpoint-{step}",
        "adapter",
        "b",
        adapter=f"out/checkpoint-{step}",
        training_run="out",
        step=step,
    )
    for step in STEPS
)
SHARES = {"base": 0.5, "checkpoint-10": 0.6, "checkpoint-20": 0.9, "checkpoint-30": 0.88}


def cases(n: int = 100) -> list[Case]:
    return [Case(f"{i}", {"text": f"t{i}"}, ("yes" if i % 2 else "no",)) for i in range(n)]


def answer(variant: Variant, case: Case) -> str:
    """The first cases are answered right."""
    is_right = int(case.id) < 100 * SHARES[variant.name]
    return case.references[0] if is_right else "no" if case.references[0] == "yes" else "yes"


def found(variants: tuple[Variant, ...] = (BASE, *PATH)) -> Found:
    return look(Checkpoints, case_set(cases()), answer, variants)


def test_the_curve_stands_in_one_finding() -> None:
    (one,) = found().findings
    assert (one.kind, one.subject, one.level) == ("checkpoints", "out", "unclear")
    assert one.sentence.startswith("out: step 20 is the best of 3 checkpoints: accuracy 90.0 (")
    assert "30 cannot be told from it, 10 is worse" in one.sentence
    assert [row[0] for row in one.rows] == list(STEPS)
    assert one.rows[1][4] == "the best"
    assert str(one.rows[0][4]).startswith("worse: -30.0 (")
    assert str(one.rows[2][4]).startswith("cannot be told: -2.0 (")


def test_without_a_choice_every_checkpoint_is_judged_and_corrected_for() -> None:
    verdicts = found().verdicts
    assert [one.candidate for one in verdicts] == [one.name for one in PATH]


@pytest.mark.parametrize("variants", [(BASE,), (BASE, PATH[0])])
def test_nothing_to_compare(variants: tuple[Variant, ...]) -> None:
    assert found(variants).findings == ()


# ---- chosen on validation cases ------------------------------------------------------------------------


def plan(tmp_path: Path, variants: tuple[Variant, ...], validation: Path, test: Path) -> Plan:
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": "base", "model": "b"}],
            "cases": [{"file": str(test), "task": "classify"}],
            "validation": str(validation),
        }
    )
    from tuneval.plan.resolve import read_cases

    return Plan(spec, variants, "base", (read_cases(spec.cases[0]),), {}, {}, ())


def written(path: Path, n: int, word: str) -> Path:
    rows = [{"text": f"{word} {i}", "label": "yes" if i % 2 else "no"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("is_same", "variants", "message"),
    [
        (
            False,
            (BASE, PATH[0]),
            '--validation "v.jsonl" chooses among checkpoints of one training, and there are none.\n'
            "Give several: --adapter 'DIR/checkpoint-*'",
        ),
        (
            True,
            (BASE, *PATH),
            '--validation "v.jsonl" holds the test cases themselves: chosen there, the score is too kind.\n'
            "Give cases of their own, or leave it out: then the choice is paid for.",
        ),
    ],
)
def test_a_choice_that_cannot_be(
    is_same: bool,
    variants: tuple[Variant, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    test = written(Path("t.jsonl"), 10, "question")
    validation = written(Path("v.jsonl"), 10, "question" if is_same else "other")
    with pytest.raises(ConfigError) as error:
        Checkpoints.begin(plan(tmp_path, variants, validation, test))
    assert str(error.value) == message


def test_the_one_that_was_chosen_is_judged_alone(tmp_path: Path) -> None:
    """On the validation cases, checkpoint 30 is the best."""
    scene = found().scene
    validation = case_set(cases(40))
    better = {"checkpoint-10": 10, "checkpoint-20": 20, "checkpoint-30": 30}

    def ask(sets: object, variants: object, task: object) -> dict[str, dict[str, list[Prediction]]]:
        return {
            validation.name: {
                one.name: [
                    Prediction(case.id, label="yes" if int(case.id) < better[one.name] else "no")
                    for case in validation.cases
                ]
                for one in PATH
            }
        }

    validation = case_set([Case(case.id, case.inputs, ("yes",)) for case in validation.cases])
    from dataclasses import replace

    scene = replace(scene, ask=ask, tasks={"test": None})  # type: ignore[arg-type, dict-item]
    (one,) = Checkpoints({"out": PATH}, validation).look(scene)
    assert one.sentence.startswith(
        "out: step 30 was chosen on 40 validation cases among 3 checkpoints and alone is judged: accuracy "
        "88.0 (80.2 to 93.0) on the test cases. There step 20 is the best of 3 checkpoints: accuracy 90.0 ("
    )
    assert "widened" not in one.sentence
    judged = {one.candidate for one in scene.assessments["test"].confirmatory}
    assert judged == {"checkpoint-30"}
    assert {"checkpoint-10", "checkpoint-20"} <= {
        one.candidate for one in scene.assessments["test"].exploratory
    }
