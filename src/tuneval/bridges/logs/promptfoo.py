"""promptfoo: the JSON that ``promptfoo eval -o results.json`` writes; a file may hold several systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.bridges.logs import Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number, opens_with, read_object, under
from tuneval.data.formats import listed
from tuneval.errors import DataError
from tuneval.registry import unknown

_ERROR = 2
"""promptfoo's ``failureReason`` of a call that failed, which is no wrong answer."""


class PromptfooResults:
    """A system is a provider, by its label; with several prompts, PROVIDER and the prompt's label."""

    has_systems = True

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """JSON files that begin as promptfoo's do."""
        found = under(place, "*.json")
        return tuple(path for path in found if opens_with(path, '"evalId"', '"results"'))

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log: the tests of one system."""
        if len(files) > 1:
            raise DataError(
                f"promptfoo: which of {listed(one.name for one in files)}? Name the file."
            )
        return (_read(files[0], wanted.system),)


def systems(path: Path) -> list[str]:
    """Who was evaluated in a file, in its order."""
    return list(_by_system(read_object(path)))


def _by_system(whole: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows = whole["results"]["results"]
    has_prompts = len({row.get("promptId") for row in rows}) > 1
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        provider = row["provider"].get("label") or row["provider"]["id"]
        name = f"{provider} {row['prompt']['label']}" if has_prompts else str(provider)
        found.setdefault(name, []).append(row)
    return found


def _read(path: Path, system: str | None) -> TaskLog:
    whole = read_object(path)
    by_system = _by_system(whole)
    if system is None and len(by_system) == 1:
        system = next(iter(by_system))
    if system is None:
        raise DataError(
            f"{path.name} holds {len(by_system)} systems: {listed(by_system)}.\n"
            f"Name one each: --logs NAME={path.name}:SYSTEM"
        )
    if system not in by_system:
        raise DataError(f"{path.name}: {unknown(system, by_system)}.")
    rows = sorted(by_system[system], key=lambda row: row["testIdx"])
    items = tuple(_item(row) for row in rows)
    names = list(dict.fromkeys(name for item in items for name in item.values))
    printed = _printed(whole, rows[0])
    version = (whole.get("metadata") or {}).get("promptfooVersion", "(version unknown)")
    return TaskLog(
        tool=f"promptfoo {version}",
        task=path.name.partition(".")[0],
        file=path.name,
        items=items,
        metrics={name: Logged(higher_is_better=True, reported=printed.get(name)) for name in names},
    )


def _printed(whole: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float]:
    """The means that follow from the sums of promptfoo's own table; {} where calls failed, since its
    sums count those."""
    table = whole["results"].get("prompts") or []
    provider = row["provider"].get("label") or row["provider"]["id"]
    own = next(
        (
            one["metrics"]
            for one in table
            if one["id"] == row.get("promptId") and one["provider"] == provider
        ),
        None,
    )
    if own is None or own["testErrorCount"]:
        return {}
    n = own["testPassCount"] + own["testFailCount"]
    counts = own.get("namedScoresCount") or {}
    found = {"success": own["testPassCount"] / n, "score": own["score"] / n}
    named = own.get("namedScores") or {}
    return found | {
        name: one / counts[name] for name, one in named.items() if counts.get(name) == n
    }


def _item(row: Mapping[str, Any]) -> Item:
    said = (row.get("response") or {}).get("output", "")
    asked = str(row["prompt"].get("raw", ""))
    values = {"success": as_number(row.get("success")), "score": as_number(row.get("score"))}
    values |= {name: as_number(one) for name, one in (row.get("namedScores") or {}).items()}
    is_error = row.get("failureReason") == _ERROR
    variables = row.get("vars") or {}
    return Item(
        id=str(row["testIdx"]),
        values={}
        if is_error
        else {name: (one, 1.0) for name, one in values.items() if one is not None},
        asked=asked,
        answer=said if isinstance(said, str) else json.dumps(said),
        fields={**(row.get("testCase") or {}).get("metadata", {}), **variables},
        fingerprint=hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest(),
        problem=f"promptfoo: {row.get('error') or 'the call failed'}" if is_error else None,
    )
