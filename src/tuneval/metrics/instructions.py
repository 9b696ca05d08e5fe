"""The 25 kinds of instruction of IFEval, each verifiable by a program.

A check is a function of an answer and the instruction's own settings; it says whether the answer
follows. Not for: how verdicts become a score (``ifeval.py``).

References
----------
Zhou et al. (2023), Instruction-following evaluation for large language models, arXiv:2311.07911.
Verdicts are those of its program (nltk 3.8.1, langdetect 1.0.9), oddities included: they make scores
comparable. Three differences: a letter to count that is no letter is counted as it stands (the program
draws a random one instead); the language of a text is found with a fixed seed; and sentences are parted
by nltk's Punkt with short lists of words instead of the trained English model, which cannot be shipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tuneval.errors import MetricError

Check = Callable[..., bool]

INSTALL = "pip install 'tuneval[ifeval]'"
_PARAGRAPH_ENDS = frozenset(".,?!'\"")
_YES_NO_MAYBE = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        """
    a.d a.k.a a.m ave b.c blvd bros capt cf cm co col corp d.c dept dr e.g est etc ex fig ft gen
    gov hon i.e inc jan feb apr aug sept oct nov dec jr kg km lt ltd m.d maj mr mrs ms mt no nos
    oz p.m p.s ph.d pp prof rep rev sen sgt sr st u.k u.n u.s u.s.a v vol vs
    """,
    )
)

_BEGINNERS = frozenset(
    re.findall(
        r"\S+",
        """
    a about after all also although an and another any are as at be because before both but by
    can could did do does during each even every few first for from had has have he her here his
    how however i'm if in instead is it it's its just last let let's like many may more most my
    next no not now of on once one only or other our out over people please second she since so
    some such than that that's the their then there there's these they they're this those though
    through to today together too two under until up use was we we're were what when where which
    while who why will with without would yet you you're your
    """,
    )
)
"""Words that also stand in small letters: with a capital after a full stop they begin a sentence."""


def follows(name: str, answer: str, settings: Mapping[str, Any]) -> bool:
    """Does the answer follow the instruction? An empty one follows none.

    Raises
    ------
    MetricError
        No such kind of instruction.
    """
    if name not in CHECKS:
        raise MetricError(f'IFEval has no instruction "{name}". Known: {", ".join(CHECKS)}.')
    return bool(answer.strip()) and CHECKS[name](answer, **settings)


def _is_enough(n: int, relation: str, wanted: int) -> bool:
    return n < wanted if relation == "less than" else n >= wanted


def _has_keywords(answer: str, keywords: list[str]) -> bool:
    return all(re.search(word, answer, re.IGNORECASE) for word in keywords)


def _keyword_often(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    return _is_enough(len(re.findall(keyword, answer, re.IGNORECASE)), relation, frequency)


def _has_no_forbidden(answer: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in forbidden_words)


def _letter_often(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _is_enough(answer.lower().count(letter.lower()), let_relation, let_frequency)


def _is_in_language(answer: str, language: str) -> bool:
    found = _language(answer)
    return found is None or found == language


def _sentences_often(answer: str, num_sentences: int, relation: str) -> bool:
    return _is_enough(len(_sentences(answer)), relation, num_sentences)


def _has_paragraphs(answer: str, num_paragraphs: int) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", answer)
    inner = parts[1:-1]
    if not all(part.strip() for part in inner):
        return False
    return sum(bool(part.strip()) for part in parts) == num_paragraphs


def _words_often(answer: str, num_words: int, relation: str) -> bool:
    return _is_enough(len(re.findall(r"\w+", answer)), relation, num_words)


def _nth_paragraph_begins(
    answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    parts = answer.split("\n\n")
    n = sum(bool(part.strip()) for part in parts)
    paragraph = parts[nth_paragraph - 1].strip() if nth_paragraph <= n else ""
    if not paragraph:
        return False
    word = paragraph.split()[0].lstrip("'").lstrip('"')
    end = next((at for at, c in enumerate(word) if c in _PARAGRAPH_ENDS), len(word))
    return n == num_paragraphs and word[:end].lower() == first_word.lower()


def _has_placeholders(answer: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= num_placeholders


def _has_postscript(answer: str, postscript_marker: str) -> bool:
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = known.get(postscript_marker, rf"\s*{postscript_marker.lower()}.*$")
    return bool(re.findall(pattern, answer.lower(), re.MULTILINE))


def _has_bullets(answer: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _is_yes_no_maybe(answer: str) -> bool:
    return any(one in answer.strip() for one in _YES_NO_MAYBE)


def _has_highlights(answer: str, num_highlights: int) -> bool:
    once = re.findall(r"\*[^\n\*]*\*", answer)
    twice = re.findall(r"\*\*[^\n\*]*\*\*", answer)
    n = sum(bool(one.strip("*").strip()) for one in once)
    n += sum(bool(one.removeprefix("**").removesuffix("**").strip()) for one in twice)
    return n >= num_highlights


def _has_sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{section_spliter}\s?\d+\s?", answer)) - 1 >= num_sections


def _is_json(answer: str) -> bool:
    text = answer.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(answer: str) -> bool:
    return any(one.lstrip("<").rstrip(">").strip() for one in re.findall(r"<<[^\n]+>>", answer))


def _has_two_responses(answer: str) -> bool:
    parts = answer.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    said = [part.strip() for part in parts if part.strip()]
    return len(said) == 2 and said[0] != said[1]


def _repeats_prompt(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends_with(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capitals_often(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    n = sum(word.isupper() for word in _tokens(answer))
    return _is_enough(n, capital_relation, capital_frequency)


def _is_english_capitals(answer: str) -> bool:
    return answer.isupper() and _is_in_language(answer, "en")


def _is_english_lowercase(answer: str) -> bool:
    return answer.islower() and _is_in_language(answer, "en")


def _has_no_comma(answer: str) -> bool:
    return "," not in answer


def _is_quoted(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


CHECKS: Mapping[str, Check] = {
    "keywords:existence": _has_keywords,
    "keywords:frequency": _keyword_often,
    "keywords:forbidden_words": _has_no_forbidden,
    "keywords:letter_frequency": _letter_often,
    "language:response_language": _is_in_language,
    "length_constraints:number_sentences": _sentences_often,
    "length_constraints:number_paragraphs": _has_paragraphs,
    "length_constraints:number_words": _words_often,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_begins,
    "detectable_content:number_placeholders": _has_placeholders,
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": _has_bullets,
    "detectable_format:constrained_response": _is_yes_no_maybe,
    "detectable_format:number_highlighted_sections": _has_highlights,
    "detectable_format:multiple_sections": _has_sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _has_title,
    "combination:two_responses": _has_two_responses,
    "combination:repeat_prompt": _repeats_prompt,
    "startend:end_checker": _ends_with,
    "change_case:capital_word_frequency": _capitals_often,
    "change_case:english_capital": _is_english_capitals,
    "change_case:english_lowercase": _is_english_lowercase,
    "punctuation:no_comma": _has_no_comma,
    "startend:quotation": _is_quoted,
}


@cache
def _language(text: str) -> str | None:
    """Code of the text's language; None where there is nothing to tell it by."""
    try:
        from langdetect import DetectorFactory, LangDetectException, detect
    except ImportError as error:
        raise MetricError(f"IFEval needs langdetect: {INSTALL}.") from error
    DetectorFactory.seed = 0
    try:
        return str(detect(text))
    except LangDetectException:
        return None


def _sentences(text: str) -> list[str]:
    return list(_punkt().tokenize(text))


def _tokens(text: str) -> list[str]:
    """Words and punctuation as in the Penn Treebank."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [token for sentence in _sentences(text) for token in tokenizer.tokenize(sentence)]


@cache
def _punkt() -> Any:
    try:
        from nltk.tokenize.punkt import (
            _ORTHO_MID_LC,  # flag of nltk's own table of how words are written
            PunktParameters,
            PunktSentenceTokenizer,
        )
    except ImportError as error:
        raise MetricError(f"IFEval needs nltk: {INSTALL}.") from error
    parameters = PunktParameters()
    parameters.abbrev_types = set(_ABBREVIATIONS)
    for word in _BEGINNERS:
        parameters.add_ortho_context(word, _ORTHO_MID_LC)
    return PunktSentenceTokenizer(parameters)
