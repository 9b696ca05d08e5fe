"""A person's judgement of cases, saved by the report's page, beside a finished run.

Reads the file of marks, says what was marked, and how far a judge agrees with the person. What the marks
make of the judge's win rate is ``correction``'s.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuneval.data.formats import read_file
from tuneval.errors import ConfigError, DataError
from tuneval.report.escape import json_text
from tuneval.runs.correction import corrected
from tuneval.runs.judged_pairs import CODES, SHARES, JudgedPair, judged_pairs, to_mark
from tuneval.types import Finding, RunResult

KIND = "marks"
WRONG_REFERENCE = "wrong reference"
_VERDICTS = {"better": "candidate", "same": "tie", "worse": "baseline"}
"""Mark -> what a judge calls it."""
_TURNED = {"better": "worse", "worse": "better"}
MARKS = (*_VERDICTS, WRONG_REFERENCE)
FEWEST_FOR_KAPPA = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person said of the candidate's answer beside the baseline's; variants by name."""

    case_id: str
    baseline: str
    candidate: str
    mark: str
    note: str = ""


def read_marks(path: Path, result: RunResult) -> list[Mark]:
    """Read the JSON Lines file that the report's page saves, or one that was drawn and filled; a row
    whose mark is left empty is not marked yet.

    Raises
    ------
    DataError
        A row that is no mark, of another run, of no case or variant of this one: with its line.
    """
    cases = {case.id for one in result.case_sets for case in one.cases}
    variants = {one.name for one in result.variants}
    table = read_file(path)
    for place, text in table.faults:
        raise DataError(f"{path}, {table.unit} {place}: {text}.")
    found = []
    for place, row in table.rows:
        where = f"{path}, {table.unit} {place}"
        values = {key: str(row.get(key) or "") for key in ("case_id", "baseline", "candidate")}
        mark = str(row.get("mark") or "").strip()
        if mark and mark not in MARKS:
            raise DataError(f"{where}: mark is {mark!r}. Known: {', '.join(MARKS)}.")
        if row.get("run") not in (None, result.run_id):
            raise DataError(
                f"{where}: this is a mark of run {row['run']}, not of {result.run_id}. Give the run "
                "that it was made in."
            )
        if values["case_id"] not in cases:
            raise DataError(f"{where}: the run has no case {values['case_id']!r}.")
        for side in ("baseline", "candidate"):
            if values[side] not in variants:
                known = ", ".join(sorted(variants))
                raise DataError(f"{where}: {side} is {values[side]!r}. The run has {known}.")
        if mark:
            found.append(Mark(**values, mark=mark, note=str(row.get("note") or "")))
    return found


def with_marks(result: RunResult, marks: Sequence[Mark]) -> RunResult:
    """The run with what a person marked, one finding a pair, and with what that says of the judge."""
    of_pair: dict[tuple[str, str], list[Mark]] = {}
    for one in marks:
        of_pair.setdefault((one.baseline, one.candidate), []).append(one)
    judged = [(pair, marks_of(pair, marks)) for pair in judged_pairs(result)]
    found = [_said(pair, own) for pair, own in of_pair.items()]
    agreement = _judge_agrees(judged)
    corrections = [corrected(pair, _shares(own), result) for pair, own in judged if own]
    return replace(result, findings=(*result.findings, *found, *agreement, *corrections))


def _shares(marks: Mapping[str, str]) -> dict[str, float | None]:
    """What each mark is worth to the candidate; None where the person judged something else."""
    return {
        case: SHARES[_VERDICTS[mark]] if mark in _VERDICTS else None for case, mark in marks.items()
    }


def marks_of(pair: JudgedPair, marks: Sequence[Mark]) -> dict[str, str]:
    """Case -> what a person said of the pair's candidate beside its opponent; the last mark counts."""
    found = {}
    for one in marks:
        if (one.baseline, one.candidate) == (pair.opponent, pair.candidate):
            found[one.case_id] = one.mark
        elif (one.candidate, one.baseline) == (pair.opponent, pair.candidate):
            found[one.case_id] = _TURNED.get(one.mark, one.mark)
    return found


def _said(pair: tuple[str, str], marks: Sequence[Mark]) -> Finding:
    baseline, candidate = pair
    n = Counter(one.mark for one in marks)
    wrong = n[WRONG_REFERENCE]
    text = (
        f"A person marked {len(marks)} {'case' if len(marks) == 1 else 'cases'}: {candidate} better "
        f"than {baseline} in {n['better']}, worse in {n['worse']}, the same in {n['same']}"
    )
    text += f"; {wrong} {'has' if wrong == 1 else 'have'} a wrong reference" * bool(wrong)
    return Finding(
        kind=KIND,
        variant=candidate,
        case_set="",
        subject=f"{candidate} beside {baseline}",
        level="note",
        sentence=f"{text}. Marked cases that were chosen by hand say nothing of the others.",
        values={name.replace(" ", "_"): float(n[name]) for name in MARKS},
        columns={"case": "text", "mark": "text", "note": "text"},
        rows=tuple((one.case_id, one.mark, one.note) for one in marks),
    )


def _judge_agrees(judged: Sequence[tuple[JudgedPair, Mapping[str, str]]]) -> list[Finding]:
    pairs = [
        (_VERDICTS[mark], pair.labels[case])
        for pair, own in judged
        for case, mark in own.items()
        if mark in _VERDICTS and case in pair.labels
    ]
    if not pairs:
        return []
    from tuneval.comparison.beyond import agreement

    person, judge = np.array([[CODES[word] for word in one] for one in pairs]).T
    tables = agreement.pair_tables(person, judge, len(CODES))
    n_equal, n = int((person == judge).sum()), len(pairs)
    kappa = float(agreement.cohen_kappa(tables.sum(axis=0)))
    values = {"n": float(n), "share": n_equal / n}
    text = f"The judge says what the person says in {n_equal} of {n} cases"
    if n < FEWEST_FOR_KAPPA or not np.isfinite(kappa):
        text += f"; too few or too alike for kappa ({FEWEST_FOR_KAPPA} are needed)"
    else:
        low, high = agreement.interval(agreement.cohen_kappa, tables, 0)
        values |= {"kappa": kappa, "low": low, "high": high}
        text += f" (Cohen's kappa {kappa:.2f}, 95% interval {low:.2f} to {high:.2f}, bootstrap)"
    return [Finding(KIND, "", "", "agreement", "note", f"{text}.", values)]


def write_to_mark(result: RunResult, n: int, known: Sequence[Mark], path: Path) -> str:
    """Write the first ``n`` cases of the random order for a person to mark; marks that are ``known``
    stand in their rows. Returns what was written, in words.

    Raises
    ------
    ConfigError
        No judge has compared two variants, or the file is there already and may hold marks.
    """
    if path.exists():
        raise ConfigError(
            f'"{path}" is there already and may hold marks. To go on with it: --marks "{path}" and '
            "another file with -o."
        )
    marks = {(m.case_id, m.baseline, m.candidate): {"mark": m.mark, "note": m.note} for m in known}
    rows = to_mark(result, n, marks)
    path.write_text(
        "".join(f"{json_text(json.dumps(row, ensure_ascii=False))}\n" for row in rows),
        encoding="utf-8",
    )
    n_open = sum(not row["mark"] for row in rows)
    return (
        f"{path}: {n_open} of {len(rows)} rows wait for a mark ({', '.join(_VERDICTS)}). The cases were "
        "drawn at random: mark them in this order, and leave none out."
    )


def with_cases_to_mark(result: RunResult, n: int) -> RunResult:
    """The run with a list of the first ``n`` cases of the random order, to be marked in its page."""
    ids = dict.fromkeys(row["case_id"] for row in to_mark(result, n, {}))
    found = Finding(
        kind="to mark",
        variant="",
        case_set="",
        subject="random order",
        level="note",
        sentence=f"{len(ids)} cases drawn at random. Mark them in this order, and leave none out: their "
        "marks then correct the judge's win rate.",
        columns={"case": "text"},
        rows=tuple((one,) for one in ids),
    )
    return replace(result, findings=(*result.findings, found))
