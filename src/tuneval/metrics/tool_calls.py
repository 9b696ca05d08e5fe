"""Whether the right tools are called with the right arguments; a call is read and held by ``calls.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, Mean, ratio, rows
from tuneval.metrics.calls import (
    ACCEPTED,
    Call,
    Expected,
    Function,
    expected_of,
    is_same_name,
    match_calls,
    read_calls,
)
from tuneval.types import Case, Prediction, StatisticKind, Unit

KEY = "functions"
"""Input of a case: the descriptions of its tools, as a JSON list."""
_REFERENCE = "BFCL v1, AST categories and relevance"


class _Calls:
    """Common to all: what is expected of a case, and what an answer calls."""

    name: str
    unit: Unit = "share"
    higher_is_better = True
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    reference = _REFERENCE

    def pairs(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> list[tuple[Case, tuple[Expected, ...], tuple[Call, ...]]]:
        """Case, expected calls, calls made; an answer in no known form calls nothing."""
        given = fields.texts(self.name, cases, predictions)
        return [
            (case, *_read(self.name, case, text)) for case, text in zip(cases, given, strict=True)
        ]

    def check(self) -> None:
        """Nothing can be missing."""

    def signature(self) -> str:
        """Whose rules."""
        return "rules:BFCL v1 AST"


class ToolCallAccuracy(_Calls, Mean):
    """Share of answers with all calls that are wanted and no other: names, arguments, types, values.

    References
    ----------
    Patil et al. (2024), the Berkeley function calling leaderboard, version 1.
    """

    name = "tool_call_accuracy"
    statistic: StatisticKind = "proportion"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right, 1); where no tool fits, an answer that calls none is right.

        Raises
        ------
        MetricError
            A reference is no list of calls, or a prediction has neither text nor problem.
        """
        return rows(
            (
                (len(calls) == len(wanted) == match_calls(calls, wanted, functions_of(case)), 1)
                for case, wanted, calls in self.pairs(cases, predictions)
            ),
            2,
        )


class ToolNameAccuracy(_Calls, Mean):
    """Share of answers that call the wanted tools as often as wanted, whatever the arguments.

    References
    ----------
    Patil et al. (2024), the Berkeley function calling leaderboard, version 1: its rule for names.
    """

    name = "tool_name_accuracy"
    statistic: StatisticKind = "proportion"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right, 1). Raises MetricError as ``ToolCallAccuracy`` does."""
        return rows(
            (
                (_have_names(calls, wanted), 1)
                for _, wanted, calls in self.pairs(cases, predictions)
            ),
            2,
        )


class ToolCallF1(_Calls):
    """Harmonic mean of precision and recall over the calls of all answers.

    References
    ----------
    scikit-learn f1_score(average="micro"), a call being right by the rules of BFCL version 1.
    """

    name = "tool_call_f1"
    statistic: StatisticKind = "corpus"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (right, made, wanted). Raises MetricError as ``ToolCallAccuracy`` does."""
        return rows(
            (
                (match_calls(calls, wanted, functions_of(case)), len(calls), len(wanted))
                for case, wanted, calls in self.pairs(cases, predictions)
            ),
            3,
        )

    def from_totals(self, totals: Floats) -> Floats:
        """2 right / (made + wanted); nan without any call. Shape (..., 3) -> (...)."""
        return ratio(2 * totals[..., 0], totals[..., 1] + totals[..., 2])


class NoCallRecall(_Calls, Mean):
    """Share of the cases where no tool fits in which none is called.

    References
    ----------
    Patil et al. (2024), the Berkeley function calling leaderboard, version 1: relevance detection.
    """

    name = "no_call_recall"
    statistic: StatisticKind = "proportion"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (none called, 1), or (0, 0) where a tool is wanted. Raises MetricError as
        ``ToolCallAccuracy`` does."""
        return rows(
            (
                (0, 0) if wanted else (not calls, 1)
                for _, wanted, calls in self.pairs(cases, predictions)
            ),
            2,
        )


def functions_of(case: Case) -> Sequence[Function]:
    """The descriptions of a case's tools; none where it has none.

    Raises
    ------
    MetricError
        They are no JSON list of objects.
    """
    text = case.inputs.get(KEY)
    return _functions(text) if isinstance(text, str) else ()


@lru_cache(maxsize=4096)
def _functions(text: str) -> tuple[Function, ...]:
    try:
        given = json.loads(text)
        every = [
            one.get("function", one) for one in (given if isinstance(given, list) else [given])
        ]
        return tuple(one for one in every if isinstance(one["name"], str))
    except (ValueError, AttributeError, KeyError) as error:
        raise MetricError(
            f"the descriptions of tools are no list of objects with a name: {text[:60]!a}."
        ) from error


def _read(
    metric: str, case: Case, text: str | None
) -> tuple[tuple[Expected, ...], tuple[Call, ...]]:
    reference = fields.references(metric, case)[0]
    try:
        wanted = expected_of(reference)
    except (ValueError, TypeError, AttributeError) as error:
        raise MetricError(
            f'metric "{metric}": the reference of case "{case.id}" is no list of calls '
            f'("{reference[:40]}"): {error}.'
        ) from error
    is_leaderboards = reference.startswith(f'{{"{ACCEPTED}"')
    calls = None if text is None else read_calls(text, is_leaderboards=is_leaderboards)
    return wanted, calls or ()


def _have_names(calls: Sequence[Call], wanted: Sequence[Expected]) -> bool:
    left = [one.name for one in calls]
    for one in wanted:
        same = next((name for name in left if is_same_name(name, one.name)), None)
        if same is None:
            return False
        left.remove(same)
    return not left
