"""The column layouts that are recognised, as one flat table, and how a row of each is read.

Knows one row at a time; task, label set and faults of a whole file belong to ``read``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tuneval.data import choices, several
from tuneval.data.called import calls_of
from tuneval.data.fields import (
    RowFault,
    answers_of,
    are_lists,
    history_of,
    is_list,
    is_structure,
    json_of,
    optional_text,
    parsed,
    scalar_of,
    some_answers,
    text_of,
    tools_in_turns,
    turns_of,
    value_of,
    words_of,
)
from tuneval.data.formats import Fields, Row, Table, kind, quote
from tuneval.data.labels import class_text
from tuneval.data.names import (
    CALLS,
    HISTORIES,
    LABELS,
    PAIRS,
    PASSAGES,
    QUESTIONS,
    REFERENCES,
    SYSTEMS,
    TEXTS,
    TOOLS,
    Tiers,
    first_tier,
    has_name,
)
from tuneval.types import Message


class Reading(NamedTuple):
    """What one row gives: the standard inputs, the references, the cluster if it has one.

    ``calls``: of a conversation, the calls of tools in its last turn, as JSON, "" for none; None of any other
    row.
    """

    inputs: dict[str, object]
    references: tuple[object, ...]
    cluster: str | None = None
    calls: str | None = None


class Draft(NamedTuple):
    """A row that was read, on its way to a case; its references as text."""

    row: Row
    reading: Reading
    references: tuple[str, ...]


Build = Callable[[Fields, Mapping[str, str]], Reading]


class Prepared(NamedTuple):
    """A builder that knows the whole file, and what it found out there: notes, or the task."""

    build: Build
    notes: tuple[str, ...] = ()
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One shape of a row.

    ``needs`` and ``may`` map standard keys to names of columns. ``tasks`` names what can be asked;
    the first one is meant unless ``decided_by_references``. ``is_named``: a reference that the user
    names must bear one of the layout's own names, too. ``prepare`` makes the builder where all
    rows together say how one is read.
    """

    name: str
    input: str
    reference: str | None
    needs: Mapping[str, Tiers]
    tasks: tuple[str, ...]
    build: Build
    may: Mapping[str, Tiers] = field(default_factory=dict)
    decided_by_references: bool = False
    is_named: bool = False
    prepare: Callable[[Table, Mapping[str, str]], Prepared] | None = None


class Match(NamedTuple):
    """A layout that a table fits. ``rivals``: key -> further columns that could be meant;
    ``parts``: columns that one of ``columns`` was made of."""

    layout: Layout
    columns: dict[str, str]
    rivals: dict[str, tuple[str, ...]]
    parts: tuple[str, ...] = ()

    @property
    def reference(self) -> str | None:
        """Column of the reference."""
        return self.columns.get(self.layout.reference) if self.layout.reference else None

    @property
    def used(self) -> set[str]:
        """Columns that the reading takes something from."""
        return {*self.columns.values(), *self.parts}


# ---- what may stand beside the question of any row -----------------------------------------------

_AROUND: Mapping[str, Tiers] = {"context": PASSAGES, "system": SYSTEMS, "history": HISTORIES}
_TOLD: Mapping[str, Tiers] = {"system": SYSTEMS, "history": HISTORIES}


def _around(row: Fields, columns: Mapping[str, str]) -> dict[str, object]:
    """Passage, word of the system and earlier turns, each where the row has it."""
    inputs: dict[str, object] = {}
    for key in ("context", "system"):
        if (text := optional_text(row, columns, key)) is not None:
            inputs[key] = text
    column = columns.get("history")
    earlier = row.get(column) if column is not None else None
    if isinstance(earlier, str) and earlier.strip():
        inputs["context"] = "\n\n".join(str(t) for t in (inputs.get("context"), earlier) if t)
    elif earlier and column is not None:
        inputs["history"] = history_of(earlier, column)
    return inputs


def _cluster(inputs: Mapping[str, object]) -> str | None:
    """Questions on one passage belong together."""
    context = inputs.get("context")
    return f"context-{_digest(str(context))}" if context else None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


# ---- chats ---------------------------------------------------------------------------------------


def _messages(row: Fields, columns: Mapping[str, str]) -> Reading:
    turns = turns_of(value_of(row, columns, "messages"), columns["messages"])
    system = optional_text(row, columns, "system")
    if system and turns[0].role != "system":
        turns = (Message("system", system), *turns)
    *before, last = turns
    if last.role != "assistant":
        raise RowFault(
            f'the last turn is of "{last.role}", expected the assistant\'s answer', "messages"
        )
    if not any(turn.role == "user" for turn in before):
        raise RowFault("no turn of the user before the assistant's answer")
    inputs = {"messages": tuple(before), **tools_in_turns(row[columns["messages"]])}
    return Reading(inputs, (last.content,), calls=calls_of(last))


def _labelled_messages(row: Fields, columns: Mapping[str, str]) -> Reading:
    turns = turns_of(value_of(row, columns, "messages"), columns["messages"])
    return Reading({"messages": turns}, (scalar_of(row, columns, "label"),))


def _prompt(row: Fields, columns: Mapping[str, str]) -> dict[str, object]:
    """Turns, or the exact characters of a prompt; what stands beside these makes turns of them."""
    value = value_of(row, columns, "prompt")
    told = _around(row, columns)
    earlier: tuple[Message, ...] = told.get("history", ())  # type: ignore[assignment]
    if "system" in told:
        earlier = (Message("system", str(told["system"])), *earlier)
    if isinstance(value, list | tuple):
        return {"messages": (*earlier, *turns_of(value, columns["prompt"]))}
    text = text_of(row, columns, "prompt")
    if not told:
        return {"prompt": text}
    text = "\n\n".join(str(part) for part in (told.get("context"), text) if part)
    return {"messages": (*earlier, Message("user", text))}


def _answer_turns(row: Fields, columns: Mapping[str, str], key: str) -> tuple[object, ...]:
    """The answer or answers, as text or as turns that end with it."""
    if (last := _last_turn(row, columns, key)) is not None:
        if not last.content.strip() and calls_of(last):
            raise RowFault(f"the answer in {quote(columns[key])} calls a tool and says nothing")
        return (last.content,)
    return some_answers(row, columns, key)


def _last_turn(row: Fields, columns: Mapping[str, str], key: str) -> Message | None:
    value = value_of(row, columns, key)
    if isinstance(value, dict) and {"role", "from"} & value.keys():
        value = [value]
    is_turns = isinstance(value, list | tuple) and value and isinstance(value[0], dict)
    return turns_of(value, columns[key])[-1] if is_turns else None


# ---- the other rows ------------------------------------------------------------------------------


def _prompt_completion(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = _prompt(row, columns)
    raw = row.get(columns["completion"])
    if "prompt" in inputs and isinstance(raw, str):
        inputs["completion"] = raw  # its leading space is part of what was trained
    last = _last_turn(row, columns, "completion")
    if last is not None and "messages" in inputs:
        return Reading(inputs, (last.content,), calls=calls_of(last))
    return Reading(inputs, _answer_turns(row, columns, "completion"))


def _instruction(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs: dict[str, object] = {"instruction": text_of(row, columns, "instruction")}
    given = optional_text(row, columns, "input")
    if given is not None:
        inputs["input"] = given
    return Reading({**inputs, **_around(row, columns)}, some_answers(row, columns, "output"))


def _labelled(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = {"text": text_of(row, columns, "text"), **_around(row, columns)}
    return Reading(inputs, (scalar_of(row, columns, "label"),), _cluster(inputs))


def _marked_labels(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = {"text": text_of(row, columns, "text"), **_around(row, columns)}
    places = several.marked(value_of(row, columns, "label"))
    return Reading(inputs, (json_of(places),), _cluster(inputs))


def _indicators_note(column: str, given: Sequence[object]) -> str:
    n = len(parsed(given[0]))  # type: ignore[arg-type]
    return (
        f"{quote(column)} holds {n} zeros and ones a row: a one in place k (from 0) is the label k."
    )


def _one_label_or_several(table: Table, columns: Mapping[str, str]) -> Prepared:
    column = columns["label"]
    given = [row.fields[column] for row in table.rows if row.fields.get(column) is not None]
    if several.are_indicators(given):
        return Prepared(_marked_labels, (_indicators_note(column, given),), task="multilabel")
    if not are_lists(table.rows, column):
        return Prepared(_labelled)

    def build(row: Fields, columns: Mapping[str, str]) -> Reading:
        listed = parsed(value_of(row, columns, "label"))
        if not is_list(listed):
            raise RowFault(f"field {quote(columns['label'])} is {kind(listed)}, expected a list")
        inputs = {"text": text_of(row, columns, "text"), **_around(row, columns)}
        labels = list(dict.fromkeys(map(class_text, listed)))  # type: ignore[call-overload]
        return Reading(inputs, (json_of(labels),), _cluster(inputs))

    return Prepared(build, task="multilabel")


def _pair(row: Fields, columns: Mapping[str, str]) -> Reading:
    text_of(row, columns, "context")
    inputs = {"text": text_of(row, columns, "text"), **_around(row, columns)}
    return Reading(inputs, (scalar_of(row, columns, "label"),))


def _text_output(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = {"text": text_of(row, columns, "text"), **_around(row, columns)}
    return Reading(inputs, some_answers(row, columns, "output"), _cluster(inputs))


def _plain(row: Fields, columns: Mapping[str, str]) -> Reading:
    return Reading({"text": text_of(row, columns, "text")}, ())


def _question(row: Fields, columns: Mapping[str, str]) -> Reading:
    answers = some_answers(row, columns, "answer")
    inputs = {"question": text_of(row, columns, "question"), **_around(row, columns)}
    return Reading(inputs, answers, _cluster(inputs))


def _squad(row: Fields, columns: Mapping[str, str]) -> Reading:
    """No answer in the passage is an answer too: the empty text, as in SQuAD 2.0's own program."""
    text_of(row, columns, "context")
    inputs = {**_around(row, columns), "question": text_of(row, columns, "question")}
    return Reading(inputs, answers_of(row, columns, "answers") or ("",), _cluster(inputs))


def _summary(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs = {"article": text_of(row, columns, "article"), **_around(row, columns)}
    return Reading(inputs, some_answers(row, columns, "summary"))


def _program(row: Fields, columns: Mapping[str, str]) -> Reading:
    inputs: dict[str, object] = {
        "prompt": text_of(row, columns, "prompt"),
        "test": text_of(row, columns, "test"),
    }
    entry_point = optional_text(row, columns, "entry_point")
    if entry_point is not None:
        inputs["entry_point"] = entry_point
    solution = optional_text(row, columns, "canonical_solution")
    return Reading(inputs, () if solution is None else (solution,))


def _program_in_words(row: Fields, columns: Mapping[str, str]) -> Reading:
    """A problem in MBPP's form; its own reader looks at the tests."""
    return Reading({"prompt": text_of(row, columns, "prompt")}, ())


def _preference(row: Fields, columns: Mapping[str, str]) -> Reading:
    sides = [value_of(row, columns, key) for key in ("chosen", "rejected")]
    if isinstance(row.get(columns["prompt"]), str) and all(map(_is_whole_chat, sides)):
        # The prompt stands in the chats, too; there it is a turn, as trainers read such files.
        return _preferred_chats(row, columns)
    (chosen,), (rejected,) = (_answer_turns(row, columns, key) for key in ("chosen", "rejected"))
    if chosen == rejected:
        raise RowFault("the chosen and the rejected answer are the same")
    return Reading({**_prompt(row, columns), "chosen": chosen, "rejected": rejected}, (chosen,))


def _is_whole_chat(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 1 and isinstance(value[0], dict)


def _preferred_chats(row: Fields, columns: Mapping[str, str]) -> Reading:
    """Two whole conversations, as turns or as text, that are the same but for their last answer."""
    chosen, rejected = (value_of(row, columns, key) for key in ("chosen", "rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str):
        before, good, bad = _parted(chosen, rejected)
        inputs: dict[str, object] = {"prompt": before}
    else:
        one, other = (
            turns_of(value_of(row, columns, key), columns[key]) for key in ("chosen", "rejected")
        )
        if one[:-1] != other[:-1] or len(one) < 2:
            raise RowFault("the chosen and the rejected conversation differ before their last turn")
        if any(not turns[-1].content.strip() and calls_of(turns[-1]) for turns in (one, other)):
            raise RowFault("the chosen or the rejected answer calls a tool and says nothing")
        inputs, good, bad = {"messages": one[:-1]}, one[-1].content, other[-1].content
    if good == bad:
        raise RowFault("the chosen and the rejected answer are the same")
    return Reading({**inputs, "chosen": good, "rejected": bad}, (good,))


_ANSWER = "\n\nAssistant:"


def _parted(chosen: str, rejected: str) -> tuple[str, str, str]:
    """What both texts say up to the assistant's last turn, and how each goes on."""
    at = chosen.rfind(_ANSWER) + len(_ANSWER)
    if _ANSWER not in chosen or rejected[:at] != chosen[:at]:
        raise RowFault(
            'the chosen and the rejected text share no beginning that ends in "Assistant:": a column '
            '"prompt" is needed'
        )
    return chosen[:at], chosen[at:], rejected[at:]


def _tool_calls(row: Fields, columns: Mapping[str, str]) -> Reading:
    """A question, the tools at hand, and which are to be called; null and [] mean none."""
    inputs = {"question": text_of(row, columns, "question"), **_around(row, columns)}
    inputs["functions"] = json_of(parsed(value_of(row, columns, "functions")))
    column = columns["calls"]
    value = parsed(row.get(column))
    # Each argument with the values that are accepted, by the column's name or the leaderboard's form.
    if first_tier((CALLS[0][:2],), [column]) or _is_leaderboards(value):
        return Reading(inputs, (_accepted(value, str(inputs["functions"]), column),))
    if value is not None and value != [] and not is_structure(value):
        raise RowFault(f"field {quote(column)} is {kind(value)}, expected a list of calls", "calls")
    return Reading(inputs, (json_of(value or []),))


def _is_leaderboards(value: object) -> bool:
    """A list of {name: {argument: [value, ...]}}: there, and only there, every argument is a list."""
    arguments = [
        given
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, dict) and not {"name", "function"} & one.keys()
        for given in one.values()
    ]
    return bool(arguments) and all(
        isinstance(given, dict) and given and all(isinstance(one, list) for one in given.values())
        for given in arguments
    )


def _accepted(value: object, functions: str, column: str) -> str:
    """The leaderboard's form: {name, numbered where it is called again: {argument: [value, ...]}}."""
    given = parsed(functions)
    every: list[Any] = given if isinstance(given, list) else [given]
    names = {(one.get("function") or one).get("name") for one in every}
    calls: list[Any] = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(one, dict) for one in calls):
        raise RowFault(f"field {quote(column)} is {kind(value)}, expected an object", "calls")
    pairs = [
        (name if name in names else re.sub(r"[_ ]\d+$", "", name), accepted)
        for one in calls
        for name, accepted in one.items()
    ]
    return json_of({"accepted": pairs})


def _tagged_words(row: Fields, columns: Mapping[str, str]) -> Reading:
    words, tags = (words_of(row, columns, key) for key in ("words", "tags"))
    if len(words) != len(tags):
        raise RowFault(f"{len(words)} words and {len(tags)} tags, expected as many")
    return Reading({"text": " ".join(words)}, (" ".join(tags),))


def _multiple_choice(table: Table, columns: Mapping[str, str]) -> Prepared:
    settled = choices.settle(table, columns)

    def build(row: Fields, columns: Mapping[str, str]) -> Reading:
        given = choices.choices_of(row, columns)
        right = settled.choose(given, choices.answer_of(row, columns))
        inputs = {
            "question": text_of(row, columns, "question"),
            "choices": given.texts,
            **_around(row, columns),
        }
        return Reading(inputs, choices.equals_of(given, right), _cluster(inputs))

    notes = (settled.note, choices.doubles_note(table, columns, settled))
    return Prepared(build, tuple(note for note in notes if note is not None))


def _unprepared(row: Fields, columns: Mapping[str, str]) -> Reading:
    raise AssertionError("choices are read by a builder that knows the file")


# ---- the table -----------------------------------------------------------------------------------

_FREE = ("generate", "classify", "language_model", "extract", "regression")
_LABELLED = ("classify", "generate", "regression")
_TURNS = (*_FREE, "tool_call")
_CHATS: Tiers = (("messages",), ("conversations",), ("conversation",))
_ANSWERS = (*REFERENCES, *LABELS)

LAYOUTS = (
    Layout(
        "messages", "messages", "messages", {"messages": _CHATS},
        _TURNS, _messages, {"system": SYSTEMS}, decided_by_references=True,
    ),
    Layout(
        "tagged words", "words", "tags",
        {"words": (("tokens",), ("words",)),
         "tags": (("ner_tags",), ("tags", "ner", "labels"), ("pos_tags", "chunk_tags"))},
        ("tag",), _tagged_words,
    ),
    Layout(  # only when the user names the label's column: else the last turn is the reference
        "labelled messages", "messages", "label", {"messages": _CHATS, "label": ()},
        _LABELLED, _labelled_messages,
    ),
    Layout(
        "prompt and completion", "prompt", "completion",
        {"prompt": (("prompt",),), "completion": (("completion",), ("response", "output"))},
        _TURNS, _prompt_completion, _AROUND, decided_by_references=True,
    ),
    Layout(
        "instruction", "instruction", "output",
        {"instruction": (("instruction",),),
         "output": (("output", "response"), *_ANSWERS)},
        _FREE, _instruction, {"input": (("input",), *PASSAGES), **_TOLD},
        decided_by_references=True,
    ),
    Layout(
        "labelled text", "text", "label", {"text": TEXTS, "label": LABELS},
        (*_LABELLED, "multilabel"), _labelled,
        {**_AROUND, "context": (*PASSAGES, ("text",))},
        is_named=True, prepare=_one_label_or_several,
    ),
    *(
        Layout(
            "pair of texts", "text", "label",
            {"context": ((first,),), "text": ((second,),), "label": (*LABELS, *REFERENCES)},
            _LABELLED, _pair, _TOLD,
        )
        for first, second in PAIRS
    ),
    Layout(
        "multiple choice", "question", "answer",
        {"question": (("question",), ("ctx", "question_stem", "query", "goal", "stem", "problem"),
                      ("sentence", "premise", "prompt", "input", "text", "instruction")),
         "choices": (("choices",), ("options", "endings")),
         "answer": (("answer",), ("answerkey", "answer_idx", "answer_index", "label",
                                  "correct_answer", "correct", "correct_option", "cop", "target",
                                  "gold", "answer_letter"))},
        ("multiple_choice",), _unprepared,
        {**_AROUND, "context": (*PASSAGES, ("text", "premise"))},
        prepare=_multiple_choice,
    ),
    Layout(
        "squad", "question", "answers",
        {"context": PASSAGES, "question": (("question",),), "answers": (("answers",),)},
        ("generate",), _squad, _TOLD,
    ),
    Layout(
        "summary", "article", "summary",
        {"article": (("article",), ("document", "dialogue", "dialog", "transcript", "text")),
         "summary": (("summary",), ("highlights",), ("reference",))},
        ("generate",), _summary, _TOLD, is_named=True,
    ),
    Layout(
        "program", "prompt", "test", {"prompt": (("prompt",),), "test": (("test",),)},
        ("complete_code",), _program,
        {"entry_point": (("entry_point",),), "canonical_solution": (("canonical_solution",),)},
        is_named=True,
    ),
    Layout(
        "program in words", "prompt", "test_list",
        {"prompt": (("prompt", "text"),), "test_list": (("test_list",),)},
        ("complete_code",), _program_in_words, {"code": (("code",),)}, is_named=True,
    ),
    Layout(
        "tool calls", "question", "calls",
        {"question": (("question",), ("query", "prompt", "instruction", "text", "input", "user")),
         "functions": TOOLS, "calls": CALLS},
        ("tool_call",), _tool_calls, _AROUND,
    ),
    Layout(
        "question and answer", "question", "answer",
        {"question": QUESTIONS, "answer": REFERENCES},
        _FREE, _question, {**_AROUND, "context": (*PASSAGES, ("text",))},
        decided_by_references=True,
    ),
    Layout(
        "preference", "prompt", "chosen",
        {"prompt": (("prompt",), ("instruction",), ("question", "query"), ("input",),
                    *_CHATS),
         "chosen": (("chosen",),), "rejected": (("rejected",),)},
        ("preference",), _preference, _AROUND,
    ),
    Layout(
        "preferred chat", "chosen", "chosen", {"chosen": (("chosen",),), "rejected": (("rejected",),)},
        ("preference",), _preferred_chats,
    ),
    Layout(
        "text and output", "text", "output", {"text": TEXTS, "output": REFERENCES},
        _FREE, _text_output, _AROUND, decided_by_references=True,
    ),
    Layout("text", "text", None, {"text": TEXTS}, ("language_model",), _plain),
)  # fmt: skip


def match(present: Sequence[str], explicit: Mapping[str, str]) -> list[Match]:
    """Every layout that these columns fit, in the order of the table, without weaker duplicates.

    Parameters
    ----------
    present : sequence of str
        Columns of the table.
    explicit : mapping
        "input" and "reference" -> the column that the user named for it.
    """
    named = {key: explicit[key] for key in ("input", "reference") if key in explicit}
    free = [c for c in present if c in named.values() or c not in explicit.values()]
    same = [m for m in _made_or_fitting(free, {}) if _says(m, named)] if named else []
    return same or _made_or_fitting(present, explicit)


def _says(match: Match, named: Mapping[str, str]) -> bool:
    """Would these columns be found unasked? Then naming them changes nothing."""
    found = {"input": match.columns[match.layout.input], "reference": match.reference}
    return all(found[key] == column for key, column in named.items())


def _made_or_fitting(present: Sequence[str], explicit: Mapping[str, str]) -> list[Match]:
    parts = choices.choice_columns(present)
    if parts and not first_tier((("choices", "options", "endings"),), present):
        with_made = [c for c in (*present, choices.MADE) if c not in parts]
        if made := [m for m in _fitting(with_made, explicit) if "choices" in m.layout.needs]:
            return [m._replace(parts=parts) for m in made]
    return _fitting(present, explicit)


def _fitting(present: Sequence[str], explicit: Mapping[str, str]) -> list[Match]:
    matches = [m for m in (_fit(layout, present, explicit) for layout in _open(explicit)) if m]
    return [
        m
        for n, m in enumerate(matches)
        if not any(_covers(o, m, is_earlier=k < n) for k, o in enumerate(matches) if k != n)
    ]


def _open(explicit: Mapping[str, str]) -> list[Layout]:
    """Layouts that the user's choice of columns leaves possible."""
    layouts = [
        m for m in LAYOUTS if "reference" not in explicit or m.reference not in (None, m.input)
    ]
    if "input" in explicit:
        known = [m for m in layouts if has_name(m.needs[m.input], explicit["input"])]
        layouts = known or [m for m in layouts if m.input == "text"]
    return [m for m in layouts if not m.is_named or _is_named(m, explicit)]


def _is_named(layout: Layout, explicit: Mapping[str, str]) -> bool:
    tiers = _answers(layout)
    return has_name(tiers, explicit.get("reference", tiers[0][0]))


def _fit(layout: Layout, present: Sequence[str], explicit: Mapping[str, str]) -> Match | None:
    columns: dict[str, str] = {}
    rivals: dict[str, tuple[str, ...]] = {}
    fixed = {layout.input: explicit.get("input")}
    if layout.reference:
        fixed.setdefault(layout.reference, explicit.get("reference"))
    taken = set(explicit.values())
    for key, tiers in {**layout.needs, **layout.may}.items():
        own = fixed.get(key)
        free = [column for column in present if column not in taken]
        found = (own,) if own else first_tier(tiers, free)
        if found:
            columns[key], rivals[key] = found[0], found[1:]
            taken.add(found[0])
        elif key in layout.needs:
            return None
    return Match(layout, columns, {key: others for key, others in rivals.items() if others})


_SHOWN = ("multiple_choice", "complete_code", "tool_call")
"""Tasks that a file with choices, tests or tools is made for, whatever else stands in it."""


def _answers(layout: Layout) -> Tiers:
    return layout.needs[layout.reference] if layout.reference else ()


def _covers(other: Match, match: Match, *, is_earlier: bool) -> bool:
    """Does ``other`` explain the same columns and more (or as much, and is the nearer shape)?"""
    if match.reference is None or other.reference is None:
        return False  # plain text competes with nothing; whoever chooses knows the task
    mine, theirs = set(match.columns.values()), set(other.columns.values())
    if other.layout.input == "text" != match.layout.input:
        return False
    is_nearer = match.layout.input == "text" != other.layout.input
    if other.layout.tasks[0] in _SHOWN and not has_name(_answers(other.layout), match.reference):
        return True  # choices are there to be chosen from, tests to be run; a category is a group
    if is_nearer and match.reference == other.reference:
        return True  # what it leaves unread is asked about
    return mine < theirs or (mine == theirs and (is_earlier or is_nearer))
