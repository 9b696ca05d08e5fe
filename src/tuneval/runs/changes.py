"""What changed between two runs, from what their records hold: data, prompts, weights, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tuneval.report.view import Arm
from tuneval.runs.shared import Shared
from tuneval.types import Finding, RunResult

AREAS = ("data", "prompts", "weights", "settings")
_OF_PROMPTS = frozenset(("template", "options", "few_shot", "few_shot_file", "task", "columns"))
_ELSEWHERE = frozenset(
    [
        "name",
        "output",
        "gates",
        "variants",
        "cases",
        "prompting",
        "task_options",
        "references",
        "predictions",
        "problems",
        "samples",
    ]
)
"""What is looked at by itself, and where files lie, which says nothing of what is in them."""
_NOWHERE = "(none)"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. ``area`` is one of ``AREAS``."""

    area: str
    what: str
    before: str
    after: str


def changes(
    first: RunResult,
    second: RunResult,
    shared: Sequence[Shared],
    pairs: Sequence[tuple[Arm, Arm]],
) -> list[Change]:
    """List what differs, in the order of ``AREAS``."""
    found = [
        *_data(second, shared),
        *_described(first, second, shared),
        *(change for pair in pairs for change in _arms(first, second, *pair)),
        *_differing("settings", _settings(first), _settings(second)),
    ]
    return sorted(found, key=lambda change: AREAS.index(change.area))


def finding(found: Sequence[Change], same: Sequence[str]) -> Finding:
    """The changes as a table of the report; ``same`` names the arms whose answers did not change."""
    counts = {area: sum(one.area == area for one in found) for area in AREAS}
    said = ", ".join(f"{area} ({n})" for area, n in counts.items() if n)
    return Finding(
        kind="changes",
        variant="",
        case_set="",
        subject="between the runs",
        level="note",
        sentence=(
            f"Between the runs changed: {said}."
            if said
            else "Nothing changed in data, prompts, weights or settings."
        )
        + (f" The same answers in both runs: {', '.join(same)}." if same else ""),
        values={area: float(n) for area, n in counts.items()},
        columns={"area": "text", "what": "text", "before": "text", "after": "text"},
        rows=tuple((one.area, one.what, one.before, one.after) for one in found),
    )


def _data(second: RunResult, shared: Sequence[Shared]) -> Iterator[Change]:
    for one in shared:
        name = one.second.name
        n_shared = sum(case.origin is None for case in one.cases.cases)
        n_first, n_second = (
            sum(case.origin is None for case in cases.cases) for cases in (one.first, one.second)
        )
        if (n_first, n_second) != (n_shared, n_shared):
            yield Change(
                "data",
                f"{name}: cases, {n_shared:,} of them shared",
                f"{n_first:,}",
                f"{n_second:,}",
            )
        labels = [", ".join(cases.labels or ()) for cases in (one.first, one.second)]
        if set(one.first.labels or ()) != set(one.second.labels or ()):
            yield Change("data", f"{name}: labels", *labels)
        if one.n_relabelled:
            yield Change("data", f"{name}: other references", "", f"{one.n_relabelled:,} cases")
    matched = {one.second.name for one in shared}
    for cases in second.case_sets:
        if cases.name not in matched:
            yield Change("data", f"{cases.name}: cases", _NOWHERE, f"{len(cases.cases):,}")


def _described(first: RunResult, second: RunResult, shared: Sequence[Shared]) -> Iterator[Change]:
    """What run.yaml says of the cases and of how they are asked."""
    for key in ("prompting", "task_options"):
        yield from _differing(
            "prompts", _flat(first.spec.get(key), key), _flat(second.spec.get(key), key)
        )
    for one in shared:
        before, after = (
            _case_words(result, cases)
            for result, cases in ((first, one.first), (second, one.second))
        )
        for area, is_prompt in (("prompts", True), ("data", False)):
            sides = [
                {
                    f"{one.second.name}: {key}": value
                    for key, value in words.items()
                    if (key.partition(".")[0] in _OF_PROMPTS) == is_prompt
                }
                for words in (before, after)
            ]
            yield from _differing(area, *sides)


def _case_words(result: RunResult, cases: object) -> dict[str, str]:
    described = result.spec.get("cases")
    number = list(result.case_sets).index(cases)  # type: ignore[arg-type]
    if not isinstance(described, list | tuple) or number >= len(described):
        return {}
    flat = _flat(described[number], "")
    return {key: value for key, value in flat.items() if key not in ("file", "name", "labels")}


def _arms(first: RunResult, second: RunResult, before: Arm, after: Arm) -> Iterator[Change]:
    name = before.name if before.name == after.name else f"{before.name}, {after.name}"
    sides = [_of_arm(first, before, name), _of_arm(second, after, name)]
    for area in ("prompts", "weights"):
        yield from _differing(area, sides[0][area], sides[1][area])


def _of_arm(result: RunResult, arm: Arm, name: str) -> dict[str, dict[str, str]]:
    """Area -> what the backend found out about an arm; of its training seeds every value once."""
    facts = {one.variant: one for one in result.facts}
    prompts: dict[str, list[str]] = {}
    weights: dict[str, list[str]] = {"training seeds": [str(len(arm.variants))]}
    for variant in arm.variants:
        fact = facts.get(variant.name)
        if fact is None:
            weights.setdefault("from", []).append(variant.adapter or variant.model)
            continue
        prompts.setdefault("format", []).append(fact.prompt_format)
        words = {"fingerprint": fact.fingerprint[:12], "dtype": fact.dtype, **fact.settings}
        for key, text in (words | {"tokenizer": fact.tokenizer}).items():
            weights.setdefault(key, []).append(text)
    return {
        area: {f"{name}: {key}": ", ".join(dict.fromkeys(texts)) for key, texts in words.items()}
        for area, words in (("prompts", prompts), ("weights", weights))
    }


def _settings(result: RunResult) -> dict[str, str]:
    spec = {key: value for key, value in result.spec.items() if key not in _ELSEWHERE}
    return _flat(spec, "") | {f"version of {key}": one for key, one in result.environment.items()}


def _flat(value: object, prefix: str) -> dict[str, str]:
    """Dotted keys -> text."""
    if isinstance(value, Mapping) and value:
        parts = [
            _flat(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()
        ]
        return {key: text for part in parts for key, text in part.items()}
    if value is None or value in ({}, [], (), ""):
        return {}
    return {prefix: str(list(value) if isinstance(value, tuple) else value)}


def _differing(area: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield Change(area, key, before.get(key, _NOWHERE), after.get(key, _NOWHERE))
