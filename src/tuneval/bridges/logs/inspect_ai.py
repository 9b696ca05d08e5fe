"""Inspect: ``.eval`` and ``.json`` logs; the value of a sample is the one it was reduced to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.bridges.logs import Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number, one_a_task, opens_with, read_object, under
from tuneval.errors import DataError

_WORDS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Inspect's own words for right, wrong, partly right, no answer."""
_MEANS = ("accuracy", "mean")
_HEAVY = {"events", "store", "attachments", "messages"}


class InspectLogs:
    """An ``.eval`` log is an archive that Inspect's own reader opens; a ``.json`` log is read as it is."""

    has_systems = False

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """Every .eval file, and .json files that begin as Inspect's do."""
        plain = (path for path in under(place, "*.json") if opens_with(path, '"version"', '"eval"'))
        return (*under(place, "*.eval"), *plain)

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log a task."""
        logs = {path: _content(path) for path in files}
        one_a_task({path: str(log["eval"]["task"]) for path, log in logs.items()})
        return tuple(_read(path, log) for path, log in logs.items())


def _content(path: Path) -> dict[str, Any]:
    log = _archive(path) if path.suffix == ".eval" else read_object(path)
    if "task" not in log.get("eval", {}) or not log.get("samples"):
        raise DataError(
            f"{path.name}: an Inspect log without samples; was it stopped, or kept short?"
        )
    return log


def _archive(path: Path) -> dict[str, Any]:
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise DataError(
            f"{path.name}: an .eval log is opened by Inspect itself: pip install inspect_ai, or "
            "`inspect log convert --to json` where it is installed."
        ) from None
    try:
        log = read_eval_log(str(path), exclude_fields=_HEAVY)
    except Exception as error:  # archives and versions of another tool fail in any way
        raise DataError(f"{path.name}: Inspect cannot read it ({error}).") from error
    found: dict[str, Any] = json.loads(log.model_dump_json())
    return found


def _read(path: Path, log: Mapping[str, Any]) -> TaskLog:
    run = log["eval"]
    values = _values(log)
    samples: dict[str, Mapping[str, Any]] = {}
    for sample in log["samples"]:
        samples.setdefault(str(sample["id"]), sample)
    return TaskLog(
        tool=f"inspect_ai {run.get('packages', {}).get('inspect_ai', '(version unknown)')}",
        task=str(run["task"]),
        file=path.name,
        items=tuple(_item(id_, sample, values[id_]) for id_, sample in samples.items()),
        metrics={name: Logged(reported=_reported(log, name)) for name in _names(values)},
        notes=(f"{path.name}: its status is {log.get('status')}",)
        if log.get("status") != "success"
        else (),
    )


def _values(log: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Sample id -> score -> value: Inspect's own reduction over epochs, else the mean over them."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    reductions = log.get("reductions") or []
    seen: set[str] = set()
    for reduction in reductions:
        if reduction["scorer"] in seen:
            continue  # another way to reduce the same scores; the first is the headline's
        seen.add(reduction["scorer"])
        for sample in reduction["samples"]:
            for name, value in _parts(reduction["scorer"], sample["value"]):
                found[str(sample["sample_id"])][name] = value
    if reductions:
        return found
    drawn: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in log["samples"]:
        for scorer, score in (sample.get("scores") or {}).items():
            for name, value in _parts(scorer, score["value"]):
                drawn[str(sample["id"]), name].append(value)
    for (id_, name), values in drawn.items():
        found[id_][name] = sum(values) / len(values)
    return found


def _parts(scorer: str, value: Any) -> Iterator[tuple[str, float]]:
    """A value that is a mapping is a score for each of its keys."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _parts(f"{scorer}/{key}", part)
        return
    number = _WORDS.get(value) if isinstance(value, str) else as_number(value)
    if number is not None:
        yield scorer, number


def _names(values: Mapping[str, Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for own in values.values() for name in own))


def _reported(log: Mapping[str, Any], name: str) -> float | None:
    """The mean that Inspect printed for a score; None where it printed another kind of number."""
    for score in (log.get("results") or {}).get("scores", []):
        if name in (score["scorer"], f"{score['scorer']}/{score['name']}"):
            means = (score["metrics"][one]["value"] for one in _MEANS if one in score["metrics"])
            return next((as_number(one) for one in means), None)
    return None


def _item(id_: str, sample: Mapping[str, Any], values: Mapping[str, float]) -> Item:
    asked, target = sample.get("input"), sample.get("target")
    choices = (sample.get("output") or {}).get("choices") or [{}]
    said = (choices[0].get("message") or {}).get("content", "")
    error = sample.get("error")
    return Item(
        id=id_,
        values={name: (value, 1.0) for name, value in values.items()},
        asked=asked if isinstance(asked, str) else json.dumps(_words_of(asked)),
        answer=said if isinstance(said, str) else json.dumps(said),
        expected=(target,) if isinstance(target, str) else tuple(map(str, target or ())),
        fields=sample.get("metadata") or {},
        problem=f"Inspect: {error.get('message', 'error')}" if error else None,
    )


def _words_of(turns: Any) -> list[list[str]]:
    """The turns of a chat without the ids that Inspect draws for them anew in every run."""
    return [[str(one.get("role")), json.dumps(one.get("content"))] for one in turns or ()]
