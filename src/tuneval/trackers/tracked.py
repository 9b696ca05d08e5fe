"""What is sent of a run, the same to every tracker: scalars, settings, tables, the report, the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuneval.report import wording
from tuneval.report.escape import well_formed
from tuneval.types import Comparison, Interval, RunResult, Score

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; an undefined number is None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run as trackers take it.

    Attributes
    ----------
    scalars : mapping
        "ARM/METRIC" with "_low" and "_high" behind, and "ARM vs BASELINE/METRIC" for differences; with several
        case sets the name of the set stands before. Numbers of all cases alone.
    verdicts : mapping
        "ARM vs BASELINE" -> decision.
    report : Path
        The HTML report.
    """

    name: str
    run_id: str
    folder: Path
    headline: str
    settings: dict[str, str]
    scalars: dict[str, float]
    verdicts: dict[str, str]
    comparisons: Table
    cases: Table
    report: Path


def tracked(result: RunResult, report: Path) -> Tracked:
    """Gather what is sent of a run."""
    return Tracked(
        name=result.name,
        run_id=result.run_id,
        folder=Path(result.output_dir),
        headline=result.headline,
        settings={
            "tuneval.run_id": result.run_id,
            "tuneval.created": result.created,
            "tuneval.complete": str(result.is_complete).lower(),
            **{f"variant.{one.name}": one.adapter or one.model for one in result.variants},
            **{f"data.{one.name}": one.sha256[:16] or one.source for one in result.case_sets},
            **{f"environment.{key}": value for key, value in result.environment.items()},
        },
        scalars=dict(_scalars(result)),
        verdicts={f"{one.candidate} vs {one.baseline}": one.decision for one in result.verdicts},
        comparisons=_comparisons(result.comparisons),
        cases=_cases(result),
        report=report,
    )


def _scalars(result: RunResult) -> Iterator[tuple[str, float]]:
    several = len(result.case_sets) > 1
    found: list[tuple[Score | Comparison, str, float]] = [
        *((one, one.variant, one.value) for one in result.scores),
        *(
            (one, f"{one.candidate} vs {one.baseline}", one.difference)
            for one in result.comparisons
        ),
    ]
    for one, arm, number in found:
        if one.slice != "all":
            continue
        name = "/".join([*([one.case_set] if several else []), arm, one.metric])
        numbers = {
            name: number,
            f"{name}_low": one.interval.low if one.interval else None,
            f"{name}_high": one.interval.high if one.interval else None,
        }
        for key, value in numbers.items():
            if value is not None and math.isfinite(value):
                yield key, value


def _comparisons(comparisons: Iterable[Comparison]) -> Table:
    return Table(
        (
            *("baseline", "candidate", "case_set", "slice", "metric", "difference", "low", "high"),
            *("p_value", "p_adjusted", "n_cases", "unit", "higher_is_better"),
        ),
        tuple(
            (
                *(one.baseline, one.candidate, one.case_set, one.slice, one.metric),
                _finite(one.difference),
                *_ends(one.interval),
                *(_finite(one.p_value), _finite(one.p_adjusted), one.n_cases, one.unit),
                one.higher_is_better,
            )
            for one in comparisons
        ),
    )


def _cases(result: RunResult) -> Table:
    cases = [(case_set, case) for case_set in result.case_sets for case in case_set.cases]
    rows = (
        (
            case_set.name,
            well_formed(case.id),
            variant,
            well_formed(wording.main_text(case)),
            " | ".join(map(well_formed, case.references)),
            well_formed(prediction.label or prediction.text or ""),
            result.primary_metrics.get(case_set.name),
            _finite(score),
        )
        for variant, predictions in result.predictions.items()
        for (case_set, case), prediction, score in zip(
            cases, predictions, result.case_scores[variant], strict=True
        )
    )
    columns = ("case_set", "case", "variant", "input", "references", "answer", "metric", "score")
    return Table(columns, tuple(rows))


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (_finite(interval.low), _finite(interval.high))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
