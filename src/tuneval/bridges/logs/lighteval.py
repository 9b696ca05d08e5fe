"""lighteval: ``details_TASK_DATE.parquet``, with ``results_DATE.json`` in its results folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.bridges.logs import Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number, one_a_task, read_object, under
from tuneval.data.formats import read_file
from tuneval.errors import DataError

_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.:-]+)\.parquet")


class LightevalDetails:
    """Columns ``doc``, ``metric`` and ``model_response``, a structure each."""

    has_systems = False

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """Files that are called as lighteval calls them."""
        found = under(place, "details_*.parquet")
        return tuple(path for path in found if _NAME.fullmatch(path.name))

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log a task."""
        tasks = {path: _NAME.fullmatch(path.name) for path in files}
        one_a_task({path: found[1] for path, found in tasks.items() if found})
        return tuple(_read(path, found[1], found[2]) for path, found in tasks.items() if found)


def _read(path: Path, task: str, date: str) -> TaskLog:
    results = _results(path, date)
    rows = [row.fields for row in read_file(path).rows]
    if not rows or not {"doc", "metric"} <= rows[0].keys():
        raise DataError(
            f'{path.name}: no columns "doc" and "metric"; lighteval 0.11 or later has them.'
        )
    described = results.get("config_tasks", {}).get(task, {}).get("metrics") or []
    better = {str(one.get("metric_name")): one.get("higher_is_better") for one in described}
    printed = results.get("results", {}).get(task, {})
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row["metric"])
        if all(as_number(row["metric"].get(name)) is not None for row in rows)
    ]
    absent = sorted({name for row in rows for name in row["metric"]} - {*names})
    return TaskLog(
        tool="lighteval",
        task=task.partition("|")[0],
        file=path.name,
        items=tuple(_item(row, names) for row in rows),
        metrics={
            name: Logged(higher_is_better=better.get(name), reported=as_number(printed.get(name)))
            for name in names
        },
        notes=tuple(f'{task}: "{one}" has no number for each item: left out' for one in absent),
    )


def _results(path: Path, date: str) -> dict[str, Any]:
    """Beside the details of a run lie its results: DIR/details/MODEL/DATE and DIR/results/MODEL."""
    for folder in path.parents:
        found = sorted(folder.glob(f"results/**/results_{date}.json"))
        if found:
            return read_object(found[0])
        if folder.name == "details":
            return read_object(next(folder.parent.rglob(f"results_{date}.json"), folder / "none"))
    return {}


def _item(row: Mapping[str, Any], names: Sequence[str]) -> Item:
    document, response = row["doc"], row.get("model_response") or {}
    choices, gold = document.get("choices") or [], document.get("gold_index")
    wanted = gold if isinstance(gold, list) else [gold]
    return Item(
        id=str(document["id"]),
        values={name: (float(row["metric"][name]), 1.0) for name in names},
        asked=str(document.get("query", "")),
        answer=str((response.get("text") or [""])[0]),
        expected=tuple(
            choices[one].strip() for one in wanted if isinstance(one, int) and one < len(choices)
        ),
        fields=document.get("specific") or {},
    )
