"""How well the model predicts the text, or the reference after its prompt (prompt tokens masked)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuneval.errors import ConfigError
from tuneval.tasks import options
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import Examples, Prompt, build_wording, first_reference, question_of
from tuneval.types import Case, Prediction, Request, Response


class LanguageModel:
    """Ask for the log-likelihood of a text.

    A case without a reference is scored whole, from the beginning-of-sequence token on; template,
    system message and examples do not touch it. A case with a reference is scored on the reference
    alone, after its prompt: completion-only masking, as instruction tuning is trained."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

        Parameters
        ----------
        token_logprobs : bool
            Also keep the log-probability of every scored token.
        stride : int, optional
            A text longer than the context is scored in windows that begin so many tokens apart, so that
            every token sees at least the context less the stride. By default windows do not overlap.
        """

        template: str | None = None
        system: str | None = None
        few_shot: Examples = ()
        token_logprobs: bool = False
        stride: int | None = None
        prompt_style: str = "messages"

    has_probabilities = False

    def __init__(self, given: Options) -> None:
        self.token_logprobs = bool(given.token_logprobs)
        self.stride = given.stride or 0
        if isinstance(self.stride, bool) or not isinstance(self.stride, int) or self.stride < 0:
            raise ConfigError(
                f'task "language_model", option "stride": "{given.stride}" is no number of tokens.'
            )
        self.wording = build_wording(
            "language_model", question_of, given, answer_of=first_reference
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request; none where there is nothing to predict."""
        prompt, scored = self._prompt_and_scored(case)
        if not scored:
            return ()
        return (
            Request(
                f"{case.id}#0",
                case.id,
                prompt,
                continuation=scored,
                with_token_logprobs=self.token_logprobs,
                stride=self.stride,
                tools=self.wording.tools(case) if prompt else "",
            ),
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Sum up nats, tokens and bytes of the scored text."""
        if not responses:
            return Prediction(case.id, problem="empty: there is no text to predict")
        (response,) = responses
        if response.problem is not None:
            return Prediction(
                case.id, problem=problem_of(responses), is_truncated=response.is_truncated
            )
        assert response.loglikelihood is not None, response.request_id
        _, scored = self._prompt_and_scored(case)
        return Prediction(
            case.id,
            nll=-response.loglikelihood,
            n_tokens=response.n_tokens,
            n_bytes=len(scored.encode("utf-8", "surrogatepass")),
            token_logprobs=response.token_logprobs,
            is_truncated=response.is_truncated,
        )

    def signature(self) -> str:
        """Name every setting that can change the number."""
        strided = {"stride": self.stride} if self.stride else {}
        return options.sign("language_model", {**strided, **self.wording.settings()})

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: a likelihood has no reading that could go wrong."""
        return ()

    def _prompt_and_scored(self, case: Case) -> tuple[Prompt, str]:
        text = case.inputs.get("text")
        if not case.references and isinstance(text, str):
            return "", text
        reference = case.references[0] if case.references else ""
        if not reference:
            return "", ""
        return self.wording.prompt(case), self.wording.continuation(case, reference)
