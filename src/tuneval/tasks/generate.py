"""Free text: what the model writes, with stop strings and limits, left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tuneval.tasks import options
from tuneval.tasks.parse import fold, problem_of
from tuneval.tasks.thinking import INSIDE, one_of_thinking, without_thinking
from tuneval.tasks.wording import (
    Examples,
    build_wording,
    first_reference,
    question_of,
    texts_of,
    usual_stop,
)
from tuneval.types import Case, Prediction, Request, Response


class Generate:
    """Ask for completions."""

    name: ClassVar[str] = "generate"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

        Parameters
        ----------
        max_tokens : int
            A completion that reaches it is cut; ``Prediction.finish_reasons`` then says "length".
        stop : sequence of str, optional
            By default an empty line where examples stand before the question, else nothing but the
            model's own end token.
        temperature, top_p, n_completions, sampling_seed
            As in ``Decoding``; temperature 0 is greedy.
        preface : str, optional
            Template of what stands before all examples, e.g. "Questions about {subject}."
        no_answer : str, optional
            The words for "there is no answer" ("unanswerable"): read as an empty text, and shown after
            an example that has no reference.
        thinking : {"cut", "keep", "off"}
            What a model thinks aloud before its answer is no part of it, or is.
        tools : {"auto", "template", "text"}
            Where the tools of a case stand: where the chat template shows them, or as text in the prompt.
            Auto: in the template's place for turns of its own, as text for any other case.
        """

        template: str | None = None
        system: str | None = None
        few_shot: Examples = ()
        max_tokens: int = 256
        stop: Sequence[str] | None = None
        temperature: float = 0.0
        top_p: float = 1.0
        n_completions: int = 1
        sampling_seed: int = 0
        prompt_style: str = "messages"
        preface: str | None = None
        no_answer: str | None = None
        thinking: str = "cut"
        tools: str = "auto"

    has_probabilities = False

    def __init__(self, given: Options) -> None:
        self.no_answer = options.text_or_none(self.name, "no_answer", given.no_answer)
        self.thinking = one_of_thinking(given.thinking)
        self.decoding = options.decoding(
            self.name,
            max_tokens=given.max_tokens,
            stop=usual_stop(given.few_shot) if given.stop is None else given.stop,
            temperature=given.temperature,
            top_p=given.top_p,
            n_completions=given.n_completions,
            sampling_seed=given.sampling_seed,
        )
        self.wording = build_wording(
            self.name,
            self.question,
            given,
            answer_of=self.words_of_reference,
            preface=given.preface,
            tools=given.tools,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request, whatever the number of completions."""
        return (
            Request(
                f"{case.id}#0",
                case.id,
                self.wording.prompt_to_complete(case),
                decoding=self.decoding,
                texts=texts_of(case),
                tools=self.wording.tools(case),
            ),
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Read every completion; an empty one is an empty text, not a problem.

        The first that could be read is the text, and with several ``texts`` holds them all.
        """
        (response,) = responses
        if problem_of(responses) is not None:
            return Prediction(case.id, problem=response.problem, is_truncated=response.is_truncated)
        completions = response.completions
        every = [
            without_thinking(one.text, case.references, mode=self.thinking) for one in completions
        ]
        said = next((one for one in every if one.thinking != "open"), every[0])
        texts = [self._read_text(one.text) if one.thinking != "open" else None for one in every]
        return Prediction(
            case.id,
            text=self._read_text(said.text) if said.thinking != "open" else None,
            texts=tuple(texts) if len(texts) > 1 else (),
            thinking=said.thinking,
            problem=INSIDE if said.thinking == "open" else None,
            completions=tuple(one.text for one in completions),
            n_tokens=sum(one.n_tokens for one in completions),
            finish_reasons=tuple(one.finish_reason for one in completions),
            is_truncated=response.is_truncated,
        )

    def signature(self) -> str:
        """Name every setting that can change the number."""
        drawn = self.decoding
        return options.sign(
            self.name,
            {
                "max_tokens": drawn.max_tokens,
                "stop": drawn.stop,
                "temperature": drawn.temperature,
                "top_p": drawn.top_p,
                "completions": drawn.n_completions,
                "sampling_seed": drawn.sampling_seed,
                **self.wording.settings(),
                **({} if self.no_answer is None else {"no_answer": self.no_answer}),
                **({} if self.thinking == "cut" else {"thinking": self.thinking}),
            },
        )

    def _read_text(self, text: str) -> str:
        is_no_answer = self.no_answer is not None and fold(text).rstrip(".") == fold(self.no_answer)
        return "" if is_no_answer else text.strip()

    def question(self, case: Case) -> str:
        """The user's turn of a case without a template."""
        return question_of(case)

    def words_of_reference(self, case: Case) -> str:
        """What the model should say, as it stands after an example."""
        if self.no_answer is not None and not case.references:
            return self.no_answer
        return first_reference(case)

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: free text has no reading that could go wrong."""
        return ()
