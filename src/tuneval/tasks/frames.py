"""Wordings that a fine-tune may have been trained on: what stands before and after a case's own text.

A wording is moved one part at a time (words before, words after, blank or line break, system turn,
chat template), so that a search over few of them reaches any combination. Not for: asking models.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tuneval.tasks.formats import PLACE, with_places
from tuneval.tasks.wording import Wording, fill
from tuneval.types import Case

INPUT_CUES = (
    "Text", "Input", "Question", "Message", "Sentence", "Query", "Request", "Review", "Document",
    "Utterance", "Post", "Prompt", "Passage", "Context", "Instruction", "User",
)  # fmt: skip
ANSWER_CUES = (
    "Label", "Answer", "Output", "Response", "Category", "Class", "Topic", "Intent", "Type",
    "Sentiment", "Assistant", "Summary", "Result", "Prediction", "Completion",
)  # fmt: skip
"""Words that people put before a text and before its answer; the names of the columns come first."""

ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)
ALPACA = ("### Instruction:\n", "\n\n### Response:\n")
TRAINER_PAIRS = (
    ("Question: ", "\nAnswer:"),
    ("Input: ", "\nOutput:"),
    ("Text: ", "\nLabel:"),
    ALPACA,
    (ALPACA_PREAMBLE + ALPACA[0], ALPACA[1]),
    ("### Input:\n", "\n\n### Output:\n"),
    ("### Human: ", "\n### Assistant:"),
    ("Human: ", "\nAssistant:"),
    ("USER: ", " ASSISTANT:"),
    ("Q: ", "\nA:"),
    ("[INST] ", " [/INST]"),
)
"""What trainers and their templates put around a question, where there is no chat template."""

_LETTERED = (
    "{question}\n{choices}\nAnswer:",
    "{context}\n\n{question}\n{choices}\nAnswer:",
    "{text}\n{choices}\nAnswer:",
)
"""What multiple choice asks by itself; its choices stand one below the other, each after its letter."""

SYSTEM_TURNS = (None, "You are a helpful assistant.")
BREAKS = ("\n", "\n\n", " ")
TAILS = ("", "\n")
"""What may stand before the words that ask for the answer, and after them: a tail of nothing means
the joint of the plain template, a blank after ":" and otherwise a line break."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a case's own text. ``is_chat``: sent as messages, through the variant's
    chat template if it has one; else as exactly these characters."""

    before: str
    after: str
    system: str | None = None
    is_chat: bool = True


@dataclass(frozen=True, slots=True)
class Framing:
    """A task's wording taken apart: ``body`` is the template between the first and the last place,
    None where the cases bring their own turns or prompts and only how they are sent can change."""

    wording: Wording
    body: str | None
    start: Frame

    @classmethod
    def of(cls, wording: Wording, cases: Sequence[Case]) -> Framing:
        """Take the wording of these cases apart."""
        style = wording.prompt_style == "messages"
        template = _template_of(wording, cases)
        places = list(PLACE.finditer(template or ""))
        if template is None or not places:
            return cls(wording, None, Frame("", "", wording.system, style))
        start, end = places[0].start(), places[-1].end()
        frame = Frame(template[:start], template[end:], wording.system, style)
        return cls(wording, template[start:end], frame)

    def worded(self, frame: Frame) -> Wording:
        """The wording of a frame; the run's own for the frame that it began with."""
        if frame == self.start:
            return self.wording
        return replace(
            self.wording,
            template=self.wording.template if self.body is None else self.template(frame),
            system=frame.system,
            prompt_style="messages" if frame.is_chat else "text",
        )

    def template(self, frame: Frame) -> str:
        """The template of a frame, with its ``{column}`` places."""
        return f"{frame.before}{self.body or ''}{frame.after}"

    def neighbours(
        self,
        frame: Frame,
        *,
        input_cues: Sequence[str] = (),
        answer_cues: Sequence[str] = (),
        has_chat_template: bool = False,
    ) -> Iterator[Frame]:
        """Frames that differ in one part. ``input_cues``, ``answer_cues``: further words to try
        first, e.g. the names of the columns."""
        if has_chat_template:
            yield replace(frame, is_chat=not frame.is_chat)
            for system in dict.fromkeys((*SYSTEM_TURNS, self.start.system)):
                yield replace(frame, is_chat=True, system=system)
        if self.body is None:
            return
        for before in _befores(frame.before, (*input_cues, *INPUT_CUES)):
            yield replace(frame, before=before)
        for after in _afters(frame.after, (*answer_cues, *ANSWER_CUES)):
            yield replace(frame, after=after)
        yield replace(frame, before="", after="")
        for before, after in TRAINER_PAIRS:
            yield Frame(before, after, None, is_chat=frame.is_chat and not has_chat_template)

    def joined(self, found: Sequence[Frame]) -> Iterator[Frame]:
        """The words before of one frame with the words after of another, of those in one kind of
        prompt."""
        if self.body is None:
            return
        for one in found:
            for other in found:
                if (one.is_chat, one.system) == (other.is_chat, other.system):
                    yield replace(one, after=other.after)

    def flags(self, frame: Frame, *, has_chat_template: bool) -> str:
        """The words of the command line that ask so, ready to paste."""
        words = []
        if self.body is not None:
            spelled = self.template(frame).replace("\n", "\\n")
            words.append(f"--prompt {shlex.quote(spelled)}")
        if has_chat_template:
            words.append(f"--chat-template {'auto' if frame.is_chat else 'off'}")
        if frame.system is not None:
            words.append(f"--system {shlex.quote(frame.system)}")
        return " ".join(words)


def cue_of(column: str) -> str:
    """A column's name as people write it before a text: "intent_name" is "Intent name"."""
    words = re.sub(r"[_\W]+", " ", column).strip()
    return words[:1].upper() + words[1:]


def _template_of(wording: Wording, cases: Sequence[Case]) -> str | None:
    """The one template that gives every case its turn; None where there is none."""
    if wording.template is not None:
        return wording.template
    first = cases[0]
    if any(key in case.inputs for case in cases for key in ("messages", "prompt")):
        return None
    candidates = (*_LETTERED, wording.question(with_places(first)[0]))
    return next((one for one in candidates if _is_wording(one, wording, cases)), None)


def _is_wording(template: str, wording: Wording, cases: Sequence[Case]) -> bool:
    """Does a template give every case the turn that the wording gives it?"""
    return all(
        {place[1:-1] for place in PLACE.findall(template)} <= set(case.inputs)
        and fill(template, case.inputs) == wording.question(case)
        for case in cases
    )


def _befores(now: str, cues: Sequence[str]) -> Iterator[str]:
    yield ""
    for cue in dict.fromkeys(cues):
        yield f"{cue}: "
    if core := now.strip():
        yield f"{core} "
        yield f"{core}\n"


def _afters(now: str, cues: Sequence[str]) -> Iterator[str]:
    core = now.strip()
    lead, tail = now[: len(now) - len(now.lstrip())], now[len(now.rstrip()) :]
    if not core:
        lead, tail = "\n", ""
        yield from ("", "\n", "\n\n")
    for between in dict.fromkeys((lead, *BREAKS[:2])):
        for cue in dict.fromkeys(cues):
            yield f"{between}{cue}:{tail}"
    if core:
        yield ""
        for between in BREAKS:
            yield f"{between}{core}{tail}"
        for end in TAILS:
            yield f"{lead}{core}{end}"
