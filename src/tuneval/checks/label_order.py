"""Does a head over labels answer under the names that it was trained with? Looks; asks nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuneval.checks import Scene
from tuneval.comparison.beyond.label_order import find_swapped, swapped_sentence
from tuneval.plan.resolve import Plan
from tuneval.types import Finding


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """Holds the answers of heads over labels against every other order of the labels."""

    @classmethod
    def begin(cls, plan: Plan) -> LabelOrder | None:
        """None where nobody has such a head."""
        heads = {one.head for one in plan.variants if one.kind != "majority"}
        return cls() if "classification" in heads else None

    def look(self, scene: Scene) -> Iterator[Finding]:
        """One warning for each variant and case set whose answers fit another order far better."""
        with_heads = {
            one.name
            for one in scene.plan.variants
            if one.head == "classification" and one.kind != "majority"
        }
        for name, assessment in scene.assessments.items():
            for confusion in assessment.confusions:
                if confusion.variant not in with_heads:
                    continue
                counts = np.array(confusion.counts, dtype=np.int64)[:, :-1]  # the last: unparsed
                found = find_swapped(counts, confusion.labels)
                if found is not None:
                    yield Finding(
                        kind="label order",
                        variant=confusion.variant,
                        case_set=name,
                        subject="order of the labels",
                        level="warning",
                        sentence=swapped_sentence(confusion.variant, found),
                        values={
                            "right": found.n_right,
                            "right_in_that_order": found.n_right_then,
                            "cases": found.n_cases,
                            "p_value": found.p_value,
                        },
                        flag="INVALID",
                    )
