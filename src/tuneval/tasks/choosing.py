"""One answer of several: by the likelihood of each, or from a completion, read strictly.

What `classify` and `multiple_choice` have in common. Not for: what the answers are, and how a
completion is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuneval.tasks import options
from tuneval.tasks.likelihood import NORMALIZATIONS, choice_scores, softmax
from tuneval.tasks.parse import problem_of, unparsed
from tuneval.tasks.thinking import INSIDE, Thinking, one_of_thinking, without_thinking
from tuneval.tasks.wording import Examples, Wording, joiner, texts_of, usual_stop
from tuneval.types import Case, Decoding, Prediction, Request, Response


class ChoosingOptions(Protocol):
    """The options of a task that say how an answer is chosen."""

    @property
    def scoring(self) -> str: ...
    @property
    def normalize(self) -> str: ...
    @property
    def few_shot(self) -> Examples: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def stop(self) -> Sequence[str] | None: ...
    @property
    def thinking(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Choosing:
    """How one of several answers is asked for and chosen. ``unused``: warnings of settings that
    change nothing."""

    scoring: str
    normalize: str
    decoding: Decoding
    unused: tuple[str, ...]
    thinking: Thinking = "cut"

    @classmethod
    def of(
        cls, task: str, given: ChoosingOptions, *, scorings: Sequence[str], max_tokens: int
    ) -> Choosing:
        """Check the options; ``max_tokens`` is the longest completion unless they name one.

        Raises
        ------
        ConfigError
            An option is not what it should be.
        """
        scoring = options.one_of(task, "scoring", given.scoring, scorings)
        normalize = options.one_of(task, "normalize", given.normalize, NORMALIZATIONS)
        decoding = options.decoding(
            task,
            max_tokens=max_tokens if given.max_tokens is None else given.max_tokens,
            stop=usual_stop(given.few_shot) if given.stop is None else given.stop,
        )
        unused: tuple[str, ...] = ()
        if scoring != "generate":
            unused = options.unused(task, max_tokens=given.max_tokens, stop=given.stop)
        return cls(scoring, normalize, decoding, unused, one_of_thinking(given.thinking))

    @property
    def is_drawn(self) -> bool:
        """An answer is written, not scored."""
        return self.scoring == "generate"

    def settings(self) -> dict[str, object]:
        """What changes the answers, for signatures."""
        return {
            "scoring": self.scoring,
            "normalize": None if self.is_drawn else self.normalize,
            "decoding": self.decoding if self.is_drawn else None,
            **({} if self.thinking == "cut" else {"thinking": self.thinking}),
        }

    def ask(
        self, case: Case, wording: Wording, words: Sequence[str], labels: Sequence[str] = ()
    ) -> tuple[Request, ...]:
        """One request per answer (``pmi``: a second one without the prompt), or one completion.

        ``labels``: what the words stand for, where they stand for labels.
        """
        texts = texts_of(case)
        if self.is_drawn:
            prompt = wording.prompt_to_complete(case)
            return (
                Request(
                    f"{case.id}#0",
                    case.id,
                    prompt,
                    decoding=self.decoding,
                    texts=texts,
                    tools=wording.tools(case),
                ),
            )
        prompt = wording.prompt(case)
        asked = [(prompt, wording.continuation(case, one)) for one in words]
        if self.normalize == "pmi":
            lead = "" if isinstance(prompt, str) else joiner(prompt[-1].content)
            asked += [("", lead + one) for _, one in asked]
        return tuple(
            Request(
                f"{case.id}#{n}",
                case.id,
                one,
                continuation=continuation,
                texts=texts if n < len(words) else (),
                label=labels[n % len(labels)] if labels else "",
                tools=wording.tools(case) if n < len(words) else "",
            )
            for n, (one, continuation) in enumerate(asked)
        )

    def read(
        self,
        case: Case,
        responses: Sequence[Response],
        answers: Sequence[Answer],
        label_of: Callable[[str], str | None],
    ) -> Prediction:
        """Choose the answer; ties go to the first. ``label_of`` reads a completion."""
        cut = any(response.is_truncated for response in responses)
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=cut)
        if self.is_drawn:
            return self._read_completion(case, responses[0], label_of)
        n = len(answers)
        words = [answer.words for answer in answers]
        scores = choice_scores(responses[:n], words, self.normalize, responses[n:])
        shares = softmax(scores).tolist()
        best = answers[int(scores.argmax())]
        return Prediction(
            case.id,
            text=best.text,
            label=best.label,
            label_probabilities={
                one.label: share for one, share in zip(answers, shares, strict=True)
            },
            is_truncated=cut,
        )

    def _read_completion(
        self, case: Case, response: Response, label_of: Callable[[str], str | None]
    ) -> Prediction:
        drawn = response.completions[0]
        said = without_thinking(drawn.text, mode=self.thinking)
        label = None if said.thinking == "open" else label_of(said.text)
        problem = INSIDE if said.thinking == "open" else unparsed(said.text)
        return Prediction(
            case.id,
            text=said.text.strip(),
            label=label,
            completions=(drawn.text,),
            finish_reasons=(drawn.finish_reason,),
            is_truncated=response.is_truncated,
            problem=None if label is not None else problem,
            thinking=said.thinking,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One that can be chosen. ``words`` is what the model is asked for, ``text`` what they mean."""

    label: str
    words: str
    text: str
