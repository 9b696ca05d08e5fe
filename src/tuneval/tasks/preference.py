"""Two answers to one prompt, of which people chose one: how likely the model finds either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuneval.tasks import options
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import Examples, build_wording, first_reference, question_of
from tuneval.types import Case, Prediction, Request, Response

SIDES = ("chosen", "rejected")


class Preference:
    """Ask for the log-likelihood of the chosen and of the rejected answer after the same prompt."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set: the prompt."""

        template: str | None = None
        system: str | None = None
        few_shot: Examples = ()
        prompt_style: str = "messages"

    has_probabilities = False

    def __init__(self, given: Options) -> None:
        self.wording = build_wording("preference", question_of, given, answer_of=first_reference)

    def ask(self, case: Case) -> tuple[Request, ...]:
        """Two requests, the chosen answer first."""
        prompt = self.wording.prompt(case)
        return tuple(
            Request(
                f"{case.id}#{n}",
                case.id,
                prompt,
                continuation=self.wording.continuation(case, str(case.inputs[side])),
                tools=self.wording.tools(case),
            )
            for n, side in enumerate(SIDES)
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Nats and tokens of both, in ``values``; which of them is likelier, as label and text."""
        is_truncated = any(one.is_truncated for one in responses)
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=is_truncated)
        nats = [one.loglikelihood or 0.0 for one in responses]
        tokens = [one.n_tokens for one in responses]
        label = SIDES[0] if nats[0] > nats[1] else SIDES[1] if nats[1] > nats[0] else "tie"
        return Prediction(
            case.id,
            text=str(case.inputs[label]).strip() if label in SIDES else "",
            label=label,
            values={
                side: (own, float(n)) for side, own, n in zip(SIDES, nats, tokens, strict=True)
            },
            is_truncated=is_truncated,
        )

    def signature(self) -> str:
        """Name every setting that can change the number."""
        return options.sign("preference", self.wording.settings())

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: likelihoods have no reading that could go wrong."""
        return ()
