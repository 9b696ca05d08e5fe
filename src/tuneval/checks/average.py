"""Benchmarks whose whole is several tasks (GLUE): the mean of their scores, with an interval.

The arithmetic is ``comparison.beyond.average``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

from tuneval import metrics
from tuneval.assess.measure import is_missing
from tuneval.checks import Scene
from tuneval.comparison.beyond.average import Average, Task, average_sentence, averages
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet, Finding


@dataclass(frozen=True, slots=True)
class WholeBenchmark:
    """``wholes``: name of a benchmark -> names of the case sets that are its tasks, all of them here."""

    wholes: Mapping[str, tuple[str, ...]]

    @classmethod
    def begin(cls, plan: Plan) -> WholeBenchmark | None:
        """None unless every task of some benchmark is asked."""
        here = {cases.name for cases in plan.case_sets if not cases.is_guard}
        wholes = {
            name.partition(":")[0]: loaded.whole
            for name, loaded in plan.benchmarks.items()
            if loaded.whole and set(loaded.whole) <= here
        }
        return cls(wholes) if wholes else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One finding a benchmark: every variant's mean, and the baseline's beside it."""
        variants = [variant.name for variant in scene.plan.variants]
        for name, parts in self.wholes.items():
            tasks = [self._task(scene, part) for part in parts]
            found = averages(tasks, variants, scene.plan.baseline, scene.settings, name)
            yield _finding(name, found, [task.name for task in tasks])

    def _task(self, scene: Scene, part: str) -> Task:
        cases = next(one for one in scene.plan.case_sets if one.name == part)
        loaded = scene.plan.benchmarks[part]
        built = [
            metrics.build(one, labels=cases.labels, **loaded.metric_options.get(one, {}))
            for one in loaded.averaged
        ]
        own = scene.predictions[part]
        kept = _answered_by_all(cases, own)
        chosen = [cases.cases[place] for place in kept]
        return Task(
            part.partition(":")[2],
            built,
            {
                variant.name: [
                    metric.per_case(chosen, [own[variant.name][place] for place in kept])
                    for metric in built
                ]
                for variant in scene.plan.variants
            },
            [case.cluster for case in chosen],
        )


def _answered_by_all(cases: CaseSet, predictions: Mapping[str, object]) -> list[int]:
    """Cases as they were published that every variant was able to answer."""
    return [
        place
        for place, case in enumerate(cases.cases)
        if case.origin is None and not any(is_missing(own[place]) for own in predictions.values())  # type: ignore[index]
    ]


def _finding(name: str, found: list[Average], tasks: list[str]) -> Finding:
    values = {}
    for one in found:
        values[f"{one.variant}"] = one.value
        values[f"{one.variant}, low"] = one.interval.low
        values[f"{one.variant}, high"] = one.interval.high
        if one.difference is not None and one.difference_interval is not None:
            values[f"{one.variant}, difference"] = one.difference
            values[f"{one.variant}, difference low"] = one.difference_interval.low
            values[f"{one.variant}, difference high"] = one.difference_interval.high
    return Finding(
        kind="average",
        variant="",
        case_set=name,
        subject=f"{len(tasks)} tasks",
        level="note",
        sentence=average_sentence(name.upper(), found, len(tasks)),
        values={key: value for key, value in values.items() if isfinite(value)},
        columns={
            "variant": "text",
            "mean": "share",
            "low": "share",
            "high": "share",
            **dict.fromkeys(tasks, "share"),
        },
        rows=tuple(
            (
                one.variant,
                *(_defined(value) for value in (one.value, one.interval.low, one.interval.high)),
                *(_defined(one.tasks[task]) for task in tasks),
            )
            for one in found
        ),
    )


def _defined(value: float) -> float | None:
    return value if isfinite(value) else None
