"""pass@k: the chance that at least one of k programs drawn for a problem is right.

Runs the programs of predictions through the sandbox room, and only there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tuneval import sandbox
from tuneval.errors import MetricError
from tuneval.sandbox import Examiner, Outcome, Program
from tuneval.types import Case, Prediction, StatisticKind, Unit

Examine = Callable[[Sequence[Program]], Sequence[Outcome]]


class PassAtK:
    """Unbiased estimate of pass@k, mean over problems.

    Parameters
    ----------
    k : int
        At least 1, at most the number of completions of every problem.
    examine : callable, optional
        Programs -> outcomes in the same order; one ``sandbox.Examiner`` for all metrics of a run,
        so that no program runs twice. By default the best sandbox here is probed at first use.

    References
    ----------
    Chen et al. (2021), Evaluating Large Language Models Trained on Code, section 2.1.
    """

    unit: Unit = "share"
    higher_is_better = True
    # With one sample a problem it is right or wrong; estimates in between are averaged as they are.
    statistic: StatisticKind = "proportion"
    uses_labels = False
    needs: tuple[str, ...] = ("completions",)

    def __init__(self, k: int = 1, *, examine: Examine | None = None) -> None:
        if k < 1:
            raise MetricError(f'pass@k: k is "{k}". Choose 1 or more.')
        self.k = k
        self.name = f"pass@{k}"
        self._examine = examine

    def check(self) -> None:
        """Raise SandboxError where no sandbox works, before a model is asked for programs."""
        self._examiner()

    def per_case(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> NDArray[np.float64]:
        """Rows (estimate, 1) for each problem.

        A program that the sandbox itself failed on is no completion: it leaves n. Where fewer than k
        are left, and where a prediction has a problem, the row is (0, 0): no value, not a failure.

        Raises
        ------
        MetricError
            A problem has fewer than k completions, or a case holds no tests; nothing has run then.
        SandboxError
            No working sandbox.
        """
        rows = np.zeros((len(cases), 2))
        for row, outcomes in zip(rows, self.outcomes(cases, predictions), strict=True):
            counted = [outcome for outcome in outcomes if outcome.counts]
            if len(counted) >= self.k:
                n_passed = sum(outcome.is_passed for outcome in counted)
                row[:] = estimate(len(counted), n_passed, self.k), 1
        return rows

    def outcomes(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> list[list[Outcome]]:
        """What came of each completion of each case; empty for a prediction with a problem."""
        programs = [
            [program_of(case, source) for source in prediction.completions]
            for case, prediction in zip(cases, predictions, strict=True)
        ]
        self.refuse_few(cases, [predictions])
        found = iter(self._examiner()([program for drawn in programs for program in drawn]))
        return [[next(found) for _ in drawn] for drawn in programs]

    def refuse_few(
        self, cases: Sequence[Case], predictions: Iterable[Sequence[Prediction]]
    ) -> None:
        """Raise MetricError where a problem has fewer than k completions; nothing runs."""
        for own in predictions:
            for case, prediction in zip(cases, own, strict=True):
                n_drawn = len(prediction.completions)
                if prediction.problem is None and n_drawn < self.k:
                    raise MetricError(
                        f'{self.name}: case "{case.id}" has {n_drawn} completions, fewer than '
                        f"{self.k}. Draw at least {self.k} for each problem, or choose a smaller k."
                    )

    def _examiner(self) -> Examine:
        if self._examine is None:
            self._examine = Examiner(sandbox.probe())
        return self._examine

    def from_totals(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over problems; nan without any. Shape (..., 2) -> (...)."""
        total, count = totals[..., 0], totals[..., 1]
        mean: NDArray[np.float64] = np.divide(
            total, count, out=np.full(np.shape(count), np.nan), where=count != 0
        )
        return mean

    def signature(self) -> str:
        """Estimator, and what of the sandbox can change an outcome."""
        how = self._examine.signature() if isinstance(self._examine, Examiner) else "sandbox:auto"
        return f"k:{self.k}|estimator:unbiased|{how}"


def program_of(case: Case, source: str) -> Program:
    """The program ``source`` with the tests of ``case``.

    Of ``case.inputs`` it reads ``tests`` (tuple of str), ``entry_point``, ``test_kind`` ("function",
    the default, or "assertions"), ``grading`` and ``prompt``.

    Raises
    ------
    MetricError
        The case holds no tests.
    """
    inputs = case.inputs
    tests = inputs.get("tests")
    if not isinstance(tests, tuple) or not tests:
        raise MetricError(
            f'pass@k: case "{case.id}" has no tests. Read problems with '
            "`tuneval.data.code_problems.read_problems`, or give each case `tests`."
        )
    return Program(
        source=source,
        tests=tests,
        entry_point=str(inputs.get("entry_point", "")),
        kind="assertions" if inputs.get("test_kind") == "assertions" else "function",
        prompt=str(inputs.get("prompt", "")),
        grading="inproc" if inputs.get("grading") == "inproc" else "split",
    )


def estimate(n: int, n_passed: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): unbiased for pass@k from n draws of which c passed.

    The plug-in 1 - (1 - c/n)^k is biased low and is not used.
    """
    if n - n_passed < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - n_passed + 1, n + 1)))


def standard_error(rows: NDArray[np.float64]) -> float:
    """Standard error of the mean over problems: sd (n - 1) / sqrt(problems); nan below two.

    It holds both sources of chance, which problems there are and what was drawn for each.
    """
    values = rows[rows[:, 1] > 0, 0]
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def sampling_standard_error(n: Sequence[int], n_passed: Sequence[int]) -> float:
    """The part of the standard error of pass@1 that more completions of the same problems would
    shrink: sqrt(sum p (1 - p) / n) / problems."""
    share = np.asarray(n_passed, float) / np.asarray(n, float)
    return float(np.sqrt(np.sum(share * (1 - share) / np.asarray(n, float))) / len(share))
