"""``tuneval doctor``: check a planned run without running it; loads nothing, imports no torch."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneval.cli.options import takes_comparison, to_options
from tuneval.cli.terminal import fitted, width
from tuneval.extras import EXTRAS, missing

if TYPE_CHECKING:
    from tuneval.plan.resolve import Plan
    from tuneval.plan.spec import RunSpec
    from tuneval.tasks import Task

BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}
BYTES_PER_ANSWER = 700
"""Measured: journal, predictions.jsonl and result.json of one answer to a short case."""


@takes_comparison
def doctor(words: dict[str, Any]) -> int:
    """tuneval doctor --adapter out/lora --full out/full --data test.jsonl

    Check a planned run without running it: files, columns, adapters, disk.
    Takes the words of compare. Without any, it tells about this machine alone.
    """
    _print(["this machine", *_about_machine()])
    if not (
        words["base"]
        or words["base_model"]
        or words["adapter"]
        or words["full"]
        or words["data"]
        or words["benchmark"]
    ):
        return 0
    faults: list[str] = []
    lines = _examine(words, faults)
    if lines:
        _print(["planned run", *lines])
    if not faults:
        print("nothing stands against this run.")
        return 0
    n = len(faults)
    _print([f"{n} thing{'s' * (n > 1)} stand{'s' * (n == 1)} against this run:"])
    for number, fault in enumerate(faults, start=1):
        first, *rest = fault.split("\n")
        _print([f"  {number}. {first}", *(f"     {line}" for line in rest)])
    if not words["offline"] and any("not in the cache" in fault for fault in faults):
        print("(doctor fetches nothing; compare would ask the hub for what is not in the cache.)")
    return 2


def _print(lines: Iterable[str]) -> None:
    from tuneval.report.escape import terminal

    for line in lines:
        print(fitted(terminal(line), hang=10))


def _examine(words: dict[str, Any], faults: list[str]) -> list[str]:
    """What can be found out about the run; what stands against it goes to ``faults``."""
    from tuneval import checks
    from tuneval.cli.inferred import lines_about
    from tuneval.plan.resolve import resolve
    from tuneval.plan.words import describe_run

    options: dict[str, Any] = {}
    with _noting(faults):
        options = to_options(words)
    if not options:
        return []
    options["backend"]["offline"] = True  # nothing is fetched; what is not here is said
    if not (options["data"] or options["benchmarks"] or options["guards"]):
        faults.append("no test data: give --data FILE or --benchmark NAME.")
        return []
    spec: RunSpec | None = None
    unknown: dict[str, None] = {}
    with _noting(faults):
        spec = describe_run(**options)
    if spec is None:  # the variants cannot be told; everything else is looked at all the same
        unknown = {"base": None}
        with _noting(faults):
            spec = describe_run(**{**options, "base": "unknown", "adapters": (), "full": ()})
    if spec is None:
        return []
    plan = resolve(spec, faults=faults, in_memory=unknown)
    if spec.judge and len(plan.case_sets) == len(spec.cases) and not unknown:
        from tuneval.pipeline.judging.begin import check as check_judge

        with _noting(faults):
            check_judge(plan)
    for check in (_check_place, _check_device):
        with _noting(faults):
            check(spec)
    if plan.case_sets:
        for name in checks.names():
            with _noting(faults):
                checks.begin_one(name, plan)
    about = lines_about(replace(plan, variants=()) if unknown else plan)
    asked: dict[str, Task] = {}
    requests = _about_requests(spec, plan, faults, asked)
    needs = _about_needs(spec, plan)
    return [*about, *needs, *requests, *_about_prompts(plan, asked, faults)]


@contextmanager
def _noting(faults: list[str]) -> Iterator[None]:
    from tuneval.errors import TunevalError

    try:
        yield
    except TunevalError as error:
        if str(error) not in faults:
            faults.append(str(error))


# --- the machine ---------------------------------------------------------------------------------


def _about_machine() -> list[str]:
    from tuneval.pipeline.folder import answers_home

    packages = [
        f"{name} {_version(name) or 'missing'}" for name in ("torch", "transformers", "peft")
    ]
    extras = [f"{name} {'no' if missing(name) else 'yes'}" for name in EXTRAS]
    answers = answers_home()
    return [
        f"  python  {platform.python_version()}, {', '.join(packages)}",
        f"  device  {_devices()}",
        *_folded("  extras  ", f"{', '.join(extras)}   (pip install 'tuneval[NAME]')"),
        f"  answers {answers}, {_size_of(answers)} (TUNEVAL_HOME moves them)",
        *_about_sandboxes(),
    ]


def _folded(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, width(), initial_indent=head, subsequent_indent=" " * len(head))


def _about_sandboxes() -> list[str]:
    """Which sandboxes for generated code work here, tried for real, and why the others do not."""
    from tuneval.sandbox import survey

    lines = []
    for number, one in enumerate(survey()):
        head = "  sandbox " if number == 0 else "          "
        if one.works:
            lines.append(f"{head}{one.name} works ({one.level})")
            for gap in one.gaps:
                first, *rest = textwrap.wrap(gap, 60)
                lines += [f"            not held: {first}", *(f"              {r}" for r in rest)]
        else:
            reason = one.reason.splitlines()[0] if one.reason else "does not work"
            lines.append(f"{head}{one.name}: {reason}")
            lines += [f"            {part}" for part in textwrap.wrap(one.remedy, 66)]
    return lines


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _n_nvidia() -> int:
    """Number of NVIDIA devices that the driver shows as files."""
    cards = Path("/proc/driver/nvidia/gpus")
    if cards.is_dir():
        return sum(1 for _ in cards.iterdir())
    return sum(1 for one in Path("/dev").glob("nvidia[0-9]*"))


def _is_cpu_torch() -> bool:
    return (_version("torch") or "").endswith("+cpu")


def _devices() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"cpu with {cores} cores"]
    if n := _n_nvidia():
        found.append(
            f"{n} NVIDIA (but torch is built for CPU only)" if _is_cpu_torch() else f"{n} NVIDIA"
        )
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append("mps")
    return ", ".join(found)


def _size_of(folder: Path) -> str:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{size / 2**20:,.1f} MiB" if size else "none yet"


# --- the run -------------------------------------------------------------------------------------


def _check_device(spec: RunSpec) -> None:
    from tuneval.errors import ConfigError

    device = spec.backend.device
    if device.startswith("cuda") and _is_cpu_torch():
        raise ConfigError(f"--device {device}: this torch ({_version('torch')}) is for CPU only.")
    if device.startswith("cuda") and platform.system() == "Linux" and not _n_nvidia():
        raise ConfigError(f"--device {device}: the driver shows no NVIDIA device here.")
    if device == "mps" and platform.system() != "Darwin":
        raise ConfigError("--device mps: this is no Mac.")


def _check_place(spec: RunSpec) -> None:
    from tuneval.errors import ConfigError

    target = Path(spec.output.dir)
    place = _existing(target)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(
            f'the output folder "{target}" cannot be written: "{place}": {error.strerror}.\n'
            "Give another one with --output-dir DIR."
        ) from None


def _existing(target: Path) -> Path:
    return next(place for place in (target, *target.absolute().parents) if place.exists())


def _about_needs(spec: RunSpec, plan: Plan) -> list[str]:
    """Estimate memory (weights at the run's dtype) and tell what is free on the disk."""
    lines = []
    if any(folder.has_model for folder in plan.folders.values()):
        lines.append(
            f"  memory  about {_about_weights(spec.backend.dtype, plan)}, {_free_memory()} free; "
            "whole models are loaded in turn"
        )
        if spec.backend.memory is not None:
            lines.append(f"          backend.memory allows {_mebibytes(spec.backend.memory)}")
    free = shutil.disk_usage(_existing(Path(spec.output.dir))).free
    lines.append(f"  disk    {free / 2**30:,.1f} GiB free for {spec.output.dir}")
    return lines


def _about_weights(wanted: str, plan: Plan) -> str:
    """The largest weights of the run, in each dtype that they may be held in.

    Which one "auto" takes on CPU is found by a short trial when they are loaded, which needs torch.
    """
    folders = plan.folders.values()
    most = max(folder.n_parameters for folder in folders if folder.has_model)
    adapters = sum(4 * folder.n_adapter_parameters for folder in folders if folder.has_adapter)

    def size(dtype: str) -> str:
        return _mebibytes(most * BYTES_PER_PARAMETER.get(dtype, 4) + adapters)

    stored = {folder.dtype for folder in folders if folder.has_model}
    dtype = str(next(iter(stored)))
    if wanted == "auto" and len(stored) == 1 and dtype in ("bfloat16", "float16"):
        return (
            f"{size(dtype)} of weights at a time as stored ({dtype}: on a GPU, and on a CPU that "
            f"multiplies it much faster), {size('float32')} in float32 (on other CPUs)"
        )
    dtype = "float32" if wanted == "auto" else wanted
    return f"{size(dtype)} of weights at a time ({dtype})"


def _mebibytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


def _free_memory() -> str:
    import psutil  # type: ignore[import-untyped]

    return _mebibytes(int(psutil.virtual_memory().available))


def _about_prompts(plan: Plan, asked: dict[str, Task], faults: list[str]) -> list[str]:
    """The first case of every case set as every variant reads it; no weights are loaded."""
    from tuneval.cli.inferred import about_prompts
    from tuneval.engine import LAUNCHED
    from tuneval.engine.hf.text.tokenizer import without_torch
    from tuneval.pipeline import prompts
    from tuneval.pipeline.build import make_backend

    lines: list[str] = []
    is_whole = len(asked) == len(plan.case_sets) and len(plan.variants) >= len(plan.spec.variants)
    if faults or not is_whole:
        return lines
    with _noting(faults), without_torch():
        is_local = plan.spec.backend.kind in ("hf", "vllm", *LAUNCHED)
        show = (
            prompts.show_from_folders(plan)
            if is_local
            else prompts.show_of(make_backend(plan.spec, None))
        )
        seen = prompts.see(plan.case_sets, plan.variants, asked, show)
        lines = about_prompts(prompts.lines_about(plan, seen, asked))
        lines += [f"  note    {note}" for note in prompts.unused_settings(plan, asked)]
        prompts.refuse_lost_questions(plan, seen)
    return lines


def _about_requests(
    spec: RunSpec, plan: Plan, faults: list[str], asked: dict[str, Task]
) -> list[str]:
    """Word every prompt and try every metric, as the run will; the tasks go to ``asked``."""
    from tuneval.pipeline.build import build_task, metrics_of

    lines: list[str] = []
    if len(plan.case_sets) < len(spec.cases):  # a file that cannot be read is a fault already
        return lines
    for described, cases in zip(spec.cases, plan.case_sets, strict=True):
        task = None
        with _noting(faults):
            task = build_task(spec, described, cases, plan.benchmarks.get(cases.name))
            n_requests = sum(len(task.ask(case)) for case in cases.cases)
            size = n_requests * BYTES_PER_ANSWER * len(plan.variants)
            lines.append(
                f"  asks    {n_requests:,} requests per variant on {cases.name}; "
                f"about {_mebibytes(size)} on disk"
            )
            lines += [f"          warning: {warning}" for warning in task.warnings()]
        if task is not None:
            asked[cases.name] = task
            with _noting(faults):
                chosen = metrics_of(spec, cases, task, plan.benchmarks.get(cases.name))
                lines.append(f"  metrics {', '.join(metric.name for metric in chosen)}")
    return lines
