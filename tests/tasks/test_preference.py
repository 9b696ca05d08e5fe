"""Chosen and rejected answers: asked after one prompt, read as nats and tokens of both."""

from __future__ import annotations

import pytest

from tuneval.metrics import build as build_metric
from tuneval.tasks import build
from tuneval.types import Case, Response

CASE = Case(
    "t:1", {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea at all."}, ("Because.",)
)


@pytest.mark.parametrize(
    ("chosen", "rejected", "label", "figures"),
    [
        ((-2.0, 2), (-3.0, 6), "chosen", (1.0, 1.0, 0.0, -0.5)),
        ((-4.0, 4), (-3.0, 2), "rejected", (0.0, -1.0, 1.0, 0.5)),
        ((-1.0, 1), (-1.0, 1), "tie", (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_margins(
    chosen: tuple[float, int], rejected: tuple[float, int], label: str, figures: tuple[float, ...]
) -> None:
    task = build("preference")
    requests = task.ask(CASE)
    assert [one.continuation for one in requests] == ["Because.", "No idea at all."]
    assert len({str(one.prompt) for one in requests}) == 1
    answers = [
        Response(one.id, "v", loglikelihood=nats, n_tokens=n)
        for one, (nats, n) in zip(requests, (chosen, rejected), strict=True)
    ]
    read = task.read(CASE, answers)
    assert read.label == label
    names = ("accuracy", "margin", "accuracy_per_token", "margin_per_token")
    found = [build_metric(f"preference_{name}").per_case([CASE], [read])[0] for name in names]
    assert [row[0] for row in found] == list(figures)
    assert [row[1] for row in found] == [1.0] * 4
