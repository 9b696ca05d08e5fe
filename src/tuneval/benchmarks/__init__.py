"""Published benchmarks: row -> Case, with licence, citation, revision and checksums.

A benchmark names its task and its metrics; parsing and scoring are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tuneval.types import Case, CaseSet

Shots = Literal["first", "drawn", "drawn_without_spare", "chosen"]
"""How few-shot examples are found: ``first`` of the pool (of the case's own stratum), ``drawn`` anew
for each case as lm-eval draws them (for a task that names a test split: ``drawn_without_spare``), or ``chosen`` once for all cases (`tuneval.data.select.few_shot`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look for rows: a folder of the user's, and the hub where that has none.

    ``folder`` holds one folder a benchmark (its own name or the hub's), or is itself that folder.
    """

    folder: Path | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a benchmark, or of one subset of it, before its rows are read.

    Attributes
    ----------
    name : str
        With its subset after a colon.
    measures : str
        One sentence: what a good score shows.
    hub, config, revision
        Where its rows lie on the hub; "" where they do not. A revision of None: none is known for certain, and the checksum
        of the rows stands in for it.
    sizes : mapping
        Split -> published number of rows.
    split, pool : str
        What is asked, and where examples come from ("" where it is never asked with any).
    folders : tuple of str
        Names that its folder may have besides its own and the hub's.
    counts_unanswered : bool
        Its official program counts a case without a prediction as wrong; otherwise that is an error.
    get : str
        How to get the rows, where ``hf download`` of ``hub`` does not do it.
    strata : str
        The group whose values are fixed strata: ``--limit`` keeps their proportions.
    options, metrics, metric_options
        For the task and the metrics; the first metric decides.
    averaged : tuple of str
        Metrics whose mean is this part's share in the score of the whole; () where the whole has none.
    is_our_own : bool
        Texts that tuneval makes by rule: always here, comparable with nothing published.
    prompts : str
        Name and version of the wording; a changed wording is a new version.
    """

    name: str
    title: str
    measures: str
    licence: str
    citation: str
    hub: str
    sizes: Mapping[str, int]
    split: str
    task: str
    metrics: tuple[str, ...]
    prompts: str
    config: str = ""
    revision: str | None = None
    pool: str = ""
    shots: Shots = "chosen"
    strata: str = ""
    labels: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    metric_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    get: str = ""
    counts_unanswered: bool = False
    averaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_our_own: bool = False


class Benchmark(Protocol):
    """One file of this room.

    ``subsets`` are what may stand after the colon; "" among them means that it may be left out.
    ``read`` gives all rows of a split as cases, in published order, without prompts. ``id`` is
    "NAME:n", from 1; what has a published id of its own keeps it in ``inputs["id"]``. One whose whole is
    several tasks names their subsets in ``whole``: its name alone stands for all of them.
    """

    subsets: tuple[str, ...]

    def facts(self, subset: str) -> Facts: ...
    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A benchmark's cases, ready to be asked.

    Attributes
    ----------
    cases : CaseSet
        ``name`` is that of the benchmark, with its subset after a colon; ``groups`` its strata (subjects),
        ``cluster`` what belongs together (questions on one passage).
    options : mapping
        Options of the task: wording, scoring, stop strings.
    metrics : tuple of str
        The first decides.
    examples : sequence of Case, or callable
        Few-shot examples before every question, or those of one case (MMLU: of its subject).
    signature : str
        Prompt version, revision and checksum of the data: all that makes the number comparable.
    metric_options : mapping
        Metric -> its options.
    counts_unanswered : bool
        Whether a case without a prediction is wrong, when outputs from a file are scored.
    averaged : tuple of str
        Metrics whose mean is its share in the score of the whole benchmark.
    whole : tuple of str
        Names of all case sets of which it is one part; () where it is none.
    task, own_metrics : Task and Metric objects
        Where another tool brings its own (`tuneval.bridges`).
    """

    cases: CaseSet
    options: Mapping[str, Any]
    metrics: tuple[str, ...]
    examples: Sequence[Case] | Callable[[Case], Sequence[Case]] = ()
    signature: str = ""
    notes: tuple[str, ...] = field(default=())
    metric_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counts_unanswered: bool = False
    averaged: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    task: Any = None
    own_metrics: tuple[Any, ...] = ()


BENCHMARKS: dict[str, str] = {
    "alpaca_eval": "tuneval.benchmarks.alpaca_eval:AlpacaEval",
    "cnn_dailymail": "tuneval.benchmarks.cnn_dailymail:CnnDailyMail",
    "codexglue": "tuneval.benchmarks.codexglue:CodeXGlue",
    "everyday": "tuneval.benchmarks.everyday:Everyday",
    "glue": "tuneval.benchmarks.glue:Glue",
    "gsm8k": "tuneval.benchmarks.gsm8k:Gsm8k",
    "humaneval": "tuneval.benchmarks.humaneval:HumanEval",
    "ifeval": "tuneval.benchmarks.ifeval:IfEval",
    "mbpp": "tuneval.benchmarks.mbpp:Mbpp",
    "mmlu": "tuneval.benchmarks.mmlu:Mmlu",
    "squad": "tuneval.benchmarks.squad:Squad",
    "sst2": "tuneval.benchmarks.sst2:Sst2",
    "trec6": "tuneval.benchmarks.trec6:Trec6",
    "xstest": "tuneval.benchmarks.xstest:XsTest",
}
