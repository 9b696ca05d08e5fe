"""Was a fine-tune trained on the run's wording, or on another one? Paired costs of references.

Not for: which wordings are tried and who is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from tuneval.comparison.estimate.exact import sign_flip
from tuneval.comparison.estimate.mean import estimate_mean, t_tail

MARGIN_NATS = 0.1
"""A reference must become that much cheaper, on average, before another wording counts: it is then
1.1 times as likely."""

ALPHA = 0.05
"""Share of fine-tunes for which another wording passes although it is no better than the run's."""

MARGIN_SHARE = 0.05
"""And by that share of its cost: long texts are never equally likely in two wordings."""

COSTLY_SHARE = 0.1
"""A wording that makes references that much more costly than the trained one costs points, too: a
LoRA adapter asked at 1.2 times the cost had 11 points less (docs/prompt.md)."""

MOST_TESTED = 22
"""References that the exact test takes."""

LEAST_NATS = 0.01
"""Costs below are taken as equal: the reference is 99% certain."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WordingTrial:
    """Nats of the same references, shape (n,), asked in the run's own wording and in another one, by
    the fine-tune and by the base. The other wording was chosen on other references, so that one
    test is made and not one per wording."""

    tuned_own: Floats
    tuned_other: Floats
    base_own: Floats
    base_other: Floats

    @property
    def gain(self) -> float:
        """How much cheaper the fine-tune finds a reference in the other wording, in nats."""
        return float((self.tuned_own - self.tuned_other).mean())

    @cached_property
    def p_cheaper(self) -> float:
        """One-sided p of the gain: exact over all sign patterns of the paired differences."""
        return _p_cheaper(self.tuned_own, self.tuned_other)

    @property
    def is_cheaper(self) -> bool:
        """Does another wording suit the fine-tune clearly better?"""
        least = max(MARGIN_NATS, MARGIN_SHARE * float(self.tuned_own.mean()))
        return self.gain >= least and self.p_cheaper <= ALPHA

    @property
    def share_own(self) -> float:
        """What tuning left of the base's cost, in the run's own wording."""
        return float(self.tuned_own.mean() / self.base_own.mean())

    @property
    def share_other(self) -> float:
        """What tuning left of the base's cost, in the other wording."""
        return float(self.tuned_other.mean() / self.base_other.mean())

    @cached_property
    def p_tuned_there(self) -> float:
        """One-sided p of the difference in differences: tuning took a larger share of the base's cost
        away in the other wording. On the scale of logarithms, because a base that knows a wording
        moves along with its fine-tune; the error comes from linearising the four means. A cost of
        nothing proves nothing."""
        parts = (self.tuned_own, self.base_own, self.tuned_other, self.base_other)
        if any(part.mean() <= 0 for part in parts):
            return 1.0
        scaled = [part / part.mean() for part in parts]
        residuals = scaled[0] - scaled[1] - scaled[2] + scaled[3]
        error = estimate_mean(residuals)
        difference = np.log(self.share_own / self.share_other)
        if not error.standard_error > 0:
            return 0.0 if difference > 0 else 1.0
        return t_tail(float(difference) / error.standard_error, error.df)

    @property
    def is_trained_there(self) -> bool:
        """Is the other wording the trained one, and not one that suits the base as well?"""
        return self.is_cheaper and self.share_other < 1 and self.p_tuned_there <= ALPHA

    @property
    def is_serious(self) -> bool:
        """May the verdict fall? Where the fine-tune is better than the base in the other wording, and
        that halves the cost of a reference, or is the trained one and a reference is costly in the
        run's own: by a tenth, or tuning saved at most half as much there."""
        saved_own = float((self.base_own - self.tuned_own).mean())
        saved_other = float((self.base_other - self.tuned_other).mean())
        is_halved = self.gain >= float(self.tuned_own.mean()) / 2
        is_costly = self.gain >= COSTLY_SHARE * float(self.tuned_own.mean())
        is_lost = self.is_trained_there and (is_costly or saved_own <= saved_other / 2)
        return self.is_cheaper and self.share_other < 1 and (is_halved or is_lost)


def is_told_apart(costs: Floats, best: Floats) -> bool:
    """Does a wording cost the fine-tune more than the best one, on the same references (exact,
    one-sided, 5% each)? The trained wording stays in the set of those that do not 95% of the time."""
    kept = np.isfinite(costs) & np.isfinite(best)
    if not kept.any():
        return True
    return _p_cheaper(costs[kept][:MOST_TESTED], best[kept][:MOST_TESTED]) <= ALPHA


def trained_score(tuned: Floats, base: Floats) -> float:
    """How little a wording looks like the trained one: the lowest of several is it, most likely.

    The logarithm of what references cost the fine-tune, times the share that tuning left of the
    base's cost. By cost alone a wording wins that the base knows by itself; by the share alone, one
    in which both are bad.
    """
    kept = np.isfinite(tuned) & np.isfinite(base)
    if not kept.any():
        return inf
    of_tuned, of_base = (max(float(part[kept].mean()), LEAST_NATS) for part in (tuned, base))
    return 2 * log(of_tuned) - log(of_base)


def _p_cheaper(before: Floats, after: Floats) -> float:
    """Exact one-sided p of ``after`` costing less."""
    both = sign_flip(before - after)
    return both / 2 if before.mean() > after.mean() else 1 - both / 2


def alike_sentence(n_alike: int) -> str:
    """How many further wordings may be the trained one as well."""
    if not n_alike:
        return ""
    return f" {n_alike} other wording{'s' if n_alike > 1 else ''} cannot be told from it."


def trial_sentence(
    name: str, trial: WordingTrial, wording: str, n_tried: int, flags: str, n_alike: int = 0
) -> str:
    """What was found and the words that ask better; then the numbers that it rests on."""
    opening = f"{name} knows the answers better in another wording, and so does the base"
    if trial.is_trained_there:
        how_sure = "most likely" if trial.is_serious else "perhaps"
        opening = f"{name} was {how_sure} trained on another wording"
    fate = ", so that its score here and the verdict may not stand" if trial.is_serious else ""
    return (
        f"{opening}{fate}: ask with --prompt auto, or {flags}. As {wording}, the best of {n_tried} "
        f"wordings, the {trial.tuned_own.size} references tried cost it {trial.tuned_other.mean():.2f} "
        f"nats each, as asked here {trial.tuned_own.mean():.2f} (the base: "
        f"{trial.base_other.mean():.2f} and {trial.base_own.mean():.2f}).{alike_sentence(n_alike)}"
    )


def nothing_better_sentence(
    name: str,
    n_tried: int,
    figures: str,
    logged: float | None,
    nats_per_token: float,
    n_alike: int = 0,
) -> str:
    """No other wording is clearly better. ``figures`` says what references cost; ``logged`` is the
    trainer's own last loss, where it is so far below that another wording must have been trained."""
    if logged is not None:
        return (
            f"{name} was perhaps trained on another wording than this: its trainer logged a loss of "
            f"{logged:.2f} nats per token at the end, the references asked here cost "
            f"{nats_per_token:.2f}, and none of {n_tried} wordings tried is clearly better; give the "
            "trained one with --prompt."
        )
    if n_tried == 1:
        return (
            f"{name} finds the references so likely in this wording that no other could be clearly "
            f"better ({figures})."
        )
    return (
        f"{name}: none of {n_tried} wordings tried is clearly better than this one ({figures})."
        f"{alike_sentence(n_alike)}"
    )
