"""Program + limits -> outcome: the only place that runs foreign code. Knows no benchmark."""

from __future__ import annotations

from tuneval.sandbox.program import Limits, Outcome, Program, outcome_key

__all__ = ["Limits", "Outcome", "Program", "outcome_key"]
