"""Strict reading of answers: a label, a letter, or honestly nothing. Never a substring search."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from tuneval.tasks.wording import letter
from tuneval.types import Response

_ANSWER_IS = re.compile(r"\banswer\s*(?:is\s*:?|:)\s*", re.IGNORECASE)
_FENCED = re.compile(r"\s*```[\w+-]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"-?\d+\.0+")


def problem_of(responses: Sequence[Response]) -> str | None:
    """Return the first problem among the responses of a case."""
    return next((one.problem for one in responses if one.problem is not None), None)


def unparsed(text: str) -> str:
    """Say that ``text`` could not be read; long and strange texts are cut and escaped."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"unparsed: {shown!a}" if not shown.isprintable() else f'unparsed: "{shown}"'


def fold(text: str) -> str:
    """Return what two spellings of one label share: NFKC, case, outer and repeated white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def label_key(text: str) -> str:
    """Return what two spellings of one label share: ``fold``, and "0.0" is "0"."""
    folded = fold(text)
    return folded.partition(".")[0] if _WHOLE_NUMBER.fullmatch(folded) else folded


def unpacked(text: str) -> str:
    """Return an answer without its usual packing: a code fence, "the answer is", quotes, a full stop."""
    fenced = _FENCED.fullmatch(text)
    *_, tail = _ANSWER_IS.split(fenced[1] if fenced else text)
    return tail.strip().strip("*_`\"'").removesuffix(".").strip("*_`\"'").strip()


def read_label(text: str, spellings: Mapping[str, str]) -> str | None:
    """Read a label from new tokens.

    The whole text is a label, or what stands after its last "answer is"; else the text holds exactly
    one label as whole words; else None. A label inside a longer one ("positive" in "very positive")
    is not held by the text.

    Parameters
    ----------
    spellings : mapping
        How the label is spelled in an answer -> label.
    """
    stripped = unicodedata.normalize("NFKC", text).strip()
    for spelling, label in spellings.items():
        if unicodedata.normalize("NFKC", spelling).strip() == stripped:
            return label
    folded = fold(text)
    same = _spelled(folded, spellings) or _spelled(fold(unpacked(text)), spellings)
    found = same or {label for _, _, label in _whole_words(folded, spellings)}
    return found.pop() if len(found) == 1 else None


def _spelled(folded: str, spellings: Mapping[str, str]) -> set[str]:
    return {label for spelling, label in spellings.items() if fold(spelling) == folded}


def _whole_words(folded: str, spellings: Mapping[str, str]) -> list[tuple[int, int, str]]:
    spans = [
        (match.start(), match.end(), label)
        for spelling, label in spellings.items()
        for match in re.finditer(rf"(?<!\w){re.escape(fold(spelling))}(?!\w)", folded)
    ]
    return [
        (start, end, label)
        for start, end, label in spans
        if not any(
            low <= start and end <= high and high - low > end - start for low, high, _ in spans
        )
    ]


_OPENING = r"(?:option\s+|choice\s+)?[(\[*_\"']*"
_MARKED_LETTER = re.compile(_OPENING + r"([A-Z])(?:[)\].:*_\"']+|\s*$)([^\n]*)", re.MULTILINE)
_LONE_LETTER = re.compile(_OPENING + r"([A-Z])(?![\w'\u2019])[)\].:*_\"']*([^\n]*)")
_SECOND_LETTER = re.compile(r"\s*(?:or|and|/|,|&)\s*[(\[*_\"']*([A-Z])(?![\w'\u2019])")


def read_choice(text: str, choices: Sequence[str]) -> int | None:
    """Read the index of a choice from new tokens.

    Read are: the text itself, if it is one of the choices; a letter at its beginning that a mark or
    the end of the line follows; what stands after its last "answer is" or "answer:", as a letter or
    as one of the choices. Where these disagree, or a letter stands before the words of another
    choice, nothing is read.
    """
    text = text.strip()
    readings = _same_text(text, choices) | _letter_at_start(_MARKED_LETTER, text, choices)
    *_, tail = _ANSWER_IS.split(text)
    if tail != text:
        readings |= _same_text(tail, choices) | _letter_at_start(_LONE_LETTER, tail, choices)
    return readings.pop() if len(readings) == 1 else None


def _letter_at_start(pattern: re.Pattern[str], text: str, choices: Sequence[str]) -> set[int]:
    found = pattern.match(text)
    if found is None:
        return set()
    named = _named(found[1], choices)
    if not named:
        return named
    second = _SECOND_LETTER.match(found[2])
    return named | _same_text(found[2], choices) | _named(second[1] if second else "", choices)


def _named(mark: str, choices: Sequence[str]) -> set[int]:
    return {index for index in range(len(choices)) if letter(index) == mark}


def _same_text(text: str, choices: Sequence[str]) -> set[int]:
    """Return the choices whose words these are, with or without a full stop at the end."""
    said = {fold(text), fold(text).removesuffix(".")} - {""}
    return {index for index, choice in enumerate(choices) if fold(choice) in said}
