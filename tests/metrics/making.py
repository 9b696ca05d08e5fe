"""Cases and predictions for metric tests, made from short columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from shared import shared_json
from tuneval.types import Case, Prediction

UNPARSED = "<unparsed>"


def made_cases(references: Sequence[str | Sequence[str]], **inputs: Sequence[object]) -> list[Case]:
    """One case for each reference (or tuple of references), a safe question with the instruction to use its
    words."""

    def instruction(reference: str) -> str:
        return json.dumps(["keywords:existence", {"keywords": [re.escape(reference)]}])

    every = [(one,) if isinstance(one, str) else tuple(one) for one in references]
    return [
        Case(
            id=f"test.jsonl:{n}",
            inputs={
                "instructions": tuple(map(instruction, own[:1])),
                **{name: column[n - 1] for name, column in inputs.items()},
            },
            references=own,
            groups={"label": "safe"} if own else {},
        )
        for n, own in enumerate(every, 1)
    ]


def labelled(labels: Sequence[str | None]) -> list[Prediction]:
    """A prediction for each label; None is one that could not be parsed."""
    return [
        Prediction(
            case_id=f"test.jsonl:{n}",
            label=label,
            problem='unparsed: "dunno"' if label is None else None,
        )
        for n, label in enumerate(labels, 1)
    ]


def written(texts: Sequence[str]) -> list[Prediction]:
    """A prediction for each text."""
    return [Prediction(case_id=f"test.jsonl:{n}", text=text) for n, text in enumerate(texts, 1)]


def value(metric, cases, predictions) -> float:
    """The number of a metric, through the door that its kind has."""
    rows = metric.per_case(cases, predictions)
    if metric.statistic == "ranks":
        return metric.from_rows(rows)
    return float(metric.from_totals(rows.sum(axis=0)))


def vector(name: str) -> dict:
    """A case of the shared test vectors: input, expected, tolerance."""
    vectors = shared_json("vectors", "statistics.json")["vectors"]
    return next(one for one in vectors if one["id"] == name)
