"""Texts that several systems gave -> predictions, read together.

What counts as a class is decided from the answers of all systems at once: rows of all systems then
have the same columns, and stay paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval.assess.measure import LABELLED
from tuneval.data.formats import listed
from tuneval.tasks.parse import label_key, unpacked, unparsed
from tuneval.tasks.thinking import INSIDE, Said, Thinking, without_thinking
from tuneval.types import Case, CaseSet, Prediction

SENTENCE_ENDS = (".", "!", "?", "\u3002", "\uff01", "\uff1f")
OPENERS = ("{", "[", "<")
FEWEST = 2
"""A text that no reference has is a class if this many answers give it."""


@dataclass(frozen=True, slots=True)
class Given:
    """``cases`` has the classes that were answered beside those of the references."""

    cases: CaseSet
    predictions: Mapping[str, tuple[Prediction, ...]]
    notes: tuple[str, ...]


def read_given(
    cases: CaseSet, texts: Mapping[str, Mapping[str, str]], *, thinking: Thinking = "cut"
) -> Given:
    """Read what every system answered: system -> case id -> text."""
    said = {
        system: {
            case.id: without_thinking(own[case.id], case.references, mode=thinking)
            for case in cases.cases
            if case.id in own
        }
        for system, own in texts.items()
    }
    if cases.task not in LABELLED:
        read = {system: _texts(cases, own) for system, own in said.items()}
        return Given(cases, read, ())
    reader = _Reader(cases)
    beside = _classes_beside(reader, said)
    read = {system: reader.predictions(own, beside) for system, own in said.items()}
    labels = tuple(dict.fromkeys([*(cases.labels or ()), *sorted(set(beside.values()))]))
    return Given(
        replace(cases, labels=labels if cases.labels else None),
        read,
        (*_about_spelling(said, read), *_about_classes(read, beside)),
    )


def _texts(cases: CaseSet, said: Mapping[str, Said]) -> tuple[Prediction, ...]:
    return tuple(_no_answer(case, said) or _text(case, said[case.id]) for case in cases.cases)


def _text(case: Case, said: Said) -> Prediction:
    return Prediction(case.id, text=said.text, completions=(said.text,), thinking=said.thinking)


def _no_answer(case: Case, said: Mapping[str, Said]) -> Prediction | None:
    if case.id not in said:
        return Prediction(case.id, problem="unparsed: no prediction in the file")
    if said[case.id].thinking == "open":
        return Prediction(case.id, problem=INSIDE, thinking="open")
    return None


class _Reader:
    """Reads labels: as they are spelled, else by what two spellings of one label share."""

    def __init__(self, cases: CaseSet) -> None:
        self.cases = cases
        self.exact = _spellings(cases)
        by_key: dict[str, set[str]] = {}
        for spelling, label in self.exact.items():
            by_key.setdefault(label_key(spelling), set()).add(label)
        self.by_key = {key: labels.pop() for key, labels in by_key.items() if len(labels) == 1}

    def label_of(self, text: str) -> str | None:
        if text in self.exact:
            return self.exact[text]
        return self.by_key.get(label_key(text)) or self.by_key.get(label_key(unpacked(text)))

    def predictions(
        self, said: Mapping[str, Said], beside: Mapping[str, str]
    ) -> tuple[Prediction, ...]:
        return tuple(
            _no_answer(case, said) or self._prediction(case, said[case.id], beside)
            for case in self.cases.cases
        )

    def _prediction(self, case: Case, said: Said, beside: Mapping[str, str]) -> Prediction:
        text = said.text.strip()
        label = self.label_of(text) or beside.get(label_key(text))
        problem = unparsed(text) + " is none of the labels" if label is None else None
        return Prediction(case.id, text=text, label=label, problem=problem, thinking=said.thinking)


def _spellings(cases: CaseSet) -> Mapping[str, str]:
    """What may stand for a label: itself; in a benchmark its number, or the letter of a choice, too."""
    labels = cases.labels or ()
    if not cases.signature:
        own = {label: label for label in labels}
        # What transformers calls the class of a number that its config has no name for.
        return {**{f"LABEL_{label}": label for label in labels if label.isdecimal()}, **own}
    if cases.task == "multiple_choice":
        n_choices = max(len(_choices(case)) for case in cases.cases)
        numbers = [str(n) for n in range(n_choices)]
        letters = {chr(ord("A") + n): number for n, number in enumerate(numbers)}
        return {**letters, **{number: number for number in numbers}}
    return {**{str(n): label for n, label in enumerate(labels)}, **{one: one for one in labels}}


def _choices(case: Case) -> Sequence[object]:
    choices = case.inputs.get("choices")
    return choices if isinstance(choices, tuple) else ()


def _classes_beside(reader: _Reader, said: Mapping[str, Mapping[str, Said]]) -> dict[str, str]:
    """Classes that were answered and that no reference has: key -> the usual spelling.

    A class is answered at least twice, over all systems, and has the shape of the labels: as few
    words, one line, no full stop. A benchmark says itself what its labels are.
    """
    labels = reader.cases.labels or ()
    if reader.cases.signature or not labels:
        return {}
    spelled: dict[str, Counter[str]] = {}
    for own in said.values():
        for one in own.values():
            text = one.text.strip()
            if one.thinking != "open" and reader.label_of(text) is None:
                spelled.setdefault(label_key(text), Counter())[text] += 1
    return {
        key: counts.most_common(1)[0][0]
        for key, counts in spelled.items()
        if counts.total() >= FEWEST and _has_shape(counts.most_common(1)[0][0], labels)
    }


def _has_shape(text: str, labels: Sequence[str]) -> bool:
    n_words = max(len(label.split()) for label in labels)
    n_characters = max(24, 2 * max(len(label) for label in labels))
    return (
        0 < len(text) <= n_characters
        and "\n" not in text
        and len(text.split()) <= n_words
        and not text.endswith(SENTENCE_ENDS)
        and not text.startswith(OPENERS)
    )


def _about_spelling(
    said: Mapping[str, Mapping[str, Said]], read: Mapping[str, Sequence[Prediction]]
) -> tuple[str, ...]:
    """How many answers were read as a label that they do not spell letter by letter."""
    return tuple(
        f"{system}: {n} of {len(own)} answers were read as a label in spite of blanks, case or words "
        "around it"
        for system, own in read.items()
        if (
            n := sum(
                one.label is not None and one.label != said[system][one.case_id].text for one in own
            )
        )
    )


def _about_classes(
    read: Mapping[str, Sequence[Prediction]], beside: Mapping[str, str]
) -> tuple[str, ...]:
    if not beside:
        return ()
    names = sorted(set(beside.values()))
    n = sum(one.label in names for own in read.values() for one in own)
    what = "a class" if len(names) == 1 else "classes"
    return (
        f"{n} answers give {what} that no reference has ({listed(names)}): wrong, with "
        f"{'a column' if len(names) == 1 else 'columns'} of their own in the confusion matrix and a "
        "part in macro averages",
    )
