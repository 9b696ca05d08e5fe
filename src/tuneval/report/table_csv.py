"""All scores and comparisons in long format, one number a row, for a spreadsheet or pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tuneval.report.escape import csv_cell
from tuneval.types import Comparison, Finding, Interval, RunResult, Score

COLUMNS = (
    "run_id",
    "record",
    "variant",
    "baseline",
    "case_set",
    "metric",
    "slice",
    "value",
    "low",
    "high",
    "confidence",
    "interval_method",
    "unit",
    "higher_is_better",
    "n_cases",
    "standard_deviation",
    "n_training_seeds",
    "p_value",
    "p_adjusted",
    "test",
    "detectable_difference",
    "signature",
    "note",
)


def render(result: RunResult) -> str:
    """Write scores (``record`` is "score"), comparisons ("comparison": value is the difference) and
    findings ("finding": ``metric`` is the check, ``test`` the name of the value, ``note`` the sentence).

    Numbers keep their full precision and stay in the metric's own unit. Text that a spreadsheet
    would take for a formula begins with ``'``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(_safe, _rows(result)))
    return text.getvalue()


def _rows(result: RunResult) -> Iterator[Sequence[object]]:
    for score in result.scores:
        yield result.run_id, "score", *_score(score)
    for comparison in result.comparisons:
        yield result.run_id, "comparison", *_comparison(comparison)
    for finding in result.findings:
        values: Mapping[str, float | None] = finding.values or {"": None}
        for name, value in values.items():
            yield result.run_id, "finding", *_finding(finding, name, value)


def _score(score: Score) -> Iterable[object]:
    return (
        score.variant,
        None,
        score.case_set,
        score.metric,
        score.slice,
        score.value,
        *_interval(score.interval),
        score.unit,
        score.higher_is_better,
        score.n_cases,
        score.standard_deviation,
        len(score.training_seeds) or None,
        None,
        None,
        None,
        None,
        score.signature,
        score.note,
    )


def _comparison(comparison: Comparison) -> Iterable[object]:
    return (
        comparison.candidate,
        comparison.baseline,
        comparison.case_set,
        comparison.metric,
        comparison.slice,
        comparison.difference,
        *_interval(comparison.interval),
        comparison.unit,
        comparison.higher_is_better,
        comparison.n_cases,
        None,
        None,
        comparison.p_value,
        comparison.p_adjusted,
        comparison.test,
        comparison.detectable_difference,
        None,
        comparison.note,
    )


def _finding(finding: Finding, name: str, value: float | None) -> Iterable[object]:
    """One of its values, with the sentence; one row without a value if it has none."""
    return (
        finding.variant,
        None,
        finding.case_set,
        finding.kind,
        finding.subject,
        value,
        *(None,) * 11,
        name,
        None,
        None,
        f"{finding.level}: {finding.sentence}",
    )


def _interval(interval: Interval | None) -> Sequence[object]:
    if interval is None:
        return None, None, None, None
    return interval.low, interval.high, interval.confidence, interval.method


def _safe(row: Iterable[object]) -> list[object]:
    return [csv_cell(cell) if isinstance(cell, str) else cell for cell in row]
