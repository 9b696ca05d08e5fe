"""Program + limits -> outcome: the only place that runs foreign code. Knows no benchmark."""

from __future__ import annotations

from tuneval.sandbox.backend import SandboxBackend
from tuneval.sandbox.pool import Examiner, run_all
from tuneval.sandbox.probe import BackendReport, probe, survey
from tuneval.sandbox.program import Limits, Outcome, Program, outcome_key

__all__ = [
    "BackendReport",
    "Examiner",
    "Limits",
    "Outcome",
    "Program",
    "SandboxBackend",
    "outcome_key",
    "probe",
    "run_all",
    "survey",
]
