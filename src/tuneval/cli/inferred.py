"""What was inferred about a run, as lines for a person: shared by compare and doctor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneval.resolve import Plan
    from tuneval.types import CaseSet, Variant, VariantFacts


def lines_about(
    plan: Plan, facts: Mapping[str, VariantFacts] | None = None, folder: Path | None = None
) -> list[str]:
    """One line for each thing that was found or chosen; facts only once a backend has them."""
    lines = [line for cases in plan.case_sets for line in _about_cases(cases)]
    for variant in plan.variants:
        lines += _about_variant(variant, plan, (facts or {}).get(variant.name))
    lines += [f"  note    {note}" for note in plan.notes]
    if folder is not None:
        lines.append(f"  run     {folder}/run.yaml holds all of this, to edit and run again")
    return lines


def _about_cases(cases: CaseSet) -> list[str]:
    n_clean = sum(case.origin is None for case in cases.cases)
    columns = ", ".join(f"{column} -> {key}" for key, column in cases.columns.items())
    labels = f", {len(cases.labels)} labels" if cases.labels else ""
    twins = len(cases.cases) - n_clean
    lines = [
        f"  data    {cases.name}, {n_clean} cases, {columns or cases.layout}, "
        f"task {cases.task}{labels}"
    ]
    if twins:
        lines.append(f"          {twins} changed twins")
    if cases.offered_groups:
        flags = " ".join(f"--group {name}" for name in cases.offered_groups)
        lines.append(f"          could also be grouped: {flags}")
    lines += [f"          left out: {fault}" for fault in cases.skipped[:10]]
    return lines


def _about_variant(variant: Variant, plan: Plan, facts: VariantFacts | None) -> list[str]:
    place = variant.adapter or variant.model
    log = plan.logs.get(variant.name)
    if facts is None:
        lines = [f"  {variant.name:<8}{place} ({variant.kind})"]
    else:
        size = f"{facts.n_parameters / 1e6:.4g} M parameters"
        if facts.n_adapter_parameters:
            share = facts.n_adapter_parameters / facts.n_parameters
            size = f"{facts.n_adapter_parameters:,} parameters, {share:.2%} of the base"
        lines = [
            f"  {variant.name:<8}{place} ({size}, {facts.dtype}, {facts.device})",
            f"          prompts: {facts.prompt_format}; tokenizer: {facts.tokenizer}",
        ]
        lines += [f"          warning: {warning}" for warning in facts.warnings]
    if log is not None:
        lines.append(f"          training log: {log.source}")
    return lines
