"""A person's own hard cases: twins of the test cases that they name, or a case set of their own.

Not for: changing cases (``perturbations``), judging what came of them (``checks``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tuneval.data.read import read
from tuneval.errors import ConfigError, DataError, gather
from tuneval.perturbations import identified
from tuneval.perturbations.text import main_text
from tuneval.plan.spec import CasesSpec, RunSpec
from tuneval.types import Case, CaseSet

ORIGIN = "origin"
"""Column that names the case that a row is a harder form of: its id (FILE:LINE), what its own
column ``id`` says, or its line, counted from 1."""

Reader = Callable[[CasesSpec], CaseSet]


class Joined(NamedTuple):
    """Spec and case sets with the adversarial cases, and notes for the user. A file without
    ``origin`` has become a section of ``spec.cases``."""

    spec: RunSpec
    case_sets: tuple[CaseSet, ...]
    notes: tuple[str, ...]


def join(spec: RunSpec, case_sets: Sequence[CaseSet], read_cases: Reader) -> Joined:
    """Read the adversarial files of a run.

    Raises
    ------
    ConfigError, DataError
        There is no test file to go with, a file cannot be read like it, or a row's origin is no
        case of it.
    """
    _refuse_equal_names(spec.adversarial)
    described, sets, notes, left = list(spec.cases), list(case_sets), [], []
    for file in spec.adversarial:
        at = _first_file(described, sets)
        own = _read(file, described[at], sets[at])
        if any(ORIGIN in case.inputs for case in own.cases):
            whole = sets[at]
            if described[at].limit is not None:
                whole = read_cases(described[at].model_copy(update={"limit": None}))
            twins, note = _twins(own, sets[at], whole)
            sets[at] = replace(sets[at], cases=(*sets[at].cases, *twins))
            left.append(file)
            notes.append(note)
        else:
            section = _section(file, described[at], sets[at])
            described.append(section)
            sets.append(replace(read_cases(section), is_exploratory=True))
            notes.append(
                f'{sets[-1].name}: no column "{ORIGIN}", so a case set of its own; no verdict '
                "rests on it"
            )
    changes = {"cases": tuple(described), "adversarial": tuple(left)}
    return Joined(spec.model_copy(update=changes), tuple(sets), tuple(notes))


def _refuse_equal_names(files: Sequence[str]) -> None:
    stems = [_stem(file) for file in files]
    twice = [stem for n, stem in enumerate(stems) if stem in stems[:n]]
    if twice:
        raise ConfigError(f'two adversarial files are called "{twice[0]}": rename one.')


def _stem(file: str) -> str:
    return Path(file).name.partition(".")[0].replace("=", "-")


def _first_file(described: Sequence[CasesSpec], case_sets: Sequence[CaseSet]) -> int:
    for at, (section, cases) in enumerate(zip(described, case_sets, strict=True)):
        if section.file is not None and cases.is_decisive:
            return at
    raise ConfigError("--adversarial needs a test file to go with: give --data FILE.")


def _read(file: str, described: CasesSpec, cases: CaseSet) -> CaseSet:
    """Read a file the way the test file was read."""
    return read(
        file,
        columns=_columns(described, cases),
        template=described.template,
        task=cases.task,
        labels=described.labels or cases.labels,
        allow_duplicate_ids=True,
    )


def _columns(described: CasesSpec, cases: CaseSet) -> Mapping[str, str]:
    """Input and reference of the test file, where naming them says all that its layout says."""
    columns = described.columns or cases.columns
    if set(columns) <= {"input", "reference", "id", "cluster", "group"}:
        return {key: columns[key] for key in ("input", "reference") if key in columns}
    return {}


def _section(file: str, like: CasesSpec, cases: CaseSet) -> CasesSpec:
    return like.model_copy(
        update={
            "file": file,
            "benchmark": None,
            "name": f"{_stem(file)} (adversarial)",
            "task": cases.task,
            "labels": like.labels or cases.labels,
            "columns": _columns(like, cases),
            "limit": None,
            "exploratory": True,
        }
    )


def _twins(own: CaseSet, cases: CaseSet, whole: CaseSet) -> tuple[list[Case], str]:
    """Tie rows to their originals; those whose original was not drawn by --limit are left out."""
    known = {case.id: case for case in cases.cases if case.origin is None}
    names = _names_of(whole.cases)
    made: dict[str, list[Case]] = {}
    faults, n_undrawn, n_same = [], 0, 0
    for case in own.cases:
        origin = names.get(_word(case.inputs.get(ORIGIN)))
        if origin is None:
            faults.append(f"line {_line(case)}: {_stranger(case, cases)}")
        elif origin not in known:
            n_undrawn += 1
        elif main_text(case) == main_text(known[origin]):
            n_same += 1
        else:
            made.setdefault(origin, []).append(replace(case, groups=known[origin].groups))
    if faults:
        headline = f"{Path(own.source).name}: {len(faults)} rows have no original."
        raise DataError(
            gather(
                headline,
                faults,
                f'Column "{ORIGIN}" holds the id of a case of {cases.name} ({whole.cases[0].id}), '
                "or its line.\nWithout that column the file is a case set of its own.",
            )
        )
    kind = f"adversarial:{_stem(own.source)}"
    twins = [
        twin for id_, several in made.items() for twin in identified(known[id_], kind, several)
    ]
    note = f"{cases.name}: {len(twins)} adversarial twins of {len(made)} cases ({kind})"
    note += f"; {n_same} equal to their original: dropped" if n_same else ""
    note += f"; {n_undrawn} of cases that --limit left out" if n_undrawn else ""
    return twins, note


def _names_of(cases: Sequence[Case]) -> Mapping[str, str]:
    """Every name that a case may be called by -> its id; an own id comes before a line."""
    originals = [case for case in cases if case.origin is None]
    lines = {_line(case): case.id for case in originals}
    own = {_word(case.inputs["id"]): case.id for case in originals if "id" in case.inputs}
    return {**({} if own else lines), **own, **{case.id: case.id for case in originals}}


def _line(case: Case) -> str:
    return case.id.rpartition(":")[2]


def _word(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def _stranger(case: Case, cases: CaseSet) -> str:
    if ORIGIN not in case.inputs:
        return f'no "{ORIGIN}"'
    return f'"{_word(case.inputs[ORIGIN])}" is no case of {cases.name}'
