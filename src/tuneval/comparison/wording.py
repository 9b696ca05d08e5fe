"""How amounts are spelled in verdicts: points for shares, the natural unit for everything else.

Not for: deciding anything. Positive is always better: the sign of a difference is turned for
metrics where less is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from tuneval.types import Comparison, Unit


@dataclass(frozen=True, slots=True)
class Scale:
    """Turns a number of a metric's own unit into text."""

    factor: float
    digits: int
    noun: str

    def plain(self, value: float) -> str:
        """The number alone."""
        return f"{self._shown(value):.{self.digits}f}"

    def signed(self, value: float) -> str:
        """The number with its sign."""
        return f"{self._shown(value):+.{self.digits}f}"

    def amount(self, value: float) -> str:
        """Its size with the unit; what rounds to zero is no zero: "less than 0.1 points"."""
        if value and not self._shown(value):
            return f"less than {10**-self.digits:.{self.digits}f}{self.noun}"
        return f"{self.plain(abs(value))}{self.noun}"

    def _shown(self, value: float) -> float:
        rounded = round(self.factor * value, self.digits)
        return rounded + 0.0 if rounded else 0.0  # no "-0.0"


_SCALES: dict[Unit, Scale] = {
    "share": Scale(100, 1, " points"),
    "points": Scale(1, 1, " points"),
    "nats": Scale(1, 3, " nats"),
    "bits": Scale(1, 3, " bits"),
    "perplexity": Scale(1, 2, ""),
    "number": Scale(1, 3, ""),
}


def scale(unit: Unit) -> Scale:
    """How numbers of this unit are written."""
    return _SCALES[unit]


MOST_CASES = 10_000_000


def cases_text(n_cases: float) -> str:
    """A number of cases that is asked for; beyond ten million it is no advice any more."""
    return f"about {n_cases:.0f}" if n_cases <= MOST_CASES else f"more than {MOST_CASES:,}"


def p_text(p: float) -> str:
    """ "p=0.012", or "p<0.001" below that."""
    return f"p={p:.3f}" if p >= 0.001 else "p<0.001"


@dataclass(frozen=True, slots=True)
class Gain:
    """A comparison read as improvement of the candidate (positive is better), in shown units.

    ``low`` and ``high`` bound the interval of ``level``: 95%, or that which holds for all claims of
    the run at once; ``low90`` and ``high90`` the 90% one (one-sided 95% bounds); nan where there is
    none. ``has_points``: grades and margins in points apply.
    """

    value: float
    low: float
    high: float
    low90: float
    high90: float
    detectable: float
    scale: Scale
    has_points: bool
    level: float = 0.95

    @property
    def level_text(self) -> str:
        """ "95%", or the level at which several intervals hold at once."""
        return f"{100 * self.level:.3g}%"

    @property
    def has_interval(self) -> bool:
        """Is there an interval to judge by?"""
        return isfinite(self.low) and isfinite(self.high)


def gain(comparison: Comparison, *, of_baseline: bool = False) -> Gain:
    """Read a comparison as the candidate's improvement, or as the baseline's."""
    unit = scale(comparison.unit)
    sign = 1 if comparison.higher_is_better else -1
    sign = -sign if of_baseline else sign
    nan = float("nan")
    interval = comparison.interval
    bounds = (interval.low, interval.high) if interval else (nan, nan)
    level = interval.confidence if interval else 0.95
    if "shared_confidence" in comparison.details:  # every verdict of the run, not this one alone
        bounds = comparison.details["shared_low"], comparison.details["shared_high"]
        level = comparison.details["shared_confidence"]
    bounds90 = tuple(comparison.details.get(f"interval90_{end}", nan) for end in ("low", "high"))
    low, high = _ordered(sign * unit.factor, bounds[0], bounds[1])
    low90, high90 = _ordered(sign * unit.factor, bounds90[0], bounds90[1])
    detectable = comparison.detectable_difference
    in_points = Scale(1, unit.digits, unit.noun)
    return Gain(
        value=sign * unit.factor * comparison.difference,
        low=low,
        high=high,
        low90=low90,
        high90=high90,
        detectable=nan if detectable is None else unit.factor * detectable,
        scale=in_points,
        has_points=comparison.unit in {"share", "points"},
        level=level,
    )


def _ordered(factor: float, low: float, high: float) -> tuple[float, float]:
    return (factor * low, factor * high) if factor > 0 else (factor * high, factor * low)
