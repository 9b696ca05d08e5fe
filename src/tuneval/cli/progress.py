"""Progress on stderr: a bar in a terminal, one line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

SECONDS_BETWEEN_LINES = 10.0
FEWEST_FOR_A_RATE = 8
"""Answers after the first: it waits for weights to load, and tells nothing of the others."""


def progress_for(*, quiet: bool) -> Any:
    """Choose what fits stderr."""
    from tuneval.types import NoProgress

    if quiet:
        return NoProgress()
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """A rich progress bar per stage: what runs, how far, how long still."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._n_reused = 0

    def begin(self, stage: str, total: int) -> None:
        """Start a bar of its own: one display with all stages would draw the finished ones again."""
        self._bar = _new_bar()
        self._bar.start()
        self._n_reused = 0
        self._task = self._bar.add_task(_fitted(stage), total=total, reused="", note="")

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        """Move the bar; say what came from the journal."""
        self._n_reused += n_reused
        reused = f"{self._n_reused} known" if self._n_reused else ""
        self._bar.update(self._task, advance=n, reused=reused)

    def note(self, text: str) -> None:
        """Show it behind the bar."""
        self._bar.update(self._task, note=text)

    def end(self) -> None:
        """Leave the bar as it is on the screen."""
        self._bar.stop()


def _new_bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _speed_column(),
        TextColumn("{task.fields[reused]} {task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )


def _speed_column() -> Any:
    """Units per second, as far as they can be told."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    return Speed()


def _fitted(stage: str) -> str:
    """A name may hold anything and be of any length."""
    from tuneval.report.escape import fit, terminal

    return fit(terminal(stage), 24)


class Lines:
    """Plain lines for logs and pipes."""

    def __init__(self) -> None:
        self._stage, self._total, self._done, self._n_reused = "", 0, 0, 0
        self._started = self._spoken = 0.0
        self._first: tuple[float, int] | None = None
        self._note = ""

    def begin(self, stage: str, total: int) -> None:
        """Name the stage."""
        self._stage, self._total, self._done, self._n_reused = _fitted(stage), total, 0, 0
        self._started = self._spoken = time.monotonic()
        self._first = None
        self._note = ""

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        """Speak at most every ten seconds."""
        self._done += n
        self._n_reused += n_reused
        now = time.monotonic()
        fresh = self._done - self._n_reused
        if self._first is None and fresh:
            self._first = now, fresh
        if now - self._spoken >= SECONDS_BETWEEN_LINES:
            self._spoken = now
            self._print(f"{self._done}/{self._total}{self._pace(now, fresh)}{self._note}")

    def _pace(self, now: float, fresh: int) -> str:
        """Speed since the first answer and what it promises; nothing while it is a guess."""
        started, n_first = self._first or (now, fresh)
        if fresh - n_first < FEWEST_FOR_A_RATE or now <= started:
            return ""
        speed = (fresh - n_first) / (now - started)
        told = f"{speed:.0f}/s" if speed >= 1 else f"{1 / speed:.0f} s each"
        left = max(self._total - self._done, 0) / speed
        return f", {told}, about {left:.0f} s left"

    def note(self, text: str) -> None:
        """Say it with the next line."""
        self._note = f" ({text})"

    def end(self) -> None:
        """Say how it went."""
        seconds = time.monotonic() - self._started
        known = f", {self._n_reused} already known" if self._n_reused else ""
        self._print(f"{self._done}/{self._total} in {seconds:.0f} s{known}{self._note}")

    def _print(self, text: str) -> None:
        print(f"{self._stage}: {text}", file=sys.stderr, flush=True)
