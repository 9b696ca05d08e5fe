"""Words of a gate ("accuracy >= 0.90") -> Condition. Not for: judging one, which ``runs.gate`` does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tuneval.errors import ConfigError
from tuneval.registry import unknown
from tuneval.types import CaseSet

GAP = "gap_to_full"
SLICE = "slice:"
RATIO = "_ratio"
"""After a kind of changed inputs: the share of its clean score that an arm keeps under it."""
CLEAN = "clean"
NONE_OF = ("brittle", "overfit", "forgot", "invalid", "warnings")
"""What a gate may ask to be absent: "brittle: none"."""

_CONDITION = re.compile(
    r"(?P<subject>.+?)[\s:=]*(?P<sign>>=|<=|>|<)\s*(?P<limit>[^<>=]+)", re.DOTALL
)
_NONE = re.compile(r"(?P<subject>.+?)[\s:=]+none", re.DOTALL)
_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\s*(?P<percent>%)?(?:\s*points?)?")
_RELATIVE = re.compile(
    r"(?P<reference>[^\s+\-%0-9]\S*?)(?:\s+(?P<side>[+-])\s*(?P<number>\d+\.?\d*|\.\d+)(?:\s*points?)?)?"
)
_EXAMPLES = (
    '"accuracy >= 0.90", "slice:intent=slow >= base - 2", "gap_to_full <= 5", "brittle none"'
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a run is held to.

    Attributes
    ----------
    text : str
        As it was written.
    subject : str
        A metric, "gap_to_full", "slice:NAME", or one of ``NONE_OF``.
    at : tuple of str
        Arms or case sets that it speaks of; empty for all that decide.
    sign : str
        ">=", ">", "<=", "<", or "none".
    reference : str
        The arm that the number is counted from ("base - 2": -2 from base), else "".
    number : float
        In points where there is a reference or a percent sign, else as it was written.
    """

    text: str
    subject: str
    at: tuple[str, ...]
    sign: str
    reference: str = ""
    number: float = 0.0
    is_percent: bool = False


def parse_condition(text: str) -> Condition:
    """Read one gate. Raises ValueError: it is no condition."""
    if found := _NONE.fullmatch(text.strip()):
        subject, at = _placed(found["subject"])
        if subject not in NONE_OF:
            raise ValueError(f'gate "{text}": {unknown(subject, NONE_OF)}')
        return Condition(text, subject, at, "none")
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'gate "{text}" is no condition. Such are {_EXAMPLES}')
    subject, at = _placed(found["subject"])
    limit = found["limit"].strip()
    if number := _NUMBER.fullmatch(limit):
        is_percent = number["percent"] is not None
        return Condition(text, subject, at, found["sign"], "", float(number["number"]), is_percent)
    relative = _RELATIVE.fullmatch(limit)
    if relative is None or subject == GAP:
        raise ValueError(f'gate "{text}": "{limit}" is no limit. Such are {_EXAMPLES}')
    offset = float(relative["number"] or 0) * (-1 if relative["side"] == "-" else 1)
    return Condition(text, subject, at, found["sign"], relative["reference"], offset)


def parse_conditions(texts: Iterable[str]) -> list[Condition]:
    """Read gates from the command line or a finished run. Raises ConfigError."""
    try:
        return [parse_condition(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"{error}.") from None


def refuse_unknown(
    conditions: Sequence[Condition],
    kinds: Mapping[str, str],
    case_sets: Sequence[CaseSet],
    metrics: Collection[str],
    slices: Collection[str] = (),
) -> None:
    """Refuse a gate that speaks of what the run does not have, before hours of inference.

    Parameters
    ----------
    kinds : mapping
        Arm -> its kind ("base", "adapter", "full").
    slices : collection of str
        Those that a finished run has beside groups and changed inputs.

    Raises
    ------
    ConfigError
        It names the gate and the nearest name.
    """
    slices = [*slice_names(case_sets), *slices]
    for one in conditions:
        named = one.subject.removeprefix(SLICE)
        faults = [
            unknown(place, [*kinds, *(cases.name for cases in case_sets)])
            for place in one.at
            if place not in kinds and place not in {cases.name for cases in case_sets}
        ]
        if one.reference and one.reference not in {*kinds, "base", CLEAN}:
            faults.append(unknown(one.reference, [*kinds, "base", CLEAN]))
        if one.subject.startswith(SLICE):
            if named not in slices:
                faults.append(unknown(named, slices))
        elif one.subject == GAP:
            if not {"adapter", "full"} <= set(kinds.values()):
                faults.append("it needs an adapter and a full fine-tune")
        elif one.subject.endswith(RATIO):
            kinds_of_change = changes_of(case_sets)
            if not changes_named(one.subject, kinds_of_change):
                faults.append(unknown(one.subject.removesuffix(RATIO), kinds_of_change))
        elif one.subject == "brittle":
            if all(case.perturbation is None for cases in case_sets for case in cases.cases):
                faults.append("no inputs are changed: add perturbations, or --robustness")
        elif one.subject not in NONE_OF and one.subject not in metrics:
            faults.append(unknown(one.subject, [*metrics, GAP]))
        if faults:
            raise ConfigError(f'gate "{one.text}": {"; ".join(faults)}.')


def changes_of(case_sets: Sequence[CaseSet]) -> list[str]:
    """The kinds of changed inputs, with their levels."""
    every = (case.perturbation for cases in case_sets for case in cases.cases)
    return list(dict.fromkeys(kind for kind in every if kind is not None))


def changes_named(subject: str, kinds: Sequence[str]) -> list[str]:
    """The kinds that "typos:heavy_ratio" (one level) or "typos_ratio" (every level) speaks of."""
    named = subject.removesuffix(RATIO)
    return [kind for kind in kinds if named in (kind, kind.partition(":")[0])]


def slice_names(case_sets: Sequence[CaseSet]) -> list[str]:
    """The groups and kinds of changed inputs that a gate may name."""
    names = {
        name: None
        for cases in case_sets
        for case in cases.cases
        for name in (
            *(f"{key}={value}" for key, value in case.groups.items()),
            *([case.perturbation] if case.perturbation is not None else []),
        )
    }
    return list(names)


def _placed(subject: str) -> tuple[str, tuple[str, ...]]:
    name, *at = (part.strip() for part in subject.split("@"))
    return name, tuple(at)
