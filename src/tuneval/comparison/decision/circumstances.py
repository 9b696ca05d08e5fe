"""What is known beside the comparisons that a verdict rests on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tuneval.types import Finding, LearningCurve, Score, Variant, VariantFacts


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Everything beside the comparisons, looked up by arm."""

    arms: Mapping[str, tuple[Variant, ...]]
    facts: Mapping[str, VariantFacts]
    """Variant name -> what its files say."""
    curves: Mapping[str, LearningCurve]
    """Variant name -> its training log, judged."""
    scores: Sequence[Score]
    general: Collection[str]
    """Case sets that guard what the base could do before."""
    warned: Sequence[Finding]

    def members(self, name: str) -> tuple[Variant, ...]:
        """Variants of a recipe, or the variant of that name."""
        if name in self.arms:
            return self.arms[name]
        return tuple(v for row in self.arms.values() for v in row if v.name == name)

    def kind(self, name: str) -> str:
        """Kind of an arm, "" where it is not known."""
        members = self.members(name)
        return members[0].kind if members else ""

    def count(self, kind: str) -> int:
        """How many arms are of this kind."""
        return sum(row[0].kind == kind for row in self.arms.values())

    def curves_of(self, name: str) -> list[LearningCurve]:
        """Learning curves of an arm's checkpoints."""
        names = [name, *(member.name for member in self.members(name))]
        return [self.curves[one] for one in dict.fromkeys(names) if one in self.curves]

    def rank(self, name: str) -> int | None:
        """LoRA rank of an arm, if the adapter's settings say it."""
        known = (one.get("r", "") for one in self._settings(name))
        return next((int(rank) for rank in known if rank.isdigit()), None)

    def acts_everywhere(self, name: str) -> bool:
        """Does an arm's adapter sit on all linear layers?"""
        return any("covers" in one for one in self._settings(name))

    def _settings(self, name: str) -> list[Mapping[str, str]]:
        names = (name, *(member.name for member in self.members(name)))
        return [self.facts[one].settings for one in names if one in self.facts]
