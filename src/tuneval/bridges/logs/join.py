"""Logs of several systems -> case sets, predictions and metrics that are paired."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuneval.bridges.lm_eval.metric import number_of
from tuneval.bridges.logs import Item, Logged, TaskLog
from tuneval.bridges.logs.metric import LoggedMetric, is_higher_better
from tuneval.data.clusters import equal_inputs
from tuneval.data.labels import as_text
from tuneval.data.read import group_value
from tuneval.errors import ConfigError, DataError, gather
from tuneval.registry import unknown
from tuneval.types import Case, CaseSet, Prediction

Systems = Mapping[str, TaskLog]
"""System -> what it did on one task."""

TOLERANCE = 1e-9
"""Relative; a mean of the items that is further from the tool's own number is not that number."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: columns of groups and clusters, metrics (the first decides; () means
    all of the tool's), and whether less is better (None: as the log or the name says)."""

    groups: Sequence[str] = ()
    cluster: str | None = None
    metrics: tuple[str, ...] = ()
    higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """One task: its cases, and for every system predictions in their order."""

    cases: CaseSet
    predictions: Mapping[str, tuple[Prediction, ...]]
    metrics: tuple[LoggedMetric, ...]


def join(logs: Mapping[str, Sequence[TaskLog]], asked: Asked) -> tuple[Joined, ...]:
    """Pair the items that all systems have, task by task.

    Raises
    ------
    DataError
        The systems share no task, no item or no metric, or equal ids stand for different items.
    ConfigError
        No task has the metric or the column that was asked for.
    """
    by_task: dict[str, dict[str, TaskLog]] = {}
    for system, own in logs.items():
        for log in own:
            by_task.setdefault(log.task, {})[system] = log
    shared = {task: own for task, own in by_task.items() if len(own) == len(logs)}
    if not shared:
        raise DataError(
            gather(
                "--logs: the systems have no task in common.",
                [f"{system}: {', '.join(log.task for log in own)}" for system, own in logs.items()],
                "Each must hold the same task.",
            )
        )
    left_out = tuple(
        f"{task}: only {', '.join(own)} has it: left out"
        for task, own in by_task.items()
        if task not in shared
    )
    _refuse_unknown_metrics(shared, asked)
    _refuse_unknown_columns(shared, asked)
    joined = [_join(task, own, asked) for task, own in shared.items() if _has(own, asked)]
    first = joined[0]
    notes = (*left_out, *first.cases.notes)
    return (replace(first, cases=replace(first.cases, notes=notes)), *joined[1:])


def _join(task: str, logs: Systems, asked: Asked) -> Joined:
    items, notes = _paired(task, logs)
    metrics, checked = _metrics(task, logs, asked)
    any_log = next(iter(logs.values()))
    first = next(iter(items.values()))
    bare = [_case(task, item, asked) for item in first]
    cases, equal = equal_inputs(bare, [{"asked": one.asked} if one.asked else {} for one in first])
    names = [metric.name for metric in metrics]
    digest = hashlib.sha256(repr([(one.id, one.asked, one.fingerprint) for one in first]).encode())
    return Joined(
        CaseSet(
            name=task,
            source=any_log.tool,
            layout="logs",
            task="logged",
            cases=cases,
            sha256=digest.hexdigest(),
            notes=(
                *dict.fromkeys(
                    f"{system}: {log.file}, written by {log.tool}" for system, log in logs.items()
                ),
                *dict.fromkeys(note for log in logs.values() for note in log.notes),
                *notes,
                *checked,
                *equal,
            ),
        ),
        {
            system: tuple(_prediction(case.id, item, names) for case, item in _zip(cases, own))
            for system, own in items.items()
        },
        metrics,
    )


def _zip(cases: Sequence[Case], items: Sequence[Item]) -> Iterator[tuple[Case, Item]]:
    return zip(cases, items, strict=True)


# ---- items ---------------------------------------------------------------------------------------


def _paired(task: str, logs: Systems) -> tuple[dict[str, list[Item]], list[str]]:
    """The items that all have, in the first system's order: by ids, or by what was asked where the
    same ids stand for other items."""
    by_id = {system: {item.id: item for item in log.items} for system, log in logs.items()}
    first = next(iter(logs))
    ids = [id_ for id_ in by_id[first] if all(id_ in own for own in by_id.values())]
    strange = [id_ for id_ in ids if len(_contents(own[id_] for own in by_id.values())) > 1]
    notes = []
    if strange:
        by_content = {system: _by_content(log) for system, log in logs.items()}
        keys = [key for key in by_content[first] if all(key in own for own in by_content.values())]
        if not keys or any(len(by_content[one]) < len(log.items) for one, log in logs.items()):
            raise DataError(
                gather(
                    f"{task}: {len(strange)} of {len(ids)} ids stand for different items.",
                    [f'id "{id_}"' for id_ in strange],
                    "Were the systems asked the same data?",
                )
            )
        by_id, ids = by_content, keys
        notes.append(f"{task}: joined by what was asked, since equal ids stand for different items")
    if not ids:
        raise DataError(f"{task}: the systems have no item in common; do their ids agree?")
    notes += [
        f"{task}: {system} has {len(own)} items, {len(ids)} are shared and compared"
        for system, own in by_id.items()
        if len(own) > len(ids)
    ]
    return {system: [own[id_] for id_ in ids] for system, own in by_id.items()}, notes


def _contents(items: Iterator[Item]) -> set[str]:
    return {_content(item) for item in items} - {""}


def _content(item: Item) -> str:
    return item.fingerprint or item.asked


def _by_content(log: TaskLog) -> dict[str, Item]:
    return {_content(item): item for item in log.items if _content(item)}


def _case(task: str, item: Item, asked: Asked) -> Case:
    cluster = item.fields.get(asked.cluster) if asked.cluster else None
    return Case(
        id=f"{task}:{item.id}",
        inputs={"id": item.id, **({"asked": item.asked} if item.asked else {})},
        references=item.expected,
        groups={
            name: value
            for name in asked.groups
            if (value := group_value(item.fields, name)) is not None
        },
        cluster=None if cluster is None else as_text(cluster),
    )


def _refuse_unknown_columns(shared: Mapping[str, Systems], asked: Asked) -> None:
    """A column may come with the items of some tasks only; one of none is a slip."""
    logs = [next(iter(own.values())) for own in shared.values()]
    known = list(dict.fromkeys(name for log in logs for item in log.items for name in item.fields))
    wanted = [*asked.groups, *([asked.cluster] if asked.cluster else [])]
    for name in wanted:
        for part in [name] if name in known else name.split("+"):
            if part not in known:
                raise ConfigError(f"{logs[0].file}: column: {unknown(part, known)}.")


def _prediction(case_id: str, item: Item, metrics: Sequence[str]) -> Prediction:
    lacking = [name for name in metrics if name not in item.values]
    problem = item.problem or (f"no value of {lacking[0]} in the log" if lacking else None)
    return Prediction(
        case_id,
        text=item.answer,
        completions=(item.answer,),
        values=item.values,
        problem=problem,
    )


# ---- metrics -------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """lm-eval's comma before a filter may be typed as a colon, since commas part names."""
    return name.replace(",", ":")


def _named(logs: Systems, wanted: str) -> str | None:
    """The metric that a word means: its name, or the first filter of it."""
    names = list(next(iter(logs.values())).metrics)
    exact = [name for name in names if _plain(name) == _plain(wanted)]
    return next(iter([*exact, *(one for one in names if one.partition(",")[0] == wanted)]), None)


def _has(logs: Systems, asked: Asked) -> bool:
    return not asked.metrics or any(_named(logs, one) is not None for one in asked.metrics)


def _refuse_unknown_metrics(shared: Mapping[str, Systems], asked: Asked) -> None:
    known = [_plain(name) for own in shared.values() for name in next(iter(own.values())).metrics]
    for one in asked.metrics:
        if all(_named(own, one) is None for own in shared.values()):
            raise ConfigError(f"--metrics: {unknown(one, dict.fromkeys(known))}.")


def _metrics(
    task: str, logs: Systems, asked: Asked
) -> tuple[tuple[LoggedMetric, ...], tuple[str, ...]]:
    """Metrics that all systems have and whose printed numbers the items give back."""
    first = next(iter(logs.values()))
    wanted = [_named(logs, one) for one in asked.metrics] or list(first.metrics)
    chosen, notes = [], []
    for name in dict.fromkeys(one for one in wanted if one is not None):
        logged = [log.metrics.get(name) for log in logs.values()]
        if None in logged:
            notes.append(f'{task}: "{name}" is not in every log: left out')
            continue
        strange = [f"{system}'s" for system, log in logs.items() if not _gives_back(log, name)]
        if strange:
            notes.append(
                f'{task}: "{name}" is left out: from the items of the log {strange[0]} own number '
                "does not follow"
            )
            continue
        higher = asked.higher_is_better
        chosen.append(
            LoggedMetric(
                name,
                first.metrics[name],
                (
                    row
                    for log in logs.values()
                    for item in log.items
                    if (row := item.values.get(name))
                ),
                tool=first.tool,
                higher_is_better=is_higher_better(name, first.metrics[name])
                if higher is None
                else higher,
            )
        )
    if not chosen:
        raise DataError(
            gather(f"{task}: no metric can be compared.", notes or ["none is in the log"])
        )
    return tuple(chosen), tuple(notes)


def _gives_back(log: TaskLog, name: str) -> bool:
    """Is the tool's own number the one that follows from its items?"""
    logged: Logged = log.metrics[name]
    if logged.reported is None:
        return True
    rows = [item.values[name] for item in log.items if name in item.values]
    number = float(number_of(logged.aggregation, np.array(rows, dtype=np.float64).sum(axis=0)))
    return math.isclose(number, logged.reported, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
