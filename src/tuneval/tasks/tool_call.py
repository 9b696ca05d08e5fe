"""A question and the tools at hand: which are called, and with what; answers are left as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tuneval.tasks.extract import with_schema
from tuneval.tasks.generate import Generate
from tuneval.tasks.wording import TOOLS, question_of
from tuneval.types import Case


class ToolCall(Generate):
    """Ask which tools to call; their descriptions stand in the question.

    A case of turns of its own has them where the chat template of each variant shows tools, unless the
    option ``tools`` says otherwise.
    """

    name = "tool_call"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options(Generate.Options):
        """As of ``Generate``, with room for several calls."""

        max_tokens: int = 512

    def question(self, case: Case) -> str:
        """The tools, then the question; the question alone where the chat template shows the tools."""
        if self.wording.tools(case):
            return question_of(case)
        return with_schema(case, TOOLS, "Tools", "Calls:")

    def words_of_reference(self, case: Case) -> str:
        """The calls after an example; of several values that are accepted, the first."""
        words = super().words_of_reference(case)
        if not words.startswith('{"accepted"'):
            return words
        given = json.loads(words)
        calls = [
            {"name": name, "arguments": {key: _first(one) for key, one in accepted.items()}}
            for name, accepted in given["accepted"]
        ]
        kept = [
            {**one, "arguments": {k: v for k, v in one["arguments"].items() if v != ""}}
            for one in calls
        ]
        return json.dumps(kept, ensure_ascii=False)


def _first(accepted: object) -> object:
    """One value of those that are accepted, inside objects, too; "" where it may be left out alone."""
    if isinstance(accepted, dict):
        return {key: _first(one) for key, one in accepted.items()}
    if isinstance(accepted, list) and accepted:
        named = [one for one in accepted if one != ""]
        return _first(named[0]) if named and isinstance(named[0], dict) else (named or [""])[0]
    return accepted
