"""The training file, read the way the test file was read; shared by the checks that look into it."""

from __future__ import annotations

from tuneval.data.read import read, read_beside
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
    return read_beside(
        file,
        cases,
        columns=described.columns,
        labels=described.labels,
        template=described.template,
        allow_duplicate_ids=True,
    )
