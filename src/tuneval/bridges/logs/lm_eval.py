"""lm-evaluation-harness: ``samples_TASK_DATE.jsonl``, with ``results_DATE.json`` beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneval.bridges.lm_eval.metric import SUMS, row_of
from tuneval.bridges.logs import MEAN, Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number, one_a_task, read_object, under
from tuneval.data.formats import Row, read_file
from tuneval.errors import DataError, gather

_NAME = re.compile(r"samples_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl(?:\.gz)?")
_PLAIN = "none"
"""Its name for no filter at all."""
_USUAL = {
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    **{name: name for name in ("bits_per_byte", "perplexity", "brier_score", "f1")},
    "mcc": "matthews_corrcoef",
}
"""Its default aggregation of metrics that are no means, for logs without their results."""


class LmEvalLogs:
    """Every filter of a task gives metrics of its own, called as lm-eval prints them."""

    has_systems = False

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """Files that are called as lm-eval calls them."""
        return tuple(
            path for path in under(place, "samples_*.jsonl*") if _NAME.fullmatch(path.name)
        )

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log a task; the tasks of a group that has a number of its own are one log."""
        tasks = {path: _NAME.fullmatch(path.name) for path in files}
        one_a_task({path: found[1] for path, found in tasks.items() if found})
        logs: dict[str, TaskLog] = {}
        runs: dict[Path, dict[str, Any]] = {}
        for path, found in tasks.items():
            if found:
                place = path.with_name(f"results_{found[2]}.json")
                runs.setdefault(place, read_object(place))
                logs[found[1]] = _read(path, found[1], runs[place])
        for results in runs.values():
            logs = _pooled(logs, results)
        return tuple(logs.values())


def _pooled(logs: dict[str, TaskLog], results: Mapping[str, Any]) -> dict[str, TaskLog]:
    """The logs with those of every outermost group as one, where lm-eval printed a number for it.

    The name of its own task becomes a column of each document. A group that averages its tasks and
    not their documents has a number that does not follow from these, and is left out as such.
    """
    members: Mapping[str, Sequence[str]] = results.get("group_subtasks", {})
    inner = {name for own in members.values() for name in own}
    for group in members:
        leaves = _leaves(group, members)
        printed = {
            name: number
            for name, value in results.get("groups", {}).get(group, {}).items()
            if "," in name and "_stderr" not in name and (number := as_number(value)) is not None
        }
        if group in inner or not printed or not all(one in logs for one in leaves):
            continue
        first = logs[leaves[0]]
        metrics = {
            label: replace(logged, reported=printed[key])
            for label, logged in first.metrics.items()
            if (key := label if "," in label else f"{label},{_PLAIN}") in printed
            and all(label in logs[one].metrics for one in leaves)
        }
        items = tuple(
            replace(item, id=f"{one}:{item.id}", fields={**item.fields, "task": one})
            for one in leaves
            for item in logs[one].items
        )
        notes = tuple(dict.fromkeys(note for one in leaves for note in logs[one].notes))
        file = f"{len(leaves)} files of {group}"
        pooled = TaskLog(first.tool, group, file, items, metrics, notes)
        logs = {name: one for name, one in logs.items() if name not in leaves} | {group: pooled}
    return logs


def _leaves(name: str, members: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks below a group, those of groups inside it included."""
    if not members.get(name):
        return [name]
    return [leaf for one in members[name] for leaf in _leaves(one, members)]


def _read(path: Path, task: str, results: Mapping[str, Any]) -> TaskLog:
    table = read_file(path)
    if table.faults or not table.rows:
        faults = [f"line {one.place}: {one.text}" for one in table.faults] or ["it is empty"]
        raise DataError(gather(f"{path.name} cannot be read.", faults))
    metrics: dict[str, Logged] = {}
    items: dict[str, tuple[Row, dict[str, tuple[float, ...]]]] = {}
    left_out: dict[str, str] = {}
    aggregations = _aggregations(results, task)
    better = results.get("higher_is_better", {}).get(task, {})
    printed = results.get("results", {}).get(task, {})
    for row in table.rows:
        for label, plain, value in _values(row, path):
            how = aggregations.get(plain) or _USUAL.get(plain, MEAN)
            try:
                rows = row_of(how, value) if how in SUMS else None
            except (TypeError, ValueError, IndexError):
                rows = None
            if rows is None:
                left_out[label] = _why(how)
                continue
            key = label if "," in label else f"{label},{_PLAIN}"
            metrics.setdefault(label, Logged(how, better.get(plain), as_number(printed.get(key))))
            items.setdefault(str(row.fields["doc_id"]), (row, {}))[1][label] = rows
    return TaskLog(
        tool=f"lm-eval {results.get('lm_eval_version', '(version unknown)')}",
        task=task,
        file=path.name,
        items=tuple(_item(id_, row, values) for id_, (row, values) in items.items()),
        metrics={label: one for label, one in metrics.items() if label not in left_out},
        notes=tuple(f'{task}: "{label}" is left out: {why}' for label, why in left_out.items()),
    )


def _why(how: str) -> str:
    if how in SUMS:
        return "the log has no numbers of it for each document"
    return f'its aggregation "{how}" is no function of sums over documents'


def _values(row: Row, path: Path) -> Iterator[tuple[str, str, Any]]:
    """Name as printed, plain name and value of every metric of a line."""
    fields = row.fields
    if "doc_id" not in fields or not isinstance(fields.get("metrics"), list):
        raise DataError(
            f'{path.name}, line {row.place}: no "doc_id" or no "metrics"; lm-eval writes both with '
            "--log_samples."
        )
    filter_ = str(fields.get("filter", _PLAIN))
    for name in fields["metrics"]:
        if name in fields:
            yield (name if filter_ == _PLAIN else f"{name},{filter_}"), name, fields[name]


def _aggregations(results: Mapping[str, Any], task: str) -> dict[str, str]:
    """Metric -> aggregation, as far as the task's configuration spells it."""
    listed = results.get("configs", {}).get(task, {}).get("metric_list") or []
    return {
        str(one["metric"]): str(one["aggregation"])
        for one in listed
        if isinstance(one, Mapping) and "metric" in one and one.get("aggregation")
    }


def _item(id_: str, row: Row, values: Mapping[str, tuple[float, ...]]) -> Item:
    fields = row.fields
    document = fields.get("doc")
    first = next(iter((fields.get("arguments") or {"": {}}).values()))
    answers = fields.get("filtered_resps") or [""]
    answer = answers[0] if len(answers) == 1 else answers
    return Item(
        id=id_,
        values=values,
        asked=str(first.get("arg_0", "")) if isinstance(first, Mapping) else "",
        answer=answer if isinstance(answer, str) else str(answer),
        expected=(str(fields.get("target", "")),),
        fields=document if isinstance(document, Mapping) else {},
        fingerprint=str(fields.get("doc_hash", "")),
    )
