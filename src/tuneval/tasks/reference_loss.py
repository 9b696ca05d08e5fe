"""What the reference of a case costs under several wordings at once, in nats.

Not a task of a run: asked by the trial of wordings alone, and so in no table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuneval.tasks import options
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import Wording
from tuneval.types import Case, Prediction, Request, Response


class ReferenceLoss:
    """Ask for the log-likelihood of each case's reference, once per wording.

    ``Prediction.values`` holds, under the number of the wording, nats and tokens of the reference.
    """

    has_probabilities = False

    def __init__(
        self, wordings: Sequence[Wording], words_of_reference: Callable[[Case], str]
    ) -> None:
        self.wordings = tuple(wordings)
        self.words_of_reference = words_of_reference

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request per wording; the answer is joined as each wording joins it."""
        words = self.words_of_reference(case)
        return tuple(
            Request(
                f"{case.id}#{n}",
                case.id,
                wording.prompt(case),
                continuation=wording.continuation(case, words),
            )
            for n, wording in enumerate(self.wordings)
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Keep what each wording made of the reference."""
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem)
        return Prediction(
            case.id,
            values={
                str(n): (-(one.loglikelihood or 0.0), float(one.n_tokens))
                for n, one in enumerate(responses)
            },
        )

    def signature(self) -> str:
        """Name every wording."""
        return options.sign(
            "reference_loss", {str(n): one.settings() for n, one in enumerate(self.wordings)}
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: the trial says what was found."""
        return ()
