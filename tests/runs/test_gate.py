"""Finished runs held to gates: the interval decides, never the number alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from report.finished_run import finished_run
from runs.conftest import answers, questions
from tuneval.cli import main as front
from tuneval.errors import ConfigError
from tuneval.runs.gate import exit_code, gates_of, hold
from tuneval.types import (
    Case,
    Gate,
    GateOutcome,
    Interval,
    LearningCurve,
    RunResult,
    Score,
    TrainingLog,
)

RUN = finished_run()
SET = RUN.case_sets[0].name


def with_score(low: float, value: float, high: float, **changes: object) -> RunResult:
    """The run with another accuracy of its LoRA."""
    interval = None if math.isnan(low) else Interval(low, high, 0.95, "t")

    def changed(score: Score) -> Score:
        is_it = (score.variant, score.metric, score.slice) == ("lora", "accuracy", "all")
        return replace(score, value=value, interval=interval) if is_it else score

    return replace(RUN, scores=tuple(map(changed, RUN.scores)), **changes)


@pytest.mark.parametrize(
    ("condition", "interval", "outcome"),
    [
        ("accuracy >= 0.90", (0.90, 0.93, 0.95), "passed"),
        ("accuracy > 0.90", (0.90, 0.93, 0.95), "cannot tell"),
        ("accuracy >= 0.90", (0.89, 0.95, 0.97), "cannot tell"),
        ("accuracy >= 90%", (0.89, 0.85, 0.91), "cannot tell"),
        ("accuracy >= 90", (0.80, 0.85, 0.89), "failed"),
        ("accuracy >= 0.90", (0.80, 0.85, 0.90), "cannot tell"),
        ("accuracy < 0.90", (0.80, 0.85, 0.90), "cannot tell"),
        ("accuracy <= 0.90", (0.80, 0.85, 0.90), "passed"),
        ("accuracy <= 0.90", (0.91, 0.95, 0.97), "failed"),
        ("accuracy >= 1", (1.0, 1.0, 1.0), "passed"),
        ("accuracy >= 0.90", (math.nan, 0.95, math.nan), "cannot tell"),
    ],
)
def test_a_number_is_decided_by_its_interval(
    condition: str, interval: tuple[float, float, float], outcome: GateOutcome
) -> None:
    (gate,) = hold(with_score(*interval), [condition]).gates
    assert gate.outcome == outcome, gate.sentence


@pytest.mark.parametrize(
    ("condition", "interval", "sentence"),
    [
        (
            "accuracy >= 0.90",
            (0.91, 0.95, 0.97),
            "lora: accuracy is 95.0 (91.0 to 97.0, n=400), wanted >= 90.0: the whole interval is "
            "inside, so it holds.",
        ),
        (
            "accuracy >= 0.98",
            (0.91, 0.95, 0.97),
            "lora: accuracy is 95.0 (91.0 to 97.0, n=400), wanted >= 98.0: the whole interval is "
            "outside, so it fails.",
        ),
        (
            "accuracy >= 0.95",
            (0.91, 0.95, 0.97),
            "lora: accuracy is 95.0 (91.0 to 97.0, n=400), wanted >= 95.0: the interval reaches "
            "across the limit, so the data cannot tell.",
        ),
        (
            "accuracy >= 0.95",
            (math.nan, 0.95, math.nan),
            "lora: accuracy is 95.0, wanted >= 95.0: there is no interval (n=400), so the data "
            "cannot tell.",
        ),
    ],
)
def test_the_sentence_says_which(
    condition: str, interval: tuple[float, float, float], sentence: str
) -> None:
    (gate,) = hold(with_score(*interval), [condition]).gates
    assert gate == Gate(condition, gate.outcome, sentence, "lora: accuracy")


def bounds(baseline: str, candidate: str, name: str = "all") -> tuple[float, float]:
    (found,) = [
        one.interval
        for one in RUN.comparisons
        if (one.baseline, one.candidate, one.slice, one.metric)
        == (baseline, candidate, name, "accuracy")
    ]
    assert found is not None
    return 100 * found.low, 100 * found.high


@pytest.mark.parametrize(
    ("condition", "pair"),
    [
        ("accuracy {sign} base + {limit}", ("base", "lora")),
        ("gap_to_full {sign} {limit}", ("lora", "full")),
    ],
)
def test_a_difference_is_decided_by_the_paired_interval(
    condition: str, pair: tuple[str, str]
) -> None:
    low, high = bounds(*pair)
    expected = {low - 1: "passed", (low + high) / 2: "cannot tell", high + 1: "failed"}
    for limit, outcome in expected.items():
        if limit < 0 and "base" in condition:
            continue
        (gate,) = hold(RUN, [condition.format(sign=">=", limit=f"{limit:.6f}")]).gates
        assert gate.outcome == outcome, gate.sentence


def test_the_order_of_a_pair_does_not_matter() -> None:
    turned = tuple(
        replace(
            one,
            baseline=one.candidate,
            candidate=one.baseline,
            difference=-one.difference,
            interval=one.interval
            and replace(one.interval, low=-one.interval.high, high=-one.interval.low),
        )
        for one in RUN.comparisons
        if one.baseline != one.candidate
    )
    conditions = ["accuracy >= base - 2", "gap_to_full <= 5"]
    assert hold(replace(RUN, comparisons=turned), conditions).gates == hold(RUN, conditions).gates


def test_a_group_too_small_for_a_score_cannot_be_told() -> None:
    cases = list(RUN.case_sets[0].cases)
    cases[0] = replace(cases[0], groups={"writer": "guest"})
    run = replace(RUN, case_sets=(replace(RUN.case_sets[0], cases=tuple(cases)),))
    (gate,) = hold(run, ["slice:writer=guest >= 0.5"]).gates
    assert gate.outcome == "cannot tell"
    assert gate.sentence == (
        "lora: accuracy on writer: guest, wanted >= 50.0: there is no interval (n=1), so the data "
        "cannot tell."
    )


def test_a_slice_that_a_check_made_may_be_named() -> None:
    (writer,) = [
        one for one in RUN.scores if (one.variant, one.slice) == ("lora", "writer=learner")
    ]
    run = replace(RUN, scores=(*RUN.scores, replace(writer, slice="overlap=clean")))
    (gate,) = hold(run, ["slice:overlap=clean >= 0.1"]).gates
    assert gate.outcome == "passed"
    assert gate.about == "lora: accuracy on overlap: clean"


def test_arms_and_case_sets_may_be_named() -> None:
    gates = hold(RUN, ["accuracy@base <= 0.9", f"accuracy@full@{SET} >= 0.5"]).gates
    assert [gate.about for gate in gates] == ["base: accuracy", "full: accuracy"]


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("invalid none", "passed"),
        ("warnings none", "failed"),
        ("overfit@base none", "cannot tell"),
        ("forgot none", "cannot tell"),
    ],
)
def test_what_is_to_be_absent(condition: str, outcome: GateOutcome) -> None:
    (gate,) = hold(RUN, [condition]).gates
    assert gate.outcome == outcome, gate.sentence


def test_brittle_is_what_the_check_proved() -> None:
    finding = replace(RUN.findings[0], kind="robustness", variant="lora", flag="", level="clear")
    levels = {
        "passed": (finding,),
        "cannot tell": (finding, replace(finding, level="unclear", sentence="Too few.")),
        "failed": (finding, replace(finding, level="warning", flag="BRITTLE", sentence="It is.")),
    }
    for outcome, findings in levels.items():
        (gate,) = hold(replace(RUN, findings=findings), ["brittle none"]).gates
        assert gate.outcome == outcome


@pytest.mark.parametrize(
    ("difference", "half", "outcome"),
    [(-0.05, 0.02, "failed"), (0.0, 0.005, "passed"), (-0.01, 0.05, "cannot tell")],
)
def test_forgotten_is_what_a_guard_proved(
    difference: float, half: float, outcome: GateOutcome
) -> None:
    """Also where the headline speaks of something else."""
    (found,) = [
        one
        for one in RUN.comparisons
        if (one.baseline, one.candidate, one.metric, one.slice)
        == ("base", "lora", "accuracy", "all")
    ]
    ends = {"interval90_low": difference - half, "interval90_high": difference + half}
    p_value = 0.001 if abs(difference) > half else 0.7  # a test that agrees with the interval
    fallen = replace(
        found,
        case_set="general",
        difference=difference,
        interval=Interval(difference - half, difference + half, 0.95, "t"),
        p_value=p_value,
        p_adjusted=p_value,
        details=ends,
    )
    guard = replace(RUN.case_sets[0], name="general", is_guard=True, cases=())
    run = replace(
        decided("better", "BETTER, WITH WARNINGS"),
        case_sets=(*RUN.case_sets, guard),
        primary_metrics={**RUN.primary_metrics, "general": "accuracy"},
        comparisons=(*RUN.comparisons, fallen),
    )
    (gate,) = hold(run, ["forgot none"]).gates
    assert gate.outcome == outcome, gate.sentence


def test_two_evaluations_cannot_tell_overfitting() -> None:
    names = {one.name for one in RUN.variants if one.kind == "adapter"}
    log = TrainingLog((1, 2), (1.0, 0.9), (1, 2), (1.0, 0.9), None, "trainer_state.json:1")
    curves = tuple(LearningCurve(name, log, "Only 2 evaluations.", False) for name in sorted(names))
    (gate,) = hold(replace(RUN, learning_curves=curves), ["overfit none"]).gates
    assert (gate.outcome, gate.sentence) == ("cannot tell", "Only 2 evaluations.")


def decided(decision: str, headline: str, warnings: tuple[str, ...] = ()) -> RunResult:
    (first, *_) = [one for one in RUN.verdicts if one.baseline == "base"]
    verdict = replace(first, decision=decision, headline=headline, warnings=warnings)
    return replace(RUN, verdicts=(verdict,), headline=headline)


@pytest.mark.parametrize(
    ("run", "codes"),
    [
        (decided("better", "BETTER"), (0, 0, 0)),
        (decided("better", "BETTER, WITH WARNINGS", ("Leaky.",)), (0, 1, 0)),
        (decided("worse", "WORSE"), (1, 1, 1)),
        (decided("undecided", "MIXED"), (1, 1, 1)),
        (decided("undecided", "INCONCLUSIVE"), (0, 0, 4)),
        (decided("equivalent", "NO CHANGE"), (0, 0, 0)),
        (decided("undecided", "INVALID", ("Leaky.",)), (1, 1, 1)),
        (replace(RUN, verdicts=(), headline="WARNED"), (0, 1, 4)),
        (replace(RUN, verdicts=(), findings=(), headline="SCORES ONLY"), (0, 0, 4)),
    ],
    ids=lambda value: value.headline if isinstance(value, RunResult) else "",
)
def test_the_words_of_fail_on(run: RunResult, codes: tuple[int, int, int]) -> None:
    assert exit_code(hold(run, [])) == 0
    found = tuple(exit_code(hold(run, [], [word])) for word in ("worse", "warning", "inconclusive"))
    assert found == codes


def test_an_incomplete_run_fails_whatever_its_gates_say() -> None:
    run = replace(decided("better", "BETTER"), is_complete=False)
    assert exit_code(hold(run, ["invalid none"])) == 1


def test_a_failure_outweighs_what_cannot_be_told() -> None:
    run = with_score(0.8, 0.85, 0.9)
    assert exit_code(hold(run, ["accuracy >= 0.85"])) == 4
    assert exit_code(hold(run, ["accuracy >= 0.85", "accuracy >= 0.95"])) == 1


def test_the_gates_of_a_run_are_those_of_its_run_yaml() -> None:
    spec = {"gates": {"accuracy": ">= 0.9", "brittle": "none"}}
    assert gates_of(replace(RUN, spec=spec)) == ["accuracy >= 0.9", "brittle none"]
    assert gates_of(RUN) == []


@pytest.fixture
def worse_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words that score a system which is much worse than the base."""
    monkeypatch.chdir(tmp_path)
    cases = questions(range(60))
    rows = [json.dumps({"label": case["label"]}) for case in cases]
    Path("refs.jsonl").write_text("\n".join(rows) + "\n")
    for system, every in (("base", 20), ("lora", 2)):
        told = answers(cases, lambda n, every=every: n % every == 0)
        Path(f"{system}.txt").write_text("\n".join(told) + "\n")
    files = ["--predictions", "base=base.txt", "--predictions", "lora=lora.txt"]
    return ["score", "--references", "refs.jsonl:label", *files, "--metrics", "accuracy", "-q"]


def test_score_and_report_fail_only_when_asked(
    worse_files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.exit_code(worse_files) == 0
    assert front.exit_code([*worse_files, "--fail-on", "worse", "--report", "junit"]) == 1
    assert Path("tuneval-runs/latest/junit.xml").is_file()
    assert front.exit_code(["report"]) == 0
    assert front.exit_code(["report", "--fail-on", "worse"]) == 1
    assert front.exit_code(["report", "--fail-on", "inconclusive"]) == 1
    assert front.exit_code(["gate"]) == 2
    said = capsys.readouterr()
    assert '! gate "fail on worse" failed: lora: Fine-tuning made accuracy worse' in said.out
    assert said.err == (
        'tuneval: nothing to hold the run to: give conditions such as "accuracy >= 0.90", '
        "--fail-on worse, or gates: in its run.yaml.\n"
    )


def fieller(clean: list[float], changed: list[float]) -> tuple[float, float]:
    """The closed form for independent cases: the roots of (y - r x)^2 = t^2 var(y - r x) / n."""
    x, y = np.array(clean), np.array(changed)
    n = len(x)
    t2 = float(stats.t.ppf(0.975, n - 1)) ** 2 / n
    (xx, xy), (_, yy) = np.cov(x, y)
    a, b, c = x.mean() ** 2 - t2 * xx, x.mean() * y.mean() - t2 * xy, y.mean() ** 2 - t2 * yy
    root = math.sqrt(b * b - a * c)
    return (b - root) / a, (b + root) / a


def with_twins(clean: list[float], changed: list[float]) -> RunResult:
    """A run of one adapter and its base, on cases with one changed copy each."""
    cases = [Case(f"c{n}", {"text": str(n)}, ("a",)) for n in range(len(clean))]
    twins = [
        replace(one, id=f"{one.id}~typos:heavy", origin=one.id, perturbation="typos:heavy")
        for one in cases
    ]
    case_set = replace(RUN.case_sets[0], cases=(*cases, *twins))
    lora = next(one for one in RUN.variants if one.kind == "adapter")
    name = lora.recipe or lora.name
    score = next(
        one
        for one in RUN.scores
        if (one.variant, one.metric, one.slice) == (name, "accuracy", "all")
    )
    values = (*clean, *changed)
    return replace(
        RUN,
        case_sets=(case_set,),
        variants=(RUN.variants[0], lora),
        scores=(replace(score, value=float(np.mean(clean)), case_set=case_set.name),),
        case_scores={RUN.variants[0].name: values, lora.name: values},
        primary_metrics={case_set.name: "accuracy"},
        gates=(),
    )


@pytest.mark.parametrize(
    ("n_lost", "limit", "outcome"),
    [(2, "0.9", "passed"), (30, "0.9", "failed"), (14, "90%", "cannot tell"), (30, "60", "passed")],
)
def test_the_share_kept_on_changed_inputs_is_decided_by_its_interval(
    n_lost: int, limit: str, outcome: GateOutcome
) -> None:
    clean = [1.0] * 150 + [0.0] * 10
    changed = [0.0] * n_lost + [1.0] * (150 - n_lost) + [0.0] * 10
    low, high = fieller(clean, changed)
    for subject in ("typos_ratio", "typos:heavy_ratio"):
        (gate,) = hold(with_twins(clean, changed), [f"{subject} >= {limit}"]).gates
        assert gate.outcome == outcome
        assert f"({100 * low:.1f} to {100 * high:.1f}, n=160)" in gate.sentence


def test_a_share_kept_of_what_is_no_mean_cannot_be_told() -> None:
    run = with_twins([1.0] * 40 + [0.0] * 10, [1.0] * 30 + [0.0] * 20)
    other = replace(run, scores=tuple(replace(one, value=0.123) for one in run.scores))
    (gate,) = hold(other, ["typos_ratio >= 0.1"]).gates
    assert gate.outcome == "cannot tell"


def test_a_share_kept_under_changes_that_were_not_made() -> None:
    with pytest.raises(ConfigError, match='there is no "typo" '):
        hold(with_twins([1.0] * 40, [1.0] * 40), ["typo_ratio >= 0.9"])
