"""Several labels of one case: a list that the model writes, or each label asked for by itself.

A head over labels, and any answer that is a JSON object with the probability of each label, gives the labels
whose probability reaches a threshold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuneval.errors import ConfigError
from tuneval.tasks import options
from tuneval.tasks.generate import Generate
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import build_wording, question_of
from tuneval.types import Case, Prediction, Request, Response

SCORINGS = ("generate", "likelihood")
_ASK = "~ask"
"""Key in the inputs of a case: the question about one label."""


class Multilabel(Generate):
    """Ask for the labels that fit."""

    name = "multilabel"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(Generate.Options):
        """As of ``Generate``, and:

        Parameters
        ----------
        scoring : {"generate", "likelihood"}
            A list is written; or every label is asked about, and fits where "yes" is likelier than
            "no".
        yes, no : str
            The two words.
        threshold : float
            Of an answer that holds the probability of each label: the least with which one fits.
        """

        labels: Sequence[str] | None = None
        max_tokens: int = 64
        scoring: str = "generate"
        yes: str = "yes"
        no: str = "no"
        threshold: float = 0.5

    def __init__(self, given: Options) -> None:
        super().__init__(given)
        self.labels = tuple(given.labels or ())
        self.scoring = options.one_of(self.name, "scoring", given.scoring, SCORINGS)
        self.words = (given.yes, given.no)
        self.threshold = _checked_threshold(given.threshold)
        if self.scoring == "likelihood" and not self.labels:
            raise ConfigError(
                'task "multilabel": without labels there is none to ask about. Give --labels.'
            )
        if self.scoring == "likelihood" and given.few_shot:
            raise ConfigError(
                'task "multilabel", scoring "likelihood": examples show lists, not yes and no. '
                "Leave --few-shot out, or choose the scoring generate."
            )
        if self.scoring == "likelihood":
            template = given.template and f"{given.template}\n{{{_ASK}}}"
            self.wording = build_wording(
                self.name,
                self.question,
                replace(given, template=template),
                answer_of=self.words_of_reference,
                preface=given.preface,
            )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One completion; or two continuations for each label, yes and no."""
        if self.scoring == "generate":
            (request,) = super().ask(case)
            return (replace(request, labels=self.labels),)
        requests: list[Request] = []
        for label in self.labels:
            asked = _asking(case, f'Does the label "{label}" fit?')
            prompt = self.wording.prompt(asked)
            for word in self.words:
                words = self.wording.continuation(asked, word)
                n = len(requests)
                requests.append(Request(f"{case.id}#{n}", case.id, prompt, continuation=words))
        return tuple(requests)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """The list as it was written; or the labels whose yes is likelier, as a JSON list."""
        if self.scoring == "generate":
            return self._with_likely(super().read(case, responses))
        is_truncated = any(one.is_truncated for one in responses)
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=is_truncated)
        nats = [one.loglikelihood or 0.0 for one in responses]
        chosen = [
            label
            for label, yes, no in zip(self.labels, nats[::2], nats[1::2], strict=True)
            if yes > no
        ]
        return Prediction(
            case.id, text=json.dumps(chosen, ensure_ascii=False), is_truncated=is_truncated
        )

    def _with_likely(self, said: Prediction) -> Prediction:
        """An answer that holds the probability of each label, as the labels that reach the threshold."""
        shares = _shares_in(said.text, self.labels)
        if shares is None:
            return said
        chosen = [label for label in self.labels if shares[label] >= self.threshold]
        return replace(said, text=json.dumps(chosen, ensure_ascii=False))

    def question(self, case: Case) -> str:
        """The text, and what is asked of it."""
        if _ASK in case.inputs:
            return f"{question_of(case)}\n{case.inputs[_ASK]}"
        return question_of(case, "Labels:")

    def words_of_reference(self, case: Case) -> str:
        """The labels after an example, apart by commas."""
        words = super().words_of_reference(case)
        return (", ".join(json.loads(words)) or "none") if words.startswith("[") else words

    def signature(self) -> str:
        """Name every setting that can change the number."""
        if self.scoring == "generate":
            other = "" if self.threshold == 0.5 else f"|threshold:{self.threshold:g}"
            return super().signature() + other
        wording = self.wording.settings()
        return options.sign(self.name, {"scoring": "likelihood", "words": self.words, **wording})


def _checked_threshold(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise ConfigError(
        f'task "multilabel", option "threshold": "{value}" is no probability between 0 and 1.'
    )


def _shares_in(text: str | None, labels: Sequence[str]) -> dict[str, float] | None:
    """The probability of each label, where a text is a JSON object of these and nothing else."""
    if text is None or not labels or not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_whole = isinstance(found, dict) and found.keys() == set(labels)
    if not is_whole or any(
        isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one <= 1
        for one in found.values()
    ):
        return None
    return {label: float(one) for label, one in found.items()}


def _asking(case: Case, ask: str) -> Case:
    """The case with a question about one label at its end."""
    inputs = {**case.inputs, _ASK: ask}
    messages = case.inputs.get("messages")
    if isinstance(messages, tuple) and messages:
        last = replace(messages[-1], content=f"{messages[-1].content}\n{ask}")
        inputs["messages"] = (*messages[:-1], last)
    elif isinstance(case.inputs.get("prompt"), str):
        inputs["prompt"] = f"{case.inputs['prompt']}\n{ask}\n"
    return replace(case, inputs=inputs)
