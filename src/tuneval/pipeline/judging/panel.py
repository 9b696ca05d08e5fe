"""Several judges of the same answers: the mean of their verdicts, and whether they agree.

Judges are fixed and cases are sampled: an interval says how far the mean of these judges would move with
other cases, and nothing of other judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from tuneval.assess.assess import Assessment
from tuneval.assess.measure import is_missing
from tuneval.comparison import Settings
from tuneval.comparison.estimate.multiplicity import ALPHA
from tuneval.pipeline.judging.judged import NAME, share
from tuneval.tasks.judge import leaning
from tuneval.types import CaseSet, Comparison, Finding, Prediction

CODES = {"baseline": 0, "tie": 1, "candidate": 2}

Told = Mapping[str, Sequence[Prediction]]
"""Variant -> a judge's verdicts, in the order of the cases."""


def mean_of(said: Mapping[str, Prediction]) -> Prediction:
    """One verdict of several judges: the mean of their shares. Where one gave none there is none: the
    mean of other judges would be another quantity."""
    every = list(said.values())
    problems = sorted((one for one in said.items() if one[1].problem), key=_missing_first)
    if problems:
        name, first = problems[0]
        text = str(first.problem)
        told = text if is_missing(first) else f"unparsed: {name}: {text.removeprefix('unparsed: ')}"
        return Prediction(first.case_id, problem=told)
    mean = math.fsum(map(share, every)) / len(every)
    label = leaning(mean)
    return Prediction(
        every[0].case_id,
        text=label,
        label=label,
        label_probabilities={"candidate": mean, "baseline": 1 - mean},
        completions=tuple(f"{name}: {one.label}" for name, one in said.items()),
    )


def _missing_first(named: tuple[str, Prediction]) -> bool:
    return not is_missing(named[1])


def agreement(
    cases: CaseSet, told: Mapping[str, Told], opponent: str, settings: Settings
) -> Finding:
    """Cohen's kappa of every pair of judges and Krippendorff's alpha of all, with bootstrap intervals
    over cases. ``told``: judge -> variant -> verdicts."""
    from tuneval.comparison.beyond import agreement as measured

    names = list(told)
    variants = [name for name in told[names[0]] if name != opponent]
    codes = {
        judge: np.array([[_code(one) for one in own[name]] for name in variants]).T.reshape(-1)
        for judge, own in told.items()
    }

    def per_case(tables: measured.Floats) -> measured.Floats:
        shape = (len(cases.cases), len(variants), *tables.shape[1:])
        return np.asarray(tables.reshape(shape).sum(axis=1))

    rows = []
    for one, other in combinations(names, 2):
        tables = per_case(measured.pair_tables(codes[one], codes[other], len(CODES)))
        total = tables.sum(axis=0)
        kappa = measured.cohen_kappa(total)
        low, high = measured.interval(measured.cohen_kappa, tables, settings.resampling_seed)
        same = float(np.trace(total) / total.sum()) if total.sum() else math.nan
        n = int(total.sum())
        rows.append((f"{one}, {other}", n, *map(_finite, (same, float(kappa), low, high))))
    tables = per_case(measured.coincidences(np.stack(list(codes.values()), axis=1), len(CODES)))
    alpha = float(measured.krippendorff_alpha(tables.sum(axis=0)))
    low, high = measured.interval(measured.krippendorff_alpha, tables, settings.resampling_seed)
    is_defined = math.isfinite(alpha)
    return Finding(
        kind="judges",
        variant="",
        case_set=cases.name,
        subject="agreement of judges",
        level="note",
        sentence=measured.alpha_sentence(len(names), alpha, low, high),
        values={"alpha": alpha, "low": low, "high": high} if is_defined else {},
        columns={
            "judges": "text",
            "verdicts": "count",
            "the same": "share",
            "kappa": "number",
            "low": "number",
            "high": "number",
        },
        rows=tuple(rows),
    )


def _code(verdict: Prediction) -> int:
    return -1 if verdict.problem is not None else CODES[str(verdict.label)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def directions(
    cases: CaseSet, panel: Assessment, each: Mapping[str, Assessment]
) -> Iterator[Finding]:
    """Say of every comparison of the panel where its judges point in different directions.

    A warning needs two judges that each prove the opposite, over all judges and comparisons together
    (Bonferroni): judges of one opinion are called opposed in at most 5% of the runs.
    """
    from tuneval.comparison.beyond.agreement import directions_sentence

    for one in panel.confirmatory:
        own = {judge: _same(found.exploratory, one) for judge, found in each.items()}
        up = [name for name, c in own.items() if c is not None and c.difference > 0]
        down = [name for name, c in own.items() if c is not None and c.difference < 0]
        if not (up and down):
            continue
        level = ALPHA / (len(panel.confirmatory) * len(each))
        proved = {
            name
            for name, c in own.items()
            if c is not None and c.p_value is not None and c.p_value <= level
        }
        is_proved = bool(proved & {*up} and proved & {*down})
        differences = {name: c.difference for name, c in own.items() if c is not None}
        yield Finding(
            kind=NAME,
            variant=one.candidate,
            case_set=cases.name,
            subject=f"{one.candidate} beside {one.baseline}",
            level="warning" if is_proved else "note",
            sentence=directions_sentence(
                one.candidate, one.baseline, differences, is_proved=is_proved
            ),
            values=differences,
        )


def _same(comparisons: Sequence[Comparison], one: Comparison) -> Comparison | None:
    key = (one.baseline, one.candidate, one.metric, one.slice)
    return next(
        (c for c in comparisons if (c.baseline, c.candidate, c.metric, c.slice) == key), None
    )
