"""How far answers follow verifiable instructions: whole prompts or single instructions, strict or loose.

What each kind of instruction asks is ``instructions.py``'s matter.

References
----------
Zhou et al. (2023), Instruction-following evaluation for large language models, arXiv:2311.07911, and its
program at google-research/instruction_following_eval.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tuneval.errors import MetricError
from tuneval.metrics import fields
from tuneval.metrics.additive import Floats, ratio, rows
from tuneval.metrics.instructions import follows
from tuneval.types import Case, Prediction, StatisticKind, Unit

KEY = "instructions"
"""Input of a case: one text an instruction, JSON of its kind and its settings."""


def forms(answer: str) -> tuple[str, ...]:
    """The answer as the loose reading has it, too: without its first line, its last, both, and each of
    these without asterisks."""
    lines = answer.split("\n")
    cut = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return (*cut, *(one.replace("*", "") for one in cut))


def verdicts(case: Case, answer: str, *, is_loose: bool) -> list[bool]:
    """For each instruction of the case, whether the answer follows it.

    Raises
    ------
    MetricError
        The case has no instructions, or one of an unknown kind.
    """
    given = case.inputs.get(KEY)
    if not isinstance(given, tuple) or not given:
        raise MetricError(
            f'case "{case.id}" has no reference: it names no instructions that a program could verify.'
        )
    read = forms(answer) if is_loose else (answer,)
    found = []
    for text in given:
        kind, settings = json.loads(text)
        found.append(any(follows(kind, one, settings) for one in read))
    return found


class _Following:
    """Common to all four: what the rows are made of."""

    unit: Unit = "share"
    higher_is_better = True
    uses_labels = False
    needs: tuple[str, ...] = ("text",)
    name: str
    is_loose = False

    def followed(
        self, cases: Sequence[Case], predictions: Sequence[Prediction]
    ) -> list[list[bool]]:
        given = fields.texts(self.name, cases, predictions)
        return [
            verdicts(case, text or "", is_loose=self.is_loose)
            for case, text in zip(cases, given, strict=True)
        ]

    def check(self) -> None:
        """Are the libraries here that some kinds need?"""
        follows("language:response_language", "Is it here?", {"language": "en"})
        follows(
            "length_constraints:number_sentences", "It is.", {"num_sentences": 1, "relation": ""}
        )

    def from_totals(self, totals: Floats) -> Floats:
        """Share of what was followed; nan without any. Shape (..., 2) -> (...)."""
        return ratio(totals[..., 0], totals[..., 1])

    def signature(self) -> str:
        """How an answer is read."""
        return f"reading:{'loose' if self.is_loose else 'strict'}|language:langdetect seed 0"


class PromptStrict(_Following):
    """Share of prompts all of whose instructions are followed.

    References
    ----------
    Zhou et al. (2023), arXiv:2311.07911.
    """

    name = "ifeval_prompt_strict"
    reference = "instruction_following_eval prompt-level strict"
    statistic: StatisticKind = "proportion"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (all followed, 1); an answer that could not be read follows none.

        Raises
        ------
        MetricError
            A case without instructions, or a prediction without text and without problem.
        """
        return rows(((all(one), 1) for one in self.followed(cases, predictions)), 2)


class PromptLoose(PromptStrict):
    """Share of prompts all of whose instructions are followed by a form of the answer (``forms``).

    References
    ----------
    Zhou et al. (2023), arXiv:2311.07911.
    """

    name = "ifeval_prompt_loose"
    reference = "instruction_following_eval prompt-level loose"
    is_loose = True


class InstructionStrict(_Following):
    """Share of instructions that are followed.

    References
    ----------
    Zhou et al. (2023), arXiv:2311.07911.
    """

    name = "ifeval_instruction_strict"
    reference = "instruction_following_eval instruction-level strict"
    statistic: StatisticKind = "corpus"

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (followed, instructions); an answer that could not be read follows none.

        Raises
        ------
        MetricError
            A case without instructions, or a prediction without text and without problem.
        """
        return rows(((sum(one), len(one)) for one in self.followed(cases, predictions)), 2)


class InstructionLoose(InstructionStrict):
    """Share of instructions that are followed by a form of the answer (``forms``).

    References
    ----------
    Zhou et al. (2023), arXiv:2311.07911.
    """

    name = "ifeval_instruction_loose"
    reference = "instruction_following_eval instruction-level loose"
    is_loose = True
