"""Counts of reference label by predicted label, and what follows from them for each label.

Not for: averages over labels (classification.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio
from tuneval.types import Case, Prediction


def codes(
    metric: str, cases: Sequence[Case], predictions: Sequence[Prediction], labels: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in ``labels`` of the first reference and of the prediction of each case.

    A prediction that is unparsed, or outside the set, gets ``len(labels)``.

    Raises
    ------
    MetricError
        A reference that is not in the set, or a prediction without label and without problem.
    """
    place = {label: position for position, label in enumerate(labels)}
    if len(place) != len(labels):
        raise MetricError(f'metric "{metric}": the label set names a label twice.')
    expected = []
    for case in cases:
        label = fields.references(metric, case)[0]
        if label not in place:
            raise MetricError(
                f'metric "{metric}": case "{case.id}" has the label "{label}", which is not one '
                f"of the {len(labels)} labels. Add it to the label set, or drop the case."
            )
        expected.append(place[label])
    given = [
        place.get(label, len(labels)) if label is not None else len(labels)
        for label in fields.labels(metric, cases, predictions)
    ]
    return np.array(expected, dtype=np.int64), np.array(given, dtype=np.int64)


def confusion_matrix(
    cases: Sequence[Case], predictions: Sequence[Prediction], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Count cases by reference label and predicted label.

    Returns
    -------
    ndarray of int, shape (n_labels, n_labels + 1)
        Rows: reference labels; columns: predicted labels, then "unparsed" (no label, or none of
        the set).

    Raises
    ------
    MetricError
        A reference that is not in ``labels``, or a prediction without label and without problem.
    """
    n = len(labels)
    expected, given = codes("confusion_matrix", cases, predictions, labels)
    flat = np.bincount(expected * (n + 1) + given, minlength=n * (n + 1))
    return flat.reshape(n, n + 1).astype(np.int64)


def per_class(counts: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each label.

    Parameters
    ----------
    counts : array, shape (n_labels, n_labels + 1)
        From ``confusion_matrix``; a square matrix without the "unparsed" column also does.

    Returns
    -------
    precision, recall, f1 : ndarray, shape (n_labels,), from 0 to 1, best 1
        nan where undefined: precision of a label never predicted, recall of one never expected,
        F1 of one that is neither.
    """
    table = np.asarray(counts, dtype=np.float64)
    right = np.diagonal(table)
    predicted = table[:, : len(table)].sum(axis=0)
    expected = table.sum(axis=1)
    return (
        ratio(right, predicted),
        ratio(right, expected),
        ratio(2 * right, predicted + expected),
    )
