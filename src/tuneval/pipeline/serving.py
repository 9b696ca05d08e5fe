"""How a server is asked where nobody said so: by messages or by texts, by likelihoods or in writing.

What was found is written into the spec, so that the run's own ``run.yaml`` says it. Not for: what a
server can (``engine/server/abilities.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tuneval.engine import Backend
from tuneval.engine.openai_server import OpenAIServer
from tuneval.engine.server.rendered import EVERY
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec
from tuneval.types import CaseSet, Variant

SCORED = ("classify", "language_model")
"""Tasks that score whole answers; single letters are told of chat messages, too."""
SETTLED = {
    "classify": ("scoring", "prompt_style"),
    "multiple_choice": ("prompt_style",),
    "language_model": ("prompt_style",),
    "generate": ("prompt_style",),
}
"""Task -> its options that a server may decide."""


def fit(plan: Plan, backend: Backend) -> Plan:
    """The plan with scoring and prompt style of every file that leaves them open to a server.

    Only what a task needs is tried, and the other way of asking where that is refused.

    Raises
    ------
    VariantError, BackendUnavailable
        The server does not serve these models, or cannot be reached.
    """
    assert isinstance(backend, OpenAIServer)
    notes: list[str] = []
    cases: list[CasesSpec] = []
    for described, found in zip(plan.spec.cases, plan.case_sets, strict=True):
        names = _open(plan, described, found)
        chosen, why = _choose(plan, backend, found.task, names) if names else ({}, "")
        cases.append(described.model_copy(update={"options": {**described.options, **chosen}}))
        notes += [f"{found.name}: {why}"] if chosen else []
    spec = plan.spec.model_copy(update={"cases": tuple(cases)})
    return replace(plan, spec=spec, notes=(*plan.notes, *notes))


def is_written(plan: Plan) -> bool:
    """Whether every variant's prompts are written here, by its own tokenizer."""
    given = plan.spec.backend.tokenizers
    return EVERY in given or all(variant.name in given for variant in _served(plan))


def _served(plan: Plan) -> list[Variant]:
    """The variants that the server has; one that answers without a model is none of its."""
    return [one for one in plan.variants if one.kind != "majority"]


def _open(plan: Plan, described: CasesSpec, cases: CaseSet) -> tuple[str, ...]:
    """Options of a file's task that nobody set; a benchmark brings its own wording."""
    if described.benchmark is not None:
        return ()
    given = {**plan.spec.task_options.get(cases.task, {}), **described.options}
    return tuple(name for name in SETTLED.get(cases.task, ()) if name not in given)


def _choose(
    plan: Plan, backend: OpenAIServer, task: str, names: tuple[str, ...]
) -> tuple[Mapping[str, str], str]:
    """The open options that differ from the usual ones, and a sentence that says why."""
    if task in SCORED:
        can = backend.can(_served(plan), "scored text")
        if can is not None and can.has_echo:
            why = "a server tells no likelihoods of answers to chat messages"
            way = f"asked by one text, without chat template: {why} (--tokenizer DIR writes them here)"
            return ({}, "") if is_written(plan) else (_text(names), way)
        if "scoring" in names:
            doubt = f": {can.doubt}" if can is not None and can.doubt else ""
            style, how = _written(plan, backend, names)
            why = f"the server tells no likelihoods of given texts that could be used{doubt}"
            said = f"labels are written, not scored: {why}" + (f"; {how}" if how else "")
            return {"scoring": "generate", **style}, said
    return _written(plan, backend, names)


def _written(
    plan: Plan, backend: OpenAIServer, names: tuple[str, ...]
) -> tuple[dict[str, str], str]:
    """By messages, unless the server takes none and texts instead."""
    if is_written(plan) or not _text(names) or backend.can(_served(plan), "messages") is not None:
        return {}, ""
    if backend.can(_served(plan), "text") is None:
        return {}, ""
    return _text(names), "asked by one text: the server takes no chat messages for these models"


def _text(names: tuple[str, ...]) -> dict[str, str]:
    return {"prompt_style": "text"} if "prompt_style" in names else {}
