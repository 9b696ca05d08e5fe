"""What a run leaves on disk, and who may write there: one folder a run, replaced atomically.

Knows no model and computes nothing; the answers themselves are the journal's.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tuneval import registry, schemas
from tuneval.engine.home import home
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import OutputSpec
from tuneval.publish import PUBLISHED
from tuneval.publish.write import write as write_published
from tuneval.report import REPORTS
from tuneval.report.files import remove_parts, replace_file
from tuneval.report.predictions import render as render_predictions
from tuneval.report.predictions import render_prompts
from tuneval.report.results_json import render as render_json
from tuneval.runs.shelf import LATEST
from tuneval.trackers.send import send
from tuneval.types import RunResult, VariantFacts
from tuneval.version import __version__

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "scipy")
"""Packages whose version can move a number; their versions stand in every result."""

LONGEST_WRITE_SECONDS = 60.0


def answers_home() -> Path:
    """Folder of the journal: ``$TUNEVAL_HOME/answers``, by default in the user's cache folder."""
    return home() / "answers"


_NOT_IDENTITY: dict[str, Any] = {
    "output": True,
    "name": True,
    "benchmark_data": True,
    "gates": True,
    "backend": {
        "timeout_seconds",
        "give_up_seconds",
        "workers",
        "allow_unlike_cards",
        "address",
        "gpus_per_worker",
        "start_seconds",
    },
}
"""Parts of a spec that change where and when, and no answer."""


def identify(plan: Plan, signatures: Sequence[str]) -> str:
    """Short id of a run: the same words on the same files give the same id, so a run continues."""
    content = plan.spec.model_dump(mode="json", exclude=_NOT_IDENTITY)
    for described, cases in zip(content["cases"], plan.case_sets, strict=True):
        described["file"] = cases.sha256 + cases.signature  # what is in it, not where it lies
    content["asked"] = list(signatures)
    twins = [case for cases in plan.case_sets for case in cases.cases if case.origin is not None]
    if twins:  # made from files whose name says nothing, and by rules that may change
        content["twins"] = hashlib.blake2b(repr(twins).encode(), digest_size=8).hexdigest()
        content["adversarial"] = len(content["adversarial"])
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def open_folder(plan: Plan, run_id: str) -> Path:
    """Make the run's folder and prove that it can be written, before any model is loaded."""
    return open_named_folder(plan.spec.output.dir, plan.spec.name or plan.case_sets[0].name, run_id)


def open_named_folder(output_dir: str, name: str, run_id: str) -> Path:
    """Make "NAME-ID" in the output folder and prove that it can be written."""
    folder = Path(output_dir) / f"{_as_file_name(name)}-{run_id}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f'the output folder "{folder}" cannot be written: {error.strerror}.\n'
            "Give another one with --output-dir DIR."
        ) from None
    return folder


def _as_file_name(text: str) -> str:
    """Keep a name inside its folder whatever it contains."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:60] or "run"


@contextmanager
def only_owner_of(folder: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the folder against a second run; a dead owner holds nothing, and what it left
    half-written goes."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise ConfigError(
            f'another run is writing to "{folder}". Wait for it, or give another --output-dir.'
        ) from None
    try:
        remove_parts(folder)
        yield
    finally:
        lock.release()


def environment() -> dict[str, str]:
    """Versions and machine facts that a number may depend on. No user, host or path names."""
    found = {
        "tuneval": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_inputs(
    folder: Path,
    plan: Plan,
    facts: Mapping[str, VariantFacts],
    metrics: Mapping[str, Sequence[Metric]],
) -> None:
    """Write what will run, before it runs: run.yaml, environment.json, cases.jsonl."""
    found = _inferred(plan, facts, metrics)
    comments = "".join(f"# {line.translate(_CONTROLS)}\n" for line in found)
    replace_file(folder / "run.yaml", schemas.FIRST_LINE + comments + plan.spec.to_yaml())
    replace_file(folder / schemas.FILE, schemas.place("run").read_text(encoding="utf-8"))
    replace_file(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")
    lines = [
        json.dumps({"case_set": cases.name, **asdict(case)}, ensure_ascii=False)
        for cases in plan.case_sets
        for case in cases.cases
    ]
    replace_file(folder / "cases.jsonl", "\n".join(lines) + "\n")


_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")
"""A name with a line break in it must not end a comment."""


def _inferred(
    plan: Plan, facts: Mapping[str, VariantFacts], metrics: Mapping[str, Sequence[Metric]]
) -> list[str]:
    """What "auto" stood for in this run. A second run may be on another machine, so that the words
    of the spec stay "auto"."""
    return [
        "What was inferred, on this machine:",
        *(f"  {note}" for note in plan.notes),
        *(
            f"  {name}: {one.dtype}, {one.device}; prompts: {one.prompt_format}; "
            f"tokenizer: {one.tokenizer}"
            for name, one in facts.items()
        ),
        *(f"  {name}: training log {log.source}" for name, log in plan.logs.items()),
        *(f"  {line}" for line in plan.first_prompts),
        *(
            f"  {name}: metrics {', '.join(one.name for one in chosen)} (the first decides)"
            for name, chosen in metrics.items()
        ),
    ]


def write_score(
    folder: Path, result: RunResult, output: OutputSpec, outcomes: str | None = None
) -> None:
    """Write the result of scoring; two that scored the same write one after the other."""
    with only_owner_of(folder, wait_seconds=LONGEST_WRITE_SECONDS):
        if outcomes is not None:
            replace_file(folder / "outcomes.jsonl", outcomes)
        write_result(folder, result, output)


def write_result(folder: Path, result: RunResult, output: OutputSpec) -> None:
    """Write result.json first (every report can be made again from it), then the reports; what was
    asked to be sent is sent last."""
    replace_file(folder / "result.json", render_json(result))
    replace_file(folder / "predictions.jsonl", render_predictions(result))
    if result.prompts:
        replace_file(folder / "prompts.jsonl", render_prompts(result))
    for name in output.reports:
        if name in PUBLISHED:
            write_published(name, result, folder / name)
            continue
        render = registry.load(REPORTS, name, room="report")
        replace_file(folder / report_name(name), render(result))
    _point_latest(folder)
    send(result, output.track)


def _point_latest(folder: Path) -> None:
    """Let the link "latest" beside the runs lead to this one.

    A convenience: where links are not allowed, or something else is called so, there is none, and
    ``tuneval report`` finds the last run by its date.
    """
    link, fresh = folder.parent / LATEST, folder.parent / f".{LATEST}-{os.getpid()}"
    if link.exists() and not link.is_symlink():
        return
    try:
        fresh.symlink_to(folder.name, target_is_directory=True)
        fresh.replace(link)
    except (OSError, NotImplementedError):
        fresh.unlink(missing_ok=True)


def report_name(name: str) -> str:
    """File name of a report in its run's folder."""
    return {"json": "result.json", "junit": "junit.xml"}.get(name, f"report.{name}")
