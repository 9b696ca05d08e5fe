"""Which test cases occur in the training rows: word for word, nearly, or in a long run of words.

Compares texts; knows no model and judges nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tuneval.types import Case

OverlapKind = Literal["exact", "near", "run of words"]
KINDS: tuple[OverlapKind, ...] = ("exact", "near", "run of words")
"""From the strongest evidence to the weakest."""

SIMILAR = 0.8
"""Least Jaccard similarity of two sets of shingles."""
SAME_WORDS = 0.9
"""Least share of equal words, in order, of two texts of ten words or more: one word in a dozen may
differ. Shingles of five words cannot see that: each changed word breaks five of them."""
SHORT = 10
"""Texts of fewer words are compared by runs of five characters, others by runs of five words."""
RUN, SHORT_RUN = 13, 8
"""Words of a run, as for GPT-3 (Brown et al. 2020, appendix C), and of one in a shorter text."""
TOO_COMMON = 10
"""A run that so many training rows hold is a turn of phrase, not a leak."""

PERMUTATIONS, BANDS, ROWS = 128, 21, 6
"""MinHash: 21 bands of 6 find a pair of word sets that is alike by .8 with a chance of .998."""


class Text(NamedTuple):
    """What is compared: an input and what is expected for it. ``id`` says where it stands."""

    id: str
    text: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One test case that occurs in the training rows, with its strongest evidence.

    ``similarity`` is 1 for an exact copy, the Jaccard similarity or share of equal words for a near
    one, and the share of the case's runs that occur for a run of words. ``has_reference``: the
    training row expects the same.
    """

    case_id: str
    kind: OverlapKind
    training_id: str
    similarity: float
    has_reference: bool


def text_of(case: Case) -> Text:
    """The words of a case that are its own: question rather than passage, the person's turns.

    Questions on one passage share the passage; that is no leak.
    """
    inputs = case.inputs
    turns = inputs.get("messages")
    if isinstance(turns, tuple) and turns:
        words = "\n".join(str(turn.content) for turn in turns if turn.role == "user")
    else:
        keys = ("question", "text", "prompt", "article", "instruction", "input", "context")
        found = {key: str(inputs[key]) for key in keys if inputs.get(key)}
        first = next(iter(found), "")
        kept = ("instruction", "input") if first == "instruction" else (first,)
        words = "\n".join(found[key] for key in kept if key in found)
    return Text(case.id, words, "\n".join(case.references[:1]))


_APOSTROPHES = dict.fromkeys(map(ord, "'’`"))


def normalised(text: str) -> str:
    """NFKC, lower case, punctuation and blanks as one blank; an apostrophe parts no word."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES)
    return " ".join("".join(one if one.isalnum() else " " for one in folded).split())


def find_overlap(training: Iterable[Text], test: Sequence[Text]) -> tuple[Overlap, ...]:
    """Find the test texts that occur in the training texts.

    Exact: equal after `normalised`. Near: shingles alike by at least .8 (Jaccard), or nine in ten
    words equal; candidates come from MinHash over words (or characters of short texts) and each is
    verified. Run of words: 13 in a row (8 where a text has fewer than 13) that occur in some, but
    not in more than ten training rows.

    Parameters
    ----------
    training : iterable of Text
        Read once.
    test : sequence of Text

    Returns
    -------
    tuple of Overlap
        At most one a test text, in the order of ``test``. The same texts give the same answer.
    """
    tests = [_Prepared.of(one) for one in test]
    index = _Index(tests)
    runs = _Runs(tests)
    by_text: dict[str, list[int]] = {}
    for at, one in enumerate(tests):
        by_text.setdefault(one.normal, []).append(at)
    exact: dict[int, Overlap] = {}
    near: dict[int, Overlap] = {}
    for row in _distinct(training):
        for at in by_text.get(row.normal, ()):
            found = _found(tests[at], "exact", row, 1.0)
            if at not in exact or (found.has_reference and not exact[at].has_reference):
                exact[at] = found
        for at in index.candidates(row):
            similarity = _similarity(tests[at], row)
            if similarity is not None and (at not in near or similarity > near[at].similarity):
                near[at] = _found(tests[at], "near", row, similarity)
        runs.see(row)
    in_runs = runs.found()
    strongest = (exact.get(at) or near.get(at) or in_runs.get(at) for at in range(len(tests)))
    return tuple(one for one in strongest if one is not None)


@dataclass(frozen=True, slots=True)
class _Prepared:
    origin: Text
    normal: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: Text) -> _Prepared:
        normal = normalised(text.text)
        return cls(text, normal, tuple(normal.split(" ")) if normal else ())

    @property
    def is_short(self) -> bool:
        return len(self.words) < SHORT

    def shingles(self) -> frozenset[object]:
        """Runs of five words, or of five characters of a short text."""
        parts: Sequence[object] = self.normal if self.is_short else self.words
        return frozenset(parts[at : at + 5] for at in range(max(1, len(parts) - 4)))


def _distinct(training: Iterable[Text]) -> Iterator[_Prepared]:
    """Rows with equal texts and references are looked at once."""
    seen: set[tuple[str, str]] = set()
    for one in training:
        row = _Prepared.of(one)
        key = (row.normal, one.reference)
        if row.words and key not in seen:
            seen.add(key)
            yield row


def _found(case: _Prepared, kind: OverlapKind, row: _Prepared, similarity: float) -> Overlap:
    same = case.origin.reference != "" and normalised(case.origin.reference) == normalised(
        row.origin.reference
    )
    return Overlap(case.origin.id, kind, row.origin.id, similarity, same)


def _similarity(case: _Prepared, row: _Prepared) -> float | None:
    """How alike two texts are if they are near copies, else None. The case decides the measure."""
    if case.normal == row.normal:
        return None  # exact
    if not case.is_short:
        from rapidfuzz.distance import Levenshtein

        words = Levenshtein.normalized_similarity(case.words, row.words, score_cutoff=SAME_WORDS)
        if words >= SAME_WORDS:
            return float(words)
    one, other = case.shingles(), _as_long_as(case, row)
    jaccard = len(one & other) / len(one | other)
    return jaccard if jaccard >= SIMILAR else None


def _as_long_as(case: _Prepared, row: _Prepared) -> frozenset[object]:
    """The row's shingles of the kind that the case has, though it may be a word longer or shorter."""
    if case.is_short == row.is_short:
        return row.shingles()
    parts: Sequence[object] = row.normal if case.is_short else row.words
    return frozenset(parts[at : at + 5] for at in range(max(1, len(parts) - 4)))


class _Index:
    """MinHash over the test texts: which of them may be near copies of a training row."""

    def __init__(self, tests: Sequence[_Prepared]) -> None:
        from datasketch import MinHashLSH

        self.short, self.long = (
            MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS)) for _ in range(2)
        )
        for at, one in enumerate(tests):
            if one.words:
                index = self.short if one.is_short else self.long
                index.insert(at, _minhash(_tokens(one, one.is_short)), check_duplication=False)

    def candidates(self, row: _Prepared) -> list[int]:
        """Positions of test texts, ascending. A row near the border is held against both kinds."""
        found: set[int] = set()
        if len(row.words) <= SHORT + 1:
            found.update(self.short.query(_minhash(_tokens(row, True))))
        if len(row.words) >= SHORT - 1:
            found.update(self.long.query(_minhash(_tokens(row, False))))
        return sorted(found)


def _tokens(text: _Prepared, is_short: bool) -> Iterable[str]:
    if not is_short:
        return set(text.words)
    return {text.normal[at : at + 5] for at in range(max(1, len(text.normal) - 4))}


def _minhash(tokens: Iterable[str]) -> object:
    from zlib import crc32

    from datasketch import MinHash

    made = MinHash(num_perm=PERMUTATIONS, hashfunc=crc32)
    made.update_batch([token.encode("utf-8", "surrogatepass") for token in tokens])
    return made


class _Runs:
    """Runs of words of the test texts, and which training rows hold them."""

    def __init__(self, tests: Sequence[_Prepared]) -> None:
        self.tests = tests
        self.own: dict[int, frozenset[tuple[str, ...]]] = {}
        self.seen: dict[tuple[str, ...], int] = {}
        self.first: dict[tuple[str, ...], _Prepared] = {}
        for at, one in enumerate(tests):
            length = RUN if len(one.words) >= RUN else SHORT_RUN
            self.own[at] = frozenset(_runs(one.words, length))
            self.seen.update(dict.fromkeys(self.own[at], 0))
        self.lengths = sorted({len(run) for run in self.seen})

    def see(self, row: _Prepared) -> None:
        """Count a training row's runs that some test text has."""
        for length in self.lengths:
            for run in set(_runs(row.words, length)):
                if run in self.seen:
                    self.seen[run] += 1
                    self.first.setdefault(run, row)

    def found(self) -> Mapping[int, Overlap]:
        """Position -> overlap of every test text with a run that is not too common."""
        overlaps = {}
        for at, runs in self.own.items():
            hits = [run for run in runs if 0 < self.seen[run] <= TOO_COMMON]
            if hits:
                order = [run for run in _runs(self.tests[at].words, len(hits[0])) if run in hits]
                share = len(hits) / len(runs)
                overlaps[at] = _found(self.tests[at], "run of words", self.first[order[0]], share)
        return overlaps


def _runs(words: tuple[str, ...], length: int) -> Iterator[tuple[str, ...]]:
    return (words[at : at + length] for at in range(len(words) - length + 1))


def copies_within(texts: Sequence[Text]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose texts are equal or near copies, each pair once."""
    prepared = [_Prepared.of(one) for one in texts]
    first: dict[str, int] = {}
    for at, one in enumerate(prepared):
        if not one.words:
            continue
        if one.normal in first:
            yield first[one.normal], at
        first.setdefault(one.normal, at)
    kept = sorted(first.values())
    index = _Index([prepared[at] for at in kept])
    for at in kept:
        for other in (kept[found] for found in index.candidates(prepared[at])):
            if other < at and _similarity(prepared[other], prepared[at]) is not None:
                yield other, at
