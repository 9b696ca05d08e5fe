"""The training file, read the way the test file was read; shared by the checks that look into it."""

from __future__ import annotations

from tuneval.data.read import read
from tuneval.data.source import load
from tuneval.data.values import columns_of
from tuneval.plan.resolve import Plan
from tuneval.types import CaseSet


def read_training(plan: Plan) -> CaseSet | None:
    """Read ``--train-data``; None if there is none.

    A file beside benchmarks alone, or one that lacks the columns of the test file, is read by its
    own layout. Case ids are "FILE:LINE".

    Raises
    ------
    DataError
        The file cannot be read so.
    """
    file, described, cases = plan.spec.train_data, plan.spec.cases[0], plan.case_sets[0]
    if file is None:
        return None
    if described.benchmark is not None:
        return read(file, allow_duplicate_ids=True)
    present = columns_of(load(file, None, described.split).rows)
    return read(
        file,
        columns=described.columns if {*described.columns.values()} <= {*present} else {},
        template=described.template,
        task=cases.task,
        labels=described.labels or cases.labels,
        allow_duplicate_ids=True,
    )
