"""How to ask a case and how to read the answer, side by side: pure functions, no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tuneval.types import Case, Prediction, Request, Response


class Task(Protocol):
    """Wording and parsing of one kind of question.

    ``ask`` is called once per case; every variant gets the same requests. ``read`` receives the
    responses in the order of the requests; a response with a ``problem`` makes a prediction with
    that problem, never an empty answer.
    """

    def ask(self, case: Case) -> tuple[Request, ...]: ...
    def read(self, case: Case, responses: Sequence[Response]) -> Prediction: ...
    def signature(self) -> str: ...


TASKS = {
    "classify": "tuneval.tasks.classify:Classify",
    "multiple_choice": "tuneval.tasks.multiple_choice:MultipleChoice",
    "generate": "tuneval.tasks.generate:Generate",
    "language_model": "tuneval.tasks.language_model:LanguageModel",
}
