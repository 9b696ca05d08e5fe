"""A finished run without models: cases, their twins, made-up answers, and what checks find there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuneval.assess.assess import assess
from tuneval.assess.conclude import adjust, decide
from tuneval.assess.measure import choose_metrics
from tuneval.checks import Check, Scene
from tuneval.comparison import Settings
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import MetricsSpec, RunSpec
from tuneval.types import Case, CaseSet, Finding, Prediction, Variant, Verdict

Answer = Callable[[Variant, Case], str | Prediction]

BASE = Variant("base", "base", "b")
LORA = Variant("lora", "adapter", "b", adapter="a")
SEEDS = tuple(
    Variant(f"lora-{n}", "adapter", "b", adapter=f"a{n}", recipe="lora") for n in (1, 2, 3)
)


@dataclass(frozen=True)
class Found:
    """What a check found, and what the run's verdicts say then."""

    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]
    headline: str
    scene: Scene

    def of(self, variant: str, subject: str) -> Finding:
        """The one finding of an arm about a subject."""
        (one,) = (f for f in self.findings if (f.variant, f.subject) == (variant, subject))
        return one


def case_set(cases: Sequence[Case], task: str = "classify", **more: object) -> CaseSet:
    labels = ("no", "yes") if task == "classify" else None
    return CaseSet("test", "test.jsonl", "table", task, tuple(cases), labels, **more)  # type: ignore[arg-type]


def look(
    check: type[Check],
    cases: CaseSet | Sequence[CaseSet],
    answer: Answer,
    variants: Sequence[Variant] = (BASE, LORA),
    metric: str = "auto",
) -> Found:
    """Answer every case, assess, and let the check look."""
    sets = (cases,) if isinstance(cases, CaseSet) else tuple(cases)
    spec = RunSpec.from_dict(
        {
            "variants": [{"name": one.name, "model": "m"} for one in variants],
            "cases": [{"file": one.source, "name": one.name} for one in sets],
        }
    )
    plan = Plan(spec, tuple(variants), "base", sets, {}, {}, ())
    settings = Settings(resamples=200)
    chosen: dict[str, tuple[Metric, ...]] = {
        one.name: choose_metrics(MetricsSpec(primary=metric, also=()), one)[:1] for one in sets
    }
    predictions = {
        one.name: {
            variant.name: [_read(case, answer(variant, case)) for case in one.cases]
            for variant in variants
        }
        for one in sets
    }
    assessments = {
        one.name: assess(one, chosen[one.name], predictions[one.name], variants, "base", settings)
        for one in sets
    }
    scene = Scene(plan, {}, chosen, settings, predictions, assessments, _ask_nothing)
    begun = check.begin(plan)
    findings = tuple(begun.look(scene)) if begun is not None else ()
    verdicts, headline = decide(
        adjust(assessments.values()),
        variants,
        {name: metrics[0].name for name, metrics in chosen.items()},
        [score for one in assessments.values() for score in one.scores],
        (),
        (),
        findings=findings,
    )
    return Found(findings, verdicts, headline, scene)


def _read(case: Case, said: str | Prediction) -> Prediction:
    return said if isinstance(said, Prediction) else Prediction(case.id, text=said, label=said)


def _ask_nothing(*_: object) -> dict[str, dict[str, list[Prediction]]]:
    raise AssertionError("this check asks nothing more")
