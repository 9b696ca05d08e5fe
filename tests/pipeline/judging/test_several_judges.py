"""Several judges of the same answers: the mean decides, each is shown, and whether they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine.fake_server import completed, reply, serving, status
from pipeline.judging.conftest import JUDGED, N, Run, findings, prefers_good, score, texts_of
from tuneval.api import RunResult
from tuneval.errors import ConfigError
from tuneval.pipeline.judging.panel import mean_of
from tuneval.plan.spec import RunSpec
from tuneval.types import Prediction

ONE, OTHER = "prompts (judged by one)", "prompts (judged by other)"


def prefers_plain(asked: dict[str, Any]) -> str:
    first, second = texts_of(asked) if "<answer A>" in str(asked) else ("",) * 2
    return "B" if "PLAIN" in second and "PLAIN" not in first else "A"


def likes_length(asked: dict[str, Any]) -> str:
    first, second = texts_of(asked) if "<answer A>" in str(asked) else ("",) * 2
    return "B" if len(second) > len(first) else "A"


def nonsense(asked: dict[str, Any]) -> str:
    return "I would rather not say."


def by_name(**judges: Any) -> Any:
    return lambda asked: judges[asked["model"]](asked)


def judged_by(run: Run, **judges: Any) -> RunResult:
    with serving(content=by_name(**judges), models=tuple(judges)) as fake:
        section = [{"model": m, "backend": "openai", "base_url": fake.url} for m in judges]
        return run(fake, judge=section)


def primary(result: RunResult, case_set: str, arm: str) -> float:
    (found,) = [
        one.value
        for one in result.scores
        if (one.case_set, one.variant, one.metric, one.slice) == (case_set, arm, "win_rate", "all")
    ]
    return found


def test_the_mean_of_the_judges_decides(run_judged: Run) -> None:
    result = judged_by(run_judged, one=prefers_good, other=likes_length)
    for arm in ("lora", "full"):
        each = [primary(result, case_set, arm) for case_set in (ONE, OTHER)]
        assert score(result, arm).value == pytest.approx(sum(each) / 2)
    each = dict.fromkeys((ONE, OTHER, JUDGED), "win_rate")
    assert result.primary_metrics == {"prompts": "rougeL", **each}
    assert {one.interval is not None for one in result.scores if one.case_set in (ONE, OTHER)}
    deciding = {one.case_set for one in result.comparisons if one.details.get("confirmatory")}
    assert deciding == {"prompts", JUDGED}
    assert len(findings(result, "position bias")) == len(findings(result, "effort")) == 2
    names = ("one", "other")
    assert [
        f"The judge {name} answered" in f.sentence
        for name, f in zip(names, findings(result, "effort"), strict=True)
    ] == [True, True]
    (agree,) = [one for one in result.findings if one.kind == "judges"]
    labels = [
        [
            str(verdict.label)
            for arm in ("lora", "full")
            for case, verdict in zip(
                [c.id for cases in result.case_sets for c in cases.cases],
                result.predictions[arm],
                strict=True,
            )
            if case.endswith(f"(judged by {name})")
        ]
        for name in names
    ]
    assert agree.rows[0][3] == pytest.approx(cohen_kappa_score(*labels))
    assert agree.values["low"] <= agree.values["alpha"] <= agree.values["high"]
    left = RunSpec.from_yaml(Path(result.output_dir) / "run.yaml")
    assert [one.model for one in left.judge] == list(names)
    for kind in ("html", "md", "csv"):
        path = result.save_report(Path(result.output_dir) / f"x.{kind}", kind=kind)
        assert "judged by other" in path.read_text("utf-8")


def test_opposite_judges_are_told(run_judged: Run) -> None:
    result = judged_by(run_judged, one=prefers_good, other=prefers_plain)
    assert score(result, "full").value == 0.5
    warned = [one for one in result.findings if one.level == "warning" and one.kind == "judge"]
    assert {one.variant for one in warned} == {"lora", "full"}
    assert "The judges do not agree on full beside base: one +50.0 points; other -50.0 points" in (
        warned[-1].sentence + warned[0].sentence + warned[1].sentence
    )
    verdict = {(one.baseline, one.candidate): one for one in result.verdicts}
    assert verdict["base", "full"].decision != "better"
    assert any("The judges do not agree" in one for one in verdict["base", "full"].warnings)


def test_a_judge_that_answers_nonsense_is_named(run_judged: Run) -> None:
    result = judged_by(run_judged, one=prefers_good, other=nonsense)
    assert result.headline == "INVALID"
    (row, _) = findings(result, "position bias")[1].rows
    assert row[5] == 40, "unreadable"
    assert any(
        p.problem and p.problem.startswith("unparsed: other: ") for p in result.predictions["full"]
    )


def test_a_judge_that_fails_is_missing_for_all(run_judged: Run) -> None:
    def fails(handler: Any) -> None:
        asked = fake.seen[-1]
        if handler.command == "POST" and asked["model"] == "other" and "Say 7." in str(asked):
            return status(500, "broken")(handler)
        return reply(handler, 200, completed(fake, asked, is_chat=True))

    def talk(asked: dict[str, Any]) -> str:
        if "<answer A>" in str(asked):
            fake.always = fails  # the judges were met
        return prefers_good(asked)

    with serving(content=talk, models=("one", "other")) as fake:
        section = [{"model": m, "backend": "openai", "base_url": fake.url} for m in fake.models]
        result = run_judged(fake, judge=section)
    assert not result.is_complete
    assert score(result, "full").n_cases == N - 1


@pytest.mark.parametrize(
    ("judges", "words"),
    [
        ([{}, {}], '"one" is named twice'),
        ([{}, {"model": "other", "against": "reference"}], "must compare with the same answers"),
    ],
)
def test_judges_that_cannot_sit_together(
    judges: list[dict[str, Any]], words: str, run_judged: Run
) -> None:
    with serving(content=prefers_good, models=("one", "other")) as fake:
        usual = {"model": "one", "backend": "openai", "base_url": fake.url}
        with pytest.raises(ConfigError, match=words):
            run_judged(fake, judge=[usual | one for one in judges])


@pytest.mark.parametrize(
    ("said", "label", "share", "problem"),
    [
        ({"a": ("candidate", 0.9, None), "b": ("baseline", 0.3, None)}, "candidate", 0.6, None),
        ({"a": ("candidate", None, None), "b": ("baseline", None, None)}, "tie", 0.5, None),
        ({"a": ("candidate", None, None), "b": (None, None, "unparsed: hm")}, None, None,
         "unparsed: b: unparsed: hm"),
        ({"a": (None, None, "unparsed: hm"), "b": (None, None, "timeout")}, None, None, "timeout"),
    ],
)  # fmt: skip
def test_the_mean_of_two_verdicts(said: Any, label: Any, share: Any, problem: Any) -> None:
    given = {
        name: Prediction(
            "c",
            label=verdict,
            label_probabilities=None if p is None else {"candidate": p, "baseline": 1 - p},
            problem=why,
        )
        for name, (verdict, p, why) in said.items()
    }
    found = mean_of(given)
    assert (found.label, found.problem) == (
        label,
        problem and problem.replace("b: unparsed: ", "b: "),
    )
    if share is not None:
        assert found.label_probabilities == pytest.approx(
            {"candidate": share, "baseline": 1 - share}
        )
