"""One of the case's own choices: by its letter, by its text, or from a completion, read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuneval.errors import DataError
from tuneval.tasks import options
from tuneval.tasks.choosing import Answer, Choosing
from tuneval.tasks.parse import read_choice
from tuneval.tasks.wording import (
    Examples,
    build_wording,
    first_reference,
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

    Notes
    -----
    ``Prediction.label`` is the index of the choice as decimal text, as in ``Case.references``.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

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
        """

        template: str | None = None
        system: str | None = None
        scoring: str = "letter"
        normalize: str = "sum"
        few_shot: Examples = ()
        max_tokens: int | None = None
        stop: Sequence[str] | None = None
        prompt_style: str = "messages"
        preface: str | None = None
        thinking: str = "cut"

    def __init__(self, given: Options) -> None:
        choosing = Choosing.of("multiple_choice", given, scorings=SCORINGS, max_tokens=MAX_TOKENS)
        is_letter = choosing.scoring == "likelihood"
        self.choosing = replace(choosing, scoring="letter") if is_letter else choosing
        self.wording = build_wording(
            "multiple_choice",
            question_of if self.choosing.scoring == "text" else _with_choices,
            given,
            answer_of=self.words_of_reference,
            preface=given.preface,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request per choice (``pmi``: a second one without the prompt), or one completion."""
        return self.choosing.ask(case, self.wording, self._words(choices_of(case)))

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """Choose the index; ties go to the first choice."""
        choices = choices_of(case)
        answers = [
            Answer(str(index), words, choice)
            for index, (words, choice) in enumerate(zip(self._words(choices), choices, strict=True))
        ]
        return self.choosing.read(case, responses, answers, lambda said: _index(said, choices))

    @property
    def has_probabilities(self) -> bool:
        """Generated answers come without."""
        return not self.choosing.is_drawn

    def signature(self) -> str:
        """Name every setting that can change the number."""
        return options.sign(
            "multiple_choice", {**self.choosing.settings(), **self.wording.settings()}
        )

    def warnings(self) -> tuple[str, ...]:
        """Say which settings change nothing; choices belong to the cases."""
        return self.choosing.unused

    def _words(self, choices: Sequence[str]) -> tuple[str, ...]:
        if self.choosing.scoring == "text":
            return tuple(choices)
        return tuple(letter(index) for index in range(len(choices)))

    def words_of_reference(self, case: Case) -> str:
        """What is shown after an example: the right letter, or the words of the right choice."""
        index = int(first_reference(case))
        return choices_of(case)[index] if self.choosing.scoring == "text" else letter(index)


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


def _index(said: str, choices: Sequence[str]) -> str | None:
    index = read_choice(said, choices)
    return None if index is None else str(index)
