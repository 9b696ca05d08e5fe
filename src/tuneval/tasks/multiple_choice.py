"""One of the case's own choices: by its letter, by its text, or from a completion, read strictly."""

from __future__ import annotations

from collections.abc import Sequence

from tuneval.errors import DataError
from tuneval.tasks import options
from tuneval.tasks.likelihood import NORMALIZATIONS, choice_scores, softmax
from tuneval.tasks.parse import problem_of, read_choice, unparsed
from tuneval.tasks.wording import (
    BETWEEN_TURNS,
    Examples,
    build_wording,
    first_reference,
    joiner,
    letter,
    lettered,
    question_of,
)
from tuneval.types import Case, Prediction, Request, Response

SCORINGS = ("letter", "text", "generate", "likelihood")
MAX_TOKENS = 32
"""Longest completion where answers are drawn, not scored."""
MOST_CHOICES = 26


class MultipleChoice:
    """Ask for one of ``inputs["choices"]``.

    Parameters
    ----------
    scoring : {"letter", "text", "generate"}
        ``letter`` shows the choices and asks for the log-likelihood of each letter (as MMLU is
        asked); ``text`` hides them and asks for that of each choice's own words (as ARC and
        HellaSwag are); ``generate`` draws a completion and reads it strictly. ``likelihood`` is
        another word for ``letter``.
    normalize : {"sum", "per_token", "per_character", "per_byte", "pmi"}
        ``sum`` is lm-eval's acc, ``per_character`` its acc_norm.
    preface : str, optional
        Template of what stands before all examples, e.g. "Questions about {subject}."

    Notes
    -----
    ``Prediction.label`` is the index of the choice as decimal text, as in ``Case.references``.
    """

    def __init__(
        self,
        *,
        template: str | None = None,
        system: str | None = None,
        scoring: str = "letter",
        normalize: str = "sum",
        few_shot: Examples = (),
        max_tokens: int | None = None,
        stop: Sequence[str] | None = None,
        prompt_style: str = "messages",
        preface: str | None = None,
    ) -> None:
        scoring = options.one_of("multiple_choice", "scoring", scoring, SCORINGS)
        self.scoring = "letter" if scoring == "likelihood" else scoring
        self.normalize = options.one_of("multiple_choice", "normalize", normalize, NORMALIZATIONS)
        self.decoding = options.decoding(
            "multiple_choice",
            max_tokens=MAX_TOKENS if max_tokens is None else max_tokens,
            stop=((BETWEEN_TURNS,) if few_shot else ()) if stop is None else stop,
        )
        is_drawn = self.scoring == "generate"
        self.unused = (
            () if is_drawn else options.unused("multiple_choice", max_tokens=max_tokens, stop=stop)
        )
        self.wording = build_wording(
            "multiple_choice",
            question_of if self.scoring == "text" else _with_choices,
            template=template,
            system=system,
            prompt_style=prompt_style,
            few_shot=few_shot,
            preface=preface,
            answer_of=self._shown_answer,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request per choice (``pmi``: a second one without the prompt), or one completion."""
        choices = choices_of(case)
        if self.scoring == "generate":
            prompt = self.wording.prompt_to_complete(case)
            return (Request(f"{case.id}#0", case.id, prompt, decoding=self.decoding),)
        prompt = self.wording.prompt(case)
        asked = [(prompt, self.wording.continuation(case, words)) for words in self._words(choices)]
        if self.normalize == "pmi":
            lead = "" if isinstance(prompt, str) else joiner(prompt[-1].content)
            asked += [("", lead + words) for _, words in asked]
        return tuple(
            Request(f"{case.id}#{n}", case.id, one, continuation=words)
            for n, (one, words) in enumerate(asked)
        )

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Choose the index; ties go to the first choice."""
        cut = any(response.is_truncated for response in responses)
        problem = problem_of(responses)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=cut)
        choices = choices_of(case)
        if self.scoring == "generate":
            return _read_completion(case, choices, responses[0])
        n = len(choices)
        scores = choice_scores(responses[:n], self._words(choices), self.normalize, responses[n:])
        best = int(scores.argmax())
        return Prediction(
            case.id,
            text=choices[best],
            label=str(best),
            label_probabilities={str(k): p for k, p in enumerate(softmax(scores).tolist())},
            is_truncated=cut,
        )

    @property
    def has_probabilities(self) -> bool:
        """Generated answers come without."""
        return self.scoring != "generate"

    def signature(self) -> str:
        """Name every setting that can change the number."""
        is_drawn = self.scoring == "generate"
        return options.sign(
            "multiple_choice",
            {
                "scoring": self.scoring,
                "normalize": None if is_drawn else self.normalize,
                "decoding": self.decoding if is_drawn else None,
                **self.wording.settings(),
            },
        )

    def warnings(self) -> tuple[str, ...]:
        """Say which settings change nothing; choices belong to the cases."""
        return self.unused

    def _words(self, choices: Sequence[str]) -> tuple[str, ...]:
        if self.scoring == "text":
            return tuple(choices)
        return tuple(letter(index) for index in range(len(choices)))

    def _shown_answer(self, case: Case) -> str:
        index = int(first_reference(case))
        return choices_of(case)[index] if self.scoring == "text" else letter(index)


def choices_of(case: Case) -> tuple[str, ...]:
    """Return the choices of a case.

    Raises
    ------
    DataError
        There are none, only one, more than there are letters, or an empty one.
    """
    choices = case.inputs.get("choices")
    if not isinstance(choices, tuple | list) or not 2 <= len(choices) <= MOST_CHOICES:
        found = f"{len(choices)}" if isinstance(choices, tuple | list) else "none"
        raise DataError(
            f'{case.id}: "choices" must hold 2 to {MOST_CHOICES} texts (found {found}).'
        )
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise DataError(f'{case.id}: "choices" holds an empty text.')
    return tuple(choices)


def _with_choices(case: Case) -> str:
    given = case.inputs
    passage = f"{given['context']}\n\n" if given.get("context") else ""
    question = str(given.get("question", given.get("text", ""))).strip()
    return f"{passage}{question}\n{lettered(choices_of(case))}\nAnswer:"


def _read_completion(case: Case, choices: Sequence[str], response: Response) -> Prediction:
    said = response.completions[0]
    index = read_choice(said.text, choices)
    return Prediction(
        case.id,
        text=said.text.strip(),
        label=None if index is None else str(index),
        completions=(said.text,),
        finish_reasons=(said.finish_reason,),
        is_truncated=response.is_truncated,
        problem=None if index is not None else unparsed(said.text),
    )
