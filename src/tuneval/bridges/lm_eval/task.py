"""lm-eval's questions as our requests, and our answers as lm-eval reads them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneval.bridges.lm_eval.metric import row_of
from tuneval.types import Case, Decoding, Prediction, Request, Response

MAX_TOKENS = 256


PLAIN_FILTER = "none"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a task with the requests that lm-eval made of it, in lm-eval's order."""

    task: Any
    doc: Any
    instances: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LmEvalTask:
    """lm-eval's requests as ours, and our responses through its filters and ``process_results``.

    The requests are made once; answers are put into copies, so that no variant sees another's.
    """

    documents: Mapping[str, Document]
    aggregations: Mapping[str, str]
    identity: str
    remarks: tuple[str, ...] = field(default=())

    @property
    def has_probabilities(self) -> bool:
        """lm-eval keeps its own."""
        return False

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request for each of lm-eval's."""
        instances = self.documents[case.id].instances
        return tuple(_request(case.id, n, one) for n, one in enumerate(instances))

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """What lm-eval makes of the answers: the row of every metric."""
        cut = any(one.is_truncated for one in responses)
        problem = next((one.problem for one in responses if one.problem is not None), None)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=cut)
        document = self.documents[case.id]
        try:
            found = measure(document, responses)
            values = {
                name: row_of(self.aggregations[name], value)
                for name, value in found.items()
                if name in self.aggregations
            }
        except Exception as error:  # noqa: BLE001 - code of whoever wrote the task: it may raise anything
            text = " ".join(str(error).split())[:200]
            return Prediction(case.id, problem=f"lm-eval: {type(error).__name__}: {text}")
        return Prediction(
            case.id,
            text=_said(document, responses),
            completions=tuple(c.text for one in responses for c in one.completions),
            values=values,
            finish_reasons=tuple(c.finish_reason for one in responses for c in one.completions),
            is_truncated=cut,
        )

    def signature(self) -> str:
        """The tasks, their versions, shots, and a hash of documents and requests."""
        return self.identity

    def warnings(self) -> tuple[str, ...]:
        """What was left out of lm-eval's own numbers."""
        return self.remarks


def measure(document: Document, responses: Sequence[Response]) -> dict[str, Any]:
    """Run lm-eval's filters and ``process_results`` on the answers to one document.

    Returns metric name (with its filter) -> what lm-eval found.
    """
    copies = []
    for instance, response in zip(document.instances, responses, strict=True):
        own = copy.copy(instance)
        own.resps, own.filtered_resps = _answers(instance, response), {}
        copies.append(own)
    for ensemble in document.task._filters:  # what apply_filters does with all documents at once
        ensemble.apply(copies)
    found: dict[str, Any] = {}
    for filter_ in copies[0].filtered_resps:
        results = [one.filtered_resps[filter_] for one in copies]
        for metric, value in document.task.process_results(document.doc, results).items():
            found[metric_name(metric, filter_)] = value
    return found


def metric_name(metric: str, filter_: str) -> str:
    """As lm-eval prints it: the filter after a comma where there is one."""
    return metric if filter_ == PLAIN_FILTER else f"{metric},{filter_}"


def _request(case_id: str, number: int, instance: Any) -> Request:
    name, arguments = f"{case_id}#{number}", instance.args
    if instance.request_type == "loglikelihood":
        return Request(name, case_id, arguments[0], continuation=arguments[1])
    if instance.request_type == "loglikelihood_rolling":
        return Request(name, case_id, "", continuation=arguments[0])
    return Request(
        name, case_id, arguments[0], decoding=_decoding(arguments[1], instance.repeats or 1)
    )


def _decoding(words: Mapping[str, Any], repeats: int) -> Decoding:
    """lm-eval's words for drawing a completion as ours."""
    until = words.get("until") or []
    temperature = float(words.get("temperature") or 0.0)
    if words.get("do_sample") is False:
        temperature = 0.0
    elif words.get("do_sample") and "temperature" not in words:
        temperature = 1.0
    return Decoding(
        max_tokens=int(words.get("max_gen_toks", MAX_TOKENS)),
        stop=tuple(one for one in ([until] if isinstance(until, str) else until) if one),
        temperature=temperature,
        top_p=float(words.get("top_p", 1.0)) if temperature else 1.0,
        n_completions=repeats if temperature else 1,
    )


def _answers(instance: Any, response: Response) -> list[Any]:
    """The response as lm-eval's models give it: one entry a repeat."""
    repeats = instance.repeats or 1
    if instance.request_type == "loglikelihood":
        return [(response.loglikelihood, bool(response.is_greedy))] * repeats
    if instance.request_type == "loglikelihood_rolling":
        return [response.loglikelihood] * repeats
    texts = [one.text for one in response.completions]
    return texts if len(texts) == repeats else texts * repeats


def _said(document: Document, responses: Sequence[Response]) -> str | None:
    """What the answer amounts to, for the case browser: a text, or the likeliest continuation."""
    if responses[0].completions:
        return responses[0].completions[0].text
    kind = document.task.OUTPUT_TYPE
    if kind != "multiple_choice" or len(responses) < 2:
        return None
    best = max(range(len(responses)), key=lambda n: responses[n].loglikelihood or -math.inf)
    return str(document.instances[best].args[-1]).strip()
