"""What answering took, by variant: questions, tokens read and written, seconds.

Counted over what was answered, remembered answers with what they took when they were given. Not for: the
judge, whose effort and cost are a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tuneval.types import Effort, Request, Response, Variant


@dataclass(slots=True)
class Tally:
    """Adds up laps."""

    _of: dict[str, Effort] = field(default_factory=dict)

    def add(
        self, variant: Variant, asked: Sequence[Request], answers: Mapping[str, Response]
    ) -> None:
        """Count one lap of a variant; a question that was put twice was answered once."""
        distinct = {replace(one, id="", case_id=""): answers[one.id] for one in asked}.values()
        before = self._of.get(variant.name, Effort(variant.name))
        self._of[variant.name] = replace(
            before,
            n_questions=before.n_questions + len(distinct),
            prompt_tokens=before.prompt_tokens + sum(one.prompt_tokens for one in distinct),
            answer_tokens=before.answer_tokens + sum(map(_answer_tokens, distinct)),
            seconds=before.seconds + sum(one.seconds for one in distinct),
        )

    def rows(self, variants: Sequence[Variant]) -> Iterator[Effort]:
        """What was counted, in the order of the variants."""
        yield from (self._of[one.name] for one in variants if one.name in self._of)


def _answer_tokens(one: Response) -> int:
    """Tokens that were drawn, or scored."""
    return sum(drawn.n_tokens for drawn in one.completions) or one.n_tokens
