"""Blocks in which a model thinks before it answers: found, cut off, and counted.

What stands inside is no answer: "not 3" in a thought is not the answer 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from tuneval.errors import ConfigError
from tuneval.types import CaseSet

Thinking = Literal["cut", "keep", "off"]
"""``cut``: blocks are no part of the answer; ``keep``: they are; ``off``: cut, and the chat template
is asked to leave thinking out."""
THINKING: tuple[Thinking, ...] = ("cut", "keep", "off")

BLOCKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
"""How a block begins and ends. The end may stand alone, where the prompt began the block."""
BARE_BLOCKS = (
    ("analysis", "assistantfinal"),
    ("Here is my thought process:", "Here is my response:"),
)
"""Words that are a block only where both stand, the first at the very beginning: gpt-oss without its
special tokens, Granite."""
WRAPPERS = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
"""What models put around the answer after a block."""
ENDS = ("<|return|>", "<|end|>", "<|im_end|>", "<|eot_id|>")

INSIDE = "unparsed: the answer ends inside its thinking (cut at the limit)"


class Said(NamedTuple):
    """The answer without its thoughts. ``thinking``: "" (none), "closed", or "open" (it never
    ended, and there is no answer)."""

    text: str
    thinking: Literal["", "closed", "open"] = ""


def one_of_thinking(word: str) -> Thinking:
    """Return ``word`` if it is a way to treat thoughts; raises ConfigError otherwise."""
    for known in THINKING:
        if word == known:
            return known
    raise ConfigError(f'thinking "{word}": choose one of {", ".join(THINKING)}.')


def without_thinking(text: str, references: Sequence[str] = (), *, mode: Thinking = "cut") -> Said:
    """Cut what a model thought before its answer; references that think are a reason to keep it."""
    if mode == "keep" or any(_has_block(one) for one in references):
        return Said(text)
    for start, end in BARE_BLOCKS:
        if text.lstrip().startswith(start) and end in text:
            return Said(_unwrapped(text.rpartition(end)[2]), "closed")
    rest, thinking = text, ""
    for start, end in BLOCKS:
        if start not in rest and end not in rest:
            continue
        thinking = "closed"
        head, found, tail = rest.partition(end)
        if found and start not in head:  # the prompt began the block
            rest = tail
        while start in rest:
            before, _, inside = rest.partition(start)
            _, found, after = inside.partition(end)
            if not found:
                return Said("", "open")
            rest = _only_answer(before) + after
    return Said(_unwrapped(rest), "closed") if thinking else Said(text)


def answers_alone(cases: CaseSet, mode: Thinking = "cut") -> CaseSet:
    """Texts that are expected, without the thoughts before them, as answers are read; a note says so.

    A row of a reasoning data set ends with the thoughts of another model: nobody's answer repeats them.
    """
    if mode == "keep" or cases.task != "generate":
        return cases
    n, kept = 0, []
    for case in cases.cases:
        said = [without_thinking(one) for one in case.references]
        if any(one.thinking == "closed" and one.text.strip() for one in said):
            n += 1
            texts = tuple(
                one.text.strip() if one.thinking == "closed" and one.text.strip() else whole
                for one, whole in zip(said, case.references, strict=True)
            )
            case = replace(case, references=texts)  # noqa: PLW2901
        kept.append(case)
    if not n:
        return cases
    note = (
        f"Thoughts are cut from {n} of {len(cases.cases)} references, as they are from answers "
        "(--thinking keep compares them, too)."
    )
    return replace(cases, cases=tuple(kept), notes=(*cases.notes, note))


def _has_block(text: str) -> bool:
    return any(start in text for start, _ in BLOCKS)


def _only_answer(before: str) -> str:
    """What stands before a block, unless it is the frame of a turn."""
    return "" if before.strip() in ("", "<|start|>assistant") else before


def _unwrapped(text: str) -> str:
    text = text.strip()
    for end in ENDS:
        text = text.removesuffix(end).rstrip()
    for start, end in WRAPPERS:
        if text.startswith(start) and text.endswith(end):
            return text.removeprefix(start).removesuffix(end).strip()
    return text
