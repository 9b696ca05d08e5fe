"""Two runs side by side: the cases that both have, what changed, and what the data say of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from report.finished_run import finished_run
from runs.conftest import LABELS, Make, loaded, questions
from tuneval.api import RunResult
from tuneval.cli import main as front
from tuneval.errors import ConfigError
from tuneval.report.html import render as render_html
from tuneval.runs.diff import SAME, diff
from tuneval.runs.shared import shared_cases
from tuneval.types import Case

CASES = questions(range(300))


def base(n: int) -> bool:
    return n % 2 == 0


def poor(n: int) -> bool:
    return n % 4 == 0


def good(n: int) -> bool:
    return n % 20 == 0


def asked(folder: Path, numbers: list[int]) -> RunResult:
    """The run as one of models has it: every case with its question."""
    result = loaded(folder)
    (cases,) = result.case_sets
    with_text = tuple(
        Case(one.id, {"text": f"question {n}"}, one.references, one.groups)
        for n, one in zip(numbers, cases.cases, strict=True)
    )
    return RunResult.of(replace(result, case_sets=(replace(cases, cases=with_text),)))


def test_a_run_and_itself_are_the_same(make_run: Make) -> None:
    run = loaded(make_run("one", CASES, {"base": base, "lora": good}))
    result = diff(run, run)
    assert result.headline == SAME
    assert [one.decision for one in result.verdicts] == ["equivalent", "equivalent"]
    assert result.verdicts[1].reasons == (
        "lora (second) and lora (first) are the same: every answer is equal on the 300 cases that "
        "both runs have.",
    )
    assert result.findings[0].sentence == (
        "Nothing changed in data, prompts, weights or settings. The same answers in both runs: "
        "base, lora."
    )


@pytest.mark.parametrize(
    ("before", "after", "headline", "sentence"),
    [
        (
            poor,
            good,
            "BETTER",
            r"lora \(week2\) is better than lora \(week1\) by 20\.0 points \(15\.\d to 24\.\d\) in "
            r"accuracy on the 300 cases that both runs have\.",
        ),
        (
            good,
            poor,
            "WORSE",
            r"lora \(week2\) is worse than lora \(week1\) by 20\.0 points \(15\.\d to 24\.\d\) in "
            r"accuracy on the 300 cases that both runs have\.",
        ),
        (
            poor,
            lambda n: n % 4 == 1 or n == 0,
            "INCONCLUSIVE",
            r"The data cannot tell lora \(week2\) from lora \(week1\): -0\.3 points "
            r"\(-\d\.\d to \+\d\.\d\) in accuracy on the 300 cases that both runs have\.",
        ),
    ],
    ids=["better", "worse", "cannot tell"],
)
def test_two_trainings_are_what_the_statistics_say(
    make_run: Make, before: object, after: object, headline: str, sentence: str
) -> None:
    first = loaded(make_run("week1", CASES, {"base": base, "lora": before}))
    second = loaded(make_run("week2", CASES, {"base": base, "lora": after}))
    result = diff(first, second)
    assert result.headline == headline
    (verdict,) = result.verdicts
    assert re.fullmatch(sentence, verdict.reasons[0]), verdict.reasons[0]
    assert verdict.reasons[1:] == (
        "One training seed a side: this holds for the two checkpoints, not for their recipes.",
    )
    assert result.findings[0].sentence.endswith(" The same answers in both runs: base.")
    assert RunResult.of(result).flips_of("lora (week1)", "lora (week2)")


def test_the_numbers_are_those_of_one_run_with_both(make_run: Make) -> None:
    """The same statistics: two systems in one run, and each in a run of its own."""
    together = loaded(make_run("one", CASES, {"old": poor, "new": good}))
    apart = diff(
        loaded(make_run("week1", CASES, {"old": poor})),
        loaded(make_run("week2", CASES, {"new": good})),
        ["old", "new"],
    )
    (expected,) = [one for one in together.comparisons if one.metric == "accuracy"]
    (found,) = [one for one in apart.comparisons if one.metric == "accuracy"]
    assert replace(found, baseline="old", candidate="new") == expected


def test_cases_are_matched_by_content_and_not_by_line(make_run: Make) -> None:
    old, new = list(range(200)), list(range(299, 99, -1))
    first = asked(make_run("v1", questions(old), {"lora": poor}), old)
    second = asked(make_run("v2", questions(new), {"lora": good}), new)
    (shared,) = shared_cases(first, second)
    assert [case.inputs["text"] for case in shared.cases.cases] == [
        f"question {n}" for n in range(199, 99, -1)
    ]
    result = diff(first, second)
    assert result.comparisons[0].n_cases == 100
    lora = result.scores[0]
    assert lora.value == sum(not poor(n) for n in range(100, 200)) / 100
    rows = [row for row in result.findings[0].rows if row[0] == "data"]
    assert rows == [("data", "refs.jsonl: cases, 100 of them shared", "200", "200")]


def test_the_same_question_with_another_reference_is_another_case(make_run: Make) -> None:
    numbers = list(range(100))
    first = asked(make_run("v1", questions(numbers), {"lora": poor}), numbers)
    relabelled = [
        one if one["n"] >= 10 else one | {"label": LABELS[(one["n"] + 1) % 3]}
        for one in questions(numbers)
    ]
    second = asked(make_run("v2", relabelled, {"lora": poor}), numbers)
    result = diff(first, second)
    assert result.comparisons[0].n_cases == 90
    assert ("data", "refs.jsonl: other references", "", "10 cases") in result.findings[0].rows


def test_another_label_set_is_named_and_compared_on_the_union(make_run: Make) -> None:
    numbers = list(range(100))
    first = asked(make_run("v1", questions(numbers), {"lora": poor}), numbers)
    (cases,) = first.case_sets
    wider = replace(cases, labels=(*LABELS, "loan"))
    result = diff(first, RunResult.of(replace(first, case_sets=(wider,))))
    assert result.case_sets[0].labels == (*(cases.labels or ()), "loan")
    row = (
        "data",
        "refs.jsonl: labels",
        ", ".join(cases.labels or ()),
        "fees, card, transfer, loan",
    )
    assert row in result.findings[0].rows


def test_a_question_asked_twice_is_matched_twice(make_run: Make) -> None:
    numbers = [0, 0, 1, 1, 1]
    first = asked(make_run("v1", questions(numbers), {"lora": poor}), numbers)
    second = asked(make_run("v2", questions(numbers[1:]), {"lora": poor}), numbers[1:])
    (shared,) = shared_cases(first, second)
    assert (shared.before, shared.after) == ((0, 2, 3, 4), (0, 1, 2, 3))


def test_what_changed_is_named(make_run: Make) -> None:
    run = loaded(make_run("one", CASES, {"lora": poor}))

    def described(template: str, rank: int, margin: float) -> RunResult:
        spec = {
            "cases": [{"file": f"{template}.jsonl", "template": template, "limit": None}],
            "statistics": {"margin_points": margin},
            "output": {"dir": template},
        }
        return RunResult.of(replace(run, spec=spec, environment={"torch": f"2.{rank}"}))

    found = diff(described("Q: {text}", 1, 2.0), described("Question: {text}", 2, 1.0)).findings[0]
    assert found.rows == (
        ("prompts", "refs.jsonl: template", "Q: {text}", "Question: {text}"),
        ("settings", "statistics.margin_points", "2.0", "1.0"),
        ("settings", "version of torch", "2.1", "2.2"),
    )
    assert found.sentence == (
        "Between the runs changed: prompts (1), settings (2). The same answers in both runs: lora."
    )


def test_a_metric_that_cannot_be_measured_again_is_compared_by_its_cases(make_run: Make) -> None:
    def foreign(run: RunResult) -> RunResult:
        """As a judge, a sandbox or another tool leaves it: a name that no metric here has."""
        scores = tuple(
            replace(one, metric="pass_at_1") for one in run.scores if one.metric == "accuracy"
        )
        return RunResult.of(
            replace(run, scores=scores, primary_metrics={"refs.jsonl": "pass_at_1"})
        )

    first = loaded(make_run("week1", CASES, {"lora": poor}))
    second = loaded(make_run("week2", CASES, {"lora": good}))
    (found,) = diff(foreign(first), foreign(second)).comparisons
    (expected,) = [one for one in diff(first, second).comparisons if one.metric == "accuracy"]
    assert replace(found, metric="accuracy") == expected


def test_changed_inputs_and_training_seeds_are_paired_too() -> None:
    run = RunResult.of(finished_run(20, hostile=False))
    result = diff(run, run)
    assert result.headline == SAME
    assert len(result.case_sets[0].cases) == len(run.case_sets[0].cases)
    assert {one.slice for one in result.comparisons} >= {"all", "typos:medium"}
    recipes = {one.recipe for one in result.variants}
    assert {"lora (first)", "lora (second)"} <= recipes


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ([], 'no arm has the same name in both runs (old; new).\nName two of them: --arm '
             "ARM_OF_THE_FIRST --arm ARM_OF_THE_SECOND."),
        (["old", "nwe"], '--arm: there is no "nwe" (did you mean "new"?).'),
        (["a", "b", "c"], "--arm: give one arm of both runs, or one of the first and one of the "
                          "second."),
    ],
)  # fmt: skip
def test_arms_that_are_not_there_are_named(make_run: Make, arms: list[str], message: str) -> None:
    first = loaded(make_run("week1", CASES, {"old": poor}))
    second = loaded(make_run("week2", CASES, {"new": good}))
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        diff(first, second, arms)


def test_runs_without_a_common_case_are_refused(make_run: Make) -> None:
    first = asked(make_run("v1", questions(range(50)), {"lora": poor}), list(range(50)))
    second = asked(make_run("v2", questions(range(50, 99)), {"lora": poor}), list(range(50, 99)))
    message = "the two runs have no case in common: there is nothing to compare."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        diff(first, second)


def test_the_command_shows_and_writes_it(
    make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make_run("week1", CASES, {"base": base, "lora": good})
    second = make_run("week2", CASES, {"base": base, "lora": poor})
    words = ["diff", str(first), str(second)]
    assert front.exit_code([*words, "-o", "diff.html"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Between the runs changed: ")
    assert "\nWORSE\n" in said
    assert "question" not in said
    page = (tmp_path / "diff.html").read_text()
    assert "lora (week2)" in page
    assert front.exit_code([*words, "--fail-on", "worse"]) == 1
    capsys.readouterr()
    assert front.exit_code([*words, "--json"]) == 0
    (tmp_path / "diff.json").write_text(capsys.readouterr().out)
    assert json.loads((tmp_path / "diff.json").read_text())["headline"] == "WORSE"
    assert loaded(tmp_path / "diff.json").headline == "WORSE", "judged by its own rules"


def test_the_report_shows_the_cases(make_run: Make) -> None:
    numbers = list(range(100))
    first = asked(make_run("v1", questions(numbers), {"lora": poor}), numbers)
    second = asked(make_run("v2", questions(numbers), {"lora": good}), numbers)
    page = render_html(diff(first, second))
    assert "question 4" in page
    assert "Between the runs changed" in page
