"""One case set: measurements -> scores, comparisons, confusions and flips of every arm.

Chooses what is compared with what; the formulas are in metrics and comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isnan
from typing import TypeVar

from tuneval import comparison
from tuneval.assess.measure import (
    LABELLED,
    Predictions,
    answered,
    class_counts,
    is_missing,
    is_swap,
    labels_of,
    measure,
    rows_of,
    unanswered,
    unparsed_share,
    unread_share,
    worst_case,
)
from tuneval.comparison import Settings
from tuneval.comparison.estimate.draws import with_draws
from tuneval.metrics import Metric
from tuneval.types import (
    Case,
    CaseSet,
    Comparison,
    Confusion,
    Flips,
    Measurement,
    NoProgress,
    PerClass,
    Prediction,
    Progress,
    Score,
    Variant,
    arms,
)

Item = TypeVar("Item")


@dataclass(slots=True)
class Assessment:
    """What was found on one case set. ``confirmatory`` comparisons are those that a verdict may
    rest on (primary metric, all cases of a set that is not exploratory); ``ranking`` are the pairs of
    tuned arms that no verdict is about; the others suggest. ``selected``: baseline against the best
    of several tuned arms, its interval widened because the best was chosen."""

    scores: list[Score] = field(default_factory=list)
    confirmatory: list[Comparison] = field(default_factory=list)
    ranking: list[Comparison] = field(default_factory=list)
    selected: Comparison | None = None
    exploratory: list[Comparison] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    per_class: list[PerClass] = field(default_factory=list)
    flips: list[Flips] = field(default_factory=list)
    case_scores: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    measured: dict[str, dict[str, Measurement]] = field(default_factory=dict)
    """Rows of the primary metric: slice -> variant name -> Measurement."""

    def demote(self) -> None:
        """Let no verdict rest on it."""
        self.exploratory += [*self.confirmatory, *self.ranking]
        self.confirmatory, self.ranking, self.selected = [], [], None


def assess(
    cases: CaseSet,
    chosen: Sequence[Metric],
    predictions: Predictions,
    variants: Sequence[Variant],
    baseline: str,
    settings: Settings,
    progress: Progress | None = None,
) -> Assessment:
    """Measure, score and compare every arm on one case set, on every slice that it has.

    The first of ``chosen`` is the primary metric: it alone is measured on slices, and its
    comparisons on all cases are what a verdict may rest on; on all cases the other tuned arms are
    compared with one another, too, for the ranking. A case that one variant could not
    answer counts for none of them: a failure is not a wrong answer. Without metrics nothing is measured.
    """
    rows = arms(variants)
    if not chosen:
        nothing = (None,) * len(cases.cases)
        return Assessment(case_scores={variant.name: nothing for variant in variants})
    found = Assessment()
    slices = answered(cases, predictions)
    progress = progress or NoProgress()
    progress.begin(f"metrics of {cases.name}", len(chosen) + len(slices) - 1)
    for metric in chosen:
        chosen_slices = slices if metric is chosen[0] else {"all": slices["all"]}
        measured = {
            slice_: {
                variant.name: measure(metric, cases, predictions[variant.name], variant, positions)
                for variant in variants
            }
            for slice_, positions in chosen_slices.items()
        }
        if metric is chosen[0]:
            found.measured = measured
        for slice_, by_variant in _told(measured.items(), progress):
            if is_swap(slice_):
                continue  # shows whether answers stay, not a score to compare
            of_slice = _Slice(cases, slice_, slices[slice_], metric, settings)
            found.scores += [
                _signed(of_slice.score(arm, rows[arm], by_variant), cases) for arm in rows
            ]
            is_confirmatory = slice_ == "all" and metric is chosen[0] and not cases.is_exploratory
            claims = pairs(rows, baseline)
            compared = of_slice.sharing(len(claims)) if is_confirmatory else of_slice
            comparisons = [
                compared.compare(left, right, rows, by_variant, predictions)
                for left, right in claims
            ]
            (found.confirmatory if is_confirmatory else found.exploratory).extend(comparisons)
            if is_confirmatory and not cases.is_guard:
                found.ranking = [
                    of_slice.compare(left, right, rows, by_variant, predictions)
                    for left, right in ranked_pairs(rows, baseline)
                ]
                found.selected = _selected(found, of_slice, rows, by_variant, predictions, baseline)
        if metric is chosen[0]:
            clean = _Slice(cases, "all", slices["all"], metric, settings)
            found.exploratory += _robustness(clean, measured, rows)
    progress.end()
    found.case_scores = {
        variant.name: _case_values(chosen[0], cases, predictions[variant.name])
        for variant in variants
    }
    found.flips = _flips(cases, found.case_scores, chosen[0], rows, baseline)
    if cases.task in LABELLED:
        _add_confusions(found, cases, predictions, variants)
    return found


def _told(items: Iterable[Item], progress: Progress) -> Iterator[Item]:
    """Say of each item when it is done."""
    for item in items:
        yield item
        progress.advance(1)


def pairs(rows: Mapping[str, Sequence[Variant]], baseline: str) -> list[tuple[str, str]]:
    """Who is compared with whom: the baseline with every other arm, every adapter with every full.

    The commonest label beside a baseline that is a model is a second baseline.
    """
    against_baseline = [
        (one, arm)
        for one in (baseline, *_majority(rows, baseline))
        for arm in tuned(rows, baseline)
    ]
    adapters = [arm for arm, members in rows.items() if members[0].kind == "adapter"]
    fulls = [arm for arm, members in rows.items() if members[0].kind == "full" and arm != baseline]
    return against_baseline + [(adapter, full) for adapter in adapters for full in fulls]


def tuned(rows: Mapping[str, Sequence[Variant]], baseline: str) -> list[str]:
    """The arms that the run is about: no baseline, and not the commonest label."""
    return [arm for arm in rows if arm not in (baseline, *_majority(rows, baseline))]


def _majority(rows: Mapping[str, Sequence[Variant]], baseline: str) -> list[str]:
    return [arm for arm, one in rows.items() if one[0].kind == "majority" and arm != baseline]


def ranked_pairs(rows: Mapping[str, Sequence[Variant]], baseline: str) -> list[tuple[str, str]]:
    """Pairs of tuned arms beside those of ``pairs``: recipe with recipe, full with full."""
    known = set(pairs(rows, baseline))
    return [
        (left, right)
        for left, right in combinations(tuned(rows, baseline), 2)
        if (left, right) not in known and (right, left) not in known
    ]


def _selected(
    found: Assessment,
    of_slice: _Slice,
    rows: Mapping[str, Sequence[Variant]],
    measured: Mapping[str, Measurement],
    predictions: Predictions,
    baseline: str,
) -> Comparison | None:
    """The best tuned arm against the baseline; None where none was selected.

    The best of K looks better than it is: its interval is one of K that hold together (Bonferroni),
    so it holds for whichever was chosen.
    """
    values = {
        score.variant: score.value
        for score in found.scores
        if score.slice == "all" and score.metric == of_slice.metric.name
    }
    named = [arm for arm in tuned(rows, baseline) if not isnan(values[arm])]
    if len(named) < 2 or not found.ranking:
        return None
    best = (max if of_slice.metric.higher_is_better else min)(named, key=lambda arm: values[arm])
    settings = of_slice.settings
    wide = replace(settings, confidence=1 - (1 - settings.confidence) / len(named))
    return replace(of_slice, settings=wide).compare(baseline, best, rows, measured, predictions)


def add_slice(
    found: Assessment,
    name: str,
    positions: Sequence[int],
    cases: CaseSet,
    metric: Metric,
    predictions: Predictions,
    variants: Sequence[Variant],
    baseline: str,
    settings: Settings,
) -> None:
    """Score and compare every arm on one more choice of original cases; what it shows only suggests.

    Cases that one variant could not answer are left out, as everywhere.
    """
    rows = arms(variants)
    left_out = unanswered(predictions)
    kept = [position for position in positions if position not in left_out]
    of_slice = _Slice(cases, name, kept, metric, settings)
    measured = {
        variant.name: measure(metric, cases, predictions[variant.name], variant, kept)
        for variant in variants
    }
    found.scores += [_signed(of_slice.score(arm, rows[arm], measured), cases) for arm in rows]
    found.exploratory += [
        of_slice.compare(left, right, rows, measured, predictions)
        for left, right in pairs(rows, baseline)
    ]


def _signed(score: Score, cases: CaseSet) -> Score:
    """A benchmark's number is comparable only with one of the same prompts and rows."""
    if not cases.signature:
        return score
    return replace(score, signature=f"{score.signature}|{cases.signature}")


@dataclass(frozen=True, slots=True)
class _Slice:
    """One metric on one choice of cases: what every score and comparison on it has in common."""

    cases: CaseSet
    name: str
    positions: Sequence[int]
    metric: Metric
    settings: Settings

    def sharing(self, n_pairs: int) -> _Slice:
        """The same for comparisons that share one error rate over all case sets of the run."""
        claims = max(n_pairs, 1) * self.settings.n_case_sets
        return replace(self, settings=replace(self.settings, difference_claims=claims))

    @property
    def chosen(self) -> list[Case]:
        return [self.cases.cases[position] for position in self.positions]

    @property
    def clusters(self) -> list[str] | None:
        """Cluster ids, or None if every case stands for itself."""
        ids = [case.cluster if case.cluster is not None else case.id for case in self.chosen]
        return ids if len(set(ids)) < len(ids) else None

    @property
    def class_counts(self) -> Mapping[str, int] | None:
        return class_counts(self.chosen) if self.metric.uses_labels else None

    def score(
        self, arm: str, members: Sequence[Variant], measured: Mapping[str, Measurement]
    ) -> Score:
        side = [measured[member.name] for member in members]
        if len(members) == 1:
            found = comparison.score(
                side[0],
                self.metric,
                self.settings,
                case_set=self.cases.name,
                slice=self.name,
                clusters=self.clusters,
                class_counts=self.class_counts,
            )
        else:
            found = comparison.score_recipe(
                side,
                self.metric,
                self.settings,
                name=arm,
                case_set=self.cases.name,
                slice=self.name,
                clusters=self.clusters,
                class_counts=self.class_counts,
            )
        return with_draws(found, [side], self.metric, self.settings, self.clusters)

    def compare(
        self,
        left: str,
        right: str,
        rows: Mapping[str, Sequence[Variant]],
        measured: Mapping[str, Measurement],
        predictions: Predictions,
    ) -> Comparison:
        unparsed = tuple(
            unparsed_share(rows[arm], predictions, self.positions) for arm in (left, right)
        )
        sides = [[measured[one.name] for one in rows[arm]] for arm in (left, right)]

        def compared(
            baseline: Sequence[Measurement], candidate: Sequence[Measurement]
        ) -> Comparison:
            return comparison.compare_recipe(
                baseline,
                candidate,
                self.metric,
                self._settings(left, rows),
                baseline_name=left,
                candidate_name=right,
                case_set=self.cases.name,
                slice=self.name,
                clusters=self.clusters,
                is_spread_shared=all(rows[arm][0].kind != "base" for arm in (left, right)),
                unparsed=(unparsed[0], unparsed[1]),
            )

        found = with_draws(compared(*sides), sides, self.metric, self.settings, self.clusters)
        if max(unparsed) == 0 or self.metric.statistic not in {"proportion", "mean"}:
            return found
        unread = {
            one.variant: [unread_share(predictions[one.variant][i]) > 0 for i in self.positions]
            for side in sides
            for one in side
        }
        worst = worst_case(sides, unread, self.metric.unit, gains=found.difference > 0)
        if worst is None:
            return found
        against = compared(*worst)
        details = {**found.details, "worst_case_difference": against.difference}
        if against.p_value is not None:
            details["worst_case_p"] = against.p_value
        return replace(found, details=details)

    def _settings(self, left: str, rows: Mapping[str, Sequence[Variant]]) -> Settings:
        """Claims of closeness to an adapter share one error rate, those to the baseline another."""
        is_adapter = rows[left][0].kind == "adapter"
        n_tuned, n_adapters = len(rows) - 1, sum(row[0].kind == "adapter" for row in rows.values())
        n_fulls = sum(row[0].kind == "full" for row in rows.values())
        claims = n_adapters * n_fulls if is_adapter else n_tuned
        return replace(self.settings, closeness_claims=max(claims, 1) * self.settings.n_case_sets)


def _robustness(
    clean: _Slice,
    measured: Mapping[str, Mapping[str, Measurement]],
    rows: Mapping[str, Sequence[Variant]],
) -> list[Comparison]:
    """Each arm's perturbed cases against its own clean ones, for every kind of perturbation."""
    twins = [case for case in clean.cases.cases if case.origin is not None]
    origins = {case.id: case.origin for case in twins if case.origin is not None}
    kinds = dict.fromkeys(case.perturbation for case in twins if case.perturbation in measured)
    return [
        comparison.judge_robustness(
            [measured["all"][member.name] for member in members],
            [measured[kind][member.name] for member in members],
            clean.metric,
            clean.settings,
            case_set=clean.cases.name,
            kind=kind,
            origins=origins,
            name=arm,
            clusters=clean.clusters,
        )
        for kind in kinds
        if kind is not None and not is_swap(kind)
        for arm, members in rows.items()
    ]


def _case_values(
    metric: Metric, cases: CaseSet, predictions: Sequence[Prediction]
) -> tuple[float | None, ...]:
    """The metric of each single case; None where the answer could not be had."""
    if metric.statistic == "ranks":
        return (None,) * len(cases.cases)
    values = metric.from_totals(rows_of(metric, cases.cases, predictions)[0])
    return tuple(
        None if is_missing(one) or isnan(value) else float(value)
        for one, value in zip(predictions, values, strict=True)
    )


def _flips(
    cases: CaseSet,
    values: Mapping[str, Sequence[float | None]],
    metric: Metric,
    rows: Mapping[str, Sequence[Variant]],
    baseline: str,
) -> list[Flips]:
    """Paired 2 x 2 tables, for metrics that are right or wrong; a recipe shows its first seed."""
    is_binary = all(one in (0, 1, None) for own in values.values() for one in own)
    if metric.statistic != "proportion" or not is_binary:
        return []
    tables = []
    for left, right in pairs(rows, baseline):
        one, other = values[rows[left][0].name], values[rows[right][0].name]
        table: dict[tuple[bool, bool], list[str]] = {}
        for case, a, b in zip(cases.cases, one, other, strict=True):
            if case.origin is None and a is not None and b is not None:
                table.setdefault((a == 1, b == 1), []).append(case.id)
        tables.append(
            Flips(
                baseline=rows[left][0].name,
                candidate=rows[right][0].name,
                case_set=cases.name,
                both_right=len(table.get((True, True), ())),
                both_wrong=len(table.get((False, False), ())),
                fixed=tuple(table.get((False, True), ())),
                broken=tuple(table.get((True, False), ())),
            )
        )
    return tables


def _add_confusions(
    found: Assessment, cases: CaseSet, predictions: Predictions, variants: Sequence[Variant]
) -> None:
    from tuneval.metrics.confusion import confusion_matrix, per_class

    labels = labels_of(cases)
    clean = answered(cases, predictions)["all"]
    chosen = [cases.cases[position] for position in clean]
    for variant in variants:
        counts = confusion_matrix(
            chosen, [predictions[variant.name][position] for position in clean], labels
        )
        found.confusions.append(
            Confusion(
                variant=variant.name,
                case_set=cases.name,
                labels=labels,
                counts=tuple(tuple(int(count) for count in row) for row in counts),
            )
        )
        precision, recall, f1 = per_class(counts)
        found.per_class += [
            PerClass(
                variant=variant.name,
                case_set=cases.name,
                label=label,
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
                n_cases=int(counts[index].sum()),
            )
            for index, label in enumerate(labels)
        ]
