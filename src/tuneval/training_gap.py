"""Scores on the training file beside those on the test file: did the fine-tune learn by heart?

Asks the tuned variants a fixed random sample of the training cases; the arithmetic is
``comparison.overfitting``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuneval.assess import Assessment, Predictions, is_missing
from tuneval.comparison import Settings
from tuneval.comparison.overfitting import FEWEST_TRAINING_CASES, generalisation_gap
from tuneval.config import CasesSpec
from tuneval.data.read import read
from tuneval.data.select import take
from tuneval.errors import DataError
from tuneval.metrics import Metric
from tuneval.types import CaseSet, Measurement, Prediction, Variant

MOST_TRAINING_CASES = 400
"""Enough for a gap of 5 points to show, and cheap beside a test set."""


def read_training_cases(file: str, described: CasesSpec, cases: CaseSet) -> CaseSet:
    """Read a sample of the training file the way the test file was read.

    Raises
    ------
    DataError
        The file cannot be read so, or holds fewer than 200 cases.
    """
    found = read(
        file,
        name=f"{cases.name} (training)",
        columns=described.columns,
        task=cases.task,
        labels=described.labels or cases.labels,
        allow_duplicate_ids=True,
    )
    if len(found.cases) < FEWEST_TRAINING_CASES:
        raise DataError(
            f'training file "{file}" holds {len(found.cases)} cases; the gap between training and '
            f"test scores needs {FEWEST_TRAINING_CASES}. Leave --train-data out, or give all of it."
        )
    return take(found, min(MOST_TRAINING_CASES, len(found.cases)))


def add_gaps(
    found: Assessment,
    training: CaseSet,
    cases: CaseSet,
    metric: Metric,
    variants: Sequence[Variant],
    predictions: Predictions,
    ask: Callable[[Sequence[CaseSet], Sequence[Variant]], dict[str, Predictions]],
    settings: Settings,
) -> None:
    """Ask the tuned variants the training cases and put the gaps among the explored comparisons."""
    # The variant that was asked last is the one whose weights are still there.
    tuned = [variant for variant in reversed(variants) if variant.kind != "base"]
    on_training = ask([training], tuned)[training.name]
    clean = [position for position, case in enumerate(cases.cases) if case.origin is None]
    for variant in reversed(tuned):
        own = predictions[variant.name]
        test = _measure(variant, metric, cases, [own[position] for position in clean], clean)
        train = _measure(
            variant, metric, training, on_training[variant.name], range(len(training.cases))
        )
        found.exploratory.append(
            generalisation_gap(train, test, metric, settings, case_set=cases.name)
        )


def _measure(
    variant: Variant,
    metric: Metric,
    cases: CaseSet,
    predictions: Sequence[Prediction],
    positions: Sequence[int],
) -> Measurement:
    kept = [
        (cases.cases[position], one)
        for position, one in zip(positions, predictions, strict=True)
        if not is_missing(one)
    ]
    chosen = [case for case, _ in kept]
    return Measurement(
        variant.name,
        metric.name,
        tuple(case.id for case in chosen),
        metric.per_case(chosen, [one for _, one in kept]),
    )
