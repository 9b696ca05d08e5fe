"""A task, group or tag of lm-eval as a benchmark of ours: its cases, its task, its metrics."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tuneval.benchmarks import Loaded
from tuneval.bridges.lm_eval.choose import comparable_metrics
from tuneval.bridges.lm_eval.installed import (
    find_tasks,
    installed_version,
    is_path,
    quiet,
    unavailable,
)
from tuneval.bridges.lm_eval.metric import LmEvalMetric
from tuneval.bridges.lm_eval.task import Document, LmEvalTask
from tuneval.errors import ConfigError, DataError
from tuneval.types import Case, CaseSet

TESTED = "0.4.13"


FEW_SHOT_SEED = 1234
"""lm-eval's own: the same examples stand before the same questions."""


HARMLESS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}


OURS = {"humaneval": "humaneval", "mbpp": "mbpp"}


def load(
    name: str,
    *,
    few_shot: int | None = None,
    limit: int | float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Loaded:
    """Build a task, group or tag of lm-eval, by its name or the path of its YAML file.

    Parameters
    ----------
    few_shot : int, optional
        Instead of the task's own number; one that fixes 0 keeps it, as in lm-eval.
    limit : int or float, optional
        The first documents of every task, or that share of them, as in lm-eval.
    options : mapping, optional
        ``include_path``: folders with YAML tasks of your own; so does the variable
        LM_EVAL_INCLUDE_PATH.

    Raises
    ------
    ConfigError
        lm-eval is not installed, there is no such task, or it cannot be asked here.
    DataError
        Its documents cannot be had.
    """
    tasks = find_tasks(name, options or {})
    documents: dict[str, Document] = {}
    for task_name, task in tasks.items():
        _refuse(task_name, task)
        documents |= _documents(task_name, task, few_shot, limit)
    several = len(tasks) > 1
    aggregations, better, remarks = comparable_metrics(name, documents)
    digest = _digest(documents)
    shots = {task.config.num_fewshot for task in tasks.values()}
    versions = {str(task.VERSION) for task in tasks.values()}
    identity = "|".join(
        [
            f"lm_eval:{installed_version()}",
            f"task:{'+'.join(tasks) if len(tasks) < 4 else f'{len(tasks)} of {name}'}",
            f"version:{'+'.join(sorted(versions))}",
            f"shots:{'+'.join(sorted(map(str, shots)))}",
            f"data:{digest}",
        ]
    )
    title = next(iter(tasks)) if is_path(name) and not several else Path(name).stem
    notes = [f"{identity}; texts as they are, without a chat template"]
    if installed_version() != TESTED:
        notes.append(f"tested with lm-eval {TESTED}, this is {installed_version()}")
    return Loaded(
        cases=CaseSet(
            name=f"lm_eval:{title}",
            source=f"lm-evaluation-harness {installed_version()}",
            layout="lm_eval",
            task="lm_eval",
            cases=tuple(
                Case(
                    id_,
                    {"asked": _shown(document)},
                    references=_references(document),
                    groups={"task": id_.rpartition(":")[0]} if several else {},
                )
                for id_, document in documents.items()
            ),
            sha256=digest,
            signature=identity,
            notes=tuple(notes),
        ),
        options={},
        metrics=tuple(aggregations),
        signature=identity,
        task=LmEvalTask(documents, aggregations, identity, tuple(remarks)),
        own_metrics=tuple(
            LmEvalMetric(metric, how, higher_is_better=better[metric])
            for metric, how in aggregations.items()
        ),
    )


def _refuse(name: str, task: Any) -> None:
    """Say now what cannot be asked here."""
    if getattr(task, "UNSAFE_CODE", False):
        own = next((ours for theirs, ours in OURS.items() if name.startswith(theirs)), None)
        instead = f" Use --benchmark {own}, which runs them in a sandbox." if own else ""
        raise ConfigError(
            f"lm_eval:{name} executes programs that the model writes in this process, unprotected: "
            f"it is not run.{instead}"
        )
    if getattr(task, "MULTIMODAL", False):
        raise ConfigError(
            f"lm_eval:{name} asks about images or sound; only texts can be asked here."
        )


def _documents(
    name: str, task: Any, few_shot: int | None, limit: int | float | None
) -> dict[str, Document]:
    """Every document with its requests; the steps of lm-eval's own evaluation, its caches off."""
    if few_shot is not None and task.config.num_fewshot != 0:
        task.set_config(key="num_fewshot", value=few_shot)
    elif task.config.num_fewshot is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEW_SHOT_SEED)
    with quiet():
        try:
            n = None
            if limit is not None:
                is_share = isinstance(limit, float)
                n = math.ceil(len(task.eval_docs) * limit) if is_share else int(limit)
            task.build_all_requests(limit=n, cache_requests=False)
        except Exception as error:  # prompts are made by code of the task's author
            raise DataError(unavailable(name, error)) from error
    by_document: dict[int, list[Any]] = {}
    for instance in task.instances:
        if instance.request_type == "generate_until":
            _refuse_words(name, instance.args[1])
        by_document.setdefault(instance.doc_id, []).append(instance)
    return {
        f"{name}:{number}": Document(
            task, instances[0].doc, tuple(sorted(instances, key=lambda one: one.idx))
        )
        for number, instances in by_document.items()
    }


def _refuse_words(name: str, words: Mapping[str, Any]) -> None:
    for word in sorted(set(words) - HARMLESS):
        raise ConfigError(
            f'lm_eval:{name} draws its answers with "{word}: {words[word]}", which cannot be done here.'
        )


def _shown(document: Document) -> str:
    """What was asked, for the case browser."""
    return str(document.instances[0].args[0])


def _references(document: Document) -> tuple[str, ...]:
    """What lm-eval expects, as far as its task tells; only shown."""
    try:
        target = document.task.doc_to_target(document.doc)
        choices = document.task.doc_to_choice(document.doc) if isinstance(target, int) else ()
        if isinstance(target, int) and 0 <= target < len(choices):
            target = choices[target]
    except Exception:  # noqa: BLE001 - not every task tells, and nothing rests on it
        return ()
    several = target if isinstance(target, list | tuple) else [target]
    return tuple(str(one).strip() for one in several)


def _digest(documents: Mapping[str, Document]) -> str:
    """Fingerprint of ids, documents (by lm-eval's own hash) and requests."""
    utils = import_module("lm_eval.utils")
    found = hashlib.sha256()
    for id_, document in documents.items():
        text = json.dumps(
            document.doc, indent=2, default=utils.handle_non_serializable, ensure_ascii=False
        )
        asked = [repr(one.args) for one in document.instances]
        found.update(json.dumps([id_, utils.hash_string(text), asked]).encode())
    return found.hexdigest()
