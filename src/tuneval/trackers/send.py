"""Sends a finished run to the trackers that were named; nothing is sent unasked."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tuneval import registry
from tuneval.errors import ConfigError
from tuneval.report import REPORTS
from tuneval.trackers import TRACKERS, Tracker
from tuneval.trackers.tracked import tracked
from tuneval.types import RunResult


def check(names: Sequence[str]) -> None:
    """Refuse what cannot be sent at the end, before anything is computed.

    Raises
    ------
    ConfigError
        No such tracker, its package is not installed, or it has nowhere to send to.
    """
    for name in names:
        tracker = tracker_of(name)
        if find_spec(tracker.package) is None:
            raise ConfigError(
                f"--track {name} needs {tracker.package}: pip install 'tuneval[{name}]'"
            )
        tracker.check()


def tracker_of(name: str) -> Tracker:
    """The tracker of that name. Raises ConfigError where there is none."""
    tracker: Tracker = registry.load(TRACKERS, name, room="trackers")()
    return tracker


def send(result: RunResult, names: Sequence[str]) -> list[str]:
    """Send a run, and say where it lies now.

    Raises
    ------
    ConfigError
        A tracker did not take it. The run itself is on disk by then, and can be sent again.
    """
    said = []
    for name in names:
        tracker = tracker_of(name)
        with tempfile.TemporaryDirectory() as place:
            report = Path(place) / "report.html"
            text = registry.load(REPORTS, "html", room="report")(result)
            report.write_text(text, encoding="utf-8")
            try:
                said.append(f"{name}: {tracker.send(tracked(result, report))}")
            except Exception as error:  # a server or a store of another tool fails in any way
                again = shlex.join(["tuneval", "report", result.output_dir, "--track", name])
                raise ConfigError(
                    f"{name} did not take the run ({type(error).__name__}: {error}).\n"
                    f"It is whole in {result.output_dir}; send it again: {again}"
                ) from error
    return said
