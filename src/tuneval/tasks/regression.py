"""A number: what the model writes, read strictly, or what a head of one output gives."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from tuneval.errors import ConfigError
from tuneval.tasks import options
from tuneval.tasks.parse import problem_of, unpacked, unparsed
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

MAX_TOKENS = 16
"""A number is short; what comes behind it is not read."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")


class Regression:
    """Ask for one number."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """What can be set.

        Parameters
        ----------
        template : str, optional
            User turn with ``{column}`` places; by default the text and "Number:".
        lowest, highest : float, optional
            The scale; a number outside of it was not read.
        stop : sequence of str, optional
            By default a line break.
        """

        template: str | None = None
        system: str | None = None
        few_shot: Examples = ()
        max_tokens: int | None = None
        stop: Sequence[str] | None = None
        lowest: float | None = None
        highest: float | None = None
        prompt_style: str = "messages"
        preface: str | None = None
        thinking: str = "cut"

    has_probabilities = False

    def __init__(self, given: Options) -> None:
        self.lowest, self.highest = _checked_scale(given.lowest, given.highest)
        self.thinking = one_of_thinking(given.thinking)
        usual = usual_stop(given.few_shot) or ("\n",)
        self.decoding = options.decoding(
            "regression",
            max_tokens=MAX_TOKENS if given.max_tokens is None else given.max_tokens,
            stop=usual if given.stop is None else given.stop,
        )
        self.wording = build_wording(
            "regression",
            lambda case: question_of(case, "Number:"),
            given,
            answer_of=first_reference,
            preface=given.preface,
        )

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One completion."""
        prompt = self.wording.prompt_to_complete(case)
        texts = texts_of(case)
        return (Request(f"{case.id}#0", case.id, prompt, decoding=self.decoding, texts=texts),)

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """The number as text, in Python's own spelling; a problem where there is none, or several."""
        (response,) = responses
        if problem_of(responses) is not None:
            return Prediction(case.id, problem=response.problem, is_truncated=response.is_truncated)
        drawn = response.completions[0]
        said = without_thinking(drawn.text, mode=self.thinking)
        value = None if said.thinking == "open" else read_number(said.text)
        if value is not None and not self.lowest <= value <= self.highest:
            value = None
        problem = INSIDE if said.thinking == "open" else unparsed(said.text)
        return Prediction(
            case.id,
            text=None if value is None else repr(value),
            completions=(drawn.text,),
            finish_reasons=(drawn.finish_reason,),
            n_tokens=drawn.n_tokens,
            is_truncated=response.is_truncated,
            problem=None if value is not None else problem,
            thinking=said.thinking,
        )

    def signature(self) -> str:
        """Name every setting that can change the number."""
        return options.sign(
            "regression",
            {
                "max_tokens": self.decoding.max_tokens,
                "stop": self.decoding.stop,
                "scale": (self.lowest, self.highest),
                **self.wording.settings(),
                **({} if self.thinking == "cut" else {"thinking": self.thinking}),
            },
        )

    def warnings(self) -> tuple[str, ...]:
        """Say nothing."""
        return ()


def read_number(text: str) -> float | None:
    """The number that an answer holds; None where it holds none, or several that differ.

    The whole answer is a number, or what stands after its last "answer is", or it holds exactly one
    ("about 3.5 points"). A scale that is named with it ("4 out of 5", "4/5") is not the answer's.
    """
    folded = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").strip()
    for candidate in (folded, unpacked(folded)):
        bare = re.sub(r"\s*(?:/|\bout of\b)\s*[\d.]+\s*$", "", candidate)
        if _NUMBER.fullmatch(bare):
            return _finite(bare)
    bare = re.sub(r"(\d)\s*(?:/|\bout of\b)\s*[\d.]+", r"\1", folded)
    found = {_finite(match) for match in _whole_numbers(bare)}
    return found.pop() if len(found) == 1 else None


def _whole_numbers(text: str) -> list[str]:
    """Numbers that are no part of a word ("v2") or of a longer row of digits and dots ("1.2.3")."""
    return [
        match[0]
        for match in _NUMBER.finditer(text)
        if not re.search(r"[\w.,]$", text[: match.start()])
        and not re.match(r"\w|[.,]\d", text[match.end() :])
    ]


def _finite(text: str) -> float | None:
    value = float(text.replace(",", ""))
    return value if math.isfinite(value) else None


def _checked_scale(lowest: object, highest: object) -> tuple[float, float]:
    ends = []
    for name, value, unset in (("lowest", lowest, -math.inf), ("highest", highest, math.inf)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f'task "regression", option "{name}": "{value}" is no number.')
        ends.append(unset if value is None else float(value))
    if ends[0] >= ends[1]:
        raise ConfigError(f'task "regression": the scale from {ends[0]} to {ends[1]} is empty.')
    return ends[0], ends[1]
