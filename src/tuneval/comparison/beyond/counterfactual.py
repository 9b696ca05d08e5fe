"""Words about people exchanged: does the answer stay, and is one version answered better?

Not for: choosing the words (``perturbations``), groups of real people (groups.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from tuneval.comparison.beyond.drops import adjusted_among, is_suggested
from tuneval.comparison.beyond.robustness import FEWEST_CASES
from tuneval.comparison.estimate import exact
from tuneval.comparison.estimate.multiplicity import ALPHA, holm
from tuneval.comparison.estimate.scoring import checked
from tuneval.comparison.estimate.seeds import compare_recipe
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.comparison.wording import gain, p_text
from tuneval.types import Comparison, FindingLevel, Measurement

_COLUMNS = {"gender": ("masculine", "feminine")}


def columns_of(kind: str) -> tuple[str, str]:
    """What the left and the right column of a kind of swap are called ("gender:swap")."""
    return _COLUMNS.get(kind.partition(":")[0], ("left-column", "right-column"))


@dataclass(frozen=True, slots=True)
class ChangedShare:
    """Share of swaps after which the answer was another one, mean over training seeds, with its
    Wilson interval over the cases."""

    value: float
    low: float
    high: float
    n_cases: int


def changed_share(changed: Sequence[Sequence[bool]], confidence: float) -> ChangedShare | None:
    """Count changed answers.

    Parameters
    ----------
    changed : sequence of sequence of bool
        For each training seed, one per swapped case.
    """
    n = len(changed[0])
    if n == 0:
        return None
    value = float(np.mean(changed))
    return ChangedShare(value, *exact.wilson(value * n, n, confidence), n)


def compare_versions(
    original: Sequence[Measurement],
    swapped: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    kind: str,
    name: str,
    leads_right: Mapping[str, bool],
    clusters: Sequence[str | None] | None = None,
) -> Comparison:
    """Score of the right-column versions minus that of the left-column versions, paired by case.

    The difference has a direction, unlike that of swapped and original: a model that is worse on
    one side would lose on some swaps what it wins on the others.

    Parameters
    ----------
    original, swapped : sequence of Measurement
        One of each per training seed, on the same cases in the same order, under the ids of the
        originals.
    leads_right : mapping
        Case id -> whether the swap put words of the right column into the text. Cases where both
        kinds stood have no side and are not in it.
    clusters : sequence of str or None, optional
        One per case of ``original``.

    Returns
    -------
    Comparison
        Of the variant with itself on slice "KIND, right - left".
    """
    ids = original[0].case_ids
    places = [n for n, case_id in enumerate(ids) if case_id in leads_right]
    is_right = np.array([leads_right[ids[n]] for n in places], dtype=bool)[:, None]
    sides: tuple[list[Measurement], list[Measurement]] = ([], [])
    for one, other in zip(original, swapped, strict=True):
        before, after = checked(one)[places], checked(other)[places]
        chosen = tuple(ids[n] for n in places)
        for side, rows in zip(
            sides,
            (np.where(is_right, before, after), np.where(is_right, after, before)),
            strict=True,
        ):
            side.append(Measurement(one.variant, metric.name, chosen, rows))
    return compare_recipe(
        *sides,
        metric,
        settings,
        case_set=case_set,
        slice=f"{kind}, right - left",
        baseline_name=name,
        candidate_name=name,
        clusters=None if clusters is None else [clusters[n] for n in places],
        are_paired_seeds=True,
    )


def judge_swaps(
    comparisons: Sequence[Comparison], alpha: float = ALPHA
) -> list[tuple[FindingLevel, float | None]]:
    """Level and adjusted p of each: a warning only where the difference is shown among all swaps
    of the run (Holm, at this share of the 5%), "clear" where it is inside the margin of equivalence."""
    found: list[tuple[FindingLevel, float | None]] = []
    for one, p_adjusted in zip(comparisons, adjusted_among(comparisons, holm), strict=True):
        if is_suggested(one, p_adjusted, alpha):
            found.append(("warning", p_adjusted))
            continue
        low, high = (one.details.get(f"interval90_{end}") for end in ("low", "high"))
        margin = one.details.get("margin")
        is_close = (
            low is not None
            and high is not None
            and margin is not None
            and one.n_cases >= FEWEST_CASES
            and -margin < low
            and high < margin
        )
        found.append(("clear" if is_close else "unclear", p_adjusted))
    return found


def swap_sentence(
    found: Comparison,
    level: FindingLevel,
    changed: ChangedShare | None,
    p_adjusted: float | None,
    kind: str,
) -> str:
    """What swapping words about people did to a variant's answers."""
    g = gain(found)
    s, (left, right) = g.scale, columns_of(kind)
    what = kind.partition(":")[0].replace("_", " ")
    said = (
        ""
        if changed is None
        else f"its answer changes in {changed.value:.1%} of {changed.n_cases} swaps "
        f"(95% CI {changed.low:.1%} to {changed.high:.1%})"
    )
    span = f"95% CI {s.signed(g.low)} to {s.signed(g.high)}"
    if level == "warning":
        worse, better = (right, left) if g.value < 0 else (left, right)
        text = (
            f"{found.candidate} depends on {what}: {found.metric} is {s.plain(abs(g.value))}"
            f"{s.noun} worse on the {worse} than on the {better} version of the same "
            f"{found.n_cases} cases ({span}, adjusted {p_text(p_adjusted or 0.0)})"
        )
        return f"{text}; {said}." if said else f"{text}."
    if not g.has_interval or not isfinite(g.value):
        about = f"{left} against {right} versions: {found.note or 'undefined'}"
    elif found.n_cases < FEWEST_CASES:
        about = f"too few cases ({found.n_cases}) to compare {left} with {right} versions"
    else:
        beyond = (
            f"{left} and {right} versions score alike"
            if level == "clear"
            else f"no difference between {left} and {right} versions beyond chance"
        )
        about = f"{beyond} ({s.signed(g.value)}{s.noun}, {span}, n={found.n_cases})"
    lead = f"{found.candidate}, {what} swapped: "
    return f"{lead}{said}; {about}." if said else f"{lead}{about}."
