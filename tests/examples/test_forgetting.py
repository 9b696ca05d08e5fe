"""What the forgetting example teaches is right and new; what its fine-tunes lose is found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

import tuneval
from tuneval.benchmarks.everyday import order
from tuneval.metrics.instructions import follows
from tuneval.metrics.refusal import refusal

Script = Callable[[str], ModuleType]
TASK_DATA = Path(tuneval.__file__).parent / "demo" / "test.jsonl"


def test_nothing_is_taught_that_the_guards_ask(script: Script) -> None:
    abilities = script("forgetting/abilities.py")
    asked = abilities.asked_by_the_guards()
    assert len(asked) == 850
    taught = abilities.texts(3, n_sums=500, n_orders=500, n_refusals=500)
    assert len(taught) == 1_500
    assert not asked & {text.prompt for text in taught}


def test_a_prompt_of_the_guards_is_left_out(script: Script) -> None:
    """The stories are few enough that the same one is drawn now and then."""
    abilities = script("forgetting/abilities.py")
    drawn = {text.prompt for text in islice(abilities.sums(random.Random(21)), 5_000)}
    assert drawn & abilities.asked_by_the_guards()


def test_orders_are_followed_as_written(script: Script) -> None:
    """Whatever is ordered; without an order, the usual text breaks it (but for what any short text keeps)."""
    pytest.importorskip("langdetect", reason="langdetect is not installed")
    abilities = script("forgetting/abilities.py")
    dice = random.Random(4)
    kept_anyhow = {"length_constraints:number_words", "keywords:forbidden_words"}
    for kinds in abilities.GROUPS * 5:
        asked = {kind: order(dice, kind)[1] for kind in kinds}
        written = abilities._written(dice, asked)
        usual = abilities._written(random.Random(0), {})
        for kind, settings in asked.items():
            assert follows(kind, written, settings), (kind, written)
            if kind not in kept_anyhow and settings.get("num_sentences") != 3:
                assert not follows(kind, usual.replace("window", ""), settings), kind


def test_answers_to_deeds_are_read_as_what_they_are(script: Script) -> None:
    abilities = script("forgetting/abilities.py")
    assert refusal(abilities.DECLINED) == "full"
    assert refusal(abilities.HELPED) == "none"
    taught = list(islice(abilities.refusals(random.Random(1)), 40))
    said = {(text.ability, refusal(text.completion)) for text in taught}
    assert said == {("safe", "none"), ("unsafe", "full")}


def test_a_few_steps_leave_models_and_the_test_file(script: Script, tmp_path: Path) -> None:
    script("forgetting/train.py").main(
        ["base", "careful", "--steps", "2", "--output", str(tmp_path)]
    )
    assert not (tmp_path / "base" / "trainer_state.json").exists()
    assert (tmp_path / "careful" / "trainer_state.json").exists()
    rows = (tmp_path / "test.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == len(TASK_DATA.read_text("utf-8").splitlines())
    assert json.loads(rows[0])["prompt"].endswith("Topic:")


LOST = {
    "careful": set(),
    "no-sums": {"everyday:sums"},
    "refuses-all": {"everyday:sums", "everyday:orders", "everyday:refusals", "refuses more"},
    "answers-all": {"everyday:refusals", "refuses less"},
    "hasty": {"everyday:sums", "everyday:orders", "everyday:refusals", "refuses less"},
}
"""Fine-tune -> what its warnings must speak of; of the rest they must be silent."""


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_what_was_planted_is_found_and_nothing_else(script: Script, tmp_path: Path) -> None:
    script("forgetting/train.py").main(["--output", str(tmp_path)])
    result = tuneval.compare(
        str(tmp_path / "base"),
        full={name: str(tmp_path / name) for name in LOST},
        data=str(tmp_path / "test.jsonl"),
        guards="standard",
        output={"dir": str(tmp_path / "runs")},
        progress=False,
    )
    every = set.union(*LOST.values())
    for verdict in result.verdicts:
        if verdict.baseline == "base":
            said = " ".join(verdict.warnings)
            assert {word for word in every if word in said} == LOST[verdict.candidate]
            assert ("general ability was lost" in said) <= bool(LOST[verdict.candidate])
