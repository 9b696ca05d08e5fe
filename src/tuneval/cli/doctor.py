"""``tuneval doctor``: check a planned run without running it; loads nothing, imports no torch."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval.cli.options import takes_comparison, to_options

if TYPE_CHECKING:
    from tuneval.config import RunSpec
    from tuneval.resolve import Plan

EXTRAS = {
    "generation": ("nltk",),
    "parquet": ("pyarrow",),
    "hub": ("datasets",),
    "pandas": ("pandas",),
}
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


@takes_comparison
def doctor(words: dict[str, Any]) -> int:
    """tuneval doctor --adapter out/lora --full out/full --data test.jsonl

    Check a planned run without running it: files, columns, adapters, disk.
    Takes the words of compare. Without any, it tells about this machine alone.
    """
    from tuneval.report.escape import terminal

    for line in _about_machine():
        print(line)
    if not (words["base"] or words["adapter"] or words["full"] or words["data"]):
        return 0
    from tuneval.cli.inferred import lines_about
    from tuneval.pipeline import build_task, metrics_of
    from tuneval.resolve import describe_run, resolve

    spec = describe_run(**to_options(words))
    plan = resolve(spec)
    print("planned run")
    for line in [*lines_about(plan), *_about_needs(spec, plan)]:
        print(terminal(line))
    for described, cases in zip(spec.cases, plan.case_sets, strict=True):
        task = build_task(spec, described, cases)
        n_requests = sum(len(task.ask(case)) for case in cases.cases)
        chosen = metrics_of(spec, cases, task)
        print(terminal(f"  asks    {n_requests:,} requests per variant on {cases.name}"))
        print(f"  metrics {', '.join(metric.name for metric in chosen)}")
    print("nothing stands against this run.")
    return 0


def _about_machine() -> list[str]:
    packages = []
    for package in ("torch", "transformers", "peft"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            packages.append(f"{package} missing")
    extras = [
        f"{name} {'yes' if all(find_spec(module) for module in modules) else 'no'}"
        for name, modules in EXTRAS.items()
    ]
    return [
        "this machine",
        f"  python  {', '.join(packages)}",
        f"  extras  {', '.join(extras)}   (pip install 'tuneval[NAME]')",
    ]


def _about_needs(spec: RunSpec, plan: Plan) -> list[str]:
    """Estimate memory (weights at the run's dtype) and compare disk with what a run writes."""
    dtype = spec.backend.dtype
    sizes = {
        name: folder.n_parameters * BYTES_PER_PARAMETER.get(dtype, 4)
        for name, folder in plan.folders.items()
        if folder.has_model
    }
    adapters = sum(
        4 * folder.n_adapter_parameters for folder in plan.folders.values() if folder.has_adapter
    )
    lines = []
    if sizes:
        most = max(sizes.values()) + adapters
        lines.append(
            f"  memory  about {most / 2**20:,.0f} MiB of weights at a time "
            f"({'float32 assumed' if dtype == 'auto' else dtype}); whole models are loaded in turn"
        )
    target = Path(spec.output.dir)
    existing = next(place for place in (target, *target.resolve().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    lines.append(f"  disk    {free / 2**30:,.1f} GiB free for {target}")
    return lines
