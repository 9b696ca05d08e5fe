"""Published benchmarks: row -> Case, with licence, citation, revision and checksums.

A benchmark names its task and its metrics; parsing and scoring are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneval.types import Case, CaseSet


@dataclass(frozen=True, slots=True)
class Loaded:
    """A benchmark's cases, ready to be asked.

    Attributes
    ----------
    cases : CaseSet
        ``name`` is that of the benchmark, with its subset after a colon; ``groups`` its strata (subjects), ``cluster`` what
        belongs together (questions on one passage).
    options : mapping
        Options of the task: wording, scoring, stop strings.
    metrics : tuple of str
        The first decides.
    examples : sequence of Case, or callable
        Few-shot examples before every question, or those of one case (MMLU: of its subject).
    signature : str
        Prompt version, revision and checksum of the data: all that makes the number comparable.
    task, own_metrics : Task and Metric objects
        Where another tool brings its own (`tuneval.bridges`).
    """

    cases: CaseSet
    options: Mapping[str, Any]
    metrics: tuple[str, ...]
    examples: Sequence[Case] | Callable[[Case], Sequence[Case]] = ()
    signature: str = ""
    notes: tuple[str, ...] = field(default=())
    task: Any = None
    own_metrics: tuple[Any, ...] = ()


BENCHMARKS: dict[str, str] = {}
