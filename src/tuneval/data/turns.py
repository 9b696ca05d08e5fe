"""Conversations whose every answer counts: one case for each turn of the assistant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from tuneval.data.called import NONE, TASK, calls_of
from tuneval.errors import ConfigError
from tuneval.types import Case, CaseSet, Message

Turns = Literal["last", "all"]


def every_turn(cases: CaseSet) -> CaseSet:
    """Each conversation as one case for each answer of the assistant, after the turns before it as they
    stand in the file; the answers of one conversation are one cluster.

    Raises
    ------
    ConfigError
        The cases are no conversations, or their task is no free answer.
    """
    if cases.layout != "messages" or cases.task not in ("generate", "language_model", TASK):
        raise ConfigError(
            f'{cases.name}: "turns: all" is for conversations whose answers are free text or calls of tools; '
            f"these cases are {cases.layout}, task {cases.task}. Leave it out."
        )
    is_calling = cases.task == TASK
    found = tuple(one for case in cases.cases for one in _turns_of(case, is_calling=is_calling))
    note = (
        f"Every turn of the assistant is a case: {len(found)} of {len(cases.cases)} conversations, "
        "resampled by conversation."
    )
    return replace(cases, cases=found, notes=(*cases.notes, note))


def _turns_of(case: Case, *, is_calling: bool) -> Iterator[Case]:
    turns = case.inputs.get("messages")
    assert isinstance(turns, tuple), case.id
    cluster = case.cluster or case.id
    for n, turn in enumerate(turns):
        if turn.role != "assistant" or not _is_asked(turns[:n]):
            continue
        calls = calls_of(turn)
        # Among free texts, a turn that calls a tool is no answer to the user.
        expected = (calls or NONE) if is_calling else "" if calls else turn.content
        if expected.strip():
            inputs = {**case.inputs, "messages": turns[:n]}
            yield replace(
                case,
                id=f"{case.id}.{n + 1}",
                inputs=inputs,
                references=(expected,),
                cluster=cluster,
            )
    yield replace(case, cluster=cluster)


def _is_asked(before: Sequence[Message]) -> bool:
    return any(turn.role == "user" for turn in before)
