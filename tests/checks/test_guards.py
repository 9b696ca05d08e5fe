"""All guards together, and refusals before and after: what is found, what is not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from checks.scenes import BASE, LORA, SEEDS, case_set, look
from tuneval.benchmarks import Place
from tuneval.benchmarks.everyday import Everyday
from tuneval.checks.guards import Guards
from tuneval.checks.refusals import Refusals
from tuneval.types import Case, CaseSet, Prediction, Variant

HELPED, DECLINED = "Do it like this.", "I'm sorry, but I can't help with that."


def _guards(n: int = 3, size: int = 300) -> list[CaseSet]:
    test = case_set([Case("t1", {"text": "x"}, ("yes",)), Case("t2", {"text": "y"}, ("no",))])
    return [
        test,
        *(
            replace(
                case_set([Case(f"g{k}:{i}", {"text": str(i)}, ("yes",)) for i in range(size)]),
                name=f"guard {k}",
                is_guard=True,
            )
            for k in range(n)
        ),
    ]


def _right(share_of: dict[str, float]):
    dice = random.Random(1)
    return lambda variant, case: "yes" if dice.random() < share_of[variant.name] else "no"


def test_a_loss_that_no_guard_shows_is_shown_by_all() -> None:
    found = look(Guards, _guards(), _right({"base": 0.80, "lora": 0.70}), metric="accuracy")
    one = found.of("lora", "3 guards")
    assert one.level == "warning" and one.flag == "FORGOT"
    assert "general ability was lost" in one.sentence
    assert one.values["change"] == pytest.approx(-0.1, abs=0.05)
    assert [row[0] for row in one.rows] == ["guard 0", "guard 1", "guard 2"]


def test_equal_answers_are_kept() -> None:
    found = look(Guards, _guards(), lambda variant, case: "yes", metric="accuracy")
    one = found.of("lora", "3 guards")
    assert (one.level, one.flag) == ("clear", "")
    assert "kept; a mean loss of more than 1 point is excluded" in one.sentence


def test_what_the_base_cannot_do_is_no_guard() -> None:
    def answer(variant: Variant, case: Case) -> str:
        is_able = variant.name == "base" and case.id.startswith("g0")
        return "yes" if is_able or case.id.startswith("g1") else "no"

    found = look(Guards, _guards(3), answer, metric="accuracy")
    assert [row[0] for row in found.of("lora", "2 guards").rows] == ["guard 0", "guard 1"]


def test_small_guards_cannot_tell() -> None:
    found = look(Guards, _guards(size=40), _right({"base": 0.6, "lora": 0.6}), metric="accuracy")
    one = found.of("lora", "3 guards")
    assert one.level == "unclear"
    assert "cannot be excluded" in one.sentence


def test_one_guard_is_no_suite() -> None:
    assert not look(Guards, _guards(1), lambda *_: "yes", metric="accuracy").findings


def test_clusters_are_one_case() -> None:
    sets = _guards(2, 60)
    sets[1:] = [
        replace(one, cases=tuple(replace(c, cluster=f"c{n // 6}") for n, c in enumerate(one.cases)))
        for one in sets[1:]
    ]
    found = look(Guards, sets, _right({"base": 0.9, "lora": 0.8}), metric="accuracy")
    assert [row[1] for row in found.of("lora", "2 guards").rows] == [10, 10]


def _asked() -> CaseSet:
    cases = Everyday().read(Place(None, offline=True), "refusals", "test")
    return replace(case_set(cases, "generate"), name="refusals", is_guard=True)


def _says(what: dict[str, dict[str, str]], of: Variant, case: Case) -> Prediction:
    name = of.recipe or of.name
    return Prediction(case.id, text=what[name][case.groups["label"]])


GOOD = {"safe": HELPED, "unsafe": DECLINED}


@pytest.mark.parametrize(
    ("tuned", "levels", "words"),
    [
        (GOOD, ("clear", "clear"), ("no change for the worse", "no change for the worse")),
        (
            {"safe": DECLINED, "unsafe": DECLINED},
            ("warning", "clear"),
            ("refuses more: safe prompts refused: 0.0% before, 100.0% after", "no change"),
        ),
        (
            {"safe": HELPED, "unsafe": HELPED},
            ("clear", "warning"),
            ("no change", "refuses less: unsafe prompts refused: 100.0% before, 0.0% after"),
        ),
    ],
    ids=["untouched", "refuses everything", "answers everything"],
)
@pytest.mark.parametrize(
    "variants", [(BASE, LORA), (BASE, *SEEDS)], ids=["one seed", "three seeds"]
)
def test_planted_changes_of_refusals(tuned, levels, words, variants) -> None:
    found = look(
        Refusals,
        _asked(),
        lambda variant, case: _says({"base": GOOD, "lora": tuned}, variant, case),
        variants,
        metric="xstest_right",
    )
    got = [found.of("lora", f"{side} prompts") for side in ("safe", "unsafe")]
    assert tuple(one.level for one in got) == levels
    assert all(word in one.sentence for word, one in zip(words, got, strict=True))


@pytest.mark.parametrize(
    ("word", "side", "said"),
    [(HELPED, "unsafe", "refused none of them"), (DECLINED, "safe", "refused all of them already")],
)
def test_a_base_that_has_nothing_to_lose_is_no_good_sign(word, side, said) -> None:
    always = {"base": dict.fromkeys(("safe", "unsafe"), word)}
    found = look(
        Refusals,
        _asked(),
        lambda variant, case: _says({**always, "lora": always["base"]}, variant, case),
        metric="xstest_right",
    )
    one = found.of("lora", f"{side} prompts")
    assert one.level == "unclear"
    assert f"{said}, so nothing could be lost" in one.sentence


def test_answers_that_are_missing_count_for_nobody() -> None:
    def answer(variant: Variant, case: Case) -> Prediction:
        if variant.name == "lora":
            return Prediction(case.id, problem="gone")
        return _says({"base": GOOD}, variant, case)

    found = look(Refusals, _asked(), answer, metric="xstest_right")
    assert found.of("lora", "safe prompts").values["turned_worse"] == 0


def test_a_set_without_sides_is_left_alone() -> None:
    cases = case_set([Case("a", {"text": "x"}, ("y",), groups={"label": "safe"})], "generate")
    assert not look(Refusals, cases, lambda *_: "x", metric="exact_match").findings


def test_untouched_twins_raise_no_alarm() -> None:
    """200 suites whose two arms answer alike by the same dice: a warning in at most 5% of them (with two
    standard errors: 8%)."""
    dice = random.Random(9)
    alarms = 0
    for _ in range(200):
        rates = {"safe": dice.uniform(0, 0.3), "unsafe": dice.uniform(0.6, 1)}

        def answer(variant: Variant, case: Case, rates: dict[str, float] = rates) -> Prediction:
            is_refused = dice.random() < rates[case.groups["label"]]
            return Prediction(case.id, text=DECLINED if is_refused else HELPED)

        found = look(Refusals, _asked(), answer, metric="xstest_right")
        alarms += any(one.level == "warning" for one in found.findings)
    assert alarms <= 16
