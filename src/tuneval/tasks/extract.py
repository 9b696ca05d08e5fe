"""A text to JSON: what is said in it, in the fields of an object; answers are left as they are."""

from __future__ import annotations

from dataclasses import dataclass

from tuneval.tasks.generate import Generate
from tuneval.tasks.wording import question_of
from tuneval.types import Case


class Extract(Generate):
    """Ask for an object in JSON; the case's schema, where it has one, stands in the question."""

    name = "extract"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(Generate.Options):
        """As of ``Generate``, with room for an object."""

        max_tokens: int = 512

    def question(self, case: Case) -> str:
        """The text, its schema, and the word JSON."""
        return with_schema(case, "schema", "Schema", "JSON:")


def with_schema(case: Case, key: str, heading: str, cue: str) -> str:
    """The question of a case, what stands under ``key`` before its last line, and the cue.

    An instruction or a question says itself what is asked, and takes no cue.
    """
    given = case.inputs.get(key)
    told = f"{heading}: {given}" if isinstance(given, str) and given else ""
    if "text" in case.inputs and "question" not in case.inputs and "instruction" not in case.inputs:
        return question_of(case, "\n".join(part for part in (told, cue) if part))
    return "\n\n".join(part for part in (told, question_of(case)) if part)
