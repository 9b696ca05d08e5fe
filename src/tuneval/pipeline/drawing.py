"""Cases drawn in a random order, chunk by chunk, until every pair is decided; no room knows of it.

All variants see the same cases. The looks and their stopping rule are ``comparison.sequential``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tuneval.assess.assess import Assessment, pairs
from tuneval.assess.measure import Predictions, is_missing, rows_of, unread_share, worst_case
from tuneval.comparison import Settings
from tuneval.data.clusters import distinct
from tuneval.errors import ConfigError
from tuneval.metrics import Metric
from tuneval.types import CaseSet, Comparison, Measurement, Prediction, Variant, arms

FIRST_CHUNK = 100
GROWTH = 0.25
"""Each further chunk is a quarter of what was drawn: many looks, few changes of weights."""

Walk = Callable[[Sequence[CaseSet]], Mapping[str, Predictions]]


class Drawing:
    """One case set being drawn."""

    def __init__(
        self,
        cases: CaseSet,
        metric: Metric,
        variants: Sequence[Variant],
        baseline: str,
        settings: Settings,
        margin_points: float | None,
    ) -> None:
        from tuneval.comparison.decision.sequential import draw_order

        if metric.statistic not in ("proportion", "mean"):
            raise ConfigError(
                f'--until-decided: the primary metric "{metric.name}" is no mean of cases, so it '
                "cannot be judged while cases are drawn. Run all cases, or choose another --primary."
            )
        self.cases = cases
        self.metric = metric
        self.rows = arms(variants)
        self.pairs = pairs(self.rows, baseline)
        # Every pair keeps its error rate among all of them: the share of each is alpha / pairs.
        alpha = (1 - settings.confidence) / max(len(self.pairs), 1)
        self.settings = replace(settings, confidence=1 - alpha)
        self.margin_points = margin_points
        if margin_points is not None:
            self.settings = replace(self.settings, margin_points=margin_points)
        originals = distinct([case for case in cases.cases if case.origin is None])
        clusters = [case.cluster for case in originals if case.cluster is not None]
        if len(set(clusters)) < len(clusters):
            raise ConfigError(
                f"--until-decided: cases of {cases.name} belong together (questions on one passage), "
                "and its test holds for independent cases only. Run all of them."
            )
        order = draw_order(len(originals), settings.resampling_seed, cases.name)
        self.order = [originals[int(position)].id for position in order]
        self.n_drawn = 0
        self.read: dict[str, dict[str, Prediction]] = {variant.name: {} for variant in variants}
        self.settled: dict[tuple[str, str], Comparison] = {}
        """Looks at which a pair was decided; later cases do not change them."""
        self.looks: tuple[Comparison, ...] = ()
        self.is_open = bool(self.order)

    def next_chunk(self) -> CaseSet:
        """The next cases with their changed twins, in the order of the file."""
        size = max(FIRST_CHUNK, int(self.n_drawn * GROWTH))
        chosen = set(self.order[self.n_drawn : self.n_drawn + size])
        self.n_drawn = min(self.n_drawn + size, len(self.order))
        return self._only(chosen)

    def look(self, predictions: Predictions) -> None:
        """Take the chunk's predictions in and see for which pairs more cases are needed."""
        from tuneval.comparison.decision.stopping import is_settled

        for variant, own in predictions.items():
            self.read[variant].update({one.case_id: one for one in own})
        measured = self._measured()
        looks = []
        for pair in self.pairs:
            found = self.settled.get(pair) or self._judged(pair, measured)
            if is_settled(found, (self.rows[pair[0]][0].kind, self.rows[pair[1]][0].kind)):
                self.settled[pair] = found
            looks.append(found)
        self.looks = tuple(looks)
        is_spent = self.n_drawn >= len(self.order)
        self.is_open = not is_spent and len(self.settled) < len(self.pairs)

    def _judged(self, pair: tuple[str, str], measured: Mapping[str, Measurement]) -> Comparison:
        """One pair on the cases drawn so far, and what is left of it whatever was unread."""
        sides = [[measured[one.name] for one in self.rows[arm]] for arm in pair]
        found = self._looked(pair, *sides)
        details = dict(found.details)
        if self.margin_points is not None:
            details["decided_margin_points"] = self.margin_points
        unread = {
            one.variant: [unread_share(self.read[one.variant][id_]) > 0 for id_ in one.case_ids]
            for side in sides
            for one in side
        }
        for side, name in zip(sides, ("baseline", "candidate"), strict=True):
            flat = [
                unread_share(self.read[one.variant][id_]) for one in side for id_ in one.case_ids
            ]
            details[f"unparsed_{name}"] = sum(flat) / max(len(flat), 1)
        against = worst_case(sides, unread, self.metric.unit, gains=found.difference > 0)
        if against and any(any(one) for one in unread.values()):
            worst = self._looked(pair, *against)
            details["worst_case_difference"] = worst.difference
            details["worst_case_p"] = worst.p_value or 0.0
        p_adjusted = min(1.0, (found.p_value or 0.0) * len(self.pairs))
        return replace(found, details=details, p_adjusted=p_adjusted)

    def _looked(
        self,
        pair: tuple[str, str],
        baseline: Sequence[Measurement],
        candidate: Sequence[Measurement],
    ) -> Comparison:
        from tuneval.comparison.decision.sequential import look

        return look(
            baseline,
            candidate,
            self.metric,
            self.settings,
            case_set=self.cases.name,
            n_total=len(self.order),
            baseline_name=pair[0],
            candidate_name=pair[1],
        ).comparison

    def drawn(self) -> CaseSet:
        """The case set as far as it was drawn."""
        note = f"{self.n_drawn} of {len(self.order)} cases drawn at random until decided"
        found = self._only(set(self.order[: self.n_drawn]))
        return replace(found, notes=(*found.notes, note))

    def predictions(self) -> Predictions:
        """Predictions in the order of ``drawn``."""
        cases = self.drawn().cases
        return {name: [own[case.id] for case in cases] for name, own in self.read.items()}

    def into(self, found: Assessment) -> None:
        """Put the looks in the place of the fixed-size tests, which peeking has spoiled."""
        note = f"estimate from {self.n_drawn} of {len(self.order)} items"
        looks = list(self.looks)
        if self.cases.is_exploratory:
            fixed = {(one.baseline, one.candidate, one.metric, one.slice) for one in looks}
            found.exploratory = [
                *looks,
                *(
                    one
                    for one in found.exploratory
                    if (one.baseline, one.candidate, one.metric, one.slice) not in fixed
                ),
            ]
        else:
            found.confirmatory = looks
        if self.n_drawn < len(self.order):
            found.scores = [
                replace(one, note="; ".join(filter(None, (one.note, note)))) for one in found.scores
            ]

    def _only(self, ids: set[str]) -> CaseSet:
        return replace(
            self.cases,
            cases=tuple(case for case in self.cases.cases if (case.origin or case.id) in ids),
        )

    def _measured(self) -> dict[str, Measurement]:
        """Rows of the cases drawn so far that every variant could answer, in drawing order."""
        by_id = {case.id: case for case in self.cases.cases}
        answered = [
            by_id[id_]
            for id_ in self.order[: self.n_drawn]
            if not any(is_missing(own[id_]) for own in self.read.values())
        ]
        ids = tuple(case.id for case in answered)
        return {
            variant: Measurement(
                variant,
                self.metric.name,
                ids,
                *rows_of(self.metric, answered, [own[id_] for id_ in ids]),
            )
            for variant, own in self.read.items()
        }


def draw_until_decided(drawings: Sequence[Drawing], walk: Walk) -> None:
    """Ask chunk after chunk, for all case sets that are still open at once."""
    while still_open := [one for one in drawings if one.is_open]:
        chunks = [one.next_chunk() for one in still_open]
        predictions = walk(chunks)
        for one in still_open:
            one.look(predictions[one.cases.name])
