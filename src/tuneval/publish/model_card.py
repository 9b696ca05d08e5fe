"""Model cards: one a tuned arm, with ``model-index`` metadata and a section on the evaluation.

YAML is written by huggingface_hub alone. A card that lies in the model's folder is merged: its words
and its other results stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

from tuneval.benchmarks import Facts
from tuneval.benchmarks.load import find
from tuneval.errors import ConfigError, DataError, TunevalError
from tuneval.publish.evaluated import section
from tuneval.report import wording
from tuneval.report.escape import markdown as escape
from tuneval.report.escape import well_formed
from tuneval.report.view import Arm, View
from tuneval.types import CaseSet, RunResult, Score

BEGIN, END = "<!-- tuneval: begin -->", "<!-- tuneval: end -->"
"""What stands between them is replaced when the card is written again."""

_OWN = re.compile(rf"{re.escape(BEGIN)}.*?{re.escape(END)}\n?", re.DOTALL)
_TASKS = {
    "classify": "text-classification",
    "multiple_choice": "multiple-choice",
    "language_model": "text-generation",
    "generate": "text-generation",
    "complete_code": "text-generation",
}
"""Our tasks by the hub's names; what another tool asked is text generation."""
_EMPTY = "---\n{}\n---\n"
"""The metadata of a card that has none."""


def files(result: RunResult) -> dict[str, str]:
    """``ARM/README.md`` for every tuned arm, and ``ARM/.eval_results/BENCHMARK.yaml`` for each benchmark
    that has a place on the hub.

    Raises
    ------
    ConfigError
        huggingface_hub is missing, or nothing was tuned.
    DataError
        A card that is to be merged cannot be read.
    """
    hub = _hub()
    view = View.of(result)
    base = {verdict.baseline for verdict in result.verdicts} or {view.arms[0].name}
    tuned = [arm for arm in view.arms if arm.name not in base or arm.kind == "adapter"]
    if not tuned:
        raise ConfigError("model-card: this run has no tuned model.")
    found = {}
    for arm in tuned:
        place = re.sub(r"[^\w.-]+", "-", arm.name).strip(".-") or "model"
        found[f"{place}/README.md"] = _card(hub, view, arm)
        for name, text in _leaderboards(hub, view, arm):
            found[f"{place}/.eval_results/{name}.yaml"] = text
    return found


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError("model-card needs huggingface_hub: pip install huggingface_hub") from None
    if not hasattr(huggingface_hub, "EvalResultEntry"):
        raise ConfigError(
            "model-card needs a newer huggingface_hub: pip install -U huggingface_hub"
        )
    return huggingface_hub


# ---- README.md -----------------------------------------------------------------------------------


def _card(hub: Any, view: View, arm: Arm) -> str:
    path = _existing(arm)
    card = _read(hub, path) if path else hub.ModelCard(f"{_EMPTY}# {escape(arm.name)}\n")
    data = card.data
    data.model_name = data.model_name or arm.name
    own = [_entry(hub, view.result, case_set, score) for case_set, score in _scores_of(view, arm)]
    known = {(one.unique_identifier, one.metric_type) for one in own}
    kept = [
        one
        for one in data.eval_results or []
        if (one.unique_identifier, one.metric_type) not in known
    ]
    data.eval_results = [*kept, *own]
    if path is None:
        for key, value in _about(view, arm).items():
            setattr(data, key, value)
    written = f"{BEGIN}\n{section(view, arm)}\n{END}\n"
    words = card.text
    card.text = (
        _OWN.sub(lambda _: written, words, count=1)
        if _OWN.search(words)
        else f"{words.rstrip()}\n\n{written}"
    )
    return str(card)


def _existing(arm: Arm) -> Path | None:
    """The card in the folder of the arm's first model, where that is a folder."""
    first = arm.variants[0]
    path = Path(first.adapter or first.model) / "README.md"
    return path if path.is_file() else None


def _read(hub: Any, path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return hub.ModelCard(text if text.startswith("---") else f"{_EMPTY}{text}")
    except Exception as error:  # YAML of a person: it fails in any way
        raise DataError(
            f"{path}: this model card cannot be merged ({str(error).strip().splitlines()[0]}).\n"
            "Mend the block between its --- lines."
        ) from error


def _about(view: View, arm: Arm) -> dict[str, object]:
    """What a new card says of the model itself."""
    base = next((one for one in view.result.variants if one.kind == "base"), None)
    found: dict[str, object] = {"library_name": "peft" if arm.kind == "adapter" else "transformers"}
    if base is not None and base.model.count("/") == 1 and not Path(base.model).exists():
        found["base_model"] = base.model
    return found


def _scores_of(view: View, arm: Arm) -> Iterator[tuple[CaseSet, Score]]:
    for case_set in view.result.case_sets:
        for metric in view.metrics(case_set.name):
            score = view.score(case_set.name, metric, arm)
            if score is not None and not isnan(score.value):
                yield case_set, score


def _entry(hub: Any, result: RunResult, case_set: CaseSet, score: Score) -> Any:
    facts = _facts(result, case_set)
    interval = score.interval
    args: dict[str, Any] = {"cases": score.n_cases, "unit": score.unit}
    if interval is not None:
        args |= {
            "low": float(interval.low),
            "high": float(interval.high),
            "confidence": interval.confidence,
            "interval": interval.method,
        }
    if score.training_seeds:
        args["training_seeds"] = len(score.training_seeds)
    return hub.EvalResult(
        task_type=_TASKS.get(case_set.task, "text-generation"),
        dataset_type=(facts and facts.hub) or _slug(case_set.name),
        dataset_name=(facts and facts.title) or well_formed(case_set.name),
        dataset_config=(facts and facts.config) or None,
        dataset_split=(facts and facts.split) or None,
        dataset_revision=(facts and facts.revision) or None,
        dataset_args={"sha256": case_set.sha256} if case_set.sha256 else None,
        metric_type=score.metric,
        metric_name=wording.metric_title(score.metric),
        metric_value=float(score.value),
        metric_args=args,
    )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "cases"


# ---- .eval_results -------------------------------------------------------------------------------


def _leaderboards(hub: Any, view: View, arm: Arm) -> Iterator[tuple[str, str]]:
    """The first metric of every benchmark, in the form that the hub's leaderboards read."""
    from huggingface_hub.utils import yaml_dump

    for case_set in view.result.case_sets:
        facts = _facts(view.result, case_set)
        score = view.score(case_set.name, view.primary(case_set.name), arm)
        if facts is None or not facts.hub or score is None or case_set.is_exploratory:
            continue
        entry = hub.EvalResultEntry(
            dataset_id=facts.hub,
            task_id=facts.config or facts.name.partition(":")[2] or "default",
            value=float(score.value),
            dataset_revision=facts.revision,
            date=_date(view.result),
            notes=f"tuneval {view.result.tuneval_version}, {score.metric}; {case_set.signature}",
        )
        yield _slug(facts.name), yaml_dump(hub.eval_result_entries_to_yaml([entry]))


def _date(result: RunResult) -> str | None:
    """ "2026-11-29 14:04 UTC" -> "2026-11-29T14:04:00Z"."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC", result.created)
    return f"{found[1]}T{found[2]}:00Z" if found else None


def _facts(result: RunResult, case_set: CaseSet) -> Facts | None:
    """Of a benchmark of our own table, by the name in its signature."""
    named = re.match(r"benchmark:([^|]+)", case_set.signature)
    if named is None:
        return None
    try:
        benchmark, subset = find(named[1])
    except TunevalError:  # of a package that was installed then and is not now
        return None
    return benchmark.facts(subset)
