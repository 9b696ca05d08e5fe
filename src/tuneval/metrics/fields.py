"""What a metric reads from cases and predictions, or the error that says why it cannot.

A prediction with a ``problem`` has no answer. Metrics of answers count it as wrong (an empty text,
no label); metrics of probabilities and likelihoods leave it out (a row of zeros), because no
number would be a fair stand-in. How many there were is the corridor's to report.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.errors import MetricError
from tuneval.types import Case, Prediction

REMEDIES = {
    "label": 'Use a task that reads labels ("classify" or "multiple_choice"), or leave it out.',
    "label_probabilities": (
        "They exist where a task scores labels by likelihood; use that form, or leave it out."
    ),
    "nll": 'Use the task "language_model", or leave it out.',
    "values": 'Use the task "preference", or leave it out.',
    "text": 'Use a task that reads texts ("generate"), or leave it out.',
}


def missing(metric: str, case: Case, field: str) -> MetricError:
    """The error of a prediction that lacks what the metric reads."""
    return MetricError(
        f'metric "{metric}": the prediction of case "{case.id}" has no "{field}". {REMEDIES[field]}'
    )


def references(metric: str, case: Case) -> tuple[str, ...]:
    """The references of a case that must have one."""
    if not case.references:
        raise MetricError(
            f'metric "{metric}": case "{case.id}" has no reference. '
            "Give it one, or leave the metric out."
        )
    return case.references


def texts(
    metric: str, cases: Sequence[Case], predictions: Sequence[Prediction]
) -> list[str | None]:
    """Text of each answer; None where there is none because of a problem."""
    for case, prediction in zip(cases, predictions, strict=True):
        if prediction.text is None and prediction.problem is None:
            raise missing(metric, case, "text")
    return [prediction.text for prediction in predictions]


def encodable(text: str) -> str:
    """The text without half characters (lone surrogates), at which tokenizers fail."""
    return text.encode("utf-8", "replace").decode("utf-8")


def labels(
    metric: str, cases: Sequence[Case], predictions: Sequence[Prediction]
) -> list[str | None]:
    """Label of each answer; None where there is none because of a problem."""
    for case, prediction in zip(cases, predictions, strict=True):
        if prediction.label is None and prediction.problem is None:
            raise missing(metric, case, "label")
    return [prediction.label for prediction in predictions]


def label_set(declared: Sequence[str] | None, cases: Sequence[Case]) -> tuple[str, ...]:
    """The declared labels, else those of the references: numbers by size, then texts by name.

    Predictions have no say, so that the columns are the same for every variant.
    """
    if declared is not None:
        return tuple(declared)
    found = {reference for case in cases for reference in case.references[:1]}
    return tuple(sorted(found, key=lambda label: (not _is_index(label), _number(label), label)))


def _is_index(label: str) -> bool:
    return label.isascii() and label.isdigit()


def _number(label: str) -> int:
    return int(label) if _is_index(label) else 0
