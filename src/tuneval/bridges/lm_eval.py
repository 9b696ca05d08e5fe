"""The tasks of an installed lm-evaluation-harness, asked by our engine and compared by our statistics.

lm-eval words the requests, filters the answers and measures each document; how a task's numbers are
summed up is looked up in a short table, and what is no sum is refused. Not for: its models, its
caches, its statistics.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneval import registry
from tuneval.benchmarks import Loaded
from tuneval.errors import ConfigError, DataError
from tuneval.types import (
    Case,
    CaseSet,
    Completion,
    Decoding,
    Prediction,
    Request,
    Response,
    StatisticKind,
    Unit,
)

Floats = NDArray[np.float64]

TESTED = "0.4.13"
INCLUDE_PATH = "LM_EVAL_INCLUDE_PATH"
FEW_SHOT_SEED = 1234
"""lm-eval's own: the same examples stand before the same questions."""

MAX_TOKENS = 256
PLAIN_FILTER = "none"

HARMLESS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
OURS = {"humaneval": "humaneval", "mbpp": "mbpp"}

SHARES = ("acc", "exact_match", "em", "f1", "mc1", "mc2", "pass@", "contains", "likelihood_diff")
LOWER_IS_BETTER = ("perplexity", "bits_per_byte", "brier", "loss", "ter", "wer")


# --- numbers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sums:
    """How one of lm-eval's aggregations becomes sums: the row of a value, and the number of sums."""

    width: int
    statistic: StatisticKind
    unit: Unit


SUMS: Mapping[str, Sums] = {
    "mean": Sums(2, "mean", "number"),
    "nanmean": Sums(2, "mean", "number"),
    "brier_score": Sums(2, "mean", "number"),
    "perplexity": Sums(2, "corpus", "perplexity"),
    "weighted_perplexity": Sums(2, "corpus", "perplexity"),
    "bits_per_byte": Sums(2, "corpus", "bits"),
    "f1": Sums(3, "corpus", "share"),
    "matthews_corrcoef": Sums(4, "corpus", "number"),
}


def row_of(aggregation: str, value: Any) -> tuple[float, ...]:
    """Turn what lm-eval found for a document into a row that adds up.

    Raises
    ------
    ValueError, TypeError
        The value is not of the form that its aggregation takes.
    """
    if aggregation == "nanmean" and math.isnan(float(value)):
        return 0.0, 0.0
    if aggregation in ("mean", "nanmean", "perplexity"):
        return float(value), 1.0
    first, second = value
    if aggregation in ("weighted_perplexity", "bits_per_byte"):
        return float(first), float(second)
    if aggregation == "brier_score":
        expected = np.eye(len(second))[int(first)]
        return float(np.sum((np.asarray(second, dtype=float) - expected) ** 2)), 1.0
    expected, found = int(first), int(second)
    if {expected, found} - {0, 1}:
        raise ValueError(f"{aggregation} of more than two classes is no sum over documents")
    cells = (
        float(expected and found),
        float(found and not expected),
        float(expected and not found),
        float(not expected and not found),
    )
    return cells[: SUMS[aggregation].width]


def number_of(aggregation: str, sums: Floats) -> Floats:
    """Turn sums into the number that lm-eval's aggregation of the same documents gives."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if aggregation in ("f1", "matthews_corrcoef"):
            found = _f1(sums) if aggregation == "f1" else _mcc(sums)
            return np.where(sums.sum(axis=-1) > 0, found, np.nan)
        mean = sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], np.nan)
        if aggregation in ("perplexity", "weighted_perplexity"):
            return np.asarray(np.exp(-mean))
        return np.asarray(-mean / math.log(2) if aggregation == "bits_per_byte" else mean)


def _f1(sums: Floats) -> Floats:
    right, false, missed = (sums[..., n] for n in range(3))
    return np.nan_to_num(2 * right / (2 * right + false + missed), nan=0.0)


def _mcc(sums: Floats) -> Floats:
    tp, fp, fn, tn = (sums[..., n] for n in range(4))
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.nan_to_num((tp * tn - fp * fn) / below, nan=0.0, posinf=0.0, neginf=0.0)


class LmEvalMetric:
    """One of lm-eval's metrics, read from ``Prediction.values``.

    Parameters
    ----------
    name : str
        As lm-eval prints it: the metric, and after a comma the filter where there is one.
    aggregation : str
        A key of ``SUMS``.
    """

    uses_labels = False
    needs: tuple[str, ...] = ()

    def __init__(self, name: str, aggregation: str, *, higher_is_better: bool) -> None:
        sums = SUMS[aggregation]
        is_share = sums.statistic == "mean" and name.startswith(SHARES)
        self.name = name
        self.aggregation = aggregation
        self.higher_is_better = higher_is_better
        self.unit: Unit = "share" if is_share else sums.unit
        self.statistic: StatisticKind = "proportion" if is_share else sums.statistic
        self.reference = "lm-evaluation-harness"

    def check(self) -> None:
        """Nothing is needed: lm-eval is here, or the task would not be."""

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """The sums that each document brought; zeros where it brought none."""
        nothing = (0.0,) * SUMS[self.aggregation].width
        rows = [one.values.get(self.name, nothing) for one in predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, len(nothing))

    def from_totals(self, totals: Floats) -> Floats:
        """lm-eval's aggregation, from sums."""
        return number_of(self.aggregation, totals)

    def signature(self) -> str:
        """Whose number it is."""
        return f"lm_eval:{_version()}|{self.name}|{self.aggregation}"


# --- questions and answers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a task with the requests that lm-eval made of it, in lm-eval's order."""

    task: Any
    doc: Any
    instances: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LmEvalTask:
    """lm-eval's requests as ours, and our responses through its filters and ``process_results``.

    The requests are made once; answers are put into copies, so that no variant sees another's.
    """

    documents: Mapping[str, Document]
    aggregations: Mapping[str, str]
    identity: str
    remarks: tuple[str, ...] = field(default=())

    @property
    def has_probabilities(self) -> bool:
        """lm-eval keeps its own."""
        return False

    def ask(self, case: Case) -> tuple[Request, ...]:
        """One request for each of lm-eval's."""
        instances = self.documents[case.id].instances
        return tuple(_request(case.id, n, one) for n, one in enumerate(instances))

    def read(self, case: Case, responses: Sequence[Response]) -> Prediction:
        """What lm-eval makes of the answers: the row of every metric."""
        cut = any(one.is_truncated for one in responses)
        problem = next((one.problem for one in responses if one.problem is not None), None)
        if problem is not None:
            return Prediction(case.id, problem=problem, is_truncated=cut)
        document = self.documents[case.id]
        try:
            found = measure(document, responses)
            values = {
                name: row_of(self.aggregations[name], value)
                for name, value in found.items()
                if name in self.aggregations
            }
        except Exception as error:  # noqa: BLE001 - code of whoever wrote the task: it may raise anything
            text = " ".join(str(error).split())[:200]
            return Prediction(case.id, problem=f"lm-eval: {type(error).__name__}: {text}")
        return Prediction(
            case.id,
            text=_said(document, responses),
            completions=tuple(c.text for one in responses for c in one.completions),
            values=values,
            is_truncated=cut,
        )

    def signature(self) -> str:
        """The tasks, their versions, shots, and a hash of documents and requests."""
        return self.identity

    def warnings(self) -> tuple[str, ...]:
        """What was left out of lm-eval's own numbers."""
        return self.remarks


def measure(document: Document, responses: Sequence[Response]) -> dict[str, Any]:
    """Run lm-eval's filters and ``process_results`` on the answers to one document.

    Returns metric name (with its filter) -> what lm-eval found.
    """
    copies = []
    for instance, response in zip(document.instances, responses, strict=True):
        own = copy.copy(instance)
        own.resps, own.filtered_resps = _answers(instance, response), {}
        copies.append(own)
    for ensemble in document.task._filters:  # what apply_filters does with all documents at once
        ensemble.apply(copies)
    found: dict[str, Any] = {}
    for filter_ in copies[0].filtered_resps:
        results = [one.filtered_resps[filter_] for one in copies]
        for metric, value in document.task.process_results(document.doc, results).items():
            found[_metric_name(metric, filter_)] = value
    return found


def _metric_name(metric: str, filter_: str) -> str:
    return metric if filter_ == PLAIN_FILTER else f"{metric},{filter_}"


def _request(case_id: str, number: int, instance: Any) -> Request:
    name, arguments = f"{case_id}#{number}", instance.args
    if instance.request_type == "loglikelihood":
        return Request(name, case_id, arguments[0], continuation=arguments[1])
    if instance.request_type == "loglikelihood_rolling":
        return Request(name, case_id, "", continuation=arguments[0])
    return Request(
        name, case_id, arguments[0], decoding=_decoding(arguments[1], instance.repeats or 1)
    )


def _decoding(words: Mapping[str, Any], repeats: int) -> Decoding:
    """lm-eval's words for drawing a completion as ours."""
    until = words.get("until") or []
    temperature = float(words.get("temperature") or 0.0)
    if words.get("do_sample") is False:
        temperature = 0.0
    elif words.get("do_sample") and "temperature" not in words:
        temperature = 1.0
    return Decoding(
        max_tokens=int(words.get("max_gen_toks", MAX_TOKENS)),
        stop=tuple(one for one in ([until] if isinstance(until, str) else until) if one),
        temperature=temperature,
        top_p=float(words.get("top_p", 1.0)) if temperature else 1.0,
        n_completions=repeats if temperature else 1,
    )


def _answers(instance: Any, response: Response) -> list[Any]:
    """The response as lm-eval's models give it: one entry a repeat."""
    repeats = instance.repeats or 1
    if instance.request_type == "loglikelihood":
        return [(response.loglikelihood, bool(response.is_greedy))] * repeats
    if instance.request_type == "loglikelihood_rolling":
        return [response.loglikelihood] * repeats
    texts = [one.text for one in response.completions]
    return texts if len(texts) == repeats else texts * repeats


def _said(document: Document, responses: Sequence[Response]) -> str | None:
    """What the answer amounts to, for the case browser: a text, or the likeliest continuation."""
    if responses[0].completions:
        return responses[0].completions[0].text
    kind = document.task.OUTPUT_TYPE
    if kind != "multiple_choice" or len(responses) < 2:
        return None
    best = max(range(len(responses)), key=lambda n: responses[n].loglikelihood or -math.inf)
    return str(document.instances[best].args[-1]).strip()


# --- loading -----------------------------------------------------------------------------------------


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
    tasks = _tasks(name, options or {})
    documents: dict[str, Document] = {}
    for task_name, task in tasks.items():
        _refuse(task_name, task)
        documents |= _documents(task_name, task, few_shot, limit)
    several = len(tasks) > 1
    aggregations, better, remarks = _metrics(name, documents)
    digest = _digest(documents)
    shots = {task.config.num_fewshot for task in tasks.values()}
    versions = {str(task.VERSION) for task in tasks.values()}
    identity = "|".join(
        [
            f"lm_eval:{_version()}",
            f"task:{'+'.join(tasks) if len(tasks) < 4 else f'{len(tasks)} of {name}'}",
            f"version:{'+'.join(sorted(versions))}",
            f"shots:{'+'.join(sorted(map(str, shots)))}",
            f"data:{digest}",
        ]
    )
    title = next(iter(tasks)) if _is_path(name) and not several else Path(name).stem
    notes = [f"{identity}; texts as they are, without a chat template"]
    if _version() != TESTED:
        notes.append(f"tested with lm-eval {TESTED}, this is {_version()}")
    return Loaded(
        cases=CaseSet(
            name=f"lm_eval:{title}",
            source=f"lm-evaluation-harness {_version()}",
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


def _tasks(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's task objects by name, built once."""
    unknown = sorted(set(options) - {"include_path"})
    if unknown:
        raise ConfigError(
            f"lm_eval:{name}, options: {registry.unknown(unknown[0], ['include_path'])}."
        )
    paths = _include_paths(options)
    with _quiet():
        manager = _manager(paths, has_catalogue=False) if paths or _is_path(name) else None
        if manager is None or not (_is_path(name) or name in manager.all_tasks):
            manager = _manager(paths, has_catalogue=True)
        if not _is_path(name) and name not in manager.all_tasks:
            raise ConfigError(
                f"lm_eval: {registry.unknown(name, manager.all_tasks)[:300]}.\n"
                "`lm_eval ls tasks` lists them; a YAML file of your own is lm_eval:PATH, or its name "
                f"with its folder in {INCLUDE_PATH}."
            )
        try:
            loaded: dict[str, Any] = manager.load([name])["tasks"]
        except Exception as error:  # data sets and YAML of others fail in any way
            raise DataError(_unavailable(name, error)) from error
    return loaded


@functools.cache
def _manager(paths: tuple[str, ...], *, has_catalogue: bool) -> Any:
    """lm-eval's index of tasks; that of its whole catalogue takes seconds to read."""
    try:
        manager_of = import_module("lm_eval.tasks").TaskManager
    except ImportError as error:
        raise ConfigError(
            "--benchmark lm_eval:... needs lm-evaluation-harness: pip install "
            f"'tuneval[lm-eval]'.\n({error})"
        ) from None
    return manager_of(include_path=list(paths) or None, include_defaults=has_catalogue)


def _include_paths(options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("include_path") or ()
    paths = [given] if isinstance(given, str) else [str(one) for one in given]
    paths += [one for one in os.environ.get(INCLUDE_PATH, "").split(os.pathsep) if one]
    for one in paths:
        if not Path(one).is_dir():
            raise ConfigError(f'lm_eval: the folder of tasks "{one}" does not exist.')
    return tuple(paths)


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and Path(name).is_file()


def _unavailable(name: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [""])[0][:300]
    return (
        f"lm_eval:{name} cannot be built: {type(error).__name__}: {reason}\n"
        "Its data comes from the hub through the package datasets: fetch it once with a network, or "
        "point the task's dataset_path at files (docs/lm_eval.md)."
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
    with _quiet():
        try:
            n = None
            if limit is not None:
                is_share = isinstance(limit, float)
                n = math.ceil(len(task.eval_docs) * limit) if is_share else int(limit)
            task.build_all_requests(limit=n, cache_requests=False)
        except Exception as error:  # prompts are made by code of the task's author
            raise DataError(_unavailable(name, error)) from error
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


def _metrics(
    name: str, documents: Mapping[str, Document]
) -> tuple[dict[str, str], dict[str, bool], list[str]]:
    """Metrics that all tasks have and that are sums: name -> aggregation, and which way is better."""
    firsts: dict[int, Document] = {}
    for one in documents.values():
        firsts.setdefault(id(one.task), one)
    found: list[dict[str, str]] = []
    remarks: list[str] = []
    better: dict[str, bool] = {}
    for document in firsts.values():
        own: dict[str, str] = {}
        for metric, (how, higher) in _named(document).items():
            if how in SUMS:
                own[metric] = how
                better[metric] = higher
            else:
                remarks.append(
                    f'lm_eval:{name}: "{metric}" is left out: its aggregation "{how}" is no function '
                    "of sums over documents, so that it cannot be compared with an interval here."
                )
        found.append(own)
    shared = {
        metric: how
        for metric, how in found[0].items()
        if all(own.get(metric) == how for own in found)
    }
    remarks = list(dict.fromkeys(remarks))
    if not shared:
        reason = "\n".join(remarks) or "Its tasks have no metric in common."
        raise ConfigError(f"lm_eval:{name} has no metric that can be compared here.\n{reason}")
    return shared, better, remarks


def _named(document: Document) -> dict[str, tuple[str, bool]]:
    """Metric -> name of its aggregation and direction, as lm-eval would use them.

    A trial with made-up answers shows the names; where the task's code takes none of those, its
    list of metrics does.
    """
    task = document.task
    filters = [one.name for one in task._filters]
    try:
        names = [tuple(name.partition(",")[::2]) for name in measure(document, _made_up(document))]
    except Exception:  # noqa: BLE001 - made-up answers need not suit code that expects real ones
        names = [
            (metric, "" if filter_ == PLAIN_FILTER else filter_)
            for filter_ in filters
            for metric in task.aggregation()
        ]
    theirs = import_module("lm_eval.api.metrics")
    known = {
        getattr(theirs, function): how
        for how, function in (
            *((one, one) for one in SUMS if one not in ("f1",)),
            ("f1", "f1_score"),
        )
        if hasattr(theirs, function)
    }
    found = {}
    for metric, filter_ in names:
        how = task.aggregation().get(metric, theirs.mean)  # lm-eval's own fallback
        higher = task.higher_is_better().get(metric)
        if higher is None:
            higher = not any(word in metric for word in LOWER_IS_BETTER)
        label = _metric_name(metric, filter_ or PLAIN_FILTER)
        found[label] = (known.get(how, getattr(how, "__name__", str(how))), bool(higher))
    return found


def _made_up(document: Document) -> list[Response]:
    return [
        Response("", "nobody", loglikelihood=-1.0, n_tokens=1, is_greedy=False)
        if one.request_type.startswith("loglikelihood")
        else Response("", "nobody", completions=(Completion("0", 1, "stop"),) * (one.repeats or 1))
        for one in document.instances
    ]


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


def _version() -> str:
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        return "none"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's progress bars and advice off the terminal; its errors come as exceptions."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
