"""A person's judgement of cases, saved by the report's page, beside a finished run.

Reads the file of marks, says what was marked, and how far a judge agrees with the person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuneval.data.formats import read_file
from tuneval.errors import DataError
from tuneval.tasks.judge import judged_id
from tuneval.types import Finding, RunResult

KIND = "marks"
WRONG_REFERENCE = "wrong reference"
_VERDICTS = {"better": "candidate", "same": "tie", "worse": "baseline"}
"""Mark -> what a judge calls it."""
_TURNED = {"candidate": "baseline", "baseline": "candidate", "tie": "tie"}
MARKS = (*_VERDICTS, WRONG_REFERENCE)
N_DRAWS = 2000
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
    """Read the JSON Lines file that the report's page saves.

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
        mark = str(row.get("mark") or "")
        if mark not in MARKS:
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
        found.append(Mark(**values, mark=mark, note=str(row.get("note") or "")))
    return found


def with_marks(result: RunResult, marks: Sequence[Mark]) -> RunResult:
    """The run with what a person marked, one finding a pair, and with the judge's agreement."""
    pairs: dict[tuple[str, str], list[Mark]] = {}
    for one in marks:
        pairs.setdefault((one.baseline, one.candidate), []).append(one)
    found = [_said(pair, own) for pair, own in pairs.items()]
    agreement = _judge_agrees(result, marks)
    return replace(result, findings=(*result.findings, *found, *agreement))


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
        sentence=f"{text}. Marked cases are chosen by hand: they say nothing of the others.",
        values={name.replace(" ", "_"): float(n[name]) for name in MARKS},
        columns={"case": "text", "mark": "text", "note": "text"},
        rows=tuple((one.case_id, one.mark, one.note) for one in marks),
    )


def _judge_agrees(result: RunResult, marks: Sequence[Mark]) -> list[Finding]:
    pairs = list(_judged(result, marks))
    if not pairs:
        return []
    from tuneval.comparison.beyond.preference import agreement

    share, kappa = agreement(*zip(*pairs, strict=True))
    n_equal, n = sum(one == other for one, other in pairs), len(pairs)
    values = {"n": float(n), "share": share}
    text = f"The judge says what the person says in {n_equal} of {n} cases"
    if n < FEWEST_FOR_KAPPA or not np.isfinite(kappa):
        text += f"; too few or too alike for kappa ({FEWEST_FOR_KAPPA} are needed)"
    else:
        dice = np.random.default_rng(0)
        drawn = ([pairs[at] for at in draw] for draw in dice.integers(0, n, (N_DRAWS, n)))
        draws = [agreement(*zip(*one, strict=True))[1] for one in drawn]
        # A draw in which chance explains all has no kappa: nothing shows that they differ.
        low, high = np.quantile(np.nan_to_num(draws, nan=1.0), [0.025, 0.975])
        values |= {"kappa": kappa, "low": float(low), "high": float(high)}
        text += f" (Cohen's kappa {kappa:.2f}, 95% interval {low:.2f} to {high:.2f}, bootstrap)"
    return [Finding(KIND, "", "", "agreement", "note", f"{text}.", values)]


def _judged(result: RunResult, marks: Sequence[Mark]) -> Iterator[tuple[str, str]]:
    """(what the person said, what the judge said) in the judge's words, where both judged the pair."""
    verdicts = _verdicts(result)
    for one in marks:
        if one.mark not in _VERDICTS:
            continue
        at = judged_id(one.case_id)
        given = verdicts.get(one.candidate, {}).get(at)
        opposite = verdicts.get(one.baseline, {}).get(at)
        if given and not opposite:
            yield _VERDICTS[one.mark], given
        elif opposite and not given:
            yield _TURNED[_VERDICTS[one.mark]], opposite


def _verdicts(result: RunResult) -> Mapping[str, Mapping[str, str]]:
    """Variant -> judged case -> what the judge said of it beside the opponent, which has none."""
    places = [
        (n, case.id)
        for n, (task, case) in enumerate(
            (one.task, case) for one in result.case_sets for case in one.cases
        )
        if task == "judge"
    ]
    return {
        name: {
            case: str(own[n].label)
            for n, case in places
            if n < len(own) and own[n].problem is None and own[n].label
        }
        for name, own in result.predictions.items()
    }
