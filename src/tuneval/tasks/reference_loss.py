"""What the reference of a case costs under several wordings at once, in nats.

Not a task of a run: asked by the trial of wordings alone, and so in no table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tuneval.tasks import options
from tuneval.tasks.parse import problem_of
from tuneval.tasks.wording import Prompt, Wording, joiner
from tuneval.types import Case, Prediction, Request, Response


class ReferenceLoss:
    """Ask for the log-likelihood of each case's reference, once per wording.

    ``Prediction.values`` holds, under the number of the wording, nats and tokens of the reference. A
    line break that stands before it belongs to the prompt, and so it did in training: its own cost is
    asked and taken off. (A blank is part of the reference's first token in most vocabularies.)
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
        texts = [
            (wording.prompt(case), wording.continuation(case, words), wording.tools(case))
            for wording in self.wordings
        ]
        broken = [texts[n] for n in self._broken(case)]
        asked = [*texts, *((prompt, said.removesuffix(words), own) for prompt, said, own in broken)]
        return tuple(
            Request(f"{case.id}#{n}", case.id, prompt, continuation=continuation, tools=tools)
            for n, (prompt, continuation, tools) in enumerate(asked)
        )

    def _broken(self, case: Case) -> tuple[int, ...]:
        """Numbers of the wordings that end a line before the reference."""
        words = self.words_of_reference(case)
        return tuple(
            n
            for n, wording in enumerate(self.wordings)
            if "\n" in _between(wording.prompt(case), wording.continuation(case, words), words)
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Keep what each wording made of the reference."""
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem)
        costs = [(-(one.loglikelihood or 0.0), float(one.n_tokens)) for one in responses]
        for n, (nats, tokens) in zip(self._broken(case), costs[len(self.wordings) :], strict=True):
            costs[n] = (max(0.0, costs[n][0] - nats), costs[n][1] - tokens)
        return Prediction(
            case.id, values={str(n): cost for n, cost in enumerate(costs[: len(self.wordings)])}
        )

    def signature(self) -> str:
        """Name every wording."""
        return options.sign(
            "reference_loss", {str(n): one.settings() for n, one in enumerate(self.wordings)}
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing: the trial says what was found."""
        return ()


def _between(prompt: Prompt, continuation: str, words: str) -> str:
    """The white space between a prompt and the words of a reference, where there is no chat
    template."""
    if not isinstance(prompt, str):
        content = prompt[-1].content
        prompt = content + joiner(content)
    before = prompt + continuation.removesuffix(words)
    return before[len(before.rstrip()) :]
