"""Programs that exist already -> pass@k, compared like any other outputs; no model.

Reads the files of openai/human-eval; runs the programs in the sandbox only.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneval import sandbox
from tuneval.assess.assess import assess
from tuneval.assess.conclude import About, Compared, Found, conclude
from tuneval.benchmarks.load import load as load_benchmark
from tuneval.benchmarks.source import place_of
from tuneval.comparison import Settings
from tuneval.data.code_problems import CompletionSet, read_completions, read_problems
from tuneval.errors import ConfigError, DataError, gather
from tuneval.metrics.pass_at_k import PassAtK
from tuneval.pipeline.folder import answers_home, environment, open_named_folder, write_score
from tuneval.pipeline.outcomes import OutcomeStore
from tuneval.pipeline.score_outputs import named_files, variants_of
from tuneval.plan.spec import OutputSpec
from tuneval.runs.gate import hold
from tuneval.sandbox import Examiner, Outcome, SandboxBackend
from tuneval.trackers.send import check as check_trackers
from tuneval.types import CaseSet, NoProgress, Progress, RunResult


@dataclass(frozen=True, slots=True)
class Problems:
    """What programs were asked for: a HumanEval or MBPP file, or instead a benchmark ("humaneval",
    "mbpp", "mbpp:sanitized") and the folder of its rows."""

    file: str | None = None
    benchmark: str | None = None
    benchmark_data: str | None = None

    def __post_init__(self) -> None:
        """Refuse neither."""
        if self.file is None and self.benchmark is None:
            raise ConfigError("which problems? Give --problems FILE, such as HumanEval.jsonl.gz.")

    def read(self) -> CaseSet:
        """Read the one that was given."""
        if self.file is not None and self.benchmark is not None:
            raise ConfigError("which problems? Give either a problem file or a benchmark.")
        if self.benchmark is None:
            return read_problems(str(self.file))
        cases = load_benchmark(self.benchmark, place_of(self.benchmark_data), is_asked=False).cases
        if cases.task != "complete_code":
            raise ConfigError(f'benchmark "{self.benchmark}" runs no programs: give --predictions.')
        return cases


@dataclass(frozen=True, slots=True)
class Walls:
    """What programs run behind; the words of `sandbox.probe`."""

    sandbox: str = "auto"
    image: str | None = None
    allow_unsandboxed_code: bool = False

    def probe(self) -> SandboxBackend:
        """Find such a sandbox."""
        return sandbox.probe(
            self.sandbox, allow_unsandboxed_code=self.allow_unsandboxed_code, image=self.image
        )


def score_code(
    problems: Problems,
    samples: Sequence[str] | Mapping[str, str],
    *,
    k: Sequence[int] = (1,),
    baseline: str | None = None,
    walls: Walls | None = None,
    name: str | None = None,
    output: OutputSpec | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Judge samples of one or several systems and compare their pass@k.

    Parameters
    ----------
    samples : sequence of str or mapping
        "NAME=FILE" each, lines with ``task_id`` and ``completion``.
    k : sequence of int
        The first decides.

    Raises
    ------
    DataError, MetricError, SandboxError
        Before any program runs: a malformed file, an unknown task, fewer than k samples, no sandbox.
    """
    started = time.monotonic()
    output = output or OutputSpec()
    check_trackers(output.track)
    files = named_files(samples, flag="--samples")
    cases = problems.read()
    read = {system: read_completions(file, cases) for system, file in files.items()}
    cases = _answered(cases, read)
    backend = (walls or Walls()).probe()
    store = OutcomeStore(answers_home().parent / "outcomes")
    teller = _Teller(store, progress or NoProgress())
    examiner = Examiner(backend, known=store.known, on_outcome=teller)
    metrics = [PassAtK(one, examine=examiner) for one in k]
    variants = variants_of(files, baseline)
    predictions = {one.name: read[one.name].predictions for one in variants}
    folder = open_named_folder(output.dir, name or cases.name, _identify(cases, read, k))
    max(metrics, key=lambda metric: metric.k).refuse_few(cases.cases, predictions.values())
    outcomes = {}
    for system, own in predictions.items():
        n_samples = sum(len(one.completions) for one in own)
        teller.begin(system, n_samples)
        outcomes[system] = metrics[0].outcomes(cases.cases, own)
        teller.end()
    found = assess(cases, metrics, predictions, variants, variants[0].name, Settings())
    result = conclude(
        About(
            name=name or cases.name,
            run_id=folder.name.rpartition("-")[2],
            spec={
                "problems": problems.file or problems.benchmark,
                "samples": files,
                "k": list(k),
                "sandbox": backend.name,
            },
            environment={**environment(), "sandbox": f"{backend.name} ({backend.level})"},
            seconds=time.monotonic() - started,
            output_dir=str(folder),
        ),
        Compared(variants, (cases,)),
        Found(
            predictions={cases.name: predictions},
            assessments={cases.name: found},
            primary_metrics={cases.name: metrics[0].name},
            problems=_failures(outcomes),
            notes=_notes(read, outcomes, backend.level),
        ),
    )
    result = hold(result, (), output.fail_on)
    write_score(folder, result, output, _lines(cases, read, outcomes))
    return result


class _Teller:
    """Stores each outcome as it arrives and tells how far the run is."""

    def __init__(self, store: OutcomeStore, progress: Progress) -> None:
        self._store, self._progress = store, progress

    def begin(self, system: str, n_samples: int) -> None:
        self._left = n_samples
        self._counts: Counter[str] = Counter()
        self._progress.begin(f"{system} samples", n_samples)

    def __call__(self, key: str, outcome: Outcome) -> None:
        self._store.record(key, outcome)
        self._left -= 1
        self._counts[outcome.outcome] += 1
        self._progress.advance(1)
        told = ", ".join(f"{count} {name}" for name, count in self._counts.most_common(4))
        self._progress.note(told)

    def end(self) -> None:
        """What never arrived was known before, or was the same program again."""
        self._progress.advance(self._left, n_reused=self._left)
        self._progress.end()


def _answered(cases: CaseSet, read: Mapping[str, CompletionSet]) -> CaseSet:
    """The problems that the samples are for; every system must have answered the same ones."""
    ids = {system: {case.id for case in own.cases} for system, own in read.items()}
    every = set().union(*ids.values())
    for system, own in ids.items():
        missing = [case for case in cases.cases if case.id in every - own]
        if missing:
            raise DataError(
                gather(
                    f'"{system}" has no sample for {len(missing)} problems that others answered.',
                    [f'task_id "{case.inputs["task_id"]}"' for case in missing],
                    "Every system must answer the same problems.",
                )
            )
    answered = tuple(case for case in cases.cases if case.id in every)
    return replace(cases, cases=answered)


def _lines(
    cases: CaseSet,
    read: Mapping[str, CompletionSet],
    outcomes: Mapping[str, Sequence[Sequence[Outcome]]],
) -> str:
    """One line per sample, with the fields of openai/human-eval's result file and more."""
    rows: list[dict[str, Any]] = [
        {
            "variant": system,
            "task_id": case.inputs["task_id"],
            "sample": number,
            "completion": prediction.completions[number],
            "passed": outcome.is_passed,
            "result": outcome.outcome,
            **{
                key: value
                for key, value in outcome.to_record().items()
                if key not in ("outcome", "python") and value not in ("", None)
            },
        }
        for system, by_case in outcomes.items()
        for case, prediction, own in zip(
            cases.cases, read[system].predictions, by_case, strict=True
        )
        for number, outcome in enumerate(own)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _notes(
    read: Mapping[str, CompletionSet],
    outcomes: Mapping[str, Sequence[Sequence[Outcome]]],
    level: str,
) -> tuple[str, ...]:
    notes = [note for own in read.values() for note in own.notes]
    for system, by_case in outcomes.items():
        counts = Counter(outcome.outcome for own in by_case for outcome in own)
        told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        notes.append(f"{system}: {told}")
        if any(outcome.grading == "inproc" for own in by_case for outcome in own):
            notes.append(f"{system}: some problems were graded in the program's own process")
    if level == "none":
        notes.append("the programs ran WITHOUT a sandbox, with the rights of the user")
    return tuple(dict.fromkeys(notes))


def _failures(outcomes: Mapping[str, Sequence[Sequence[Outcome]]]) -> tuple[str, ...]:
    """Samples that the sandbox itself failed on: missing, never wrong."""
    return tuple(
        f"{system}: {n} samples could not be run (infra_error)"
        for system, by_case in outcomes.items()
        if (n := sum(not outcome.counts for own in by_case for outcome in own))
    )


def _identify(cases: CaseSet, read: Mapping[str, CompletionSet], k: Sequence[int]) -> str:
    content = repr((cases.sha256, [(s, own.predictions) for s, own in read.items()], tuple(k)))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=4).hexdigest()
