"""How to ask a case and how to read the answer, side by side: pure functions, no tokenizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tuneval import registry
from tuneval.types import Case, Prediction, Request, Response


class Task(Protocol):
    """Wording and parsing of one kind of question.

    ``ask`` is called once per case; every variant gets the same requests. ``read`` receives the
    responses in the order of the requests; a response with a ``problem`` makes a prediction with
    that problem, never an empty answer. ``warnings`` are sentences for the user about what the
    settings cannot measure fairly. ``has_probabilities``: predictions carry label probabilities.

    A task with many options is made of one record of them, its class's own ``Options``; one with
    few takes them as keywords.
    """

    @property
    def has_probabilities(self) -> bool: ...

    def ask(self, case: Case) -> tuple[Request, ...]: ...
    def read(self, case: Case, responses: Sequence[Response]) -> Prediction: ...
    def signature(self) -> str: ...
    def warnings(self) -> tuple[str, ...]: ...


TASKS = {
    "classify": "tuneval.tasks.classify:Classify",
    "multiple_choice": "tuneval.tasks.multiple_choice:MultipleChoice",
    "complete_code": "tuneval.tasks.complete_code:CompleteCode",
    "generate": "tuneval.tasks.generate:Generate",
    "regression": "tuneval.tasks.regression:Regression",
    "language_model": "tuneval.tasks.language_model:LanguageModel",
    "tag": "tuneval.tasks.tag:Tag",
    "judge": "tuneval.tasks.judge:Judge",
}


def build(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    few_shot: Sequence[Case] | Callable[[Case], Sequence[Case]] = (),
    **options: Any,
) -> Task:
    """Make the task called ``name``; ``labels`` goes to those that have a label set.

    Raises
    ------
    ConfigError
        No such task, no such option (the nearest is offered), or a value that it cannot take.
    """
    from tuneval.tasks.options import refuse_unknown

    kind = registry.load(TASKS, name, room="tasks")
    record = getattr(kind, "Options", None)
    accepted = inspect.signature(record or kind).parameters
    given = {"labels": labels} if "labels" in accepted else {}
    if few_shot:
        refuse_unknown(name, ["few_shot"], list(accepted))
        given["few_shot"] = few_shot  # type: ignore[assignment]
    refuse_unknown(name, options, [one for one in accepted if one not in ("labels", "few_shot")])
    task: Task = kind(record(**given, **options)) if record else kind(**given, **options)
    return task
