"""What was inferred about a run, as lines for a person: shared by compare and doctor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneval.plan.resolve import Plan
    from tuneval.types import CaseSet, Variant, VariantFacts

INDENT = " " * 10


def lines_about(plan: Plan) -> list[str]:
    """What the files say: known before any model is loaded."""
    lines = [line for cases in plan.case_sets for line in _about_cases(cases)]
    of_cases = {f"{cases.name}: {note}" for cases in plan.case_sets for note in cases.notes}
    for variant in plan.variants:
        lines += _about_variant(variant, plan)
    return lines + [f"  note    {note}" for note in plan.notes if note not in of_cases]


def lines_about_facts(plan: Plan, facts: Mapping[str, VariantFacts], folder: Path) -> list[str]:
    """What the backend found out when every variant was proved to answer."""
    lines = []
    for variant in plan.variants:
        lines += _about_facts(variant, facts[variant.name])
    lines += about_prompts(plan.first_prompts)
    return [*lines, f"run.yaml, to edit and run again: {folder}/run.yaml"]


def about_prompts(first: Sequence[str]) -> list[str]:
    """The first case of every case set, as it is asked."""
    return [f"{'  prompt  ' if n == 0 else INDENT}{line}" for n, line in enumerate(first)]


def _about_cases(cases: CaseSet) -> list[str]:
    """One test file: how many cases, and how its columns were read."""
    n_clean = sum(case.origin is None for case in cases.cases)
    twins = len(cases.cases) - n_clean
    changed = f" and {twins} changed twins" if twins else ""
    lines = [f"  data    {cases.name}: {n_clean} cases{changed}"]
    lines += [f"{INDENT}{note}" for note in cases.notes]
    return lines + [f"{INDENT}left out: {fault}" for fault in cases.skipped[:10]]


def _about_variant(variant: Variant, plan: Plan) -> list[str]:
    if variant.kind == "majority":
        return [f"  {_name(variant)}the commonest label for every case (no model)"]
    kind = {"base": "base model", "adapter": "adapter", "full": "full fine-tune"}[variant.kind]
    kind += {"classification": " with a head over labels", "tokens": " with a head over words"}.get(
        variant.head, ""
    )
    lines = [f"  {_name(variant)}{variant.adapter or variant.model} ({kind}{_size(variant, plan)})"]
    log = plan.logs.get(variant.name)
    if log is not None:
        lines.append(f"{INDENT}training log: {log.source}")
    return lines


def _size(variant: Variant, plan: Plan) -> str:
    folder = plan.folders.get(variant.name)
    if folder is None:
        return ""
    n = folder.n_adapter_parameters if variant.kind == "adapter" else folder.n_parameters
    rank = folder.adapter_settings.get("r") if variant.kind == "adapter" else None
    return f", {_count(n)} parameters" + (f", r={rank}" if rank else "")


def _about_facts(variant: Variant, facts: VariantFacts) -> list[str]:
    if variant.kind == "majority":
        return []
    if not facts.n_parameters:  # behind a server: what it is made of cannot be seen
        told = ", ".join(f"{key} {value}" for key, value in facts.settings.items())
        return [f"  {_name(variant)}{told}; prompts: {facts.prompt_format}"]
    size = f"{_count(facts.n_parameters)} parameters"
    if facts.n_adapter_parameters:
        share = facts.n_adapter_parameters / facts.n_parameters
        size = f"{_count(facts.n_adapter_parameters)} parameters, {share:.2%} of the base"
    return [
        f"  {_name(variant)}{size}, {facts.dtype}, {facts.device}; "
        f"prompts: {facts.prompt_format}; tokenizer: {facts.tokenizer}",
        *(f"{INDENT}warning: {warning}" for warning in facts.warnings),
    ]


def _name(variant: Variant) -> str:
    """A name in its column; a longer one ends with a space of its own."""
    from tuneval.report.escape import fit, terminal

    return f"{fit(terminal(variant.name), 24):<7} "


def _count(n: int) -> str:
    """12,345 as 12.3 k, 1,070,000 as 1.07 M."""
    for size, letter in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return str(n)
