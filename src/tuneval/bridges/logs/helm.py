"""HELM: a run's folder with ``per_instance_stats.json``, and beside it its spec, state and statistics."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneval.bridges.logs import Item, Logged, TaskLog, Wanted
from tuneval.bridges.logs.files import as_number, one_a_task, read_object, under
from tuneval.errors import DataError

_NAME = "per_instance_stats.json"
_OF_THE_MODEL = ("model=", "model_deployment=")
_ABOUT_THE_CALL = ("num_", "training_", "inference_", "finish_reason_", "batch_size", "prompt_")
"""What HELM counts beside the metrics that a run asks for."""


class HelmRuns:
    """The metrics that the run's spec names come first; perturbed instances are left out."""

    has_systems = False

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]:
        """Files of that name."""
        return tuple(under(place, _NAME))

    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]:
        """One log a run."""
        specs = {path: read_object(path.with_name("run_spec.json")) for path in files}
        tasks = {path: _task(spec, path) for path, spec in specs.items()}
        one_a_task(tasks)
        return tuple(_read(path, tasks[path], specs[path]) for path in files)


def _task(spec: Mapping[str, Any], path: Path) -> str:
    """ "mmlu:subject=anatomy,model=own_base" -> "mmlu:subject=anatomy"."""
    scenario, _, words = str(spec.get("name", path.parent.name)).partition(":")
    kept = [word for word in words.split(",") if word and not word.startswith(_OF_THE_MODEL)]
    return f"{scenario}:{','.join(kept)}" if kept else scenario


def _read(path: Path, task: str, spec: Mapping[str, Any]) -> TaskLog:
    entries = [one for one in _list(path) if not one.get("perturbation")]
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:  # one for each draw of examples; their mean is the instance's value
        for stat in entry["stats"]:
            number = as_number(stat.get("mean"))
            if number is not None:
                values[str(entry["instance_id"])][stat["name"]["name"]].append(number)
    if not values:
        raise DataError(f"{path.name}: no instance has a number.")
    asked = [name for one in spec.get("metric_specs", []) for name in one["args"].get("names", [])]
    found = dict.fromkeys(name for own in values.values() for name in own)
    names = [name for name in asked if name in found] or [
        name for name in found if not name.startswith(_ABOUT_THE_CALL)
    ]
    printed = _printed(path)
    states = _states(path)
    return TaskLog(
        tool="HELM",
        task=task,
        file=f"{path.parent.name}/{path.name}",
        items=tuple(_item(id_, own, names, states.get(id_, {})) for id_, own in values.items()),
        metrics={name: Logged(reported=printed.get(name)) for name in names},
    )


def _list(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: no JSON log ({error}).") from error
    return found if isinstance(found, list) else []


def _printed(path: Path) -> dict[str, float]:
    """The means of the run, over unperturbed instances of the one split that was evaluated."""
    found: dict[str, list[float]] = defaultdict(list)
    for stat in _list(path.with_name("stats.json")):
        number = as_number(stat.get("mean"))
        if number is not None and "perturbation" not in stat["name"]:
            found[stat["name"]["name"]].append(number)
    return {name: numbers[0] for name, numbers in found.items() if len(numbers) == 1}


def _states(path: Path) -> dict[str, Mapping[str, Any]]:
    states = read_object(path.with_name("scenario_state.json")).get("request_states", [])
    return {str(one["instance"]["id"]): one for one in reversed(states)}


def _item(
    id_: str, values: Mapping[str, list[float]], names: Sequence[str], state: Mapping[str, Any]
) -> Item:
    instance = state.get("instance") or {}
    said = ((state.get("result") or {}).get("completions") or [{}])[0].get("text", "")
    right = [
        str(one["output"]["text"])
        for one in instance.get("references", [])
        if "correct" in one.get("tags", [])
    ]
    return Item(
        id=id_,
        values={
            name: (sum(values[name]) / len(values[name]), 1.0) for name in names if name in values
        },
        asked=str((instance.get("input") or {}).get("text", "")),
        answer=str(said),
        expected=tuple(right),
        fields={key: instance[key] for key in ("split", "sub_split") if instance.get(key)},
    )
