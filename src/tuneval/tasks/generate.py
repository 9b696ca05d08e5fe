"""Free text: what the model writes, with stop strings and limits, left as it is."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.tasks import options
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import BETWEEN_TURNS, build_wording, question_of
from tuneval.types import Case, Prediction, Request, Response


class Generate:
    """Ask for completions.

    Parameters
    ----------
    max_tokens : int
        A completion that reaches it is cut; ``Prediction.finish_reasons`` then says "length".
    stop : sequence of str, optional
        By default an empty line where examples stand before the question, else nothing but the
        model's own end token.
    temperature, top_p, n_completions, sampling_seed
        As in ``Decoding``; temperature 0 is greedy.
    """

    has_probabilities = False

    def __init__(
        self,
        *,
        template: str | None = None,
        system: str | None = None,
        few_shot: Sequence[Case] = (),
        max_tokens: int = 256,
        stop: Sequence[str] | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        n_completions: int = 1,
        sampling_seed: int = 0,
        prompt_style: str = "messages",
    ) -> None:
        self.decoding = options.decoding(
            "generate",
            max_tokens=max_tokens,
            stop=((BETWEEN_TURNS,) if few_shot else ()) if stop is None else stop,
            temperature=temperature,
            top_p=top_p,
            n_completions=n_completions,
            sampling_seed=sampling_seed,
        )
        self.wording = build_wording(
            "generate",
            question_of,
            template=template,
            system=system,
            prompt_style=prompt_style,
            few_shot=few_shot,
            answer_of=lambda case: case.references[0],
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request, whatever the number of completions."""
        prompt = self.wording.prompt_to_complete(case)
        return (Request(f"{case.id}#0", case.id, prompt, decoding=self.decoding),)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Take the first completion as the text; an empty one is an empty text, not a problem."""
        (response,) = responses
        if problem_of(responses) is not None:
            return Prediction(case.id, problem=response.problem, is_truncated=response.is_truncated)
        completions = response.completions
        return Prediction(
            case.id,
            text=completions[0].text.strip(),
            completions=tuple(one.text for one in completions),
            n_tokens=sum(one.n_tokens for one in completions),
            finish_reasons=tuple(one.finish_reason for one in completions),
            is_truncated=response.is_truncated,
        )

    def signature(self) -> str:
        """Name every setting that can change the number."""
        drawn = self.decoding
        return options.sign(
            "generate",
            {
                "max_tokens": drawn.max_tokens,
                "stop": drawn.stop,
                "temperature": drawn.temperature,
                "top_p": drawn.top_p,
                "completions": drawn.n_completions,
                "sampling_seed": drawn.sampling_seed,
                **self.wording.settings(),
            },
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: free text has no reading that could go wrong."""
        return ()
