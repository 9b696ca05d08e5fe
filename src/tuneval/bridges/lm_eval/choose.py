"""Which of a task's metrics can be compared here: those that are functions of sums."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from tuneval.bridges.lm_eval.metric import SUMS
from tuneval.bridges.lm_eval.task import PLAIN_FILTER, Document, measure, metric_name
from tuneval.errors import ConfigError
from tuneval.types import Completion, Response

LOWER_IS_BETTER = ("perplexity", "bits_per_byte", "brier", "loss", "ter", "wer")


def comparable_metrics(
    name: str, documents: Mapping[str, Document]
) -> tuple[dict[str, str], dict[str, bool], list[str]]:
    """Metrics that all tasks have and that are sums: name -> aggregation, and which way is better."""
    firsts: dict[int, Document] = {}
    for one in documents.values():
        firsts.setdefault(id(one.task), one)
    found: list[dict[str, str]] = []
    remarks: list[str] = []
    better: dict[str, bool] = {}
    for document in firsts.values():
        own: dict[str, str] = {}
        for metric, (how, higher) in _named(document).items():
            if how in SUMS:
                own[metric] = how
                better[metric] = higher
            else:
                remarks.append(
                    f'lm_eval:{name}: "{metric}" is left out: its aggregation "{how}" is no function '
                    "of sums over documents, so that it cannot be compared with an interval here."
                )
        found.append(own)
    shared = {
        metric: how
        for metric, how in found[0].items()
        if all(own.get(metric) == how for own in found)
    }
    remarks = list(dict.fromkeys(remarks))
    if not shared:
        reason = "\n".join(remarks) or "Its tasks have no metric in common."
        raise ConfigError(f"lm_eval:{name} has no metric that can be compared here.\n{reason}")
    return shared, better, remarks


def _named(document: Document) -> dict[str, tuple[str, bool]]:
    """Metric -> name of its aggregation and direction, as lm-eval would use them.

    A trial with made-up answers shows the names; where the task's code takes none of those, its
    list of metrics does.
    """
    task = document.task
    filters = [one.name for one in task._filters]
    try:
        names = [tuple(name.partition(",")[::2]) for name in measure(document, _made_up(document))]
    except Exception:  # noqa: BLE001 - made-up answers need not suit code that expects real ones
        names = [
            (metric, "" if filter_ == PLAIN_FILTER else filter_)
            for filter_ in filters
            for metric in task.aggregation()
        ]
    theirs = import_module("lm_eval.api.metrics")
    known = {
        getattr(theirs, function): how
        for how, function in (
            *((one, one) for one in SUMS if one not in ("f1",)),
            ("f1", "f1_score"),
        )
        if hasattr(theirs, function)
    }
    found = {}
    for metric, filter_ in names:
        how = task.aggregation().get(metric, theirs.mean)  # lm-eval's own fallback
        higher = task.higher_is_better().get(metric)
        if higher is None:
            higher = not any(word in metric for word in LOWER_IS_BETTER)
        label = metric_name(metric, filter_ or PLAIN_FILTER)
        found[label] = (known.get(how, getattr(how, "__name__", str(how))), bool(higher))
    return found


def _made_up(document: Document) -> list[Response]:
    return [
        Response("", "nobody", loglikelihood=-1.0, n_tokens=1, is_greedy=False)
        if one.request_type.startswith("loglikelihood")
        else Response("", "nobody", completions=(Completion("0", 1, "stop"),) * (one.repeats or 1))
        for one in document.instances
    ]
