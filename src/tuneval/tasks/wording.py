"""Case -> prompt: templates, default wording, examples before the question, the plain rendering.

Not for: chat templates and tokens, which belong to each variant and are applied by the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from tuneval.errors import ConfigError
from tuneval.tasks.formats import format_of, restyled, with_places
from tuneval.tasks.options import one_of, text_or_none
from tuneval.types import COLUMN_NAMES, OWN, Case, Message

Prompt = str | tuple[Message, ...]
Examples = Sequence[Case] | Callable[[Case], Sequence[Case]]
"""Cases shown before every question, or a rule that gives those of one question."""

WORDING_VERSION = 1
"""Stands in every signature; raised when the same options begin to give other prompts."""

PROMPT_STYLES = ("messages", "text")
TOOL_PLACES = ("auto", "template", "text")
"""Where the tools of a case stand: where the chat template shows them, or as text in the prompt. Auto: the
template's place for a case of turns of its own, which were trained so; text for any other."""
TOOLS = "functions"
"""Input of a case: the descriptions of its tools, as a JSON list."""
BETWEEN_TURNS = "\n\n"
_PLACE = re.compile(r"\{([^{}\n]+)\}")
SENTENCE = "!sentence"
_NAME = re.compile(r"[^\W\d][\w.-]*")


def joiner(content: str) -> str:
    """Return what stands between a question and its answer where there is no chat template.

    Nothing after white space, a space after a colon, otherwise a new line: the rule of the engine's
    plain template, so that a text prompt and a message prompt read the same.
    """
    if not content or content[-1].isspace():
        return ""
    return " " if content.endswith(":") else "\n"


def fill(template: str, inputs: Mapping[str, object]) -> str:
    """Replace each ``{column}`` by the case's own value, once and literally.

    ``{column!sentence}`` is the value without outer blanks and with a full stop, where it has none.
    Braces around anything that is neither a column nor a name (JSON, code) stay as they are, and
    braces inside a value are never looked at.

    Raises
    ------
    ConfigError
        The template names a column that the case does not have, or one that is no text.
    """

    def value_of(place: re.Match[str]) -> str:
        name = place[1]
        key = _key_of(name, inputs)
        if key in inputs:
            return _as_text(name, inputs[key])
        bare = name.removesuffix(SENTENCE)
        if bare != name and (key := _key_of(bare, inputs)) in inputs:
            return _as_sentence(_as_text(bare, inputs[key]))
        if _NAME.fullmatch(name):
            raise ConfigError(
                f'template: there is no column "{name}" (there are: {_columns(inputs)}).'
            )
        return place[0]

    return _PLACE.sub(value_of, template)


def _key_of(name: str, inputs: Mapping[str, object]) -> str:
    """The key under which a column stands: its own name, or the standard one that it came under."""
    if name in inputs:
        return name
    names = inputs.get(COLUMN_NAMES)
    key = names.get(name) if isinstance(names, Mapping) else None
    return str(key) if key is not None else f"{OWN}{name}"


def _as_sentence(text: str) -> str:
    bare = text.strip()
    return bare if bare.endswith(".") else f"{bare}."


def _as_text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(one, str) for one in value):
        return lettered(value)
    raise ConfigError(f'template: column "{name}" is no text and cannot stand in a prompt.')


def _columns(inputs: Mapping[str, object]) -> str:
    named = inputs.get(COLUMN_NAMES)
    own = [name.removeprefix(OWN) for name in inputs if name != COLUMN_NAMES]
    names = [*own, *(named if isinstance(named, Mapping) else ())]
    return ", ".join(f'"{name}"' for name in names) or "none"


def letter(index: int) -> str:
    """Return the letter of a choice: 0 is A."""
    return chr(ord("A") + index)


def lettered(choices: Sequence[str]) -> str:
    """Return the choices one below the other, each after its letter."""
    return "\n".join(f"{letter(index)}. {choice}" for index, choice in enumerate(choices))


def question_of(case: Case, cue: str = "") -> str:
    """Word the user's turn of a case without a template, by the columns that it has.

    Parameters
    ----------
    cue : str
        Last line after a plain ``text``, e.g. "Label:".

    Raises
    ------
    ConfigError
        None of the known columns is there.
    """
    given = case.inputs
    if "instruction" in given:
        return "\n".join(str(given[key]) for key in ("instruction", "input") if given.get(key))
    passage = f"{given['context']}\n\n" if given.get("context") else ""
    if "question" in given:
        return f"{passage}Question: {given['question']}\nAnswer:"
    if "article" in given:
        return f"{given['article']}\n\nSummary:"
    if "text" in given:
        return f"{passage}{given['text']}" + (f"\n{cue}" if cue else "")
    raise ConfigError(
        f"{case.id}: no wording is known for the columns {_columns(given)}.\nGive a template, e.g. "
        '--prompt "{column}\\nAnswer:".'
    )


def texts_of(case: Case) -> tuple[str, ...]:
    """The bare texts of a case, for a head that is no language model: one, or a pair in its usual order.

    A question stands before its passage, as in the scripts of GLUE and SQuAD; of two texts whose relation
    is asked, the first column is the first. Of turns, the user's own words.
    """
    given = case.inputs
    passage = (str(given["context"]),) if given.get("context") else ()
    if "instruction" in given:
        parts = (str(given[key]) for key in ("instruction", "input") if given.get(key))
        return ("\n".join(parts),)
    if "question" in given:
        return (str(given["question"]), *passage)
    if "text" in given:
        return (*passage, str(given["text"]))
    for key in ("article", "prompt"):
        if isinstance(given.get(key), str):
            return (str(given[key]),)
    turns = given.get("messages")
    if isinstance(turns, tuple):
        return ("\n".join(turn.content for turn in turns if turn.role == "user"),)
    return ()


@dataclass(frozen=True, slots=True)
class Wording:
    """How the cases of one task become prompts.

    ``question`` words a case that has neither messages nor an exact prompt and for which the user
    gave no template. ``examples`` are cases with the answer to show after each, in order;
    ``examples_of`` gives those of one case instead. ``preface`` is a template, filled from the case,
    of what stands before all examples.
    """

    question: Callable[[Case], str]
    template: str | None = None
    system: str | None = None
    prompt_style: str = "messages"
    examples: tuple[tuple[Case, str], ...] = ()
    preface: str | None = None
    examples_of: Callable[[Case], tuple[tuple[Case, str], ...]] | None = None
    tools_in: str = "auto"

    def tools(self, case: Case) -> str:
        """What the chat template is to show of tools; "" where there are none, or they stand as text."""
        return _undescribed_tools(case) if self._is_template_to_show(case) else ""

    def _is_template_to_show(self, case: Case) -> bool:
        if self.prompt_style != "messages" or self.is_exact(case):
            return False
        if self.tools_in == "auto":
            return self.template is None and "messages" in case.inputs
        return self.tools_in == "template"

    def is_exact(self, case: Case) -> bool:
        """Whether the case brings the exact characters of its prompt (TRL prompt/completion)."""
        return self.template is None and isinstance(case.inputs.get("prompt"), str)

    def prompt(self, case: Case) -> Prompt:
        """Return the prompt, without the place of the answer."""
        if self.is_exact(case):
            return self._before_exact(case) + str(case.inputs["prompt"])
        turns = self._turns(case)
        return turns if self.prompt_style == "messages" else render(turns)

    def prompt_to_complete(self, case: Case) -> Prompt:
        """Return the prompt that a completion is drawn after.

        A final new line is part of it; a final space is not, because tokenizers join a space to the
        word that follows it.
        """
        prompt = self.prompt(case)
        if isinstance(prompt, str) and not self.is_exact(case) and joiner(prompt) == "\n":
            return prompt + "\n"
        return prompt

    def continuation(self, case: Case, answer: str) -> str:
        """Return ``answer`` as it continues ``prompt(case)``.

        After messages the engine joins. After a text the joint is part of the continuation: white
        space as in the case's own ``completion`` for an exact prompt, the joiner otherwise.
        """
        if self.is_exact(case):
            return _own_space(case, answer) + answer
        if self.prompt_style == "messages":
            return answer
        return joiner(_last_content(self._turns(case))) + answer

    def settings(self) -> dict[str, object]:
        """What changes the prompts, for signatures."""
        shown = tuple(self._example_text(case, answer) for case, answer in self.examples)
        settings: dict[str, object] = {
            "wording": WORDING_VERSION,
            "template": self.template,
            "system": self.system,
            "style": self.prompt_style,
            "few_shot": shown if self.examples_of is None else "of_each_case",
        }
        if self.tools_in != "auto":
            settings["tools"] = self.tools_in
        return settings if self.preface is None else {**settings, "preface": self.preface}

    def _turns(self, case: Case) -> tuple[Message, ...]:
        own = self._own_turns(case)
        told = tuple(turn for turn in own if turn.role == "system")
        if self.system is not None:
            told = (Message("system", self.system),)
        if self.preface is not None:
            # One message: some chat templates take a second one of the system for an error.
            parts = [*(turn.content for turn in told), fill(self.preface, case.inputs)]
            told = (Message("system", BETWEEN_TURNS.join(parts)),)
        if tools := self._tools_as_text(case):
            parts = [*(turn.content for turn in told), f"Tools: {tools}"]
            told = (Message("system", BETWEEN_TURNS.join(parts)),)
        shown: list[Message] = []
        for example, answer in self._shown_to(case):
            turns = self._own_turns(example, format_of(case))
            shown += (turn for turn in turns if turn.role != "system")
            shown.append(Message("assistant", answer))
        return (*told, *shown, *(turn for turn in own if turn.role != "system"))

    def _tools_as_text(self, case: Case) -> str:
        """The tools of a case of turns of its own; a question that is worded here has them in its words."""
        is_worded = self.template is not None or "messages" not in case.inputs
        return "" if is_worded or self._is_template_to_show(case) else _undescribed_tools(case)

    def _own_turns(self, case: Case, style: str | None = None) -> tuple[Message, ...]:
        return (*self._turns_before(case), *self._question_turns(case, style))

    def _turns_before(self, case: Case) -> tuple[Message, ...]:
        """The word of the system and the earlier turns that a row has in columns of their own."""
        given = case.inputs
        if "messages" in given:
            return ()
        named = [_key_of(name, given) for name in _PLACE.findall(self.template or "")]
        history = given.get("history")
        earlier = history if isinstance(history, tuple) else ()
        if "system" in given and "system" not in named:
            earlier = (Message("system", str(given["system"])), *earlier)
        return earlier

    def _question_turns(self, case: Case, style: str | None) -> tuple[Message, ...]:
        style = style or format_of(case)
        if style is not None:
            return self._restyled_turns(case, style)
        if self.template is not None:
            return (_asked(case, fill(self.template, case.inputs)),)
        messages = case.inputs.get("messages")
        if isinstance(messages, tuple) and messages:
            return messages
        if self.is_exact(case):
            return (Message("user", str(case.inputs["prompt"])),)
        return (_asked(case, self.question(case)),)

    def _shown_to(self, case: Case) -> tuple[tuple[Case, str], ...]:
        return self.examples if self.examples_of is None else self.examples_of(case)

    def _restyled_turns(self, case: Case, style: str) -> tuple[Message, ...]:
        """The turns in another prompt format; of a chat only its last turn is worded anew."""
        messages = case.inputs.get("messages")
        if self.template is None and isinstance(messages, tuple) and messages:
            last = fill(restyled("{turn}", style), {"turn": messages[-1].content})
            return (*messages[:-1], replace(messages[-1], content=last))
        model, values = with_places(case)
        template = self.question(model) if self.template is None else self.template
        return (_asked(case, fill(restyled(template, style), {**case.inputs, **values})),)

    def _before_exact(self, case: Case) -> str:
        told = [] if self.system is None else [self.system]
        if self.preface is not None:
            told.append(fill(self.preface, case.inputs))
        shown = [self._example_text(one, answer) for one, answer in self._shown_to(case)]
        return "".join(part + BETWEEN_TURNS for part in (*told, *shown))

    def _example_text(self, case: Case, answer: str) -> str:
        if self.is_exact(case):
            return f"{case.inputs['prompt']}{_own_space(case, answer)}{answer}"
        turns = tuple(turn for turn in self._own_turns(case) if turn.role != "system")
        return render(turns) + joiner(_last_content(turns)) + answer


def _undescribed_tools(case: Case) -> str:
    """The tools of a case, where no turn of the system describes them already."""
    given = case.inputs.get(TOOLS)
    if not isinstance(given, str):
        return ""
    read = json.loads(given)
    every = [one.get("function", one) for one in (read if isinstance(read, list) else [read])]
    turns = case.inputs.get("messages")
    told = "".join(
        turn.content
        for turn in (turns if isinstance(turns, tuple) else ())
        if turn.role == "system"
    )
    return "" if all(str(one["name"]) in told for one in every) else given


def render(turns: Sequence[Message]) -> str:
    """Return messages as plain text that ends with the last turn's own content.

    The engine's plain template; a turn that is followed by the assistant's gets the joiner, every
    other one an empty line.
    """
    text = ""
    for turn, after in pairwise(turns):
        is_answered = turn.role == "user" and after.role == "assistant"
        text += turn.content + (joiner(turn.content) if is_answered else BETWEEN_TURNS)
    return text + _last_content(turns)


def _asked(case: Case, content: str) -> Message:
    """The user's turn, with the places of the case's own texts in it."""
    texts = {
        text for value in case.inputs.values() if isinstance(value, str) if (text := value.strip())
    }
    found: list[tuple[int, int]] = []
    for text in sorted(texts, key=lambda text: (-len(text), text)):
        start = content.find(text)
        end = start + len(text)
        if start >= 0 and all(end <= other[0] or start >= other[1] for other in found):
            found.append((start, end))
    return Message("user", content, fields=tuple(sorted(found)))


def _last_content(turns: Sequence[Message]) -> str:
    return turns[-1].content if turns else ""


def _own_space(case: Case, answer: str) -> str:
    """White space that opens the row's own completion, unless ``answer`` opens with its own."""
    raw = case.inputs.get("completion")
    if not isinstance(raw, str) or answer[:1].isspace():
        return ""
    return raw[: len(raw) - len(raw.lstrip())]


def usual_stop(few_shot: Examples) -> tuple[str, ...]:
    """An empty line where examples stand before the question: a base model goes on with its own."""
    return (BETWEEN_TURNS,) if few_shot else ()


class WordingOptions(Protocol):
    """The options of a task that say how its cases become prompts."""

    @property
    def template(self) -> str | None: ...
    @property
    def system(self) -> str | None: ...
    @property
    def few_shot(self) -> Examples: ...
    @property
    def prompt_style(self) -> str: ...


def build_wording(
    task: str,
    question: Callable[[Case], str],
    given: WordingOptions,
    *,
    answer_of: Callable[[Case], str],
    preface: object = None,
    tools: object = "auto",
) -> Wording:
    """Check the options that all tasks share and make their wording.

    Raises
    ------
    ConfigError
        An option is not what it should be, or an example has no reference to show.
    """

    def with_answers(cases: Sequence[Case]) -> tuple[tuple[Case, str], ...]:
        return tuple((case, answer_of(case)) for case in cases)

    few_shot = given.few_shot
    rule = few_shot if callable(few_shot) else None
    return Wording(
        question=question,
        template=text_or_none(task, "template", given.template),
        system=text_or_none(task, "system", given.system),
        prompt_style=one_of(task, "prompt_style", given.prompt_style, PROMPT_STYLES),
        examples=() if callable(few_shot) else with_answers(few_shot),
        preface=text_or_none(task, "preface", preface),
        examples_of=None if rule is None else lambda case: with_answers(rule(case)),
        tools_in=one_of(task, "tools", tools, TOOL_PLACES),
    )


def first_reference(case: Case) -> str:
    """The answer to show after an example.

    Raises
    ------
    ConfigError
        The case has none.
    """
    if not case.references:
        raise ConfigError(f'few-shot case "{case.id}" has no reference to show as its answer.')
    return case.references[0]
