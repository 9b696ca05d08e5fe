"""Does a variant keep at least 90% of its own clean score when its input is perturbed?

Not for: making perturbations, comparing with another variant's clean score (that is a second line,
never the test: a fall from 95 to 60 would pass against a base of 65).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple

import numpy as np

from tuneval.comparison.estimate import mean as means
from tuneval.comparison.estimate import resampling as again
from tuneval.comparison.estimate.multiplicity import holm
from tuneval.comparison.estimate.paired import Finding, to_comparison
from tuneval.comparison.estimate.resampling import Floats
from tuneval.comparison.estimate.scoring import Codes, checked, kind_of, value_of
from tuneval.comparison.estimate.seeds import FEWEST_SEEDS, linear, two_way
from tuneval.comparison.estimate.slices import cluster_codes, same_cases
from tuneval.comparison.statistic import Settings, Statistic
from tuneval.comparison.wording import scale
from tuneval.errors import MetricError, gather
from tuneval.types import Comparison, Measurement

KEEPS = 0.9
"""Share of the clean score that a robust variant keeps."""

FEWEST_CASES = 30
"""With fewer changed cases nothing is judged: at exactly 90% all of 29 stay right in 5% of runs, and
then no spread is left to doubt it by."""

_ADVICE = {
    "choice_order": "Shuffle the choices in the training data.",
    "format": "Vary the prompt format in the training data.",
    "adversarial": "Add cases of that kind to the training data.",
}


def judge_robustness(
    clean: Sequence[Measurement],
    perturbed: Sequence[Measurement],
    metric: Statistic,
    settings: Settings,
    *,
    case_set: str,
    kind: str,
    origins: Mapping[str, str],
    name: str,
    clusters: Sequence[str | None] | None = None,
) -> Comparison:
    """Test perturbed - 0.9 clean on the cases that have a perturbed copy.

    Parameters
    ----------
    clean, perturbed : sequence of Measurement
        One per training seed of the variant (or one in all), in the same order. ``clean`` may hold
        more cases than were perturbed.
    kind : str
        Name of the perturbation and its level, the Comparison's ``slice``.
    origins : mapping
        Id of a perturbed case -> id of the clean case that it was made from.
    clusters : sequence of str or None, optional
        One per clean case, in the order of ``clean[0]``.

    Returns
    -------
    Comparison
        Of the variant with itself: ``difference`` is perturbed minus clean. ``details``: ``clean``,
        ``perturbed``, ``ratio`` (share of the clean score kept; for metrics where less is better,
        clean/perturbed) and ``kept_low``, ``kept_high``, the two one-sided 95% bounds of
        perturbed - 0.9 clean (clean/0.9 - perturbed where less is better): brittle below 0, robust
        above; ``p_brittle``, one-sided, of its being 0 or more.

    Raises
    ------
    MetricError
        A perturbed case has no clean original among the measured.
    """
    a, b, codes, _ = aligned(clean, perturbed, metric, origins, clusters)
    n = a.shape[1]
    ends = [float(np.mean([value_of(metric, rows) for rows in side])) for side in (a, b)]
    found = Finding("one-sided bound on perturbed - 0.9 clean")
    found.details = {"clean": ends[0], "perturbed": ends[1]}
    if n == 0 or not isfinite(ends[1] - ends[0]):
        found.notes.append("no cases" if n == 0 else "undefined on these cases")
    else:
        good, bad = (ends[1], ends[0]) if metric.higher_is_better else (ends[0], ends[1])
        found.details["ratio"] = good / bad if bad else float("nan")
        x, unit_codes = linear(metric, a, codes, settings)
        y, _ = linear(metric, b, codes, settings)
        kept = _estimate(y - KEEPS * x if metric.higher_is_better else x / KEEPS - y, unit_codes)
        change = _estimate(y - x, unit_codes)
        if isfinite(kept.standard_error) and isfinite(change.standard_error):
            low, high = kept.interval(2 * settings.confidence - 1)
            p_brittle = means.one_sided(kept)
            found.details |= {"kept_low": low, "kept_high": high, "p_brittle": p_brittle}
            found.p_value = change.p_value()
            found.bounds, found.method = change.interval, "t"
        else:
            found.notes.append("one case or cluster: no interval")
    return to_comparison(
        found,
        metric,
        settings,
        names=(name, name),
        place=(case_set, kind),
        difference=ends[1] - ends[0],
        n_cases=n,
    )


def _estimate(values: Floats, codes: Codes | None) -> means.Estimate:
    found = two_way(values, codes=codes)
    return found.estimate if len(values) >= FEWEST_SEEDS else found.cases


class Aligned(NamedTuple):
    """Rows of clean cases and of their copies (averaged), shape (n_seeds, n_cases, n_sums); the
    clusters and ids of these cases."""

    clean: Floats
    perturbed: Floats
    codes: Codes | None
    case_ids: tuple[str, ...]


def aligned(
    clean: Sequence[Measurement],
    perturbed: Sequence[Measurement],
    metric: Statistic,
    origins: Mapping[str, str],
    clusters: Sequence[str | None] | None,
) -> Aligned:
    """Put clean cases beside their copies, and leave out cases without a value on either side."""
    if len(clean) != len(perturbed):
        raise MetricError(
            f"{len(clean)} clean and {len(perturbed)} perturbed measurements: "
            "give one of each per training seed."
        )
    place = {case_id: i for i, case_id in enumerate(clean[0].case_ids)}
    copies = perturbed[0].case_ids
    orphans = [case_id for case_id in copies if origins.get(case_id) not in place]
    if orphans:
        raise MetricError(
            gather(
                f'variant "{clean[0].variant}", metric "{clean[0].metric}": '
                f"{len(orphans)} perturbed cases have no measured original:",
                [f'"{case_id}"' for case_id in orphans],
            )
        )
    owner = np.array([place[origins[case_id]] for case_id in copies], dtype=np.int64)
    used, owner = np.unique(owner, return_inverse=True)
    all_codes = cluster_codes(clusters, len(place))
    codes = None if all_codes is None else np.unique(all_codes[used], return_inverse=True)[1]
    x = [checked(same_cases(clean[0], one))[used] for one in clean]
    n_copies = np.bincount(owner, minlength=len(used))[:, None]
    y = [
        again.summed(checked(same_cases(perturbed[0], one)), owner) / n_copies for one in perturbed
    ]
    a, b = np.stack(x), np.stack(y)
    ids = np.array(clean[0].case_ids, dtype=object)[used]
    if metric.statistic in {"proportion", "mean"}:
        has_value = (a[:, :, 1] > 0).all(axis=0) & (b[:, :, 1] > 0).all(axis=0)
        a, b, ids = a[:, has_value], b[:, has_value], ids[has_value]
        codes = None if codes is None else np.unique(codes[has_value], return_inverse=True)[1]
    return Aligned(a, b, codes, tuple(ids))


def hold(comparisons: Sequence[Comparison], alpha: float) -> list[Comparison]:
    """Correct "brittle" for all arms and kinds of a run: Holm, at this share of the 5%."""
    judged = [
        i
        for i, one in enumerate(comparisons)
        if "p_brittle" in one.details and one.n_cases >= FEWEST_CASES
    ]
    adjusted = holm([comparisons[i].details["p_brittle"] for i in judged])
    held = list(comparisons)
    for i, p in zip(judged, adjusted, strict=True):
        details = {**held[i].details, "p_brittle_adjusted": float(p), "alpha_brittle": alpha}
        held[i] = replace(held[i], details=details)
    return held


def support(comparison: Comparison) -> str:
    """ "brittle", "robust" or "unclear" of a Comparison made by ``judge_robustness``; brittle by the
    corrected p where ``hold`` has corrected it."""
    d = comparison.details
    low, high = d.get("kept_low"), d.get("kept_high")
    if low is None or high is None or comparison.n_cases < FEWEST_CASES:
        return "unclear"
    is_held = d.get("p_brittle_adjusted", 0.0) < d.get("alpha_brittle", 1.0)
    return "brittle" if high < 0 and is_held else "robust" if low > 0 else "unclear"


def robustness_sentence(found: Comparison, metric: str) -> str:
    """Sentence of table 9.3 for a comparison made by ``judge_robustness``."""
    d, s, kind = found.details, scale(found.unit), found.slice
    if "ratio" not in d:
        return f"{metric} under {kind}: {found.note or 'undefined'}."
    ratio = f"{d['ratio']:.0%}"
    supported = support(found)
    if supported == "brittle":
        verb = "falls" if found.higher_is_better else "rises"
        advice = _ADVICE.get(kind.partition(":")[0], f"Add {kind} examples to the training data.")
        return (
            f"{found.candidate} is brittle: {metric} {verb} from {s.plain(d['clean'])} to "
            f"{s.plain(d['perturbed'])} under {kind} ({ratio} of clean). {advice}"
        )
    if supported == "robust":
        return f"{found.candidate} keeps {ratio} of its clean {metric} under {kind}."
    return (
        f"{ratio} of clean {metric} under {kind}: too few examples ({found.n_cases}) to say "
        "whether that is below 90%."
    )


def still_above(found: Comparison, baseline: Comparison) -> str:
    """What a brittle variant has left over the baseline's clean score on the same cases, "" if
    nothing. Beside the test, never in its place."""
    left, clean = found.details.get("perturbed"), baseline.details.get("clean")
    if found.candidate == baseline.candidate or support(found) != "brittle":
        return ""
    if left is None or clean is None or (left > clean) != found.higher_is_better or left == clean:
        return ""
    s = scale(found.unit)
    return f" That is still better than the clean {s.plain(clean)} of {baseline.candidate}."


@dataclass(frozen=True, slots=True)
class FlipRates:
    """Shares of the right answers that became wrong and of the wrong ones that became right; nan
    where there was no right (or wrong) answer to begin with."""

    right_to_wrong: float
    wrong_to_right: float


def flip_rates(
    clean: Sequence[Measurement],
    perturbed: Sequence[Measurement],
    metric: Statistic,
    origins: Mapping[str, str],
) -> FlipRates | None:
    """How often being right changed, each copy and each training seed counted alike.

    Returns None for metrics that are not right or wrong. Parameters as in ``judge_robustness``.
    """
    a, b, _, _ = aligned(clean, perturbed, metric, origins, None)
    if not a.size or kind_of(metric, a.reshape(-1, a.shape[2])) != "proportion":
        return None
    x, y = a[:, :, 0], b[:, :, 0]
    with np.errstate(invalid="ignore"):
        broken, mended = np.sum(x * (1 - y)) / np.sum(x), np.sum((1 - x) * y) / np.sum(1 - x)
    return FlipRates(float(broken), float(mended))
