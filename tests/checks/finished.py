"""A finished run made by hand: answers of arms to cases with groups, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuneval.assess.assess import assess
from tuneval.checks import Ask, Scene
from tuneval.comparison import Settings
from tuneval.metrics import build
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import RunSpec
from tuneval.tasks import build as build_task
from tuneval.types import Case, CaseSet, Prediction, Variant


def case_set(
    references: Sequence[str],
    groups: Sequence[Mapping[str, str]] | None = None,
    clusters: Sequence[str] | None = None,
    *,
    labels: tuple[str, ...] = ("no", "yes"),
    name: str = "test",
    **more: object,
) -> CaseSet:
    return CaseSet(
        name=name,
        source=f"{name}.jsonl",
        layout="labelled",
        task="classify",
        cases=tuple(
            Case(
                f"{name}:{n}",
                {"text": f"text {n}"},
                (reference,),
                groups=groups[n] if groups else {},
                cluster=clusters[n] if clusters else None,
            )
            for n, reference in enumerate(references)
        ),
        labels=labels,
        columns={"input": "text", "reference": "label"},
        **more,  # type: ignore[arg-type]
    )


def variants(n_seeds: int = 1) -> tuple[Variant, ...]:
    """A base and an adapter of so many training seeds."""
    seeds = [
        Variant(
            "lora" if n_seeds == 1 else f"lora-{n}",
            "adapter",
            "base",
            adapter="a",
            recipe=None if n_seeds == 1 else "lora",
        )
        for n in range(n_seeds)
    ]
    return (Variant("base", "base", "base"), *seeds)


def said(cases: CaseSet, answers: Sequence[str | None]) -> list[Prediction]:
    """Labels without probabilities; None is an answer that could not be read."""
    return [
        Prediction(case.id, text=answer, label=answer)
        if answer is not None
        else Prediction(case.id, problem="unparsed: nonsense")
        for case, answer in zip(cases.cases, answers, strict=True)
    ]


def sure(cases: CaseSet, probabilities: Sequence[Mapping[str, float]]) -> list[Prediction]:
    """The most probable label with its probabilities."""
    return [
        Prediction(case.id, label=max(one, key=lambda k: one[k]), label_probabilities=one)
        for case, one in zip(cases.cases, probabilities, strict=True)
    ]


def scene(
    cases: CaseSet,
    predictions: Mapping[str, Sequence[Prediction]],
    *,
    metric: str = "accuracy",
    settings: Settings | None = None,
    ask: Ask | None = None,
    **spec: object,
) -> Scene:
    """What a check is shown; variants are those of the predictions, seeds named "lora-N"."""
    settings = settings or Settings(resamples=300)
    arms = variants(max(1, sum(name.startswith("lora-") for name in predictions)))
    arms = tuple(one for one in arms if one.name in predictions)
    plan = Plan(
        spec=RunSpec.from_dict(
            {
                "variants": [{"name": "base", "model": "base"}],
                "cases": [{"file": cases.source, "task": "classify"}],
                **spec,
            }
        ),
        variants=arms,
        baseline="base",
        case_sets=(cases,),
        logs={},
        folders={},
        notes=(),
    )
    chosen = (build(metric, labels=cases.labels),)
    return Scene(
        plan=plan,
        tasks={cases.name: build_task("classify", labels=cases.labels)},
        metrics={cases.name: chosen},
        settings=settings,
        predictions={cases.name: predictions},
        assessments={cases.name: assess(cases, chosen, predictions, arms, "base", settings)},
        ask=ask,  # type: ignore[arg-type]
    )
