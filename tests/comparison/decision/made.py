"""Comparisons and findings of which the numbers are given, for the tests of what is said of them."""

from __future__ import annotations

from dataclasses import replace

from tuneval.comparison import decide
from tuneval.types import Comparison, Finding, Interval, LearningCurve, TrainingLog, Variant

BASE = Variant("base", "base", "m")
LORA = Variant("lora", "adapter", "m", adapter="a", training_seed=0)
FULL = Variant("full", "full", "m2")
BY_SEEDS = "two-way t over seeds and cases"
NEEDED = {"cases_needed": 3917.0, "cases_needed_equivalence": 2141.0}


def made(
    difference,
    low,
    high,
    *,
    low90=None,
    high90=None,
    p=0.001,
    n=400,
    baseline="base",
    candidate="lora",
    case_set="test",
    unit="share",
    detectable=0.05,
    test="McNemar mid-p",
    **more,
):
    """A comparison in shown units (points for a share)."""
    factor = 100 if unit == "share" else 1
    details = {
        "interval90_low": (low if low90 is None else low90) / factor,
        "interval90_high": (high if high90 is None else high90) / factor,
        "margin": 0.02 if unit == "share" else 2.0,
        **NEEDED,
        **more.pop("details", {}),
    }
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        case_set=case_set,
        metric="accuracy",
        slice="all",
        difference=difference / factor,
        interval=Interval(low / factor, high / factor, 0.95, "agresti-min"),
        p_value=p,
        p_adjusted=p,
        test=test,
        n_cases=n,
        detectable_difference=detectable,
        unit=unit,
        details=details,
        **more,
    )


def gap(value, low90, high90, **more):
    return made(
        value,
        low90 - 1,
        high90 + 1,
        low90=low90,
        high90=high90,
        baseline="lora",
        candidate="full",
        **more,
    )


def decided(*comparisons, **more):
    more.setdefault("variants", [BASE, LORA, FULL])
    more.setdefault("primary_metrics", {c.case_set: "accuracy" for c in comparisons})
    return decide(comparisons=comparisons, **more)


BETTER = made(39.8, 35.1, 44.4)
WORSE = made(-4.2, -7.0, -1.4)
SAME = made(0.1, -0.9, 1.1, low90=-0.7, high90=0.9, p=0.8)
DONT_KNOW = made(2.0, -1.0, 5.0, p=0.2)
LOG = TrainingLog((), (), (10, 20, 30), (1.0, 1.2, 1.5), 10, "trainer_state.json")
RISING = LearningCurve("lora", LOG, "Validation loss rose.", is_overfitted=True)


LEAKED = Finding(
    "contamination", "", "test", "train.jsonl", "warning", "6 of 100 cases leaked.", flag="INVALID"
)


def warned_brittle(name="lora", level="warning"):
    return Finding("robustness", name, "test", "long", level, "is brittle.", flag="BRITTLE")


def forgot(value=-3.0, high=-1.0, p=0.001):
    return made(value, value - 3, high, case_set="mmlu", p=p)


KEPT = made(-0.1, -0.6, 0.4, case_set="mmlu")


def unread_guard():
    """A fine-tune that answers the guard in its own words is no reason to call a run invalid."""
    return made(-30, -40, -20, case_set="mmlu", details={"unparsed_candidate": 0.4})


def forgot_loss(
    base=10.0, tuned=10.6, *, unit="perplexity", metric="perplexity", half=0.3, p_adjusted=0.001
):
    rise = tuned - base
    return replace(
        made(0, -1, 1),
        case_set="wiki",
        metric=metric,
        unit=unit,
        higher_is_better=False,
        difference=rise,
        interval=Interval(rise - half, rise + half, 0.95, "bca"),
        p_adjusted=p_adjusted,
        details={
            "baseline_value": base,
            "candidate_value": tuned,
            "interval90_low": rise - 0.8 * half,
            "interval90_high": rise + 0.8 * half,
        },
    )


def brittle(name="lora", high=-0.02):
    return replace(
        made(-17.7, -20, -15, baseline=name, candidate=name),
        slice="long",
        details={
            "clean": 0.953,
            "perturbed": 0.776,
            "ratio": 0.814,
            "kept_low": -0.12,
            "kept_high": high,
        },
    )
