"""Which metrics are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuneval.assess.measure import choose_metrics
from tuneval.errors import ConfigError
from tuneval.plan.spec import MetricsSpec
from tuneval.types import Case, CaseSet

CASES = CaseSet(
    name="test",
    source="test.jsonl",
    layout="labelled text",
    task="classify",
    cases=(Case("test:1", {"text": "t"}, ("yes",)),),
    labels=("no", "yes"),
)


def test_options_for_a_metric_that_does_not_run_are_refused() -> None:
    spec = MetricsSpec(
        primary="accuracy", also=("accuracy",), options={"bleu": {"tokenize": "char"}}
    )
    with pytest.raises(ConfigError, match='"bleu" is not among the metrics of this run'):
        choose_metrics(spec, CASES)


def test_a_family_stands_for_its_metrics() -> None:
    cases = replace(CASES, task="generate", labels=None)
    chosen = choose_metrics(MetricsSpec(primary="rouge", also=("rouge", "bleu")), cases)
    assert [one.name for one in chosen] == ["rougeL", "rouge1", "rouge2", "rougeLsum", "bleu"]
