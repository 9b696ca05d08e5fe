"""The same cases under several orders of choices or prompt formats: how far the score moves.

Not for: tests; a range over a few fixed forms is described, not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuneval.comparison.estimate.scoring import checked, value_of
from tuneval.comparison.statistic import Statistic
from tuneval.comparison.wording import scale
from tuneval.types import Measurement


@dataclass(frozen=True, slots=True)
class Spread:
    """Score under each form, in the metric's unit, mean over training seeds.

    ``right_under_all`` is the share of cases that are right under every form (mean over seeds), nan
    for metrics that are not right or wrong.
    """

    values: Mapping[str, float]
    counts: Mapping[str, int]
    mean: float
    right_under_all: float

    @property
    def lowest(self) -> str:
        """Form with the lowest score."""
        return min(self.values, key=lambda form: self.values[form])

    @property
    def highest(self) -> str:
        """Form with the highest score."""
        return max(self.values, key=lambda form: self.values[form])

    @property
    def width(self) -> float:
        """Highest minus lowest score."""
        return self.values[self.highest] - self.values[self.lowest]


def spread(
    measured: Sequence[Measurement],
    metric: Statistic,
    forms: Mapping[str, str],
    owners: Mapping[str, str],
) -> Spread | None:
    """Score the cases form by form.

    Parameters
    ----------
    measured : sequence of Measurement
        One per training seed; originals and copies together.
    forms : mapping
        Case id -> the form it stands in ("A", "capitals"). Cases without one do not count.
    owners : mapping
        Case id -> id of the original (of an original, its own).

    Returns
    -------
    Spread or None
        None where fewer than two forms have a score.
    """
    ids = measured[0].case_ids
    groups: dict[str, list[int]] = {}
    of_case: dict[str, list[int]] = {}
    for n, case_id in enumerate(ids):
        if case_id in forms:
            groups.setdefault(forms[case_id], []).append(n)
            of_case.setdefault(owners[case_id], []).append(n)
    rows = [checked(one) for one in measured]
    values = {
        form: float(np.mean([value_of(metric, one[places]) for one in rows]))
        for form, places in groups.items()
    }
    values = {form: value for form, value in values.items() if np.isfinite(value)}
    if len(values) < 2:
        return None
    every = float("nan")
    if metric.statistic == "proportion":
        every = float(
            np.mean([[one[places, 0].min() for places in of_case.values()] for one in rows])
        )
    return Spread(
        values,
        {form: len(groups[form]) for form in values},
        float(np.mean(list(values.values()))),
        every,
    )


def order_sentence(arm: str, metric: Statistic, found: Spread) -> str:
    """Mean, lowest and share right under all orders of the choices."""
    s = scale(metric.unit)
    every = f"{found.right_under_all:.1%} of the cases are right under every order"
    if found.width == 0:
        return (
            f"{arm}: {metric.name} is {s.plain(found.mean)} wherever the right choice stands; "
            f"{every}."
        )
    return (
        f"{arm}: {metric.name} is {s.plain(found.mean)} over all orders of the choices, between "
        f"{s.plain(found.values[found.lowest])} with the right choice at {found.lowest} and "
        f"{s.plain(found.values[found.highest])} at {found.highest}; "
        f"{every}."
    )


def format_sentence(arm: str, metric: Statistic, found: Spread) -> str:
    """How far the prompt format alone moves the score."""
    s = scale(metric.unit)
    if found.width == 0:
        only = s.plain(found.mean)
        return f"{arm}: {metric.name} is {only} in all {len(found.values)} prompt formats."
    return (
        f"{arm}: over {len(found.values)} prompt formats {metric.name} lies between "
        f"{s.plain(found.values[found.lowest])} ({found.lowest}) and "
        f"{s.plain(found.values[found.highest])} ({found.highest}): a spread of "
        f"{s.plain(found.width)}{s.noun}."
    )
