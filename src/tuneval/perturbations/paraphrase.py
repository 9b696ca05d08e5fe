"""The same in other words, from a file that a person wrote or looked through.

Writing paraphrases with a model is the command ``tuneval paraphrase``; a run only reads them.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tuneval.errors import ConfigError, DataError, gather
from tuneval.perturbations.text import NEGATIONS, main_text, with_main_text
from tuneval.types import Case

LENGTH_RATIO = (0.5, 2.0)
CHRF_RANGE = (30, 95)
SAME = "the same text"


class Paraphrase:
    """Read the twins' texts from a file.

    A paraphrase that loses or gains a number or a negation, or is less than half or more than
    twice as long, is refused and counts as unchanged; ``refused`` says which and why.

    Parameters
    ----------
    file : str or Path
        .jsonl or .csv with the columns ``id`` (id of a case, or what its own column ``id`` says)
        and ``text``. Several rows for one id give several twins.
    """

    name = "paraphrase"
    levels = ("file",)

    def __init__(self, file: str | Path | None = None) -> None:
        if file is None:
            raise ConfigError(
                "paraphrase: needs a file with id and text.\n"
                "Write one with tuneval paraphrase, look it through, and give it: paraphrase:FILE."
            )
        self.file = Path(file).name
        self.texts = _read(Path(file))
        self.refused: list[str] = []
        self.met: set[str] = set()

    def perturb(
        self, case: Case, level: str, random: np.random.Generator, protected: frozenset[str]
    ) -> tuple[Case, ...]:
        """Return one twin for each accepted paraphrase of the case."""
        text = main_text(case)
        key = case.id if case.id in self.texts else str(case.inputs.get("id", ""))
        if text is None or key not in self.texts:
            return ()
        self.met.add(key)
        accepted = []
        for other in self.texts[key]:
            why = objection(text, other)
            if why:
                self.refused.append(f"{case.id}: {why}")
            else:
                accepted.append(with_main_text(case, other))
        return tuple(accepted)

    def remarks(self) -> tuple[str, ...]:
        """Say what of the file was not used.

        Raises
        ------
        DataError
            Nothing was: the file belongs to other cases.
        """
        strangers = [case_id for case_id in self.texts if case_id not in self.met]
        if not self.met:
            raise DataError(
                f'{self.file}: no id names a case of this run (first: "{strangers[0]}").\n'
                "An id is that of a case (FILE:LINE), or what the case's own column id says."
            )
        found = []
        if strangers:
            found.append(
                f"{self.file}: {len(strangers)} ids name no case of this run "
                f'(first: "{strangers[0]}")'
            )
        if self.refused:
            found.append(
                f"{self.file}: {len(self.refused)} paraphrases refused (first: {self.refused[0]})"
            )
        return tuple(found)


def objection(text: str, other: str) -> str | None:
    """Say why ``other`` cannot be taken for a paraphrase of ``text``, None if it can."""
    if other.split() == text.split():
        return SAME
    if Counter(re.findall(r"\d+", text)) != Counter(re.findall(r"\d+", other)):
        return "other numbers"
    if _n_negations(text) != _n_negations(other):
        return "another number of negations"
    ratio = len(other) / max(1, len(text))
    if not LENGTH_RATIO[0] <= ratio <= LENGTH_RATIO[1]:
        return f"{ratio:.1f} times as long"
    return None


def unlikeness(text: str, other: str) -> str | None:
    """Say by chrF why a machine's paraphrase is no paraphrase, None if it may be one.

    For paraphrases that a model wrote; what a person wrote is not held to it.
    """
    from sacrebleu.metrics import CHRF

    score = CHRF().sentence_score(other, [text]).score
    if score < CHRF_RANGE[0]:
        return f"too far from the text (chrF below {CHRF_RANGE[0]})"
    return f"too near to the text (chrF above {CHRF_RANGE[1]})" if score > CHRF_RANGE[1] else None


def _n_negations(text: str) -> int:
    words = re.findall(r"[\w'’]+", text.lower().replace("’", "'"))
    return sum(word in NEGATIONS or word.endswith("n't") for word in words)


def _read(path: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    faults = []
    for line, row in _rows(path):
        match row:
            case {"id": str(case_id), "text": str(text)} if text.strip():
                texts.setdefault(case_id, []).append(text)
            case _:
                faults.append(f'line {line}: "id" and "text" must both be text')
    if not texts and not faults:
        raise DataError(f"{path.name} is empty: it holds no paraphrase.")
    if faults:
        headline = f"{path.name}: {len(faults)} paraphrases cannot be read."
        raise DataError(gather(headline, faults, "Mend the lines."))
    return texts


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(stream)
                for row in reader:
                    yield reader.line_num, row
                return
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _parsed(line)
    except OSError as error:
        raise DataError(f'paraphrases: "{path}" cannot be opened ({error.strerror}).') from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 (byte offset {error.start}).") from error


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None  # reported with its line as a row that cannot be read
