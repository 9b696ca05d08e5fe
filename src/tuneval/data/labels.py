"""The label set of a classification file: given, declared by the source, or found in the column."""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval.data.formats import listed, quote
from tuneval.errors import ConfigError

Given = Sequence[str] | Mapping[str, str] | None
"""Labels as the user names them: in order, or raw value -> label."""

MAX_FOUND_LABELS = 50
MAX_LABEL_LENGTH = 64
_WHOLE = re.compile(r"(-?\d+)\.0+")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """``names`` in the order in which ties are broken; ``by_raw``: text in the file -> name."""

    names: tuple[str, ...]
    by_raw: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def fault(self, raw: str) -> str | None:
        """Say what is wrong with a raw label, None if it is one of the set."""
        if raw in self.by_raw:
            return None
        return f"label {quote(raw)} is not one of the {len(self.names)} labels{self._near(raw)}"

    def _near(self, raw: str) -> str:
        folded = {known.casefold(): known for known in self.by_raw}
        near = difflib.get_close_matches(raw.casefold(), folded, n=1, cutoff=0.6)
        return f" (did you mean {quote(folded[near[0]])}?)" if near else ""


def as_text(value: object) -> str:
    """A reference as text: 1 and 1.0 are "1", true is "true"; spaces around it do not count."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip()


def class_text(value: object) -> str:
    """A label as text: as ``as_text``, and "1.0" is "1" also where a file writes it as text."""
    text = as_text(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def are_json(references: Sequence[tuple[str, ...]]) -> bool:
    """Is every reference a JSON object or array? Such answers are read, not chosen."""
    texts = [text for own in references for text in own]
    return bool(texts) and all(map(_is_json, texts))


def _is_json(text: str) -> bool:
    if text.strip()[:1] not in ("{", "["):
        return False
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def are_classes(references: Sequence[tuple[str, ...]]) -> bool:
    """Apply the rule of thumb: at most 50 different references, each short, used twice on average."""
    if not references or any(len(texts) != 1 for texts in references) or are_json(references):
        return False
    distinct = {_fold(class_text(texts[0])) for texts in references}
    return (
        2 <= len(distinct) <= MAX_FOUND_LABELS
        and 2 * len(distinct) <= len(references)
        and all(len(text) <= MAX_LABEL_LENGTH and "\n" not in text for text in distinct)
        and not any(text.lstrip().startswith(("{", "[")) for text in distinct)  # JSON is no name
    )


def label_set(
    raw: Sequence[str], given: Given, declared: Sequence[str] | None, column: str
) -> LabelSet:
    """Find the label set of a file.

    Parameters
    ----------
    raw : sequence of str
        The label of each row, as text.
    given : sequence, mapping or None
        What the user said: labels in order, or raw value -> label.
    declared : sequence of str or None
        Names of the classes 0, 1, ... where the source declares them.
    column : str
        For the notes.

    Raises
    ------
    ConfigError
        ``given`` is a single text.
    """
    if isinstance(given, str):
        raise ConfigError(f"labels {quote(given)} is one text; give a list, or value -> label.")
    if isinstance(given, Mapping):
        known = _mapped({class_text(key): str(name) for key, name in given.items()})
    elif given is not None:
        known = _named(raw, tuple(str(name) for name in given), column, "the given labels")
    elif declared:
        known = _named(raw, tuple(declared), column, "the file's own class names")
    else:
        known = _found(raw, column)
    return _with_spellings(known, raw)


def _with_spellings(known: LabelSet, raw: Sequence[str]) -> LabelSet:
    """Read a label in other capitals, or composed otherwise, as the one of the set that it is."""
    folded: dict[str, list[str]] = {}
    for name in known.by_raw:
        folded.setdefault(_fold(name), []).append(name)
    others = {
        text: same[0]
        for text in sorted(set(raw) - known.by_raw.keys())
        if len(same := folded.get(_fold(text), [])) == 1
    }
    notes = tuple(
        f"Label {quote(text)} is read as {quote(name)}, spelled otherwise."
        for text, name in others.items()
    )
    by_raw = {**known.by_raw, **{text: known.by_raw[name] for text, name in others.items()}}
    return replace(known, by_raw=by_raw, notes=known.notes + notes)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _mapped(by_raw: Mapping[str, str]) -> LabelSet:
    names = tuple(dict.fromkeys(by_raw.values()))
    return LabelSet(names, {**{name: name for name in names}, **by_raw})


def _named(raw: Sequence[str], names: tuple[str, ...], column: str, whose: str) -> LabelSet:
    by_raw = {name: name for name in names}
    if by_raw.keys() & set(raw) or not any(_is_number(text) for text in raw):
        return LabelSet(names, by_raw)
    numbered = {str(index): name for index, name in enumerate(names)}
    note = f"The numbers in {quote(column)} count {whose} from 0 ({quote(names[0])})."
    return LabelSet(names, {**by_raw, **numbered}, (note,))


def _found(raw: Sequence[str], column: str) -> LabelSet:
    counts = _spelled_once(Counter(raw))
    if all(_is_number(text) for text in counts):
        names = tuple(sorted(counts, key=int))
        values = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        named = f"{names[0]}=NAME" + (f",{names[1]}=NAME" if len(names) > 1 else "")
        notes = (
            f"The labels in {quote(column)} are numbers ({values}); the digits are scored as text. "
            f"Name them with --labels {named}.",
        )
    else:
        names = tuple(sorted(counts))
        notes = (
            f"{len(names)} label{'s' * (len(names) != 1)} found in {quote(column)}: {listed(names, 10)}.",
        )
    return LabelSet(names, {name: name for name in names}, notes + _suspects(counts))


def _spelled_once(counts: Counter[str]) -> Counter[str]:
    """One spelling of each label, the most frequent, with the count of all."""
    chosen: dict[str, str] = {}
    total: Counter[str] = Counter()
    for text, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        total[chosen.setdefault(_fold(text), text)] += n
    return total


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _suspects(counts: Counter[str]) -> tuple[str, ...]:
    """Labels that look like a slip of the pen of a much more frequent one."""
    notes = []
    for rare, n in counts.items():
        frequent = [name for name in counts if counts[name] >= 20 * n and not _is_number(name)]
        if n <= 2 and frequent and not _is_number(rare):
            near = difflib.get_close_matches(rare, frequent, n=1, cutoff=0.85)
            if near:
                notes.append(
                    f"Label {quote(rare)} occurs {n} time{'s' * (n > 1)}, {quote(near[0])} "
                    f"{counts[near[0]]} times: a slip? --labels would refuse it."
                )
    return tuple(notes)
