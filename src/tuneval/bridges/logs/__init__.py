"""Logs that other tools wrote -> items with the values that the tool gave them. One reader a file.

A reader takes per-item values as they are and computes none; joining is ``join.py``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

LOGS = {
    "lm_eval": "tuneval.bridges.logs.lm_eval:LmEvalLogs",
    "inspect": "tuneval.bridges.logs.inspect_ai:InspectLogs",
    "lighteval": "tuneval.bridges.logs.lighteval:LightevalDetails",
    "helm": "tuneval.bridges.logs.helm:HelmRuns",
    "promptfoo": "tuneval.bridges.logs.promptfoo:PromptfooResults",
    "table": "tuneval.bridges.logs.table:ValueTable",
}
"""Tool -> its reader, in the order in which a file is offered to them; any table comes last."""

MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Item:
    """One case of a log.

    Attributes
    ----------
    id : str
        The tool's own, unique in its task.
    values : mapping
        Metric -> row that adds up: (value, 1) for a mean; see ``bridges.lm_eval.metric.row_of``.
    asked, answer, expected : str and tuple of str
        As far as the log tells; shown, never scored.
    fields : mapping
        Columns that came with the item, for groups and clusters.
    fingerprint : str
        Of what was asked, where the tool keeps one; "" otherwise.
    problem : str or None
        Why it has no value.
    """

    id: str
    values: Mapping[str, tuple[float, ...]]
    asked: str = ""
    answer: str = ""
    expected: tuple[str, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)
    fingerprint: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A metric of a log: how its rows become its number, which way is better (None: not said), and
    the number that the tool itself printed, if it did."""

    aggregation: str = MEAN
    higher_is_better: bool | None = None
    reported: float | None = None


@dataclass(frozen=True, slots=True)
class TaskLog:
    """What one system did on one task; ``metrics`` in the tool's order, the first decides."""

    tool: str
    task: str
    file: str
    items: tuple[Item, ...]
    metrics: Mapping[str, Logged]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for of a log.

    ``system``: which of several that one file holds; ``value`` and ``id``: columns of a table.
    """

    system: str | None = None
    value: str | None = None
    id: str | None = None


class Reader(Protocol):
    """One tool's logs. ``find`` gives the files at a place (a file or a folder) that are of its
    making, () where there are none; ``read`` raises DataError where one of them is broken.
    ``has_systems``: one file may hold several."""

    has_systems: bool

    def find(self, place: Path, wanted: Wanted) -> tuple[Path, ...]: ...
    def read(self, files: Sequence[Path], wanted: Wanted) -> tuple[TaskLog, ...]: ...
