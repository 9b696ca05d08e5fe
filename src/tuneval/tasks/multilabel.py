"""Several labels of one case: a list that the model writes, or each label asked for by itself."""

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
        """

        labels: Sequence[str] | None = None
        max_tokens: int = 64
        scoring: str = "generate"
        yes: str = "yes"
        no: str = "no"

    def __init__(self, given: Options) -> None:
        super().__init__(given)
        self.labels = tuple(given.labels or ())
        self.scoring = options.one_of(self.name, "scoring", given.scoring, SCORINGS)
        self.words = (given.yes, given.no)
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
            return super().ask(case)
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
            return super().read(case, responses)
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
            return super().signature()
        wording = self.wording.settings()
        return options.sign(self.name, {"scoring": "likelihood", "words": self.words, **wording})


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
