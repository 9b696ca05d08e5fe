"""One data file -> training, validation and test files that share no case, no user and no copy.

Chooses rows; writes nothing and changes none of them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tuneval.data.overlap import copies_within, text_of
from tuneval.data.read import read
from tuneval.data.source import load
from tuneval.errors import ConfigError, DataError
from tuneval.registry import unknown

SIDES = ("train", "validation", "test")
SUFFIXES = {".jsonl": "", ".csv": ",", ".tsv": "\t"}
"""Formats whose rows can be kept byte for byte; the delimiter of those that have one."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of each side as they stand in the file, in its order.

    ``labels``: side -> label -> rows; empty without a column of labels. ``n_copies`` rows are kept
    together with another row because they are copies, or nearly so. ``asked``: side -> the share
    that was asked for.
    """

    header: str
    suffix: str
    rows: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Mapping[str, int]]
    n_copies: int
    asked: Mapping[str, float] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """Side -> its share of the rows."""
        total = sum(map(len, self.rows.values()))
        return {side: len(rows) / total for side, rows in self.rows.items()}

    @property
    def missed(self) -> dict[str, float]:
        """Sides that miss the share asked for by more than a row: what they have instead."""
        one_row = 1 / sum(map(len, self.rows.values()))
        return {
            side: share
            for side, share in self.shares.items()
            if abs(share - self.asked.get(side, share)) > one_row
        }

    @property
    def imbalance_ratio(self) -> float | None:
        """Rows of the most frequent label over those of the rarest, in the training rows."""
        counts = self.labels["train"]
        return max(counts.values()) / min(counts.values()) if counts else None

    @property
    def class_weights(self) -> dict[str, float]:
        """n / (k n_c) of the training rows, ready for a loss; scikit-learn's "balanced"."""
        counts = self.labels["train"]
        return {label: sum(counts.values()) / (len(counts) * n) for label, n in counts.items()}

    def text(self, side: str) -> str:
        """The file of one side."""
        return self.header + "".join(self.rows[side])


def split(
    file: str | Path,
    *,
    test: float,
    validation: float = 0.0,
    stratify: str | None = None,
    group: str | None = None,
    text: str | None = None,
    selection_seed: int = 0,
) -> Split:
    """Divide the rows of a file.

    The same rows and seed give the same sides whatever the order of the rows. Shares of labels are
    kept as far as groups and copies, which are never torn, allow.

    Parameters
    ----------
    test, validation : float
        Shares of the rows.
    stratify : str, optional
        Column whose shares are the same on every side.
    group : str, optional
        Column whose value (a user, a document) never stands on two sides.
    text : str, optional
        Column by which copies are found; left out, the one that a run would ask.

    Raises
    ------
    ConfigError, DataError
        Shares that leave no training row, an unknown column, a format whose rows cannot be kept.
    """
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ConfigError(
            f"shares {test:g} for test and {validation:g} for validation leave nothing to train on."
        )
    path = Path(file)
    records = _records(path)
    labels = [_field(path, fields, stratify) if stratify else "" for _, fields in records[1]]
    groups = [_field(path, fields, group) for _, fields in records[1]] if group else []
    units, n_copies = _units(path, text, stratify, groups, len(records[1]))
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    chosen = _choose(units, labels, [raw for raw, _ in records[1]], shares, selection_seed)
    sides = [side for side in SIDES if shares[side] > 0]
    rows = {
        side: tuple(raw for (raw, _), own in zip(records[1], chosen, strict=True) if own == side)
        for side in sides
    }
    counts = {
        side: dict(
            sorted(
                Counter(
                    label for label, own in zip(labels, chosen, strict=True) if own == side
                ).items()
            )
        )
        for side in sides
    }
    if not all(rows.values()):
        empty = next(side for side in sides if not rows[side])
        raise DataError(
            f"{path.name}: no row is left for {empty}: there are too few independent rows."
        )
    suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    return Split(
        records[0],
        suffixes,
        rows,
        counts if stratify else {side: {} for side in sides},
        n_copies,
        {side: shares[side] for side in sides},
    )


Record = tuple[str, Mapping[str, object]]


def _records(path: Path) -> tuple[str, list[Record]]:
    """Header and rows as they stand in the file, each with its fields."""
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if ending.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DataError(
            f'{path.name}: rows of "{ending}" cannot be kept as they are (known: {known}, and .gz).'
        )
    load(path, None, "train")  # says what is wrong with the file, with line numbers
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        text = stream.read()
    lines = text.splitlines(keepends=True) if ending != ".jsonl" else text.split("\n")
    if ending.lower() == ".jsonl":
        return "", [(f"{line.rstrip()}\n", json.loads(line)) for line in lines if line.strip()]
    reader = csv.reader(lines, delimiter=SUFFIXES[ending.lower()])
    header = next(reader)
    begins = reader.line_num
    head = "".join(lines[:begins])
    records: list[Record] = []
    for fields in reader:
        raw = "".join(lines[begins : reader.line_num])
        begins = reader.line_num
        if any(fields):
            records.append(
                (
                    raw if raw.endswith(("\n", "\r")) else f"{raw}\n",
                    dict(zip(header, fields, strict=False)),
                )
            )
    return head, records


def _field(path: Path, fields: Mapping[str, object], column: str) -> str:
    if column not in fields:
        raise ConfigError(f"{path.name}: as a column {unknown(column, list(fields))}.")
    return str(fields[column])


def _units(
    path: Path, text: str | None, stratify: str | None, groups: Sequence[str], n_rows: int
) -> tuple[list[list[int]], int]:
    """Rows that must stay together, and how many of them are copies of others."""
    columns = {key: one for key, one in (("input", text), ("reference", stratify)) if one}
    cases = read(path, columns=columns, allow_duplicate_ids=True, asks=False).cases
    if len(cases) != n_rows:
        raise DataError(f"{path.name}: {n_rows} rows, but {len(cases)} cases: give one row a case.")
    parent = list(range(n_rows))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    copied: set[int] = set()
    for one, other in copies_within([text_of(case) for case in cases]):
        parent[root(other)] = root(one)
        copied.add(other)
    first: dict[str, int] = {}
    for at, value in enumerate(groups):
        parent[root(at)] = root(first.setdefault(value, at))
    units: dict[int, list[int]] = {}
    for at in range(n_rows):
        units.setdefault(root(at), []).append(at)
    return list(units.values()), len(copied)


def _choose(
    units: Sequence[Sequence[int]],
    labels: Sequence[str],
    raws: Sequence[str],
    shares: Mapping[str, float],
    selection_seed: int,
) -> list[str]:
    """Side of each row: every unit goes where its labels are most wanted, large units first."""
    counts = Counter(labels)
    wanted = {
        side: {label: share * n for label, n in counts.items()}
        for side, share in shares.items()
        if share > 0
    }

    def key(unit: Sequence[int]) -> tuple[int, str]:
        content = min(raws[at].strip() for at in unit)
        return -len(unit), hashlib.blake2b(
            f"{selection_seed}|{content}".encode("utf-8", "surrogatepass")
        ).hexdigest()

    chosen = [""] * len(labels)
    for unit in sorted(units, key=key):
        own = Counter(labels[at] for at in unit)
        side = max(
            wanted,
            key=lambda one: sum(
                n * wanted[one][label] / (shares[one] * counts[label]) for label, n in own.items()
            ),
        )
        for at in unit:
            chosen[at] = side
            wanted[side][labels[at]] -= 1
    return chosen
