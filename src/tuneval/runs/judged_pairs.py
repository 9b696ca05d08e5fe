"""What the judge of a finished run said of each pair, and the random order in which a person marks cases.

The order hangs on the run's id and the case ids alone: whoever marks its beginning has marked cases that
were drawn at random, however the marks were made, and nobody need keep a list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tuneval.errors import ConfigError
from tuneval.tasks.judge import conversation, judged_id
from tuneval.types import CaseSet, Prediction, RunResult

SHARES = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}
CODES = {"baseline": 0, "tie": 1, "candidate": 2}


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """``candidate`` beside ``opponent`` on one judged case set. ``shares`` and ``labels``: id of the case
    as it was first asked -> the judge's verdict, in the random order; cases without one are left out."""

    case_set: str
    opponent: str
    candidate: str
    shares: Mapping[str, float]
    labels: Mapping[str, str]
    has_clusters: bool


def judged_pairs(result: RunResult) -> list[JudgedPair]:
    """Every pair of variants that the judge of this run, or the panel of its judges, has compared."""
    return [
        pair
        for cases, start in _places(result)
        if cases.task == "judge" and not cases.is_exploratory
        for pair in _pairs(cases, _of_set(result, cases, start), result.run_id)
    ]


def _places(result: RunResult) -> Iterator[tuple[CaseSet, int]]:
    start = 0
    for cases in result.case_sets:
        yield cases, start
        start += len(cases.cases)


def _of_set(result: RunResult, cases: CaseSet, start: int) -> dict[str, Sequence[Prediction]]:
    return {name: own[start : start + len(cases.cases)] for name, own in result.predictions.items()}


def _pairs(
    cases: CaseSet, told: Mapping[str, Sequence[Prediction]], run_id: str
) -> Iterator[JudgedPair]:
    # Nobody was asked about the opponent: its verdicts have no words of a judge behind them.
    opponents = [name for name, own in told.items() if own and not any(map(_was_asked, own))]
    if len(opponents) != 1:  # the answers that came with the cases: no variant of the run
        return
    ids = [case.id.removesuffix(judged_id("")) for case in cases.cases]
    order = sorted(range(len(ids)), key=lambda at: _draw(run_id, ids[at]))
    for name, own in told.items():
        read = [at for at in order if own[at].problem is None and own[at].label in SHARES]
        if name != opponents[0] and read:
            yield JudgedPair(
                cases.name,
                opponents[0],
                name,
                {ids[at]: _share(own[at]) for at in read},
                {ids[at]: str(own[at].label) for at in read},
                any(case.cluster is not None for case in cases.cases),
            )


def _was_asked(verdict: Prediction) -> bool:
    return bool(verdict.completions) or verdict.problem is not None


def _share(verdict: Prediction) -> float:
    shares = verdict.label_probabilities
    return shares["candidate"] if shares is not None else SHARES[str(verdict.label)]


def _draw(run_id: str, case_id: str) -> bytes:
    """A case's place in the random order."""
    return hashlib.blake2b(f"{run_id}|{case_id}|to mark".encode()).digest()


def to_mark(
    result: RunResult, n: int, known: Mapping[tuple[str, str, str], Mapping[str, str]]
) -> list[dict[str, str]]:
    """Rows of a file of marks to be filled: the first ``n`` cases of every judged pair.

    Parameters
    ----------
    known : mapping
        Case, baseline and candidate -> the mark and note that it has already.

    Raises
    ------
    ConfigError
        No judge has compared two variants of this run.
    """
    pairs = judged_pairs(result)
    if not pairs:
        raise ConfigError(
            "--to-mark: no judge has compared two variants of this run, so there is nothing to correct. "
            "Give a run with --judge whose opponent is the baseline."
        )
    cases = {case.id: case for one in result.case_sets for case in one.cases}
    rows = []
    for pair in pairs:
        said = {name: _texts(result, name) for name in (pair.opponent, pair.candidate)}
        for case_id in list(pair.shares)[:n]:
            key = (case_id, pair.opponent, pair.candidate)
            rows.append(
                {
                    "run": result.run_id,
                    "case_id": case_id,
                    "baseline": pair.opponent,
                    "candidate": pair.candidate,
                    **(known.get(key) or {"mark": "", "note": ""}),
                    "prompt": conversation(cases[case_id]),
                    "baseline_answer": said[pair.opponent].get(case_id, ""),
                    "candidate_answer": said[pair.candidate].get(case_id, ""),
                }
            )
    return rows


def _texts(result: RunResult, variant: str) -> dict[str, str]:
    ids = [case.id for one in result.case_sets for case in one.cases]
    own = result.predictions[variant]
    return {case: one.text or "" for case, one in zip(ids, own, strict=False)}
