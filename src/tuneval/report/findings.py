"""Findings as a reader sees them: one block a check, warnings first, tables of one shape together.

Arranges and rounds; what was found stands in the findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuneval.report import wording
from tuneval.report.charts.path import is_path, path
from tuneval.report.charts.reliability import is_reliability, reliability
from tuneval.report.charts.svg import Chart
from tuneval.types import Finding, RunResult

_DRAWINGS = ((is_reliability, reliability), (is_path, path))

MOST_LINES = 6
OPEN_SIGNS = ("!", "?")
"""What is never folded."""

_TITLES = {
    "average": (
        "The score of the whole benchmark",
        "The mean over its tasks; intervals draw the cases of each task anew, the same for all variants.",
    ),
    "cuts": (
        "What did not fit",
        "Prompts cut to the context and answers cut at the token limit; each case shows its own.",
    ),
    "wording": (
        "The trained wording",
        "Does a fine-tune find the references far likelier when they are asked in other words?",
    ),
    "answers": (
        "How the answers were read",
        "What was cut off before reading, and what could not be read.",
    ),
    "ranking": (
        "Which tuned arm is best",
        "All pairs of tuned arms, corrected together (Holm); arms that cannot be told apart are tied.",
    ),
    "slices": (
        "Slices that were lost",
        "Every arm against the baseline on each group; a loss counts whatever was won on the rest.",
    ),
    "guards": (
        "All guards together",
        "A small loss on each of several abilities may be shown by none of them and by all together.",
    ),
    "refusals": (
        "Refusals",
        "Safe prompts that are refused now, and unsafe ones that are answered now.",
    ),
    "robustness": ("Changed inputs", "The same cases with changed inputs, against the clean ones."),
    "counterfactual": (
        "Swapped words about people",
        "The same cases with gendered words or first names swapped: the answer should stay.",
    ),
    "groups": (
        "Differences between groups",
        "A raw gap between small groups is mostly chance; p says how often chance alone does it.",
    ),
    "calibration": (
        "Can its confidence be trusted",
        "How sure the label probabilities are, beside how often they are right.",
    ),
    "out of distribution": (
        "Inputs that no label fits",
        "Are they told apart by a low confidence? 0.5 is a coin, 1 is perfect.",
    ),
    "contamination": (
        "Leaked cases",
        "Test cases that occur in the training file, and the score without them.",
    ),
    "label order": (
        "The order of the labels",
        "Answers of a head over labels that are right under other names: a fault of the set-up.",
    ),
    "memorisation": (
        "Learnt by heart",
        "How much likelier the training texts are than the test texts, beside the base model.",
    ),
    "training gap": (
        "Training cases against test cases",
        "A model that learnt by heart is much better on what it has seen.",
    ),
    "training log": ("Losses that were lost", "Did the trainer log numbers to its end?"),
    "checkpoints": (
        "Checkpoints of one training",
        "The score at every step. All intervals hold at once, so that the best may be picked by looking.",
    ),
    "to mark": (
        "Cases to mark",
        "In random order, so that a person's marks on the first of them speak for all.",
    ),
    "corrected": (
        "The win rate as a person sees it",
        "A judge's verdicts on all cases, corrected by a person's marks on cases drawn at random.",
    ),
    "marks": (
        "Marked by a person",
        "Cases judged by hand in this page, and read back from a file.",
    ),
    "judges": (
        "Do the judges agree",
        "Cohen's kappa of every two, Krippendorff's alpha of all, on win, tie and loss.",
    ),
    "judge": ("The judge", "Who compared the answers, and whether its word can be relied on."),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence with its sign and what it is about."""

    sign: str
    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of the findings of one shape; ``is_number`` says which columns stand to the right."""

    header: tuple[str, ...]
    is_number: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """All that one check found; ``further`` sentences are folded where there are many."""

    title: str
    lead: str
    lines: tuple[Line, ...]
    further: tuple[Line, ...]
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]

    @property
    def has_warning(self) -> bool:
        """Does any of its sentences warn?"""
        return any(line.sign == wording.SIGNS["warning"] for line in self.lines)


def blocks(result: RunResult, css: Mapping[str, str]) -> list[Block]:
    """Arrange the findings of a run by check, in the order of the table of titles.

    ``css`` maps arms to the classes of their marks in charts.
    """
    kinds = dict.fromkeys(one.kind for one in result.findings)
    known = [kind for kind in _TITLES if kind in kinds]
    return [
        _block(kind, [one for one in result.findings if one.kind == kind], css)
        for kind in (*known, *(kind for kind in kinds if kind not in _TITLES))
    ]


def title(kind: str) -> str:
    """What a reader calls a check."""
    return _TITLES[kind][0] if kind in _TITLES else kind.capitalize()


def _block(kind: str, findings: Sequence[Finding], css: Mapping[str, str]) -> Block:
    lead = _TITLES[kind][1] if kind in _TITLES else ""
    order = list(wording.SIGNS)
    several_sets = len({one.case_set for one in findings}) > 1
    lines = [
        Line(wording.SIGNS[one.level], _about(one, several_sets), one.sentence)
        for one in sorted(findings, key=lambda one: order.index(one.level))
        if one.sentence
    ]
    shapes: dict[tuple[tuple[str, str], ...], list[Finding]] = {}
    for one in findings:
        if one.rows:
            shapes.setdefault(tuple(one.columns.items()), []).append(one)
    said = list(dict.fromkeys(lines))
    n_open = sum(line.sign in OPEN_SIGNS for line in said)
    n_shown = len(said) if len(said) <= MOST_LINES else max(n_open, 1)
    return Block(
        title(kind),
        lead,
        tuple(said[:n_shown]),
        tuple(said[n_shown:]),
        tuple(_table(same) for same in shapes.values()),
        tuple(
            draw(one, css.get(one.variant, "base-0"))
            for is_drawn, draw in _DRAWINGS
            for one in findings
            if one.rows and is_drawn(one)
        ),
    )


def _about(finding: Finding, with_set: bool) -> str:
    """The arm, unless the sentence begins with it, and the case set where there are several."""
    parts = [] if finding.sentence.startswith(finding.variant) else [finding.variant]
    return ", ".join(
        [*filter(None, parts), *([finding.case_set] if with_set and finding.case_set else [])]
    )


def _table(findings: Sequence[Finding]) -> Table:
    """One table of findings whose columns are the same; what tells them apart stands first."""
    keys = [
        (name, read)
        for name, read in (
            ("variant", lambda one: one.variant),
            ("case set", lambda one: one.case_set),
            ("subject", lambda one: wording.slice_title(one.subject)),
        )
        if len({read(one) for one in findings}) > 1 or (name == "variant" and findings[0].variant)
    ]
    columns = findings[0].columns
    return Table(
        (*(name for name, _ in keys), *columns),
        (*(False for _ in keys), *(unit != "text" for unit in columns.values())),
        tuple(
            (
                *(read(one) for _, read in keys),
                *(
                    cell(value, unit, name)
                    for value, (name, unit) in zip(row, columns.items(), strict=True)
                ),
            )
            for one in findings
            for row in one.rows
        ),
    )


def cell(value: str | int | float | None, unit: str, name: str = "") -> str:
    """One value of a finding's table as text; a column of p-values is known by its name."""
    if value is None:
        return "n/a"
    if isinstance(value, str):
        return value
    if name == "p" or name.startswith("p "):
        return wording.p_value(float(value))
    if unit == "count":
        return wording.count(round(value))
    return wording.number(float(value), unit)  # type: ignore[arg-type]
